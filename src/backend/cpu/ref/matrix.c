/* Matrix products, portable: the specification of gemm, linear and row.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "backend/cpu/ref/portable.h"
#include "base/quantise.h"

static void gemm_rows(void *p, int64_t row0, int64_t row1)
{
    const so_gemm *g = p;
    for (int64_t i = row0; i < row1; i++) {
        so_real *c = g->c + i * g->ldc;
        if (g->beta == 0) memset(c, 0, (size_t)g->n * sizeof *c);
        if (g->tb) {
            for (int64_t j = 0; j < g->n; j++) {
                so_real sum = 0;
                for (int64_t l = 0; l < g->k; l++)
                    sum += (g->ta ? g->a[l * g->lda + i] : g->a[i * g->lda + l]) * g->b[j * g->ldb + l];
                c[j] += sum;
            }
        } else {
            for (int64_t l = 0; l < g->k; l++) {
                so_real a = g->ta ? g->a[l * g->lda + i] : g->a[i * g->lda + l];
                const so_real *b = g->b + l * g->ldb;
                for (int64_t j = 0; j < g->n; j++) c[j] += a * b[j];
            }
        }
    }
}

static void gemm(so_pool *pool, const so_gemm *g)
{
    so_gemm job = *g;
    so_for_rows(pool, g->m, 8, gemm_rows, &job);
}

static void gemm_bf16_rows(void *p, int64_t row0, int64_t row1)
{
    const so_gemm *g = p;
    for (int64_t i = row0; i < row1; i++)
        for (int64_t j = 0; j < g->n; j++) {
            so_real sum = 0, *c = g->c + i * g->ldc + j;
            for (int64_t l = 0; l < g->k; l++) {
                float a = (float)(g->ta ? g->a[l * g->lda + i] : g->a[i * g->lda + l]);
                float b = (float)(g->tb ? g->b[j * g->ldb + l] : g->b[l * g->ldb + j]);
                sum += (so_real)so_from_bf16(so_to_bf16(a)) * (so_real)so_from_bf16(so_to_bf16(b));
            }
            *c = g->beta == 0 ? sum : *c + sum;
        }
}

static void gemm_bf16(so_pool *pool, const so_gemm *g)
{
    so_gemm job = *g;
    so_for_rows(pool, g->m, 8, gemm_bf16_rows, &job);
}

static void block_row(so_type type, const unsigned char *p, int64_t k, so_real *out)
{
    const so_type_info *about = so_type_about(type);
    float part[256];
    for (int64_t i = 0; i < k; i += about->block, p += about->bytes) {
        so_dequantise_row(type, p, about->block, part);
        for (int j = 0; j < about->block; j++) out[i + j] = part[j];
    }
}

static void row(so_type type, const void *w, int64_t row, int64_t k, so_real *out)
{
    const unsigned char *p = (const unsigned char *)w +
                             (type == SO_F32 ? (size_t)(row * k) * sizeof(so_real) : so_type_bytes(type, row * k));
    switch (type) {
    case SO_F32:
        memcpy(out, p, (size_t)k * sizeof *out);
        break;
    case SO_F16:
        for (int64_t i = 0; i < k; i++) out[i] = so_from_f16(((const uint16_t *)p)[i]);
        break;
    case SO_BF16:
        for (int64_t i = 0; i < k; i++) out[i] = so_from_bf16(((const uint16_t *)p)[i]);
        break;
    default:
        block_row(type, p, k, out);
        break;
    }
}

typedef struct linear_part {
    so_type type;
    const void *w;
    int64_t n, k, m;
    const so_real *x, *bias;
    so_real *y;
} linear_part;

/* One weight row at a time: decoded once (into at most 4096 numbers a piece), used for every row of x. */
static void linear_cols(void *p, int64_t col0, int64_t col1)
{
    const linear_part *l = p;
    enum { PIECE = 4096 };
    so_real buffer[PIECE];
    for (int64_t j = col0; j < col1; j++) {
        for (int64_t i = 0; i < l->m; i++) l->y[i * l->n + j] = l->bias ? l->bias[j] : 0;
        for (int64_t k0 = 0; k0 < l->k; k0 += PIECE) {
            int64_t k1 = k0 + PIECE < l->k ? k0 + PIECE : l->k;
            const so_real *w = buffer;
            if (l->type == SO_F32) {
                w = (const so_real *)l->w + j * l->k + k0;
            } else {
                const unsigned char *at = (const unsigned char *)l->w + so_type_bytes(l->type, j * l->k + k0);
                row(l->type, at, 0, k1 - k0, buffer);
            }
            for (int64_t i = 0; i < l->m; i++) {
                const so_real *x = l->x + i * l->k + k0;
                so_real sum = 0;
                for (int64_t c = 0; c < k1 - k0; c++) sum += x[c] * w[c];
                l->y[i * l->n + j] += sum;
            }
        }
    }
}

static void linear(so_pool *pool, const so_product *p, int64_t k, const so_real *x, int64_t m)
{
    linear_part job = {p->type, p->w, p->n, k, m, x, p->bias, p->y};
    so_for_rows(pool, p->n, 32, linear_cols, &job);
}

void so_fill_matrix_c(so_kernels *table)
{
    table->gemm = gemm;
    table->gemm_bf16 = gemm_bf16;
    table->linear = linear;
    table->row = row;
}
