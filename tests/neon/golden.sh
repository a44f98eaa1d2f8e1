#!/bin/sh
# The reference numbers on ARM: the whole program cross-compiled, run under qemu-aarch64 (user mode).
#
#   tests/neon/golden.sh DIR SYSROOT
#
# DIR holds stream-omni-tiny and cosyvoice-tiny; SYSROOT the unpacked arm64 packages of the libraries that CMakeLists.txt asks
# for (on Debian: `apt-get download` them and what they depend on, `dpkg -x` each). Not part of the suite: emulated, it takes long.
# SPDX-License-Identifier: Apache-2.0
set -eu
[ $# -eq 2 ] || { sed -n 's/^# \{0,1\}//p' "$0" >&2; exit 2; }
reference=$(cd "$1" && pwd) root=$(cd "$2" && pwd)
cd "$(dirname "$0")/../.."
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v $tool >/dev/null || { echo "$tool is not installed (packages gcc-aarch64-linux-gnu, qemu-user)" >&2; exit 1; }
done
libraries=$root/usr/lib/aarch64-linux-gnu
place=${SO_ARM_BUILD:-build-arm}
export PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$libraries/pkgconfig:$root/usr/share/pkgconfig"
cmake -S . -B "$place" -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
    -DCMAKE_EXE_LINKER_FLAGS="-L$libraries -Wl,-rpath-link,$libraries:$root/lib/aarch64-linux-gnu:$libraries/pulseaudio" >&2
ninja -C "$place" stream-omni >&2
# The program reserves far more addresses than it touches, and qemu keeps books of each page: they are limited.
for set in stream-omni-tiny cosyvoice-tiny; do
    qemu-aarch64 -R 220G -L "$root" -E LD_LIBRARY_PATH="$libraries:$root/lib/aarch64-linux-gnu:$libraries/pulseaudio" \
        "$place/stream-omni" eval golden "$reference/$set" --threads 1 --failures
done
