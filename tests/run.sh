#!/bin/sh
# Builds and runs the tests of a build folder, several at a time, and adds up:
#   tests/run.sh BUILD [quick|--thorough|--asan|--tsan] [NAME...]
#   tests/run.sh BUILD --only NAME
#
# NAMEs choose: a test is run when one of them is a part of its name (and, with quick, when that tier has it); --only: the one that is called
# so. Kinds of tests, each a job with one line:
#   floors     laws of the house over #include lines and symbols        tests/floors/check.sh
#   format     the tree as its .clang-format has it, one version        tests/format/check.sh
#   headers    each public header alone, as C11 and as C++11            tests/headers/check.sh
#   cuda       the kernels of graphics cards as CUDA (--thorough; nvcc)  tests/cuda/check.sh
#   neon       the kernels for ARM under qemu, where it is installed    tests/neon/check.sh
#   unit_, kernels_, grad_, golden_   programs of cmocka                tests/KIND/NAME.c
#   paths      the reference numbers again with the kernels for AVX2, and with the portable ones (all of those with --thorough)
#   net: NAME  the server and its parsers against programs of others   tests/net/check.sh
#   cli: NAME  tests/cli/NAME.sh with NAME.stdout, .stderr, .exit       tests/cli/check.sh
#   install    the examples against an installed copy                   tests/headers/install.sh
#   package    the program out of its packages, and its units           tests/headers/package.sh
#   flags      options that documents and snippets name                 tests/headers/flags.sh
#   lint       clang-tidy by .clang-tidy (./run lint, --thorough)       tests/format/lint.sh
#   fuzz: NAME one fuzzer for a while (--thorough; needs clang)         tests/fuzz/check.sh
#
# quick takes less than a minute: floors, format, headers, and the programs of unit/ but those that tests/slow names. Without it, all
# but lint and fuzz run; --thorough runs everything, and tells tests by SO_THOROUGH=1 to take longer. --tsan runs what has threads
# in it, or the NAMEs given. SO_JOBS says how many at a time, SO_TEST_SECONDS what one may take (900).
# The last line is "N passed, N failed, N skipped"; the exit status is 1 when something failed.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 2

build=${1:-build}
[ $# -eq 0 ] || shift
tier=default
names= only=
for argument; do
    [ "$only" != --only ] || { only=$argument names=$argument && continue; }
    case $argument in
    --only) only=--only ;;
    --asan) ;;
    --tsan) tier=tsan ;;
    --thorough) tier=thorough SO_THOROUGH=1 && export SO_THOROUGH ;;
    quick) tier=quick ;;
    -*)
        echo "tests/run.sh: unknown option $argument (known: quick, --asan, --tsan, --thorough, --only)" >&2
        exit 2
        ;;
    *) names="$names $argument" ;;
    esac
done
jobs=${SO_JOBS:-2}
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0 number=1000
started=$(date +%s)
# Networks run on one thread of OpenMP in peers' libraries; our own pools are asked for by the tests themselves.
OMP_NUM_THREADS=1
export OMP_NUM_THREADS
# Kernels are chosen alike every time, and nothing is written to a folder of the user.
SO_CPU_CACHE=off
export SO_CPU_CACHE

# in_tier NAME: whether the tier has it, when no name chooses
in_tier() {
    case $tier:$1 in
    quick:floors | quick:format | quick:headers) return 0 ;;
    quick:unit_*) ! grep -q "^$1\$" tests/slow ;;
    quick:*) return 1 ;;
    tsan:unit_base* | tsan:unit_engine* | tsan:unit_speech* | tsan:unit_server_desk | "tsan:cli: demo") return 0 ;;
    tsan:*) return 1 ;;
    default:lint | default:fuzz* | default:cuda) return 1 ;;
    esac
}

wanted() {
    [ -z "$only" ] || {
        [ "$1" = "$only" ]
        return
    }
    [ -n "$names" ] || {
        in_tier "$1"
        return
    }
    [ "$tier" != quick ] || in_tier "$1" || return 1
    for part in $names; do
        case $1 in *"$part"*) return 0 ;; esac
    done
    return 1
}

