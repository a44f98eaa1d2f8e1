/* Every kernel of the language and vision networks for graphics cards against the portable table, and what launches
 * declare. The codec's are in gpu_codec.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gpu_trial.h"

#include "backend/gpu/launch.h"
#include "backend/gpu/texts/params.h"

/* ---- cases */

static void unary_case(trial *t)
{
    int64_t n = size(t, 0, 300);
    float *x = numbers(t, n, 3), *y = out(t, n);
    for (int f = 0; f < SO_UNARY_COUNT; f++) t->k->unary(t->pool, (so_unary)f, n, x, f == 0 ? y : out(t, n));
}

static void pairs_case(trial *t)
{
    int64_t rows = size(t, 0, 9), cols = size(t, 1, 70), n = rows * cols;
    float *a = numbers(t, n, 1), *b = numbers(t, n, 1), *row = numbers(t, cols, 1), *y = out(t, n);
    t->k->swiglu(t->pool, n, a, b, out(t, n));
    t->k->mul(t->pool, n, a, b, out(t, n));
    t->k->scale(t->pool, n, 0.37f, a, out(t, n));
    t->k->add_row(t->pool, rows, cols, a, row, out(t, n));
    t->k->copy(t->pool, n, a, y);
    t->k->axpy(t->pool, n, -1.25f, b, y);
    t->k->axpy(t->pool, n, 0.5f, y, out(t, n));
}

static void norm_case(trial *t)
{
    int64_t rows = size(t, 0, 5), cols = size(t, 1, 300);
    so_norm n = {.rows = rows, .cols = cols, .eps = 1e-5f, .x = numbers(t, rows * cols, 2), .w = numbers(t, cols, 1)};
    n.y = out(t, rows * cols);
    t->k->rms_norm(t->pool, &n);
    n.b = numbers(t, cols, 1);
    n.y = out(t, rows * cols);
    t->k->layer_norm(t->pool, &n);
}

static void softmax_case(trial *t)
{
    int64_t rows = size(t, 0, 3), cols = size(t, 1, 600);
    float *x = numbers(t, rows * cols, 4), *y = out(t, rows * cols);
    t->k->softmax(t->pool, rows, cols, x, y);
    t->k->softmax(t->pool, rows, cols, y, y);
}

/* Ids are compared as the numbers that their bytes make. */
static void best_case(trial *t)
{
    int64_t rows = size(t, 1, 4), cols = size(t, 1, 700);
    float *x = malloc((size_t)(rows * cols) * sizeof *x);
    for (int64_t i = 0; i < rows * cols; i++) x[i] = (float)size(t, -1000, size(t, 0, 1) ? 3 : 1000);
    float *at = stored(t, x, (size_t)(rows * cols) * sizeof *x);
    free(x);
    t->k->best(t->pool, rows, cols, at, (int32_t *)(void *)out(t, rows));
}

static const so_type types[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0, SO_Q4_0, SO_Q5_0, SO_Q4_K, SO_Q5_K, SO_Q6_K};
enum { TYPES = 9, FIRST_BLOCK = 3 };

static int64_t width_of(trial *t, so_type type, int64_t most)
{
    int64_t whole = so_type_about(type)->block;
    return whole == 1 ? size(t, 1, most) : size(t, 1, (most + whole - 1) / whole) * whole;
}

static void gather_case(trial *t)
{
    for (int i = 0; i < TYPES; i++) {
        int64_t n = size(t, 0, 5), cols = width_of(t, types[i], 300);
        int32_t index[5];
        for (int64_t r = 0; r < n; r++) index[r] = (int32_t)size(t, -2, 6);
        so_gather g = {types[i], weights(t, types[i], 7, cols), cols, n, index, NULL};
        g.y = out(t, n * cols);
        t->k->gather(t->pool, &g);
    }
}

