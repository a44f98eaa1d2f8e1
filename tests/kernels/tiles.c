/* Kernels on matrix tiles: the operations of the doubles against what the manual says (and of the unit against the
 * doubles, where it is), every entry over them against the portable table at the edges of its blocks, and what is done
 * where the processor or the system does not give them. Which of the tables were there is told.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <errno.h>

#include "backend/cpu/ref/portable.h"
#include "backend/cpu/tiles.h"
#include "base/rng.h"

#if !defined(__x86_64__)
int main(void)
{
    fputs("# SKIP: matrix tiles are a thing of x86\n", stderr);
    puts("1..1\nok 1 - matrix tiles # SKIP");
    return 0;
}
#else

static so_rng rng;
static so_pool *pools[3];

static void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(p);
    return p;
}

static float *numbers(int64_t n)
{
    float *p = room((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = (float)so_rng_normal(&rng);
    return p;
}

/* ---- operations */

static float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

static float bf16_of(const unsigned char *p) { return flushed(so_from_bf16((uint16_t)(p[0] | p[1] << 8))); }

/* c[i][j] of the manual's pseudo-code. */
static float dot_bf16(int bytes, const unsigned char *a, const unsigned char *b, float c)
{
    float even = 0, odd = 0;
    for (int l = 0; l < bytes / 4; l++) {
        even = flushed(fmaf(bf16_of(a + 4 * l), bf16_of(b + 64 * l), even));
        odd = flushed(fmaf(bf16_of(a + 4 * l + 2), bf16_of(b + 64 * l + 2), odd));
    }
    return flushed(flushed(c) + flushed(even + odd));
}

static uint32_t dot_bytes(so_tile_dot dot, int bytes, const unsigned char *a, const unsigned char *b, uint32_t c)
{
    for (int l = 0; l < bytes; l++) {
        int x = a[l], y = b[l / 4 * 64 + l % 4];
        if (dot != SO_TILE_INT8_US) x = (int8_t)x;
        if (dot != SO_TILE_INT8_SU) y = (int8_t)y;
        c += (uint32_t)(x * y);
    }
    return c;
}

/* Bits of bf16 numbers: any, or of moderate size, or subnormal ones and zeros among small ones. */
static void draw_bf16(unsigned char *p, int round)
{
    for (int i = 0; i < 512; i++) {
        uint16_t h = (uint16_t)so_rng_u64(&rng);
        if (round % 3 == 1) h = so_to_bf16((float)so_rng_normal(&rng));
        if (round % 3 == 2) h = (uint16_t)((h & 0x807f) | (unsigned)so_rng_range(&rng, 0, 70) << 7);
        memcpy(p + 2 * i, &h, 2);
    }
}

static void try_operation(const char *name, so_tile_try_fn *fn, int round)
{
    unsigned char a[1024], b[1024], c[1024], before[1024];
    const so_tile_dot dot = (so_tile_dot)(round % 4);
    const int bytes = 64 >> round / 4 % 3;
    for (int i = 0; i < 1024; i++) {
        a[i] = (unsigned char)so_rng_u64(&rng);
        b[i] = (unsigned char)so_rng_u64(&rng);
        before[i] = (unsigned char)so_rng_u64(&rng);
    }
    if (dot == SO_TILE_BF16) {
        draw_bf16(a, round / 12);
        draw_bf16(b, round / 12);
        for (int i = 0; i < 256 && round / 12 % 2; i++) {
            float x = (float)so_rng_normal(&rng) * (i % 9 ? 1 : 1e-39f);
            memcpy(before + 4 * i, &x, 4);
        }
    }
    memcpy(c, before, sizeof c);
    fn(dot, bytes, a, b, c);
    for (int i = 0; i < 256; i++) {
        uint32_t got, was;
        memcpy(&got, c + 4 * i, 4);
        memcpy(&was, before + 4 * i, 4);
        uint32_t want = dot_bytes(dot, bytes, a + i / 16 * 64, b + i % 16 * 4, was);
        if (dot == SO_TILE_BF16) {
            float x, y;
            memcpy(&x, &was, 4);
            x = dot_bf16(bytes, a + i / 16 * 64, b + i % 16 * 4, x);
            memcpy(&want, &x, 4);
            memcpy(&y, &got, 4);
            if (isnan(x) && isnan(y)) continue;
        }
        if (got != want) fail_msg("%s, round %d: place %d is %08x, expected %08x", name, round, i, got, want);
    }
}

