/* Streaming in. See ears.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/ears.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    RATE = 16000,
    BUFFER = 1 << 16, /* resampled samples of one piece: a quarter of a second, and three blocks of the oddest kernel */
    GUARD = 25,       /* units at the left edge of a window that miss too much context to be believed */
    STRIDE = 64,      /* units that a window moves by: rarely, because positions count from its edge and units hang on them */
    BLOCK = 320,      /* samples whose energy is taken together */
    BACKGROUND = 5    /* blocks whose mean energy is a guess at the background */
};

static const so_ears_options defaults = {0.32, 0.24, 10, 60};
static const double silent = 1e-6;    /* mean square that no voice is below: -60 dBFS */
static const double near = 1e-3;      /* of the loudest block's energy: -30 dB */
static const double above = 8;        /* times the background's energy */
static const double never_over = 0.1; /* of the loudest: even in noise, what is within 10 dB of it is voice */

/* How loud the turn is. */
typedef struct level {
    double sum;    /* of squares in the block that is being filled */
    int64_t n;     /* samples in it */
    double last[BACKGROUND]; /* energies of the newest blocks, a ring */
    int64_t blocks;
    double loudest, background;
    int64_t voice_end; /* sample after the last block with a voice */
} level;

struct so_ears {
    const so_speech_tokenizer *net;
    const so_mel *mel;
    so_ears_options options;
    int64_t per_unit, limit, rows; /* frames a unit; samples; units at most */
    so_mel_stream *stream;
    so_resampler *resampler;
    so_resample_stream *resample;
    int rate;          /* of the resampler; 0: none yet */
    float *buffer;     /* [BUFFER] */
    int32_t *ids;      /* [rows] */
    int32_t *fresh;    /* [rows] of a look */
    int64_t count, committed, changed, revised;
    int64_t received;  /* samples fed at `rate` */
    int64_t heard, looked; /* samples at 16 kHz: in all, at the last look */
    float peak;        /* under which units before a window were computed */
    bool finished;
    level level;
};

/* ---- opening */

static double positive(double x, double otherwise) { return x > 0 ? x : otherwise; }

static so_status check_options(so_ears *e, const so_ears_options *given, so_error *error)
{
    const so_speech_tokenizer_config *c = &e->net->config;
    so_ears_options o = given ? *given : (so_ears_options){0};
    o.right = positive(o.right, defaults.right);
    o.every = positive(o.every, defaults.every);
    o.window = positive(o.window, defaults.window);
    e->per_unit = c->stride[0] * c->stride[1];
    int64_t hop = so_mel_hop(e->mel), most = c->context * e->per_unit * hop;
    o.limit = positive(o.limit, fmin(defaults.limit, (double)most / RATE));
    if (so_mel_rate(e->mel) != RATE || so_mel_bins(e->mel) != c->mels || e->per_unit < 1)
        return so_fail(error, SO_ERR_ARG, "ears: %d mel bins of %d Hz, the tokenizer reads %lld of %d Hz",
                       so_mel_bins(e->mel), so_mel_rate(e->mel), (long long)c->mels, RATE);
    if (!(o.limit * RATE <= (double)most) || !(o.limit * RATE >= 1000))
        return so_fail(error, SO_ERR_ARG, "ears: turns of %g seconds, the tokenizer hears %g at most", o.limit,
                       (double)most / RATE);
    e->options = o;
    e->limit = (int64_t)(o.limit * RATE);
    e->rows = so_speech_tokenizer_units(c, e->limit / hop + 1);
    return SO_OK;
}

so_status so_ears_open(so_ears **out, const so_speech_tokenizer *net, const so_mel *mel, const so_ears_options *options,
                       so_error *error)
{
    *out = NULL;
    so_ears *e = calloc(1, sizeof *e);
    if (!e) return so_fail(error, SO_ERR_NOMEM, "no memory for ears");
    e->net = net;
    e->mel = mel;
    so_status status = check_options(e, options, error);
    if (status == SO_OK) status = so_mel_stream_open(&e->stream, mel, e->limit, error);
    if (status == SO_OK) {
        e->buffer = malloc(BUFFER * sizeof *e->buffer);
        e->ids = malloc((size_t)e->rows * sizeof *e->ids);
        e->fresh = malloc((size_t)e->rows * sizeof *e->fresh);
        if (!e->buffer || !e->ids || !e->fresh) status = so_fail(error, SO_ERR_NOMEM, "no memory for ears");
    }
    if (status != SO_OK) {
        so_ears_close(&e);
        return status;
    }
    so_ears_reset(e);
    *out = e;
    return SO_OK;
}

