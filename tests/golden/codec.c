/* The codec's networks where one run over the reference (stream_omni.c) does not reach: batches, files of other forms,
 * pieces, rules of our own. Against reference/cosyvoice-tiny, within ten times its rounding noise.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <jansson.h>

#include "formats/safetensors.h"
#include "formats/torchzip.h"
#include "media/mel.h"
#include "models/flow.h"
#include "models/hift.h"
#include "models/speech_tokenizer.h"
#include "nn/ops_wave.h"

#define FOLDER "reference/cosyvoice-tiny/"

static so_safetensors *golden;
static json_t *about;
static so_arena arena;
static so_pass pass;

static int open_golden(void **state)
{
    (void)state;
    so_error error = {0};
    CHECK_OK(so_arena_init(&arena, (size_t)16 << 30, &error), error);
    const char *root = getenv("SO_SHARED");
    char path[4096];
    snprintf(path, sizeof path, "%s%s/" FOLDER "golden.safetensors", root ? root : SO_SOURCE_DIR,
             root ? "" : "/../shared");
    if (access(path, R_OK) != 0) return 0; /* every test skips for itself */
    CHECK_OK(so_safetensors_open(&golden, path, &error), error);
    about = json_load_file(check_shared(FOLDER "golden.json"), 0, NULL);
    assert_non_null(about);
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    so_safetensors_close(&golden);
    json_decref(about);
    so_arena_clear(&arena);
    return 0;
}

/* ---- reading the reference */

static const so_view *view_of(const char *which, const char *tensor)
{
    char name[256];
    snprintf(name, sizeof name, "%s.%s", which, tensor);
    const so_view *v = so_views_find(so_safetensors_views(golden), name);
    if (!v) fail_msg("no tensor %s", name);
    return v;
}

static const float *floats(const char *which, const char *tensor) { return view_of(which, tensor)->data; }
static int64_t length_of(const char *which, const char *tensor) { return so_view_elements(view_of(which, tensor)); }

static const json_t *case_of(const char *which)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(about, "cases"), i,
                       c) if (strcmp(json_string_value(json_object_get(c, "name")), which) == 0) return c;
    fail_msg("no case %s", which);
    return NULL;
}

/* Rounding noise of the reference in a tensor, max abs. */
static double noise_of(const char *which, const char *tensor)
{
    char name[256];
    snprintf(name, sizeof name, "%s.%s", which, tensor);
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(case_of(which), "tensors"), i,
                       t) if (strcmp(json_string_value(json_object_get(t, "name")), name) ==
                              0) return json_number_value(json_object_get(t, "fp32_vs_fp64_max_abs"));
    return 0;
}

/* A constant of the pass from [rows, cols] or, turned, from [cols, rows] numbers. */
static so_tensor *constant(int n_dims, const int64_t *dim, const float *from, bool turned)
{
    so_tensor *t = so_new(&pass, n_dims, dim);
    if (!t) fail_msg("%s", pass.error.text);
    int64_t rows = dim[n_dims - 2], cols = dim[n_dims - 1], items = so_count(t) / (rows * cols);
    for (int64_t i = 0; i < items * rows * cols; i++) {
        int64_t r = i / cols % rows, c = i % cols;
        so_data(t)[i] = turned ? from[i / (rows * cols) * rows * cols + c * rows + r] : from[i];
    }
    return t;
}

static so_tensor *read2(const char *which, const char *tensor, bool turned)
{
    const so_view *v = view_of(which, tensor);
    int64_t a = v->dim[0], b = v->n_dims > 1 ? v->dim[1] : 1;
    int64_t dim[2] = {turned ? b : a, turned ? a : b};
    return constant(2, dim, v->data, turned);
}

static so_tensor *read3(const char *which, const char *tensor, bool turned)
{
    so_tensor *t = read2(which, tensor, turned);
    return so_reshape(&pass, t, 3, (int64_t[]){1, t->dim[0], t->dim[1]});
}

