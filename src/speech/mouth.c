/* Units into speech while they are made.
 * SPDX-License-Identifier: Apache-2.0 */
#include "speech/mouth.h"
#include "nn/worker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FADE = 8,     /* frames over which two chunks fade into each other */
    F0_REACH = 5, /* frames on either side that reach a frame's pitch: five convolutions of width 3 */
    PIECE = 64    /* frames of waveform computed at once */
};

/* What was given when a step began. */
typedef struct given {
    int64_t n;
    bool ended;
} given;

static int64_t frames_of(const so_mouth *m, int64_t units) { return so_flow_frames(&m->codec->flow.config, units); }

/* Frames before a chunk's own. */
static int64_t prompt_frames(const so_mouth *m) { return frames_of(m, m->P); }

/* Noise belongs to its frame: stream 2 i of the seed is frame i's mel, 2 i + 1 its samples; frames of a prompt are
 * counted down from -1. */
static void normals(const so_mouth *m, int64_t frame, int stream, int64_t n, double times, so_real *out)
{
    so_rng rng;
    so_rng_init(&rng, m->options.seed, (uint64_t)(2 * frame + stream));
    for (int64_t i = 0; i < n; i++) out[i] = (so_real)(times * so_rng_normal(&rng));
}

/* ---- units to mel */

/* The next chunk; false when more units are needed. */
static bool next_chunk(const so_mouth *m, given g, so_mouth_chunk *c)
{
    const so_mouth_options *o = &m->options;
    int64_t hop = m->hop, from = m->mel_units;
    if (g.n - from < hop + o->right && !g.ended) return false;
    if (g.n == from) return false;
    *c = (so_mouth_chunk){from > o->left ? from - o->left : 0, from, from + hop, from + hop + o->right};
    if (c->right > g.n) c->to = c->right = g.n; /* with exactly enough, more may follow */
    return true;
}

static so_tensor *rows2(so_pass *pass, so_real *data, int64_t rows, int64_t cols)
{
    so_tensor *t = so_take(pass, sizeof *t, false);
    if (t) *t = (so_tensor){.data = data, .type = SO_F32, .n_dims = 2, .dim = {rows, cols}};
    return t;
}

/* Where the prompt goes on with `units` ids of a chunk. */
static const int32_t *behind_prompt(const so_mouth *m, const int32_t *ids, int64_t units)
{
    if (!m->P) return ids;
    memcpy(m->prompt_ids + m->P, ids, (size_t)units * sizeof *ids);
    return m->prompt_ids;
}

/* What the flow is asked under: the encoding of the chunk's units, regulated to frames, and the speaker; behind a
 * prompt its mel, too. */
static void encode(const so_mouth *m, so_pass *pass, const int32_t *ids, int64_t units, int64_t frames)
{
    const so_flow *net = &m->codec->flow;
    int64_t M = net->config.mels, M1 = prompt_frames(m);
    so_tensor *vector =
        so_constant(pass, 2, (int64_t[]){1, net->config.speaker}, m->own ? m->codec->speaker : m->vector);
    so_tensor *speaker = so_flow_speaker(pass, net, vector);
    ids = behind_prompt(m, ids, units);
    so_tensor *h = so_flow_project(pass, net, so_flow_encoder(pass, net, 1, m->P + units, ids, NULL));
    so_tensor *mu = so_flow_regulate(pass, net, h, m->P, M1, frames);
    if (!so_ok(pass) || pass->dry) return;
    pass->k->copy(pass->pool, (M1 + frames) * M, so_data(mu), m->mu);
    pass->k->copy(pass->pool, M, so_data(speaker), m->speaker);
    if (!M1) return;
    pass->k->fill(pass->pool, frames * M, 0, m->cond + M1 * M);
    so_device_write(pass->device, m->cond, m->prompt_mel, (size_t)(M1 * M) * sizeof *m->cond);
}

/* A step of the prompt's frames and `frames` behind them. */
static void evaluate(so_mouth *m, so_pass *pass, int64_t i, int64_t frames)
{
    int64_t M = m->codec->flow.config.mels, all = prompt_frames(m) + frames;
    so_flow_state state = {rows2(pass, m->x, all, M), rows2(pass, m->mu, all, M), rows2(pass, m->speaker, 1, M),
                           m->P ? rows2(pass, m->cond, all, M) : NULL};
    so_flow_step_again(pass, &m->codec->flow, i, &state, &m->again);
}

