/* Matrix products for one ISA: packed panels, one microkernel, tiles cut by the shape alone.
 *
 * C is cut into tiles; each tile is one task that packs its own pieces of A (panels of MR rows) and of B (panels of NR
 * columns; read in place where it is not transposed and its rows lie near), KC deep, into buffers of its thread that
 * fit the second-level cache. The microkernel
 * keeps MR x NR sums in registers: 2 MR NR flops for (MR + NR) loads of 4 bytes. Sums of KC products are added to C
 * block by block, so that the error grows with KC + k / KC, not with k. Measured in docs/lab/speed.md.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_GEMM_H
#define SO_BACKEND_CPU_X86_FAST_GEMM_H

#include "backend/cpu/ref/portable.h"
#include "backend/cpu/x86/simd.h"

#if defined(__AVX512F__)
enum { MR = 12, MC = 21 * MR };
#else
enum { MR = 6, MC = 42 * MR };
#endif
enum { NR = 2 * W, NC = 320, KC = 384, FAR = 2048 };

_Static_assert((int)MC *KC + W <= (int)SO_PACK_A && (int)NC * KC + W <= (int)SO_PACK_B, "the scratch holds a tile");
#define packed_a (so_scratch_here()->a)
#define packed_b (so_scratch_here()->b)

/* out[l * step + i] = x[i * ld + l] for i < rows <= W, zero for rows <= i < W; writes W lanes at every step, upwards.
 */
static void pack_across(const float *x, int64_t ld, int rows, int64_t k, float *out, int64_t step)
{
    for (int64_t l = 0; l < k; l += W) {
        vec r[W];
        vmask m = v_tail(k - l);
        if (k - l >= W && rows == W) {
#pragma GCC unroll 16
            for (int i = 0; i < W; i++) r[i] = v_load(x + i * ld + l);
        } else {
#pragma GCC unroll 16
            for (int i = 0; i < W; i++) r[i] = i < rows ? v_load_m(x + i * ld + l, m) : v_set(0);
        }
        transpose(r);
        if (k - l >= W) {
#pragma GCC unroll 16
            for (int i = 0; i < W; i++) v_store(out + (l + i) * step, r[i]);
        } else {
#pragma GCC unroll 16
            for (int i = 0; i < W; i++)
                if (i < k - l) v_store(out + (l + i) * step, r[i]);
        }
    }
}

/* out[l * step + i] = x[l * ld + i] for i < cols, zero up to `lanes`. */
static void pack_along(const float *x, int64_t ld, int cols, int lanes, int64_t k, float *out, int64_t step)
{
    vmask m = v_tail(cols), store = v_tail(lanes);
    for (int64_t l = 0; l < k; l++) v_store_m(out + l * step, store, v_load_m(x + l * ld, m));
}

/* Rows of k that are packed for all panels before the next ones, where rows lie along memory: 64 KiB of a tile at most.
 */
enum { ROWS_NEAR = 64 };

static void pack_a(bool t, const float *a, int64_t lda, int64_t m, int64_t k)
{
    for (int64_t i = 0; i < m && !t; i += MR) pack_across(a + i * lda, lda, least(m - i, MR), k, packed_a + i * k, MR);
    for (int64_t l = 0; l < k && t; l += ROWS_NEAR)
        for (int64_t i = 0; i < m; i += MR)
            pack_along(a + l * lda + i, lda, least(m - i, MR), MR, least(k - l, ROWS_NEAR), packed_a + i * k + l * MR,
                       MR);
}

/* Columns n0 (a multiple of NR) to n. */
static void pack_b(bool t, const float *b, int64_t ldb, int64_t n0, int64_t n, int64_t k)
{
    for (int64_t j = n0; j < n; j += W) {
        float *out = packed_b + j / NR * NR * k + j % NR;
        if (t)
            pack_across(b + j * ldb, ldb, least(n - j, W), k, out, NR);
        else
            pack_along(b + j, ldb, least(n - j, W), W, k, out, NR);
    }
}