/* Absolute bar: ten times the reference's noise, at least 2e-6 of the largest value. */
static void compare(const char *which, const char *tensor, const float *got, const float *expected, int64_t n,
                    double noise)
{
    double worst = 0, scale = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)expected[i]);
        if (!(d <= worst)) worst = d;
        scale = fmax(scale, fabs((double)expected[i]));
    }
    double bar = fmax(10 * noise, 2e-6 * scale);
    if (getenv("SO_SHOW")) printf("# %s.%s: off by %.3g, bar %.3g, scale %.3g\n", which, tensor, worst, bar, scale);
    if (!(worst <= bar)) fail_msg("%s.%s: off by %.3g, bar %.3g, largest value %.3g", which, tensor, worst, bar, scale);
}

/* got[rows, cols] against the tensor, stored alike or, turned, as [cols, rows]. */
static void expect_noise(const char *which, const char *tensor, const so_tensor *got, bool turned, double noise)
{
    if (!got) fail_msg("%s.%s: %s", which, tensor, pass.error.text);
    int64_t n = length_of(which, tensor), rows = so_rows(got), cols = so_cols(got);
    if (so_count(got) != n) fail_msg("%s.%s: %d numbers, expected %d", which, tensor, (int)so_count(got), (int)n);
    const float *expected = floats(which, tensor);
    float *copy = malloc((size_t)n * sizeof *copy);
    if (turned && got->n_dims == 3) rows = got->dim[1];
    for (int64_t i = 0; i < n; i++) {
        int64_t item = i / (rows * cols) * rows * cols, r = i % (rows * cols) / cols, c = i % cols;
        copy[turned ? item + c * rows + r : i] = so_data(got)[i];
    }
    compare(which, tensor, copy, expected, n, noise);
    free(copy);
}

static void expect(const char *which, const char *tensor, const so_tensor *got, bool turned)
{
    expect_noise(which, tensor, got, turned, noise_of(which, tensor));
}

/* ---- models */

typedef struct model {
    so_safetensors *file;
    so_torchzip *zip;
    so_store store;
    so_binder binder;
} model;

static void model_open(model *m, const char *file)
{
    so_error error = {0};
    const char *path = check_shared(file);
    memset(m, 0, sizeof *m);
    CHECK_OK(so_store_open(&m->store, (size_t)4 << 30, &error), error);
    m->binder = (so_binder){.store = &m->store, .check_finite = true};
    if (strstr(file, ".pt")) {
        CHECK_OK(so_torchzip_open(&m->zip, path, &error), error);
        m->binder.source = so_torchzip_views(m->zip);
    } else {
        CHECK_OK(so_safetensors_open(&m->file, path, &error), error);
        m->binder.source = so_safetensors_views(m->file);
    }
}

/* Every tensor of the file has been bound, none is missing. */
static void model_bound(model *m, so_status status, so_error *error, bool all)
{
    CHECK_OK(status, *error);
    CHECK_OK(so_binder_finish(&m->binder, "the file", error), *error);
    if (all) assert_int_equal(m->store.count, m->binder.source->count);
}

static void model_close(model *m)
{
    so_store_close(&m->store);
    so_safetensors_close(&m->file);
    so_torchzip_close(&m->zip);
}

static void start(void)
{
    so_arena_release(&arena, 0);
    so_pass_init(&pass, &arena, NULL, so_kernels_best());
}

static const so_speech_tokenizer_config tiny_tokenizer = {
    .mels = 128, .width = 64, .heads = 4, .ff = 256, .layers = 2, .codes = 256, .context = 1500, .stride = {2, 2}};

static void open_hift(model *m, so_hift *net, const char *file, bool all)
{
    so_error error = {0};
    model_open(m, file);
    so_hift_config config = so_hift_published();
    config.channels = config.f0_channels = 32;
    model_bound(m, so_hift_bind(net, &config, "", &m->binder, &error), &error, all);
}

/* ---- speech tokenizer */

