/* Every kernel of the codec's networks for graphics cards against the portable table.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gpu_trial.h"

/* Convolutions of every stride, dilation and padding, weights of three types. */
static void conv_case(trial *t)
{
    static const so_type stored_as[] = {SO_F32, SO_F16, SO_BF16};
    for (int i = 0; i < 3; i++) {
        so_time_conv c = {.type = stored_as[i], .batch = size(t, 1, 2), .channels = size(t, 1, 20)};
        c.n = size(t, 1, i ? 20 : 70);
        c.taps = size(t, 1, 7);
        c.stride = size(t, 1, 3);
        c.dilation = size(t, 1, 4);
        c.pad = size(t, 0, c.dilation * (c.taps - 1));
        int64_t span = c.dilation * (c.taps - 1), end = size(t, 0, 4);
        c.in = size(t, span + 1, span + (i ? 20 : 90));
        c.out = (c.in + c.pad + end - span - 1) / c.stride + 1;
        c.w = weights(t, c.type, c.n, c.channels * c.taps);
        c.bias = size(t, 0, 1) ? numbers(t, c.n, 1) : NULL;
        c.x = numbers(t, c.batch * c.in * c.channels, 1);
        c.y = out(t, c.batch * c.out * c.n);
        c.then = (int)size(t, 0, 4);
        t->k->time_conv(t->pool, &c);
    }
}

/* A convolution that keeps the length, and one of one tap beside it. */
static void side_case(trial *t)
{
    static const so_type stored_as[] = {SO_F32, SO_F16};
    for (int i = 0; i < 2; i++) {
        so_time_conv c = {.type = stored_as[i], .taps = 3, .stride = 1, .dilation = 1, .pad = 1};
        c.batch = size(t, 1, 2);
        c.channels = size(t, 1, 20);
        c.n = size(t, 1, 80);
        c.in = c.out = size(t, 1, 80);
        c.w = weights(t, c.type, c.n, c.channels * c.taps);
        c.w1 = weights(t, c.type, c.n, c.channels);
        c.bias = numbers(t, c.n, 1);
        c.bias1 = size(t, 0, 1) ? numbers(t, c.n, 1) : NULL;
        c.x = numbers(t, c.batch * c.in * c.channels, 1);
        c.y = out(t, c.batch * c.out * c.n);
        c.y1 = out(t, c.batch * c.out * c.n);
        c.then = (int)size(t, 0, 4);
        t->k->time_conv(t->pool, &c);
    }
}

/* Products with what stands before and after them: of many rows behind a norm, of few. */
static void joined_case(trial *t)
{
    static const so_type stored_as[] = {SO_F32, SO_F16, SO_Q8_0, SO_Q4_K};
    for (int i = 0; i < 4; i++) {
        so_product p[20] = {{.type = stored_as[i]}};
        so_joined j = {.count = size(t, 1, 3), .product = p, .eps = 1e-5f, .then = (int)size(t, 0, 4)};
        int64_t most = (i == 3 ? 1 : 3), times = i == 3 ? 256 : 32, n = size(t, 1, 90);
        j.k = size(t, 1, most) * times;
        bool few = size(t, 0, 2) == 0;
        j.m = few ? size(t, 1, 8) : size(t, 9, 80);
        if (few && size(t, 0, 1)) j.count = size(t, 4, 20);
        if (!few && size(t, 0, 2)) j.norm_w = numbers(t, j.k, 1);
        if (j.norm_w) j.norm_b = numbers(t, j.k, 1);
        j.x = numbers(t, j.m * j.k, 1);
        float *all = j.count > 3 ? out(t, j.count * j.m * n) : NULL;
        for (int64_t c = 0; c < j.count; c++) {
            p[c] = (so_product){.type = stored_as[i], .n = c || all ? n : size(t, 1, 90)};
            p[c].w = weights(t, p[c].type, p[c].n, j.k);
            if (j.count < 4) p[c].bias = numbers(t, p[c].n, 1);
            p[c].y = all ? all + c * j.m * n : out(t, j.m * p[c].n);
        }
        if (j.count == 1) p[0].add = numbers(t, j.m * p[0].n, 1);
        t->k->joined(t->pool, &j);
    }
}

