/* The kernel table of graphics cards: every entry records launches (launch.h) of the texts in gpu/texts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "backend/gpu/card.h"

/* ---- single numbers */

enum { ELEMENT_GROUP = 128, ELEMENT_ACROSS = 32768 };

void so_gpu_numbers(so_pool *pool, const so_numbers_job *j)
{
    int64_t groups = over(j->n, ELEMENT_GROUP), across = groups < ELEMENT_ACROSS ? groups : ELEMENT_ACROSS;
    struct {
        PARAMS_ELEMENT
    } p = {at(j->x), at(j->y), at(j->z), (int)j->n, (int)j->cols, (int)j->each, j->factor};
    LAUNCH(element, j->kind, across, across ? over(groups, across) : 0, 1, p);
    so_gpu_reads(&launch, j->x, reals(j->xs ? j->xs : j->n));
    so_gpu_reads(&launch, j->y, reals(j->ys));
    so_gpu_writes(&launch, j->z, reals(j->n));
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

static void unary(so_pool *pool, so_unary f, int64_t n, const so_real *x, so_real *y)
{
    so_gpu_numbers(pool, &(so_numbers_job){.kind = (int)f, .n = n, .x = x, .z = y});
}

static void swiglu(so_pool *pool, int64_t n, const so_real *gate, const so_real *up, so_real *y)
{
    so_gpu_numbers(pool, &(so_numbers_job){.kind = ELEMENT_SWIGLU, .n = n, .ys = n, .x = gate, .y = up, .z = y});
}

static void axpy(so_pool *pool, int64_t n, so_real a, const so_real *x, so_real *y)
{
    so_gpu_numbers(pool, &(so_numbers_job){.kind = ELEMENT_AXPY, .n = n, .factor = (float)a, .x = x, .z = y});
}

static void copy(so_pool *pool, int64_t n, const so_real *x, so_real *y)
{
    so_gpu_numbers(pool, &(so_numbers_job){.kind = ELEMENT_COPY, .n = n, .x = x, .z = y});
}

static void mul(so_pool *pool, int64_t n, const so_real *a, const so_real *b, so_real *y)
{
    so_gpu_numbers(pool, &(so_numbers_job){.kind = ELEMENT_MUL, .n = n, .ys = n, .x = a, .y = b, .z = y});
}

static void scale(so_pool *pool, int64_t n, so_real factor, const so_real *x, so_real *y)
{
    so_gpu_numbers(pool, &(so_numbers_job){.kind = ELEMENT_SCALE, .n = n, .factor = (float)factor, .x = x, .z = y});
}

static void add_row(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, const so_real *row, so_real *y)
{
    so_numbers_job j = {.kind = ELEMENT_ADD_ROW, .n = rows * cols, .cols = cols, .ys = cols, .x = x, .y = row, .z = y};
    so_gpu_numbers(pool, &j);
}

/* ---- rows */

void so_gpu_norm(so_pool *pool, int kind, const so_norm *n, int64_t out)
{
    struct {
        PARAMS_NORM
    } p = {at(n->x), at(n->w), at(n->b), at(n->y), (int)n->cols, (float)n->eps};
    LAUNCH(norm, kind, n->cols ? n->rows : 0, 1, 1, p);
    so_gpu_reads(&launch, n->x, reals(n->rows * n->cols));
    so_gpu_reads(&launch, kind == NORM_RMS || kind == NORM_LAYER ? n->w : NULL, reals(n->cols));
    so_gpu_reads(&launch, kind == NORM_LAYER ? n->b : NULL, reals(n->cols));
    so_gpu_writes(&launch, n->y, reals(n->rows * out));
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

static void rms_norm(so_pool *pool, const so_norm *n) { so_gpu_norm(pool, NORM_RMS, n, n->cols); }
static void layer_norm(so_pool *pool, const so_norm *n) { so_gpu_norm(pool, NORM_LAYER, n, n->cols); }

static void softmax(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, so_real *y)
{
    struct {
        PARAMS_SOFTMAX
    } p = {at(x), at(y), (int)cols};
    LAUNCH(softmax, 0, cols ? rows : 0, 1, 1, p);
    so_gpu_reads(&launch, x, reals(rows * cols));
    so_gpu_writes(&launch, y, reals(rows * cols));
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

static void best_unit(so_pool *pool, const so_best_unit *b)
{
    /* Compilers may read ahead of a loop that runs not once (Mesa 26 does): there is always something to read. */
    const so_real *end = b->ends ? b->end : b->x;
    struct {
        PARAMS_BEST
    } p = {at(b->x),     at(b->ids),   at(end),      (int)b->rows, (int)b->cols,
           b->first,     (int)b->ends, b->end_id[0], b->end_id[1], b->end_id[2],
           b->end_id[3], b->end_id[4], b->end_id[5], b->end_id[6], b->end_id[7]};
    LAUNCH(best, 0, b->cols ? b->rows : 0, 1, 1, p);
    so_gpu_reads(&launch, b->x, reals(b->rows * b->cols));
    so_gpu_reads(&launch, b->end, reals(b->rows * b->ends));
    so_gpu_writes(&launch, b->ids, (size_t)b->rows * sizeof *b->ids);
    so_gpu_launch_now(so_gpu_of(pool), &launch);
}

static void best(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, int32_t *best)
{
    best_unit(pool, &(so_best_unit){.rows = rows, .cols = cols, .x = x, .ids = best});
}

uint64_t so_gpu_lend(so_device *device, const void *host, size_t bytes)
{
    uint64_t where = 0;
    void *p = so_gpu_share(device, bytes ? bytes : 1, &where);
    if (p) memcpy(p, host, bytes);
    return p ? where : 0;
}

static void gather(so_pool *pool, const so_gather *g)
{
    so_device *device = so_gpu_of(pool);
    size_t listed = (size_t)g->n * sizeof *g->index, row = so_type_bytes(g->type, g->cols);
    int32_t top = -1;
    so_gpu_hold(device);
    for (int64_t i = 0; i < g->n && !g->there; i++) top = g->index[i] > top ? g->index[i] : top;
    if (g->there) top = (int32_t)g->rows - 1;
    uint64_t index = g->there ? at(g->there) : so_gpu_lend(device, g->index, listed);
    struct {
        PARAMS_ROWS
    } p = {at(g->w), index, at(g->y), (int)g->n, (int)g->cols, (int)row};
    LAUNCH(rows, g->type, index ? g->n : 0, over(g->cols, 64), 1, p);
    so_gpu_reads(&launch, g->w, (size_t)(top + 1) * row);
    so_gpu_reads(&launch, (void *)(uintptr_t)index, listed);
    so_gpu_writes(&launch, g->y, reals(g->n * g->cols));
    so_gpu_launch_now(device, &launch);
    so_gpu_let(device);
}

static bool keep(so_pool *pool, const so_kept *k)
{
    int64_t blocks = k->n / so_type_about(k->type)->block;
    struct {
        PARAMS_STORE
    } p = {at(k->k), at(k->v), at(k->to_k), at(k->to_v), (int)blocks};
    LAUNCH(store, k->type, over(blocks, 64), 2, 1, p);
    so_gpu_reads(&launch, k->k, reals(k->n));
    so_gpu_reads(&launch, k->v, reals(k->n));
    so_gpu_writes(&launch, k->to_k, so_type_bytes(k->type, k->n));
    so_gpu_writes(&launch, k->to_v, so_type_bytes(k->type, k->n));
    so_gpu_launch_now(so_gpu_of(pool), &launch);
    return true;
}

/* ---- positions and attention */

enum { TURNED = 512 }; /* rows of two rotations in one launch */

/* b may have no rows; with some, both have at most TURNED. */
static void rotate_both(so_pool *pool, const so_rotation *a, const so_rotation *b)
{
    so_device *device = so_gpu_of(pool);
    int64_t one = a->heads * a->width, cells = a->rows * one, more = b->rows * one;
    int32_t pos[TURNED];
    so_rotation all = *a;
    if (more) {
        memcpy(pos, a->pos, (size_t)a->rows * sizeof *pos);
        memcpy(pos + a->rows, b->pos, (size_t)b->rows * sizeof *pos);
        all.rows = a->rows + b->rows;
        all.pos = pos;
    }
    size_t bytes = 0;
    so_gpu_hold(device);
    uint64_t turn = cells + more ? so_gpu_turns(device, &all, &bytes) : 0;
    uint64_t turn1 = turn + reals(a->rows * a->width);
    struct {
        PARAMS_ROPE
    } p = {at(a->x), turn,          at(a->y),     at(b->x),      turn1,
           at(b->y), (int)a->rows,  (int)b->rows, (int)a->heads, (int)(a->width / 2),
           a->add,   (float)a->sign};
    LAUNCH(rope, 0, turn ? over((cells + more) / 2, 64) : 0, 1, 1, p);
    so_gpu_reads(&launch, a->x, reals(cells));
    so_gpu_reads(&launch, (void *)(uintptr_t)turn, bytes);
    so_gpu_writes(&launch, a->y, reals(cells));
    so_gpu_reads(&launch, b->x, reals(more));
    so_gpu_writes(&launch, b->y, reals(more));
    so_gpu_launch_now(device, &launch);
    so_gpu_let(device);
}

static void rope_both(so_pool *pool, const so_rotation *a, const so_rotation *b)
{
    const so_rotation none = {.rows = 0};
    if (a->rows + b->rows <= TURNED) {
        rotate_both(pool, a, b);
        return;
    }
    rotate_both(pool, a, &none);
    rotate_both(pool, b, &none);
}

static void rope(so_pool *pool, const so_rotation *r) { rotate_both(pool, r, &(so_rotation){.rows = 0}); }

static void rotate_keep(so_pool *pool, const so_rotated *r)
{
    so_device *device = so_gpu_of(pool);
    so_rotation turns = {.rows = r->rows, .width = r->width, .pos = r->pos, .freq = r->freq};
    int64_t n = r->rows * r->heads * r->width, kv = r->rows * r->kv_heads * r->width;
    int64_t threads = n / 2 + 2 * (kv / so_type_about(r->type)->block);
    size_t bytes = 0, kept = so_type_bytes(r->type, kv);
    so_gpu_hold(device);
    uint64_t into[2] = {at(r->to_k), at(r->to_v)};
    uint64_t turn = n ? so_gpu_turns(device, &turns, &bytes) : 0;
    /* Where they go is no parameter: it moves from step to step (steps.c). The shared piece may be emptied for it. */
    uint64_t to = so_gpu_lend(device, into, sizeof into);
    turn = turn ? so_gpu_turns(device, &turns, &bytes) : 0;
    struct {
        PARAMS_ROTATE
    } p = {at(r->q),      at(r->k),         at(r->v),           turn, at(r->to_q), to, (int)r->rows,
           (int)r->heads, (int)r->kv_heads, (int)(r->width / 2)};
    LAUNCH(rotate, r->type, turn && to ? over(threads, 64) : 0, 1, 1, p);
    so_gpu_reads(&launch, r->q, reals(n));
    so_gpu_reads(&launch, r->k, reals(kv));
    so_gpu_reads(&launch, r->v, reals(kv));
    so_gpu_reads(&launch, (void *)(uintptr_t)turn, bytes);
    so_gpu_reads(&launch, (void *)(uintptr_t)to, sizeof into);
    so_gpu_writes(&launch, r->to_q, reals(n));
    so_gpu_writes(&launch, r->to_k, kept);
    so_gpu_writes(&launch, r->to_v, kept);
    so_gpu_launch_now(device, &launch);
    so_gpu_let(device);
}

/* What attention.k knows of a row. */
typedef struct attended {
    uint64_t k, v;
    int32_t lo, hi, mean, unused;
} attended;

static attended attended_row(const so_attn *a, const so_attn_seg *g, int64_t r)
{
    int64_t row = g->q_row0 + r, seen = a->causal ? g->pos0 + r + 1 : g->kv_rows;
    attended out = {at(g->k), at(g->v), 0, (int32_t)(seen < g->kv_rows ? seen : g->kv_rows), 0, 0};
    if (a->lo && a->lo[row] == a->hi[row]) {
        out.mean = 1;
        out.hi = (int32_t)g->kv_rows;
    } else if (a->lo) {
        out.lo = a->lo[row];
        out.hi = a->hi[row];
    }
    return out;
}

enum { WIDEST = 256, PART_KEYS = 256, MOST_PARTS = 16, ENOUGH_GROUPS = 512 };

/* Parts that the keys of a row are cut into, so that few rows keep a card busy. */
static int64_t parts_of(const so_attn *a, int64_t rows, int64_t keys)
{
    int64_t parts = over(keys, PART_KEYS), groups = rows * a->heads;
    if (groups >= ENOUGH_GROUPS || parts < 2) return 1;
    return parts < MOST_PARTS ? parts : MOST_PARTS;
}

typedef struct attention_job {
    const so_attn *a;
    const so_real *q;
    so_real *out;
    int64_t rows, parts;
    uint64_t table;
    void *part;
    size_t part_bytes;
} attention_job;

static void launch_attention(so_device *device, const attention_job *j)
{
    const so_attn *a = j->a;
    so_type type = a->seg[0].kv_type;
    int64_t cells = j->rows * a->heads * a->width;
    size_t stride = so_type_bytes(type, a->seg[0].kv_stride);
    int64_t k = a->heads * a->width, row0 = a->seg[0].q_row0;
    void *to = a->rounded ? (char *)a->rounded + row0 * (k / 8 * 9) : NULL;
    void *out = to ? to : j->out;
    size_t written = to ? (size_t)(j->rows * (k / 8 * 9)) : reals(cells);
    struct {
        PARAMS_ATTENTION
    } p = {at(j->q),         j->table,      at(j->out),  at(to),        at(j->part), (int)a->heads,
           (int)a->kv_heads, (int)a->width, (int)stride, (int)j->parts, (int)k,      (float)a->scale};
    LAUNCH(attention, type, j->rows, a->heads, j->parts, p);
    so_gpu_reads(&launch, j->q, reals(cells));
    so_gpu_reads(&launch, (void *)(uintptr_t)j->table, (size_t)j->rows * sizeof(attended));
    for (int64_t s = 0; s < a->n_segs; s++) {
        size_t bytes = stride * (size_t)(a->seg[s].kv_rows - 1) + so_type_bytes(type, a->kv_heads * a->width);
        so_gpu_reads(&launch, a->seg[s].k, bytes);
        so_gpu_reads(&launch, a->seg[s].v, bytes);
    }
    so_gpu_writes(&launch, j->parts > 1 ? j->part : out, j->parts > 1 ? j->part_bytes : written);
    so_gpu_launch_now(device, &launch);
    if (j->parts == 1) return;
    launch.text = SO_GPU_attention_merge;
    launch.kind = 0;
    launch.groups[2] = 1;
    launch.n_ranges = 0;
    so_gpu_reads(&launch, j->part, j->part_bytes);
    so_gpu_writes(&launch, out, written);
    so_gpu_launch_now(device, &launch);
}

/* Segments some[0..n) in one launch; their rows follow each other. */
static void attend(so_device *device, const so_attn *all, int64_t from, int64_t n, const so_real *q, so_real *out)
{
    so_attn a = *all;
    a.seg += from;
    a.n_segs = n;
    attention_job j = {.a = &a};
    int64_t keys = 0, row0 = a.seg[0].q_row0, line = 0;
    for (int64_t s = 0; s < n; s++) {
        j.rows += a.seg[s].q_rows;
        keys = a.seg[s].kv_rows > keys ? a.seg[s].kv_rows : keys;
    }
    attended *table = so_gpu_share(device, (size_t)(j.rows ? j.rows : 1) * sizeof *table, &j.table);
    for (int64_t s = 0; table && s < n; s++)
        for (int64_t r = 0; r < a.seg[s].q_rows; r++) table[line++] = attended_row(&a, &a.seg[s], r);
    j.parts = parts_of(&a, j.rows, keys);
    j.part_bytes = reals(j.rows * a.heads * j.parts * (a.width + 2));
    j.part = j.parts > 1 ? so_gpu_scratch(device, j.part_bytes) : NULL;
    if (!j.part) j.parts = 1;
    j.q = q + row0 * a.heads * a.width;
    j.out = out + row0 * a.heads * a.width;
    if (table && j.rows) launch_attention(device, &j);
}

static void attention(so_pool *pool, const so_attn *a, const so_real *q, so_real *out, so_real *lse)
{
    enum { TOGETHER = 4 }; /* segments, each with two ranges */
    so_device *device = so_gpu_of(pool);
    if (lse || a->width > WIDEST) {
        so_gpu_fail(device, SO_ERR_UNSUPPORTED, "attention of heads of %lld numbers (at most %d)%s",
                    (long long)a->width, WIDEST, lse ? ", for training" : "");
        return;
    }
    for (int64_t s = 0, n; s < a->n_segs; s += n) {
        for (n = 1; n < TOGETHER && s + n < a->n_segs; n++) {
            const so_attn_seg *g = &a->seg[s + n], *before = g - 1;
            if (g->kv_type != before->kv_type || g->kv_stride != before->kv_stride ||
                g->q_row0 != before->q_row0 + before->q_rows)
                break;
        }
        so_gpu_hold(device);
        attend(device, a, s, n, q, out);
        so_gpu_let(device);
    }
}

void so_gpu_fill(so_kernels *table)
{
    table->unary = unary;
    table->swiglu = swiglu;
    table->axpy = axpy;
    table->copy = copy;
    table->mul = mul;
    table->scale = scale;
    table->add_row = add_row;
    table->rms_norm = rms_norm;
    table->layer_norm = layer_norm;
    table->softmax = softmax;
    table->best = best;
    table->best_unit = best_unit;
    table->gather = gather;
    table->keep = keep;
    table->rope = rope;
    table->rope_both = rope_both;
    table->rotate_keep = rotate_keep;
    table->attention = attention;
    so_gpu_fill_matrix(table);
    so_gpu_fill_codec(table);
}
