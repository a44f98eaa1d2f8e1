/* Vector quantisation: nearest codes, the straight way through, and a codebook that follows its vectors.
 * Source: van den Oord et al. 2017, appendix A.1 (moving averages); the codec's specification, section 7.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "nn/ops.h"

enum { SQUARES = 64, SEARCHED = 8, LANES = 8 }; /* codes and rows of a task; sums side by side */

typedef struct vq_job {
    int64_t codes, cols, rows; /* rows: of the piece */
    const so_real *code;
    double *square;     /* [codes] |code|^2 */
    const so_real *dot; /* [rows, codes] */
    int32_t *ids;
} vq_job;

static void vq_squares(void *p, int64_t task, int thread)
{
    (void)thread;
    const vq_job *g = p;
    for (int64_t j = task * SQUARES; j < (task + 1) * SQUARES && j < g->codes; j++) {
        const so_real *code = g->code + j * g->cols;
        double sum[LANES] = {0};
        int64_t i = 0;
        for (; i + LANES <= g->cols; i += LANES)
            for (int64_t l = 0; l < LANES; l++) sum[l] += (double)code[i + l] * (double)code[i + l];
        for (; i < g->cols; i++) sum[0] += (double)code[i] * (double)code[i];
        for (int64_t l = 1; l < LANES; l++) sum[0] += sum[l];
        g->square[j] = sum[0];
    }
}

static void vq_search(void *p, int64_t task, int thread)
{
    (void)thread;
    const vq_job *g = p;
    for (int64_t r = task * SEARCHED; r < (task + 1) * SEARCHED && r < g->rows; r++) {
        const so_real *dot = g->dot + r * g->codes;
        double least = INFINITY;
        g->ids[r] = 0;
        for (int64_t j = 0; j < g->codes; j++) {
            double distance = g->square[j] - 2 * (double)dot[j];
            if (distance < least) {
                least = distance;
                g->ids[r] = (int32_t)j;
            }
        }
    }
}

static so_status nearest_on_device(so_pass *pass, const so_tensor *x, const so_tensor *codes, int32_t *ids)
{
    so_mark mark = so_pass_mark(pass);
    int64_t R = so_rows(x), K = so_rows(codes);
    so_real *work = so_take_data(pass, (size_t)(K + R * K) * sizeof *work);
    int32_t *found = so_take_data(pass, (size_t)R * sizeof *found);
    if (found && !pass->dry) {
        pass->k->nearest(pass->pool, &(so_nearest){R, K, so_cols(x), so_data(x), so_data(codes), work, found});
        so_device_read(pass->device, ids, found, (size_t)R * sizeof *ids);
    }
    if (pass->dry) memset(ids, 0, (size_t)R * sizeof *ids);
    so_pass_release(pass, mark);
    return pass->error.status;
}

so_status so_vq_nearest(so_pass *pass, const so_tensor *x, const so_tensor *codes, int32_t *ids)
{
    if (!so_want_f32(pass, "vq", x) || !so_want_f32(pass, "vq", codes) || !so_want_cols(pass, "vq", x, so_cols(codes)))
        return pass->error.status;
    if (pass->device) return nearest_on_device(pass, x, codes, ids);
    enum { ROWS = 64 };
    int64_t R = so_rows(x), K = so_rows(codes), D = so_cols(x);
    size_t mark = so_arena_mark(pass->arena);
    so_real *dot = so_take(pass, (size_t)(ROWS * K) * sizeof *dot, false);
    vq_job job = {.codes = K,
                  .cols = D,
                  .code = so_data(codes),
                  .dot = dot,
                  .square = so_take(pass, (size_t)K * sizeof *job.square, false)};
    if (job.square && !pass->dry) {
        so_pool_for(pass->pool, (K + SQUARES - 1) / SQUARES, vq_squares, &job);
        for (int64_t r0 = 0; r0 < R; r0 += ROWS) {
            job.rows = R - r0 < ROWS ? R - r0 : ROWS;
            job.ids = ids + r0;
            pass->k->gemm(pass->pool, &(so_gemm){.tb = true,
                                                 .m = job.rows,
                                                 .n = K,
                                                 .k = D,
                                                 .a = so_data(x) + r0 * D,
                                                 .lda = D,
                                                 .b = so_data(codes),
                                                 .ldb = D,
                                                 .c = dot,
                                                 .ldc = K});
            so_pool_for(pass->pool, (job.rows + SEARCHED - 1) / SEARCHED, vq_search, &job);
        }
    }
    if (pass->dry) memset(ids, 0, (size_t)R * sizeof *ids);
    so_arena_release(pass->arena, mark);
    return pass->error.status;
}

