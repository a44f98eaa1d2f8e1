/* The measurements behind the choice of kernels: small shapes that stay in the caches, on the calling thread, by the
 * time that the processor spent on it. What is compared takes turns, and the fastest turn counts.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/choice.h"

#ifdef SO_DOUBLE
void so_cpu_measure(const so_cpu_tables *tables, so_cpu_ratios *out)
{
    (void)tables;
    *out = (so_cpu_ratios){0};
}
#else

enum { TURNS = 5, M = 96, N = 192, K = 256, INT8_N = 128, INT8_K = 1024, MOST_ROWS = 128, ROOM = 1 << 19 };

/* Numbers to work on, and room for results. */
typedef struct measure_work {
    float *x, *w, *y, *rounded;
    so_type type;
    int64_t rows;
} measure_work;

typedef void (*measured_fn)(const so_kernels *k, measure_work *w);

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* time of `a` over time of `b`, each in a table of its own. */
static double ratio(const so_kernels *ka, measured_fn a, const so_kernels *kb, measured_fn b, measure_work *w)
{
    double best[2] = {INFINITY, INFINITY};
    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < 2; i++) {
            double began = seconds();
            (i ? b : a)(i ? kb : ka, w);
            double t = seconds() - began;
            if (turn > 0 && t < best[i]) best[i] = t; /* the first turn brings memory and clock up */
        }
    return best[0] > 0 && best[1] > 0 ? best[0] / best[1] : 0;
}

static void products(const so_kernels *k, measure_work *w)
{
    k->gemm(
        NULL,
        &(so_gemm){.tb = true, .m = M, .n = N, .k = K, .lda = K, .ldb = K, .ldc = N, .a = w->x, .b = w->w, .c = w->y});
}

static void int8_of(const so_kernels *k, measure_work *w)
{
    k->round_int8(NULL, w->rows, INT8_K, w->x, w->rounded);
    k->linear_int8(NULL, 1, &(so_product){.type = w->type, .w = w->w, .n = INT8_N, .y = w->y}, INT8_K, w->rounded,
                   w->rows);
}

static void int8_few_and_many(const so_kernels *k, measure_work *w)
{
    w->type = SO_Q4_0;
    for (w->rows = 1; w->rows < 32; w->rows += 23) int8_of(k, w);
}

static void elements(const so_kernels *k, measure_work *w)
{
    k->unary(NULL, SO_SILU, 1 << 14, w->x, w->y);
    k->rms_norm(
        NULL,
        &(so_norm){.batch = 1, .rows = 64, .cols = 256, .groups = 1, .eps = 1e-5f, .x = w->x, .w = w->w, .y = w->y});
}

static void codec(const so_kernels *k, measure_work *w)
{
    k->snake(NULL, 64, 128, w->x, w->w, w->y);
    k->rfft(NULL, 16, 256, w->x, w->rounded, w->y);
}

static void laid_out(const so_kernels *k, measure_work *w)
{
    k->bf16_linear(NULL, &(so_bf16_product){
                             .layout = w->rounded, .n = N, .k = K, .m = M, .ldx = K, .ldy = N, .x = w->x, .y = w->y});
}

static so_attn attention_of(const so_attn_seg *seg)
{
    return (so_attn){.heads = 2, .kv_heads = 2, .width = 64, .scale = 0.125f, .n_segs = 1, .seg = seg};
}

static void attention(const so_kernels *k, measure_work *w)
{
    const so_attn_seg seg = {.q_rows = 64, .k = w->x, .v = w->w, .kv_rows = 256, .kv_stride = 128};
    const so_attn a = attention_of(&seg);
    k->attention(NULL, &a, w->w, w->y, NULL);
}

static void bf16_attention(const so_kernels *k, measure_work *w)
{
    const so_attn_seg seg = {.q_rows = 64, .k = w->x, .v = w->w, .kv_rows = 256, .kv_stride = 128};
    const so_attn a = attention_of(&seg);
    k->bf16_attention(NULL, &a, w->w, w->y);
}

static void measure_tiles(const so_cpu_tables *t, measure_work *w, so_cpu_ratios *out)
{
    const so_tile_plan before = so_tiles;
    so_tiles.few = SO_FEW_ROWS;
    for (int i = 0; i < SO_CPU_FORMS; i++) {
        double best[2] = {INFINITY, INFINITY};
        w->type = so_cpu_form_type[i];
        w->rows = MOST_ROWS;
        for (int turn = 0; turn < 2 * TURNS; turn++) {
            so_tiles.bytes[w->type] = turn % 2;
            double began = seconds();
            int8_of(t->tiles, w);
            double took = seconds() - began;
            if (turn > 1 && took < best[turn % 2]) best[turn % 2] = took;
        }
        out->bytes[i] = best[1] > 0 ? best[0] / best[1] : 0;
    }
    so_tiles = so_cpu_takes_tiles(out);
    for (int i = 0; i < SO_CPU_FEW; i++) {
        double sum = 0;
        w->rows = so_cpu_few_rows[i];
        for (int f = 0; f < SO_CPU_FORMS; f++) {
            w->type = so_cpu_form_type[f];
            sum += ratio(t->wide, int8_of, t->tiles, int8_of, w) / SO_CPU_FORMS;
        }
        out->tiles[i] = sum;
    }
    so_tiles = before;
}

static void measure_all(const so_cpu_tables *t, measure_work *w, so_cpu_ratios *out)
{
    static const measured_fn group[SO_CPU_GROUPS] = {products, int8_few_and_many, elements, codec};
    const so_kernels *best = t->tiles ? t->tiles : t->wide;
    for (int g = 0; g < SO_CPU_GROUPS && t->below; g++) out->wide[g] = ratio(t->below, group[g], t->wide, group[g], w);
    if (best->bf16_gains) {
        best->bf16_pack(NULL, N, K, w->w, w->rounded);
        out->bf16 = ratio(t->wide, products, best, laid_out, w);
        out->bf16_attention = ratio(t->wide, attention, best, bf16_attention, w);
    }
    if (t->tiles) measure_tiles(t, w, out);
}

void so_cpu_measure(const so_cpu_tables *tables, so_cpu_ratios *out)
{
    measure_work w = {0};
    float *all = aligned_alloc(64, 4 * (size_t)ROOM);
    *out = (so_cpu_ratios){0};
    if (!all) return; /* nothing measured: everything is taken */
    const size_t part = ROOM / sizeof *all;
    w.x = all;
    w.w = all + part;
    w.y = all + 2 * part;
    w.rounded = all + 3 * part;
    for (size_t i = 0; i < part; i++) w.x[i] = (float)(i * 2654435761u % 1000) / 500 - 1;
    memset(w.w, 0x11, ROOM); /* small numbers, and blocks of every type with small scales */
    memset(w.y, 0, 2 * (size_t)ROOM);
    measure_all(tables, &w, out);
    free(all);
}
#endif