/* The frames of the finished chunk take their place behind those before. */
static void join(so_mouth *m)
{
    const so_mouth_chunk *c = &m->chunk;
    int64_t M = m->codec->flow.config.mels, f0 = frames_of(m, c->left), from = frames_of(m, c->from);
    int64_t to = frames_of(m, c->to), end = frames_of(m, c->right);
    const so_real *made = m->made + (prompt_frames(m) - f0) * M;
    memcpy(m->mel + from * M, made + from * M, (size_t)((to - from) * M) * sizeof *m->mel);
    for (int64_t i = 0; i < m->tail_frames && from + i < to; i++) {
        so_real weight = (so_real)(i + 1) / (so_real)(m->tail_frames + 1);
        for (int64_t b = 0; b < M; b++) {
            so_real *x = &m->mel[(from + i) * M + b];
            *x = weight * *x + (1 - weight) * m->tail[i * M + b];
        }
    }
    m->tail_frames = end - to < FADE ? end - to : FADE;
    memcpy(m->tail, made + to * M, (size_t)(m->tail_frames * M) * sizeof *m->tail);
    m->mel_frames = to;
    m->mel_units = c->to;
    /* Little of the first chunk's sound comes out before the second is made: that is smaller still. */
    m->hop = c->from == 0 ? (m->hop + 1) / 2 : 2 * m->hop + 2;
    if (m->hop > m->options.hop) m->hop = m->options.hop;
}

/* Encodes the chunk, or takes one step from noise towards its mel. */
static so_status make_mel(so_mouth *m, so_pass *pass, so_error *error)
{
    const so_mouth_chunk *c = &m->chunk;
    int64_t M = m->codec->flow.config.mels, f0 = frames_of(m, c->left), frames = frames_of(m, c->right) - f0;
    int64_t M1 = prompt_frames(m), all = M1 + frames;
    if (m->step == 0) {
        so_flow_forget(&m->again);
        encode(m, pass, m->units + c->left, c->right - c->left, frames);
        SO_TRY(so_pass_end(pass, error));
        double t = m->codec->flow.config.temperature;
        for (int64_t i = 0; i < M1; i++) normals(m, -1 - i, 0, M, t, m->made + i * M);
        for (int64_t i = 0; i < frames; i++) normals(m, f0 + i, 0, M, t, m->made + (M1 + i) * M);
        if (pass->device) so_device_write(pass->device, m->x, m->made, (size_t)(all * M) * sizeof *m->x);
        m->step = 1;
        return SO_OK;
    }
    evaluate(m, pass, m->step - 1, frames);
    SO_TRY(so_pass_end(pass, error));
    if (m->step++ < m->codec->flow.config.steps) return SO_OK;
    m->step = 0;
    if (pass->device) so_device_read(pass->device, m->made, m->x, (size_t)(all * M) * sizeof *m->x);
    SO_TRY(so_pass_end(pass, error));
    join(m);
    return SO_OK;
}

/* ---- mel to samples */

static bool all_mel(const so_mouth *m, given g) { return g.ended && m->mel_units == g.n; }

static so_tensor *rows3(so_pass *pass, const so_real *from, int64_t rows, int64_t cols)
{
    return so_constant(pass, 3, (int64_t[]){1, rows, cols}, from);
}

/* Pitch and source of frames [from, to), of which the pitch of frames around `to` is known to be final. */
static so_tensor *source(so_mouth *m, so_pass *pass, int64_t from, int64_t to)
{
    const so_hift_config *c = &m->codec->hift.config;
    int64_t M = c->mels, per = so_hift_samples(c), H = c->harmonics + 1, T = to - from;
    int64_t a = from > F0_REACH ? from - F0_REACH : 0,
            b = to + F0_REACH < m->mel_frames ? to + F0_REACH : m->mel_frames;
    so_tensor *f0 = so_hift_f0(pass, &m->codec->hift, rows3(pass, m->mel + a * M, b - a, M));
    so_tensor *harmonics = so_new3(pass, 1, T * per, H);
    so_real *noise = so_take(pass, (size_t)(T * per * H) * sizeof *noise, false),
            *room = so_write_begin(pass, harmonics);
    const so_real *pitch = so_read(pass, f0);
    if (noise && room && pitch && !pass->dry) {
        for (int64_t i = 0; i < T; i++) normals(m, from + i, 1, per * H, 1, noise + i * per * H);
        so_hift_harmonics(c, T, pitch + (from - a), m->offset, noise, &m->phase, room);
    }
    return so_hift_source(pass, &m->codec->hift, so_write_end(pass, harmonics, room));
}

