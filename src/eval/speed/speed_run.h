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
/* Room of the device for a pass's numbers, and the pass there; nothing where the bench has no device. so_device_release
 * gives *block back. */
so_status so_bench_use_device(const so_bench *bench, so_pass *pass, so_arena *numbers, void **block, so_error *error);
/* Until all that was asked of the pass's device is computed. */
void so_bench_wait(so_pass *pass);
const so_kernels *so_bench_kernels(const so_bench *bench);
double so_bench_now(const so_bench *bench);

#endif
