/* A pool of threads for one loop at a time.
 *
 * A loop is open while tasks are left. Workers that are awake enter it; the caller works too, closes it, and waits only
 * for those who are inside: on a busy machine a worker that the system has not yet run costs nothing. Each thread has a
 * range, a run of neighbouring tasks, so that it reads memory in one stream (two threads that take tasks in turn read a
 * tenth to a fifth less of it); who is done with his own takes from the ranges of others. Workers spin for a short
 * while after a loop (the next op usually follows within microseconds) and then sleep on a condition variable; so does
 * the caller when somebody inside takes long.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SPINS = 4000, MAX_THREADS = 256, OPEN = 1 << 16, INSIDE = OPEN - 1, STACK = 2 << 20 };

/* Tasks that one thread takes first. */
typedef struct range {
    _Alignas(64) atomic_int_fast64_t next;
    int64_t end;
} range;

/* A thread of the pool. It allocates and frees nothing by itself: the first such call would give it a heap of its own,
 * 64 MB of addresses with glibc. */
typedef struct worker {
    pthread_t thread;
    so_pool *pool;
    int index;
} worker;

struct so_pool {
    int threads;
    range *ranges;   /* [threads] */
    worker *workers; /* [threads], the first not used */
    pthread_mutex_t turn, lock;
    pthread_cond_t wake, done;
    atomic_uint_fast64_t state; /* loop number << 32 | open? OPEN : 0 | workers inside */
    atomic_bool quit, waiting;  /* waiting: the caller sleeps until nobody is inside */
    int sleeping;               /* under lock */
    so_pool_fn fn;
    void *context;
    void *owner;
};

static _Thread_local __attribute__((tls_model("initial-exec"))) so_pool *inside;

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void run_tasks(so_pool *pool, int thread)
{
    inside = pool;
    for (int i = 0; i < pool->threads; i++) {
        range *from = &pool->ranges[(thread + i) % pool->threads];
        while (atomic_load_explicit(&from->next, memory_order_relaxed) < from->end) {
            int64_t task = atomic_fetch_add_explicit(&from->next, 1, memory_order_relaxed);
            if (task < from->end) pool->fn(pool->context, task, thread);
        }
    }
    inside = NULL;
}

static inline uint64_t loop_of(uint64_t state) { return state >> 32; }

static uint64_t wait_for_loop(so_pool *pool, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        uint64_t now = loop_of(atomic_load_explicit(&pool->state, memory_order_acquire));
        if (now != seen) return now;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    pool->sleeping++;
    while (loop_of(atomic_load(&pool->state)) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
    pool->sleeping--;
    uint64_t now = loop_of(atomic_load(&pool->state));
    pthread_mutex_unlock(&pool->lock);
    return now;
}

/* False when loop number `loop` is closed already. */
static bool enter(so_pool *pool, uint64_t loop)
{
    uint64_t state = atomic_load(&pool->state);
    while (loop_of(state) == loop && (state & OPEN))
        if (atomic_compare_exchange_weak(&pool->state, &state, state + 1)) return true;
    return false;
}

static void leave(so_pool *pool)
{
    uint64_t before = atomic_fetch_sub(&pool->state, 1);
    if ((before & (OPEN | INSIDE)) != 1 || !atomic_load(&pool->waiting)) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->lock);
}

static void *work(void *p)
{
    const worker *arg = p;
    uint64_t seen = 0;
    for (;;) {
        seen = wait_for_loop(arg->pool, seen);
        if (atomic_load(&arg->pool->quit)) return NULL;
        if (!enter(arg->pool, seen)) continue;
        run_tasks(arg->pool, arg->index);
        leave(arg->pool);
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
    if (pool) pool->ranges = aligned_alloc(64, (size_t)threads * sizeof *pool->ranges);
    if (!pool || !pool->ranges) {
        free(pool);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a thread pool");
    }
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->threads = 1;
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK); /* the system's own choice is four times as much */
    for (int i = 1; i < threads && pool->workers; i++) {
        worker *w = &pool->workers[i];
        w->pool = pool;
        w->index = i;
        if (pthread_create(&w->thread, &attributes, work, w) != 0) break;
        pool->threads++;
    }
    pthread_attr_destroy(&attributes);
    if (pool->threads < threads) {
        int got = pool->threads;
        so_pool_close(&pool);
        return so_fail(error, SO_ERR_NOMEM, "could start only %d of %d threads", got, threads);
    }
    *out = pool;
    return SO_OK;
}

void so_pool_lend(so_pool *pool, void *owner) { pool->owner = owner; }
void *so_pool_owner(const so_pool *pool) { return pool ? pool->owner : NULL; }

/* Nobody is inside: the next loop may be described and opened. */
static void open_loop(so_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    uint64_t next = (loop_of(atomic_load(&pool->state)) + 1) & UINT32_MAX;
    atomic_store(&pool->state, next << 32 | OPEN);
    if (pool->sleeping) pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static void close_loop(so_pool *pool)
{
    uint64_t state = atomic_fetch_and(&pool->state, ~(uint64_t)OPEN);
    for (int i = 0; i < SPINS && (state & INSIDE); i++) {
        relax();
        state = atomic_load_explicit(&pool->state, memory_order_acquire);
    }
    if (!(state & INSIDE)) return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->waiting, true);
    while (atomic_load(&pool->state) & INSIDE) pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->waiting, false);
    pthread_mutex_unlock(&pool->lock);
}

void so_pool_close(so_pool **p)
{
    so_pool *pool = *p;
    if (!pool) return;
    atomic_store(&pool->quit, true);
    open_loop(pool);
    for (int i = 1; i < pool->threads; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
    free(pool->workers);
    free(pool->ranges);
    free(pool);
    *p = NULL;
}

int so_pool_threads(const so_pool *pool) { return pool ? pool->threads : 1; }

bool so_pool_alone(const so_pool *pool) { return !pool || pool->threads == 1 || inside; }

void so_pool_for(so_pool *pool, int64_t tasks, so_pool_fn fn, void *context)
{
    if (tasks <= 1 || so_pool_alone(pool)) {
        for (int64_t i = 0; i < tasks; i++) fn(context, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->turn);
    pool->fn = fn;
    pool->context = context;
    for (int i = 0; i < pool->threads; i++) {
        atomic_store_explicit(&pool->ranges[i].next, tasks * i / pool->threads, memory_order_relaxed);
        pool->ranges[i].end = tasks * (i + 1) / pool->threads;
    }
    open_loop(pool);
    run_tasks(pool, 0);
    close_loop(pool);
    pthread_mutex_unlock(&pool->turn);
}
