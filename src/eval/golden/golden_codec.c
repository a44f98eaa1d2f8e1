/* The codec against reference numbers: resampling, features, units, mel frames, waveforms, losses.
 *
 * Forward results may be off by ten times the reference's own rounding noise, which golden.json tells for every tensor
 * (at least 2e-6 of the largest value); ids not at all.
 * Source: README of the reference folder; docs/model.md 7.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/golden/golden_codec.h"
#include "media/resample.h"

/* ---- sound and features */

static so_status one_rate(so_codec_golden *b, int from, int to, const char *in, const char *out, so_error *error)
{
    float *y;
    int64_t m, n = so_codec_golden_length(b, in);
    if (!so_codec_golden_floats(b, in) || !so_codec_golden_floats(b, out)) return SO_OK;
    SO_TRY(so_resample_to(from, to, so_codec_golden_floats(b, in), n, &y, &m, error));
    so_codec_golden_expect_floats(b, out, y, m);
    free(y);
    return SO_OK;
}

static so_status resample_case(so_codec_golden *b, so_error *error)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(b->json, "tensors"), i, t)
    {
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
static so_status features(so_codec_golden *b, so_mel_kind kind, const char *audio, const char *tensor, bool turned,
                          bool centred, so_error *error)
{
    so_mel *mel;
    int64_t n = so_codec_golden_length(b, audio);
    if (!so_codec_golden_floats(b, audio) || !so_codec_golden_floats(b, tensor)) return SO_OK;
    SO_TRY(so_mel_open(&mel, kind, error));
    int64_t F = so_mel_frames(mel, n), M = so_mel_bins(mel);
    float *x = malloc((size_t)(F * M) * sizeof *x + 1), *y = malloc((size_t)(F * M) * sizeof *y + 1);
    so_status status = x && y ? so_mel_compute(mel, so_codec_golden_floats(b, audio), n, x, b->pool, error)
                              : so_fail(error, SO_ERR_NOMEM, "no memory");
    if (status == SO_OK) {
        if (centred) so_mel_subtract_mean(x, F, (int)M);
        if (turned) so_mel_transpose(x, F, (int)M, y);
        so_codec_golden_expect_floats(b, tensor, turned ? y : x, F * M);
    }
    free(x);
    free(y);
    so_mel_close(&mel);
    return status;
}

static so_status feature_case(so_codec_golden *b, so_error *error)
{
    SO_TRY(features(b, SO_MEL_VOCODER, "audio_22050", "mel_8000", true, false, error));
    SO_TRY(features(b, SO_MEL_VOCODER_GAN, "audio_22050", "mel_11025", true, false, error));
    SO_TRY(features(b, SO_MEL_KALDI, "audio_16k", "fbank", false, false, error));
    return features(b, SO_MEL_KALDI, "audio_16k", "fbank_cmn", false, true, error);
}

/* ---- what goes on inside */

/* Tensors that networks name, and what the reference calls them; `turned`: it has channels first. */
static const struct {
    const char *name, *tensor;
    bool turned;
} inside[] = {
    {"flow.embedded", "enc_embed", false},
    {"flow.layer.0", "enc_layer0", false},
    {"flow.projected", "encoder_proj", false},
    {"flow.noisy", "y", true},
    {"unet.time", "est_time", false},
    {"unet.down.0.resnet", "est_down0_resnet", true},
    {"unet.down.0.block.0", "est_down0_tb0", false},
    {"unet.down.0.out", "est_down0_out", true},
    {"unet.down.1.out", "est_down1_out", true},
    {"unet.mid.last.resnet", "est_mid_last_resnet", true},
    {"unet.up.0.resnet", "est_up0_resnet", true},
    {"unet.up.0.out", "est_up0_out", true},
    {"unet.up.1.out", "est_up1_out", true},
    {"unet.final", "est_final_block", true},
    {"hift.pre", "conv_pre", true},
    {"hift.up.0", "ups0", true},
    {"hift.source.0.down", "source_down0", true},
    {"hift.source.0", "source_res0", true},
    {"hift.block.0.0", "resblock0", true},
    {"hift.up.1", "ups1", true},
    {"hift.up.1.padded", "pad1", true},
    {"hift.source.1.down", "source_down1", true},
    {"hift.source.1", "source_res1", true},
    {"cam.tdnn", "tdnn", true},
    {"cam.block.0.layer.0", "block1_layer1", true},
    {"cam.stats", "stats", false},
};

static void compare_inside(void *context, const char *name, const so_tensor *t)
{
    so_codec_golden *b = context;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        const char *tensor = inside[i].tensor;
        if (strcmp(inside[i].name, name) != 0 || json_object_get(b->g->told, tensor)) continue;
        /* Twice the bar of a result: the rates of the time's sines come from an exp whose last place differs between
         * libraries, and angles reach 1000 times that. */
        so_codec_golden_expect_seen(b, tensor, t, inside[i].turned, 2 * so_codec_golden_bar(b, tensor));
    }
}

