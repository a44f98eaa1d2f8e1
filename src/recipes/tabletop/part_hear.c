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

/* Another throat for the same words, so that voices never heard are understood too: frequencies stretched, tempo
 * changed, the spectrum tilted, bands and moments hidden. Gives new features and their number of frames. */
static float *disguise(const float *mel, int64_t frames, int64_t *out_frames, so_rng *rng)
{
    enum { HIDDEN = 2 };
    double warp = 0.85 + 0.3 * so_rng_uniform(rng), tempo = 0.85 + 0.3 * so_rng_uniform(rng);
    double tilt = 0.4 * (so_rng_uniform(rng) - 0.5), level = 0.1 * so_rng_normal(rng);
    int64_t n = (int64_t)((double)frames / tempo), band[HIDDEN], bands[HIDDEN], moment[HIDDEN], moments[HIDDEN];
    if (n < 8) n = frames;
    for (int k = 0; k < HIDDEN; k++) {
        band[k] = so_rng_below(rng, 118), bands[k] = so_rng_below(rng, 13);
        moment[k] = so_rng_below(rng, n), moments[k] = so_rng_below(rng, 9);
    }
    float *out = malloc((size_t)(n + 1) * MELS * sizeof *out);
    if (!out) return NULL;
    for (int64_t t = 0; t < n; t++) {
        double at = (double)t * (double)frames / (double)n;
        int64_t t0 = (int64_t)at, t1 = t0 + 1 < frames ? t0 + 1 : frames - 1;
        float ft = (float)(at - (double)t0);
        for (int64_t b = 0; b < MELS; b++) {
            double from = (double)b * warp;
            from = from > 126.999 ? 126.999 : from;
            int64_t b0 = (int64_t)from;
            float fb = (float)(from - (double)b0);
            const float *x = mel + t0 * MELS + b0, *y = mel + t1 * MELS + b0;
            float v = (1 - ft) * ((1 - fb) * x[0] + fb * x[1]) + ft * ((1 - fb) * y[0] + fb * y[1]);
            bool hidden = false;
            for (int k = 0; k < HIDDEN; k++)
                hidden = hidden || (b >= band[k] && b < band[k] + bands[k]) ||
                         (t >= moment[k] && t < moment[k] + moments[k]);
            out[t * MELS + b] = hidden ? 0 : v + (float)(tilt * ((double)b / MELS - 0.5) + level);
        }
    }
    *out_frames = n;
    return out;
}

/* What the front end lets through of x [n], one run behind another; x itself where it hears no speech. */
static so_status sift(const float *x, int64_t n, float **out, int64_t *count, so_error *error)
{
    so_front *front;
    so_front_run run;
    float *y = malloc((size_t)n * sizeof *y + 4);
    int64_t kept = 0;
    if (!y) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)n);
    so_status status = so_front_open(&front, NULL, error);
    for (int64_t at = 0; at <= n && status == SO_OK; at += SO_FRONT_PIECE) {
        so_front_feed(front, x + at, n - at < SO_FRONT_PIECE ? n - at : SO_FRONT_PIECE);
        if (at + SO_FRONT_PIECE > n) so_front_finish(front);
        while (so_front_next(front, &run)) {
            if (kept + run.n <= n) memcpy(y + kept, run.pcm, (size_t)run.n * sizeof *y);
            kept += kept + run.n <= n ? run.n : 0;
        }
    }
    so_front_close(&front);
    if (status == SO_OK && kept < LEAST) {
        memcpy(y, x, (size_t)n * sizeof *y);
        kept = n;
    }
    *out = y;
    *count = kept;
    return status;
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
        float *changed = disguise(*mel, *frames, frames, rng);
        if (!changed) SO_TRY_GO(so_fail(error, SO_ERR_NOMEM, "no memory for %lld frames", (long long)*frames));
        free(*mel);
        *mel = changed;
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
