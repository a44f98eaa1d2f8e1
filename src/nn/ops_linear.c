/* Products with weights: linear layers, expected embeddings, table look-ups.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/own.h"
#include "nn/ops.h"

bool so_want_dims(so_pass *pass, const char *op, const so_tensor *x, int n_dims)
{
    if (!so_ok(pass) || !x) return false;
    char text[96];
    if (x->n_dims == n_dims) return true;
    so_pass_fail(pass, SO_ERR_SHAPE, "%s: found %s, expected %d axes", op, so_shape_text(x, text), n_dims);
    return false;
}

bool so_want_cols(so_pass *pass, const char *op, const so_tensor *x, int64_t cols)
{
    if (!so_ok(pass) || !x) return false;
    char text[96];
    if (so_cols(x) == cols) return true;
    so_pass_fail(pass, SO_ERR_SHAPE, "%s: found %s, expected %lld columns", op, so_shape_text(x, text),
                 (long long)cols);
    return false;
}

bool so_want_same(so_pass *pass, const char *op, const so_tensor *a, const so_tensor *b)
{
    if (!so_ok(pass) || !a || !b) return false;
    char ta[96], tb[96];
    if (so_cols(a) == so_cols(b) && so_count(a) == so_count(b)) return true;
    so_pass_fail(pass, SO_ERR_SHAPE, "%s: shapes %s and %s differ", op, so_shape_text(a, ta), so_shape_text(b, tb));
    return false;
}

bool so_want_f32(so_pass *pass, const char *op, const so_tensor *x)
{
    if (!so_ok(pass) || !x) return false;
    if (x->type == SO_F32) return true;
    so_pass_fail(pass, SO_ERR_TYPE, "%s: found type %s, expected f32", op, so_type_about(x->type)->name);
    return false;
}

/* ---- rows of a weight of any type, decoded */

typedef struct decoding {
    const so_kernels *k;
    const so_tensor *w;
    int64_t j0, rows;
    so_real *out;
} decoding;

enum { DECODE_ROWS = 16 };

static void decode_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const decoding *d = p;
    int64_t n = so_cols(d->w);
    for (int64_t j = task * DECODE_ROWS; j < (task + 1) * DECODE_ROWS && j < d->rows; j++)
        d->k->row(d->w->type, d->w->data, d->j0 + j, n, d->out + j * n);
}

enum {
    STORED_ROWS = 256, /* of a stored weight, decoded at a time for all rows of x or dy: the whole never stands there */
    MANY_ROWS = 16     /* of x, above which it is worth it */
};

static so_real *room_for_rows(so_pass *pass, const so_tensor *w)
{
    return so_take(pass, (size_t)(STORED_ROWS * w->dim[1]) * sizeof(so_real), false);
}

/* Rows of w from j on go to `decoded`; returns how many. */
static int64_t decode_rows(so_pass *pass, const so_tensor *w, int64_t j, so_real *decoded)
{
    int64_t rows = w->dim[0] - j < STORED_ROWS ? w->dim[0] - j : STORED_ROWS;
    so_pool_for(pass->pool, (rows + DECODE_ROWS - 1) / DECODE_ROWS, decode_task,
                &(decoding){pass->k, w, j, rows, decoded});
    return rows;
}

/* dx += dy w for a weight that is not so_real: blocks of its rows are decoded once for all rows of dy. */
static void back_through_stored(so_pass *pass, const so_tensor *w, int64_t m, const so_real *dy, so_real *dx,
                                so_real beta)
{
    int64_t n = w->dim[0], k = w->dim[1];
    size_t mark = so_arena_mark(pass->arena);
    so_real *decoded = room_for_rows(pass, w);
    for (int64_t j = 0; decoded && !pass->dry && j < n; j += STORED_ROWS) {
        int64_t rows = decode_rows(pass, w, j, decoded);
        pass->k->gemm(pass->pool, &(so_gemm){.m = m,
                                             .n = k,
                                             .k = rows,
                                             .a = dy + j,
                                             .lda = n,
                                             .b = decoded,
                                             .ldb = k,
                                             .beta = j ? 1 : beta,
                                             .c = dx,
                                             .ldc = k});
    }
    so_arena_release(pass->arena, mark);
}

