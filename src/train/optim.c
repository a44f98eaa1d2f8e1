/* AdamW and learning-rate schedules.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 14 };

so_status so_optim_open(so_optim *optim, const so_adamw *adamw, so_error *error)
{
    memset(optim, 0, sizeof *optim);
    optim->adamw = *adamw;
    so_adamw *a = &optim->adamw;
    if (a->beta1 == 0 && a->beta2 == 0) a->beta1 = 0.9, a->beta2 = 0.95;
    if (a->epsilon == 0) a->epsilon = 1e-8;
    if (!(a->beta1 >= 0 && a->beta1 < 1 && a->beta2 >= 0 && a->beta2 < 1 && a->average >= 0 && a->average < 1))
        return so_fail(error, SO_ERR_ARG, "AdamW coefficients %g, %g and average %g, expected 0 to below 1", a->beta1,
                       a->beta2, a->average);
    if (!(a->decay >= 0 && a->clip >= 0 && a->epsilon > 0))
        return so_fail(error, SO_ERR_ARG, "AdamW decay %g, clip %g, epsilon %g, expected none negative", a->decay,
                       a->clip, a->epsilon);
    return SO_OK;
}

void so_optim_close(so_optim *optim)
{
    for (int64_t i = 0; i < optim->count; i++) {
        free(optim->param[i].m);
        free(optim->param[i].v);
        free(optim->param[i].average);
    }
    free(optim->param);
    free(optim->piece);
    free(optim->partial);
    memset(optim, 0, sizeof *optim);
}

static bool is_matrix(const so_tensor *t)
{
    int axes = 0;
    for (int i = 0; i < t->n_dims; i++) axes += t->dim[i] > 1;
    return axes >= 2;
}

static so_status add_param(so_optim *optim, so_weight *w, const so_group_rule *rule, int rules, so_error *error)
{
    if (!w->tensor.grad)
        return so_fail(error, SO_ERR_STATE, "'%s' wants a gradient but has no buffer for it", w->tensor.name);
    SO_TRY(so_grow(&optim->param, optim->count, &optim->capacity, sizeof *optim->param, error));
    so_param *p = &optim->param[optim->count++];
    *p = (so_param){.weight = w, .count = so_count(&w->tensor), .rate = 1, .decay = is_matrix(&w->tensor)};
    for (int i = 0; i < rules; i++)
        if (strcmp(rule[i].group, w->group) == 0) p->rate = rule[i].rate, p->decay *= rule[i].decay;
    size_t bytes = (size_t)p->count * sizeof(so_real);
    p->m = calloc(1, bytes + 1);
    p->v = calloc(1, bytes + 1);
    if (optim->adamw.average > 0) p->average = malloc(bytes + 1);
    if (!p->m || !p->v || (optim->adamw.average > 0 && !p->average))
        return so_fail(error, SO_ERR_NOMEM, "no memory for the moments of '%s'", w->tensor.name);
    if (p->average) memcpy(p->average, w->tensor.data, bytes);
    for (int64_t from = 0; from < p->count; from += PIECE) {
        SO_TRY(so_grow(&optim->piece, optim->pieces, &optim->pieces_capacity, sizeof *optim->piece, error));
        int64_t left = p->count - from;
        optim->piece[optim->pieces++] = (so_piece){optim->count - 1, from, left < PIECE ? left : PIECE, from};
    }
    return SO_OK;
}

so_status so_optim_add(so_optim *optim, so_store *store, const so_group_rule *rule, int rules, so_error *error)
{
    for (int64_t i = 0; i < store->count; i++)
        if (store->weight[i]->tensor.wants_grad) SO_TRY(add_param(optim, store->weight[i], rule, rules, error));
    double *partial = realloc(optim->partial, (size_t)(optim->pieces + 1) * sizeof *partial);
    if (!partial) return so_fail(error, SO_ERR_NOMEM, "no memory for an optimiser's partial sums");
    optim->partial = partial;
    return SO_OK;
}

so_real *so_optim_moment(const so_optim *o, int64_t piece, int which)
{
    const so_piece *p = &o->piece[piece];
    const so_param *q = &o->param[p->param];
    return p->at < 0 ? NULL : (which ? q->v : q->m) + p->at;
}

/* Moments of one weight, pieces first .. end - 1, of which so many numbers are held from now on. `at` [pieces]: where.
 */
