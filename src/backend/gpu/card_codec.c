/* The codec's part of the kernel table of graphics cards.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "backend/gpu/card.h"

#define TWO_PI 6.283185307179586476925

static void time_conv(so_pool *pool, const so_time_conv *c)
{
    int64_t rows = c->transposed ? c->channels : c->n, cols = (c->transposed ? c->n : c->channels) * c->taps;
    int64_t phases = c->transposed ? c->stride : 0, tall = c->transposed ? over(c->out, c->stride) + 1 : c->out;
    size_t row = so_type_bytes(c->type, cols);
    struct {
        PARAMS_CONV
    } p = {at(c->w),       at(c->x),         at(c->bias),      at(c->y),     at(c->w1),  at(c->bias1),
           at(c->y1),      (int)c->n,        (int)c->channels, (int)c->taps, (int)c->in, (int)c->out,
           (int)c->stride, (int)c->dilation, (int)c->pad,      (int)phases,  c->then};
    LAUNCH(conv, c->type, over(c->n, 64) * (c->w1 ? 2 : 1), over(tall, 64), c->batch * (phases ? phases : 1), p);
    so_gpu_reads(&launch, c->w, row * (size_t)rows);
    so_gpu_reads(&launch, c->x, reals(c->batch * c->in * c->channels));
    so_gpu_reads(&launch, c->bias, reals(c->n));
    so_gpu_writes(&launch, c->y, reals(c->batch * c->out * c->n));
    so_gpu_reads(&launch, c->w1, so_type_bytes(c->type, c->channels) * (size_t)c->n);
    so_gpu_reads(&launch, c->w1 ? c->bias1 : NULL, reals(c->n));
    so_gpu_writes(&launch, c->w1 ? c->y1 : NULL, reals(c->batch * c->in * c->n));
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

static void relative(so_pool *pool, const so_relative *a)
{
    enum { WIDEST = 256 };
    int64_t cols = a->heads * a->width, cells = a->batch * a->rows * cols;
    if (a->width > WIDEST) {
        so_gpu_fail(so_gpu_of(pool), SO_ERR_UNSUPPORTED, "attention of heads of %lld numbers (at most %d)",
                    (long long)a->width, WIDEST);
        return;
    }
    struct {
        PARAMS_RELATIVE
    } p = {at(a->q), at(a->k),     at(a->v),      at(a->position), at(a->u),       at(a->w),
           at(a->y), (int)a->rows, (int)a->heads, (int)a->width,   (float)a->scale};
    LAUNCH(relative, 0, a->batch * a->rows, a->heads, 1, p);
    so_gpu_reads(&launch, a->q, reals(cells));
    so_gpu_reads(&launch, a->k, reals(cells));
    so_gpu_reads(&launch, a->v, reals(cells));
    so_gpu_reads(&launch, a->position, reals((2 * a->rows - 1) * cols));
    so_gpu_reads(&launch, a->u, reals(cols));
    so_gpu_reads(&launch, a->w, reals(cols));
    so_gpu_writes(&launch, a->y, reals(cells));
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

static void group_ends(so_pool *pool, const so_group_ends *g)
{
    const so_norm *n = &g->norm;
    int64_t cells = n->batch * n->rows * n->cols;
    struct {
        PARAMS_GROUP_NORM
    } p = {at(n->x),     at(n->w),     at(n->b),       at(n->y), at(g->each),  at(g->add),
           (int)n->rows, (int)n->cols, (int)n->groups, g->then,  (float)n->eps};
    LAUNCH(group_norm, 0, cells ? n->batch * n->groups : 0, 1, 1, p);
    so_gpu_reads(&launch, n->x, reals(cells));
    so_gpu_reads(&launch, n->w, reals(n->cols));
    so_gpu_reads(&launch, n->b, reals(n->cols));
    so_gpu_reads(&launch, g->each, reals(n->batch * n->cols));
    so_gpu_reads(&launch, g->add, reals(cells));
    so_gpu_writes(&launch, n->y, reals(cells));
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

static void group_norm(so_pool *pool, const so_norm *n) { group_ends(pool, &(so_group_ends){.norm = *n}); }

static void question(so_pool *pool, const so_question *q)
{
    size_t one = reals(q->rows * q->cols);
    struct {
        PARAMS_QUESTION
    } p = {at(q->x), at(q->mu), at(q->speaker), at(q->cond), at(q->y), (int)q->rows, (int)q->cols};
    LAUNCH(question, 0, 2 * q->rows, over(4 * q->cols, 64), 1, p);
    so_gpu_reads(&launch, q->x, one);
    so_gpu_reads(&launch, q->mu, one);
    so_gpu_reads(&launch, q->speaker, reals(q->cols));
    so_gpu_reads(&launch, q->cond, one);
    so_gpu_writes(&launch, q->y, 8 * one);
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

static void l2_norm(so_pool *pool, const so_norm *n) { so_gpu_norm(pool, NORM_L2, n, n->cols); }

/* ---- Fourier transforms */

