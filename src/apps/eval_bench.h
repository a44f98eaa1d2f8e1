/* The verbs behind "eval" that score answers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_EVAL_BENCH_H
#define SO_APPS_EVAL_BENCH_H

#include "apps/verbs.h"

extern const so_verb so_eval_prepare, so_eval_run, so_eval_score, so_eval_judge, so_eval_page, so_eval_wer,
    so_eval_normalise;

#endif
