/* Elementwise kernels, softmax, cross entropy and sums of rows for one ISA. Functions of analysis from simd.h; bound by
 * memory beyond the second-level cache (8 to 16 bytes an element, 15 to 40 flops).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_ELEMENT_H
#define SO_BACKEND_CPU_X86_FAST_ELEMENT_H

#include "backend/cpu/adam_body.h"
#include "backend/cpu/ref/portable.h"
#include "backend/cpu/x86/simd.h"

enum { GRAIN = 1 << 14 };

typedef struct element_job {
    so_unary f;
    float a;
    const float *x, *y, *dy;
    float *out, *out2;
    bool first, first2; /* out, out2 are written, not added to */
} element_job;

static inline vec v_gelu_tanh_gate(vec x, vec *x2)
{
    *x2 = x * x;
    return v_sigmoid(v_set(2 * 0.79788456080286535588f) * x * v_fma(*x2, v_set(0.044715f), v_set(1)));
}

/* tanh(ln(1 + e^x)) = q / (q + 2), q = e^x (e^x + 2) */
static inline vec v_mish_gate(vec x)
{
    vec e = v_exp(v_min(v_set(30), x)), q = e * (e + v_set(2));
    return q / (q + v_set(2));
}

static inline __attribute__((always_inline)) vec value(so_unary f, vec x)
{
    vec t, zero = v_set(0), one = v_set(1);
    switch (f) {
    case SO_SILU:
        return x * v_sigmoid(x);
    case SO_GELU:
        return x * v_normal(x, &t);
    case SO_GELU_TANH:
        return x * v_gelu_tanh_gate(x, &t);
    case SO_MISH:
        return x * v_mish_gate(x);
    case SO_ELU:
        return v_pick(v_gt(x, zero), x, v_expm1(x));
    case SO_RELU:
        return v_pick(v_gt(x, zero), x, zero);
    case SO_LRELU_0_1:
        return v_pick(v_gt(x, zero), x, x * v_set(0.1f));
    case SO_LRELU_0_01:
        return v_pick(v_gt(x, zero), x, x * v_set(0.01f));
    case SO_TANH:
        return v_tanh(x);
    case SO_SIGMOID:
        return one / (one + v_exp(-x));
    case SO_EXP:
        return v_exp(x);
    case SO_SIN:
        return v_sin(x);
    case SO_ABS:
        return v_abs(x);
    case SO_SQUARED:
        return x * x;
    default:
        return x;
    }
}

static inline __attribute__((always_inline)) vec slope(so_unary f, vec x)
{
    vec zero = v_set(0), one = v_set(1), s, t;
    switch (f) {
    case SO_SILU:
        s = v_sigmoid(x);
        return s * v_fma(x, one - s, one);
    case SO_GELU:
        s = v_normal(x, &t);
        return v_fma(x, t, s);
    case SO_GELU_TANH:
        s = v_gelu_tanh_gate(x, &t);
        return v_fma(x * s * (one - s) * v_set(2 * 0.79788456080286535588f), v_fma(t, v_set(3 * 0.044715f), one), s);
    case SO_MISH:
        t = v_mish_gate(x);
        return v_fma(x * (one - t * t), v_sigmoid(x), t);
    case SO_ELU:
        return v_pick(v_gt(x, zero), one, v_exp(x));
    case SO_RELU:
        return v_pick(v_gt(x, zero), one, zero);
    case SO_LRELU_0_1:
        return v_pick(v_gt(x, zero), one, v_set(0.1f));
    case SO_LRELU_0_01:
        return v_pick(v_gt(x, zero), one, v_set(0.01f));
    case SO_TANH:
        t = v_exp(v_abs(x) * v_set(-2));
        s = one / (one + t);
        return v_set(4) * t * s * s;
    case SO_SIGMOID:
        s = v_sigmoid(x);
        return s * (one - s);
    case SO_EXP:
        return v_exp(x);
    case SO_SIN:
        return v_cos(x);
    case SO_ABS:
        return v_pick(v_gt(x, zero), one, v_pick(v_gt(zero, x), -one, zero));
    case SO_SQUARED:
        return x + x;
    default:
        return one;
    }
}

#define FOR_EACH_UNARY(DO)                                                                                             \
    DO(SO_SILU)                                                                                                        \
    DO(SO_GELU)                                                                                                        \
    DO(SO_GELU_TANH)                                                                                                   \
    DO(SO_MISH)                                                                                                        \
    DO(SO_ELU)                                                                                                         \
    DO(SO_RELU)                                                                                                        \
    DO(SO_LRELU_0_1)                                                                                                   \
    DO(SO_LRELU_0_01)                                                                                                  \
    DO(SO_TANH)                                                                                                        \
    DO(SO_SIGMOID)                                                                                                     \
    DO(SO_EXP)                                                                                                         \
    DO(SO_SIN)                                                                                                         \
    DO(SO_ABS)                                                                                                         \
    DO(SO_SQUARED)

