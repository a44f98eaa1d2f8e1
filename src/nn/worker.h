/* Who computes: a pass and the arena that all of its activations come from. Scratch memory belongs to workers, not to
 * sessions: what a pass leaves in it is void when the next begins.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_WORKER_H
#define SO_NN_WORKER_H

#include "nn/pass.h"

typedef struct so_worker {
    so_arena scratch;
    so_arena numbers; /* of a device: addresses of `block` */
    void *block;
    so_pass pass;
    so_arena beside_scratch; /* of the pass beside it */
    so_pass beside;
} so_worker;

/* Bytes of scratch: of the host; of the device, 0 where that is the host; of the host's pass beside a device's. */
typedef struct so_need {
    size_t host, device, beside;
} so_need;

/* Where something is computed. */
typedef struct so_site {
    so_device *device; /* NULL: the host. Lent */
    const so_kernels *kernels;
    const so_kernels *beside; /* of a device: what layers that stay on the host are computed with; NULL: none stay */
    so_pool *pool;            /* of the host; may be NULL: everything runs on the calling thread */
} so_site;

/* `bytes` of scratch; `pool` may be NULL: everything runs on the calling thread. */
so_status so_worker_open(so_worker *worker, size_t bytes, so_pool *pool, const so_kernels *kernels, so_error *error);
/* A worker for dry passes, whose scratch.peak tells what a real one needs. */
so_status so_worker_open_dry(so_worker *worker, const so_kernels *kernels, so_error *error);
/* The life of scratch memory: measured by one dry run of all that will ever be done in it, opened, worked in, closed.
 */
typedef so_status (*so_rehearsal_fn)(so_worker *worker, void *context, so_error *error);
/* Bytes of scratch that `rehearse` takes, run once on a dry worker. */
so_status so_worker_measure(const so_kernels *kernels, so_rehearsal_fn rehearse, void *context, size_t *bytes,
                            so_error *error);
/* The same for any place, which is lent until the worker is cleared. SO_ERR_NOMEM says how much the device has. */
so_status so_worker_open_on(so_worker *worker, const so_site *place, so_need need, so_error *error);
so_status so_worker_measure_on(const so_site *place, so_rehearsal_fn rehearse, void *context, so_need *need,
                               so_error *error);
/* A worker that was copied to where it is now: mends the addresses in it. */
void so_worker_moved(so_worker *worker);
/* The larger of each. */
so_need so_need_both(so_need a, so_need b);
/* Accepts a zeroed worker. */
void so_worker_clear(so_worker *worker);
/* Readies the pass for new work. */
so_pass *so_worker_begin(so_worker *worker);
/* The same for a step of many alike, which a device records and replays (so_device_step_begin): work until end. */
so_pass *so_worker_begin_step(so_worker *worker);
/* What became of it. */
so_status so_worker_end(const so_worker *worker, so_error *error);

#endif
