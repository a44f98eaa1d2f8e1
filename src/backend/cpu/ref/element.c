/* Elementwise kernels, softmax and cross entropy, portable.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "backend/cpu/adam_body.h"
#include "backend/cpu/ref/portable.h"

enum { GRAIN = 1 << 14 };

static so_real sigmoid(so_real x) { return 1 / (1 + (so_real)exp(-(double)x)); }

static so_real value(so_unary f, so_real x)
{
    double d = (double)x;
    switch (f) {
    case SO_SILU:
        return x * sigmoid(x);
    case SO_GELU:
        return (so_real)(0.5 * d * (1 + erf(d * 0.70710678118654752440)));
    case SO_GELU_TANH:
        return (so_real)(0.5 * d * (1 + tanh(0.79788456080286535588 * (d + 0.044715 * d * d * d))));
    case SO_MISH:
        return (so_real)(d * tanh(d > 30 ? d : log1p(exp(d))));
    case SO_ELU:
        return x > 0 ? x : (so_real)expm1(d);
    case SO_RELU:
        return x > 0 ? x : 0;
    case SO_LRELU_0_1:
        return x > 0 ? x : x * (so_real)0.1;
    case SO_LRELU_0_01:
        return x > 0 ? x : x * (so_real)0.01;
    case SO_TANH:
        return (so_real)tanh(d);
    case SO_SIGMOID:
        return sigmoid(x);
    case SO_EXP:
        return (so_real)exp(d);
    case SO_SIN:
        return (so_real)sin(d);
    case SO_ABS:
        return (so_real)fabs(d);
    case SO_SQUARED:
        return x * x;
    default:
        return x;
    }
}

static double slope(so_unary f, double x)
{
    switch (f) {
    case SO_SILU: {
        double s = 1 / (1 + exp(-x));
        return s * (1 + x * (1 - s));
    }
    case SO_GELU:
        return 0.5 * (1 + erf(x * 0.70710678118654752440)) + x * 0.39894228040143267794 * exp(-0.5 * x * x);
    case SO_GELU_TANH: {
        double c = 0.79788456080286535588, t = tanh(c * (x + 0.044715 * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
    }
    case SO_MISH: {
        double t = tanh(x > 30 ? x : log1p(exp(x))), s = 1 / (1 + exp(-x));
        return t + x * (1 - t * t) * s;
    }
    case SO_ELU:
        return x > 0 ? 1 : exp(x);
    case SO_RELU:
        return x > 0;
    case SO_LRELU_0_1:
        return x > 0 ? 1 : 0.1;
    case SO_LRELU_0_01:
        return x > 0 ? 1 : 0.01;
    case SO_TANH: {
        double t = tanh(x);
        return 1 - t * t;
    }
    case SO_SIGMOID: {
        double s = 1 / (1 + exp(-x));
        return s * (1 - s);
    }
    case SO_EXP:
        return exp(x);
    case SO_SIN:
        return cos(x);
    case SO_ABS:
        return (x > 0) - (x < 0);
    case SO_SQUARED:
        return 2 * x;
    default:
        return 1;
    }
}

typedef struct job {
    so_unary f;
    so_real a;
    const so_real *x, *y, *dy;
    so_real *out, *out2;
    bool first, first2; /* out, out2 are written, not added to */
} job;

static void unary_part(void *p, int64_t i0, int64_t i1)
{
    const job *j = p;
    for (int64_t i = i0; i < i1; i++) j->out[i] = value(j->f, j->x[i]);
}

static void unary(so_pool *pool, so_unary f, int64_t n, const so_real *x, so_real *y)
{
    so_for_rows(pool, n, GRAIN, unary_part, &(job){.f = f, .x = x, .out = y});
}

static void unary_back_part(void *p, int64_t i0, int64_t i1)
{
    const job *j = p;
    for (int64_t i = i0; i < i1; i++)
        j->out[i] = (j->first ? 0 : j->out[i]) + j->dy[i] * (so_real)slope(j->f, (double)j->x[i]);
}

static void unary_back(so_pool *pool, so_unary f, int64_t n, const so_real *x, const so_real *dy, bool add, so_real *dx)
{
    so_for_rows(pool, n, GRAIN, unary_back_part, &(job){.f = f, .x = x, .dy = dy, .out = dx, .first = !add});
}

static void swiglu_part(void *p, int64_t i0, int64_t i1)
{
    const job *j = p;
    for (int64_t i = i0; i < i1; i++) j->out[i] = j->x[i] * sigmoid(j->x[i]) * j->y[i];
}

static void swiglu(so_pool *pool, int64_t n, const so_real *gate, const so_real *up, so_real *y)
{
    so_for_rows(pool, n, GRAIN, swiglu_part, &(job){.x = gate, .y = up, .out = y});
}

