#!/bin/sh
# Every fuzzer for SO_FUZZ_SECONDS (default 60) from its seeds. Writes TAP. Needs clang.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
if ! command -v clang >/dev/null 2>&1; then
    echo 1..1
    echo "# SKIP: clang is absent" >&2
    echo "not ok 1 # SKIP fuzz"
    exit 0
fi
set -- tests/fuzz/*.c
echo "1..$#"
CC=clang cmake -S . -B build-fuzz -G Ninja -DSO_FUZZ=ON -DSO_SANITIZE=fuzzer-no-link,address,undefined >&2 &&
    ninja -C build-fuzz -j "${SO_JOBS:-2}" fuzz >&2
LSAN_OPTIONS=suppressions=$(pwd)/tests/fuzz/lsan.supp:print_suppressions=0
export LSAN_OPTIONS
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
n=0
for source; do
    n=$((n + 1))
    name=$(basename "$source" .c)
    mkdir -p "$place/$name"
    if build-fuzz/fuzz/fuzz_$name -max_total_time="${SO_FUZZ_SECONDS:-60}" -rss_limit_mb=4096 -artifact_prefix="$place/" \
        "$place/$name" "tests/fuzz/seeds/$name" >"$place/log" 2>&1; then
        echo "ok $n - $name"
    else
        tail -30 "$place/log" >&2
        echo "not ok $n - $name"
    fi
done
