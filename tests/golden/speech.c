/* The codec in the engine: units of the reference, streams against wholes, both file layouts.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include "checkpoint/codec.h"
#include "nn/worker.h"
#include "speech/ear.h"
#include "speech/mouth.h"

#define TINY "reference/cosyvoice-tiny"

static so_codec codec;
static so_safetensors *golden;

static int open_all(void **state)
{
    (void)state;
    so_error error;
    char folder[4096];
    if (!check_has_shared(TINY)) return 0; /* each test skips */
    snprintf(folder, sizeof folder, "%s", check_shared(TINY));
    CHECK_OK(so_codec_open(&codec, &(so_codec_source){.folder = folder}, &error), error);
    CHECK_OK(so_safetensors_open(&golden, check_shared(TINY "/golden.safetensors"), &error), error);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    so_codec_close(&codec);
    so_safetensors_close(&golden);
    return 0;
}

static const so_view *view_of(const char *name)
{
    const so_view *v = so_views_find(so_safetensors_views(golden), name);
    if (!v) fail_msg("no tensor %s", name);
    return v;
}

static void expect_units(so_ear *ear, const char *audio, const char *ids, int rate, size_t step)
{
    so_error error;
    bool news;
    const so_view *x = view_of(audio), *expected = view_of(ids);
    size_t n = (size_t)so_view_elements(x);
    so_ear_reset(ear);
    for (size_t at = 0; at < n; at += step)
        CHECK_OK(so_ear_feed(ear, (const float *)x->data + at, n - at < step ? n - at : step, rate, &news, &error),
                 error);
    CHECK_OK(so_ear_finish(ear, &error), error);
    assert_int_equal(ear->n, so_view_elements(expected));
    assert_memory_equal(ear->units, expected->data, (size_t)ear->n * sizeof *ear->units);
}

/* How sound and units are cut is the same work for every table of kernels: SO_FEW_ROUNDS for slow ones. */
static bool few_rounds(void) { return getenv("SO_FEW_ROUNDS") != NULL; }

static void hears_the_reference_units(void **state)
{
    check_shared(TINY);
    (void)state;
    so_ear *ear;
    so_error error;
    CHECK_OK(so_ear_open(&ear, &codec, NULL, &(so_site){.kernels = so_kernels_best()}, 60, &error), error);
    for (size_t step = 100000; step > (few_rounds() ? 10000 : 100); step = step / 7) {
        expect_units(ear, "tok.speech.audio_22050", "tok.speech.ids", 22050, step);
        expect_units(ear, "tok.chirp.audio_16k", "tok.chirp.ids", 16000, step);
        expect_units(ear, "tok.min.audio_16k", "tok.min.ids", 16000, step);
    }
    so_ear_close(&ear);
}

/* Longer than a block, shorter than a frame, and nothing. */
static void odd_lengths(void **state)
{
    check_shared(TINY);
    (void)state;
    so_ear *ear;
    so_error error;
    bool news;
    CHECK_OK(so_ear_open(&ear, &codec, NULL, &(so_site){.kernels = so_kernels_best()}, 40, &error), error);
    float *x = calloc(35 * 16000, sizeof *x);
    for (int i = 0; i < 35 * 16000; i++) x[i] = 0.2f * sinf((float)i * 0.03f);
    CHECK_OK(so_ear_feed(ear, x, 35 * 16000, 16000, &news, &error), error);
    assert_int_equal(so_ear_feed(ear, x, 6 * 16000, 16000, &news, &error), SO_ERR_LIMIT);
    CHECK_OK(so_ear_finish(ear, &error), error);
    assert_int_equal(ear->n, 750 + 125);
    so_ear_reset(ear);
    CHECK_OK(so_ear_finish(ear, &error), error);
    assert_int_equal(ear->n, 0);
    so_ear_reset(ear);
    CHECK_OK(so_ear_feed(ear, x, 1, 16000, &news, &error), error);
    CHECK_OK(so_ear_finish(ear, &error), error);
    assert_int_equal(ear->n, 1);
    x[5] = NAN;
    so_ear_reset(ear);
    assert_int_equal(so_ear_feed(ear, x, 10, 16000, &news, &error), SO_ERR_NUMBER);
    free(x);
    so_ear_close(&ear);
}

static so_worker worker;
static size_t worker_most;

