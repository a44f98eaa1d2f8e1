/* What the comparisons with reference numbers share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_GOLDEN_GOLDEN_H
#define SO_EVAL_GOLDEN_GOLDEN_H

#include <jansson.h>
#include <stdbool.h>

#include "backend/device.h"
#include "base/real.h"
#include "formats/safetensors.h"
#include "so_eval.h"

typedef struct so_golden {
    const char *folder;
    so_golden_options options;
    so_golden_fn each;
    void *context;
    so_golden_result *result;
    so_device *device;             /* one that is lent, for tests; NULL: as options say */
    json_t *root;                  /* golden.json */
    json_t *told;                  /* an object whose keys are what was compared; the walk empties it */
    so_safetensors *single, *fine; /* golden.safetensors; golden-f64.safetensors or NULL */
} so_golden;

/* How far numbers may be off: against the double run, and against the single one. */
typedef struct so_bars {
    double fine, single;
} so_bars;

/* Growing rows of numbers that a watcher collects. Start from a zeroed struct. */
typedef struct so_heap {
    so_real *data;
    int64_t rows, cols, capacity;
} so_heap;
so_status so_heap_add(so_heap *rows, int64_t n, int64_t cols, const so_real *from, so_error *error);
static inline const so_real *so_heap_at(const so_heap *rows, int64_t r) { return rows->data + r * rows->cols; }

bool so_golden_wants(const so_golden *g, const char *set);
/* The expected tensor "<set>/<what>" (or "<set>.<what>"), from the finer file if it is there; NULL when absent. *fine
 * says which. */
const so_view *so_golden_view(const so_golden *g, const char *set, const char *what, bool *fine);
/* Compares `n` numbers with the expected tensor; nothing happens when there is none. */
void so_golden_numbers(so_golden *g, const char *set, const char *what, const so_real *found, int64_t n, so_bars bars);
/* Compares with numbers that stand elsewhere. */
void so_golden_array(so_golden *g, const char *set, const char *what, const so_real *found, const float *expected,
                     int64_t n, double bar);
/* Compares ids with an I32 tensor or a list in golden.json. */
void so_golden_ids(so_golden *g, const char *set, const char *what, const int32_t *found, int64_t n);
void so_golden_list(so_golden *g, const char *set, const char *what, const json_t *expected, const int32_t *found,
                    int64_t n);
void so_golden_text(so_golden *g, const char *set, const char *what, const char *expected, const char *found);
/* A count or another single number. */
void so_golden_value(so_golden *g, const char *set, const char *what, double found, double expected, double bar);

/* Tells that the set, or `what` of it (NULL: all), was not compared, and why. */
void so_golden_skip(so_golden *g, const char *set, const char *what, const char *reason);
/* Tells that the program could not compute the set: a failed check. */
void so_golden_fail(so_golden *g, const char *set, const char *reason);

/* "folder/name" into `out` (4096 bytes). */
const char *so_golden_path(const so_golden *g, const char *name, char *out);

/* so_golden_run on a device, which is closed, too; NULL: as options say. */
so_status so_golden_run_on(const char *folder, so_device *device, const so_golden_options *options, so_golden_fn each,
                           void *context, so_golden_result *result, so_error *error);

so_status so_golden_omni(so_golden *g, so_error *error);
so_status so_golden_codec(so_golden *g, so_error *error);

#endif
