/* Distance of two pieces of speech that differ in pace: dynamic time warping over feature frames.
 * Source: the tabletop spec, "log-mel distance (dynamic time warping)".
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_TABLETOP_WARP_H
#define SO_EVAL_TABLETOP_WARP_H

#include <stdint.h>

#include "base/error.h"

/* Along the cheapest path from the first frames of a [n, bins] and b [m, bins] to their last, by steps in a, in b, or
 * in both, the mean over the path of the mean absolute difference of two frames: 0 for equal speech, however stretched.
 * Time grows as n * m * bins. SO_ERR_ARG without frames. */
so_status so_warp(const float *a, int64_t n, const float *b, int64_t m, int bins, double *distance, so_error *error);

#endif