/* Gives all samples for `n` units that arrive `step` at a time; first says after how many units sound came. */
static int64_t say(so_mouth *m, const int32_t *units, int64_t n, int64_t step, float *out, int64_t *first)
{
    so_error error;
    const float *pcm;
    int64_t samples, all = 0;
    so_mouth_reset(m, 7);
    *first = -1;
    for (int64_t i = 0; i <= n; i++) {
        if (i < n) CHECK_OK(so_mouth_put(m, units[i], &error), error);
        if (i == n) so_mouth_end(m);
        if (i < n && (i + 1) % step) continue;
        for (bool made = true; made;) {
            CHECK_OK(so_mouth_step(m, &worker.pass, &made, &error), error);
            CHECK_OK(so_mouth_take(m, &pcm, &samples, &error), error);
            if (!samples) continue;
            if (*first < 0) *first = i + 1;
            memcpy(out + all, pcm, (size_t)samples * sizeof *out);
            all += samples;
        }
    }
    assert_int_equal(all, so_mouth_samples(m));
    return all;
}

static so_mouth *open_prompted(int64_t first, int64_t hop, int64_t left, int64_t right, int64_t prompt)
{
    so_mouth *m;
    so_error error;
    so_mouth_options options = {first, hop, left, right, 400, 7, NULL, prompt};
    so_need fixed, scratch;
    CHECK_OK(so_mouth_plan(&codec, &options, &(so_site){.kernels = so_kernels_best()}, &fixed, &scratch, &error),
             error);
    so_worker_clear(&worker);
    CHECK_OK(so_worker_open(&worker, scratch.host > worker_most ? worker_most = scratch.host : worker_most, NULL,
                            so_kernels_best(), &error),
             error);
    CHECK_OK(so_mouth_open(&m, &codec, &options, &error), error);
    return m;
}

static so_mouth *open_mouth(int64_t first, int64_t hop, int64_t left, int64_t right)
{
    return open_prompted(first, hop, left, right, 0);
}

static void lengths_streamed_and_whole_agree(void **state)
{
    check_shared(TINY);
    (void)state;
    static const int64_t counts[] = {1, 2, 5, 13, 16, 17, 38, 64, 101, 173};
    int32_t units[400];
    float *out = malloc(400 * 1024 * sizeof *out);
    so_mouth *m = open_mouth(12, 25, 25, 4);
    for (int i = 0; i < 400; i++) units[i] = (i * 37 + 11) % 256;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i += few_rounds() ? 4 : 1) {
        int64_t first, n = counts[i], expected = so_flow_frames(&codec.flow.config, n) * 256;
        assert_int_equal(say(m, units, n, 1, out, &first), expected);
        if (n > 60) assert_true(first <= 45);
        for (int64_t j = 0; j < expected; j++) assert_true(isfinite(out[j]) && fabsf(out[j]) <= 0.99f);
    }
    so_mouth_close(&m);
    free(out);
}

/* One chunk, its waveform made in pieces, is what flow and vocoder make at once of the same noise. */
static void pieces_are_the_whole(void **state)
{
    check_shared(TINY);
    (void)state;
    enum { N = 130 };
    int32_t units[N];
    so_error error;
    int64_t first, T = so_flow_frames(&codec.flow.config, N);
    float *out = malloc((size_t)(T * 256) * sizeof *out);
    for (int i = 0; i < N; i++) units[i] = (i * 53 + 5) % 256;
    so_mouth *m = open_mouth(N, N, 0, 0);
    assert_int_equal(say(m, units, N, N, out, &first), T * 256);
    so_arena arena;
    so_pass pass;
    CHECK_OK(so_arena_init(&arena, (size_t)8 << 30, &error), error);
    so_pass_init(&pass, &arena, NULL, so_kernels_best());
    so_tensor *mel = so_constant(&pass, 3, (int64_t[]){1, T, 80}, m->mel);
    so_tensor *f0 = so_hift_f0(&pass, &codec.hift, mel), *h = so_new3(&pass, 1, T * 256, 9);
    so_real *noise = so_take(&pass, (size_t)(T * 256 * 9) * sizeof *noise, false);
    for (int64_t i = 0; i < T; i++) {
        so_rng rng;
        so_rng_init(&rng, 7, (uint64_t)(2 * i + 1));
        for (int j = 0; j < 256 * 9; j++) noise[i * 256 * 9 + j] = (so_real)so_rng_normal(&rng);
    }
    so_hift_phase phase = {0};
    so_hift_harmonics(&codec.hift.config, T, so_data(f0), m->offset, noise, &phase, so_data(h));
    so_tensor *wave = so_hift_wave(&pass, &codec.hift, mel, so_hift_source(&pass, &codec.hift, h));
    if (!wave) fail_msg("%s", pass.error.text);
    check_close("wave", out, wave->data, T * 256, 1e-4, 1e-4);
    so_arena_clear(&arena);
    so_mouth_close(&m);
    free(out);
}