static void question_case(trial *t)
{
    so_question q = {.rows = size(t, 1, 40), .cols = size(t, 1, 30)};
    q.x = numbers(t, q.rows * q.cols, 1);
    q.mu = numbers(t, q.rows * q.cols, 1);
    q.speaker = numbers(t, q.cols, 1);
    q.cond = size(t, 0, 1) ? numbers(t, q.rows * q.cols, 1) : NULL;
    q.y = out(t, 8 * q.rows * q.cols);
    t->k->question(t->pool, &q);
}

static void transposed_case(trial *t)
{
    static const so_type stored_as[] = {SO_F32, SO_F16};
    for (int i = 0; i < 2; i++) {
        so_time_conv c = {.type = stored_as[i], .batch = size(t, 1, 2), .transposed = true, .dilation = 1};
        c.channels = size(t, 1, 20);
        c.n = size(t, 1, 20);
        c.stride = size(t, 1, 8);
        c.taps = size(t, 1, 2 * c.stride);
        c.in = size(t, 1, i ? 20 : 90);
        int64_t all = (c.in - 1) * c.stride + c.taps;
        c.pad = size(t, 0, (all - 1) / 2 < c.taps ? (all - 1) / 2 : c.taps);
        c.out = all - 2 * c.pad;
        c.w = weights(t, c.type, c.channels, c.n * c.taps);
        c.bias = size(t, 0, 1) ? numbers(t, c.n, 1) : NULL;
        c.x = numbers(t, c.batch * c.in * c.channels, 1);
        c.y = out(t, c.batch * c.out * c.n);
        t->k->time_conv(t->pool, &c);
    }
}

static void relative_case(trial *t)
{
    so_relative a = {
        .batch = size(t, 1, 2), .rows = size(t, 1, 90), .heads = size(t, 1, 2), .width = size(t, 1, 40), .scale = 0.3f};
    int64_t cols = a.heads * a.width, cells = a.batch * a.rows * cols;
    a.q = numbers(t, cells, 1);
    a.k = numbers(t, cells, 1);
    a.v = numbers(t, cells, 1);
    a.position = numbers(t, (2 * a.rows - 1) * cols, 1);
    a.u = numbers(t, cols, 1);
    a.w = numbers(t, cols, 1);
    a.y = out(t, cells);
    t->k->relative(t->pool, &a);
}

static void group_norm_case(trial *t)
{
    so_norm n = {.batch = size(t, 1, 2), .rows = size(t, 1, 40), .groups = size(t, 1, 8), .eps = 1e-5f};
    n.cols = n.groups * size(t, 1, 9);
    n.x = numbers(t, n.batch * n.rows * n.cols, 3);
    n.w = numbers(t, n.cols, 1);
    n.b = numbers(t, n.cols, 1);
    n.y = out(t, n.batch * n.rows * n.cols);
    t->k->group_norm(t->pool, &n);
    so_group_ends g = {.norm = n, .then = (int)size(t, 0, 4)};
    if (size(t, 0, 1)) g.each = numbers(t, n.batch * n.cols, 1);
    if (size(t, 0, 1)) g.add = numbers(t, n.batch * n.rows * n.cols, 1);
    g.norm.y = out(t, n.batch * n.rows * n.cols);
    t->k->group_ends(t->pool, &g);
    n.eps = 1e-12f;
    n.y = out(t, n.rows * n.cols);
    t->k->l2_norm(t->pool, &n);
}

static void fourier_case(trial *t)
{
    float window[SO_SHORT_FRAME];
    so_short_fourier s = {.batch = size(t, 1, 2), .n = 2 * size(t, 1, 16), .hop = size(t, 1, 6), .window = window};
    if (s.hop > s.n) s.hop = s.n;
    s.pad = size(t, 0, s.n / 2);
    s.samples = s.n + size(t, 0, 300);
    s.frames = 1 + (s.samples + 2 * s.pad - s.n) / s.hop;
    for (int64_t i = 0; i < s.n; i++) window[i] = (float)so_rng_uniform(&t->rng) + 0.1f;
    s.x = numbers(t, s.batch * s.samples, 1);
    s.y = out(t, s.batch * s.frames * (s.n + 2));
    t->k->short_stft(t->pool, &s);
    s.x = numbers(t, s.batch * s.frames * (s.n + 2), 1);
    s.samples = (s.frames - 1) * s.hop + s.n - 2 * s.pad;
    s.y = out(t, s.batch * s.samples);
    if (s.samples > 0) t->k->short_istft(t->pool, &s);
}

