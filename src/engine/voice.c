/* Streaming out. See voice.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/voice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOURCE_FRAMES = 32, /* frames whose harmonics are in memory at a time */
    FADE = 128          /* samples before a border that are mixed with what the next piece makes of them */
};

static const so_voice_options defaults = {.first = 6, .piece = 25, .right = 3, .left = 50, .limit = 1500};

/* What is random in an answer: its seed, and the phases of the harmonics. */
typedef struct chance {
    uint64_t seed;
    so_real offset[SO_HIFT_HARMONICS];
} chance;

struct so_voice_stream {
    so_flow flow; /* with the steps asked for */
    const so_hift *hift;
    const float *speaker;
    int64_t first, piece, right, left, limit, context, fade;
    int64_t each;          /* samples a frame */
    so_arena memory;
    chance chance;

    int32_t *units;        /* [limit] */
    int64_t n;
    bool last;
    int64_t done, made;    /* units with final mel; those of the last piece */
    so_real *mel;          /* [frames of limit, M] */
    int64_t final, known;  /* frames of it that are final; that exist, the right context included */
    so_real *source;       /* [frames of limit, each] */
    int64_t sourced;       /* frames of it that are final */
    so_hift_phase phase;   /* after them */
    int64_t given, told;   /* samples given, units said to be spoken by them */
    float *tail;           /* [fade] what follows the samples given, as the last piece had it */
    float *pcm;
};

/* ---- randomness */

static void draw_chance(chance *c, int64_t harmonics, uint64_t seed)
{
    so_rng rng;
    c->seed = seed;
    so_rng_init(&rng, seed, UINT64_MAX);
    c->offset[0] = 0;
    for (int64_t h = 1; h < harmonics; h++) c->offset[h] = (so_real)((2 * so_rng_uniform(&rng) - 1) * 3.14159265358979323846);
}

/* n normal numbers of one frame; `kind` 0: of the flow, 1: of the source. */
static void frame_noise(const chance *c, int64_t frame, int kind, int64_t n, so_real *out)
{
    so_rng rng;
    so_rng_init(&rng, c->seed, (uint64_t)frame * 2 + (uint64_t)kind);
    for (int64_t i = 0; i < n; i++) out[i] = (so_real)so_rng_normal(&rng);
}

/* Noise of frames from..from+T-1, [T, M]. */
static so_tensor *flow_noise(so_pass *pass, const chance *c, int64_t from, int64_t T, int64_t M)
{
    so_tensor *z = so_new2(pass, T, M);
    for (int64_t t = 0; z && t < T && !pass->dry; t++) frame_noise(c, from + t, 0, M, so_data(z) + t * M);
    return z;
}

/* Source of the frames from..from+T-1 with f0[T] into out[T, each]; moves `phase`. */
static void make_source(so_pass *pass, const so_hift *hift, const chance *c, int64_t from, int64_t T, const so_real *f0,
                        so_hift_phase *phase, so_real *out)
{
    int64_t H = hift->config.harmonics + 1, each = so_hift_samples(&hift->config);
    for (int64_t t0 = 0; t0 < T && so_ok(pass); t0 += SOURCE_FRAMES) {
        int64_t n = T - t0 < SOURCE_FRAMES ? T - t0 : SOURCE_FRAMES;
        size_t mark = so_arena_mark(pass->arena);
        so_tensor *x = so_new3(pass, 1, n * each, H);
        so_real *noise = so_take(pass, (size_t)(each * H) * sizeof *noise, false);
        for (int64_t t = 0; x && noise && t < n && !pass->dry; t++) {
            frame_noise(c, from + t0 + t, 1, each * H, noise);
            so_hift_harmonics(&hift->config, 1, f0 + t0 + t, c->offset, noise, phase, so_data(x) + t * each * H);
        }
        so_tensor *s = so_hift_source(pass, hift, x);
        if (s && !pass->dry) memcpy(out + t0 * each, s->data, (size_t)(n * each) * sizeof *out);
        so_arena_release(pass->arena, mark);
    }
}

/* ---- opening */

