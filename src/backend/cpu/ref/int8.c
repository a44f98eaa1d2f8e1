/* Products of stored blocks with rows rounded to int8, portable: the specification of round_int8 and linear_int8.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "backend/cpu/int8.h"
#include "backend/cpu/ref/portable.h"
#include "base/block.h"

/* 32 weights are scale[i / 16] q[i] - least. */
typedef struct group {
    int8_t q[32];
    float scale[2], least;
} group;

static void nibbles(const uint8_t *q, const uint8_t *high, int offset, group *out)
{
    for (int i = 0; i < 16; i++) {
        int fifth = high ? (high[i / 8] >> i % 8 & 1) << 4 : 0, other = high ? (high[2 + i / 8] >> i % 8 & 1) << 4 : 0;
        out->q[i] = (int8_t)(((q[i] & 15) | fifth) - offset);
        out->q[16 + i] = (int8_t)(((q[i] >> 4) | other) - offset);
    }
}

static void affine(const uint8_t *scale, const uint8_t *least, const uint8_t *six, const uint8_t *high,
                   const uint8_t *q, int g, group *out)
{
    uint8_t s[8], m[8];
    so_block_six(six, s, m);
    for (int i = 0; i < 32; i++)
        out->q[i] = (int8_t)((q[g / 2 * 32 + i] >> g % 2 * 4 & 15) | (high ? (high[i] >> g & 1) << 4 : 0));
    out->scale[0] = out->scale[1] = so_block_f16(scale) * (float)s[g];
    out->least = so_block_f16(least) * (float)m[g];
}

static void six_bits(const so_block_q6_k *b, int g, group *out)
{
    int half = g / 4, c = g % 4;
    for (int i = 0; i < 32; i++) {
        int low = b->low[64 * half + 32 * (c % 2) + i] >> c / 2 * 4 & 15, high = b->high[32 * half + i] >> 2 * c & 3;
        out->q[i] = (int8_t)((low | high << 4) - 32);
    }
    for (int i = 0; i < 2; i++) out->scale[i] = so_block_f16(b->scale) * (float)b->s[2 * g + i];
}

/* Group g of a row. */
static void read_group(so_type type, const unsigned char *row, int64_t g, group *out)
{
    const so_type_info *about = so_type_about(type);
    const unsigned char *p = row + (about->block == 32 ? g : g / 8) * about->bytes;
    if (about->block == 32) out->scale[0] = out->scale[1] = so_block_f16(p);
    out->least = 0;
    switch (type) {
    case SO_Q4_0:
        nibbles(((const so_block_q4_0 *)p)->q, NULL, 8, out);
        break;
    case SO_Q5_0:
        nibbles(((const so_block_q5_0 *)p)->q, ((const so_block_q5_0 *)p)->high, 16, out);
        break;
    case SO_Q4_K: {
        const so_block_q4_k *b = (const so_block_q4_k *)p;
        affine(b->scale, b->least, b->six, NULL, b->q, (int)(g % 8), out);
        break;
    }
    case SO_Q5_K: {
        const so_block_q5_k *b = (const so_block_q5_k *)p;
        affine(b->scale, b->least, b->six, b->high, b->q, (int)(g % 8), out);
        break;
    }
    case SO_Q6_K:
        six_bits((const so_block_q6_k *)p, (int)(g % 8), out);
        break;
    default:
        memcpy(out->q, p + 2, 32);
        break; /* SO_Q8_0 */
    }
}

/* ---- rounding */

typedef struct round_part {
    int64_t k, span;
    const so_real *x;
    void *out;
} round_part;

/* The span at columns `from` to `to`, of which n numbers are there. */
static void round_span(const so_real *x, int64_t n, const so_int8_row *row, int64_t from, int64_t to)
{
    float part[SO_SPAN] = {0}, most = 0, bad = 0;
    for (int64_t i = 0; i < n; i++) {
        part[i] = (float)x[i];
        bad += part[i] * 0;
        most = fabsf(part[i]) > most ? fabsf(part[i]) : most;
    }
    float scale = (most < 1e-30f ? 0 : most / 127) + bad, inverse = most < 1e-30f ? 0 : 127 / most;
    for (int64_t g = from / 32; g < to / 32; g++) {
        int sum[2] = {0, 0};
        for (int i = 0; i < 32; i++) {
            row->q[32 * g + i] = bad == 0 ? (int8_t)nearbyintf(part[32 * g - from + i] * inverse) : 0;
            sum[i / 16] += row->q[32 * g + i];
        }
        row->scale[g] = scale;
        row->sum32[g] = scale * (float)(sum[0] + sum[1]);
        row->sum16[2 * g] = scale * (float)sum[0];
        row->sum16[2 * g + 1] = scale * (float)sum[1];
    }
}

