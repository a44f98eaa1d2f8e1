/* Samples made ahead: a thread walks through the portions in the order in which training asks for them, so that
 * training does not wait for reading, decoding and tokenizing. What a portion holds follows from its number alone;
 * nothing changes by being made earlier. SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "recipes/run/training.h"

typedef struct portion {
    so_arena memory; /* of all that follows */
    so_run_portion made;
    so_status status;
    so_error error;
} portion;

struct so_run_ahead {
    so_run *run;
    so_data_order order; /* of the thread alone, as its plan is */
    so_batches batches;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool running, end, lent; /* lent: the first portion is in use */
    portion slot[SO_RUN_AHEAD];
    int first, count;
    so_run_place next; /* to be made */
    int from, to;      /* slots of an update that this rank computes */
    double waited;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The place behind one whose portion has been made. */
static so_run_place follow(const struct so_run_ahead *a, so_run_place at, bool more)
{
    if (more)
        at.portion++;
    else if (at.slot + 1 < a->to)
        at = (so_run_place){at.step, at.player, at.slot + 1, 0};
    else if (at.player + 1 < so_run_players(a->run))
        at = (so_run_place){at.step, at.player + 1, a->from, 0};
    else
        at = (so_run_place){at.step + 1, 0, a->from, 0};
    return at;
}

static void make(struct so_run_ahead *a, portion *p, so_run_place at)
{
    p->error = (so_error){0};
    so_arena_release(&p->memory, 0);
    p->status = so_run_portion_make(a->run, &a->batches, at, &p->memory, &p->made, &p->error);
}

static void *work(void *context)
{
    struct so_run_ahead *a = context;
    pthread_mutex_lock(&a->lock);
    while (!a->end && a->next.step < a->run->steps) {
        if (a->count == SO_RUN_AHEAD) {
            pthread_cond_wait(&a->changed, &a->lock);
            continue;
        }
        portion *p = &a->slot[(a->first + a->count) % SO_RUN_AHEAD];
        so_run_place at = a->next;
        pthread_mutex_unlock(&a->lock);
        make(a, p, at);
        pthread_mutex_lock(&a->lock);
        a->next = follow(a, at, p->made.more);
        a->count++;
        pthread_cond_broadcast(&a->changed);
        if (p->status != SO_OK) break;
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void stop(struct so_run_ahead *a)
{
    if (!a->running) return;
    pthread_mutex_lock(&a->lock);
    a->end = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    a->running = a->end = a->lent = false;
    a->first = a->count = 0;
}

/* Signals are the main thread's. */
static so_status start(struct so_run_ahead *a, so_run_place at, so_error *error)
{
    sigset_t all, before;
    a->next = at;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&a->thread, NULL, work, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return so_fail(error, SO_ERR_NOMEM, "no thread for reading ahead");
    a->running = true;
    return SO_OK;
}

static bool same(so_run_place a, so_run_place b)
{
    return a.step == b.step && a.player == b.player && a.slot == b.slot && a.portion == b.portion;
}

so_status so_run_ahead_take(struct so_run_ahead *a, so_run_place at, const so_run_portion **out, so_error *error)
{
    if (a->running) {
        pthread_mutex_lock(&a->lock);
        if (a->lent) {
            a->first = (a->first + 1) % SO_RUN_AHEAD;
            a->count--;
            a->lent = false;
            pthread_cond_broadcast(&a->changed);
        }
        bool expected = same(at, a->count ? a->slot[a->first].made.place : a->next);
        pthread_mutex_unlock(&a->lock);
        if (!expected) stop(a);
    }
    if (!a->running) SO_TRY(start(a, at, error));
    double begin = now();
    pthread_mutex_lock(&a->lock);
    while (!a->count) pthread_cond_wait(&a->changed, &a->lock);
    a->lent = true;
    portion *p = &a->slot[a->first];
    pthread_mutex_unlock(&a->lock);
    a->waited += now() - begin;
    *out = &p->made;
    if (p->status == SO_OK) return SO_OK;
    *error = p->error;
    return p->status;
}

double so_run_ahead_waited(const struct so_run_ahead *a) { return a ? a->waited : 0; }

so_status so_run_ahead_open(so_run *run, so_error *error)
{
    struct so_run_ahead *a = calloc(1, sizeof *a);
    if (!a) return so_fail(error, SO_ERR_NOMEM, "no memory for reading ahead");
    int slots = run->batches.options.slots, size = run->ranks ? run->ranks->size : 1;
    int rank = run->ranks ? run->ranks->rank : 0;
    a->run = run;
    a->from = slots / size * rank;
    a->to = slots / size * (rank + 1);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    for (int i = 0; i < SO_RUN_AHEAD; i++) so_arena_grow(&a->slot[i].memory);
    run->ahead = a;
    return so_run_plan_open(run, &a->order, &a->batches, error);
}

void so_run_ahead_close(so_run *run)
{
    struct so_run_ahead *a = run->ahead;
    if (!a) return;
    stop(a);
    so_batches_close(&a->batches);
    so_order_close(&a->order);
    for (int i = 0; i < SO_RUN_AHEAD; i++) so_arena_clear(&a->slot[i].memory);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a);
    run->ahead = NULL;
}
