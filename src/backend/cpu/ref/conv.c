/* Kernels of the codec's networks, portable: patches of convolutions, group norm, snake, Fourier transforms.
 * SPDX-License-Identifier: Apache-2.0 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#define SO_FILL_CONV so_fill_conv_c
#include "backend/cpu/conv_body.h"
