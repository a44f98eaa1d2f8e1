/* Products of stored blocks with rows rounded to int8 for ARM with the dot product instructions (ARMv8.2): a group of
 * 32 weights is taken apart in registers and multiplied by two sdot, for up to four rows at a time. With the matrix
 * instructions (I8MM) two rows of weights meet two of x in four smmla, half as many. Not measured: built and checked
 * under emulation only (tests/neon). SO_FILL_ARM names the function that fills the table, SO_ARM_NAME the table.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_ARM_INT8_ARM_H
#define SO_BACKEND_CPU_ARM_INT8_ARM_H

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "backend/cpu/int8.h"
#include "backend/cpu/ref/portable.h"
#include "base/block.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct arm_group {
    int8x16_t q[2];
    float scale[2], least;
} arm_group;

typedef struct arm_stretch { /* unpacked six-bit scales of q4_k and q5_k */
    float scale[8], least[8];
} arm_stretch;

INLINE void nibbles(const uint8_t *q, int8x16_t *low, int8x16_t *high)
{
    uint8x16_t all = vld1q_u8(q);
    *low = vreinterpretq_s8_u8(vandq_u8(all, vdupq_n_u8(15)));
    *high = vreinterpretq_s8_u8(vshrq_n_u8(all, 4));
}

/* 16 where a bit of the word is set. */
INLINE int8x16_t fifth_bits(const uint8_t *two)
{
    static const uint8_t bit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t byte = vcombine_u8(vdup_n_u8(two[0]), vdup_n_u8(two[1]));
    return vreinterpretq_s8_u8(vandq_u8(vtstq_u8(byte, vld1q_u8(bit)), vdupq_n_u8(16)));
}

INLINE void five_bits(const so_block_q5_0 *b, arm_group *out)
{
    nibbles(b->q, &out->q[0], &out->q[1]);
    for (int i = 0; i < 2; i++) out->q[i] = vsubq_s8(vorrq_s8(out->q[i], fifth_bits(b->high + 2 * i)), vdupq_n_s8(16));
}

/* 16 codes of group g: nibbles, and the fifth bits where `high` is not NULL. */
INLINE int8x16_t affine_codes(const uint8_t *q, const uint8_t *high, int g)
{
    uint8x16_t all = vld1q_u8(q), code = g % 2 ? vshrq_n_u8(all, 4) : vandq_u8(all, vdupq_n_u8(15));
    if (high) code = vorrq_u8(code, vandq_u8(vtstq_u8(vld1q_u8(high), vdupq_n_u8((uint8_t)(1 << g))), vdupq_n_u8(16)));
    return vreinterpretq_s8_u8(code);
}

INLINE void six_bits(const so_block_q6_k *b, int g, arm_group *out)
{
    int half = g / 4, c = g % 4;
    float d = so_block_f16(b->scale);
    for (int i = 0; i < 2; i++) {
        uint8x16_t low = vld1q_u8(b->low + 64 * half + 32 * (c % 2) + 16 * i),
                   high = vld1q_u8(b->high + 32 * half + 16 * i);
        low = c >= 2 ? vshrq_n_u8(low, 4) : vandq_u8(low, vdupq_n_u8(15));
        high = vandq_u8(vshlq_u8(high, vdupq_n_s8((int8_t)(4 - 2 * c))), vdupq_n_u8(0x30));
        out->q[i] = vsubq_s8(vreinterpretq_s8_u8(vorrq_u8(low, high)), vdupq_n_s8(32));
        out->scale[i] = d * (float)b->s[2 * g + i];
    }
}

INLINE void read_stretch(const unsigned char *p, arm_stretch *out)
{
    uint8_t s[8], m[8];
    float d = so_block_f16(p), dm = so_block_f16(p + 2);
    so_block_six(p + 4, s, m);
    for (int g = 0; g < 8; g++) out->scale[g] = d * (float)s[g], out->least[g] = dm * (float)m[g];
}