static void linear_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0], *w = step->in[1], *bias = step->in[2];
    int64_t m = so_rows(x), k = so_cols(x), n = w->dim[0];
    so_real beta, *dy = step->out->grad, *dx = so_grad_beta(pass, x, &beta);
    if (dx && w->type != SO_F32)
        back_through_stored(pass, w, m, dy, dx, beta);
    else if (dx && !pass->dry)
        pass->k->gemm(
            pass->pool,
            &(so_gemm){
                .m = m, .n = k, .k = n, .a = dy, .lda = n, .b = w->data, .ldb = k, .beta = beta, .c = dx, .ldc = k});
    so_real *dw = so_grad_beta(pass, w, &beta);
    if (dw && !pass->dry)
        pass->k->gemm(pass->pool, &(so_gemm){.ta = true,
                                             .m = n,
                                             .n = k,
                                             .k = m,
                                             .a = dy,
                                             .lda = n,
                                             .b = so_data(x),
                                             .ldb = k,
                                             .beta = beta,
                                             .c = dw,
                                             .ldc = k});
    so_real *db = so_grad(pass, bias);
    if (db && !pass->dry) pass->k->sum_rows(pass->pool, m, n, dy, db);
}

static bool rounds(const so_pass *pass, const so_tensor *w)
{
    return pass->k->int8 && so_type_about(w->type)->block > 1;
}

bool so_rounds(const so_pass *pass, const so_tensor *w)
{
    return so_joins(pass) && pass->k->norm_round && rounds(pass, w) && !w->lora;
}

void *so_take_rounded(so_pass *pass, const so_tensor *x)
{
    int64_t m = so_rows(x), k = so_cols(x);
    return m <= SO_FEW_ROWS && k % 256 == 0 ? so_take_data(pass, so_int8_bytes(m, k)) : NULL;
}

/* Rows of x as int8, at the end of the arena; NULL when memory ends. */
static void *rounded_rows(so_pass *pass, const so_tensor *x)
{
    void *out = so_take_data(pass, so_int8_bytes(so_rows(x), so_cols(x)));
    if (out && !pass->dry) pass->k->round_int8(pass->pool, so_rows(x), so_cols(x), so_data(x), out);
    return out;
}

/* Many rows meet a weight in blocks whose numbers are wanted as they are: kernels made for few rows would decode it
 * well but multiply slowly. */
static bool meets_many(const so_pass *pass, const so_tensor *w, int64_t m)
{
    bool in_registers = w->type == SO_Q8_0 && pass->k->q8_gains;
    return m > MANY_ROWS && !pass->device && so_type_about(w->type)->block > 1 && !in_registers;
}

/* y = x w^T + bias, blocks of rows of w decoded once for all rows of x. */
static void multiply_stored(so_pass *pass, const so_tensor *x, const so_tensor *w, const so_real *bias, so_real *y)
{
    int64_t m = so_rows(x), k = so_cols(x), n = w->dim[0];
    size_t mark = so_arena_mark(pass->arena);
    so_real *decoded = room_for_rows(pass, w);
    for (int64_t i = 0; decoded && bias && !pass->dry && i < m; i++) memcpy(y + i * n, bias, (size_t)n * sizeof *y);
    for (int64_t j = 0; decoded && !pass->dry && j < n; j += STORED_ROWS) {
        int64_t rows = decode_rows(pass, w, j, decoded);
        pass->k->gemm(pass->pool, &(so_gemm){.tb = true,
                                             .m = m,
                                             .n = rows,
                                             .k = k,
                                             .a = so_data(x),
                                             .lda = k,
                                             .b = decoded,
                                             .ldb = k,
                                             .beta = bias ? 1 : 0,
                                             .c = y + j,
                                             .ldc = n});
    }
    so_arena_release(pass->arena, mark);
}

enum { BF16_ROWS = 5 }; /* fewer are quicker the plain way */

bool so_by_layout(const so_pass *pass, const so_tensor *w, int64_t rows)
{
    return w->bf16 && pass->k->bf16_gains && rows > BF16_ROWS && !pass->recording;
}

/* y = x w^T + bias: by the layout of w for bf16 where there is one, with x rounded to int8 where the table says so, or
 * with numbers as they are. */
