/* Products rounded to bf16 for inference, for AVX-512 BF16: weights laid out once, activations packed once a block of
 * rows.
 *
 * A linear layer holds its weights as panels of NR columns (pairs along k) that stream past a packed block of x: 2 MC
 * flops a weight. A convolution turns it round: x becomes pairs of channels with time along the lanes, so that a tap is
 * an unaligned load and nothing is packed once per tap; weights are broadcast. Attention does the same with queries
 * along the lanes: scores come out key by key, so that maximum, sum and probabilities are vertical and need no
 * transposition. Measured in docs/lab/speed.md.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_BF16_LAYERS_H
#define SO_BACKEND_CPU_X86_FAST_BF16_LAYERS_H

#include "backend/cpu/x86/fast_attention.h"
#include "backend/cpu/x86/fast_bf16.h"

/* ---- linear */

typedef struct bf16_job {
    int64_t n, k, m, ldx, ldy, step_m, step_n, tiles_n;
    const float *w, *x, *bias;
    float *y;
} bf16_job;

static size_t bf16_bytes(int64_t n, int64_t k)
{
    return (size_t)((n + NR - 1) / NR * NR * ((k + 1) / 2)) * sizeof(float);
}

static void pack_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const bf16_job *j = p;
    int64_t n0 = task * NR, depth = (j->k + 1) / 2;
    float *to = j->y + n0 * depth;
    memset(to, 0, (size_t)(NR * depth) * sizeof *to);
    pack_pairs(false, j->w + n0 * j->k, j->k, least(j->n - n0, NR), j->k, to, NR);
}

static void bf16_pack(so_pool *pool, int64_t n, int64_t k, const float *w, void *layout)
{
    so_pool_for(pool, (n + NR - 1) / NR, pack_task, &(bf16_job){.n = n, .k = k, .w = w, .y = layout});
}

