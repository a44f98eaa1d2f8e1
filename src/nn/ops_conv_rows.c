/* Group norm, snake, weight norm and interpolation along time.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "nn/ops.h"

/* The same on a device, whose numbers lie apart. Copies there must not overlap: a result that lies too near to the
 * mark stays where it is. */
static so_tensor *keep_on_device(so_pass *pass, so_mark mark, so_tensor *x)
{
    bool kept = so_arena_before(pass->arena, x, mark.arena);
    bool kept_data = so_arena_before(pass->data, x->data, mark.data);
    so_tensor old = *x;
    int64_t bytes = so_count(x) * (int64_t)sizeof(so_real);
    size_t used = pass->data->used;
    so_pass_release(pass, mark);
    if (kept) return x;
    x = kept_data ? so_take(pass, sizeof *x, false) : so_new(pass, old.n_dims, old.dim);
    if (!x) return NULL;
    if (kept_data) {
        *x = old;
        return x;
    }
    if ((char *)old.data - (char *)x->data >= bytes) {
        if (!pass->dry) so_device_copy(pass->device, x->data, old.data, (size_t)bytes);
    } else if (old.data != x->data) {
        size_t end = (size_t)((char *)old.data - (char *)x->data) + pass->data->used;
        x->data = old.data;
        so_arena_release(pass->data, end < used ? end : used);
    }
    return x;
}

so_tensor *so_keep(so_pass *pass, so_mark marks, so_tensor *x)
{
    if (!so_ok(pass) || !x || pass->recording) return x;
    if (pass->device) return keep_on_device(pass, marks, x);
    size_t mark = marks.arena;
    bool kept = so_arena_before(pass->arena, x, mark), kept_data = so_arena_before(pass->arena, x->data, mark);
    so_tensor old = *x;
    so_arena_release(pass->arena, mark);
    if (kept) return x;
    if (kept_data) { /* another view of what came before */
        x = so_take(pass, sizeof *x, false);
        if (x) *x = old;
        return x;
    }
    /* The new struct lies before the old data: every tensor's data follows a struct of the stretch. */
    x = so_new(pass, old.n_dims, old.dim);
    if (x && !pass->dry) memmove(x->data, old.data, (size_t)so_count(x) * sizeof(so_real));
    return x;
}

typedef struct grouping {
    int64_t batch, rows, groups;
    so_real eps;
} grouping;

static void group_norm_back(so_pass *pass, const so_step *step)
{
    const grouping *g = step->saved;
    so_tensor *x = step->in[0], *w = step->in[1];
    so_real *dx = so_grad(pass, x), *dw = so_grad(pass, w), *db = so_grad(pass, step->in[2]);
    if (!pass->dry)
        pass->k->group_norm_back(pass->pool, &(so_norm){.batch = g->batch,
                                                        .rows = g->rows,
                                                        .cols = so_cols(x),
                                                        .groups = g->groups,
                                                        .eps = g->eps,
                                                        .x = so_data(x),
                                                        .w = so_data(w),
                                                        .dy = step->out->grad,
                                                        .dx = dx,
                                                        .dw = dw,
                                                        .db = db});
}

so_tensor *so_group_norm(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *b, int64_t groups, double eps)
{
    if (!so_want_f32(pass, "group_norm", w) || !so_want_f32(pass, "group_norm", b)) return NULL;
    if (!so_want_cols(pass, "group_norm", x, so_count(w)) || !so_want_same(pass, "group_norm", w, b)) return NULL;
    if (groups < 1 || so_cols(x) % groups)
        return so_pass_fail(pass, SO_ERR_SHAPE, "group_norm: %lld channels in %lld groups", (long long)so_cols(x),
                            (long long)groups);
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    int64_t batch = x->n_dims > 2 ? x->dim[0] : 1;
    grouping g = {batch, batch ? so_rows(x) / batch : 0, groups, (so_real)eps};
    if (!pass->dry)
        pass->k->group_norm(pass->pool, &(so_norm){.batch = g.batch,
                                                   .rows = g.rows,
                                                   .cols = so_cols(x),
                                                   .groups = groups,
                                                   .eps = g.eps,
                                                   .x = so_data(x),
                                                   .w = so_data(w),
                                                   .b = so_data(b),
                                                   .y = so_data(y)});
    so_step *step = so_tape_put(pass, "group_norm", group_norm_back, y, 3, (so_tensor *[]){x, w, b}, sizeof g);
    if (step) *(grouping *)step->saved = g;
    return y;
}

