/* Quantising and reading back: against golden blocks of the `gguf` package, within error bounds, with hostile input.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/cpu/ref/portable.h"
#include "base/quantise.h"
#include "base/rng.h"
#include "formats/gguf.h"

static const so_type blocks[] = {SO_Q8_0, SO_Q4_0, SO_Q5_0, SO_Q4_K, SO_Q5_K, SO_Q6_K};
enum { BLOCKS = sizeof blocks / sizeof *blocks, K = 512 };

static const so_view *golden(so_gguf *gguf, so_type type, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", so_type_about(type)->name, what);
    const so_view *view = so_views_find(so_gguf_views(gguf), name);
    if (!view) fail_msg("no '%s' in tests/kernels/quantise.gguf", name);
    return view;
}

static so_gguf *open_golden(void)
{
    so_gguf *gguf;
    so_error error;
    CHECK_OK(so_gguf_open(&gguf, SO_SOURCE_DIR "/tests/kernels/quantise.gguf", &error), error);
    return gguf;
}

static void blocks_mean_what_ggml_says(void **state)
{
    (void)state;
    so_gguf *gguf = open_golden();
    for (int b = 0; b < BLOCKS; b++) {
        const so_view *any = golden(gguf, blocks[b], "any"), *values = golden(gguf, blocks[b], "values");
        assert_int_equal(any->type, blocks[b]);
        assert_int_equal(so_view_elements(any), so_view_elements(values));
        float got[256];
        for (int64_t r = 0; r < any->dim[0]; r++)
            for (int k = -1; k < 0 || so_kernels_at(k); k++) {
                if (k < 0)
                    so_dequantise_row(blocks[b], (const char *)any->data + r * (int64_t)so_type_bytes(blocks[b], 256),
                                      256, got);
                else
                    so_kernels_at(k)->row(blocks[b], any->data, r, 256, got);
                const float *want = (const float *)values->data + r * 256;
                for (int i = 0; i < 256; i++)
                    if (!(got[i] == want[i]))
                        fail_msg("%s, row %d, number %d: %.9g, expected %.9g", so_type_about(blocks[b])->name, (int)r,
                                 i, (double)got[i], (double)want[i]);
            }
    }
    so_gguf_close(&gguf);
}

static void simple_blocks_are_written_as_ggml_does(void **state)
{
    (void)state;
    so_gguf *gguf = open_golden();
    const so_view *x = so_views_find(so_gguf_views(gguf), "x");
    assert_non_null(x);
    for (int b = 0; b < 3; b++) {
        const so_view *written = golden(gguf, blocks[b], "written");
        unsigned char out[3 * 272];
        so_error error;
        CHECK_OK(so_quantise_row(blocks[b], x->data, so_view_elements(x), out, &error), error);
        assert_true(written->bytes <= sizeof out);
        assert_memory_equal(out, written->data, written->bytes);
    }
    so_gguf_close(&gguf);
}

static void fill(so_rng *rng, int kind, float *x)
{
    for (int i = 0; i < K; i++) {
        double v = so_rng_normal(rng);
        if (kind == 1) v = fabs(v) + 3;                /* all on one side, far from 0 */
        if (kind == 2) v = i % 97 ? v * 0.01 : v * 10; /* outliers */
        if (kind == 3) v = i / 32 % 3 ? v : 0;         /* empty groups */
        if (kind == 4) v = 0.25;                       /* constant */
        if (kind == 5) v *= 1e-12;                     /* below what a half scale holds */
        if (kind == 6) v *= 1e4;
        x[i] = (float)v;
    }
}

/* What no number of a block may be off by, given the block's extent: half a step of q8_0; a step or so for the others,
 * whose scales put one end of the codes half a step short or trade single numbers for the sum. */
static double bar_of(so_type type, double max, double extent)
{
    switch (type) {
    case SO_Q8_0:
        return max / 127 * (0.5 + 127 * 0x1p-11);
    case SO_Q4_0:
        return max / 8 * 1.01;
    case SO_Q5_0:
        return max / 16 * 1.01;
    case SO_Q6_K:
        return max / 32 * 1.2;
    default:
        return extent / (type == SO_Q4_K ? 15 : 31) * 1.5;
    }
}

