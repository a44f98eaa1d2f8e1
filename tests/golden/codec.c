/* The codec's networks against numbers of the reference (reference/cosyvoice-tiny).
 * Forward results: within ten times the reference's own rounding noise. Units: equal.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <jansson.h>

#include "formats/safetensors.h"
#include "formats/torchzip.h"
#include "media/mel.h"
#include "models/campplus.h"
#include "models/discriminators.h"
#include "models/flow.h"
#include "models/hift.h"
#include "models/speech_tokenizer.h"

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
    snprintf(path, sizeof path, "%s%s/" FOLDER "golden.safetensors", root ? root : SO_SOURCE_DIR, root ? "" : "/../shared");
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
    json_array_foreach(json_object_get(about, "cases"), i, c)
        if (strcmp(json_string_value(json_object_get(c, "name")), which) == 0) return c;
    fail_msg("no case %s", which);
    return NULL;
}

static int64_t parameter(const char *which, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(case_of(which), "params"), key));
}

/* Rounding noise of the reference in a tensor, max abs. */
static double noise_of(const char *which, const char *tensor)
{
    char name[256];
    snprintf(name, sizeof name, "%s.%s", which, tensor);
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(case_of(which), "tensors"), i, t)
        if (strcmp(json_string_value(json_object_get(t, "name")), name) == 0)
            return json_number_value(json_object_get(t, "fp32_vs_fp64_max_abs"));
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

static const so_speech_tokenizer_config tiny_tokenizer = {.mels = 128, .width = 64, .heads = 4, .ff = 256, .layers = 2,
                                                          .codes = 256, .context = 1500, .stride = {2, 2}};

static so_flow_config tiny_flow_config(void)
{
    so_flow_config c = so_flow_published();
    c.units = 256;
    c.width = 64;
    c.heads = 4;
    c.ff = 128;
    c.layers = 2;
    c.channels = 32;
    c.est_heads = 4;
    c.head_width = 16;
    c.est_blocks = 2;
    c.mid = 3;
    return c;
}

static void open_flow(model *m, so_flow *net, const char *file)
{
    so_error error = {0};
    model_open(m, file);
    so_flow_config config = tiny_flow_config();
    model_bound(m, so_flow_bind(net, &config, "", &m->binder, &error), &error, true);
}

static void open_hift(model *m, so_hift *net, const char *file, bool all)
{
    so_error error = {0};
    model_open(m, file);
    so_hift_config config = so_hift_published();
    config.channels = config.f0_channels = 32;
    model_bound(m, so_hift_bind(net, &config, "", &m->binder, &error), &error, all);
}

/* ---- speech tokenizer */

static void tokenizer_case(const so_speech_tokenizer *net, const char *which)
{
    start();
    so_tensor *mel = read3(which, "logmel", true);
    so_batch *batch;
    so_tensor *hidden = so_speech_tokenizer_encode(&pass, net, mel, &mel->dim[1], &batch, NULL);
    expect(which, "hidden", hidden, false);
    int32_t ids[1500];
    int64_t n = length_of(which, "ids");
    assert_int_equal(so_speech_tokenizer_units(&net->config, mel->dim[1]), n);
    CHECK_OK(so_speech_tokenizer_ids(&pass, net, so_reshape(&pass, mel, 2, mel->dim + 1), ids), pass.error);
    assert_memory_equal(ids, view_of(which, "ids")->data, (size_t)n * sizeof *ids);
}

static void speech_tokenizer(void **state)
{
    (void)state;
    model m;
    so_error error = {0};
    so_speech_tokenizer net;
    model_open(&m, FOLDER "speech_tokenizer_v1.safetensors");
    model_bound(&m, so_speech_tokenizer_bind(&net, &tiny_tokenizer, "", &m.binder, &error), &error, true);
    tokenizer_case(&net, "tok.chirp");
    tokenizer_case(&net, "tok.speech");
    tokenizer_case(&net, "tok.min");
    model_close(&m);
}

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

