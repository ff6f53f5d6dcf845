#!/bin/sh
# rustdoc, as `cargo test --doc` calls it (RUSTDOC), but it writes the documents instead of running what stands in
# them: so it reads the dependencies of the tests, where `cargo doc` would check each of them once more.
set -eu
case " $* " in
    *" --test "*) ;;
    *) exec rustdoc "$@" ;;
esac
value=
for word in "$@"; do
    shift
    case $value$word in
        --test) ;;
        --test-run-directory) value="of " ;;
        "of "*) value= ;;
        *) set -- "$@" "$word" ;;
    esac
done
exec rustdoc "$@" --document-private-items --out-dir "${CARGO_TARGET_DIR:-target}/doc" \
    -D warnings -A rustdoc::private_intra_doc_links
