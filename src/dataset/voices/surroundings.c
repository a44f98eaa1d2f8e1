/* Throats, rooms, microphones, lines and pauses.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset/voices/surroundings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "media/fft.h"
#include "media/resample.h"

enum { SINC = 16 /* taps on either side */, LINE_RATE = 8000, MOST_SAMPLES = 1 << 23 };

static const double PI = 3.14159265358979323846, SOUND = 343 /* m/s */;

/* Samples that grow from step to step; `x` is owned. */
typedef struct sound {
    float *x;
    int64_t n;
    int rate;
} sound;

static so_status take(sound *s, float *x, int64_t n, so_error *error)
{
    if (!x) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)n);
    free(s->x);
    s->x = x;
    s->n = n;
    return SO_OK;
}

static float *room_for(int64_t n) { return n >= 0 && n < MOST_SAMPLES ? calloc((size_t)n + 1, sizeof(float)) : NULL; }

static float loudest(const float *x, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        float high = fabsf(x[i]);
        most = high > most ? high : most;
    }
    return most;
}

/* Root mean square over the frames of 20 ms that hold speech: those within 20 dB of the loudest. */
static double speech_level(const sound *s)
{
    int64_t frame = s->rate / 50, frames = s->n / frame, loud = 0;
    double most = 0, sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t f = 0; f < frames; f++) {
            double power = 0;
            for (int64_t i = f * frame; i < (f + 1) * frame; i++) power += (double)s->x[i] * (double)s->x[i];
            if (pass == 0)
                most = power > most ? power : most;
            else if (power > most / 100)
                sum += power, loud++;
        }
    return loud ? sqrt(sum / (double)(loud * frame)) : 0;
}

/* ---- throat and speed */

/* The sound read `factor` times as fast: pitch and formants rise, it gets shorter. */
static so_status read_faster(sound *s, double factor, so_error *error)
{
    int64_t n = (int64_t)((double)s->n / factor);
    float *y = room_for(n);
    double cut = factor > 1 ? 1 / factor : 1;
    for (int64_t i = 0; y && i < n; i++) {
        double at = (double)i * factor, sum = 0;
        int64_t first = (int64_t)floor(at) - SINC + 1;
        for (int64_t k = first; k < first + 2 * SINC; k++) {
            double d = at - (double)k, t = PI * d * cut;
            if (k < 0 || k >= s->n) continue;
            sum += (double)s->x[k] * (fabs(t) < 1e-9 ? cut : cut * sin(t) / t) * (0.5 + 0.5 * cos(PI * d / SINC));
        }
        y[i] = (float)sum;
    }
    return take(s, y, n, error);
}

/* Of the starts around `middle`, the one whose frame goes on best from what stands at `after`. */
static int64_t best_start(const sound *s, int64_t middle, int64_t reach, const float *after, int64_t frame)
{
    int64_t best = middle, from = middle > reach ? middle - reach : 0;
    double most = -1e30;
    for (int64_t start = from; start <= middle + reach && start + frame < s->n; start += 2) {
        double match = 0, power = 1e-9;
        for (int64_t i = 0; i < frame; i += 2) {
            match += (double)after[i] * (double)s->x[start + i];
            power += (double)s->x[start + i] * (double)s->x[start + i];
        }
        match /= sqrt(power);
        if (match > most) most = match, best = start;
    }
    return best;
}

/* `factor` times as long at the same pitch: overlapping frames, each set where it goes on from the one before. */
static so_status stretch(sound *s, double factor, so_error *error)
{
    int64_t frame = s->rate * 30 / 1000 / 2 * 2, hop = frame / 2, reach = s->rate * 8 / 1000;
    int64_t n = (int64_t)((double)s->n * factor);
    if (s->n < 2 * frame + reach) return SO_OK;
    float *y = room_for(n + frame);
    int64_t at = 0;
    for (int64_t to = 0; y && to < n; to += hop) {
        int64_t middle = (int64_t)((double)to / factor);
        if (middle + frame >= s->n) middle = s->n - frame - 1;
        const float *after = s->x + (at + hop + frame < s->n ? at + hop : s->n - frame - 1);
        at = to == 0 ? 0 : best_start(s, middle, reach, after, frame);
        for (int64_t i = 0; i < frame; i++)
            y[to + i] += s->x[at + i] * (float)(0.5 - 0.5 * cos(2 * PI * ((double)i + 0.5) / (double)frame));
    }
    return take(s, y, n, error);
}

