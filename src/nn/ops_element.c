/* Elementwise ops.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "nn/ops.h"

static void apply_back(so_pass *pass, const so_step *step)
{
    so_real beta, *dx = so_grad_beta(pass, step->in[0], &beta);
    if (dx && !pass->dry)
        pass->k->unary_back(pass->pool, *(so_unary *)step->saved, so_count(step->out), so_data(step->in[0]),
                            step->out->grad, beta != 0, dx);
}

so_tensor *so_apply(so_pass *pass, so_unary f, so_tensor *x)
{
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    if (!pass->dry) pass->k->unary(pass->pool, f, so_count(x), so_data(x), so_data(y));
    so_step *step = so_tape_put(pass, "apply", apply_back, y, 1, (so_tensor *[]){x}, sizeof f);
    if (step) *(so_unary *)step->saved = f;
    return y;
}

static void add_to(so_pass *pass, so_tensor *x, int64_t n, so_real factor, const so_real *dy)
{
    so_real beta, *dx = so_grad_beta(pass, x, &beta);
    if (!dx || pass->dry) return;
    if (beta != 0)
        pass->k->axpy(pass->pool, n, factor, dy, dx);
    else if (factor == 1)
        pass->k->copy(pass->pool, n, dy, dx);
    else
        pass->k->scale(pass->pool, n, factor, dy, dx);
}

static void add_back(so_pass *pass, const so_step *step)
{
    add_to(pass, step->in[0], so_count(step->out), 1, step->out->grad);
    add_to(pass, step->in[1], so_count(step->out), 1, step->out->grad);
}

so_tensor *so_add(so_pass *pass, so_tensor *a, so_tensor *b)
{
    if (!so_want_same(pass, "add", a, b)) return NULL;
    so_tensor *y = so_new_like(pass, a);
    if (!y) return NULL;
    if (!pass->dry) {
        pass->k->copy(pass->pool, so_count(a), so_data(a), so_data(y));
        pass->k->axpy(pass->pool, so_count(a), 1, so_data(b), so_data(y));
    }
    so_tape_put(pass, "add", add_back, y, 2, (so_tensor *[]){a, b}, 0);
    return y;
}

so_tensor *so_residual(so_pass *pass, so_tensor *x, so_tensor *y)
{
    if (pass->recording || !so_ok(pass)) return so_add(pass, x, y);
    if (!so_want_same(pass, "residual", x, y)) return NULL;
    if (!pass->dry) pass->k->axpy(pass->pool, so_count(x), 1, so_data(x), so_data(y));
    return y;
}

static void add_row_back(so_pass *pass, const so_step *step)
{
    add_to(pass, step->in[0], so_count(step->out), 1, step->out->grad);
    so_real *drow = so_grad(pass, step->in[1]);
    if (drow && !pass->dry)
        pass->k->sum_rows(pass->pool, so_rows(step->out), so_cols(step->out), step->out->grad, drow);
}

so_tensor *so_add_row(so_pass *pass, so_tensor *x, so_tensor *row)
{
    if (!so_ok(pass) || !x || !row || !so_want_cols(pass, "add_row", x, so_count(row))) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    if (!pass->dry) pass->k->add_row(pass->pool, so_rows(x), so_cols(x), so_data(x), so_data(row), so_data(y));
    so_tape_put(pass, "add_row", add_row_back, y, 2, (so_tensor *[]){x, row}, 0);
    return y;
}

static void mul_back(so_pass *pass, const so_step *step)
{
    so_tensor *a = step->in[0], *b = step->in[1];
    so_real *da = so_grad(pass, a), *db = so_grad(pass, b), *dy = step->out->grad;
    if (pass->dry) return;
    for (int64_t i = 0; i < so_count(step->out); i++) {
        if (da) da[i] += dy[i] * so_data(b)[i];
        if (db) db[i] += dy[i] * so_data(a)[i];
    }
}

so_tensor *so_mul(so_pass *pass, so_tensor *a, so_tensor *b)
{
    if (!so_want_same(pass, "mul", a, b)) return NULL;
    so_tensor *y = so_new_like(pass, a);
    if (!y) return NULL;
    if (!pass->dry) pass->k->mul(pass->pool, so_count(a), so_data(a), so_data(b), so_data(y));
    so_tape_put(pass, "mul", mul_back, y, 2, (so_tensor *[]){a, b}, 0);
    return y;
}

static void scale_back(so_pass *pass, const so_step *step)
{
    add_to(pass, step->in[0], so_count(step->out), *(so_real *)step->saved, step->out->grad);
}

so_tensor *so_scale(so_pass *pass, so_tensor *x, so_real factor)
{
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    if (!pass->dry) pass->k->scale(pass->pool, so_count(x), factor, so_data(x), so_data(y));
    so_step *step = so_tape_put(pass, "scale", scale_back, y, 1, (so_tensor *[]){x}, sizeof factor);
    if (step) *(so_real *)step->saved = factor;
    return y;
}

static void swiglu_back(so_pass *pass, const so_step *step)
{
    so_tensor *gate = step->in[0], *up = step->in[1];
    so_real beta_gate, *dgate = so_grad_beta(pass, gate, &beta_gate);
    so_real beta_up, *dup = so_grad_beta(pass, up, &beta_up);
    if (!pass->dry)
        pass->k->swiglu_back(pass->pool, so_count(gate),
                             &(so_swiglu_back){.gate = so_data(gate),
                                               .up = so_data(up),
                                               .dy = step->out->grad,
                                               .dgate = dgate,
                                               .dup = dup,
                                               .first_dgate = beta_gate == 0,
                                               .first_dup = beta_up == 0});
}

so_tensor *so_swiglu(so_pass *pass, so_tensor *gate, so_tensor *up)
{
    if (!so_want_same(pass, "swiglu", gate, up)) return NULL;
    so_tensor *y = so_new_like(pass, gate);
    if (!y) return NULL;
    if (!pass->dry) pass->k->swiglu(pass->pool, so_count(gate), so_data(gate), so_data(up), so_data(y));
    so_tape_put(pass, "swiglu", swiglu_back, y, 2, (so_tensor *[]){gate, up}, 0);
    return y;
}

static void scale_rows_back(so_pass *pass, const so_step *step)
{
    const so_real *factor = step->saved;
    int64_t c = so_cols(step->out);
    so_real *dx = so_grad(pass, step->in[0]);
    if (!dx || pass->dry) return;
    for (int64_t r = 0; r < so_rows(step->out); r++)
        if (factor[r] != 0) pass->k->axpy(NULL, c, factor[r], step->out->grad + r * c, dx + r * c);
}

so_tensor *so_scale_rows(so_pass *pass, so_tensor *x, const so_real *factor)
{
    so_tensor *y = so_on_host(pass, "scale_rows") ? so_new_like(pass, x) : NULL;
    if (!y) return NULL;
    int64_t rows = so_rows(x), c = so_cols(x);
    if (!pass->dry)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < c; i++) so_data(y)[r * c + i] = so_data(x)[r * c + i] * factor[r];
    so_step *step =
        so_tape_put(pass, "scale_rows", scale_rows_back, y, 1, (so_tensor *[]){x}, (size_t)rows * sizeof *factor);
    if (step) memcpy(step->saved, factor, (size_t)rows * sizeof *factor);
    return y;
}

typedef struct dropout {
    so_real keep; /* 1 / (1 - p) */
    uint8_t *kept;
} dropout;

