/* media/fft, resample, mel, f0: transforms against their definitions, streams against whole clips, known frequencies.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/rng.h"
#include "media/f0.h"
#include "media/fft.h"
#include "media/mel.h"
#include "media/resample.h"

static float *noise(int64_t n, uint64_t seed)
{
    so_rng rng;
    so_rng_init(&rng, seed, 0);
    float *x = malloc((size_t)(n ? n : 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(so_rng_uniform(&rng) - 0.5);
    return x;
}

static void transform_is_its_definition(void **state)
{
    (void)state;
    static const int sizes[] = {2, 4, 6, 10, 12, 16, 30, 60, 240, 400, 512, 1024};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int n = sizes[s];
        so_error error;
        so_fft *fft;
        double x[1024];
        so_bin got[513], scratch[512];
        so_rng rng;
        so_rng_init(&rng, 3, (uint64_t)n);
        for (int i = 0; i < n; i++) x[i] = so_rng_normal(&rng);
        CHECK_OK(so_fft_open(&fft, n, &error), error);
        so_fft_real(fft, x, got, scratch);
        for (int k = 0; k <= n / 2; k++) {
            double re = 0, im = 0;
            for (int t = 0; t < n; t++) {
                re += x[t] * cos(2 * M_PI * (double)((int64_t)k * t % n) / n);
                im -= x[t] * sin(2 * M_PI * (double)((int64_t)k * t % n) / n);
            }
            if (!(fabs(re - got[k].re) < 1e-11 && fabs(im - got[k].im) < 1e-11))
                fail_msg("%d points, bin %d: (%g, %g), expected (%g, %g)", n, k, got[k].re, got[k].im, re, im);
        }
        so_fft_close(&fft);
    }
    so_error error;
    so_fft *fft;
    assert_int_equal(so_fft_open(&fft, 401, &error), SO_ERR_ARG);
    assert_int_equal(so_fft_open(&fft, 14, &error), SO_ERR_ARG);
    assert_int_equal(so_fft_open(&fft, 0, &error), SO_ERR_ARG);
}

static void check_stream(int from, int to, int64_t n, int64_t most, uint64_t seed)
{
    so_error error;
    so_resampler *r;
    so_resample_stream *stream;
    so_rng rng;
    so_rng_init(&rng, seed, 1);
    float *x = noise(n, seed);
    CHECK_OK(so_resampler_open(&r, from, to, &error), error);
    CHECK_OK(so_resample_stream_open(&stream, r, &error), error);
    int64_t length = so_resampler_length(r, n), done = 0;
    float *whole = malloc((size_t)(length + 1) * sizeof *whole),
          *pieces = malloc((size_t)(length + 1) * sizeof *pieces);
    CHECK_OK(so_resample(r, x, n, whole, &error), error);
    for (int round = 0; round < 2; round++) { /* finish resets: a second clip is like the first */
        done = 0;
        for (int64_t at = 0, step; at < n; at += step) {
            step = so_rng_range(&rng, 0, most);
            if (step > n - at) step = n - at;
            int64_t bound = so_resample_stream_bound(stream, step);
            int64_t got = so_resample_stream_feed(stream, x + at, step, pieces + done);
            assert_true(got <= bound);
            done += got;
        }
        int64_t bound = so_resample_stream_bound(stream, 0), got = so_resample_stream_finish(stream, pieces + done);
        assert_true(got <= bound);
        assert_int_equal(done + got, length);
        if (memcmp(whole, pieces, (size_t)length * sizeof *whole))
            fail_msg("%d -> %d Hz, %lld samples: pieces differ from the whole", from, to, (long long)n);
    }
    so_resample_stream_close(&stream);
    so_resampler_close(&r);
    free(x);
    free(whole);
    free(pieces);
}

