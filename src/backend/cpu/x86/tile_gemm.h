/* Products of numbers rounded to bf16 on matrix tiles: any two factors, and weights laid out once.
 *
 * A block of 32 x 32 sums takes 4 KiB of factors for 4 products of tiles, so that loads keep up when one factor comes
 * from the first cache. Therefore k goes in pieces of 512: 32 columns of the right factor are 32 KiB and stay there,
 * while rows of the left factor, 320 KiB at most, come by from the second. Between pieces sums lie in C.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_GEMM_H
#define SO_BACKEND_CPU_X86_TILE_GEMM_H

#include "backend/cpu/x86/tile_pack.h"

enum { LEFT_ROWS = 320, RIGHT_COLS = 320 };
_Static_assert((int)LEFT_ROWS *DEEP_BLOCK * 2 <= (int)SO_PACK_A * 4 &&
                   (int)RIGHT_COLS * DEEP_BLOCK * 2 <= (int)SO_PACK_B * 4,
               "the scratch holds both factors");

TILE_INLINE uint16_t *left_factor(void) { return (uint16_t *)(void *)so_scratch_here()->a; }
TILE_INLINE uint16_t *right_factor(void) { return (uint16_t *)(void *)so_scratch_here()->b; }

/* How a product is cut into tasks, by its shape alone. */
typedef struct tile_cut {
    int64_t step_m, step_n, across, tasks;
} tile_cut;

static tile_cut cut_product(int64_t m, int64_t n, int64_t k, int64_t most_m, int64_t most_n)
{
    int64_t pm = tiles_of(m, most_m), pn = tiles_of(n, most_n);
    double work = (double)m * (double)n * (double)k;
    while (pm * pn < 16 && work / (double)(pm * pn) > 4e6) {
        if (m / pm > 64 && m / pm >= n / pn)
            pm *= 2;
        else if (n / pn > 64)
            pn *= 2;
        else
            break;
    }
    tile_cut c = {tiles_of(tiles_of(m, pm), 32) * 32, tiles_of(tiles_of(n, pn), 32) * 32, 0, 0};
    c.across = tiles_of(n, c.step_n);
    c.tasks = tiles_of(m, c.step_m) * c.across;
    return c;
}

/* ---- any two factors */

static void gemm_piece(const so_gemm *g, int64_t j, int64_t n, int64_t l, int64_t k)
{
    uint16_t *left = left_factor(), *right = right_factor();
    int64_t depth = tiles_of(k, TILE_DEEP), strip = depth * TILE_NUMBERS;
    pack_strips(false, !g->tb, g->tb ? g->b + j * g->ldb + l : g->b + l * g->ldb + j, g->ldb, n, k, right, strip);
    for (int64_t i = 0; i < g->m; i += LEFT_ROWS) {
        int64_t m = least(g->m - i, LEFT_ROWS);
        pack_strips(true, g->ta, g->ta ? g->a + l * g->lda + i : g->a + i * g->lda + l, g->lda, m, k, left, strip);
        for (int64_t jj = 0; jj < n; jj += 32)
            for (int64_t ii = 0; ii < m; ii += 32)
                block_at((tile_sums){g->c + (i + ii) * g->ldc + j + jj, g->ldc, least(m - ii, 32), least(n - jj, 32),
                                     g->beta != 0 || l > 0, NULL},
                         depth, packed_strips(left + ii / 16 * strip, strip),
                         packed_strips(right + jj / 16 * strip, strip));
    }
}

/* On the calling thread, registers set up. */
static void gemm_on_tiles(const so_gemm *g)
{
    int64_t deep = even_step(g->k, DEEP_BLOCK, TILE_DEEP);
    for (int64_t j = 0; j < g->n; j += RIGHT_COLS)
        for (int64_t l = 0; l < g->k; l += deep)
            gemm_piece(g, j, least(g->n - j, RIGHT_COLS), l, least(g->k - l, deep));
}

typedef struct tile_gemm_job {
    so_gemm all;
    tile_cut cut;
} tile_gemm_job;

