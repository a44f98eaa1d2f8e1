/* The kernel tables of this machine, entry by entry. See eval/speed/speed_tables.h.
 *
 * Shapes are those of small layers: what is read lies in the caches, so that a rate is that of the loop, not of memory.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/speed/speed_tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/ref/portable.h"
#include "backend/cpu/tables.h"
#include "base/arena.h"

enum { M = 96, N = 256, K = 512, ROWS = 64, COLS = 256, LONG = ROWS * COLS, PART = 1 << 18, PARTS = 8 };

typedef struct table_work {
    float *x, *w, *y, *dy, *dx, *dw, *more;
    void *rounded;
    so_type type;
    int64_t rows;
    int32_t pos[ROWS], label[ROWS];
    double freq[64];
} table_work;

typedef void (*entry_run)(const so_kernels *k, table_work *w);
typedef void (*any_entry)(void);

/* ---- products */

static so_gemm gemm_of(const table_work *w)
{
    return (so_gemm){.tb = true, .m = M, .n = N, .k = K, .lda = K, .ldb = K, .ldc = N, .a = w->x, .b = w->w, .c = w->y};
}

static void run_gemm(const so_kernels *k, table_work *w)
{
    so_gemm g = gemm_of(w);
    k->gemm(NULL, &g);
}

static void run_gemm_bf16(const so_kernels *k, table_work *w)
{
    so_gemm g = gemm_of(w);
    k->gemm_bf16(NULL, &g);
}

static void run_linear(const so_kernels *k, table_work *w)
{
    k->linear(NULL, &(so_product){.type = w->type, .w = w->w, .n = N, .y = w->y}, K, w->x, w->rows);
}

static void run_row(const so_kernels *k, table_work *w)
{
    for (int i = 0; i < ROWS; i++) k->row(SO_Q8_0, w->w, i, K, w->y + i * K);
}

static void run_pack(const so_kernels *k, table_work *w) { k->bf16_pack(NULL, N, K, w->w, w->rounded); }

/* The layout was written when the case began. */
static void run_bf16_linear(const so_kernels *k, table_work *w)
{
    k->bf16_linear(NULL, &(so_bf16_product){
                             .layout = w->rounded, .n = N, .k = K, .m = M, .ldx = K, .ldy = N, .x = w->x, .y = w->y});
}

static void run_round(const so_kernels *k, table_work *w) { k->round_int8(NULL, w->rows, K, w->x, w->rounded); }

static void run_int8(const so_kernels *k, table_work *w)
{
    k->linear_int8(NULL, 1, &(so_product){.type = w->type, .w = w->w, .n = N, .y = w->y}, K, w->rounded, w->rows);
}

static void run_gated(const so_kernels *k, table_work *w)
{
    k->gated_int8(NULL, &(so_product){.type = w->type, .w = w->w, .n = N, .y = w->y}, w->dw, K, w->rounded, w->rows);
}

/* ---- elements */

static void run_unary(const so_kernels *k, table_work *w) { k->unary(NULL, SO_SILU, LONG, w->x, w->y); }
static void run_unary_back(const so_kernels *k, table_work *w)
{
    k->unary_back(NULL, SO_SILU, LONG, w->x, w->dy, true, w->dx);
}
static void run_swiglu(const so_kernels *k, table_work *w) { k->swiglu(NULL, LONG, w->x, w->dy, w->y); }
static void run_swiglu_back(const so_kernels *k, table_work *w)
{
    k->swiglu_back(NULL, LONG, &(so_swiglu_back){.gate = w->x, .up = w->dy, .dy = w->dy, .dgate = w->dx, .dup = w->dw});
}
static void run_axpy(const so_kernels *k, table_work *w) { k->axpy(NULL, LONG, 1e-6f, w->x, w->y); }
static void run_sum_rows(const so_kernels *k, table_work *w) { k->sum_rows(NULL, ROWS, COLS, w->x, w->y); }
static void run_softmax(const so_kernels *k, table_work *w) { k->softmax(NULL, ROWS, COLS, w->x, w->y); }
static void run_softmax_back(const so_kernels *k, table_work *w)
{
    k->softmax_back(NULL, ROWS, COLS, w->x, w->dy, w->dx);
}
static void run_cross_entropy(const so_kernels *k, table_work *w)
{
    k->cross_entropy(NULL, &(so_label_loss){ROWS, COLS, w->x, w->label, 1, w->y, w->dx});
}

