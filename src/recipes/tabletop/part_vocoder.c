/* The vocoder of the tabletop recipe: mel to samples in the model's one voice.
 *
 * A small HiFT learns from random crops of the answers by spectral losses alone: the harmonic source gives the phases,
 * so that magnitudes are enough for a synthetic voice. Its pitch predictor learns from measured pitch, kept in f0.f32.
 * The part "adversarial", run only when named, goes on against small discriminators.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "media/audio.h"
#include "media/f0.h"
#include "recipes/tabletop/part_stages.h"
#include "recipes/tabletop/part_vocal.h"
#include "train/loss_vocoder.h"

enum {
    HOP = 256,
    MELS = 80,
    CROPS = 4,
    FRAMES = 32,
    CROP = FRAMES * HOP,  /* of one step */
    AROUND = 4,           /* frames on either side that the mel of a crop sees */
    PITCHED = 4000,       /* answers that are learned from, their pitch is measured */
    OWN_PITCH_FROM = 800, /* steps until the source follows the predicted pitch */
    EVALUATED = 12,
    SAMPLES = 4,
};

so_hift_config so_tt_vocoder_config(void)
{
    so_hift_config c = so_hift_published();
    c.channels = 128;
    c.f0_channels = 64;
    return c;
}

so_status so_tt_vocoder_open(const so_tt *tt, so_store *store, so_hift *net, so_error *error)
{
    so_hift_config config = so_tt_vocoder_config();
    so_rng rng;
    so_rng_init(&rng, tt->seed, 5);
    so_binder binder = {.store = store, .rng = &rng};
    SO_TRY(so_store_open(store, 0, error));
    SO_TRY(so_hift_bind(net, &config, "", &binder, error));
    /* Pitch is in Hz: the last layer begins at the size of its answers. */
    for (int64_t i = 0; i < so_count(net->f0_w); i++) so_data(net->f0_w)[i] *= 60;
    so_data(net->f0_b)[0] = 150;
    return SO_OK;
}

const so_kernels *so_tt_bf16_kernels(const so_tt *tt)
{
    const so_kernels *k = tt->kernels;
    return k->bf16_gains && k->train_bf16 ? k->train_bf16 : k;
}

so_status so_tt_answer(const so_tt *tt, int64_t i, float **pcm, so_error *error)
{
    so_record r;
    so_clips clips = {0};
    so_audio audio;
    if (!tt->spoken) return so_fail(error, SO_ERR_STATE, "'%s' has no corpus", tt->folder);
    SO_TRY(so_dataset_read(tt->spoken, i, &r, error));
    so_status status = so_clips_read(&clips, &r.turn[1], &audio, error);
    so_record_clear(&r);
    *pcm = audio.samples;
    return status;
}

/* The first so many answers teach the vocoder. */
static int64_t learned(const so_tt *tt)
{
    int64_t n = so_tt_answered(tt);
    return n < PITCHED ? n : PITCHED;
}

so_status so_tt_check_answers(const so_tt *tt, int64_t frames, so_error *error)
{
    int64_t all = (int64_t)(tt->corpus.a_map.size / sizeof *tt->corpus.a), count = tt->corpus.count, long_ones = 0,
            answered = so_tt_answered(tt), taught = learned(tt);
    if (count <= SO_TT_HELD_OUT)
        return so_fail(error, SO_ERR_STATE, "a corpus of %lld items, expected more than %d", (long long)count,
                       SO_TT_HELD_OUT);
    for (int64_t i = 0; i < count; i++) {
        const so_tt_item *item = &tt->corpus.item[i];
        if (i >= answered && i < count - SO_TT_HELD_OUT) continue;
        if (item->a_at < 0 || item->a_count < 512 || item->a_count > all || item->a_at > all - item->a_count)
            return so_fail(error, SO_ERR_FORMAT, "answer %lld has %lld samples from %lld on, in a corpus of %lld",
                           (long long)i, (long long)item->a_count, (long long)item->a_at, (long long)all);
        long_ones += i < taught && so_f0_frames(item->a_count) >= frames;
    }
    if (long_ones * 10 < taught)
        return so_fail(error, SO_ERR_FORMAT, "only %lld answers last %lld frames", (long long)long_ones,
                       (long long)frames);
    return SO_OK;
}

/* ---- measured pitch */

typedef struct pitch {
    float *f0;   /* of all answers up to PITCHED, one after another */
    int64_t *at; /* [count + 1] */
    int64_t count;
} pitch;

