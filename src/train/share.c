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
    so_courier *courier;           /* NULL: nobody shares */
    int slots, first, count, done; /* of all; of this rank; of these finished */
    so_real *level[LEVELS];        /* sums of whole subtrees of 1, 2, 4 ... slots, [floats] each */
    bool full[LEVELS];
    int64_t *at; /* [pieces] where piece i begins among all */
    int64_t floats;
    bool last; /* the last slot's gradients are on their way */
};

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

static so_status take_memory(so_share *s, so_error *error)
{
    const so_optim *o = s->optim;
    s->at = malloc((size_t)(o->pieces + 1) * sizeof *s->at);
    bool good = s->at != NULL;
    for (int64_t i = 0; good && i < o->pieces; i++) {
        s->at[i] = s->floats;
        s->floats += o->piece[i].count;
    }
    /* A sum waits at each level that an unfinished count of slots has a bit for. */
    for (int l = 0; good && (1 << l) < s->count; l++) {
        s->level[l] = malloc((size_t)s->floats * sizeof(so_real) + 1);
        good = s->level[l] != NULL;
    }
    return good ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for the gradients of %d slots", s->count);
}

static void add_lower(void *share, int64_t piece);

so_status so_share_open(so_share **out, so_optim *optim, so_ranks *ranks, int slots, so_error *error)
{
    *out = NULL;
    int size = ranks ? ranks->size : 1, rank = ranks ? ranks->rank : 0;
    SO_TRY(check_slots(slots, size, error));
    so_share *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory to share an optimiser's work");
    s->optim = optim;
    s->slots = slots;
    s->count = slots / size;
    s->first = rank * s->count;
    so_status status = take_memory(s, error);
    if (status == SO_OK && size == 1) status = so_optim_hold(optim, NULL, 0, error);
    if (status == SO_OK && size > 1) status = so_courier_open(&s->courier, optim, ranks, add_lower, s, error);
    if (status != SO_OK)
        so_share_close(&s);
    else
        *out = s;
    return status;
}

void so_share_close(so_share **share)
{
    so_share *s = *share;
    if (!s) return;
    so_courier_close(&s->courier);
    for (int l = 0; l < LEVELS; l++) free(s->level[l]);
    free(s->at);
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
    share->last = false;
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

/* g of a piece += the sums that wait at levels from .. to - 1, the higher later. */
static void add_levels(const so_share *s, int64_t piece, int from, int to)
{
    const so_piece *p = &s->optim->piece[piece];
    so_real *g = gradient_of(s->optim, p);
    for (int l = from; l < to; l++) {
        if (!s->full[l]) continue;
        const so_real *left = s->level[l] + s->at[piece];
        for (int64_t i = 0; i < p->count; i++) g[i] = left[i] + g[i];
    }
}

/* For the courier: a piece of the last slot's gradient becomes the sum of this rank's slots. */
static void add_lower(void *share, int64_t piece) { add_levels(share, piece, 0, LEVELS); }

static void tree_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tree_job *j = context;
    const so_share *s = j->share;
    const so_piece *p = &s->optim->piece[task];
    so_real *g = gradient_of(s->optim, p);
    add_levels(s, task, j->from, j->to);
    if (!j->set_down) return;
    memcpy(s->level[j->to] + s->at[task], g, (size_t)p->count * sizeof *g);
    memset(g, 0, (size_t)p->count * sizeof *g);
}

void so_share_last(so_share *share)
{
    if (!share->courier || share->last) return;
    share->last = true;
    so_courier_sums(share->courier);
}

void so_share_complete(so_share *share, const so_tensor *weight)
{
    if (share->courier && share->last) so_courier_complete(share->courier, weight);
}

so_status so_share_slot(so_share *share, so_pool *pool, so_error *error)
{
    so_share *s = share;
    bool last = ++s->done == s->count;
    int to = 0;
    if (last && s->courier) {
        so_share_last(s);
        return so_courier_arrived(s->courier, error);
    }
    if (s->count == 1) return SO_OK;
    while (last ? to < LEVELS : s->full[to]) to++;
    tree_job job = {s, 0, to, !last};
    so_pool_for(pool, s->optim->pieces, tree_task, &job);
    for (int l = 0; l < to; l++) s->full[l] = false;
    if (!last) s->full[to] = true;
    return SO_OK;
}

/* ---- between ranks */

so_status so_share_norm(so_share *share, so_pool *pool, double *norm, so_error *error)
{
    const so_optim *o = share->optim;
    double sum = 0;
    *norm = so_optim_norm(share->optim, pool);
    if (!share->courier) return SO_OK;
    SO_TRY(so_courier_squares(share->courier, error));
    for (int64_t i = 0; i < o->pieces; i++) sum += o->partial[i];
    *norm = sqrt(sum);
    return SO_OK;
}

void so_share_weights(so_share *share)
{
    if (share->courier) so_courier_weights(share->courier);
}

so_status so_share_wait(so_share *share, so_error *error)
{
    return share->courier ? so_courier_wait(share->courier, error) : SO_OK;
}

static so_real *first_moment_of(const so_optim *o, int64_t piece) { return so_optim_moment(o, piece, 0); }
static so_real *second_moment_of(const so_optim *o, int64_t piece) { return so_optim_moment(o, piece, 1); }
static so_real *average_of(const so_optim *o, int64_t piece)
{
    const so_piece *p = &o->piece[piece];
    return o->param[p->param].average + p->from;
}

so_status so_share_averages(so_share *share, so_error *error)
{
    if (!share->courier || share->optim->adamw.average <= 0) return SO_OK;
    SO_TRY(so_courier_wait(share->courier, error));
    return so_courier_gather(share->courier, average_of, error);
}

so_status so_share_collect(so_share *share, so_error *error)
{
    so_courier *c = share->courier;
    if (!c) return SO_OK;
    SO_TRY(so_courier_wait(c, error));
    if (so_courier_first(c)) SO_TRY(so_courier_hold(c, true, error));
    SO_TRY(so_courier_gather(c, first_moment_of, error));
    SO_TRY(so_courier_gather(c, second_moment_of, error));
    return so_share_averages(share, error);
}

so_status so_share_disperse(so_share *share, so_error *error)
{
    so_courier *c = share->courier;
    return c && so_courier_first(c) ? so_courier_hold(c, false, error) : SO_OK;
}

so_courier_times so_share_spent(so_share *share)
{
    return share->courier ? so_courier_spent(share->courier) : (so_courier_times){0};
}

void so_share_spend(so_share *share, double seconds)
{
    if (share->courier) so_courier_spend(share->courier, seconds);
}