INLINE void read_group(so_type type, const unsigned char *row, int64_t at, arm_stretch *six, arm_group *out)
{
    const size_t bytes = (size_t)so_type_about(type)->bytes;
    const bool small = type == SO_Q8_0 || type == SO_Q4_0 || type == SO_Q5_0;
    const unsigned char *p = row + (size_t)(small ? at : at / 8) * bytes;
    int g = (int)(at % 8);
    out->least = 0;
    if (small) out->scale[0] = out->scale[1] = so_block_f16(p);
    if (type == SO_Q8_0) {
        out->q[0] = vld1q_s8((const int8_t *)p + 2);
        out->q[1] = vld1q_s8((const int8_t *)p + 18);
    } else if (type == SO_Q4_0) {
        nibbles(p + 2, &out->q[0], &out->q[1]);
        for (int i = 0; i < 2; i++) out->q[i] = vsubq_s8(out->q[i], vdupq_n_s8(8));
    } else if (type == SO_Q5_0) {
        five_bits((const so_block_q5_0 *)p, out);
    } else if (type == SO_Q6_K) {
        six_bits((const so_block_q6_k *)p, g, out);
    } else {
        const so_block_q4_k *four = (const so_block_q4_k *)p;
        const so_block_q5_k *five = (const so_block_q5_k *)p;
        if (g == 0) read_stretch(p, six);
        for (int i = 0; i < 2; i++)
            out->q[i] = type == SO_Q4_K ? affine_codes(four->q + g / 2 * 32 + 16 * i, NULL, g)
                                        : affine_codes(five->q + g / 2 * 32 + 16 * i, five->high + 16 * i, g);
        out->scale[0] = out->scale[1] = six->scale[g];
        out->least = six->least[g];
    }
}

typedef struct neon_job {
    so_type type;
    const unsigned char *w, *up; /* up: of gated_int8, or NULL */
    size_t stride;
    int64_t n, k, m;
    const void *rounded;
    const float *bias;
    float *y;
} neon_job;

/* One row of weights times M rows of x from row i0 on. */
INLINE void dots(so_type type, const int M, const neon_job *j, const unsigned char *w, int64_t i0, float *out)
{
    float32x4_t sum[4];
    float least[4] = {0};
    so_int8_row x[4];
    arm_stretch six;
    for (int i = 0; i < M; i++) {
        sum[i] = vdupq_n_f32(0);
        x[i] = so_int8_row_at(j->rounded, i0 + i, j->k);
    }
    for (int64_t g = 0; g < j->k / 32; g++) {
        arm_group a;
        read_group(type, w, g, &six, &a);
        for (int i = 0; i < M; i++) {
            int8x16_t x0 = vld1q_s8(x[i].q + 32 * g), x1 = vld1q_s8(x[i].q + 32 * g + 16);
            int32x4_t d0 = vdotq_s32(vdupq_n_s32(0), a.q[0], x0);
            int32x4_t d1 = vdotq_s32(type == SO_Q6_K ? vdupq_n_s32(0) : d0, a.q[1], x1);
            sum[i] = vfmaq_n_f32(sum[i], vcvtq_f32_s32(d1), a.scale[1] * x[i].scale[g]);
            if (type == SO_Q6_K) sum[i] = vfmaq_n_f32(sum[i], vcvtq_f32_s32(d0), a.scale[0] * x[i].scale[g]);
            least[i] += a.least * x[i].sum32[g];
        }
    }
    for (int i = 0; i < M; i++) out[i] = vaddvq_f32(sum[i]) - least[i];
}

