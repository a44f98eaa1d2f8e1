/* What the ears of the tabletop recipe are given: sound as a microphone brings it, through the front end that they will
 * have when they are used.
 *
 *     samples -> surroundings (room, microphone, noise, silence, level) -> front end -> log-mel -> another throat
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "dataset/voices/surroundings.h"
#include "media/front.h"
#include "recipes/tabletop/recipe.h"

enum { MELS = 128, LEAST = 1600 /* samples that the front end must leave */ };

enum { HIDDEN = 2 };

/* Another throat for the same words, so that voices never heard are understood too: frequencies stretched, tempo
 * changed, the spectrum tilted, bands and moments hidden. */
typedef struct throat {
    double warp, tilt, level;
    int64_t frames, band[HIDDEN], bands[HIDDEN], moment[HIDDEN], moments[HIDDEN];
} throat;

static throat draw_throat(int64_t frames, so_rng *rng)
{
    double warp = 0.85 + 0.3 * so_rng_uniform(rng), tempo = 0.85 + 0.3 * so_rng_uniform(rng);
    double tilt = 0.4 * (so_rng_uniform(rng) - 0.5), level = 0.1 * so_rng_normal(rng);
    throat t = {.warp = warp, .tilt = tilt, .level = level, .frames = (int64_t)((double)frames / tempo)};
    if (t.frames < 8) t.frames = frames;
    for (int k = 0; k < HIDDEN; k++) {
        t.band[k] = so_rng_below(rng, 118), t.bands[k] = so_rng_below(rng, 13);
        t.moment[k] = so_rng_below(rng, t.frames), t.moments[k] = so_rng_below(rng, 9);
    }
    return t;
}

static bool hides(const throat *t, int64_t frame, int64_t band)
{
    for (int k = 0; k < HIDDEN; k++)
        if ((band >= t->band[k] && band < t->band[k] + t->bands[k]) ||
            (frame >= t->moment[k] && frame < t->moment[k] + t->moments[k]))
            return true;
    return false;
}

/* Features [t->frames] of the throat from those of the speaker; `pace` is all that it changes when so asked. */
static float *disguise(const float *mel, int64_t frames, const throat *t, bool pace)
{
    int64_t n = t->frames;
    float *out = malloc((size_t)(n + 1) * MELS * sizeof *out);
    for (int64_t i = 0; out && i < n; i++) {
        double at = (double)i * (double)frames / (double)n;
        int64_t t0 = (int64_t)at, t1 = t0 + 1 < frames ? t0 + 1 : frames - 1;
        float ft = (float)(at - (double)t0);
        for (int64_t b = 0; b < MELS; b++) {
            double from = pace ? (double)b : (double)b * t->warp;
            from = from > 126.999 ? 126.999 : from;
            int64_t b0 = (int64_t)from;
            float fb = (float)(from - (double)b0);
            const float *x = mel + t0 * MELS + b0, *y = mel + t1 * MELS + b0;
            float v = (1 - ft) * ((1 - fb) * x[0] + fb * x[1]) + ft * ((1 - fb) * y[0] + fb * y[1]);
            if (!pace) v = hides(t, i, b) ? 0 : v + (float)(t->tilt * ((double)b / MELS - 0.5) + t->level);
            out[i * MELS + b] = v;
        }
    }
    return out;
}

/* What the front end makes of x [n], into y [n]: every sample where it was, or one run behind another. What stands
 * beside x at the same places, if anything, goes to y_beside. */
static so_status run_front(const float *x, int64_t n, bool in_place, const float *beside, float *y, float *y_beside,
                           int64_t *kept, so_error *error)
{
    so_front *front;
    so_front_run run;
    so_status status = so_front_open(&front, NULL, error);
    *kept = 0;
    for (int64_t at = 0; at <= n && status == SO_OK; at += SO_FRONT_PIECE) {
        so_front_feed(front, x + at, n - at < SO_FRONT_PIECE ? n - at : SO_FRONT_PIECE);
        if (at + SO_FRONT_PIECE > n) so_front_finish(front);
        while (so_front_next(front, &run)) {
            int64_t to = in_place ? run.at : *kept;
            if (to + run.n > n || run.at + run.n > n) continue;
            memcpy(y + to, run.pcm, (size_t)run.n * sizeof *y);
            if (beside) memcpy(y_beside + to, beside + run.at, (size_t)run.n * sizeof *y);
            *kept += run.n;
        }
    }
    so_front_close(&front);
    return status;
}

/* What the front end lets through of x [n], one run behind another; x itself where it hears no speech. */
static so_status sift(const float *x, int64_t n, float **out, int64_t *count, so_error *error)
{
    *out = malloc((size_t)n * sizeof **out + 4);
    if (!*out) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)n);
    SO_TRY(run_front(x, n, false, NULL, *out, NULL, count, error));
    if (*count >= LEAST) return SO_OK;
    memcpy(*out, x, (size_t)n * sizeof **out);
    *count = n;
    return SO_OK;
}

/* How often somebody stops in the middle of a question, beside those whom the surroundings stop. */
static const double PAUSES = 0.2;

/* Other surroundings for x; NULL in *out: it stays as it is. Throat and pace are left to the features, which cost less
 * to change than samples. */
static so_status place(const float *x, int64_t n, so_rng *rng, double strength, float **out, int64_t *count,
                       so_error *error)
{
    so_surroundings w = so_surroundings_draw(rng, strength);
    uint64_t seed = (uint64_t)so_rng_below(rng, INT32_MAX);
    w.formants = w.speed = 0;
    /* A pause may fall anywhere, within a word too: the front end lets a part of it through, and speech goes on. */
    if (w.inside_s <= 0 && so_rng_uniform(rng) < PAUSES * strength) w.inside_s = 0.3 + 1.4 * so_rng_uniform(rng);
    return so_surroundings_apply(&w, x, n, SO_FRONT_RATE, seed, out, count, error);
}