static const so_kernels *table_named(const char *name)
{
    for (int i = 0; so_kernels_at(i); i++)
        if (strcmp(so_kernels_at(i)->name, name) == 0) return so_kernels_at(i);
    return NULL;
}

static void operations_are_those_of_the_manual(void **state)
{
    (void)state;
    const struct {
        const char *name;
        so_tile_try_fn *fn;
    } all[] = {{"amx-plain", so_tile_try_amx_plain}, {"amx-double", so_tile_try_amx_double}, {"amx", so_tile_try_amx}};
    for (int i = 0; i < 3; i++) {
        const char *why = so_kernels_without_tiles();
        fprintf(stderr, "# matrix tiles: table %s %s%s%s\n", all[i].name, table_named(all[i].name) ? "tried" : "absent",
                i == 2 && why ? ": " : "", i == 2 && why ? why : "");
        for (int round = 0; table_named(all[i].name) && round < 144; round++)
            try_operation(all[i].name, all[i].fn, round);
    }
}

/* ---- entries of the table */

static bool on_tiles(const so_kernels *k) { return strncmp(k->name, "amx", 3) == 0; }

/* What every table on tiles makes of n outputs, for 1, 2 and 3 threads, against the portable one. */
typedef void (*entry_fn)(const so_kernels *k, so_pool *pool, const void *job, float *y);
static void compare(const char *what, entry_fn fn, const void *job, int64_t n, double max_abs, double rel_l2)
{
    float *want = numbers(n), *before = room((size_t)n * sizeof *before), *got = room((size_t)n * sizeof *got),
          *one = room((size_t)n * sizeof *one);
    memcpy(before, want, (size_t)n * sizeof *before);
    fn(so_kernels_c(), NULL, job, want);
    for (int i = 0; so_kernels_at(i); i++) {
        const so_kernels *k = so_kernels_at(i);
        for (int t = 0; t < 3 && on_tiles(k); t++) {
            char name[128];
            snprintf(name, sizeof name, "%s, %s, %d threads", what, k->name, t + 1);
            memcpy(got, before, (size_t)n * sizeof *got);
            fn(k, pools[t], job, got);
            if (t == 0) {
                check_close(name, got, want, n, max_abs, rel_l2);
                memcpy(one, got, (size_t)n * sizeof *one);
            } else if (memcmp(one, got, (size_t)n * sizeof *one)) {
                fail_msg("%s: other bits than 1 thread", name);
            }
        }
    }
    free(want);
    free(before);
    free(got);
    free(one);
}

static void run_gemm(const so_kernels *k, so_pool *pool, const void *job, float *y)
{
    so_gemm g = *(const so_gemm *)job;
    g.c = y;
    k->gemm_bf16(pool, &g);
}

static void gemm_agrees(void **state)
{
    (void)state;
    static const int64_t shape[][3] = {{1, 1, 1},     {16, 16, 32},   {33, 47, 65},  {330, 20, 40},
                                       {20, 340, 33}, {17, 33, 1100}, {70, 90, 513}, {200, 190, 130},
                                       {9, 17, 3300}, {530, 16, 1600}}; /* k and m beyond what the scratch holds */
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++)
        for (int turn = 0; turn < 4; turn++) {
            int64_t m = shape[s][0], n = shape[s][1], k = shape[s][2];
            so_gemm g = {
                .ta = turn & 1, .tb = turn & 2, .m = m, .n = n, .k = k, .beta = (float)(s % 2), .ldc = n + turn};
            g.lda = (g.ta ? m : k) + 1;
            g.ldb = (g.tb ? k : n) + 2;
            float *a = numbers(m * k + (m + k) * 2), *b = numbers(n * k + (n + k) * 3);
            g.a = a;
            g.b = b;
            compare("gemm_bf16", run_gemm, &g, m * g.ldc, 3e-6, 3e-6);
            free(a);
            free(b);
        }
}

