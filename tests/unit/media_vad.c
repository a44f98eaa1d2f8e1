/* Voice activity without a model: made-up noises and tones, and the shipped recordings, with silence and noise around.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/rng.h"
#include "media/audio.h"
#include "media/resample.h"
#include "so.h"

enum { MOST = 16 };

typedef struct found {
    int n;
    so_vad_event event[MOST];
} found;

static so_vad *open_vad(so_vad_options options)
{
    so_vad *vad;
    so_error error;
    CHECK_OK(so_vad_open(&vad, &options, &error), error);
    return vad;
}

/* Feeds in pieces of `piece` samples; every event is kept. */
static void feed(so_vad *vad, const float *x, size_t n, size_t piece, found *f)
{
    int16_t pcm[4096];
    so_vad_event event;
    for (size_t at = 0, used; at < n; at += used) {
        size_t now = n - at < piece ? n - at : piece;
        for (size_t i = 0; i < now; i++) pcm[i] = (int16_t)lrintf(fmaxf(-1, fminf(1, x[at + i])) * 32767);
        so_vad_feed(vad, pcm, now, &used, &event);
        assert_true(used > 0 && used <= now);
        assert_true(event.kind != SO_VAD_NONE || used == now);
        if (event.kind == SO_VAD_NONE) continue;
        assert_true(f->n < MOST);
        f->event[f->n++] = event;
    }
}

static void white(float *x, size_t n, double level, uint64_t seed)
{
    so_rng rng;
    so_rng_init(&rng, seed, 0);
    for (size_t i = 0; i < n; i++) x[i] += (float)(level * so_rng_normal(&rng));
}

/* A vowel: a pulse of harmonics of 120 Hz. */
static void vowel(float *x, size_t n, int rate, double level)
{
    for (size_t i = 0; i < n; i++) {
        double t = (double)i / rate, y = 0;
        for (int k = 1; k <= 12; k++) y += sin(6.283185307 * 120 * k * t + k * k) / k;
        x[i] += (float)(level * y * fmin(1, fmin(t, (double)(n - i) / rate) * 50));
    }
}

static void near_ms(int64_t ms, double expected, double within)
{
    if (fabs((double)ms - expected) > within)
        fail_msg("%lld ms, expected %.0f, within %.0f", (long long)ms, expected, within);
}

static void silence_and_noise_are_no_speech(void **state)
{
    (void)state;
    enum { N = 16000 * 8 };
    float *x = calloc(N, sizeof *x);
    for (int kind = 0; kind < 5; kind++) {
        found f = {0};
        so_vad *vad = open_vad((so_vad_options){0});
        memset(x, 0, N * sizeof *x);
        if (kind == 1) white(x, N, 0.1, 1);
        if (kind == 2) white(x + N / 2, N / 2, 0.05, 2); /* a fan is turned on */
        if (kind == 3)
            for (int i = 0; i < N; i++) x[i] = 0.3f + 0.1f * sinf((float)i * 0.01963495f); /* offset and 50 Hz */
        if (kind == 4)
            for (int i = 0; i < 12; i++) white(x + 16000 + i * 9000, 800, 0.2, (uint64_t)i); /* knocks */
        feed(vad, x, N, 333, &f);
        if (f.n) fail_msg("noise %d: speech at %lld ms", kind, (long long)f.event[0].at_ms);
        so_vad_close(&vad);
    }
    free(x);
}

static void a_vowel_is_found_where_it_is(void **state)
{
    (void)state;
    static const int rates[] = {8000, 11025, 16000, 22050, 44100, 48000, 96000};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
        for (int loud = 0; loud < 3; loud++) {
            int rate = rates[r];
            size_t n = (size_t)rate * 4;
            found f = {0};
            float *x = calloc(n, sizeof *x);
            double level = loud == 0 ? 0.2 : loud == 1 ? 0.02 : 0.003;
            white(x, n, level / 30, r + 1);
            vowel(x + rate, (size_t)rate * 3 / 2, rate, level);
            so_vad *vad = open_vad((so_vad_options){.rate = rate, .silence_ms = 400});
            feed(vad, x, n, (size_t)rate / 50, &f);
            assert_int_equal(f.n, 2);
            assert_int_equal(f.event[0].kind, SO_VAD_BEGAN);
            assert_int_equal(f.event[1].kind, SO_VAD_ENDED);
            near_ms(f.event[0].at_ms, 1000, 40);
            near_ms(f.event[1].at_ms, 2500, 60);
            so_vad_close(&vad);
            free(x);
        }
}