static void numbers_come_back_near(void **state)
{
    (void)state;
    so_rng rng;
    so_error error;
    so_rng_init(&rng, 1, 1);
    for (int b = 0; b < BLOCKS; b++)
        for (int round = 0; round < 70; round++) {
            float x[K], y[K];
            unsigned char stored[K * 2];
            fill(&rng, round % 7, x);
            CHECK_OK(so_quantise_row(blocks[b], x, K, stored, &error), error);
            so_dequantise_row(blocks[b], stored, K, y);
            int block = so_type_about(blocks[b])->block;
            for (int i = 0; i < K; i++) {
                double max = 0, low = 0, high = 0;
                for (int j = i / block * block; j < i / block * block + block; j++) {
                    max = fmax(max, fabs((double)x[j]));
                    low = fmin(low, (double)x[j]);
                    high = fmax(high, (double)x[j]);
                }
                double bar = bar_of(blocks[b], max, high - low) + 127 * 0x1p-24; /* a scale below 2^-24 is 0 */
                if (!(fabs((double)x[i] - (double)y[i]) <= bar))
                    fail_msg("%s, filling %d: %g came back as %g, allowed %g", so_type_about(blocks[b])->name,
                             round % 7, (double)x[i], (double)y[i], bar);
            }
        }
}

static double error_of(so_type type, const float *x, const float *importance, bool use)
{
    float y[K];
    unsigned char stored[K * 2];
    so_error error;
    double sum = 0, all = 0;
    CHECK_OK(so_quantise_row_by(type, x, use ? importance : NULL, K, stored, &error), error);
    so_dequantise_row(type, stored, K, y);
    for (int i = 0; i < K; i++) {
        double w = importance ? (double)importance[i] : 1;
        sum += w * pow((double)x[i] - (double)y[i], 2);
        all += w * pow((double)x[i], 2);
    }
    return sqrt(sum / all);
}

/* Relative errors on bell-shaped rows: the bars are what the layouts allow, 3 % above what was found. */
static void more_bits_lose_less(void **state)
{
    (void)state;
    static const double bar[BLOCKS] = {0.0057, 0.092, 0.0455, 0.0740, 0.0358, 0.0183};
    so_rng rng;
    so_rng_init(&rng, 7, 7);
    for (int b = 0; b < BLOCKS; b++) {
        double sum = 0;
        for (int round = 0; round < 40; round++) {
            float x[K];
            fill(&rng, 0, x);
            sum += error_of(blocks[b], x, NULL, false);
        }
        if (getenv("SO_SHOW")) fprintf(stderr, "# %s: relative error %.5f\n", so_type_about(blocks[b])->name, sum / 40);
        if (!(sum / 40 <= bar[b]))
            fail_msg("%s: relative error %g, expected at most %g", so_type_about(blocks[b])->name, sum / 40, bar[b]);
    }
}

static void what_matters_is_kept(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 3, 9);
    for (int b = 1; b < BLOCKS; b++) {
        double plain = 0, weighted = 0;
        for (int round = 0; round < 40; round++) {
            float x[K], importance[K];
            fill(&rng, 0, x);
            for (int i = 0; i < K; i++) importance[i] = (float)exp(1.5 * so_rng_normal(&rng));
            plain += error_of(blocks[b], x, importance, false);
            weighted += error_of(blocks[b], x, importance, true);
        }
        if (getenv("SO_SHOW"))
            fprintf(stderr, "# %s: weighted error %.5f, %.5f with importance\n", so_type_about(blocks[b])->name,
                    plain / 40, weighted / 40);
        if (!(weighted < 0.97 * plain))
            fail_msg("%s: weighted error %g with importance, %g without", so_type_about(blocks[b])->name, weighted / 40,
                     plain / 40);
    }
}

static void halves_round_to_the_nearest(void **state)
{
    (void)state;
    static const so_type types[] = {SO_F32, SO_F16, SO_BF16};
    static const double step[] = {0, 0x1p-11, 0x1p-8};
    so_rng rng;
    so_error error;
    so_rng_init(&rng, 2, 1);
    for (int t = 0; t < 3; t++) {
        float x[K], y[K];
        unsigned char stored[K * 4];
        fill(&rng, 0, x);
        CHECK_OK(so_quantise_row(types[t], x, K, stored, &error), error);
        so_dequantise_row(types[t], stored, K, y);
        for (int i = 0; i < K; i++)
            assert_true(fabs((double)x[i] - (double)y[i]) <= fabs((double)x[i]) * step[t] * 1.0001);
    }
}

