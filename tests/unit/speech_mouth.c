/* mouth: what is heard must not depend on when units come, on small random networks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>
#include <stdatomic.h>

#include "nn/worker.h"
#include "speech/mouth.h"

enum { UNITS = 80, HOP = 256 };

typedef struct world {
    so_store store;
    so_codec codec;
    float speaker[16];
    int32_t units[UNITS];
} world;

static int open_world(void **state)
{
    static world w;
    so_error error = {0};
    so_rng rng;
    so_rng_init(&rng, 21, 0);
    CHECK_OK(so_store_open(&w.store, 0, &error), error);
    so_binder binder = {.store = &w.store, .rng = &rng};
    so_flow_config flow = {.units = 64,
                           .width = 32,
                           .heads = 2,
                           .ff = 48,
                           .layers = 2,
                           .channels = 16,
                           .est_heads = 2,
                           .head_width = 8,
                           .est_blocks = 1,
                           .mid = 1,
                           .speaker = 16,
                           .mels = 80,
                           .unit_rate = 25,
                           .rate = 22050,
                           .hop = HOP,
                           .border = 20,
                           .steps = 3,
                           .guidance = 0.7,
                           .temperature = 1,
                           .sigma_min = 1e-6};
    CHECK_OK(so_flow_bind(&w.codec.flow, &flow, "flow.", &binder, &error), error);
    so_hift_config hift = so_hift_published();
    hift.channels = hift.f0_channels = 16;
    CHECK_OK(so_hift_bind(&w.codec.hift, &hift, "hift.", &binder, &error), error);
    for (int i = 0; i < 16; i++) w.speaker[i] = (float)so_rng_normal(&rng);
    for (int i = 0; i < UNITS; i++) w.units[i] = (int32_t)so_rng_below(&rng, 64);
    w.codec.has_vocoder = true;
    w.codec.speaker = w.speaker;
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    so_store_close(&((world *)*state)->store);
    return 0;
}

/* A mouth of small chunks, and who computes for it; what the mouth was foretold to take. */
static so_need open_mouth(const world *w, so_mouth **mouth, so_worker *worker)
{
    so_error error = {0};
    so_mouth_options options = {.first = 6, .hop = 11, .left = 9, .right = 4, .max_units = UNITS, .seed = 1};
    so_need fixed, scratch;
    so_site place = {.kernels = so_kernels_best()};
    CHECK_OK(so_mouth_plan(&w->codec, &options, &place, &fixed, &scratch, &error), error);
    CHECK_OK(so_worker_open(worker, scratch.host, NULL, so_kernels_best(), &error), error);
    CHECK_OK(so_mouth_open(mouth, &w->codec, &options, &error), error);
    return fixed;
}

/* Gives n units, `at_once` at a time, and gathers all audio. */
static int64_t speak_from(const world *w, so_mouth *mouth, so_pass *pass, uint64_t seed, int64_t n, int64_t at_once,
                          float *out)
{
    so_error error = {0};
    int64_t total = 0, samples;
    const float *pcm;
    so_mouth_reset(mouth, seed);
    for (int64_t i = 0; i < n; i++) {
        CHECK_OK(so_mouth_put(mouth, w->units[i], &error), error);
        if (i + 1 == n) so_mouth_end(mouth);
        if ((i + 1) % at_once && i + 1 < n) continue;
        for (bool made = true; made;) {
            CHECK_OK(so_mouth_step(mouth, pass, &made, &error), error);
            CHECK_OK(so_mouth_take(mouth, &pcm, &samples, &error), error);
            if (samples) memcpy(out + total, pcm, (size_t)samples * sizeof *out);
            total += samples;
        }
    }
    return total;
}

static int64_t speak(const world *w, so_mouth *mouth, so_pass *pass, int64_t n, int64_t at_once, float *out)
{
    return speak_from(w, mouth, pass, 1, n, at_once, out);
}

/* Another seed is another mel, unless the noise has no temperature. */
static void noise_has_a_temperature(void **state)
{
    world *w = *state;
    enum { N = 20 };
    so_mouth *mouth;
    so_worker worker;
    open_mouth(w, &mouth, &worker);
    size_t mel = (size_t)(so_flow_frames(&w->codec.flow.config, N) * 80) * sizeof(so_real);
    float *out = malloc(sizeof *out * UNITS * 900);
    so_real *one = malloc(mel);
    for (int cold = 0; cold < 2; cold++) {
        w->codec.flow.config.temperature = cold ? 0 : 0.5;
        speak_from(w, mouth, &worker.pass, 1, N, N, out);
        memcpy(one, mouth->mel, mel);
        speak_from(w, mouth, &worker.pass, 2, N, N, out);
        assert_int_equal(memcmp(one, mouth->mel, mel) == 0, cold);
    }
    w->codec.flow.config.temperature = 1;
    so_mouth_close(&mouth);
    so_worker_clear(&worker);
    free(out);
    free(one);
}

/* A flow that nobody can have meant is refused. */
static void odd_flows_are_refused(void **state)
{
    (void)state;
    so_flow net;
    so_error error = {0};
    so_rng rng;
    so_store store;
    so_rng_init(&rng, 1, 0);
    CHECK_OK(so_store_open(&store, 0, &error), error);
    so_binder binder = {.store = &store, .rng = &rng};
    so_flow_config odd[3] = {so_flow_published(), so_flow_published(), so_flow_published()};
    odd[0].temperature = -1;
    odd[1].temperature = NAN;
    odd[2].guidance = 1e9;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(so_flow_bind(&net, &odd[i], "flow.", &binder, &error), SO_ERR_ARG);
        assert_non_null(strstr(error.text, "temperature"));
    }
    so_store_close(&store);
}

