#!/usr/bin/env bash
# Builds the fuzz targets and runs them.
#
#   fuzz/run.sh 30                      each of them for 30 seconds, as many at a time as there are cores
#   fuzz/run.sh TARGET [OPTION...]      one of them, until it finds something, with libFuzzer's options
#   fuzz/run.sh TARGET FILE...          one of them on these inputs alone
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTC_WORKSPACE_WRAPPER="$PWD/fuzz/rustc.sh"
# What would be kept for the next build costs more than it saves in this one.
export CARGO_INCREMENTAL=0

run() {
    local target=$1 corpora=("fuzz/corpus/$1" "fuzz/corpus-seeds/$1")
    shift
    mkdir -p "${corpora[@]}" "fuzz/artifacts/$target"
    for word in "$@"; do
        case $word in -*) ;; *) corpora=() ;; esac
    done
    cargo run --locked --quiet --package doorward-fuzz --bin "$target" -- \
        -artifact_prefix="fuzz/artifacts/$target/" -timeout=10 "$@" "${corpora[@]}"
}

# The lines of all targets stand among each other, so each says whose it is.
run_for() {
    echo "fuzz: $2, $1 s"
    run "$2" -max_total_time="$1" -verbosity=0 -print_final_stats=1 2>&1 | sed -u "s/^/$2: /"
}

case "${1:-}" in
    "" | -*)
        sed -n 's/^#   //p' "$0" >&2
        exit 2
        ;;
    *[!0-9]*) run "$@" ;;
    *)
        export -f run run_for
        cargo build --locked --package doorward-fuzz
        # Of a folder or a file, the name is the target's.
        for path in fuzz/fuzz_targets/*; do basename "$path" .rs; done |
            xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'run_for "$@"' run_for "$1" {}
        ;;
esac