static inline __attribute__((always_inline)) void unary_loop(so_unary f, const float *x, int64_t n, float *y)
{
    int64_t i = 0;
    for (; i + W <= n; i += W) v_store(y + i, value(f, v_load(x + i)));
    if (i < n) v_store_m(y + i, v_tail(n - i), value(f, v_load_m(x + i, v_tail(n - i))));
}

static void unary_part(void *p, int64_t i0, int64_t i1)
{
    const element_job *j = p;
    switch (j->f) {
#define DO(F)                                                                                                          \
    case F:                                                                                                            \
        unary_loop(F, j->x + i0, i1 - i0, j->out + i0);                                                                \
        break;
        FOR_EACH_UNARY(DO)
#undef DO
    default:
        break;
    }
}

static void unary(so_pool *pool, so_unary f, int64_t n, const float *x, float *y)
{
    so_for_rows(pool, n, GRAIN, unary_part, &(element_job){.f = f, .x = x, .out = y});
}

static inline __attribute__((always_inline)) void unary_back_loop(so_unary f, bool add, const float *x, const float *dy,
                                                                  int64_t n, float *dx)
{
    int64_t i = 0;
    for (; i + W <= n; i += W)
        v_store(dx + i, v_fma(v_load(dy + i), slope(f, v_load(x + i)), add ? v_load(dx + i) : v_set(0)));
    vmask m = v_tail(n - i);
    if (i < n)
        v_store_m(dx + i, m,
                  v_fma(v_load_m(dy + i, m), slope(f, v_load_m(x + i, m)), add ? v_load_m(dx + i, m) : v_set(0)));
}

static void unary_back_part(void *p, int64_t i0, int64_t i1)
{
    const element_job *j = p;
    switch (j->f) {
#define DO(F)                                                                                                          \
    case F:                                                                                                            \
        if (j->first)                                                                                                  \
            unary_back_loop(F, false, j->x + i0, j->dy + i0, i1 - i0, j->out + i0);                                    \
        else                                                                                                           \
            unary_back_loop(F, true, j->x + i0, j->dy + i0, i1 - i0, j->out + i0);                                     \
        break;
        FOR_EACH_UNARY(DO)
#undef DO
    default:
        break;
    }
}

static void unary_back(so_pool *pool, so_unary f, int64_t n, const float *x, const float *dy, bool add, float *dx)
{
    so_for_rows(pool, n, GRAIN, unary_back_part, &(element_job){.f = f, .x = x, .dy = dy, .out = dx, .first = !add});
}

static void swiglu_part(void *p, int64_t i0, int64_t i1)
{
    const element_job *j = p;
    for (int64_t i = i0; i < i1; i += W) {
        vmask m = v_tail(i1 - i);
        vec g = v_load_m(j->x + i, m);
        v_store_m(j->out + i, m, g * v_sigmoid(g) * v_load_m(j->y + i, m));
    }
}

static void swiglu(so_pool *pool, int64_t n, const float *gate, const float *up, float *y)
{
    so_for_rows(pool, n, GRAIN, swiglu_part, &(element_job){.x = gate, .y = up, .out = y});
}

static void swiglu_back_part(void *p, int64_t i0, int64_t i1)
{
    const element_job *j = p;
    for (int64_t i = i0; i < i1; i += W) {
        vmask m = v_tail(i1 - i);
        vec g = v_load_m(j->x + i, m), s = v_sigmoid(g), dy = v_load_m(j->dy + i, m);
        if (j->out) {
            vec d = dy * v_load_m(j->y + i, m) * s * v_fma(g, v_set(1) - s, v_set(1));
            v_store_m(j->out + i, m, j->first ? d : (vec)(v_load_m(j->out + i, m) + d));
        }
        if (j->out2) v_store_m(j->out2 + i, m, v_fma(dy * g, s, j->first2 ? v_set(0) : v_load_m(j->out2 + i, m)));
    }
}

static void swiglu_back(so_pool *pool, int64_t n, const so_swiglu_back *b)
{
    so_for_rows(pool, n, GRAIN, swiglu_back_part,
                &(element_job){.x = b->gate,
                               .y = b->up,
                               .dy = b->dy,
                               .out = b->dgate,
                               .out2 = b->dup,
                               .first = b->first_dgate,
                               .first2 = b->first_dup});
}

static void axpy_part(void *p, int64_t i0, int64_t i1)
{
    const element_job *j = p;
    const float *restrict x = j->x;
    float *restrict y = j->out, a = j->a;
    for (int64_t i = i0; i < i1; i++) y[i] += a * x[i];
}

static void axpy(so_pool *pool, int64_t n, float a, const float *x, float *y)
{
    element_job j = {.a = a, .x = x, .out = y};
    if (n <= GRAIN)
        axpy_part(&j, 0, n);
    else
        so_for_rows(pool, n, GRAIN, axpy_part, &j);
}

typedef struct rows_job {
    int64_t rows, cols;
    const float *x, *dy;
    const int32_t *label;
    float scale, *loss, *out;
} rows_job;

enum { STRIP = 64 };