/* A step that changes no number but gradients, so that none leaves its range however often it is made. */
static void run_adam(const so_kernels *k, table_work *w)
{
    k->adam(&(so_adam){.b1 = 1, .b2 = 1, .shrink = 1, .epsilon = 1}, LONG, w->dy, w->dx, w->y, w->more);
}
static void run_square_sum(const so_kernels *k, table_work *w) { w->y[0] = (float)k->square_sum(LONG, w->x); }

static so_norm norm_of(const table_work *w)
{
    return (so_norm){
        .batch = 1, .groups = 8, .rows = ROWS, .cols = COLS, .eps = 1e-5f, .x = w->x, .w = w->w, .b = w->w, .y = w->y};
}

static so_norm norm_back_of(const table_work *w)
{
    so_norm n = norm_of(w);
    n.b = NULL;
    n.dy = w->dy;
    n.dx = w->dx;
    n.dw = w->dw;
    return n;
}

#define NORM(entry, of)                                                                                                \
    static void run_##entry(const so_kernels *k, table_work *w)                                                        \
    {                                                                                                                  \
        so_norm n = of(w);                                                                                             \
        k->entry(NULL, &n);                                                                                            \
    }
NORM(rms_norm, norm_of)
NORM(rms_norm_back, norm_back_of)
NORM(layer_norm, norm_of)
NORM(layer_norm_back, norm_back_of)
NORM(group_norm, norm_of)
NORM(group_norm_back, norm_back_of)

static void run_rope(const so_kernels *k, table_work *w)
{
    k->rope(NULL, &(so_rotation){ROWS, COLS / 64, 64, w->pos, w->freq, 1, false, w->x, w->y});
}

static void run_copy(const so_kernels *k, table_work *w) { k->copy(NULL, LONG, w->x, w->y); }
static void run_mul(const so_kernels *k, table_work *w) { k->mul(NULL, LONG, w->x, w->dy, w->y); }
static void run_scale(const so_kernels *k, table_work *w) { k->scale(NULL, LONG, 0.5f, w->x, w->y); }
static void run_add_row(const so_kernels *k, table_work *w) { k->add_row(NULL, ROWS, COLS, w->x, w->dy, w->y); }
static void run_best(const so_kernels *k, table_work *w) { k->best(NULL, ROWS, COLS, w->x, w->pos); }
static void run_gather(const so_kernels *k, table_work *w)
{
    k->gather(NULL, &(so_gather){SO_Q8_0, w->w, COLS, ROWS, w->label, w->y, NULL, 0});
}
static void run_keep(const so_kernels *k, table_work *w)
{
    k->keep(NULL, &(so_kept){SO_F16, LONG, w->x, w->dy, w->more, w->rounded});
}

/* ---- attention: `rows` queries, 256 keys, 4 heads of 64 */

static void attend(const so_kernels *k, table_work *w, bool bf16, bool back)
{
    so_attn_seg seg = {.q_rows = w->rows, .k = w->x, .v = w->w, .kv_rows = 256, .kv_stride = COLS};
    so_attn a = {.heads = 4, .kv_heads = 4, .width = 64, .scale = 0.125f, .n_segs = 1, .seg = &seg};
    if (bf16)
        k->bf16_attention(NULL, &a, w->dy, w->y);
    else
        k->attention(NULL, &a, w->dy, w->y, w->more);
    if (!back) return;
    seg.dk = w->dx;
    seg.dv = w->dw;
    k->attention_back(NULL, &a, &(so_attn_back){w->dy, w->y, w->more, w->x, w->dx});
}

static void run_attention(const so_kernels *k, table_work *w) { attend(k, w, false, false); }
static void run_bf16_attention(const so_kernels *k, table_work *w) { attend(k, w, true, false); }
static void run_attention_back(const so_kernels *k, table_work *w) { attend(k, w, false, true); }

/* ---- the codec: 64 frames of 64 channels, 3 taps */

enum { CHANNELS = 64, TAPS = 3 };
static const so_conv frames = {1, CHANNELS, {1, ROWS}, {1, TAPS}, {1, 1}, {1, 1}, {0, 1}, {1, ROWS}};

