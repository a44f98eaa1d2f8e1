/* Every entry of every kernel table against the portable one: random shapes with odd tails, several fill patterns,
 * guard bands around every output, and the same bits for 1, 2 and 3 threads.
 *
 * A case draws its shapes and numbers from a seeded stream, so that each table sees the same ones, and takes its
 * outputs from the harness, which compares them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/cpu/ref/portable.h"
#include "base/own.h"
#include "base/rng.h"

enum { GUARD = 64, MAX_OUTS = 8, ROUNDS = 40 };
static const float GUARD_VALUE = -12345.678f;

typedef struct trial {
    const so_kernels *k;
    so_pool *pool;
    so_rng rng;
    int pattern;
    int n_outs, n_blocks;
    float *out[MAX_OUTS];
    int64_t out_n[MAX_OUTS];
    void *block[32];
} trial;

static void *keep(trial *t, size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    assert_non_null(p);
    assert_true(t->n_blocks < 32);
    return t->block[t->n_blocks++] = p;
}

static int64_t size(trial *t, int64_t lo, int64_t hi) { return so_rng_range(&t->rng, lo, hi); }

static void fill(trial *t, float *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double x = so_rng_normal(&t->rng);
        switch (t->pattern) {
        case 0:
            p[i] = (float)x;
            break;
        case 1:
            p[i] = (float)(20 * (2 * so_rng_uniform(&t->rng) - 1));
            break;
        case 2:
            p[i] = 0;
            break;
        case 3:
            p[i] = i % 7 ? (float)(1e-20 * x) : (float)x;
            break;
        default:
            p[i] = 1;
            break;
        }
    }
}

/* Inputs lie right before the end of their block, so that the sanitizer sees reads past it. */
static float *in(trial *t, int64_t n)
{
    float *p = keep(t, (size_t)n * sizeof *p);
    fill(t, p, n);
    return p;
}

static float *out(trial *t, int64_t n)
{
    float *p = keep(t, (size_t)(n + 2 * GUARD) * sizeof *p);
    for (int i = 0; i < GUARD; i++) p[i] = p[GUARD + n + i] = GUARD_VALUE;
    fill(t, p + GUARD, n);
    assert_true(t->n_outs < MAX_OUTS);
    t->out[t->n_outs] = p + GUARD;
    t->out_n[t->n_outs++] = n;
    return p + GUARD;
}

typedef void (*case_fn)(trial *t);
typedef struct kernel_case {
    const char *name;
    case_fn run;
    double max_abs, rel_l2;
} kernel_case;

static void run(trial *t, const kernel_case *c, const so_kernels *k, so_pool *pool, int round)
{
    *t = (trial){.k = k, .pool = pool, .pattern = round < 20 ? 0 : round % 5};
    so_rng_init(&t->rng, (uint64_t)round, 77);
    c->run(t);
    for (int i = 0; i < t->n_outs; i++)
        for (int g = 0; g < GUARD; g++)
            if (t->out[i][-1 - g] != GUARD_VALUE || t->out[i][t->out_n[i] + g] != GUARD_VALUE)
                fail_msg("%s (%s), round %d: wrote outside output %d", c->name, k->name, round, i);
}

static void drop(trial *t)
{
    for (int i = 0; i < t->n_blocks; i++) free(t->block[i]);
}

static so_pool *pools[3];

/* Of an instruction set in plain C: slow, and tried in tiles.c. */
static bool is_double(const so_kernels *k) { return strncmp(k->name, "amx-", 4) == 0; }

static void compare_tables(const kernel_case *c)
{
    for (int round = 0; round < ROUNDS; round++) {
        trial want;
        run(&want, c, so_kernels_c(), NULL, round);
        for (int i = 0; so_kernels_at(i); i++) {
            trial one;
            if (is_double(so_kernels_at(i))) continue;
            run(&one, c, so_kernels_at(i), NULL, round);
            for (int o = 0; o < one.n_outs; o++) {
                char name[96];
                snprintf(name, sizeof name, "%s (%s), round %d, output %d", c->name, so_kernels_at(i)->name, round, o);
                check_close(name, one.out[o], want.out[o], one.out_n[o], c->max_abs, c->rel_l2);
            }
            for (int p = 1; p < 3; p++) {
                trial many;
                run(&many, c, so_kernels_at(i), pools[p], round);
                for (int o = 0; o < one.n_outs; o++)
                    if (memcmp(one.out[o], many.out[o], (size_t)one.out_n[o] * sizeof(float)))
                        fail_msg("%s (%s), round %d: output %d differs between 1 and %d threads", c->name,
                                 so_kernels_at(i)->name, round, o, p + 1);
                drop(&many);
            }
            drop(&one);
        }
        drop(&want);
    }
}