void so_codec_golden_watch(so_codec_golden *b, bool watched)
{
    b->watch = (so_watch){.tensor = compare_inside, .context = b};
    b->pass.watch = watched ? &b->watch : NULL;
}

/* ---- networks */

/* How far each frame at unit length is from its code, and how much farther from the second best. */
static void compare_distances(so_codec_golden *b, const so_tensor *hidden, const int32_t *ids)
{
    const so_tensor *codes = b->codec.tokenizer.codes;
    int64_t T = so_rows(hidden), D = so_cols(hidden), K = so_rows(codes);
    const so_real *frame = so_read(&b->pass, hidden), *code = so_read(&b->pass, codes);
    so_real *best = so_take(&b->pass, (size_t)T * sizeof *best, false);
    so_real *margin = so_take(&b->pass, (size_t)T * sizeof *margin, false);
    double shortest = INFINITY;
    for (int64_t t = 0; margin && frame && code && t < T; t++) {
        const so_real *h = frame + t * D;
        double norm = 0, second = INFINITY, first = INFINITY;
        for (int64_t d = 0; d < D; d++) norm += (double)h[d] * (double)h[d];
        norm = sqrt(norm);
        shortest = fmin(shortest, norm);
        for (int64_t k = 0; k < K; k++) {
            double far = 0;
            for (int64_t d = 0; d < D; d++) {
                double x = (double)h[d] / norm - (double)code[k * D + d];
                far += x * x;
            }
            if (k == ids[t])
                first = far;
            else
                second = fmin(second, far);
        }
        best[t] = (so_real)first;
        margin[t] = (so_real)(second - first);
    }
    if (!margin || !frame || !code) return;
    /* What the noise of a frame does to a squared distance: twice the code's length, of about 1, times it. */
    double bar = 4 * sqrt((double)D) * so_codec_golden_bar(b, "hidden") / shortest;
    so_golden_numbers(b->g, b->name, "best_distance", best, T, (so_bars){bar, bar});
    so_golden_numbers(b->g, b->name, "margin", margin, T, (so_bars){bar, bar});
}

/* Features of the case's recording, [1, F, M]. */
static so_tensor *heard_features(so_codec_golden *b, so_error *error)
{
    const float *audio = so_codec_golden_floats(b, "audio_16k");
    int64_t n = so_codec_golden_length(b, "audio_16k");
    so_mel *mel;
    if (so_codec_golden_view(b, "logmel")) return so_codec_golden_batched(b, so_codec_golden_read(b, "logmel", true));
    if (!audio) return so_pass_fail(&b->pass, SO_ERR_MISSING, "neither logmel nor audio_16k");
    if (so_mel_open(&mel, SO_MEL_WHISPER, error) != SO_OK)
        return so_pass_fail(&b->pass, error->status, "%s", error->text);
    so_tensor *x = so_new3(&b->pass, 1, so_mel_frames(mel, n), so_mel_bins(mel));
    so_real *to = x ? so_write_begin(&b->pass, x) : NULL;
    if (to && so_mel_compute(mel, audio, n, to, b->pool, error) != SO_OK)
        to = so_pass_fail(&b->pass, error->status, "%s", error->text);
    x = so_write_end(&b->pass, x, to);
    so_mel_close(&mel);
    return x;
}

