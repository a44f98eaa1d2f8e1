#!/bin/sh
# Builds and runs every test of a build folder and adds up: tests/run.sh BUILD [--asan|--tsan] [--thorough] [NAME...]
#
# NAMEs choose: a test is run when one of them is a part of its name. Kinds of tests:
#   floors     laws of the house over #include lines and symbols        tests/floors/check.sh
#   headers    each public header alone, as C11 and as C++11            tests/headers/check.sh
#   neon       the kernels for ARM under qemu, where it is installed    tests/neon/check.sh
#   programs   tests/<unit|kernels|grad|golden|trained>/*.c, cmocka
#   paths      the reference numbers again with the kernels for AVX2, and with the portable ones
#   cli        tests/cli/NAME.sh with NAME.stdout, .stderr, .exit       tests/cli/check.sh
#   net        the server and its parsers against programs of others   tests/net/check.sh
#   install    the examples against an installed copy                   tests/headers/install.sh
#   fuzz       --thorough only: every fuzzer for a while (needs clang)
# --tsan runs what has threads in it (base, engine, and a spoken question to the shipped model), or the NAMEs given.
# The last line is "N passed, N failed, N skipped"; the exit status is 1 when something failed.
# SPDX-License-Identifier: Apache-2.0
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
cd "$root" || exit 2

build=${1:-build}
[ $# -eq 0 ] || shift
thorough=
tsan=
names=
for argument; do
    case $argument in
    --asan) ;;
    --tsan) tsan=1 ;;
    --thorough) thorough=1 ;;
    -*)
        echo "tests/run.sh: unknown option $argument (known: --asan, --tsan, --thorough)" >&2
        exit 2
        ;;
    *) names="$names $argument" ;;
    esac
done
aloud=
[ -z "$tsan" ] || [ -n "$names" ] || names="unit_base unit_engine" aloud=1
jobs=${SO_JOBS:-2}
[ -z "$thorough" ] || export SO_THOROUGH=1
# Tests are written for any thread count; two keep a shared machine usable.
export OMP_NUM_THREADS=1

tap=$(mktemp) || exit 2
log=$(mktemp) || exit 2
trap 'rm -f "$tap" "$log"' EXIT
passed=0 failed=0 skipped=0
started=$(date +%s)

wanted() {
    [ -n "$names" ] || return 0
    for part in $names; do
        case $1 in *"$part"*) return 0 ;; esac
    done
    return 1
}

# count NAME STATUS: adds the TAP lines of $tap; a program that died or lost tests is one failure more
count() {
    plan=$(sed -n 's/^1\.\.\([0-9][0-9]*\).*/\1/p' "$tap" | awk '{ n += $1 } END { print n + 0 }')
    s=$(grep -c -E '^(not )?ok [0-9]+.*# SKIP' "$tap")
    p=$(grep -E '^ok [0-9]+' "$tap" | grep -c -v '# SKIP')
    f=$(grep -E '^not ok [0-9]+' "$tap" | grep -c -v '# SKIP')
    note=
    if [ $((p + f + s)) -lt "$plan" ]; then
        note=" ($((plan - p - f - s)) of $plan tests never ended, exit status $2)"
        f=$((f + 1))
    elif [ "$2" -ne 0 ] && [ "$f" -eq 0 ]; then
        note=" (exit status $2)"
        f=1
    elif [ "$plan" -eq 0 ]; then
        note=" (no tests in it)"
        f=$((f + 1))
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    result=ok
    [ "$f" -eq 0 ] || result=FAILED
    printf '%-6s %-32s %4d passed %3d failed %3d skipped%s\n' "$result" "$1" "$p" "$f" "$s" "$note"
    if [ "$f" -ne 0 ]; then
        grep -v -E '^(ok |1\.\.)' "$tap" | sed 's/^/       | /' | head -60
        sed 's/^/       | /' "$log" | tail -40
    elif [ "$s" -ne 0 ]; then
        sed -n 's/^# SKIP: \(.*\)/\1/p' "$log" | sort | uniq -c | sed 's/^ *\([0-9]*\) /         skipped \1: /' | head -5
    fi
}

# script NAME COMMAND...: a checker that writes TAP
script() {
    name=$1
    shift
    wanted "$name" || return 0
    "$@" >"$tap" 2>"$log"
    count "$name" $?
}

build_failed() {
    echo "FAILED build: $1"
    sed 's/^/       | /' "$log" | tail -40
    failed=$((failed + 1))
}

if ! ninja -C "$build" -j "$jobs" all >"$log" 2>&1; then
    build_failed "the program and the library"
    echo "$passed passed, $failed failed, $skipped skipped"
    exit 1
fi
grep -q 'warning:' "$log" && build_failed "warnings"
targets=
for source in tests/unit/*.c tests/kernels/*.c tests/grad/*.c tests/golden/*.c; do
    name=$(basename "$(dirname "$source")")_$(basename "$source" .c)
    wanted "$name" && targets="$targets $name"
done
wanted cli && targets="$targets make_checkpoint" # what convert and pull are tried on
# One test program that does not compile must not hide the others.
whole=1
# shellcheck disable=SC2086
[ -z "$targets" ] || ninja -C "$build" -j "$jobs" -k 0 $targets >"$log" 2>&1 || {
    whole=
    grep -E 'error:|FAILED:|undefined reference' "$log" | sed 's/^/       | /' | head -40
}
[ -z "$targets" ] || ! grep -q 'warning:' "$log" || build_failed "warnings"

script floors sh tests/floors/check.sh "$build"
script headers sh tests/headers/check.sh
script neon sh tests/neon/check.sh
for kind in unit kernels grad golden trained; do
    for source in tests/$kind/*.c; do
        [ -f "$source" ] || continue
        name=${kind}_$(basename "$source" .c)
        wanted "$name" || continue
        program=$build/tests/$name
        if [ -z "$whole" ] && ! ninja -C "$build" -n "$name" 2>&1 | grep -q 'no work to do'; then
            : >"$log"
            build_failed "$name does not build"
            continue
        fi
        CMOCKA_MESSAGE_OUTPUT=TAP timeout "${SO_TEST_SECONDS:-900}" "$program" >"$tap" 2>"$log"
        count "$name" $?
    done
done
for cpu in avx2 c; do
    for name in golden_stream_omni golden_session golden_speech; do
        [ -x "$build/tests/$name" ] || continue
        script "paths: $name, $cpu" env SO_CPU=$cpu CMOCKA_MESSAGE_OUTPUT=TAP timeout "${SO_TEST_SECONDS:-900}" "$build/tests/$name"
    done
done
script cli sh tests/cli/check.sh "$build"
if [ -n "$aloud" ]; then
    names=
    script 'cli: a question, aloud' sh tests/cli/check.sh "$build" demo
fi
script net sh tests/net/check.sh "$build"
script install sh tests/headers/install.sh "$build"
[ -z "$thorough" ] || script fuzz sh tests/fuzz/check.sh

echo "$(($(date +%s) - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