/* Chunks with much context and the same noise come near the whole; the middle of a long answer is where they differ. */
static void chunks_come_near_the_whole(void **state)
{
    check_shared(TINY);
    (void)state;
    enum { N = 100 };
    int32_t units[N];
    int64_t first, T = so_flow_frames(&codec.flow.config, N), samples = T * 256;
    float *whole = malloc((size_t)samples * sizeof *whole), *parts = malloc((size_t)samples * sizeof *parts);
    for (int i = 0; i < N; i++) units[i] = (i * 53 + 5) % 256;
    so_mouth *a = open_mouth(N, N, 0, 0), *b = open_mouth(12, 25, 50, 6);
    assert_int_equal(say(a, units, N, N, whole, &first), samples);
    assert_int_equal(say(b, units, N, 1, parts, &first), samples);
    double d2 = 0, e2 = 0;
    for (int64_t i = 0; i < T * 80; i++) {
        d2 += pow((double)(a->mel[i] - b->mel[i]), 2);
        e2 += pow((double)a->mel[i], 2);
    }
    fprintf(stderr, "# mel of chunks against the whole: relative L2 %.3f\n", sqrt(d2 / e2));
    assert_true(d2 < 0.3 * e2);
    so_mouth_close(&a);
    so_mouth_close(&b);
    free(whole);
    free(parts);
}

/* What a recording's vector is: the reference's features, and its network on them. */
static void vectors_are_the_reference_s(void **state)
{
    check_shared(TINY);
    (void)state;
    static const char *const cases[][2] = {{"campplus.feat", "campplus.embedding"},
                                           {"campplus.feat_long", "campplus.embedding_long"}};
    so_error error;
    so_arena arena;
    so_pass pass;
    so_mel *mel;
    assert_true(codec.has_cam);
    CHECK_OK(so_arena_init(&arena, (size_t)2 << 30, &error), error);
    so_pass_init(&pass, &arena, NULL, so_kernels_best());
    for (int i = 0; i < 2; i++) {
        const so_view *feat = view_of(cases[i][0]), *expected = view_of(cases[i][1]);
        so_pass_begin(&pass);
        so_tensor *v = so_cam_vector(&pass, &codec.cam, so_constant(&pass, 2, feat->dim, feat->data));
        if (!v) fail_msg("%s", pass.error.text);
        check_close(cases[i][1], so_data(v), expected->data, 192, 1e-4, 1e-4);
    }
    const so_view *x = view_of("kaldi.audio_16k"), *expected = view_of("campplus.embedding");
    CHECK_OK(so_mel_open(&mel, SO_MEL_KALDI, &error), error);
    int64_t n = so_view_elements(x), dim[2] = {so_mel_frames(mel, n), 80};
    float *feat = malloc((size_t)(dim[0] * 80) * sizeof *feat);
    CHECK_OK(so_mel_compute(mel, x->data, n, feat, NULL, &error), error);
    so_mel_subtract_mean(feat, dim[0], 80);
    so_pass_begin(&pass);
    so_tensor *v = so_cam_vector(&pass, &codec.cam, so_constant(&pass, 2, dim, feat));
    check_close("of samples", so_data(v), expected->data, 192, 1e-3, 1e-3);
    free(feat);
    so_mel_close(&mel);
    so_arena_clear(&arena);
}

