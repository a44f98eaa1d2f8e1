/* Rotary positions and attention for one ISA.
 *
 * Many query rows (prompts, training): blocks of QB rows against blocks of KB keys, two packed products a block forward
 * and five back, running maximum between blocks of keys; probabilities live in a buffer of the thread. Few query rows
 * (decode): row by row over keys in blocks, bound by reading K and V once, 8 d bytes a key and key head.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_ATTENTION_H
#define SO_BACKEND_CPU_X86_FAST_ATTENTION_H

#include "backend/cpu/x86/fast_element.h"
#include "backend/cpu/x86/fast_linear.h"

enum { QB = 60, KB = 512 };

#define scores (so_scratch_here()->scores)
#define slopes (so_scratch_here()->slopes)

enum { ANGLES = 64 };

/* Cosines and sines of up to ANGLES frequencies serve all heads of a row. */
static void rope_part(void *p, int64_t r0, int64_t r1)
{
    const so_rotation *j = p;
    int64_t half = j->width / 2;
    float freq[ANGLES], cosine[ANGLES + W], sine[ANGLES + W];
    for (int64_t i0 = 0; i0 < half; i0 += ANGLES) {
        int n = least(half - i0, ANGLES);
        for (int i = 0; i < n; i++) freq[i] = (float)j->freq[i0 + i];
        for (int64_t r = r0; r < r1; r++) {
            for (int i = 0; i < n; i += W) {
                vec angle = v_set((float)j->pos[r]) * v_load_m(freq + i, v_tail(n - i));
                v_store(cosine + i, v_cos(angle));
                v_store(sine + i, v_sin(angle) * v_set((float)j->sign));
            }
            for (int64_t h = 0; h < j->heads; h++) {
                const float *x = j->x + (r * j->heads + h) * j->width + i0;
                float *y = j->y + (r * j->heads + h) * j->width + i0;
                for (int i = 0; i < n; i += W) {
                    vmask m = v_tail(n - i);
                    vec a = v_load_m(x + i, m), b = v_load_m(x + half + i, m), c = v_load(cosine + i),
                        s = v_load(sine + i);
                    vec ya = v_fnma(b, s, a * c), yb = v_fma(a, s, b * c);
                    if (j->add) {
                        ya = v_add(ya, v_load_m(y + i, m));
                        yb = v_add(yb, v_load_m(y + half + i, m));
                    }
                    v_store_m(y + i, m, ya);
                    v_store_m(y + half + i, m, yb);
                }
            }
        }
    }
}

static void rope(so_pool *pool, const so_rotation *rotation)
{
    so_rotation job = *rotation;
    so_for_rows(pool, job.rows, 16, rope_part, &job);
}

typedef struct attn_job {
    const so_attn *a;
    const float *q;
    float *y, *lse;
    so_attn_back back;
    bool in_turn; /* several sequences share keys: one task does them all */
} attn_job;

/* The keys that any of rows r0 .. r0 + n sees. */
static void block_range(const so_attn *a, const so_attn_seg *g, int64_t r0, int64_t n, int64_t *lo, int64_t *hi)
{
    *lo = g->kv_rows;
    *hi = 0;
    for (int64_t r = r0; r < r0 + n; r++) {
        int64_t l, h;
        bool mean;
        so_attn_visible(a, g, r, &l, &h, &mean);
        if (l < *lo) *lo = l;
        if (h > *hi) *hi = h;
    }
}

/* s[i] = scale s[i] within the row's keys (0 where it takes the mean), -infinity outside; s[0] is key k0. Gives the
 * maximum. */
static float mask_scores(const so_attn *a, const so_attn_seg *g, int64_t r, int64_t k0, int64_t n, float *s)
{
    int64_t lo, hi;
    bool mean;
    so_attn_visible(a, g, r, &lo, &hi, &mean);
    lo = lo < k0 ? 0 : lo - k0 > n ? n : lo - k0;
    hi = hi < k0 + lo ? lo : hi - k0 > n ? n : hi - k0;
    float scale = mean ? 0 : a->scale;
    for (int64_t i = 0; i < lo; i++) s[i] = -INFINITY;
    for (int64_t i = lo; i < hi; i++) s[i] = mean ? 0 : s[i] * scale;
    for (int64_t i = hi; i < n; i++) s[i] = -INFINITY;
    return hi > lo ? row_max(s + lo, hi - lo) : -INFINITY;
}

