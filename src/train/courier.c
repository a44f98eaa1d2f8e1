/* A thread that carries gradients and weights between ranks.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "train/courier.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BATCHES = 12,          /* of an update, about */
    BATCH_LEAST = 1 << 16, /* floats of one */
    PADDED = 1024          /* floats that what travels is rounded up to: blocks of MPI's (train/plugins) */
};

/* Where a weight's tensor is among the parameters. */
typedef struct place {
    const so_tensor *weight;
    int64_t param;
} place;

struct so_courier {
    so_optim *optim;
    so_ranks *ranks;
    so_courier_ready ready;
    void *context;

    /* who updates what */
    uint8_t *owner;       /* [pieces] */
    int64_t *mine, mines; /* this rank's pieces */
    int64_t most;         /* pieces of whoever has most */
    int64_t *piece0;      /* [params + 1] first piece of each parameter */
    place *place;         /* [params] sorted by tensor */

    /* what travels together */
    int64_t *order;    /* [params] */
    int64_t *batch0;   /* [batches + 1] begin of each in `order` */
    int64_t *batch_of; /* [params] */
    int64_t *each;     /* [batches] floats for the rank that owns most of it, rounded up */
    int64_t batches;
    so_real *send, *taken; /* [ranks][most of each] */
    int32_t *told;         /* [params] when its gradient was told complete in the first update; 0: it was not */
    bool planned;          /* the order is that of the first update */

    /* between the threads */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news; /* a job, a gradient, the end of a job, quit */
    bool weights, sums;  /* are to be carried, in this order */
    int64_t *left;       /* [batches] gradients that are not complete */
    bool *complete;      /* [params] */
    int32_t tellings;
    bool quit, moving, failed;
    so_error error;
    double blocked; /* since when the training waits; 0: it does not */
    so_courier_times times;
};

double so_courier_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- who updates what, and what travels together */

void so_courier_deal(const so_optim *o, int ranks, uint8_t *owner)
{
    int64_t load[SO_RANKS_MOST] = {0};
    for (int64_t i = 0; i < o->pieces; i++) {
        int least = 0;
        for (int r = 1; r < ranks; r++)
            if (load[r] < load[least]) least = r;
        load[least] += o->piece[i].count;
        owner[i] = (uint8_t)least;
    }
}

static void deal(so_courier *c)
{
    const so_optim *o = c->optim;
    int64_t pieces[SO_RANKS_MOST] = {0};
    so_courier_deal(o, c->ranks->size, c->owner);
    c->piece0[0] = 0;
    for (int64_t i = 0; i < o->pieces; i++) {
        if (c->owner[i] == c->ranks->rank) c->mine[c->mines++] = i;
        if (++pieces[c->owner[i]] > c->most) c->most = pieces[c->owner[i]];
        c->piece0[o->piece[i].param + 1] = i + 1;
    }
}

static int by_tensor(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const place *)a)->weight, y = (uintptr_t)((const place *)b)->weight;
    return x < y ? -1 : x > y;
}

/* Cuts the order into batches; `each` of a batch is what its largest owner has of it. */
static void cut(so_courier *c)
{
    const so_optim *o = c->optim;
    int64_t all = so_optim_parameters(o), target = all / BATCHES > BATCH_LEAST ? all / BATCHES : BATCH_LEAST;
    c->batches = 0;
    for (int64_t i = 0; i < o->count;) {
        int64_t floats = 0, load[SO_RANKS_MOST] = {0}, most = 0;
        c->batch0[c->batches] = i;
        for (; i < o->count && floats < target; i++) {
            int64_t p = c->order[i];
            for (int64_t k = c->piece0[p]; k < c->piece0[p + 1]; k++) load[c->owner[k]] += o->piece[k].count;
            floats += o->param[p].count;
            c->batch_of[p] = c->batches;
        }
        for (int r = 0; r < c->ranks->size; r++)
            if (load[r] > most) most = load[r];
        c->each[c->batches++] = (most + PADDED - 1) / PADDED * PADDED;
    }
    c->batch0[c->batches] = o->count;
}

