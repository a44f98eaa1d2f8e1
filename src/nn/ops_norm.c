/* Normalisation of rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "nn/ops.h"

static void rms_norm_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0], *w = step->in[1];
    so_real *dx = so_grad(pass, x), *dw = so_grad(pass, w);
    if (!pass->dry)
        pass->k->rms_norm_back(pass->pool, &(so_norm){.rows = so_rows(x),
                                                      .cols = so_cols(x),
                                                      .eps = *(so_real *)step->saved,
                                                      .x = so_data(x),
                                                      .w = so_data(w),
                                                      .dy = step->out->grad,
                                                      .dx = dx,
                                                      .dw = dw});
}

so_tensor *so_rms_norm(so_pass *pass, so_tensor *x, so_tensor *w, double eps)
{
    if (!so_want_f32(pass, "rms_norm", w) || !so_want_cols(pass, "rms_norm", x, so_count(w))) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    if (!pass->dry)
        pass->k->rms_norm(pass->pool, &(so_norm){.rows = so_rows(x),
                                                 .cols = so_cols(x),
                                                 .eps = (so_real)eps,
                                                 .x = so_data(x),
                                                 .w = so_data(w),
                                                 .y = so_data(y)});
    so_step *step = so_tape_put(pass, "rms_norm", rms_norm_back, y, 2, (so_tensor *[]){x, w}, sizeof(so_real));
    if (step) *(so_real *)step->saved = (so_real)eps;
    return y;
}

static void layer_norm_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0], *w = step->in[1], *b = step->in[2];
    so_real *dx = so_grad(pass, x), *dw = so_grad(pass, w), *db = so_grad(pass, b);
    if (!pass->dry)
        pass->k->layer_norm_back(pass->pool, &(so_norm){.rows = so_rows(x),
                                                        .cols = so_cols(x),
                                                        .eps = *(so_real *)step->saved,
                                                        .x = so_data(x),
                                                        .w = so_data(w),
                                                        .dy = step->out->grad,
                                                        .dx = dx,
                                                        .dw = dw,
                                                        .db = db});
}

so_tensor *so_layer_norm(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *b, double eps)
{
    if (!so_want_f32(pass, "layer_norm", w) || !so_want_f32(pass, "layer_norm", b)) return NULL;
    if (!so_want_cols(pass, "layer_norm", x, so_count(w)) || !so_want_same(pass, "layer_norm", w, b)) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    if (!pass->dry)
        pass->k->layer_norm(pass->pool, &(so_norm){.rows = so_rows(x),
                                                   .cols = so_cols(x),
                                                   .eps = (so_real)eps,
                                                   .x = so_data(x),
                                                   .w = so_data(w),
                                                   .b = so_data(b),
                                                   .y = so_data(y)});
    so_step *step = so_tape_put(pass, "layer_norm", layer_norm_back, y, 3, (so_tensor *[]){x, w, b}, sizeof(so_real));
    if (step) *(so_real *)step->saved = (so_real)eps;
    return y;
}

static so_real row_norm(const so_real *x, int64_t c, so_real eps)
{
    double sum = 0;
    for (int64_t i = 0; i < c; i++) sum += (double)x[i] * (double)x[i];
    so_real norm = (so_real)sqrt(sum);
    return norm > eps ? norm : eps;
}

static void l2_norm_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0];
    so_real eps = *(so_real *)step->saved, *dx = so_grad(pass, x);
    int64_t c = so_cols(x);
    if (!dx || pass->dry) return;
    for (int64_t r = 0; r < so_rows(x); r++) {
        const so_real *y = so_data(step->out) + r * c, *dy = step->out->grad + r * c;
        so_real norm = row_norm(so_data(x) + r * c, c, eps);
        double dot = 0;
        if (norm > eps)
            for (int64_t i = 0; i < c; i++) dot += (double)y[i] * (double)dy[i];
        for (int64_t i = 0; i < c; i++) dx[r * c + i] += (dy[i] - (so_real)dot * y[i]) / norm;
    }
}

so_tensor *so_l2_norm(so_pass *pass, so_tensor *x, double eps)
{
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    if (!pass->dry)
        pass->k->l2_norm(
            pass->pool,
            &(so_norm){.rows = so_rows(x), .cols = so_cols(x), .eps = (so_real)eps, .x = so_data(x), .y = so_data(y)});
    so_step *step = so_tape_put(pass, "l2_norm", l2_norm_back, y, 1, &x, sizeof(so_real));
    if (step) *(so_real *)step->saved = (so_real)eps;
    return y;
}
