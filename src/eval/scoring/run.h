/* Asking a model all questions of a benchmark.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_SCORING_RUN_H
#define SO_EVAL_SCORING_RUN_H

#include <signal.h>

#include "eval/scoring/benchmark.h"
#include "so.h"

typedef struct so_ask_options {
    const char *model;                /* as so_model_open takes it */
    const so_model_options *opened;   /* may be NULL */
    const char *image_mode, *weights; /* told in run.json; NULL: "as the model has it" */
    int sessions;                     /* of the crew; 0: 8 */
    int rank, ranks; /* this process is number `rank` of so many that share the folder; 0 and 0: alone */
    int64_t items;   /* at most so many; 0: all */
    bool in_words;   /* spoken benchmarks: ask in words */
    const volatile sig_atomic_t *stop;
    void (*progress)(void *context, int64_t done, int64_t total); /* may be NULL */
    void *context;
} so_ask_options;

typedef struct so_ask_counts {
    int64_t asked, there, failed; /* there: had an answer before */
    char first[512];              /* what went wrong first */
} so_ask_counts;

/* Asks what has no answer yet in any answers*.jsonl of the folder, greedy, `sessions` at a time, and appends to
 * answers-RANK-of-RANKS.jsonl; any number of ranks may go on with what any other number began. Answers do not depend on
 * company. What cannot be read (a picture, a recording) stays without an answer, and is counted. */
so_status so_bench_ask(const so_bench *bench, const char *folder, const so_ask_options *options, so_ask_counts *counts,
                       so_error *error);

#endif