/* Recordings of different lengths in one batch give what each gives alone. */
static void speech_tokenizer_batch(void **state)
{
    (void)state;
    model m;
    so_error error = {0};
    so_speech_tokenizer net;
    model_open(&m, FOLDER "speech_tokenizer_v1.safetensors");
    model_bound(&m, so_speech_tokenizer_bind(&net, &tiny_tokenizer, "", &m.binder, &error), &error, true);
    static const char *const names[] = {"tok.min", "tok.speech", "tok.chirp"};
    start();
    int64_t frames[3], longest = 0, row = 0;
    for (int b = 0; b < 3; b++) {
        frames[b] = view_of(names[b], "logmel")->dim[1];
        longest = frames[b] > longest ? frames[b] : longest;
    }
    so_tensor *mel = so_new3(&pass, 3, longest, 128);
    memset(mel->data, 0, (size_t)so_count(mel) * sizeof(float));
    for (int b = 0; b < 3; b++)
        memcpy(so_data(mel) + b * longest * 128, read2(names[b], "logmel", true)->data, (size_t)frames[b] * 128 * 4);
    so_batch *batch;
    so_tensor *hidden = so_speech_tokenizer_encode(&pass, &net, mel, frames, &batch, NULL);
    for (int b = 0; b < 3; b++) {
        int64_t n = length_of(names[b], "hidden");
        compare(names[b], "hidden in a batch", so_data(hidden) + row * 64, floats(names[b], "hidden"), n,
                noise_of(names[b], "hidden"));
        row += n / 64;
    }
    model_close(&m);
}

/* ---- flow */

/* Both files hold the same weights, and nothing that the network does not know. */
static void flow_files(void **state)
{
    (void)state;
    static const char *const files[] = {FOLDER "flow.safetensors", FOLDER "flow.pt"};
    so_flow_config c = so_flow_published();
    c.units = 256;
    c.width = 64;
    c.heads = c.est_heads = 4;
    c.ff = 128;
    c.layers = c.est_blocks = 2;
    c.channels = 32;
    c.head_width = 16;
    c.mid = 3;
    model m[2];
    so_flow net[2];
    for (int i = 0; i < 2; i++) {
        so_error error = {0};
        model_open(&m[i], files[i]);
        model_bound(&m[i], so_flow_bind(&net[i], &c, "", &m[i].binder, &error), &error, true);
    }
    for (int64_t i = 0; i < m[0].store.count; i++) {
        const so_tensor *a = &m[0].store.weight[i]->tensor;
        const so_weight *b = so_store_find(&m[1].store, a->name);
        assert_non_null(b);
        assert_int_equal(so_count(a), so_count(&b->tensor));
        assert_memory_equal(a->data, b->tensor.data, (size_t)so_count(a) * sizeof(float));
    }
    for (int i = 0; i < 2; i++) model_close(&m[i]);
}

/* ---- vocoder */

/* Harmonics [L, 9] from f0, phase and noise [9, L] of a case. */
static so_tensor *harmonics_of(const so_hift *net, const char *which, const so_real *f0, int64_t T)
{
    int64_t L = T * so_hift_samples(&net->config);
    so_tensor *noise = read2(which, "noise", true), *out = so_new3(&pass, 1, L, 9);
    assert_int_equal(so_rows(noise), L);
    so_hift_phase phase = {0};
    so_hift_harmonics(&net->config, T, f0, floats(which, "phase"), so_data(noise), &phase, so_data(out));
    return out;
}

static void hift_case(const so_hift *net, const char *which)
{
    start();
    so_tensor *mel = read3(which, "mel", true);
    int64_t T = mel->dim[1], L = 256 * T;
    expect(which, "f0", so_hift_f0(&pass, net, mel), false);
    so_tensor *source = so_hift_source(&pass, net, harmonics_of(net, which, floats(which, "f0"), T));
    if (strcmp(which, "hift.cached") == 0)
        memcpy(source->data, floats(which, "cache_source"), (size_t)length_of(which, "cache_source") * sizeof(float));
    expect(which, "source_exact", source, false);
    so_tensor *given = constant(2, (int64_t[]){1, L}, floats(which, "source"), false);
    so_frames frames = {16, 4, 8, so_hann(&pass, 16)};
    expect(which, "source_stft", so_stft(&pass, given, &frames), true);
    expect(which, "conv_post", so_hift_spectrum(&pass, net, mel, given), true);
    expect(which, "wave", so_hift_wave(&pass, net, mel, given), false);
}

static void hift(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        bool all;
    } files[] = {{FOLDER "hift.safetensors", true},
                 {FOLDER "hift.pt", true},
                 {FOLDER "variants/hift_train.pt", false},
                 {FOLDER "variants/hift_parametrized.pt", true}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        model m;
        so_hift net;
        so_error error = {0};
        open_hift(&m, &net, files[i].file, files[i].all);
        hift_case(&net, "hift.m10");
        if (i == 0) {
            hift_case(&net, "hift.m130");
            hift_case(&net, "hift.cached");
            CHECK_OK(so_hift_fold(&net, so_kernels_best(), &m.store.memory, &error), error);
            hift_case(&net, "hift.m10");
        }
        model_close(&m);
    }
}