static void swiglu_back_part(void *p, int64_t i0, int64_t i1)
{
    const job *j = p;
    for (int64_t i = i0; i < i1; i++) {
        so_real g = j->x[i], s = sigmoid(g);
        if (j->out) j->out[i] = (j->first ? 0 : j->out[i]) + j->dy[i] * j->y[i] * s * (1 + g * (1 - s));
        if (j->out2) j->out2[i] = (j->first2 ? 0 : j->out2[i]) + j->dy[i] * g * s;
    }
}

static void swiglu_back(so_pool *pool, int64_t n, const so_swiglu_back *b)
{
    so_for_rows(pool, n, GRAIN, swiglu_back_part,
                &(job){.x = b->gate,
                       .y = b->up,
                       .dy = b->dy,
                       .out = b->dgate,
                       .out2 = b->dup,
                       .first = b->first_dgate,
                       .first2 = b->first_dup});
}

static void axpy_part(void *p, int64_t i0, int64_t i1)
{
    const job *j = p;
    const so_real *x = j->x;
    so_real *y = j->out, a = j->a;
    for (int64_t i = i0; i < i1; i++) y[i] += a * x[i];
}

static void axpy(so_pool *pool, int64_t n, so_real a, const so_real *x, so_real *y)
{
    job j = {.a = a, .x = x, .out = y};
    if (n <= GRAIN)
        axpy_part(&j, 0, n);
    else
        so_for_rows(pool, n, GRAIN, axpy_part, &j);
}

static void sum_rows(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, so_real *out)
{
    (void)pool;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) out[c] += x[r * cols + c];
}

typedef struct softmax_rows {
    int64_t cols;
    const so_real *x, *dy;
    so_real *out;
} softmax_rows;

static double log_sum_exp(const so_real *x, int64_t n, so_real *max)
{
    *max = x[0];
    for (int64_t i = 1; i < n; i++)
        if (x[i] > *max) *max = x[i];
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)(x[i] - *max));
    return (double)*max + log(sum);
}

static void softmax_part(void *p, int64_t r0, int64_t r1)
{
    const softmax_rows *j = p;
    for (int64_t r = r0; r < r1 && j->cols; r++) {
        const so_real *x = j->x + r * j->cols;
        so_real max, *y = j->out + r * j->cols;
        double lse = log_sum_exp(x, j->cols, &max);
        for (int64_t c = 0; c < j->cols; c++) y[c] = (so_real)exp((double)x[c] - lse);
    }
}

static void softmax(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, so_real *y)
{
    so_for_rows(pool, rows, 1 + GRAIN / (cols + 1), softmax_part, &(softmax_rows){.cols = cols, .x = x, .out = y});
}

static void softmax_back_part(void *p, int64_t r0, int64_t r1)
{
    const softmax_rows *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const so_real *y = j->x + r * j->cols, *dy = j->dy + r * j->cols;
        double dot = 0;
        for (int64_t c = 0; c < j->cols; c++) dot += (double)y[c] * (double)dy[c];
        for (int64_t c = 0; c < j->cols; c++) j->out[r * j->cols + c] += y[c] * (dy[c] - (so_real)dot);
    }
}

static void softmax_back(so_pool *pool, int64_t rows, int64_t cols, const so_real *y, const so_real *dy, so_real *dx)
{
    so_for_rows(pool, rows, 1 + GRAIN / (cols + 1), softmax_back_part,
                &(softmax_rows){.cols = cols, .x = y, .dy = dy, .out = dx});
}

static void cross_entropy_part(void *p, int64_t r0, int64_t r1)
{
    const so_label_loss *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const so_real *x = j->x + r * j->cols;
        int32_t label = j->label[r];
        j->loss[r] = 0;
        if (label < 0) continue;
        so_real max;
        double lse = log_sum_exp(x, j->cols, &max);
        j->loss[r] = (so_real)(lse - (double)x[label]);
        if (!j->dx) continue;
        so_real *dx = j->dx + r * j->cols;
        for (int64_t c = 0; c < j->cols; c++) dx[c] += j->scale * (so_real)exp((double)x[c] - lse);
        dx[label] -= j->scale;
    }
}

static void cross_entropy(so_pool *pool, const so_label_loss *loss)
{
    so_label_loss copy = *loss;
    so_for_rows(pool, copy.rows, 1 + GRAIN / (copy.cols + 1), cross_entropy_part, &copy);
}

void so_fill_element_c(so_kernels *table)
{
    table->unary = unary;
    table->unary_back = unary_back;
    table->swiglu = swiglu;
    table->swiglu_back = swiglu_back;
    table->axpy = axpy;
    table->sum_rows = sum_rows;
    table->softmax = softmax;
    table->softmax_back = softmax_back;
    table->cross_entropy = cross_entropy;
    table->adam = adam;
    table->square_sum = square_sum;
}
