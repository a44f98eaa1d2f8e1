/* Ops that a device does in one step with what comes before and after them; on the host, and where a device's kernels
 * do not fit, they are the steps one after the other. None of them is recorded as one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/ops.h"

bool so_joins(const so_pass *pass)
{
    bool shown = pass->watch && pass->watch->product; /* somebody wants to see what every product is made of */
    return so_ok(pass) && pass->device && pass->k->joined && !pass->recording && !shown;
}

static bool rounds(const so_pass *pass, const so_tensor *w)
{
    return pass->k->int8 && so_type_about(w->type)->block > 1;
}

enum { MOST = 64 }; /* products in one call */

/* Whether these products can be one step: of one type, the first of any size, the others of one. */
static bool fit(so_pass *pass, const so_tensor *x, int n, so_tensor *const *w)
{
    bool few = so_rows(x) <= SO_FEW_ROWS, all = so_joins(pass) && n <= (few ? MOST : 3);
    for (int i = 0; all && i < n; i++) {
        bool same = few && n > 3 ? w[i]->dim[0] == w[0]->dim[0] : i < 2 || w[i]->dim[0] == w[1]->dim[0];
        all = same && w[i]->type == w[0]->type && w[i]->n_dims == 2 && so_cols(x) == w[i]->dim[1] && !w[i]->lora &&
              !rounds(pass, w[i]);
    }
    return all;
}

static so_tensor *norm_of(so_pass *pass, so_tensor *x, const so_ends *ends)
{
    return ends->norm_w ? so_layer_norm(pass, x, ends->norm_w, ends->norm_b, ends->eps) : x;
}

/* Results of n products behind each other, in the shape of x but for their columns. */
static bool take_results(so_pass *pass, const so_tensor *x, int n, so_tensor *const *w, so_tensor **const *y)
{
    for (int i = 0; i < n; i++) {
        so_tensor like = *x;
        like.dim[like.n_dims - 1] = w[i]->dim[0];
        if (!*y[i]) *y[i] = so_new_like(pass, &like);
        if (!*y[i]) return false;
    }
    return true;
}

/* One step for products that fit. */
static void join(so_pass *pass, so_tensor *x, const so_ends *ends, int n, const so_weights *of, so_tensor **const *y)
{
    so_product product[MOST];
    bool norm = ends->norm_w != NULL;
    for (int i = 0; i < n; i++) {
        const so_tensor *w = of[i].w, *b = of[i].bias;
        if (b && !so_want_cols(pass, "linear bias", b, w->dim[0])) return;
        product[i] = (so_product){w->type, w->data, w->dim[0], b ? so_data(b) : NULL, so_data(*y[i]), NULL, NULL};
    }
    if (ends->residual && !so_want_same(pass, "linear", *y[0], ends->residual)) return;
    if (ends->residual) product[0].add = so_data(ends->residual);
    if (!so_ok(pass) || pass->dry) return;
    pass->k->joined(pass->pool, &(so_joined){.count = n,
                                             .k = so_cols(x),
                                             .m = so_rows(x),
                                             .product = product,
                                             .x = so_data(x),
                                             .norm_w = norm ? so_data(ends->norm_w) : NULL,
                                             .norm_b = norm ? so_data(ends->norm_b) : NULL,
                                             .eps = (so_real)ends->eps,
                                             .then = ends->then});
}

static bool norm_fits(so_pass *pass, const so_tensor *x, const so_ends *ends)
{
    if (!ends->norm_w) return true;
    return so_want_f32(pass, "layer_norm", ends->norm_w) && so_want_f32(pass, "layer_norm", ends->norm_b) &&
           so_want_cols(pass, "layer_norm", x, so_count(ends->norm_w)) &&
           so_want_same(pass, "layer_norm", ends->norm_w, ends->norm_b);
}

