/* Linear layers on stored weights for one ISA.
 *
 * Few rows (decode): every weight is read once, turned into floats in registers and multiplied with up to eight rows of
 * x: bound by memory at 4, 2, 2 or 1.06 bytes a weight. More rows: the packed product of fast_gemm.h, weights decoded
 * while they are packed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_LINEAR_H
#define SO_BACKEND_CPU_X86_FAST_LINEAR_H

#include "backend/cpu/x86/fast_gemm.h"
#include "base/quantise.h"

/* Weights i .. i + W of a row; i a multiple of W. */
static inline __attribute__((always_inline)) vec weights(so_type type, const unsigned char *w, int64_t i)
{
    switch (type) {
    case SO_F32:
        return v_load((const float *)w + i);
    case SO_F16:
        return v_load_f16((const uint16_t *)w + i);
    case SO_BF16:
        return v_load_bf16((const uint16_t *)w + i);
    default: { /* SO_Q8_0 */
        const unsigned char *block = w + i / 32 * 34;
        uint16_t scale;
        memcpy(&scale, block, 2);
        return v_load_i8(block + 2 + i % 32) * v_set(_cvtsh_ss(scale));
    }
    }
}

/* The last n < W weights of a row, zeros behind. */
static inline vec weights_tail(so_type type, const unsigned char *w, int64_t i, int64_t n)
{
    if (type == SO_F32) return v_load_m((const float *)w + i, v_tail(n));
    uint16_t part[W] = {0};
    memcpy(part, (const uint16_t *)w + i, (size_t)n * 2);
    return type == SO_F16 ? v_load_f16(part) : v_load_bf16(part);
}

static void decode_row(so_type type, const unsigned char *w, int64_t n, float *out)
{
    int64_t i = 0;
#define DECODE(TYPE)                                                                                                   \
    case TYPE:                                                                                                         \
        for (; i + W <= n; i += W) v_store(out + i, weights(TYPE, w, i));                                              \
        break
    switch (type) {
        DECODE(SO_F32);
        DECODE(SO_F16);
        DECODE(SO_BF16);
    case SO_Q8_0:
        for (; i + W <= n; i += W) v_store(out + i, weights(SO_Q8_0, w, i));
        break;
    default:
        so_dequantise_row(type, w, n, out);
        return;
    }
#undef DECODE
    if (i < n) v_store_m(out + i, v_tail(n - i), weights_tail(type, w, i, n - i));
}

static so_row_fn *row_portable;

static void row(so_type type, const void *w, int64_t row, int64_t k, float *out)
{
    if (type != SO_F32 && type != SO_F16 && type != SO_BF16 && type != SO_Q8_0)
        row_portable(type, w, row, k, out);
    else
        decode_row(type, (const unsigned char *)w + so_type_bytes(type, row * k), k, out);
}

/* Rows of w, `stride` bytes apart, and rows of x, k numbers each; dots go to y, whose rows lie ldy apart. */
typedef struct dot_rows {
    const unsigned char *w;
    size_t stride;
    int64_t k, ldy;
    const float *x;
    float *y;
} dot_rows;

/* One vector of the weights of R rows, times the same columns of M rows of x. */
static inline __attribute__((always_inline)) void add_products(const int M, const int R, const vec *a, const float *x,
                                                               int64_t k, vec sum[8][8])
{
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
        vec b = v_load(x + i * k);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) sum[r][i] = v_fma(a[r], b, sum[r][i]);
    }
}

