/* Making voices of recordings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "speech/clone.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha.h"
#include "checkpoint/model.h"
#include "media/front.h"
#include "media/resample.h"
#include "nn/worker.h"
#include "speech/ear.h"

enum {
    RATE = SO_CODEC_RATE_IN,
    MOST_SOUNDS = 64,
    MOST_SECONDS = 120,              /* of a recording that are looked at */
    UNIT = RATE * SO_UNIT_MS / 1000, /* samples */
    LEAST = RATE                     /* samples of speech that a voice needs */
};

/* What is being made. */
typedef struct making {
    so_model *model;
    so_clone *clone;
    float *speech; /* [n] samples of one recording that are speech */
    int64_t n;
    so_sha sha;
} making;

/* ---- a recording's speech */

/* The whole recording, or as much of it as is looked at, at 16 kHz. */
static so_status at_rate(const so_clone_sound *sound, float **out, int64_t *n, bool *cut, so_error *error)
{
    int64_t most = (int64_t)MOST_SECONDS * sound->rate, samples = (int64_t)sound->samples;
    *cut = samples > most;
    if (*cut) samples = most;
    for (int64_t i = 0; i < samples; i++)
        if (!isfinite(sound->pcm[i])) return so_fail(error, SO_ERR_NUMBER, "sample %lld is no number", (long long)i);
    return so_resample_to(sound->rate, RATE, sound->pcm, samples, out, n, error);
}

/* Appends the runs that are ready, as many as are used. */
static void take_runs(making *m, so_front *front, bool *cut)
{
    so_front_run run;
    while (so_front_next(front, &run)) {
        int64_t left = (int64_t)SO_CLONE_LONGEST * RATE - m->n, n = run.n < left ? run.n : left;
        *cut |= n < run.n;
        memcpy(m->speech + m->n, run.pcm, (size_t)n * sizeof *m->speech);
        m->n += n;
    }
}

static so_status find_speech(making *m, const so_clone_sound *sound, so_error *error)
{
    so_front *front = NULL;
    float *x = NULL;
    int64_t n = 0;
    bool cut = false;
    so_status status;
    SO_TRY_GO(at_rate(sound, &x, &n, &cut, error));
    SO_TRY_GO(so_front_open(&front, NULL, error));
    m->n = 0;
    for (int64_t at = 0; at < n; at += SO_FRONT_PIECE) {
        so_front_feed(front, x + at, n - at < SO_FRONT_PIECE ? n - at : SO_FRONT_PIECE);
        take_runs(m, front, &cut);
    }
    so_front_finish(front);
    take_runs(m, front, &cut);
    m->clone->cut += cut;
    m->clone->seconds += (double)m->n / RATE;
    if (!so_front_heard(front) || m->n == 0) {
        status = so_fail(error, SO_ERR_NOTHING_HEARD, "a recording without speech, expected at least one second of it");
    } else if (m->n < LEAST) {
        status = so_fail(error, SO_ERR_ARG, "a recording with %.2f s of speech, expected at least one second",
                         (double)m->n / RATE);
    }
done:
    so_front_close(&front);
    free(x);
    return status;
}

/* ---- its vector */

typedef struct cam_work {
    const so_cam *cam;
    const float *features; /* [frames, bins] */
    int64_t frames;
    float *vector; /* gets the result; NULL: rehearsed */
} cam_work;

static so_status run_cam(so_worker *worker, void *context, so_error *error)
{
    const cam_work *w = context;
    so_pass *pass = so_worker_begin(worker);
    int64_t dim[2] = {w->frames, w->cam->config.mels};
    const so_real *made = so_read(pass, so_cam_vector(pass, w->cam, so_constant(pass, 2, dim, w->features)));
    SO_TRY(so_worker_end(worker, error));
    if (w->vector && made) memcpy(w->vector, made, (size_t)w->cam->config.vector * sizeof *w->vector);
    return SO_OK;
}

/* To length 1. */
static so_status normalise(float *x, int64_t n, so_error *error)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    if (!(sum > 1e-24) || !isfinite(sum)) return so_fail(error, SO_ERR_NUMBER, "CAM++ gives a vector of no direction");
    for (int64_t i = 0; i < n; i++) x[i] = (float)((double)x[i] / sqrt(sum));
    return SO_OK;
}