static so_status make_room(so_courier *c, so_error *error)
{
    int64_t most = 1;
    for (int64_t b = 0; b < c->batches; b++)
        if (c->each[b] > most) most = c->each[b];
    size_t bytes = (size_t)c->ranks->size * (size_t)most * sizeof(so_real);
    free(c->send);
    free(c->taken);
    c->send = calloc(1, bytes);
    c->taken = malloc(bytes);
    return c->send && c->taken ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for what ranks exchange");
}

/* When the gradient of a weight was told complete. */
typedef struct telling {
    int32_t told, param;
} telling;

static int by_telling(const void *a, const void *b)
{
    const telling *x = a, *y = b;
    if ((x->told == 0) != (y->told == 0)) return x->told == 0 ? 1 : -1; /* those that nothing used go last */
    if (x->told != y->told) return x->told < y->told ? -1 : 1;
    return x->param > y->param ? -1 : x->param < y->param;
}

/* After the first update: all travel in the order in which the first rank's gradients became complete. */
static so_status plan(so_courier *c, so_error *error)
{
    size_t n = (size_t)c->optim->count;
    telling *all = malloc(((size_t)c->ranks->size + 1) * n * sizeof *all), *mine;
    if (!all) return so_fail(error, SO_ERR_NOMEM, "no memory for what ranks exchange");
    mine = all + (size_t)c->ranks->size * n;
    for (size_t i = 0; i < n; i++) mine[i] = (telling){c->told[i], (int32_t)i};
    so_status status = c->ranks->gather(c->ranks, mine, all, n * sizeof *all, error);
    if (status == SO_OK) {
        qsort(all, n, sizeof *all, by_telling);
        for (size_t i = 0; i < n; i++) c->order[i] = all[i].param;
        cut(c);
        status = make_room(c, error);
    }
    free(all);
    c->planned = true;
    return status;
}

/* ---- the courier's thread; `lock` is held but while something moves */

static void spend(so_courier *c, double from, double to)
{
    pthread_mutex_lock(&c->lock);
    double begins = c->blocked > from ? c->blocked : from;
    c->times.moved += to - from;
    if (c->blocked > 0 && to > begins) c->times.seen += to - begins;
    pthread_mutex_unlock(&c->lock);
}

static so_real *gradient_of(const so_optim *o, int64_t piece)
{
    const so_piece *p = &o->piece[piece];
    return o->param[p->param].weight->tensor.grad + p->from;
}

static so_real *weights_of(const so_optim *o, int64_t piece)
{
    const so_piece *p = &o->piece[piece];
    return so_data(&o->param[p->param].weight->tensor) + p->from;
}

/* Calls `visit` for each piece of a batch, with where it lies in its owner's part. */
typedef void (*piece_fn)(so_courier *c, int64_t piece, int owner, int64_t at, void *context);
static void each_piece(so_courier *c, int64_t b, piece_fn visit, void *context)
{
    int64_t at[SO_RANKS_MOST] = {0};
    for (int64_t i = c->batch0[b]; i < c->batch0[b + 1]; i++)
        for (int64_t k = c->piece0[c->order[i]]; k < c->piece0[c->order[i] + 1]; k++) {
            visit(c, k, c->owner[k], at[c->owner[k]], context);
            at[c->owner[k]] += c->optim->piece[k].count;
        }
}

static void pack_sum(so_courier *c, int64_t k, int owner, int64_t at, void *context)
{
    int64_t each = *(int64_t *)context;
    c->ready(c->context, k);
    memcpy(c->send + owner * each + at, gradient_of(c->optim, k), (size_t)c->optim->piece[k].count * sizeof(so_real));
}

