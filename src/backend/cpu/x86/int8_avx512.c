/* Products of stored blocks with rows rounded to int8 for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#define SO_FILL_INT8 so_fill_int8_avx512
#include "backend/cpu/x86/fast_int8.h"
#endif