# add NAME COMMAND: a job
add() {
    wanted "$1" || return 0
    number=$((number + 1))
    printf '%s\n%s\n' "$1" "$2" >"$place/$number.job"
}

build_failed() {
    echo "FAILED build: $1"
    sed 's/^/       | /' "$place/log" | tail -40
    failed=$((failed + 1))
}

if ! ninja -C "$build" -j "$jobs" all >"$place/log" 2>&1; then
    build_failed "the program and the library"
    echo "$passed passed, $failed failed, $skipped skipped"
    exit 1
fi
# Sanitizers make gcc warn of conversions that are none.
plain=1
grep -q '^SO_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt" && plain=
[ -z "$plain" ] || ! grep -q 'warning:' "$place/log" || build_failed "warnings"
targets=
for source in tests/unit/*.c tests/kernels/*.c tests/grad/*.c tests/golden/*.c; do
    name=$(basename "$(dirname "$source")")_$(basename "$source" .c)
    wanted "$name" && targets="$targets $name"
done
for name in tests/cli/*.sh; do
    wanted "cli: $(basename "$name" .sh)" && targets="$targets make_checkpoint" && break # what convert and pull are tried on
done
[ "$tier" = quick ] || [ -n "$names" ] || targets="$targets tools"
wanted "net: h11" && targets="$targets net_verdict"
wanted "net: ws" && targets="$targets net_ws_verdict"
whole=1
# One test program that does not compile must not hide the others.
# shellcheck disable=SC2086
[ -z "$targets" ] || ninja -C "$build" -j "$jobs" -k 0 $targets >"$place/log" 2>&1 || {
    whole=
    grep -E 'error:|FAILED:|undefined reference' "$place/log" | sed 's/^/       | /' | head -40
}
[ -z "$targets" ] || [ -z "$plain" ] || ! grep -q 'warning:' "$place/log" || build_failed "warnings"

add floors "sh tests/floors/check.sh '$build'"
add format "sh tests/format/check.sh"
add headers "sh tests/headers/check.sh"
add neon "sh tests/neon/check.sh"
add cuda "SO_CUDA_ARCHS='75 80 86 89 90 120' sh tests/cuda/check.sh"
for source in tests/unit/*.c tests/kernels/*.c tests/grad/*.c tests/golden/*.c; do
    name=$(basename "$(dirname "$source")")_$(basename "$source" .c)
    wanted "$name" || continue
    if [ -z "$whole" ] && ! ninja -C "$build" -n "$name" 2>&1 | grep -q 'no work to do'; then
        : >"$place/log"
        build_failed "$name does not build"
        continue
    fi
    add "$name" "exec '$build/tests/$name'"
done
for cpu in avx2 c; do
    for name in golden_stream_omni golden_session golden_speech; do
        [ -x "$build/tests/$name" ] || continue
        # A minute and a half of one core: sessions and speech go the same way.
        [ "$tier/$cpu/$name" != default/c/golden_stream_omni ] || [ -n "$names" ] || continue
        few=
        # How a voice is cut into chunks is the same for every table: with the portable one a few lengths of them.
        [ "$cpu" != c ] || [ "$tier" = thorough ] || few=SO_FEW_ROUNDS=1
        command="SO_CPU=$cpu $few exec '$build/tests/$name'"
        # A machine without these instructions refuses their name.
        [ "$cpu" = c ] || grep -qw "$cpu" /proc/cpuinfo 2>/dev/null ||
            command="echo '# SKIP: this machine has no $cpu' >&2; echo 1..1; echo 'not ok 1 # SKIP $cpu'"
        add "paths: $name, $cpu" "$command"
    done
done
# Matrix tiles in plain C stand in for a processor that has them.
tiles="unit_models_bf16=amx-plain unit_backend_linear=amx-plain unit_engine_precision=amx-double golden_session=amx-double golden_speech=amx-double"
[ "$tier" != thorough ] || tiles="$tiles golden_codec=amx-plain golden_stream_omni=amx-double golden_stream_omni=amx-plain golden_session=amx-plain golden_speech=amx-plain"
for pair in $tiles; do
    name=${pair%=*} cpu=${pair#*=}
    [ -x "$build/tests/$name" ] || continue
    command="SO_CPU=$cpu exec '$build/tests/$name'"
    [ "$cpu" = amx-plain ] && [ "$(uname -m)" = x86_64 ] || grep -qw avx512_bf16 /proc/cpuinfo 2>/dev/null ||
        command="echo '# SKIP: this machine has no AVX-512' >&2; echo 1..1; echo 'not ok 1 # SKIP $cpu'"
    add "paths: $name, $cpu" "$command"
done
for source in tests/cli/*.sh; do
    name=$(basename "$source" .sh)
    [ "$name" = check ] || add "cli: $name" "sh tests/cli/check.sh '$build' $name"
done
for name in $(sed -n 's/.*|| set -- \([a-z0-9_ ]*\).*/\1/p' tests/net/check.sh) ${SO_THOROUGH:+soak}; do
    add "net: $name" "sh tests/net/check.sh '$build' $name"