void so_ears_close(so_ears **ears)
{
    if (!ears || !*ears) return;
    so_ears *e = *ears;
    so_mel_stream_close(&e->stream);
    so_resample_stream_close(&e->resample);
    so_resampler_close(&e->resampler);
    free(e->buffer);
    free(e->ids);
    free(e->fresh);
    free(e);
    *ears = NULL;
}

void so_ears_reset(so_ears *e)
{
    so_mel_stream_reset(e->stream);
    if (e->resample) so_resample_stream_reset(e->resample);
    e->count = e->committed = e->changed = e->revised = 0;
    e->received = e->heard = e->looked = 0;
    e->peak = -INFINITY;
    e->finished = false;
    e->level = (level){.background = INFINITY};
}

/* ---- how loud */

static void end_block(level *l, int64_t end)
{
    double energy = l->sum / (double)l->n, mean = 0;
    l->last[l->blocks++ % BACKGROUND] = energy;
    l->loudest = fmax(l->loudest, energy);
    for (int i = 0; i < BACKGROUND; i++) mean += l->last[i] / BACKGROUND;
    if (l->blocks >= BACKGROUND) l->background = fmin(l->background, mean);
    double bar = fmax(near * l->loudest, silent);
    if (l->blocks >= BACKGROUND) bar = fmax(bar, fmin(above * l->background, never_over * l->loudest));
    if (energy > bar) l->voice_end = end;
    l->sum = 0;
    l->n = 0;
}

static void listen(so_ears *e, const float *x, int64_t n)
{
    level *l = &e->level;
    for (int64_t i = 0; i < n; i++) {
        l->sum += (double)x[i] * (double)x[i];
        if (++l->n == BLOCK) end_block(l, e->heard + i + 1);
    }
}

double so_ears_quiet(const so_ears *e) { return (double)(e->heard - e->level.voice_end) / RATE; }
double so_ears_seconds(const so_ears *e) { return (double)e->heard / RATE; }

/* ---- looking */

/* Units of frames from..frames-1 into e->fresh. */
static so_status compute(so_ears *e, so_pass *pass, int64_t from, int64_t frames, so_error *error)
{
    size_t mark = so_arena_mark(pass->arena);
    so_tensor *mel = so_new2(pass, frames - from, e->net->config.mels);
    so_status status = SO_OK;
    if (mel && !pass->dry) status = so_mel_stream_read(e->stream, from, frames - from, so_data(mel), error);
    if (status == SO_OK && so_speech_tokenizer_ids(pass, e->net, mel, e->fresh) != SO_OK)
        status = so_fail(error, pass->error.status, "%s", pass->error.text);
    so_arena_release(pass->arena, mark);
    return status;
}

/* Takes the units `from`..count-1 of a look whose first one is `start`. */
static void adopt(so_ears *e, int64_t start, int64_t from, int64_t count)
{
    int64_t known = e->count;
    for (int64_t i = from; i < count; i++) {
        int32_t id = e->fresh[i - start];
        if (i < known && e->ids[i] == id) continue;
        if (i < e->changed) e->changed = i;
        if (i < e->committed) e->revised++;
        e->ids[i] = id;
    }
    e->count = count;
}

/* Computes the window again; or everything, at the end of the turn and when the floor of the features has risen, which
 * changes the frames before the window too. */
static so_status look(so_ears *e, so_pass *pass, so_error *error)
{
    int64_t frames = so_mel_stream_frames(e->stream), per = e->per_unit;
    int64_t window = (int64_t)(e->options.window * 100) / per, right = (int64_t)ceil(e->options.right * 100 - 1e-6);
    int64_t count = so_speech_tokenizer_units(&e->net->config, frames), start = count - window;
    float peak = so_mel_stream_peak(e->stream);
    e->looked = e->heard;
    if (frames < 1) return SO_OK;
    start -= start % STRIDE;
    if (e->finished || start < STRIDE || peak > e->peak + 0.1f) start = 0;
    if (start == 0) e->peak = peak;
    SO_TRY(compute(e, pass, start * per, frames, error));
    adopt(e, start, start ? start + GUARD : 0, count);
    int64_t safe = e->finished ? count : (frames - right) / per;
    if (safe > e->committed) e->committed = safe;
    return SO_OK;
}

