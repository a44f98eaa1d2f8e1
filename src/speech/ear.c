/* Speech into units while it arrives.
 * SPDX-License-Identifier: Apache-2.0 */
#include "speech/ear.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEP = 40,     /* frames of new sound between two interim looks: 0.4 s */
    RIGHT = 6,     /* units behind one before it is given out: 0.24 s */
    WINDOW = 1200, /* frames an interim look reads at most */
    LEFT = 300,    /* frames at the front of a cut window whose units are not used */
    LEAST = 201,   /* samples of the shortest clip */
    PIECE = 4096,  /* samples taken at once */
    LEVEL = 160,   /* samples of one level: 10 ms */
    LEAD = 3200,   /* quiet samples before the first sound that are no silence yet: 200 ms */
    AFTER = 3200   /* quiet samples let through behind the last loud one: 200 ms */
};

static int64_t units_of(const so_ear *ear, int64_t frames)
{
    return so_speech_tokenizer_units(&ear->codec->tokenizer.config, frames);
}

static const so_speech_tokenizer *net_of(const so_ear *ear) { return &ear->codec->tokenizer; }

static int64_t halves_of(const so_ear *ear) { return 2 * net_of(ear)->config.layers; }

/* The convolutions, from frames from..from + F of the block: ear->look.x is what enters the first block. */
static void begin_rows(so_ear *ear, so_pass *pass, int64_t from, int64_t F)
{
    so_batch *batch;
    so_error error;
    so_tensor *mel = so_new3(pass, 1, F, net_of(ear)->config.mels), *x;
    so_real *frames = so_write_begin(pass, mel);
    if (frames && !pass->dry && so_mel_stream_read(ear->mel, from, F, frames, &error) != SO_OK)
        so_pass_fail(pass, error.status, "%s", error.text);
    x = so_speech_tokenizer_front(pass, net_of(ear), so_write_end(pass, mel, frames), &F, &batch);
    const so_real *numbers = x ? so_read(pass, x) : NULL;
    if (so_ok(pass) && numbers && !pass->dry) memcpy(ear->look.x, numbers, (size_t)so_count(x) * sizeof *numbers);
}

/* Halves of blocks up to `last`; behind all of them the units, in ear->fresh. */
static void run_halves(so_ear *ear, so_pass *pass, int64_t last)
{
    so_ear_look *l = &ear->look;
    int64_t width = net_of(ear)->config.width, all = halves_of(ear);
    so_tensor *x = so_lent(pass, l->rows, width, l->x);
    so_batch *batch = so_batch_many(pass, 1, &l->rows, NULL);
    if (l->half < all) x = so_speech_tokenizer_halves(pass, net_of(ear), x, batch, l->half, last < all ? last : all);
    if (last > all) so_speech_tokenizer_quantise(pass, net_of(ear), x, ear->fresh, NULL);
    const so_real *numbers = x && last <= all ? so_read(pass, x) : NULL;
    if (so_ok(pass) && numbers && !pass->dry) memcpy(l->x, numbers, (size_t)so_count(x) * sizeof *numbers);
}

/* One of the two, with the ear's own kernels; from < 0: the second. */
static so_status compute(so_ear *ear, so_worker *worker, int64_t from, int64_t n, so_error *error)
{
    so_pass *pass = so_worker_begin(worker);
    const so_kernels *rest = pass->k;
    const so_watch *watch = pass->watch;
    pass->k = ear->kernels;
    pass->watch = NULL; /* it watches the conversation that shares the worker */
    if (from < 0)
        run_halves(ear, pass, n);
    else
        begin_rows(ear, pass, from, n);
    pass->k = rest;
    pass->watch = watch;
    return so_worker_end(worker, error);
}

/* Puts fresh units skip..n (of those from number `at` on) in place. */
static void commit(so_ear *ear, int64_t at, int64_t skip, int64_t n)
{
    for (int64_t i = skip; i < n; i++) {
        int64_t to = at + i;
        if (to >= ear->capacity) return;
        ear->revised += to < ear->n && ear->units[to] != ear->fresh[i];
        ear->units[to] = ear->fresh[i];
        if (to >= ear->n) ear->n = to + 1;
    }
}