static so_status load_pitch(const so_tt *tt, pitch *p, const char *path, so_error *error)
{
    so_map map;
    SO_TRY(so_map_open(&map, path, error));
    bool whole = map.size == (size_t)p->at[p->count] * sizeof *p->f0;
    if (whole) memcpy(p->f0, map.data, map.size);
    so_map_close(&map);
    if (!whole) return so_fail(error, SO_ERR_FORMAT, "%s belongs to another corpus", path);
    so_tt_say(tt, "vocoder: pitch of %lld answers from f0.f32", (long long)p->count);
    return SO_OK;
}

typedef struct pitch_job {
    const so_tt *tt;
    pitch *p;
    int64_t item0;
    so_status status;
    so_error error;
} pitch_job;

static void measure(void *context, int64_t i, int thread)
{
    pitch_job *job = context;
    (void)thread;
    float *pcm = NULL;
    so_status status = so_tt_answer(job->tt, job->item0 + i, &pcm, &job->error);
    const so_tt_item *item = &job->tt->corpus.item[job->item0 + i];
    if (status == SO_OK)
        status = so_f0_estimate(pcm, item->a_count, job->p->f0 + job->p->at[job->item0 + i], &job->error);
    free(pcm);
    if (status != SO_OK) job->status = status;
}

static so_status measure_pitch(const so_tt *tt, pitch *p, const char *path, so_error *error)
{
    enum { PIECE = 500 };
    for (int64_t i = 0; i < p->count; i += PIECE) {
        pitch_job job = {.tt = tt, .p = p, .item0 = i};
        so_pool_for(tt->pool, p->count - i < PIECE ? p->count - i : PIECE, measure, &job);
        if (job.status != SO_OK) {
            *error = job.error;
            return job.status;
        }
        if (tt->stop && *tt->stop) return so_fail(error, SO_ERR_STOPPED, "stopped as asked");
        so_tt_say(tt, "vocoder: pitch of %lld of %lld answers", (long long)i, (long long)p->count);
    }
    so_writer writer;
    SO_TRY(so_writer_open(&writer, path, error));
    so_status status = so_writer_put(&writer, p->f0, (size_t)p->at[p->count] * sizeof *p->f0, error);
    if (status == SO_OK) status = so_writer_commit(&writer, error);
    so_writer_drop(&writer);
    return status;
}

static so_status open_pitch(const so_tt *tt, pitch *p, so_error *error)
{
    char path[1024];
    SO_TRY(so_tt_check_answers(tt, FRAMES, error));
    p->count = learned(tt);
    p->at = malloc((size_t)(p->count + 1) * sizeof *p->at);
    if (!p->at) return so_fail(error, SO_ERR_NOMEM, "no memory for pitch");
    p->at[0] = 0;
    for (int64_t i = 0; i < p->count; i++) p->at[i + 1] = p->at[i] + so_f0_frames(tt->corpus.item[i].a_count);
    p->f0 = malloc((size_t)(p->at[p->count] + 1) * sizeof *p->f0);
    if (!p->f0) return so_fail(error, SO_ERR_NOMEM, "no memory for pitch");
    so_tt_path(tt, "f0.f32", path);
    return access(path, R_OK) == 0 ? load_pitch(tt, p, path, error) : measure_pitch(tt, p, path, error);
}

static void close_pitch(pitch *p)
{
    free(p->f0);
    free(p->at);
}

/* ---- learning */

typedef struct context {
    const so_tt *tt;
    so_hift net;
    so_discriminators discriminators;
    pitch pitch;
} context;

