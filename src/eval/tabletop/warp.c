/* Dynamic time warping.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval/tabletop/warp.h"

#include <math.h>
#include <stdlib.h>

/* The cheapest way to a pair of frames: its cost and its length. */
typedef struct way {
    double cost;
    int64_t length;
} way;

static way cheapest(way x, way y, way z)
{
    way best = x;
    if (y.cost < best.cost) best = y;
    if (z.cost < best.cost) best = z;
    return best;
}

so_status so_warp(const float *a, int64_t n, const float *b, int64_t m, int bins, double *distance, so_error *error)
{
    if (n < 1 || m < 1 || bins < 1)
        return so_fail(error, SO_ERR_ARG, "warping needs frames, found %lld and %lld", (long long)n, (long long)m);
    way *rows = malloc((size_t)(m + 1) * 2 * sizeof *rows);
    if (!rows) return so_fail(error, SO_ERR_NOMEM, "no memory for two rows of %lld frames", (long long)m);
    for (int64_t j = 0; j <= m; j++) rows[j] = (way){j ? (double)INFINITY : 0, 0};
    for (int64_t i = 1; i <= n; i++) {
        way *above = rows + ((i - 1) & 1) * (m + 1), *row = rows + (i & 1) * (m + 1);
        row[0] = (way){INFINITY, 0};
        for (int64_t j = 1; j <= m; j++) {
            const float *x = a + (i - 1) * bins, *y = b + (j - 1) * bins;
            float sum = 0;
            for (int k = 0; k < bins; k++) sum += fabsf(x[k] - y[k]);
            row[j] = cheapest(above[j - 1], above[j], row[j - 1]);
            row[j].cost += (double)(sum / (float)bins);
            row[j].length++;
        }
    }
    way end = rows[(n & 1) * (m + 1) + m];
    *distance = end.cost / (double)end.length;
    free(rows);
    return SO_OK;
}