static so_status check_nets(const so_flow *flow, const so_hift *hift, so_error *error)
{
    const so_flow_config *f = &flow->config;
    const so_hift_config *h = &hift->config;
    if (f->mels != h->mels || f->rate != h->rate || f->hop != so_hift_samples(h) || f->unit_rate < 1)
        return so_fail(error, SO_ERR_ARG, "voice: the flow makes %lld bins, %lld Hz, %lld samples a frame; the vocoder reads "
                       "%lld, %lld, %lld", (long long)f->mels, (long long)f->rate, (long long)f->hop, (long long)h->mels,
                       (long long)h->rate, (long long)so_hift_samples(h));
    return SO_OK;
}

static int64_t choose(int asked, int otherwise) { return asked > 0 ? asked : asked < 0 ? 0 : otherwise; }

static so_status take_memory(so_voice_stream *v, so_error *error)
{
    int64_t frames = so_flow_frames(&v->flow.config, v->limit), big = v->first > v->piece ? v->first : v->piece;
    int64_t out = so_flow_frames(&v->flow.config, big + v->right + 1) + SO_VOICE_HOLD + 2;
    if (out > frames) out = frames;
    size_t part[5] = {(size_t)v->limit * sizeof *v->units, (size_t)(frames * v->flow.config.mels) * sizeof *v->mel,
                      (size_t)(frames * v->each) * sizeof *v->source, (size_t)v->fade * sizeof *v->tail,
                      (size_t)(out * v->each + v->fade) * sizeof *v->pcm};
    size_t all = 0;
    for (int i = 0; i < 5; i++) all += part[i] + 64;
    SO_TRY(so_arena_init(&v->memory, all, error));
    v->units = so_arena_alloc(&v->memory, part[0]);
    v->mel = so_arena_alloc(&v->memory, part[1]);
    v->source = so_arena_alloc(&v->memory, part[2]);
    v->tail = so_arena_alloc(&v->memory, part[3]);
    v->pcm = so_arena_alloc(&v->memory, part[4]);
    return v->pcm ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
}

so_status so_voice_stream_open(so_voice_stream **out, const so_flow *flow, const so_hift *hift, const float *speaker,
                               const so_voice_options *options, so_error *error)
{
    *out = NULL;
    SO_TRY(check_nets(flow, hift, error));
    so_voice_options o = options ? *options : defaults;
    so_voice_stream *v = calloc(1, sizeof *v);
    if (!v) return so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
    v->flow = *flow;
    if (o.steps > 0) v->flow.config.steps = o.steps;
    v->hift = hift;
    v->speaker = speaker;
    v->first = o.first > 0 ? o.first : defaults.first;
    v->piece = o.piece > 0 ? o.piece : defaults.piece;
    v->limit = o.limit > 0 ? o.limit : defaults.limit;
    v->right = choose(o.right, defaults.right);
    v->left = choose(o.left, defaults.left);
    if (v->first > v->limit) v->first = v->limit;
    if (v->piece > v->limit) v->piece = v->limit;
    if (v->right > v->limit) v->right = v->limit;
    v->context = so_hift_context(&hift->config);
    v->each = so_hift_samples(&hift->config);
    v->fade = FADE;
    so_status status = take_memory(v, error);
    if (status != SO_OK) {
        so_voice_stream_close(&v);
        return status;
    }
    so_voice_stream_reset(v, o.seed);
    *out = v;
    return SO_OK;
}

void so_voice_stream_close(so_voice_stream **voice)
{
    if (!voice || !*voice) return;
    so_arena_clear(&(*voice)->memory);
    free(*voice);
    *voice = NULL;
}

void so_voice_stream_reset(so_voice_stream *v, uint64_t seed)
{
    draw_chance(&v->chance, v->hift->config.harmonics + 1, seed);
    v->n = v->done = v->made = v->final = v->known = v->sourced = v->given = v->told = 0;
    v->last = false;
    v->phase = (so_hift_phase){{0}};
}

/* ---- units to mel */

/* Units from..to of a longer row, already encoded as h[to - from, M], at the frames that are theirs: frame k of the row
 * stands at unit (k + 1/2) / (frames a unit) - 1/2. Whole rows stretch their ends for themselves; they differ by at most
 * 10 ms from this. */