static void round_rows(void *p, int64_t row0, int64_t row1)
{
    const round_part *j = p;
    for (int64_t i = row0; i < row1; i++) {
        so_int8_row row = so_int8_row_at(j->out, i, j->k);
        for (int64_t c = 0; c < so_int8_width(j->k); c += j->span) {
            int64_t n = j->k - c < 0 ? 0 : j->k - c < j->span ? j->k - c : j->span;
            round_span(j->x + i * j->k + (n ? c : 0), n, &row, c, c + j->span);
        }
    }
}

static void round_int8(so_pool *pool, int64_t m, int64_t k, const so_real *x, void *out)
{
    round_part job = {k, so_int8_span(m), x, out};
    so_for_rows(pool, m, 4, round_rows, &job);
}

/* ---- products */

typedef struct int8_part_job {
    so_product of;
    int64_t k, m;
    const void *rounded;
    const unsigned char *up; /* of gated_int8 */
} int8_part_job;

static so_real group_dot(const group *w, const so_int8_row *x, int64_t g)
{
    int dot[2] = {0, 0};
    for (int i = 0; i < 32; i++) dot[i / 16] += w->q[i] * x->q[32 * g + i];
    so_real products = (so_real)w->scale[0] * (so_real)dot[0] + (so_real)w->scale[1] * (so_real)dot[1];
    return products * (so_real)x->scale[g] - (so_real)w->least * (so_real)x->sum32[g];
}

enum { SOME = 32 };

/* out[i] += row `col` of w times row i0 + i of x, for n <= SOME rows. */
static void dots(const int8_part_job *j, const unsigned char *w, int64_t col, int64_t i0, int64_t n, so_real *out)
{
    w += (size_t)col * so_type_bytes(j->of.type, j->k);
    for (int64_t g = 0; g < j->k / 32; g++) {
        group a;
        read_group(j->of.type, w, g, &a);
        for (int64_t i = 0; i < n; i++) {
            so_int8_row x = so_int8_row_at(j->rounded, i0 + i, j->k);
            out[i] += group_dot(&a, &x, g);
        }
    }
}

static void int8_cols(void *p, int64_t col0, int64_t col1)
{
    const int8_part_job *j = p;
    for (int64_t c = col0; c < col1; c++)
        for (int64_t i0 = 0; i0 < j->m; i0 += SOME) {
            int64_t n = j->m - i0 < SOME ? j->m - i0 : SOME;
            so_real gate[SOME], up[SOME] = {0};
            for (int64_t i = 0; i < n; i++) gate[i] = j->of.bias ? j->of.bias[c] : 0;
            dots(j, j->of.w, c, i0, n, gate);
            if (j->up) dots(j, j->up, c, i0, n, up);
            for (int64_t i = 0; i < n; i++)
                j->of.y[(i0 + i) * j->of.n + c] =
                    j->up ? gate[i] / (1 + (so_real)exp(-(double)gate[i])) * up[i] : gate[i];
        }
}

static void linear_int8(so_pool *pool, int count, const so_product *product, int64_t k, const void *rounded, int64_t m)
{
    for (int i = 0; i < count; i++)
        so_for_rows(pool, product[i].n, 32, int8_cols, &(int8_part_job){product[i], k, m, rounded, NULL});
}

static void gated_int8(so_pool *pool, const so_product *gate, const void *up, int64_t k, const void *rounded, int64_t m)
{
    so_for_rows(pool, gate->n, 32, int8_cols, &(int8_part_job){*gate, k, m, rounded, up});
}

void so_fill_int8_c(so_kernels *table)
{
    table->round_int8 = round_int8;
    table->linear_int8 = linear_int8;
    table->gated_int8 = gated_int8;
}
