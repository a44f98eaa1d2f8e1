/* Convolutions as products: patches of the input times the weights, a piece of rows at a time.
 *
 * Along time with stride 1 no patches are made: among every d-th row of the padded input, neighbouring patches overlap
 * in memory, so that the product reads them with rows C apart. The way back to the input is then such a convolution
 * again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "nn/ops.h"

/* Numbers of one piece of the patch matrix: it should stay in the second-level cache. */
enum { PIECE = 1 << 18 };

static int64_t taps(const so_conv *c) { return c->kernel[0] * c->kernel[1]; }
static int64_t positions(const so_conv *c) { return c->batch * c->out[0] * c->out[1]; }

static int64_t piece_rows(const so_conv *c)
{
    int64_t rows = PIECE / (taps(c) * c->channels + 1), all = positions(c);
    if (rows < 32) rows = 32;
    return rows < all ? rows : all;
}

/* A convolution of one element a row is a plain product. */
static bool is_plain(const so_conv *c)
{
    return taps(c) == 1 && c->stride[0] == 1 && c->stride[1] == 1 && c->pad[0] == 0 && c->pad[1] == 0 &&
           c->in[0] == c->out[0] && c->in[1] == c->out[1];
}

/* w[A, C, k] turned into [A, k, C], as numbers; with `across`, into [k, C, A]. */
static void turn(so_pass *pass, const so_tensor *w, int64_t k, bool across, so_real *row, so_real *to)
{
    int64_t a = w->dim[0], c = w->dim[1];
    for (int64_t i = 0; i < a; i++) {
        pass->k->row(w->type, w->data, i, c * k, row);
        for (int64_t j = 0; j < k; j++)
            for (int64_t l = 0; l < c; l++) to[across ? (j * c + l) * a + i : (i * k + j) * c + l] = row[l * k + j];
    }
}

/* The adjoint of `turn`: adds. */
static void turn_back(const so_real *from, int64_t a, int64_t c, int64_t k, bool across, so_real *dw)
{
    for (int64_t i = 0; i < a; i++)
        for (int64_t l = 0; l < c; l++)
            for (int64_t j = 0; j < k; j++)
                dw[(i * c + l) * k + j] += from[across ? (j * c + l) * a + i : (i * k + j) * c + l];
}

static void fill_rows(const so_tensor *bias, int64_t rows, int64_t cols, so_real *y)
{
    for (int64_t r = 0; r < rows; r++) {
        if (bias)
            memcpy(y + r * cols, bias->data, (size_t)cols * sizeof *y);
        else
            memset(y + r * cols, 0, (size_t)cols * sizeof *y);
    }
}

/* ---- along time with stride 1 */

static bool is_sliding(const so_conv *c)
{
    return c->in[0] == 1 && c->kernel[0] == 1 && c->out[0] == 1 && c->stride[1] == 1 && c->pad[0] == 0 &&
           c->pad[1] >= 0 && !is_plain(c);
}

/* Padded rows of one item, and those of phase p among them: p, p + d, ... */
static int64_t padded_rows(const so_conv *c) { return c->out[1] + c->dilation[1] * (c->kernel[1] - 1); }
static int64_t phase_rows(int64_t rows, int64_t p, int64_t d) { return rows > p ? (rows - p + d - 1) / d : 0; }

/* One item of x[B, T, C] with its padding, phase after phase. */
static void split_phases(const so_conv *c, const so_real *x, so_real *to)
{
    int64_t C = c->channels, d = c->dilation[1], rows = padded_rows(c);
    for (int64_t p = 0; p < d; p++)
        for (int64_t i = p; i < rows; i += d, to += C) {
            int64_t t = i - c->pad[1];
            if (t >= 0 && t < c->in[1])
                memcpy(to, x + t * C, (size_t)C * sizeof *to);
            else
                memset(to, 0, (size_t)C * sizeof *to);
        }
}

