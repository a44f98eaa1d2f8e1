#!/bin/sh
# Builds every fuzzer, into build-fuzz/. Without clang there is nothing to build.
# SPDX-License-Identifier: Apache-2.0
cd "$(dirname "$0")/../.." || exit 2
command -v clang >/dev/null 2>&1 || exit 0
CC=clang cmake -S . -B build-fuzz -G Ninja -DSO_FUZZ=ON -DSO_SANITIZE=fuzzer-no-link,address,undefined &&
    ninja -C build-fuzz -j "${SO_JOBS:-2}" fuzz
