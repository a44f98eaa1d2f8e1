/* The likeliest row of a large head. See screen.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/screen.h"

#include <math.h>

#include "base/block.h"

/* The largest magnitudes that the weights of a block can have, squared and summed. What q4_k and q5_k add and take away
 * to make a weight is at most three times as large as the largest weight that it can make. */
static double squares_of_block(so_type type, const unsigned char *p)
{
    double sum = 0;
    if (type == SO_Q6_K) {
        const so_block_q6_k *b = (const so_block_q6_k *)p;
        for (int g = 0; g < 16; g++) sum += 16.0 * 32 * 32 * b->s[g] * b->s[g];
        return sum * (double)so_block_f16(b->scale) * (double)so_block_f16(b->scale);
    }
    double d = fabs((double)so_block_f16(p));
    if (type == SO_Q8_0) return 32 * 128.0 * 128.0 * d * d;
    if (type == SO_Q4_0) return 32 * 8.0 * 8.0 * d * d;
    if (type == SO_Q5_0) return 32 * 16.0 * 16.0 * d * d;
    uint8_t s[8], m[8];
    double top = type == SO_Q4_K ? 15 : 31, dm = (double)so_block_f16(p + 2);
    d = (double)so_block_f16(p); /* signs matter to what a sum comes to */
    so_block_six(p + 4, s, m);   /* q4_k and q5_k begin alike */
    for (int g = 0; g < 8; g++) {
        double least = -dm * m[g], most = top * d * s[g] - dm * m[g];
        sum += 32 * fmax(least * least, most * most);
    }
    return sum;
}

typedef struct reach_job {
    const so_tensor *w;
    float *reach;
} reach_job;

enum { ROWS = 256 };

static void reach_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const reach_job *job = p;
    const so_type_info *about = so_type_about(job->w->type);
    int64_t blocks = job->w->dim[1] / about->block;
    for (int64_t j = task * ROWS; j < (task + 1) * ROWS && j < job->w->dim[0]; j++) {
        const unsigned char *row =
            (const unsigned char *)job->w->data + so_type_bytes(job->w->type, j * job->w->dim[1]);
        double sum = 0;
        for (int64_t b = 0; b < blocks; b++) sum += squares_of_block(job->w->type, row + b * about->bytes);
        job->reach[j] = (float)(sqrt(sum) * 1.000001);
    }
}

void so_row_reach(so_pool *pool, const so_tensor *w, float *reach)
{
    so_pool_for(pool, (w->dim[0] + ROWS - 1) / ROWS, reach_task, &(reach_job){w, reach});
}

/* By how much, times a row's reach, products of one of m rows may be off; |x| into *norm. With few rows that is |x -
 * rounded x|, as round_int8 rounds. With more it may be by bf16, of weights as well, each by 2^-9 of itself. */
static double rounding_error(const so_real *x, int64_t k, int64_t m, double *norm)
{
    const int64_t span = so_int8_span(m);
    double off = 0, all = 0;
    for (int64_t g = 0; g < k; g += span) {
        float most = 0;
        for (int64_t i = g; i < g + span && i < k; i++) most = fmaxf(most, fabsf((float)x[i]));
        for (int64_t i = g; i < g + span && i < k; i++) {
            double back = most < 1e-30f ? 0 : (double)(most / 127) * (double)nearbyintf((float)x[i] * (127 / most));
            off += ((double)x[i] - back) * ((double)x[i] - back);
            all += (double)x[i] * (double)x[i];
        }
    }
    *norm = sqrt(all);
    return m > SO_FEW_ROWS ? fmax(sqrt(off), *norm * 0x1.02p-8) : sqrt(off);
}

static int32_t largest(const so_real *z, int64_t n)
{
    int64_t best = 0;
    for (int64_t j = 1; j < n; j++)
        if (z[j] > z[best]) best = j;
    return (int32_t)best;
}

typedef struct rescore_job {
    so_pass *pass;
    const so_tensor *x, *w;
    const int32_t *row; /* those that may win */
    so_real *z;         /* [left] */
} rescore_job;

static void rescore_row(void *p, int64_t task, int thread)
{
    (void)thread;
    const rescore_job *job = p;
    const so_tensor *w = job->w;
    const unsigned char *row = (const unsigned char *)w->data + so_type_bytes(w->type, job->row[task] * w->dim[1]);
    job->pass->k->linear(NULL, &(so_product){.type = w->type, .w = row, .n = 1, .y = job->z + task}, w->dim[1],
                         so_data(job->x), 1);
}

