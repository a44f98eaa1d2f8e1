/* Products of numbers rounded to bf16 on matrix tiles: any two factors, and weights laid out once.
 *
 * A block of 32 x 32 sums takes 4 KiB of factors for 4 products of tiles, so that loads keep up when one factor comes
 * from the first cache. Therefore k goes in pieces of 512: 32 columns of the right factor are 32 KiB and stay there,
 * while rows of the left factor, up to 1 MiB with all that they have along k, come by from the second. The sums of 32
 * columns wait between pieces in blocks of their own; they begin with the bias and end in y.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_GEMM_H
#define SO_BACKEND_CPU_X86_TILE_GEMM_H

#include "backend/cpu/x86/tile_pack.h"

enum {
    LEFT_NUMBERS = SO_PACK_B * 2 / 1024 * 1024, /* of the left factor, rounded */
    LEFT_ROWS = 512,
    LINEAR_ROWS = 384, /* of a product with laid-out weights */
    RIGHT_COLS = 96,   /* of a right factor that is rounded as it comes */
    DEEPEST_BOTH = 1536,
    BLOCK_SUMS = 32 * 32
};
_Static_assert((int)RIGHT_COLS *DEEPEST_BOTH / 2 + LEFT_ROWS * 32 <= (int)SO_PACK_A,
               "the scratch holds both factors and the sums of 32 columns");

TILE_INLINE uint16_t *left_factor(void) { return (uint16_t *)(void *)so_scratch_here()->b; }
TILE_INLINE uint16_t *right_factor(void) { return (uint16_t *)(void *)so_scratch_here()->a; }
TILE_INLINE float *waiting_sums(void) { return so_scratch_here()->a + RIGHT_COLS * DEEPEST_BOTH / 2; }

/* How a product is cut into tasks; sums do not depend on it. */
typedef struct tile_cut {
    int64_t step_m, step_n, down, tasks; /* down: tasks one below the other, numbered before those beside them */
} tile_cut;

static tile_cut cut_of(int64_t m, int64_t n, int64_t pm, int64_t pn)
{
    tile_cut c = {tiles_of(tiles_of(m, pm), 32) * 32, tiles_of(tiles_of(n, pn), 32) * 32, 0, 0};
    c.down = tiles_of(m, c.step_m);
    c.tasks = c.down * tiles_of(n, c.step_n);
    return c;
}

static tile_cut cut_product(const so_pool *pool, int64_t m, int64_t n, int64_t k, int64_t most_m)
{
    /* A small product goes in as many equal parts as there are threads, a large one in more, for threads that lag. */
    const double work = (double)m * (double)n * (double)k;
    const int64_t threads = so_pool_threads(pool), enough = work > 2e8 * (double)threads ? 2 * threads : threads;
    int64_t pm = tiles_of(m, most_m), pn = 1;
    while (pm * pn < enough && work / (double)(pm * pn) > 4e6) {
        if (m / pm > 128 || (m / pm > 64 && n / pn <= 64))
            pm *= 2;
        else if (n / pn > 64)
            pn *= 2;
        else
            break;
    }
    return cut_of(m, n, pm, pn);
}

/* Where the right factor is laid out: as many parts of all columns as threads, so that every row is rounded once,
 * unless few rows would meet each column. */
static tile_cut cut_rows(const so_pool *pool, int64_t m, int64_t n, int64_t k, int64_t most_m)
{
    const double work = (double)m * (double)n * (double)k;
    const int64_t threads = so_pool_threads(pool), least_m = tiles_of(m, most_m);
    const int64_t each = tiles_of(least_m, threads) * threads, pm = m / each >= 64 ? each : least_m;
    const int64_t pn = least(tiles_of(threads, pm), tiles_of(n, 32));
    return cut_of(m, n, pm, work / (double)(pm * pn) > 4e6 ? pn : 1);
}