/* ---- feeding */

static so_status set_rate(so_ears *e, int rate, so_error *error)
{
    if (rate == e->rate) return SO_OK;
    if (e->received > 0)
        return so_fail(error, SO_ERR_ARG, "audio of %d Hz after audio of %d Hz in one turn", rate, e->rate);
    so_resample_stream_close(&e->resample);
    so_resampler_close(&e->resampler);
    e->rate = 0;
    SO_TRY(so_resampler_open(&e->resampler, rate, RATE, error));
    SO_TRY(so_resample_stream_open(&e->resample, e->resampler, error));
    e->rate = rate;
    return SO_OK;
}

static so_status check_piece(const so_ears *e, const float *pcm, size_t samples, so_error *error)
{
    if (samples > (size_t)INT32_MAX * 64 ||
        so_resampler_length(e->resampler, e->received + (int64_t)samples) > e->limit)
        return so_fail(error, SO_ERR_LIMIT, "a turn of more than %g seconds", e->options.limit);
    for (size_t i = 0; i < samples; i++)
        if (!isfinite((double)pcm[i])) return so_fail(error, SO_ERR_NUMBER, "sample %zu of the audio is not finite", i);
    return SO_OK;
}

/* n samples of 16 kHz from e->buffer. */
static so_status hear(so_ears *e, int64_t n, so_error *error)
{
    if (n > e->limit - e->heard) n = e->limit - e->heard;
    listen(e, e->buffer, n);
    SO_TRY(so_mel_stream_feed(e->stream, e->buffer, n, error));
    e->heard += n;
    return SO_OK;
}

so_status so_ears_feed(so_ears *e, so_pass *pass, const float *pcm, size_t samples, int rate, so_error *error)
{
    if (e->finished) return so_fail(error, SO_ERR_STATE, "audio after the end of a turn");
    if (samples == 0) return SO_OK;
    SO_TRY(set_rate(e, rate, error));
    SO_TRY(check_piece(e, pcm, samples, error));
    int64_t piece = rate / 4, n = (int64_t)samples;
    for (int64_t at = 0; at < n; at += piece) {
        if (piece > n - at) piece = n - at;
        SO_TRY(hear(e, so_resample_stream_feed(e->resample, pcm + at, piece, e->buffer), error));
        e->received += piece;
    }
    if ((double)(e->heard - e->looked) < e->options.every * RATE) return SO_OK;
    return look(e, pass, error);
}

so_status so_ears_finish(so_ears *e, so_pass *pass, so_error *error)
{
    if (e->finished) return SO_OK;
    if (e->received > 0) {
        SO_TRY(hear(e, so_resample_stream_finish(e->resample, e->buffer), error));
        int64_t least = 201, missing = least - e->heard;
        if (missing > 0) {
            memset(e->buffer, 0, (size_t)missing * sizeof *e->buffer);
            SO_TRY(hear(e, missing, error));
        }
        SO_TRY(so_mel_stream_finish(e->stream, error));
    }
    e->finished = true;
    return look(e, pass, error);
}

so_status so_ears_plan(const so_ears *e, const so_kernels *kernels, size_t *bytes, so_error *error)
{
    so_arena arena;
    SO_TRY(so_arena_init(&arena, (size_t)1 << 40, error));
    so_pass pass;
    so_pass_init(&pass, &arena, NULL, kernels);
    pass.dry = true;
    so_ears dry = *e;
    so_status status = compute(&dry, &pass, 0, e->limit / so_mel_hop(e->mel), error);
    *bytes = arena.peak;
    so_arena_clear(&arena);
    return status;
}

/* ---- reading */

const int32_t *so_ears_units(so_ears *e, int64_t *count, int64_t *committed, int64_t *changed_from)
{
    *count = e->count;
    *committed = e->committed;
    *changed_from = e->changed;
    e->changed = e->count;
    return e->ids;
}

int64_t so_ears_revised(const so_ears *e) { return e->revised; }
