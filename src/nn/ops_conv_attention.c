/* Attention whose scores carry more than q k: relative positions, a bias for every key. Scores are kept as a matrix of
 * one head, so that the products are plain ones; sequences of the codec are some hundred rows long.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "nn/ops.h"

typedef struct sizes {
    int64_t B, T, D, H, d;
    so_real scale;
} sizes;

typedef struct saved {
    sizes s;
    so_real *prob; /* [B, H, T, T] */
} saved;

/* to[T, d] = columns h of q's rows, plus add[d] if there is one. */
static void cut_head(const sizes *s, const so_real *q, const so_real *add, so_real *to)
{
    for (int64_t t = 0; t < s->T; t++)
        for (int64_t i = 0; i < s->d; i++) to[t * s->d + i] = q[t * s->D + i] + (add ? add[i] : 0);
}

/* Scratch of one head. */
typedef struct scratch {
    so_real *q, *rel; /* [T, d]; [T, 2T-1] */
} scratch;

static bool scratch_take(so_pass *pass, const sizes *s, bool relative, scratch *w)
{
    w->q = so_take(pass, (size_t)(s->T * s->d) * sizeof *w->q, false);
    w->rel = so_take(pass, relative ? (size_t)(s->T * (2 * s->T - 1)) * sizeof *w->rel : 1, false);
    return w->rel != NULL;
}

/* prob[T, T] of head number i % H of item i / H. */
static void head_scores(so_pass *pass, const sizes *s, int64_t index, const so_tensor *q, const so_tensor *k,
                        const so_score *score, scratch *w, so_real *prob)
{
    int64_t b = index / s->H, h = index % s->H;
    int64_t T = s->T, d = s->d, P = 2 * T - 1;
    const so_real *qh = so_data(q) + b * T * s->D + h * d, *kh = so_data(k) + b * T * s->D + h * d;
    cut_head(s, qh, score->p ? so_data(score->u) + h * d : NULL, w->q);
    pass->k->gemm(
        pass->pool,
        &(so_gemm){.tb = true, .m = T, .n = T, .k = d, .a = w->q, .lda = d, .b = kh, .ldb = s->D, .c = prob, .ldc = T});
    if (score->p) {
        cut_head(s, qh, so_data(score->v) + h * d, w->q);
        pass->k->gemm(pass->pool, &(so_gemm){.tb = true,
                                             .m = T,
                                             .n = P,
                                             .k = d,
                                             .a = w->q,
                                             .lda = d,
                                             .b = so_data(score->p) + h * d,
                                             .ldb = s->D,
                                             .c = w->rel,
                                             .ldc = P});
    }
    const so_real *bias = score->key_bias ? score->key_bias + b * T : NULL;
    for (int64_t i = 0; i < T; i++) {
        so_real times = score->of_query ? score->of_query[b * T + i] : 1, *row = prob + i * T;
        const so_real *rel = w->rel + i * P + T - 1 - i;
        for (int64_t j = 0; j < T && score->p; j++) row[j] += rel[j];
        for (int64_t j = 0; j < T; j++) row[j] = row[j] * s->scale + (bias ? times * bias[j] : 0);
    }
    pass->k->softmax(pass->pool, T, T, prob, prob);
}

/* Adds rows of from[T, d] to the columns of a head in to[T, D], and their sum to row[d] if wanted. */
static void put_head(const sizes *s, const so_real *from, so_real *to, so_real *row)
{
    for (int64_t t = 0; t < s->T; t++)
        for (int64_t i = 0; i < s->d; i++) {
            if (to) to[t * s->D + i] += from[t * s->d + i];
            if (row) row[i] += from[t * s->d + i];
        }
}

typedef struct grads {
    so_real *q, *k, *v, *p, *u, *w; /* w: of the second bias */
} grads;

