/* Kernels for AVX2 with FMA: the fast texts at 8 lanes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#include "backend/cpu/x86/fast_fill.h"

void so_fill_avx2(so_kernels *table)
{
    table->name = "avx2";
    fill_fast(table);
}
#endif
