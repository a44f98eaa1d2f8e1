#!/bin/sh
# The kernels for ARM, compiled with aarch64-linux-gnu-gcc and run under qemu-aarch64 (user mode). Writes TAP; one counted
# skip where these are absent.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
echo 1..1
if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
    echo "# SKIP: aarch64-linux-gnu-gcc or qemu-aarch64 is absent" >&2
    echo "ok 1 - int8 products for ARM # SKIP"
    exit 0
fi
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
sources="tests/neon/check.c src/backend/cpu/table.c src/backend/cpu/ref/matrix.c src/backend/cpu/ref/element.c
    src/backend/cpu/ref/norm.c src/backend/cpu/ref/attention.c src/backend/cpu/ref/conv.c src/backend/cpu/ref/bf16.c src/backend/cpu/ref/int8.c src/backend/cpu/ref/move.c
    src/backend/cpu/arm/int8_neon.c src/base/error.c src/base/plain.c src/base/pool.c src/base/type.c src/base/dequantise.c
    src/base/quantise.c src/base/quantise_k.c src/base/quantise_fit.c"
# shellcheck disable=SC2086
if aarch64-linux-gnu-gcc -std=c11 -O1 -Wall -Wextra -Wno-missing-field-initializers -march=armv8.2-a+dotprod -static \
    -fno-math-errno -fno-trapping-math -ffp-contract=off -Iinclude -Isrc $sources -o "$place/check" -lm -lpthread >&2 &&
    qemu-aarch64 "$place/check" >&2; then
    echo "ok 1 - int8 products for ARM"
else
    echo "not ok 1 - int8 products for ARM"
fi
