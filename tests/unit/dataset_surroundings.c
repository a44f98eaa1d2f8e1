/* Throats, rooms, microphones, lines and pauses: each does what its number says.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataset/voices/surroundings.h"

enum { RATE = 22050, N = 2 * RATE };

/* A buzz of 150 Hz in syllables of a quarter of a second. */
static const float *buzz(void)
{
    static float x[N];
    if (x[N / 3] != 0) return x;
    for (int i = 0; i < N; i++) {
        double t = (double)i / RATE, v = 0;
        for (int h = 1; h < 12; h++) v += sin(6.283185307179586 * 150 * h * t) / h;
        x[i] = (float)(0.3 * v * (sin(6.283185307179586 * 2 * t) > 0 ? 1 : 0.05));
    }
    return x;
}

static void assert_near(double a, double b, double most)
{
    if (!(fabs(a - b) <= most)) fail_msg("%g, expected %g", a, b);
}

static float *apply(const so_surroundings *w, int64_t *n)
{
    float *y;
    so_error error;
    if (so_surroundings_apply(w, buzz(), N, RATE, 7, &y, n, &error) != SO_OK) fail_msg("%s", error.text);
    return y;
}
static double power(const float *x, int64_t from, int64_t to)
{
    double sum = 0;
    for (int64_t i = from; i < to; i++) sum += (double)x[i] * (double)x[i];
    return sum / (double)(to - from);
}
/* Strength of one frequency. */
static double tone(const float *x, int64_t n, double hz)
{
    double re = 0, im = 0;
    for (int64_t i = 0; i < n; i++) {
        double a = 6.283185307179586 * hz * (double)i / RATE;
        re += (double)x[i] * cos(a);
        im += (double)x[i] * sin(a);
    }
    return 2 * sqrt(re * re + im * im) / (double)n;
}
static double peak(const float *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i]));
    return most;
}

static void nothing_changes_but_the_level(void **state)
{
    (void)state;
    int64_t n;
    float *y = apply(&(so_surroundings){.peak_db = -40}, &n);
    assert_int_equal(n, N);
    assert_near(peak(y, n), 0.01, 1e-5);
    double gain = (double)y[1000] / (double)buzz()[1000];
    for (int i = 0; i < N; i += 97) assert_near((double)y[i], gain * (double)buzz()[i], 1e-6);
    free(y);
}

static void a_throat_moves_the_pitch_and_not_the_length(void **state)
{
    (void)state;
    int64_t n;
    float *y = apply(&(so_surroundings){.formants = 1.2}, &n);
    assert_in_range(n, N * 98 / 100, N * 102 / 100);
    assert_true(tone(y, n, 180) > 4 * tone(y, n, 150));
    free(y);
    y = apply(&(so_surroundings){.speed = 1.25}, &n);
    assert_in_range(n, N * 79 / 100, N * 81 / 100);
    assert_true(tone(y, n, 150) > 4 * tone(y, n, 187.5));
    free(y);
}

static void silence_stands_where_it_is_asked_for(void **state)
{
    (void)state;
    int64_t n;
    float *y = apply(&(so_surroundings){.before_s = 0.5, .behind_s = 1}, &n);
    assert_int_equal(n, N + RATE / 2 + RATE);
    assert_true(power(y, 0, RATE / 2) == 0);
    assert_true(power(y, N + RATE / 2, n) == 0);
    free(y);
    y = apply(&(so_surroundings){.inside_s = 1}, &n);
    assert_int_equal(n, N + RATE);
    /* It is cut in where the buzz is quiet, and nothing of the buzz is lost. */
    double whole = power(buzz(), 0, N) * N, now = power(y, 0, n) * (double)n, gain = 1 / peak(buzz(), N);
    assert_near(now / (whole * gain * gain), 1, 1e-3);
    free(y);
}

static void noise_and_hum_have_their_level(void **state)
{
    (void)state;
    int64_t n;
    float *y = apply(&(so_surroundings){.noise_db = 10, .before_s = 1}, &n);
    double noise = power(y, 0, RATE), all = power(y, RATE + RATE / 100, RATE + RATE / 5);
    assert_near(10 * log10((all - noise) / noise), 10, 1.5);
    free(y);
    for (int tilt = 0; tilt >= -6; tilt -= 3) {
        y = apply(&(so_surroundings){.noise_db = 6, .noise_tilt = tilt, .before_s = 1}, &n);
        double low = 0, high = 0;
        for (double hz = 100; hz < 300; hz += 7) low += pow(tone(y, RATE, hz), 2);
        for (double hz = 4100; hz < 4300; hz += 7) high += pow(tone(y, RATE, hz), 2);
        double fall = 10 * log10(low / high);
        if (tilt == 0) assert_true(fabs(fall) < 4);
        if (tilt == -3) assert_true(fall > 6 && fall < 22);
        if (tilt == -6) assert_true(fall > 20);
        free(y);
    }
    y = apply(&(so_surroundings){.hum_db = 10, .before_s = 1}, &n);
    assert_true(tone(y, RATE, 50) > 0.02);
    assert_true(tone(y, RATE, 75) < 0.1 * tone(y, RATE, 50));
    free(y);
}