static so_status tokenizer_case(so_codec_golden *b, so_error *error)
{
    if (!b->codec.has_tokenizer) return SO_OK;
    SO_TRY(one_rate(b, 22050, 16000, "audio_22050", "audio_16k", error));
    SO_TRY(features(b, SO_MEL_WHISPER, "audio_16k", "logmel", true, false, error));
    so_tensor *mel = heard_features(b, error);
    if (!mel) return SO_OK;
    so_batch *batch;
    so_tensor *hidden = so_speech_tokenizer_encode(&b->pass, &b->codec.tokenizer, mel, &mel->dim[1], &batch, NULL);
    so_codec_golden_expect(b, "hidden", hidden, false);
    int64_t n = so_speech_tokenizer_units(&b->codec.tokenizer.config, mel->dim[1]);
    int32_t *ids = so_take(&b->pass, (size_t)(n + 1) * sizeof *ids, true);
    so_speech_tokenizer_ids(&b->pass, &b->codec.tokenizer, so_reshape(&b->pass, mel, 2, mel->dim + 1), ids);
    if (!so_ok(&b->pass)) return SO_OK;
    so_golden_ids(b->g, b->name, "ids", ids, n);
    compare_distances(b, hidden, ids);
    return SO_OK;
}

/* A case's inputs as a request; false when one is missing. */
static bool flow_request(so_codec_golden *b, so_flow_request *r)
{
    int64_t N = so_codec_golden_length(b, "tokens"), P = so_codec_golden_length(b, "prompt_tokens"),
            M = b->codec.flow.config.mels;
    int32_t *ids = so_take(&b->pass, (size_t)(N + P + 1) * sizeof *ids, false);
    so_tensor *z = so_codec_golden_read(b, "z", true);
    if (!z || !N || !ids) return false;
    if (!so_codec_golden_ids(b, "tokens", N) || (P && !so_codec_golden_ids(b, "prompt_tokens", P))) return false;
    if (P) memcpy(ids, so_codec_golden_ids(b, "prompt_tokens", P), (size_t)P * sizeof *ids);
    memcpy(ids + P, so_codec_golden_ids(b, "tokens", N), (size_t)N * sizeof *ids);
    *r = (so_flow_request){
        .N = N, .P = P, .ids = ids, .vector = so_codec_golden_floats(b, "embedding"), .z = so_read(&b->pass, z)};
    r->M1 = so_codec_golden_length(b, "prompt_feat") / M;
    r->frames = so_rows(z) - r->M1;
    r->prompt = so_codec_golden_floats(b, "prompt_feat");
    if (so_cols(z) != M || r->frames < 1)
        return so_pass_fail(&b->pass, SO_ERR_MISSING, "no z of %lld bins", (long long)M);
    r->K = so_codec_golden_parameter(b, "cache_frames");
    const float *cache = so_codec_golden_floats(b, "cache_in"); /* [M, K, 2] */
    if (!r->K || !cache) return r->K == 0;
    if (r->K > so_rows(z) || !so_codec_golden_exactly(b, "cache_in", 2 * r->K * M)) return false;
    so_real *before = so_take(&b->pass, (size_t)(2 * r->K * M) * sizeof *before, false);
    for (int64_t i = 0; before && i < 2 * r->K * M; i++)
        before[i] = cache[(i % M * r->K + i / M % r->K) * 2 + i / (r->K * M)];
    r->z_before = before;
    r->mu_before = before ? before + r->K * M : NULL;
    return before != NULL;
}

