/* Stages: for each, one table row says what is trained, on which tasks, with which losses.
 *
 * Source: paper table 1 and section 3.2 (1, 2, 3); the other stages bring a model from nothing to where the paper
 * starts.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_STAGES_H
#define SO_TRAIN_STAGES_H

#include "train/trainer.h"

enum { SO_STAGE_GROUPS = 6, SO_STAGE_TASKS = 6, SO_STAGE_LOSSES = 8 };

typedef struct so_stage {
    const char *name, *about;
    const char *network;                   /* "omni", "tokenizer", "flow", "vocoder" */
    so_group_rule learns[SO_STAGE_GROUPS]; /* groups that learn, with factors on rate and decay; a NULL name ends it */
    struct {
        const char *name;
        double share;
    } task[SO_STAGE_TASKS]; /* tasks and how often each is drawn; a NULL name ends it */
    struct {
        const char *name;
        double weight;
    } loss[SO_STAGE_LOSSES];    /* losses and their weights; a NULL name ends it */
    double rate, floor, warmup; /* peak rate, floor (fraction of it), warm-up (fraction of the steps) */
    so_rate_shape shape;
    so_adamw adamw;
} so_stage;

/* NULL when there is none of that name. */
const so_stage *so_stage_find(const char *name);
/* Stage i, NULL after the last. */
const so_stage *so_stage_at(int i);
/* Weight of a loss, 0 when the stage does not have it. */
double so_stage_weight(const so_stage *stage, const char *loss);
/* A task's name, drawn by share. */
const char *so_stage_draw(const so_stage *stage, so_rng *rng);
/* Makes exactly the stage's groups of `store` learn, readies `optim` with them. SO_ERR_MISSING when the store has no
 * weights of any of the groups. */
so_status so_stage_ready(const so_stage *stage, so_store *store, so_optim *optim, so_error *error);
/* Fills schedule of the plan from the stage (plan->steps first). */
void so_stage_plan(const so_stage *stage, so_train_plan *plan);

#endif