static void flow_case(const so_flow *net, const char *which)
{
    start();
    int64_t N = parameter(which, "tokens"), P = parameter(which, "prompt_tokens"), M1 = parameter(which, "prompt_frames");
    int64_t frames = parameter(which, "frames"), K = parameter(which, "cache_frames"), M = 80;
    int32_t ids[256];
    if (P) memcpy(ids, view_of(which, "prompt_tokens")->data, (size_t)P * 4);
    memcpy(ids + P, view_of(which, "tokens")->data, (size_t)N * 4);
    assert_int_equal(so_flow_frames(&net->config, N), frames);
    so_tensor *speaker = so_flow_speaker(&pass, net, constant(2, (int64_t[]){1, 192}, floats(which, "embedding"), false));
    expect(which, "spks", speaker, false);
    so_tensor *h = so_flow_encoder(&pass, net, 1, P + N, ids, NULL);
    expect(which, "encoder", h, false);
    h = so_flow_project(&pass, net, h);
    expect(which, "encoder_proj", h, false);
    so_tensor *mu = so_flow_regulate(&pass, net, h, P, M1, frames);
    expect(which, "mu", mu, true);
    so_tensor *z = read2(which, "z", true), *cond = NULL;
    so_flow_request request = {N, P, M1, frames, ids, NULL, floats(which, "embedding"), so_data(z), NULL, NULL, K};
    if (M1) {
        cond = so_new2(&pass, M1 + frames, M);
        memset(cond->data, 0, (size_t)so_count(cond) * sizeof(float));
        memcpy(cond->data, floats(which, "prompt_feat"), (size_t)(M1 * M) * sizeof(float));
        request.prompt = so_data(cond);
    }
    if (K) { /* [80, K, 2] */
        so_tensor *before = so_new3(&pass, 2, K, M);
        for (int64_t i = 0; i < 2 * K * M; i++)
            so_data(before)[i] = floats(which, "cache_in")[(i % M * K + i / M % K) * 2 + i / (K * M)];
        request.z_before = so_data(before);
        request.mu_before = so_data(before) + K * M;
        memcpy(mu->data, request.mu_before, (size_t)(K * M) * sizeof(float));
    }
    int64_t dim[3] = {1, M1 + frames, M};
    so_real t = (so_real)0.3;
    so_flow_ask ask = {so_reshape(&pass, mu, 3, dim), speaker, cond ? so_reshape(&pass, cond, 3, dim) : NULL, &t};
    expect(which, "estimator", so_flow_velocity(&pass, net, so_reshape(&pass, z, 3, dim), &ask), true);
    ask = (so_flow_ask){.t = &t};
    expect(which, "estimator_uncond", so_flow_velocity(&pass, net, so_reshape(&pass, z, 3, dim), &ask), true);
    expect(which, "mel", so_flow_mel(&pass, net, &request, NULL), true);
}

static void flow(void **state)
{
    (void)state;
    model m;
    so_flow net;
    open_flow(&m, &net, FOLDER "flow.safetensors");
    static const char *const cases[] = {"flow.n1",  "flow.n7",     "flow.n40",   "flow.n41",
                                        "flow.n64", "flow.prompt", "flow.cached"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) flow_case(&net, cases[i]);
    const int32_t *frames = view_of("flow.lengths", "frames")->data;
    for (int64_t n = 0; n <= 1500; n++) assert_int_equal(so_flow_frames(&net.config, n), frames[n]);
    model_close(&m);
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
            CHECK_OK(so_hift_fold(&net, &m.store.memory, &error), error);
            hift_case(&net, "hift.m10");
        }
        model_close(&m);
    }
}

