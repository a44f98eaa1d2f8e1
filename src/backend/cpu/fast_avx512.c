/* Kernels for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#include "backend/cpu/portable.h"

void so_fill_avx512(so_kernels *table) { (void)table; }
#endif
