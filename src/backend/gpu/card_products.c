/* Products of the kernel table of graphics cards.
 * SPDX-License-Identifier: Apache-2.0 */
#include "backend/gpu/card.h"

enum { FEW = SO_FEW_ROWS, TOGETHER = 3 /* products in one launch */, ROWS = 8 /* of w a group */ };

static void start(so_gpu_launch *l, so_gpu_text text, so_type kind, const void *params, size_t bytes)
{
    *l = (so_gpu_launch){.text = text, .kind = (int)kind, .groups = {1, 1, 1}, .bytes = (uint32_t)bytes};
    memcpy(l->params, params, bytes);
}

/* Of matvec.k and gated.k: a kind of its own for one row x. */
static so_type kind_of(so_gpu_text text, so_type type, int64_t m)
{
    bool one = m == 1 && (text == SO_GPU_matvec || text == SO_GPU_gated);
    return (so_type)((int)type + (one ? ONE_ROW : 0));
}

static void groups(so_gpu_launch *l, int64_t x, int64_t y, int64_t z)
{
    l->groups[0] = (uint32_t)x;
    l->groups[1] = (uint32_t)y;
    l->groups[2] = (uint32_t)z;
}

/* More rows than SO_FEW_ROWS, in tiles. */
static void many_rows(so_pool *pool, so_gpu_text text, const so_joined *j)
{
    const so_product *of = j->product, none = {.n = 0}, *b = j->count > 1 ? of + 1 : &none,
                     *c = j->count > 2 ? of + 2 : &none;
    size_t row = so_type_bytes(of->type, j->k);
    struct {
        PARAMS_MATMUL
    } p = {.x = at(j->x),
           .norm_w = at(j->norm_w),
           .norm_b = at(j->norm_b),
           .w0 = at(of->w),
           .w1 = at(b->w),
           .w2 = at(c->w),
           .b0 = at(of->bias),
           .b1 = at(b->bias),
           .b2 = at(c->bias),
           .y0 = at(of->y),
           .y1 = at(b->y),
           .y2 = at(c->y),
           .add = j->count == 1 ? at(of->add) : 0,
           .n0 = (int)of->n,
           .n1 = (int)b->n,
           .k = (int)j->k,
           .m = (int)j->m,
           .then = j->then,
           .eps = (float)j->eps};
    _Static_assert(sizeof p <= SO_GPU_PARAMS, "too many parameters");
    so_gpu_launch l;
    start(&l, text, of->type, &p, sizeof p);
    groups(&l, over(of->n, 64) + (j->count - 1) * over(b->n, 64), over(j->m, 64), 1);
    so_gpu_reads(&l, j->x, reals(j->m * j->k));
    so_gpu_reads(&l, j->norm_w, reals(j->k));
    so_gpu_reads(&l, j->norm_b, reals(j->k));
    so_gpu_reads(&l, j->count == 1 ? of->add : NULL, reals(j->m * of->n));
    for (int64_t i = 0; i < j->count; i++) {
        so_gpu_reads(&l, of[i].w, row * (size_t)of[i].n);
        so_gpu_reads(&l, of[i].bias, reals(of[i].n));
        so_gpu_writes(&l, of[i].y, reals(j->m * of[i].n));
    }
    so_gpu_launch_now(so_gpu_of(pool), &l);
}

/* A row of codes, and a scale for every 32 of them. */
static int64_t padded(int64_t k) { return (k + 255) / 256 * 256; }
static size_t rounded_bytes(int64_t m, int64_t k) { return (size_t)(m * (padded(k) / 8 * 9)); }

static void round_int8(so_pool *pool, int64_t m, int64_t k, const so_real *x, void *out)
{
    int64_t span = so_int8_span(m);
    struct {
        PARAMS_ROUND
    } p = {at(x), at(out), (int)k, (int)padded(k), (int)span};
    so_gpu_launch l;
    start(&l, SO_GPU_round_int8, SO_F32, &p, sizeof p);
    groups(&l, over(padded(k) / span, 64), m, 1);
    so_gpu_reads(&l, x, reals(m * k));
    so_gpu_writes(&l, out, rounded_bytes(m, k));
    so_gpu_launch_now(so_gpu_of(pool), &l);
}

static void norm_round(so_pool *pool, const so_norm *n, void *out)
{
    int64_t k = n->cols, m = n->rows;
    struct {
        PARAMS_NORM_ROUND
    } p = {at(n->x), at(n->w), at(out), (int)k, (int)padded(k), (int)so_int8_span(m), (float)n->eps};
    so_gpu_launch l;
    start(&l, SO_GPU_norm_round, SO_F32, &p, sizeof p);
    groups(&l, m, 1, 1);
    so_gpu_reads(&l, n->x, reals(m * k));
    so_gpu_reads(&l, n->w, reals(k));
    so_gpu_writes(&l, out, rounded_bytes(m, k));
    so_gpu_launch_now(so_gpu_of(pool), &l);
}

typedef struct int8_params {
    PARAMS_INT8
} int8_params;
_Static_assert(sizeof(int8_params) <= SO_GPU_PARAMS, "too many parameters");