static void hift_istft(void **state)
{
    (void)state;
    check_shared(FOLDER "golden.safetensors");
    start();
    const float *magnitude = floats("hift.istft", "magnitude"), *phase = floats("hift.istft", "phase");
    so_tensor *spec = so_new3(&pass, 1, 21, 18);
    for (int f = 0; f < 21; f++)
        for (int k = 0; k < 9; k++) {
            double a = fmin((double)magnitude[k * 21 + f], 100), p = (double)phase[k * 21 + f];
            so_data(spec)[f * 18 + k] = (float)(a * cos(p));
            so_data(spec)[f * 18 + 9 + k] = (float)(a * sin(p));
        }
    so_frames frames = {16, 4, 8, so_hann(&pass, 16)};
    expect("hift.istft", "wave", so_istft(&pass, spec, &frames), false);
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

static void end_to_end(void **state)
{
    (void)state;
    model mf, mh;
    so_flow flow_net;
    so_hift net;
    open_flow(&mf, &flow_net, FOLDER "flow.pt");
    open_hift(&mh, &net, FOLDER "hift.pt", true);
    start();
    so_tensor *z = read2("e2e", "z", true);
    so_flow_request request = {.N = 38, .frames = 130, .ids = view_of("e2e", "tokens")->data,
                               .vector = floats("spk2info", "embedding1"), .z = so_data(z)};
    so_tensor *mel = so_flow_mel(&pass, &flow_net, &request, NULL);
    expect("e2e", "mel", mel, true);
    mel = so_reshape(&pass, mel, 3, (int64_t[]){1, 130, 80});
    so_tensor *f0 = so_hift_f0(&pass, &net, mel);
    expect("e2e", "f0", f0, false);
    so_tensor *source = so_hift_source(&pass, &net, harmonics_of(&net, "e2e", floats("e2e", "f0"), 130));
    expect("e2e", "source", source, false);
    expect("e2e", "wave", so_hift_wave(&pass, &net, mel, constant(2, (int64_t[]){1, 33280}, floats("e2e", "source"), false)),
           false);
    model_close(&mf);
    model_close(&mh);
}

/* ---- training */

static void learn(model *m)
{
    so_error error = {0};
    CHECK_OK(so_store_learn(&m->store, NULL, true, &error), error);
}

static void forget_gradients(model *m)
{
    for (int64_t i = 0; i < m->store.count; i++) {
        so_tensor *t = &m->store.weight[i]->tensor;
        if (t->grad) memset(t->grad, 0, (size_t)so_count(t) * sizeof *t->grad);
    }
}

/* Every stored gradient of a parameter, in relative L2: ten times the reference's worst. Gradients that are nothing but
 * rounding (a key's bias) are measured against the largest of all. */
static void expect_gradients(const char *which, const model *m)
{
    double worst = json_number_value(
        json_object_get(json_object_get(case_of(which), "values"), "param_grad_worst_rel_l2_fp32_vs_fp64"));
    char prefix[128];
    int64_t seen = 0, size = snprintf(prefix, sizeof prefix, "%s.grad.", which);
    double largest = 0;
    for (int round = 0; round < 2; round++)
        for (int64_t i = 0; i < so_safetensors_views(golden)->count; i++) {
            const so_view *v = &so_safetensors_views(golden)->view[i];
            if (strncmp(v->name, prefix, (size_t)size) != 0) continue;
            so_weight *w = so_store_find(&m->store, v->name + size);
            if (!w || !w->tensor.grad) fail_msg("no gradient of %s", v->name + size);
            double d2 = 0, e2 = 0;
            for (int64_t j = 0; j < so_view_elements(v); j++) {
                double e = (double)((const float *)v->data)[j], d = (double)w->tensor.grad[j] - e;
                d2 += d * d;
                e2 += e * e;
            }
            if (round == 0) largest = fmax(largest, sqrt(e2));
            if (round == 1 && !(sqrt(d2) <= 10 * worst * sqrt(e2) + 1e-7 * largest))
                fail_msg("gradient %s: off by %.3g of %.3g, bar %.3g", v->name, sqrt(d2), sqrt(e2), 10 * worst);
            seen++;
        }
    if (seen < 4) fail_msg("%s: %d gradients in the reference", which, (int)seen);
}

static so_tensor *read_items(const char *which, const char *tensor, bool turned)
{
    const so_view *v = view_of(which, tensor);
    int64_t dim[3] = {v->dim[0], v->dim[turned ? 2 : 1], v->dim[turned ? 1 : 2]};
    so_tensor *t = constant(3, dim, v->data, turned);
    t->wants_grad = true;
    return t;
}

static void gradient_of(const char *which, const char *tensor, so_tensor *t, bool turned, double noise)
{
    so_tensor g = *t;
    g.data = t->grad;
    if (!t->grad) fail_msg("%s: no gradient", tensor);
    expect_noise(which, tensor, &g, turned, noise);
}

static void flow_matching_case(model *m, const so_flow *net, const char *which, bool add, const so_real *keep)
{
    start();
    forget_gradients(m);
    pass.recording = true;
    so_tensor *x1 = read_items(which, "x1", true), *mu = read_items(which, "mu", true), *z = read_items(which, "z", true);
    so_tensor *spks = read2(which, "spks", false), *cond = read_items(which, "cond", true);
    spks->wants_grad = true;
    z->wants_grad = false;
    so_flow_ask ask = {mu, spks, cond, floats(which, "t"), floats(which, "mask"), add};
    so_tensor *loss = so_flow_matching_loss(&pass, net, x1, &ask, z, keep);
    expect(which, "loss", loss, false);
    CHECK_OK(so_backward(&pass, loss, 1), pass.error);
    gradient_of(which, "grad_x1", x1, true, noise_of(which, "grad_x1"));
    gradient_of(which, "grad_mu", mu, true, noise_of(which, "grad_mu"));
    gradient_of(which, "grad_spks", spks, false, noise_of(which, "grad_spks"));
    gradient_of(which, "grad_cond", cond, true, noise_of(which, "grad_cond"));
    if (strcmp(which, "cfm.b2_add") != 0) expect_gradients(which, m);
}

static void flow_train_case(model *m, const so_flow *net, const char *which, bool add)
{
    start();
    forget_gradients(m);
    pass.recording = true;
    int64_t units[2] = {17, 9}, frames[2] = {58, 33}, shown[2] = {9, 0};
    so_flow_lesson lesson = {2, 17, 58, view_of(which, "tokens")->data, units, frames, floats(which, "feat"),
                             floats(which, "embedding"), shown, so_data(read_items(which, "z", true)),
                             floats(which, "t"), NULL, add};
    so_tensor *mu, *loss = so_flow_loss(&pass, net, &lesson, &mu);
    expect(which, "mu", mu, false);
    expect(which, "loss", loss, false);
    CHECK_OK(so_backward(&pass, loss, 1), pass.error);
    if (!add) expect_gradients(which, m);
}

static void flow_losses(void **state)
{
    (void)state;
    model m;
    so_flow net;
    open_flow(&m, &net, FOLDER "flow.safetensors");
    learn(&m);
    flow_matching_case(&m, &net, "cfm.b1", true, NULL);
    flow_matching_case(&m, &net, "cfm.b2_bias", false, (so_real[]){1, 0});
    flow_matching_case(&m, &net, "cfm.b2_add", true, (so_real[]){1, 0});
    flow_train_case(&m, &net, "flow_train.bias", false);
    flow_train_case(&m, &net, "flow_train.add", true);
    model_close(&m);
}

static so_tensor *leaf(const char *which, const char *tensor)
{
    so_tensor *t = read2(which, tensor, false);
    t->wants_grad = true;
    if (view_of(which, tensor)->n_dims == 1) { /* a bias */
        t->n_dims = 1;
        t->dim[0] = so_count(&(so_tensor){.n_dims = 2, .dim = {t->dim[0], t->dim[1]}});
    }
    return t;
}

static void relative_attention_case(const char *which)
{
    start();
    pass.recording = true;
    static const char *const names[] = {"linear_q.weight", "linear_q.bias",     "linear_k.weight",   "linear_k.bias",
                                        "linear_v.weight", "linear_v.bias",     "linear_out.weight", "linear_out.bias",
                                        "pos_bias_u",      "pos_bias_v",        "linear_pos.weight"};
    so_tensor *w[11], *x = leaf(which, "x");
    char name[64];
    for (int i = 0; i < 11; i++) {
        snprintf(name, sizeof name, "param.%s", names[i]);
        w[i] = leaf(which, name);
    }
    int64_t T = x->dim[0], D = x->dim[1];
    so_real bias[17] = {0};
    for (int64_t i = 0; i < T && strstr(which, "masked"); i++)
        bias[i] = ((const uint8_t *)view_of(which, "key_mask")->data)[i] ? 0 : -1e10f;
    so_tensor *pos = so_relative_positions(&pass, T, D);
    expect(which, "pos", pos, false);
    so_score score = {4, bias, NULL, so_linear(&pass, pos, w[10], NULL), w[8], w[9]};
    so_tensor *q = so_linear(&pass, x, w[0], w[1]), *k = so_linear(&pass, x, w[2], w[3]);
    so_tensor *y = so_score_attention(&pass, q, k, so_linear(&pass, x, w[4], w[5]), &score);
    y = so_linear(&pass, y, w[6], w[7]);
    expect(which, "y", y, false);
    y->grad = so_data(read2(which, "dy", false));
    CHECK_OK(so_backward_from(&pass), pass.error);
    gradient_of(which, "grad_x", x, false, noise_of(which, "grad_x"));
    for (int i = 0; i < 11; i++) {
        snprintf(name, sizeof name, "grad.%s", names[i]);
        gradient_of(which, name, w[i], false, fmax(noise_of(which, name), 1e-7));
    }
}

static void relative_attention(void **state)
{
    (void)state;
    check_shared(FOLDER "golden.safetensors");
    relative_attention_case("relpos.t9");
    relative_attention_case("relpos.t17");
    relative_attention_case("relpos.t17_masked");
}

static void codebook_case(const char *which, const so_vq_rule *rule)
{
    start();
    so_tensor *codes = read2(which, "embed_init", false), *sum = read2(which, "embed_init", false);
    so_tensor count = {.n_dims = 1, .dim = {12}, .data = (so_real[12]){1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
    for (int i = 0; i < 3; i++) {
        char name[5][32];
        static const char *const parts[] = {"x", "quantized", "cluster_size", "embed_avg", "embed"};
        for (int j = 0; j < 5; j++) snprintf(name[j], sizeof name[j], "%s%d", parts[j], i);
        so_tensor *x = leaf(which, name[0]);
        pass.recording = true;
        int32_t ids[40];
        CHECK_OK(so_vq_nearest(&pass, x, codes, ids), pass.error);
        char more[32];
        snprintf(more, sizeof more, "ids%d", i);
        assert_memory_equal(ids, view_of(which, more)->data, sizeof ids);
        so_tensor *q = so_vq_pass(&pass, x, codes, ids);
        expect(which, name[1], q, false);
        so_tensor *fixed = so_constant(&pass, 2, q->dim, so_data(q)), *commit = so_mse(&pass, x, fixed, NULL);
        snprintf(more, sizeof more, "commit_loss%d", i);
        expect(which, more, commit, false);
        CHECK_OK(so_backward(&pass, commit, 1), pass.error);
        snprintf(more, sizeof more, "grad_x%d", i);
        gradient_of(which, more, x, false, noise_of(which, more));
        so_vq_update(rule, 40, so_data(x), ids, 12, 16, so_data(&count), so_data(sum), so_data(codes), NULL);
        expect(which, name[2], &count, false);
        expect(which, name[3], sum, false);
        expect(which, name[4], codes, false);
    }
}

static void codebook(void **state)
{
    (void)state;
    check_shared(FOLDER "golden.safetensors");
    codebook_case("vq.ema", &(so_vq_rule){.decay = 0.95, .epsilon = 1e-5});
    codebook_case("vq.sparse_norm", &(so_vq_rule){.decay = 0.95, .epsilon = 1e-5, .sparse = true, .unit_length = true});
}

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
    assert_int_equal(so_vq_update(&rule, 8, x, ids, 3, 2, count, sum, codes, &rng), 1);
    int found = 0;
    for (int i = 0; i < 8; i++)
        found += fabs((double)(codes[4] - x[2 * i])) < 1e-3 && fabs((double)(codes[5] - x[2 * i + 1])) < 1e-3;
    assert_int_equal(found, 1);
    so_real kept = codes[4];
    assert_int_equal(so_vq_update(&rule, 8, x, ids, 3, 2, count, sum, codes, &rng), 0);
    assert_true(fabs((double)(codes[4] - kept)) < 1e-3);
}

/* ---- the vocoder's game */

static void open_judges(model *m, so_judges *net)
{
    so_error error = {0};
    model_open(m, FOLDER "discriminators.safetensors");
    so_judges_config config = {5, {2, 3, 5, 7, 11}, {4, 8, 8, 16, 16}, 3, {2048, 1024, 512}, 4};
    model_bound(m, so_judges_bind(net, &config, "", &m->binder, &error), &error, false);
}

static const so_wave_mel gan_mel = {22050, 1024, 256, 80, 0, 11025};

static const char *const judge_names[] = {"mpd2", "mpd3", "mpd5", "mpd7", "mpd11", "mrd2048", "mrd1024", "mrd512"};

/* One loss on real and made speech; its value and its gradient with respect to the made. */
static void game_loss(const so_judges *net, const char *what)
{
    start();
    pass.recording = true;
    so_tensor *real = read2("gan.disc", "real", false), *made = leaf("gan.disc", "generated"), *loss = NULL;
    so_verdict vr, vm;
    if (!so_judge(&pass, net, real, &vr) || !so_judge(&pass, net, made, &vm)) fail_msg("%s", pass.error.text);
    char name[64];
    if (strcmp(what, "gen") == 0) loss = so_fooling_loss(&pass, &vm);
    if (strcmp(what, "fm") == 0) loss = so_feature_loss(&pass, &vr, &vm);
    if (strcmp(what, "tpr") == 0) loss = so_relative_loss(&pass, &vr, &vm, 0.04);
    if (strcmp(what, "mel") == 0)
        loss = so_l1(&pass, so_wave_log_mel(&pass, made, &gan_mel), so_wave_log_mel(&pass, real, &gan_mel), NULL);
    if (strcmp(what, "gen") == 0) {
        for (int i = 0; i < 8; i++) {
            snprintf(name, sizeof name, "%s.real", judge_names[i]);
            expect("gan.disc", name, vr.out[i], false);
            snprintf(name, sizeof name, "%s.generated", judge_names[i]);
            expect("gan.disc", name, vm.out[i], false);
        }
    }
    snprintf(name, sizeof name, "loss_%s", what);
    expect("gan.disc", name, loss, false);
    CHECK_OK(so_backward(&pass, loss, 1), pass.error);
    snprintf(name, sizeof name, "grad_%s", what);
    gradient_of("gan.disc", name, made, false, noise_of("gan.disc", name));
}

static void judges(void **state)
{
    (void)state;
    model m;
    so_judges net;
    open_judges(&m, &net);
    game_loss(&net, "gen");
    game_loss(&net, "fm");
    game_loss(&net, "tpr");
    game_loss(&net, "mel");
    start();
    learn(&m);
    pass.recording = true;
    so_verdict vr, vm;
    so_judge(&pass, &net, read2("gan.disc", "real", false), &vr);
    so_judge(&pass, &net, read2("gan.disc", "generated", false), &vm);
    so_tensor *loss = so_judging_loss(&pass, &vr, &vm);
    expect("gan.disc", "loss_disc", loss, false);
    so_tensor *total = so_add(&pass, loss, so_relative_loss(&pass, &vr, &vm, 0.04));
    CHECK_OK(so_backward(&pass, total, 1), pass.error);
    expect_gradients("gan.disc", &m);
    model_close(&m);
}

/* A turn of the generator: its gradient from all five losses. */
static void generator_turn(void **state)
{
    (void)state;
    model mj, m;
    so_judges judge_net;
    so_hift net;
    open_judges(&mj, &judge_net);
    open_hift(&m, &net, FOLDER "hift.safetensors", true);
    learn(&m);
    start();
    pass.recording = true;
    const char *which = "gan.train";
    so_tensor *mel = read3(which, "mel", true), *real = read2(which, "real", false);
    so_tensor *f0 = so_hift_f0(&pass, &net, mel);
    so_tensor *harmonics = read3(which, "harmonics", true);
    so_tensor *made = so_hift_wave(&pass, &net, mel, so_hift_source(&pass, &net, harmonics));
    expect(which, "generated", made, false);
    so_verdict vr, vm;
    if (!so_judge(&pass, &judge_net, real, &vr) || !so_judge(&pass, &judge_net, made, &vm)) fail_msg("%s", pass.error.text);
    so_tensor *loss[5] = {
        so_fooling_loss(&pass, &vm), so_feature_loss(&pass, &vr, &vm),
        so_l1(&pass, so_wave_log_mel(&pass, made, &gan_mel), so_wave_log_mel(&pass, real, &gan_mel), NULL),
        so_relative_loss(&pass, &vr, &vm, 0.04), so_l1(&pass, f0, read2(which, "pitch", false), NULL)};
    so_tensor *total = so_weighted_sum(&pass, 5, loss, (so_real[]){1, 2, 45, 1, 1});
    if (!total) fail_msg("%s", pass.error.text);
    for (int i = 0; i < 6; i++) {
        double e = (double)floats(which, "losses")[i], got = (double)so_data(i ? loss[i - 1] : total)[0];
        if (fabs(got - e) > 1e-5 * fabs(e)) fail_msg("loss %d is %.9g, expected %.9g", i, got, e);
    }
    CHECK_OK(so_backward(&pass, total, 1), pass.error);
    expect_gradients(which, &m);
    model_close(&m);
    model_close(&mj);
}

static void relative_loss_case(const char *which, int n)
{
    start();
    pass.recording = true;
    so_verdict vr = {.n = n}, vm = {.n = n};
    char name[64];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "real%d", i);
        vr.out[i] = leaf(which, name);
        snprintf(name, sizeof name, "generated%d", i);
        vm.out[i] = leaf(which, name);
    }
    so_tensor *loss = so_relative_loss(&pass, &vr, &vm, 0.04);
    expect_noise(which, "loss", loss, false, 1e-8);
    CHECK_OK(so_backward(&pass, loss, 1), pass.error);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "grad_real%d", i);
        gradient_of(which, name, vr.out[i], false, 1e-8);
        snprintf(name, sizeof name, "grad_generated%d", i);
        gradient_of(which, name, vm.out[i], false, 1e-8);
    }
}