so_status so_tt_hear(const so_tt *tt, const float *pcm, int64_t n, so_rng *rng, double strength, float **mel,
                     int64_t *frames, so_error *error)
{
    float *placed = NULL, *sifted = NULL;
    int64_t placed_n = n, kept = 0;
    so_status status = SO_OK;
    *mel = NULL;
    bool elsewhere = rng && so_rng_uniform(rng) < 0.7, other = rng && so_rng_uniform(rng) < 0.8;
    if (elsewhere) SO_TRY_GO(place(pcm, n, rng, strength, &placed, &placed_n, error));
    SO_TRY_GO(sift(placed ? placed : pcm, placed_n, &sifted, &kept, error));
    *frames = so_mel_frames(tt->whisper, kept);
    *mel = malloc((size_t)(*frames + 1) * MELS * sizeof **mel);
    if (!*mel) SO_TRY_GO(so_fail(error, SO_ERR_NOMEM, "no memory for %lld frames", (long long)*frames));
    SO_TRY_GO(so_mel_compute(tt->whisper, sifted, kept, *mel, NULL, error));
    if (other) {
        throat t = draw_throat(*frames, rng);
        float *changed = disguise(*mel, *frames, &t, false);
        if (!changed) SO_TRY_GO(so_fail(error, SO_ERR_NOMEM, "no memory for %lld frames", (long long)*frames));
        free(*mel);
        *mel = changed;
        *frames = t.frames;
    }
done:
    free(placed);
    free(sifted);
    if (status != SO_OK) {
        free(*mel);
        *mel = NULL;
    }
    return status;
}

/* ---- the same twice: as it was said, and as it comes from elsewhere */

/* Noise is what the ears lose most by: more of it than surroundings have. */
static const double LOUD = 0.35, LOUD_DB = 4, LOUD_RANGE_DB = 16;

/* x in surroundings, and x with nothing but their silences, sample for sample beside it. */
static so_status place_twice(const float *x, int64_t n, so_rng *rng, float *out[2], int64_t *count, so_error *error)
{
    int64_t counts[2];
    so_surroundings w = so_surroundings_draw(rng, 1);
    w.formants = w.speed = 0;
    if (so_rng_uniform(rng) < LOUD) {
        w.noise_db = LOUD_DB + LOUD_RANGE_DB * so_rng_uniform(rng);
        w.noise_tilt = -3.0 * (double)so_rng_below(rng, 3);
    }
    if (so_rng_uniform(rng) < 0.25) w = (so_surroundings){0};
    so_surroundings still = {.before_s = w.before_s, .inside_s = w.inside_s, .behind_s = w.behind_s};
    uint64_t seed = (uint64_t)so_rng_below(rng, INT32_MAX);
    SO_TRY(so_surroundings_apply(&w, x, n, SO_FRONT_RATE, seed, &out[0], &counts[0], error));
    SO_TRY(so_surroundings_apply(&still, x, n, SO_FRONT_RATE, seed, &out[1], &counts[1], error));
    *count = counts[0] < counts[1] ? counts[0] : counts[1];
    return SO_OK;
}

so_status so_tt_hear_twice(const so_tt *tt, const float *pcm, int64_t n, so_rng *rng, float *mel[2], int64_t *frames,
                           so_error *error)
{
    float *placed[2] = {0}, *kept[2] = {0}, *still = NULL;
    int64_t count, cut = 0;
    so_status status = SO_OK;
    bool other = so_rng_uniform(rng) < 0.5;
    mel[0] = mel[1] = NULL;
    SO_TRY_GO(place_twice(pcm, n, rng, placed, &count, error));
    still = calloc((size_t)count + 1, sizeof *still);
    for (int k = 0; k < 2; k++) kept[k] = calloc((size_t)count + 1, sizeof **kept);
    if (!still || !kept[0] || !kept[1])
        SO_TRY_GO(so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)count));
    SO_TRY_GO(run_front(placed[1], count, true, NULL, still, NULL, &cut, error));
    SO_TRY_GO(run_front(placed[0], count, false, still, kept[0], kept[1], &cut, error));
    if (cut < LEAST) { /* no speech is heard in it: nothing to be learnt but as it stands */
        cut = count;
        for (int k = 0; k < 2; k++) memcpy(kept[k], placed[1], (size_t)count * sizeof **kept);
    }
    *frames = so_mel_frames(tt->whisper, cut);
    throat t = draw_throat(*frames, rng);
    for (int k = 0; k < 2; k++) {
        mel[k] = malloc((size_t)(*frames + 1) * MELS * sizeof **mel);
        if (!mel[k]) SO_TRY_GO(so_fail(error, SO_ERR_NOMEM, "no memory for %lld frames", (long long)*frames));
        SO_TRY_GO(so_mel_compute(tt->whisper, kept[k], cut, mel[k], NULL, error));
        if (!other) continue;
        float *changed = disguise(mel[k], *frames, &t, k == 1);
        if (!changed) SO_TRY_GO(so_fail(error, SO_ERR_NOMEM, "no memory for %lld frames", (long long)t.frames));
        free(mel[k]);
        mel[k] = changed;
    }
    if (other) *frames = t.frames;
done:
    for (int k = 0; k < 2; k++) {
        free(placed[k]);
        free(kept[k]);
        if (status != SO_OK) free(mel[k]), mel[k] = NULL;
    }
    free(still);
    return status;
}