static so_status hold_param(so_optim *o, int64_t first, int64_t end, const int64_t *at, int64_t held, so_error *error)
{
    so_param *q = &o->param[o->piece[first].param];
    so_real *m = calloc((size_t)held + 1, sizeof *m), *v = calloc((size_t)held + 1, sizeof *v);
    if (!m || !v) {
        free(m);
        free(v);
        return so_fail(error, SO_ERR_NOMEM, "no memory for the moments of '%s'", q->weight->tensor.name);
    }
    for (int64_t i = first; i < end; i++) {
        so_piece *p = &o->piece[i];
        size_t bytes = (size_t)p->count * sizeof(so_real);
        if (p->at >= 0 && at[i] >= 0 && o->updates > 0) { /* before the first update all are zero */
            memcpy(m + at[i], q->m + p->at, bytes);
            memcpy(v + at[i], q->v + p->at, bytes);
        }
        p->at = at[i];
    }
    free(q->m);
    free(q->v);
    q->m = m;
    q->v = v;
    return SO_OK;
}

so_status so_optim_hold(so_optim *o, const int64_t *piece, int64_t pieces, so_error *error)
{
    int64_t *at = malloc((size_t)(o->pieces + 1) * sizeof *at), next = 0;
    if (!at) return so_fail(error, SO_ERR_NOMEM, "no memory for an optimiser's pieces");
    for (int64_t i = 0, held = 0; i < o->pieces; i++) {
        bool mine = !piece || (next < pieces && piece[next] == i);
        if (o->piece[i].from == 0) held = 0;
        next += mine;
        at[i] = mine ? held : -1;
        held += mine ? o->piece[i].count : 0;
    }
    so_status status = SO_OK;
    for (int64_t first = 0, end; first < o->pieces && status == SO_OK; first = end) {
        int64_t held = 0;
        bool other = false;
        for (end = first; end < o->pieces && o->piece[end].param == o->piece[first].param; end++) {
            other = other || at[end] != o->piece[end].at;
            if (at[end] >= 0) held = at[end] + o->piece[end].count;
        }
        if (other) status = hold_param(o, first, end, at, held, error);
    }
    free(at);
    return status;
}

static const so_kernels *kernels_of(const so_optim *o) { return o->k ? o->k : so_kernels_c(); }

static int64_t mine_at(const so_optim *o, int64_t i) { return o->mine ? o->mine[i] : i; }
static int64_t mines_of(const so_optim *o) { return o->mine ? o->mines : o->pieces; }

static void norm_task(void *context, int64_t task, int thread)
{
    (void)thread;
    so_optim *o = context;
    task = mine_at(o, task);
    const so_piece *p = &o->piece[task];
    o->partial[task] = kernels_of(o)->square_sum(p->count, o->param[p->param].weight->tensor.grad + p->from);
}

double so_optim_norm(so_optim *optim, so_pool *pool)
{
    double sum = 0;
    so_pool_for(pool, mines_of(optim), norm_task, optim);
    for (int64_t i = 0; i < mines_of(optim); i++) sum += optim->partial[mine_at(optim, i)];
    return sqrt(sum);
}

typedef struct update_job {
    so_optim *optim;
    double rate;
    so_real scale, correct_m, correct_v; /* of gradients; 1 / (1 - beta^t) */
} update_job;