static so_tensor *regulate(so_pass *pass, const so_flow *net, so_tensor *h, int64_t from, int64_t to)
{
    const so_flow_config *c = &net->config;
    int64_t k0 = so_flow_frames(c, from), T = so_flow_frames(c, to) - k0;
    double units = (double)(c->unit_rate * c->hop) / (double)c->rate;
    int32_t *index = so_take(pass, (size_t)T * sizeof *index, false);
    so_real *weight = so_take(pass, (size_t)T * sizeof *weight, false);
    for (int64_t k = 0; weight && k < T; k++) {
        double at = ((double)(k0 + k) + 0.5) * units - 0.5 - (double)from;
        at = at < 0 ? 0 : at > (double)(to - from - 1) ? (double)(to - from - 1) : at;
        index[k] = (int32_t)at;
        if (index[k] > to - from - 2) index[k] = (int32_t)(to - from > 1 ? to - from - 2 : 0);
        weight[k] = (so_real)(at - (double)index[k]);
    }
    so_tensor *x = weight ? so_lerp_rows(pass, h, T, index, weight) : NULL;
    if (!x) return NULL;
    x = so_flow_smooth(pass, net, so_reshape(pass, x, 3, (int64_t[]){1, T, c->mels}));
    return x ? so_reshape(pass, x, 2, (int64_t[]){T, c->mels}) : NULL;
}

/* Frames of units from..to. Those that are final already are shown to the flow, as a prompt's are: it then goes on where
 * they end, and a border has no more change in it than any other place. */
static so_tensor *flow_piece(so_voice_stream *v, so_pass *pass, int64_t from, int64_t to)
{
    const so_flow *net = &v->flow;
    const so_flow_config *c = &net->config;
    int64_t k0 = so_flow_frames(c, from), T = so_flow_frames(c, to) - k0;
    bool whole = from == 0 && v->last && to == v->n;
    so_tensor *speaker = so_flow_speaker(pass, net, so_constant(pass, 2, (int64_t[]){1, c->speaker}, v->speaker));
    so_tensor *h = so_flow_project(pass, net, so_flow_encoder(pass, net, 1, to - from, v->units + from, NULL));
    so_tensor *mu = whole ? so_flow_regulate(pass, net, h, 0, 0, T) : regulate(pass, net, h, from, to);
    so_tensor *z = flow_noise(pass, &v->chance, k0, T, c->mels), *cond = NULL;
    if (v->final > k0) {
        cond = so_new2(pass, T, c->mels);
        int64_t shown = (v->final - k0) * c->mels;
        if (cond && !pass->dry) {
            memset(cond->data, 0, (size_t)so_count(cond) * sizeof(so_real));
            memcpy(cond->data, v->mel + k0 * c->mels, (size_t)shown * sizeof(so_real));
        }
    }
    return so_flow_sample(pass, net, z, mu, speaker, cond);
}

/* Makes the mel of units up to `end`, and of the right context up to `to`. */
static void make_mel(so_voice_stream *v, so_pass *pass, int64_t end, int64_t to)
{
    const so_flow_config *c = &v->flow.config;
    int64_t M = c->mels, from = v->done > v->left ? v->done - v->left : 0, k0 = so_flow_frames(c, from);
    size_t mark = so_arena_mark(pass->arena);
    so_tensor *mel = flow_piece(v, pass, from, to);
    int64_t known = so_flow_frames(c, to);
    if (mel && !pass->dry)
        memcpy(v->mel + v->final * M, so_data(mel) + (v->final - k0) * M, (size_t)((known - v->final) * M) * sizeof *v->mel);
    so_arena_release(pass->arena, mark);
    if (!so_ok(pass)) return;
    v->made = end - v->done;
    v->done = end;
    v->final = so_flow_frames(c, end);
    v->known = known;
}

/* ---- mel to audio */

/* Source of all frames known; it is final up to frame `sure`. */
static void extend_source(so_voice_stream *v, so_pass *pass, int64_t sure)
{
    int64_t M = v->flow.config.mels, from = v->sourced > SO_VOICE_HOLD ? v->sourced - SO_VOICE_HOLD : 0;
    int64_t T = v->known - from, skip = v->sourced - from;
    size_t mark = so_arena_mark(pass->arena);
    so_tensor *f0 = so_hift_f0(pass, v->hift, so_constant(pass, 3, (int64_t[]){1, T, M}, v->mel + from * M));
    if (f0) {
        make_source(pass, v->hift, &v->chance, v->sourced, sure - v->sourced, so_data(f0) + skip, &v->phase,
                    v->source + v->sourced * v->each);
        so_hift_phase phase = v->phase;
        make_source(pass, v->hift, &v->chance, sure, v->known - sure, so_data(f0) + (sure - from), &phase,
                    v->source + sure * v->each);
    }
    so_arena_release(pass->arena, mark);
    if (so_ok(pass)) v->sourced = sure;
}

