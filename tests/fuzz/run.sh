#!/usr/bin/env bash
# Throws at every target for a while, from the seeds in tests/fuzz/corpus on. Needs a C++ compiler and nothing nightly: the
# compiler's own pass counts the branches.
#
#   tests/fuzz/run.sh                 every target for FUZZ_SECONDS (4) each
#   tests/fuzz/run.sh TARGET...       only these
#
# What is found on the way is kept in target/fuzz/corpus/TARGET, what breaks in target/fuzz/broken. Ends with
# `N passed, N failed, N skipped`.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")" || exit 70
out=${CARGO_TARGET_DIR:-$PWD/../../target}/fuzz
seconds=${FUZZ_SECONDS:-4}
passed=0 failed=0

if ! command -v c++ >/dev/null; then
    echo "skipped: fuzz: there is no C++ compiler"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
# Dynamic: a sanitizer's runtime would not have it otherwise, and nothing of this is shipped.
export RUSTFLAGS='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares'
if ! cargo build --locked --release --target-dir "$out"; then
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
program=$(find "$out" -path '*release/fuzz' -type f -perm -u+x | head -n 1)
if [ "$#" = 0 ]; then
    set -- table events notify request snapshot values lines packets streams clients nodes records
fi
mkdir -p "$out/broken"
for target; do
    mkdir -p "$out/corpus/$target"
    if FUZZ_TARGET=$target "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$out/broken/$target-" "$out/corpus/$target" "corpus/$target" >"$out/$target.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok $target: $(sed -n 's/^stat::number_of_executed_units: */runs /p' "$out/$target.log"), $(grep -o 'cov: [0-9]*' "$out/$target.log" | tail -n 1)"
    else
        failed=$((failed + 1))
        echo "not ok $target"
        tail -n 40 "$out/$target.log"
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
