/* Kernels that move numbers: copies, rows by their index, keys and values into stores, the likeliest column.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_KERNELS_MOVE_H
#define SO_BACKEND_KERNELS_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/real.h"
#include "base/type.h"

/* y = x */
typedef void so_copy_fn(so_pool *pool, int64_t n, const so_real *x, so_real *y);
/* y = a b */
typedef void so_pair_fn(so_pool *pool, int64_t n, const so_real *a, const so_real *b, so_real *y);
/* y = factor x */
typedef void so_scale_fn(so_pool *pool, int64_t n, so_real factor, const so_real *x, so_real *y);
/* y[r,:] = x[r,:] + row */
typedef void so_add_row_fn(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, const so_real *row, so_real *y);

/* y[i,:] = row index[i] of w[*, cols], as numbers; -1: zeros; -2: y[i,:] stays as it is. */
typedef struct so_gather {
    so_type type;
    const void *w;
    int64_t cols, n;
    const int32_t *index; /* [n], of the host */
    so_real *y;
    const int32_t *there; /* NULL, or the index where numbers lie: of devices; all rows of w [rows, cols] may be read */
    int64_t rows;
} so_gather;
typedef void so_gather_fn(so_pool *pool, const so_gather *gather);

/* n numbers of keys and as many of values, written where they are kept, as so_quantise_row writes them. False where one
 * cannot be kept as `type`; devices do not look and keep what comes of it. */
typedef struct so_kept {
    so_type type; /* SO_F32 (so_real), SO_F16, SO_BF16, SO_Q8_0 (n a multiple of 32) */
    int64_t n;
    const so_real *k, *v;
    void *to_k, *to_v;
} so_kept;
typedef bool so_keep_fn(so_pool *pool, const so_kept *keep);

/* best[r]: the column of the largest of x[r,:], the lowest among equals. */
typedef void so_best_fn(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, int32_t *best);

/* ids[r]: first + the column of the largest of x[r,:], or the id of the largest of end[.., r] that is larger, the
 * lowest id among equals; of devices. */
enum { SO_ENDS = 8 };
typedef struct so_best_unit {
    int64_t rows, cols;
    const so_real *x, *end; /* end [ends, rows] */
    int64_t ends;           /* at most SO_ENDS */
    int32_t first, end_id[SO_ENDS];
    int32_t *ids;
} so_best_unit;
typedef void so_best_unit_fn(so_pool *pool, const so_best_unit *best);

/* y[m,n] = x[m,k] w[k,n]: rows of a stored w weighted and summed, in slices of SO_MIX_SLICE rows. */
enum { SO_MIX_SLICE = 512 };
typedef struct so_mix {
    so_type type;
    const void *w;
    int64_t k, n, m;
    const so_real *x;
    so_real *part, *y; /* part: [ceil(k / SO_MIX_SLICE), m, n] numbers of working memory */
} so_mix;
typedef void so_mix_fn(so_pool *pool, const so_mix *mix);

#endif
