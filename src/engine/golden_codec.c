/* The codec against reference numbers: resampling, features, units, mel frames, waveforms, losses.
 *
 * Forward results may be off by ten times the reference's own rounding noise, which golden.json tells for every tensor
 * (at least 2e-6 of the largest value); ids not at all. Source: README of the reference folder; spec/speech-codec.md.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/codec.h"
#include "engine/golden.h"
#include "media/resample.h"

typedef struct bench {
    so_golden *g;
    const json_t *json; /* the case */
    const char *name;
    so_codec codec;
    so_pool *pool;
    so_arena arena;
    so_pass pass;
} bench;

/* ---- reading the reference */

static const so_view *view_of(const bench *b, const char *tensor)
{
    return so_golden_view(b->g, b->name, tensor, NULL);
}

static const float *floats(const bench *b, const char *tensor)
{
    const so_view *v = view_of(b, tensor);
    return v && v->type == SO_F32 ? v->data : NULL;
}

static int64_t length_of(const bench *b, const char *tensor)
{
    const so_view *v = view_of(b, tensor);
    return v ? so_view_elements(v) : 0;
}

static int64_t parameter(const bench *b, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(b->json, "params"), key));
}

static double bar_of(const bench *b, const char *tensor)
{
    char name[256];
    double noise = 0, scale = 0;
    size_t i;
    json_t *t;
    snprintf(name, sizeof name, "%s.%s", b->name, tensor);
    json_array_foreach(json_object_get(b->json, "tensors"), i, t) {
        const char *found = json_string_value(json_object_get(t, "name"));
        if (!found || strcmp(found, name) != 0) continue;
        noise = json_number_value(json_object_get(t, "fp32_vs_fp64_max_abs"));
        scale = json_number_value(json_object_get(t, "max_abs"));
    }
    return fmax(10 * noise, 2e-6 * scale);
}

/* A constant from a stored [a, b] or [b] tensor, or its transpose. */
static so_tensor *read(bench *b, const char *tensor, bool turned)
{
    const so_view *v = view_of(b, tensor);
    if (!v || v->type != SO_F32 || v->n_dims > 2)
        return so_pass_fail(&b->pass, SO_ERR_MISSING, "%s.%s", b->name, tensor);
    int64_t rows = v->n_dims == 2 ? v->dim[0] : 1, cols = v->dim[v->n_dims - 1];
    so_tensor *t = turned ? so_new2(&b->pass, cols, rows) : so_new2(&b->pass, rows, cols);
    const float *from = v->data;
    for (int64_t i = 0; t && i < rows * cols; i++) so_data(t)[turned ? i % cols * rows + i / cols : i] = from[i];
    return t;
}

static so_tensor *batched(bench *b, so_tensor *t)
{
    return t ? so_reshape(&b->pass, t, 3, (int64_t[]){1, so_rows(t), so_cols(t)}) : NULL;
}

/* found[rows, cols] against the tensor, stored alike or turned. */
static void expect(bench *b, const char *tensor, const so_tensor *found, bool turned)
{
    const so_view *v = view_of(b, tensor);
    if (!v || !found || !so_ok(&b->pass)) return;
    int64_t n = so_count(found), cols = so_cols(found), rows = n / (cols ? cols : 1);
    so_real *copy = malloc((size_t)n * sizeof *copy + 1);
    for (int64_t i = 0; copy && i < n; i++) copy[turned ? i % cols * rows + i / cols : i] = so_data(found)[i];
    double bar = bar_of(b, tensor);
    if (copy) so_golden_numbers(b->g, b->name, tensor, copy, n, (so_bars){bar, bar});
    free(copy);
}

static void expect_floats(bench *b, const char *tensor, const float *found, int64_t n)
{
    double bar = bar_of(b, tensor);
    so_golden_numbers(b->g, b->name, tensor, found, n, (so_bars){bar, bar});
}

/* ---- sound and features */