/* Cosines and sines of angle t k of n, [n, 2 bins], each row times window[t]; of the way back each column times its
 * share, too, and the squared window behind them. */
static void fill_table(const so_short_fourier *s, bool back, float *table)
{
    int64_t n = s->n, bins = n / 2 + 1;
    for (int64_t t = 0; t < n; t++) {
        for (int64_t k = 0; k < bins; k++) {
            double angle = TWO_PI * (double)(k * t % n) / (double)n, times = (double)s->window[t];
            if (back) times *= (k == 0 || 2 * k == n ? 1.0 : 2.0) / (double)n;
            table[t * 2 * bins + k] = (float)(times * cos(angle));
            table[t * 2 * bins + bins + k] = (float)(-times * sin(angle));
        }
        if (back) table[n * 2 * bins + t] = (float)((double)s->window[t] * (double)s->window[t]);
    }
}

static void fourier(so_pool *pool, int kind, const so_short_fourier *s)
{
    so_device *device = so_gpu_of(pool);
    float table[SO_SHORT_FRAME * (SO_SHORT_FRAME + 3)];
    bool back = kind == FOURIER_SAMPLES;
    int64_t wide = s->n + 2, spectra = s->batch * s->frames * wide, samples = s->batch * s->samples;
    size_t bytes = (size_t)(s->n * wide + (back ? s->n : 0)) * sizeof *table;
    if (s->n > SO_SHORT_FRAME) {
        so_gpu_fail(device, SO_ERR_UNSUPPORTED, "frames of %lld samples (at most %d)", (long long)s->n, SO_SHORT_FRAME);
        return;
    }
    fill_table(s, back, table);
    so_gpu_hold(device);
    uint64_t lent = so_gpu_lend(device, table, bytes);
    int64_t count = back ? samples : spectra;
    struct {
        PARAMS_FOURIER
    } p = {at(s->x), lent, at(s->y), (int)s->samples, (int)s->frames, (int)s->n, (int)s->hop, (int)s->pad, (int)count};
    LAUNCH(fourier, kind, lent ? over(count, 64) : 0, 1, 1, p);
    so_gpu_reads(&launch, s->x, reals(back ? spectra : samples));
    so_gpu_reads(&launch, (void *)(uintptr_t)lent, bytes);
    so_gpu_writes(&launch, s->y, reals(count));
    so_gpu_launch_now(device, &launch);
    so_gpu_let(device);
}

static void short_stft(so_pool *pool, const so_short_fourier *s) { fourier(pool, FOURIER_SPECTRUM, s); }
static void short_istft(so_pool *pool, const so_short_fourier *s) { fourier(pool, FOURIER_SAMPLES, s); }

