/* Vector quantisation: nearest codes, the straight way through, and a codebook that follows its vectors.
 * Source: van den Oord et al. 2017, appendix A.1 (moving averages); the codec's specification, section 7.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "nn/ops.h"

so_status so_vq_nearest(so_pass *pass, const so_tensor *x, const so_tensor *codes, int32_t *ids)
{
    if (!so_want_f32(pass, "vq", x) || !so_want_f32(pass, "vq", codes) || !so_want_cols(pass, "vq", x, so_cols(codes)))
        return pass->error.status;
    enum { ROWS = 64 };
    int64_t R = so_rows(x), K = so_rows(codes), D = so_cols(x);
    size_t mark = so_arena_mark(pass->arena);
    so_real *dot = so_take(pass, (size_t)(ROWS * K) * sizeof *dot, false);
    double *square = so_take(pass, (size_t)K * sizeof *square, true);
    if (square && !pass->dry) {
        for (int64_t j = 0; j < K * D; j++) square[j / D] += (double)so_data(codes)[j] * (double)so_data(codes)[j];
        for (int64_t r0 = 0; r0 < R; r0 += ROWS) {
            int64_t rows = R - r0 < ROWS ? R - r0 : ROWS;
            pass->k->gemm(pass->pool, false, true, rows, K, D, so_data(x) + r0 * D, D, so_data(codes), D, 0, dot, K);
            for (int64_t r = 0; r < rows; r++) {
                int32_t best = 0;
                double least = INFINITY;
                for (int64_t j = 0; j < K; j++) {
                    double distance = square[j] - 2 * (double)dot[r * K + j];
                    if (distance < least) {
                        least = distance;
                        best = (int32_t)j;
                    }
                }
                ids[r0 + r] = best;
            }
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
        if (!pass->dry) memcpy(so_data(y) + r * D, so_data(codes) + ids[r] * D, (size_t)D * sizeof(so_real));
    }
    so_record(pass, "vq", vq_pass_back, y, 1, &x, 0);
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

int64_t so_vq_update(const so_vq_rule *rule, int64_t n, const so_real *x, const int32_t *ids, int64_t K, int64_t D,
                     so_real *count, so_real *sum, so_real *codes, so_rng *rng)
{
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
