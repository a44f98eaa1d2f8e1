/* Products of stored blocks with rows rounded to int8, for one ISA.
 *
 * Few rows (decode): rows of weights stream by once as they lie in the file. Codes of one stretch of 256 weights are
 * taken apart in registers, multiplied as bytes (one vpdpbusd for 64 of them; vpmaddubsw for 32), and join the sum in
 * float, times the product of both scales, which are made for 8 groups at a time. Codes are unsigned: what that adds,
 * an offset or a minimum times the sum of the row's codes, is taken off once a stretch. Codes of four and five bits go
 * another way with AVX-512: fast_int8_across.h. Bound by memory there, as long as it gives a core less than 50 to 70
 * GB/s.
 *
 * More rows, with AVX-512: fast_int8_panels.h. AVX2 repeats the streaming kernel for 8 rows at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_INT8_H
#define SO_BACKEND_CPU_X86_FAST_INT8_H

#include "backend/cpu/ref/portable.h"
#include "backend/cpu/x86/fast_int8_codes.h"

enum { AHEAD = 6144 }; /* bytes: the weights come from memory in one stream */

#if defined(__AVX512F__)
#include "backend/cpu/x86/fast_int8_across.h"
#else
INLINE int order_of(so_type type) { return (void)type, -1; }
INLINE int8_t *ordered_at(const void *rounded, int64_t rows, int64_t row, int64_t k)
{
    (void)rows, (void)row, (void)k;
    return (int8_t *)(uintptr_t)rounded; /* not used */
}
#endif

#include "backend/cpu/x86/fast_int8_round.h"

/* ---- few rows */

typedef struct int8_job {
    so_type type;
    const unsigned char *w, *up; /* up: of gated_int8, or NULL */
    size_t stride;               /* bytes of a row of w */
    int64_t n, k, m;
    const void *rounded;
    const float *bias;
    float *y;
} int8_job;

typedef struct int8_sums {
    vec sum[8][4];
    groups least[8];
} int8_sums;

/* Rounded rows, `stride` bytes apart; of few rows the codes, kp a row, stand at `ordered` in other orders too. */
typedef struct int8_x {
    const char *rows;
    size_t stride;
    const int8_t *ordered;
    int64_t kp;
} int8_x;

/* One stretch of weights times M rows of x from number s on. `chains` sums of each row are in flight. */
INLINE void int8_stretch(so_type type, const int M, const int chains, const unsigned char *w, const int8_x *x,
                         int64_t s, int8_sums *to)
{
    const int64_t kp = x->kp;
    groups scale, least, both[8];
#pragma GCC unroll 5
    for (size_t p = 0; p < stretch_bytes(type); p += 64)
        _mm_prefetch((const char *)((uintptr_t)w + AHEAD + p), _MM_HINT_T0);
    const bool beside = UNIT == 64 && (type == SO_Q4_K || type == SO_Q5_K);
    if (beside)
        scale.v[0] = six_both(w) * nibble_factors(type);
    else
        stretch_scales(type, w, &scale, &least);
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
        const char *row = x->rows + (size_t)i * x->stride;
        const float *scales = (const float *)(const void *)(row + kp), *sum32 = scales + kp / 32,
                    *sum16 = sum32 + kp / 32;
        if (beside) { /* lanes 0-7: products of scales; lanes 8-15: minima times sums */
            both[i].v[0] = scale.v[0] * two_eights(scales + s / 32, sum32 + s / 32);
            to->least[i].v[0] = v_add(to->least[i].v[0], both[i].v[0]);
            continue;
        }
        both[i] = times_row(type, &scale, scales + s / 32);
        if (type == SO_Q6_K) {
            for (int v = 0; v < GROUP_VECS(type); v++)
                to->least[i].v[v] = v_fma(least.v[v], v_load(sum16 + s / 16 + v * W), to->least[i].v[v]);
        } else {
            to->least[i].v[0] = v_fma(least.v[0], eight(_mm256_loadu_ps(sum32 + s / 32)), to->least[i].v[0]);
        }
    }
