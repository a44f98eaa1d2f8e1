/* ears: units that grow while audio arrives, on small random tokenizers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "engine/ears.h"

enum { MOST = 16000 * 12 };

typedef struct world {
    so_store store;
    so_speech_tokenizer net;
    so_mel *mel;
    so_arena arena;
    so_pass pass;
} world;

static int open_world(void **state)
{
    static world w;
    so_error error = {0};
    so_rng rng;
    so_rng_init(&rng, 7, 0);
    CHECK_OK(so_store_open(&w.store, 0, &error), error);
    so_speech_tokenizer_config c = {.mels = 128, .width = 32, .heads = 2, .ff = 64, .layers = 2, .codes = 48,
                                    .context = 300, .stride = {2, 2}};
    so_binder binder = {.store = &w.store, .rng = &rng};
    CHECK_OK(so_speech_tokenizer_bind(&w.net, &c, "", &binder, &error), error);
    CHECK_OK(so_mel_open(&w.mel, SO_MEL_WHISPER, &error), error);
    CHECK_OK(so_arena_init(&w.arena, (size_t)4 << 30, &error), error);
    so_pass_init(&w.pass, &w.arena, NULL, so_kernels_best());
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;
    so_mel_close(&w->mel);
    so_store_close(&w->store);
    so_arena_clear(&w->arena);
    return 0;
}

/* Syllables of gliding harmonics with pauses, over faint noise; louder after `loud` seconds. */
static void babble(float *x, int64_t n, int rate, double loud, uint64_t seed)
{
    so_rng rng;
    so_rng_init(&rng, seed, 1);
    double phase = 0, pitch = 120, gain = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i % (rate / 6) == 0) {
            pitch = 90 + 150 * so_rng_uniform(&rng);
            gain = so_rng_uniform(&rng) < 0.25 ? 0 : 0.02 + 0.08 * so_rng_uniform(&rng);
        }
        phase += pitch / rate;
        double s = 0;
        for (int h = 1; h < 8; h++) s += sin(6.28318530717958648 * phase * h) / h;
        x[i] = (float)(gain * s * ((double)i > loud * rate ? 4 : 1) + 1e-4 * so_rng_normal(&rng));
    }
}

/* Units of a clip computed at once. */
static int64_t whole(world *w, const float *x, int64_t n, int rate, int32_t *ids)
{
    so_error error = {0};
    so_resampler *r;
    CHECK_OK(so_resampler_open(&r, rate, 16000, &error), error);
    int64_t m = so_resampler_length(r, n), long_enough = m < 201 ? 201 : m;
    float *y = calloc((size_t)long_enough, sizeof *y);
    CHECK_OK(so_resample(r, x, n, y, &error), error);
    so_resampler_close(&r);
    size_t mark = so_arena_mark(&w->arena);
    int64_t frames = so_mel_frames(w->mel, long_enough);
    so_tensor *mel = so_new2(&w->pass, frames, 128);
    CHECK_OK(so_mel_compute(w->mel, y, long_enough, so_data(mel), NULL, &error), error);
    CHECK_OK(so_speech_tokenizer_ids(&w->pass, &w->net, mel, ids), w->pass.error);
    so_arena_release(&w->arena, mark);
    free(y);
    return so_speech_tokenizer_units(&w->net.config, frames);
}

/* What somebody who builds on the units keeps. */
typedef struct follower {
    int32_t ids[512];
    int64_t count, committed, revised;
} follower;

static void follow(follower *f, so_ears *ears)
{
    int64_t count, committed, from;
    const int32_t *ids = so_ears_units(ears, &count, &committed, &from);
    assert_true(committed >= f->committed && committed <= count && count >= f->count && from >= 0 && from <= count);
    if (f->count < count) assert_true(from <= f->count);
    for (int64_t i = 0; i < from; i++) assert_int_equal(ids[i], f->ids[i]);
    if (from < f->count) assert_int_not_equal(ids[from], f->ids[from]);
    for (int64_t i = 0; i < f->committed; i++) f->revised += ids[i] != f->ids[i];
    memcpy(f->ids, ids, (size_t)count * sizeof *ids);
    f->count = count;
    f->committed = committed;
    assert_int_equal(so_ears_revised(ears), f->revised);
    int64_t again;
    so_ears_units(ears, &count, &committed, &again);
    assert_int_equal(again, count);
}

static void feed_all(world *w, so_ears *ears, const float *x, int64_t n, int rate, int64_t piece, follower *f)
{
    so_error error = {0};
    for (int64_t at = 0; at < n; at += piece) {
        CHECK_OK(so_ears_feed(ears, &w->pass, x + at, (size_t)(n - at < piece ? n - at : piece), rate, &error), error);
        follow(f, ears);
    }
    CHECK_OK(so_ears_finish(ears, &w->pass, &error), error);
    follow(f, ears);
    assert_int_equal(f->committed, f->count);
    assert_int_equal(so_arena_mark(&w->arena), 0);
}