static void product_case(trial *t, bool rounded)
{
    bool big = size(t, 0, 5) == 0;
    int64_t m = size(t, 0, big ? 400 : 50), n = size(t, 0, big ? 400 : 70), k = size(t, 0, big ? 900 : 60);
    bool ta = size(t, 0, 1), tb = size(t, 0, 1);
    int64_t lda = (ta ? m : k) + size(t, 0, 3), ldb = (tb ? k : n) + size(t, 0, 3), ldc = n + size(t, 0, 3);
    float *a = in(t, (ta ? k : m) * lda), *b = in(t, (tb ? n : k) * ldb), *c = out(t, m * ldc);
    float beta = (float)size(t, 0, 1);
    (rounded ? t->k->gemm_bf16 : t->k->gemm)(t->pool, &(so_gemm){.ta = ta,
                                                                 .tb = tb,
                                                                 .m = m,
                                                                 .n = n,
                                                                 .k = k,
                                                                 .a = a,
                                                                 .lda = lda,
                                                                 .b = b,
                                                                 .ldb = ldb,
                                                                 .beta = beta,
                                                                 .c = c,
                                                                 .ldc = ldc});
}
static void gemm_case(trial *t) { product_case(t, false); }
static void gemm_bf16_case(trial *t) { product_case(t, true); }

static void *weights(trial *t, so_type type, int64_t n, int64_t k)
{
    unsigned char *w = keep(t, so_type_bytes(type, n * k));
    for (int64_t i = 0; i < n * k; i++) {
        float x = (float)so_rng_normal(&t->rng);
        uint16_t h = type == SO_F16 ? so_to_f16(x) : so_to_bf16(x), scale = so_to_f16(fabsf(x) / 100);
        if (type == SO_F32) memcpy(w + 4 * i, &x, 4);
        if (type == SO_F16 || type == SO_BF16) memcpy(w + 2 * i, &h, 2);
        if (type == SO_Q8_0 && i % 32 == 0) memcpy(w + i / 32 * 34, &scale, 2);
        if (type == SO_Q8_0) w[i / 32 * 34 + 2 + i % 32] = (unsigned char)so_rng_u64(&t->rng);
    }
    return w;
}

