/* The vocoder in a run from a file: mel to samples, alone or against discriminators.
 *
 * Discriminators begin at random, learn as the second player of every update, stand in checkpoints and are not kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "media/f0.h"
#include "recipes/run/run_codec.h"
#include "train/loss_vocoder.h"

enum {
    FRAMES = 32, /* of a crop */
    AROUND = 8,  /* frames on either side that its mel and pitch see */
    WIDE = (FRAMES + 2 * AROUND) * HOP,
};

so_status so_run_vocoder_open(so_run *run, so_error *error)
{
    struct so_run_codec *c = run->codec;
    so_rng rng;
    if (so_stage_weight(&run->stage, "fooling") <= 0) return SO_OK;
    c->contest = true;
    so_rng_init(&rng, (uint64_t)run->config.seed, 0x6a756467u);
    so_binder binder = {.store = &c->judging, .rng = &rng};
    so_discriminators_config config = so_discriminators_for(c->hift.config.channels);
    SO_TRY(so_store_open(&c->judging, 0, error));
    return so_discriminators_bind(&c->judges, &config, "", &binder, error);
}

/* FRAMES frames from a random place of a recording: samples, the mel and the pitch that the whole would give there. */
static void crop(const struct so_run_codec *c, so_pass *pass, const so_sample *s, so_rng *rng, so_real *wave,
                 so_real *mel, so_real *f0)
{
    int64_t M = c->hift.config.mels, frames = s->n_sound / HOP;
    int64_t first = frames > FRAMES ? so_rng_below(rng, frames - FRAMES + 1) : 0;
    float *x = so_take(pass, WIDE * sizeof *x, false);
    float *features = so_take(pass, (size_t)((FRAMES + 2 * AROUND) * M) * sizeof *features, false);
    float pitch[WIDE / SO_F0_HOP];
    so_error error;
    if (!x || !features) return;
    for (int64_t k = 0; k < WIDE; k++) {
        int64_t at = (first - AROUND) * HOP + k;
        x[k] = at < 0 || at >= s->n_sound ? 0 : s->sound[at];
    }
    if (so_mel_compute(c->mel, x, WIDE, features, NULL, &error) != SO_OK ||
        so_f0_estimate(x, WIDE, pitch, &error) != SO_OK) {
        so_pass_fail(pass, error.status, "%s", error.text);
        return;
    }
    memcpy(wave, x + AROUND * HOP, FRAMES * HOP * sizeof *wave);
    memcpy(mel, features + AROUND * M, (size_t)(FRAMES * M) * sizeof *mel);
    memcpy(f0, pitch + AROUND, FRAMES * sizeof *f0);
}

so_tensor *so_run_vocoder_learn(so_run *run, so_pass *pass, so_micro *m, const so_sample *s, int64_t n)
{
    struct so_run_codec *c = run->codec;
    int64_t M = c->hift.config.mels;
    so_vocoder_take t = {
        .real = so_new2(pass, n, FRAMES * HOP),
        .band = {.rate = VOICE_RATE, .n_fft = 1024, .hop = HOP, .mels = (int)M, .f_min = 0, .f_max = VOICE_RATE / 2}};
    so_tensor *mel = so_new3(pass, n, FRAMES, M);
    so_real *f0 = so_take(pass, (size_t)(n * FRAMES) * sizeof *f0, false);
    t.f0 = f0;
    for (int64_t b = 0; b < n && t.real && mel && f0 && so_ok(pass); b++)
        crop(c, pass, &s[b], &m->rng, so_data(t.real) + b * FRAMES * HOP, so_data(mel) + b * FRAMES * M,
             f0 + b * FRAMES);
    if (!so_ok(pass)) return NULL;
    t.guess = so_hift_f0(pass, &c->hift, mel);
    if (!so_ok(pass)) return NULL;
    /* A vocoder that is judged is given its own estimate of the pitch, as it will be used. */
    const so_real *heights = c->contest ? so_data(t.guess) : f0;
    t.wave = so_hift_wave(pass, &c->hift, mel, so_vocoder_source(pass, &c->hift, n, FRAMES, heights, &m->rng));
    if (!so_ok(pass)) return NULL;
    if (m->player == 0) m->tokens += n * FRAMES;
    return c->contest ? so_vocoder_contest(pass, &c->judges, &t, &run->stage, m, (double)n)
                      : so_vocoder_loss(pass, &t, &run->stage, (double)n, m->notes);
}
