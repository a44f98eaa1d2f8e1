/* Kernels for AVX-512: the fast texts at 16 lanes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#include "backend/cpu/portable.h"
#include "backend/cpu/simd.h"

#include "backend/cpu/fast_attention.inc"
#include "backend/cpu/fast_bf16.inc"
#include "backend/cpu/fast_element.inc"
#include "backend/cpu/fast_fill.inc"
#include "backend/cpu/fast_gemm.inc"
#include "backend/cpu/fast_half.inc"
#include "backend/cpu/fast_linear.inc"
#include "backend/cpu/fast_norm.inc"

void so_fill_avx512(so_kernels *table)
{
    table->name = "avx512";
    fill_fast(table);
    fill_half(table);
}
#endif