static void dropout_back(so_pass *pass, const so_step *step)
{
    const dropout *d = step->saved;
    so_real *dx = so_grad(pass, step->in[0]);
    if (!dx || pass->dry) return;
    for (int64_t i = 0; i < so_count(step->out); i++)
        if (d->kept[i]) dx[i] += d->keep * step->out->grad[i];
}

so_tensor *so_dropout(so_pass *pass, so_tensor *x, double p, so_rng *rng)
{
    if (!so_ok(pass) || !x || (!pass->recording && !pass->rehearsing) || p <= 0) return x;
    int64_t n = so_count(x);
    uint8_t *kept = so_take(pass, (size_t)n, false);
    so_tensor *y = so_new_like(pass, x);
    if (!y || !kept) return NULL;
    so_real keep = (so_real)(1 / (1 - p));
    if (!pass->dry)
        for (int64_t i = 0; i < n; i++) {
            kept[i] = so_rng_uniform(rng) >= p;
            so_data(y)[i] = kept[i] ? keep * so_data(x)[i] : 0;
        }
    so_step *step = so_tape_put(pass, "dropout", dropout_back, y, 1, (so_tensor *[]){x}, sizeof(dropout));
    if (step) *(dropout *)step->saved = (dropout){keep, kept};
    return y;
}