/* Answers end everywhere in a chunk and in its context to the right: first 6, then 11, with 4 to the right. */
static void audio_does_not_depend_on_when_units_come(void **state)
{
    world *w = *state;
    so_mouth *mouth;
    so_worker worker;
    so_need fixed = open_mouth(w, &mouth, &worker);
    assert_int_equal((fixed.host + 4095) / 4096 * 4096, mouth->memory.capacity);
    float *out = malloc(sizeof *out * UNITS * 900), *expected = malloc(sizeof *out * UNITS * 900);
    for (int64_t n = 17; n <= 34; n++) {
        int64_t samples = speak(w, mouth, &worker.pass, n, n, expected);
        assert_int_equal(samples, so_flow_frames(&w->codec.flow.config, n) * HOP);
        for (int64_t at_once = 1; at_once < 6; at_once += 2) {
            assert_int_equal(speak(w, mouth, &worker.pass, n, at_once, out), samples);
            if (memcmp(out, expected, (size_t)samples * sizeof *out) != 0)
                fail_msg("%d units, %d at a time, sound otherwise than all at once", (int)n, (int)at_once);
        }
    }
    so_mouth_close(&mouth);
    so_worker_clear(&worker);
    free(out);
    free(expected);
}

/* A chunk is made in one step for its units and one for each evaluation of the flow; between them all can end. */
static void steps_are_small_and_can_end(void **state)
{
    world *w = *state;
    so_error error = {0};
    so_mouth *mouth;
    so_worker worker;
    const float *pcm;
    int64_t samples;
    bool made;
    open_mouth(w, &mouth, &worker);
    for (int stop_at = 0; stop_at < 4; stop_at++) {
        so_mouth_reset(mouth, 1);
        for (int i = 0; i < 10; i++) {
            assert_false(so_mouth_due(mouth));
            CHECK_OK(so_mouth_put(mouth, w->units[i], &error), error);
        }
        for (int step = 0; step <= w->codec.flow.config.steps; step++) { /* the encoding, then the evaluations */
            assert_true(so_mouth_due(mouth));
            assert_int_equal(mouth->mel_frames, 0);
            if (step == stop_at) break;
            CHECK_OK(so_mouth_step(mouth, &worker.pass, &made, &error), error);
            assert_true(made);
        }
        so_mouth_quiet(mouth);
        assert_false(so_mouth_due(mouth));
        assert_true(so_mouth_complete(mouth));
        CHECK_OK(so_mouth_step(mouth, &worker.pass, &made, &error), error);
        CHECK_OK(so_mouth_take(mouth, &pcm, &samples, &error), error);
        assert_false(made || samples);
    }
    so_mouth_close(&mouth);
    so_worker_clear(&worker);
}

/* Stops at a product of the flow or the vocoder, and counts those behind it. */
typedef struct stopper {
    atomic_int stop;
    int left, after;
} stopper;

static void watch_product(void *context, const so_tensor *weight, const so_tensor *x)
{
    stopper *s = context;
    (void)weight;
    (void)x;
    s->after += s->stop;
    if (--s->left == 0) s->stop = 1;
}

/* A stop is seen between the layers of a step: nothing more is computed, and nothing more heard. */
static void a_step_can_be_stopped_inside(void **state)
{
    world *w = *state;
    so_error error = {0};
    so_mouth *mouth;
    so_worker worker;
    stopper s;
    so_watch watch = {.product = watch_product, .context = &s};
    open_mouth(w, &mouth, &worker);
    worker.pass.watch = &watch;
    worker.pass.stop = &s.stop;
    int products = 0, stopped = 0;
    for (int at = 1; at == products + 1; at += 7) { /* until an answer is made to its end */
        s = (stopper){.left = at};
        so_mouth_reset(mouth, 1);
        for (int i = 0; i < 12; i++) CHECK_OK(so_mouth_put(mouth, w->units[i], &error), error);
        so_mouth_end(mouth);
        bool made = true;
        so_status status = SO_OK;
        while (made && status == SO_OK) status = so_mouth_step(mouth, &worker.pass, &made, &error);
        assert_int_equal(s.after, 0);
        if (!s.stop) break;
        assert_int_equal(status, SO_ERR_STOPPED);
        const float *pcm;
        int64_t samples;
        assert_true(so_mouth_complete(mouth));
        CHECK_OK(so_mouth_take(mouth, &pcm, &samples, &error), error);
        assert_int_equal(samples, 0);
        stopped++;
        products = at + 6;
    }
    assert_true(stopped > 10);
    so_mouth_close(&mouth);
    so_worker_clear(&worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_has_a_temperature), cmocka_unit_test(odd_flows_are_refused),
        cmocka_unit_test(audio_does_not_depend_on_when_units_come), cmocka_unit_test(steps_are_small_and_can_end),
        cmocka_unit_test(a_step_can_be_stopped_inside)};
    return cmocka_run_group_tests(tests, open_world, close_world);
}