static void resampled_pieces_equal_the_whole(void **state)
{
    (void)state;
    static const int rates[][2] = {{22050, 16000}, {8000, 16000},  {192000, 16000}, {48000, 16000},
                                   {44100, 16000}, {16000, 22050}, {16000, 16000},  {16001, 16000}};
    static const int64_t lengths[] = {0, 1, 2, 17, 441, 5000, 20011};
    for (size_t r = 0; r < 8; r++)
        for (size_t n = 0; n < 7; n++) {
            check_stream(rates[r][0], rates[r][1], lengths[n], 1, r + n);
            check_stream(rates[r][0], rates[r][1], lengths[n], 700, r + n);
            check_stream(rates[r][0], rates[r][1], lengths[n], 30000, r + n);
        }
}

/* Away from the ends a tone below both Nyquist limits keeps its shape; one above the lower limit vanishes. */
static void resampling_keeps_tones_and_removes_aliases(void **state)
{
    (void)state;
    static const int rates[][2] = {{22050, 16000}, {8000, 16000}, {48000, 16000}, {192000, 16000}, {16000, 22050}};
    for (size_t c = 0; c < 5; c++) {
        int from = rates[c][0], to = rates[c][1];
        so_error error;
        so_resampler *r;
        CHECK_OK(so_resampler_open(&r, from, to, &error), error);
        int64_t n = from / 2, m = so_resampler_length(r, n);
        float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)m * sizeof *y);
        for (int64_t i = 0; i < n; i++) x[i] = (float)sin(2 * M_PI * 1000 * (double)i / from);
        CHECK_OK(so_resample(r, x, n, y, &error), error);
        for (int64_t i = 200; i < m - 200; i++) {
            double expected = sin(2 * M_PI * 1000 * (double)i / to);
            if (!(fabs((double)y[i] - expected) < 5e-3)) fail_msg("%d -> %d Hz: sample %lld", from, to, (long long)i);
        }
        if (from >= 2 * to) {
            for (int64_t i = 0; i < n; i++) x[i] = (float)sin(2 * M_PI * 11000 * (double)i / from);
            CHECK_OK(so_resample(r, x, n, y, &error), error);
            for (int64_t i = 200; i < m - 200; i++) assert_true(fabsf(y[i]) < 1e-2f);
        }
        free(x);
        free(y);
        so_resampler_close(&r);
    }
    so_error error;
    so_resampler *r;
    assert_int_equal(so_resampler_open(&r, 0, 16000, &error), SO_ERR_ARG);
    assert_int_equal(so_resampler_open(&r, 192001, 16000, &error), SO_OK);
    so_resampler_close(&r);
    assert_int_equal(so_resampler_open(&r, 767999, 767998, &error), SO_ERR_LIMIT);
}

/* ceil in float32 loses a sample at lengths that the spec names. */
static void output_length_is_the_reference_length(void **state)
{
    (void)state;
    so_error error;
    so_resampler *r;
    CHECK_OK(so_resampler_open(&r, 22050, 16000, &error), error);
    assert_int_equal(so_resampler_length(r, 90569), 65719);
    assert_int_equal(so_resampler_length(r, 35072), 25450);
    assert_int_equal(so_resampler_length(r, 0), 0);
    so_resampler_close(&r);
}

static void check_mel_stream(const so_mel *mel, int64_t n, int64_t most, uint64_t seed)
{
    so_error error;
    so_mel_stream *stream;
    so_rng rng;
    so_rng_init(&rng, seed, 2);
    float *x = noise(n, seed);
    int64_t F = so_mel_frames(mel, n);
    float *whole = malloc((size_t)F * 128 * sizeof *whole), *got = malloc((size_t)F * 128 * sizeof *got);
    CHECK_OK(so_mel_compute(mel, x, n, whole, NULL, &error), error);
    CHECK_OK(so_mel_stream_open(&stream, mel, n, &error), error);
    for (int round = 0; round < 2; round++) {
        for (int64_t at = 0, step; at < n; at += step) {
            step = so_rng_range(&rng, 1, most);
            if (step > n - at) step = n - at;
            CHECK_OK(so_mel_stream_feed(stream, x + at, step, &error), error);
            int64_t fed = at + step, expected = fed > 200 ? (fed - 200) / 160 + 1 : 0;
            assert_int_equal(so_mel_stream_frames(stream), expected);
        }
        assert_int_equal(so_mel_stream_feed(stream, x, 1, &error), SO_ERR_LIMIT);
        CHECK_OK(so_mel_stream_finish(stream, &error), error);
        assert_int_equal(so_mel_stream_feed(stream, x, 0, &error), SO_ERR_STATE);
        assert_int_equal(so_mel_stream_frames(stream), F);
        assert_int_equal(so_mel_stream_read(stream, 1, F, got, &error), SO_ERR_ARG);
        for (int64_t f = 0; f < F; f++) CHECK_OK(so_mel_stream_read(stream, f, 1, got + f * 128, &error), error);
        assert_memory_equal(whole, got, (size_t)F * 128 * sizeof *got);
        so_mel_stream_reset(stream);
    }
    so_mel_stream_close(&stream);
    free(x);
    free(whole);
    free(got);
}