/* The first Euler step, and when each begins. */
static void compare_steps(so_codec_golden *b, so_tensor *z, const so_flow_ask *asked)
{
    const so_flow *net = &b->codec.flow;
    int64_t steps = net->config.steps;
    so_real *at = so_take(&b->pass, (size_t)(steps + 1) * sizeof *at, false), zero = 0;
    if (!at || !so_codec_golden_view(b, "x_step1")) return;
    for (int64_t i = 0; i <= steps; i++) at[i] = (so_real)(1 - cos(acos(0) * (double)i / (double)steps));
    so_codec_golden_expect_floats(b, "t_steps", at, steps);
    so_flow_ask ask = *asked, none = {.t = &zero};
    ask.t = &zero;
    so_real g = (so_real)net->config.guidance;
    so_tensor *v = so_flow_velocity(&b->pass, net, z, &ask), *w = so_flow_velocity(&b->pass, net, z, &none);
    if (!v || !w) return;
    const so_real *x = so_read(&b->pass, z), *a = so_read(&b->pass, v), *c = so_read(&b->pass, w);
    so_real *to = so_write_begin(&b->pass, v);
    for (int64_t i = 0; x && a && c && to && i < so_count(v); i++) to[i] = x[i] + at[1] * ((1 + g) * a[i] - g * c[i]);
    so_codec_golden_expect(b, "x_step1", so_write_end(&b->pass, v, to), true);
}

/* What a call hands on: the first M1 and the last 34 columns of z and mu. */
static void compare_cache(so_codec_golden *b, const so_flow_request *r, const so_real *mu)
{
    const so_view *view = so_codec_golden_view(b, "cache_out");
    if (!view || view->n_dims != 3 || view->dim[2] != 2 || view->dim[1] < r->M1 || view->dim[1] > r->M1 + r->frames)
        return;
    int64_t M = b->codec.flow.config.mels, n = view->dim[1], all = r->M1 + r->frames;
    float *out = so_take(&b->pass, (size_t)(2 * M * n) * sizeof *out, false);
    for (int64_t i = 0; out && i < M * n; i++) {
        int64_t m = i / n, c = i % n, from = c < r->M1 ? c : all - (n - c);
        out[2 * i] = from < r->K ? r->z_before[from * M + m] : r->z[from * M + m];
        out[2 * i + 1] = mu[from * M + m];
    }
    if (out) so_codec_golden_expect_floats(b, "cache_out", out, 2 * M * n);
}