/* s[i] = e^(s[i] - max); gives their sum. */
static float exp_scores(float *s, int64_t n, float max)
{
    vec sum = v_set(0), top = v_set(max);
    for (int64_t i = 0; i < n; i += W) {
        vmask m = v_tail(n - i);
        vec e = v_pick(m, v_exp(v_load_m(s + i, m) - top), v_set(0));
        v_store_m(s + i, m, e);
        sum = v_add(sum, e);
    }
    return v_sum(sum);
}

/* Keys or values k0 .. k0 + n of the head that begins at number `at` of a row: where they lie, or decoded into
 * `slopes`, which only the way back uses otherwise. *step is the distance of two. */
static const float *stored(const so_attn_seg *g, const float *base, int64_t k0, int64_t n, int64_t at, int64_t d,
                           int64_t *step)
{
    *step = g->kv_type == SO_F32 ? g->kv_stride : d;
    if (g->kv_type == SO_F32) return base + k0 * g->kv_stride + at;
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *from =
            (const unsigned char *)base + so_type_bytes(g->kv_type, (k0 + i) * g->kv_stride + at);
        decode_row(g->kv_type, from, d, slopes + i * d);
    }
    return slopes;
}

/* How many keys at a time. */
static int64_t keys_of_block(const so_attn_seg *g, int64_t d)
{
    return g->kv_type == SO_F32 || d * KB <= SO_SCORES ? KB : SO_SCORES / d;
}

static void scale_to(float *y, int64_t n, float factor)
{
    for (int64_t c = 0; c < n; c++) y[c] *= factor;
}

/* Rows r0 .. r0 + n (n <= QB) of one sequence and head. */
static void attend_block(const attn_job *j, const so_attn_seg *g, int64_t h, int64_t r0, int64_t n)
{
    const so_attn *a = j->a;
    int64_t d = a->width, ld = a->heads * d, lo, hi, kv = h / (a->heads / a->kv_heads) * d;
    const float *q = j->q + (g->q_row0 + r0) * ld + h * d;
    float *y = j->y + (g->q_row0 + r0) * ld + h * d, max[QB], sum[QB];
    int64_t block = keys_of_block(g, d), step;
    block_range(a, g, r0, n, &lo, &hi);
    for (int64_t r = 0; r < n; r++) {
        max[r] = -INFINITY;
        sum[r] = 0;
        if (hi <= lo) memset(y + r * ld, 0, (size_t)d * sizeof *y);
    }
    for (int64_t k0 = lo; k0 < hi; k0 += block) {
        int64_t keys = least(hi - k0, block);
        const float *k = stored(g, g->k, k0, keys, kv, d, &step);
        gemm_here(&(so_gemm){
            .tb = true, .m = n, .n = keys, .k = d, .a = q, .lda = ld, .b = k, .ldb = step, .c = scores, .ldc = keys});
        for (int64_t r = 0; r < n; r++) {
            float *s = scores + r * keys, top = mask_scores(a, g, r0 + r, k0, keys, s);
            if (top < max[r]) top = max[r];
            if (top == -INFINITY) { /* nothing seen so far */
                memset(s, 0, (size_t)keys * sizeof *s);
                continue;
            }
            float shrink = k0 > lo ? expf(max[r] - top) : 1;
            if (shrink != 1) scale_to(y + r * ld, d, shrink);
            sum[r] = sum[r] * shrink + exp_scores(s, keys, top);
            max[r] = top;
        }
        const float *v = stored(g, g->v, k0, keys, kv, d, &step);
        gemm_here(&(so_gemm){.m = n,
                             .n = d,
                             .k = keys,
                             .a = scores,
                             .lda = keys,
                             .b = v,
                             .ldb = step,
                             .beta = (k0 > lo) ? 1 : 0,
                             .c = y,
                             .ldc = ld});
    }
    for (int64_t r = 0; r < n; r++) {
        scale_to(y + r * ld, d, 1 / sum[r]);
        if (j->lse) j->lse[(g->q_row0 + r0 + r) * a->heads + h] = max[r] + logf(sum[r]);
    }
}