typedef struct linear_job {
    so_bf16_product p;
    const float *w;
} linear_job;

static void run_linear(const so_kernels *k, so_pool *pool, const void *job, float *y)
{
    const linear_job *j = job;
    so_bf16_product p = j->p;
    void *layout = room(k->bf16_bytes(p.n, p.k));
    k->bf16_pack(pool, p.n, p.k, j->w, layout);
    p.layout = layout;
    p.y = y;
    k->bf16_linear(pool, &p);
    free(layout);
}

static void linear_agrees(void **state)
{
    (void)state;
    static const int64_t shape[][3] = {{1, 1, 1},     {16, 48, 32},  {650, 20, 33},  {17, 33, 1100},
                                       {64, 500, 70}, {90, 64, 520}, {33, 17, 16500}};
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++)
        for (int bias = 0; bias < 2; bias++) {
            linear_job j = {.p = {.m = shape[s][0], .n = shape[s][1], .k = shape[s][2]}};
            float *w = numbers(j.p.n * j.p.k), *x = numbers(j.p.m * (j.p.k + 3)), *b = numbers(j.p.n);
            j.w = w;
            j.p.x = x;
            j.p.ldx = j.p.k + (bias ? 3 : 0);
            j.p.ldy = j.p.n + bias;
            j.p.bias = bias ? b : NULL;
            /* Sums in another order part as the root of how many numbers there are. */
            double bar = j.p.k > 10000 ? 1e-5 : 3e-6;
            compare("bf16_linear", run_linear, &j, j.p.m * j.p.ldy, bar, bar);
            free(w);
            free(x);
            free(b);
        }
}

/* A row's numbers do not depend on the rows beside it. */
static void rows_do_not_depend_on_company(void **state)
{
    (void)state;
    enum { M = 37, N = 50, K = 700 };
    float *w = numbers(N * K), *x = numbers(M * K), *all = numbers(M * N), *one = numbers(N);
    for (int i = 0; so_kernels_at(i); i++) {
        if (!on_tiles(so_kernels_at(i))) continue;
        linear_job j = {.p = {.m = M, .n = N, .k = K, .x = x, .ldx = K, .ldy = N}, .w = w};
        run_linear(so_kernels_at(i), NULL, &j, all);
        j.p.m = 1;
        for (int r = 0; r < M; r += 9) {
            j.p.x = x + r * K;
            run_linear(so_kernels_at(i), NULL, &j, one);
            assert_memory_equal(one, all + r * N, N * sizeof *one);
        }
    }
    free(w);
    free(x);
    free(all);
    free(one);
}

typedef struct conv_job {
    so_conv c;
    so_bf16_product p;
    const float *w;
    int64_t taps;
} conv_job;

static void run_conv(const so_kernels *k, so_pool *pool, const void *job, float *y)
{
    const conv_job *j = job;
    so_bf16_product p = j->p;
    void *layout = room(k->bf16_conv_bytes(p.n, j->c.channels, j->taps));
    k->bf16_conv_pack(pool, p.n, j->c.channels, j->taps, j->w, layout);
    p.layout = layout;
    p.y = y;
    assert_true(k->bf16_conv(pool, &j->c, &p));
    free(layout);
}

