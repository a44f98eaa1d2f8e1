/* A pool of threads for one loop at a time.
 *
 * Workers spin for a short while after a loop (the next op usually follows within microseconds) and then sleep on a
 * condition variable.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SPINS = 4000, MAX_THREADS = 256 };

struct so_pool {
    int threads;
    pthread_t *workers;
    pthread_mutex_t turn, lock;
    pthread_cond_t wake;
    atomic_uint_fast64_t generation; /* raised once per loop */
    atomic_int active;               /* workers still inside the current loop */
    atomic_bool quit;
    int sleeping;                    /* under lock */
    so_pool_fn fn;
    void *context;
    int64_t tasks;
    atomic_int_fast64_t next;
};

typedef struct worker_arg {
    so_pool *pool;
    int index;
} worker_arg;

static _Thread_local so_pool *inside;

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void run_tasks(so_pool *pool, int thread)
{
    inside = pool;
    for (;;) {
        int64_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (task >= pool->tasks) break;
        pool->fn(pool->context, task, thread);
    }
    inside = NULL;
}

static uint64_t wait_for_loop(so_pool *pool, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        uint64_t now = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (now != seen) return now;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    pool->sleeping++;
    while (atomic_load(&pool->generation) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
    pool->sleeping--;
    uint64_t now = atomic_load(&pool->generation);
    pthread_mutex_unlock(&pool->lock);
    return now;
}

static void *worker(void *p)
{
    worker_arg arg = *(worker_arg *)p;
    free(p);
    uint64_t seen = 0;
    for (;;) {
        seen = wait_for_loop(arg.pool, seen);
        if (atomic_load(&arg.pool->quit)) return NULL;
        run_tasks(arg.pool, arg.index);
        atomic_fetch_sub_explicit(&arg.pool->active, 1, memory_order_release);
    }
}

static int cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    return 1;
}

so_status so_pool_open(so_pool **out, int threads, so_error *error)
{
    *out = NULL;
    if (threads < 0 || threads > MAX_THREADS)
        return so_fail(error, SO_ERR_ARG, "%d threads asked for, expected 0 (all cores) to %d", threads, MAX_THREADS);
    if (threads == 0) threads = cores();
    so_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return so_fail(error, SO_ERR_NOMEM, "no memory for a thread pool");
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->threads = 1;
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    for (int i = 1; i < threads && pool->workers; i++) {
        worker_arg *arg = malloc(sizeof *arg);
        if (!arg) break;
        *arg = (worker_arg){pool, i};
        if (pthread_create(&pool->workers[i], NULL, worker, arg) != 0) {
            free(arg);
            break;
        }
        pool->threads++;
    }
    if (pool->threads < threads) {
        int got = pool->threads;
        so_pool_close(&pool);
        return so_fail(error, SO_ERR_NOMEM, "could start only %d of %d threads", got, threads);
    }
    *out = pool;
    return SO_OK;
}

static void start_loop(so_pool *pool)
{
    atomic_store(&pool->active, pool->threads - 1);
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->generation, 1);
    if (pool->sleeping) pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

void so_pool_close(so_pool **p)
{
    so_pool *pool = *p;
    if (!pool) return;
    atomic_store(&pool->quit, true);
    start_loop(pool);
    for (int i = 1; i < pool->threads; i++) pthread_join(pool->workers[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
    free(pool->workers);
    free(pool);
    *p = NULL;
}

int so_pool_threads(const so_pool *pool) { return pool ? pool->threads : 1; }

void so_pool_for(so_pool *pool, int64_t tasks, so_pool_fn fn, void *context)
{
    if (!pool || pool->threads == 1 || tasks <= 1 || inside) {
        for (int64_t i = 0; i < tasks; i++) fn(context, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->turn);
    pool->fn = fn;
    pool->context = context;
    pool->tasks = tasks;
    atomic_store(&pool->next, 0);
    start_loop(pool);
    run_tasks(pool, 0);
    for (int spins = 0; atomic_load_explicit(&pool->active, memory_order_acquire) > 0; spins++) {
        relax();
        if (spins > SPINS) sched_yield();
    }
    pthread_mutex_unlock(&pool->turn);
}