/* Whether the host does these in one step. */
static bool laid(so_pass *pass, const so_tensor *x, int n, so_tensor *const *w)
{
    bool all = so_ok(pass) && x && !pass->device && pass->k->bf16_joined && n <= SO_PRODUCTS &&
               !(pass->watch && pass->watch->product);
    for (int i = 0; all && i < n; i++)
        all = so_by_layout(pass, w[i], so_rows(x)) && w[i]->n_dims == 2 && so_cols(x) == w[i]->dim[1] && !w[i]->lora;
    return all;
}

static void join_laid(so_pass *pass, const so_tensor *x, const so_ends *ends, int n, const so_weights *of,
                      so_tensor **const *y)
{
    so_bf16_product product[SO_PRODUCTS];
    for (int i = 0; i < n; i++) {
        const so_tensor *b = of[i].bias;
        int64_t cols = of[i].w->dim[0];
        if (b && !so_want_cols(pass, "linear bias", b, cols)) return;
        product[i] = (so_bf16_product){.layout = of[i].w->bf16,
                                       .n = cols,
                                       .k = so_cols(x),
                                       .m = so_rows(x),
                                       .ldx = so_cols(x),
                                       .ldy = cols,
                                       .x = so_data(x),
                                       .bias = b ? so_data(b) : NULL,
                                       .y = so_data(*y[i])};
    }
    if (ends->residual && !so_want_same(pass, "linear", *y[0], ends->residual)) return;
    if (!so_ok(pass) || pass->dry) return;
    pass->k->bf16_joined(pass->pool, n, product,
                         &(so_bf16_ends){.then = ends->then, .add = ends->residual ? so_data(ends->residual) : NULL});
}

so_tensor *so_linear_with(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias, const so_ends *ends)
{
    if (!so_ok(pass) || !x) return NULL;
    if (!fit(pass, x, 1, &w)) {
        so_tensor *y = NULL;
        x = norm_of(pass, x, ends);
        if (laid(pass, x, 1, &w)) {
            if (!take_results(pass, x, 1, &w, (so_tensor * *[]){&y})) return NULL;
            join_laid(pass, x, ends, 1, &(so_weights){w, bias}, (so_tensor * *[]){&y});
            return so_ok(pass) ? y : NULL;
        }
        y = so_linear(pass, x, w, bias);
        if (ends->then) y = so_apply(pass, (so_unary)(ends->then - 1), y);
        return ends->residual ? so_residual(pass, ends->residual, y) : y;
    }
    so_ends all = *ends;
    so_tensor *y = ends->into;
    if (!norm_fits(pass, x, ends)) return NULL;
    if (so_rows(x) <= SO_FEW_ROWS) {
        x = norm_of(pass, x, ends);
        all.norm_w = NULL;
    }
    if (!x || !take_results(pass, x, 1, &w, (so_tensor * *[]){&y})) return NULL;
    join(pass, x, &all, 1, &(so_weights){w, bias}, (so_tensor * *[]){&y});
    return so_ok(pass) ? y : NULL;
}

void so_linears_with(so_pass *pass, so_tensor *x, const so_ends *ends, int n, const so_weights *of,
                     so_tensor **const *y)
{
    so_tensor *w[MOST];
    for (int i = 0; i < n; i++) {
        *y[i] = NULL;
        if (i < MOST) w[i] = of[i].w;
    }
    if (!so_ok(pass) || !x) return;
    so_ends all = *ends;
    if (!fit(pass, x, n, w)) {
        x = norm_of(pass, x, ends);
        if (laid(pass, x, n, w)) {
            if (take_results(pass, x, n, w, y)) join_laid(pass, x, ends, n, of, y);
            return;
        }
        for (int i = 0; i < n; i++) {
            *y[i] = so_linear(pass, x, of[i].w, of[i].bias);
            if (ends->then) *y[i] = so_apply(pass, (so_unary)(ends->then - 1), *y[i]);
        }
        return;
    }
    if (!norm_fits(pass, x, ends)) return;
    if (so_rows(x) <= SO_FEW_ROWS) {
        x = norm_of(pass, x, ends);
        all.norm_w = NULL;
    }
    if (x && take_results(pass, x, n, w, y)) join(pass, x, &all, n, of, y);
}

