#!/bin/sh
# rustc, for our own packages while they are fuzzed: Cargo calls it as RUSTC_WORKSPACE_WRAPPER.
#
# The flags are those by which libFuzzer sees what an input reaches. Dependencies are compiled without them,
# and so are the very ones of the tests. Cargo does not see a change of these flags: after one,
# `cargo clean --package doorward`.
set -eu
case " $* " in
    # A build script is linked without libFuzzer, which the flags ask for.
    *" --crate-name build_script_"*) exec "$@" ;;
esac
exec "$@" -Copt-level=1 --cfg fuzzing \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-sanitizer-coverage-stack-depth \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