/* How samples are cut into pieces changes nothing; what is told is in order and padded, never before 0. */
static void pieces_and_padding(void **state)
{
    (void)state;
    enum { RATE = 16000, N = RATE * 6 };
    float *x = calloc(N, sizeof *x);
    white(x, N, 0.001, 3);
    vowel(x + RATE / 10, RATE / 2, RATE, 0.1);
    vowel(x + 3 * RATE, RATE, RATE, 0.1);
    found whole = {0};
    for (size_t piece = 1; piece <= 4096; piece = piece * 5 + 2) {
        found f = {0};
        so_vad *vad = open_vad((so_vad_options){.padding_ms = 300});
        feed(vad, x, N, piece, &f);
        assert_int_equal(f.n, 4);
        if (piece > 1) assert_memory_equal(f.event, whole.event, 4 * sizeof *f.event);
        whole = f;
        so_vad_close(&vad);
    }
    near_ms(whole.event[0].at_ms, 0, 0);
    near_ms(whole.event[2].at_ms, 2700, 40);
    for (int i = 1; i < 4; i++) assert_true(whole.event[i].at_ms >= whole.event[i - 1].at_ms);
    free(x);
}

static void pauses_are_no_end_until_they_are_long(void **state)
{
    (void)state;
    enum { RATE = 16000, N = RATE * 4 };
    float *x = calloc(N, sizeof *x);
    white(x, N, 0.001, 3);
    vowel(x + RATE / 2, RATE / 2, RATE, 0.1);
    vowel(x + RATE * 13 / 10, RATE / 2, RATE, 0.1); /* 300 ms later */
    for (int patience = 200; patience <= 600; patience += 400) {
        found f = {0};
        so_vad *vad = open_vad((so_vad_options){.silence_ms = patience});
        feed(vad, x, N, 160, &f);
        assert_int_equal(f.n, patience == 200 ? 4 : 2);
        so_vad_close(&vad);
    }
    free(x);
}

/* What comes back from the speaker is no speech while it plays; louder speech is; and afterwards quiet speech again. */
static void the_speaker_raises_the_threshold(void **state)
{
    (void)state;
    enum { RATE = 16000, N = RATE };
    float *noise = calloc(N, sizeof *noise), *echo = calloc(N, sizeof *echo), *user = calloc(N, sizeof *user);
    white(noise, N, 0.0005, 4);
    memcpy(echo, noise, N * sizeof *echo);
    memcpy(user, noise, N * sizeof *user);
    vowel(echo, N * 3 / 4, RATE, 0.02);
    vowel(user, N * 3 / 4, RATE, 0.2);
    for (int playing = 0; playing < 2; playing++) {
        found f = {0};
        so_vad *vad = open_vad((so_vad_options){.silence_ms = 200});
        feed(vad, noise, N, 160, &f);
        if (playing) so_vad_playing(vad, 0.1);
        feed(vad, echo, N, 160, &f);
        assert_int_equal(f.n, playing ? 0 : 2);
        f.n = 0;
        feed(vad, user, N, 160, &f);
        assert_int_equal(f.n, 2);
        so_vad_playing(vad, 0);
        feed(vad, noise, N, 160, &f);
        f.n = 0;
        feed(vad, echo, N, 160, &f);
        assert_int_equal(f.n, 2);
        so_vad_close(&vad);
    }
    free(noise);
    free(echo);
    free(user);
}

/* ---- recordings */

/* Reads a shipped recording at a rate of our own, in a level of our own, with silence around it. */
static float *recording(const char *name, int rate, double gain, double before_s, double after_s, size_t *n)
{
    char path[4096];
    so_error error;
    so_audio audio = {0};
    so_resampler *resampler;
    snprintf(path, sizeof path, "%s/examples/%s", SO_SOURCE_DIR, name);
    CHECK_OK(so_audio_read(&audio, path, 0, &error), error);
    size_t before = (size_t)(before_s * rate), after = (size_t)(after_s * rate);
    float *made = NULL;
    int64_t size = 0;
    if (rate != audio.rate) {
        so_resample_stream *stream;
        CHECK_OK(so_resampler_open(&resampler, audio.rate, rate, &error), error);
        CHECK_OK(so_resample_stream_open(&stream, resampler, &error), error);
        made = malloc((size_t)(so_resample_stream_bound(stream, audio.n) + 65536) * sizeof *made);
        size = so_resample_stream_feed(stream, audio.samples, audio.n, made);
        so_resample_stream_close(&stream);
        so_resampler_close(&resampler);
    } else {
        size = audio.n;
        made = malloc((size_t)size * sizeof *made);
        memcpy(made, audio.samples, (size_t)size * sizeof *made);
    }
    *n = before + (size_t)size + after;
    float *x = calloc(*n, sizeof *x);
    for (int64_t i = 0; i < size; i++) x[before + (size_t)i] = (float)gain * made[i];
    free(made);
    so_audio_clear(&audio);
    return x;
}