/* ---- silence */

/* The quietest place of the middle half, where a speaker would breathe. */
static int64_t quiet_place(const sound *s)
{
    int64_t frame = s->rate / 50, best = s->n / 2;
    double least = 1e30;
    for (int64_t at = s->n / 4; at + frame < s->n * 3 / 4; at += frame / 2) {
        double power = 0;
        for (int64_t i = at; i < at + frame; i++) power += (double)s->x[i] * (double)s->x[i];
        if (power < least) least = power, best = at + frame / 2;
    }
    return best;
}

static so_status add_silence(sound *s, const so_surroundings *w, so_error *error)
{
    int64_t before = (int64_t)(w->before_s * s->rate), inside = (int64_t)(w->inside_s * s->rate),
            behind = (int64_t)(w->behind_s * s->rate), place = inside ? quiet_place(s) : 0;
    if (before + inside + behind == 0) return SO_OK;
    int64_t n = s->n + before + inside + behind;
    float *y = room_for(n);
    if (y) {
        memcpy(y + before, s->x, (size_t)place * sizeof *y);
        memcpy(y + before + place + inside, s->x + place, (size_t)(s->n - place) * sizeof *y);
    }
    return take(s, y, n, error);
}

/* ---- rooms */

/* One axis of a room: image number n of the mouth, itself or turned over, is so far away (squared), behind so many
 * walls. */
enum { MOST_IMAGES = 1 << 10 };
typedef struct axis {
    int reach; /* numbers from -reach to reach */
    double square[MOST_IMAGES][2];
    int hits[MOST_IMAGES][2];
} axis;

static void look_along(axis *a, double mouth, double ear, double side, double most)
{
    a->reach = (int)(most / (2 * side)) + 1;
    for (int n = -a->reach; n <= a->reach; n++)
        for (int turned = 0; turned < 2; turned++) {
            double d = (turned ? -mouth : mouth) + 2 * n * side - ear;
            a->square[n + a->reach][turned] = d * d;
            a->hits[n + a->reach][turned] = abs(2 * n - turned);
        }
}

/* What comes of a click between mouth and ear in a room of the given sides: images of the mouth behind the walls. */
static void response_of(const double side[3], double room_s, int rate, so_rng *rng, double *h, int64_t length)
{
    double volume = side[0] * side[1] * side[2],
           surface = 2 * (side[0] * side[1] + side[1] * side[2] + side[2] * side[0]);
    double keeps = exp(-0.161 * volume / (surface * room_s) / 2); /* of an amplitude, at a wall (Eyring) */
    double mouth[3], ear[3], nearest = 0, most = SOUND * (double)length / rate, kept[3 * MOST_IMAGES];
    axis a[3];
    for (int k = 0; k < 3; k++) {
        mouth[k] = side[k] * (0.2 + 0.6 * so_rng_uniform(rng));
        ear[k] = side[k] * (0.2 + 0.6 * so_rng_uniform(rng));
        nearest += (mouth[k] - ear[k]) * (mouth[k] - ear[k]);
        look_along(&a[k], mouth[k], ear[k], side[k], most);
    }
    nearest = sqrt(nearest) + 0.1;
    for (int i = 0; i <= 2 * (a[0].reach + a[1].reach + a[2].reach) + 3; i++) kept[i] = pow(keeps, i);
    const double beyond = (most + nearest) * (most + nearest);
    for (int i = 0; i <= 2 * a[0].reach; i++)
        for (int j = 0; j <= 2 * a[1].reach; j++)
            for (int l = 0; l <= 2 * a[2].reach; l++)
                for (int mirror = 0; mirror < 8; mirror++) {
                    const int t[3] = {mirror & 1, mirror >> 1 & 1, mirror >> 2};
                    double far = a[0].square[i][t[0]] + a[1].square[j][t[1]] + a[2].square[l][t[2]];
                    if (far > beyond) continue;
                    far = sqrt(far) + 0.1;
                    int64_t at = (int64_t)((far - nearest) / SOUND * rate);
                    if (at >= 0 && at < length)
                        h[at] += nearest / far * kept[a[0].hits[i][t[0]] + a[1].hits[j][t[1]] + a[2].hits[l][t[2]]];
                }
}