/* The sums of R rows of w (4, 2 or 1) for M rows of x, four at a time. */
static inline __attribute__((always_inline)) void put_sums(const int M, const int R, vec sum[8][8], float *y,
                                                           int64_t ldy)
{
    int i = 0;
    float z[4];
    if (R == 4) {
#pragma GCC unroll 8
        for (; i < M; i++) _mm_storeu_ps(y + i * ldy, v_sum4(sum[0][i], sum[1][i], sum[2][i], sum[3][i]));
    } else if (R == 2) {
#pragma GCC unroll 4
        for (; i + 2 <= M; i += 2) {
            _mm_storeu_ps(z, v_sum4(sum[0][i], sum[1][i], sum[0][i + 1], sum[1][i + 1]));
            memcpy(y + i * ldy, z, 2 * sizeof *z);
            memcpy(y + (i + 1) * ldy, z + 2, 2 * sizeof *z);
        }
    } else {
#pragma GCC unroll 2
        for (; i + 4 <= M; i += 4) {
            _mm_storeu_ps(z, v_sum4(sum[0][i], sum[0][i + 1], sum[0][i + 2], sum[0][i + 3]));
            for (int c = 0; c < 4; c++) y[(i + c) * ldy] = z[c];
        }
    }
#pragma GCC unroll 4
    for (; i < M; i++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) y[i * ldy + r] = v_sum(sum[r][i]);
}

/* y[i * ldy + j] for M rows of x and R rows of w, each at a constant M, R and type. Sums are made in the same order for
 * every M and R: a row's products do not depend on how many others it stands among. */
static inline __attribute__((always_inline)) void dots(so_type type, const int M, const int R, dot_rows d)
{
    const unsigned char *w = d.w;
    const size_t stride = d.stride;
    const int64_t k = d.k, ldy = d.ldy;
    const float *x = d.x;
    float *y = d.y;
    vec sum[8][8], a[8];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) sum[r][i] = v_set(0);
    int64_t l = 0;
    if (type == SO_Q8_0) { /* whole blocks: a scale is read once for all vectors of its block */
        for (; l < k; l += 32, w += 34) {
            vec scale[8];
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) {
                uint16_t s;
                memcpy(&s, w + (size_t)r * stride, 2);
                scale[r] = v_set(_cvtsh_ss(s));
            }
#pragma GCC unroll 4
            for (int c = 0; c < 32; c += W) {
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) a[r] = v_load_i8(w + (size_t)r * stride + 2 + c) * scale[r];
                add_products(M, R, a, x + l + c, k, sum);
            }
        }
    }
    for (; l + W <= k; l += W) {
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) a[r] = weights(type, w + (size_t)r * stride, l);
        add_products(M, R, a, x + l, k, sum);
    }
    if (l < k)
        for (int r = 0; r < R; r++) {
            vec last = weights_tail(type, w + (size_t)r * stride, l, k - l);
#pragma GCC unroll 8
            for (int i = 0; i < M; i++) sum[r][i] = v_fma(last, v_load_m(x + i * k + l, v_tail(k - l)), sum[r][i]);
        }
    put_sums(M, R, sum, y, ldy);
}

typedef struct linear_job {
    so_type type;
    const unsigned char *w;
    size_t stride; /* bytes of a row of w */
    int64_t n, k, m, step_m, step_n, tiles_n;
    const float *x, *bias;
    float *y;
} linear_job;

/* Rows of w that M rows of x meet at once: sums enough to hide how long one takes, and no more than there are registers
 * for. */
#define AT_ONCE(M) (W == 16 ? ((M) <= 6 ? 4 : 2) : ((M) <= 2 ? 4 : (M) <= 4 ? 2 : 1))

/* The first of as few parts of n as have at most `most`, all about as large. */
static inline int64_t even_part(int64_t n, int64_t most)
{
    int64_t parts = (n + most - 1) / most;
    return (n + parts - 1) / parts;
}

static inline __attribute__((always_inline)) void few_rows(so_type type, const linear_job *g, int64_t j0, int64_t j1)
{
    for (int64_t i = 0, m; i < g->m; i += m) {
        dot_rows d = {g->w + (size_t)j0 * g->stride, g->stride, g->k, g->n, g->x + i * g->k, g->y + i * g->n + j0};
        int64_t j = j0;
        m = even_part(g->m - i, SO_FEW_ROWS); /* one row by itself takes as long as three among others */
#define ROWS(M)                                                                                                        \
    case M:                                                                                                            \
        for (; j + AT_ONCE(M) <= j1; j += AT_ONCE(M), d.w += AT_ONCE(M) * d.stride, d.y += AT_ONCE(M))                 \
            dots(type, M, AT_ONCE(M), d);                                                                              \
        for (; j < j1; j++, d.w += d.stride, d.y++) dots(type, M, 1, d);                                               \
        break
        switch (m) {
            ROWS(1);
            ROWS(2);
            ROWS(3);
            ROWS(4);
            ROWS(5);
            ROWS(6);
            ROWS(7);
            ROWS(8);
        }
#undef ROWS
    }
}
#undef AT_ONCE

