#!/bin/sh
# The kernels for ARM, compiled with aarch64-linux-gnu-gcc and run under qemu-aarch64 (user mode). Writes TAP; one counted
# skip where these are absent.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
echo 1..1
if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
    echo "# SKIP: aarch64-linux-gnu-gcc or qemu-aarch64 is absent" >&2
    echo "ok 1 - kernels for ARM # SKIP"
    exit 0
fi
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
flags="-std=c11 -O1 -Wall -Wextra -Wno-missing-field-initializers -fno-math-errno -fno-trapping-math -ffp-contract=off -Iinclude -Isrc"
objects= defined=
# compile UNIT FILE...
compile() {
    unit=$1
    shift
    for file; do
        # shellcheck disable=SC2086
        aarch64-linux-gnu-gcc $flags $defined -march=armv8.2-a+dotprod$unit -c "$file" -o "$place/$(basename "$file" .c).o" >&2 || return 1
        objects="$objects $place/$(basename "$file" .c).o"
    done
}
# What this compiler does not know is left out, as CMakeLists.txt does.
for unit in i8mm bf16 sve; do
    echo 'int x;' >"$place/empty.c"
    aarch64-linux-gnu-gcc "-march=armv8.2-a+dotprod+$unit" -c "$place/empty.c" -o "$place/empty.o" 2>/dev/null && defined="$defined -DSO_ARM_$unit"
done
arm=src/backend/cpu/arm
# shellcheck disable=SC2086
if compile "" tests/neon/check.c src/backend/cpu/table.c src/backend/cpu/tiles.c src/backend/cpu/choice.c src/backend/cpu/measure.c \
    src/backend/cpu/ref/*.c $arm/int8_neon.c src/base/*.c &&
    compile +i8mm $arm/int8_i8mm.c && compile +bf16 $arm/linear_armbf16.c && compile +sve $arm/conv_sve.c &&
    aarch64-linux-gnu-gcc -static $objects -o "$place/check" -lm -lpthread >&2 && SO_CPU_CACHE=off qemu-aarch64 -cpu max "$place/check" >&2; then
    echo "ok 1 - kernels for ARM"
else
    echo "not ok 1 - kernels for ARM"
fi
