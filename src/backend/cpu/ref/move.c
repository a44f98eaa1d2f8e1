/* Copies, rows by their index, keys and values into stores, the likeliest column. See kernels_move.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <string.h>

#include "backend/cpu/ref/portable.h"
#include "base/quantise.h"

static void copy(so_pool *pool, int64_t n, const so_real *x, so_real *y)
{
    (void)pool;
    memcpy(y, x, (size_t)n * sizeof *y);
}

static void mul(so_pool *pool, int64_t n, const so_real *a, const so_real *b, so_real *y)
{
    (void)pool;
    for (int64_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

static void scale(so_pool *pool, int64_t n, so_real factor, const so_real *x, so_real *y)
{
    (void)pool;
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor;
}

static void add_row(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, const so_real *row, so_real *y)
{
    (void)pool;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) y[r * cols + c] = x[r * cols + c] + row[c];
}

static void gather(so_pool *pool, const so_gather *g)
{
    (void)pool;
    size_t bytes = (size_t)g->cols * sizeof *g->y;
    for (int64_t i = 0; i < g->n; i++) {
        so_real *y = g->y + i * g->cols;
        if (g->index[i] >= 0 && g->type == SO_F32)
            memcpy(y, (const so_real *)g->w + g->index[i] * g->cols, bytes);
        else if (g->index[i] >= 0)
            so_kernels_c()->row(g->type, g->w, g->index[i], g->cols, y);
        else if (g->index[i] == -1)
            memset(y, 0, bytes);
    }
}

static size_t stored_bytes(so_type type, int64_t n)
{
    return type == SO_F32 ? (size_t)n * sizeof(so_real) : so_type_bytes(type, n);
}

/* n numbers from `x`, written at `out`. */
static bool keep_part(so_type type, const so_real *x, int64_t n, char *out)
{
    enum { PIECE = 256 };
    so_error error;
    if (type == SO_F32) memcpy(out, x, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < n && type != SO_F32; i += PIECE) {
        float part[PIECE];
        int64_t some = n - i < PIECE ? n - i : PIECE;
        for (int64_t c = 0; c < some; c++) part[c] = (float)x[i + c];
        if (so_quantise_row(type, part, some, out + so_type_bytes(type, i), &error) != SO_OK) return false;
    }
    return true;
}

typedef struct keep_job {
    so_kept of;
    atomic_bool failed;
} keep_job;

enum { KEPT = 1 << 13 /* numbers of a task, whole blocks */ };

static void keep_task(void *p, int64_t task, int thread)
{
    (void)thread;
    keep_job *j = p;
    const so_kept *k = &j->of;
    int64_t from = task * KEPT, n = k->n - from < KEPT ? k->n - from : KEPT;
    size_t at = stored_bytes(k->type, from);
    if (!keep_part(k->type, k->k + from, n, (char *)k->to_k + at) ||
        !keep_part(k->type, k->v + from, n, (char *)k->to_v + at))
        atomic_store(&j->failed, true);
}

static bool keep(so_pool *pool, const so_kept *k)
{
    keep_job job = {.of = *k};
    so_pool_for(pool, (k->n + KEPT - 1) / KEPT, keep_task, &job);
    return !atomic_load(&job.failed);
}

static void best(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, int32_t *best)
{
    (void)pool;
    for (int64_t r = 0; r < rows; r++, x += cols) {
        best[r] = 0;
        for (int64_t c = 1; c < cols; c++)
            if (x[c] > x[best[r]]) best[r] = (int32_t)c;
    }
}

void so_fill_move_c(so_kernels *table)
{
    table->copy = copy;
    table->mul = mul;
    table->scale = scale;
    table->add_row = add_row;
    table->gather = gather;
    table->keep = keep;
    table->best = best;
}
