/* Fundamental frequency: peaks of the normalised correlation of 46 ms, then the best path through the clip's peaks,
 * which is what guards against octave errors: a jump costs more than a slightly lower peak.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/f0.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "media/fft.h"

enum { WINDOW = 1024, TRANSFORM = 2 * WINDOW, CANDIDATES = 8 };
enum { LAG_MIN = SO_F0_RATE / SO_F0_HIGHEST, LAG_MAX = SO_F0_RATE / SO_F0_LOWEST };

/* Boersma's values, costs per 10 ms scaled to our hop. */
static const double VOICING = 0.45, SILENCE = 0.03, OCTAVE = 0.01;
static const double STEP = 0.01 * SO_F0_RATE / SO_F0_HOP, JUMP = 0.35, SWITCH = 0.14;

/* Ways a frame can be: entry 0 is unvoiced. */
typedef struct frame {
    int n;
    float hz[CANDIDATES];
    float strength[CANDIDATES];
    int8_t from[CANDIDATES]; /* the best way of the frame before */
} frame;

typedef struct work {
    so_fft *fft;
    double x[TRANSFORM], power[TRANSFORM];
    double correlation[LAG_MAX + 2];
    so_bin spectrum[TRANSFORM / 2 + 1], scratch[TRANSFORM / 2];
} work;

int64_t so_f0_frames(int64_t n) { return n > 0 ? n / SO_F0_HOP : 0; }

/* correlation[t] = 2 sum x[j] x[j+t] / sum (x[j]^2 + x[j+t]^2) over the pairs inside the window: 1 for a perfect
 * period. */
static void correlate(work *w)
{
    so_fft_real(w->fft, w->x, w->spectrum, w->scratch);
    for (int k = 0; k <= TRANSFORM / 2; k++) {
        double p = w->spectrum[k].re * w->spectrum[k].re + w->spectrum[k].im * w->spectrum[k].im;
        w->power[k] = p;
        if (k > 0) w->power[TRANSFORM - k] = p;
    }
    so_fft_real(w->fft, w->power, w->spectrum, w->scratch); /* of an even sequence: its own inverse, times length */
    double energy = 0;
    for (int j = 0; j < WINDOW; j++) energy += 2 * w->x[j] * w->x[j];
    for (int t = 0; t <= LAG_MAX + 1; t++) {
        w->correlation[t] = energy > 1e-9 ? 2 * w->spectrum[t].re / TRANSFORM / energy : 0;
        energy -= w->x[t] * w->x[t] + w->x[WINDOW - 1 - t] * w->x[WINDOW - 1 - t];
    }
}

/* Keeps the strongest candidates; entry 0 stays. */
static void offer(frame *f, double hz, double strength)
{
    int at = f->n;
    if (f->n == CANDIDATES) {
        at = 1;
        for (int i = 2; i < CANDIDATES; i++)
            if (f->strength[i] < f->strength[at]) at = i;
        if ((double)f->strength[at] >= strength) return;
    } else {
        f->n++;
    }
    f->hz[at] = (float)hz;
    f->strength[at] = (float)strength;
}

static void find_candidates(work *w, frame *f)
{
    const double *c = w->correlation;
    for (int t = LAG_MIN; t <= LAG_MAX; t++) {
        if (!(c[t] > VOICING / 2 && c[t] > c[t - 1] && c[t] >= c[t + 1])) continue;
        double left = c[t - 1], right = c[t + 1], bend = left - 2 * c[t] + right;
        double shift = bend < 0 ? 0.5 * (left - right) / bend : 0;
        double hz = SO_F0_RATE / (t + shift), peak = c[t] - 0.25 * (left - right) * shift;
        if (hz < SO_F0_LOWEST || hz > SO_F0_HIGHEST) continue;
        /* Multiples of the period correlate as well as the period: the shortest wins by a little. */
        offer(f, hz, fmin(peak, 1) - OCTAVE * log2((t + shift) * SO_F0_LOWEST / SO_F0_RATE));
    }
}

static void analyse(work *w, const float *x, int64_t n, int64_t index, double mean, double loudest, frame *f)
{
    int64_t at = index * SO_F0_HOP + SO_F0_HOP / 2 - WINDOW / 2;
    double local = 0;
    for (int j = 0; j < WINDOW; j++) {
        w->x[j] = at + j >= 0 && at + j < n ? (double)x[at + j] - mean : 0;
        local = fmax(local, fabs(w->x[j]));
    }
    f->n = 1;
    f->hz[0] = 0;
    f->strength[0] = (float)(VOICING + fmax(0, 2 - (loudest > 0 ? local / loudest : 0) * (1 + VOICING) / SILENCE));
    if (local <= 0) return;
    correlate(w);
    find_candidates(w, f);
}

static double transition(float a, float b)
{
    if (a == 0 && b == 0) return 0;
    if (a == 0 || b == 0) return SWITCH * STEP;
    return JUMP * STEP * fabs(log2((double)a / (double)b));
}

static void best_path(frame *frames, int64_t n, float *f0)
{
    double score[CANDIDATES], next[CANDIDATES];
    for (int i = 0; i < frames[0].n; i++) score[i] = (double)frames[0].strength[i];
    for (int64_t t = 1; t < n; t++) {
        frame *before = &frames[t - 1], *f = &frames[t];
        for (int i = 0; i < f->n; i++) {
            double best = -INFINITY;
            for (int j = 0; j < before->n; j++) {
                double s = score[j] - transition(before->hz[j], f->hz[i]);
                if (s > best) {
                    best = s;
                    f->from[i] = (int8_t)j;
                }
            }
            next[i] = best + (double)f->strength[i];
        }
        memcpy(score, next, sizeof score);
    }
    int at = 0;
    for (int i = 1; i < frames[n - 1].n; i++)
        if (score[i] > score[at]) at = i;
    for (int64_t t = n - 1; t >= 0; t--) {
        f0[t] = frames[t].hz[at];
        if (t > 0) at = frames[t].from[at];
    }
}

so_status so_f0_estimate(const float *x, int64_t n, float *f0, so_error *error)
{
    int64_t count = so_f0_frames(n);
    if (count == 0) return SO_OK;
    double mean = 0, loudest = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)x[i];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) loudest = fmax(loudest, fabs((double)x[i] - mean));
    so_status status = SO_OK;
    work *w = calloc(1, sizeof *w);
    frame *frames = calloc((size_t)count, sizeof *frames);
    if (!w || !frames) {
        status = so_fail(error, SO_ERR_NOMEM, "frequency candidates of %lld frames", (long long)count);
        goto done;
    }
    SO_TRY_GO(so_fft_open(&w->fft, TRANSFORM, error));
    for (int64_t i = 0; i < count; i++) analyse(w, x, n, i, mean, loudest, &frames[i]);
    best_path(frames, count, f0);
done:
    if (w) so_fft_close(&w->fft);
    free(w);
    free(frames);
    return status;
}
