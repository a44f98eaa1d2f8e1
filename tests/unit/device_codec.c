/* The codec's networks on a device against the reference of cosyvoice-tiny, within ten times its rounding noise: ids
 * equal; over fibers, and over Vulkan where there is a device.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <sys/mman.h>

#include "backend/gpu/fibers/fiber_device.h"
#include "card.h"
#include "checkpoint/codec.h"
#include "nn/worker.h"
#include "speech/mouth.h"

#define FOLDER "reference/cosyvoice-tiny/"
enum { HOST = 256 << 20, NUMBERS = 96 << 20 };

static so_safetensors *golden;
static so_codec here;

static const so_view *view_of(const char *name)
{
    const so_view *v = so_views_find(so_safetensors_views(golden), name);
    if (!v) fail_msg("no tensor %s", name);
    return v;
}

/* [a, b] of the file as [b, a]. */
static float *turned(const char *name)
{
    const so_view *v = view_of(name);
    int64_t a = v->dim[0], b = v->dim[1];
    float *out = malloc((size_t)(a * b) * sizeof *out);
    for (int64_t i = 0; i < a * b; i++) out[i % b * a + i / b] = ((const float *)v->data)[i];
    return out;
}

static void hears(so_pass *pass, const so_codec *codec)
{
    const so_view *v = view_of("tok.chirp.logmel"), *ids = view_of("tok.chirp.ids");
    int32_t found[64];
    float *mel = turned("tok.chirp.logmel");
    so_pass_begin(pass);
    so_speech_tokenizer_ids(pass, &codec->tokenizer, so_constant(pass, 2, (int64_t[]){v->dim[1], v->dim[0]}, mel),
                            found);
    CHECK_OK(pass->error.status, pass->error);
    assert_memory_equal(found, ids->data, (size_t)ids->dim[0] * sizeof *found);
    free(mel);
}

static const float *mel_of(so_pass *pass, const so_codec *codec, int64_t *rows)
{
    const so_view *tokens = view_of("flow.n7.tokens");
    float *z = turned("flow.n7.z");
    *rows = view_of("flow.n7.z")->dim[1];
    so_flow_request r = {.N = tokens->dim[0], .ids = tokens->data, .frames = *rows, .z = z};
    r.vector = view_of("flow.n7.embedding")->data;
    so_pass_begin(pass);
    const float *mel = so_read(pass, so_flow_mel(pass, &codec->flow, &r, NULL));
    CHECK_OK(pass->error.status, pass->error);
    free(z);
    return mel;
}

/* Seven units behind a prompt of ten, in two chunks, of the same noise anywhere. */
static void prompted(const so_codec *codec, const so_site *place, float *mel)
{
    enum { N = 7, P = 10 };
    so_error error;
    so_need fixed, scratch;
    so_worker worker;
    so_mouth *m;
    const so_mouth_options options = {
        .first = 4, .hop = 4, .left = 2, .right = 1, .max_units = N, .seed = 7, .device = place->device, .prompt = P};
    const so_mouth_voice voice = {.vector = view_of("flow.prompt.embedding")->data,
                                  .units = view_of("flow.prompt.prompt_tokens")->data,
                                  .n = P,
                                  .mel = view_of("flow.prompt.prompt_feat")->data};
    CHECK_OK(so_mouth_plan(codec, &options, place, &fixed, &scratch, &error), error);
    CHECK_OK(so_worker_open_on(&worker, place, scratch, &error), error);
    CHECK_OK(so_mouth_open(&m, codec, &options, &error), error);
    CHECK_OK(so_mouth_speak_as(m, &voice, &error), error);
    so_mouth_reset(m, 7);
    for (int i = 0; i < N; i++)
        CHECK_OK(so_mouth_put(m, ((const int32_t *)view_of("flow.n7.tokens")->data)[i], &error), error);
    so_mouth_end(m);
    for (bool made = true; made && m->mel_units < N;) CHECK_OK(so_mouth_step(m, &worker.pass, &made, &error), error);
    memcpy(mel, m->mel, (size_t)(m->mel_frames * 80) * sizeof *mel);
    assert_int_equal(m->mel_frames, so_flow_frames(&codec->flow.config, N));
    so_mouth_close(&m);
    so_worker_clear(&worker);
}

static const float *wave_of(so_pass *pass, const so_codec *codec, const float *mel, int64_t rows, const float *source)
{
    int64_t samples = rows * so_hift_samples(&codec->hift.config);
    so_pass_begin(pass);
    so_tensor *m = so_constant(pass, 3, (int64_t[]){1, rows, 80}, mel);
    so_tensor *s = so_constant(pass, 2, (int64_t[]){1, samples}, source);
    const float *y = so_read(pass, so_hift_wave(pass, &codec->hift, m, s));
    CHECK_OK(pass->error.status, pass->error);
    return y;
}