void so_stacked(so_pass *pass, so_tensor *x, int n, const so_weights *of, so_tensor **y)
{
    so_tensor *w[MOST], **at[MOST];
    int64_t rows = so_ok(pass) && x ? so_rows(x) : 0, cols = n > 0 ? of[0].w->dim[0] : 0;
    for (int i = 0; i < n; i++) y[i] = NULL;
    for (int i = 0; i < n && i < MOST; i++) {
        w[i] = of[i].w;
        at[i] = &y[i];
    }
    if (!so_ok(pass) || !x) return;
    if (!fit(pass, x, n, w) || rows > SO_FEW_ROWS) {
        for (int i = 0; i < n; i++) y[i] = so_linear(pass, x, of[i].w, of[i].bias);
        return;
    }
    so_tensor *all = so_new2(pass, n * rows, cols);
    for (int i = 0; all && i < n; i++) {
        y[i] = so_take(pass, sizeof **y, false);
        if (!y[i]) return;
        *y[i] = (so_tensor){.data = so_data(all) + i * rows * cols, .type = SO_F32, .n_dims = 2, .dim = {rows, cols}};
    }
    if (all) join(pass, x, &(so_ends){.then = 0}, n, of, at);
}

so_tensor *so_group_norm_with(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *b, int64_t groups,
                              const so_ends *ends)
{
    if (!so_ok(pass) || !x) return NULL;
    int64_t c = so_cols(x), batch = x->n_dims > 2 ? x->dim[0] : 1;
    bool fits = so_joins(pass) && groups > 0 && c % groups == 0;
    if (!fits) {
        so_tensor *y = so_group_norm(pass, x, w, b, groups, ends->eps);
        if (ends->then) y = so_apply(pass, (so_unary)(ends->then - 1), y);
        if (ends->each) y = so_add_each(pass, y, ends->each);
        return ends->residual ? so_residual(pass, ends->residual, y) : y;
    }
    if (!so_want_f32(pass, "group_norm", w) || !so_want_f32(pass, "group_norm", b)) return NULL;
    if (!so_want_cols(pass, "group_norm", x, so_count(w)) || !so_want_same(pass, "group_norm", w, b)) return NULL;
    if (ends->residual && !so_want_same(pass, "residual", x, ends->residual)) return NULL;
    if (ends->each && (so_count(ends->each) != batch * c || !so_want_cols(pass, "add_each", ends->each, c)))
        return so_pass_fail(pass, SO_ERR_SHAPE, "group_norm: rows for %lld items are to be added", (long long)batch);
    so_tensor *y = ends->into ? ends->into : so_new_like(pass, x);
    so_norm norm = {.batch = batch, .rows = batch ? so_rows(x) / batch : 0, .cols = c, .groups = groups};
    if (!y || pass->dry) return y;
    norm.eps = (so_real)ends->eps;
    norm.x = so_data(x);
    norm.w = so_data(w);
    norm.b = so_data(b);
    norm.y = so_data(y);
    pass->k->group_ends(pass->pool, &(so_group_ends){norm, ends->then, ends->each ? so_data(ends->each) : NULL,
                                                     ends->residual ? so_data(ends->residual) : NULL});
    return y;
}

/* ---- convolutions */

static so_time_conv conv_of(const so_tensor *x, so_weights of, const so_conv1 *c, int64_t out)
{
    return (so_time_conv){.type = of.w->type,
                          .w = of.w->data,
                          .bias = of.bias ? so_data(of.bias) : NULL,
                          .batch = x->dim[0],
                          .in = x->dim[1],
                          .out = out,
                          .channels = x->dim[2],
                          .n = of.w->dim[0],
                          .taps = of.w->dim[2],
                          .stride = c->stride ? c->stride : 1,
                          .dilation = c->dilation ? c->dilation : 1,
                          .pad = c->pad,
                          .x = so_data(x)};
}