/* The upper levels of the tree, for this rank's pieces; what others own was only on its way. */
static void add_up(so_courier *c, int64_t k, int owner, int64_t at, void *context)
{
    int64_t each = *(int64_t *)context, count = c->optim->piece[k].count;
    so_real *gradient = gradient_of(c->optim, k);
    int n = c->ranks->size;
    if (owner != c->ranks->rank) {
        memset(gradient, 0, (size_t)count * sizeof(so_real));
        return;
    }
    for (int step = 1; step < n; step *= 2)
        for (int r = 0; r < n; r += 2 * step) {
            so_real *left = c->taken + r * each + at;
            const so_real *right = c->taken + (r + step) * each + at;
            for (int64_t i = 0; i < count; i++) left[i] = left[i] + right[i];
        }
    memcpy(gradient, c->taken + at, (size_t)count * sizeof(so_real));
}

static so_status move_sums(so_courier *c, int64_t b, so_error *error)
{
    int64_t each = c->each[b];
    double from = so_courier_clock();
    each_piece(c, b, pack_sum, &each);
    spend(c, from, so_courier_clock());
    SO_TRY(c->ranks->gather(c->ranks, NULL, NULL, 0, error)); /* others may still compute: that is no moving */
    from = so_courier_clock();
    SO_TRY(c->ranks->exchange(c->ranks, c->send, c->taken, (size_t)each * sizeof(so_real), error));
    each_piece(c, b, add_up, &each);
    spend(c, from, so_courier_clock());
    return SO_OK;
}

typedef struct showing {
    so_courier_array array;
    int64_t each;
} showing;

static void pack_mine(so_courier *c, int64_t k, int owner, int64_t at, void *context)
{
    const showing *s = context;
    if (owner == c->ranks->rank)
        memcpy(c->send + at, s->array(c->optim, k), (size_t)c->optim->piece[k].count * sizeof(so_real));
}

static void unpack_others(so_courier *c, int64_t k, int owner, int64_t at, void *context)
{
    const showing *s = context;
    so_real *to = owner != c->ranks->rank ? s->array(c->optim, k) : NULL;
    if (to) memcpy(to, c->taken + owner * s->each + at, (size_t)c->optim->piece[k].count * sizeof(so_real));
}

static so_status show(so_courier *c, int64_t b, so_courier_array array, so_error *error)
{
    showing s = {array, c->each[b]};
    each_piece(c, b, pack_mine, &s);
    SO_TRY(c->ranks->gather(c->ranks, c->send, c->taken, (size_t)s.each * sizeof(so_real), error));
    each_piece(c, b, unpack_others, &s);
    return SO_OK;
}

static so_status move_weights(so_courier *c, int64_t b, so_error *error)
{
    if (b == 0) SO_TRY(c->ranks->gather(c->ranks, NULL, NULL, 0, error));
    double from = so_courier_clock();
    SO_TRY(show(c, b, weights_of, error));
    spend(c, from, so_courier_clock());
    return SO_OK;
}

static void carry_all(so_courier *c, bool sums)
{
    for (int64_t b = 0; b < c->batches && !c->failed; b++) {
        while (sums && c->left[b] > 0 && !c->quit) pthread_cond_wait(&c->news, &c->lock);
        if (c->quit) return;
        so_error error = {0};
        c->moving = true;
        pthread_mutex_unlock(&c->lock);
        so_status status = sums ? move_sums(c, b, &error) : move_weights(c, b, &error);
        pthread_mutex_lock(&c->lock);
        c->moving = false;
        if (status == SO_OK) continue;
        c->failed = true;
        c->error = error;
    }
}