static void microphones_and_lines_cut_their_band(void **state)
{
    (void)state;
    int64_t n;
    float *y = apply(&(so_surroundings){.low_hz = 600}, &n);
    assert_true(tone(y, n, 150) < 0.02 * tone(y, n, 1500) * 10);
    free(y);
    y = apply(&(so_surroundings){.high_hz = 400}, &n);
    assert_true(tone(y, n, 1500) < 0.001);
    free(y);
    y = apply(&(so_surroundings){.line = SO_LINE_8_BITS, .peak_db = -1}, &n);
    assert_in_range(n, N - 10, N + 10);
    double before = power(buzz(), 0, N) / pow(peak(buzz(), N), 2);
    assert_near(power(y, 0, n) / before, pow(10, -0.1), 0.05);
    free(y);
    y = apply(&(so_surroundings){.offset = 0.2, .peak_db = -6}, &n);
    double mean = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)y[i];
    assert_near(mean / (double)n, 0.2, 0.02);
    free(y);
    y = apply(&(so_surroundings){.clip_db = 12}, &n);
    int64_t flat = 0;
    for (int64_t i = 0; i < n; i++) flat += fabsf(y[i]) >= 1;
    assert_true(flat > n / 50);
    free(y);
}

/* A click in a room falls by 60 dB in about the time that was asked for. */
static void a_room_echoes_as_long_as_it_says(void **state)
{
    (void)state;
    static float click[RATE * 2];
    memset(click, 0, sizeof click);
    click[100] = 1;
    for (int k = 0; k < 3; k++) {
        double seconds = 0.2 + 0.15 * k;
        float *y;
        int64_t n;
        so_error error;
        so_surroundings w = {.room_s = seconds, .room_m = 6};
        assert_int_equal(so_surroundings_apply(&w, click, RATE * 2, RATE, 3, &y, &n, &error), SO_OK);
        assert_near((double)y[100], peak(y, n), 0.05);
        int64_t a = 100 + (int64_t)(0.1 * seconds * RATE), b = 100 + (int64_t)(0.6 * seconds * RATE), d = RATE / 50;
        double fall = 10 * log10(power(y, a, a + d) / power(y, b, b + d)) / (0.5 * seconds) * seconds;
        assert_near(fall, 60, 15);
        assert_true(power(y, 100 + (int64_t)(1.3 * seconds * RATE), n) < 1e-9);
        free(y);
    }
}

static void the_same_seed_gives_the_same_samples(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 5, 0);
    int plain = 0;
    for (int i = 0; i < 40; i++) {
        so_surroundings w = so_surroundings_draw(&rng, 1);
        float *a, *b;
        int64_t n, m;
        so_error error;
        plain += w.formants == 0 && w.room_s == 0 && w.noise_db == 0;
        assert_int_equal(so_surroundings_apply(&w, buzz(), N / 2, RATE, 9, &a, &n, &error), SO_OK);
        if (i % 8 == 0) {
            assert_int_equal(so_surroundings_apply(&w, buzz(), N / 2, RATE, 9, &b, &m, &error), SO_OK);
            assert_int_equal(n, m);
            assert_memory_equal(a, b, (size_t)n * sizeof *a);
            free(b);
        }
        for (int64_t k = 0; k < n; k++) assert_true(fabsf(a[k]) <= 1.2f);
        free(a);
    }
    assert_in_range(plain, 4, 30);
}

static void numbers_outside_their_ranges_are_refused(void **state)
{
    (void)state;
    static const so_surroundings wrong[] = {{.formants = 3}, {.speed = -1},     {.room_s = 2},     {.before_s = 1e9},
                                            {.peak_db = 1},  {.noise_db = NAN}, {.line = SO_LINES}};
    float *y;
    int64_t n;
    so_error error;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(so_surroundings_apply(&wrong[i], buzz(), N, RATE, 1, &y, &n, &error), SO_ERR_ARG);
        assert_null(y);
    }
    assert_int_equal(so_surroundings_apply(&(so_surroundings){0}, buzz(), 0, RATE, 1, &y, &n, &error), SO_ERR_ARG);
    assert_int_equal(so_surroundings_apply(&(so_surroundings){0}, buzz(), N, 100, 1, &y, &n, &error), SO_ERR_ARG);
    /* Very short ones pass. */
    so_surroundings all = {
        .formants = 1.1, .speed = 1.1, .room_s = 0.1, .noise_db = 10, .inside_s = 0.1, .line = SO_LINE_ULAW};
    assert_int_equal(so_surroundings_apply(&all, buzz(), 3, RATE, 1, &y, &n, &error), SO_OK);
    free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_changes_but_the_level),
                                       cmocka_unit_test(a_throat_moves_the_pitch_and_not_the_length),
                                       cmocka_unit_test(silence_stands_where_it_is_asked_for),
                                       cmocka_unit_test(noise_and_hum_have_their_level),
                                       cmocka_unit_test(microphones_and_lines_cut_their_band),
                                       cmocka_unit_test(a_room_echoes_as_long_as_it_says),
                                       cmocka_unit_test(the_same_seed_gives_the_same_samples),
                                       cmocka_unit_test(numbers_outside_their_ranges_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