/* Frames whose source can be made. */
static int64_t source_known(const so_mouth *m, given g)
{
    return all_mel(m, g) ? m->mel_frames : m->mel_frames - F0_REACH;
}

static so_status make_source(so_mouth *m, so_pass *pass, int64_t known, so_error *error)
{
    int64_t per = so_hift_samples(&m->codec->hift.config);
    int64_t from = m->source_frames, to = from + PIECE < known ? from + PIECE : known;
    so_tensor *s = source(m, pass, from, to);
    SO_TRY(so_pass_end(pass, error));
    so_device_read(pass->device, m->source + from * per, s->data, (size_t)((to - from) * per) * sizeof *m->source);
    SO_TRY(so_pass_end(pass, error));
    m->source_frames = to;
    return SO_OK;
}

static so_tensor *wave(const so_mouth *m, so_pass *pass, int64_t a, int64_t b)
{
    const so_hift_config *c = &m->codec->hift.config;
    int64_t per = so_hift_samples(c);
    so_tensor *mel = rows3(pass, m->mel + a * c->mels, b - a, c->mels);
    so_tensor *s = so_constant(pass, 2, (int64_t[]){1, (b - a) * per}, m->source + a * per);
    return so_hift_wave(pass, &m->codec->hift, mel, s);
}

/* Frames whose waveform can be made: nothing beyond the source can reach them. */
static int64_t wave_known(const so_mouth *m, given g)
{
    if (all_mel(m, g)) return m->source_frames == m->mel_frames ? m->mel_frames : m->wave_frames;
    return m->source_frames - so_hift_context(&m->codec->hift.config);
}

static so_status make_wave(so_mouth *m, so_pass *pass, int64_t known, so_error *error)
{
    const so_hift_config *c = &m->codec->hift.config;
    int64_t per = so_hift_samples(c), context = so_hift_context(c), from = m->wave_frames;
    int64_t to = from + PIECE < known ? from + PIECE : known;
    int64_t a = from > context ? from - context : 0,
            b = to + context < m->source_frames ? to + context : m->source_frames;
    const so_real *y = so_read(pass, wave(m, pass, a, b));
    SO_TRY(so_pass_end(pass, error));
    const so_real *made = y + (from - a) * per;
    for (int64_t i = 0; i < (to - from) * per; i++) m->pcm[from * per + i] = (float)made[i];
    m->wave_frames = to;
    return SO_OK;
}

/* ---- steps */

/* What the next step is: nearest to the ear first. */
typedef enum todo { NOTHING, MAKE_MEL, MAKE_SOURCE, MAKE_WAVE } todo;

static todo what_next(const so_mouth *m, given g, so_mouth_chunk *c)
{
    if (wave_known(m, g) > m->wave_frames) return MAKE_WAVE;
    if (source_known(m, g) > m->source_frames) return MAKE_SOURCE;
    *c = m->chunk;
    return m->step || next_chunk(m, g, c) ? MAKE_MEL : NOTHING;
}

static so_status make(so_mouth *m, so_pass *pass, given g, so_error *error)
{
    so_pass_begin(pass);
    switch (what_next(m, g, &m->chunk)) {
    case MAKE_WAVE:
        return make_wave(m, pass, wave_known(m, g), error);
    case MAKE_SOURCE:
        return make_source(m, pass, source_known(m, g), error);
    case MAKE_MEL:
        return make_mel(m, pass, error);
    default:
        return SO_OK;
    }
}

static bool due(const so_mouth *m)
{
    so_mouth_chunk c;
    return !m->busy && !m->quiet && what_next(m, (given){m->n, m->ended}, &c) != NOTHING;
}

bool so_mouth_due(so_mouth *m)
{
    pthread_mutex_lock(&m->lock);
    bool is = due(m);
    pthread_mutex_unlock(&m->lock);
    return is;
}

bool so_mouth_claim(so_mouth *m)
{
    pthread_mutex_lock(&m->lock);
    bool is = due(m);
    if (is) m->busy = true;
    pthread_mutex_unlock(&m->lock);
    return is;
}