static so_status speaker_vector(making *m, float *vector, so_error *error)
{
    const so_model *model = m->model;
    so_mel *mel = NULL;
    so_worker worker = {0};
    float *features = NULL;
    size_t bytes = 0;
    so_status status;
    cam_work work = {.cam = &model->codec.cam};
    const so_site host = {NULL, model->encoders, NULL, model->pool};
    SO_TRY_GO(so_mel_open(&mel, SO_MEL_KALDI, error));
    work.frames = so_mel_frames(mel, m->n);
    work.features = features = malloc((size_t)(work.frames * so_mel_bins(mel)) * sizeof *features);
    if (!features) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for %lld frames", (long long)work.frames);
        goto done;
    }
    SO_TRY_GO(so_mel_compute(mel, m->speech, m->n, features, model->pool, error));
    so_mel_subtract_mean(features, work.frames, so_mel_bins(mel));
    SO_TRY_GO(so_worker_measure(host.kernels, run_cam, &work, &bytes, error));
    SO_TRY_GO(so_worker_open(&worker, bytes, host.pool, host.kernels, error));
    work.vector = vector;
    SO_TRY_GO(run_cam(&worker, &work, error));
    status = normalise(vector, m->clone->width, error);
done:
    so_worker_clear(&worker);
    free(features);
    so_mel_close(&mel);
    return status;
}

/* ---- its prompt */

/* Units of the first seconds; *lead gets how many samples a gate of the tokenizer left out before them. */
static so_status prompt_units(making *m, int64_t samples, int64_t *lead, so_error *error)
{
    so_ear *ear = NULL;
    bool news;
    so_status status;
    so_site place = so_model_codec_place(m->model);
    SO_TRY_GO(so_ear_open(&ear, &m->model->codec, NULL, &place, SO_CLONE_UNITS / 25.0 + 1, error));
    ear->whole = true;
    SO_TRY_GO(so_ear_feed(ear, m->speech, (size_t)samples, RATE, &news, error));
    SO_TRY_GO(so_ear_finish(ear, error));
    m->clone->n = ear->n < SO_CLONE_UNITS ? ear->n : SO_CLONE_UNITS;
    *lead = ear->lead;
    memcpy(m->clone->units, ear->units, (size_t)m->clone->n * sizeof *m->clone->units);
done:
    so_ear_close(&ear);
    return status;
}

/* The frames that these units are spoken in. */
static so_status prompt_mel(making *m, const so_mel *mel, int64_t lead, so_error *error)
{
    so_clone *c = m->clone;
    int64_t samples = c->n * UNIT < m->n - lead ? c->n * UNIT : m->n - lead, n;
    float *y;
    SO_TRY(so_resample_to(RATE, so_mel_rate(mel), m->speech + lead, samples, &y, &n, error));
    int64_t frames = so_mel_frames(mel, n);
    float *all = malloc((size_t)(frames * c->bins + 1) * sizeof *all);
    so_status status =
        all ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a prompt of %lld frames", (long long)frames);
    if (status == SO_OK) status = so_mel_compute(mel, y, n, all, NULL, error);
    const so_flow_config *flow = &m->model->codec.flow.config;
    while (c->n > 0 && so_flow_frames(flow, c->n) > frames) c->n--; /* the last one is not whole */
    c->frames = so_flow_frames(flow, c->n);
    if (status == SO_OK && !(c->mel = malloc((size_t)(c->frames * c->bins + 1) * sizeof *c->mel)))
        status = so_fail(error, SO_ERR_NOMEM, "no memory for a prompt of %lld frames", (long long)c->frames);
    if (status == SO_OK) memcpy(c->mel, all, (size_t)(c->frames * c->bins) * sizeof *c->mel);
    free(y);
    free(all);
    return status;
}

static so_status make_prompt(making *m, so_error *error)
{
    const so_codec *codec = &m->model->codec;
    const so_flow_config *flow = &codec->flow.config;
    int64_t samples = m->n / UNIT * UNIT, lead = 0;
    so_mel *mel = NULL;
    if (!codec->has_tokenizer) return SO_OK; /* a voice by its vector alone */
    if (samples > (int64_t)SO_CLONE_UNITS * UNIT) samples = (int64_t)SO_CLONE_UNITS * UNIT;
    SO_TRY(so_mel_open(&mel, SO_MEL_VOCODER, error));
    so_status status;
    if (so_mel_bins(mel) != flow->mels || so_mel_rate(mel) != flow->rate || so_mel_hop(mel) != flow->hop)
        status = so_fail(error, SO_ERR_UNSUPPORTED, "a flow of %lld bins at %lld Hz, expected %d at %d for a prompt",
                         (long long)flow->mels, (long long)flow->rate, so_mel_bins(mel), so_mel_rate(mel));
    else
        status = prompt_units(m, samples, &lead, error);
    if (status == SO_OK && m->clone->n) status = prompt_mel(m, mel, lead, error);
    so_mel_close(&mel);
    return status;
}

/* ---- all of it */