static void head_back(so_pass *pass, const so_step *step, const saved *a, int64_t b, int64_t h, const grads *g,
                      scratch *w, so_real *dscore)
{
    const sizes *s = &a->s;
    int64_t T = s->T, d = s->d, D = s->D, P = 2 * T - 1, at = b * T * D + h * d;
    const so_kernels *k = pass->k;
    const so_real *prob = a->prob + (b * s->H + h) * T * T, *dy = step->out->grad + at;
    const so_tensor *tq = step->in[0], *tk = step->in[1], *tv = step->in[2], *p = step->in[3];
    if (g->v)
        k->gemm(pass->pool, &(so_gemm){.ta = true,
                                       .m = T,
                                       .n = d,
                                       .k = T,
                                       .a = prob,
                                       .lda = T,
                                       .b = dy,
                                       .ldb = D,
                                       .beta = 1,
                                       .c = g->v + at,
                                       .ldc = D});
    /* The way back through softmax, scaled: dscore = scale prob (dprob - <dprob, prob>). */
    k->gemm(pass->pool, &(so_gemm){.tb = true,
                                   .m = T,
                                   .n = T,
                                   .k = d,
                                   .a = dy,
                                   .lda = D,
                                   .b = so_data(tv) + at,
                                   .ldb = D,
                                   .c = dscore,
                                   .ldc = T});
    for (int64_t i = 0; i < T; i++) {
        double dot = 0;
        for (int64_t j = 0; j < T; j++) dot += (double)dscore[i * T + j] * (double)prob[i * T + j];
        for (int64_t j = 0; j < T; j++)
            dscore[i * T + j] = s->scale * prob[i * T + j] * (dscore[i * T + j] - (so_real)dot);
    }
    so_real *dq = g->q ? g->q + at : NULL;
    k->gemm(pass->pool,
            &(so_gemm){
                .m = T, .n = d, .k = T, .a = dscore, .lda = T, .b = so_data(tk) + at, .ldb = D, .c = w->q, .ldc = d});
    put_head(s, w->q, dq, g->u ? g->u + h * d : NULL);
    if (g->k) {
        cut_head(s, so_data(tq) + at, p ? so_data(step->in[4]) + h * d : NULL, w->q);
        k->gemm(pass->pool, &(so_gemm){.ta = true,
                                       .m = T,
                                       .n = d,
                                       .k = T,
                                       .a = dscore,
                                       .lda = T,
                                       .b = w->q,
                                       .ldb = d,
                                       .beta = 1,
                                       .c = g->k + at,
                                       .ldc = D});
    }
    if (!p) return;
    memset(w->rel, 0, (size_t)(T * P) * sizeof *w->rel);
    for (int64_t i = 0; i < T; i++) memcpy(w->rel + i * P + T - 1 - i, dscore + i * T, (size_t)T * sizeof *dscore);
    k->gemm(pass->pool,
            &(so_gemm){
                .m = T, .n = d, .k = P, .a = w->rel, .lda = P, .b = so_data(p) + h * d, .ldb = D, .c = w->q, .ldc = d});
    put_head(s, w->q, dq, g->w ? g->w + h * d : NULL);
    if (!g->p) return;
    cut_head(s, so_data(tq) + at, so_data(step->in[5]) + h * d, w->q);
    k->gemm(pass->pool, &(so_gemm){.ta = true,
                                   .m = P,
                                   .n = d,
                                   .k = T,
                                   .a = w->rel,
                                   .lda = P,
                                   .b = w->q,
                                   .ldb = d,
                                   .beta = 1,
                                   .c = g->p + h * d,
                                   .ldc = D});
}

static void score_attention_back(so_pass *pass, const so_step *step)
{
    const saved *a = step->saved;
    const sizes *s = &a->s;
    grads g = {so_grad(pass, step->in[0]), so_grad(pass, step->in[1]), so_grad(pass, step->in[2]),
               so_grad(pass, step->in[3]), so_grad(pass, step->in[4]), so_grad(pass, step->in[5])};
    size_t mark = so_arena_mark(pass->arena);
    scratch w;
    so_real *dscore = so_take(pass, (size_t)(s->T * s->T) * sizeof *dscore, false);
    if (scratch_take(pass, s, step->in[3] != NULL, &w) && !pass->dry)
        for (int64_t i = 0; i < s->B * s->H; i++) head_back(pass, step, a, i / s->H, i % s->H, &g, &w, dscore);
    so_arena_release(pass->arena, mark);
}

