/* The codec's kernels with the instructions of AVX2: the same loops as the portable ones.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#define SO_FILL_CONV so_fill_conv_avx2
#include "backend/cpu/conv_body.h"
#endif