static so_status flow_case(so_codec_golden *b, so_error *error)
{
    (void)error;
    const so_flow *net = &b->codec.flow;
    so_pass *pass = &b->pass;
    so_flow_request r;
    int64_t M = net->config.mels;
    if (!b->codec.has_vocoder || !flow_request(b, &r)) return SO_OK;
    if (!(r.vector = so_codec_golden_exactly(b, "embedding", net->config.speaker))) return SO_OK;
    so_golden_value(b->g, b->name, "frames", (double)so_flow_frames(&net->config, r.N),
                    (double)so_codec_golden_parameter(b, "frames"), 0);
    so_tensor *vector = so_constant(pass, 2, (int64_t[]){1, net->config.speaker}, r.vector);
    so_tensor *speaker = so_flow_speaker(pass, net, vector);
    so_codec_golden_expect(b, "spks", speaker, false);
    so_codec_golden_watch(b, true);
    so_tensor *h = so_flow_encoder(pass, net, 1, r.P + r.N, r.ids, NULL);
    so_codec_golden_watch(b, false);
    so_codec_golden_expect(b, "encoder", h, false);
    h = so_flow_project(pass, net, h);
    so_codec_golden_expect(b, "encoder_proj", h, false);
    so_tensor *mu = so_flow_regulate(pass, net, h, r.P, r.M1, r.frames), *cond = NULL;
    if (!mu) return SO_OK;
    so_codec_golden_expect(b, "mu", mu, true);
    if (r.K) so_device_write(b->device, mu->data, r.mu_before, (size_t)(r.K * M) * sizeof(so_real));
    const so_real *seen = so_read(pass, mu);
    if (seen) compare_cache(b, &r, seen);
    int64_t dim[3] = {1, r.M1 + r.frames, M};
    if (r.M1) {
        cond = so_new3(pass, 1, dim[1], M);
        if (!cond) return SO_OK;
        pass->k->fill(pass->pool, so_count(cond), 0, so_data(cond));
        so_device_write(b->device, cond->data, r.prompt, (size_t)(r.M1 * M) * sizeof(so_real));
    }
    so_real t = (so_real)0.3;
    so_tensor *z = so_constant(pass, 3, dim, r.z);
    so_flow_ask ask = {so_reshape(pass, mu, 3, dim), speaker, cond, &t}, none = {.t = &t};
    so_codec_golden_watch(b, true);
    so_tensor *velocity = so_flow_velocity(pass, net, z, &ask);
    so_codec_golden_watch(b, false);
    so_codec_golden_expect(b, "estimator", velocity, true);
    if (so_codec_golden_view(b, "estimator_uncond"))
        so_codec_golden_expect(b, "estimator_uncond", so_flow_velocity(pass, net, z, &none), true);
    compare_steps(b, z, &ask);
    so_codec_golden_expect(b, "mel", so_flow_mel(pass, net, &r, NULL), true);
    return SO_OK;
}

static so_status lengths_case(so_codec_golden *b, so_error *error)
{
    const so_view *v = so_codec_golden_view(b, "frames");
    if (!v) return SO_OK;
    int64_t n = so_view_elements(v);
    int32_t *found = malloc((size_t)n * sizeof *found + 1);
    if (!found) return so_fail(error, SO_ERR_NOMEM, "no memory");
    for (int64_t i = 0; i < n; i++) found[i] = (int32_t)so_flow_frames(&b->codec.flow.config, i);
    so_golden_ids(b->g, b->name, "frames", found, n);
    free(found);
    return SO_OK;
}

/* Harmonics [1, L, H] of a case's pitch, phase and noise. */
static so_tensor *harmonics_of(so_codec_golden *b, const so_real *f0, int64_t T)
{
    const so_hift_config *c = &b->codec.hift.config;
    int64_t L = T * so_hift_samples(c), H = c->harmonics + 1;
    so_tensor *noise = so_codec_golden_read(b, "noise", true), *h = so_new3(&b->pass, 1, L, H);
    const float *phase = so_codec_golden_exactly(b, "phase", H);
    if (!noise || !h || !phase || !f0 || so_rows(noise) != L || so_cols(noise) != H) return NULL;
    so_hift_phase at = {0};
    const so_real *drawn = so_read(&b->pass, noise);
    so_real *to = drawn ? so_write_begin(&b->pass, h) : NULL;
    if (to) so_hift_harmonics(c, T, f0, phase, drawn, &at, to);
    return so_write_end(&b->pass, h, to);
}

/* "source" rounds the running phase to float32, "source_exact" does not, and we do not: where only the first is given,
 * or apart from the second, the distance between both is allowed. */
static void compare_source(so_codec_golden *b, const so_tensor *source)
{
    const json_t *apart = json_object_get(json_object_get(b->json, "values"), "source_minus_exact_max_abs");
    double more = json_number_value(json_object_get(apart, "value"));
    so_codec_golden_expect(b, "source_exact", source, false);
    double bar = fmax(so_codec_golden_bar(b, "source"), json_is_object(apart) ? 0 : 1e-4);
    so_codec_golden_expect_bar(b, "source", source, false, bar + more);
}

