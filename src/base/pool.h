/* A pool of threads for one loop at a time.
 *
 * so_pool_for runs tasks 0..n-1 on the pool's threads and the caller's, and returns when all are done. Which thread
 * runs a task is not fixed; a task must depend on its number only, so that results are the same for every thread count.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_POOL_H
#define SO_BASE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct so_pool so_pool;
typedef void (*so_pool_fn)(void *context, int64_t task, int thread);

/* `threads` in all, the caller's counted; 0 means one per core the process may use. Only one so_pool_for of a pool runs
 * at a time: calls from several threads take turns; a call from inside a task runs inline. */
so_status so_pool_open(so_pool **out, int threads, so_error *error);
void so_pool_close(so_pool **pool);
int so_pool_threads(const so_pool *pool); /* 1 for NULL */
/* Whether a loop, begun here, runs on the calling thread alone. */
bool so_pool_alone(const so_pool *pool);
/* Whoever a pool belongs to besides threads: a device, which finds itself by the pool that its kernels are given. NULL
 * unless it was set. */
void so_pool_lend(so_pool *pool, void *owner);
void *so_pool_owner(const so_pool *pool);
/* A NULL pool runs everything on the caller. */
void so_pool_for(so_pool *pool, int64_t tasks, so_pool_fn fn, void *context);

#endif
