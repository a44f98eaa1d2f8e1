#!/bin/sh
# The kernels' texts as CUDA: every text with every kind compiles without a warning, and no register is spilled, for the architectures that SO_CUDA_ARCHS in the
# environment names (75 when not given). Then the module of all of them, as ./run build makes it. Writes TAP.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
PATH=$PATH:/usr/local/cuda/bin
texts=src/backend/gpu/texts
archs=${SO_CUDA_ARCHS:-75}
set -- "$texts"/*.k
count=1
for arch in $archs; do count=$((count + $#)); done
echo "1..$count"
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
n=0

for text; do
    name=$(basename "$text" .k)
    sh tools/gpu/cuda_text.sh "$name" >"$place/$name.cu"
    for arch in $archs; do
        n=$((n + 1))
        if ! command -v nvcc >/dev/null 2>&1; then
            echo "# SKIP: nvcc is absent" >&2
            echo "not ok $n # SKIP $name for sm_$arch"
            continue
        fi
        if nvcc -std=c++17 -O3 -arch="sm_$arch" -Isrc -Werror all-warnings -Xptxas -v -cubin -o "$place/cubin" "$place/$name.cu" >"$place/said" 2>&1 &&
            [ "$(grep -c 'Compiling entry function' "$place/said")" -eq "$(grep -c '^namespace' "$place/$name.cu")" ] &&
            ! grep -E '[1-9][0-9]* bytes spill' "$place/said" >&2; then
            echo "ok $n - $name for sm_$arch"
        else
            grep -E 'error|warning' "$place/said" | head -5 >&2
            echo "not ok $n - $name for sm_$arch"
        fi
    done
done

# The module of all of them, for the architecture that is oldest, as ./run build makes it; the program takes it for its own.
n=$((n + 1))
if ! command -v nvcc >/dev/null 2>&1; then
    echo "# SKIP: nvcc is absent" >&2
    echo "not ok $n # SKIP the module with kernels for CUDA"
    exit 0
fi
if cmake -S . -B "$place/b" -G Ninja -DSO_CUDA=ON "-DSO_CUDA_ARCHS=75" >"$place/said" 2>&1 && ninja -C "$place/b" stream-omni cuda >"$place/said" 2>&1 &&
    [ "$(nm "$place/b/stream-omni-cuda.so" | grep -c ' r so_cuda_[a-z]')" -ge $# ] && ! grep -i warning: "$place/said" >&2 &&
    ninja -C "$place/b" cuda_standin >"$place/said" 2>&1 &&
    LD_LIBRARY_PATH="$place/b/tests/cuda" "$place/b/stream-omni" inspect --devices >"$place/said" 2>&1 &&
    grep -q '^cuda:0' "$place/said" && ! grep -q 'kernels-for-CUDA' "$place/said"; then
    echo "ok $n - the module with kernels for CUDA"
else
    tail -5 "$place/said" >&2
    echo "not ok $n - the module with kernels for CUDA"
fi