static so_status istft_case(so_codec_golden *b)
{
    const so_hift_config *c = &b->codec.hift.config;
    const so_view *v = so_codec_golden_view(b, "magnitude");
    int64_t bins = c->n_fft / 2 + 1;
    if (!v || v->n_dims != 2 || v->dim[0] != bins) return SO_OK;
    int64_t F = v->dim[1];
    const float *magnitude = so_codec_golden_exactly(b, "magnitude", bins * F);
    const float *phase = so_codec_golden_exactly(b, "phase", bins * F);
    so_tensor *spec = so_new3(&b->pass, 1, F, 2 * bins);
    so_real *to = spec ? so_write_begin(&b->pass, spec) : NULL;
    for (int64_t i = 0; to && magnitude && phase && i < bins * F; i++) {
        double a = fmin((double)magnitude[i], 100), p = (double)phase[i];
        to[i % F * 2 * bins + i / F] = (so_real)(a * cos(p));
        to[i % F * 2 * bins + bins + i / F] = (so_real)(a * sin(p));
    }
    spec = so_write_end(&b->pass, spec, to);
    so_frames frames = {c->n_fft, c->hop, c->n_fft / 2, so_hann(&b->pass, c->n_fft)};
    so_codec_golden_expect(b, "wave", so_istft(&b->pass, spec, &frames), false);
    return SO_OK;
}

static so_status hift_case(so_codec_golden *b, so_error *error)
{
    (void)error;
    so_pass *pass = &b->pass;
    const so_hift *net = &b->codec.hift;
    if (!b->codec.has_vocoder) return SO_OK;
    if (!so_codec_golden_view(b, "mel")) return istft_case(b);
    so_tensor *mel = so_codec_golden_batched(b, so_codec_golden_read(b, "mel", true));
    if (!mel) return SO_OK;
    int64_t T = mel->dim[1], L = T * so_hift_samples(&net->config);
    so_codec_golden_expect(b, "f0", so_hift_f0(pass, net, mel), false);
    so_tensor *harmonics = harmonics_of(b, so_codec_golden_exactly(b, "f0", T), T);
    so_codec_golden_expect_bar(b, "harmonics", harmonics, true, fmax(so_codec_golden_bar(b, "harmonics"), 1e-5));
    so_tensor *source = harmonics ? so_hift_source(pass, net, harmonics) : NULL;
    if (source && so_codec_golden_view(b, "cache_source")) {
        int64_t n = so_codec_golden_length(b, "cache_source");
        if (n > L || !so_codec_golden_exactly(b, "cache_source", n)) return SO_OK;
        so_device_write(b->device, source->data, so_codec_golden_floats(b, "cache_source"), (size_t)n * sizeof(float));
    }
    compare_source(b, source);
    if (!so_codec_golden_exactly(b, "source", L)) return SO_OK;
    so_tensor *given = so_constant(pass, 2, (int64_t[]){1, L}, so_codec_golden_floats(b, "source"));
    so_frames frames = {net->config.n_fft, net->config.hop, net->config.n_fft / 2, so_hann(pass, net->config.n_fft)};
    so_codec_golden_expect(b, "source_stft", so_stft(pass, given, &frames), true);
    so_codec_golden_watch(b, true);
    so_tensor *spectrum = so_hift_spectrum(pass, net, mel, given);
    so_codec_golden_watch(b, false);
    so_codec_golden_expect(b, "conv_post", spectrum, true);
    so_codec_golden_expect(b, "wave", so_hift_wave(pass, net, mel, given), false);
    return SO_OK;
}

