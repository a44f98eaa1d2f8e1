/* Kernels of the codec, portable. See kernels_codec.h: the larger ones are references of what devices compute.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/ref/portable.h"

#define TWO_PI 6.283185307179586476925

/* Number `col` of row `row` of a stored weight whose rows have `cols`. */
static double weight_at(const so_time_conv *c, int64_t row, int64_t cols, int64_t col, so_real *buffer)
{
    if (c->type == SO_F32) return (double)((const so_real *)c->w)[row * cols + col];
    so_kernels_c()->row(c->type, c->w, row, cols, buffer);
    return (double)buffer[col];
}

/* What output (b, t, o) sees of tap j: the row of x, or -1. */
static int64_t seen(const so_time_conv *c, int64_t t, int64_t j)
{
    int64_t i = c->transposed ? t + c->pad - j : t * c->stride + j * c->dilation - c->pad;
    if (c->transposed && i % c->stride) return -1;
    if (c->transposed) i /= c->stride;
    return i < c->in ? i : -1;
}

static double conv_at(const so_time_conv *c, int64_t b, int64_t t, int64_t o, so_real *buffer)
{
    double sum = c->bias ? (double)c->bias[o] : 0;
    for (int64_t j = 0; j < c->taps; j++) {
        int64_t i = seen(c, t, j);
        for (int64_t l = 0; l < c->channels && i >= 0; l++) {
            double w = c->transposed ? weight_at(c, l, c->n * c->taps, o * c->taps + j, buffer)
                                     : weight_at(c, o, c->channels * c->taps, l * c->taps + j, buffer);
            sum += w * (double)c->x[(b * c->in + i) * c->channels + l];
        }
    }
    return sum;
}

/* What a product or a norm ends with. */
static void end(int then, int64_t n, so_real *y)
{
    if (then) so_kernels_c()->unary(NULL, (so_unary)(then - 1), n, y, y);
}

static void time_conv(so_pool *pool, const so_time_conv *c)
{
    int64_t widest = (c->transposed ? c->n : c->channels) * c->taps;
    so_real *buffer = malloc((size_t)(widest + 1) * sizeof *buffer);
    for (int64_t i = 0; i < c->batch * c->out * c->n && buffer; i++)
        c->y[i] = (so_real)conv_at(c, i / c->n / c->out, i / c->n % c->out, i % c->n, buffer);
    free(buffer);
    end(c->then, c->batch * c->out * c->n, c->y);
    if (!c->w1) return;
    so_time_conv one = *c;
    one.w = c->w1;
    one.bias = c->bias1;
    one.y = c->y1;
    one.w1 = NULL;
    one.then = 0;
    one.taps = one.stride = one.dilation = 1;
    one.pad = 0;
    one.out = one.in;
    time_conv(pool, &one);
}

static void joined(so_pool *pool, const so_joined *j)
{
    const so_kernels *k = so_kernels_c();
    so_real *x = malloc((size_t)(j->m * j->k + 1) * sizeof *x);
    if (!x) return;
    memcpy(x, j->x, (size_t)(j->m * j->k) * sizeof *x);
    so_norm n = {.rows = j->m, .cols = j->k, .eps = j->eps, .x = j->x, .w = j->norm_w, .b = j->norm_b, .y = x};
    if (j->norm_w) k->layer_norm(pool, &n);
    for (int64_t i = 0; i < j->count; i++) {
        so_product p = j->product[i];
        k->linear(pool, &p, j->k, x, j->m);
        end(j->then, j->m * p.n, p.y);
        if (p.add) k->axpy(pool, j->m * p.n, 1, p.add, p.y);
    }
    free(x);
}

static void add_each(so_pool *pool, const so_each *e);
static void group_ends(so_pool *pool, const so_group_ends *g)
{
    const so_kernels *k = so_kernels_c();
    const so_norm *n = &g->norm;
    int64_t all = n->batch * n->rows * n->cols;
    k->group_norm(pool, n);
    end(g->then, all, n->y);
    if (g->each) add_each(pool, &(so_each){n->batch, n->rows, n->cols, n->y, g->each, n->y});
    if (g->add) k->axpy(pool, all, 1, g->add, n->y);
}