static bool fits(so_pass *pass, const so_tensor *q, const so_tensor *k, const so_tensor *v, const so_score *score,
                 sizes *s)
{
    const char *op = "score_attention";
    if (!so_want_f32(pass, op, q) || !so_want_same(pass, op, q, k) || !so_want_same(pass, op, q, v)) return false;
    s->T = q->n_dims > 1 ? q->dim[q->n_dims - 2] : 0;
    s->D = so_cols(q);
    s->H = score->heads;
    if (s->T < 1 || s->H < 1 || s->D % s->H) {
        so_pass_fail(pass, SO_ERR_SHAPE, "%s: %lld columns in %lld heads", op, (long long)s->D, (long long)s->H);
        return false;
    }
    s->B = so_rows(q) / s->T;
    s->d = s->D / s->H;
    s->scale = (so_real)(1 / sqrt((double)s->d));
    if (!score->p) return true;
    char text[96];
    if (so_rows(score->p) != 2 * s->T - 1 || so_cols(score->p) != s->D) {
        so_pass_fail(pass, SO_ERR_SHAPE, "%s: positions %s for %lld rows", op, so_shape_text(score->p, text),
                     (long long)s->T);
        return false;
    }
    return so_want_f32(pass, op, score->u) && so_want_f32(pass, op, score->v) &&
           so_want_same(pass, op, score->u, score->v) && so_count(score->u) == s->D;
}

/* On a device: with relative positions and nothing else. */
static so_tensor *on_device(so_pass *pass, const sizes *s, const so_score *score, const so_relative *a, so_tensor *y)
{
    if (!score->p || score->key_bias || score->of_query || !pass->k->relative)
        return so_pass_fail(pass, SO_ERR_UNSUPPORTED, "score_attention: %s does it with relative positions only",
                            pass->k->name);
    so_relative all = *a;
    all.batch = s->B;
    all.rows = s->T;
    all.heads = s->H;
    all.width = s->d;
    all.scale = s->scale;
    all.position = so_data(score->p);
    all.u = so_data(score->u);
    all.w = so_data(score->v);
    all.y = so_data(y);
    if (!pass->dry) pass->k->relative(pass->pool, &all);
    return y;
}

so_tensor *so_score_attention(so_pass *pass, so_tensor *q, so_tensor *k, so_tensor *v, const so_score *score)
{
    sizes s;
    if (!so_ok(pass) || !q || !k || !v || !fits(pass, q, k, v, score, &s)) return NULL;
    so_tensor *y = so_new_like(pass, q), *in[6] = {q, k, v, score->p, score->u, score->v};
    if (!y) return NULL;
    if (pass->device)
        return on_device(pass, &s, score, &(so_relative){.q = so_data(q), .k = so_data(k), .v = so_data(v)}, y);
    so_step *step = so_tape_put(pass, "score_attention", score_attention_back, y, 6, in, sizeof(saved));
    int64_t one = s.T * s.T;
    so_real *prob = NULL;
    if (step) {
        prob = so_take(pass, (size_t)(s.B * s.H * one) * sizeof *prob, false);
        *(saved *)step->saved = (saved){s, prob};
    }
    size_t mark = so_arena_mark(pass->arena);
    if (!step) prob = so_take(pass, (size_t)one * sizeof *prob, false);
    scratch w;
    if (prob && scratch_take(pass, &s, score->p != NULL, &w) && !pass->dry)
        for (int64_t i = 0; i < s.B * s.H; i++) {
            int64_t b = i / s.H, h = i % s.H, at = b * s.T * s.D + h * s.d;
            so_real *mine = step ? prob + i * one : prob;
            head_scores(pass, &s, i, q, k, score, &w, mine);
            pass->k->gemm(pass->pool, &(so_gemm){.m = s.T,
                                                 .n = s.d,
                                                 .k = s.T,
                                                 .a = mine,
                                                 .lda = s.T,
                                                 .b = so_data(v) + at,
                                                 .ldb = s.D,
                                                 .c = so_data(y) + at,
                                                 .ldc = s.D});
        }
    so_arena_release(pass->arena, mark);
    return so_ok(pass) ? y : NULL;
}

so_tensor *so_relative_positions(so_pass *pass, int64_t T, int64_t D)
{
    so_tensor *p = so_new2(pass, T > 0 ? 2 * T - 1 : 0, D);
    so_real *to = p ? so_write_begin(pass, p) : NULL;
    if (!to || pass->dry) return so_write_end(pass, p, to);
    for (int64_t m = 0; m < D; m += 2) {
        double omega = exp(-(double)m / (double)D * log(10000));
        for (int64_t r = 0; r < so_rows(p); r++) {
            double angle = (double)(T - 1 - r) * omega;
            to[r * D + m] = (so_real)sin(angle);
            if (m + 1 < D) to[r * D + m + 1] = (so_real)cos(angle);
        }
    }
    return so_write_end(pass, p, to);
}
