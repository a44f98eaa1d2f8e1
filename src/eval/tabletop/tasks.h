/* What a worker is given to do: one question, one conversation, or something from outside of the world.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_TABLETOP_TASKS_H
#define SO_EVAL_TABLETOP_TASKS_H

#include <pthread.h>

#include "eval/tabletop/asker.h"
#include "eval/tabletop/scores.h"

enum { SO_TABLETOP_LONG_TURNS = 60, SO_TABLETOP_OUTSIDE_ITEMS = 300 };

typedef struct so_tabletop_task {
    const so_condition *condition;
    const so_tabletop_mode *mode;
    const so_tabletop_item *item; /* NULL: made from `index` */
    int64_t index;
} so_tabletop_task;

/* What all workers share. */
typedef struct so_tabletop_work {
    const so_tabletop_eval_options *options;
    so_tabletop_corpus corpus;
    so_tabletop_task *task;
    int64_t tasks, next, done;
    so_tabletop_score *score;
    so_condition_table *table;
    so_mel *mel;
    pthread_mutex_t lock; /* of next, done, score, table, failure, and the callbacks */
    so_status failure;
    so_error error;
} so_tabletop_work;

/* Whether an item can be asked in a mode. */
bool so_tabletop_fits(const so_tabletop_mode *mode, const so_tabletop_item *item);
/* Does one task and keeps what came of it. */
so_status so_tabletop_do(so_tabletop_work *work, so_asker *asker, const so_tabletop_task *task, so_error *error);

#endif
