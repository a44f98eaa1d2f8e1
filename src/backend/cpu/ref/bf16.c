/* Products rounded to bf16 for inference: portable. A layout is the rounded weights, row by row; of a convolution, tap
 * by tap.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref/portable.h"

static so_real rounded(so_real x) { return (so_real)so_from_bf16(so_to_bf16((float)x)); }

static size_t bf16_bytes(int64_t n, int64_t k) { return (size_t)(n * k) * sizeof(uint16_t); }

static void bf16_pack(so_pool *pool, int64_t n, int64_t k, const so_real *w, void *layout)
{
    (void)pool;
    uint16_t *to = layout;
    for (int64_t i = 0; i < n * k; i++) to[i] = so_to_bf16((float)w[i]);
}

static void bf16_rows(void *p, int64_t r0, int64_t r1)
{
    const so_bf16_product *j = p;
    const uint16_t *w = j->layout;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t i = 0; i < j->n; i++) {
            so_real sum = 0;
            for (int64_t l = 0; l < j->k; l++)
                sum += rounded(j->x[r * j->ldx + l]) * (so_real)so_from_bf16(w[i * j->k + l]);
            j->y[r * j->ldy + i] = sum + (j->bias ? j->bias[i] : 0);
        }
}

static void bf16_linear(so_pool *pool, const so_bf16_product *product)
{
    so_bf16_product job = *product;
    so_for_rows(pool, job.m, 8, bf16_rows, &job);
}

/* ---- convolutions */

static size_t bf16_conv_bytes(int64_t n, int64_t channels, int64_t taps) { return bf16_bytes(n, channels * taps); }

static void bf16_conv_pack(so_pool *pool, int64_t n, int64_t channels, int64_t taps, const so_real *w, void *layout)
{
    (void)pool;
    uint16_t *to = layout;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < taps; j++)
            for (int64_t c = 0; c < channels; c++) *to++ = so_to_bf16((float)w[(i * channels + c) * taps + j]);
}

typedef struct bf16_conv_rows {
    const so_conv *conv;
    int64_t n;
    const uint16_t *w;
    const so_real *x, *bias;
    so_real *y;
} bf16_conv_rows;

static void conv_rows(void *p, int64_t r0, int64_t r1)
{
    const bf16_conv_rows *j = p;
    const so_conv *c = j->conv;
    int64_t C = c->channels;
    for (int64_t r = r0; r < r1; r++) {
        int64_t b = r / c->out[1], t = r % c->out[1] * c->stride[1] - c->pad[1];
        for (int64_t i = 0; i < j->n; i++) {
            so_real sum = 0;
            for (int64_t tap = 0; tap < c->kernel[1]; tap++) {
                int64_t at = t + tap * c->dilation[1];
                const so_real *x = j->x + (b * c->in[1] + at) * C;
                const uint16_t *w = j->w + (i * c->kernel[1] + tap) * C;
                for (int64_t l = 0; at >= 0 && at < c->in[1] && l < C; l++)
                    sum += rounded(x[l]) * (so_real)so_from_bf16(w[l]);
            }
            j->y[r * j->n + i] = sum + (j->bias ? j->bias[i] : 0);
        }
    }
}

static bool bf16_conv(so_pool *pool, const so_conv *conv, const so_bf16_product *p)
{
    if (conv->kernel[0] != 1 || conv->in[0] != 1 || conv->out[0] != 1) return false;
    so_for_rows(pool, conv->batch * conv->out[1], 8, conv_rows,
                &(bf16_conv_rows){conv, p->n, p->layout, p->x, p->bias, p->y});
    return true;
}

/* ---- attention */

typedef struct bf16_attn_rows {
    const so_attn *a;
    const so_real *q;
    so_real *y;
} bf16_attn_rows;

/* One row of one head: scores twice, so that none is kept; the first time for their maximum. */
static void attend(const bf16_attn_rows *j, const so_attn_seg *g, int64_t h, int64_t r)
{
    const so_attn *a = j->a;
    int64_t d = a->width, row = g->q_row0 + r, kv = h / (a->heads / a->kv_heads) * d, lo = 0, hi = g->kv_rows;
    bool mean = a->lo && a->lo[row] == a->hi[row];
    if (a->lo && !mean) {
        lo = a->lo[row];
        hi = a->hi[row];
    } else if (!a->lo && a->causal && g->pos0 + r + 1 < hi) {
        hi = g->pos0 + r + 1;
    }
    const so_real *q = j->q + (row * a->heads + h) * d;
    so_real *y = j->y + (row * a->heads + h) * d, max = -(so_real)INFINITY, sum = 0;
    so_real scale = mean ? 0 : a->scale * (so_real)1.4426950408889634;
    memset(y, 0, (size_t)d * sizeof *y);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = lo; i < hi; i++) {
            const so_real *k = g->k + i * g->kv_stride + kv, *v = g->v + i * g->kv_stride + kv;
            so_real s = 0;
            for (int64_t c = 0; c < d; c++) s += rounded(q[c] * scale) * rounded(k[c]);
            if (pass == 0) {
                if (s > max) max = s;
                continue;
            }
            so_real e = (so_real)exp2((double)(s - max));
            sum += e;
            for (int64_t c = 0; c < d; c++) y[c] += rounded(e) * rounded(v[c]);
        }
    for (int64_t c = 0; c < d && sum > 0; c++) y[c] /= sum;
}

static void attend_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const bf16_attn_rows *j = p;
    const so_attn_seg *g = &j->a->seg[task / j->a->heads];
    for (int64_t r = 0; r < g->q_rows; r++) attend(j, g, task % j->a->heads, r);
}

static void bf16_attention(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out)
{
    so_pool_for(pool, attn->n_segs * attn->heads, attend_task, &(bf16_attn_rows){attn, q, out});
}

void so_fill_bf16_c(so_kernels *table)
{
    table->bf16_bytes = bf16_bytes;
    table->bf16_pack = bf16_pack;
    table->bf16_linear = bf16_linear;
    table->bf16_conv_bytes = bf16_conv_bytes;
    table->bf16_conv_pack = bf16_conv_pack;
    table->bf16_conv = bf16_conv;
    table->bf16_attention = bf16_attention;
}