/* One query row: keys in blocks of KB, scores by dot products, values weighted and summed. */
static void attend_row(const attn_job *j, const so_attn_seg *g, int64_t h, int64_t r)
{
    const so_attn *a = j->a;
    int64_t d = a->width, row = g->q_row0 + r, lo, hi, kv = h / (a->heads / a->kv_heads) * d;
    const float *q = j->q + (row * a->heads + h) * d;
    float *y = j->y + (row * a->heads + h) * d, max = -INFINITY, sum = 0;
    int64_t block = keys_of_block(g, d), step;
    block_range(a, g, r, 1, &lo, &hi);
    memset(y, 0, (size_t)d * sizeof *y);
    for (int64_t k0 = lo; k0 < hi; k0 += block) {
        int64_t keys = least(hi - k0, block);
        const float *k = stored(g, g->k, k0, keys, kv, d, &step);
        for (int64_t i = 0; i < keys; i++) {
            vec s = v_set(0);
            for (int64_t c = 0; c < d; c += W) {
                vmask m = v_tail(d - c);
                s = v_fma(v_load_m(q + c, m), v_load_m(k + i * step + c, m), s);
            }
            scores[i] = v_sum(s);
        }
        float top = mask_scores(a, g, r, k0, keys, scores);
        if (top < max) top = max;
        if (top == -INFINITY) continue;
        float shrink = k0 > lo ? expf(max - top) : 1;
        scale_to(y, d, shrink);
        sum = sum * shrink + exp_scores(scores, keys, top);
        max = top;
        const float *v = stored(g, g->v, k0, keys, kv, d, &step);
        for (int64_t c = 0; c < d; c += 4 * W) { /* four vectors of y at a time in registers */
            vec t[4];
            vmask m[4];
#pragma GCC unroll 4
            for (int u = 0; u < 4; u++) {
                m[u] = v_tail(d - c - u * W > 0 ? d - c - u * W : 0);
                t[u] = v_load_m(y + c + u * W, m[u]);
            }
            for (int64_t i = 0; i < keys; i++) {
                vec p = v_set(scores[i]);
#pragma GCC unroll 4
                for (int u = 0; u < 4; u++) t[u] = v_fma(p, v_load_m(v + i * step + c + u * W, m[u]), t[u]);
            }
#pragma GCC unroll 4
            for (int u = 0; u < 4; u++) v_store_m(y + c + u * W, m[u], t[u]);
        }
    }
    scale_to(y, d, 1 / sum);
    if (j->lse) j->lse[row * a->heads + h] = max + logf(sum);
}

#include "backend/cpu/x86/fast_attention_few.h"

/* One task per sequence and head; of few rows, the first head of a key head does all that read it. */
static void attention_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const attn_job *j = p;
    const so_attn_seg *g = &j->a->seg[task / j->a->heads];
    int64_t h = task % j->a->heads, group = j->a->heads / j->a->kv_heads;
    if (g->q_rows < 8 && j->a->width % W == 0) {
        if (h % group == 0) attend_few(j, g, h / group);
    } else if (g->q_rows < 8)
        for (int64_t r = 0; r < g->q_rows; r++) attend_row(j, g, h, r);
    else
        for (int64_t r = 0; r < g->q_rows; r += QB) attend_block(j, g, h, r, least(g->q_rows - r, QB));
}

static void attention(so_pool *pool, const so_attn *attn, const float *q, float *out, float *lse)
{
    so_pool_for(pool, attn->n_segs * attn->heads, attention_task, &(attn_job){.a = attn, .q = q, .y = out, .lse = lse});
}

/* Turns scores into probabilities and dp into slopes of the raw scores, row r: p = e^(s - lse), ds = p (dp - dot)
 * scale. */
