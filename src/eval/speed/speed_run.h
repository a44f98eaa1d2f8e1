/* What the measurements of networks share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_SPEED_SPEED_RUN_H
#define SO_EVAL_SPEED_SPEED_RUN_H

#include "eval/speed/speed.h"
#include "nn/ops.h"

/* One repetition; errors are the pass's. Its memory is released afterwards. */
typedef void (*so_bench_fn)(so_pass *pass, void *work);

/* Runs `fn` once to count and warm up, then bench->repeats times, and reports `row` with its figures filled in. */
so_status so_bench_measure(so_bench *bench, so_bench_row row, so_pass *pass, so_bench_fn fn, void *work,
                           so_error *error);
const so_kernels *so_bench_kernels(const so_bench *bench);
double so_bench_now(const so_bench *bench);

#endif
