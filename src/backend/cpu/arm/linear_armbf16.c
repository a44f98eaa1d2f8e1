/* Products rounded to bf16 for ARM with its matrix instruction (BF16): weights laid out once.
 *
 * bfmmla adds the products of 2 x 4 numbers with 2 x 4 to a square of 2 x 2. A layout is [n / 2][k / 4][2][4], and two
 * rows of x are rounded in the same order as they come; four squares a step, so that each load serves twice. Not
 * measured: built and checked under emulation only (tests/neon).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(SO_DOUBLE) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#include <arm_neon.h>
#include <string.h>

#include "backend/cpu/ref/portable.h"

enum { DEEP = 512 /* numbers along k at a time */, BLOCK_ROWS = 4, BLOCK_COLS = 4 };

static int64_t quads(int64_t k) { return (k + 3) / 4; }

static size_t bf16_bytes(int64_t n, int64_t k) { return (size_t)((n + 3) / 4 * 2 * quads(k) * 8) * sizeof(uint16_t); }

/* Rows r0 and r0 + 1 of x, numbers l to l + k: [k / 4][2][4]. */
static void pack_two(const float *x, int64_t ld, int64_t rows, int64_t k, uint16_t *to)
{
    for (int64_t q = 0; q < quads(k); q++)
        for (int64_t r = 0; r < 2; r++)
            for (int64_t i = 4 * q; i < 4 * q + 4; i++) *to++ = r < rows && i < k ? so_to_bf16(x[r * ld + i]) : 0;
}

typedef struct armbf16_job {
    so_bf16_product of;
    const float *w;
    uint16_t *layout;
} armbf16_job;

static void pack_pairs(void *p, int64_t pair0, int64_t pair1)
{
    const armbf16_job *j = p;
    for (int64_t i = pair0; i < pair1; i++) {
        int64_t rows = j->of.n - 2 * i < 0 ? 0 : j->of.n - 2 * i;
        pack_two(j->w + (rows ? 2 * i * j->of.k : 0), j->of.k, rows, j->of.k, j->layout + i * quads(j->of.k) * 8);
    }
}

static void bf16_pack(so_pool *pool, int64_t n, int64_t k, const float *w, void *layout)
{
    so_for_rows(pool, (n + 3) / 4 * 2, 8, pack_pairs, &(armbf16_job){.of = {.n = n, .k = k}, .w = w, .layout = layout});
}

/* sum[4][4] += four rows of x times four columns, `depth` quads. */
static void square(int64_t depth, const uint16_t *x0, const uint16_t *x1, const uint16_t *w0, const uint16_t *w1,
                   float sum[4][4])
{
    float32x4_t s[4];
    for (int i = 0; i < 4; i++) {
        float *at = &sum[i / 2 * 2][i % 2 * 2];
        s[i] = vcombine_f32(vld1_f32(at), vld1_f32(at + 4));
    }
    for (int64_t q = 0; q < depth; q++) {
        bfloat16x8_t a = vreinterpretq_bf16_u16(vld1q_u16(x0 + 8 * q)),
                     b = vreinterpretq_bf16_u16(vld1q_u16(x1 + 8 * q));
        bfloat16x8_t c = vreinterpretq_bf16_u16(vld1q_u16(w0 + 8 * q)),
                     d = vreinterpretq_bf16_u16(vld1q_u16(w1 + 8 * q));
        s[0] = vbfmmlaq_f32(s[0], a, c);
        s[1] = vbfmmlaq_f32(s[1], a, d);
        s[2] = vbfmmlaq_f32(s[2], b, c);
        s[3] = vbfmmlaq_f32(s[3], b, d);
    }
    for (int i = 0; i < 4; i++) {
        float *at = &sum[i / 2 * 2][i % 2 * 2];
        vst1_f32(at, vget_low_f32(s[i]));
        vst1_f32(at + 4, vget_high_f32(s[i]));
    }
}

static void four_rows(const so_bf16_product *g, int64_t i0)
{
    uint16_t x[2][DEEP * 2];
    const uint16_t *w = g->layout;
    const int64_t rows = g->m - i0 < BLOCK_ROWS ? g->m - i0 : BLOCK_ROWS, whole = quads(g->k) * 8;
    for (int64_t l = 0; l < g->k; l += DEEP) {
        const int64_t k = g->k - l < DEEP ? g->k - l : DEEP;
        for (int64_t r = 0; r < 2; r++)
            pack_two(g->x + (i0 + (2 * r < rows ? 2 * r : 0)) * g->ldx + l, g->ldx, rows - 2 * r, k, x[r]);
        for (int64_t j = 0; j < g->n; j += BLOCK_COLS) {
            const int64_t cols = g->n - j < BLOCK_COLS ? g->n - j : BLOCK_COLS;
            float sum[4][4] = {{0}};
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < cols; c++)
                    sum[r][c] = l > 0 ? g->y[(i0 + r) * g->ldy + j + c] : g->bias ? g->bias[j + c] : 0;
            square(quads(k), x[0], x[1], w + j / 2 * whole + l * 2, w + (j / 2 + 1) * whole + l * 2, sum);
            for (int64_t r = 0; r < rows; r++)
                memcpy(g->y + (i0 + r) * g->ldy + j, sum[r], (size_t)cols * sizeof(float));
        }
    }
}

static void linear_rows(void *p, int64_t block0, int64_t block1)
{
    const so_bf16_product *g = p;
    for (int64_t i = block0; i < block1; i++) four_rows(g, i * BLOCK_ROWS);
}

static void bf16_linear(so_pool *pool, const so_bf16_product *product)
{
    so_bf16_product g = *product;
    so_for_rows(pool, (g.m + BLOCK_ROWS - 1) / BLOCK_ROWS, 8, linear_rows, &g);
}

static so_attention_fn *attention_before;

/* Attention keeps its floats: there is no kernel for it here. */
static void bf16_attention(so_pool *pool, const so_attn *attn, const float *q, float *out)
{
    attention_before(pool, attn, q, out, NULL);
}

void so_fill_armbf16(so_kernels *table)
{
    attention_before = table->attention;
    table->bf16_attention = bf16_attention;
    table->name = "bf16";
    table->bf16_gains = true;
    table->bf16_bytes = bf16_bytes;
    table->bf16_pack = bf16_pack;
    table->bf16_linear = bf16_linear;
}
#endif