static void final_units_equal_the_whole_clip(void **state)
{
    world *w = *state;
    so_error error = {0};
    static const struct {
        int rate;
        double seconds, piece, window, loud;
    } cases[] = {{16000, 3.21, 0.04, 0, 99}, {16000, 9.3, 0.1, 1.5, 6}, {22050, 2.5, 0.0137, 0, 1},
                 {48000, 4, 0.02, 1, 99},    {44100, 1.1, 5, 0, 99},    {8000, 8, 0.5, 2, 99},
                 {44101, 1.3, 0.3, 0, 99},   {100, 1, 0.1, 0, 99}};
    float *x = malloc(sizeof *x * 48000 * 10);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rate = cases[i].rate;
        int64_t n = (int64_t)(cases[i].seconds * rate), piece = (int64_t)(cases[i].piece * rate);
        babble(x, n, rate, cases[i].loud, i);
        so_ears *ears;
        so_ears_options options = {.right = 0.1, .every = 0.16, .window = cases[i].window};
        CHECK_OK(so_ears_open(&ears, &w->net, w->mel, &options, &error), error);
        for (int turn = 0; turn < 2; turn++) {
            follower f = {.count = 0};
            feed_all(w, ears, x, n, rate, piece, &f);
            int32_t expected[512];
            assert_int_equal(whole(w, x, n, rate, expected), f.count);
            assert_memory_equal(f.ids, expected, (size_t)f.count * sizeof *expected);
            so_ears_reset(ears);
        }
        so_ears_close(&ears);
    }
    free(x);
}

/* A turn without commits before its end would pass the other tests. */
static void units_are_committed_while_audio_arrives(void **state)
{
    world *w = *state;
    so_error error = {0};
    float *x = malloc(sizeof *x * MOST);
    babble(x, 48000, 16000, 99, 3);
    so_ears *ears;
    CHECK_OK(so_ears_open(&ears, &w->net, w->mel, &(so_ears_options){.right = 0.2, .every = 0.16}, &error), error);
    int64_t count, committed, from;
    for (int64_t at = 0; at < 48000; at += 640) {
        CHECK_OK(so_ears_feed(ears, &w->pass, x + at, 640, 16000, &error), error);
        so_ears_units(ears, &count, &committed, &from);
        double heard = so_ears_seconds(ears);
        assert_true(fabs(heard - (double)(at + 640) / 16000) < 1e-9);
        assert_true((double)committed * 0.04 <= fmax(heard - 0.2, 0) + 1e-9);
        assert_true((double)committed * 0.04 >= heard - 0.2 - 0.16 - 0.08);
    }
    so_ears_close(&ears);
    free(x);
}

static void short_turns(void **state)
{
    world *w = *state;
    so_error error = {0};
    float x[640];
    babble(x, 640, 16000, 99, 4);
    so_ears *ears;
    CHECK_OK(so_ears_open(&ears, &w->net, w->mel, NULL, &error), error);
    static const int64_t lengths[] = {0, 1, 200, 201, 320, 640};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t n = lengths[i];
        follower f = {.count = 0};
        int32_t expected[8];
        so_ears_reset(ears);
        feed_all(w, ears, x, n, 16000, 640, &f);
        int64_t units = n ? whole(w, x, n, 16000, expected) : 0;
        assert_int_equal(f.count, units);
        if (units) assert_memory_equal(f.ids, expected, (size_t)units * sizeof *expected);
        CHECK_OK(so_ears_finish(ears, &w->pass, &error), error);
    }
    so_ears_close(&ears);
}