static void mel_pieces_equal_the_whole(void **state)
{
    (void)state;
    so_error error;
    so_mel *mel;
    CHECK_OK(so_mel_open(&mel, SO_MEL_WHISPER, &error), error);
    static const int64_t lengths[] = {201, 202, 319, 320, 360, 361, 1000, 16000};
    for (size_t i = 0; i < 8; i++) {
        check_mel_stream(mel, lengths[i], 1, i);
        check_mel_stream(mel, lengths[i], 333, i);
        check_mel_stream(mel, lengths[i], 20000, i);
    }
    so_mel_close(&mel);
}

static void features_of_tones_silence_and_short_clips(void **state)
{
    (void)state;
    for (int kind = SO_MEL_WHISPER; kind <= SO_MEL_KALDI; kind++) {
        so_error error;
        so_mel *mel;
        so_pool *pool;
        CHECK_OK(so_mel_open(&mel, (so_mel_kind)kind, &error), error);
        CHECK_OK(so_pool_open(&pool, 2, &error), error);
        int rate = so_mel_rate(mel), bins = so_mel_bins(mel);
        int64_t n = rate, F = so_mel_frames(mel, n);
        float *x = calloc((size_t)n, sizeof *x), *y = malloc((size_t)(F * bins) * sizeof *y);
        float *z = malloc((size_t)(F * bins) * sizeof *z);
        CHECK_OK(so_mel_compute(mel, x, n, y, pool, &error), error);
        float quiet = kind == SO_MEL_WHISPER ? -1.5f : kind == SO_MEL_KALDI ? logf(1.1920929e-7f) : logf(1e-5f);
        /* The vocoder's magnitude has 1e-9 under its root, which lifts silence above the floor of the logarithm. */
        for (int64_t i = 0; i < F * bins; i++)
            if (kind == SO_MEL_WHISPER || kind == SO_MEL_KALDI)
                assert_true(fabsf(y[i] - quiet) < 1e-4f);
            else
                assert_true(y[i] >= quiet && y[i] < quiet + 1);
        int best[2] = {0};
        for (int tone = 0; tone < 2; tone++) {
            for (int64_t i = 0; i < n; i++)
                x[i] = (float)(0.5 * sin(2 * M_PI * (tone ? 3000 : 500) * (double)i / rate));
            CHECK_OK(so_mel_compute(mel, x, n, y, pool, &error), error);
            CHECK_OK(so_mel_compute(mel, x, n, z, NULL, &error), error);
            assert_memory_equal(y, z, (size_t)(F * bins) * sizeof *y);
            for (int b = 0; b < bins; b++)
                if (y[F / 2 * bins + b] > y[F / 2 * bins + best[tone]]) best[tone] = b;
        }
        assert_true(best[0] > 3 && best[1] > best[0] + 15 && best[1] < bins - 5);
        static const int64_t least[] = {201, 385, 385, 400};
        assert_int_equal(so_mel_frames(mel, least[kind] - 1), 0);
        assert_int_equal(so_mel_frames(mel, least[kind]), 1);
        assert_int_equal(so_mel_compute(mel, x, least[kind] - 1, y, NULL, &error), SO_ERR_ARG);
        CHECK_OK(so_mel_compute(mel, x, least[kind], y, NULL, &error), error);
        free(x);
        free(y);
        free(z);
        so_pool_close(&pool);
        so_mel_close(&mel);
    }
}