/* y[B, out, n] += convolution of x with wt[k C, n]. `split` holds the padded rows of an item. */
static void slide(so_pass *pass, const so_conv *c, const so_real *x, const so_real *wt, int64_t n, so_real *split,
                  so_real *y)
{
    int64_t C = c->channels, d = c->dilation[1], k = c->kernel[1] * C, padded = padded_rows(c);
    for (int64_t b = 0; b < c->batch; b++) {
        const so_real *from = split;
        split_phases(c, x + b * c->in[1] * C, split);
        for (int64_t p = 0; p < d; from += phase_rows(padded, p++, d) * C)
            pass->k->gemm(pass->pool, &(so_gemm){.m = phase_rows(c->out[1], p, d),
                                                 .n = n,
                                                 .k = k,
                                                 .a = from,
                                                 .lda = C,
                                                 .b = wt,
                                                 .ldb = n,
                                                 .beta = 1,
                                                 .c = y + (b * c->out[1] + p) * n,
                                                 .ldc = d * n});
    }
}

/* dwt[k C, n] += the adjoint in the weights. */
static void slide_back(so_pass *pass, const so_conv *c, const so_real *x, const so_real *dy, int64_t n, so_real *split,
                       so_real *dwt)
{
    int64_t C = c->channels, d = c->dilation[1], k = c->kernel[1] * C, padded = padded_rows(c);
    for (int64_t b = 0; b < c->batch; b++) {
        const so_real *from = split;
        split_phases(c, x + b * c->in[1] * C, split);
        for (int64_t p = 0; p < d; from += phase_rows(padded, p++, d) * C)
            pass->k->gemm(pass->pool, &(so_gemm){.ta = true,
                                                 .m = k,
                                                 .n = n,
                                                 .k = phase_rows(c->out[1], p, d),
                                                 .a = from,
                                                 .lda = C,
                                                 .b = dy + (b * c->out[1] + p) * n,
                                                 .ldb = d * n,
                                                 .beta = 1,
                                                 .c = dwt,
                                                 .ldc = n});
    }
}

/* The convolution of dy that gives dx: kernel reversed, channels exchanged, padding so that T rows come out. */
static so_conv reverse(const so_conv *c, int64_t n)
{
    so_conv r = *c;
    r.channels = n;
    r.in[1] = c->out[1];
    r.out[1] = c->in[1];
    r.pad[1] = c->dilation[1] * (c->kernel[1] - 1) - c->pad[1];
    return r;
}

/* w[A, C, k] turned into [k, A, C], the last tap first. */
static void turn_reversed(so_pass *pass, const so_tensor *w, int64_t k, so_real *row, so_real *to)
{
    int64_t a = w->dim[0], c = w->dim[1];
    for (int64_t i = 0; i < a; i++) {
        pass->k->row(w->type, w->data, i, c * k, row);
        for (int64_t j = 0; j < k; j++)
            for (int64_t l = 0; l < c; l++) to[((k - 1 - j) * a + i) * c + l] = row[l * k + j];
    }
}

static void sliding_forward(so_pass *pass, const so_conv *c, const so_tensor *x, const so_tensor *w,
                            const so_tensor *bias, so_tensor *y)
{
    int64_t n = w->dim[0], k = taps(c) * c->channels;
    size_t mark = so_arena_mark(pass->arena);
    so_real *row = so_take(pass, (size_t)k * sizeof *row, false);
    so_real *wt = so_take(pass, (size_t)(k * n) * sizeof *wt, false);
    so_real *split = so_take(pass, (size_t)(padded_rows(c) * c->channels) * sizeof *split, false);
    if (split && !pass->dry) {
        turn(pass, w, taps(c), true, row, wt);
        fill_rows(bias, positions(c), n, so_data(y));
        slide(pass, c, so_data(x), wt, n, split, so_data(y));
    }
    so_arena_release(pass->arena, mark);
}