/* What products share: rows of numbers, or rounded ones. */
typedef struct rows {
    so_gpu_text text;
    const void *at;
    size_t bytes;
    int64_t k, m;
    int then; /* as so_joined has it */
} rows;

/* Up to TOGETHER products with weights of one type. */
static void some_products(so_device *device, int count, const so_product *of, const rows *x)
{
    int64_t k = x->k, m = x->m;
    size_t row = so_type_bytes(of->type, k);
    so_product none = {.n = 0}, b = count > 1 ? of[1] : none, c = count > 2 ? of[2] : none;
    int64_t most = of->n > b.n ? of->n : b.n;
    most = most > c.n ? most : c.n;
    int8_params p = {.x = at(x->at),
                     .w0 = at(of->w),
                     .w1 = at(b.w),
                     .w2 = at(c.w),
                     .b0 = at(of->bias),
                     .b1 = at(b.bias),
                     .b2 = at(c.bias),
                     .y0 = at(of->y),
                     .y1 = at(b.y),
                     .y2 = at(c.y),
                     .add = count == 1 ? at(of->add) : 0,
                     .n0 = (int)of->n,
                     .n1 = (int)b.n,
                     .n2 = (int)c.n,
                     .k = (int)k,
                     .kp = (int)padded(k),
                     .m = (int)m,
                     .row_bytes = (int)row,
                     .then = x->then};
    so_gpu_launch l;
    start(&l, x->text, kind_of(x->text, of->type, m), &p, sizeof p);
    groups(&l, over(most, ROWS), count, over(m, FEW));
    so_gpu_reads(&l, x->at, x->bytes);
    so_gpu_reads(&l, count == 1 ? of->add : NULL, reals(m * of->n));
    for (int i = 0; i < count; i++) {
        so_gpu_reads(&l, of[i].w, row * (size_t)of[i].n);
        so_gpu_reads(&l, of[i].bias, reals(of[i].n));
        so_gpu_writes(&l, of[i].y, reals(m * of[i].n));
    }
    so_gpu_launch_now(device, &l);
}

static void products(so_pool *pool, int count, const so_product *of, const rows *x)
{
    for (int i = 0, n; i < count; i += n) {
        for (n = 1; n < TOGETHER && i + n < count && of[i + n].type == of[i].type;) n++;
        some_products(so_gpu_of(pool), n, of + i, x);
    }
}

static void linear_int8(so_pool *pool, int count, const so_product *of, int64_t k, const void *rounded, int64_t m)
{
    products(pool, count, of, &(rows){SO_GPU_matvec_int8, rounded, rounded_bytes(m, k), k, m, 0});
}

static void linears(so_pool *pool, int count, const so_product *of, int64_t k, const so_real *x, int64_t m)
{
    products(pool, count, of, &(rows){SO_GPU_matvec, x, reals(m * k), k, m, 0});
}

enum { LISTED = 18 }; /* products in one launch by a table: each has two ranges to declare */

/* Products of one size: their addresses lie in a table. */
static void listed(so_pool *pool, const so_joined *j)
{
    const so_product *of = j->product;
    so_device *device = so_gpu_of(pool);
    size_t row = so_type_bytes(of->type, j->k), bytes = (size_t)j->count * 24;
    uint64_t list[LISTED][3];
    for (int64_t i = 0; i < j->count; i++) {
        list[i][0] = at(of[i].w);
        list[i][1] = at(of[i].bias);
        list[i][2] = at(of[i].y);
    }
    so_gpu_hold(device);
    uint64_t lent = so_gpu_lend(device, list, bytes);
    int8_params p = {.x = at(j->x), .table = lent, .n0 = (int)of->n, .k = (int)j->k, .m = (int)j->m};
    p.row_bytes = (int)row;
    p.then = j->then;
    so_gpu_launch l;
    start(&l, SO_GPU_matvec, kind_of(SO_GPU_matvec, of->type, j->m), &p, sizeof p);
    groups(&l, lent ? over(of->n, ROWS) : 0, j->count, 1);
    so_gpu_reads(&l, j->x, reals(j->m * j->k));
    so_gpu_reads(&l, (void *)(uintptr_t)lent, bytes);
    for (int64_t i = 0; i < j->count; i++) {
        so_gpu_reads(&l, of[i].w, row * (size_t)of->n);
        so_gpu_reads(&l, of[i].bias, reals(of->n));
    }
    so_gpu_writes(&l, of->y, reals(j->count * j->m * of->n));
    so_gpu_launch_now(device, &l);
    so_gpu_let(device);
}

static void joined(so_pool *pool, const so_joined *j)
{
    if (j->m > FEW) {
        many_rows(pool, SO_GPU_matmul, j);
    } else if (j->count > LISTED) {
        so_joined some = *j;
        some.count = LISTED;
        listed(pool, &some);
        some.count = j->count - LISTED;
        some.product += LISTED;
        joined(pool, &some);
    } else if (j->count > TOGETHER) {
        listed(pool, j);
    } else {
        some_products(so_gpu_of(pool), (int)j->count, j->product,
                      &(rows){SO_GPU_matvec, j->x, reals(j->m * j->k), j->k, j->m, j->then});
    }
}