/* Images behind the walls of a flat room die away more slowly than its mean absorption says. What is measured is made
 * what was asked for: 60 dB over `length`. */
static void settle(double *h, int64_t length)
{
    int64_t part = length / 5, a = length / 10, b = length - part;
    double early = 1e-30, late = 1e-30;
    for (int64_t i = 0; i < part; i++) {
        early += h[a + i] * h[a + i];
        late += h[b + i] * h[b + i];
    }
    double wanted = 6 * (double)(b - a) / (double)length, falls = log10(early / late);
    double step = (wanted - falls) / (double)(b - a) * log(10) / 2;
    for (int64_t i = 0; i < length; i++) h[i] *= exp(-step * (double)i);
}

/* x [n] convolved with h [length], by spectra; the first n samples. */
static so_status convolve(float *x, int64_t n, const double *h, int64_t length, so_error *error)
{
    int size = 1 << 10;
    so_fft *fft = NULL;
    while (size < n + length && size < SO_FFT_MAX) size *= 2;
    if (size < n + length) return so_fail(error, SO_ERR_LIMIT, "%lld samples are too long for a room", (long long)n);
    SO_TRY(so_fft_open(&fft, size, error));
    size_t bins = (size_t)size / 2 + 1;
    so_two *both = calloc((size_t)size, sizeof *both);
    so_bin_two *a = malloc(2 * bins * sizeof *a);
    double *t = (double *)both;
    so_bin *b = (so_bin *)a, *scratch = b + bins;
    so_status status = both && a ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a room of %d points", size);
    if (status == SO_OK) {
        for (int64_t i = 0; i < length; i++) both[i][0] = h[i];
        for (int64_t i = 0; i < n; i++) both[i][1] = (double)x[i];
        so_fft_real_two(fft, both, a, a + bins);
        /* Back by a forward transform: of real and imaginary part summed, cosines and sines come apart again. */
        for (size_t k = 0; k < bins; k++) {
            const so_two p = a[k].re, q = a[k].im;
            double re = p[0] * p[1] - q[0] * q[1], im = p[0] * q[1] + q[0] * p[1];
            t[k] = re + im;
            if (k && k < (size_t)size / 2) t[(size_t)size - k] = re - im;
        }
        so_fft_real(fft, t, b, scratch);
        for (int64_t i = 0; i < n; i++) {
            bool upper = i > size / 2;
            const so_bin *p = &b[upper ? size - i : i];
            x[i] = (float)((upper ? p->re - p->im : p->re + p->im) / size);
        }
    }
    free(both);
    free(a);
    so_fft_close(&fft);
    return status;
}

static so_status put_in_room(sound *s, const so_surroundings *w, so_rng *rng, so_error *error)
{
    int64_t length = (int64_t)(w->room_s * s->rate);
    double longest = w->room_m > 0 ? w->room_m : 5;
    double side[3] = {longest, longest * (0.6 + 0.35 * so_rng_uniform(rng)), 2.3 + 0.9 * so_rng_uniform(rng)};
    double *h = calloc((size_t)length + 1, sizeof *h);
    if (!h) return so_fail(error, SO_ERR_NOMEM, "no memory for a room");
    response_of(side, w->room_s, s->rate, rng, h, length);
    settle(h, length);
    so_status status = convolve(s->x, s->n, h, length, error);
    free(h);
    return status;
}

/* ---- microphones */

/* A second-order section, twice: 24 dB an octave. Source: the bilinear transform of a Butterworth section. */
static void filter(sound *s, double hz, bool high)
{
    double w = tan(PI * hz / s->rate), root = 1.41421356237, d = 1 + root * w + w * w;
    double b0 = (high ? 1 : w * w) / d, b1 = (high ? -2 : 2) * b0, a1 = 2 * (w * w - 1) / d,
           a2 = (1 - root * w + w * w) / d;
    if (hz <= 0 || hz >= s->rate * 0.49) return;
    for (int twice = 0; twice < 2; twice++) {
        double x1 = 0, x2 = 0, y1 = 0, y2 = 0;
        for (int64_t i = 0; i < s->n; i++) {
            double x = (double)s->x[i], y = b0 * x + b1 * x1 + b0 * x2 - a1 * y1 - a2 * y2;
            x2 = x1, x1 = x, y2 = y1, y1 = y;
            s->x[i] = (float)y;
        }
    }
}