static so_status one_rate(bench *b, int from, int to, const char *in, const char *out, so_error *error)
{
    so_resampler *r;
    int64_t n = length_of(b, in);
    if (!floats(b, in) || !floats(b, out)) return SO_OK;
    SO_TRY(so_resampler_open(&r, from, to, error));
    int64_t m = so_resampler_length(r, n);
    float *y = malloc((size_t)m * sizeof *y + 1);
    so_status status = y ? so_resample(r, floats(b, in), n, y, error) : so_fail(error, SO_ERR_NOMEM, "no memory");
    if (status == SO_OK) expect_floats(b, out, y, m);
    free(y);
    so_resampler_close(&r);
    return status;
}

static so_status resample_case(bench *b, so_error *error)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(b->json, "tensors"), i, t) {
        int from, to;
        char in[64], out[64];
        const char *name = json_string_value(json_object_get(t, "name"));
        if (!name || sscanf(name, "resample.%d_%d.in", &from, &to) != 2 || !strstr(name, ".in")) continue;
        snprintf(in, sizeof in, "%d_%d.in", from, to);
        snprintf(out, sizeof out, "%d_%d.out", from, to);
        SO_TRY(one_rate(b, from, to, in, out, error));
    }
    return SO_OK;
}

/* Features of `audio` against `tensor`, stored [bins, frames] or, when not turned, [frames, bins]. */
static so_status features(bench *b, so_mel_kind kind, const char *audio, const char *tensor, bool turned, bool centred,
                          so_error *error)
{
    so_mel *mel;
    int64_t n = length_of(b, audio);
    if (!floats(b, audio) || !floats(b, tensor)) return SO_OK;
    SO_TRY(so_mel_open(&mel, kind, error));
    int64_t F = so_mel_frames(mel, n), M = so_mel_bins(mel);
    float *x = malloc((size_t)(F * M) * sizeof *x + 1), *y = malloc((size_t)(F * M) * sizeof *y + 1);
    so_status status = x && y ? so_mel_compute(mel, floats(b, audio), n, x, b->pool, error)
                              : so_fail(error, SO_ERR_NOMEM, "no memory");
    if (status == SO_OK) {
        if (centred) so_mel_subtract_mean(x, F, (int)M);
        if (turned) so_mel_transpose(x, F, (int)M, y);
        expect_floats(b, tensor, turned ? y : x, F * M);
    }
    free(x);
    free(y);
    so_mel_close(&mel);
    return status;
}

static so_status feature_case(bench *b, so_error *error)
{
    SO_TRY(features(b, SO_MEL_VOCODER, "audio_22050", "mel_8000", true, false, error));
    SO_TRY(features(b, SO_MEL_VOCODER_GAN, "audio_22050", "mel_11025", true, false, error));
    SO_TRY(features(b, SO_MEL_KALDI, "audio_16k", "fbank", false, false, error));
    return features(b, SO_MEL_KALDI, "audio_16k", "fbank_cmn", false, true, error);
}

/* ---- networks */

static so_status tokenizer_case(bench *b, so_error *error)
{
    if (!b->codec.hears) return SO_OK;
    SO_TRY(one_rate(b, 22050, 16000, "audio_22050", "audio_16k", error));
    SO_TRY(features(b, SO_MEL_WHISPER, "audio_16k", "logmel", true, false, error));
    so_tensor *mel = batched(b, read(b, "logmel", true));
    if (!mel) return SO_OK;
    so_batch *batch;
    so_tensor *hidden = so_speech_tokenizer_encode(&b->pass, &b->codec.tokenizer, mel, &mel->dim[1], &batch, NULL);
    expect(b, "hidden", hidden, false);
    int64_t n = so_speech_tokenizer_units(&b->codec.tokenizer.config, mel->dim[1]);
    int32_t *ids = so_take(&b->pass, (size_t)(n + 1) * sizeof *ids, true);
    so_speech_tokenizer_ids(&b->pass, &b->codec.tokenizer, so_reshape(&b->pass, mel, 2, mel->dim + 1), ids);
    if (so_ok(&b->pass)) so_golden_ids(b->g, b->name, "ids", ids, n);
    return SO_OK;
}

