/* Sounds that are no speech, for "I heard nothing.". Training makes six families, the reserved part four others.
 *
 * Source: Karplus and Strong, "Digital synthesis of plucked-string and drum timbres" (1983), for the strings.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "dataset/tabletop/tabletop.h"

enum { RATE = SO_TABLETOP_SOUND_RATE, TRAINED = 6, RESERVED = 4 };

static const uint64_t LOTS = 0x736f756e64000000u;
static const double TURN = 6.283185307179586;

typedef struct tape {
    so_rng rng;
    int64_t n;
    float *x;
} tape;

static double between(tape *t, double lo, double hi) { return lo + (hi - lo) * so_rng_uniform(&t->rng); }

/* White to brown noise that swells and falls. */
static void make_noise(tape *t)
{
    double keep = (double)so_rng_below(&t->rng, 3) * between(t, 0.3, 0.49), last = 0, swell = between(t, 0, 3),
           f = between(t, 0.2, 4);
    for (int64_t i = 0; i < t->n; i++) {
        last = keep * last + (1 - keep) * so_rng_normal(&t->rng);
        t->x[i] += (float)(last * (1 + swell * (0.5 + 0.5 * sin(TURN * f * (double)i / RATE))));
    }
}

static void make_silence(tape *t)
{
    double hiss = so_rng_below(&t->rng, 2) ? between(t, 0, 0.002) : 0;
    for (int64_t i = 0; i < t->n; i++) t->x[i] += (float)(hiss * so_rng_normal(&t->rng));
}

static void make_hum(tape *t)
{
    double f = between(t, 40, 400), a[5];
    for (int k = 0; k < 5; k++) a[k] = so_rng_uniform(&t->rng);
    for (int64_t i = 0; i < t->n; i++)
        for (int k = 0; k < 5; k++) t->x[i] += (float)(a[k] * sin(TURN * f * (k + 1) * (double)i / RATE));
}

/* A note from `at`: overtones that die away. */
static void ring(tape *t, int64_t at, double f, double seconds, double bright, double bend)
{
    int64_t end = at + (int64_t)(3 * seconds * RATE);
    for (int64_t i = at; i < end && i < t->n; i++) {
        double s = (double)(i - at) / RATE, fade = exp(-s / seconds) * fmin(1, s * 200), weight = 1;
        for (int k = 1; k <= 5; k++, weight *= bright) {
            double partial = k * f * (1 + bend * k);
            if (partial < RATE / 2.2) t->x[i] += (float)(fade * weight * sin(TURN * partial * s));
        }
    }
}

static void make_melody(tape *t)
{
    static const int steps[] = {0, 2, 4, 5, 7, 9, 11, 12, 14, 16};
    double base = between(t, 110, 440), beat = between(t, 0.12, 0.6), bright = between(t, 0.2, 0.8);
    int64_t chord = so_rng_below(&t->rng, 2);
    for (double s = 0; s * RATE < (double)t->n; s += beat * (double)so_rng_range(&t->rng, 1, 2))
        for (int64_t k = 0; k <= 2 * chord; k++)
            ring(t, (int64_t)(s * RATE), base * pow(2, steps[so_rng_below(&t->rng, 10)] / 12.0), beat, bright, 0);
}

static void make_bells(tape *t)
{
    int64_t many = so_rng_range(&t->rng, 1, 5);
    for (int64_t k = 0; k < many; k++)
        ring(t, so_rng_below(&t->rng, t->n), between(t, 300, 2000), between(t, 0.1, 1), 0.7, between(t, 0.02, 0.4));
}

static void make_clicks(tape *t)
{
    int64_t many = so_rng_range(&t->rng, 2, 30);
    for (int64_t k = 0; k < many; k++) {
        int64_t at = so_rng_below(&t->rng, t->n), length = so_rng_range(&t->rng, 20, 2500);
        double loud = between(t, 0.2, 1), keep = between(t, 0, 0.9), last = 0;
        for (int64_t i = at; i < at + length && i < t->n; i++) {
            last = keep * last + (1 - keep) * so_rng_normal(&t->rng);
            t->x[i] += (float)(loud * last * (1 - (double)(i - at) / (double)length));
        }
    }
}

/* ---- reserved families */

static void make_siren(tape *t)
{
    double low = between(t, 300, 700), high = low * between(t, 1.3, 3), rate = between(t, 0.3, 4), phase = 0;
    for (int64_t i = 0; i < t->n; i++) {
        phase += (low + (high - low) * (0.5 + 0.5 * sin(TURN * rate * (double)i / RATE))) / RATE;
        t->x[i] += (float)(sin(TURN * phase) + 0.3 * sin(2 * TURN * phase));
    }
}

static void make_strings(tape *t)
{
    for (int64_t at = 0; at < t->n; at += (int64_t)(between(t, 0.15, 0.6) * RATE)) {
        int64_t period = so_rng_range(&t->rng, 40, 200);
        float string[200];
        for (int64_t i = 0; i < period; i++) string[i] = (float)so_rng_normal(&t->rng);
        for (int64_t i = 0; at + i < t->n && i < 2 * RATE; i++) {
            float *s = &string[i % period];
            t->x[at + i] += *s;
            *s = 0.498f * (*s + string[(i + 1) % period]);
        }
    }
}

/* Chirps, as of birds. */
static void make_birds(tape *t)
{
    for (int64_t at = 0; at < t->n; at += (int64_t)(between(t, 0.05, 0.5) * RATE)) {
        double f = between(t, 1800, 5000), slide = between(t, -20000, 20000), length = between(t, 0.04, 0.2);
        for (int64_t i = 0; at + i < t->n && (double)i < length * RATE; i++) {
            double s = (double)i / RATE;
            t->x[at + i] += (float)(sin(TURN * (f + slide * s / 2) * s) * sin(TURN / 2 * s / length));
        }
    }
}

static void make_motor(tape *t)
{
    double f = between(t, 12, 60), last = 0, phase = 0;
    for (int64_t i = 0; i < t->n; i++) {
        phase += f * (1 + 0.05 * sin(TURN * 0.5 * (double)i / RATE)) / RATE;
        last = 0.9 * last + 0.1 * so_rng_normal(&t->rng);
        t->x[i] += (float)(last * exp(-6 * (phase - floor(phase))));
    }
}

so_status so_tabletop_sound(so_tabletop_part part, uint64_t seed, uint64_t index, float **samples, int64_t *count,
                            so_error *error)
{
    static void (*const families[TRAINED + RESERVED])(tape *) = {make_noise, make_silence, make_hum,   make_melody,
                                                                 make_bells, make_clicks,  make_siren, make_strings,
                                                                 make_birds, make_motor};
    bool reserved = part == SO_TABLETOP_RESERVED;
    tape t;
    so_rng_init(&t.rng, seed ^ LOTS ^ (uint64_t)part << 60, index);
    t.n = (int64_t)(between(&t, 0.5, 4) * RATE);
    t.x = calloc((size_t)t.n, sizeof *t.x);
    if (!t.x) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)t.n);
    int64_t which = reserved ? TRAINED + so_rng_below(&t.rng, RESERVED) : so_rng_below(&t.rng, TRAINED);
    families[which](&t);
    float peak = 0, loud = (float)pow(10, between(&t, -35, -1) / 20);
    for (int64_t i = 0; i < t.n; i++) peak = fmaxf(peak, fabsf(t.x[i]));
    /* What is quieter than a hundredth stays so: silence is not made loud. */
    for (int64_t i = 0; i < t.n && peak > 0.01f; i++) t.x[i] *= loud / peak;
    *samples = t.x;
    *count = t.n;
    return SO_OK;
}
