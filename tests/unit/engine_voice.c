/* voice: audio that leaves while units arrive, on small random networks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "engine/voice.h"

enum { UNITS = 150, HOP = 256 };

/* ---- counting what is taken from the heap (not under a sanitizer, which has its own heap) */

static int64_t allocations;
#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}
void *calloc(size_t n, size_t bytes)
{
    allocations++;
    return __libc_calloc(n, bytes);
}
#endif

/* ---- networks */

typedef struct world {
    so_store store;
    so_flow flow;
    so_hift hift;
    float speaker[16];
    int32_t units[UNITS];
    so_arena arena;
    so_pass pass;
} world;

static so_flow_config flow_config(void)
{
    return (so_flow_config){.units = 64, .width = 32, .heads = 2, .ff = 48, .layers = 2, .channels = 16, .est_heads = 2,
                            .head_width = 8, .est_blocks = 1, .mid = 1, .speaker = 16, .mels = 80, .unit_rate = 25,
                            .rate = 22050, .hop = HOP, .border = 20, .steps = 3, .guidance = 0.7, .sigma_min = 1e-6};
}

static int open_world(void **state)
{
    static world w;
    so_error error = {0};
    so_rng rng;
    so_rng_init(&rng, 21, 0);
    CHECK_OK(so_store_open(&w.store, 0, &error), error);
    so_binder binder = {.store = &w.store, .rng = &rng};
    so_flow_config flow = flow_config();
    CHECK_OK(so_flow_bind(&w.flow, &flow, "flow.", &binder, &error), error);
    so_hift_config hift = so_hift_published();
    hift.channels = 16;
    hift.f0_channels = 16;
    CHECK_OK(so_hift_bind(&w.hift, &hift, "hift.", &binder, &error), error);
    so_data(w.hift.f0_b)[0] = 180; /* Hz: a voice, so that phases matter */
    for (int64_t i = 0; i < so_count(w.hift.f0_w); i++) so_data(w.hift.f0_w)[i] *= 20;
    for (int i = 0; i < 16; i++) w.speaker[i] = (float)so_rng_normal(&rng);
    for (int i = 0; i < UNITS; i++) w.units[i] = (int32_t)so_rng_below(&rng, 64);
    CHECK_OK(so_arena_init(&w.arena, (size_t)8 << 30, &error), error);
    so_pass_init(&w.pass, &w.arena, NULL, so_kernels_best());
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;
    so_store_close(&w->store);
    so_arena_clear(&w->arena);
    return 0;
}

/* ---- running a stream */

static so_voice_stream *open_stream(world *w, so_voice_options options)
{
    so_error error = {0};
    so_voice_stream *voice;
    CHECK_OK(so_voice_stream_open(&voice, &w->flow, &w->hift, w->speaker, &options, &error), error);
    return voice;
}

/* Feeds n units, `at_once` at a time, and gathers all audio; units must tile the answer. Returns the samples. */
static int64_t speak(world *w, so_voice_stream *voice, int64_t n, int64_t at_once, float *out)
{
    so_error error = {0};
    int64_t total = 0, spoken = 0, samples, unit0, units, fed = 0;
    const float *pcm;
    while (true) {
        int64_t more = n - fed < at_once ? n - fed : at_once;
        CHECK_OK(so_voice_stream_feed(voice, w->units + fed, more, fed + more == n, &error), error);
        fed += more;
        do {
            int64_t before = allocations;
            CHECK_OK(so_voice_stream_next(voice, &w->pass, &pcm, &samples, &unit0, &units, &error), error);
            assert_int_equal(allocations, before);
            assert_int_equal(so_arena_mark(&w->arena), 0);
            assert_int_equal(unit0, spoken);
            assert_true(units >= 0 && spoken + units <= fed);
            spoken += units;
            memcpy(out + total, pcm, (size_t)samples * sizeof *pcm);
            total += samples;
            if (fed < n) assert_true(llabs(total - spoken * 882) < 882);
        } while (samples > 0);
        if (fed == n) break;
    }
    assert_int_equal(spoken, n);
    return total;
}

static void whole(world *w, int64_t n, uint64_t seed, float *out, float *mel)
{
    so_error error = {0};
    CHECK_OK(so_voice_whole(&w->flow, &w->hift, w->speaker, w->units, n, seed, 0, &w->pass, out, mel, &error), error);
}

