/* Products rounded to bf16 for inference under the same harness. All tables round the same numbers, so that linear
 * layers and convolutions differ by the order of sums only; the probabilities of attention are rounded after an
 * exponential, and tables without the instruction, and calls with few rows, keep them. Included by table.c.
 * SPDX-License-Identifier: Apache-2.0 */

static void *layout(trial *t, size_t bytes)
{
    char *p = keep(t, bytes + 64);
    return p + (64 - (uintptr_t)p % 64) % 64;
}

static void bf16_linear_case(trial *t)
{
    bool large = size(t, 0, 3) == 0;
    int64_t m = size(t, 1, large ? 300 : 60), n = size(t, 1, large ? 600 : 80), k = size(t, 1, large ? 1700 : 90);
    int64_t ldx = size(t, 0, 1) ? k : size(t, 1, k + 3), ldy = n + size(t, 0, 2);
    float *w = in(t, n * k), *x = in(t, (m - 1) * ldx + k), *bias = size(t, 0, 1) ? in(t, n) : NULL,
          *y = out(t, m * ldy);
    void *packed = layout(t, t->k->bf16_bytes(n, k));
    t->k->bf16_pack(t->pool, n, k, w, packed);
    t->k->bf16_linear(
        t->pool, &(so_bf16_product){
                     .layout = packed, .n = n, .k = k, .x = x, .ldx = ldx, .m = m, .bias = bias, .y = y, .ldy = ldy});
}

/* Several products of the same rows, and what comes after them; where a table has no entry for that, its parts. */
static void bf16_joined_case(trial *t)
{
    static const int functions[] = {0, 1 + SO_SILU, 1 + SO_GELU, 1 + SO_MISH};
    bool large = size(t, 0, 3) == 0;
    const int count = (int)size(t, 1, SO_PRODUCTS);
    int64_t m = size(t, 1, large ? 300 : 60), k = size(t, 1, large ? 1700 : 90), ldx = k + size(t, 0, 3);
    float *x = in(t, (m - 1) * ldx + k);
    so_bf16_product p[SO_PRODUCTS];
    so_bf16_ends ends = {.then = functions[size(t, 0, 3)]};
    for (int i = 0; i < count; i++) {
        int64_t n = size(t, 1, large ? 400 : 80), ldy = n + size(t, 0, 2);
        float *w = in(t, n * k), *bias = size(t, 0, 1) ? in(t, n) : NULL;
        void *packed = layout(t, t->k->bf16_bytes(n, k));
        t->k->bf16_pack(t->pool, n, k, w, packed);
        p[i] = (so_bf16_product){.layout = packed,
                                 .n = n,
                                 .k = k,
                                 .x = x,
                                 .ldx = ldx,
                                 .m = m,
                                 .bias = bias,
                                 .y = out(t, m * ldy),
                                 .ldy = ldy};
    }
    if (count == 1 && size(t, 0, 1)) ends.add = in(t, m * p[0].ldy);
    if (t->k->bf16_joined) {
        t->k->bf16_joined(t->pool, count, p, &ends);
        return;
    }
    for (int i = 0; i < count; i++) {
        t->k->bf16_linear(t->pool, &p[i]);
        for (int64_t r = 0; r < m; r++) {
            float *y = p[i].y + r * p[i].ldy;
            if (ends.then) t->k->unary(NULL, (so_unary)(ends.then - 1), p[i].n, y, y);
            if (ends.add) t->k->axpy(NULL, p[i].n, 1, ends.add + r * p[i].ldy, y);
        }
    }
}

static void bf16_conv_case(trial *t)
{
    bool large = size(t, 0, 3) == 0;
    int64_t n = size(t, 1, 40), C = size(t, 1, large ? 200 : 40), taps = size(t, 1, 7);
    so_conv c = {
        size(t, 1, 3),      C, {1, size(t, 1, large ? 700 : 60)}, {1, taps}, {1, size(t, 1, 3)}, {1, size(t, 1, 5)},
        {0, size(t, 0, 12)}};
    int64_t most = c.in[1] + 2 * c.pad[1];
    c.out[0] = 1;
    c.out[1] = size(t, 1, (most - 1) / c.stride[1] + 1);
    float *w = in(t, n * C * taps), *x = in(t, c.batch * c.in[1] * C), *bias = size(t, 0, 1) ? in(t, n) : NULL;
    float *y = out(t, c.batch * c.out[1] * n);
    void *packed = layout(t, t->k->bf16_conv_bytes(n, C, taps));
    t->k->bf16_conv_pack(t->pool, n, C, taps, w, packed);
    assert_true(
        t->k->bf16_conv(t->pool, &c, &(so_bf16_product){.layout = packed, .n = n, .x = x, .bias = bias, .y = y}));
    c.out[0] = 2;
    assert_false(
        t->k->bf16_conv(t->pool, &c, &(so_bf16_product){.layout = packed, .n = n, .x = x, .bias = bias, .y = y}));
}

static void bf16_attention_case(trial *t)
{
    attn_trial s = {0};
    attention_shape(t, &s);
    for (int64_t i = 0; s.a.lo && i < s.rows; i++) /* a row that sees nothing has no answer */
        if (s.a.lo[i] > s.a.hi[i]) ((int32_t *)so_mutable(s.a.lo))[i] = s.a.hi[i];
    t->k->bf16_attention(t->pool, &s.a, s.q, out(t, s.rows * s.a.heads * s.a.width));
}

CASE(bf16_linear, 3e-6, 3e-6)
CASE(bf16_joined, 5e-6, 5e-6)
CASE(bf16_conv, 3e-6, 3e-6)
CASE(bf16_attention, 2.5e-2, 8e-3)
