/* Gradients of the codec's ops against central finite differences, in double; values against plain loops.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "nn/ops.h"

enum { MAX_IN = 6 };

typedef struct problem {
    int n_in;
    so_tensor in[MAX_IN];
    so_tensor *(*run)(so_pass *pass, struct problem *p);
    const void *more;
} problem;

static so_arena arena, inputs;
static so_rng rng;

static int setup(void **state)
{
    (void)state;
    so_error error = {0};
    so_rng_init(&rng, 7, 0);
    return so_arena_init(&arena, (size_t)1 << 30, &error) || so_arena_init(&inputs, (size_t)1 << 28, &error);
}

static int teardown(void **state)
{
    (void)state;
    so_arena_clear(&arena);
    so_arena_clear(&inputs);
    return 0;
}

static so_tensor *input(problem *p, int n_dims, int64_t a, int64_t b, int64_t c, int64_t d)
{
    so_tensor *t = &p->in[p->n_in++];
    *t = (so_tensor){.type = SO_F32, .n_dims = (int8_t)n_dims, .dim = {a, b, c, d}, .wants_grad = true};
    t->data = so_arena_zalloc(&inputs, (size_t)so_count(t) * sizeof(so_real));
    for (int64_t i = 0; i < so_count(t); i++) so_data(t)[i] = so_rng_normal(&rng);
    return t;
}

static so_tensor *run(so_pass *pass, problem *p, bool recording)
{
    so_pass_init(pass, &arena, NULL, so_kernels_c());
    pass->recording = recording;
    so_tensor *y = p->run(pass, p);
    if (!so_ok(pass)) fail_msg("%s", pass->error.text);
    return y;
}

static double value(problem *p, const double *dy)
{
    so_pass pass;
    size_t mark = so_arena_mark(&arena);
    so_tensor *y = run(&pass, p, false);
    double sum = 0;
    for (int64_t i = 0; i < so_count(y); i++) sum += so_data(y)[i] * dy[i];
    so_arena_release(&arena, mark);
    return sum;
}

/* Every gradient against (f(x+h) - f(x-h)) / 2h. Bar: 1e-6 of the largest gradient of the input. */
static void check_gradients(problem *p)
{
    so_pass pass;
    so_tensor *y = run(&pass, p, true);
    int64_t n = so_count(y);
    double *dy = so_arena_zalloc(&inputs, (size_t)n * sizeof *dy);
    for (int64_t i = 0; i < n; i++) dy[i] = so_rng_normal(&rng);
    y->grad = dy;
    for (int i = 0; i < p->n_in; i++)
        p->in[i].grad = so_arena_zalloc(&inputs, (size_t)so_count(&p->in[i]) * sizeof(so_real));
    if (so_backward_from(&pass) != SO_OK) fail_msg("%s", pass.error.text);
    for (int i = 0; i < p->n_in; i++) {
        so_tensor *x = &p->in[i];
        double largest = 1e-3, worst = 0;
        for (int64_t j = 0; j < so_count(x); j++) largest = fmax(largest, fabs(x->grad[j]));
        for (int64_t j = 0; j < so_count(x); j++) {
            double kept = so_data(x)[j], h = 1e-5;
            so_data(x)[j] = kept + h;
            double up = value(p, dy);
            so_data(x)[j] = kept - h;
            double down = value(p, dy);
            so_data(x)[j] = kept;
            worst = fmax(worst, fabs((up - down) / (2 * h) - x->grad[j]) / largest);
        }
        if (!(worst < 1e-6)) fail_msg("input %d: off by %.3g of %.3g", i, worst, largest);
    }
}

static so_tensor *run_conv1d(so_pass *pass, problem *p)
{
    return so_conv1d(pass, &p->in[0], &p->in[1], p->n_in > 2 ? &p->in[2] : NULL, *(const so_conv1 *)p->more);
}

