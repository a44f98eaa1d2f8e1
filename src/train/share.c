/* The tree of slots, and pieces of the weights among ranks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/share.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 16 };

struct so_share {
    so_optim *optim;
    so_ranks *ranks;
    int slots, first, count, done; /* of all; of this rank; of these finished */
    so_real *level[LEVELS];        /* sums of whole subtrees of 1, 2, 4 ... slots, [floats] each */
    bool full[LEVELS];
    int64_t *at;           /* [pieces + 1] where piece i begins among all */
    int64_t *owned;        /* [ranks + 1] first piece of each rank */
    int64_t block, most;   /* floats, and pieces, of whoever owns most */
    so_real *send, *taken; /* [ranks][block] */
    double *squares;       /* [ranks][most] */
};

static int size_of(const so_share *s) { return s->ranks ? s->ranks->size : 1; }
static bool power_of_two(int n) { return n > 0 && (n & (n - 1)) == 0; }

static so_status check_slots(int slots, int size, so_error *error)
{
    if (slots < 1 || slots >= 1 << LEVELS)
        return so_fail(error, SO_ERR_ARG, "%d slots an update, expected 1 to %d", slots, (1 << LEVELS) - 1);
    if (size == 1) return SO_OK;
    if (!power_of_two(slots))
        return so_fail(error, SO_ERR_ARG, "%d slots an update among %d ranks, expected a power of two", slots, size);
    if (power_of_two(size) && size <= slots) return SO_OK;
    char allowed[128] = "";
    for (int n = 1; n <= slots && n <= SO_RANKS_MOST; n *= 2) {
        size_t used = strlen(allowed);
        snprintf(allowed + used, sizeof allowed - used, "%s%d", n > 1 ? ", " : "", n);
    }
    return so_fail(error, SO_ERR_ARG, "%d ranks do not divide %d slots an update; allowed: %s", size, slots, allowed);
}

/* Pieces in ranges of about equal size, one for each rank. */
static void divide(so_share *s)
{
    const so_optim *o = s->optim;
    int n = size_of(s), r = 0;
    s->at[0] = 0;
    for (int64_t i = 0; i < o->pieces; i++) s->at[i + 1] = s->at[i] + o->piece[i].count;
    int64_t all = s->at[o->pieces];
    for (int64_t i = 0; i < o->pieces; i++)
        while (r < n && s->at[i] * n >= all * r) s->owned[r++] = i;
    while (r <= n) s->owned[r++] = o->pieces;
    for (r = 0; r < n; r++) {
        int64_t floats = s->at[s->owned[r + 1]] - s->at[s->owned[r]], pieces = s->owned[r + 1] - s->owned[r];
        if (floats > s->block) s->block = floats;
        if (pieces > s->most) s->most = pieces;
    }
    s->block = (s->block + 1023) / 1024 * 1024;
}

static so_status take_memory(so_share *s, so_error *error)
{
    const so_optim *o = s->optim;
    size_t n = (size_t)size_of(s);
    s->at = malloc((size_t)(o->pieces + 1) * sizeof *s->at);
    s->owned = malloc((n + 1) * sizeof *s->owned);
    bool good = s->at && s->owned;
    if (good) divide(s);
    /* A sum waits at each level that an unfinished count of slots has a bit for. */
    for (int l = 0; good && (1 << l) < s->count; l++) {
        s->level[l] = malloc((size_t)s->at[o->pieces] * sizeof(so_real) + 1);
        good = s->level[l] != NULL;
    }
    if (good && n > 1) {
        s->send = calloc(n * (size_t)s->block, sizeof *s->send);
        s->taken = malloc(n * (size_t)s->block * sizeof *s->taken);
        s->squares = calloc((n + 1) * (size_t)s->most, sizeof *s->squares);
        good = s->send && s->taken && s->squares;
    }
    return good ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for the gradients of %d slots", s->count);
}

so_status so_share_open(so_share **out, so_optim *optim, so_ranks *ranks, int slots, so_error *error)
{
    *out = NULL;
    int size = ranks ? ranks->size : 1, rank = ranks ? ranks->rank : 0;
    SO_TRY(check_slots(slots, size, error));
    so_share *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory to share an optimiser's work");
    s->optim = optim;
    s->ranks = size > 1 ? ranks : NULL;
    s->slots = slots;
    s->count = slots / size;
    s->first = rank * s->count;
    so_status status = take_memory(s, error);
    if (status != SO_OK) {
        so_share_close(&s);
        return status;
    }
    optim->first = s->owned[rank];
    optim->last = s->owned[rank + 1];
    *out = s;
    return SO_OK;
}

void so_share_close(so_share **share)
{
    so_share *s = *share;
    if (!s) return;
    for (int l = 0; l < LEVELS; l++) free(s->level[l]);
    free(s->at);
    free(s->owned);
    free(s->send);
    free(s->taken);
    free(s->squares);
    s->optim->first = 0;
    s->optim->last = s->optim->pieces;
    free(s);
    *share = NULL;
}

void so_share_mine(const so_share *share, int *first, int *count)
{
    *first = share->first;
    *count = share->count;
}

void so_share_begin(so_share *share)
{
    share->done = 0;
    memset(share->full, 0, sizeof share->full);
}

/* ---- the tree within a rank */

typedef struct tree_job {
    so_share *share;
    int from, to;  /* levels whose sums are added to the gradient, the higher later */
    bool set_down; /* then it goes to level `to` */
} tree_job;

static so_real *gradient_of(const so_optim *o, const so_piece *p)
{
    return o->param[p->param].weight->tensor.grad + p->from;
}