/* Launches of one step of the flow: in every stage four of its residual block and five of each transformer block, and
 * 14 around them. */
static int64_t launches_of_step(const so_flow_config *c) { return (4 + c->mid) * (4 + 5 * c->est_blocks) + 14; }

/* Whether any page of a weight's memory is in use. */
static bool resident(const void *p, size_t bytes)
{
    unsigned char page[64] = {0};
    uintptr_t from = ((uintptr_t)p + 4095) & ~(uintptr_t)4095, to = ((uintptr_t)p + bytes) & ~(uintptr_t)4095;
    size_t n = to > from ? (to - from) / 4096 : 0;
    bool any = false;
    n = n > sizeof page ? sizeof page : n;
    assert_true(n > 0);
    if (mincore((void *)from, n * 4096, page) != 0) fail_msg("mincore");
    for (size_t i = 0; i < n; i++) any |= page[i] & 1;
    return any;
}

/* All of it on one device, which it closes. */
static void agrees(so_device *device)
{
    so_error error;
    so_codec there;
    so_worker worker, host;
    int64_t rows;
    so_site place = {device, so_device_kernels(device, false), NULL, NULL};
    CHECK_OK(so_codec_open(&there, &(so_codec_source){.folder = check_shared(FOLDER)}, &error), error);
    size_t bytes = so_codec_device_bytes(&there);
    so_device_counts before, after;
    const so_tensor *folded = there.hift.pre.w;
    const void *copy = folded->data;
    so_device_count(device, &before);
    CHECK_OK(so_codec_upload(&there, device, &error), error);
    so_device_count(device, &after);
    assert_int_equal(after.reserved - before.reserved, bytes);
    assert_false(resident(copy, (size_t)so_count(folded) * sizeof(float))); /* the host's copy went back */
    CHECK_OK(so_worker_open_on(&worker, &place, (so_need){HOST, NUMBERS, 0}, &error), error);
    CHECK_OK(so_worker_open(&host, HOST, NULL, so_kernels_c(), &error), error);
    hears(&worker.pass, &there);
    so_device_count(device, &before);
    const float *mel = mel_of(&worker.pass, &there, &rows);
    /* Ten steps replay one recording. */
    const so_flow_config published = so_flow_published();
    so_device_count(device, &after);
    assert_int_equal(after.replayed - before.replayed, 10 * launches_of_step(&there.flow.config));
    assert_true(launches_of_step(&published) <= 400);
    float *expected = turned("flow.n7.mel"), *source = malloc((size_t)(rows * 256) * sizeof *source);
    check_close("mel", mel, expected, rows * 80, 1e-4, 1e-4);
    float *cloned = malloc((size_t)(2 * rows * 80) * sizeof *cloned);
    prompted(&there, &place, cloned);
    prompted(&here, &(so_site){.kernels = so_kernels_c()}, cloned + rows * 80);
    check_close("behind a prompt", cloned, cloned + rows * 80, rows * 80, 1e-4, 1e-4);
    free(cloned);
    for (int64_t i = 0; i < rows * 256; i++) source[i] = (float)(0.1 * sin((double)i * 0.06));
    const float *wave = wave_of(&worker.pass, &there, expected, rows, source);
    check_close("wave", wave, wave_of(&host.pass, &here, expected, rows, source), rows * 256, 1e-4, 1e-4);
    /* The steps of the flow but the first, and its own first one, replay what the first recorded. */
    so_device_count(device, &after);
    assert_true(after.replayed > 0);
    free(source);
    free(expected);
    so_worker_clear(&host);
    so_worker_clear(&worker);
    so_codec_close(&there);
    so_device_close(&device);
}

static void on_fibers(void **state)
{
    (void)state;
    check_shared(FOLDER);
    so_error error;
    so_device *device;
    CHECK_OK(so_fibers_open(&device, &(so_fibers_options){.subgroup = 32, .seed = 3}, &error), error);
    agrees(device);
}

static void on_a_card(void **state)
{
    (void)state;
    check_shared(FOLDER);
    so_device *device = card_open("the codec");
    if (!device) skip();
    agrees(device);
}

static int start(void **state)
{
    (void)state;
    so_error error = {0};
    char path[4096];
    const char *root = getenv("SO_SHARED");
    snprintf(path, sizeof path, "%s%s/" FOLDER "golden.safetensors", root ? root : SO_SOURCE_DIR,
             root ? "" : "/../shared");
    if (access(path, R_OK) != 0) return 0; /* every test skips for itself */
    CHECK_OK(so_safetensors_open(&golden, path, &error), error);
    CHECK_OK(so_codec_open(&here, &(so_codec_source){.folder = check_shared(FOLDER)}, &error), error);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    so_safetensors_close(&golden);
    so_codec_close(&here);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_fibers),
        cmocka_unit_test(on_a_card),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
