/* The likeliest row of a large head without all exact products.
 *
 * Products with x rounded to int8 are cheap and off by at most |w_j| |x - rounded x| (Cauchy and Schwarz) and a little
 * rounding of sums. Only rows that this bound leaves possible are multiplied exactly, so that the answer is that of all
 * exact products. With 128K rows of random weights some hundred of them remain, with trained ones a handful.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_SCREEN_H
#define SO_NN_SCREEN_H

#include "nn/pass.h"

/* reach[j] >= the Euclidean norm of row j of a matrix [V, D] of a block type, read from the blocks' scales alone. */
void so_row_reach(so_pool *pool, const so_tensor *w, float *reach);

/* The j whose product of row j with x[1, D] is the largest as `linear` of the pass's table computes it; the lowest
 * among equals. `reach` of the rows as above; with NULL all products are exact. Adds the number of exact products to
 * *exact when that is not NULL. 0 in a dry pass or after an error. */
int32_t so_best_row(so_pass *pass, const so_tensor *x, const so_tensor *w, const float *reach, int64_t *exact);
/* The same for every row of x[m, D]: best[i]. The screening reads w once for all. */
void so_best_rows(so_pass *pass, const so_tensor *x, const so_tensor *w, const float *reach, int32_t *best,
                  int64_t *exact);

/* On a device: their ids, [rows of x], stay there, at `ids`. */
void so_best_rows_there(so_pass *pass, const so_tensor *x, const so_tensor *w, int32_t *ids);

#endif