/* A piece of the look, up to half `last`; behind the last one its units are put in place. */
static so_status go_on(so_ear *ear, int64_t last, so_error *error)
{
    so_ear_look *l = &ear->look;
    so_status status = SO_OK;
    if (l->half < 0) {
        status = compute(ear, ear->worker, l->frame, l->frames, error);
        if (status == SO_OK && l->last) so_mel_stream_reset(ear->mel);
        if (status == SO_OK) l->half = 0;
    }
    if (status == SO_OK && last > 0) status = compute(ear, ear->worker, -1, last, error);
    if (status == SO_ERR_STOPPED && ear->pieces) return status;
    l->on = status == SO_OK && last <= halves_of(ear);
    SO_TRY(status);
    l->half = last;
    if (l->on) return SO_OK;
    commit(ear, l->at, l->from, l->to);
    if (!l->last) return SO_OK;
    ear->n = l->at + l->to < ear->capacity ? l->at + l->to : ear->capacity;
    so_worker_begin(ear->worker);
    so_arena_trim(&ear->worker->scratch); /* the backbone reads next */
    return SO_OK;
}

double so_ear_products(const so_ear *ear)
{
    const so_speech_tokenizer_config *c = &net_of(ear)->config;
    const so_ear_look *l = &ear->look;
    double each = l->half < 0                 ? 6 * (double)c->mels + 3 * (double)c->width
                  : l->half == halves_of(ear) ? (double)c->codes
                  : l->half % 2               ? 2 * (double)c->ff
                                              : 4 * (double)c->width + 2 * (double)l->rows;
    return (double)l->rows * (double)c->width * each;
}

so_status so_ear_more(so_ear *ear, bool *news, so_error *error)
{
    int64_t before = ear->n, revised = ear->revised;
    so_status status = ear->look.on ? go_on(ear, ear->look.half + 1, error) : SO_OK;
    *news = ear->n != before || ear->revised != revised;
    return status;
}

/* Begins a look, at so many frames of the block. One that is still on its way is finished where its block ended, and
 * else given up: this one sees what it saw. */
static so_status begin(so_ear *ear, so_ear_look look, so_error *error)
{
    if (ear->look.on && ear->look.last) SO_TRY(go_on(ear, halves_of(ear) + 1, error));
    look.on = true;
    look.half = -1;
    look.x = ear->look.x;
    look.rows = units_of(ear, look.frames);
    ear->look = look;
    return ear->pieces ? SO_OK : go_on(ear, halves_of(ear) + 1, error);
}

/* Tokenises what is there; the last `right` units are not given out yet. */
static so_status look(so_ear *ear, int64_t right, so_error *error)
{
    int64_t F = so_mel_stream_frames(ear->mel), from = 0;
    int64_t per_unit = net_of(ear)->config.stride[0] * net_of(ear)->config.stride[1];
    if (F > WINDOW) from = (F - WINDOW) / per_unit * per_unit;
    ear->done_frames = F;
    int64_t stable = units_of(ear, F - from) - right;
    if (stable <= 0) return SO_OK;
    so_ear_look l = {.frame = from, .frames = F - from, .at = ear->block_first + from / per_unit, .to = stable};
    l.from = from ? LEFT / per_unit : 0;
    return begin(ear, l, error);
}

static so_status end_block(so_ear *ear, so_error *error)
{
    static const float silence[LEAST];
    if (ear->block_samples == 0) return SO_OK;
    if (ear->block_samples < LEAST) SO_TRY(so_mel_stream_feed(ear->mel, silence, LEAST - ear->block_samples, error));
    SO_TRY(so_mel_stream_finish(ear->mel, error));
    int64_t F = so_mel_stream_frames(ear->mel), n = units_of(ear, F);
    so_ear_look l = {.last = true, .frames = F, .at = ear->block_first, .to = n};
    ear->block_first = ear->block_first + n < ear->capacity ? ear->block_first + n : ear->capacity;
    ear->block_samples = ear->done_frames = 0;
    return begin(ear, l, error);
}

/* The running level: how long it has been quiet. */
static void listen(so_ear *ear, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        ear->level += (double)x[i] * (double)x[i];
        if (++ear->level_n < LEVEL) continue;
        double now = sqrt(ear->level / LEVEL);
        if (now > ear->loudest) ear->loudest = now;
        if (now < ear->quietest) ear->quietest = now;
        bool quiet = now < fmax(0.05 * ear->loudest, 2e-4);
        ear->quiet_s = quiet ? ear->quiet_s + (double)LEVEL / SO_CODEC_RATE_IN : 0;
        ear->level = 0;
        ear->level_n = 0;
    }
}

static so_status take(so_ear *ear, const float *x, int64_t n, so_error *error)
{
    while (n > 0) {
        int64_t room = SO_CODEC_BLOCK - ear->block_samples, now = n < room ? n : room;
        SO_TRY(so_mel_stream_feed(ear->mel, x, now, error));
        ear->block_samples += now;
        x += now;
        n -= now;
        if (ear->block_samples < SO_CODEC_BLOCK || n == 0) continue;
        SO_TRY(end_block(ear, error));
        if (ear->look.on) SO_TRY(go_on(ear, 0, error)); /* the frames of the next block are to lie where its are */
    }
    return SO_OK;
}