static void conv1d_gradients(void **state)
{
    (void)state;
    static const struct {
        int64_t B, T, C, O, k;
        so_conv1 conv;
        bool bias;
    } cases[] = {
        {2, 9, 3, 4, 3, {1, 1, 1, -1}, true},    {2, 10, 3, 5, 3, {2, 1, 1, -1}, true},
        {1, 12, 2, 3, 5, {1, 6, 3, -1}, true},   {3, 7, 4, 2, 1, {0, 0, 0, 0}, true},
        {2, 33, 1, 3, 16, {8, 4, 1, -1}, false}, {1, 8, 2, 2, 4, {1, 3, 1, 0}, true},
        {2, 4, 2, 2, 7, {1, 9, 3, -1}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        problem p = {.run = run_conv1d, .more = &cases[i].conv};
        input(&p, 3, cases[i].B, cases[i].T, cases[i].C, 0);
        input(&p, 3, cases[i].O, cases[i].C, cases[i].k, 0);
        if (cases[i].bias) input(&p, 1, cases[i].O, 0, 0, 0);
        check_gradients(&p);
    }
}

static void conv1d_value(void **state)
{
    (void)state;
    so_conv1 conv = {2, 4, 3, 1};
    problem p = {.run = run_conv1d, .more = &conv};
    enum { B = 2, T = 11, C = 3, O = 4, K = 3 };
    so_tensor *x = input(&p, 3, B, T, C, 0), *w = input(&p, 3, O, C, K, 0), *bias = input(&p, 1, O, 0, 0, 0);
    so_pass pass;
    so_tensor *y = run(&pass, &p, false);
    assert_int_equal(y->dim[1], (T + 5 - 3 * (K - 1) - 1) / 2 + 1);
    for (int b = 0; b < B; b++)
        for (int t = 0; t < y->dim[1]; t++)
            for (int o = 0; o < O; o++) {
                double sum = so_data(bias)[o];
                for (int j = 0; j < K; j++) {
                    int at = t * 2 - 4 + j * 3;
                    for (int c = 0; c < C && at >= 0 && at < T; c++)
                        sum += so_data(x)[(b * T + at) * C + c] * so_data(w)[(o * C + c) * K + j];
                }
                assert_true(fabs(sum - so_data(y)[(b * y->dim[1] + t) * O + o]) < 1e-12);
            }
}

typedef struct strides {
    int64_t stride, pad;
} strides;

static so_tensor *run_transposed(so_pass *pass, problem *p)
{
    const strides *s = p->more;
    return so_conv_transpose1d(pass, &p->in[0], &p->in[1], &p->in[2], s->stride, s->pad);
}

static void conv_transpose1d_gradients(void **state)
{
    (void)state;
    static const int64_t sizes[][7] = {{2, 6, 3, 2, 4, 2, 1}, {1, 5, 2, 3, 16, 8, 4}, {2, 4, 3, 3, 3, 1, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t *s = sizes[i];
        problem p = {.run = run_transposed, .more = &(strides){s[5], s[6]}};
        so_tensor *x = input(&p, 3, s[0], s[1], s[2], 0), *w = input(&p, 3, s[2], s[3], s[4], 0);
        input(&p, 1, s[3], 0, 0, 0);
        check_gradients(&p);
        so_pass pass;
        so_tensor *y = run(&pass, &p, false);
        for (int64_t b = 0; b < s[0]; b++)
            for (int64_t t = 0; t < y->dim[1]; t++)
                for (int64_t o = 0; o < s[3]; o++) {
                    double sum = so_data(&p.in[2])[o];
                    for (int64_t u = 0; u < s[1]; u++) {
                        int64_t j = t + s[6] - u * s[5];
                        for (int64_t c = 0; c < s[2] && j >= 0 && j < s[4]; c++)
                            sum += so_data(x)[(b * s[1] + u) * s[2] + c] * so_data(w)[(c * s[3] + o) * s[4] + j];
                    }
                    assert_true(fabs(sum - so_data(y)[(b * y->dim[1] + t) * s[3] + o]) < 1e-12);
                }
    }
}

static so_tensor *run_conv2d(so_pass *pass, problem *p)
{
    const int64_t *s = p->more;
    return so_conv2d(pass, &p->in[0], &p->in[1], &p->in[2], s, s + 2);
}

static void conv2d_gradients(void **state)
{
    (void)state;
    static const int64_t sizes[][10] = {
        {2, 7, 5, 2, 3, 3, 3, 1, 1, 1}, {1, 9, 3, 2, 2, 5, 1, 3, 1, 2}, {2, 5, 11, 1, 2, 3, 9, 1, 2, 4}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t *s = sizes[i];
        int64_t geometry[4] = {s[7], s[8], s[5] == 5 ? 2 : 1, s[5] == 5 ? 0 : s[9]};
        problem p = {.run = run_conv2d, .more = geometry};
        so_tensor *x = input(&p, 4, s[0], s[1], s[2], s[3]), *w = input(&p, 4, s[4], s[3], s[5], s[6]);
        input(&p, 1, s[4], 0, 0, 0);
        check_gradients(&p);
        so_pass pass;
        so_tensor *y = run(&pass, &p, false);
        int64_t H = y->dim[1], W = y->dim[2];
        for (int64_t r = 0; r < s[0] * H * W; r++)
            for (int64_t o = 0; o < s[4]; o++) {
                double sum = so_data(&p.in[2])[o];
                for (int64_t t = 0; t < s[5] * s[6]; t++) {
                    int64_t h = r / W % H * geometry[0] - geometry[2] + t / s[6];
                    int64_t v = r % W * geometry[1] - geometry[3] + t % s[6];
                    for (int64_t c = 0; c < s[3] && h >= 0 && h < s[1] && v >= 0 && v < s[2]; c++)
                        sum += so_data(x)[((r / W / H * s[1] + h) * s[2] + v) * s[3] + c] *
                               so_data(w)[(o * s[3] + c) * s[5] * s[6] + t];
                }
                assert_true(fabs(sum - so_data(y)[r * s[4] + o]) < 1e-12);
            }
    }
}

static so_tensor *run_group_norm(so_pass *pass, problem *p)
{
    return so_group_norm(pass, &p->in[0], &p->in[1], &p->in[2], *(const int64_t *)p->more, 1e-5);
}

static void group_norm_gradients(void **state)
{
    (void)state;
    for (int64_t groups = 1; groups <= 4; groups *= 2) {
        problem p = {.run = run_group_norm, .more = &groups};
        input(&p, 3, 2, 5, 8, 0);
        input(&p, 1, 8, 0, 0, 0);
        input(&p, 1, 8, 0, 0, 0);
        check_gradients(&p);
    }
    int64_t one = 1;
    problem wide = {.run = run_group_norm, .more = &one};
    input(&wide, 3, 1, 3, 70, 0);
    input(&wide, 1, 70, 0, 0, 0);
    input(&wide, 1, 70, 0, 0, 0);
    check_gradients(&wide);
    so_pass pass;
    so_tensor *y = run(&pass, &wide, false), *x = &wide.in[0];
    double mean = 0, square = 0;
    for (int i = 0; i < 210; i++) mean += so_data(x)[i] / 210;
    for (int i = 0; i < 210; i++) square += (so_data(x)[i] - mean) * (so_data(x)[i] - mean) / 210;
    for (int i = 0; i < 210; i++) {
        double expected =
            (so_data(x)[i] - mean) / sqrt(square + 1e-5) * so_data(&wide.in[1])[i % 70] + so_data(&wide.in[2])[i % 70];
        assert_true(fabs(expected - so_data(y)[i]) < 1e-12);
    }
}

static so_tensor *run_snake(so_pass *pass, problem *p) { return so_snake(pass, &p->in[0], &p->in[1]); }
static so_tensor *run_weight_norm(so_pass *pass, problem *p) { return so_weight_norm(pass, &p->in[0], &p->in[1]); }
static so_tensor *run_add_each(so_pass *pass, problem *p) { return so_add_each(pass, &p->in[0], &p->in[1]); }
static so_tensor *run_magnitude(so_pass *pass, problem *p) { return so_magnitude(pass, &p->in[0], 1e-9); }
static so_tensor *run_polar(so_pass *pass, problem *p) { return so_polar(pass, &p->in[0], 2); }
static so_tensor *run_log_floor(so_pass *pass, problem *p) { return so_log_floor(pass, &p->in[0], 0.5); }

static so_tensor *run_clamp(so_pass *pass, problem *p) { return so_clamp(pass, &p->in[0], 0.7); }

static so_tensor *run_peak(so_pass *pass, problem *p) { return so_peak_normalise(pass, &p->in[0], 0.8); }
static so_tensor *run_median(so_pass *pass, problem *p) { return so_median_loss(pass, &p->in[0], &p->in[1], 9); }

static so_tensor *run_swap(so_pass *pass, problem *p) { return so_swap(pass, &p->in[0]); }

static so_tensor *run_batch_norm(so_pass *pass, problem *p)
{
    static so_real mean[6] = {1, 2, 3, -1, -2, -3}, var[6] = {1, 2, 3, 4, 5, 6};
    so_tensor *m = so_constant(pass, 1, (int64_t[]){6}, mean), *v = so_constant(pass, 1, (int64_t[]){6}, var);
    return so_batch_norm(pass, &p->in[0], &p->in[1], &p->in[2], m, v, 1e-5);
}

static so_tensor *run_lerp(so_pass *pass, problem *p)
{
    int32_t index[14];
    so_real weight[14];
    so_lerp_index(0, 5, 9, index, weight);
    so_lerp_index(5, 3, 5, index + 9, weight + 9);
    return so_lerp_rows(pass, &p->in[0], 14, index, weight);
}

static void elementwise_gradients(void **state)
{
    (void)state;
    static so_tensor *(*const runs[])(so_pass *, problem *) = {
        run_snake,     run_weight_norm, run_add_each, run_lerp,   run_magnitude, run_polar,
        run_log_floor, run_clamp,       run_peak,     run_median, run_swap,      run_batch_norm};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        problem p = {.run = runs[i]};
        if (runs[i] == run_add_each)
            input(&p, 3, 3, 4, 5, 0);
        else
            input(&p, 2, 8, 6, 0, 0);
        if (runs[i] == run_median) input(&p, 2, 8, 6, 0, 0);
        if (runs[i] == run_batch_norm) input(&p, 1, 6, 0, 0, 0), input(&p, 1, 6, 0, 0, 0);
        if (runs[i] == run_snake) input(&p, 1, 6, 0, 0, 0);
        if (runs[i] == run_weight_norm) input(&p, 3, 8, 1, 1, 0);
        if (runs[i] == run_add_each) input(&p, 2, 3, 5, 0, 0);
        check_gradients(&p);
    }
}

/* Linear interpolation as in the reference: 5 rows to 9, first and last rows held. */
static void lerp_value(void **state)
{
    (void)state;
    int32_t index[9];
    so_real weight[9];
    so_lerp_index(0, 5, 9, index, weight);
    for (int i = 0; i < 9; i++) {
        double at = fmax(0, (i + 0.5) * 5 / 9 - 0.5);
        assert_true(fabs(index[i] + weight[i] - fmin(at, 4)) < 1e-12);
    }
}

typedef struct scoring {
    int64_t heads;
    const so_real *bias;
    bool relative;
} scoring;

static so_tensor *run_score(so_pass *pass, problem *p)
{
    const scoring *s = p->more;
    so_score score = {.heads = s->heads, .key_bias = s->bias};
    if (s->relative) {
        score.p = &p->in[3];
        score.u = &p->in[4];
        score.v = &p->in[5];
    }
    return so_score_attention(pass, &p->in[0], &p->in[1], &p->in[2], &score);
}

static void score_attention_gradients(void **state)
{
    (void)state;
    static const so_real bias[] = {0, 0, 0, -1e10, 0, 1, 0, -1e10};
    static const scoring cases[] = {{2, NULL, true}, {2, bias, false}, {1, bias, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        problem p = {.run = run_score, .more = &cases[i]};
        for (int t = 0; t < 3; t++) input(&p, 3, 2, 4, 6, 0);
        if (cases[i].relative) {
            input(&p, 2, 7, 6, 0, 0);
            input(&p, 2, cases[i].heads, 6 / cases[i].heads, 0, 0);
            input(&p, 2, cases[i].heads, 6 / cases[i].heads, 0, 0);
        }
        check_gradients(&p);
    }
}

static so_tensor *run_stft(so_pass *pass, problem *p)
{
    const int64_t *s = p->more;
    so_frames f = {s[0], s[1], s[2], so_hann(pass, s[0])};
    return so_stft(pass, &p->in[0], &f);
}

static so_tensor *run_istft(so_pass *pass, problem *p)
{
    const int64_t *s = p->more;
    so_frames f = {s[0], s[1], s[2], so_hann(pass, s[0])};
    return so_istft(pass, &p->in[0], &f);
}

static void spectrum_gradients(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{16, 4, 8}, {64, 16, 32}, {64, 32, 5}, {12, 3, 6}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        problem p = {.run = run_stft, .more = sizes[i]};
        so_tensor *x = input(&p, 2, 2, 70, 0, 0);
        check_gradients(&p);
        so_pass pass;
        so_tensor *y = run(&pass, &p, false);
        int64_t n = sizes[i][0], bins = n / 2 + 1, F = y->dim[1];
        for (int64_t r = 0; r < 2 * F; r++)
            for (int64_t k = 0; k < bins; k++) {
                double re = 0, im = 0;
                for (int64_t t = 0; t < n; t++) {
                    int64_t at = r % F * sizes[i][1] + t - sizes[i][2];
                    at = at < 0 ? -at : at >= 70 ? 138 - at : at;
                    double v = so_data(x)[r / F * 70 + at] * (0.5 - 0.5 * cos(2 * M_PI * (double)t / (double)n));
                    re += v * cos(2 * M_PI * (double)(k * t) / (double)n);
                    im -= v * sin(2 * M_PI * (double)(k * t) / (double)n);
                }
                assert_true(fabs(re - so_data(y)[r * 2 * bins + k]) < 1e-10);
                assert_true(fabs(im - so_data(y)[r * 2 * bins + bins + k]) < 1e-10);
            }
    }
}

static void inverse_gradients(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{16, 4, 8}, {64, 16, 32}};
    for (size_t i = 0; i < 2; i++) {
        problem p = {.run = run_istft, .more = sizes[i]};
        input(&p, 3, 2, 5, sizes[i][0] + 2, 0);
        check_gradients(&p);
    }
    /* There and back again. */
    problem p = {.run = run_stft, .more = sizes[1]};
    so_tensor *x = input(&p, 2, 1, 160, 0, 0);
    so_pass pass;
    so_tensor *spec = run(&pass, &p, false);
    so_frames f = {64, 16, 32, so_hann(&pass, 64)};
    so_tensor *y = so_istft(&pass, spec, &f);
    assert_int_equal(so_count(y), 160);
    for (int i = 0; i < 160; i++) assert_true(fabs(so_data(y)[i] - so_data(x)[i]) < 1e-10);
}