so_status so_mouth_run(so_mouth *m, so_pass *pass, so_error *error)
{
    so_error failed = {0};
    pthread_mutex_lock(&m->lock);
    given g = {m->n, m->ended};
    pthread_mutex_unlock(&m->lock);
    so_status status = make(m, pass, g, &failed);
    pthread_mutex_lock(&m->lock);
    m->busy = false;
    m->ready = m->wave_frames;
    if (status != SO_OK) m->quiet = true;
    if (status != SO_OK && status != SO_ERR_STOPPED) m->error = failed;
    pthread_cond_broadcast(&m->idle);
    pthread_mutex_unlock(&m->lock);
    return status == SO_OK ? SO_OK : so_fail(error, failed.status, "%s", failed.text);
}

so_status so_mouth_step(so_mouth *m, so_pass *pass, bool *made, so_error *error)
{
    *made = so_mouth_claim(m);
    return *made ? so_mouth_run(m, pass, error) : SO_OK;
}

bool so_mouth_wants(so_mouth *m, double now, double *dry)
{
    int64_t frames = frames_of(m, 25); /* a second's */
    pthread_mutex_lock(&m->lock);
    bool is = due(m);
    if (m->began == 0 && m->n) m->began = now;
    if (m->sounding == 0 && m->ready) m->sounding = now;
    *dry = m->sounding > 0 ? m->sounding + (double)m->ready / (double)frames : m->began - 1;
    pthread_mutex_unlock(&m->lock);
    return is;
}

so_status so_mouth_take(so_mouth *m, const float **pcm, int64_t *samples, so_error *error)
{
    int64_t per = so_hift_samples(&m->codec->hift.config);
    pthread_mutex_lock(&m->lock);
    so_error failed = m->error;
    int64_t ready = m->quiet ? m->taken : m->ready;
    pthread_mutex_unlock(&m->lock);
    *pcm = m->pcm + m->taken * per;
    *samples = (ready - m->taken) * per;
    m->taken = ready;
    return failed.status == SO_OK ? SO_OK : so_fail(error, failed.status, "%s", failed.text);
}

bool so_mouth_complete(so_mouth *m)
{
    pthread_mutex_lock(&m->lock);
    bool is = m->quiet || (m->ended && m->taken == frames_of(m, m->n));
    pthread_mutex_unlock(&m->lock);
    return is;
}

so_status so_mouth_put(so_mouth *m, int32_t unit, so_error *error)
{
    if (m->ended) return so_fail(error, SO_ERR_STATE, "a unit after the end of the answer");
    if (m->n == m->options.max_units)
        return so_fail(error, SO_ERR_LIMIT, "an answer of more than %lld units", (long long)m->options.max_units);
    if (unit < 0 || unit >= m->codec->flow.config.units)
        return so_fail(error, SO_ERR_ARG, "speech unit %d, expected 0 to %lld", unit,
                       (long long)m->codec->flow.config.units - 1);
    pthread_mutex_lock(&m->lock);
    m->units[m->n++] = unit;
    pthread_mutex_unlock(&m->lock);
    return SO_OK;
}

void so_mouth_end(so_mouth *m)
{
    pthread_mutex_lock(&m->lock);
    m->ended = true;
    pthread_mutex_unlock(&m->lock);
}

void so_mouth_quiet(so_mouth *m)
{
    pthread_mutex_lock(&m->lock);
    m->quiet = true;
    pthread_mutex_unlock(&m->lock);
}

int64_t so_mouth_samples(const so_mouth *m) { return m->taken * so_hift_samples(&m->codec->hift.config); }

/* With the lock held. */
static void wait_until_idle(so_mouth *m)
{
    while (m->busy) pthread_cond_wait(&m->idle, &m->lock);
}

void so_mouth_reset(so_mouth *m, uint64_t seed)
{
    so_rng rng;
    pthread_mutex_lock(&m->lock);
    m->quiet = true;
    wait_until_idle(m);
    m->options.seed = seed;
    m->n = m->mel_units = m->mel_frames = m->tail_frames = m->source_frames = m->wave_frames = 0;
    m->ready = m->taken = m->step = 0;
    m->began = m->sounding = 0;
    m->hop = m->options.first;
    m->ended = m->quiet = false;
    m->error = (so_error){0};
    m->phase = (so_hift_phase){0};
    so_rng_init(&rng, seed, ~(uint64_t)0);
    m->offset[0] = 0;
    for (int i = 1; i < SO_HIFT_HARMONICS; i++)
        m->offset[i] = (so_real)((2 * so_rng_uniform(&rng) - 1) * 3.141592653589793);
    pthread_mutex_unlock(&m->lock);
}