/* The tile = (add ? c : bias or 0) + a panel times b panel. */
static void micro_pairs(int64_t depth, const float *a, const float *b, const float *bias, tile t)
{
    const int rows = t.rows, cols = t.cols;
    const bool add = t.add;
    vec sum[MR][2];
    vmask m0 = v_tail(cols), m1 = v_tail(cols > W ? cols - W : 0);
    vec b0 = bias && !add ? v_load_m(bias, m0) : v_set(0),
        b1 = bias && !add && cols > W ? v_load_m(bias + W, m1) : v_set(0);
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        sum[i][0] = b0;
        sum[i][1] = b1;
    }
    for (int64_t l = 0; l < depth; l++, a += MR, b += NR) {
        b0 = v_load(b);
        b1 = v_load(b + W);
#pragma GCC unroll 12
        for (int i = 0; i < MR; i++) {
            vec x = v_set(a[i]);
            sum[i][0] = multiply_add(true, x, b0, sum[i][0]);
            sum[i][1] = multiply_add(true, x, b1, sum[i][1]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        if (i >= rows) break;
        float *p = t.c + i * t.ldc;
        v_store_m(p, m0, add ? v_add(v_load_m(p, m0), sum[i][0]) : sum[i][0]);
        if (cols > W) v_store_m(p + W, m1, add ? v_add(v_load_m(p + W, m1), sum[i][1]) : sum[i][1]);
    }
}

static void bf16_tile(void *p, int64_t task, int thread)
{
    (void)thread;
    const bf16_job *g = p;
    int64_t m0 = task / g->tiles_n * g->step_m, m = least(g->m - m0, g->step_m), whole = (g->k + 1) / 2;
    int64_t n0 = task % g->tiles_n * g->step_n, n1 = n0 + least(g->n - n0, g->step_n);
    int64_t pieces = (g->k + PAIR_KC - 1) / PAIR_KC, kc = even(g->k, pieces, 32);
    for (int64_t i0 = m0; i0 < m0 + m; i0 += MC) {
        int64_t mm = least(m0 + m - i0, MC);
        for (int64_t l = 0; l < g->k; l += kc) {
            int64_t kk = least(g->k - l, kc), depth = (kk + 1) / 2;
            pack_pairs(false, g->x + i0 * g->ldx + l, g->ldx, mm, kk, packed_a, MR);
            for (int64_t j = n0; j < n1; j += NR)
                for (int64_t i = 0; i < mm; i += MR)
                    micro_pairs(
                        depth, packed_a + i * depth, g->w + j * whole + l / 2 * NR, g->bias ? g->bias + j : NULL,
                        (tile){g->y + (i0 + i) * g->ldy + j, g->ldy, least(mm - i, MR), least(n1 - j, NR), l > 0});
        }
    }
}

/* Blocks of rows, so that x is packed once; pieces of columns too where there are few rows. */
static void bf16_linear(so_pool *pool, const so_bf16_product *p)
{
    int64_t m = p->m, n = p->n;
    if (m < 1 || n < 1) return;
    int64_t pm = m / (4 * MR), pn = 1;
    if (pm > 8) pm = m > 8 * MC ? (m + MC - 1) / MC : 8;
    if (pm < 1) pm = 1;
    if (pm < 8 && n >= 256) pn = (8 + pm - 1) / pm < n / 128 ? (8 + pm - 1) / pm : n / 128;
    bf16_job g = {n, p->k, m, p->ldx, p->ldy, even(m, pm, MR), even(n, pn, NR), 0, p->layout, p->x, p->bias, p->y};
    g.tiles_n = (n + g.step_n - 1) / g.step_n;
    so_pool_for(pool, (m + g.step_m - 1) / g.step_m * g.tiles_n, bf16_tile, &g);
}

/* ---- convolutions along time */

/* Layout: [n / MR][taps][(C + 1) / 2][MR] pairs of channels.
 *
 * With stride s the frames of x are taken apart into s phases p, p + s, ...: a tap that lies d frames on is d mod s
 * phases and d / s frames of a phase on, and the sums go along neighbouring frames of a phase as they do for stride 1.
 */
static size_t bf16_conv_bytes(int64_t n, int64_t channels, int64_t taps)
{
    return (size_t)((n + MR - 1) / MR * MR * taps * ((channels + 1) / 2)) * sizeof(float);
}

typedef struct conv_pack_job {
    int64_t n, channels, taps;
    const float *w;
    uint16_t *layout;
} conv_pack_job;

static void conv_pack_panel(void *p, int64_t task, int thread)
{
    (void)thread;
    const conv_pack_job *g = p;
    int64_t o = task * MR;
    uint16_t *to = g->layout + o * g->taps * ((g->channels + 1) / 2) * 2;
    for (int64_t j = 0; j < g->taps; j++)
        for (int64_t c = 0; c < g->channels; c += 2)
            for (int64_t i = o; i < o + MR; i++)
                for (int64_t l = c; l < c + 2; l++)
                    *to++ = i < g->n && l < g->channels ? so_to_bf16(g->w[(i * g->channels + l) * g->taps + j]) : 0;
}

static void bf16_conv_pack(so_pool *pool, int64_t n, int64_t channels, int64_t taps, const float *w, void *layout)
{
    so_pool_for(pool, (n + MR - 1) / MR, conv_pack_panel, &(conv_pack_job){n, channels, taps, w, layout});
}

typedef struct conv_job {
    const so_conv *conv;
    int64_t n, step, tiles; /* output frames of a task; tasks of an item */
    const float *w, *x, *bias;
    float *y;
} conv_job;

/* Frames from, from + s, ... of x[T, C], n of them, zeros outside, as pairs of channels: to[c * stride + frame]. Up to
 * 15 frames behind are written, too. */
static void time_along(const float *x, int64_t T, int64_t C, int64_t from, int64_t s, int64_t n, float *to,
                       int64_t stride)
{
    int64_t before = from < 0 ? least((-from + s - 1) / s, n) : 0, pairs_c = (C + 1) / 2;
    int64_t u = before, end = from < T ? least((T - from + s - 1) / s, n) : 0;
    for (int64_t c = 0; c < pairs_c && before; c++) memset(to + c * stride, 0, (size_t)before * sizeof *to);
    for (; u < end; u += W) pack_pairs_across(x + (from + u * s) * C, s * C, least(end - u, W), C, to + u, stride);
    if (u < before) u = before;
    for (int64_t c = 0; c < pairs_c && u < n; c++) memset(to + c * stride + u, 0, (size_t)(n - u) * sizeof *to);
}

/* sum[i][half] for MR outputs and 2 W frames at `x`. */
static inline __attribute__((always_inline)) void conv_sums(const conv_job *g, const float *a, const float *x,
                                                            int64_t stride, vec sum[MR][2])
{
    int64_t pairs_c = (g->conv->channels + 1) / 2, d = g->conv->dilation[1], s = g->conv->stride[1];
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) sum[i][0] = sum[i][1] = v_set(0);
    for (int64_t j = 0; j < g->conv->kernel[1]; j++) {
        const float *b = x + j * d % s * pairs_c * stride + j * d / s;
        for (int64_t c = 0; c < pairs_c; c++, a += MR, b += stride) {
            vec b0 = v_load(b), b1 = v_load(b + W);
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                vec v = v_set(a[i]);
                sum[i][0] = multiply_add(true, v, b0, sum[i][0]);
                sum[i][1] = multiply_add(true, v, b1, sum[i][1]);
            }
        }
    }
}