static void sliding_back(so_pass *pass, const so_conv *c, so_tensor *x, const so_tensor *w, const so_real *dy,
                         so_real *dx, so_real *dw)
{
    int64_t n = w->dim[0], k = taps(c) * c->channels;
    so_conv r = reverse(c, n);
    int64_t rows = padded_rows(c) * c->channels, more = padded_rows(&r) * n;
    size_t mark = so_arena_mark(pass->arena);
    so_real *row = so_take(pass, (size_t)k * sizeof *row, false);
    so_real *wt = so_take(pass, (size_t)(k * n) * sizeof *wt, true);
    so_real *split = so_take(pass, (size_t)(rows > more ? rows : more) * sizeof *split, false);
    if (split && !pass->dry && dw) {
        slide_back(pass, c, so_data(x), dy, n, split, wt);
        turn_back(wt, n, c->channels, taps(c), true, dw);
    }
    if (split && !pass->dry && dx) {
        turn_reversed(pass, w, taps(c), row, wt);
        slide(pass, &r, dy, wt, c->channels, split, dx);
    }
    so_arena_release(pass->arena, mark);
}

/* The same with weights laid out for it; false where there are none, or they do not serve. */
static bool bf16_forward(so_pass *pass, const so_conv *c, const so_tensor *x, const so_tensor *w, const so_tensor *bias,
                         so_tensor *y)
{
    if (!w->bf16 || pass->recording || !pass->k->bf16_gains) return false;
    const so_real *b = bias ? so_data(bias) : NULL;
    return pass->k->bf16_conv(
        pass->pool, c,
        &(so_bf16_product){.layout = w->bf16, .n = w->dim[0], .x = so_data(x), .bias = b, .y = so_data(y)});
}

/* ---- any */

static void forward(so_pass *pass, const so_conv *c, const so_tensor *x, const so_tensor *w, const so_tensor *bias,
                    so_tensor *y)
{
    int64_t n = w->dim[0], k = taps(c) * c->channels, all = positions(c), piece = piece_rows(c);
    size_t mark = so_arena_mark(pass->arena);
    so_real *row = so_take(pass, (size_t)k * sizeof *row, false);
    so_real *wt = so_take(pass, (size_t)(k * n) * sizeof *wt, false);
    so_real *col = is_plain(c) ? so_data(x) : so_take(pass, (size_t)(piece * k) * sizeof *col, false);
    if (col && !pass->dry) {
        turn(pass, w, taps(c), true, row, wt);
        if (is_plain(c)) piece = all;
        for (int64_t r = 0; r < all; r += piece) {
            int64_t rows = all - r < piece ? all - r : piece;
            if (!is_plain(c)) pass->k->im2col(pass->pool, c, r, rows, so_data(x), col);
            fill_rows(bias, rows, n, so_data(y) + r * n);
            pass->k->gemm(pass->pool, &(so_gemm){.m = rows,
                                                 .n = n,
                                                 .k = k,
                                                 .a = col,
                                                 .lda = k,
                                                 .b = wt,
                                                 .ldb = n,
                                                 .beta = 1,
                                                 .c = so_data(y) + r * n,
                                                 .ldc = n});
        }
    }
    so_arena_release(pass->arena, mark);
}