/* rows x n sums at y, rows ldy apart: on top of what is there (`add`), or of a bias (NULL: 0). */
typedef struct tile_run {
    const uint16_t *left; /* pieces along k, [rows padded to 32] strips each */
    const uint16_t *right;
    int64_t whole; /* numbers between strips of the right factor, whole along k */
    int64_t rows, n, k, ldy;
    float *y;
    const float *bias;
    bool add;
} tile_run;

/* Numbers along k of a piece. */
TILE_INLINE int64_t piece_of(int64_t k) { return even_step(k, DEEP_BLOCK, TILE_DEEP); }

static void pack_left(bool along, const float *x, int64_t ld, int64_t rows, int64_t k, uint16_t *to)
{
    const int64_t deep = piece_of(k), strips = tiles_of(rows, 32) * 2;
    for (int64_t l = 0; l < k; l += deep) {
        const int64_t n = least(k - l, deep), strip = tiles_of(n, TILE_DEEP) * TILE_NUMBERS;
        uint16_t *piece = to + l * strips * TILE_ROWS;
        pack_strips(true, along, along ? x + l * ld : x + l, ld, rows, n, piece, strip);
        if (tiles_of(rows, TILE_ROWS) < strips) memset(piece + (strips - 1) * strip, 0, (size_t)strip * sizeof *piece);
    }
}

/* Where the four tiles of blocks of sums lie: numbers to the next block, to the right, downwards; bytes between rows.
 */
typedef struct tile_blocks {
    float *at;
    int64_t next, right, down, row;
} tile_blocks;

/* 32 columns of a piece of k. */
typedef struct tile_columns {
    const uint16_t *left, *right, *right1; /* strips; the two of the columns */
    int64_t strip, depth, blocks;          /* numbers of a strip of the left one; tiles along k; of 32 rows */
    tile_blocks from, wait, y;             /* sums before; afterwards, for the first `whole` blocks in y */
    int64_t whole;
    const char *soon, *soon1; /* what comes next of the right factor: as long as this piece */
} tile_columns;

static void run_columns(const tile_columns *c)
{
    const int64_t depth = c->depth, a_block = 2 * c->strip, per_step = tiles_of(16 * depth, c->blocks * depth);
    const uint16_t *a = c->left, *a1 = c->left + c->strip;
    const char *soon = c->soon, *soon1 = c->soon1, *soon_end = c->soon + depth * 1024;
    const tile_blocks *in = &c->from;
    const float *from = in->at;
    tile_load(0, from, in->row);
    tile_load(1, from + in->right, in->row);
    tile_load(2, from + in->down, in->row);
    tile_load(3, from + in->down + in->right, in->row);
#define LOAD_AND_ADD_TWO(l)                                                                                            \
    tile_load_once(4, a + (l)*TILE_NUMBERS, TILE_BYTES);                                                               \
    tile_load(6, c->right + (l)*TILE_NUMBERS, TILE_BYTES);                                                             \
    tile_dot_bf16(0, 4, 6);                                                                                            \
    tile_load(7, c->right1 + (l)*TILE_NUMBERS, TILE_BYTES);                                                            \
    tile_dot_bf16(1, 4, 7);                                                                                            \
    tile_load_once(5, a1 + (l)*TILE_NUMBERS, TILE_BYTES)
    for (int64_t p = 0; p < c->blocks; p++, a += a_block, a1 += a_block) {
        for (int64_t l = 0; l < depth - 1; l++) {
            LOAD_AND_ADD_TWO(l);
            tile_dot_bf16(2, 5, 6);
            tile_dot_bf16(3, 5, 7);
            for (int64_t i = 0; i < per_step && soon < soon_end; i++, soon += 64, soon1 += 64) {
                __builtin_prefetch(soon, 0, 2);
                __builtin_prefetch(soon1, 0, 2);
            }
        }
        const tile_blocks *out = p < c->whole ? &c->y : &c->wait;
        float *to = out->at + p * out->next;
        if (p + 1 < c->blocks) from += in->next;
        LOAD_AND_ADD_TWO(depth - 1);
        tile_store(0, to, out->row);
        tile_load(0, from, in->row);
        tile_dot_bf16(2, 5, 6);
        tile_store(1, to + out->right, out->row);
        tile_load(1, from + in->right, in->row);
        tile_dot_bf16(3, 5, 7);
        tile_store(2, to + out->down, out->row);
        tile_load(2, from + in->down, in->row);
        tile_store(3, to + out->down + out->right, out->row);
        tile_load(3, from + in->down + in->right, in->row);
    }
#undef LOAD_AND_ADD_TWO
}

