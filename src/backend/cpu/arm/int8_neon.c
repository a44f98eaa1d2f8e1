/* Products of stored blocks with rows rounded to int8 for ARM with the dot product instructions (ARMv8.2): a group of
 * 32 weights is taken apart in registers and multiplied by two sdot, for up to four rows at a time. Not measured: built
 * and checked under emulation only (tests/neon).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(SO_DOUBLE) && defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "backend/cpu/int8.h"
#include "backend/cpu/ref/portable.h"
#include "base/block.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct group {
    int8x16_t q[2];
    float scale[2], least;
} group;

typedef struct stretch { /* unpacked six-bit scales of q4_k and q5_k */
    float scale[8], least[8];
} stretch;

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

INLINE void five_bits(const so_block_q5_0 *b, group *out)
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

INLINE void six_bits(const so_block_q6_k *b, int g, group *out)
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

INLINE void read_stretch(const unsigned char *p, stretch *out)
{
    uint8_t s[8], m[8];
    float d = so_block_f16(p), dm = so_block_f16(p + 2);
    so_block_six(p + 4, s, m);
    for (int g = 0; g < 8; g++) out->scale[g] = d * (float)s[g], out->least[g] = dm * (float)m[g];
}

INLINE void read_group(so_type type, const unsigned char *row, int64_t at, stretch *six, group *out)
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
    stretch six;
    for (int i = 0; i < M; i++) {
        sum[i] = vdupq_n_f32(0);
        x[i] = so_int8_row_at(j->rounded, i0 + i, j->k);
    }
    for (int64_t g = 0; g < j->k / 32; g++) {
        group a;
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

INLINE void columns_of(so_type type, const neon_job *j, int64_t col0, int64_t col1)
{
    int64_t i = 0;
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

void so_fill_neon(so_kernels *table)
{
    table->name = "neon";
    table->linear_int8 = linear_int8;
    table->gated_int8 = gated_int8;
}
#endif
