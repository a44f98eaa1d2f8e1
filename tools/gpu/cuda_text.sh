#!/bin/sh
# A kernel's text (src/backend/gpu/texts) as CUDA, once for every KIND that it is launched with: a function NAME_KIND each.
#
#   sh tools/gpu/cuda_text.sh conv >conv.cu
#
# SPDX-License-Identifier: Apache-2.0
set -eu
name=$1
case $name in
element) kinds="0 1 2 3 4 5 6 7 8 9 10 11 12 13 32 33 34 35 36 37 38 39 40 41 42 43" ;;
gated_int8 | matvec_int8) kinds="7 8 9 10 11 12" ;;
matmul_half) kinds="1 2" ;;
gated | matvec) kinds="0 1 2 7 8 9 10 11 12 16 17 18 23 24 25 26 27 28" ;;
conv | matmul | mix | rows) kinds="0 1 2 7 8 9 10 11 12" ;;
attention | rotate | store) kinds="0 1 2 7" ;;
norm) kinds="0 1 2 3" ;;
fourier) kinds="0 1" ;;
*) kinds=0 ;;
esac
printf '#include <cuda_fp16.h>\n#include <stdint.h>\n'
[ "$name" != matmul_half ] || printf '#include <cuda_bf16.h>\n#include <mma.h>\n'
for kind in $kinds; do
    printf '#undef KIND\n#define KIND %s\nnamespace kind_%s {\n#include "backend/gpu/texts/%s.k"\n}\n' "$kind" "$kind" "$name"
done