static void question(so_pool *pool, const so_question *q)
{
    (void)pool;
    int64_t c = q->cols;
    size_t row = (size_t)c * sizeof *q->y;
    for (int64_t i = 0; i < 2 * q->rows; i++) {
        so_real *y = q->y + i * 4 * c;
        memset(y, 0, 4 * row);
        memcpy(y, q->x + i % q->rows * c, row);
        if (i >= q->rows) continue;
        memcpy(y + c, q->mu + i * c, row);
        memcpy(y + 2 * c, q->speaker, row);
        if (q->cond) memcpy(y + 3 * c, q->cond + i * c, row);
    }
}

static double relative_score(const so_relative *a, int64_t b, int64_t h, int64_t i, int64_t j)
{
    int64_t D = a->heads * a->width, head = h * a->width;
    const so_real *q = a->q + (b * a->rows + i) * D + head, *k = a->k + (b * a->rows + j) * D + head;
    const so_real *p = a->position + (a->rows - 1 - i + j) * D + head;
    double sum = 0;
    for (int64_t c = 0; c < a->width; c++)
        sum += (double)(q[c] + a->u[head + c]) * (double)k[c] + (double)(q[c] + a->w[head + c]) * (double)p[c];
    return sum * (double)a->scale;
}

static void relative(so_pool *pool, const so_relative *a)
{
    (void)pool;
    int64_t D = a->heads * a->width;
    double *odds = malloc((size_t)(a->rows + 1) * sizeof *odds);
    for (int64_t n = 0; n < a->batch * a->heads * a->rows && odds; n++) {
        int64_t b = n / a->rows / a->heads, h = n / a->rows % a->heads, i = n % a->rows;
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < a->rows; j++) most = fmax(most, odds[j] = relative_score(a, b, h, i, j));
        for (int64_t j = 0; j < a->rows; j++) sum += odds[j] = exp(odds[j] - most);
        for (int64_t c = h * a->width; c < (h + 1) * a->width; c++) {
            double y = 0;
            for (int64_t j = 0; j < a->rows; j++) y += odds[j] * (double)a->v[(b * a->rows + j) * D + c];
            a->y[(b * a->rows + i) * D + c] = (so_real)(y / sum);
        }
    }
    free(odds);
}

static void short_stft(so_pool *pool, const so_short_fourier *s)
{
    (void)pool;
    int64_t bins = s->n / 2 + 1;
    for (int64_t r = 0; r < s->batch * s->frames; r++)
        for (int64_t k = 0; k < bins; k++) {
            double re = 0, im = 0;
            for (int64_t t = 0; t < s->n; t++) {
                int64_t i = r % s->frames * s->hop + t - s->pad;
                i = i < 0 ? -i : i >= s->samples ? 2 * (s->samples - 1) - i : i;
                double x = (double)s->x[r / s->frames * s->samples + i] * (double)s->window[t];
                double angle = TWO_PI * (double)(k * t % s->n) / (double)s->n;
                re += x * cos(angle);
                im -= x * sin(angle);
            }
            s->y[r * 2 * bins + k] = (so_real)re;
            s->y[r * 2 * bins + bins + k] = (so_real)im;
        }
}

/* Number t of a frame, from its spectrum. */
static double inverse_at(const so_short_fourier *s, const so_real *spec, int64_t t)
{
    int64_t bins = s->n / 2 + 1;
    double sum = 0;
    for (int64_t k = 0; k < bins; k++) {
        double angle = TWO_PI * (double)(k * t % s->n) / (double)s->n, times = k == 0 || 2 * k == s->n ? 1 : 2;
        sum += times * ((double)spec[k] * cos(angle) - (double)spec[bins + k] * sin(angle));
    }
    return sum / (double)s->n;
}

static void short_istft(so_pool *pool, const so_short_fourier *s)
{
    (void)pool;
    for (int64_t i = 0; i < s->batch * s->samples; i++) {
        double sum = 0, square = 0;
        for (int64_t f = 0; f < s->frames; f++) {
            int64_t t = i % s->samples + s->pad - f * s->hop;
            if (t < 0 || t >= s->n) continue;
            sum += inverse_at(s, s->x + (i / s->samples * s->frames + f) * (s->n + 2), t) * (double)s->window[t];
            square += (double)s->window[t] * (double)s->window[t];
        }
        s->y[i] = (so_real)(square > 1e-11 ? sum / square : 0);
    }
}

