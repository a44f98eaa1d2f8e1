/* Rotary positions and attention, portable. Scores and sums in so_real, probabilities never stored.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref/portable.h"
#include "base/quantise.h"

static void rope_part(void *p, int64_t r0, int64_t r1)
{
    const so_rotation *j = p;
    int64_t half = j->width / 2;
    for (int64_t r = r0; r < r1; r++) {
        for (int64_t i = 0; i < half; i++) {
            double angle = (double)j->pos[r] * j->freq[i];
#ifndef SO_DOUBLE
            angle = (double)((float)j->pos[r] * (float)j->freq[i]); /* the reference's angles are float */
#endif
            so_real c = (so_real)cos(angle), s = (so_real)sin(angle) * (so_real)j->sign;
            for (int64_t h = 0; h < j->heads; h++) {
                int64_t at = (r * j->heads + h) * j->width + i;
                so_real a = j->x[at], b = j->x[at + half];
                so_real ya = a * c - b * s, yb = b * c + a * s;
                j->y[at] = j->add ? j->y[at] + ya : ya;
                j->y[at + half] = j->add ? j->y[at + half] + yb : yb;
            }
        }
    }
}

static void rope(so_pool *pool, const so_rotation *rotation)
{
    so_rotation job = *rotation;
    so_for_rows(pool, job.rows, 16, rope_part, &job);
}

typedef struct attn_rows {
    const so_attn *a;
    const so_real *q;
    so_real *y, *lse;
    so_attn_back back;
    bool in_turn; /* several sequences share keys: one task does them all */
} attn_rows;

enum { PIECE = 256 };

/* n <= PIECE numbers of a store's keys or values, from number `at` on: where they lie, or decoded into `out`. */
static const so_real *stored(const so_attn_seg *g, const so_real *base, int64_t at, int64_t n, so_real *out)
{
    float part[PIECE];
    if (g->kv_type == SO_F32) return base + at;
    so_dequantise_row(g->kv_type, (const unsigned char *)base + so_type_bytes(g->kv_type, at), n, part);
    for (int64_t i = 0; i < n; i++) out[i] = part[i];
    return out;
}

static so_real score(const so_attn *a, const so_attn_seg *g, const so_real *q, int64_t kv_head, int64_t key)
{
    int64_t at = key * g->kv_stride + kv_head * a->width;
    so_real sum = 0, part[PIECE];
    for (int64_t c0 = 0; c0 < a->width; c0 += PIECE) {
        int64_t n = a->width - c0 < PIECE ? a->width - c0 : PIECE;
        const so_real *k = stored(g, g->k, at + c0, n, part);
        for (int64_t c = 0; c < n; c++) sum += q[c0 + c] * k[c];
    }
    return sum * a->scale;
}

/* One pass with a running maximum. */
static void attend_row(const so_attn *a, const so_attn_seg *g, int64_t r, int64_t h, const attn_rows *j)
{
    int64_t lo, hi, row = g->q_row0 + r, kv = h / (a->heads / a->kv_heads);
    bool mean;
    so_attn_visible(a, g, r, &lo, &hi, &mean);
    const so_real *q = j->q + (row * a->heads + h) * a->width;
    so_real *y = j->y + (row * a->heads + h) * a->width, max = -INFINITY, sum = 0;
    memset(y, 0, (size_t)a->width * sizeof *y);
    for (int64_t key = lo; key < hi; key++) {
        so_real s = mean ? 0 : score(a, g, q, kv, key);
        if (s > max) {
            so_real shrink = (so_real)exp((double)(max - s));
            for (int64_t c = 0; c < a->width; c++) y[c] *= shrink;
            sum *= shrink;
            max = s;
        }
        so_real p = (so_real)exp((double)(s - max));
        for (int64_t c0 = 0; c0 < a->width; c0 += PIECE) {
            so_real part[PIECE];
            int64_t n = a->width - c0 < PIECE ? a->width - c0 : PIECE;
            const so_real *v = stored(g, g->v, key * g->kv_stride + kv * a->width + c0, n, part);
            for (int64_t c = 0; c < n; c++) y[c0 + c] += p * v[c];
        }
        sum += p;
    }
    for (int64_t c = 0; c < a->width; c++) y[c] /= sum;
    if (j->lse) j->lse[row * a->heads + h] = max + (so_real)log((double)sum);
}