/* A case's inputs as a request; false when one is missing. */
static bool flow_request(bench *b, so_flow_request *r)
{
    int64_t N = length_of(b, "tokens"), P = length_of(b, "prompt_tokens"), M = b->codec.flow.config.mels;
    int32_t *ids = so_take(&b->pass, (size_t)(N + P + 1) * sizeof *ids, false);
    so_tensor *z = read(b, "z", true);
    if (!z || !N || !ids) return false;
    if (P) memcpy(ids, view_of(b, "prompt_tokens")->data, (size_t)P * sizeof *ids);
    memcpy(ids + P, view_of(b, "tokens")->data, (size_t)N * sizeof *ids);
    *r = (so_flow_request){.N = N, .P = P, .ids = ids, .vector = floats(b, "embedding"), .z = so_data(z)};
    r->M1 = length_of(b, "prompt_feat") / M;
    r->frames = so_rows(z) - r->M1;
    r->prompt = floats(b, "prompt_feat");
    r->K = parameter(b, "cache_frames");
    const float *cache = floats(b, "cache_in"); /* [M, K, 2] */
    if (!r->K || !cache) return true;
    so_real *before = so_take(&b->pass, (size_t)(2 * r->K * M) * sizeof *before, false);
    for (int64_t i = 0; before && i < 2 * r->K * M; i++)
        before[i] = cache[(i % M * r->K + i / M % r->K) * 2 + i / (r->K * M)];
    r->z_before = before;
    r->mu_before = before ? before + r->K * M : NULL;
    return before != NULL;
}

static so_status flow_case(bench *b, so_error *error)
{
    (void)error;
    const so_flow *net = &b->codec.flow;
    so_pass *pass = &b->pass;
    so_flow_request r;
    int64_t M = net->config.mels;
    if (!b->codec.speaks || !flow_request(b, &r) || !r.vector) return SO_OK;
    so_golden_value(b->g, b->name, "frames", (double)so_flow_frames(&net->config, r.N), (double)parameter(b, "frames"),
                    0);
    so_tensor *vector = so_constant(pass, 2, (int64_t[]){1, net->config.speaker}, r.vector);
    so_tensor *speaker = so_flow_speaker(pass, net, vector);
    expect(b, "spks", speaker, false);
    so_tensor *h = so_flow_encoder(pass, net, 1, r.P + r.N, r.ids, NULL);
    expect(b, "encoder", h, false);
    h = so_flow_project(pass, net, h);
    expect(b, "encoder_proj", h, false);
    so_tensor *mu = so_flow_regulate(pass, net, h, r.P, r.M1, r.frames), *cond = NULL;
    if (!mu) return SO_OK;
    expect(b, "mu", mu, true);
    if (r.K) memcpy(mu->data, r.mu_before, (size_t)(r.K * M) * sizeof(so_real));
    int64_t dim[3] = {1, r.M1 + r.frames, M};
    if (r.M1) {
        cond = so_new3(pass, 1, dim[1], M);
        if (!cond) return SO_OK;
        memset(cond->data, 0, (size_t)so_count(cond) * sizeof(so_real));
        memcpy(cond->data, r.prompt, (size_t)(r.M1 * M) * sizeof(so_real));
    }
    so_real t = (so_real)0.3;
    so_tensor *z = so_constant(pass, 3, dim, r.z);
    so_flow_ask ask = {so_reshape(pass, mu, 3, dim), speaker, cond, &t};
    expect(b, "estimator", so_flow_velocity(pass, net, z, &ask), true);
    ask = (so_flow_ask){.t = &t};
    expect(b, "estimator_uncond", so_flow_velocity(pass, net, z, &ask), true);
    expect(b, "mel", so_flow_mel(pass, net, &r, NULL), true);
    return SO_OK;
}

static so_status lengths_case(bench *b, so_error *error)
{
    const so_view *v = view_of(b, "frames");
    if (!v) return SO_OK;
    int64_t n = so_view_elements(v);
    int32_t *found = malloc((size_t)n * sizeof *found + 1);
    if (!found) return so_fail(error, SO_ERR_NOMEM, "no memory");
    for (int64_t i = 0; i < n; i++) found[i] = (int32_t)so_flow_frames(&b->codec.flow.config, i);
    so_golden_ids(b->g, b->name, "frames", found, n);
    free(found);
    return SO_OK;
}