static void straight_through(void **state)
{
    (void)state;
    problem p = {0};
    so_tensor *x = input(&p, 2, 3, 2, 0, 0), *codes = input(&p, 2, 4, 2, 0, 0);
    for (int i = 0; i < 6; i++) so_data(x)[i] = so_data(codes)[(i / 2 + 1) * 2 + i % 2] + 0.01;
    so_pass pass;
    so_pass_init(&pass, &arena, NULL, so_kernels_c());
    pass.recording = true;
    int32_t ids[3];
    assert_int_equal(so_vq_nearest(&pass, x, codes, ids), SO_OK);
    so_tensor *y = so_vq_pass(&pass, x, codes, ids);
    so_real dy[6] = {1, 2, 3, 4, 5, 6}, dx[6] = {0};
    y->grad = dy;
    x->grad = dx;
    assert_int_equal(so_backward_from(&pass), SO_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(ids[i], i + 1);
    for (int i = 0; i < 6; i++) {
        assert_true(so_data(y)[i] == so_data(codes)[2 + i]);
        assert_true(dx[i] == dy[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv1d_gradients),
        cmocka_unit_test(conv1d_value),
        cmocka_unit_test(conv_transpose1d_gradients),
        cmocka_unit_test(conv2d_gradients),
        cmocka_unit_test(group_norm_gradients),
        cmocka_unit_test(elementwise_gradients),
        cmocka_unit_test(lerp_value),
        cmocka_unit_test(score_attention_gradients),
        cmocka_unit_test(spectrum_gradients),
        cmocka_unit_test(inverse_gradients),
        cmocka_unit_test(straight_through),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
