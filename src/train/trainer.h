/* The training loop: accumulation, the way back, clipping, AdamW, guards, checkpoints, progress, a log.
 *
 * The loop knows no network. Its owner supplies a micro-batch function that, from (seed, step, micro, player) alone,
 * gathers data and records a loss in the pass it is given; everything random comes from micro->rng. A run that is
 * stopped and resumed is then bit for bit the run that was not.
 *
 * Many processes train together as ranks: each computes its part of an update's micro-batches and updates its part of
 * the weights, and any number of them (a power of two that divides plan.accumulate) ends with the same bits. Rank 0
 * writes log and checkpoints and tells of progress; a checkpoint goes on under another number of ranks.
 *
 * One step of a run with two players (adversarial training): player 0 updates, then player 1; only the weights of the
 * player whose turn it is want gradients.
 *
 * Where averages of the weights are kept (so_adamw.average), evaluations see them; a model is exported between two
 * calls of so_optim_swap.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_TRAINER_H
#define SO_TRAIN_TRAINER_H

#include <signal.h>
#include <stdbool.h>

#include "nn/pass.h"
#include "train/optim.h"
#include "train/ranks.h"

enum { SO_MAX_NOTES = 32, SO_MAX_PLAYERS = 2 };

/* Named numbers, averaged with weights: losses, accuracies, counts. */
typedef struct so_note {
    char name[32];
    double sum, weight;
} so_note;
typedef struct so_notes {
    int count;
    so_note note[SO_MAX_NOTES];
} so_notes;
/* Adds `value` with `weight` (how many tokens or sequences it is the mean of). Too many names: the value is dropped. */
void so_notes_add(so_notes *notes, const char *name, double value, double weight);
/* The mean of one note, NAN when its weights are 0. */
double so_note_mean(const so_note *note);
/* The mean of `name`, NAN when absent. */
double so_notes_mean(const so_notes *notes, const char *name);

typedef struct so_micro {
    int64_t step;
    int index, player; /* which of the step's micro-batches; whose turn */
    int portion;       /* which part of a micro-batch that does not fit into memory at once, from 0 */
    bool more;         /* set by the function: it wants to be called for another portion */
    uint64_t seed;
    so_rng rng;      /* a stream of its own for (seed, step, index, player) */
    so_notes *notes; /* the function adds its losses by name */
    double weight;   /* of this micro-batch (or portion) in the step's loss; 1 unless the function says otherwise */
    int64_t tokens;  /* set by the function: work done, for tokens per second */
} so_micro;

/* Records the loss of one micro-batch and returns it; NULL without an error: nothing to learn here. Failures are set in
 * the pass (so_pass_fail). */
typedef so_tensor *(*so_micro_fn)(void *context, so_pass *pass, so_micro *micro);

typedef struct so_progress {
    int64_t step, steps;     /* steps done, planned */
    int64_t skipped;         /* steps without an update: something was not finite */
    double loss, rate, norm; /* means over the steps since the last report; the rate of the last step */
    double elapsed, left;    /* seconds of training so far (over all runs), and still to come */
    double tokens_per_second;
    /* Of a report of ranks, else NAN: seconds an update in which the first rank's numbers moved between ranks; the part
     * of these that lay behind computing (0 to 1); seconds an update that it waited for ranks that still computed. */
    double exchange, hidden, waited;
    const so_notes *notes;      /* means since the last report */
    const so_notes *evaluation; /* NULL unless this reports an evaluation */
} so_progress;

/* Bytes that belong to the run besides weights and moments (a codebook's averages, a sampler's state): saved with every
 * checkpoint and written back in place when a run resumes. They may change in the update's last micro-batch and in
 * `updated`; whoever has computed that micro-batch then shows them to all ranks. */
typedef struct so_extra {
    const char *name;
    void *data;
    size_t bytes;
} so_extra;

typedef struct so_train_plan {
    int64_t steps;       /* planned steps */
    double seconds;      /* stop after so many seconds of training; 0: no limit */
    bool anneal_by_time; /* the rate falls with the larger of step / steps and elapsed / seconds; gives up resuming bit
                            for bit */
    int accumulate;      /* micro-batches per update, over all ranks (its slots: train/share.h); 0 means 1 */
    so_ranks *ranks;     /* who trains along: all call so_trainer_run with the same plan on one folder; NULL: nobody */
    double patience;     /* seconds that ranks wait for one of them, which is then named, and all end; 0: for ever */
    uint64_t seed;
    so_schedule schedule;
    int64_t report_every, evaluate_every,
        save_every;       /* steps; 0: only at the end (evaluate, save), every 10 (report) */
    int keep;             /* checkpoints that stay: the last one, and before it checkpoint-STEP.so; 0 means 1 */
    bool save_now;        /* training waits for every checkpoint; else they are written beside it, from a copy */
    double save_seconds;  /* save also when so many seconds of training have passed since the last time; 0: not */
    int bad_in_a_row;     /* this many steps without a finite gradient end the run; 0 means 8 */
    const char *settings; /* lines "name value" of what else the run depends on, kept in the checkpoint: a run that
                           * resumes under others is refused with SO_ERR_STATE, which names them; NULL: none */
    const char *folder;   /* checkpoint.so and log.jsonl live here; NULL: neither is written */
    bool tensorboard;     /* events beside the log, as TensorBoard reads them (train/events.h) */
    size_t arena_bytes;   /* address space for activations; 0 means 64 GiB */
} so_train_plan;

typedef struct so_train_hooks {
    void *context;
    so_micro_fn micro;
    /* After so many steps, and at the end: measure; `pass` does not record and the averages are in place of the weights
     * where there are any. May be NULL. */
    so_status (*evaluate)(void *context, so_pass *pass, int64_t step, so_notes *notes, so_error *error);
    /* After every update, before the report: what must follow the weights (an averaged codebook). May be NULL. */
    so_status (*updated)(void *context, int64_t step, so_error *error);
    void (*progress)(void *context, const so_progress *progress); /* may be NULL */
    const volatile sig_atomic_t *stop; /* non-zero: save and return SO_ERR_STOPPED; may be NULL */
} so_train_hooks;

typedef struct so_trainer {
    so_train_plan plan;
    so_train_hooks hooks;
    so_optim *player[SO_MAX_PLAYERS];
    int players;
    const so_extra *extra;
    int extras;
    int64_t step, skipped;
    double elapsed;
} so_trainer;

/* Trains to the end of the plan, from the checkpoint in plan->folder if there is one (a checkpoint whose weights are
 * not the learning weights of the players is SO_ERR_FORMAT, one begun with other settings SO_ERR_STATE). `pool` may be
 * NULL; `trainer` needs only plan, hooks, player, players, extra, extras filled in. SO_ERR_STOPPED after a stop
 * (saved); SO_ERR_NUMBER when too many steps in a row gave nothing finite; whatever micro, evaluate or the disk gave.
 */
so_status so_trainer_run(so_trainer *trainer, so_pool *pool, const so_kernels *kernels, so_error *error);

/* The two halves of a checkpoint, for tools: where the run stands goes to and comes from `path`. */
so_status so_trainer_save(const so_trainer *trainer, const char *path, so_error *error);
so_status so_trainer_load(so_trainer *trainer, const char *path, so_error *error);

#endif