static void linear_case(trial *t)
{
    static const so_type types[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    so_type type = types[size(t, 0, 3)];
    int64_t m = size(t, 0, 40), n = size(t, 1, 300), k = size(t, 1, size(t, 0, 4) ? 100 : 900);
    if (type == SO_Q8_0) k = (k + 31) / 32 * 32;
    void *w = weights(t, type, n, k);
    float *x = in(t, m * k), *bias = size(t, 0, 1) ? in(t, n) : NULL, *y = out(t, m * n);
    t->k->linear(t->pool, &(so_product){.type = type, .w = w, .n = n, .bias = bias, .y = y}, k, x, m);
}

static void row_case(trial *t)
{
    static const so_type types[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    so_type type = types[size(t, 0, 3)];
    int64_t n = size(t, 1, 9), k = size(t, 1, 100);
    if (type == SO_Q8_0) k = (k + 31) / 32 * 32;
    void *w = weights(t, type, n, k);
    t->k->row(type, w, size(t, 0, n - 1), k, out(t, k));
}

static void unary_case(trial *t)
{
    int64_t n = size(t, 0, size(t, 0, 3) ? 99 : 60000);
    so_unary f = (so_unary)size(t, 0, SO_UNARY_COUNT - 1);
    float *x = in(t, n), *y = out(t, n), *dx = out(t, n), *dy = in(t, n);
    t->k->unary(t->pool, f, n, x, y);
    t->k->unary_back(t->pool, f, n, x, dy, size(t, 0, 1), dx);
}

static void swiglu_case(trial *t)
{
    int64_t n = size(t, 0, size(t, 0, 3) ? 99 : 60000);
    float *g = in(t, n), *u = in(t, n), *dy = in(t, n), *y = out(t, n);
    t->k->swiglu(t->pool, n, g, u, y);
    bool dg = size(t, 0, 3), du = size(t, 0, 3);
    t->k->swiglu_back(t->pool, n,
                      &(so_swiglu_back){.gate = g,
                                        .up = u,
                                        .dy = dy,
                                        .dgate = dg ? out(t, n) : NULL,
                                        .dup = du ? out(t, n) : NULL,
                                        .first_dgate = size(t, 0, 1),
                                        .first_dup = size(t, 0, 1)});
}

static void axpy_case(trial *t)
{
    int64_t n = size(t, 0, size(t, 0, 3) ? 99 : 60000);
    float *x = in(t, n), *y = out(t, n);
    t->k->axpy(t->pool, n, (float)so_rng_normal(&t->rng), x, y);
}

static void adam_case(trial *t)
{
    int64_t n = size(t, 0, size(t, 0, 3) ? 299 : 20000);
    float *w = out(t, n), *g = out(t, n), *m = out(t, n), *v = out(t, n), *sum = out(t, 1);
    for (int64_t i = 0; i < n; i++) v[i] = fabsf(v[i]);
    *sum = (float)sqrt(t->k->square_sum(n, g));
    t->k->adam(&(so_adam){.scale = size(t, 0, 1) ? 1 : 0.25f,
                          .b1 = 0.9f,
                          .b2 = 0.95f,
                          .rate = 1e-2f,
                          .shrink = 0.999f,
                          .correct = 2,
                          .epsilon = 1e-8f},
               n, w, g, m, v);
}

static void sum_rows_case(trial *t)
{
    int64_t rows = size(t, 0, 300), cols = size(t, 0, 200);
    float *x = in(t, rows * cols), *y = out(t, cols);
    t->k->sum_rows(t->pool, rows, cols, x, y);
}

static void norm_case(trial *t)
{
    int64_t rows = size(t, 0, 300), cols = size(t, 1, 300);
    float eps = size(t, 0, 1) ? 1e-5f : 1e-2f;
    float *x = in(t, rows * cols), *w = in(t, cols), *b = in(t, cols), *dy = in(t, rows * cols);
    bool want_x = size(t, 0, 3), want_w = size(t, 0, 3);
    if (t->pattern == 3) eps = 1e-2f; /* rows of 1e-20 would divide by nothing but eps */
    t->k->rms_norm(t->pool,
                   &(so_norm){.rows = rows, .cols = cols, .eps = eps, .x = x, .w = w, .y = out(t, rows * cols)});
    t->k->layer_norm(
        t->pool, &(so_norm){.rows = rows, .cols = cols, .eps = eps, .x = x, .w = w, .b = b, .y = out(t, rows * cols)});
    t->k->rms_norm_back(t->pool, &(so_norm){.rows = rows,
                                            .cols = cols,
                                            .eps = eps,
                                            .x = x,
                                            .w = w,
                                            .dy = dy,
                                            .dx = want_x ? out(t, rows * cols) : NULL,
                                            .dw = want_w ? out(t, cols) : NULL});
    t->k->layer_norm_back(t->pool, &(so_norm){.rows = rows,
                                              .cols = cols,
                                              .eps = eps,
                                              .x = x,
                                              .w = w,
                                              .dy = dy,
                                              .dx = want_x ? out(t, rows * cols) : NULL,
                                              .dw = want_w ? out(t, cols) : NULL,
                                              .db = want_w ? out(t, cols) : NULL});
}

static void rope_case(trial *t)
{
    int64_t rows = size(t, 0, 60), heads = size(t, 1, 5), half = size(t, 1, 70);
    int32_t *pos = keep(t, (size_t)rows * sizeof *pos);
    double *freq = keep(t, (size_t)half * sizeof *freq);
    for (int64_t r = 0; r < rows; r++) pos[r] = (int32_t)size(t, 0, 8000);
    for (int64_t i = 0; i < half; i++) freq[i] = pow(10000, -(double)i / (double)half);
    float *x = in(t, rows * heads * half * 2), *y = out(t, rows * heads * half * 2);
    t->k->rope(t->pool, &(so_rotation){.rows = rows,
                                       .heads = heads,
                                       .width = half * 2,
                                       .pos = pos,
                                       .freq = freq,
                                       .sign = size(t, 0, 1) ? 1 : -1,
                                       .add = size(t, 0, 1),
                                       .x = x,
                                       .y = y});
}

static void softmax_case(trial *t)
{
    int64_t rows = size(t, 0, 40), cols = size(t, 1, size(t, 0, 3) ? 90 : 3000);
    float *x = in(t, rows * cols), *dy = in(t, rows * cols), *y = out(t, rows * cols);
    t->k->softmax(t->pool, rows, cols, x, y);
    t->k->softmax_back(t->pool, rows, cols, y, dy, out(t, rows * cols));
}

static void cross_entropy_case(trial *t)
{
    int64_t rows = size(t, 0, 40), cols = size(t, 1, size(t, 0, 3) ? 90 : 3000);
    int32_t *label = keep(t, (size_t)rows * sizeof *label);
    for (int64_t r = 0; r < rows; r++) label[r] = (int32_t)size(t, -1, cols - 1);
    float *x = in(t, rows * cols), *loss = out(t, rows), *dx = size(t, 0, 3) ? out(t, rows * cols) : NULL;
    t->k->cross_entropy(
        t->pool,
        &(so_label_loss){.rows = rows, .cols = cols, .x = x, .label = label, .scale = 0.25f, .loss = loss, .dx = dx});
}

typedef struct attn_trial {
    so_attn a;
    int64_t rows, kv_rows;
    float *q, *k, *v, *out, *lse, *dout, *dq, *dk, *dv;
} attn_trial;

/* Ragged sequences, causal, full, or ranges with empty ones; keys of their own or shared; grouped heads. */
static void attention_shape(trial *t, attn_trial *s)
{
    int64_t n = size(t, 1, 4), group = size(t, 1, 3), mode = size(t, 0, 3);
    so_attn_seg *seg = keep(t, (size_t)n * sizeof *seg);
    s->a = (so_attn){.kv_heads = size(t, 1, 3), .width = size(t, 1, 70), .causal = mode == 0, .n_segs = n, .seg = seg};
    s->a.heads = s->a.kv_heads * group;
    s->a.scale = 1 / sqrtf((float)s->a.width);
    bool shared = mode == 3;
    int64_t stride = s->a.kv_heads * s->a.width + size(t, 0, 2), all = size(t, 1, 700);
    for (int64_t i = 0; i < n; i++) {
        int64_t rows = size(t, 1, size(t, 0, 1) ? 7 : 150), before = mode == 0 ? size(t, 0, 9) : 0;
        int64_t kv = mode == 0 ? before + rows : shared ? all : size(t, 1, 600);
        seg[i] = (so_attn_seg){.q_row0 = s->rows, .q_rows = rows, .kv_rows = kv, .kv_stride = stride, .pos0 = before};
        s->rows += rows;
        s->kv_rows = shared ? all : s->kv_rows + kv;
    }
    s->q = in(t, s->rows * s->a.heads * s->a.width);
    for (int64_t i = 0; t->pattern == 1 && i < s->rows * s->a.heads * s->a.width; i++)
        s->q[i] *= 0.02f; /* scores of a thousand would leave nothing but their own rounding to compare */
    s->k = in(t, s->kv_rows * stride);
    s->v = in(t, s->kv_rows * stride);
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        seg[i].k = s->k + at * stride;
        seg[i].v = s->v + at * stride;
        if (!shared) at += seg[i].kv_rows;
    }
    if (mode < 2) return;
    int32_t *lo = keep(t, (size_t)s->rows * 4), *hi = keep(t, (size_t)s->rows * 4);
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = seg[i].q_row0; r < seg[i].q_row0 + seg[i].q_rows; r++) {
            hi[r] = (int32_t)size(t, 0, seg[i].kv_rows);
            lo[r] = size(t, 0, 5) ? (int32_t)size(t, 0, hi[r]) : hi[r];
        }
    s->a.lo = lo;
    s->a.hi = hi;
}