static so_status end_to_end(so_codec_golden *b, so_error *error)
{
    (void)error;
    so_pass *pass = &b->pass;
    const so_hift *net = &b->codec.hift;
    so_flow_request r;
    if (!b->codec.has_vocoder || !flow_request(b, &r)) return SO_OK;
    r.vector = b->codec.speaker;
    so_tensor *mel = so_flow_mel(pass, &b->codec.flow, &r, NULL);
    so_codec_golden_expect(b, "mel", mel, true);
    mel = so_codec_golden_batched(b, mel);
    so_tensor *f0 = so_hift_f0(pass, net, mel);
    so_codec_golden_expect(b, "f0", f0, false);
    so_tensor *harmonics = harmonics_of(b, so_codec_golden_exactly(b, "f0", r.frames), r.frames);
    so_codec_golden_expect(b, "source", so_hift_source(pass, net, harmonics), false);
    so_codec_golden_expect(b, "wave", so_hift_wave(pass, net, mel, so_codec_golden_read(b, "source", false)), false);
    return SO_OK;
}

static so_status voices_case(so_codec_golden *b, so_error *error)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(json_object_get(b->json, "params"), "names"), i, name)
    {
        so_codec other;
        char what[32];
        so_codec_source source = {
            .folder = b->g->folder, .speaker = json_string_value(name), .kernels = b->kernels, .pool = b->pool};
        SO_TRY(so_codec_open(&other, &source, error));
        snprintf(what, sizeof what, "embedding%d", (int)i);
        so_golden_numbers(b->g, b->name, what, other.speaker, other.flow.config.speaker, (so_bars){0, 0});
        so_codec_close(&other);
    }
    return SO_OK;
}

/* ---- the walk */

typedef struct kind {
    const char *prefix;
    so_codec_golden_fn run;
    bool learns; /* a way back, or networks that only the host has */
} kind;

static const kind *kind_of(const char *name)
{
    static const kind kinds[] = {{"resample", resample_case, false},
                                 {"tok.", tokenizer_case, false},
                                 {"spk2info", voices_case, false},
                                 {"flow.lengths", lengths_case, false},
                                 {"flow.", flow_case, false},
                                 {"hift.", hift_case, false},
                                 {"e2e", end_to_end, false},
                                 {"mel22050", feature_case, false},
                                 {"kaldi", feature_case, false},
                                 {"ctc.", so_codec_golden_ctc, true},
                                 {"label_smoothing.", so_codec_golden_smoothing, true},
                                 {"cfm.", so_codec_golden_flow_matching, true},
                                 {"flow_train.", so_codec_golden_flow_training, true},
                                 {"vq.", so_codec_golden_codebook, true},
                                 {"relpos.", so_codec_golden_relative_attention, true},
                                 {"gan.disc", so_codec_golden_discriminators, true},
                                 {"gan.train", so_codec_golden_generator, true},
                                 {"tpr.", so_codec_golden_relative_loss, true},
                                 {"campplus", so_codec_golden_speaker, true},
                                 {"real.tok", tokenizer_case, false},
                                 {"real.flow", flow_case, false},
                                 {"real.hift", hift_case, false}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) return &kinds[i];
    return NULL;
}

/* The case's tensor's name without that of the case; NULL for one that is an input or was compared. */
static const char *untold(const so_codec_golden *b, const json_t *tensor)
{
    const char *name = json_string_value(json_object_get(tensor, "name"));
    const char *role = json_string_value(json_object_get(tensor, "role"));
    size_t n = strlen(b->name);
    if (!name || !role || strcmp(role, "input") == 0 || strncmp(name, b->name, n) != 0 || name[n] == 0) return NULL;
    return json_object_get(b->g->told, name + n + 1) ? NULL : name + n + 1;
}

/* Names what of the case was not compared. */
static void tell_rest(so_codec_golden *b)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(b->json, "tensors"), i, t)
    {
        const char *name = untold(b, t);
        if (!name) continue;
        bool there = so_codec_golden_view(b, name) || strchr(name, '*');
        so_golden_skip(b->g, b->name, name,
                       there ? "no result of this program corresponds to it" : "not in the file of tensors");
    }
}

