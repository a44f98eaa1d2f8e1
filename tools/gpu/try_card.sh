#!/bin/sh
# What to run where there is a graphics card, in this order, within about six minutes: what it is, every kernel against the portable ones, conversations and steps
# against the processor's, how long answers take, and how many people it serves. It stops at nothing and prints all; what failed is said at the end.
#
#   sh tools/gpu/try_card.sh [BUILD] [DEVICE]       build, vulkan; "cuda", "vulkan:1"
#
# Build before: ./run build (for CUDA where nvcc is) and ninja -C build tests. In the environment:
#
#   SO_SESSIONS=64     people who speak with a server at a time (2)
#   SO_PATIENCE=5      how many times as long as on a card everything may take (1): for lavapipe
#   SO_LARGE=FOLDER    the published shape as well, with random weights in q4_k_m: made there, 35 GB and some minutes; kept, and used again
#   SO_LARGE_SHAPE=... how it is made (tests/make_checkpoint: "--tiny", "--scale 0.25")
#
# On lavapipe it runs as well, and says nothing about speed (SO_PATIENCE=8 SO_SESSIONS=1).
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build}
device=${2:-vulkan}
so=$build/stream-omni
tests="kernels_gpu kernels_gpu_codec unit_device_codec unit_device_steps unit_device_conversation"
failed=

for program in "$so" $(printf "$build/tests/%s " $tests); do
    [ -x "$program" ] || { echo "try_card.sh: $program is not there: ./run build, then ninja -C $build tests" >&2; exit 2; }
done
case $device in
vulkan | cuda | vulkan:[0-9]* | cuda:[0-9]*) ;;
*) echo "try_card.sh: '$device' is no card: vulkan, cuda, vulkan:1, cuda:0" >&2; exit 2 ;;
esac
# With nothing to try nothing is tried.
found=$("$so" inspect --devices 2>&1)
if ! printf '%s\n' "$found" | grep -Eq "^$device(:[0-9]+)?[[:space:]]"; then
    printf '%s\n' "$found" "try_card.sh: there is no $device here (docs/gpu.md tells what it needs)" >&2
    exit 2
fi

step() { # NAME SECONDS COMMAND...
    name=$1 seconds=$2
    shift 2
    printf '\n== %s\n' "$name"
    began=$(date +%s)
    seconds=$((seconds * ${SO_PATIENCE:-1}))
    timeout -k 5 "$seconds" "$@"
    ended=$?
    [ $ended -eq 0 ] || failed="$failed, $name ($([ $ended -eq 124 ] && echo "longer than $seconds s" || echo "status $ended"))"
    echo "   ($(($(date +%s) - began)) s)"
}

same() { # NAME, then what ask is given: the answer of the device is that of the processor
    title=$1
    shift
    printf '\n== %s\n' "$title"
    for where in cpu "$device"; do
        place_of=$place/$([ "$where" = cpu ] && echo cpu || echo card)
        timeout -k 5 $((120 * ${SO_PATIENCE:-1})) "$so" ask "$@" --precision exact --max-text 24 --seed 1 --device "$where" >"$place/answer" || failed="$failed, $title on $where"
        sed '/tokens in/d' "$place/answer" >"$place_of"
    done
    if [ -s "$place/cpu" ] && diff "$place/cpu" "$place/card"; then cat "$place/cpu"; else failed="$failed, $title"; fi
}

await() { # URL: until it is answered well; a server listens before its model is there
    for _ in $(seq 600); do
        if command -v curl >/dev/null 2>&1; then
            curl -fs -m 5 "$1" >/dev/null && return
        else
            wget -q -T 5 -O /dev/null "$1" && return # without either nothing is waited for longer than this
        fi
        sleep 0.2
    done
}

serve() { # NAME SESSIONS, then what serve is given: people who speak with a server on the device
    name=$1 sessions=$2 address=$place/address
    shift 2
    printf '\n== %s\n' "$name"
    "$so" serve --device "$device" --sessions "$sessions" --port 0 "$@" >"$address" 2>"$place/log" &
    server=$!
    url=
    for _ in $(seq 600); do
        url=$(grep -Eo 'http://[0-9.]+:[0-9]+' "$address" | head -1)
        [ -n "$url" ] || ! kill -0 $server 2>/dev/null || { sleep 0.2 && continue; }
        break
    done
    if [ -n "$url" ]; then
        await "$url/health"
        step "$name: a server's load" 120 "$so" bench --server "$url" --sessions "$sessions" --seconds 20
    else
        tail -3 "$place/log"
        failed="$failed, $name"
    fi
    kill $server 2>/dev/null
    wait $server
    ended=$?
    [ $ended -eq 143 ] || [ $ended -eq 0 ] || failed="$failed, $name (the server ended with $ended)"
}

place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
export SO_TEST_DEVICE="$device" # of the tests: it has to be there
step "devices" 30 "$so" inspect --devices
! command -v vulkaninfo >/dev/null 2>&1 || step "cooperative matrices that Vulkan's driver offers" 30 sh -c 'vulkaninfo | grep -i -A12 cooperative_\?matrix || echo none'
for test in $tests; do step "$test" 180 "$build/tests/$test"; done
same "an answer in words, as on the processor" "where is the cat?"
same "an answer about a picture, as on the processor" examples/table.png "What is in the picture?"
step "time of an answer on the device" 60 "$so" ask "where is the cat?" --device "$device"
step "time of an answer on the processor" 60 "$so" ask "where is the cat?"
step "tokens, units, first sound, flow, vocoder, launches and bytes; the processor beside it" 180 "$so" bench --device "$device" --beside --repeats 1 --seconds 1
serve "people at a time" "${SO_SESSIONS:-2}"

if [ -n "${SO_LARGE:-}" ]; then
    large=$SO_LARGE/random.gguf
    if [ ! -f "$large" ]; then
        # shellcheck disable=SC2086
        step "random weights of the published shape" 900 "$build/tests/make_checkpoint" "$SO_LARGE" ${SO_LARGE_SHAPE:-}
        step "and in q4_k_m" 900 "$so" convert "$SO_LARGE/model" "$SO_LARGE/codec" -o "$large" --type q4_k_m
    fi
    step "the published shape: memory, tokens, units, first sound, bytes and their share of the card's rate" 300 "$so" bench --model "$large" --device "$device" --repeats 2 --seconds 2
    serve "people at a time, the published shape" "${SO_SESSIONS:-2}" --model "$large"
fi

case $device in cuda*)
    if command -v compute-sanitizer >/dev/null 2>&1; then
        for tool in memcheck racecheck; do
            step "compute-sanitizer $tool: kernels" 240 compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/tests/kernels_gpu"
            step "compute-sanitizer $tool: an answer" 120 compute-sanitizer --tool "$tool" --error-exitcode 1 "$so" ask "where is the cat?" --device "$device" --max-text 4
        done
    else
        printf '\n== compute-sanitizer is not installed\n'
    fi
    ;;
esac
printf '\n%s\n' "${failed:+failed: ${failed#, }}"
[ -z "$failed" ] && echo "all passed"