static void conv_agrees(void **state)
{
    (void)state;
    /* batch, frames, channels, n, taps, stride, dilation, pad */
    static const int64_t shape[][8] = {{1, 1, 1, 1, 1, 1, 1, 0},      {2, 40, 32, 16, 3, 1, 1, 1},
                                       {1, 300, 20, 33, 3, 1, 2, 2},  {3, 77, 33, 40, 7, 2, 3, 9},
                                       {1, 50, 200, 17, 5, 1, 1, 4},  {1, 600, 5, 20, 4, 3, 1, 0},
                                       {1, 64, 1500, 16, 3, 1, 1, 1}, {2, 19, 70, 18, 2, 5, 1, 12}};
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        const int64_t *h = shape[s];
        conv_job j = {.c = {h[0], h[2], {1, h[1]}, {1, h[4]}, {1, h[5]}, {1, h[6]}, {0, h[7]}}, .taps = h[4]};
        j.c.out[0] = 1;
        j.c.out[1] = (h[1] + 2 * h[7] - h[6] * (h[4] - 1) - 1) / h[5] + 1;
        j.p.n = h[3];
        float *w = numbers(h[3] * h[2] * h[4]), *x = numbers(h[0] * h[1] * h[2]), *bias = numbers(h[3]);
        j.w = w;
        j.p.x = x;
        j.p.bias = s % 2 ? bias : NULL;
        compare("bf16_conv", run_conv, &j, h[0] * j.c.out[1] * h[3], 3e-6, 3e-6);
        j.c.out[0] = 2;
        for (int i = 0; so_kernels_at(i); i++)
            if (on_tiles(so_kernels_at(i))) assert_false(so_kernels_at(i)->bf16_conv(NULL, &j.c, &j.p));
        free(w);
        free(x);
        free(bias);
    }
}

typedef struct attn_job {
    so_attn a;
    const float *q;
} attn_job;

static void run_attention(const so_kernels *k, so_pool *pool, const void *job, float *y)
{
    const attn_job *j = job;
    k->bf16_attention(pool, &j->a, j->q, y);
}

/* Causal, full and ranges; widths, keys and queries around the sizes of blocks; keys stored as f16 too. */
static void attention_agrees(void **state)
{
    (void)state;
    static const int64_t shape[][4] = {
        {8, 8, 16, 0}, {33, 45, 24, 0}, {40, 530, 64, 1}, {70, 600, 80, 2}, {9, 700, 128, 1}};
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++)
        for (int half = 0; half < 2; half++) {
            int64_t rows = shape[s][0], keys = shape[s][1], d = shape[s][2], mode = shape[s][3], kv = 2, heads = 4;
            float *k = numbers(keys * kv * d), *v = numbers(keys * kv * d), *q = numbers(rows * heads * d);
            uint16_t *packed = room((size_t)(2 * keys * kv * d) * 2);
            for (int64_t i = 0; i < keys * kv * d; i++) {
                packed[i] = so_to_f16(k[i]);
                packed[keys * kv * d + i] = so_to_f16(v[i]);
                if (half) k[i] = so_from_f16(packed[i]), v[i] = so_from_f16(packed[keys * kv * d + i]);
            }
            int32_t *lo = room((size_t)rows * 4), *hi = room((size_t)rows * 4);
            for (int64_t r = 0; r < rows; r++)
                lo[r] = (int32_t)(r * 3 % keys), hi[r] = (int32_t)(r % 7 ? keys - r % 5 : r * 3 % keys);
            so_attn_seg seg = {
                .q_rows = rows, .k = k, .v = v, .kv_rows = keys, .kv_stride = kv * d, .pos0 = keys - rows};
            attn_job j = {
                .a = {.heads = heads, .kv_heads = kv, .width = d, .causal = mode == 0, .n_segs = 1, .seg = &seg},
                .q = q};
            j.a.scale = 1 / sqrtf((float)d);
            if (mode == 2) j.a.lo = lo, j.a.hi = hi;
            if (half) { /* the portable kernel reads numbers; tables on tiles decode them */
                float *want = numbers(rows * heads * d), *got = numbers(rows * heads * d);
                run_attention(so_kernels_c(), NULL, &j, want);
                seg.kv_type = SO_F16;
                seg.k = (const float *)(const void *)packed;
                seg.v = (const float *)(const void *)(packed + keys * kv * d);
                for (int i = 0; so_kernels_at(i); i++)
                    if (on_tiles(so_kernels_at(i))) {
                        run_attention(so_kernels_at(i), pools[1], &j, got);
                        check_close("attention of stored keys", got, want, rows * heads * d, 2.5e-2, 8e-3);
                    }
                free(want);
                free(got);
            } else {
                compare("bf16_attention", run_attention, &j, rows * heads * d, 2.5e-2, 8e-3);
            }
            free(k);
            free(v);
            free(q);
            free(packed);
            free(lo);
            free(hi);
        }
}