static void snake_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0], *alpha = step->in[1];
    so_real *dx = so_grad(pass, x), *da = so_grad(pass, alpha);
    if (!pass->dry)
        pass->k->snake_back(
            pass->pool, so_rows(x), so_cols(x),
            &(so_snake_back){.x = so_data(x), .alpha = so_data(alpha), .dy = step->out->grad, .dx = dx, .dalpha = da});
}

so_tensor *so_snake(so_pass *pass, so_tensor *x, so_tensor *alpha)
{
    if (!so_want_f32(pass, "snake", alpha) || !so_want_cols(pass, "snake", x, so_count(alpha))) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    if (!pass->dry) pass->k->snake(pass->pool, so_rows(x), so_cols(x), so_data(x), so_data(alpha), so_data(y));
    so_tape_put(pass, "snake", snake_back, y, 2, (so_tensor *[]){x, alpha}, 0);
    return y;
}

static double length(const so_real *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

/* dg = <dw, v>/|v|;  dv = g/|v| (dw - v <dw, v>/|v|^2) */
static void weight_norm_back(so_pass *pass, const so_step *step)
{
    so_tensor *v = step->in[0], *g = step->in[1];
    so_real *dv = so_grad(pass, v), *dg = so_grad(pass, g);
    int64_t rows = v->dim[0], n = rows ? so_count(v) / rows : 0;
    for (int64_t r = 0; r < rows && !pass->dry; r++) {
        const so_real *x = so_data(v) + r * n, *dw = step->out->grad + r * n;
        double norm = length(x, n), dot = 0;
        if (norm == 0) continue;
        for (int64_t i = 0; i < n; i++) dot += (double)dw[i] * (double)x[i];
        if (dg) dg[r] += (so_real)(dot / norm);
        so_real a = (so_real)((double)so_data(g)[r] / norm), b = (so_real)(dot / (norm * norm));
        for (int64_t i = 0; i < n && dv; i++) dv[r * n + i] += a * (dw[i] - x[i] * b);
    }
}

so_tensor *so_weight_norm(so_pass *pass, so_tensor *v, so_tensor *g)
{
    if (!so_on_host(pass, "weight_norm") || !so_want_f32(pass, "weight_norm", v) ||
        !so_want_f32(pass, "weight_norm", g))
        return NULL;
    char tv[96], tg[96];
    if (so_count(g) != v->dim[0])
        return so_pass_fail(pass, SO_ERR_SHAPE, "weight_norm: lengths %s for %s", so_shape_text(g, tg),
                            so_shape_text(v, tv));
    so_tensor *w = so_new_like(pass, v);
    if (!w) return NULL;
    w->name = v->name;
    int64_t rows = v->dim[0], n = rows ? so_count(v) / rows : 0;
    for (int64_t r = 0; r < rows && !pass->dry; r++) {
        double norm = length(so_data(v) + r * n, n);
        so_real a = norm > 0 ? (so_real)((double)so_data(g)[r] / norm) : 0;
        for (int64_t i = 0; i < n; i++) so_data(w)[r * n + i] = a * so_data(v)[r * n + i];
    }
    so_tape_put(pass, "weight_norm", weight_norm_back, w, 2, (so_tensor *[]){v, g}, 0);
    return w;
}

static void batch_norm_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0], *w = step->in[1], *mean = step->in[3], *var = step->in[4];
    so_real *dx = so_grad(pass, x), *dw = so_grad(pass, w), *db = so_grad(pass, step->in[2]);
    double eps = *(double *)step->saved;
    int64_t C = so_cols(x);
    for (int64_t i = 0; i < so_count(x) && !pass->dry; i++) {
        int64_t c = i % C;
        so_real s = (so_real)(1 / sqrt((double)so_data(var)[c] + eps)), dy = step->out->grad[i];
        if (dx) dx[i] += dy * s * (w ? so_data(w)[c] : 1);
        if (dw) dw[c] += dy * s * (so_data(x)[i] - so_data(mean)[c]);
        if (db) db[c] += dy;
    }
}