static void multiply(so_pass *pass, const so_tensor *x, const so_tensor *w, const so_tensor *bias, so_tensor *y,
                     const so_tensor *add)
{
    int64_t m = so_rows(x), k = so_cols(x), n = w->dim[0];
    const so_real *b = bias ? so_data(bias) : NULL;
    if (so_by_layout(pass, w, m)) {
        if (!pass->dry)
            pass->k->bf16_linear(pass->pool, &(so_bf16_product){.layout = w->bf16,
                                                                .n = n,
                                                                .k = k,
                                                                .x = so_data(x),
                                                                .ldx = k,
                                                                .m = m,
                                                                .bias = b,
                                                                .y = so_data(y),
                                                                .ldy = n});
        return;
    }
    if (!rounds(pass, w) && meets_many(pass, w, m)) {
        multiply_stored(pass, x, w, b, so_data(y));
        return;
    }
    if (!rounds(pass, w)) {
        if (!pass->dry)
            pass->k->linear(pass->pool,
                            &(so_product){.type = w->type,
                                          .w = w->data,
                                          .n = n,
                                          .bias = b,
                                          .y = so_data(y),
                                          .add = add ? so_data(add) : NULL},
                            k, so_data(x), m);
        return;
    }
    so_mark mark = so_pass_mark(pass);
    void *rounded = x->rounded ? x->rounded : rounded_rows(pass, x);
    if (rounded && !pass->dry)
        pass->k->linear_int8(pass->pool, 1,
                             &(so_product){w->type, w->data, n, b, so_data(y), add ? so_data(add) : NULL, NULL}, k,
                             rounded, m);
    so_pass_release(pass, mark);
}

static void show_product(so_pass *pass, const so_tensor *w, const so_tensor *x)
{
    if (!pass->watch || !pass->watch->product || pass->dry) return;
    so_mark mark = so_pass_mark(pass);
    so_tensor seen = *x;
    if (pass->device) seen.data = so_mutable(so_read(pass, x));
    if (so_ok(pass)) pass->watch->product(pass->watch->context, w, &seen);
    so_pass_release(pass, mark);
}

/* A new tensor for x w^T + bias, when shapes fit. */
static so_tensor *product_like(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias)
{
    if (!so_ok(pass) || !x || !so_want_cols(pass, "linear", x, w->dim[w->n_dims - 1])) return NULL;
    if (!so_want_dims(pass, w->name ? w->name : "linear", w, 2)) return NULL;
    int64_t n = w->dim[0], dim[SO_MAX_DIMS];
    if (bias && !so_want_cols(pass, "linear bias", bias, n)) return NULL;
    memcpy(dim, x->dim, sizeof dim);
    dim[x->n_dims - 1] = n;
    so_tensor *y = so_new(pass, x->n_dims, dim);
    if (y) show_product(pass, w, x);
    return y;
}

/* What a weight's adapter adds to its product. */
static so_tensor *adapt(so_pass *pass, so_tensor *x, const so_lora *lora)
{
    if ((pass->recording || pass->rehearsing) && lora->dropout > 0 && lora->seed) {
        so_rng rng;
        so_rng_init(&rng, *lora->seed, (uint64_t)lora->number);
        x = so_dropout(pass, x, lora->dropout, &rng);
    }
    return so_scale(pass, so_linear(pass, so_linear(pass, x, lora->a, NULL), lora->b, NULL), lora->scale);
}

so_tensor *so_linear(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias)
{
    so_tensor *y = product_like(pass, x, w, bias);
    if (!y) return NULL;
    multiply(pass, x, w, bias, y, NULL);
    so_tape_put(pass, "linear", linear_back, y, 3, (so_tensor *[]){x, w, bias}, 0);
    return w->lora ? so_add(pass, y, adapt(pass, x, w->lora)) : y;
}

so_tensor *so_linear_onto(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *residual, so_tensor *into)
{
    if (!pass->device || pass->recording || !so_ok(pass) || w->lora)
        return so_residual(pass, residual, so_linear(pass, x, w, NULL));
    so_tensor *y = into && so_ok(pass) ? into : product_like(pass, x, w, NULL);
    if (y && y == into) show_product(pass, w, x);
    if (!y || !so_want_same(pass, "linear", y, residual) || !so_want_cols(pass, "linear", x, w->dim[1])) return NULL;
    multiply(pass, x, w, NULL, y, residual);
    return y;
}

/* Whether products of few rows are made together as numbers: where a table can, and weights have no form of their own.
 */
static bool together(const so_pass *pass, const so_tensor *x, const so_tensor *w)
{
    bool can = pass->k->linears && pass->k->gated && so_rows(x) <= SO_FEW_ROWS;
    return can && !w->bf16 && !w->lora && !rounds(pass, w);
}

