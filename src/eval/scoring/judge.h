/* A judge: another model that scores answers, asked over HTTP as OpenAI's API is.
 *
 * What it said is kept in FOLDER/judge.jsonl, {"id", "key", "judge", "reply", "score" | "pair"}; the key is the SHA-256
 * of judge and prompt. A run that goes on asks only for what is not there. A reply that is not understood is asked for
 * twice more (temperature 0.3), then left out of the mean, and counted: it is never scored by itself.
 *
 * Source: data-eval.md C.3, D.8, D.9.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_SCORING_JUDGE_H
#define SO_EVAL_SCORING_JUDGE_H

#include <signal.h>

#include "eval/scoring/benchmark.h"

typedef struct so_judge_options {
    const char *endpoint; /* "https://api.openai.com/v1" */
    const char *model, *key;
    const char *prompt;  /* a file with {caption}, {question}, {answer}, {reference}; NULL: our own of the benchmark */
    const char *answers; /* as in so_items_open */
    int tries;           /* of a request that fails; 0: 7, with pauses of 1, 2, 4 ... 30 s */
    double pause;        /* the first of them, seconds; 0: 1 */
    const volatile sig_atomic_t *stop;
    void (*progress)(void *context, int64_t done, int64_t total); /* may be NULL */
    void *context;
} so_judge_options;

typedef struct so_judge_counts {
    int64_t judged, cached, unparsed, missing; /* missing: there is no answer */
} so_judge_counts;

so_status so_judge_run(const so_bench *bench, const char *folder, const so_judge_options *options,
                       so_judge_counts *counts, so_error *error);

#endif