static float *room(void) { return calloc((size_t)UNITS * 900, sizeof(float)); }

/* ---- tests */

/* One piece from beginning to end: nothing may differ from the plain models in a row. */
static void a_short_answer_is_the_whole_synthesis(void **state)
{
    world *w = *state;
    float *out = room(), *expected = room();
    static const int64_t lengths[] = {1, 2, 9, 30, 45};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t n = lengths[i];
        so_voice_stream *voice = open_stream(w, (so_voice_options){.first = 40, .right = 6, .seed = 5});
        assert_int_equal(speak(w, voice, n, n, out), so_voice_samples(&w->flow, n));
        whole(w, n, 5, expected, NULL);
        assert_memory_equal(out, expected, (size_t)so_voice_samples(&w->flow, n) * sizeof *out);
        so_voice_stream_close(&voice);
    }
    free(out);
    free(expected);
}

static void lengths_are_those_of_the_whole(void **state)
{
    world *w = *state;
    float *out = room();
    static const so_voice_options options[] = {{.first = 1, .piece = 1, .right = -1, .left = -1},
                                               {.first = 2, .piece = 7, .right = 1, .left = 3},
                                               {.first = 10, .piece = 25, .right = 6, .left = 20}};
    static const int64_t lengths[] = {0, 1, 2, 3, 16, 17, 41, 73};
    for (size_t k = 0; k < 3; k++) {
        so_voice_stream *voice = open_stream(w, options[k]);
        for (size_t i = 0; i < (k ? 8 : 6); i++) {
            so_voice_stream_reset(voice, i);
            assert_int_equal(speak(w, voice, lengths[i], 5, out), so_voice_samples(&w->flow, lengths[i]));
            for (int64_t s = 0; s < so_voice_samples(&w->flow, lengths[i]); s++) assert_true(fabs((double)out[s]) <= 0.99);
        }
        so_voice_stream_close(&voice);
    }
    assert_int_equal(so_voice_samples(&w->flow, 1500), (int64_t)(1500 / 25.0 * 22050 / 256) * 256);
    free(out);
}

static void audio_does_not_depend_on_when_units_come(void **state)
{
    world *w = *state;
    float *out = room(), *expected = room();
    so_voice_stream *voice = open_stream(w, (so_voice_options){.first = 6, .piece = 11, .right = 4, .left = 9, .seed = 1});
    for (int64_t n = 17; n <= 31; n++) { /* pieces end at 6, 15 and 26: answers end everywhere in a context */
        so_voice_stream_reset(voice, 1);
        int64_t samples = speak(w, voice, n, n, expected);
        for (int64_t at_once = 1; at_once < 8; at_once += 3) {
            so_voice_stream_reset(voice, 1);
            assert_int_equal(speak(w, voice, n, at_once, out), samples);
            assert_memory_equal(out, expected, (size_t)samples * sizeof *out);
        }
    }
    so_voice_stream_reset(voice, 2);
    int64_t samples = speak(w, voice, 31, 31, out);
    assert_memory_not_equal(out, expected, (size_t)samples * sizeof *out);
    so_voice_stream_close(&voice);
    free(out);
    free(expected);
}

/* With a flow whose frames are noise alone, every piece has the whole's mel, and the vocoder has nothing to differ by: with
 * its whole reach to the right everywhere, without it where the reach ends before a border. */
static void the_vocoder_s_pieces_join(void **state)
{
    world *w = *state;
    int64_t n = 64, samples = so_voice_samples(&w->flow, n), context = so_hift_context(&w->hift.config);
    float *out = room(), *expected = room(), *mel = room();
    size_t bytes = (size_t)so_count(w->flow.final_w) * sizeof(float);
    float *kept = malloc(bytes);
    memcpy(kept, w->flow.final_w->data, bytes);
    memset(w->flow.final_w->data, 0, bytes);
    whole(w, n, 9, expected, mel);
    double scale = 0;
    for (int64_t i = 0; i < samples; i++) scale = fmax(scale, fabs((double)expected[i]));
    assert_true(scale > 1e-3);
    for (int reach = 0; reach < 2; reach++) {
        so_voice_stream *voice = open_stream(w, (so_voice_options){.first = 14, .piece = 20, .right = reach ? 10 : -1,
                                                                   .left = 4, .seed = 9});
        assert_int_equal(speak(w, voice, n, 3, out), samples);
        int64_t frames, compared = 0, border = 14;
        const float *streamed = so_voice_stream_mel(voice, &frames);
        assert_int_equal(frames * HOP, samples);
        check_close("mel", streamed, mel, frames * 80, 1e-6, 1e-6);
        double worst = 0;
        for (int64_t i = 0; i < samples; i++) {
            int64_t edge = (so_flow_frames(&w->flow.config, border) - (reach ? 0 : context)) * HOP;
            if (i >= so_flow_frames(&w->flow.config, border) * HOP && border < n) border += 20;
            if (!reach && border < n && i >= edge) continue;
            worst = fmax(worst, fabs((double)out[i] - (double)expected[i]));
            compared++;
        }
        assert_true(compared > samples / 3);
        if (worst > 1e-5 * scale) fail_msg("reach %d: off by %g of %g", reach, worst, scale);
        so_voice_stream_close(&voice);
    }
    memcpy(w->flow.final_w->data, kept, bytes);
    free(kept);
    free(out);
    free(expected);
    free(mel);
}