static bool conv_fits(const so_tensor *x, const so_weights *of)
{
    bool right = x->n_dims == 3 && of->w->n_dims == 3 && of->w->dim[1] == x->dim[2];
    return right && (!of->bias || (of->bias->type == SO_F32 && so_count(of->bias) == of->w->dim[0]));
}

so_tensor *so_conv1d_with(so_pass *pass, so_tensor *x, so_weights of, so_conv1 conv, const so_conv_ends *ends)
{
    if (!so_ok(pass) || !x || !of.w) return NULL;
    const so_weights *side = &ends->side;
    int64_t end = conv.pad_end < 0 ? conv.pad : conv.pad_end, step = conv.stride ? conv.stride : 1;
    int64_t span =
        conv_fits(x, &of) ? x->dim[1] + conv.pad + end - (conv.dilation ? conv.dilation : 1) * (of.w->dim[2] - 1) : 0;
    int64_t out = span < 1 ? 0 : (span - 1) / step + 1;
    bool fits = so_joins(pass) && out > 0;
    bool both = fits && side->w && conv_fits(x, side) && side->w->type == of.w->type && side->w->dim[2] == 1 &&
                side->w->dim[0] == of.w->dim[0] && out == x->dim[1] && step == 1;
    if (!fits || (side->w && !both)) {
        so_tensor *y = so_conv1d(pass, x, of.w, of.bias, conv);
        if (ends->then) y = so_apply(pass, (so_unary)(ends->then - 1), y);
        if (side->w) *ends->skip = so_conv1d(pass, x, side->w, side->bias, so_conv_same(1, 1));
        return y;
    }
    so_time_conv c = conv_of(x, of, &conv, out);
    so_tensor *y = so_new3(pass, c.batch, out, c.n), *beside = both ? so_new3(pass, c.batch, c.in, c.n) : NULL;
    if (!y || (both && !beside)) return NULL;
    c.y = so_data(y);
    c.then = ends->then;
    if (both) {
        c.w1 = side->w->data;
        c.bias1 = side->bias ? so_data(side->bias) : NULL;
        c.y1 = so_data(beside);
        *ends->skip = beside;
    }
    if (!pass->dry) pass->k->time_conv(pass->pool, &c);
    return y;
}

/* The first T rows of every item of x. */
static so_tensor *crop(so_pass *pass, so_tensor *x, int64_t T)
{
    if (!x || x->dim[1] == T) return x;
    int64_t B = x->dim[0], C = x->dim[2];
    int32_t *index = so_take(pass, (size_t)(B * T) * sizeof *index, false);
    for (int64_t i = 0; index && i < B * T; i++) index[i] = (int32_t)(i / T * x->dim[1] + i % T);
    so_tensor *y = index ? so_take_rows(pass, x, B * T, index) : NULL;
    return y ? so_reshape(pass, y, 3, (int64_t[]){B, T, C}) : NULL;
}

so_tensor *so_conv_transpose1d_to(so_pass *pass, so_tensor *x, so_weights of, int64_t stride, int64_t pad, int64_t T)
{
    if (!so_ok(pass) || !x || !of.w) return NULL;
    bool fits = so_joins(pass) && x->n_dims == 3 && of.w->n_dims == 3 && of.w->dim[0] == x->dim[2] &&
                (!of.bias || so_count(of.bias) == of.w->dim[1]);
    if (!fits || (x->dim[1] - 1) * stride - 2 * pad + of.w->dim[2] < T)
        return crop(pass, so_conv_transpose1d(pass, x, of.w, of.bias, stride, pad), T);
    so_tensor *y = so_new3(pass, x->dim[0], T, of.w->dim[1]);
    if (!y) return NULL;
    so_time_conv c = conv_of(x, of, &(so_conv1){stride, pad, 1, -1}, T);
    c.channels = of.w->dim[0];
    c.n = of.w->dim[1];
    c.transposed = true;
    c.y = so_data(y);
    if (!pass->dry) pass->k->time_conv(pass->pool, &c);
    return y;
}