static void update_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const update_job *j = context;
    const so_adamw *a = &j->optim->adamw;
    int64_t number = mine_at(j->optim, task);
    const so_piece *at = &j->optim->piece[number];
    const so_param *p = &j->optim->param[at->param];
    double rate = j->rate * p->rate;
    const so_adam step = {.scale = j->scale,
                          .b1 = (so_real)a->beta1,
                          .b2 = (so_real)a->beta2,
                          .rate = (so_real)rate * j->correct_m,
                          .shrink = (so_real)(1 - rate * a->decay * p->decay),
                          .correct = j->correct_v,
                          .epsilon = (so_real)a->epsilon};
    so_real *w = so_data(&p->weight->tensor) + at->from;
    kernels_of(j->optim)->adam(&step, at->count, w, p->weight->tensor.grad + at->from,
                               so_optim_moment(j->optim, number, 0), so_optim_moment(j->optim, number, 1));
    if (!p->average) return;
    double t = (double)j->optim->updates, young = (1 + t) / (10 + t); /* the average forgets the start quickly */
    so_real keep = (so_real)(young < a->average ? young : a->average), *average = p->average + at->from;
    for (int64_t i = 0; i < at->count; i++) average[i] = keep * average[i] + (1 - keep) * w[i];
}

void so_optim_update(so_optim *optim, so_pool *pool, double rate, double norm)
{
    const so_adamw *a = &optim->adamw;
    double t = (double)++optim->updates;
    update_job job = {.optim = optim, .rate = rate, .scale = 1};
    if (a->clip > 0 && norm > a->clip) job.scale = (so_real)(a->clip / norm);
    job.correct_m = (so_real)(1 / (1 - pow(a->beta1, t)));
    job.correct_v = (so_real)(1 / (1 - pow(a->beta2, t)));
    so_pool_for(pool, mines_of(optim), update_task, &job);
}

void so_optim_skip(so_optim *optim)
{
    for (int64_t i = 0; i < optim->count; i++)
        memset(optim->param[i].weight->tensor.grad, 0, (size_t)optim->param[i].count * sizeof(so_real));
}

void so_optim_turn(so_optim *optim, bool learns)
{
    for (int64_t i = 0; i < optim->count; i++) optim->param[i].weight->tensor.wants_grad = learns;
}

void so_optim_swap(so_optim *optim)
{
    for (int64_t i = 0; i < optim->count; i++) {
        so_real *w = so_data(&optim->param[i].weight->tensor), *average = optim->param[i].average;
        for (int64_t k = 0; average && k < optim->param[i].count; k++) {
            so_real x = w[k];
            w[k] = average[k];
            average[k] = x;
        }
    }
    if (optim->adamw.average > 0) optim->averaged = !optim->averaged;
}

const char *so_optim_bad(const so_optim *optim)
{
    for (int64_t i = 0; i < optim->count; i++)
        for (int64_t k = 0; k < optim->param[i].count; k++)
            if (!isfinite((double)optim->param[i].weight->tensor.grad[k])) return optim->param[i].weight->tensor.name;
    return NULL;
}

int64_t so_optim_parameters(const so_optim *optim)
{
    int64_t n = 0;
    for (int64_t i = 0; i < optim->count; i++) n += optim->param[i].count;
    return n;
}

double so_rate(const so_schedule *s, int64_t step, double done)
{
    if (step < s->warmup) return s->peak * (double)(step + 1) / (double)s->warmup;
    double at = done < 0 ? 0 : done > 1 ? 1 : done;
    switch (s->shape) {
    case SO_RATE_COSINE:
        return s->peak * (s->floor + (1 - s->floor) * 0.5 * (1 + cos(acos(-1) * at)));
    case SO_RATE_LINEAR:
        return s->peak * (s->floor + (1 - s->floor) * (1 - at));
    case SO_RATE_ROOT:
        return s->peak * sqrt((double)(s->warmup > 0 ? s->warmup : 1) / (double)(step + 1));
    case SO_RATE_CONSTANT:
        break;
    }
    return s->peak;
}