static void run_im2col(const so_kernels *k, table_work *w) { k->im2col(NULL, &frames, 0, ROWS, w->x, w->y); }
static void run_col2im(const so_kernels *k, table_work *w) { k->col2im(NULL, &frames, 0, ROWS, w->x, w->dx); }
static void run_conv_pack(const so_kernels *k, table_work *w)
{
    k->bf16_conv_pack(NULL, N, CHANNELS, TAPS, w->w, w->rounded);
}
static void run_conv(const so_kernels *k, table_work *w)
{
    k->bf16_conv(NULL, &frames, &(so_bf16_product){.layout = w->rounded, .n = N, .x = w->x, .y = w->y});
}
static void run_snake(const so_kernels *k, table_work *w) { k->snake(NULL, ROWS, COLS, w->x, w->w, w->y); }
static void run_snake_back(const so_kernels *k, table_work *w)
{
    k->snake_back(NULL, ROWS, COLS, &(so_snake_back){w->x, w->w, w->dy, w->dx, w->dw});
}
static void run_rfft(const so_kernels *k, table_work *w) { k->rfft(NULL, ROWS, COLS, w->x, w->more, w->y); }
static void run_rfft_adjoint(const so_kernels *k, table_work *w)
{
    k->rfft_adjoint(NULL, ROWS, COLS, w->x, w->more, w->y);
}

/* ---- the list */

enum { OF_BF16 = SO_CPU_GROUPS, OF_BF16_ATTENTION, OF_LAYOUT };

typedef struct table_entry {
    const char *name;
    size_t at;             /* of the entry in the table */
    entry_run run, before; /* before: once for each table, or NULL */
    double amount;         /* a run: operations, or numbers */
    bool numbers;
    int group; /* so_cpu_group, or of the above */
    so_type type;
    int64_t rows;
} table_entry;

#define AT(entry) #entry, offsetof(so_kernels, entry)
#define PRODUCT (2.0 * N * K)
#define ATTEND (4.0 * 256 * COLS)
static const table_entry entries[] = {
    {AT(gemm), run_gemm, NULL, M *PRODUCT, false, SO_CPU_PRODUCTS, SO_F32, M},
    {AT(gemm_bf16), run_gemm_bf16, NULL, M *PRODUCT, false, OF_LAYOUT, SO_F32, M},
    {AT(linear), run_linear, NULL, PRODUCT, false, SO_CPU_PRODUCTS, SO_F32, 1},
    {AT(linear), run_linear, NULL, ROWS *PRODUCT, false, SO_CPU_PRODUCTS, SO_F32, ROWS},
    {AT(linear), run_linear, NULL, PRODUCT, false, SO_CPU_PRODUCTS, SO_Q8_0, 1},
    {AT(row), run_row, NULL, ROWS *K, true, SO_CPU_PRODUCTS, SO_Q8_0, ROWS},
    {AT(bf16_pack), run_pack, NULL, N *K, true, OF_LAYOUT, SO_F32, N},
    {AT(bf16_linear), run_bf16_linear, run_pack, M *PRODUCT, false, OF_BF16, SO_F32, M},
    {AT(round_int8), run_round, NULL, K, true, SO_CPU_INT8, SO_F32, 1},
    {AT(round_int8), run_round, NULL, ROWS *K, true, SO_CPU_INT8, SO_F32, ROWS},
#define INT8(TYPE)                                                                                                     \
    {AT(linear_int8), run_int8, run_round, PRODUCT, false, SO_CPU_INT8, TYPE, 1},                                      \
        {AT(linear_int8), run_int8, run_round, 8 * PRODUCT, false, SO_CPU_INT8, TYPE, 8},                              \
        {AT(linear_int8), run_int8, run_round, 16 * PRODUCT, false, SO_CPU_INT8, TYPE, 16},                            \
    {                                                                                                                  \
        AT(linear_int8), run_int8, run_round, 128 * PRODUCT, false, SO_CPU_INT8, TYPE, 128                             \
    }
    INT8(SO_Q4_0),
    INT8(SO_Q8_0),
    INT8(SO_Q5_0),
    INT8(SO_Q4_K),
    INT8(SO_Q5_K),
    INT8(SO_Q6_K),
    {AT(gated_int8), run_gated, run_round, 128 * PRODUCT, false, SO_CPU_INT8, SO_Q4_0, ROWS},
    {AT(copy), run_copy, NULL, LONG, true, OF_LAYOUT, SO_F32, 0},
    {AT(gather), run_gather, NULL, LONG, true, OF_LAYOUT, SO_F32, ROWS},
    {AT(keep), run_keep, NULL, 2 * LONG, true, OF_LAYOUT, SO_F32, 0},
    {AT(best), run_best, NULL, LONG, true, OF_LAYOUT, SO_F32, 0},
    {AT(mul), run_mul, NULL, LONG, true, OF_LAYOUT, SO_F32, 0},
    {AT(scale), run_scale, NULL, LONG, true, OF_LAYOUT, SO_F32, 0},
    {AT(add_row), run_add_row, NULL, LONG, true, OF_LAYOUT, SO_F32, 0},
    {AT(unary), run_unary, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(unary_back), run_unary_back, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(swiglu), run_swiglu, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(swiglu_back), run_swiglu_back, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(axpy), run_axpy, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(sum_rows), run_sum_rows, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(softmax), run_softmax, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(softmax_back), run_softmax_back, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(cross_entropy), run_cross_entropy, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(adam), run_adam, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(square_sum), run_square_sum, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(rms_norm), run_rms_norm, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(rms_norm_back), run_rms_norm_back, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(layer_norm), run_layer_norm, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(layer_norm_back), run_layer_norm_back, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(group_norm), run_group_norm, NULL, LONG, true, SO_CPU_CODEC, SO_F32, 0},
    {AT(group_norm_back), run_group_norm_back, NULL, LONG, true, SO_CPU_CODEC, SO_F32, 0},
    {AT(rope), run_rope, NULL, LONG, true, SO_CPU_ELEMENTS, SO_F32, 0},
    {AT(attention), run_attention, NULL, ATTEND, false, SO_CPU_PRODUCTS, SO_F32, 1},
    {AT(attention), run_attention, NULL, ROWS *ATTEND, false, SO_CPU_PRODUCTS, SO_F32, ROWS},
    {AT(bf16_attention), run_bf16_attention, NULL, ROWS *ATTEND, false, OF_BF16_ATTENTION, SO_F32, ROWS},
    {AT(attention_back), run_attention_back, NULL, ROWS * 3.5 * ATTEND, false, SO_CPU_PRODUCTS, SO_F32, ROWS},
    {AT(im2col), run_im2col, NULL, ROWS *TAPS *CHANNELS, true, SO_CPU_CODEC, SO_F32, 0},
    {AT(col2im), run_col2im, NULL, ROWS *TAPS *CHANNELS, true, SO_CPU_CODEC, SO_F32, 0},
    {AT(bf16_conv_pack), run_conv_pack, NULL, N *TAPS *CHANNELS, true, OF_LAYOUT, SO_F32, 0},
    {AT(bf16_conv), run_conv, run_conv_pack, 2.0 * ROWS *N *TAPS *CHANNELS, false, OF_BF16, SO_F32, ROWS},
    {AT(snake), run_snake, NULL, LONG, true, SO_CPU_CODEC, SO_F32, 0},
    {AT(snake_back), run_snake_back, NULL, LONG, true, SO_CPU_CODEC, SO_F32, 0},
    {AT(rfft), run_rfft, NULL, LONG, true, SO_CPU_CODEC, SO_F32, 0},
    {AT(rfft_adjoint), run_rfft_adjoint, NULL, LONG, true, SO_CPU_CODEC, SO_F32, 0},
};
enum { ENTRIES = sizeof entries / sizeof entries[0] };