static void attention_case(trial *t)
{
    attn_trial s = {0};
    attention_shape(t, &s);
    int64_t cells = s.rows * s.a.heads * s.a.width, stride = s.a.seg[0].kv_stride;
    s.out = out(t, cells);
    s.lse = out(t, s.rows * s.a.heads);
    t->k->attention(t->pool, &s.a, s.q, s.out, size(t, 0, 3) ? s.lse : NULL);
    t->k->attention(t->pool, &s.a, s.q, s.out, s.lse);
    s.dout = in(t, cells);
    s.dq = size(t, 0, 3) ? out(t, cells) : NULL;
    s.dk = size(t, 0, 3) ? out(t, s.kv_rows * stride) : NULL;
    s.dv = size(t, 0, 3) ? out(t, s.kv_rows * stride) : NULL;
    so_attn_seg *seg = so_mutable(s.a.seg);
    for (int64_t i = 0; i < s.a.n_segs; i++) {
        if (s.dk) seg[i].dk = s.dk + (seg[i].k - s.k);
        if (s.dv) seg[i].dv = s.dv + (seg[i].v - s.v);
    }
    t->k->attention_back(t->pool, &s.a,
                         &(so_attn_back){.q = s.q, .out = s.out, .lse = s.lse, .dout = s.dout, .dq = s.dq});
}

