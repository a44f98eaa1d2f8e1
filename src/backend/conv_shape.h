/* The geometry of a convolution, for the kernel table.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CONV_SHAPE_H
#define SO_BACKEND_CONV_SHAPE_H

#include <stdint.h>

/* Channels last: [batch, in[0], in[1], channels]. Along time only, axis 0 has one element and a kernel of one. `pad` is
 * what lies before the first element; what lies behind the last follows from `out`. */
typedef struct so_conv {
    int64_t batch, channels;
    int64_t in[2], kernel[2], stride[2], dilation[2], pad[2], out[2];
} so_conv;

/* Numbers of working memory of the Fourier kernels. */
#define SO_RFFT_WORK(rows, n) (((rows) + 15) / 16 * 32 * (n) + (n) + 2)

#endif