static void nearest(so_pool *pool, const so_nearest *n)
{
    (void)pool;
    for (int64_t r = 0; r < n->rows; r++) {
        double least = INFINITY;
        n->ids[r] = 0;
        for (int64_t j = 0; j < n->codes; j++) {
            double distance = 0;
            for (int64_t c = 0; c < n->cols; c++) {
                double d = (double)n->x[r * n->cols + c] - (double)n->code[j * n->cols + c];
                distance += d * d;
            }
            if (distance < least) {
                least = distance;
                n->ids[r] = (int32_t)j;
            }
        }
    }
}

/* ---- numbers and rows */

static void polar(so_pool *pool, int64_t rows, int64_t bins, so_real limit, const so_real *x, so_real *y)
{
    (void)pool;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < bins; k++) {
            int64_t a = r * 2 * bins + k, b = a + bins;
            double m = exp((double)x[a]), p = sin((double)x[b]);
            if (m > (double)limit) m = (double)limit;
            y[a] = (so_real)(m * cos(p));
            y[b] = (so_real)(m * sin(p));
        }
}

static void fill(so_pool *pool, int64_t n, so_real value, so_real *y)
{
    (void)pool;
    for (int64_t i = 0; i < n; i++) y[i] = value;
}

static void guide(so_pool *pool, int64_t n, const so_real *f, const so_real *v, so_real *x)
{
    (void)pool;
    so_real dt = f[0], g = f[1];
    for (int64_t i = 0; i < n; i++) x[i] += dt * ((1 + g) * v[i] - g * v[n + i]);
}

static void clamp(so_pool *pool, int64_t n, so_real limit, const so_real *x, so_real *y)
{
    (void)pool;
    for (int64_t i = 0; i < n; i++) y[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

static void columns(so_pool *pool, const so_columns *c)
{
    (void)pool;
    for (int64_t r = 0; r < c->rows; r++) {
        memcpy(c->y + r * c->ldy, c->x + r * c->ldx, (size_t)c->n * sizeof *c->y);
        if (c->n1) memcpy(c->y + r * c->ldy + c->n, c->x1 + r * c->n1, (size_t)c->n1 * sizeof *c->y);
    }
}

static void lerp(so_pool *pool, const so_lerp *l)
{
    (void)pool;
    for (int64_t i = 0; i < l->n; i++) {
        so_real w = l->weight[i], *y = l->y + i * l->cols;
        const so_real *a = l->x + l->index[i] * l->cols, *b = w != 0 ? a + l->cols : a;
        for (int64_t j = 0; j < l->cols; j++) y[j] = (1 - w) * a[j] + w * b[j];
    }
}

static void add_each(so_pool *pool, const so_each *e)
{
    (void)pool;
    for (int64_t r = 0; r < e->batch * e->each; r++) {
        const so_real *x = e->x + r * e->cols, *add = e->add + r / e->each * e->cols;
        for (int64_t c = 0; c < e->cols; c++) e->y[r * e->cols + c] = x[c] + add[c];
    }
}

static void l2_norm(so_pool *pool, const so_norm *n)
{
    (void)pool;
    for (int64_t r = 0; r < n->rows; r++) {
        const so_real *x = n->x + r * n->cols;
        double sum = 0;
        for (int64_t c = 0; c < n->cols; c++) sum += (double)x[c] * (double)x[c];
        so_real length = (so_real)sqrt(sum);
        if (!(length > n->eps)) length = n->eps;
        for (int64_t c = 0; c < n->cols; c++) n->y[r * n->cols + c] = x[c] / length;
    }
}

void so_fill_codec_c(so_kernels *table)
{
    table->time_conv = time_conv;
    table->joined = joined;
    table->group_ends = group_ends;
    table->question = question;
    table->relative = relative;
    table->short_stft = short_stft;
    table->short_istft = short_istft;
    table->nearest = nearest;
    table->polar = polar;
    table->fill = fill;
    table->guide = guide;
    table->clamp = clamp;
    table->columns = columns;
    table->lerp = lerp;
    table->add_each = add_each;
    table->l2_norm = l2_norm;
}