so_tensor *so_batch_norm(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *b, so_tensor *mean, so_tensor *var,
                         double eps)
{
    const char *op = "batch_norm";
    if (!so_want_f32(pass, op, x) || !so_want_f32(pass, op, mean) || !so_want_same(pass, op, mean, var)) return NULL;
    if (!so_want_cols(pass, op, x, so_count(mean))) return NULL;
    if ((w && !so_want_same(pass, op, w, mean)) || (b && !so_want_same(pass, op, b, mean))) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    int64_t C = so_cols(x);
    if (!so_on_host(pass, op)) return NULL;
    for (int64_t c = 0; c < C && !pass->dry; c++) {
        so_real s = (so_real)((w ? (double)so_data(w)[c] : 1) / sqrt((double)so_data(var)[c] + eps));
        so_real shift = b ? so_data(b)[c] : 0, m = so_data(mean)[c];
        for (int64_t i = c; i < so_count(x); i += C) so_data(y)[i] = (so_data(x)[i] - m) * s + shift;
    }
    so_step *step = so_tape_put(pass, op, batch_norm_back, y, 5, (so_tensor *[]){x, w, b, mean, var}, sizeof eps);
    if (step) *(double *)step->saved = eps;
    return y;
}

so_tensor *so_column_stats(so_pass *pass, so_tensor *x)
{
    if (!so_want_f32(pass, "column_stats", x)) return NULL;
    int64_t T = so_rows(x), C = so_cols(x);
    if (!so_on_host(pass, "column_stats")) return NULL;
    if (T < 2) return so_pass_fail(pass, SO_ERR_SHAPE, "column_stats: %lld rows, at least 2 are needed", (long long)T);
    so_tensor *y = so_new2(pass, 1, 2 * C);
    if (!y) return NULL;
    for (int64_t c = 0; c < C && !pass->dry; c++) {
        double sum = 0, square = 0;
        for (int64_t t = 0; t < T; t++) sum += (double)so_data(x)[t * C + c];
        double mean = sum / (double)T;
        for (int64_t t = 0; t < T; t++) {
            double d = (double)so_data(x)[t * C + c] - mean;
            square += d * d;
        }
        so_data(y)[c] = (so_real)mean;
        so_data(y)[C + c] = (so_real)sqrt(square / (double)(T - 1));
    }
    so_tape_put(pass, "column_stats", NULL, y, 1, &x, 0);
    return y;
}

static void swap_back(so_pass *pass, const so_step *step)
{
    int64_t C = so_rows(step->out), R = so_cols(step->out);
    so_real *dx = so_grad(pass, step->in[0]);
    for (int64_t i = 0; dx && !pass->dry && i < R * C; i++) dx[i] += step->out->grad[i % C * R + i / C];
}

so_tensor *so_swap(so_pass *pass, so_tensor *x)
{
    if (!so_want_f32(pass, "swap", x) || !so_on_host(pass, "swap")) return NULL;
    int64_t R = so_rows(x), C = so_cols(x);
    so_tensor *y = so_new2(pass, C, R);
    if (!y) return NULL;
    for (int64_t r = 0; r < R && !pass->dry; r++)
        for (int64_t c = 0; c < C; c++) so_data(y)[c * R + r] = so_data(x)[r * C + c];
    so_tape_put(pass, "swap", swap_back, y, 1, &x, 0);
    return y;
}

static void clamp_back(so_pass *pass, const so_step *step)
{
    so_real limit = *(so_real *)step->saved, *dx = so_grad(pass, step->in[0]);
    const so_real *x = so_data(step->in[0]);
    for (int64_t i = 0; dx && !pass->dry && i < so_count(step->out); i++)
        if (x[i] >= -limit && x[i] <= limit) dx[i] += step->out->grad[i];
}

so_tensor *so_clamp(so_pass *pass, so_tensor *x, double limit)
{
    if (!so_want_f32(pass, "clamp", x)) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    so_real l = (so_real)limit;
    if (!pass->dry) pass->k->clamp(pass->pool, so_count(x), l, so_data(x), so_data(y));
    so_step *step = so_tape_put(pass, "clamp", clamp_back, y, 1, &x, sizeof l);
    if (step) *(so_real *)step->saved = l;
    return y;
}