static void polar_case(trial *t)
{
    int64_t rows = size(t, 0, 20), bins = size(t, 1, 12), n = rows * bins * 2;
    t->k->polar(t->pool, rows, bins, 3, numbers(t, n, 2), out(t, n));
}

/* Ids are compared as the numbers that their bytes make; codes are apart enough for every order of sums. */
static void nearest_case(trial *t)
{
    so_nearest n = {.rows = size(t, 1, 20), .codes = size(t, 1, 70), .cols = size(t, 4, 40)};
    float *zeros = calloc((size_t)(n.codes + n.rows * n.codes), sizeof *zeros);
    n.x = numbers(t, n.rows * n.cols, 1);
    n.code = numbers(t, n.codes * n.cols, 1);
    n.work = stored(t, zeros, (size_t)(n.codes + n.rows * n.codes) * sizeof *zeros);
    free(zeros);
    n.ids = (int32_t *)(void *)out(t, n.rows);
    t->k->nearest(t->pool, &n);
}

static void rows_case(trial *t)
{
    int64_t rows = size(t, 1, 30), cols = size(t, 1, 90), n = rows * cols, batch = size(t, 1, 3), most = size(t, 0, 20);
    float *x = numbers(t, n, 2), *alpha = numbers(t, cols, 1), *y = out(t, n);
    t->k->fill(t->pool, n, 0.75f, y);
    t->k->clamp(t->pool, n, 1.5f, x, out(t, n));
    t->k->snake(t->pool, rows, cols, x, alpha, out(t, n));
    int64_t from = size(t, 0, cols - 1), width = size(t, 1, cols - from), to = size(t, 0, 5);
    t->k->fill(t->pool, rows * (width + to), -1, y = out(t, rows * (width + to)));
    t->k->columns(t->pool, &(so_columns){rows, width, cols, width + to, x + from, y + to, 0, NULL});
    so_columns both = {
        rows, width, cols, width + to, x + from, out(t, rows * (width + to)), to, numbers(t, rows * to, 1)};
    t->k->columns(t->pool, &both);
    so_each e = {.batch = batch, .each = rows, .cols = cols, .add = numbers(t, batch * cols, 1)};
    e.x = numbers(t, batch * n, 1);
    e.y = out(t, batch * n);
    t->k->add_each(t->pool, &e);
    int32_t index[20];
    float weight[20];
    for (int64_t i = 0; i < most; i++) {
        index[i] = (int32_t)size(t, 0, rows - 1);
        weight[i] = index[i] + 1 < rows && size(t, 0, 3) ? (float)so_rng_uniform(&t->rng) : 0;
    }
    t->k->lerp(t->pool, &(so_lerp){rows, cols, most, index, weight, x, out(t, most * cols)});
}

CASE(conv, 1e-5, 3e-6, 3)
CASE(side, 1e-5, 3e-6, 3)
CASE(joined, 3e-5, 3e-6, 4)
CASE(question, 0, 0, 3)
CASE(transposed, 1e-5, 3e-6, ROUNDS)
CASE(relative, 2e-5, 2e-5, 3)
CASE(group_norm, 1e-5, 5e-6, ROUNDS)
CASE(fourier, 1e-5, 3e-6, ROUNDS)
CASE(polar, 3e-6, 3e-6, ROUNDS)
CASE(nearest, 0, 0, ROUNDS)
CASE(rows, 5e-5, 2e-6, ROUNDS)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_agrees),       cmocka_unit_test(transposed_agrees), cmocka_unit_test(relative_agrees),
        cmocka_unit_test(group_norm_agrees), cmocka_unit_test(fourier_agrees),    cmocka_unit_test(polar_agrees),
        cmocka_unit_test(nearest_agrees),    cmocka_unit_test(rows_agrees),       cmocka_unit_test(side_agrees),
        cmocka_unit_test(joined_agrees),     cmocka_unit_test(question_agrees),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
