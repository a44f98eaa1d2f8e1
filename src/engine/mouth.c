/* Units into speech while they are made.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/mouth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FADE = 8,     /* frames over which two chunks fade into each other */
    F0_REACH = 5, /* frames on either side that reach a frame's pitch: five convolutions of width 3 */
    PIECE = 96    /* frames of waveform computed at once */
};

static int64_t frames_of(const so_mouth *m, int64_t units) { return so_flow_frames(&m->codec->flow.config, units); }

static void start(so_mouth *m)
{
    m->pass.error = (so_error){0};
    so_arena_release(&m->scratch, 0);
}

static so_status finish(so_mouth *m, so_error *error)
{
    return so_ok(&m->pass) ? SO_OK : so_fail(error, m->pass.error.status, "%s", m->pass.error.text);
}

/* Noise belongs to its frame: stream 2 i of the seed is frame i's mel, 2 i + 1 its samples. */
static void normals(const so_mouth *m, int64_t frame, int stream, int64_t n, so_real *out)
{
    so_rng rng;
    so_rng_init(&rng, m->options.seed, (uint64_t)(2 * frame + stream));
    for (int64_t i = 0; i < n; i++) out[i] = (so_real)so_rng_normal(&rng);
}

/* ---- units to mel */

/* The next chunk: units [from, to) become final, computed from [left, right). False when more units are needed. */
typedef struct chunk {
    int64_t left, from, to, right;
} chunk;

static bool next_chunk(const so_mouth *m, chunk *c)
{
    const so_mouth_options *o = &m->options;
    int64_t hop = m->mel_units ? o->hop : o->first, from = m->mel_units;
    if (m->n - from < hop + o->right && !m->ended) return false;
    if (m->n == from) return false;
    *c = (chunk){from > o->left ? from - o->left : 0, from, from + hop, from + hop + o->right};
    if (c->right > m->n) c->to = c->right = m->n; /* with exactly enough, more may follow */
    return true;
}

static so_tensor *flow(so_mouth *m, const int32_t *ids, int64_t units, int64_t frames)
{
    so_flow_request request = {.N = units, .frames = frames, .ids = ids, .vector = m->codec->speaker, .z = m->z};
    return so_flow_mel(&m->pass, &m->codec->flow, &request, NULL);
}

static so_status make_mel(so_mouth *m, const chunk *c, so_error *error)
{
    int64_t M = m->codec->flow.config.mels, f0 = frames_of(m, c->left), from = frames_of(m, c->from);
    int64_t to = frames_of(m, c->to), end = frames_of(m, c->right);
    start(m);
    for (int64_t i = f0; i < end; i++) normals(m, i, 0, M, m->z + (i - f0) * M);
    so_tensor *mel = flow(m, m->units + c->left, c->right - c->left, end - f0);
    SO_TRY(finish(m, error));
    const so_real *made = so_data(mel) - f0 * M;
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
    return SO_OK;
}

/* ---- mel to samples */

static bool complete(const so_mouth *m) { return m->ended && m->mel_units == m->n; }

static so_tensor *rows3(so_mouth *m, const so_real *from, int64_t rows, int64_t cols)
{
    return so_constant(&m->pass, 3, (int64_t[]){1, rows, cols}, from);
}

/* Pitch and source of frames [from, to), of which the pitch of frames around `to` is known to be final. */
static so_tensor *source(so_mouth *m, int64_t from, int64_t to)
{
    const so_hift_config *c = &m->codec->hift.config;
    so_pass *pass = &m->pass;
    int64_t M = c->mels, per = so_hift_samples(c), H = c->harmonics + 1, T = to - from;
    int64_t a = from > F0_REACH ? from - F0_REACH : 0,
            b = to + F0_REACH < m->mel_frames ? to + F0_REACH : m->mel_frames;
    so_tensor *f0 = so_hift_f0(pass, &m->codec->hift, rows3(m, m->mel + a * M, b - a, M));
    so_tensor *harmonics = so_new3(pass, 1, T * per, H);
    so_real *noise = so_take(pass, (size_t)(T * per * H) * sizeof *noise, false);
    if (noise && !pass->dry) {
        for (int64_t i = 0; i < T; i++) normals(m, from + i, 1, per * H, noise + i * per * H);
        so_hift_harmonics(c, T, so_data(f0) + (from - a), m->offset, noise, &m->phase, so_data(harmonics));
    }
    return so_hift_source(pass, &m->codec->hift, harmonics);
}