/* Noise of root mean square 1, white to brown: white is mixed with itself summed up. */
static so_status add_noise(sound *s, double level, double tilt, so_rng *rng, so_error *error)
{
    double slow = 0, medium = 0, power = 0, share = tilt > -0.5 ? 0 : tilt > -4.5 ? 0.5 : 1;
    float *noise = room_for(s->n);
    if (!noise) return so_fail(error, SO_ERR_NOMEM, "no memory for noise");
    for (int64_t i = 0; i < s->n; i++) {
        double white = so_rng_normal(rng);
        slow = 0.998 * slow + 0.06 * white;
        medium = 0.96 * medium + 0.25 * white;
        double v = share == 0 ? white : share < 1 ? 0.35 * white + medium + slow : slow;
        noise[i] = (float)v;
        power += v * v;
    }
    float gain = (float)(level / sqrt(power / (double)(s->n ? s->n : 1) + 1e-20));
    for (int64_t i = 0; i < s->n; i++) s->x[i] += gain * noise[i];
    free(noise);
    return SO_OK;
}

static void add_hum(sound *s, double level, so_rng *rng)
{
    double phase[6], part[6];
    for (int k = 1; k < 6; k++)
        phase[k] = 2 * PI * so_rng_uniform(rng), part[k] = (k == 1 ? 1 : 0.5 * so_rng_uniform(rng)) * level;
    for (int64_t i = 0; i < s->n; i++)
        for (int k = 1; k < 6; k++) s->x[i] += (float)(part[k] * sin(2 * PI * 50 * k * (double)i / s->rate + phase[k]));
}

static float within_one(float x) { return x > 1 ? 1 : x < -1 ? -1 : x; }

static void set_level(sound *s, const so_surroundings *w)
{
    float most = loudest(s->x, s->n), peak = (float)pow(10, w->peak_db / 20);
    if (most <= 0) return;
    float gain = (float)pow(10, w->clip_db / 20) / most;
    for (int64_t i = 0; i < s->n; i++) s->x[i] = within_one(s->x[i] * gain) * peak;
}

/* ---- lines */

/* 8 bits a sample: equal steps, or steps that grow with the sample as G.711's mu-law has them. */
static float coded(float x, so_line line)
{
    double v = fmax(-1, fmin(1, (double)x));
    if (line == SO_LINE_8_BITS) return (float)(round(v * 127) / 127);
    double y = copysign(log1p(255 * fabs(v)) / log(256), v);
    return (float)copysign((pow(256, fabs(round(y * 127) / 127)) - 1) / 255, v);
}

static so_status change_rate(sound *s, int rate, so_error *error)
{
    float *y;
    int64_t n;
    SO_TRY(so_resample_to(s->rate, rate, s->x, s->n, &y, &n, error));
    SO_TRY(take(s, y, n, error));
    s->rate = rate;
    return SO_OK;
}

static so_status send_over(sound *s, so_line line, so_error *error)
{
    int rate = s->rate;
    SO_TRY(change_rate(s, LINE_RATE, error));
    for (int64_t i = 0; i < s->n; i++) s->x[i] = coded(s->x[i], line);
    return change_rate(s, rate, error);
}

/* ---- all together */

static bool within(double v, double least, double most) { return v >= least && v <= most; }

static so_status check(const so_surroundings *w, int64_t n, int rate, so_error *error)
{
    bool fine = (w->formants == 0 || within(w->formants, 0.7, 1.4)) && (w->speed == 0 || within(w->speed, 0.6, 1.6)) &&
                within(w->room_s, 0, 1) && (w->room_m == 0 || within(w->room_m, 2, 12)) && within(w->low_hz, 0, 2000) &&
                within(w->high_hz, 0, 48000) && within(w->noise_db, 0, 100) && within(w->noise_tilt, -6, 0) &&
                within(w->hum_db, 0, 100) && within(w->offset, -0.5, 0.5) && within(w->peak_db, -90, 0) &&
                within(w->clip_db, 0, 40) && (int)w->line >= 0 && w->line < SO_LINES && within(w->before_s, 0, 10) &&
                within(w->inside_s, 0, 10) && within(w->behind_s, 0, 10);
    if (!fine) return so_fail(error, SO_ERR_ARG, "surroundings outside their ranges");
    if (n < 1 || rate < LINE_RATE || rate > 96000)
        return so_fail(error, SO_ERR_ARG, "%lld samples at %d Hz, expected some at 8000 to 96000 Hz", (long long)n,
                       rate);
    return SO_OK;
}