static void keep_case(trial *t)
{
    static const so_type kept[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    for (int i = 0; i < 4; i++) {
        int64_t n = size(t, 1, 9) * 32;
        so_kept k = {kept[i], n, numbers(t, n, 1), numbers(t, n, 1), NULL, NULL};
        int64_t floats = (int64_t)so_type_bytes(kept[i], n) / 4;
        k.to_k = out(t, floats + 1);
        k.to_v = out(t, floats + 1);
        assert_true(t->k->keep(t->pool, &k));
    }
}

static void rope_case(trial *t)
{
    int64_t rows = size(t, 0, 5), heads = size(t, 1, 4), half = size(t, 1, 40), n = rows * heads * half * 2;
    int32_t pos[5];
    double freq[40];
    for (int64_t r = 0; r < rows; r++) pos[r] = (int32_t)size(t, 0, 8000);
    for (int64_t i = 0; i < half; i++) freq[i] = pow(10000, -(double)i / (double)half);
    so_rotation r = {.rows = rows, .heads = heads, .width = 2 * half, .pos = pos, .freq = freq, .sign = 1};
    r.x = numbers(t, n, 1);
    r.y = out(t, n);
    t->k->rope(t->pool, &r);
    r.y = out(t, n);
    r.add = true;
    r.sign = -1;
    t->k->rope(t->pool, &r);
}

static void linear_of(trial *t, int64_t m, int64_t most_n, int64_t most_k)
{
    for (int i = 0; i < TYPES; i++) {
        int64_t n = size(t, 1, most_n), k = width_of(t, types[i], most_k);
        so_product p = {.type = types[i], .w = weights(t, types[i], n, k), .n = n};
        p.bias = size(t, 0, 1) ? numbers(t, n, 1) : NULL;
        float *x = numbers(t, m * k, 1), *add = size(t, 0, 1) ? numbers(t, m * n, 1) : NULL;
        p.y = out(t, m * n);
        p.add = t->device ? add : NULL;
        t->k->linear(t->pool, &p, k, x, m);
        if (add && !t->device) t->k->axpy(t->pool, m * n, 1, add, p.y);
    }
}

/* Several products of the same rows, and gated ones: what each is by itself. */
static void together_case(trial *t)
{
    for (int i = 0; i < TYPES; i += 2) {
        int64_t m = size(t, 1, 8), k = width_of(t, types[i], 300), n = size(t, 1, 20);
        float *x = numbers(t, m * k, 0.3);
        so_product p[2];
        for (int c = 0; c < 2; c++) {
            p[c] = (so_product){.type = types[i], .n = c ? n : size(t, 1, 20)};
            p[c].w = weights(t, types[i], p[c].n, k);
            p[c].bias = size(t, 0, 1) ? numbers(t, p[c].n, 1) : NULL;
            p[c].y = out(t, m * p[c].n);
        }
        so_product gate = {.type = types[i], .w = p[1].w, .n = n};
        void *up = weights(t, types[i], n, k);
        gate.y = out(t, m * n);
        if (t->device) {
            t->k->linears(t->pool, 2, p, k, x, m);
            t->k->gated(t->pool, &gate, up, k, x, m);
            continue;
        }
        float *second = malloc((size_t)(m * n) * sizeof *second);
        for (int c = 0; c < 2; c++) t->k->linear(t->pool, &p[c], k, x, m);
        t->k->linear(t->pool, &gate, k, x, m);
        t->k->linear(t->pool, &(so_product){.type = types[i], .w = up, .n = n, .y = second}, k, x, m);
        t->k->swiglu(t->pool, m * n, gate.y, second, gate.y);
        free(second);
    }
}

static void matvec_case(trial *t) { linear_of(t, size(t, 0, 8), 40, 300); }
static void matmul_case(trial *t) { linear_of(t, size(t, 9, 70), 70, 40); }

/* By fragments, the rows rounded: what the portable kernels make of rounded rows. */
static void half_of(trial *t, so_type type)
{
    int64_t m = size(t, 9, 150), k = size(t, 1, 70), count = size(t, 1, 3), n1 = size(t, 1, 80);
    float *x = numbers(t, m * k, 1);
    so_product p[3];
    for (int64_t i = 0; i < count; i++) {
        int64_t n = i ? n1 : size(t, 1, 150);
        p[i] = (so_product){.type = type, .w = weights(t, type, n, k), .n = n, .bias = numbers(t, n, 1)};
        p[i].y = out(t, m * n);
    }
    if (t->device) {
        so_kernels half = *t->k;
        so_gpu_fill_half(&half, true);
        half.joined(t->pool, &(so_joined){.count = count, .k = k, .m = m, .product = p, .x = x});
        return;
    }
    for (int64_t i = 0; i < m * k; i++)
        x[i] = type == SO_F16 ? so_from_f16(so_to_f16(x[i])) : so_from_bf16(so_to_bf16(x[i]));
    for (int64_t i = 0; i < count; i++) t->k->linear(t->pool, &p[i], k, x, m);
}

static void half_case(trial *t) { half_of(t, size(t, 0, 1) ? SO_F16 : SO_BF16); }
static void matrices_case(trial *t) { half_of(t, SO_F16); }

static void int8_case(trial *t)
{
    for (int i = FIRST_BLOCK; i < TYPES; i++) {
        int64_t k = width_of(t, types[i], 512), m = size(t, 0, 1) ? size(t, 1, 8) : size(t, 9, 14);
        void *rounded = NULL;
        char *zeros = calloc(1, so_int8_bytes(m, k));
        if (t->device)
            rounded = stored(t, zeros, so_int8_bytes(m, k));
        else
            t->block[t->n_blocks++] = (block){.memory = rounded = aligned_alloc(64, so_int8_bytes(m, k))};
        free(zeros);
        t->k->round_int8(t->pool, m, k, numbers(t, m * k, 1), rounded);
        so_product p[3];
        int count = (int)size(t, 1, 2);
        for (int c = 0; c < count; c++) {
            so_type type = c == 2 && k % 256 == 0 ? SO_Q4_K : types[i];
            p[c] = (so_product){.type = type, .n = size(t, 1, 20)};
            p[c].w = weights(t, type, p[c].n, k);
            p[c].y = out(t, m * p[c].n);
        }
        t->k->linear_int8(t->pool, count, p, k, rounded, m);
    }
}

/* A norm whose rows are rounded on the way is the norm, then the rounding: seen through a product. */
static void norm_round_case(trial *t)
{
    int64_t k = width_of(t, SO_Q8_0, 512), m = size(t, 1, 12), n = size(t, 1, 9);
    so_norm norm = {.rows = m, .cols = k, .eps = 1e-5f, .x = numbers(t, m * k, 2), .w = numbers(t, k, 1)};
    so_product p = {.type = SO_Q8_0, .w = weights(t, SO_Q8_0, n, k), .n = n, .y = out(t, m * n)};
    size_t bytes = so_int8_bytes(m, k);
    char *zeros = calloc(1, bytes);
    void *rounded = NULL;
    if (t->device) {
        rounded = stored(t, zeros, bytes);
        t->k->norm_round(t->pool, &norm, rounded);
    } else {
        float *y = norm.y = malloc((size_t)(m * k) * sizeof *norm.y);
        t->block[t->n_blocks++] = (block){.memory = rounded = aligned_alloc(64, bytes)};
        t->k->rms_norm(t->pool, &norm);
        t->k->round_int8(t->pool, m, k, y, rounded);
        free(y);
    }
    free(zeros);
    t->k->linear_int8(t->pool, 1, &p, k, rounded, m);
}

/* What a layer does between products and attention, at once and one after the other. */
static void rotate_case(trial *t)
{
    static const so_type kept[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    for (int i = 0; i < 4; i++) {
        int64_t rows = size(t, 1, 5), kv = size(t, 1, 2), heads = kv * size(t, 1, 3);
        int64_t width = kept[i] == SO_Q8_0 ? 32 * size(t, 1, 2) : 2 * size(t, 1, 20), n = rows * kv * width;
        int32_t pos[5];
        double freq[32];
        for (int64_t r = 0; r < rows; r++) pos[r] = (int32_t)size(t, 0, 8000);
        for (int64_t c = 0; c < width / 2; c++) freq[c] = pow(10000, -2.0 * (double)c / (double)width);
        so_rotated r = {.type = kept[i], .rows = rows, .heads = heads, .kv_heads = kv, .width = width, .pos = pos};
        int64_t floats = (int64_t)so_type_bytes(kept[i], n) / 4 + 1;
        r.freq = freq;
        r.q = numbers(t, rows * heads * width, 1);
        r.k = numbers(t, n, 1);
        r.v = numbers(t, n, 1);
        r.to_q = out(t, rows * heads * width);
        r.to_k = out(t, floats);
        r.to_v = out(t, floats);
        if (t->device) {
            t->k->rotate_keep(t->pool, &r);
            continue;
        }
        float *turned = malloc((size_t)n * sizeof *turned);
        so_rotation q = {rows, heads, width, pos, freq, 1, false, r.q, r.to_q};
        so_rotation k = {rows, kv, width, pos, freq, 1, false, r.k, turned};
        t->k->rope(t->pool, &q);
        t->k->rope(t->pool, &k);
        assert_true(t->k->keep(t->pool, &(so_kept){kept[i], n, turned, r.v, r.to_k, r.to_v}));
        free(turned);
    }
}

static void gated_case(trial *t)
{
    for (int i = FIRST_BLOCK; i < TYPES; i++) {
        int64_t k = width_of(t, types[i], 512), m = size(t, 0, 2) ? size(t, 1, 8) : size(t, 9, 11), n = size(t, 1, 20);
        void *rounded = NULL;
        char *zeros = calloc(1, so_int8_bytes(m, k));
        if (t->device)
            rounded = stored(t, zeros, so_int8_bytes(m, k));
        else
            t->block[t->n_blocks++] = (block){.memory = rounded = aligned_alloc(64, so_int8_bytes(m, k))};
        free(zeros);
        t->k->round_int8(t->pool, m, k, numbers(t, m * k, 0.3), rounded);
        so_product gate = {.type = types[i], .w = weights(t, types[i], n, k), .n = n, .y = out(t, m * n)};
        t->k->gated_int8(t->pool, &gate, weights(t, types[i], n, k), k, rounded, m);
    }
}

/* Room for rows as round_int8 leaves them, of either place. */
static void *rows_rounded(trial *t, int64_t m, int64_t k)
{
    size_t bytes = so_int8_bytes(m, k);
    char *zeros = calloc(1, bytes);
    void *at;
    if (t->device) {
        at = stored(t, zeros, bytes);
    } else {
        at = aligned_alloc(64, bytes);
        t->block[t->n_blocks++] = (block){.memory = at};
    }
    free(zeros);
    return at;
}

/* What a gated product, and an attention, leave rounded is what they make, rounded: seen through a product. */
static void rounded_case(trial *t)
{
    int64_t m = size(t, 1, 8), k = 32 * size(t, 1, 6), n = 256 * size(t, 1, 2), heads = 2 * size(t, 1, 2);
    int64_t width = 256 / heads * size(t, 1, 2), cells = heads * width, keys = size(t, 1, 300);
    void *x = rows_rounded(t, m, k), *gated = rows_rounded(t, m, n), *attended = rows_rounded(t, m, cells);
    t->k->round_int8(t->pool, m, k, numbers(t, m * k, 0.3), x);
    so_product gate = {.type = SO_Q8_0, .w = weights(t, SO_Q8_0, n, k), .n = n};
    void *up = weights(t, SO_Q8_0, n, k);
    so_attn_seg seg = {.q_rows = m, .k = numbers(t, keys * cells, 1), .v = numbers(t, keys * cells, 1)};
    seg.kv_rows = keys;
    seg.kv_stride = cells;
    so_attn a = {.heads = heads, .kv_heads = heads, .width = width, .scale = 0.3f, .n_segs = 1, .seg = &seg};
    float *q = numbers(t, m * cells, 1);
    so_product after[2] = {{.type = SO_Q8_0, .w = weights(t, SO_Q8_0, 5, n), .n = 5, .y = out(t, m * 5)},
                           {.type = SO_Q8_0, .w = weights(t, SO_Q8_0, 5, cells), .n = 5, .y = out(t, m * 5)}};
    if (t->device) {
        gate.rounded = gated;
        a.rounded = attended;
        gate.y = stored(t, q, 0);
        t->k->gated_int8(t->pool, &gate, up, k, x, m);
        t->k->attention(t->pool, &a, q, gate.y, NULL);
    } else {
        float *y = malloc((size_t)(m * (n + cells)) * sizeof *y);
        t->n_blocks++;
        gate.y = y;
        t->k->gated_int8(t->pool, &gate, up, k, x, m);
        t->k->round_int8(t->pool, m, n, y, gated);
        t->k->attention(t->pool, &a, q, y, NULL);
        t->k->round_int8(t->pool, m, cells, y, attended);
        free(y);
    }
    t->k->linear_int8(t->pool, 1, &after[0], n, gated, m);
    t->k->linear_int8(t->pool, 1, &after[1], cells, attended, m);
}

static void mix_case(trial *t)
{
    so_type type = types[size(t, 0, TYPES - 1)];
    int64_t m = size(t, 1, 11), k = size(t, 1, 40) * 30, n = width_of(t, type, 70);
    float *x = numbers(t, m * k, 0.05);
    void *w = weights(t, type, k, n);
    float *y = out(t, m * n);
    if (t->device) {
        int64_t part = (k + SO_MIX_SLICE - 1) / SO_MIX_SLICE * m * n;
        float *zeros = calloc((size_t)part, sizeof *zeros), *work = stored(t, zeros, (size_t)part * sizeof *zeros);
        free(zeros);
        t->k->mix(t->pool, &(so_mix){type, w, k, n, m, x, work, y});
        return;
    }
    /* What it is, in double. */
    float *row = malloc((size_t)n * sizeof *row);
    double *sum = calloc((size_t)(m * n), sizeof *sum);
    for (int64_t j = 0; j < k; j++) {
        t->k->row(type, w, j, n, row);
        for (int64_t i = 0; i < m * n; i++) sum[i] += (double)x[i / n * k + j] * (double)row[i % n];
    }
    for (int64_t i = 0; i < m * n; i++) y[i] = (float)sum[i];
    free(row);
    free(sum);
    t->n_blocks++; /* the device's working memory stands here */
    t->block[t->n_blocks - 1] = (block){0};
}

/* Ragged sequences, causal, full, or in ranges; stores of every type; few rows over many keys, in parts. */
static void attention_of(trial *t, so_type type, int64_t most_keys)
{
    int64_t mode = size(t, 0, 2), segs = size(t, 1, 5), rows = 0;
    so_attn_seg seg[5];
    so_attn a = {.kv_heads = size(t, 1, 2), .causal = mode == 0, .n_segs = segs, .seg = seg};
    a.width = type == SO_Q8_0 ? size(t, 1, 3) * 32 : size(t, 1, 70);
    a.heads = a.kv_heads * size(t, 1, 3);
    a.scale = 1 / sqrtf((float)a.width);
    int64_t stride = a.kv_heads * a.width;
    for (int64_t s = 0; s < segs; s++) {
        int64_t q = size(t, 1, 2), kv = q + size(t, 0, most_keys);
        seg[s] = (so_attn_seg){
            .q_row0 = rows, .q_rows = q, .kv_rows = kv, .kv_stride = stride, .pos0 = kv - q, .kv_type = type};
        seg[s].k = weights(t, type, kv, stride);
        seg[s].v = weights(t, type, kv, stride);
        rows += q;
    }
    int32_t lo[10], hi[10];
    for (int64_t s = 0; s < segs && mode == 2; s++)
        for (int64_t r = seg[s].q_row0; r < seg[s].q_row0 + seg[s].q_rows; r++) {
            hi[r] = (int32_t)size(t, 0, seg[s].kv_rows);
            lo[r] = size(t, 0, 3) ? (int32_t)size(t, 0, hi[r]) : hi[r];
        }
    a.lo = mode == 2 ? lo : NULL;
    a.hi = mode == 2 ? hi : NULL;
    int64_t cells = rows * a.heads * a.width;
    float *q = numbers(t, cells, type == SO_Q8_0 ? 0.2 : 1);
    t->k->attention(t->pool, &a, q, out(t, cells), NULL);
}

static void attention_case(trial *t)
{
    attention_of(t, SO_F32, 90);
    attention_of(t, SO_F16, 70);
}

static void attention_parts_case(trial *t)
{
    attention_of(t, SO_BF16, 400);
    attention_of(t, SO_Q8_0, 400);
}

CASE(unary, 1e-6, 1e-6, 3)
CASE(pairs, 1e-6, 1e-6, ROUNDS)
CASE(norm, 5e-6, 5e-6, ROUNDS)
CASE(softmax, 3e-6, 3e-6, ROUNDS)
CASE(best, 0, 0, ROUNDS)
CASE(gather, 0, 0, 3)
CASE(keep, 0, 0, 3)
CASE(rope, 1e-6, 1e-6, ROUNDS)
CASE(matvec, 3e-6, 3e-6, 3)
CASE(together, 3e-6, 3e-6, 2)
CASE(matmul, 3e-6, 3e-6, 2)
CASE(half, 3e-6, 3e-6, ROUNDS)

/* Those of f16 on a card that does pieces of them at once: of CUDA always, of Vulkan where the compiler of the build
 * and the driver know cooperative matrices. */
static void matrices_agree(void **state)
{
    (void)state;
    bool found = false;
    for (int i = 0; i < n_devices; i++) found |= so_device_about(device[i])->piece[0] > 0;
    if (!found) {
        fprintf(stderr, "# SKIP: products by cooperative matrices: %s\n",
                so_gpu_spirv_matrices.words ? "no device here has any that fit"
                                            : "the glslc of this build does not know them (Debian 13's does)");
        skip();
    }
    compare(&(kernel_case){"matrices", matrices_case, 3e-6, 3e-6, ROUNDS});
}

CASE(int8, 3e-6, 3e-6, 3)
CASE(norm_round, 3e-5, 3e-5, ROUNDS)
CASE(rotate, 1e-6, 1e-6, 3)
CASE(gated, 3e-6, 3e-6, 2)
CASE(rounded, 2e-2, 5e-3, 4) /* a code may be one more or less */
CASE(mix, 3e-6, 3e-6, 5)
CASE(attention, 2e-5, 2e-5, ROUNDS)
CASE(attention_parts, 2e-5, 2e-5, 3)

/* ---- what launches declare */

/* y = x, n numbers, as a launch that declares what it is told to. */
static void copy_launch(so_device *d, float *x, float *y, int n, bool reads, bool writes)
{
    struct {
        PARAMS_ELEMENT
    } p = {(uint64_t)(uintptr_t)x, 0, (uint64_t)(uintptr_t)y, n, 0, 0};
    so_gpu_launch l = {.text = SO_GPU_element, .kind = ELEMENT_COPY, .groups = {1, 1, 1}, .bytes = sizeof p};
    memcpy(l.params, &p, sizeof p);
    if (reads) so_gpu_reads(&l, x, (size_t)n * sizeof *x);
    if (writes) so_gpu_writes(&l, y, (size_t)n * sizeof *y);
    so_gpu_launch_now(d, &l);
}

enum { COPIED = 64 };

static so_device *three_numbers(uint64_t seed, float **x, float **y, float **z)
{
    so_error error;
    so_device *d = NULL;
    void *at = NULL;
    float start[3 * COPIED];
    for (int i = 0; i < 3 * COPIED; i++) start[i] = (float)(1 + i / COPIED);
    so_fibers_options o = {.subgroup = 8, .seed = seed, .watches = true};
    CHECK_OK(so_fibers_open(&d, &o, &error), error);
    CHECK_OK(so_device_reserve(d, sizeof start, &at, &error), error);
    so_device_write(d, at, start, sizeof start);
    *x = at;
    *y = *x + COPIED;
    *z = *y + COPIED;
    return d;
}

static void writing_what_is_not_declared_is_an_error(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    fprintf(stderr, "# SKIP: AddressSanitizer ends a program that writes what it did not declare\n");
    skip();
#endif
    so_error error = {0};
    float *x, *y, *z;
    so_device *d = three_numbers(1, &x, &y, &z);
    copy_launch(d, x, y, COPIED, true, true);
    so_device_flush(d);
    CHECK_OK(so_device_state(d, &error), error);
    copy_launch(d, x, z, COPIED, true, false);
    so_device_flush(d);
    assert_int_equal(so_device_state(d, &error), SO_ERR_STATE);
    assert_non_null(strstr(error.text, "did not declare"));
    so_device_close(&d);
}

/* x to y, y to z: a barrier lies between the two if the second says what it reads; else they run in any order. */
static void a_missing_barrier_shows(void **state)
{
    (void)state;
    int honest = 0;
#ifdef __SANITIZE_ADDRESS__
    honest = 1; /* it ends a program that reads what it did not declare */
#endif
    for (; honest < 2; honest++) {
        int wrong = 0;
        for (uint64_t seed = 0; seed < 12; seed++) {
            float *x, *y, *z, got = 0;
            so_device *d = three_numbers(seed, &x, &y, &z);
            so_device_counts before, after;
            so_device_read(d, &got, z, sizeof got);
            so_device_count(d, &before);
            copy_launch(d, x, y, COPIED, true, true);
            copy_launch(d, y, z, COPIED, honest, true);
            so_device_flush(d);
            so_device_count(d, &after);
            assert_int_equal(after.barriers - before.barriers, 1 + honest);
            assert_int_equal(after.launches - before.launches, 2);
            so_device_read(d, &got, z, sizeof got);
            wrong += got != 1;
            so_device_close(&d);
        }
        assert_int_equal(wrong > 0, !honest);
    }
}

static void a_device_that_is_not_there_is_named(void **state)
{
    (void)state;
    static const char *names[] = {"opengl", "vulkan:x", "vulkan:", "vulkan:-1", "vulkan:999"};
    int most = 5;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    most = 4; /* the last one asks Vulkan */
#endif
    for (int i = 0; i < most; i++) {
        so_error error = {0};
        so_device *d = NULL;
        assert_int_not_equal(so_device_open(&d, names[i], &error), SO_OK);
        assert_null(d);
        assert_true(strstr(error.text, names[i]) || strstr(error.text, "Vulkan"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary_agrees),
        cmocka_unit_test(pairs_agrees),
        cmocka_unit_test(norm_agrees),
        cmocka_unit_test(softmax_agrees),
        cmocka_unit_test(best_agrees),
        cmocka_unit_test(gather_agrees),
        cmocka_unit_test(keep_agrees),
        cmocka_unit_test(rope_agrees),
        cmocka_unit_test(matvec_agrees),
        cmocka_unit_test(together_agrees),
        cmocka_unit_test(matmul_agrees),
        cmocka_unit_test(half_agrees),
        cmocka_unit_test(matrices_agree),
        cmocka_unit_test(int8_agrees),
        cmocka_unit_test(norm_round_agrees),
        cmocka_unit_test(rotate_agrees),
        cmocka_unit_test(gated_agrees),
        cmocka_unit_test(rounded_agrees),
        cmocka_unit_test(mix_agrees),
        cmocka_unit_test(attention_agrees),
        cmocka_unit_test(attention_parts_agrees),
        cmocka_unit_test(writing_what_is_not_declared_is_an_error),
        cmocka_unit_test(a_missing_barrier_shows),
        cmocka_unit_test(a_device_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