static void drop_held(so_ear *ear, int64_t n)
{
    ear->held_n -= n;
    ear->checked -= n < ear->checked ? n : ear->checked;
    memmove(ear->held, ear->held + n, (size_t)ear->held_n * sizeof *ear->held);
}

/* Lets the first n held samples through. */
static so_status release(so_ear *ear, int64_t n, so_error *error)
{
    SO_TRY(take(ear, ear->held, n, error));
    drop_held(ear, n);
    ear->paused = false;
    return SO_OK;
}

/* 10 ms more in front of the gate: before the first sound only the last few are kept; later quiet ones pass for a
 * while. */
static so_status gate(so_ear *ear, so_error *error)
{
    const float *x = ear->held + ear->checked;
    double level = 0;
    for (int i = 0; i < LEVEL; i++) level += (double)x[i] * (double)x[i];
    bool loud = sqrt(level / LEVEL) > fmax(1e-3, 3 * ear->quietest);
    ear->checked += LEVEL;
    if (loud) {
        if (!ear->open && (ear->lead || ear->checked > LEAD)) {
            ear->lead += ear->checked - LEVEL;
            drop_held(ear, ear->checked - LEVEL);
        }
        ear->open = true;
        ear->quiet_n = 0;
        return release(ear, ear->checked, error);
    }
    if (!ear->open) {
        int64_t excess = ear->checked - LEAD;
        if (excess <= 0) return SO_OK;
        ear->lead += excess;
        drop_held(ear, excess);
        return SO_OK;
    }
    if (ear->quiet_n < AFTER) {
        ear->quiet_n += LEVEL;
        return release(ear, ear->checked, error);
    }
    if (ear->paused || ear->whole) return SO_OK;
    ear->paused = true;
    return look(ear, 0, error);
}

/* ---- the front end */

/* Notes where the next samples of the segment lie in the recording. */
static void note_span(so_ear *ear, int64_t at)
{
    if (ear->spans && ear->span[ear->spans - 1].at + ear->released - ear->span[ear->spans - 1].out == at) return;
    if (ear->spans == SO_EAR_SPANS) ear->spans--;
    ear->span[ear->spans].out = ear->released;
    ear->span[ear->spans].at = at;
    ear->spans++;
}

/* Runs of the front end, up to where another segment begins. */
static so_status take_runs(so_ear *ear, so_error *error)
{
    while (!ear->ended && (ear->waits || so_front_next(ear->front, &ear->run))) {
        const so_front_run *run = &ear->run;
        ear->waits = run->first && ear->released;
        ear->ended = ear->waits;
        if (ear->ended) break;
        note_span(ear, run->at);
        SO_TRY(take(ear, run->pcm, run->n, error));
        ear->released += run->n;
        if (run->last && !ear->whole) SO_TRY(look(ear, 0, error));
    }
    return SO_OK;
}

so_status so_ear_use_front(so_ear *ear, so_error *error)
{
    ear->held = NULL; /* the front end does what the gate does */
    return ear->front ? SO_OK : so_front_open(&ear->front, NULL, error);
}

so_status so_ear_end_segment(so_ear *ear, so_error *error) { return end_block(ear, error); }

void so_ear_begin_segment(so_ear *ear)
{
    ear->ended = false;
    ear->n = ear->block_first = ear->released = 0;
    ear->spans = 0;
}

double so_ear_time(const so_ear *ear, double s)
{
    int64_t sample = (int64_t)llround(s * SO_CODEC_RATE_IN), at = sample + ear->lead;
    for (int i = 0; i < ear->spans && (i == 0 || ear->span[i].out <= sample); i++)
        at = ear->span[i].at + sample - ear->span[i].out;
    at = at < 0 ? 0 : at > ear->samples ? ear->samples : at;
    return (double)at / SO_CODEC_RATE_IN;
}

bool so_ear_heard(const so_ear *ear) { return ear->front ? so_front_heard(ear->front) : ear->loudest > 1e-3; }

static so_status arrive(so_ear *ear, const float *x, int64_t n, so_error *error)
{
    listen(ear, x, n);
    ear->samples += n;
    if (ear->front) {
        so_front_feed(ear->front, x, n);
        return take_runs(ear, error);
    }
    if (!ear->held) return take(ear, x, n, error);
    memcpy(ear->held + ear->held_n, x, (size_t)n * sizeof *x);
    ear->held_n += n;
    while (ear->held_n - ear->checked >= LEVEL) SO_TRY(gate(ear, error));
    return SO_OK;
}