static void relative_loss(void **state)
{
    (void)state;
    check_shared(FOLDER "golden.safetensors");
    relative_loss_case("tpr.odd", 1);
    relative_loss_case("tpr.even", 1);
    relative_loss_case("tpr.large", 1);
    relative_loss_case("tpr.two", 2);
    /* All alike: nothing lies below the median. */
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
    } cases[] = {{"mel22050", "mel_8000", 8000}, {"mel22050", "mel_11025", 11025}, {"mel22050.short", "mel_8000", 8000}};
    for (int i = 0; i < 3; i++) {
        start();
        const so_view *v = view_of(cases[i].which, "audio_22050");
        so_tensor *wave = constant(2, (int64_t[]){1, v->dim[0]}, v->data, false);
        so_wave_mel m = gan_mel;
        m.f_max = cases[i].f_max;
        expect(cases[i].which, cases[i].tensor, so_wave_log_mel(&pass, wave, &m), true);
    }
}

static void speaker_vector(void **state)
{
    (void)state;
    model m;
    so_cam net;
    so_error error = {0};
    model_open(&m, FOLDER "campplus.safetensors");
    so_cam_config config = so_cam_published();
    config.growth = 4;
    config.start = 16;
    model_bound(&m, so_cam_bind(&net, &config, "", &m.binder, &error), &error, true);
    start();
    expect("campplus", "head", so_cam_head(&pass, &net, read2("campplus", "feat", false)), true);
    expect("campplus", "embedding", so_cam_vector(&pass, &net, read2("campplus", "feat", false)), false);
    expect("campplus", "embedding_long", so_cam_vector(&pass, &net, read2("campplus", "feat_long", false)), false);
    model_close(&m);
}