so_status so_mouth_speak_as(so_mouth *m, const so_mouth_voice *voice, so_error *error)
{
    const so_flow_config *c = &m->codec->flow.config;
    if (voice && !m->options.prompt)
        return so_fail(error, SO_ERR_STATE,
                       "the session was opened without room for voices (so_session_options.clones)");
    if (voice && (voice->n < 0 || voice->n > m->options.prompt))
        return so_fail(error, SO_ERR_LIMIT, "a voice with a prompt of %lld units, expected at most %lld",
                       (long long)voice->n, (long long)m->options.prompt);
    pthread_mutex_lock(&m->lock);
    m->quiet = true;
    wait_until_idle(m);
    m->own = voice == NULL;
    m->P = voice ? voice->n : 0;
    pthread_mutex_unlock(&m->lock);
    if (!voice) return SO_OK;
    memcpy(m->vector, voice->vector, (size_t)c->speaker * sizeof *m->vector);
    if (!voice->n) return SO_OK;
    memcpy(m->prompt_ids, voice->units, (size_t)voice->n * sizeof *m->prompt_ids);
    memcpy(m->prompt_mel, voice->mel, (size_t)(prompt_frames(m) * c->mels) * sizeof *m->prompt_mel);
    return SO_OK;
}

so_status so_mouth_speak_like(so_mouth *m, const so_mouth *other, so_error *error)
{
    if (!m || !other) return SO_OK;
    const so_mouth_voice voice = {
        .vector = other->vector, .units = other->prompt_ids, .n = other->P, .mel = other->prompt_mel};
    return so_mouth_speak_as(m, other->own ? NULL : &voice, error);
}

/* ---- memory */
so_mouth_options so_mouth_usual(const so_session_options *options, int64_t max_units)
{
    return (so_mouth_options){.first = options->first_units > 0 ? options->first_units : 12,
                              .hop = SO_MOUTH_HOP,
                              .left = 25,
                              .right = 4,
                              .max_units = max_units,
                              .prompt = options->clones ? SO_MOUTH_PROMPT : 0,
                              .seed = options->seed};
}

/* Units that the largest chunk is computed from. */
static int64_t window_units(const so_mouth *m)
{
    const so_mouth_options *o = &m->options;
    int64_t units = o->left + (o->first > o->hop ? o->first : o->hop) + o->right;
    return units < o->max_units ? units : o->max_units;
}

/* `device`: numbers of a device. */
static bool take_parts(so_mouth *m, so_arena *device)
{
    const so_hift_config *c = &m->codec->hift.config;
    int64_t frames = frames_of(m, m->options.max_units) + 1, M = c->mels, per = so_hift_samples(c);
    int64_t P = m->options.prompt, prompt = frames_of(m, P), window = prompt + frames_of(m, window_units(m)) + 8;
    so_arena *a = &m->memory, *numbers = m->options.device ? device : a;
    m->units = so_arena_alloc(a, (size_t)m->options.max_units * sizeof *m->units);
    m->x = so_arena_numbers(numbers, (size_t)(window * M) * sizeof *m->x);
    m->mu = so_arena_numbers(numbers, (size_t)(window * M) * sizeof *m->mu);
    m->speaker = so_arena_numbers(numbers, (size_t)M * sizeof *m->speaker);
    if (P) {
        m->cond = so_arena_numbers(numbers, (size_t)(window * M) * sizeof *m->cond);
        m->vector = so_arena_alloc(a, (size_t)m->codec->flow.config.speaker * sizeof *m->vector);
        m->prompt_ids = so_arena_alloc(a, (size_t)(P + window_units(m)) * sizeof *m->prompt_ids);
        m->prompt_mel = so_arena_alloc(a, (size_t)(prompt * M) * sizeof *m->prompt_mel);
    }
    m->made = m->options.device ? so_arena_alloc(a, (size_t)(window * M) * sizeof *m->made) : m->x;
    m->mel = so_arena_alloc(a, (size_t)(frames * M) * sizeof *m->mel);
    m->tail = so_arena_alloc(a, (size_t)(FADE * M) * sizeof *m->tail);
    m->source = so_arena_alloc(a, (size_t)(frames * per) * sizeof *m->source);
    m->pcm = so_arena_alloc(a, (size_t)(frames * per) * sizeof *m->pcm);
    return m->pcm != NULL;
}