static void linear(so_pool *pool, const so_product *of, int64_t k, const so_real *x, int64_t m)
{
    joined(pool, &(so_joined){.count = 1, .k = k, .m = m, .product = of, .x = x});
}

static bool halves(const so_joined *j, bool bf16)
{
    bool half = j->m > FEW && !j->norm_w;
    for (int64_t i = 0; i < j->count; i++) {
        so_type type = j->product[i].type;
        half &= type == SO_F16 || (bf16 && type == SO_BF16);
    }
    return half;
}

static void joined_half(so_pool *pool, const so_joined *j)
{
    if (halves(j, true))
        many_rows(pool, SO_GPU_matmul_half, j);
    else
        joined(pool, j);
}

static void joined_f16(so_pool *pool, const so_joined *j)
{
    if (halves(j, false))
        many_rows(pool, SO_GPU_matmul_half, j);
    else
        joined(pool, j);
}

static void linear_half(so_pool *pool, const so_product *of, int64_t k, const so_real *x, int64_t m)
{
    joined_half(pool, &(so_joined){.count = 1, .k = k, .m = m, .product = of, .x = x});
}

static void linear_f16(so_pool *pool, const so_product *of, int64_t k, const so_real *x, int64_t m)
{
    joined_f16(pool, &(so_joined){.count = 1, .k = k, .m = m, .product = of, .x = x});
}

static void gate_rows(so_pool *pool, const so_product *gate, const void *up, const rows *x)
{
    size_t row = so_type_bytes(gate->type, x->k);
    int8_params p = {.x = at(x->at),
                     .w0 = at(gate->w),
                     .w1 = at(up),
                     .y0 = at(gate->y),
                     .n0 = (int)gate->n,
                     .k = (int)x->k,
                     .kp = (int)padded(x->k),
                     .m = (int)x->m,
                     .row_bytes = (int)row,
                     .table = at(gate->rounded)};
    so_gpu_launch l;
    start(&l, x->text, kind_of(x->text, gate->type, x->m), &p, sizeof p);
    groups(&l, over(gate->n, gate->rounded ? 32 : ROWS), 1, over(x->m, FEW));
    so_gpu_reads(&l, x->at, x->bytes);
    so_gpu_reads(&l, gate->w, row * (size_t)gate->n);
    so_gpu_reads(&l, up, row * (size_t)gate->n);
    so_gpu_writes(&l, gate->rounded ? gate->rounded : gate->y,
                  gate->rounded ? rounded_bytes(x->m, gate->n) : reals(x->m * gate->n));
    so_gpu_launch_now(so_gpu_of(pool), &l);
}

static void gated_int8(so_pool *pool, const so_product *gate, const void *up, int64_t k, const void *rounded, int64_t m)
{
    gate_rows(pool, gate, up, &(rows){SO_GPU_gated_int8, rounded, rounded_bytes(m, k), k, m, 0});
}

static void gated(so_pool *pool, const so_product *gate, const void *up, int64_t k, const so_real *x, int64_t m)
{
    gate_rows(pool, gate, up, &(rows){SO_GPU_gated, x, reals(m * k), k, m, 0});
}

static void mix(so_pool *pool, const so_mix *of)
{
    int64_t slices = over(of->k, SO_MIX_SLICE), count = of->m * of->n;
    size_t row = so_type_bytes(of->type, of->n);
    struct {
        PARAMS_MIX
    } p = {at(of->x), at(of->w), at(of->part), (int)of->m, (int)of->k, (int)of->n, (int)row, SO_MIX_SLICE};
    so_gpu_launch l;
    start(&l, SO_GPU_mix, of->type, &p, sizeof p);
    groups(&l, over(of->n, 64), over(of->m, 8), slices);
    so_gpu_reads(&l, of->x, reals(of->m * of->k));
    so_gpu_reads(&l, of->w, row * (size_t)of->k);
    so_gpu_writes(&l, of->part, reals(slices * count));
    so_gpu_launch_now(so_gpu_of(pool), &l);
    struct {
        PARAMS_MIX_SUM
    } q = {at(of->part), at(of->y), (int)count, (int)slices};
    start(&l, SO_GPU_mix_sum, SO_F32, &q, sizeof q);
    groups(&l, over(count, 64), 1, 1);
    so_gpu_reads(&l, of->part, reals(slices * count));
    so_gpu_writes(&l, of->y, reals(count));
    so_gpu_launch_now(so_gpu_of(pool), &l);
}

void so_gpu_fill_matrix(so_kernels *table)
{
    table->linear = linear;
    table->linears = linears;
    table->joined = joined;
    table->gated = gated;
    table->round_int8 = round_int8;
    table->norm_round = norm_round;
    table->linear_int8 = linear_int8;
    table->gated_int8 = gated_int8;
    table->mix = mix;
}

void so_gpu_fill_half(so_kernels *table, bool bf16)
{
    table->linear = bf16 ? linear_half : linear_f16;
    table->joined = bf16 ? joined_half : joined_f16;
}