static void people_are_found_in_silence_and_noise(void **state)
{
    (void)state;
    static const char *const names[] = {"question.wav", "talk.wav"};
    static const int rates[] = {16000, 48000};
    static const double gains[] = {1, 0.1, 0.03}, noises[] = {0, 1e-4, 0};
    for (int i = 0; i < 2; i++)
        for (int r = 0; r < 2; r++)
            for (int g = 0; g < 3; g++) {
                size_t n;
                found f = {0};
                float *x = recording(names[i], rates[r], gains[g], 3, 3, &n);
                white(x, n, noises[g], 5);
                double seconds = (double)n / rates[r] - 6;
                so_vad *vad = open_vad((so_vad_options){.rate = rates[r], .silence_ms = 600});
                feed(vad, x, n, 500, &f);
                if (f.n < 2) fail_msg("%s at %d Hz, gain %g: %d events", names[i], rates[r], gains[g], f.n);
                near_ms(f.event[0].at_ms, 3000, 250);
                near_ms(f.event[f.n - 1].at_ms, 3000 + 1000 * seconds, 400);
                assert_int_equal(f.event[f.n - 1].kind, SO_VAD_ENDED);
                assert_int_equal(f.n, 2);
                so_vad_close(&vad);
                free(x);
            }
}

static void a_recording_that_begins_with_speech(void **state)
{
    (void)state;
    size_t n;
    found f = {0};
    float *x = recording("question.wav", 16000, 1, 0, 2, &n);
    so_vad *vad = open_vad((so_vad_options){0});
    feed(vad, x, n, 160, &f);
    assert_true(f.n >= 2);
    near_ms(f.event[0].at_ms, 0, 200);
    so_vad_close(&vad);
    free(x);
}

/* A steady voice from the first sample on, as test clients send it, is no noise; it ends where it ends. */
static void a_tone_without_anything_before_it(void **state)
{
    (void)state;
    static float x[2 * 24000];
    found f = {0};
    for (int i = 0; i < 28800; i++) x[i] = (float)(0.27 * sin(6.283185307 * 220 * i / 24000));
    so_vad *vad = open_vad((so_vad_options){.rate = 24000, .silence_ms = 300});
    feed(vad, x, sizeof x / sizeof *x, 480, &f);
    so_vad_close(&vad);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.event[0].kind, SO_VAD_BEGAN);
    near_ms(f.event[0].at_ms, 0, 30);
    near_ms(f.event[1].at_ms, 1200, 30);
}

static void bad_calls(void **state)
{
    (void)state;
    so_error error;
    so_vad *vad = (so_vad *)&error;
    so_vad_event event;
    size_t used = 1;
    const so_vad_options bad[] = {
        {.rate = -1},       {.rate = 7999},     {.rate = INT32_MAX},       {.threshold = -0.1},    {.threshold = NAN},
        {.threshold = 1.5}, {.padding_ms = -1}, {.silence_ms = INT32_MAX}, {.least_ms = INT32_MIN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(so_vad_open(&vad, &bad[i], &error), SO_ERR_ARG);
        assert_null(vad);
    }
    assert_int_equal(so_vad_open(NULL, NULL, &error), SO_ERR_ARG);
    so_vad_feed(NULL, (const int16_t[]){1}, 1, &used, &event);
    assert_int_equal(used, 0);
    assert_int_equal(event.kind, SO_VAD_NONE);
    CHECK_OK(so_vad_open(&vad, NULL, NULL), error);
    so_vad_feed(vad, NULL, SIZE_MAX, &used, &event);
    assert_int_equal(used, 0);
    so_vad_feed(vad, (const int16_t[]){1, 2}, 2, NULL, NULL);
    so_vad_playing(NULL, 1);
    so_vad_playing(vad, NAN);
    so_vad_playing(vad, INFINITY);
    so_vad_close(&vad);
    so_vad_close(&vad);
    so_vad_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_and_noise_are_no_speech),
        cmocka_unit_test(a_vowel_is_found_where_it_is),
        cmocka_unit_test(pieces_and_padding),
        cmocka_unit_test(pauses_are_no_end_until_they_are_long),
        cmocka_unit_test(the_speaker_raises_the_threshold),
        cmocka_unit_test(people_are_found_in_silence_and_noise),
        cmocka_unit_test(a_recording_that_begins_with_speech),
        cmocka_unit_test(a_tone_without_anything_before_it),
        cmocka_unit_test(bad_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