#if defined(__AVX512F__)
    if (order_of(type) >= 0) {
        __m512i c[4];
        codes_across(type, w, c);
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            const int8_t *q = x->ordered + (i * ORDERS + order_of(type)) * kp + s;
#pragma GCC unroll 2
            for (int v = 0; v < 2; v++) {
                vec *sum = &to->sum[i][v % chains];
                *sum = v_fma(sum_across(c, q, v), of_sum(type, both[i].v[0], v), *sum);
            }
        }
        return;
    }
#endif
#pragma GCC unroll 8
    for (int u = 0; u < SO_STRETCH / UNIT; u++) {
        ivec c = codes(type, w, u);
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            const int8_t *q = (const int8_t *)(x->rows + (size_t)i * x->stride) + s + u * UNIT;
            vec *sum = &to->sum[i][u % chains];
            *sum = v_fma(code_products(type, c, q), of_unit(type, &both[i], u), *sum);
        }
    }
}

/* y[i * ldy] of one row of weights and M rows of x, which are at `ordered` in other orders. */
INLINE void int8_dots(so_type type, const int M, const unsigned char *w, int64_t k, const void *x,
                      const int8_t *ordered, float *y, int64_t ldy)
{
    const int chains = M == 1 ? (order_of(type) >= 0 ? 2 : 4) : M == 2 ? 2 : 1;
    const int8_x rows = {x, so_int8_stride(k), ordered, so_int8_width(k)};
    int8_sums to;
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 4
        for (int c = 0; c < chains; c++) to.sum[i][c] = v_set(0);
        to.least[i].v[0] = to.least[i].v[1] = v_set(0);
    }
    int64_t s = 0;
    for (; s + SO_STRETCH <= k; s += SO_STRETCH, w += stretch_bytes(type))
        int8_stretch(type, M, chains, w, &rows, s, &to);
    if (s < k) {
        unsigned char part[8 * 34] = {0};
        memcpy(part, w, so_type_bytes(type, k - s));
        int8_stretch(type, M, chains, part, &rows, s, &to);
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
        vec sum = to.sum[i][0];
        for (int c = 1; c < chains; c++) sum = v_add(sum, to.sum[i][c]);
        if (UNIT == 64 && (type == SO_Q4_K || type == SO_Q5_K)) to.least[i].v[0] = upper_eight(to.least[i].v[0]);
        sum = sum - to.least[i].v[0];
        if (GROUP_VECS(type) > 1) sum = sum - to.least[i].v[1];
        y[i * ldy] = v_sum(sum);
    }
}

enum { GATED = 256 }; /* most columns of a task of gated_int8 */

/* y = silu(gate) * up; y may be the gate. */
INLINE void gate_row(float *y, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i += W) {
        vmask m = v_tail(n - i);
        vec g = v_load_m(gate + i, m);
        v_store_m(y + i, m, g * v_sigmoid(g) * v_load_m(up + i, m));
    }
}

/* Columns j0 .. j1 of y from M rows of x; of a gated product the other factor as well. */
INLINE void int8_rows_of(so_type type, const int M, const int8_job *g, int64_t i, int64_t j0, int64_t j1)
{
    float up[8][GATED], *y = g->y + i * g->n + j0;
    const char *x = (const char *)g->rounded + (size_t)i * so_int8_stride(g->k);
    const int8_t *ordered = ordered_at(g->rounded, g->m, i, g->k);
    const unsigned char *w = g->w;
    float *to = y;
    int64_t step = g->n;
    for (int part = 0; part < (g->up ? 2 : 1); part++, w = g->up, to = up[0], step = GATED)
        for (int64_t j = j0; j < j1; j++)
            int8_dots(type, M, w + (size_t)j * g->stride, g->k, x, ordered, to + j - j0, step);
    for (int r = 0; r < M && g->up; r++) gate_row(y + r * g->n, y + r * g->n, up[r], j1 - j0);
}

INLINE void int8_few_of(so_type type, const int8_job *g, int64_t j0, int64_t j1)
{
    int64_t i = 0;
    for (; i + 8 <= g->m; i += 8) int8_rows_of(type, 8, g, i, j0, j1);
    for (; i + 4 <= g->m; i += 4) int8_rows_of(type, 4, g, i, j0, j1);
    for (; i + 2 <= g->m; i += 2) int8_rows_of(type, 2, g, i, j0, j1);
    if (i < g->m) int8_rows_of(type, 1, g, i, j0, j1);
}