/* FRAMES frames of a random answer: samples, the mel that its whole would give there, pitch. */
static void crop(const context *c, so_pass *pass, so_rng *rng, so_real *wave, so_real *mel, so_real *f0)
{
    enum { WIDE = (FRAMES + 2 * AROUND) * HOP };
    const so_tt *tt = c->tt;
    int64_t i, frames;
    do {
        i = so_rng_below(rng, c->pitch.count);
        frames = so_f0_frames(tt->corpus.item[i].a_count);
    } while (frames < FRAMES);
    int64_t first = so_rng_below(rng, frames - FRAMES + 1);
    so_record r;
    if (so_dataset_read(tt->spoken, i, &r, &pass->error) != SO_OK) return;
    const int16_t *pcm = r.turn[1].samples;
    float x[WIDE], features[(FRAMES + 2 * AROUND) * MELS];
    for (int64_t k = 0; k < WIDE; k++) {
        int64_t at = (first - AROUND) * HOP + k;
        x[k] = at < 0 || at >= r.turn[1].n_samples ? 0 : (float)pcm[at] / 32768.0f;
    }
    so_record_clear(&r);
    so_mel_compute(tt->vocoder, x, WIDE, features, NULL, &pass->error);
    memcpy(wave, x + AROUND * HOP, CROP * sizeof *wave);
    memcpy(mel, features + AROUND * MELS, FRAMES * MELS * sizeof *mel);
    memcpy(f0, c->pitch.f0 + c->pitch.at[i] + first, FRAMES * sizeof *f0);
}

/* Crops, and what the vocoder makes of them. */
static bool play(context *c, so_pass *pass, so_rng *rng, bool own_pitch, so_vocoder_take *s)
{
    static const so_wave_mel band = {
        .rate = 22050, .n_fft = 1024, .hop = HOP, .mels = MELS, .f_min = 0, .f_max = 11025};
    pass->k = c->tt->kernels;
    *s = (so_vocoder_take){.real = so_new2(pass, CROPS, CROP), .band = band};
    so_tensor *mel = so_new3(pass, CROPS, FRAMES, MELS);
    so_real *f0 = so_take(pass, CROPS * FRAMES * sizeof *f0, false);
    s->f0 = f0;
    if (!so_ok(pass)) return false;
    for (int64_t b = 0; b < CROPS && so_ok(pass); b++)
        crop(c, pass, rng, so_data(s->real) + b * CROP, so_data(mel) + b * FRAMES * MELS, f0 + b * FRAMES);
    s->guess = so_hift_f0(pass, &c->net, mel);
    if (!so_ok(pass)) return false;
    const so_real *heights = own_pitch ? so_data(s->guess) : f0;
    s->wave = so_hift_wave(pass, &c->net, mel, so_vocoder_source(pass, &c->net, CROPS, FRAMES, heights, rng));
    return so_ok(pass);
}

static so_tensor *micro(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    so_vocoder_take s;
    if (!play(c, pass, &m->rng, m->step >= OWN_PITCH_FROM, &s)) return NULL;
    m->tokens = CROPS * FRAMES;
    so_tensor *loss = so_vocoder_loss(pass, &s, &so_tt_stage_find("vocoder")->stage, 1, m->notes);
    pass->k = so_tt_bf16_kernels(c->tt); /* forward, its rounding raised the mel loss by a tenth */
    return loss;
}

/* Player 0 is the vocoder, player 1 the discriminators (docs/model.md 7.6). */
static so_tensor *contest(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    so_vocoder_take s;
    if (!play(c, pass, &m->rng, true, &s)) return NULL;
    if (m->player == 0) m->tokens = CROPS * FRAMES;
    so_tensor *loss = so_vocoder_contest(pass, &c->discriminators, &s, &so_tt_stage_find("adversarial")->stage, m, 1);
    pass->k = so_tt_bf16_kernels(c->tt);
    return loss;
}

/* ---- judging */

so_tensor *so_tt_sing(so_pass *pass, const so_hift *net, so_tensor *mel, uint64_t seed)
{
    so_rng rng;
    so_rng_init(&rng, seed, 6);
    so_tensor *x = mel ? so_reshape(pass, mel, 3, (int64_t[]){1, so_rows(mel), so_cols(mel)}) : NULL;
    so_tensor *f0 = so_hift_f0(pass, net, x);
    if (!f0) return NULL;
    return so_hift_wave(pass, net, x, so_vocoder_source(pass, net, 1, so_rows(mel), so_data(f0), &rng));
}