/* Sums of rows x cols between y and the blocks [4][16][16]. */
static void move_blocks(bool out, float *wait, float *y, int64_t ldy, int64_t row0, int64_t rows, int64_t cols)
{
    for (int64_t i = row0; i < rows; i++)
        for (int64_t h = 0; h * 16 < cols; h++) {
            float *block = wait + i / 32 * BLOCK_SUMS + i % 32 / 16 * 512 + h * 256 + i % 16 * 16,
                  *at = y + i * ldy + 16 * h;
            if (cols - 16 * h >= 16)
                memcpy(out ? at : block, out ? block : at, 16 * sizeof *at);
            else
                memcpy(out ? at : block, out ? block : at, (size_t)(cols - 16 * h) * sizeof *at);
        }
}

static void run_blocks(const tile_run *r)
{
    const int64_t deep = piece_of(r->k), blocks = tiles_of(r->rows, 32);
    float *wait = waiting_sums(), bias[32] = {0};
    for (int64_t j = 0; j < r->n; j += 32) {
        const int64_t cols = least(r->n - j, 32), whole = cols == 32 ? r->rows / 32 : 0;
        const uint16_t *w = r->right + j / 16 * r->whole, *w1 = cols > 16 ? w + r->whole : w;
        const tile_blocks waiting = {wait, BLOCK_SUMS, 256, 512, 64},
                          y = {r->y + j, 32 * r->ldy, 16, 16 * r->ldy, 4 * r->ldy}, one = {bias, 0, 16, 0, 0};
        if (r->add && whole < blocks) move_blocks(false, wait, r->y + j, r->ldy, 0, r->rows, cols);
        if (!r->add && r->bias) memcpy(bias, r->bias + j, (size_t)cols * sizeof *bias);
        for (int64_t l = 0; l < r->k; l += deep) {
            const int64_t n = least(r->k - l, deep), depth = tiles_of(n, TILE_DEEP);
            const bool last = l + deep >= r->k;
            tile_columns c = {.left = r->left + l * blocks * 32,
                              .right = w + l * TILE_ROWS,
                              .right1 = w1 + l * TILE_ROWS,
                              .strip = depth * TILE_NUMBERS,
                              .depth = depth,
                              .blocks = blocks,
                              .from = l > 0            ? waiting
                                      : !r->add        ? one
                                      : whole < blocks ? waiting
                                                       : y,
                              .wait = waiting,
                              .y = y,
                              .whole = last ? whole : 0};
            /* The next piece: further along k, or the next columns, whose strips lie behind these. */
            c.soon = (const char *)(c.right + (last ? 2 * r->whole - l * TILE_ROWS : deep * TILE_ROWS));
            c.soon1 = c.soon + r->whole * 2;
            run_columns(&c);
        }
        if (whole < blocks) move_blocks(true, wait, r->y + j, r->ldy, whole * 32, r->rows, cols);
    }
}

/* ---- any two factors */

typedef struct tile_gemm_job {
    so_gemm all;
    tile_cut cut;
} tile_gemm_job;

/* Numbers along k, and rows of the left factor, at a time. The right factor is rounded again for every such rows. */
TILE_INLINE int64_t deep_of_both(int64_t k) { return even_step(k, DEEPEST_BOTH, TILE_DEEP); }
TILE_INLINE int64_t rows_of_both(int64_t deep)
{
    const int64_t fit = LEFT_NUMBERS / deep / 32 * 32;
    return fit < LEFT_ROWS ? fit : LEFT_ROWS;
}