static void int8_few(const int8_job *g, int64_t j0, int64_t j1)
{
    switch (g->type) {
    case SO_Q8_0:
        int8_few_of(SO_Q8_0, g, j0, j1);
        break;
    case SO_Q4_0:
        int8_few_of(SO_Q4_0, g, j0, j1);
        break;
    case SO_Q5_0:
        int8_few_of(SO_Q5_0, g, j0, j1);
        break;
    case SO_Q4_K:
        int8_few_of(SO_Q4_K, g, j0, j1);
        break;
    case SO_Q5_K:
        int8_few_of(SO_Q5_K, g, j0, j1);
        break;
    default:
        int8_few_of(SO_Q6_K, g, j0, j1);
        break;
    }
    for (int64_t i = 0; i < g->m && g->bias; i++)
        for (int64_t j = j0; j < j1; j++) g->y[i * g->n + j] += g->bias[j];
}

#if defined(__AVX512F__)
#include "backend/cpu/x86/fast_int8_panels.h"
#endif

/* ---- tasks: columns of several products */

typedef struct int8_jobs {
    int count;
    int64_t step[SO_PRODUCTS], first[SO_PRODUCTS]; /* columns of a task, number of a product's first task */
    int8_job job[SO_PRODUCTS];
} int8_jobs;

static void int8_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const int8_jobs *all = p;
    int at = all->count - 1;
    while (task < all->first[at]) at--;
    const int8_job *g = &all->job[at];
    int64_t j0 = (task - all->first[at]) * all->step[at], j1 = j0 + all->step[at];
    if (j1 > g->n) j1 = g->n;
#if defined(__AVX512F__)
    if (g->m > SO_FEW_ROWS) {
        int8_many(g, j0, j1);
        return;
    }
#endif
    int8_few(g, j0, j1);
}

/* Tasks of 64 to 512 KiB of weights, 16 or more for each thread where that is possible: a task ends one stream of
 * memory and begins another. With many rows of up to 128 columns. */
static int64_t columns_of_task(const int8_job *g, int64_t threads)
{
#if defined(__AVX512F__)
    if (g->m > SO_FEW_ROWS) return g->n >= 1024 ? (g->up ? 2 : 4) * ACROSS : ACROSS;
#endif
    int64_t column = (int64_t)g->stride * (g->up ? 2 : 1), bytes = g->n * column / (16 * threads);
    bytes = bytes < 64 << 10 ? 64 << 10 : bytes > 512 << 10 ? 512 << 10 : bytes;
    int64_t n = 1 + bytes / (column + 1);
    return g->up && n > GATED ? GATED : n;
}

static void int8_run(so_pool *pool, int8_jobs *all)
{
    int64_t tasks = 0;
    for (int i = 0; i < all->count; i++) {
        all->first[i] = tasks;
        all->step[i] = columns_of_task(&all->job[i], so_pool_threads(pool));
        tasks += (all->job[i].n + all->step[i] - 1) / all->step[i];
    }
    so_pool_for(pool, tasks, int8_task, all);
}

static void linear_int8(so_pool *pool, int count, const so_product *p, int64_t k, const void *rounded, int64_t m)
{
    int8_jobs all = {.count = m > 0 ? count : 0};
    for (int i = 0; i < all.count; i++)
        all.job[i] =
            (int8_job){p[i].type, p[i].w, NULL, so_type_bytes(p[i].type, k), p[i].n, k, m, rounded, p[i].bias, p[i].y};
    int8_run(pool, &all);
}

static void gated_int8(so_pool *pool, const so_product *gate, const void *up, int64_t k, const void *rounded, int64_t m)
{
    int8_jobs all = {.count = m > 0};
    size_t stride = so_type_bytes(gate->type, k);
    all.job[0] = (int8_job){gate->type, gate->w, up, stride, gate->n, k, m, rounded, NULL, gate->y};
    int8_run(pool, &all);
}

void SO_FILL_INT8(so_kernels *table)
{
    table->round_int8 = round_int8;
    table->linear_int8 = linear_int8;
    table->gated_int8 = gated_int8;
}

#endif