static void attention_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const attn_rows *j = p;
    const so_attn *a = j->a;
    const so_attn_seg *g = &a->seg[task / a->heads];
    for (int64_t r = 0; r < g->q_rows; r++) attend_row(a, g, r, task % a->heads, j);
}

static void attention(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out, so_real *lse)
{
    so_pool_for(pool, attn->n_segs * attn->heads, attention_task,
                &(attn_rows){.a = attn, .q = q, .y = out, .lse = lse});
}

static void attend_row_back(const so_attn *a, const so_attn_seg *g, int64_t r, int64_t h, const attn_rows *j)
{
    const so_attn_back *b = &j->back;
    int64_t lo, hi, row = g->q_row0 + r, kv = h / (a->heads / a->kv_heads), at = (row * a->heads + h) * a->width;
    bool mean;
    so_attn_visible(a, g, r, &lo, &hi, &mean);
    const so_real *q = b->q + at, *dy = b->dout + at, *y = b->out + at;
    so_real lse = b->lse[row * a->heads + h], dot = 0;
    for (int64_t c = 0; c < a->width; c++) dot += dy[c] * y[c];
    for (int64_t key = lo; key < hi; key++) {
        int64_t kat = key * g->kv_stride + kv * a->width;
        so_real s = mean ? 0 : score(a, g, q, kv, key), prob = (so_real)exp((double)(s - lse)), dp = 0;
        for (int64_t c = 0; c < a->width; c++) dp += dy[c] * g->v[kat + c];
        so_real ds = mean ? 0 : prob * (dp - dot) * a->scale;
        for (int64_t c = 0; c < a->width; c++) {
            if (g->dv) g->dv[kat + c] += prob * dy[c];
            if (g->dk) g->dk[kat + c] += ds * q[c];
            if (b->dq) b->dq[at + c] += ds * g->k[kat + c];
        }
    }
}

bool so_attn_shares_keys(const so_attn *a)
{
    for (int64_t s = 0; s < a->n_segs; s++)
        for (int64_t t = 0; t < s; t++) {
            const so_attn_seg *g = &a->seg[s], *f = &a->seg[t];
            if (g->k < f->k + f->kv_rows * f->kv_stride && f->k < g->k + g->kv_rows * g->kv_stride) return true;
        }
    return false;
}

/* One task per sequence and key head, so that dk and dv have one writer; per key head where sequences share keys. */
static void attention_back_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const attn_rows *j = p;
    const so_attn *a = j->a;
    int64_t group = a->heads / a->kv_heads, kv = task % a->kv_heads, s0 = j->in_turn ? 0 : task / a->kv_heads;
    for (int64_t s = s0; s < (j->in_turn ? a->n_segs : s0 + 1); s++)
        for (int64_t h = kv * group; h < (kv + 1) * group; h++)
            for (int64_t r = 0; r < a->seg[s].q_rows; r++) attend_row_back(a, &a->seg[s], r, h, j);
}

static void attention_back(so_pool *pool, const so_attn *attn, const so_attn_back *back)
{
    bool shared = so_attn_shares_keys(attn);
    so_pool_for(pool, (shared ? 1 : attn->n_segs) * attn->kv_heads, attention_back_task,
                &(attn_rows){.a = attn, .back = *back, .in_turn = shared});
}

void so_fill_attention_c(so_kernels *table)
{
    table->rope = rope;
    table->attention = attention;
    table->attention_back = attention_back;
}
