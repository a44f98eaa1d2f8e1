/* Checkpoints written beside training: a copy of where the run stands is taken at once, a thread writes it.
 *
 * Of one process the copy is the whole checkpoint. Of ranks each writes what it updates, checkpoint-STEP-R-of-N.so
 * beside checkpoint.so; when all have, the first writes checkpoint.so, which names them, and what was there before
 * goes. Whatever is killed at whatever moment, checkpoint.so is whole and what it names is there. Any number of ranks
 * goes on from it (so_trainer_load).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_SNAPSHOT_H
#define SO_TRAIN_SNAPSHOT_H

#include "train/checkpoint.h"
#include "train/trainer.h"

/* ---- where a run stands, in blocks (standing.c) */
typedef struct so_standing {
    int64_t step, skipped, updates[SO_MAX_PLAYERS];
    uint64_t seed;
    int64_t accumulate, players;
    double elapsed;
} so_standing;
so_standing so_standing_of(const so_trainer *trainer);

/* The part of a rank: its first block. */
typedef struct so_part_head {
    int64_t step, rank, ranks, pieces;
    uint64_t seed;
} so_part_head;
enum { SO_PART_KINDS = 4 };
extern const char *const so_part_kind[SO_PART_KINDS];
/* Numbers of a piece: of the weight, its moments, its average. NULL where they are not held, or none is kept. */
so_real *so_part_array(const so_optim *optim, int64_t piece, int kind);
/* How many kinds an optimiser has: averages come last. */
int so_part_kinds(const so_optim *optim);
/* "DIR/checkpoint-STEP-R-of-N.so" for "DIR/checkpoint.so"; allocated. */
so_status so_part_path(const char *checkpoint, int64_t step, int64_t rank, int64_t ranks, char **path, so_error *error);

/* ---- writing beside */
typedef struct so_snapshot so_snapshot;
/* `path` is copied, the trainer lent. */
so_status so_snapshot_open(so_snapshot **keeper, const so_trainer *trainer, const char *path, so_error *error);
/* Waits for what is being written. */
void so_snapshot_close(so_snapshot **keeper);
/* Begins to write where the run stands; nothing else may be under way. */
so_status so_snapshot_begin(so_snapshot *keeper, so_error *error);

typedef enum so_snapshot_stage {
    SO_SNAPSHOT_NOTHING, /* is under way */
    SO_SNAPSHOT_WRITING,
    SO_SNAPSHOT_WRITTEN, /* what this rank had to write */
    SO_SNAPSHOT_FAILED
} so_snapshot_stage;
so_snapshot_stage so_snapshot_state(so_snapshot *keeper);
/* Waits until this rank's part is written: what became of it. */
so_status so_snapshot_wait(so_snapshot *keeper, so_error *error);
/* After all ranks have written: the checkpoint is this one. */
so_status so_snapshot_commit(so_snapshot *keeper, so_error *error);
/* Removes parts beside the checkpoint that are of steps below `below`, but not of step `keep`. */
void so_snapshot_sweep(const char *path, int64_t keep, int64_t below);

#endif
