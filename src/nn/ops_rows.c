/* Moving rows and columns about.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "nn/ops.h"

typedef struct splice {
    int32_t *part_of, *row; /* [n] */
} splice;

static void splice_back(so_pass *pass, const so_step *step)
{
    const splice *s = step->saved;
    int64_t n = so_rows(step->out), c = so_cols(step->out);
    so_real *grad[SO_MAX_INPUTS];
    for (int i = 0; i < SO_MAX_INPUTS; i++) grad[i] = so_grad(pass, step->in[i]);
    if (pass->dry) return;
    for (int64_t i = 0; i < n; i++) {
        so_real *dx = s->row[i] < 0 ? NULL : grad[s->part_of[i]];
        if (dx) pass->k->axpy(NULL, c, 1, step->out->grad + i * c, dx + s->row[i] * c);
    }
}

so_tensor *so_splice(so_pass *pass, int parts, so_tensor *const *part, int64_t n, const int32_t *part_of,
                     const int32_t *row)
{
    if (!so_ok(pass)) return NULL;
    if (parts < 1 || parts > SO_MAX_INPUTS)
        return so_pass_fail(pass, SO_ERR_ARG, "splice: %d parts, expected 1 to %d", parts, SO_MAX_INPUTS);
    for (int i = 0; i < parts; i++)
        if (!so_want_cols(pass, "splice", part[i], so_cols(part[0])) || !so_want_f32(pass, "splice", part[i]))
            return NULL;
    for (int64_t i = 0; i < n; i++)
        if (part_of[i] < 0 || part_of[i] >= parts || row[i] >= so_rows(part[part_of[i]]))
            return so_pass_fail(pass, SO_ERR_ARG, "splice: row %d of part %d does not exist", row[i], part_of[i]);
    int64_t c = so_cols(part[0]);
    so_tensor *y = so_new2(pass, n, c);
    if (!y) return NULL;
    for (int p = 0; p < parts; p++) {
        so_mark mark = so_pass_mark(pass);
        int32_t *index = so_take(pass, (size_t)n * sizeof *index, false);
        if (!index) return NULL;
        for (int64_t i = 0; i < n; i++) index[i] = part_of[i] != p ? -2 : row[i] < 0 ? -1 : row[i];
        if (!pass->dry)
            pass->k->gather(pass->pool, &(so_gather){SO_F32, part[p]->data, c, n, index, so_data(y), NULL, 0});
        so_pass_release(pass, mark);
    }
    so_step *step = so_tape_put(pass, "splice", splice_back, y, parts, part, sizeof(splice));
    if (step) {
        splice *s = step->saved;
        s->part_of = so_take(pass, (size_t)n * sizeof *row, false);
        s->row = so_take(pass, (size_t)n * sizeof *row, false);
        if (!s->row) return NULL;
        memcpy(s->part_of, part_of, (size_t)n * sizeof *row);
        memcpy(s->row, row, (size_t)n * sizeof *row);
    }
    return y;
}

so_tensor *so_take_rows(so_pass *pass, so_tensor *x, int64_t n, const int32_t *index)
{
    if (!so_ok(pass) || !x) return NULL;
    size_t bytes = (size_t)n * sizeof(int32_t);
    int32_t *zero = so_take(pass, bytes, false);
    if (!zero) return NULL;
    memset(zero, 0, bytes);
    return so_splice(pass, 1, &x, n, zero, index);
}

static void cut_back(so_pass *pass, const so_step *step)
{
    int64_t from = *(int64_t *)step->saved, n = so_cols(step->out), c = so_cols(step->in[0]);
    so_real *dx = so_grad(pass, step->in[0]);
    if (!dx || pass->dry) return;
    for (int64_t r = 0; r < so_rows(step->out); r++)
        for (int64_t i = 0; i < n; i++) dx[r * c + from + i] += step->out->grad[r * n + i];
}

so_tensor *so_cut_cols(so_pass *pass, so_tensor *x, int64_t from, int64_t n)
{
    if (!so_want_f32(pass, "cut_cols", x)) return NULL;
    int64_t c = so_cols(x), dim[SO_MAX_DIMS];
    if (from < 0 || n < 0 || from + n > c)
        return so_pass_fail(pass, SO_ERR_SHAPE, "cut_cols: columns %lld to %lld of %lld", (long long)from,
                            (long long)(from + n), (long long)c);
    memcpy(dim, x->dim, sizeof dim);
    dim[x->n_dims - 1] = n;
    so_tensor *y = so_new(pass, x->n_dims, dim);
    if (!y) return NULL;
    if (!pass->dry)
        pass->k->columns(pass->pool, &(so_columns){so_rows(x), n, c, n, so_data(x) + from, so_data(y), 0, NULL});
    so_step *step = so_tape_put(pass, "cut_cols", cut_back, y, 1, &x, sizeof from);
    if (step) *(int64_t *)step->saved = from;
    return y;
}