/* ---- real sizes, with weights made by a rule (README.md of the reference) */

static uint64_t hash_of(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), m = strlen(with);
    return n >= m && strcmp(name + n - m, with) == 0;
}

/* weight = base + factor v, v in [-1, 1). */
static void rule_of(const so_tensor *t, double *base, double *factor)
{
    const char *name = t->name;
    double gain = strncmp(name, "ups.", 4) == 0 ? 2 : strstr(name, "resblocks.") ? 0.4
                  : strncmp(name, "conv_post", 9) == 0 ? 0.3 : 1;
    *base = 0;
    if (ends(name, ".alpha")) *base = 1, *factor = 0.5;
    else if (ends(name, "weight_g")) *base = gain, *factor = 0.3 * gain;
    else if (ends(name, "weight_v")) *factor = 1;
    else if (strcmp(name, "f0_predictor.classifier.weight") == 0) *factor = 200 * sqrt(3.0 / 512);
    else if (strcmp(name, "conv_post.bias") == 0) *base = -1, *factor = 0.5;
    else if (t->n_dims == 1 && ends(name, ".weight")) *base = 1, *factor = 0.2;
    else if (t->n_dims == 1) *factor = 0.1;
    else if (strcmp(name, "input_embedding.weight") == 0) *factor = 1.5;
    else if (strstr(name, "pos_bias_")) *factor = 0.3;
    else if (strcmp(name, "encoder.positional_embedding") == 0) *factor = 1.5;
    else *factor = sqrt(3.0 / (double)(so_count(t) / t->dim[0]));
}