/* The source of a case's pitch, phase and noise. */
static so_tensor *source_of(bench *b, const so_real *f0, int64_t T)
{
    const so_hift_config *c = &b->codec.hift.config;
    int64_t L = T * so_hift_samples(c);
    so_tensor *noise = read(b, "noise", true), *h = so_new3(&b->pass, 1, L, c->harmonics + 1);
    const float *phase = floats(b, "phase");
    if (!noise || !h || !phase || !f0 || so_rows(noise) != L) return NULL;
    so_hift_phase at = {0};
    so_hift_harmonics(c, T, f0, phase, so_data(noise), &at, so_data(h));
    return so_hift_source(&b->pass, &b->codec.hift, h);
}

static so_status hift_case(bench *b, so_error *error)
{
    (void)error;
    so_pass *pass = &b->pass;
    const so_hift *net = &b->codec.hift;
    if (!b->codec.speaks || !view_of(b, "mel") || !floats(b, "source")) return SO_OK;
    so_tensor *mel = batched(b, read(b, "mel", true));
    if (!mel) return SO_OK;
    expect(b, "f0", so_hift_f0(pass, net, mel), false);
    so_tensor *source = source_of(b, floats(b, "f0"), mel->dim[1]);
    if (source && floats(b, "cache_source"))
        memcpy(source->data, floats(b, "cache_source"), (size_t)length_of(b, "cache_source") * sizeof(float));
    expect(b, "source_exact", source, false);
    so_tensor *given = read(b, "source", false);
    expect(b, "conv_post", so_hift_spectrum(pass, net, mel, given), true);
    expect(b, "wave", so_hift_wave(pass, net, mel, given), false);
    return SO_OK;
}

static so_status end_to_end(bench *b, so_error *error)
{
    (void)error;
    so_pass *pass = &b->pass;
    const so_hift *net = &b->codec.hift;
    so_flow_request r;
    const so_view *voice = so_golden_view(b->g, "spk2info", "embedding1", NULL);
    if (!b->codec.speaks || !flow_request(b, &r) || !voice) return SO_OK;
    r.vector = voice->data;
    so_tensor *mel = so_flow_mel(pass, &b->codec.flow, &r, NULL);
    expect(b, "mel", mel, true);
    mel = batched(b, mel);
    so_tensor *f0 = so_hift_f0(pass, net, mel);
    expect(b, "f0", f0, false);
    expect(b, "source", source_of(b, floats(b, "f0"), r.frames), false);
    expect(b, "wave", so_hift_wave(pass, net, mel, read(b, "source", false)), false);
    return SO_OK;
}

static so_status voices_case(bench *b, so_error *error)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(json_object_get(b->json, "params"), "names"), i, name) {
        so_codec other;
        char what[32];
        so_codec_source source = {.folder = b->g->folder, .speaker = json_string_value(name), .pool = b->pool};
        SO_TRY(so_codec_open(&other, &source, error));
        snprintf(what, sizeof what, "embedding%d", (int)i);
        so_golden_numbers(b->g, b->name, what, other.speaker, other.flow.config.speaker, (so_bars){0, 0});
        so_codec_close(&other);
    }
    return SO_OK;
}

/* ---- losses */

