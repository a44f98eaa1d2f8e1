/* Products of numbers rounded to bf16, summed in float, for one ISA.
 *
 * With AVX-512 BF16 a packed lane holds two neighbours along k and one instruction adds two products: twice the flops
 * of fast_gemm.h for half the bytes. Elsewhere packed numbers are rounded in place and multiplied as floats: the same
 * result but for the order of additions, without the gain.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_BF16_H
#define SO_BACKEND_CPU_X86_FAST_BF16_H

#include "backend/cpu/x86/fast_gemm.h"

#if defined(__AVX512F__)

enum { PAIR_KC = 2 * KC };

/* Lane i: (x[2 i], x[2 i + 1]) of 32 numbers, as two bf16. */
static inline vec pairs(vec first, vec second) { return (vec)_mm512_cvtne2ps_pbh(second, first); }

/* out[l * step + i] = the pair (x[i * ld + 2 l], x[i * ld + 2 l + 1]); like pack_across. */
static void pack_pairs_across(const float *x, int64_t ld, int rows, int64_t k, float *out, int64_t step)
{
    for (int64_t l = 0; l < k; l += 32, out += 16 * step) {
        vec r[16];
        vmask m0 = v_tail(k - l), m1 = v_tail(k - l > 16 ? k - l - 16 : 0);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            r[i] = i < rows ? pairs(v_load_m(x + i * ld + l, m0), v_load_m(x + i * ld + l + 16, m1)) : v_set(0);
        transpose(r);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            if (l + 2 * i < k) v_store(out + i * step, r[i]);
    }
}

/* out[l * step + i] = the pair (x[2 l * ld + i], x[(2 l + 1) * ld + i]) for i < cols, zero up to `lanes`. */
static void pack_pairs_along(const float *x, int64_t ld, int cols, int lanes, int64_t k, float *out, int64_t step)
{
    static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i zip = _mm512_loadu_si512(order);
    vmask m = v_tail(cols), store = v_tail(lanes);
    for (int64_t l = 0; l < k; l += 2, out += step) {
        vec second = l + 1 < k ? v_load_m(x + (l + 1) * ld, m) : v_set(0);
        __m512i two = (__m512i)_mm512_cvtne2ps_pbh(second, v_load_m(x + l * ld, m));
        v_store_m(out, store, _mm512_castsi512_ps(_mm512_permutexvar_epi16(zip, two)));
    }
}

/* Packs `count` rows of op, panels of `width`, at most W of them at a time. Along memory, a few rows of k are done for
 * all panels before the next, so that what is read stays near. */
static void pack_pairs(bool along, const float *x, int64_t ld, int64_t count, int64_t k, float *out, int width)
{
    int64_t depth = (k + 1) / 2, slice = along ? ROWS_NEAR : k;
    for (int64_t l = 0; l < k; l += slice)
        for (int64_t i = 0; i < count; i += width)
            for (int part = 0; part < width && i + part < count; part += W) {
                int n = least(least(count - i - part, W), width - part);
                float *to = out + i * depth + l / 2 * width + part;
                if (along)
                    pack_pairs_along(x + l * ld + i + part, ld, n, width - part, least(k - l, slice), to, width);
                else
                    pack_pairs_across(x + (i + part) * ld, ld, n, k, to, width);
            }
}

static void gemm_bf16_here(const so_gemm *g)
{
    int64_t pieces = (g->k + PAIR_KC - 1) / PAIR_KC, kc = even(g->k, pieces, 32);
    for (int64_t j = 0; j < g->n; j += NC)
        for (int64_t l = 0; l < g->k; l += kc) {
            int64_t nn = least(g->n - j, NC), kk = least(g->k - l, kc), depth = (kk + 1) / 2;
            pack_pairs(!g->tb, g->tb ? g->b + j * g->ldb + l : g->b + l * g->ldb + j, g->ldb, nn, kk, packed_b, NR);
            for (int64_t i = 0; i < g->m; i += MC) {
                int64_t mm = least(g->m - i, MC);
                pack_pairs(g->ta, g->ta ? g->a + l * g->lda + i : g->a + i * g->lda + l, g->lda, mm, kk, packed_a, MR);
                for (int64_t ii = 0; ii < mm; ii += MR)
                    for (int64_t jj = 0; jj < nn; jj += NR)
                        micro(true, MR, depth, packed_a + ii * depth, packed_b + jj * depth, NR,
                              (tile){g->c + (i + ii) * g->ldc + j + jj, g->ldc, least(mm - ii, MR), least(nn - jj, NR),
                                     g->beta != 0 || l > 0});
            }
        }
}

#else

static void round_bf16(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = so_from_bf16(so_to_bf16(x[i]));
}

static void gemm_bf16_here(const so_gemm *g)
{
    int64_t kc = depth(g->k);
    for (int64_t j = 0; j < g->n; j += NC)
        for (int64_t l = 0; l < g->k; l += kc) {
            int64_t nn = least(g->n - j, NC), kk = least(g->k - l, kc);
            pack_b(g->tb, g->tb ? g->b + j * g->ldb + l : g->b + l * g->ldb + j, g->ldb, 0, nn, kk);
            round_bf16(packed_b, (nn + NR - 1) / NR * NR * kk);
            for (int64_t i = 0; i < g->m; i += MC) {
                int64_t mm = least(g->m - i, MC);
                pack_a(g->ta, g->ta ? g->a + l * g->lda + i : g->a + i * g->lda + l, g->lda, mm, kk);
                round_bf16(packed_a, (mm + MR - 1) / MR * MR * kk);
                multiply(mm, nn, kk, NULL, 0, g->c + i * g->ldc + j, g->ldc, g->beta != 0 || l > 0);
            }
        }
}

#endif

static void gemm_bf16_tile(void *p, int64_t task, int thread)
{
    (void)thread;
    gemm_tile_with(gemm_bf16_here, p, task);
}

static void gemm_bf16(so_pool *pool, const so_gemm *g) { gemm_with(gemm_bf16_tile, pool, g); }

#endif
