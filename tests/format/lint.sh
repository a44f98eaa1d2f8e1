#!/bin/sh
# clang-tidy over src/ by .clang-tidy: tests/format/lint.sh BUILD. Writes TAP. Two warnings are gcc's to give: clang counts conversions of
# constants, too, in a build that gcc configured.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build}
echo 1..1
if ! command -v clang-tidy >/dev/null 2>&1 || ! command -v python3 >/dev/null 2>&1; then
    echo "# SKIP: clang-tidy or python3 is absent" >&2
    echo "not ok 1 # SKIP clang-tidy"
    exit 0
fi
found=$(mktemp) || exit 2
trap 'rm -f "$found"' EXIT
sed -n 's/^ *"file": "\(.*\)".*/\1/p' "$build/compile_commands.json" | grep '/src/' | sort -u |
    xargs -P "${SO_JOBS:-2}" -n 4 clang-tidy --quiet --extra-arg=-Wno-error --extra-arg=-Wno-double-promotion --extra-arg=-Wno-sign-conversion -p "$build" >"$found" 2>/dev/null
grep -E ' (warning|error): ' "$found" | sort -u | sed "s|^$(pwd)/||" >&2
if grep -q -E ' (warning|error): ' "$found"; then
    echo "not ok 1 - clang-tidy: $(grep -E ' (warning|error): ' "$found" | sort -u | wc -l) findings"
else
    echo "ok 1 - clang-tidy"
fi