/* ---- attention of training: forward with log-sum-exp, and both back */

enum { OUT, LSE, DQ, DK, DV, LEARNT };

typedef struct learn_job {
    so_attn a;
    const so_attn_seg *seg;
    const float *q, *dout;
    int64_t rows, keys; /* of all sequences */
    int part;
    bool alone; /* the other slopes are not wanted */
} learn_job;

/* y is the part that the job names. Reference tables, which have no such entry, attend in float. */
static void run_learning(const so_kernels *k, so_pool *pool, const void *job, float *y)
{
    const learn_job *j = job;
    const int64_t wide = j->a.heads * j->a.width, stride = j->a.kv_heads * j->a.width;
    const int64_t size[LEARNT] = {j->rows * wide, j->rows * j->a.heads, j->rows * wide, j->keys * stride,
                                  j->keys * stride};
    float *at[LEARNT];
    for (int i = 0; i < LEARNT; i++) {
        at[i] = i == j->part ? y : room((size_t)size[i] * sizeof *y);
        if (i != j->part) memset(at[i], 0, (size_t)size[i] * sizeof *y);
    }
    so_attn_seg seg[3];
    so_attn a = j->a;
    for (int64_t i = 0; i < a.n_segs; i++) {
        seg[i] = j->seg[i];
        const int64_t from = seg[i].k - j->seg[0].k;
        if (!j->alone || j->part == DK) seg[i].dk = at[DK] + from;
        if (!j->alone || j->part == DV) seg[i].dv = at[DV] + from;
    }
    a.seg = seg;
    (k->attention_bf16 ? k->attention_bf16 : k->attention)(pool, &a, j->q, at[OUT], at[LSE]);
    const so_attn_back back = {
        .q = j->q, .out = at[OUT], .lse = at[LSE], .dout = j->dout, .dq = !j->alone || j->part == DQ ? at[DQ] : NULL};
    if (j->part >= DQ) (k->attention_bf16_back ? k->attention_bf16_back : k->attention_back)(pool, &a, &back);
    for (int i = 0; i < LEARNT; i++)
        if (i != j->part) free(at[i]);
}

/* Causal, full and ranges; sequences of their own, and such that share keys; heads that share keys. */
static void learning_attention_agrees(void **state)
{
    (void)state;
    static const char *const name[] = {"out", "lse", "dq", "dk", "dv"};
    static const int64_t shape[][5] = {/* rows, keys and width, heads that share keys, mode */
                                       {8, 8, 16, 1, 0},     {45, 45, 24, 2, 0},  {40, 530, 64, 1, 1},
                                       {130, 300, 80, 4, 2}, {9, 257, 128, 2, 1}, {70, 70, 48, 1, 3}};
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        const int64_t rows = shape[s][0], keys = shape[s][1], d = shape[s][2], mode = shape[s][4], kv = 2,
                      heads = kv * shape[s][3];
        float *k = numbers(2 * keys * kv * d), *v = numbers(2 * keys * kv * d), *q = numbers(2 * rows * heads * d),
              *dout = numbers(2 * rows * heads * d);
        int32_t *lo = room((size_t)rows * 8), *hi = room((size_t)rows * 8);
        for (int64_t r = 0; r < 2 * rows; r++)
            lo[r] = (int32_t)(r * 3 % keys), hi[r] = (int32_t)(r % 7 ? keys - r % 5 : r * 3 % keys);
        for (int64_t r = 0; r < 2 * rows; r++)
            if (hi[r] < lo[r]) hi[r] = lo[r];
        so_attn_seg seg[2] = {
            {.q_rows = rows, .k = k, .v = v, .kv_rows = keys, .kv_stride = kv * d, .pos0 = keys - rows}};
        seg[1] = seg[0];
        seg[1].q_row0 = rows;
        if (mode != 3) seg[1].k = k + keys * kv * d, seg[1].v = v + keys * kv * d;
        learn_job j = {.a = {.heads = heads, .kv_heads = kv, .width = d, .causal = mode == 0, .n_segs = 2, .seg = seg},
                       .seg = seg,
                       .q = q,
                       .dout = dout,
                       .rows = 2 * rows,
                       .keys = 2 * keys};
        j.a.scale = 1 / sqrtf((float)d);
        if (mode == 2) j.a.lo = lo, j.a.hi = hi;
        const int64_t n[LEARNT] = {2 * rows * heads * d, 2 * rows * heads, 2 * rows * heads * d, 2 * keys * kv * d,
                                   2 * keys * kv * d};
        for (int i = 0; i < 2 * LEARNT; i++) {
            j.part = i / 2;
            j.alone = i % 2;
            compare(name[j.part], run_learning, &j, n[j.part], 6e-2, 8e-3);
        }
        free(k);
        free(v);
        free(q);
        free(dout);
        free(lo);
        free(hi);
    }
}

