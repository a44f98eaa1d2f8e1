#!/bin/sh
# Fuzzers for SO_FUZZ_SECONDS (default 60) each, from their seeds: tests/fuzz/check.sh [NAME...]. Writes TAP. Needs clang. SO_FUZZ_SEED:
# the same changes of them again (0, the default: others every time).
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
if [ $# -eq 0 ]; then
    for source in tests/fuzz/*.c; do set -- "$@" "$(basename "$source" .c)"; done
    sh tests/fuzz/build.sh >&2
fi
echo "1..$#"
LSAN_OPTIONS=suppressions=$(pwd)/tests/fuzz/lsan.supp:print_suppressions=0
export LSAN_OPTIONS
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
n=0
for name; do
    n=$((n + 1))
    if ! command -v clang >/dev/null 2>&1; then
        echo "# SKIP: clang is absent" >&2
        echo "not ok $n # SKIP $name"
        continue
    fi
    mkdir -p "$place/$name"
    # What earlier runs found worth keeping.
    [ ! -f "tests/fuzz/corpus/$name.tar.gz" ] || tar -xzf "tests/fuzz/corpus/$name.tar.gz" -C "$place/$name"
    if "build-fuzz/fuzz/fuzz_$name" -max_total_time="${SO_FUZZ_SECONDS:-60}" -seed="${SO_FUZZ_SEED:-0}" -rss_limit_mb=4096 -artifact_prefix="$place/" \
        "$place/$name" "tests/fuzz/seeds/$name" >"$place/log" 2>&1; then
        echo "ok $n - $name"
    else
        tail -30 "$place/log" >&2
        # What it died of, so that it can be tried again.
        for found in "$place"/crash-* "$place"/leak-* "$place"/timeout-* "$place"/oom-*; do
            [ ! -f "$found" ] || { echo "$(basename "$found"):" && base64 "$found" | head -40; } >&2
        done
        echo "not ok $n - $name"
    fi
done