/* logits[T, B, V] of the reference as rows of sequences, one after another. */
static so_status ctc_case(bench *b, so_error *error)
{
    (void)error;
    const so_view *v = view_of(b, "logits"), *lengths = view_of(b, "input_lengths"), *labels = view_of(b, "targets");
    if (!v || !lengths || !labels || v->n_dims != 3) return SO_OK;
    int64_t T = v->dim[0], B = v->dim[1], V = v->dim[2], most = so_view_elements(labels) / B;
    so_pass *pass = &b->pass;
    so_tensor *x = so_new2(pass, B * T, V);
    int64_t *lists = so_take(pass, (size_t)(4 * B) * sizeof *lists, false);
    so_real *each = so_take(pass, (size_t)B * sizeof *each, false),
            *grad = so_take(pass, (size_t)(B * T * V) * sizeof *grad, true);
    if (!grad) return SO_OK;
    const float *from = v->data;
    for (int64_t i = 0; i < B * T * V; i++) so_data(x)[i] = from[(i / V % T * B + i / (V * T)) * V + i % V];
    for (int64_t s = 0; s < B; s++) {
        lists[s] = s * T;
        lists[B + s] = ((const int32_t *)lengths->data)[s];
        lists[2 * B + s] = s * most;
        lists[3 * B + s] = ((const int32_t *)view_of(b, "target_lengths")->data)[s];
    }
    x->wants_grad = pass->recording = true;
    so_ctc ctc = {B, lists, lists + B, lists + 2 * B, lists + 3 * B, labels->data, (int32_t)parameter(b, "blank"),
                  1, each,  NULL};
    so_tensor *loss = so_ctc_loss(pass, x, &ctc);
    if (loss && so_backward(pass, loss, 1) == SO_OK) {
        double bar = fmax(bar_of(b, "loss"), 1e-5);
        for (int64_t s = 0; s < B; s++)
            so_golden_value(b->g, b->name, "loss", (double)each[s], (double)floats(b, "loss")[s], bar);
        for (int64_t i = 0; x->grad && i < B * T * V; i++) grad[(i / V % T * B + i / (V * T)) * V + i % V] = x->grad[i];
        bar = fmax(bar_of(b, "grad_logits"), 1e-6);
        so_golden_numbers(b->g, b->name, "grad_logits", grad, B * T * V, (so_bars){bar, bar});
    }
    pass->recording = false;
    return SO_OK;
}

/* ---- the walk */

typedef struct kind {
    const char *prefix;
    so_status (*run)(bench *b, so_error *error);
} kind;

static so_status one_case(bench *b, so_error *error)
{
    static const kind kinds[] = {{"resample", resample_case}, {"tok.", tokenizer_case}, {"spk2info", voices_case},
                                 {"flow.lengths", lengths_case}, {"flow.", flow_case},  {"hift.", hift_case},
                                 {"e2e", end_to_end},         {"mel22050", feature_case}, {"kaldi", feature_case},
                                 {"ctc.", ctc_case}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strncmp(b->name, kinds[i].prefix, strlen(kinds[i].prefix)) != 0) continue;
        int64_t before = b->g->result->checks;
        so_arena_release(&b->arena, 0);
        b->pass.error = (so_error){0};
        b->pass.tape = NULL;
        SO_TRY(kinds[i].run(b, error));
        if (!so_ok(&b->pass)) return so_fail(error, b->pass.error.status, "%s", b->pass.error.text);
        if (b->g->result->checks == before) break;
        b->g->result->sets++;
        return SO_OK;
    }
    b->g->result->skipped++;
    return SO_OK;
}

so_status so_golden_codec(so_golden *g, so_error *error)
{
    bench b = {.g = g};
    so_status status;
    size_t i;
    json_t *json;
    SO_TRY_GO(so_pool_open(&b.pool, g->options.threads, error));
    SO_TRY_GO(so_codec_open(&b.codec, &(so_codec_source){.folder = g->folder, .pool = b.pool}, error));
    SO_TRY_GO(so_arena_init(&b.arena, (size_t)1 << 38, error));
    so_pass_init(&b.pass, &b.arena, b.pool, so_kernels_best());
    json_array_foreach(json_object_get(g->root, "cases"), i, json) {
        b.json = json;
        b.name = json_string_value(json_object_get(json, "name"));
        if (!b.name || !so_golden_wants(g, b.name)) continue;
        status = one_case(&b, error);
        if (status != SO_OK) {
            so_fail_in(error, "case %s", b.name);
            goto done;
        }
    }
done:
    so_codec_close(&b.codec);
    so_arena_clear(&b.arena);
    so_pool_close(&b.pool);
    return status;
}