static so_status make_source(so_mouth *m, so_error *error)
{
    int64_t per = so_hift_samples(&m->codec->hift.config);
    int64_t known = complete(m) ? m->mel_frames : m->mel_frames - F0_REACH;
    while (m->source_frames < known) {
        int64_t from = m->source_frames, to = from + PIECE < known ? from + PIECE : known;
        start(m);
        so_tensor *s = source(m, from, to);
        SO_TRY(finish(m, error));
        memcpy(m->source + from * per, s->data, (size_t)((to - from) * per) * sizeof *m->source);
        m->source_frames = to;
    }
    return SO_OK;
}

static so_tensor *wave(so_mouth *m, int64_t a, int64_t b)
{
    const so_hift_config *c = &m->codec->hift.config;
    int64_t per = so_hift_samples(c);
    so_tensor *mel = rows3(m, m->mel + a * c->mels, b - a, c->mels);
    so_tensor *s = so_constant(&m->pass, 2, (int64_t[]){1, (b - a) * per}, m->source + a * per);
    return so_hift_wave(&m->pass, &m->codec->hift, mel, s);
}

static so_status make_wave(so_mouth *m, const float **pcm, int64_t *samples, so_error *error)
{
    const so_hift_config *c = &m->codec->hift.config;
    int64_t per = so_hift_samples(c), context = so_hift_context(c), from = m->wave_frames;
    int64_t known = complete(m) ? m->mel_frames : m->source_frames - context;
    int64_t to = from + PIECE < known ? from + PIECE : known;
    if (to <= from) return SO_OK;
    int64_t a = from > context ? from - context : 0,
            b = to + context < m->source_frames ? to + context : m->source_frames;
    start(m);
    so_tensor *y = wave(m, a, b);
    SO_TRY(finish(m, error));
    const so_real *made = so_data(y) + (from - a) * per;
    for (int64_t i = 0; i < (to - from) * per; i++) m->out[i] = (float)made[i];
    *pcm = m->out;
    *samples = (to - from) * per;
    m->wave_frames = to;
    return SO_OK;
}

so_status so_mouth_next(so_mouth *m, const float **pcm, int64_t *samples, so_error *error)
{
    chunk c;
    *pcm = NULL;
    *samples = 0;
    SO_TRY(make_source(m, error));
    SO_TRY(make_wave(m, pcm, samples, error));
    while (*samples == 0 && next_chunk(m, &c)) { /* a short chunk may end before what the vocoder must see ahead */
        SO_TRY(make_mel(m, &c, error));
        SO_TRY(make_source(m, error));
        SO_TRY(make_wave(m, pcm, samples, error));
    }
    return SO_OK;
}

so_status so_mouth_put(so_mouth *m, int32_t unit, so_error *error)
{
    if (m->ended) return so_fail(error, SO_ERR_STATE, "a unit after the end of the answer");
    if (m->n == m->options.max_units)
        return so_fail(error, SO_ERR_LIMIT, "an answer of more than %lld units", (long long)m->options.max_units);
    if (unit < 0 || unit >= m->codec->flow.config.units)
        return so_fail(error, SO_ERR_ARG, "speech unit %d, expected 0 to %lld", unit,
                       (long long)m->codec->flow.config.units - 1);
    m->units[m->n++] = unit;
    return SO_OK;
}

void so_mouth_end(so_mouth *m) { m->ended = true; }

int64_t so_mouth_samples(const so_mouth *m) { return m->wave_frames * so_hift_samples(&m->codec->hift.config); }

void so_mouth_reset(so_mouth *m, uint64_t seed)
{
    so_arena_release(&m->scratch, 0);
    so_arena_trim(&m->scratch);
    m->options.seed = seed;
    m->n = m->mel_units = m->mel_frames = m->tail_frames = m->source_frames = m->wave_frames = 0;
    m->ended = false;
    m->phase = (so_hift_phase){0};
    so_rng rng;
    so_rng_init(&rng, seed, ~(uint64_t)0);
    m->offset[0] = 0;
    for (int i = 1; i < SO_HIFT_HARMONICS; i++)
        m->offset[i] = (so_real)((2 * so_rng_uniform(&rng) - 1) * 3.141592653589793);
}