static any_entry entry_of(const so_kernels *k, const table_entry *e)
{
    any_entry fn;
    memcpy(&fn, (const char *)k + e->at, sizeof fn);
    return fn;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double rate_of(const so_kernels *k, const table_entry *e, table_work *w, double seconds)
{
    double began = seconds_now(), fastest = INFINITY, now = began;
    w->type = e->type;
    w->rows = e->rows;
    if (e->before) e->before(k, w);
    for (int i = 0; i < 2 || now - began < seconds; i++) {
        double from = seconds_now();
        e->run(k, w);
        now = seconds_now();
        if (i && now - from < fastest) fastest = now - from;
    }
    return fastest > 0 ? 1e-9 * e->amount / fastest : 0;
}

/* Where the entry's numbers say why; ratios of 0 were not measured. */
static void say_why(const table_entry *e, const so_choice *c, bool used, char why[96])
{
    const so_cpu_ratios *r = &c->ratios;
    double ratio = e->group < SO_CPU_GROUPS ? r->wide[e->group] : e->group == OF_BF16 ? r->bf16 : r->bf16_attention;
    why[0] = 0;
    if (e->group == OF_LAYOUT || ratio <= 0) return;
    if (e->group < SO_CPU_GROUPS)
        snprintf(why, 96, "widest vectors %.2f times as fast", ratio);
    else
        snprintf(why, 96, "%s, %.2f times as fast as f32", used ? "taken" : "not taken", ratio);
}

static void measure_row(const table_entry *e, const so_table_list *list, const so_kernels *const *k, table_work *w,
                        double seconds, so_table_row *out)
{
    const so_choice *choice = so_kernels_choice();
    const so_kernels *best = so_kernels_best();
    *out = (so_table_row){.unit = e->numbers ? "G num/s" : "G op/s", .used = -1};
    bool used = e->group == OF_BF16 ? best->bf16_gains : e->group != OF_BF16_ATTENTION || choice->bf16_attention;
    for (int i = 0; i < list->count; i++) {
        bool same = false; /* as an earlier table's */
        for (int j = 0; j < i; j++) same |= entry_of(k[j], e) == entry_of(k[i], e);
        if (!same) out->rate[i] = rate_of(k[i], e, w, seconds);
        if (used && !same && entry_of(best, e) == entry_of(k[i], e)) out->used = i;
    }
    say_why(e, choice, used, out->why);
}

so_status so_bench_machine_kernels(so_machine_kernels *out, so_error *error)
{
    const so_kernels *best;
    SO_TRY(so_kernels_choose(&best, error));
    const char *why = so_kernels_without_tiles();
    *out = (so_machine_kernels){.name = best->name, .how = so_kernels_choice()->how};
    out->bf16_gains = best->bf16_gains;
    out->q8_gains = best->q8_gains;
    const bool in_c = strncmp(best->name, "amx-", 4) == 0;
    if (why && !in_c) {
        snprintf(out->tiles, sizeof out->tiles, "not used: %s", why);
        return SO_OK;
    }
    int n = snprintf(out->tiles, sizeof out->tiles, "%s above %lld rows", in_c ? "in plain C, for tests," : "used",
                     (long long)so_tiles.few);
    for (int t = 0; t < SO_TYPE_COUNT; t++)
        if (so_tiles.bytes[t])
            n += snprintf(out->tiles + n, sizeof out->tiles - (size_t)n, ", %s as bytes",
                          so_type_about((so_type)t)->name);
    return SO_OK;
}

static so_status take_memory(so_arena *memory, table_work *w, so_error *error)
{
    SO_TRY(so_arena_init(memory, (size_t)PARTS * PART * sizeof(float) + (1 << 16), error));
    float **part[] = {&w->x, &w->w, &w->y, &w->dy, &w->dx, &w->dw, &w->more};
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) *part[i] = so_arena_alloc(memory, PART * sizeof(float));
    w->rounded = so_arena_alloc(memory, PART * sizeof(float));
    memset(memory->base, 0, memory->used);
    for (int i = 0; i < PART; i++) w->x[i] = w->dy[i] = (float)((uint32_t)i * 2654435761u % 1000) / 500 - 1;
    memset(w->w, 0x11, PART * sizeof(float)); /* small numbers, and blocks with small scales */
    memset(w->dw, 0x11, PART * sizeof(float));
    for (int i = 0; i < ROWS; i++) w->pos[i] = w->label[i] = i;
    for (int i = 0; i < 64; i++) w->freq[i] = pow(1e-4, i / 64.0);
    return SO_OK;
}