/* Audio up to frame `end` into v->pcm; returns its samples. At the end of the answer nothing is kept back. */
static int64_t make_audio(so_voice_stream *v, so_pass *pass, int64_t end, bool over)
{
    int64_t M = v->flow.config.mels, start = v->given / v->each - v->context, stop = end + v->context;
    if (start < 0) start = 0;
    if (stop > v->known) stop = v->known;
    size_t mark = so_arena_mark(pass->arena);
    so_tensor *mel = so_constant(pass, 3, (int64_t[]){1, stop - start, M}, v->mel + start * M);
    so_tensor *source = so_constant(pass, 2, (int64_t[]){1, (stop - start) * v->each}, v->source + start * v->each);
    so_tensor *wave = so_hift_wave(pass, v->hift, mel, source);
    int64_t ready = end * v->each, n = over ? ready - v->given : ready - v->fade - v->given;
    if (wave && !pass->dry && n > 0) {
        const so_real *fresh = so_data(wave) + (v->given - start * v->each);
        for (int64_t i = 0; i < n; i++) {
            float w = ((float)i + 0.5f) / (float)v->fade;
            bool mix = v->given > 0 && i < v->fade;
            v->pcm[i] = mix ? v->tail[i] + w * ((float)fresh[i] - v->tail[i]) : (float)fresh[i];
        }
        if (!over) memcpy(v->tail, fresh + n, (size_t)v->fade * sizeof *v->tail);
    }
    so_arena_release(pass->arena, mark);
    return n > 0 && wave ? n : 0;
}

static int64_t vocode(so_voice_stream *v, so_pass *pass, bool over)
{
    int64_t sure = over ? v->known : v->final - SO_VOICE_HOLD;
    if (sure > v->sourced) extend_source(v, pass, sure);
    if (!so_ok(pass) || (sure * v->each <= v->given + (over ? 0 : v->fade))) return 0;
    return make_audio(v, pass, sure, over);
}

/* ---- the stream */

so_status so_voice_stream_feed(so_voice_stream *v, const int32_t *units, int64_t n, bool last, so_error *error)
{
    if (v->last && (n > 0 || !last)) return so_fail(error, SO_ERR_STATE, "units after the last of an answer");
    if (n < 0 || n > v->limit - v->n)
        return so_fail(error, SO_ERR_LIMIT, "an answer of more than %lld units", (long long)v->limit);
    for (int64_t i = 0; i < n; i++)
        if (units[i] < 0 || units[i] >= v->flow.config.units)
            return so_fail(error, SO_ERR_ARG, "unit %d, expected 0 to %lld", (int)units[i],
                           (long long)v->flow.config.units - 1);
    if (n > 0) memcpy(v->units + v->n, units, (size_t)n * sizeof *units);
    v->n += n;
    v->last = last;
    return SO_OK;
}

/* The next piece: units up to *end, right context up to *to. False when more units must come first. A whole piece is made
 * whenever there is enough for one, known to be the last or not, so that audio does not depend on when units came. */
static bool next_piece(const so_voice_stream *v, int64_t *end, int64_t *to)
{
    int64_t piece = v->done ? v->made + (v->made + 1) / 2 : v->first, rest = v->n - v->done;
    if (v->done && piece > v->piece) piece = v->piece;
    if (rest >= piece + v->right && rest > 0) {
        *end = v->done + piece;
        *to = *end + v->right;
        return true;
    }
    *end = *to = v->n;
    return v->last && rest > 0;
}