/* A buzz of ten harmonics whose frequency glides from f0 to f1; silence before and after. */
static float *buzz(int64_t n, double f0, double f1, double noise_level, uint64_t seed)
{
    float *x = calloc((size_t)n, sizeof *x);
    double phase = 0;
    so_rng rng;
    so_rng_init(&rng, seed, 0);
    for (int64_t i = n / 4; i < n - n / 4; i++) {
        double f = f0 + (f1 - f0) * (double)(i - n / 4) / (double)(n / 2), v = 0;
        phase += 2 * M_PI * f / SO_F0_RATE;
        for (int h = 1; h <= 10; h++) v += sin(h * phase) / h;
        x[i] = (float)(0.2 * v);
    }
    for (int64_t i = 0; i < n; i++) x[i] += (float)(noise_level * so_rng_normal(&rng));
    return x;
}

static void check_glide(double from, double to, double noise_level, double bar)
{
    so_error error;
    int64_t n = 2 * SO_F0_RATE, frames = so_f0_frames(n), wrong = 0, missed = 0, voiced_silence = 0;
    float *x = buzz(n, from, to, noise_level, 5), *f0 = malloc((size_t)frames * sizeof *f0);
    CHECK_OK(so_f0_estimate(x, n, f0, &error), error);
    for (int64_t f = 0; f < frames; f++) {
        int64_t at = f * SO_F0_HOP + SO_F0_HOP / 2;
        double expected = from + (to - from) * (double)(at - n / 4) / (double)(n / 2);
        if (at < n / 4 - 600 || at > n - n / 4 + 600)
            voiced_silence += f0[f] != 0;
        else if (at > n / 4 + 600 && at < n - n / 4 - 600) {
            missed += f0[f] == 0;
            wrong += f0[f] != 0 && !(fabs((double)f0[f] / expected - 1) < bar);
        }
    }
    if (wrong || missed || voiced_silence)
        fail_msg("glide %g -> %g Hz: %lld wrong, %lld missed, %lld voiced in silence", from, to, (long long)wrong,
                 (long long)missed, (long long)voiced_silence);
    free(x);
    free(f0);
}

static void frequency_of_tones_and_glides(void **state)
{
    (void)state;
    static const double tones[] = {60, 80, 110, 150.5, 220, 333, 440, 550};
    for (size_t i = 0; i < 8; i++) check_glide(tones[i], tones[i], 0, 0.003);
    check_glide(100, 200, 0, 0.01);
    check_glide(400, 150, 0, 0.01);
    check_glide(200, 200, 0.005, 0.01);
    check_glide(120, 240, 0.005, 0.02);
}

static void noise_and_silence_have_no_frequency(void **state)
{
    (void)state;
    so_error error;
    float *x = noise(22050, 1), f0[86];
    CHECK_OK(so_f0_estimate(x, 22050, f0, &error), error);
    for (int i = 0; i < 86; i++) assert_true(f0[i] == 0);
    memset(x, 0, 22050 * sizeof *x);
    CHECK_OK(so_f0_estimate(x, 22050, f0, &error), error);
    for (int i = 0; i < 86; i++) assert_true(f0[i] == 0);
    CHECK_OK(so_f0_estimate(x, 255, NULL, &error), error);
    CHECK_OK(so_f0_estimate(x, 256, f0, &error), error);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transform_is_its_definition),
        cmocka_unit_test(resampled_pieces_equal_the_whole),
        cmocka_unit_test(resampling_keeps_tones_and_removes_aliases),
        cmocka_unit_test(output_length_is_the_reference_length),
        cmocka_unit_test(mel_pieces_equal_the_whole),
        cmocka_unit_test(features_of_tones_silence_and_short_clips),
        cmocka_unit_test(frequency_of_tones_and_glides),
        cmocka_unit_test(noise_and_silence_have_no_frequency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