/* Columns s0 STRIP .. s1 STRIP over all rows, 64 rows summed before they are added. */
static void sum_rows_part(void *p, int64_t s0, int64_t s1)
{
    const rows_job *j = p;
    int64_t end = s1 * STRIP < j->cols ? s1 * STRIP : j->cols;
    for (int64_t c = s0 * STRIP; c < end; c += W) {
        vmask m = v_tail(end - c);
        vec total = v_load_m(j->out + c, m);
        for (int64_t r0 = 0; r0 < j->rows; r0 += 64) {
            vec sum = v_set(0);
            for (int64_t r = r0; r < j->rows && r < r0 + 64; r++) sum = v_add(sum, v_load_m(j->x + r * j->cols + c, m));
            total = v_add(total, sum);
        }
        v_store_m(j->out + c, m, total);
    }
}

static void sum_rows(so_pool *pool, int64_t rows, int64_t cols, const float *x, float *out)
{
    so_for_rows(pool, (cols + STRIP - 1) / STRIP, 1 + GRAIN / (rows * STRIP + 1), sum_rows_part,
                &(rows_job){.rows = rows, .cols = cols, .x = x, .out = out});
}

/* Pairs of products in float, their sums in double. */
static double sum_of_products(const float *a, const float *b, int64_t n)
{
    vsum sum = v_sum_start();
    int64_t c = 0;
    for (; c + 2 * W <= n; c += 2 * W)
        v_sum_add(&sum, v_fma(v_load(a + c), v_load(b + c), v_load(a + c + W) * v_load(b + c + W)));
    for (; c < n; c += W) v_sum_add(&sum, v_load_m(a + c, v_tail(n - c)) * v_load_m(b + c, v_tail(n - c)));
    return v_sum_end(sum);
}

static float row_max(const float *x, int64_t n)
{
    vec max = v_set(-INFINITY);
    int64_t i = 0;
    for (; i + W <= n; i += W) max = v_max(v_load(x + i), max);
    float m = v_largest(max);
    for (; i < n; i++)
        if (x[i] > m) m = x[i];
    return m;
}

/* Sum of e^(x - max) in double; the terms themselves into y unless it is NULL. */
static double exp_sum(const float *x, int64_t n, float max, float *y)
{
    vsum sum = v_sum_start();
    for (int64_t i = 0; i < n; i += W) {
        vmask m = v_tail(n - i);
        vec e = v_pick(m, v_exp(v_load_m(x + i, m) - v_set(max)), v_set(0));
        if (y) v_store_m(y + i, m, e);
        v_sum_add(&sum, e);
    }
    return v_sum_end(sum);
}

static void softmax_part(void *p, int64_t r0, int64_t r1)
{
    const rows_job *j = p;
    for (int64_t r = r0; r < r1 && j->cols; r++) {
        const float *x = j->x + r * j->cols;
        float *y = j->out + r * j->cols, scale = (float)(1 / exp_sum(x, j->cols, row_max(x, j->cols), y));
        for (int64_t c = 0; c < j->cols; c++) y[c] *= scale;
    }
}

static void softmax(so_pool *pool, int64_t rows, int64_t cols, const float *x, float *y)
{
    so_for_rows(pool, rows, 1 + GRAIN / (cols + 1), softmax_part, &(rows_job){.cols = cols, .x = x, .out = y});
}

static void softmax_back_part(void *p, int64_t r0, int64_t r1)
{
    const rows_job *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const float *y = j->x + r * j->cols, *dy = j->dy + r * j->cols;
        float *dx = j->out + r * j->cols;
        float dot = (float)sum_of_products(y, dy, j->cols);
        for (int64_t c = 0; c < j->cols; c++) dx[c] += y[c] * (dy[c] - dot);
    }
}

static void softmax_back(so_pool *pool, int64_t rows, int64_t cols, const float *y, const float *dy, float *dx)
{
    so_for_rows(pool, rows, 1 + GRAIN / (cols + 1), softmax_back_part,
                &(rows_job){.cols = cols, .x = y, .dy = dy, .out = dx});
}

static void cross_entropy_part(void *p, int64_t r0, int64_t r1)
{
    const so_label_loss *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const float *x = j->x + r * j->cols;
        int32_t label = j->label[r];
        j->loss[r] = 0;
        if (label < 0) continue;
        float max = row_max(x, j->cols);
        double sum = exp_sum(x, j->cols, max, NULL);
        j->loss[r] = (float)((double)max + log(sum) - (double)x[label]);
        if (!j->dx) continue;
        float *dx = j->dx + r * j->cols;
        vec factor = v_set((float)((double)j->scale / sum));
        for (int64_t c = 0; c < j->cols; c += W) {
            vmask m = v_tail(j->cols - c);
            v_store_m(dx + c, m, v_fma(factor, v_exp(v_load_m(x + c, m) - v_set(max)), v_load_m(dx + c, m)));
        }
        dx[label] -= j->scale;
    }
}

static void cross_entropy(so_pool *pool, const so_label_loss *loss)
{
    so_label_loss job = *loss;
    so_for_rows(pool, job.rows, 1 + GRAIN / (job.cols + 1), cross_entropy_part, &job);
}

#endif