done
add install "sh tests/headers/install.sh '$build'"
add package "sh tests/headers/package.sh '$build'"
add flags "sh tests/headers/flags.sh '$build'"
add lint "sh tests/format/lint.sh '$build'"
if wanted fuzz; then
    for source in tests/fuzz/*.c; do
        name=$(basename "$source" .c)
        add "fuzz: $name" "sh tests/fuzz/check.sh $name"
    done
    sh tests/fuzz/build.sh >"$place/log" 2>&1 || build_failed "the fuzzers"
fi

# Longest first, as the last run in this folder had it, so that the end is not one long job alone.
[ -f "$build/tests.seconds" ] || : >"$build/tests.seconds"
for job in "$place"/*.job; do
    [ -f "$job" ] || continue
    printf '%s %s\n' "$(basename "$job" .job)" "$(sed -n 1p "$job")"
done | awk -v file="$build/tests.seconds" '
    BEGIN { while ((getline line < file) > 0) { split(line, w, " "); seconds = w[1]; sub(/^[^ ]* /, "", line); took[line] = seconds } }
    { n = $1; sub(/^[^ ]* /, ""); print ($0 in took ? took[$0] : 1), n }' | sort -k1,1rn -k2,2n | cut -d' ' -f2 |
    xargs -r -P "$jobs" -n 1 sh tests/job.sh "$place"

# The sum, in the order of the list and not of the clock.
for job in "$place"/*.job; do
    job=${job%.job}
    [ -f "$job.sum" ] || continue
    read -r p f s _ _ name <"$job.sum"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" -ne 0 ]; then
        cat "$job.line"
        grep -v -E '^(ok |1\.\.)' "$job.tap" | sed 's/^/       | /' | head -60
        sed 's/^/       | /' "$job.log" | tail -40
    fi
done
for log in "$place"/*.log; do
    [ ! -f "$log" ] || sed -n 's/^# SKIP: \(.*\)/\1/p' "$log"
done | sort | uniq -c | sed 's/^ *\([0-9]*\) /skipped \1: /'
cat "$place"/*.sum 2>/dev/null | awk '{ s = $4; c = $5; for (i = 0; i < 5; i++) sub(/^[^ ]* /, ""); print s, c, $0 }' |
    sort -rn >"$place/slow"
if [ "$(wc -l <"$place/slow")" -gt 10 ]; then
    echo "slowest (seconds by the clock, of the processors):"
    head -10 "$place/slow" | awk '{ s = $1; c = $2; sub(/^[^ ]* [^ ]* /, ""); printf "  %7.1f %7.1f  %s\n", s, c, $0 }'
    [ -n "$names" ] || [ "$tier" = quick ] || awk '{ s = $1; sub(/^[^ ]* [^ ]* /, ""); print s, $0 }' "$place/slow" >"$build/tests.seconds"
fi
echo "$(($(date +%s) - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