static void vq_pass_back(so_pass *pass, const so_step *step)
{
    so_real *dx = so_grad(pass, step->in[0]);
    if (dx && !pass->dry) pass->k->axpy(pass->pool, so_count(step->out), 1, step->out->grad, dx);
}

so_tensor *so_vq_pass(so_pass *pass, so_tensor *x, const so_tensor *codes, const int32_t *ids)
{
    if (!so_want_f32(pass, "vq", x) || !so_want_f32(pass, "vq", codes) || !so_want_cols(pass, "vq", x, so_cols(codes)))
        return NULL;
    int64_t R = so_rows(x), D = so_cols(x), K = so_rows(codes);
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    for (int64_t r = 0; r < R; r++) {
        if (ids[r] < 0 || ids[r] >= K)
            return so_pass_fail(pass, SO_ERR_ARG, "vq: code %d, expected 0 to %lld", ids[r], (long long)K - 1);
    }
    if (!pass->dry) pass->k->gather(pass->pool, &(so_gather){SO_F32, codes->data, D, R, ids, so_data(y), NULL, 0});
    so_tape_put(pass, "vq", vq_pass_back, y, 1, &x, 0);
    return y;
}

static void renew_code(const so_vq_rule *rule, double count, const so_real *sum, int64_t D, so_real *code)
{
    double divide = count;
    if (rule->unit_length) {
        double square = 0;
        for (int64_t i = 0; i < D; i++) square += (double)sum[i] * (double)sum[i];
        divide = sqrt(square) > 1e-12 ? sqrt(square) : 1e-12;
    }
    for (int64_t i = 0; i < D; i++) code[i] = (so_real)((double)sum[i] / divide);
}

/* A code that nobody chose any more takes the place of a random vector, with the weight of a code just alive: without a
 * new sum and count the next renewal would undo it. */
static int64_t revive(const so_vq_rule *rule, int64_t n, const so_real *x, int64_t K, int64_t D, so_real *count,
                      so_real *sum, so_rng *rng)
{
    int64_t revived = 0;
    for (int64_t j = 0; j < K && n > 0; j++) {
        if ((double)count[j] >= rule->revive_below) continue;
        const so_real *from = x + so_rng_below(rng, n) * D;
        count[j] = (so_real)(rule->revive_below > 1 ? rule->revive_below : 1);
        for (int64_t i = 0; i < D; i++) sum[j * D + i] = from[i] * count[j];
        revived++;
    }
    return revived;
}

int64_t so_vq_update(const so_vq_rule *rule, const so_vq_book *book, int64_t n, const so_real *x, const int32_t *ids,
                     so_rng *rng)
{
    const int64_t K = book->K, D = book->D;
    so_real *count = book->count, *sum = book->sum, *codes = book->codes;
    so_real keep = (so_real)rule->decay, take = (so_real)(1 - rule->decay);
    for (int64_t j = 0; j < K; j++) {
        int64_t used = 0;
        for (int64_t r = 0; r < n; r++) used += ids[r] == j;
        if (rule->sparse && used == 0) continue;
        count[j] = keep * count[j] + take * (so_real)used;
        for (int64_t i = 0; i < D; i++) sum[j * D + i] *= keep;
        for (int64_t r = 0; r < n && used; r++)
            if (ids[r] == j)
                for (int64_t i = 0; i < D; i++) sum[j * D + i] += take * x[r * D + i];
    }
    int64_t revived = rng && rule->revive_below > 0 ? revive(rule, n, x, K, D, count, sum, rng) : 0;
    double total = 0;
    for (int64_t j = 0; j < K; j++) total += (double)count[j];
    for (int64_t j = 0; j < K; j++) {
        double smooth = ((double)count[j] + rule->epsilon) / (total + (double)K * rule->epsilon) * total;
        renew_code(rule, smooth, sum + j * D, D, codes + j * D);
    }
    return revived;
}