/* ---- memory */

static bool take_parts(so_mouth *m)
{
    const so_hift_config *c = &m->codec->hift.config;
    const so_mouth_options *o = &m->options;
    int64_t frames = frames_of(m, o->max_units) + 1, M = c->mels, per = so_hift_samples(c);
    int64_t window = frames_of(m, o->left + (o->first > o->hop ? o->first : o->hop) + o->right) + 8;
    if (window > frames) window = frames;
    so_arena *a = &m->memory;
    m->units = so_arena_alloc(a, (size_t)o->max_units * sizeof *m->units);
    m->mel = so_arena_alloc(a, (size_t)(frames * M) * sizeof *m->mel);
    m->tail = so_arena_alloc(a, (size_t)(FADE * M) * sizeof *m->tail);
    m->source = so_arena_alloc(a, (size_t)(frames * per) * sizeof *m->source);
    m->z = so_arena_alloc(a, (size_t)(window * M) * sizeof *m->z);
    m->out = so_arena_alloc(a, (size_t)(PIECE * per) * sizeof *m->out);
    return m->out != NULL;
}

static so_status rehearse(so_mouth *m, so_error *error)
{
    const so_mouth_options *o = &m->options;
    int64_t units = o->left + (o->first > o->hop ? o->first : o->hop) + o->right;
    int64_t context = so_hift_context(&m->codec->hift.config);
    if (units > o->max_units) units = o->max_units;
    m->pass.dry = true;
    start(m);
    flow(m, m->units, units, frames_of(m, units) + 2);
    SO_TRY(finish(m, error));
    m->mel_frames = PIECE + 2 * context + 2 * F0_REACH;
    start(m);
    source(m, F0_REACH, F0_REACH + PIECE);
    SO_TRY(finish(m, error));
    start(m);
    wave(m, 0, PIECE + 2 * context);
    SO_TRY(finish(m, error));
    m->pass.dry = false;
    m->mel_frames = 0;
    return SO_OK;
}

static so_status measure(so_mouth *m, size_t *session, size_t *scratch, so_error *error)
{
    SO_TRY(so_arena_init(&m->memory, (size_t)1 << 40, error));
    SO_TRY(so_arena_init(&m->scratch, (size_t)1 << 40, error));
    if (!take_parts(m)) return so_fail(error, SO_ERR_NOMEM, "an answer of %lld units", (long long)m->options.max_units);
    so_status status = rehearse(m, error);
    *session = m->memory.peak;
    *scratch = m->scratch.peak;
    so_arena_clear(&m->memory);
    so_arena_clear(&m->scratch);
    return status;
}

static so_status open_mouth(so_mouth *m, so_error *error)
{
    size_t session = 0, scratch = 0;
    SO_TRY(measure(m, &session, &scratch, error));
    SO_TRY(so_arena_init(&m->memory, session, error));
    SO_TRY(so_arena_init(&m->scratch, scratch, error));
    if (!take_parts(m)) return so_fail(error, SO_ERR_NOMEM, "no memory for speaking");
    so_mouth_reset(m, m->options.seed);
    return SO_OK;
}

so_status so_mouth_open(so_mouth **out, const so_codec *codec, so_pool *pool, const so_kernels *kernels,
                        const so_mouth_options *options, so_error *error)
{
    *out = NULL;
    if (!codec->speaks)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model does not speak: it has no flow and vocoder");
    if (options->first < 1 || options->hop < 1 || options->left < 0 || options->right < 0 || options->max_units < 1)
        return so_fail(error, SO_ERR_ARG, "chunks of %lld and %lld units", (long long)options->first,
                       (long long)options->hop);
    so_mouth *m = calloc(1, sizeof *m);
    if (!m) return so_fail(error, SO_ERR_NOMEM, "no memory for speaking");
    m->codec = codec;
    m->options = *options;
    so_pass_init(&m->pass, &m->scratch, pool, kernels);
    so_status status = open_mouth(m, error);
    if (status == SO_OK)
        *out = m;
    else
        so_mouth_close(&m);
    return status;
}

void so_mouth_close(so_mouth **mouth)
{
    if (!mouth || !*mouth) return;
    so_arena_clear(&(*mouth)->memory);
    so_arena_clear(&(*mouth)->scratch);
    free(*mouth);
    *mouth = NULL;
}