static void the_plan_is_enough_and_less_is_refused(void **state)
{
    world *w = *state;
    so_error error = {0};
    const float *pcm;
    int64_t samples, unit0, units, total = 0;
    size_t bytes;
    so_voice_stream *voice = open_stream(w, (so_voice_options){.first = 5, .piece = 12, .right = 3, .left = 20});
    CHECK_OK(so_voice_stream_plan(voice, so_kernels_best(), &bytes, &error), error);
    so_arena arena;
    so_pass pass;
    CHECK_OK(so_arena_init(&arena, bytes, &error), error);
    so_pass_init(&pass, &arena, NULL, so_kernels_best());
    CHECK_OK(so_voice_stream_feed(voice, w->units, 100, true, &error), error);
    do {
        CHECK_OK(so_voice_stream_next(voice, &pass, &pcm, &samples, &unit0, &units, &error), error);
        total += samples;
    } while (samples > 0);
    assert_int_equal(total, so_voice_samples(&w->flow, 100));
    assert_true(arena.peak * 3 > bytes);
    so_arena_clear(&arena);
    CHECK_OK(so_arena_init(&arena, bytes / 8, &error), error);
    so_pass_init(&pass, &arena, NULL, so_kernels_best());
    so_voice_stream_reset(voice, 0);
    CHECK_OK(so_voice_stream_feed(voice, w->units, 100, true, &error), error);
    so_status status = SO_OK;
    for (int i = 0; i < 10 && status == SO_OK; i++)
        status = so_voice_stream_next(voice, &pass, &pcm, &samples, &unit0, &units, &error);
    assert_int_equal(status, SO_ERR_NOMEM);
    so_arena_clear(&arena);
    so_voice_stream_close(&voice);
    so_voice_stream_close(&voice);
}

static void refusals(void **state)
{
    world *w = *state;
    so_error error = {0};
    const int32_t low = -1, high = 64;
    so_voice_stream *voice = open_stream(w, (so_voice_options){.limit = 20});
    assert_int_equal(so_voice_stream_feed(voice, &low, 1, false, &error), SO_ERR_ARG);
    assert_int_equal(so_voice_stream_feed(voice, &high, 1, false, &error), SO_ERR_ARG);
    assert_int_equal(so_voice_stream_feed(voice, w->units, 21, false, &error), SO_ERR_LIMIT);
    assert_int_equal(so_voice_stream_feed(voice, w->units, -1, false, &error), SO_ERR_LIMIT);
    CHECK_OK(so_voice_stream_feed(voice, w->units, 20, true, &error), error);
    CHECK_OK(so_voice_stream_feed(voice, NULL, 0, true, &error), error);
    assert_int_equal(so_voice_stream_feed(voice, w->units, 1, true, &error), SO_ERR_STATE);
    so_voice_stream_close(&voice);
    so_hift other = w->hift;
    other.config.rate = 24000;
    assert_int_equal(so_voice_stream_open(&voice, &w->flow, &other, w->speaker, NULL, &error), SO_ERR_ARG);
    assert_null(voice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_answer_is_the_whole_synthesis),
        cmocka_unit_test(lengths_are_those_of_the_whole),
        cmocka_unit_test(audio_does_not_depend_on_when_units_come),
        cmocka_unit_test(the_vocoder_s_pieces_join),
        cmocka_unit_test(the_plan_is_enough_and_less_is_refused),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