/* y[t, o0 ..] of one half of the sums: frames along the lanes become rows. */
static inline __attribute__((always_inline)) void put_frames(vec sum[MR][2], int part, const conv_job *g, int64_t o0,
                                                             int64_t frames, float *y)
{
    vec r[W];
#pragma GCC unroll 16
    for (int i = 0; i < W; i++) r[i] = i < MR ? sum[i][part] : v_set(0);
    transpose(r);
    vmask m = v_tail(least(g->n - o0, MR));
    vec bias = g->bias ? v_load_m(g->bias + o0, m) : v_set(0);
#pragma GCC unroll 16
    for (int t = 0; t < W; t++)
        if (t < frames) v_store_m(y + t * g->n, m, v_add(r[t], bias));
}

static void conv_tile(void *job, int64_t task, int thread)
{
    (void)thread;
    const conv_job *g = job;
    const so_conv *c = g->conv;
    int64_t b = task / g->tiles, t0 = task % g->tiles * g->step, frames = least(c->out[1] - t0, g->step);
    int64_t s = c->stride[1], reach = c->dilation[1] * (c->kernel[1] - 1) / s,
            need = (frames + NR - 1) / NR * NR + reach;
    int64_t stride = g->step + reach + W, pairs_c = (c->channels + 1) / 2, panel = c->kernel[1] * pairs_c * MR;
    for (int64_t p = 0; p < s; p++)
        time_along(g->x + b * c->in[1] * c->channels, c->in[1], c->channels, t0 * s - c->pad[1] + p, s, need,
                   packed_b + p * pairs_c * stride, stride);
    for (int64_t o = 0; o < g->n; o += MR)
        for (int64_t t = 0; t < frames; t += NR) {
            vec sum[MR][2];
            float *y = g->y + (b * c->out[1] + t0 + t) * g->n + o;
            conv_sums(g, g->w + o / MR * panel, packed_b + t, stride, sum);
            put_frames(sum, 0, g, o, frames - t, y);
            if (frames - t > W) put_frames(sum, 1, g, o, frames - t - W, y + W * g->n);
        }
}

static bool bf16_conv(so_pool *pool, const so_conv *c, const so_bf16_product *p)
{
    int64_t s = c->stride[1], reach = c->dilation[1] * (c->kernel[1] - 1) / s, pairs_c = (c->channels + 1) / 2;
    if (c->kernel[0] != 1 || c->in[0] != 1 || c->out[0] != 1 || s < 1 || pairs_c < 1) return false;
    int64_t most = SO_PACK_B / (pairs_c * s) - reach - 2 * W; /* frames whose pairs fit the scratch */
    if (most < NR) return false;
    int64_t step = most < 256 ? most / NR * NR : 256;
    int64_t tiles = (c->out[1] + step - 1) / step;
    if (tiles * c->batch < 8 && c->out[1] > 2 * NR) tiles = (7 + c->batch) / c->batch;
    conv_job g = {c, p->n, even(c->out[1], tiles, NR), 0, p->layout, p->x, p->bias, p->y};
    if (g.step > step) g.step = step;
    g.tiles = (c->out[1] + g.step - 1) / g.step;
    so_pool_for(pool, c->batch * g.tiles, conv_tile, &g);
    return true;
}

