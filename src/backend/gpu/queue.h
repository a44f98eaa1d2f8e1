/* The inside of a device that is driven by launches: what queue.c and steps.c share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_GPU_QUEUE_H
#define SO_BACKEND_GPU_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/gpu/launch.h"

enum {
    SO_QUEUE_SLOTS = 4 /* recordings at a time */,
    SO_QUEUE_PENDING = 96,
    SO_QUEUE_ALIGN = 256,
    SO_QUEUE_TURNS = 1024
};

/* Cosines and sines that lie in the shared piece since it was last empty. */
typedef struct so_queue_turns {
    uint64_t at; /* 0: none */
    int64_t rows, half;
    const double *freq;
    int32_t pos[SO_QUEUE_TURNS];
} so_queue_turns;

typedef struct so_steps so_steps;

struct so_device {
    so_gpu_opened opened;
    so_pool *pool;
    so_kernels exact, int8;
    pthread_mutex_t lock;
    so_gpu_range pending[SO_QUEUE_PENDING]; /* touched since the last barrier */
    int n_pending, since_submit;
    size_t shared_used;
    so_queue_turns turns;
    void *scratch;
    so_device_counts counts;
    so_error error;          /* the first; written once, before `failed` */
    atomic_bool failed;      /* so that asking for it waits for nobody */
    so_recording *recording; /* being made: NULL: none */
    unsigned slots;          /* for inputs of recordings: those in use, as bits */
    size_t kept;             /* bytes of inputs of what is being recorded */
    bool overflow;           /* they are more than a slot has room for */
    so_steps *steps;
};

/* The shared piece: inputs of launches, behind them those of a step, behind them those of recordings, a
 * slot each, however many come and go while another stays. */
static inline size_t so_queue_kept_room(const so_device *d)
{
    return SO_QUEUE_SLOTS * (d->opened.shared_bytes / 4 / SO_QUEUE_SLOTS / SO_QUEUE_ALIGN * SO_QUEUE_ALIGN);
}

static inline size_t so_queue_step_room(const so_device *d)
{
    return d->opened.shared_bytes / 8 / SO_QUEUE_ALIGN * SO_QUEUE_ALIGN;
}

static inline size_t so_queue_room(const so_device *d)
{
    return d->opened.shared_bytes - so_queue_kept_room(d) - so_queue_step_room(d);
}

/* A barrier, where something may have to be waited for. */
void so_queue_barrier(so_device *d);

/* ---- steps (steps.c); all with the lock held */

so_status so_steps_open(so_device *d, so_error *error);
void so_steps_close(so_device *d);
/* Whether calls are kept for the end of a step: then they are put here, not to the driver. */
bool so_steps_keep(const so_device *d);
void so_steps_launch(so_device *d, const so_gpu_launch *launch);
/* A launch or a copy of one piece of the device's memory to another was put. */
void so_steps_count(so_device *d, int64_t bytes);
void so_steps_copy(so_device *d, uint64_t to, uint64_t from, size_t bytes);
void so_steps_barrier(so_device *d);
/* Room for inputs of the step; NULL where there is none left, and the step is no longer kept. */
void *so_steps_share(so_device *d, size_t bytes, uint64_t *at);
/* What was kept is computed. */
void so_steps_issue(so_device *d);
/* All that was submitted is done: the inputs' room is empty. */
void so_steps_done(so_device *d);
/* Recordings may name memory that is given back. */
void so_steps_forget(so_device *d);

#endif