static void what_cannot_be_held_is_refused(void **state)
{
    (void)state;
    so_error error;
    float x[K] = {0}, importance[K] = {0};
    unsigned char out[K * 4];
    for (int b = 0; b < BLOCKS; b++) {
        so_type t = blocks[b];
        int block = so_type_about(t)->block;
        memset(x, 0, sizeof x);
        assert_int_equal(so_quantise_row(t, x, -block, out, &error), SO_ERR_SHAPE);
        assert_int_equal(so_quantise_row(t, x, block + 1, out, &error), SO_ERR_SHAPE);
        assert_int_equal(so_quantise_row(t, x, 0, out, &error), SO_OK);
        assert_int_equal(so_quantise_row(t, x, K, out, &error), SO_OK);
        x[K - 1] = 70000;
        assert_int_equal(so_quantise_row(t, x, K, out, &error), SO_OK);
        static const float bad[] = {1e30f, -1e30f, NAN, INFINITY, -INFINITY};
        for (int i = 0; i < 5; i++) {
            x[K - 1] = bad[i];
            assert_int_equal(so_quantise_row(t, x, K, out, &error), SO_ERR_NUMBER);
        }
        x[K - 1] = 1;
        assert_int_equal(so_quantise_row_by(t, x, importance, K, out, &error), SO_OK);
        for (int i = 2; i < 5; i++) {
            importance[3] = bad[i];
            assert_int_equal(so_quantise_row_by(t, x, importance, K, out, &error), SO_ERR_NUMBER);
        }
        importance[3] = 0;
    }
    assert_int_equal(so_quantise_row(SO_I32, x, 32, out, &error), SO_ERR_TYPE);
    x[5] = 70000;
    assert_int_equal(so_quantise_row(SO_F16, x, 32, out, &error), SO_ERR_NUMBER);
    x[5] = NAN;
    assert_int_equal(so_quantise_row(SO_F32, x, 32, out, &error), SO_ERR_NUMBER);
    assert_int_equal(so_quantise_row(SO_BF16, x, 32, out, &error), SO_ERR_NUMBER);
}

/* The largest numbers a type takes, and the largest importances, still come back finite and about right. */
static void extremes_stay_finite(void **state)
{
    (void)state;
    static const float top[BLOCKS] = {127 * 65504.f, 7 * 65504.f,  15 * 65504.f,
                                      32 * 65504.f,  32 * 65504.f, 32 * 65504.f};
    so_error error;
    for (int b = 0; b < BLOCKS; b++)
        for (int weigh = 0; weigh < 2; weigh++) {
            float x[K], y[K], importance[K];
            unsigned char stored[K * 2];
            for (int i = 0; i < K; i++) {
                x[i] = i % 3 == 0 ? top[b] : i % 3 == 1 ? -top[b] : 0;
                importance[i] = i % 2 ? 1e30f : 0;
            }
            CHECK_OK(so_quantise_row_by(blocks[b], x, weigh ? importance : NULL, K, stored, &error), error);
            so_dequantise_row(blocks[b], stored, K, y);
            for (int i = 0; i < K; i++) {
                assert_true(isfinite(y[i]));
                if (importance[i] > 0) assert_true(fabsf(x[i] - y[i]) <= top[b] / 7);
            }
        }
}

static void any_bytes_can_be_read(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 5, 5);
    for (int b = 0; b < BLOCKS; b++)
        for (int round = 0; round < 20; round++) {
            unsigned char stored[K * 2 + 1];
            float y[K], again[K];
            for (size_t i = 0; i < sizeof stored; i++) stored[i] = (unsigned char)so_rng_u64(&rng);
            so_dequantise_row(blocks[b], stored + round % 2, K, y); /* also from an odd address */
            so_kernels_c()->row(blocks[b], stored + round % 2, 0, K, again);
            assert_memory_equal(y, again, sizeof y);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_mean_what_ggml_says),     cmocka_unit_test(simple_blocks_are_written_as_ggml_does),
        cmocka_unit_test(numbers_come_back_near),         cmocka_unit_test(more_bits_lose_less),
        cmocka_unit_test(what_matters_is_kept),           cmocka_unit_test(halves_round_to_the_nearest),
        cmocka_unit_test(what_cannot_be_held_is_refused), cmocka_unit_test(extremes_stay_finite),
        cmocka_unit_test(any_bytes_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