static void conv_back(so_pass *pass, const so_step *step)
{
    const so_conv *c = step->saved;
    so_tensor *x = step->in[0], *w = step->in[1];
    int64_t n = w->dim[0], k = taps(c) * c->channels, all = positions(c), piece = piece_rows(c);
    so_real *dx = so_grad(pass, x), *dw = so_grad(pass, w), *db = so_grad(pass, step->in[2]), *dy = step->out->grad;
    if (dx && w->type != SO_F32) {
        so_pass_fail(pass, SO_ERR_TYPE, "conv: no way back through weights of type %s", so_type_about(w->type)->name);
        return;
    }
    if (is_sliding(c) && reverse(c, n).pad[1] >= 0) {
        sliding_back(pass, c, x, w, dy, dx, dw);
        if (db && !pass->dry) pass->k->sum_rows(pass->pool, all, n, dy, db);
        return;
    }
    size_t mark = so_arena_mark(pass->arena);
    so_real *row = so_take(pass, (size_t)k * sizeof *row, false);
    so_real *wt = so_take(pass, (size_t)(k * n) * sizeof *wt, false);
    so_real *dwt = so_take(pass, (size_t)(k * n) * sizeof *dwt, true);
    so_real *col = so_take(pass, (size_t)(piece * k) * sizeof *col, false);
    if (col && !pass->dry) {
        turn(pass, w, taps(c), true, row, wt);
        for (int64_t r = 0; r < all; r += piece) {
            int64_t rows = all - r < piece ? all - r : piece;
            if (dx) {
                pass->k->gemm(pass->pool, &(so_gemm){.tb = true,
                                                     .m = rows,
                                                     .n = k,
                                                     .k = n,
                                                     .a = dy + r * n,
                                                     .lda = n,
                                                     .b = wt,
                                                     .ldb = n,
                                                     .c = col,
                                                     .ldc = k});
                pass->k->col2im(pass->pool, c, r, rows, col, dx);
            }
            if (dw) {
                pass->k->im2col(pass->pool, c, r, rows, so_data(x), col);
                pass->k->gemm(pass->pool, &(so_gemm){.ta = true,
                                                     .m = k,
                                                     .n = n,
                                                     .k = rows,
                                                     .a = col,
                                                     .lda = k,
                                                     .b = dy + r * n,
                                                     .ldb = n,
                                                     .beta = 1,
                                                     .c = dwt,
                                                     .ldc = n});
            }
        }
        if (dw) turn_back(dwt, n, c->channels, taps(c), true, dw);
        if (db) pass->k->sum_rows(pass->pool, all, n, dy, db);
    }
    so_arena_release(pass->arena, mark);
}

/* On a device: as one kernel. */
static void on_device(so_pass *pass, const char *op, const so_time_conv *conv)
{
    if (!pass->k->time_conv) {
        so_pass_fail(pass, SO_ERR_UNSUPPORTED, "%s: %s has no kernel time_conv", op, pass->k->name);
        return;
    }
    if (!pass->dry) pass->k->time_conv(pass->pool, conv);
}

static so_tensor *convolve(so_pass *pass, const char *op, const so_conv *c, so_tensor *x, so_tensor *w, so_tensor *bias,
                           int n_dims, const int64_t *dim)
{
    char tx[96], tw[96];
    if (c->out[0] < 1 || c->out[1] < 1 || w->dim[1] != c->channels)
        return so_pass_fail(pass, SO_ERR_SHAPE, "%s: weights %s cannot go over %s", op, so_shape_text(w, tw),
                            so_shape_text(x, tx));
    if (bias && (!so_want_f32(pass, op, bias) || !so_want_cols(pass, op, bias, w->dim[0]))) return NULL;
    so_tensor *y = so_new(pass, n_dims, dim);
    if (!y) return NULL;
    if (pass->device && w->n_dims == 3)
        on_device(pass, op,
                  &(so_time_conv){.type = w->type,
                                  .w = w->data,
                                  .bias = bias ? so_data(bias) : NULL,
                                  .batch = c->batch,
                                  .in = c->in[1],
                                  .out = c->out[1],
                                  .channels = c->channels,
                                  .n = w->dim[0],
                                  .taps = c->kernel[1],
                                  .stride = c->stride[1],
                                  .dilation = c->dilation[1],
                                  .pad = c->pad[1],
                                  .x = so_data(x),
                                  .y = so_data(y)});
    else if (!so_on_host(pass, op))
        return NULL;
    else if (pass->dry || !bf16_forward(pass, c, x, w, bias, y))
        (is_sliding(c) ? sliding_forward : forward)(pass, c, x, w, bias, y);
    so_step *step = so_tape_put(pass, op, conv_back, y, 3, (so_tensor *[]){x, w, bias}, sizeof *c);
    if (step) memcpy(step->saved, c, sizeof *c);
    return y;
}