so_status so_bench_tables(double seconds, void (*begin)(void *context, const so_table_list *tables),
                          void (*row)(void *context, const so_table_row *row), void *context, volatile int *stop,
                          so_error *error)
{
    const so_kernels *best, *k[SO_TABLES_MOST];
    so_table_list list = {0};
    so_arena memory;
    table_work w = {0};
    SO_TRY(so_kernels_choose(&best, error));
    for (int i = 0; so_kernels_at(i) && list.count < SO_TABLES_MOST; i++) {
        const char *name = so_kernels_at(i)->name;
        if (strncmp(name, "amx-", 4) == 0 && strcmp(name, best->name) != 0) continue;
        k[list.count] = so_kernels_at(i);
        list.name[list.count++] = name;
    }
    SO_TRY(take_memory(&memory, &w, error));
    begin(context, &list);
    for (int i = 0; i < ENTRIES && !(stop && *stop); i++) {
        const table_entry *e = &entries[i];
        char name[64];
        so_table_row out;
        measure_row(e, &list, k, &w, seconds, &out);
        int n = snprintf(name, sizeof name, "%s", e->name);
        if (e->group == SO_CPU_INT8 && e->run != run_round)
            n += snprintf(name + n, sizeof name - (size_t)n, " %s", so_type_about(e->type)->name);
        if (e->run == run_linear) n += snprintf(name + n, sizeof name - (size_t)n, " %s", so_type_about(e->type)->name);
        if (e->rows)
            snprintf(name + n, sizeof name - (size_t)n, ", %lld row%s", (long long)e->rows, e->rows > 1 ? "s" : "");
        out.entry = name;
        row(context, &out);
    }
    so_arena_clear(&memory);
    return stop && *stop ? so_fail(error, SO_ERR_STOPPED, "stopped") : SO_OK;
}