/* Pieces with so_hift_context frames around them sound as the whole does. */
static void hift_pieces(void **state)
{
    (void)state;
    model m;
    so_hift net;
    open_hift(&m, &net, FOLDER "hift.safetensors", true);
    start();
    so_tensor *mel = read3("hift.m130", "mel", true);
    const float *source = floats("hift.m130", "source"), *whole = floats("hift.m130", "wave");
    int64_t context = so_hift_context(&net.config), from = 60, n = 20, first = from - context, T = n + 2 * context;
    assert_true(first >= 0 && first + T <= 130);
    so_tensor *piece = constant(3, (int64_t[]){1, T, 80}, so_data(mel) + first * 80, false);
    so_tensor *s = constant(2, (int64_t[]){1, T * 256}, source + first * 256, false);
    so_tensor *wave = so_hift_wave(&pass, &net, piece, s);
    if (!wave) fail_msg("%s", pass.error.text);
    compare("hift.m130", "a piece", so_data(wave) + context * 256, whole + from * 256, n * 256,
            noise_of("hift.m130", "wave"));
    model_close(&m);
}

/* ---- learning */

/* Ours alone: a dead code comes back as a vector of the batch and stays through the next update. */
static void codebook_revival(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 1, 0);
    so_real x[8 * 2], codes[3 * 2] = {1, 0, 0, 1, -9, -9}, sum[6], count[3] = {4, 4, 0.001f};
    memcpy(sum, codes, sizeof sum);
    for (int i = 0; i < 16; i++) x[i] = (so_real)so_rng_normal(&rng);
    int32_t ids[8] = {0, 1, 0, 1, 0, 1, 0, 1};
    so_vq_rule rule = {.decay = 0.9, .epsilon = 1e-5, .revive_below = 0.5};
    assert_int_equal(so_vq_update(&rule, &(so_vq_book){3, 2, count, sum, codes}, 8, x, ids, &rng), 1);
    int found = 0;
    for (int i = 0; i < 8; i++)
        found += fabs((double)(codes[4] - x[2 * i])) < 1e-3 && fabs((double)(codes[5] - x[2 * i + 1])) < 1e-3;
    assert_int_equal(found, 1);
    so_real kept = codes[4];
    assert_int_equal(so_vq_update(&rule, &(so_vq_book){3, 2, count, sum, codes}, 8, x, ids, &rng), 0);
    assert_true(fabs((double)(codes[4] - kept)) < 1e-3);
}

/* Verdicts all alike: nothing lies below the median. */
static void median_of_equals(void **state)
{
    (void)state;
    start();
    so_tensor *same = so_constant(&pass, 1, (int64_t[]){3}, (so_real[]){1, 1, 1});
    assert_true(so_data(so_median_loss(&pass, same, same, 0.04))[0] == 0);
}

/* The differentiable features equal the ones that a vocoder is conditioned on. */
static void wave_log_mel(void **state)
{
    (void)state;
    check_shared(FOLDER "golden.safetensors");
    static const struct {
        const char *which, *tensor;
        double f_max;
    } cases[] = {
        {"mel22050", "mel_8000", 8000}, {"mel22050", "mel_11025", 11025}, {"mel22050.short", "mel_8000", 8000}};
    for (int i = 0; i < 3; i++) {
        start();
        const so_view *v = view_of(cases[i].which, "audio_22050");
        so_tensor *wave = constant(2, (int64_t[]){1, v->dim[0]}, v->data, false);
        so_wave_mel m = {22050, 1024, 256, 80, 0, 11025};
        m.f_max = cases[i].f_max;
        expect(cases[i].which, cases[i].tensor, so_wave_log_mel(&pass, wave, &m), true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speech_tokenizer_batch),
        cmocka_unit_test(flow_files),
        cmocka_unit_test(hift),
        cmocka_unit_test(hift_pieces),
        cmocka_unit_test(codebook_revival),
        cmocka_unit_test(median_of_equals),
        cmocka_unit_test(wave_log_mel),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