static bool along_time(so_pass *pass, const char *op, const so_tensor *x, const so_tensor *w)
{
    if (!so_want_f32(pass, op, x) || !w) return false;
    if (x->n_dims == 2 || x->n_dims == 3) return so_want_dims(pass, w->name ? w->name : op, w, 3);
    return so_want_dims(pass, op, x, 3);
}

so_tensor *so_conv1d(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias, so_conv1 conv)
{
    if (!along_time(pass, "conv1d", x, w)) return NULL;
    int64_t T = x->dim[x->n_dims - 2], k = w->dim[2], s = conv.stride ? conv.stride : 1;
    int64_t d = conv.dilation ? conv.dilation : 1, end = conv.pad_end < 0 ? conv.pad : conv.pad_end;
    int64_t span = T + conv.pad + end - d * (k - 1);
    so_conv c = {x->n_dims == 3 ? x->dim[0] : 1,        so_cols(x), {1, T}, {1, k}, {1, s}, {1, d}, {0, conv.pad},
                 {1, span < 1 ? 0 : (span - 1) / s + 1}};
    int64_t dim[3] = {c.batch, c.out[1], w->dim[0]};
    return convolve(pass, "conv1d", &c, x, w, bias, x->n_dims, x->n_dims == 3 ? dim : dim + 1);
}

so_tensor *so_conv2d(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias, const int64_t stride[2],
                     const int64_t pad[2])
{
    if (!so_want_f32(pass, "conv2d", x) || !so_want_dims(pass, "conv2d", x, 4) || !so_want_dims(pass, "conv2d", w, 4))
        return NULL;
    so_conv c = {.batch = x->dim[0], .channels = x->dim[3], .dilation = {1, 1}};
    for (int i = 0; i < 2; i++) {
        c.in[i] = x->dim[1 + i];
        c.kernel[i] = w->dim[2 + i];
        c.stride[i] = stride[i];
        c.pad[i] = pad[i];
        int64_t span = c.in[i] + 2 * pad[i] - c.kernel[i];
        c.out[i] = span < 0 ? 0 : span / stride[i] + 1;
    }
    return convolve(pass, "conv2d", &c, x, w, bias, 4, (int64_t[]){c.batch, c.out[0], c.out[1], w->dim[0]});
}

/* The transposed convolution of x is the adjoint of a convolution whose input has the shape of y. */
static void transposed_back(so_pass *pass, const so_step *step)
{
    const so_conv *c = step->saved;
    so_tensor *x = step->in[0], *w = step->in[1];
    int64_t m = w->dim[0], k = taps(c) * c->channels, all = positions(c), piece = piece_rows(c);
    so_real *dx = so_grad(pass, x), *dw = so_grad(pass, w), *db = so_grad(pass, step->in[2]), *dy = step->out->grad;
    size_t mark = so_arena_mark(pass->arena);
    so_real *row = so_take(pass, (size_t)k * sizeof *row, false);
    so_real *wt = so_take(pass, (size_t)(k * m) * sizeof *wt, false);
    so_real *dwt = so_take(pass, (size_t)(k * m) * sizeof *dwt, true);
    so_real *col = so_take(pass, (size_t)(piece * k) * sizeof *col, false);
    if (col && !pass->dry) {
        turn(pass, w, taps(c), false, row, wt);
        for (int64_t r = 0; r < all; r += piece) {
            int64_t rows = all - r < piece ? all - r : piece;
            pass->k->im2col(pass->pool, c, r, rows, dy, col);
            if (dx)
                pass->k->gemm(pass->pool, &(so_gemm){.tb = true,
                                                     .m = rows,
                                                     .n = m,
                                                     .k = k,
                                                     .a = col,
                                                     .lda = k,
                                                     .b = wt,
                                                     .ldb = k,
                                                     .beta = 1,
                                                     .c = dx + r * m,
                                                     .ldc = m});
            if (dw)
                pass->k->gemm(pass->pool, &(so_gemm){.ta = true,
                                                     .m = m,
                                                     .n = k,
                                                     .k = rows,
                                                     .a = so_data(x) + r * m,
                                                     .lda = m,
                                                     .b = col,
                                                     .ldb = k,
                                                     .beta = 1,
                                                     .c = dwt,
                                                     .ldc = k});
        }
        if (dw) turn_back(dwt, m, c->channels, taps(c), false, dw);
        if (db) pass->k->sum_rows(pass->pool, so_rows(step->out), so_cols(step->out), dy, db);
    }
    so_arena_release(pass->arena, mark);
}

