#!/bin/sh
# What to run where there is a graphics card, in this order, within about six minutes: what it is, every kernel against the portable ones, a conversation against
# the processor's, and how long answers take. It stops at nothing and prints all; what failed is said at the end.
#
#   sh tools/gpu/try_card.sh [BUILD] [DEVICE]       build, vulkan
#
# Build before (./run build; ninja -C build kernels_gpu kernels_gpu_codec unit_device_conversation unit_device_codec). On lavapipe it runs as well, and says nothing about speed.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build}
device=${2:-vulkan}
so=$build/stream-omni
failed=

step() { # NAME SECONDS COMMAND...
    name=$1 seconds=$2
    shift 2
    printf '\n== %s\n' "$name"
    began=$(date +%s)
    timeout "$seconds" "$@" || failed="$failed, $name"
    echo "   ($(($(date +%s) - began)) s)"
}

same() { # NAME, then what ask is given: the answer of the device is that of the processor
    printf '\n== %s\n' "$1"
    shift
    for where in cpu "$device"; do
        timeout 120 "$so" ask "$@" --precision exact --max-text 24 --seed 1 --device "$where" >"$place/answer" || failed="$failed, $*"
        sed '/tokens in/d' "$place/answer" >"$place/${where%%:*}"
    done
    diff "$place/cpu" "$place/${device%%:*}" && cat "$place/cpu" || failed="$failed, $*"
}

place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
step "devices" 30 "$so" inspect --devices
step "kernels" 120 "$build/tests/kernels_gpu"
step "kernels of the codec" 120 "$build/tests/kernels_gpu_codec"
step "the codec against its reference" 120 "$build/tests/unit_device_codec"
step "conversations" 180 "$build/tests/unit_device_conversation"
same "an answer in words, as on the processor" "where is the cat?"
same "an answer about a picture, as on the processor" examples/table.png "What is in the picture?"
step "time of an answer on the device" 60 "$so" ask "where is the cat?" --device "$device"
step "time of an answer on the processor" 60 "$so" ask "where is the cat?"
step "tokens, units, first sound, flow, vocoder, launches and bytes; the processor beside it" 180 "$so" bench --device "$device" --beside --repeats 1 --seconds 1
if command -v compute-sanitizer >/dev/null 2>&1 && "$so" inspect --devices | grep -q '^cuda:0'; then
    for tool in memcheck racecheck; do
        step "compute-sanitizer $tool" 120 compute-sanitizer --tool "$tool" --error-exitcode 1 "$so" ask "where is the cat?" --device cuda --max-text 4
    done
fi
printf '\n%s\n' "${failed:+failed: ${failed#, }}"
[ -z "$failed" ]