static so_status add_sound(making *m, const so_clone_sound *sound, so_error *error)
{
    so_clone *c = m->clone;
    float *one = malloc((size_t)c->width * sizeof *one);
    if (!one) return so_fail(error, SO_ERR_NOMEM, "no memory for a vector");
    so_sha_feed(&m->sha, sound->pcm, sound->samples * sizeof *sound->pcm);
    so_status status = find_speech(m, sound, error);
    if (status == SO_OK) status = speaker_vector(m, one, error);
    for (int64_t i = 0; i < c->width && status == SO_OK; i++) c->vector[i] += one[i];
    free(one);
    if (status == SO_OK && !c->recordings) status = make_prompt(m, error);
    c->recordings++;
    return status;
}

static so_status make(making *m, const so_clone_sound *sounds, size_t n, so_error *error)
{
    so_clone *c = m->clone;
    so_sha_init(&m->sha, SO_SHA256);
    for (size_t i = 0; i < n; i++)
        if (add_sound(m, &sounds[i], error) != SO_OK) {
            return n == 1 ? error->status : so_fail_in(error, "number %zu of %zu", i + 1, n);
        }
    so_sha_end(&m->sha, c->source);
    return normalise(c->vector, c->width, error);
}

static so_status check_model(const so_model *model, so_error *error)
{
    const so_codec *codec = &model->codec;
    if (!codec->has_vocoder) return so_fail(error, SO_ERR_UNSUPPORTED, "this model does not speak");
    if (codec->has_cam) return SO_OK;
    return so_fail(
        error, SO_ERR_UNSUPPORTED,
        "this model cannot take on a voice: it has no CAM++, which makes a vector of a recording (expected "
        "campplus.safetensors or campplus.onnx beside the files of its codec), and speaks with the voices it "
        "learned%s%s",
        codec->cam_why[0] ? "; " : "", codec->cam_why);
}

static so_status check_sounds(const so_clone_sound *sounds, size_t n, so_error *error)
{
    if (!sounds || n < 1 || n > MOST_SOUNDS)
        return so_fail(error, SO_ERR_ARG, "%zu recordings, expected 1 to %d", sounds ? n : 0, MOST_SOUNDS);
    for (size_t i = 0; i < n; i++) {
        if (!sounds[i].pcm) return so_fail(error, SO_ERR_ARG, "recording %zu has no samples", i + 1);
        if (sounds[i].rate < 8000 || sounds[i].rate > 384000)
            return so_fail(error, SO_ERR_ARG, "a recording at %d Hz, expected 8000 to 384000", sounds[i].rate);
        if (sounds[i].samples > (size_t)1 << 32)
            return so_fail(error, SO_ERR_LIMIT, "a recording of more than 2^32 samples");
    }
    return SO_OK;
}

so_status so_clone_make(so_clone **out, so_model *model, const char *name, const so_clone_sound *sounds, size_t n,
                        so_error *error)
{
    so_error nobody;
    if (!error) error = &nobody;
    if (!out) return so_fail(error, SO_ERR_ARG, "no place for a voice");
    *out = NULL;
    if (!model || !name) return so_fail(error, SO_ERR_ARG, "a voice without a model or a name");
    SO_TRY(so_clone_name(name, error));
    SO_TRY(check_sounds(sounds, n, error));
    SO_TRY(check_model(model, error));
    const so_codec *codec = &model->codec;
    making m = {.model = model, .clone = calloc(1, sizeof *m.clone)};
    so_clone *c = m.clone;
    m.speech = malloc((size_t)SO_CLONE_LONGEST * RATE * sizeof *m.speech);
    if (c) {
        c->width = codec->flow.config.speaker;
        c->bins = codec->flow.config.mels;
        c->vector = calloc((size_t)c->width, sizeof *c->vector);
        c->units = calloc(SO_CLONE_UNITS, sizeof *c->units);
        snprintf(c->name, sizeof c->name, "%s", name);
        memcpy(c->mark, codec->mark, sizeof c->mark);
    }
    so_status status = c && c->vector && c->units && m.speech ? make(&m, sounds, n, error)
                                                              : so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
    free(m.speech);
    if (status == SO_OK)
        *out = c;
    else
        so_clone_close(&c);
    return status;
}

so_status so_clone_fits(const so_clone *clone, const so_model *model, so_error *error)
{
    if (!clone || !model) return so_fail(error, SO_ERR_ARG, "no voice, or no model");
    return so_clone_check(clone, &model->codec, error);
}

void so_clone_close(so_clone **clone)
{
    if (!clone || !*clone) return;
    so_clone *c = *clone;
    free(c->vector);
    free(c->units);
    free(c->mel);
    free(c);
    *clone = NULL;
}