static so_status disturb(sound *s, const so_surroundings *w, so_rng *rng, so_error *error)
{
    double formants = w->formants > 0 ? w->formants : 1, speed = w->speed > 0 ? w->speed : 1;
    if (formants != 1) SO_TRY(read_faster(s, formants, error));
    if (formants != speed) SO_TRY(stretch(s, formants / speed, error));
    SO_TRY(add_silence(s, w, error));
    if (w->room_s > 0) SO_TRY(put_in_room(s, w, rng, error));
    double level = speech_level(s);
    filter(s, w->low_hz, true);
    if (w->noise_db > 0) SO_TRY(add_noise(s, level * pow(10, -w->noise_db / 20), w->noise_tilt, rng, error));
    filter(s, w->high_hz, false);
    if (w->hum_db > 0) add_hum(s, level * pow(10, -w->hum_db / 20), rng);
    set_level(s, w);
    for (int64_t i = 0; i < s->n && w->offset != 0; i++) s->x[i] = within_one(s->x[i] + (float)w->offset);
    return w->line == SO_LINE_NONE ? SO_OK : send_over(s, w->line, error);
}

so_status so_surroundings_apply(const so_surroundings *w, const float *x, int64_t n, int rate, uint64_t seed,
                                float **out, int64_t *count, so_error *error)
{
    so_rng rng;
    *out = NULL;
    *count = 0;
    SO_TRY(check(w, n, rate, error));
    sound s = {room_for(n), n, rate};
    if (!s.x) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)n);
    memcpy(s.x, x, (size_t)n * sizeof *x);
    so_rng_init(&rng, seed, 0x726f6f6d);
    so_status status = disturb(&s, w, &rng, error);
    if (status != SO_OK) {
        free(s.x);
        return status;
    }
    *out = s.x;
    *count = s.n;
    return SO_OK;
}

static double between(so_rng *rng, double least, double most) { return least + (most - least) * so_rng_uniform(rng); }

so_surroundings so_surroundings_draw(so_rng *rng, double strength)
{
    so_surroundings w = {.peak_db = -between(rng, 0, 1 + 44 * strength * so_rng_uniform(rng))};
    if (so_rng_uniform(rng) < 0.25) return w;
    /* Numbers are drawn whether they are used or not, so that one strength's recordings are another's, only quieter. */
    double use[10], formants = between(rng, -0.25, 0.3), speed = between(rng, -0.2, 0.25),
                    room = between(rng, 0.1, 0.6), wall = between(rng, 2.5, 9), low = between(rng, 60, 350),
                    high = between(rng, 3400, 8000), noise = between(rng, 0, 35), hum = between(rng, 5, 35),
                    offset = between(rng, -0.2, 0.2), clip = between(rng, 0, 9);
    for (int i = 0; i < 10; i++) use[i] = so_rng_uniform(rng) / (strength > 0 ? strength : 1e-9);
    if (use[0] < 0.5) w.formants = 1 + formants * strength;
    if (use[1] < 0.4) w.speed = 1 + speed * strength;
    if (use[2] < 0.35) w.room_s = room * strength, w.room_m = wall;
    if (use[3] < 0.3) w.low_hz = low;
    if (use[4] < 0.25) w.high_hz = high;
    if (use[5] < 0.5) w.noise_db = 40 - noise * strength, w.noise_tilt = -3.0 * (double)so_rng_below(rng, 3);
    if (use[6] < 0.1) w.hum_db = hum;
    if (use[7] < 0.1) w.offset = offset * strength;
    if (use[8] < 0.1) w.clip_db = clip * strength;
    if (use[9] < 0.1) w.line = (so_line)(1 + so_rng_below(rng, SO_LINES - 1));
    w.before_s = so_rng_uniform(rng) < 0.4 * strength ? between(rng, 0, so_rng_below(rng, 4) ? 1 : 5) : 0;
    w.behind_s = so_rng_uniform(rng) < 0.4 * strength ? between(rng, 0, so_rng_below(rng, 4) ? 1 : 5) : 0;
    w.inside_s = so_rng_uniform(rng) < 0.15 * strength ? between(rng, 0.2, 1.5) : 0;
    return w;
}