static void add_bias(const float *bias, int64_t m, int64_t n, float *y, int64_t ldy)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * ldy + j] += bias[j];
}

static void linear_few(void *p, int64_t j0, int64_t j1)
{
    const linear_job *g = p;
    switch (g->type) {
    case SO_F32:
        few_rows(SO_F32, g, j0, j1);
        break;
    case SO_F16:
        few_rows(SO_F16, g, j0, j1);
        break;
    case SO_BF16:
        few_rows(SO_BF16, g, j0, j1);
        break;
    default:
        few_rows(SO_Q8_0, g, j0, j1);
        break;
    }
    if (g->bias) add_bias(g->bias + j0, g->m, j1 - j0, g->y + j0, g->n);
}

#define decoded (so_scratch_here()->rows)

/* Rows of w as columns of B, like pack_b. */
static void pack_weights(const linear_job *g, int64_t j0, int64_t n, int64_t l, int64_t k)
{
    for (int64_t j = 0; j < n; j += W) {
        int rows = least(n - j, W);
        const unsigned char *w = g->w + (size_t)(j0 + j) * g->stride + so_type_bytes(g->type, l);
        for (int r = 0; r < rows; r++) decode_row(g->type, w + (size_t)r * g->stride, k, decoded + r * k);
        pack_across(decoded, k, rows, k, packed_b + j / NR * NR * k + j % NR, NR);
    }
}

static void linear_tile(void *p, int64_t task, int thread)
{
    (void)thread;
    const linear_job *g = p;
    int64_t i0 = task / g->tiles_n * g->step_m, j0 = task % g->tiles_n * g->step_n;
    int64_t m = least(g->m - i0, g->step_m), n = least(g->n - j0, g->step_n), kc = depth(g->k);
    for (int64_t j = 0; j < n; j += NC)
        for (int64_t l = 0; l < g->k; l += kc) {
            int64_t nn = least(n - j, NC), kk = least(g->k - l, kc);
            if (g->type == SO_F32)
                pack_b(true, (const float *)(const void *)g->w + (j0 + j) * g->k + l, g->k, 0, nn, kk);
            else
                pack_weights(g, j0 + j, nn, l, kk);
            for (int64_t i = 0; i < m; i += MC) {
                int64_t mm = least(m - i, MC);
                pack_a(false, g->x + (i0 + i) * g->k + l, g->k, mm, kk);
                multiply(mm, nn, kk, NULL, 0, g->y + (i0 + i) * g->n + j0 + j, g->n, l > 0);
            }
        }
    if (g->bias) add_bias(g->bias + j0, m, n, g->y + i0 * g->n + j0, g->n);
}

static so_linear_fn *linear_portable;

static void linear(so_pool *pool, const so_product *p, int64_t k, const float *x, int64_t m)
{
    so_type type = p->type;
    if (k == 0 || (type != SO_F32 && type != SO_F16 && type != SO_BF16 && type != SO_Q8_0)) {
        linear_portable(pool, p, k, x, m);
        return;
    }
    int64_t n = p->n;
    if (m == 0 || n == 0) return;
    linear_job g = {type, p->w, so_type_bytes(type, k), n, k, m, 0, 0, 0, x, p->bias, p->y};
    if (m <= (W == 16 ? 32 : 16)) { /* tasks of 64 KiB of weights, even numbers of rows */
        so_for_rows(pool, n, (int64_t)(1 + (32 << 10) / (g.stride + 1)) * 2, linear_few, &g);
        return;
    }
    int64_t tiles;
    cut_tiles(pool, m, n, k, &g.step_m, &g.step_n, &tiles, &g.tiles_n);
    so_pool_for(pool, tiles, linear_tile, &g);
}

#endif