/* sum + x y, or with `paired` the sum of two products of the bf16 pairs that the lanes hold. */
static inline __attribute__((always_inline)) vec multiply_add(const bool paired, vec x, vec y, vec sum)
{
#if defined(__AVX512F__)
    if (paired) return _mm512_dpbf16_ps(sum, (__m512bh)y, (__m512bh)x);
#else
    (void)paired;
#endif
    return v_fma(x, y, sum);
}

/* Where a microkernel puts its sums. */
typedef struct tile {
    float *c;
    int64_t ldc;
    int rows, cols;
    bool add;
} tile;

/* c[rows, cols] = (add ? c : 0) + the first M rows of an a panel times b panel; t.rows <= M. The second half of the b
 * panel may be unwritten when cols <= W. */
static inline __attribute__((always_inline)) void micro(const bool paired, const int M, int64_t k, const float *a,
                                                        const float *b, int64_t ldb, tile t)
{
    vec sum[MR][2];
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) sum[i][0] = sum[i][1] = v_set(0);
    for (int64_t l = 0; l < k; l++, a += MR, b += ldb) {
        vec b0 = v_load(b), b1 = v_load(b + W);
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            vec x = v_set(a[i]);
            sum[i][0] = multiply_add(paired, x, b0, sum[i][0]);
            sum[i][1] = multiply_add(paired, x, b1, sum[i][1]);
        }
    }
    if (t.cols == NR) {
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            if (i >= t.rows) break;
            float *p = t.c + i * t.ldc;
            v_store(p, t.add ? v_add(v_load(p), sum[i][0]) : sum[i][0]);
            v_store(p + W, t.add ? v_add(v_load(p + W), sum[i][1]) : sum[i][1]);
        }
        return;
    }
    vmask m0 = v_tail(t.cols), m1 = v_tail(t.cols > W ? t.cols - W : 0);
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
        if (i >= t.rows) break;
        float *p = t.c + i * t.ldc;
        v_store_m(p, m0, t.add ? v_add(v_load_m(p, m0), sum[i][0]) : sum[i][0]);
        if (t.cols > W) v_store_m(p + W, m1, t.add ? v_add(v_load_m(p + W, m1), sum[i][1]) : sum[i][1]);
    }
}

/* A last panel that is not full is multiplied by thirds. */
static void micro_float(int64_t k, const float *a, const float *b, int64_t ldb, tile t)
{
    if (t.rows > 2 * MR / 3)
        micro(false, MR, k, a, b, ldb, t);
    else if (t.rows > MR / 3)
        micro(false, 2 * MR / 3, k, a, b, ldb, t);
    else
        micro(false, MR / 3, k, a, b, ldb, t);
}

/* c[m, n] of packed A and B (whole panels of it in place where b is not NULL); m <= MC, n <= NC, k <= KC. */
static void multiply(int64_t m, int64_t n, int64_t k, const float *b, int64_t ldb, float *c, int64_t ldc, bool add)
{
    for (int64_t i = 0; i < m; i += MR)
        for (int64_t j = 0; j < n; j += NR) {
            bool here = b && j + NR <= n;
            micro_float(k, packed_a + i * k, here ? b + j : packed_b + j * k, here ? ldb : NR,
                        (tile){c + i * ldc + j, ldc, least(m - i, MR), least(n - j, NR), add});
        }
}

/* k in pieces of equal depth, at most KC, of whole blocks of 32. */
static inline int64_t depth(int64_t k)
{
    int64_t pieces = (k + KC - 1) / KC;
    return pieces <= 1 ? k : ((k + pieces - 1) / pieces + 31) / 32 * 32;
}