static void fill_by_rule(so_tensor *t)
{
    double base, factor;
    rule_of(t, &base, &factor);
    uint64_t x = hash_of(t->name);
    for (int64_t i = 0; i < so_count(t); i++) {
        double v = (double)(so_splitmix(&x) >> 40) / 8388608 - 1;
        so_data(t)[i] = (float)(base + factor * v);
    }
}

/* The weights of all models of this kind, checked against what the reference says of some. */
static void fill_model(model *m, const char *which)
{
    for (int64_t i = 0; i < m->store.count; i++) fill_by_rule(&m->store.weight[i]->tensor);
    const char *name;
    json_t *w;
    json_object_foreach(json_object_get(json_object_get(case_of(which), "values"), "weights"), name, w)
    {
        so_weight *mine = so_store_find(&m->store, name);
        if (!mine) fail_msg("no weight %s", name);
        double sum = 0, expected = json_number_value(json_object_get(w, "sum"));
        for (int64_t i = 0; i < so_count(&mine->tensor); i++) sum += (double)so_data(&mine->tensor)[i];
        if (fabs(sum - expected) > 1e-6 * (1 + fabs(expected))) fail_msg("%s sums to %g, expected %g", name, sum, expected);
    }
}

static void model_random(model *m, so_rng *rng)
{
    so_error error = {0};
    memset(m, 0, sizeof *m);
    so_rng_init(rng, 1, 0);
    CHECK_OK(so_store_open(&m->store, (size_t)4 << 30, &error), error);
    m->binder = (so_binder){.store = &m->store, .rng = rng};
}