/* ---- attention */

enum { QUERIES = 2 * W }; /* a block of queries: the lanes of two vectors */

typedef struct bf16_attn_job {
    const so_attn *a;
    const float *q;
    float *y;
} bf16_attn_job;

/* Working memory of a head: keys and values of a block in scratch a; queries, maxima, sums and outputs of a group of
 * blocks in scratch b. */
typedef struct bf16_head {
    const so_attn *a;
    const so_attn_seg *g;
    int64_t h, d, pairs_d, r0, rows, keys,
        k0;           /* rows r0 .. r0 + rows of the group; keys k0 .. k0 + keys of the block */
    float *k, *v;     /* [keys / MR][pairs_d][MR], [d / MR][keys / 2][MR] */
    float *max, *sum; /* [rows] */
    int32_t *lo, *hi; /* [rows] visible keys */
    float *q, *o;     /* a block of queries [pairs_d][32]; all outputs, [rows / 32][d][32] */
} bf16_head;

/* The block of queries that begins at row `at` of the group, scaled, queries along the lanes. */
static void take_queries(const bf16_head *w, const bf16_attn_job *j, int64_t at)
{
    const so_attn *a = w->a;
    int64_t ld = a->heads * w->d, n = least(w->rows - at, QUERIES);
    float scaled[QUERIES * 256 / 2];
    for (int64_t c0 = 0; c0 < w->d; c0 += 128) {
        int64_t cols = least(w->d - c0, 128);
        for (int64_t i = 0; i < n; i++) {
            int64_t row = w->g->q_row0 + w->r0 + at + i;
            bool mean = a->lo && a->lo[row] == a->hi[row];
            float scale = mean ? 0 : a->scale * 1.44269504088896f;
            const float *q = j->q + row * ld + w->h * w->d + c0;
            for (int64_t c = 0; c < cols; c++) scaled[i * cols + c] = q[c] * scale;
        }
        for (int64_t i = 0; i < QUERIES; i += W)
            pack_pairs_across(scaled + i * cols, cols, n - i < 0 ? 0 : least(n - i, W), cols,
                              w->q + c0 / 2 * QUERIES + i, QUERIES);
    }
}

/* How many keys of the block any query from `at` on sees, whole pairs. */
static int64_t keys_seen(const bf16_head *w, int64_t at)
{
    int64_t last = 0;
    for (int64_t r = at; r < w->rows && r < at + QUERIES; r++)
        if (w->hi[r] > last) last = w->hi[r];
    last = last - w->k0 < 0 ? 0 : (last - w->k0 + 1) / 2 * 2;
    return last < w->keys ? last : w->keys;
}

/* s[key][query] of the block: [keys, 32]. */
static void score_block(const bf16_head *w, int64_t keys, float *s)
{
    for (int64_t i = 0; i < keys; i += MR)
        micro_pairs(w->pairs_d, w->k + i * w->pairs_d, w->q, NULL,
                    (tile){s + i * QUERIES, QUERIES, least(keys - i, MR), QUERIES, false});
}

/* Scores of keys that a query does not see become -infinity. */
static void hide_block(const bf16_head *w, int64_t at, int64_t keys, float *s)
{
    for (int part = 0; part < 2; part++) {
        int64_t from = at + part * W, n = w->rows - from < 0 ? 0 : w->rows - from;
        vmask live = v_tail(n);
        __m512i lo = _mm512_maskz_loadu_epi32(live, w->lo + from), hi = _mm512_maskz_loadu_epi32(live, w->hi + from);
        for (int64_t i = 0; i < keys; i++) {
            __m512i key = _mm512_set1_epi32((int)(w->k0 + i));
            vmask seen = _mm512_cmple_epi32_mask(lo, key) & _mm512_cmpgt_epi32_mask(hi, key);
            float *p = s + i * QUERIES + part * W;
            v_store(p, v_pick(seen, v_load(p), v_set(-INFINITY)));
        }
    }
}