static void transposed(so_pass *pass, const so_conv *c, const so_tensor *x, const so_tensor *w, const so_tensor *bias,
                       so_tensor *y)
{
    int64_t m = w->dim[0], k = taps(c) * c->channels, all = positions(c), piece = piece_rows(c);
    size_t mark = so_arena_mark(pass->arena);
    so_real *row = so_take(pass, (size_t)k * sizeof *row, false);
    so_real *wt = so_take(pass, (size_t)(k * m) * sizeof *wt, false);
    so_real *col = so_take(pass, (size_t)(piece * k) * sizeof *col, false);
    if (col && !pass->dry) {
        turn(pass, w, taps(c), false, row, wt);
        fill_rows(bias, so_rows(y), so_cols(y), so_data(y));
        for (int64_t r = 0; r < all; r += piece) {
            int64_t rows = all - r < piece ? all - r : piece;
            pass->k->gemm(pass->pool, &(so_gemm){.m = rows,
                                                 .n = k,
                                                 .k = m,
                                                 .a = so_data(x) + r * m,
                                                 .lda = m,
                                                 .b = wt,
                                                 .ldb = k,
                                                 .c = col,
                                                 .ldc = k});
            pass->k->col2im(pass->pool, c, r, rows, col, so_data(y));
        }
    }
    so_arena_release(pass->arena, mark);
}

so_tensor *so_conv_transpose1d(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias, int64_t stride, int64_t pad)
{
    const char *op = "conv_transpose1d";
    if (!along_time(pass, op, x, w) || !so_want_cols(pass, op, x, w->dim[0])) return NULL;
    int64_t T = x->dim[x->n_dims - 2], n = (T - 1) * stride - 2 * pad + w->dim[2];
    if (T < 1 || n < 1) return so_pass_fail(pass, SO_ERR_SHAPE, "%s: %lld frames give none", op, (long long)T);
    if (pass->recording && w->type != SO_F32)
        return so_pass_fail(pass, SO_ERR_TYPE, "%s: no way back through weights of type %s", op,
                            so_type_about(w->type)->name);
    if (bias && (!so_want_f32(pass, op, bias) || !so_want_cols(pass, op, bias, w->dim[1]))) return NULL;
    so_conv c = {
        x->n_dims == 3 ? x->dim[0] : 1, w->dim[1], {1, n}, {1, w->dim[2]}, {1, stride}, {1, 1}, {0, pad}, {1, T}};
    int64_t dim[3] = {c.batch, n, w->dim[1]};
    so_tensor *y = so_new(pass, x->n_dims, x->n_dims == 3 ? dim : dim + 1);
    if (!y) return NULL;
    if (pass->device)
        on_device(pass, op,
                  &(so_time_conv){.type = w->type,
                                  .w = w->data,
                                  .bias = bias ? so_data(bias) : NULL,
                                  .batch = c.batch,
                                  .in = T,
                                  .out = n,
                                  .channels = w->dim[0],
                                  .n = w->dim[1],
                                  .taps = w->dim[2],
                                  .stride = stride,
                                  .dilation = 1,
                                  .pad = pad,
                                  .transposed = true,
                                  .x = so_data(x),
                                  .y = so_data(y)});
    else
        transposed(pass, &c, x, w, bias, y);
    so_step *step = so_tape_put(pass, op, transposed_back, y, 3, (so_tensor *[]){x, w, bias}, sizeof c);
    if (step) memcpy(step->saved, &c, sizeof c);
    return y;
}