static void gemm_bf16_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_gemm_job *job = p;
    int64_t i = task / job->cut.across * job->cut.step_m, j = task % job->cut.across * job->cut.step_n;
    so_gemm g = job->all;
    g.m = least(g.m - i, job->cut.step_m);
    g.n = least(g.n - j, job->cut.step_n);
    g.a += g.ta ? i : i * g.lda;
    g.b += g.tb ? j * g.ldb : j;
    g.c += i * g.ldc + j;
    const tile_shape shape = tile_shape_of(TILE_BYTES);
    tile_setup(&shape);
    gemm_on_tiles(&g);
    tile_release();
}

static void gemm_bf16(so_pool *pool, const so_gemm *g)
{
    if (g->m == 0 || g->n == 0) return;
    if (g->k == 0) {
        for (int64_t i = 0; i < g->m && g->beta == 0; i++) memset(g->c + i * g->ldc, 0, (size_t)g->n * sizeof *g->c);
        return;
    }
    tile_gemm_job job = {*g, cut_product(g->m, g->n, g->k, 4 * LEFT_ROWS, RIGHT_COLS)};
    so_pool_for(pool, job.cut.tasks, gemm_bf16_task, &job);
}

/* ---- weights laid out: strips of 16 columns, whole along k */

static int64_t strip_of(int64_t k) { return tiles_of(k, TILE_DEEP) * TILE_NUMBERS; }

static size_t bf16_bytes(int64_t n, int64_t k)
{
    return (size_t)(tiles_of(n, TILE_ROWS) * strip_of(k)) * sizeof(uint16_t);
}

typedef struct tile_linear_job {
    so_bf16_product of;
    tile_cut cut;
    const float *w; /* of pack */
    uint16_t *layout;
} tile_linear_job;

static void pack_strip_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_linear_job *j = p;
    int64_t n0 = task * TILE_ROWS, k = j->of.k;
    pack_strips(false, false, j->w + n0 * k, k, least(j->of.n - n0, TILE_ROWS), k, j->layout + task * strip_of(k),
                strip_of(k));
}

static void bf16_pack(so_pool *pool, int64_t n, int64_t k, const float *w, void *layout)
{
    so_pool_for(pool, tiles_of(n, TILE_ROWS), pack_strip_task,
                &(tile_linear_job){.of = {.n = n, .k = k}, .w = w, .layout = layout});
}

static void bf16_linear_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_linear_job *job = p;
    const so_bf16_product *g = &job->of;
    int64_t m0 = task / job->cut.across * job->cut.step_m, m1 = m0 + least(g->m - m0, job->cut.step_m);
    int64_t n0 = task % job->cut.across * job->cut.step_n, n1 = n0 + least(g->n - n0, job->cut.step_n);
    int64_t deep = even_step(g->k, DEEP_BLOCK, TILE_DEEP), whole = strip_of(g->k);
    const uint16_t *w = g->layout;
    uint16_t *left = left_factor();
    const tile_shape shape = tile_shape_of(TILE_BYTES);
    tile_setup(&shape);
    for (int64_t i0 = m0; i0 < m1; i0 += LEFT_ROWS)
        for (int64_t l = 0; l < g->k; l += deep) {
            int64_t m = least(m1 - i0, LEFT_ROWS), k = least(g->k - l, deep), depth = tiles_of(k, TILE_DEEP);
            int64_t strip = depth * TILE_NUMBERS;
            pack_strips(true, false, g->x + i0 * g->ldx + l, g->ldx, m, k, left, strip);
            for (int64_t j = n0; j < n1; j += 32)
                for (int64_t i = 0; i < m; i += 32)
                    block_at((tile_sums){g->y + (i0 + i) * g->ldy + j, g->ldy, least(m - i, 32), least(n1 - j, 32),
                                         l > 0, g->bias ? g->bias + j : NULL},
                             depth, packed_strips(left + i / 16 * strip, strip),
                             packed_strips(w + j / 16 * whole + l / TILE_DEEP * TILE_NUMBERS, whole));
        }
    tile_release();
}

static void bf16_linear(so_pool *pool, const so_bf16_product *p)
{
    if (p->m < 1 || p->n < 1) return;
    tile_linear_job job = {.of = *p, .cut = cut_product(p->m, p->n, p->k, 2 * LEFT_ROWS, p->n)};
    so_pool_for(pool, job.cut.tasks, bf16_linear_task, &job);
}

#endif