/* Probabilities as pairs of keys, [keys / 2][32], from scores; moves maxima and sums, and scales outputs to the new
 * maxima. */
static void soften_block(const bf16_head *w, int64_t at, int64_t keys, float *s, float *p)
{
    static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i zip = _mm512_loadu_si512(order);
    float *o = w->o + at / QUERIES * w->d * QUERIES;
    if (keys % 2)
        for (int i = 0; i < QUERIES; i++) s[keys * QUERIES + i] = -INFINITY;
    for (int part = 0; part < 2; part++) {
        float *max = w->max + at + part * W, *sum = w->sum + at + part * W, *from = s + part * W;
        vec before = v_load(max), top = before, top1 = before, total = v_set(0);
        int64_t i = 0;
        for (; i + 2 <= keys; i += 2) {
            top = v_max(top, v_load(from + i * QUERIES));
            top1 = v_max(top1, v_load(from + (i + 1) * QUERIES));
        }
        if (i < keys) top = v_max(top, v_load(from + i * QUERIES));
        top = v_max(v_max(top, top1), v_set(-1e30f)); /* queries that saw nothing yet */
        for (i = 0; i < keys; i += 2) {
            vec e0 = v_exp2_short(v_load(from + i * QUERIES) - top);
            vec e1 = v_exp2_short(v_load(from + (i + 1) * QUERIES) - top);
            total = v_add(total, v_add(e0, e1));
            __m512i two = (__m512i)_mm512_cvtne2ps_pbh(e1, e0);
            v_store(p + i / 2 * QUERIES + part * W, _mm512_castsi512_ps(_mm512_permutexvar_epi16(zip, two)));
        }
        vec shrink = v_exp2_short(before - top);
        v_store(max, top);
        v_store(sum, v_fma(v_load(sum), shrink, total));
        for (int64_t c = 0; c < w->d; c++)
            v_store(o + c * QUERIES + part * W, v_load(o + c * QUERIES + part * W) * shrink);
    }
}

/* o[d][32] += values times probabilities. */
static void weigh_block(const bf16_head *w, int64_t at, int64_t keys, const float *p)
{
    int64_t depth = (w->keys + 1) / 2;
    float *o = w->o + at / QUERIES * w->d * QUERIES;
    for (int64_t c = 0; c < w->d; c += MR)
        micro_pairs((keys + 1) / 2, w->v + c * depth, p, NULL,
                    (tile){o + c * QUERIES, QUERIES, least(w->d - c, MR), QUERIES, true});
}

static void put_outputs(const bf16_head *w, const bf16_attn_job *j, int64_t at)
{
    int64_t ld = w->a->heads * w->d, n = least(w->rows - at, QUERIES);
    const float *o = w->o + at / QUERIES * w->d * QUERIES;
    for (int part = 0; part < 2 && part * W < n; part++) {
        vec sum = v_load(w->sum + at + part * W), factor = v_set(1) / sum;
        factor = v_pick(v_gt(sum, v_set(0)), factor, v_set(0));
        float *y = j->y + (w->g->q_row0 + w->r0 + at + part * W) * ld + w->h * w->d;
        for (int64_t c = 0; c < w->d; c += W) {
            vec r[W];
            int cols = least(w->d - c, W);
#pragma GCC unroll 16
            for (int i = 0; i < W; i++)
                r[i] = i < cols ? (vec)(v_load(o + (c + i) * QUERIES + part * W) * factor) : v_set(0);
            transpose(r);
#pragma GCC unroll 16
            for (int i = 0; i < W; i++)
                if (i < n - part * W) v_store_m(y + i * ld + c, v_tail(cols), r[i]);
        }
    }
}