static void refusals(void **state)
{
    world *w = *state;
    so_error error = {0};
    so_ears *ears;
    float *x = malloc(sizeof *x * MOST), bad[3] = {0, NAN, 0}, endless[2] = {0, INFINITY};
    babble(x, MOST, 16000, 99, 5);
    assert_int_equal(so_ears_open(&ears, &w->net, w->mel, &(so_ears_options){.limit = 12.5}, &error), SO_ERR_ARG);
    assert_null(ears);
    assert_int_equal(so_ears_open(&ears, &w->net, w->mel, &(so_ears_options){.limit = 1e-3}, &error), SO_ERR_ARG);
    so_mel *other;
    CHECK_OK(so_mel_open(&other, SO_MEL_KALDI, &error), error);
    assert_int_equal(so_ears_open(&ears, &w->net, other, NULL, &error), SO_ERR_ARG);
    so_mel_close(&other);
    CHECK_OK(so_ears_open(&ears, &w->net, w->mel, &(so_ears_options){.limit = 2}, &error), error);
    assert_int_equal(so_ears_feed(ears, &w->pass, bad, 3, 16000, &error), SO_ERR_NUMBER);
    assert_int_equal(so_ears_feed(ears, &w->pass, endless, 2, 16000, &error), SO_ERR_NUMBER);
    assert_int_equal(so_ears_feed(ears, &w->pass, x, 10, 0, &error), SO_ERR_ARG);
    assert_int_equal(so_ears_feed(ears, &w->pass, x, 10, -5, &error), SO_ERR_ARG);
    assert_int_equal(so_ears_feed(ears, &w->pass, x, 32001, 16000, &error), SO_ERR_LIMIT);
    assert_int_equal(so_ears_feed(ears, &w->pass, x, SIZE_MAX / 8, 16000, &error), SO_ERR_LIMIT);
    assert_true(so_ears_seconds(ears) == 0);
    CHECK_OK(so_ears_feed(ears, &w->pass, x, 20000, 16000, &error), error);
    assert_int_equal(so_ears_feed(ears, &w->pass, x, 10, 48000, &error), SO_ERR_ARG);
    assert_int_equal(so_ears_feed(ears, &w->pass, x, 12001, 16000, &error), SO_ERR_LIMIT);
    CHECK_OK(so_ears_feed(ears, &w->pass, x + 20000, 12000, 16000, &error), error);
    CHECK_OK(so_ears_finish(ears, &w->pass, &error), error);
    assert_int_equal(so_ears_feed(ears, &w->pass, x, 1, 16000, &error), SO_ERR_STATE);
    int64_t count, committed, from;
    int32_t expected[64];
    const int32_t *ids = so_ears_units(ears, &count, &committed, &from);
    assert_int_equal(whole(w, x, 32000, 16000, expected), count);
    assert_memory_equal(ids, expected, (size_t)count * sizeof *ids);
    so_ears_close(&ears);
    so_ears_close(&ears);
    free(x);
}

static void the_plan_is_enough_and_less_is_refused(void **state)
{
    world *w = *state;
    so_error error = {0};
    so_ears *ears;
    size_t bytes;
    float *x = malloc(sizeof *x * MOST);
    babble(x, MOST, 16000, 99, 6);
    CHECK_OK(so_ears_open(&ears, &w->net, w->mel, NULL, &error), error);
    CHECK_OK(so_ears_plan(ears, so_kernels_best(), &bytes, &error), error);
    for (int less = 0; less < 2; less++) {
        so_arena arena;
        so_pass pass;
        CHECK_OK(so_arena_init(&arena, less ? bytes / 2 : bytes, &error), error);
        so_pass_init(&pass, &arena, NULL, so_kernels_best());
        so_ears_reset(ears);
        so_status fed = so_ears_feed(ears, &pass, x, MOST, 16000, &error);
        assert_int_equal(fed, less ? SO_ERR_NOMEM : SO_OK);
        if (!less) CHECK_OK(so_ears_finish(ears, &pass, &error), error);
        so_arena_clear(&arena);
    }
    so_ears_close(&ears);
    free(x);
}

static void quiet_is_measured_against_the_voice(void **state)
{
    world *w = *state;
    so_error error = {0};
    so_ears *ears;
    float *x = malloc(sizeof *x * MOST);
    static const double noises[] = {0, 1e-4, 3e-3, 1e-2}; /* of a voice with a mean square of 1e-2 */
    CHECK_OK(so_ears_open(&ears, &w->net, w->mel, &(so_ears_options){.every = 100}, &error), error);
    for (size_t k = 0; k < sizeof noises / sizeof *noises; k++) {
        so_rng rng;
        so_rng_init(&rng, 11, k);
        for (int i = 0; i < 80000; i++) {
            bool voice = (i >= 16000 && i < 32000) || (i >= 40000 && i < 56000);
            x[i] = (float)((voice ? 0.1414 * sin(i * 0.2) : 0) + noises[k] * so_rng_normal(&rng));
        }
        so_ears_reset(ears);
        for (int at = 0; at < 80000; at += 1600) {
            CHECK_OK(so_ears_feed(ears, &w->pass, x + at, 1600, 16000, &error), error);
            int end = at + 1600;
            double quiet = so_ears_quiet(ears), expected = end <= 16000   ? (noises[k] > 1e-3 ? -1 : end)
                                                           : end <= 32000 ? 0
                                                           : end <= 40000 ? end - 32000
                                                           : end <= 56000 ? 0
                                                                          : end - 56000;
            if (expected >= 0 && fabs(quiet - expected / 16000) > 0.041)
                fail_msg("noise %g: quiet for %g s after %g s, expected %g", noises[k], quiet, end / 16000., expected / 16000);
        }
    }
    so_ears_close(&ears);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(final_units_equal_the_whole_clip),
        cmocka_unit_test(units_are_committed_while_audio_arrives),
        cmocka_unit_test(short_turns),
        cmocka_unit_test(refusals),
        cmocka_unit_test(the_plan_is_enough_and_less_is_refused),
        cmocka_unit_test(quiet_is_measured_against_the_voice),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