/* ---- what the machine says */

static unsigned features, xsave = 1u << 27, names = 2, asked_for;
static uint64_t saved = 3ull << 17;
static long answer;
static int requests;

static bool fake_cpuid(unsigned leaf, unsigned sub, unsigned reg[4])
{
    memset(reg, 0, 4 * sizeof *reg);
    if (leaf == 7 && sub == 0) return reg[3] = features, true;
    if (leaf == 1) return reg[2] = xsave, true;
    if (leaf == 0x1d && sub == 0 && names > 0) return reg[0] = 1, true;
    if (leaf == 0x1d && sub == 1 && names > 1) return reg[1] = 8u << 16 | 64, reg[2] = 16, true;
    return false;
}

static uint64_t fake_xgetbv(void)
{
    assert_true(xsave >> 27 & 1); /* else the instruction is illegal */
    return saved;
}

static long fake_request(int state)
{
    requests++;
    asked_for = (unsigned)state;
    return answer;
}

static void check_answer(bool want, const char *says)
{
    const so_tile_system fake = {fake_cpuid, fake_xgetbv, fake_request};
    char why[128] = "";
    requests = 0;
    assert_int_equal(so_tiles_granted(&fake, why), want);
    if (!want && !strstr(why, says)) fail_msg("'%s' does not say '%s'", why, says);
}

static void what_is_not_granted_is_told(void **state)
{
    (void)state;
    features = 0;
    check_answer(false, "has no AMX");
    features = 1u << 24;
    check_answer(false, "for int8 and bf16");
    features = 1u << 22 | 1u << 24 | 1u << 25;
    xsave = 0;
    check_answer(false, "does not save its state");
    xsave = 1u << 27;
    saved = 1ull << 17;
    check_answer(false, "does not save its state");
    saved = 3ull << 17;
    names = 1;
    check_answer(false, "another size");
    assert_int_equal(requests, 0); /* the system was not troubled so far */
    names = 2;
    answer = -ENOSPC;
    check_answer(false, "signal stack");
    answer = -EPERM;
    check_answer(false, strerror(EPERM));
    answer = 0;
    check_answer(true, "");
    assert_int_equal(requests, 1);
    assert_int_equal(asked_for, 18);
}

/* This machine's answer and its tables go together. */
static void this_machine_is_of_one_mind(void **state)
{
    (void)state;
    const char *why = NULL;
    bool here = so_tiles_here(&why);
    if (!here) assert_true(strlen(why) > 0);
    if (!table_named("amx")) assert_non_null(so_kernels_without_tiles());
    if (!here) assert_null(table_named("amx"));
    if (!getenv("SO_CPU")) assert_true(strncmp(so_kernels_best()->name, "amx-", 4) != 0); /* no double unasked */
}

static int start(void **state)
{
    (void)state;
    so_error error;
    so_rng_init(&rng, 3, 5);
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
        cmocka_unit_test(operations_are_those_of_the_manual),
        cmocka_unit_test(gemm_agrees),
        cmocka_unit_test(linear_agrees),
        cmocka_unit_test(rows_do_not_depend_on_company),
        cmocka_unit_test(conv_agrees),
        cmocka_unit_test(attention_agrees),
        cmocka_unit_test(learning_attention_agrees),
        cmocka_unit_test(what_is_not_granted_is_told),
        cmocka_unit_test(this_machine_is_of_one_mind),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
#endif