static void real_tokenizer(model *m)
{
    so_error error = {0};
    so_speech_tokenizer net;
    so_speech_tokenizer_config config = {.mels = 128, .width = 1280, .heads = 20, .ff = 5120, .layers = 6, .codes = 4096,
                                         .context = 1500, .stride = {2, 2}};
    model_bound(m, so_speech_tokenizer_bind(&net, &config, "", &m->binder, &error), &error, false);
    assert_int_equal(m->store.count, 96);
    assert_int_equal(so_store_parameters(&m->store, NULL), 130629120);
    fill_model(m, "real.tok");
    start();
    so_mel *mel;
    CHECK_OK(so_mel_open(&mel, SO_MEL_WHISPER, &error), error);
    int64_t F = 12345 / 160;
    so_tensor *x = so_new2(&pass, F, 128);
    CHECK_OK(so_mel_compute(mel, floats("real.tok", "audio_16k"), 12345, so_data(x), NULL, &error), error);
    so_mel_close(&mel);
    so_batch *batch;
    so_tensor *h = so_speech_tokenizer_encode(&pass, &net, so_reshape(&pass, x, 3, (int64_t[]){1, F, 128}), &F, &batch, NULL);
    expect("real.tok", "hidden", h, false);
    int32_t ids[20];
    CHECK_OK(so_speech_tokenizer_ids(&pass, &net, x, ids), pass.error);
    assert_memory_equal(ids, view_of("real.tok", "ids")->data, sizeof ids);
}

