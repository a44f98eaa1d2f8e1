/* The training log: one JSON object per line, written as training goes and read back for reports.
 *
 * Lines: {"step":100,"loss":2.5,"rate":1e-3,"norm":0.8,"tokens_per_s":5200,"elapsed":31.2,"skipped":0,"ctc":...};
 * {"step":100,"eval":true,"elapsed":33.0,"word_errors":0.4}; {"resumed":90}, after which earlier lines beyond step 90
 * no longer count.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_LOG_H
#define SO_TRAIN_LOG_H

#include <stdio.h>

#include "train/trainer.h"

/* Appends to `path`; a fresh run (step 0) empties it first, a resumed one notes its step. */
so_status so_log_open(FILE **log, const char *path, int64_t step, so_error *error);
/* Writes one line and flushes it. NULL log: does nothing. */
so_status so_log_write(FILE *log, const so_progress *progress, so_error *error);

/* One curve: values over steps, in rising order of steps. */
typedef struct so_curve {
    char name[48]; /* evaluations are called "eval.<name>" */
    int64_t count, capacity;
    double *step, *value;
} so_curve;
typedef struct so_history {
    so_curve *curve;
    int64_t count, capacity;
} so_history;

/* Reads a log back. Lines that are not whole (the last one after a crash) are passed over. */
so_status so_history_load(so_history *history, const char *path, so_error *error);
void so_history_close(so_history *history);
/* NULL when absent. */
const so_curve *so_history_find(const so_history *history, const char *name);

#endif