static so_status set_rate(so_ear *ear, int rate, so_error *error)
{
    if (ear->rate && ear->rate != rate && ear->samples)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz in a turn that began at %d Hz", rate, ear->rate);
    if (ear->rate == rate && (ear->stream || rate == SO_CODEC_RATE_IN)) return SO_OK;
    so_resample_stream_close(&ear->stream);
    so_resampler_close(&ear->resampler);
    ear->rate = 0;
    if (rate != SO_CODEC_RATE_IN) {
        SO_TRY(so_resampler_open(&ear->resampler, rate, SO_CODEC_RATE_IN, error));
        SO_TRY(so_resample_stream_open(&ear->stream, ear->resampler, error));
        int64_t need = so_resample_stream_bound(ear->stream, PIECE) + 64;
        if (need > ear->piece_size) {
            float *piece = realloc(ear->piece, (size_t)need * sizeof *piece);
            if (!piece) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)need);
            ear->piece = piece;
            ear->piece_size = need;
        }
    }
    ear->rate = rate;
    return SO_OK;
}

/* Samples taken at once: no more than the front end takes once they are resampled. */
static int64_t piece_of(const so_ear *ear)
{
    if (!ear->front || ear->rate >= SO_CODEC_RATE_IN) return PIECE;
    return (int64_t)SO_FRONT_PIECE * ear->rate / SO_CODEC_RATE_IN - 64;
}

so_status so_ear_feed(so_ear *ear, const float *pcm, size_t n, int rate, bool *news, so_error *error)
{
    *news = false;
    if (ear->finished) return so_fail(error, SO_ERR_STATE, "audio after the end of the turn");
    if (rate < 4000 || rate > 384000)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz, expected 4000 to 384000", rate);
    if ((double)n * SO_CODEC_RATE_IN / rate + (double)ear->samples + 1 > (double)ear->limit)
        return so_fail(error, SO_ERR_LIMIT, "a turn of more than %.0f s of audio",
                       (double)ear->limit / SO_CODEC_RATE_IN);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(pcm[i])) return so_fail(error, SO_ERR_NUMBER, "sample %zu is not a finite number", i);
    SO_TRY(set_rate(ear, rate, error));
    int64_t before = ear->n, revised = ear->revised, most = piece_of(ear);
    if (ear->front) SO_TRY(take_runs(ear, error));
    for (ear->taken = 0; ear->taken < n && !ear->ended;) {
        const float *x = pcm + ear->taken;
        int64_t now = n - ear->taken < (size_t)most ? (int64_t)(n - ear->taken) : most;
        ear->taken += (size_t)now;
        if (ear->stream) {
            now = so_resample_stream_feed(ear->stream, x, now, ear->piece);
            x = ear->piece;
        }
        SO_TRY(arrive(ear, x, now, error));
    }
    if (!ear->whole && so_mel_stream_frames(ear->mel) >= ear->done_frames + ear->step) SO_TRY(look(ear, RIGHT, error));
    *news = ear->n != before || ear->revised != revised;
    return SO_OK;
}

so_status so_ear_finish(so_ear *ear, so_error *error)
{
    if (ear->finished) return SO_OK;
    if (ear->front) SO_TRY(take_runs(ear, error));
    if (ear->stream && !ear->ended && ear->flushed < 1) {
        int64_t n = so_resample_stream_finish(ear->stream, ear->piece);
        ear->flushed = 1;
        SO_TRY(arrive(ear, ear->piece, n, error));
    }
    if (ear->front && !ear->ended && ear->flushed < 2) {
        so_front_finish(ear->front);
        ear->flushed = 2;
        SO_TRY(take_runs(ear, error));
    }
    if (ear->ended) return SO_OK;
    /* Nothing loud at all: the little that is held stands for the turn. */
    if (ear->held && !ear->open && ear->held_n) SO_TRY(release(ear, ear->held_n, error));
    SO_TRY(end_block(ear, error));
    ear->finished = true;
    return SO_OK;
}

size_t so_ear_bytes(const so_ear *ear)
{
    return sizeof *ear + ear->memory.capacity + (size_t)ear->piece_size * sizeof *ear->piece +
           so_front_bytes(ear->front) + so_mel_stream_bytes(ear->mel);
}

