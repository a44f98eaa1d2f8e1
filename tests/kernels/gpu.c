/* Every kernel of graphics cards against the portable table: over fibers with subgroups of 8, 32 and 64, threads and
 * launches in random order, and over Vulkan where there is a device (Mesa's lavapipe will do).
 *
 * A case draws its shapes and numbers from a seeded stream, so that host and device see the same; the harness gives it
 * memory of either and compares what it wrote, with guard bands.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/cpu/ref/portable.h"
#include "backend/device.h"
#include "backend/gpu/fibers/fiber_device.h"
#include "backend/gpu/launch.h"
#include "backend/gpu/texts/params.h"
#include "base/quantise.h"
#include "base/rng.h"

enum { GUARD = 16, BLOCKS = 48, ROUNDS = 6 };

typedef struct block {
    void *memory; /* of the device */
    float *got;   /* [n], of an output, when it has run */
    int64_t n;
    bool out;
} block;

typedef struct trial {
    so_device *device; /* NULL: the host */
    const so_kernels *k;
    so_pool *pool;
    so_rng rng;
    int n_blocks;
    block block[BLOCKS];
} trial;

static const float GUARD_VALUE = -12345.678f;
static so_device *device[4];
static int n_devices;

static int64_t size(trial *t, int64_t lo, int64_t hi) { return so_rng_range(&t->rng, lo, hi); }

static block *take(trial *t, const void *from, size_t bytes)
{
    so_error error;
    assert_true(t->n_blocks < BLOCKS);
    block *b = &t->block[t->n_blocks++];
    *b = (block){0};
    if (t->device) {
        CHECK_OK(so_device_reserve(t->device, bytes, &b->memory, &error), error);
    } else {
        b->memory = malloc(bytes ? bytes : 1);
        assert_non_null(b->memory);
    }
    so_device_write(t->device, b->memory, from, bytes);
    return b;
}

static void *stored(trial *t, const void *from, size_t bytes) { return take(t, from, bytes)->memory; }