static void tree_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tree_job *j = context;
    const so_share *s = j->share;
    const so_piece *p = &s->optim->piece[task];
    so_real *g = gradient_of(s->optim, p);
    for (int l = j->from; l < j->to; l++) {
        if (!s->full[l]) continue;
        const so_real *left = s->level[l] + s->at[task];
        for (int64_t i = 0; i < p->count; i++) g[i] = left[i] + g[i];
    }
    if (!j->set_down) return;
    memcpy(s->level[j->to] + s->at[task], g, (size_t)p->count * sizeof *g);
    memset(g, 0, (size_t)p->count * sizeof *g);
}

void so_share_slot(so_share *share, so_pool *pool)
{
    so_share *s = share;
    bool last = ++s->done == s->count;
    int to = 0;
    if (s->count == 1) return;
    while (last ? to < LEVELS : s->full[to]) to++;
    tree_job job = {s, 0, to, !last};
    so_pool_for(pool, s->optim->pieces, tree_task, &job);
    for (int l = 0; l < to; l++) s->full[l] = false;
    if (!last) s->full[to] = true;
}

/* ---- between ranks */

/* Gives every rank the part of this one's sums that it owns; mine [block] of each then stands in `taken`. */
static so_status exchange_sums(so_share *s, so_error *error)
{
    const so_optim *o = s->optim;
    for (int r = 0; r < size_of(s); r++)
        for (int64_t i = s->owned[r]; i < s->owned[r + 1]; i++)
            memcpy(s->send + (int64_t)r * s->block + s->at[i] - s->at[s->owned[r]], gradient_of(o, &o->piece[i]),
                   (size_t)o->piece[i].count * sizeof(so_real));
    return s->ranks->exchange(s->ranks, s->send, s->taken, (size_t)s->block * sizeof(so_real), error);
}

static void upper_task(void *context, int64_t task, int thread)
{
    (void)thread;
    so_share *s = context;
    const so_optim *o = s->optim;
    int n = size_of(s);
    int64_t from = s->at[o->first + task] - s->at[o->first];
    const so_piece *p = &o->piece[o->first + task];
    for (int step = 1; step < n; step *= 2)
        for (int r = 0; r < n; r += 2 * step) {
            so_real *left = s->taken + r * s->block + from;
            const so_real *right = s->taken + (r + step) * s->block + from;
            for (int64_t i = 0; i < p->count; i++) left[i] = left[i] + right[i];
        }
    memcpy(gradient_of(o, p), s->taken + from, (size_t)p->count * sizeof(so_real));
}

/* What others own was only on its way. */
static void clear_others(so_share *s)
{
    const so_optim *o = s->optim;
    for (int64_t i = 0; i < o->pieces; i++)
        if (i < o->first || i >= o->last)
            memset(gradient_of(o, &o->piece[i]), 0, (size_t)o->piece[i].count * sizeof(so_real));
}

so_status so_share_sum(so_share *share, so_pool *pool, double *norm, so_error *error)
{
    so_share *s = share;
    so_optim *o = s->optim;
    if (!s->ranks) {
        *norm = so_optim_norm(o, pool);
        return SO_OK;
    }
    SO_TRY(exchange_sums(s, error));
    so_pool_for(pool, o->last - o->first, upper_task, s);
    clear_others(s);
    so_optim_norm(o, pool);
    double *mine = s->squares + (int64_t)size_of(s) * s->most, sum = 0;
    memcpy(mine, o->partial + o->first, (size_t)(o->last - o->first) * sizeof *mine);
    SO_TRY(s->ranks->gather(s->ranks, mine, s->squares, (size_t)s->most * sizeof *mine, error));
    for (int r = 0; r < size_of(s); r++)
        for (int64_t i = 0; i < s->owned[r + 1] - s->owned[r]; i++) sum += s->squares[r * s->most + i];
    *norm = sqrt(sum);
    return SO_OK;
}

typedef so_real *(*array_of)(const so_param *param);
static so_real *weights_of(const so_param *p) { return so_data(&p->weight->tensor); }
static so_real *first_moment_of(const so_param *p) { return p->m; }
static so_real *second_moment_of(const so_param *p) { return p->v; }
static so_real *average_of(const so_param *p) { return p->average; }

static so_status gather_array(so_share *s, array_of of, so_error *error)
{
    const so_optim *o = s->optim;
    for (int64_t i = o->first; i < o->last; i++)
        memcpy(s->send + s->at[i] - s->at[o->first], of(&o->param[o->piece[i].param]) + o->piece[i].from,
               (size_t)o->piece[i].count * sizeof(so_real));
    SO_TRY(s->ranks->gather(s->ranks, s->send, s->taken, (size_t)s->block * sizeof(so_real), error));
    for (int r = 0; r < size_of(s); r++)
        for (int64_t i = s->owned[r]; i < s->owned[r + 1]; i++)
            memcpy(of(&o->param[o->piece[i].param]) + o->piece[i].from,
                   s->taken + (int64_t)r * s->block + s->at[i] - s->at[s->owned[r]],
                   (size_t)o->piece[i].count * sizeof(so_real));
    return SO_OK;
}

so_status so_share_weights(so_share *share, so_error *error)
{
    return share->ranks ? gather_array(share, weights_of, error) : SO_OK;
}

so_status so_share_state(so_share *share, so_error *error)
{
    if (!share->ranks) return SO_OK;
    SO_TRY(gather_array(share, first_moment_of, error));
    SO_TRY(gather_array(share, second_moment_of, error));
    return share->optim->adamw.average > 0 ? gather_array(share, average_of, error) : SO_OK;
}