INLINE void column(so_type type, const int M, const neon_job *j, int64_t col, int64_t i0)
{
    float gate[4], up[4];
    dots(type, M, j, j->w + (size_t)col * j->stride, i0, gate);
    if (j->up) dots(type, M, j, j->up + (size_t)col * j->stride, i0, up);
    for (int i = 0; i < M; i++)
        j->y[(i0 + i) * j->n + col] =
            j->up ? gate[i] / (1 + expf(-gate[i])) * up[i] : gate[i] + (j->bias ? j->bias[col] : 0);
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
/* Halves h of 8 codes of two rows, side by side. */
INLINE int8x16_t pair_of(int8x16_t a, int8x16_t b, int h)
{
    return h ? vcombine_s8(vget_high_s8(a), vget_high_s8(b)) : vcombine_s8(vget_low_s8(a), vget_low_s8(b));
}

/* Two rows of weights times two rows of x: sums of (w0 x0, w0 x1, w1 x0, w1 x1). */
INLINE float32x4_t four_dots(so_type type, const neon_job *j, const unsigned char *w0, const unsigned char *w1,
                             const so_int8_row x[2])
{
    float32x4_t sum = vdupq_n_f32(0), least = sum;
    arm_stretch six[2];
    for (int64_t g = 0; g < j->k / 32; g++) {
        arm_group a, b;
        read_group(type, w0, g, &six[0], &a);
        read_group(type, w1, g, &six[1], &b);
        const float xs[4] = {x[0].scale[g], x[1].scale[g], x[0].scale[g], x[1].scale[g]};
        const float32x4_t x_scale = vld1q_f32(xs);
        int32x4_t whole = vdupq_n_s32(0);
        for (int q = 0; q < 2; q++) {
            int8x16_t c0 = vld1q_s8(x[0].q + 32 * g + 16 * q), c1 = vld1q_s8(x[1].q + 32 * g + 16 * q);
            for (int h = 0; h < 2; h++) whole = vmmlaq_s32(whole, pair_of(a.q[q], b.q[q], h), pair_of(c0, c1, h));
            if (q == 0 && type != SO_Q6_K) continue;
            const float32x4_t scale = vcombine_f32(vdup_n_f32(a.scale[q]), vdup_n_f32(b.scale[q]));
            sum = vfmaq_f32(sum, vcvtq_f32_s32(whole), vmulq_f32(scale, x_scale));
            whole = vdupq_n_s32(0);
        }
        if (type != SO_Q4_K && type != SO_Q5_K) continue;
        const float xm[4] = {x[0].sum32[g], x[1].sum32[g], x[0].sum32[g], x[1].sum32[g]};
        least = vfmaq_f32(least, vcombine_f32(vdup_n_f32(a.least), vdup_n_f32(b.least)), vld1q_f32(xm));
    }
    return vsubq_f32(sum, least);
}

INLINE void two_columns(so_type type, const neon_job *j, int64_t col, int64_t i0)
{
    const so_int8_row x[2] = {so_int8_row_at(j->rounded, i0, j->k), so_int8_row_at(j->rounded, i0 + 1, j->k)};
    float gate[4], up[4];
    const size_t at = (size_t)col * j->stride;
    vst1q_f32(gate, four_dots(type, j, j->w + at, j->w + at + j->stride, x));
    if (j->up) vst1q_f32(up, four_dots(type, j, j->up + at, j->up + at + j->stride, x));
    for (int e = 0; e < 4; e++) {
        int64_t c = col + e / 2;
        j->y[(i0 + e % 2) * j->n + c] =
            j->up ? gate[e] / (1 + expf(-gate[e])) * up[e] : gate[e] + (j->bias ? j->bias[c] : 0);
    }
}
#endif

INLINE void columns_of(so_type type, const neon_job *j, int64_t col0, int64_t col1)
{
    int64_t i = 0;
#if defined(__ARM_FEATURE_MATMUL_INT8)
    for (; i + 2 <= j->m; i += 2) {
        int64_t c = col0;
        for (; c + 2 <= col1; c += 2) two_columns(type, j, c, i);
        for (; c < col1; c++) column(type, 1, j, c, i), column(type, 1, j, c, i + 1);
    }
#endif
    for (; i + 4 <= j->m; i += 4)
        for (int64_t c = col0; c < col1; c++) column(type, 4, j, c, i);
    for (; i < j->m; i++)
        for (int64_t c = col0; c < col1; c++) column(type, 1, j, c, i);
}

static void columns(void *p, int64_t col0, int64_t col1)
{
    const neon_job *j = p;
    switch (j->type) {
    case SO_Q8_0:
        columns_of(SO_Q8_0, j, col0, col1);
        break;
    case SO_Q4_0:
        columns_of(SO_Q4_0, j, col0, col1);
        break;
    case SO_Q5_0:
        columns_of(SO_Q5_0, j, col0, col1);
        break;
    case SO_Q4_K:
        columns_of(SO_Q4_K, j, col0, col1);
        break;
    case SO_Q5_K:
        columns_of(SO_Q5_K, j, col0, col1);
        break;
    default:
        columns_of(SO_Q6_K, j, col0, col1);
        break;
    }
}

static void linear_int8(so_pool *pool, int count, const so_product *p, int64_t k, const void *rounded, int64_t m)
{
    for (int i = 0; i < count; i++, p++) {
        neon_job job = {p->type, p->w, NULL, so_type_bytes(p->type, k), p->n, k, m, rounded, p->bias, p->y};
        so_for_rows(pool, p->n, (int64_t)(1 + (64 << 10) / (job.stride + 1)), columns, &job);
    }
}

static void gated_int8(so_pool *pool, const so_product *gate, const void *up, int64_t k, const void *rounded, int64_t m)
{
    neon_job job = {gate->type, gate->w, up, so_type_bytes(gate->type, k), gate->n, k, m, rounded, NULL, gate->y};
    so_for_rows(pool, gate->n, (int64_t)(1 + (32 << 10) / (job.stride + 1)), columns, &job);
}

void SO_FILL_ARM(so_kernels *table)
{
    table->name = SO_ARM_NAME;
    table->linear_int8 = linear_int8;
    table->gated_int8 = gated_int8;
}
#endif