/* Keys and values of a block, packed as what is broadcast. */
static void take_keys(bf16_head *w)
{
    int64_t step, kv = w->h / (w->a->heads / w->a->kv_heads) * w->d, panels = (w->keys + MR - 1) / MR;
    w->v = w->k + panels * MR * w->pairs_d;
    const float *k = stored(w->g, w->g->k, w->k0, w->keys, kv, w->d, &step);
    pack_pairs(false, k, step, w->keys, w->d, w->k, MR);
    const float *v = stored(w->g, w->g->v, w->k0, w->keys, kv, w->d, &step);
    pack_pairs(true, v, step, w->d, w->keys, w->v, MR);
}

static void attend_group(bf16_head *w, const bf16_attn_job *j)
{
    int64_t first = w->g->kv_rows, last = 0, padded = (w->rows + QUERIES - 1) / QUERIES * QUERIES;
    bool partly = false;
    for (int64_t r = 0; r < w->rows; r++) {
        int64_t lo, hi;
        bool mean;
        so_attn_visible(w->a, w->g, w->r0 + r, &lo, &hi, &mean);
        w->lo[r] = (int32_t)lo;
        w->hi[r] = (int32_t)hi;
        if (lo < first) first = lo;
        if (hi > last) last = hi;
        partly |= lo > 0 || hi < w->g->kv_rows;
    }
    for (int64_t r = 0; r < padded; r++) {
        w->max[r] = -INFINITY;
        w->sum[r] = 0;
    }
    memset(w->o, 0, (size_t)(padded * w->d) * sizeof *w->o);
    for (w->k0 = first; w->k0 < last; w->k0 += w->keys) {
        /* Blocks of nearly equal size, whole pairs. */
        int64_t most = keys_of_block(w->g, w->d) / 2 * 2, blocks = (last - w->k0 + most - 1) / most;
        w->keys = least(last - w->k0, even(last - w->k0, blocks, 2));
        take_keys(w);
        for (int64_t at = 0; at < w->rows; at += QUERIES) {
            int64_t keys = keys_seen(w, at);
            if (keys == 0) continue;
            take_queries(w, j, at);
            score_block(w, keys, scores);
            if (partly) hide_block(w, at, keys, scores);
            soften_block(w, at, keys, scores, slopes);
            weigh_block(w, at, keys, slopes);
        }
    }
    for (int64_t at = 0; at < w->rows; at += QUERIES) put_outputs(w, j, at);
}

static void bf16_attention_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const bf16_attn_job *j = p;
    bf16_head w = {j->a, &j->a->seg[task / j->a->heads], task % j->a->heads, j->a->width, (j->a->width + 1) / 2};
    int64_t group = (SO_PACK_B - 2 * W) / (w.d + 4) / QUERIES * QUERIES;
    w.k = packed_a;
    w.q = so_scratch_here()->rows;
    w.max = packed_b;
    w.sum = w.max + group;
    w.lo = (int32_t *)(w.sum + group);
    w.hi = w.lo + group;
    w.o = (float *)(w.hi + group);
    for (w.r0 = 0; w.r0 < w.g->q_rows; w.r0 += group) {
        w.rows = least(w.g->q_rows - w.r0, group);
        attend_group(&w, j);
    }
}

static void bf16_attention(so_pool *pool, const so_attn *attn, const float *q, float *out)
{
    bool few = attn->width > 128 || attn->width < 1;
    for (int64_t s = 0; s < attn->n_segs; s++) few |= attn->seg[s].q_rows < 8;
    if (few)
        attention(pool, attn, q, out, NULL);
    else
        so_pool_for(pool, attn->n_segs * attn->heads, bf16_attention_task, &(bf16_attn_job){attn, q, out});
}

static void fill_bf16_layers(so_kernels *table)
{
    table->bf16_gains = true;
    table->bf16_bytes = bf16_bytes;
    table->bf16_pack = bf16_pack;
    table->bf16_linear = bf16_linear;
    table->bf16_conv_bytes = bf16_conv_bytes;
    table->bf16_conv_pack = bf16_conv_pack;
    table->bf16_conv = bf16_conv;
    table->bf16_attention = bf16_attention;
}

#endif