so_status so_tt_sample(const so_tt *tt, const char *kind, int64_t item, const float *x, int64_t n, so_error *error)
{
    char name[128], path[1024];
    SO_TRY(so_make_folder(so_tt_path(tt, "samples", path), error));
    snprintf(name, sizeof name, "samples/%lld-%s.wav", (long long)item, kind);
    return so_audio_write(so_tt_path(tt, name, path), SO_AUDIO_WAV_S16, x, n, 22050, error);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static so_status evaluate_one(const context *c, so_pass *pass, int64_t item, bool keep, so_notes *notes,
                              so_error *error)
{
    const so_tt *tt = c->tt;
    float *pcm;
    SO_TRY(so_tt_answer(tt, item, &pcm, error));
    int64_t T = so_f0_frames(tt->corpus.item[item].a_count), n = T * HOP;
    size_t mark = so_arena_mark(pass->arena);
    so_tensor *mel = so_new2(pass, T, MELS), *again = so_new2(pass, T, MELS);
    float *f0 = so_take(pass, (size_t)T * sizeof *f0, false);
    so_status status = f0 ? so_mel_compute(tt->vocoder, pcm, n, so_data(mel), NULL, error) : pass->error.status;
    if (status == SO_OK) status = so_f0_estimate(pcm, n, f0, error);
    double begin = now();
    so_tensor *wave = status == SO_OK ? so_tt_sing(pass, &c->net, mel, (uint64_t)item) : NULL;
    so_notes_add(notes, "s of work a s", (now() - begin) * 22050 / (double)n, (double)T);
    so_tensor *guess = wave ? so_hift_f0(pass, &c->net, so_reshape(pass, mel, 3, (int64_t[]){1, T, MELS})) : NULL;
    if (status == SO_OK && !guess) *error = pass->error, status = pass->error.status;
    if (status == SO_OK) status = so_mel_compute(tt->vocoder, so_data(wave), n, so_data(again), NULL, error);
    if (status == SO_OK) {
        double sum = 0;
        for (int64_t i = 0; i < T * MELS; i++) sum += fabs((double)so_data(mel)[i] - (double)so_data(again)[i]);
        so_notes_add(notes, "mel L1", sum / (double)(T * MELS), (double)T);
        for (int64_t t = 0; t < T; t++) {
            float g = so_data(guess)[t];
            so_notes_add(notes, "voicing errors", (g > 30) != (f0[t] > 0), 1);
            if (f0[t] > 0) so_notes_add(notes, "f0 error Hz", fabs((double)(g - f0[t])), 1);
        }
        if (keep) status = so_tt_sample(tt, "real", item, pcm, n, error);
        if (keep && status == SO_OK) status = so_tt_sample(tt, "vocoded", item, so_data(wave), n, error);
    }
    so_arena_release(pass->arena, mark);
    free(pcm);
    return status;
}

static so_status evaluate(void *p, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    (void)step;
    context *c = p;
    pass->k = c->tt->kernels;
    int64_t first = c->tt->corpus.count - SO_TT_HELD_OUT;
    for (int64_t i = 0; i < EVALUATED; i++)
        SO_TRY(evaluate_one(c, pass, first + i * (SO_TT_HELD_OUT / EVALUATED), i < SAMPLES, notes, error));
    return SO_OK;
}

so_status so_tt_vocoder(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "vocoder")) return SO_OK;
    context c = {.tt = tt};
    so_store store;
    SO_TRY(so_tt_vocoder_open(tt, &store, &c.net, error));
    SO_TRY(open_pitch(tt, &c.pitch, error));
    so_tt_job job = {
        .part = "vocoder", .store = &store, .hooks = {.context = &c, .micro = micro, .evaluate = evaluate}};
    so_status status = so_tt_learn(tt, &job, error);
    so_store_close(&store);
    close_pitch(&c.pitch);
    return status;
}

/* ---- adversarial training */

so_status so_tt_adversarial(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "adversarial")) return SO_OK;
    context c = {.tt = tt};
    so_store store, discriminators;
    so_rng rng;
    so_rng_init(&rng, tt->seed, 10);
    so_binder binder = {.store = &discriminators, .rng = &rng};
    so_discriminators_config config = so_discriminators_for(so_tt_vocoder_config().channels);
    SO_TRY(so_store_open(&discriminators, 0, error));
    SO_TRY(so_discriminators_bind(&c.discriminators, &config, "", &binder, error));
    SO_TRY(so_tt_vocoder_open(tt, &store, &c.net, error));
    SO_TRY(so_tt_overlay(tt, &store, "vocoder", error));
    SO_TRY(open_pitch(tt, &c.pitch, error));
    so_tt_job job = {.part = "adversarial",
                     .store = &store,
                     .against = &discriminators,
                     .hooks = {.context = &c, .micro = contest, .evaluate = evaluate}};
    so_status status = so_tt_learn(tt, &job, error);
    so_store_close(&discriminators);
    so_store_close(&store);
    close_pitch(&c.pitch);
    return status;
}