static float *numbers(trial *t, int64_t n, double scale)
{
    float *p = malloc((size_t)(n + 1) * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = (float)(scale * so_rng_normal(&t->rng));
    float *at = stored(t, p, (size_t)n * sizeof *p);
    free(p);
    return at;
}

/* n numbers that the case writes, random before, between guards. */
static float *out(trial *t, int64_t n)
{
    float *p = malloc((size_t)(n + 2 * GUARD) * sizeof *p);
    for (int64_t i = 0; i < n + 2 * GUARD; i++)
        p[i] = i < GUARD || i >= GUARD + n ? GUARD_VALUE : (float)so_rng_normal(&t->rng);
    block *b = take(t, p, (size_t)(n + 2 * GUARD) * sizeof *p);
    free(p);
    b->out = true;
    b->n = n;
    return (float *)b->memory + GUARD;
}

/* Rows of weights of a type; blocks of random codes and small scales. */
static void *weights(trial *t, so_type type, int64_t n, int64_t k)
{
    size_t bytes = so_type_bytes(type, n * k), one = (size_t)so_type_about(type)->bytes;
    unsigned char *w = malloc(bytes + 1);
    bool blocks = so_type_about(type)->block > 1;
    for (size_t i = 0; i < bytes; i++) w[i] = (unsigned char)so_rng_u64(&t->rng);
    for (size_t i = 0; i < bytes; i += one) {
        float x = (float)so_rng_normal(&t->rng);
        uint16_t a = so_to_f16(blocks ? x / 64 : x), b = so_to_f16((float)so_rng_normal(&t->rng) / 64);
        if (type == SO_BF16) a = so_to_bf16(x);
        memcpy(w + i + (type == SO_Q6_K ? 208 : 0), type == SO_F32 ? (const void *)&x : (const void *)&a,
               type == SO_F32 ? 4 : 2);
        if (type == SO_Q4_K || type == SO_Q5_K) memcpy(w + i + 2, &b, 2);
    }
    void *at = stored(t, w, bytes);
    free(w);
    return at;
}

typedef void (*case_fn)(trial *t);
typedef struct kernel_case {
    const char *name;
    case_fn run;
    double max_abs, rel_l2;
    int rounds;
} kernel_case;

static void run(trial *t, const kernel_case *c, so_device *d, int round)
{
    so_error error = {0};
    *t = (trial){
        .device = d, .k = d ? so_device_kernels(d, true) : so_kernels_c(), .pool = d ? so_device_pool(d) : NULL};
    so_rng_init(&t->rng, (uint64_t)round, 77);
    c->run(t);
    for (int i = 0; i < t->n_blocks; i++) {
        block *b = &t->block[i];
        if (b->out) {
            float *all = malloc((size_t)(b->n + 2 * GUARD) * sizeof *all);
            so_device_read(d, all, b->memory, (size_t)(b->n + 2 * GUARD) * sizeof *all);
            for (int g = 0; g < GUARD; g++)
                if (all[g] != GUARD_VALUE || all[GUARD + b->n + g] != GUARD_VALUE)
                    fail_msg("%s (%s), round %d: wrote outside an output", c->name, t->k->name, round);
            b->got = malloc((size_t)(b->n + 1) * sizeof *all);
            memcpy(b->got, all + GUARD, (size_t)b->n * sizeof *all);
            free(all);
        }
        if (d)
            so_device_release(d, b->memory);
        else
            free(b->memory);
    }
    CHECK_OK(so_device_state(d, &error), error);
}

static void drop(trial *t)
{
    for (int i = 0; i < t->n_blocks; i++) free(t->block[i].got);
}

static void compare(const kernel_case *c)
{
    for (int round = 0; round < c->rounds; round++) {
        trial want;
        run(&want, c, NULL, round);
        for (int d = 0; d < n_devices; d++) {
            trial got;
            run(&got, c, device[d], round);
            for (int i = 0; i < got.n_blocks; i++) {
                char name[400];
                snprintf(name, sizeof name, "%s (%s), round %d, block %d", c->name, got.k->name, round, i);
                if (got.block[i].out)
                    check_close(name, got.block[i].got, want.block[i].got, got.block[i].n, c->max_abs, c->rel_l2);
            }
            drop(&got);
        }
        drop(&want);
    }
}

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
        float *x = numbers(t, m * k, 1);
        p.y = out(t, m * n);
        t->k->linear(t->pool, &p, k, x, m);
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

#define CASE(NAME, MAX, L2, TIMES)                                                                                     \
    static void NAME##_agrees(void **state)                                                                            \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        compare(&(kernel_case){#NAME, NAME##_case, MAX, L2, TIMES});                                                   \
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
CASE(int8, 3e-6, 3e-6, 3)
CASE(gated, 3e-6, 3e-6, 2)
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

static int open_devices(void **state)
{
    (void)state;
    static const int subgroup[] = {8, 32, 64};
    so_error error;
    for (int i = 0; i < 3; i++) {
        so_fibers_options o = {.subgroup = subgroup[i], .seed = (uint64_t)i, .watches = true};
        if (so_fibers_open(&device[n_devices], &o, &error) != SO_OK) return -1;
        n_devices++;
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    fprintf(stderr, "# SKIP: kernels over Vulkan: its drivers do not free what they hold, which sanitizers tell\n");
    return 0;
#endif
    /* With the validation layer, whose complaints are the device's failures, where it is installed. */
    setenv("SO_VULKAN_VALIDATE", "1", 0);
    so_status status = so_device_open(&device[n_devices], "vulkan", &error);
    if (status != SO_OK && strstr(error.text, "validation layer")) {
        fprintf(stderr, "# SKIP: validation of what Vulkan is asked: %s\n", error.text);
        unsetenv("SO_VULKAN_VALIDATE");
        status = so_device_open(&device[n_devices], "vulkan", &error);
    }
    n_devices += status == SO_OK;
    if (status != SO_OK) fprintf(stderr, "# SKIP: kernels over Vulkan: %s\n", error.text);
    return 0;
}

static int close_devices(void **state)
{
    (void)state;
    for (int i = 0; i < n_devices; i++) so_device_close(&device[i]);
    return 0;
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
        cmocka_unit_test(int8_agrees),
        cmocka_unit_test(gated_agrees),
        cmocka_unit_test(mix_agrees),
        cmocka_unit_test(attention_agrees),
        cmocka_unit_test(attention_parts_agrees),
        cmocka_unit_test(writing_what_is_not_declared_is_an_error),
        cmocka_unit_test(a_missing_barrier_shows),
        cmocka_unit_test(a_device_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