static void add_each_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0], *row = step->in[1];
    int64_t batch = so_rows(row), c = so_cols(row), rows = batch ? so_rows(x) / batch : 0;
    so_real *dx = so_grad(pass, x), *dr = so_grad(pass, row), *dy = step->out->grad;
    if (pass->dry) return;
    if (dx) pass->k->axpy(pass->pool, so_count(x), 1, dy, dx);
    for (int64_t b = 0; b < batch && dr; b++) pass->k->sum_rows(pass->pool, rows, c, dy + b * rows * c, dr + b * c);
}

so_tensor *so_add_each(so_pass *pass, so_tensor *x, so_tensor *row)
{
    if (!so_want_f32(pass, "add_each", x) || !so_want_f32(pass, "add_each", row)) return NULL;
    int64_t batch = so_rows(row), c = so_cols(row);
    char tx[96], tr[96];
    if (so_cols(x) != c || batch < 1 || (batch > 1 && x->dim[0] != batch))
        return so_pass_fail(pass, SO_ERR_SHAPE, "add_each: %s to %s", so_shape_text(row, tr), so_shape_text(x, tx));
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    int64_t rows = so_rows(x) / batch;
    if (!pass->dry) pass->k->add_each(pass->pool, &(so_each){batch, rows, c, so_data(x), so_data(row), so_data(y)});
    so_tape_put(pass, "add_each", add_each_back, y, 2, (so_tensor *[]){x, row}, 0);
    return y;
}

typedef struct lerped {
    int32_t *index;
    so_real *weight;
} lerped;

static void lerp_back(so_pass *pass, const so_step *step)
{
    const lerped *l = step->saved;
    int64_t n = so_rows(step->out), c = so_cols(step->out);
    so_real *dx = so_grad(pass, step->in[0]);
    if (!dx || pass->dry) return;
    for (int64_t i = 0; i < n; i++) {
        const so_real *dy = step->out->grad + i * c;
        pass->k->axpy(NULL, c, 1 - l->weight[i], dy, dx + l->index[i] * c);
        if (l->weight[i] != 0) pass->k->axpy(NULL, c, l->weight[i], dy, dx + (l->index[i] + 1) * c);
    }
}

so_tensor *so_lerp_rows(so_pass *pass, so_tensor *x, int64_t n, const int32_t *index, const so_real *weight)
{
    if (!so_want_f32(pass, "lerp_rows", x)) return NULL;
    int64_t c = so_cols(x), rows = so_rows(x);
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] + (weight[i] != 0) >= rows)
            return so_pass_fail(pass, SO_ERR_ARG, "lerp_rows: row %d of %lld", index[i], (long long)rows);
    so_tensor *y = so_new2(pass, n, c);
    if (!y) return NULL;
    if (!pass->dry) pass->k->lerp(pass->pool, &(so_lerp){rows, c, n, index, weight, so_data(x), so_data(y)});
    so_step *step = so_tape_put(pass, "lerp_rows", lerp_back, y, 1, &x, sizeof(lerped));
    if (step) {
        lerped *l = step->saved;
        l->index = so_take(pass, (size_t)n * sizeof *index, false);
        l->weight = so_take(pass, (size_t)n * sizeof *weight, false);
        if (!l->weight) return NULL;
        memcpy(l->index, index, (size_t)n * sizeof *index);
        memcpy(l->weight, weight, (size_t)n * sizeof *weight);
    }
    return y;
}

void so_lerp_index(int64_t first, int64_t from, int64_t to, int32_t *index, so_real *weight)
{
    double step = to > 0 ? (double)from / (double)to : 0;
    for (int64_t i = 0; i < to; i++) {
        double at = ((double)i + 0.5) * step - 0.5;
        if (at < 0) at = 0;
        int64_t i0 = (int64_t)at;
        index[i] = (int32_t)(first + (i0 < from - 1 ? i0 : from - 1));
        weight[i] = i0 < from - 1 ? (so_real)(at - (double)i0) : 0;
    }
}

so_real *so_length_mask(so_pass *pass, int64_t B, int64_t T, const int64_t *lengths)
{
    so_real *mask = so_take(pass, (size_t)(B * T) * sizeof *mask, false);
    for (int64_t i = 0; mask && i < B * T; i++) mask[i] = i % T < lengths[i / T];
    return mask;
}
