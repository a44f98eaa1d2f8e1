/* The tabletop recipe's stages: one table row for each part that trains.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_TABLETOP_PART_STAGES_H
#define SO_RECIPES_TABLETOP_PART_STAGES_H

#include "recipes/tabletop/recipe.h"
#include "train/stages.h"

/* A stage (train/stages.h: groups, tasks, losses, rate, AdamW) and how long it lasts. Tasks are what the part's batches
 * hold; what the part is about stands in the list of parts (public.c). */
typedef struct so_tt_stage {
    so_stage stage;
    int64_t steps, report_every, evaluate_every;
} so_tt_stage;

/* The row of a part; NULL when it does not train. */
const so_tt_stage *so_tt_stage_find(const char *part);
/* Row i, NULL after the last. */
const so_tt_stage *so_tt_stage_at(int i);
/* How many samples of a task a batch of the part holds on average; 0 for a task that its row does not have. */
double so_tt_share(const char *part, const char *task);
/* Weight of a loss of the part's row, 0 when the row does not have it. */
so_real so_tt_weight(const char *part, const char *loss);

/* What a part trains: its store, and what is kept of it as <folder>/<part>.safetensors afterwards. */
typedef struct so_tt_job {
    const char *part;
    so_store *store;
    so_store *against;    /* the contest's other player, not kept; NULL: none */
    so_train_hooks hooks; /* context, micro, evaluate, updated; stop and progress are filled in */
    so_extra *extra;      /* further state for the checkpoint */
    int extras;
    const char *const *keep; /* groups, NULL at the end; NULL: all */
} so_tt_job;

/* Runs the part's stage on the job's store, from its checkpoint where there is one, and keeps the result. */
so_status so_tt_learn(const so_tt *tt, so_tt_job *job, so_error *error);

#endif