/* Behind a prompt: what the flow makes of prompt and units at once, of the same noise, without the prompt's frames. */
static void a_prompt_is_gone_on_from(void **state)
{
    check_shared(TINY);
    (void)state;
    const so_view *units = view_of("flow.prompt.tokens"), *prompt = view_of("flow.prompt.prompt_tokens");
    const so_view *feat = view_of("flow.prompt.prompt_feat"), *vector = view_of("flow.prompt.embedding");
    enum { N = 45, P = 10 };
    int64_t M1 = so_flow_frames(&codec.flow.config, P), T = so_flow_frames(&codec.flow.config, N), first;
    so_error error;
    int32_t ids[P + N];
    assert_int_equal(so_view_elements(units), N);
    assert_int_equal(so_view_elements(prompt), P);
    assert_int_equal(feat->dim[0], M1);
    memcpy(ids, prompt->data, P * sizeof *ids);
    memcpy(ids + P, units->data, N * sizeof *ids);
    float *out = malloc((size_t)(T * 256) * sizeof *out), *z = malloc((size_t)((M1 + T) * 80) * sizeof *z);
    for (int64_t i = 0; i < M1 + T; i++) {
        so_rng rng;
        so_rng_init(&rng, 7, (uint64_t)(2 * (i < M1 ? -1 - i : i - M1)));
        for (int b = 0; b < 80; b++) z[i * 80 + b] = (float)so_rng_normal(&rng);
    }
    so_mouth *m = open_prompted(N, N, 0, 0, 20);
    const so_mouth_voice voice = {.vector = vector->data, .units = ids, .n = P, .mel = feat->data};
    CHECK_OK(so_mouth_speak_as(m, &voice, &error), error);
    assert_int_equal(say(m, ids + P, N, N, out, &first), T * 256);
    so_arena arena;
    so_pass pass;
    CHECK_OK(so_arena_init(&arena, (size_t)8 << 30, &error), error);
    so_pass_init(&pass, &arena, NULL, so_kernels_best());
    so_flow_request r = {
        .N = N, .P = P, .M1 = M1, .frames = T, .ids = ids, .prompt = feat->data, .vector = vector->data};
    r.z = z;
    so_tensor *mel = so_flow_mel(&pass, &codec.flow, &r, NULL);
    if (!mel) fail_msg("%s", pass.error.text);
    check_close("mel", m->mel, so_data(mel), T * 80, 1e-4, 1e-4);
    /* In chunks it comes near that; and it is another voice than the codec's. */
    so_mouth *parts = open_prompted(12, 25, 25, 4, P);
    CHECK_OK(so_mouth_speak_as(parts, &voice, &error), error);
    assert_int_equal(say(parts, ids + P, N, 1, out, &first), T * 256);
    double d2 = 0, e2 = 0;
    for (int64_t i = 0; i < T * 80; i++) {
        d2 += pow((double)(m->mel[i] - parts->mel[i]), 2);
        e2 += pow((double)m->mel[i], 2);
    }
    fprintf(stderr, "# mel of chunks behind a prompt against the whole: relative L2 %.3f\n", sqrt(d2 / e2));
    assert_true(d2 < 0.3 * e2);
    CHECK_OK(so_mouth_speak_as(parts, NULL, &error), error);
    assert_int_equal(say(parts, ids + P, N, 1, out, &first), T * 256);
    so_mouth *plain = open_mouth(12, 25, 25, 4);
    float *own = malloc((size_t)(T * 256) * sizeof *own);
    assert_int_equal(say(plain, ids + P, N, 1, own, &first), T * 256);
    assert_memory_equal(out, own, (size_t)(T * 256) * sizeof *own);
    assert_int_equal(so_mouth_speak_as(plain, &voice, &error), SO_ERR_STATE);
    assert_int_equal(so_mouth_speak_as(parts, &(so_mouth_voice){.vector = vector->data, .n = P + 1}, &error),
                     SO_ERR_LIMIT);
    so_arena_clear(&arena);
    so_mouth_close(&m);
    so_mouth_close(&parts);
    so_mouth_close(&plain);
    free(out);
    free(own);
    free(z);
}

/* The .onnx and .pt files hold the same networks. */
static void other_files_sound_the_same(void **state)
{
    check_shared(TINY);
    (void)state;
    char folder[64] = "/tmp/so-codec-XXXXXX", from[4096], to[4096];
    static const char *const names[] = {"speech_tokenizer_v1.onnx", "flow.pt", "hift.pt", "spk2info.pt", "config.json"};
    so_codec other, kept = codec;
    so_error error;
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < 5; i++) {
        char name[128];
        snprintf(name, sizeof name, TINY "/%s", names[i]);
        snprintf(from, sizeof from, "%s", check_shared(name));
        snprintf(to, sizeof to, "%s/%s", folder, names[i]);
        char *real = realpath(from, NULL);
        assert_int_equal(symlink(real, to), 0);
        free(real);
    }
    CHECK_OK(so_codec_open(&other, &(so_codec_source){.folder = folder}, &error), error);
    assert_string_equal(other.speaker_name, codec.speaker_name);
    int32_t units[20];
    float a[20 * 1024], b[20 * 1024];
    int64_t first;
    for (int i = 0; i < 20; i++) units[i] = i * 12;
    so_mouth *m = open_mouth(20, 20, 0, 0);
    int64_t n = say(m, units, 20, 20, a, &first);
    so_mouth_close(&m);
    codec = other;
    m = open_mouth(20, 20, 0, 0);
    assert_int_equal(say(m, units, 20, 20, b, &first), n);
    so_mouth_close(&m);
    hears_the_reference_units(NULL);
    codec = kept;
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
    assert_int_equal(so_codec_open(&(so_codec){0}, &(so_codec_source){.folder = folder, .speaker = "nobody"}, &error),
                     SO_ERR_MISSING);
    so_codec_close(&other);
    for (size_t i = 0; i < 5; i++) {
        snprintf(to, sizeof to, "%s/%s", folder, names[i]);
        unlink(to);
    }
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hears_the_reference_units),        cmocka_unit_test(odd_lengths),
        cmocka_unit_test(lengths_streamed_and_whole_agree), cmocka_unit_test(pieces_are_the_whole),
        cmocka_unit_test(chunks_come_near_the_whole),       cmocka_unit_test(other_files_sound_the_same),
        cmocka_unit_test(vectors_are_the_reference_s),      cmocka_unit_test(a_prompt_is_gone_on_from),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