static void polar(so_pool *pool, int64_t rows, int64_t bins, so_real limit, const so_real *x, so_real *y)
{
    struct {
        PARAMS_POLAR
    } p = {at(x), at(y), (int)rows, (int)bins, (float)limit};
    LAUNCH(polar, 0, over(rows * bins, 64), 1, 1, p);
    so_gpu_reads(&launch, x, reals(rows * bins * 2));
    so_gpu_writes(&launch, y, reals(rows * bins * 2));
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

/* The likeliest column of x code^T - |code|^2 / 2. */
static void nearest(so_pool *pool, const so_nearest *n)
{
    const so_kernels *k = so_device_kernels(so_gpu_of(pool), false);
    so_real *square = n->work, *score = n->work + n->codes;
    so_norm lengths = {.rows = n->codes, .cols = n->cols, .x = n->code, .y = square};
    so_product product = {.type = SO_F32, .w = n->code, .n = n->codes, .bias = square, .y = score};
    so_gpu_norm(pool, NORM_HALF_SQUARE, &lengths, 1);
    k->linear(pool, &product, n->cols, n->x, n->rows);
    k->best(pool, n->rows, n->codes, score, n->ids);
}

/* ---- numbers and rows */

static void fill(so_pool *pool, int64_t n, so_real value, so_real *y)
{
    so_gpu_numbers(pool, &(so_numbers_job){.kind = ELEMENT_FILL, .n = n, .factor = (float)value, .z = y});
}

static void guide(so_pool *pool, int64_t n, const so_real *f, const so_real *v, so_real *x)
{
    so_gpu_numbers(pool,
                   &(so_numbers_job){.kind = ELEMENT_GUIDE, .n = n, .xs = 2 * n, .ys = 2, .x = v, .y = f, .z = x});
}

static void clamp(so_pool *pool, int64_t n, so_real limit, const so_real *x, so_real *y)
{
    so_gpu_numbers(pool, &(so_numbers_job){.kind = ELEMENT_CLAMP, .n = n, .factor = (float)limit, .x = x, .z = y});
}

static void snake(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, const so_real *alpha, so_real *y)
{
    so_numbers_job j = {.kind = ELEMENT_SNAKE, .n = rows * cols, .cols = cols, .ys = cols, .x = x, .y = alpha, .z = y};
    so_gpu_numbers(pool, &j);
}

static void add_each(so_pool *pool, const so_each *e)
{
    so_numbers_job j = {.kind = ELEMENT_ADD_EACH, .n = e->batch * e->each * e->cols, .cols = e->cols, .each = e->each};
    j.ys = e->batch * e->cols;
    j.x = e->x;
    j.y = e->add;
    j.z = e->y;
    so_gpu_numbers(pool, &j);
}

static void columns(so_pool *pool, const so_columns *c)
{
    struct {
        PARAMS_COLUMNS
    } p = {at(c->x), at(c->x1), at(c->y), (int)c->n, (int)c->n1, (int)c->ldx, (int)c->ldy};
    LAUNCH(columns, 0, c->rows, over(c->n + c->n1, 64), 1, p);
    /* What lies between the columns is another launch's: a range of all rows is more than is written, but right. */
    int64_t before = c->rows ? c->rows - 1 : 0;
    so_gpu_reads(&launch, c->x, reals(before * c->ldx + c->n));
    so_gpu_reads(&launch, c->x1, reals(c->rows * c->n1));
    so_gpu_writes(&launch, c->y, reals(before * c->ldy + c->n + c->n1));
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

static void lerp(so_pool *pool, const so_lerp *l)
{
    so_device *device = so_gpu_of(pool);
    so_gpu_hold(device);
    uint64_t index = 0, both = (uint64_t)l->n * sizeof(float);
    void *room = so_gpu_share(device, 2 * (size_t)both + 1, &index);
    float *weight = room ? (float *)room + l->n : NULL;
    if (room) memcpy(room, l->index, (size_t)both);
    for (int64_t i = 0; weight && i < l->n; i++) weight[i] = (float)l->weight[i];
    struct {
        PARAMS_LERP
    } p = {at(l->x), index, index + both, at(l->y), (int)l->cols};
    LAUNCH(lerp, 0, room ? l->n : 0, over(l->cols, 64), 1, p);
    so_gpu_reads(&launch, l->x, reals(l->rows * l->cols));
    so_gpu_reads(&launch, (void *)(uintptr_t)index, 2 * (size_t)both);
    so_gpu_writes(&launch, l->y, reals(l->n * l->cols));
    so_gpu_launch_now(device, &launch);
    so_gpu_let(device);
}

void so_gpu_fill_codec(so_kernels *table)
{
    table->time_conv = time_conv;
    table->relative = relative;
    table->group_norm = group_norm;
    table->group_ends = group_ends;
    table->question = question;
    table->l2_norm = l2_norm;
    table->short_stft = short_stft;
    table->short_istft = short_istft;
    table->polar = polar;
    table->nearest = nearest;
    table->fill = fill;
    table->guide = guide;
    table->clamp = clamp;
    table->snake = snake;
    table->add_each = add_each;
    table->columns = columns;
    table->lerp = lerp;
}