/* One product on the calling thread, any size. */
static void gemm_here(const so_gemm *g)
{
    int64_t kc = depth(g->k), ldb = g->ldb;
    for (int64_t j = 0; j < g->n; j += NC)
        for (int64_t l = 0; l < g->k; l += kc) {
            int64_t nn = least(g->n - j, NC), kk = least(g->k - l, kc);
            const float *piece = g->tb ? g->b + j * ldb + l : g->b + l * ldb + j,
                        *direct = g->tb || ldb > FAR ? NULL : piece;
            pack_b(g->tb, piece, ldb, direct ? nn / NR * NR : 0, nn, kk);
            for (int64_t i = 0; i < g->m; i += MC) {
                int64_t mm = least(g->m - i, MC);
                pack_a(g->ta, g->ta ? g->a + l * g->lda + i : g->a + i * g->lda + l, g->lda, mm, kk);
                multiply(mm, nn, kk, direct, ldb, g->c + i * g->ldc + j, g->ldc, g->beta != 0 || l > 0);
            }
        }
}

typedef struct gemm_job {
    so_gemm all;
    int64_t step_m, step_n, tiles_n;
} gemm_job;

typedef void (*here_fn)(const so_gemm *gemm);

static inline void gemm_tile_with(here_fn here, const gemm_job *job, int64_t task)
{
    int64_t i = task / job->tiles_n * job->step_m, j = task % job->tiles_n * job->step_n;
    so_gemm g = job->all;
    g.m = least(g.m - i, job->step_m);
    g.n = least(g.n - j, job->step_n);
    g.a += g.ta ? i : i * g.lda;
    g.b += g.tb ? j * g.ldb : j;
    g.c += i * g.ldc + j;
    here(&g);
}

static void gemm_tile(void *p, int64_t task, int thread)
{
    (void)thread;
    gemm_tile_with(gemm_here, p, task);
}

static int64_t even(int64_t n, int64_t pieces, int64_t multiple)
{
    return ((n + pieces - 1) / pieces + multiple - 1) / multiple * multiple;
}

/* Tiles of equal size, at least 8 of them and an even number unless that would make them smaller than half a million
 * products. Tall ones, up to four blocks of A, so that a packed piece of B serves long. A thread that is alone has
 * them as large as scratch allows. How they are cut changes no sum. */
static void cut_tiles(const so_pool *pool, int64_t m, int64_t n, int64_t k, int64_t *step_m, int64_t *step_n,
                      int64_t *tiles, int64_t *tiles_n)
{
    int64_t pm = (m + 4 * MC - 1) / (4 * MC), pn = (n + NC - 1) / NC;
    double work = (double)m * (double)n * (double)k;
    while (!so_pool_alone(pool) && pm * pn < 8 && work / (double)(pm * pn) > 1e6) {
        if (m / pm > 2 * MR && m / pm >= n / pn / 2)
            pm *= 2;
        else if (n / pn > NR)
            pn *= 2;
        else
            break;
    }
    if (pm * pn > 1 && pm * pn < 16 && pm * pn % 2) *(pm > 1 ? &pm : &pn) += 1;
    *step_m = even(m, pm, MR);
    *step_n = even(n, pn, NR);
    *tiles_n = (n + *step_n - 1) / *step_n;
    *tiles = (m + *step_m - 1) / *step_m * *tiles_n;
}

static void gemm_with(so_pool_fn fn, so_pool *pool, const so_gemm *g)
{
    if (g->m == 0 || g->n == 0) return;
    if (g->k == 0) {
        for (int64_t i = 0; i < g->m && g->beta == 0; i++) memset(g->c + i * g->ldc, 0, (size_t)g->n * sizeof *g->c);
        return;
    }
    gemm_job job = {.all = *g};
    int64_t tiles;
    cut_tiles(pool, g->m, g->n, g->k, &job.step_m, &job.step_n, &tiles, &job.tiles_n);
    so_pool_for(pool, tiles, fn, &job);
}

static void gemm(so_pool *pool, const so_gemm *g) { gemm_with(gemm_tile, pool, g); }

#endif
