/* Measuring a model against reference numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_H
#define SO_EVAL_H

#include <stdint.h>

#include "so_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One compared sequence or tensor. Strings live during the call. */
typedef struct so_golden_check {
    const char *set;    /* the case, or "vision", "merge", "tlayer", ... */
    const char *what;   /* the tensor's or sequence's name */
    int exact;          /* 1: ids or text; deviation is the number of places that differ */
    double deviation;   /* largest absolute difference */
    double bar;         /* what it may be; 0 where exact */
    double relative_l2; /* ||found - expected|| / ||expected||; 0 where exact */
    int64_t compared, not_finite; /* elements */
    int passed;
} so_golden_check;

typedef struct so_golden_options {
    int threads;           /* 0: all cores */
    int keep_types;        /* as in so_model_options */
    const char *inputs;    /* folder of the pictures and sounds; NULL: as golden.json says */
    const char *tokenizer; /* NULL: as golden.json says */
    const char *only;      /* a part of the set's name; NULL: every set */
} so_golden_options;

typedef struct so_golden_result {
    int64_t checks, failed, sets, skipped; /* skipped: sets whose inputs are absent */
} so_golden_result;

typedef void (*so_golden_fn)(void *context, const so_golden_check *check);

/* Runs everything that a folder of reference numbers holds: one laid out like stream-omni-tiny (a checkpoint in model/,
 * golden.json, golden.safetensors, optionally golden-f64.safetensors, whose tighter bars are then used) or like
 * cosyvoice-tiny; told apart by their contents. `each` (may be NULL) hears of every comparison. A status other than SO_OK
 * means that the comparison itself could not be made; deviations are counted in result->failed. `options` may be NULL. */
so_status so_golden_run(const char *folder, const so_golden_options *options, so_golden_fn each, void *context,
                        so_golden_result *result, so_error *error);

#ifdef __cplusplus
}
#endif
#endif
