/* The codec's kernels with the vectors of SVE, of whatever length: the same loops as the portable ones.
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(SO_DOUBLE) && defined(__ARM_FEATURE_SVE)
#define SO_FILL_CONV so_fill_conv_sve
#include "backend/cpu/conv_body.h"
#endif
