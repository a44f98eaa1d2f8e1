/* Kernels for AVX2 with FMA.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#include "backend/cpu/portable.h"

void so_fill_avx2(so_kernels *table) { (void)table; }
#endif