/* Products in int8 of what `rounded` is, with weights that all round. */
static void multiply_rounded(so_pass *pass, const so_tensor *x, int n, const so_product *product, const so_rms *rms)
{
    so_mark mark = so_pass_mark(pass);
    void *rounded = rms          ? so_take_data(pass, so_int8_bytes(so_rows(x), so_cols(x)))
                    : x->rounded ? x->rounded
                                 : rounded_rows(pass, x);
    if (rms && rounded && !pass->dry)
        pass->k->norm_round(pass->pool,
                            &(so_norm){.rows = so_rows(x),
                                       .cols = so_cols(x),
                                       .eps = (so_real)rms->eps,
                                       .x = so_data(x),
                                       .w = so_data(rms->w)},
                            rounded);
    if (rounded && !pass->dry) pass->k->linear_int8(pass->pool, n, product, so_cols(x), rounded, so_rows(x));
    so_pass_release(pass, mark);
}

/* New tensors for the products, and what the kernels want to know. */
static void products_of(so_pass *pass, so_tensor *x, int n, so_tensor *const *w, so_tensor **const *y,
                        so_product *product)
{
    for (int i = 0; i < n; i++) {
        *y[i] = product_like(pass, x, w[i], NULL);
        if (*y[i]) product[i] = (so_product){w[i]->type, w[i]->data, w[i]->dim[0], NULL, so_data(*y[i]), NULL, NULL};
    }
}

static bool all_round(const so_pass *pass, int n, so_tensor *const *w)
{
    bool all = n <= SO_PRODUCTS && !pass->recording;
    for (int i = 0; all && i < n; i++) all = rounds(pass, w[i]) && !w[i]->lora;
    return all;
}

void so_linears(so_pass *pass, so_tensor *x, int n, so_tensor *const *w, so_tensor **const *y)
{
    so_product product[SO_PRODUCTS];
    bool plain = so_ok(pass) && x && n <= SO_PRODUCTS && !pass->recording;
    bool all = plain && all_round(pass, n, w);
    for (int i = 0; plain && i < n; i++) plain = together(pass, x, w[i]);
    if (!all && !plain) {
        for (int i = 0; i < n; i++) *y[i] = so_linear(pass, x, w[i], NULL);
        return;
    }
    products_of(pass, x, n, w, y, product);
    if (all)
        multiply_rounded(pass, x, n, product, NULL);
    else if (so_ok(pass) && !pass->dry)
        pass->k->linears(pass->pool, n, product, so_cols(x), so_data(x), so_rows(x));
}

/* Whether norm and rounding are one step: nobody may want to see what lies between. */
static bool norm_rounds(const so_pass *pass, const so_tensor *x, int n, so_tensor *const *w)
{
    return so_ok(pass) && x && pass->device && pass->k->norm_round && !pass->watch && all_round(pass, n, w);
}

void so_norm_linears(so_pass *pass, so_tensor *x, const so_rms *rms, int n, so_tensor *const *w, so_tensor **const *y)
{
    so_product product[SO_PRODUCTS];
    if (!norm_rounds(pass, x, n, w)) {
        so_linears(pass, so_rms_norm(pass, x, rms->w, rms->eps), n, w, y);
        return;
    }
    products_of(pass, x, n, w, y, product);
    if (so_ok(pass)) multiply_rounded(pass, x, n, product, rms);
}

/* What gated kernels are told, and the tensor that they write. */
static so_tensor *gated_like(so_pass *pass, so_tensor *x, so_tensor *gate, so_tensor *up, so_product *of)
{
    so_tensor *y = product_like(pass, x, gate, NULL);
    if (!y) return NULL;
    show_product(pass, up, x);
    *of = (so_product){.type = gate->type, .w = gate->data, .n = gate->dim[0], .y = so_data(y)};
    return y;
}

static bool same_weights(const so_tensor *a, const so_tensor *b)
{
    return a->type == b->type && a->dim[0] == b->dim[0] && a->dim[1] == b->dim[1];
}

