/* Norms. Sums in double.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_KERNELS_NORM_H
#define SO_BACKEND_KERNELS_NORM_H

#include <stdint.h>

#include "base/pool.h"
#include "base/real.h"

/* One call of any norm, forward (y) or back (dy, and dx, dw, db, each added to and NULL where not wanted).
 *
 *   rms_norm     y[r,:] = x[r,:] / sqrt(mean x^2 + eps) * w
 *   layer_norm   y[r,:] = (x - mean) / sqrt(var + eps) * w + b, biased variance
 *   group_norm   x [batch, rows, cols]; for every item of the batch and every group of cols/groups channels y = (x -
 *                mean) / sqrt(var + eps) * w[c] + b[c], mean and biased variance over rows and the group's channels
 *   l2_norm      y[r,:] = x[r,:] / max(sqrt(sum x^2), eps), no way back */
typedef struct so_norm {
    int64_t batch, groups; /* of group_norm only */
    int64_t rows, cols;
    so_real eps;
    const so_real *x, *w, *b; /* b: NULL in rms_norm and on the way back */
    so_real *y;
    const so_real *dy;
    so_real *dx, *dw, *db;
} so_norm;
typedef void so_norm_fn(so_pool *pool, const so_norm *norm);

#endif