/* Every kind of step at its largest, dry. */
static so_status rehearse(so_worker *worker, void *context_of, so_error *error)
{
    so_mouth *m = context_of;
    so_pass *pass = &worker->pass;
    int64_t context = so_hift_context(&m->codec->hift.config), units = window_units(m);
    int64_t frames = frames_of(m, units) + 2;
    m->P = m->options.prompt;
    m->own = true;
    encode(m, pass, m->units, units, frames);
    SO_TRY(so_pass_end(pass, error));
    so_pass_begin(pass);
    evaluate(m, pass, 0, frames);
    SO_TRY(so_pass_end(pass, error));
    m->mel_frames = PIECE + 2 * context + 2 * F0_REACH;
    so_pass_begin(pass);
    source(m, pass, F0_REACH, F0_REACH + PIECE);
    SO_TRY(so_pass_end(pass, error));
    so_pass_begin(pass);
    wave(m, pass, 0, PIECE + 2 * context);
    return so_pass_end(pass, error);
}

/* Bytes that an open mouth takes. */
static so_status measure_parts(so_mouth *m, so_need *fixed, so_error *error)
{
    so_arena numbers;
    SO_TRY(so_arena_dry(&m->memory, error));
    SO_TRY(so_arena_dry(&numbers, error));
    bool fits = take_parts(m, &numbers);
    *fixed = (so_need){m->memory.peak, numbers.peak, 0};
    so_arena_clear(&numbers);
    return fits ? SO_OK : so_fail(error, SO_ERR_NOMEM, "an answer of %lld units", (long long)m->options.max_units);
}

static so_status check_options(const so_codec *codec, const so_mouth_options *options, so_error *error)
{
    if (!codec->has_vocoder)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model does not speak: it has no flow and vocoder");
    if (options->first < 1 || options->hop < 1 || options->left < 0 || options->right < 0 || options->max_units < 1 ||
        options->prompt < 0)
        return so_fail(error, SO_ERR_ARG, "chunks of %lld and %lld units", (long long)options->first,
                       (long long)options->hop);
    return SO_OK;
}

so_status so_mouth_plan(const so_codec *codec, const so_mouth_options *options, const so_site *place, so_need *fixed,
                        so_need *scratch, so_error *error)
{
    so_mouth m = {.codec = codec, .options = *options};
    *scratch = (so_need){0};
    m.options.device = place->device;
    SO_TRY(check_options(codec, options, error));
    so_status status = measure_parts(&m, fixed, error);
    if (status == SO_OK) status = so_worker_measure_on(place, rehearse, &m, scratch, error);
    so_arena_clear(&m.memory);
    return status;
}

static so_status open_parts(so_mouth *m, so_error *error)
{
    so_need fixed;
    so_arena numbers = {0};
    so_status status = measure_parts(m, &fixed, error);
    so_arena_clear(&m->memory);
    SO_TRY(status);
    SO_TRY(so_arena_init(&m->memory, fixed.host, error));
    if (m->options.device) {
        SO_TRY(so_device_reserve(m->options.device, fixed.device, &m->block, error));
        so_arena_over(&numbers, m->block, fixed.device);
    }
    return take_parts(m, &numbers) ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for speaking");
}

so_status so_mouth_open(so_mouth **out, const so_codec *codec, const so_mouth_options *options, so_error *error)
{
    *out = NULL;
    SO_TRY(check_options(codec, options, error));
    so_mouth *m = calloc(1, sizeof *m);
    if (!m) return so_fail(error, SO_ERR_NOMEM, "no memory for speaking");
    m->codec = codec;
    m->options = *options;
    m->own = true;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->idle, NULL);
    so_status status = open_parts(m, error);
    if (status == SO_OK) {
        so_mouth_reset(m, m->options.seed);
        *out = m;
    } else {
        so_mouth_close(&m);
    }
    return status;
}

void so_mouth_close(so_mouth **mouth)
{
    if (!mouth || !*mouth) return;
    so_mouth *m = *mouth;
    pthread_mutex_lock(&m->lock);
    m->quiet = true;
    wait_until_idle(m);
    pthread_mutex_unlock(&m->lock);
    pthread_cond_destroy(&m->idle);
    pthread_mutex_destroy(&m->lock);
    so_flow_forget(&m->again);
    so_device_release(m->options.device, m->block);
    so_arena_clear(&m->memory);
    free(m);
    *mouth = NULL;
}