so_tensor *so_gated(so_pass *pass, so_tensor *x, so_tensor *gate, so_tensor *up)
{
    if (!so_ok(pass) || !x) return NULL;
    bool fits = same_weights(gate, up), plain = fits && !pass->recording && together(pass, x, gate) && !up->lora;
    if (!plain && (!fits || !rounds(pass, gate) || pass->recording || gate->lora || up->lora))
        return so_swiglu(pass, so_linear(pass, x, gate, NULL), so_linear(pass, x, up, NULL));
    so_product of;
    so_tensor *y = gated_like(pass, x, gate, up, &of);
    if (!y) return NULL;
    if (plain) {
        if (!pass->dry) pass->k->gated(pass->pool, &of, up->data, so_cols(x), so_data(x), so_rows(x));
        return y;
    }
    so_mark mark = so_pass_mark(pass);
    void *rounded = rounded_rows(pass, x);
    if (rounded && !pass->dry) pass->k->gated_int8(pass->pool, &of, up->data, so_cols(x), rounded, so_rows(x));
    so_pass_release(pass, mark);
    return y;
}

so_tensor *so_norm_gated(so_pass *pass, so_tensor *x, const so_rms *rms, so_tensor *gate, so_tensor *up)
{
    so_product of;
    if (!norm_rounds(pass, x, 2, (so_tensor *[]){gate, up}) || !same_weights(gate, up))
        return so_gated(pass, so_rms_norm(pass, x, rms->w, rms->eps), gate, up);
    so_tensor *y = gated_like(pass, x, gate, up, &of);
    if (!y) return NULL;
    if (rms->rounded) of.rounded = y->rounded = so_take_rounded(pass, y);
    so_mark mark = so_pass_mark(pass);
    void *rounded = so_take_data(pass, so_int8_bytes(so_rows(x), so_cols(x)));
    so_norm norm = {.rows = so_rows(x), .cols = so_cols(x), .eps = (so_real)rms->eps, .x = so_data(x)};
    norm.w = so_data(rms->w);
    if (rounded && !pass->dry) {
        pass->k->norm_round(pass->pool, &norm, rounded);
        pass->k->gated_int8(pass->pool, &of, up->data, so_cols(x), rounded, so_rows(x));
    }
    so_pass_release(pass, mark);
    return y;
}

static void matmul_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0], *w = step->in[1];
    int64_t m = so_rows(x), k = so_cols(x), n = so_cols(w);
    so_real beta, *dy = step->out->grad, *dx = so_grad_beta(pass, x, &beta);
    if (dx && !pass->dry)
        pass->k->gemm(pass->pool, &(so_gemm){.tb = true,
                                             .m = m,
                                             .n = k,
                                             .k = n,
                                             .a = dy,
                                             .lda = n,
                                             .b = so_data(w),
                                             .ldb = n,
                                             .beta = beta,
                                             .c = dx,
                                             .ldc = k});
    so_real *dw = so_grad_beta(pass, w, &beta);
    if (dw && !pass->dry)
        pass->k->gemm(pass->pool, &(so_gemm){.ta = true,
                                             .m = k,
                                             .n = n,
                                             .k = m,
                                             .a = so_data(x),
                                             .lda = k,
                                             .b = dy,
                                             .ldb = n,
                                             .beta = beta,
                                             .c = dw,
                                             .ldc = n});
}

/* out[m, n] = x[:, j0..j0+rows) w[j0..j0+rows, :]; `decoded` holds SO_MIX_ROWS rows of a w that is not so_real. */
static void mix_block(so_pass *pass, const so_tensor *x, const so_tensor *w, int64_t j0, int64_t rows, so_real *decoded,
                      so_real *out)
{
    int64_t m = so_rows(x), k = so_cols(x), n = so_cols(w);
    const so_real *from = decoded;
    if (w->type == SO_F32)
        from = so_data(w) + j0 * n;
    else
        so_pool_for(pass->pool, (rows + DECODE_ROWS - 1) / DECODE_ROWS, decode_task,
                    &(decoding){pass->k, w, j0, rows, decoded});
    pass->k->gemm(
        pass->pool,
        &(so_gemm){.m = m, .n = n, .k = rows, .a = so_data(x) + j0, .lda = k, .b = from, .ldb = n, .c = out, .ldc = n});
}

/* A device adds its slices up by itself. */
static void mix(so_pass *pass, const so_tensor *x, const so_tensor *w, so_tensor *y)
{
    int64_t k = so_cols(x), slices = (k + SO_MIX_SLICE - 1) / SO_MIX_SLICE;
    so_mark mark = so_pass_mark(pass);
    so_real *part = so_take_data(pass, (size_t)(slices * so_count(y)) * sizeof *part);
    if (part && !pass->dry)
        pass->k->mix(pass->pool, &(so_mix){w->type, w->data, k, so_cols(w), so_rows(x), so_data(x), part, so_data(y)});
    so_pass_release(pass, mark);
}