/* Screened products z; `error` times a row's reach bounds how far each is off. `row` has room for n. */
static int32_t rescore(so_pass *pass, const so_tensor *x, const so_tensor *w, const float *reach, double error,
                       so_real *z, int32_t *row, int64_t *exact)
{
    int64_t n = w->dim[0], left = 0;
    double floor = -INFINITY;
    bool finite = isfinite(error);
    for (int64_t j = 0; j < n; j++) {
        finite = finite && isfinite((double)z[j]) && isfinite((double)reach[j]);
        floor = fmax(floor, (double)z[j] - error * (double)reach[j]);
    }
    for (int64_t j = 0; j < n; j++)
        if ((double)z[j] + error * (double)reach[j] >= floor) row[left++] = (int32_t)j;
    if (!finite || left > n / 4) {
        pass->k->linear(pass->pool, &(so_product){.type = w->type, .w = w->data, .n = n, .y = z}, w->dim[1], so_data(x),
                        1);
        if (exact) *exact += n;
        return largest(z, n);
    }
    if (exact) *exact += left;
    so_pool_for(pass->pool, left, rescore_row, &(rescore_job){pass, x, w, row, z});
    return row[largest(z, left)];
}

void so_best_rows_there(so_pass *pass, const so_tensor *x, const so_tensor *w, int32_t *ids)
{
    int64_t n = w->dim[0], m = so_rows(x);
    so_mark mark = so_pass_mark(pass);
    so_real *z = so_take_data(pass, (size_t)(m * n) * sizeof *z);
    if (z && !pass->dry) {
        pass->k->linear(pass->pool, &(so_product){.type = w->type, .w = w->data, .n = n, .y = z}, w->dim[1], so_data(x),
                        m);
        pass->k->best(pass->pool, m, n, z, ids);
    }
    so_pass_release(pass, mark);
}

/* On a device all products are exact, and only the ids come back. */
static void best_on_device(so_pass *pass, const so_tensor *x, const so_tensor *w, int32_t *best, int64_t *exact)
{
    so_mark mark = so_pass_mark(pass);
    size_t bytes = (size_t)so_rows(x) * sizeof *best;
    int32_t *ids = so_take_data(pass, bytes);
    if (ids) so_best_rows_there(pass, x, w, ids);
    if (ids && so_ok(pass) && !pass->dry) {
        so_device_read(pass->device, best, ids, bytes);
        if (exact) *exact += w->dim[0] * so_rows(x);
    }
    so_pass_release(pass, mark);
}

void so_best_rows(so_pass *pass, const so_tensor *x, const so_tensor *w, const float *reach, int32_t *best,
                  int64_t *exact)
{
    if (!so_ok(pass) || !x || w->n_dims != 2 || so_cols(x) != w->dim[1] || w->dim[0] < 1) {
        if (so_ok(pass) && x)
            so_pass_fail(pass, SO_ERR_SHAPE, "best rows: %lld columns are expected", (long long)w->dim[1]);
        return;
    }
    if (pass->device) {
        best_on_device(pass, x, w, best, exact);
        return;
    }
    int64_t n = w->dim[0], k = w->dim[1], m = so_rows(x);
    size_t mark = so_arena_mark(pass->arena);
    so_real *z = so_take(pass, (size_t)(m * n) * sizeof *z, false);
    int32_t *row = so_take(pass, (size_t)n * sizeof *row, false);
    void *rounded = so_take(pass, so_int8_bytes(m, k), false);
    if (rounded && !pass->dry && reach) {
        pass->k->round_int8(pass->pool, m, k, so_data(x), rounded);
        pass->k->linear_int8(pass->pool, 1, &(so_product){w->type, w->data, n, NULL, z}, k, rounded, m);
    } else if (rounded && !pass->dry) {
        pass->k->linear(pass->pool, &(so_product){.type = w->type, .w = w->data, .n = n, .y = z}, k, so_data(x), m);
        if (exact) *exact += n * m;
    }
    /* Sums in float: k terms within the reach, exactly; two for each 32 within three times the reach, screened. */
    double sums = (double)(k + 64 + 3 * (k / 16 + 64)) * 0x1p-24;
    for (int64_t i = 0; rounded && !pass->dry && i < m; i++) {
        so_tensor one = {.data = so_data(x) + i * k, .type = SO_F32, .n_dims = 2, .dim = {1, k}};
        double norm, off = reach ? rounding_error(so_data(&one), k, m, &norm) : 0;
        best[i] = !reach ? largest(z + i * n, n)
                         : rescore(pass, &one, w, reach, off * 1.0001 + norm * sums, z + i * n, row, exact);
    }
    so_arena_release(pass->arena, mark);
}

int32_t so_best_row(so_pass *pass, const so_tensor *x, const so_tensor *w, const float *reach, int64_t *exact)
{
    int32_t best = 0;
    if (x && so_rows(x) != 1) so_pass_fail(pass, SO_ERR_SHAPE, "best row: one row is expected");
    so_best_rows(pass, x, w, reach, &best, exact);
    return best;
}