so_status so_voice_stream_next(so_voice_stream *v, so_pass *pass, const float **pcm, int64_t *samples, int64_t *unit0,
                               int64_t *units, so_error *error)
{
    const so_flow_config *c = &v->flow.config;
    int64_t end, to;
    *pcm = v->pcm;
    *samples = *units = 0;
    *unit0 = v->told;
    bool over = v->last && v->done == v->n, more = true;
    while (more && so_ok(pass) && *samples == 0) {
        more = next_piece(v, &end, &to);
        if (more) make_mel(v, pass, end, to);
        over = v->last && v->done == v->n;
        if (so_ok(pass) && (more || (over && v->given < v->final * v->each))) *samples = vocode(v, pass, over);
    }
    if (!so_ok(pass)) return so_fail(error, pass->error.status, "%s", pass->error.text);
    v->given += *samples;
    int64_t spoken = v->given * c->unit_rate / c->rate;
    if (over && v->given == v->final * v->each) spoken = v->n;
    *units = spoken - v->told;
    v->told = spoken;
    return SO_OK;
}

const so_real *so_voice_stream_mel(const so_voice_stream *v, int64_t *frames)
{
    *frames = v->final;
    return v->mel;
}

so_status so_voice_stream_plan(const so_voice_stream *voice, const so_kernels *kernels, size_t *bytes, so_error *error)
{
    so_voice_stream v = *voice;
    const so_flow_config *c = &v.flow.config;
    so_arena arena;
    so_pass pass;
    SO_TRY(so_arena_init(&arena, (size_t)1 << 40, error));
    so_pass_init(&pass, &arena, NULL, kernels);
    pass.dry = true;
    int64_t big = v.first > v.piece ? v.first : v.piece;
    v.done = v.left;
    v.n = v.left + big + v.right + 1;
    if (v.n > v.limit) v.n = v.limit;
    if (v.done >= v.n) v.done = v.n - 1;
    v.last = false;
    v.final = v.known = so_flow_frames(c, v.done);
    v.sourced = v.final > SO_VOICE_HOLD ? v.final - SO_VOICE_HOLD : 0;
    v.given = v.sourced * v.each > v.fade ? v.sourced * v.each - v.fade : 0;
    make_mel(&v, &pass, v.n, v.n);
    vocode(&v, &pass, true);
    *bytes = arena.peak;
    so_arena_clear(&arena);
    return so_ok(&pass) ? SO_OK : so_fail(error, pass.error.status, "%s", pass.error.text);
}

/* ---- the oracle */

int64_t so_voice_samples(const so_flow *flow, int64_t units)
{
    return so_flow_frames(&flow->config, units) * flow->config.hop;
}

so_status so_voice_whole(const so_flow *flow, const so_hift *hift, const float *speaker, const int32_t *units, int64_t n,
                         uint64_t seed, int steps, so_pass *pass, float *pcm, float *mel_out, so_error *error)
{
    SO_TRY(check_nets(flow, hift, error));
    if (n < 1) return n < 0 ? so_fail(error, SO_ERR_ARG, "%lld units", (long long)n) : SO_OK;
    so_flow net = *flow;
    if (steps > 0) net.config.steps = steps;
    chance c;
    draw_chance(&c, hift->config.harmonics + 1, seed);
    int64_t T = so_flow_frames(&net.config, n), M = net.config.mels, each = so_hift_samples(&hift->config);
    size_t mark = so_arena_mark(pass->arena);
    so_tensor *z = flow_noise(pass, &c, 0, T, M);
    so_flow_request request = {.N = n, .frames = T, .ids = units, .vector = speaker, .z = z ? so_data(z) : NULL};
    so_tensor *mel = z ? so_flow_mel(pass, &net, &request, NULL) : NULL;
    if (mel && mel_out && !pass->dry) memcpy(mel_out, mel->data, (size_t)(T * M) * sizeof *mel_out);
    mel = mel ? so_reshape(pass, mel, 3, (int64_t[]){1, T, M}) : NULL;
    so_tensor *f0 = mel ? so_hift_f0(pass, hift, mel) : NULL, *source = so_new2(pass, 1, T * each);
    so_hift_phase phase = {{0}};
    if (f0 && source) make_source(pass, hift, &c, 0, T, so_data(f0), &phase, so_data(source));
    so_tensor *wave = mel ? so_hift_wave(pass, hift, mel, source) : NULL;
    if (wave && !pass->dry) memcpy(pcm, wave->data, (size_t)(T * each) * sizeof *pcm);
    so_arena_release(pass->arena, mark);
    return so_ok(pass) ? SO_OK : so_fail(error, pass->error.status, "%s", pass->error.text);
}