/* A piece of k: both factors are rounded, the left one at once, the right one 96 columns at a time. */
static void gemm_piece(const so_gemm *g, bool add)
{
    uint16_t *left = left_factor(), *right = right_factor();
    const int64_t strip = tiles_of(g->k, TILE_DEEP) * TILE_NUMBERS;
    pack_left(g->ta, g->a, g->lda, g->m, g->k, left);
    for (int64_t j = 0; j < g->n; j += RIGHT_COLS) {
        const int64_t n = least(g->n - j, RIGHT_COLS);
        pack_strips(false, !g->tb, g->tb ? g->b + j * g->ldb : g->b + j, g->ldb, n, g->k, right, strip);
        run_blocks(&(tile_run){left, right, strip, g->m, n, g->k, g->ldc, g->c + j, NULL, add});
    }
}

/* On the calling thread. */
static void gemm_on_tiles(const so_gemm *g)
{
    const int64_t deep = deep_of_both(g->k), rows = rows_of_both(deep);
    const tile_shape shape = tile_shape_of(TILE_BYTES);
    tile_setup(&shape);
    for (int64_t i = 0; i < g->m; i += rows)
        for (int64_t l = 0; l < g->k; l += deep) {
            so_gemm piece = *g;
            piece.m = least(g->m - i, rows);
            piece.k = least(g->k - l, deep);
            piece.a += g->ta ? l * g->lda + i : i * g->lda + l;
            piece.b += g->tb ? l : l * g->ldb;
            piece.c += i * g->ldc;
            gemm_piece(&piece, l > 0 || g->beta != 0);
        }
    tile_release();
}

static void gemm_bf16_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_gemm_job *job = p;
    int64_t i = task % job->cut.down * job->cut.step_m, j = task / job->cut.down * job->cut.step_n;
    so_gemm g = job->all;
    g.m = least(g.m - i, job->cut.step_m);
    g.n = least(g.n - j, job->cut.step_n);
    g.a += g.ta ? i : i * g.lda;
    g.b += g.tb ? j * g.ldb : j;
    g.c += i * g.ldc + j;
    gemm_on_tiles(&g);
}

static void gemm_bf16(so_pool *pool, const so_gemm *g)
{
    if (g->m == 0 || g->n == 0) return;
    if (g->k == 0) {
        for (int64_t i = 0; i < g->m && g->beta == 0; i++) memset(g->c + i * g->ldc, 0, (size_t)g->n * sizeof *g->c);
        return;
    }
    tile_gemm_job job = {*g, cut_product(pool, g->m, g->n, g->k, rows_of_both(deep_of_both(g->k)))};
    so_pool_for(pool, job.cut.tasks, gemm_bf16_task, &job);
}

/* ---- weights laid out: strips of 16 columns, whole along k */

static int64_t strip_of(int64_t k) { return tiles_of(k, TILE_DEEP) * TILE_NUMBERS; }

static size_t bf16_bytes(int64_t n, int64_t k)
{
    return (size_t)(tiles_of(n, TILE_ROWS) * strip_of(k)) * sizeof(uint16_t);
}

typedef struct tile_pack_job {
    int64_t n, k;
    const float *w;
    uint16_t *layout;
} tile_pack_job;

static void pack_strip_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_pack_job *j = p;
    int64_t n0 = task * TILE_ROWS, k = j->k;
    pack_strips(false, false, j->w + n0 * k, k, least(j->n - n0, TILE_ROWS), k, j->layout + task * strip_of(k),
                strip_of(k));
}

static void bf16_pack(so_pool *pool, int64_t n, int64_t k, const float *w, void *layout)
{
    so_pool_for(pool, tiles_of(n, TILE_ROWS), pack_strip_task, &(tile_pack_job){n, k, w, layout});
}