#define CASE(NAME, MAX, L2)                                                                                            \
    static void NAME##_agrees(void **state)                                                                            \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        compare_tables(&(kernel_case){#NAME, NAME##_case, MAX, L2});                                                   \
    }
CASE(gemm, 3e-6, 3e-6)
CASE(gemm_bf16, 3e-6, 3e-6)
CASE(linear, 3e-6, 3e-6)
CASE(row, 0, 0)
CASE(unary, 1e-6, 1e-6)
CASE(swiglu, 1e-6, 1e-6)
CASE(axpy, 2e-7, 2e-7)
CASE(sum_rows, 2e-6, 2e-6)
CASE(adam, 1e-5, 1e-6)
CASE(norm, 5e-6, 5e-6)
CASE(rope, 1e-6, 1e-6)
CASE(softmax, 3e-6, 3e-6)
CASE(cross_entropy, 3e-6, 3e-6)
CASE(attention, 2e-5, 2e-5)

/* Relative error of each function on a fine grid, where the portable value is not subnormal. */
static void functions_are_accurate(void **state)
{
    (void)state;
    enum { N = 1 << 16 };
    static float x[N], y[N], want[N];
    static const double bar[SO_UNARY_COUNT] = {
        [SO_SILU] = 4e-7, [SO_GELU] = 3e-6, [SO_GELU_TANH] = 3e-6, [SO_MISH] = 6e-7,
        [SO_ELU] = 3e-7,  [SO_TANH] = 5e-7, [SO_SIGMOID] = 3e-7,   [SO_EXP] = 1.5e-7};
    for (int t = 1; so_kernels_at(t); t++)
        for (int f = 0; f < SO_UNARY_COUNT; f++) {
            if (bar[f] == 0) continue;
            double worst = 0;
            for (int i = 0; i < N; i++)
                x[i] = (float)(i - N / 2) * (f == SO_GELU || f == SO_GELU_TANH ? 5.0f : 80.0f) / (N / 2);
            so_kernels_c()->unary(NULL, (so_unary)f, N, x, want);
            so_kernels_at(t)->unary(NULL, (so_unary)f, N, x, y);
            for (int i = 0; i < N; i++)
                if (fabsf(want[i]) > 1e-37f)
                    worst = fmax(worst, fabs((double)y[i] - (double)want[i]) / fabs((double)want[i]));
            if (!(worst <= bar[f]))
                fail_msg("function %d (%s): relative error %.3g (bar %.3g)", f, so_kernels_at(t)->name, worst, bar[f]);
        }
}

#include "bf16_cases.h"
#include "conv_cases.h"

static int start(void **state)
{
    (void)state;
    so_error error;
    return so_pool_open(&pools[1], 2, &error) != SO_OK || so_pool_open(&pools[2], 3, &error) != SO_OK;
}

static int stop(void **state)
{
    (void)state;
    so_pool_close(&pools[1]);
    so_pool_close(&pools[2]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_agrees),      cmocka_unit_test(gemm_bf16_agrees),
        cmocka_unit_test(linear_agrees),    cmocka_unit_test(row_agrees),
        cmocka_unit_test(unary_agrees),     cmocka_unit_test(swiglu_agrees),
        cmocka_unit_test(axpy_agrees),      cmocka_unit_test(sum_rows_agrees),
        cmocka_unit_test(norm_agrees),      cmocka_unit_test(rope_agrees),
        cmocka_unit_test(softmax_agrees),   cmocka_unit_test(cross_entropy_agrees),
        cmocka_unit_test(attention_agrees), cmocka_unit_test(functions_are_accurate),
        cmocka_unit_test(patches_agrees),   cmocka_unit_test(group_norm_agrees),
        cmocka_unit_test(snake_agrees),     cmocka_unit_test(snake_is_accurate),
        cmocka_unit_test(fourier_agrees),   cmocka_unit_test(bf16_linear_agrees),
        cmocka_unit_test(bf16_conv_agrees), cmocka_unit_test(bf16_attention_agrees),
        cmocka_unit_test(adam_agrees),      cmocka_unit_test(bf16_joined_agrees),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