static void real_flow(model *m)
{
    so_error error = {0};
    so_flow net;
    so_flow_config config = so_flow_published();
    model_bound(m, so_flow_bind(&net, &config, "", &m->binder, &error), &error, false);
    assert_int_equal(m->store.count, 1185);
    assert_int_equal(so_store_parameters(&m->store, NULL), 104874752);
    fill_model(m, "real.flow");
    start();
    so_tensor *z = read2("real.flow", "z", true), *mu;
    so_flow_request request = {.N = 20, .frames = 68, .ids = view_of("real.flow", "tokens")->data,
                               .vector = floats("real.flow", "embedding"), .z = so_data(z)};
    so_tensor *mel = so_flow_mel(&pass, &net, &request, &mu);
    expect("real.flow", "mu", mu, true);
    expect("real.flow", "mel", mel, true);
}

static void real_hift(model *m)
{
    so_error error = {0};
    so_hift net;
    so_hift_config config = so_hift_published();
    model_bound(m, so_hift_bind(&net, &config, "", &m->binder, &error), &error, false);
    assert_int_equal(m->store.count, 227);
    assert_int_equal(so_store_parameters(&m->store, NULL), 20460591);
    fill_model(m, "real.hift");
    start();
    so_tensor *mel = read3("real.hift", "mel", true);
    expect("real.hift", "f0", so_hift_f0(&pass, &net, mel), false);
    so_tensor *source = so_hift_source(&pass, &net, harmonics_of(&net, "real.hift", floats("real.hift", "f0"), 12));
    expect_noise("real.hift", "source", source, false, 1e-5);
    memcpy(source->data, floats("real.hift", "source"), 3072 * sizeof(float));
    expect_noise("real.hift", "conv_post", so_hift_spectrum(&pass, &net, mel, source), true, 1e-6);
    expect("real.hift", "wave", so_hift_wave(&pass, &net, mel, source), false);
}

static void real_shapes(void **state)
{
    (void)state;
    so_error error = {0};
    so_safetensors *kept = golden;
    json_t *kept_about = about;
    golden = NULL;
    CHECK_OK(so_safetensors_open(&golden, check_shared(FOLDER "real_shape.safetensors"), &error), error);
    about = json_load_file(check_shared(FOLDER "real_shape.json"), 0, NULL);
    static void (*const runs[])(model *) = {real_tokenizer, real_flow, real_hift};
    for (int i = 0; i < 3; i++) {
        model m;
        so_rng rng;
        model_random(&m, &rng);
        runs[i](&m);
        model_close(&m);
    }
    so_safetensors_close(&golden);
    json_decref(about);
    golden = kept;
    about = kept_about;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speech_tokenizer), cmocka_unit_test(speech_tokenizer_batch),
        cmocka_unit_test(flow),             cmocka_unit_test(hift),
        cmocka_unit_test(hift_istft),       cmocka_unit_test(hift_pieces),
        cmocka_unit_test(end_to_end),       cmocka_unit_test(flow_losses),
        cmocka_unit_test(relative_attention), cmocka_unit_test(codebook),
        cmocka_unit_test(codebook_revival), cmocka_unit_test(judges),
        cmocka_unit_test(generator_turn),   cmocka_unit_test(relative_loss),
        cmocka_unit_test(wave_log_mel),     cmocka_unit_test(speaker_vector),
        cmocka_unit_test(real_shapes),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