static void join_back(so_pass *pass, const so_step *step)
{
    int64_t c = so_cols(step->out), from = 0;
    for (int p = 0; p < SO_MAX_INPUTS && step->in[p]; p++) {
        int64_t n = so_cols(step->in[p]);
        so_real *dx = so_grad(pass, step->in[p]);
        for (int64_t r = 0; dx && !pass->dry && r < so_rows(step->out); r++)
            for (int64_t i = 0; i < n; i++) dx[r * n + i] += step->out->grad[r * c + from + i];
        from += n;
    }
}

so_tensor *so_join_cols(so_pass *pass, int parts, so_tensor *const *part)
{
    if (parts < 1 || parts > SO_MAX_INPUTS)
        return so_pass_fail(pass, SO_ERR_ARG, "join_cols: %d parts, expected 1 to %d", parts, SO_MAX_INPUTS);
    int64_t c = 0, dim[SO_MAX_DIMS];
    for (int p = 0; p < parts; p++) {
        if (!so_want_f32(pass, "join_cols", part[p])) return NULL;
        if (so_rows(part[p]) != so_rows(part[0]))
            return so_pass_fail(pass, SO_ERR_SHAPE, "join_cols: %lld rows beside %lld", (long long)so_rows(part[p]),
                                (long long)so_rows(part[0]));
        c += so_cols(part[p]);
    }
    memcpy(dim, part[0]->dim, sizeof dim);
    dim[part[0]->n_dims - 1] = c;
    so_tensor *y = so_new(pass, part[0]->n_dims, dim);
    if (!y) return NULL;
    int64_t from = 0;
    for (int p = 0; p < parts; p += 2) {
        int64_t n = so_cols(part[p]), n1 = p + 1 < parts ? so_cols(part[p + 1]) : 0;
        const so_real *beside = n1 ? so_data(part[p + 1]) : NULL;
        if (!pass->dry)
            pass->k->columns(pass->pool,
                             &(so_columns){so_rows(y), n, n, c, so_data(part[p]), so_data(y) + from, n1, beside});
        from += n + n1;
    }
    so_tape_put(pass, "join_cols", join_back, y, parts, part, 0);
    return y;
}

static void reshape_back(so_pass *pass, const so_step *step)
{
    so_real *dx = so_grad(pass, step->in[0]);
    if (dx && !pass->dry) pass->k->axpy(pass->pool, so_count(step->out), 1, step->out->grad, dx);
}

so_tensor *so_reshape(so_pass *pass, so_tensor *x, int n_dims, const int64_t *dim)
{
    if (!so_want_f32(pass, "reshape", x)) return NULL;
    so_tensor *y = so_take(pass, sizeof *y, false);
    if (!y) return NULL;
    *y = (so_tensor){.data = x->data, .type = SO_F32, .n_dims = (int8_t)n_dims};
    memcpy(y->dim, dim, (size_t)n_dims * sizeof *dim);
    char from[96], to[96];
    if (so_count(y) != so_count(x))
        return so_pass_fail(pass, SO_ERR_SHAPE, "reshape: %s into %s", so_shape_text(x, from), so_shape_text(y, to));
    so_tape_put(pass, "reshape", reshape_back, y, 1, &x, 0);
    return y;
}

so_tensor *so_constant(so_pass *pass, int n_dims, const int64_t *dim, const so_real *data)
{
    so_tensor *y = so_new(pass, n_dims, dim);
    if (y && !pass->dry) so_device_write(pass->device, y->data, data, (size_t)so_count(y) * sizeof *data);
    return y;
}

so_tensor *so_lent(so_pass *pass, int64_t rows, int64_t cols, so_real *data)
{
    if (pass->device) return so_constant(pass, 2, (int64_t[]){rows, cols}, data);
    so_tensor *t = so_take(pass, sizeof *t, true);
    if (t) *t = (so_tensor){.data = data, .type = SO_F32, .n_dims = 2, .dim = {rows, cols}};
    return t;
}

so_tensor so_some_rows(const so_tensor *w, int64_t first, int64_t n)
{
    so_tensor part = {.data = (char *)w->data + so_type_bytes(w->type, first * w->dim[1]),
                      .dim = {n, w->dim[1]},
                      .type = w->type,
                      .n_dims = 2,
                      .name = w->name};
    return part;
}