so_status so_codec_golden_case(so_codec_golden *b, const json_t *json, so_error *error)
{
    b->json = json;
    b->name = json_string_value(json_object_get(json, "name"));
    const kind *found = b->name ? kind_of(b->name) : NULL;
    if (!b->name || !so_golden_wants(b->g, b->name)) return SO_OK;
    if (!found) {
        so_golden_skip(b->g, b->name, NULL, "no case of this name is known");
        return SO_OK;
    }
    int64_t before = b->g->result->checks;
    if (b->device && found->learns) {
        so_golden_skip(b->g, b->name, NULL, "only the host computes it");
        return SO_OK;
    }
    so_arena_release(&b->arena, 0);
    so_pass_init(&b->pass, &b->arena, b->pool, b->kernels);
    if (b->device) {
        b->pass.k = so_device_kernels(b->device, false);
        so_pass_use(&b->pass, b->device, &b->numbers);
        so_arena_release(&b->numbers, 0);
    }
    if (!b->g->told)
        b->g->told = json_object();
    else
        json_object_clear(b->g->told);
    so_status status = found->run(b, error);
    if (status == SO_ERR_MISSING || b->pass.error.status == SO_ERR_MISSING) {
        so_golden_skip(b->g, b->name, NULL, status == SO_ERR_MISSING ? error->text : b->pass.error.text);
        return SO_OK;
    }
    if (status != SO_OK) return so_fail_in(error, "case %s", b->name);
    if (!so_ok(&b->pass)) {
        so_golden_fail(b->g, b->name, b->pass.error.text);
        return SO_OK;
    }
    if (b->g->result->checks == before) {
        so_golden_skip(b->g, b->name, NULL, "its inputs, or the network that it asks, are not in the folder");
        return SO_OK;
    }
    b->g->result->sets++;
    tell_rest(b);
    return SO_OK;
}

static void close_all(so_codec_golden *b)
{
    so_learners *l = &b->learners;
    so_codec_part *part[] = {&l->flow_part, &l->hift_part, &l->disc_part, &l->cam_part};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) so_codec_part_close(part[i]);
    so_codec_close(&b->codec);
    so_arena_clear(&b->numbers);
    if (b->device) so_device_release(b->device, b->block);
    if (!b->g->device) so_device_close(&b->device);
    so_arena_clear(&b->arena);
    so_pool_close(&b->pool);
}

/* The codec's weights and room for numbers on the device, if one is asked for. */
static so_status use_device(so_codec_golden *b, so_error *error)
{
    const char *name = b->g->options.device;
    b->device = b->g->device;
    if (!b->device && name && strcmp(name, "cpu") != 0) SO_TRY(so_device_open(&b->device, name, error));
    if (!b->device) return SO_OK;
    SO_TRY(so_codec_upload(&b->codec, b->device, error));
    size_t most = so_device_largest(b->device), left = so_device_left(b->device), bytes = (size_t)1 << 30;
    bytes = bytes > most ? most : bytes;
    bytes = bytes > left / 2 ? left / 2 / 4096 * 4096 : bytes;
    SO_TRY(so_device_reserve(b->device, bytes, &b->block, error));
    so_arena_over(&b->numbers, b->block, bytes);
    return SO_OK;
}

so_status so_golden_codec(so_golden *g, so_error *error)
{
    so_codec_golden b = {.g = g};
    so_status status;
    size_t i;
    json_t *json;
    SO_TRY_GO(so_pool_open(&b.pool, g->options.threads, error));
    SO_TRY_GO(so_kernels_choose(&b.kernels, error));
    so_codec_source source = {.folder = g->folder, .kernels = b.kernels, .pool = b.pool};
    SO_TRY_GO(so_codec_open(&b.codec, &source, error));
    SO_TRY_GO(so_arena_reserve(&b.arena, (size_t)1 << 38, error));
    SO_TRY_GO(use_device(&b, error));
    json_array_foreach(json_object_get(g->root, "cases"), i, json) SO_TRY_GO(so_codec_golden_case(&b, json, error));
    if (!b.device) status = so_codec_golden_real(&b, error);
done:
    close_all(&b);
    return status;
}