static void *carry(void *context)
{
    so_courier *c = context;
    pthread_mutex_lock(&c->lock);
    while (!c->quit) {
        if (!c->weights && !c->sums) {
            pthread_cond_wait(&c->news, &c->lock);
            continue;
        }
        bool sums = !c->weights;
        carry_all(c, sums);
        *(sums ? &c->sums : &c->weights) = false;
        pthread_cond_broadcast(&c->news);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- the owner's side */

static so_status take_memory(so_courier *c, so_error *error)
{
    size_t pieces = (size_t)c->optim->pieces + 1, params = (size_t)c->optim->count + 1;
    c->owner = malloc(pieces);
    c->mine = malloc(pieces * sizeof *c->mine);
    c->piece0 = malloc(params * sizeof *c->piece0);
    c->place = malloc(params * sizeof *c->place);
    c->order = malloc(params * sizeof *c->order);
    c->batch0 = malloc(params * sizeof *c->batch0);
    c->batch_of = malloc(params * sizeof *c->batch_of);
    c->each = malloc(params * sizeof *c->each);
    c->left = malloc(params * sizeof *c->left);
    c->told = calloc(params, sizeof *c->told);
    c->complete = calloc(params, sizeof *c->complete);
    bool good = c->owner && c->mine && c->piece0 && c->place && c->order && c->batch0 && c->batch_of && c->each;
    if (!good || !c->left || !c->told || !c->complete)
        return so_fail(error, SO_ERR_NOMEM, "no memory to share %lld weights", (long long)c->optim->count);
    deal(c);
    for (int64_t i = 0; i < c->optim->count; i++) {
        c->place[i] = (place){&c->optim->param[i].weight->tensor, i};
        c->order[i] = c->optim->count - 1 - i;
    }
    qsort(c->place, (size_t)c->optim->count, sizeof *c->place, by_tensor);
    cut(c);
    return make_room(c, error);
}

static void let_go(so_courier *c)
{
    free(c->owner);
    free(c->mine);
    free(c->piece0);
    free(c->place);
    free(c->order);
    free(c->batch0);
    free(c->batch_of);
    free(c->each);
    free(c->left);
    free(c->told);
    free(c->complete);
    free(c->send);
    free(c->taken);
    free(c);
}

/* Signals are the others' affair. */
static so_status begin_thread(so_courier *c, so_error *error)
{
    sigset_t all, before;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->news, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&c->thread, NULL, carry, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? so_fail(error, SO_ERR_STATE, "no thread to exchange gradients: %s", strerror(failed)) : SO_OK;
}

so_status so_courier_open(so_courier **out, so_optim *optim, so_ranks *ranks, so_courier_ready ready, void *context,
                          so_error *error)
{
    *out = NULL;
    so_courier *c = calloc(1, sizeof *c);
    if (!c) return so_fail(error, SO_ERR_NOMEM, "no memory to share an optimiser's work");
    c->optim = optim;
    c->ranks = ranks;
    c->ready = ready;
    c->context = context;
    so_status status = take_memory(c, error);
    if (status == SO_OK) status = so_optim_hold(optim, c->mine, c->mines, error);
    if (status == SO_OK) status = begin_thread(c, error);
    if (status != SO_OK) {
        let_go(c);
        return status;
    }
    optim->mine = c->mine;
    optim->mines = c->mines;
    for (int64_t i = 0; i < optim->count; i++) optim->param[i].weight->tensor.followed = true;
    *out = c;
    return SO_OK;
}

void so_courier_close(so_courier **courier)
{
    so_courier *c = *courier;
    if (!c) return;
    *courier = NULL;
    c->optim->mine = NULL;
    for (int64_t i = 0; i < c->optim->count; i++) c->optim->param[i].weight->tensor.followed = false;
    pthread_mutex_lock(&c->lock);
    c->quit = true;
    bool stuck = c->moving;
    pthread_cond_broadcast(&c->news);
    pthread_mutex_unlock(&c->lock);
    if (stuck) {
        pthread_detach(c->thread);
        return;
    }
    pthread_join(c->thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->news);
    let_go(c);
}

static void begin(so_courier *c, bool *what)
{
    pthread_mutex_lock(&c->lock);
    *what = true;
    pthread_cond_broadcast(&c->news);
    pthread_mutex_unlock(&c->lock);
}

void so_courier_sums(so_courier *c)
{
    c->tellings = 0;
    memset(c->complete, 0, (size_t)c->optim->count * sizeof *c->complete);
    for (int64_t b = 0; b < c->batches; b++) c->left[b] = c->batch0[b + 1] - c->batch0[b];
    for (int64_t i = 0; i < c->optim->count; i++) c->optim->param[i].weight->tensor.uses = 0;
    begin(c, &c->sums);
}

static void complete(so_courier *c, int64_t param)
{
    if (c->complete[param]) return;
    c->complete[param] = true;
    if (--c->left[c->batch_of[param]] == 0) pthread_cond_broadcast(&c->news);
}

void so_courier_complete(so_courier *c, const so_tensor *weight)
{
    const place key = {weight, 0};
    const place *at = bsearch(&key, c->place, (size_t)c->optim->count, sizeof key, by_tensor);
    if (!at) return;
    pthread_mutex_lock(&c->lock);
    if (!c->planned) c->told[at->param] = ++c->tellings;
    complete(c, at->param);
    pthread_mutex_unlock(&c->lock);
}

/* Waits until *what is carried. */
static so_status wait_for(so_courier *c, const bool *what, so_error *error)
{
    pthread_mutex_lock(&c->lock);
    double from = c->blocked = so_courier_clock(), seen = c->times.seen;
    while (*what) pthread_cond_wait(&c->news, &c->lock);
    c->times.waited += so_courier_clock() - from - (c->times.seen - seen);
    c->blocked = 0;
    so_status status = c->failed ? so_fail(error, c->error.status, "%s", c->error.text) : SO_OK;
    pthread_mutex_unlock(&c->lock);
    return status;
}

so_status so_courier_wait(so_courier *c, so_error *error) { return wait_for(c, &c->weights, error); }

so_status so_courier_arrived(so_courier *c, so_error *error)
{
    pthread_mutex_lock(&c->lock);
    for (int64_t i = 0; i < c->optim->count; i++) complete(c, i);
    pthread_mutex_unlock(&c->lock);
    SO_TRY(wait_for(c, &c->sums, error));
    return c->planned ? SO_OK : plan(c, error);
}

void so_courier_weights(so_courier *c) { begin(c, &c->weights); }

so_status so_courier_gather(so_courier *c, so_courier_array array, so_error *error)
{
    for (int64_t b = 0; b < c->batches; b++) SO_TRY(show(c, b, array, error));
    return SO_OK;
}

so_status so_courier_hold(so_courier *c, bool all, so_error *error)
{
    return so_optim_hold(c->optim, all ? NULL : c->mine, c->mines, error);
}

bool so_courier_first(const so_courier *c) { return c->ranks->rank == 0; }

so_status so_courier_squares(so_courier *c, so_error *error)
{
    so_optim *o = c->optim;
    size_t n = (size_t)c->ranks->size, at[SO_RANKS_MOST] = {0};
    double *all = calloc((n + 1) * (size_t)c->most, sizeof *all), from = so_courier_clock();
    if (!all) return so_fail(error, SO_ERR_NOMEM, "no memory for what ranks exchange");
    double *mine = all + n * (size_t)c->most;
    for (int64_t i = 0; i < c->mines; i++) mine[i] = o->partial[c->mine[i]];
    so_status status = c->ranks->gather(c->ranks, mine, all, (size_t)c->most * sizeof *mine, error);
    for (int64_t i = 0; i < o->pieces && status == SO_OK; i++)
        o->partial[i] = all[c->owner[i] * (size_t)c->most + at[c->owner[i]]++];
    free(all);
    so_courier_spend(c, so_courier_clock() - from);
    return status;
}

void so_courier_spend(so_courier *c, double seconds)
{
    pthread_mutex_lock(&c->lock);
    c->times.moved += seconds;
    c->times.seen += seconds;
    pthread_mutex_unlock(&c->lock);
}

so_courier_times so_courier_spent(so_courier *c)
{
    pthread_mutex_lock(&c->lock);
    so_courier_times t = c->times;
    c->times = (so_courier_times){0};
    pthread_mutex_unlock(&c->lock);
    return t;
}