/* Products of the same rows, their columns counted on, each product's from a multiple of 32. */
typedef struct tile_linear_job {
    int count;
    const so_bf16_product *of;
    so_bf16_ends ends;
    tile_cut cut;
    int64_t deep; /* numbers along k between which sums wait in y */
} tile_linear_job;

enum { NEAR_ENDS = 128 /* columns that go through what comes after a product while they are near */ };

/* What comes after, of rows x cols numbers at y. */
static void end_columns(const so_bf16_ends *ends, int64_t rows, int64_t cols, float *y, const float *add, int64_t ldy)
{
    for (int64_t i = 0; i < rows; i++, y += ldy) {
        if (ends->then) tiles_below.unary(NULL, (so_unary)(ends->then - 1), cols, y, y);
        if (add) tiles_below.axpy(NULL, cols, 1, add + i * ldy, y);
    }
}

/* Columns j0 .. j1 of one product, numbers l .. l + k of the rows that are rounded. */
static void linear_columns(const tile_linear_job *job, const so_bf16_product *g, int64_t m0, int64_t l, int64_t j0,
                           int64_t j1)
{
    const int64_t whole = strip_of(g->k), rows = least(g->m - m0, job->cut.step_m), k = least(g->k - l, job->deep);
    const bool ends = l + k == g->k && (job->ends.then || job->ends.add);
    const int64_t step = ends ? NEAR_ENDS : j1 - j0;
    for (int64_t j = j0; j < j1; j += step) {
        const int64_t at = m0 * g->ldy + j, cols = least(j1 - j, step);
        run_blocks(&(tile_run){left_factor(), (const uint16_t *)g->layout + j / 16 * whole + l * TILE_ROWS, whole, rows,
                               cols, k, g->ldy, g->y + at, g->bias ? g->bias + j : NULL, l > 0});
        if (ends) end_columns(&job->ends, rows, cols, g->y + at, job->ends.add ? job->ends.add + at : NULL, g->ldy);
    }
}

static void bf16_linear_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_linear_job *job = p;
    const so_bf16_product *first = job->of;
    const int64_t m0 = task % job->cut.down * job->cut.step_m, n0 = task / job->cut.down * job->cut.step_n;
    const tile_shape shape = tile_shape_of(TILE_BYTES);
    tile_setup(&shape);
    for (int64_t l = 0; l < first->k; l += job->deep) {
        pack_left(false, first->x + m0 * first->ldx + l, first->ldx, least(first->m - m0, job->cut.step_m),
                  least(first->k - l, job->deep), left_factor());
        int64_t before = 0;
        for (int i = 0; i < job->count; i++) {
            const so_bf16_product *g = &first[i];
            const int64_t j0 = n0 > before ? n0 - before : 0, j1 = least(g->n, n0 + job->cut.step_n - before);
            if (j0 < j1) linear_columns(job, g, m0, l, j0, j1);
            before += tiles_of(g->n, 32) * 32;
        }
    }
    tile_release();
}

static void bf16_joined(so_pool *pool, int count, const so_bf16_product *p, const so_bf16_ends *ends)
{
    int64_t columns = 0;
    for (int i = 0; i < count; i++) columns += tiles_of(p[i].n, 32) * 32;
    if (p->m < 1 || columns < 1) return;
    /* Rows r at a time read the weights m / r times, numbers d along k at a time move y 2 k / d times. Of r d numbers
     * that have room, 2 n k m / r and 8 n m k / d bytes are least at r = sqrt(room) / 2. */
    const int64_t rows = even_step(p->m, LINEAR_ROWS, 32),
                  deep = even_step(p->k, LEFT_NUMBERS / rows / TILE_DEEP * TILE_DEEP, TILE_DEEP);
    tile_linear_job job = {count, p, *ends, cut_rows(pool, p->m, columns, p->k, rows), deep};
    so_pool_for(pool, job.cut.tasks, bf16_linear_task, &job);
}

static void bf16_linear(so_pool *pool, const so_bf16_product *p) { bf16_joined(pool, 1, p, &(so_bf16_ends){0}); }

#endif