void so_ear_reset(so_ear *ear)
{
    if (ear->stream) so_resample_stream_reset(ear->stream);
    so_mel_stream_reset(ear->mel);
    ear->samples = ear->block_samples = ear->done_frames = ear->block_first = ear->n = ear->revised = 0;
    ear->level = ear->loudest = ear->quiet_s = 0;
    ear->level_n = ear->held_n = ear->checked = ear->quiet_n = ear->lead = 0;
    ear->quietest = 1;
    ear->open = ear->paused = ear->finished = false;
    ear->waits = ear->ended = false;
    ear->flushed = ear->spans = 0;
    ear->released = 0;
    ear->look.on = false;
    if (ear->front) so_front_reset(ear->front);
}

/* The longest block says what tokenising takes, in pieces or at once. */
static so_status rehearse(so_worker *worker, void *context, so_error *error)
{
    so_ear *ear = context;
    SO_TRY(compute(ear, worker, 0, SO_CODEC_BLOCK / 160, error));
    SO_TRY(compute(ear, worker, -1, halves_of(ear) + 1, error));
    for (ear->look.half = 0; ear->look.half <= halves_of(ear); ear->look.half++)
        SO_TRY(compute(ear, worker, -1, ear->look.half + 1, error));
    return SO_OK;
}

so_status so_ear_plan(const so_codec *codec, const so_site *place, so_need *scratch, so_error *error)
{
    so_ear ear = {.codec = codec, .kernels = place->kernels, .fresh = malloc(SO_CODEC_BLOCK / 160 * sizeof *ear.fresh)};
    if (!ear.fresh) return so_fail(error, SO_ERR_NOMEM, "no memory for listening");
    ear.look.rows = units_of(&ear, SO_CODEC_BLOCK / 160);
    so_status status = so_worker_measure_on(place, rehearse, &ear, scratch, error);
    free(ear.fresh);
    return status;
}

static so_status open_ear(so_ear *ear, double seconds, so_error *error)
{
    so_need scratch;
    ear->limit = (int64_t)(seconds * SO_CODEC_RATE_IN);
    ear->capacity = (int64_t)(seconds * 100) + 64;
    size_t bytes = (size_t)ear->capacity * sizeof *ear->units;
    size_t held = ear->codec->trims ? (size_t)(ear->limit + 64) * sizeof *ear->held : 0;
    size_t rows = (size_t)units_of(ear, SO_CODEC_BLOCK / 160) * (size_t)net_of(ear)->config.width;
    SO_TRY(so_arena_init(&ear->memory, 2 * bytes + held + rows * sizeof *ear->look.x + 4096, error));
    ear->look.x = so_arena_numbers(&ear->memory, rows * sizeof *ear->look.x);
    ear->units = so_arena_alloc(&ear->memory, bytes);
    ear->fresh = so_arena_alloc(&ear->memory, bytes);
    if (held) ear->held = so_arena_alloc(&ear->memory, held);
    ear->quietest = 1;
    ear->step = STEP;
    if (!ear->worker) {
        SO_TRY(so_ear_plan(ear->codec, &ear->place, &scratch, error));
        SO_TRY(so_worker_open_on(&ear->own, &ear->place, scratch, error));
        ear->worker = &ear->own;
    }
    ear->piece_size = PIECE + 64;
    ear->piece = malloc((size_t)ear->piece_size * sizeof *ear->piece);
    if (!ear->piece || !ear->fresh) return so_fail(error, SO_ERR_NOMEM, "no memory for listening");
    return so_mel_stream_open(&ear->mel, ear->codec->mel, SO_CODEC_BLOCK, error);
}

so_status so_ear_open(so_ear **out, const so_codec *codec, so_worker *worker, const so_site *place, double seconds,
                      so_error *error)
{
    *out = NULL;
    if (!codec->has_tokenizer)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model does not hear: it has no speech tokenizer");
    so_ear *ear = calloc(1, sizeof *ear);
    if (!ear) return so_fail(error, SO_ERR_NOMEM, "no memory for listening");
    ear->codec = codec;
    ear->worker = worker;
    ear->place = *place;
    ear->kernels = place->kernels;
    so_status status = open_ear(ear, seconds, error);
    if (status == SO_OK)
        *out = ear;
    else
        so_ear_close(&ear);
    return status;
}

void so_ear_close(so_ear **ear)
{
    if (!ear || !*ear) return;
    so_ear *e = *ear;
    so_mel_stream_close(&e->mel);
    so_front_close(&e->front);
    so_resample_stream_close(&e->stream);
    so_resampler_close(&e->resampler);
    so_arena_clear(&e->memory);
    so_worker_clear(&e->own);
    free(e->piece);
    free(e);
    *ear = NULL;
}