static void slope_row(const attn_job *j, const so_attn_seg *g, int64_t h, int64_t r, int64_t k0, int64_t n, float *s,
                      float *dp)
{
    const so_attn *a = j->a;
    int64_t row = g->q_row0 + r, at = (row * a->heads + h) * a->width;
    double dot = sum_of_products(j->back.dout + at, j->back.out + at, a->width);
    mask_scores(a, g, r, k0, n, s);
    exp_scores(s, n, j->back.lse[row * a->heads + h]);
    float scale = a->lo && a->lo[row] == a->hi[row] ? 0 : a->scale;
    for (int64_t i = 0; i < n; i++) dp[i] = s[i] * (dp[i] - (float)dot) * scale;
}

static void attend_block_back(const attn_job *j, const so_attn_seg *g, int64_t h, int64_t r0, int64_t n)
{
    const so_attn *a = j->a;
    const so_attn_back *b = &j->back;
    int64_t d = a->width, ld = a->heads * d, lo, hi, kv = h / (a->heads / a->kv_heads) * d, step = g->kv_stride;
    int64_t at = (g->q_row0 + r0) * ld + h * d;
    block_range(a, g, r0, n, &lo, &hi);
    for (int64_t k0 = lo; k0 < hi; k0 += KB) {
        int64_t keys = least(hi - k0, KB), kat = k0 * step + kv;
        gemm_here(&(so_gemm){.tb = true,
                             .m = n,
                             .n = keys,
                             .k = d,
                             .a = b->q + at,
                             .lda = ld,
                             .b = g->k + kat,
                             .ldb = step,
                             .c = scores,
                             .ldc = keys});
        gemm_here(&(so_gemm){.tb = true,
                             .m = n,
                             .n = keys,
                             .k = d,
                             .a = b->dout + at,
                             .lda = ld,
                             .b = g->v + kat,
                             .ldb = step,
                             .c = slopes,
                             .ldc = keys});
        for (int64_t r = 0; r < n; r++) slope_row(j, g, h, r0 + r, k0, keys, scores + r * keys, slopes + r * keys);
        if (g->dv)
            gemm_here(&(so_gemm){.ta = true,
                                 .m = keys,
                                 .n = d,
                                 .k = n,
                                 .a = scores,
                                 .lda = keys,
                                 .b = b->dout + at,
                                 .ldb = ld,
                                 .beta = 1,
                                 .c = g->dv + kat,
                                 .ldc = step});
        if (g->dk)
            gemm_here(&(so_gemm){.ta = true,
                                 .m = keys,
                                 .n = d,
                                 .k = n,
                                 .a = slopes,
                                 .lda = keys,
                                 .b = b->q + at,
                                 .ldb = ld,
                                 .beta = 1,
                                 .c = g->dk + kat,
                                 .ldc = step});
        if (b->dq)
            gemm_here(&(so_gemm){.m = n,
                                 .n = d,
                                 .k = keys,
                                 .a = slopes,
                                 .lda = keys,
                                 .b = g->k + kat,
                                 .ldb = step,
                                 .beta = 1,
                                 .c = b->dq + at,
                                 .ldc = ld});
    }
}

/* One task per sequence and key head, so that dk and dv have one writer; per key head where sequences share keys. */
static void attention_back_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const attn_job *j = p;
    const so_attn *a = j->a;
    int64_t group = a->heads / a->kv_heads, kv = task % a->kv_heads, s0 = j->in_turn ? 0 : task / a->kv_heads;
    for (int64_t s = s0; s < (j->in_turn ? a->n_segs : s0 + 1); s++)
        for (int64_t h = kv * group; h < (kv + 1) * group; h++)
            for (int64_t r = 0; r < a->seg[s].q_rows; r += QB)
                attend_block_back(j, &a->seg[s], h, r, least(a->seg[s].q_rows - r, QB));
}

static void attention_back(so_pool *pool, const so_attn *attn, const so_attn_back *back)
{
    bool shared = so_attn_shares_keys(attn);
    so_pool_for(pool, (shared ? 1 : attn->n_segs) * attn->kv_heads, attention_back_task,
                &(attn_job){.a = attn, .back = *back, .in_turn = shared});
}

#endif
