/* Kernels for AVX-512: the fast texts at 16 lanes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#include "backend/cpu/x86/fast_bf16_layers.h"
#include "backend/cpu/x86/fast_fill.h"

void so_fill_avx512(so_kernels *table)
{
    table->name = "avx512";
    fill_fast(table);
    fill_bf16_layers(table);
}
#endif