void so_matmul_some(so_pass *pass, const so_tensor *x, const so_tensor *w, int64_t first, int64_t last, double *sum)
{
    int64_t count = so_rows(x) * so_cols(w);
    size_t mark = so_arena_mark(pass->arena);
    so_real *decoded = so_take(pass, (size_t)(SO_MIX_ROWS * so_cols(w)) * sizeof *decoded, false);
    so_real *part = so_take(pass, (size_t)count * sizeof *part, false);
    for (int64_t j = first; part && !pass->dry && j < last && !so_pass_stopped(pass); j += SO_MIX_ROWS) {
        mix_block(pass, x, w, j, last - j < SO_MIX_ROWS ? last - j : SO_MIX_ROWS, decoded, part);
        for (int64_t i = 0; i < count; i++) sum[i] += (double)part[i];
    }
    so_arena_release(pass->arena, mark);
}

static void matmul(so_pass *pass, const so_tensor *x, const so_tensor *w, so_tensor *y)
{
    int64_t count = so_count(y);
    size_t mark = so_arena_mark(pass->arena);
    double *sum = so_take(pass, (size_t)count * sizeof *sum, true);
    if (sum) so_matmul_some(pass, x, w, 0, so_cols(x), sum);
    for (int64_t i = 0; sum && !pass->dry && i < count; i++) so_data(y)[i] = (so_real)sum[i];
    so_arena_release(pass->arena, mark);
}

so_tensor *so_matmul(so_pass *pass, so_tensor *x, so_tensor *w)
{
    if (!so_want_dims(pass, "matmul", w, 2) || !so_want_cols(pass, "matmul", x, w->dim[0])) return NULL;
    so_tensor *y = so_new2(pass, so_rows(x), so_cols(w));
    if (!y) return NULL;
    if (pass->k->mix)
        mix(pass, x, w, y);
    else
        matmul(pass, x, w, y);
    so_tape_put(pass, "matmul", w->type == SO_F32 ? matmul_back : NULL, y, 2, (so_tensor *[]){x, w}, 0);
    return so_ok(pass) ? y : NULL;
}

static void embed_back(so_pass *pass, const so_step *step)
{
    so_tensor *table = step->in[0];
    int64_t n = so_rows(step->out), d = so_cols(step->out);
    const int32_t *ids = step->saved;
    so_real *dt = so_grad(pass, table);
    if (!dt || pass->dry) return;
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < d; c++) dt[ids[i] * d + c] += step->out->grad[i * d + c];
}

so_tensor *so_embed(so_pass *pass, so_tensor *table, int64_t n, const int32_t *ids)
{
    if (!so_want_dims(pass, "embed", table, 2)) return NULL;
    int64_t v = table->dim[0], d = table->dim[1];
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= v)
            return so_pass_fail(pass, SO_ERR_ARG, "embed: id %d, expected 0 to %lld", ids[i], (long long)v - 1);
    so_tensor *y = so_new2(pass, n, d);
    if (!y) return NULL;
    if (!pass->dry) pass->k->gather(pass->pool, &(so_gather){table->type, table->data, d, n, ids, so_data(y), NULL, 0});
    so_step *step = so_tape_put(pass, "embed", embed_back, y, 1, (so_tensor *[]){table}, (size_t)n * sizeof *ids);
    if (step) memcpy(step->saved, ids, (size_t)n * sizeof *ids);
    return y;
}

so_tensor *so_embed_there(so_pass *pass, so_tensor *table, int64_t n, const int32_t *ids)
{
    if (!so_want_dims(pass, "embed", table, 2)) return NULL;
    if (!pass->device) return so_pass_fail(pass, SO_ERR_STATE, "embed: ids of a device, on the host");
    so_tensor *y = so_new2(pass, n, table->dim[1]);
    so_gather g = {.type = table->type, .w = table->data, .cols = table->dim[1], .n = n, .there = ids};
    if (!y || pass->dry) return y;
    g.rows = table->dim[0];
    g.y = so_data(y);
    pass->k->gather(pass->pool, &g);
    return y;
}
