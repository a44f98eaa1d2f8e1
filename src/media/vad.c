/* Where speech begins and ends in a stream, without a model.
 *
 * The stream is brought to about 8 kHz, rid of what lies below 100 Hz, and looked at in frames of 10 ms. A frame is
 * loud when it stands out of the noise; the noise is the lowest level of the last two seconds, as in minimum
 * statistics. Speech is a loud stretch with a pitch in it: a door and a fan are loud, but have none. How a stretch
 * began is looked up in the levels of the last seconds once it is sure, so that nothing is lost where a recording
 * starts with speech.
 *
 * Source: R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics".
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "media/vad.h"

enum {
    FRAME_MS = 10,
    RATE = 8000,        /* Hz that the stream is brought to, at least */
    FRAME = 160,        /* samples of the longest frame: 10 ms at just below 16 kHz */
    WINDOW = 4 * FRAME, /* samples that a pitch is looked for in */
    BLOCKS = 8,
    BLOCK = 25,      /* frames: 8 blocks of 250 ms are the two seconds of the noise */
    PAST = 256,      /* frames whose levels are kept */
    VOICED = 3,      /* frames with a pitch that make a loud stretch speech */
    GAP = 15,        /* quiet frames within a stretch that has yet to show that it is speech */
    ECHO = 25,       /* frames that an echo outlasts the speaker */
    PITCH_LOW = 70,  /* Hz */
    PITCH_HIGH = 400 /* Hz */
};

static const double LOWEST = -75;   /* dB: below it there is nothing to hear */
static const double AT_FIRST = -30; /* dB of noise while nothing quieter was heard: who speaks at once is no noise */
static const double GUARD = 6;  /* dB that the speaker's own level must be passed by, after the way through the room */
static const double ROOM = -12; /* dB from the speaker to the microphone, a near one at that */

struct so_vad {
    int rate, step;              /* Hz of the stream; its samples that are one of ours */
    double own;                  /* Hz of ours */
    int frame;                   /* samples of ours in a frame */
    double margin;               /* dB above the noise */
    int padding, silence, least; /* frames */

    double sum; /* of the samples of the stream that become one of ours */
    int summed;
    double x1, x2, y1, y2, b[3], a[2]; /* the high pass */
    float window[WINDOW];
    int filled; /* samples of the frame that is being gathered */

    int64_t frames;    /* seen */
    float level[PAST]; /* dB, of frame i at i % PAST */
    double smooth;     /* level of the last three frames, as power */
    double lowest[BLOCKS + 1];
    double playing; /* level of what the speaker gives, 0 to 1 */
    int64_t echo;   /* frame up to which it may be heard */

    int64_t begin, last; /* of the stretch that may be speech: its first and its last loud frame; begin -1: none */
    int loud, voiced;
    bool speech;   /* told */
    int64_t ended; /* frame where the last speech ended */
};

static int frames_of(int ms, int otherwise) { return (ms > 0 ? ms : otherwise) / FRAME_MS; }

/* Butterworth of the second order. */
static void set_high_pass(so_vad *v, double hz)
{
    double w = tan(3.14159265358979 * hz / v->own), n = 1 / (1 + sqrt(2.0) * w + w * w);
    v->b[0] = v->b[2] = n;
    v->b[1] = -2 * n;
    v->a[0] = 2 * (w * w - 1) * n;
    v->a[1] = (1 - sqrt(2.0) * w + w * w) * n;
}

void so_vad_reset(so_vad *v)
{
    if (!v) return;
    so_vad fresh = {.rate = v->rate,
                    .step = v->step,
                    .own = v->own,
                    .frame = v->frame,
                    .margin = v->margin,
                    .padding = v->padding,
                    .silence = v->silence,
                    .least = v->least,
                    .begin = -1};
    fresh.lowest[0] = INFINITY;
    for (int i = 1; i <= BLOCKS; i++) fresh.lowest[i] = AT_FIRST;
    set_high_pass(&fresh, 100);
    *v = fresh;
}

so_status so_vad_open(so_vad **out, const so_vad_options *options, so_error *error)
{
    if (!out) return so_fail(error, SO_ERR_ARG, "no place for a voice activity detector");
    *out = NULL;
    so_vad_options o = options ? *options : (so_vad_options){0};
    if (o.rate == 0) o.rate = 16000;
    if (o.rate < 8000 || o.rate > 384000)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz, expected 8000 to 384000", o.rate);
    if (!(o.threshold >= 0 && o.threshold <= 1))
        return so_fail(error, SO_ERR_ARG, "a threshold of %g, expected 0 to 1", o.threshold);
    const int longest = 1000 * FRAME_MS;
    if (o.padding_ms < 0 || o.silence_ms < 0 || o.least_ms < 0 || o.padding_ms > longest || o.silence_ms > longest ||
        o.least_ms > 1000)
        return so_fail(error, SO_ERR_ARG,
                       "padding of %d, silence of %d, speech of %d ms, expected at most %d, %d, 1000", o.padding_ms,
                       o.silence_ms, o.least_ms, longest, longest);
    so_vad *v = calloc(1, sizeof *v);
    if (!v) return so_fail(error, SO_ERR_NOMEM, "no memory for a voice activity detector");
    v->margin = 3 + 12 * (o.threshold > 0 ? o.threshold : 0.5);
    v->padding = o.padding_ms / FRAME_MS;
    v->silence = frames_of(o.silence_ms, 500);
    v->least = frames_of(o.least_ms, 80);
    if (v->silence < 1) v->silence = 1;
    if (v->least < 1) v->least = 1;
    so_vad_retune(v, o.rate);
    *out = v;
    return SO_OK;
}

size_t so_vad_bytes(void) { return sizeof(so_vad); }

void so_vad_retune(so_vad *v, int rate)
{
    v->rate = rate;
    v->step = rate / RATE;
    v->own = (double)rate / v->step;
    v->frame = (int)(v->own * FRAME_MS / 1000);
    so_vad_reset(v);
}

void so_vad_close(so_vad **vad)
{
    if (!vad) return;
    free(*vad);
    *vad = NULL;
}

void so_vad_playing(so_vad *v, double level)
{
    if (!v) return;
    v->playing = level > 0 && level <= 1 ? level : level > 1 ? 1 : 0;
    if (v->playing > 0) v->echo = v->frames + ECHO;
}

static double decibels(double power) { return power > 1e-12 ? 10 * log10(power) : -120; }

/* dB that a frame must pass to be loud. */
static double needed(const so_vad *v, bool going_on)
{
    double noise = v->lowest[0];
    for (int i = 1; i <= BLOCKS; i++) noise = fmin(noise, v->lowest[i]);
    double level = fmax(noise, LOWEST) + v->margin - (going_on ? 3 : 0);
    if (v->playing > 0 || v->frames < v->echo) {
        double heard = v->playing > 0 ? 20 * log10(v->playing) + ROOM : LOWEST;
        level = fmax(level + GUARD, heard + GUARD);
    }
    return level;
}

/* Whether the window has a pitch: its strongest periodicity, by the autocorrelation. */
static bool has_pitch(const so_vad *v)
{
    const int size = 4 * v->frame, low = (int)(v->own / PITCH_HIGH), high = (int)(v->own / PITCH_LOW);
    const float *x = v->window;
    const int n = size - high;
    double best = 0;
    for (int lag = low; lag <= high; lag++) {
        double xy = 0, xx = 1e-9, yy = 1e-9;
        for (int i = 0; i < n; i++) {
            xy += (double)x[i] * (double)x[i + lag];
            xx += (double)x[i] * (double)x[i];
            yy += (double)x[i + lag] * (double)x[i + lag];
        }
        best = fmax(best, xy / sqrt(xx * yy));
    }
    return best > 0.6;
}

/* The noise: the lowest smoothed level of the last blocks. */
static void learn_noise(so_vad *v, double power)
{
    v->smooth = v->frames ? v->smooth + (power - v->smooth) / 3 : power;
    if (v->frames % BLOCK == 0) {
        memmove(v->lowest + 1, v->lowest, BLOCKS * sizeof *v->lowest);
        v->lowest[0] = INFINITY;
    }
    v->lowest[0] = fmin(v->lowest[0], decibels(v->smooth));
}

/* Where a stretch that is speech now began: back through the loud frames, over gaps shorter than a syllable. */
static int64_t begin_of(const so_vad *v, double level)
{
    int64_t first = v->begin, oldest = v->frames > PAST - 1 ? v->frames - PAST + 1 : 0;
    for (int64_t i = first - 1; i >= oldest && i > v->ended && first - i <= GAP; i--)
        if ((double)v->level[i % PAST] > level) first = i;
    first -= v->padding;
    return first > v->ended ? first : v->ended;
}

static void tell(const so_vad *v, so_vad_event *event, so_vad_kind kind, int64_t frame)
{
    *event = (so_vad_event){kind, frame * v->frame * v->step * 1000 / v->rate};
}

/* One frame more, v->frames being its number. */
static void look(so_vad *v, so_vad_event *event)
{
    const float *x = v->window + 3 * v->frame;
    double power = 0;
    for (int i = 0; i < v->frame; i++) power += (double)x[i] * (double)x[i];
    power /= v->frame;
    learn_noise(v, power);
    double level = decibels(power), need = needed(v, v->begin >= 0);
    v->level[v->frames % PAST] = (float)level;
    if (level > need) {
        if (v->begin < 0) {
            v->begin = v->frames;
            v->loud = v->voiced = 0;
        }
        v->loud++;
        v->last = v->frames;
        if (!v->speech) v->voiced += has_pitch(v);
        if (!v->speech && v->loud >= v->least && v->voiced >= VOICED) {
            v->speech = true;
            tell(v, event, SO_VAD_BEGAN, begin_of(v, need));
        }
    } else if (v->begin >= 0 && v->frames - v->last >= (v->speech ? v->silence : GAP)) {
        v->begin = -1;
        if (v->speech) {
            v->ended = v->last + 1;
            tell(v, event, SO_VAD_ENDED, v->ended);
        }
        v->speech = false;
    }
    v->frames++;
}

/* One sample of ours, in [-1, 1]. */
static void take(so_vad *v, double x, so_vad_event *event)
{
    double y = v->b[0] * x + v->b[1] * v->x1 + v->b[2] * v->x2 - v->a[0] * v->y1 - v->a[1] * v->y2;
    v->x2 = v->x1, v->x1 = x;
    v->y2 = v->y1, v->y1 = y;
    v->window[3 * v->frame + v->filled++] = (float)y;
    if (v->filled < v->frame) return;
    v->filled = 0;
    look(v, event);
    memmove(v->window, v->window + v->frame, (size_t)(3 * v->frame) * sizeof *v->window);
}

void so_vad_feed(so_vad *v, const int16_t *pcm, size_t samples, size_t *used, so_vad_event *event)
{
    so_vad_event none;
    size_t at = 0;
    if (!event) event = &none;
    *event = (so_vad_event){SO_VAD_NONE, 0};
    if (!pcm) samples = 0;
    while (v && at < samples && event->kind == SO_VAD_NONE) {
        v->sum += pcm[at++];
        if (++v->summed < v->step) continue;
        double x = v->sum / (32768.0 * v->step);
        v->sum = 0;
        v->summed = 0;
        take(v, x, event);
    }
    if (used) *used = at;
}

bool so_vad_notices(so_vad *vad, const float *pcm, size_t samples)
{
    enum { PIECE = 512 };
    int16_t piece[PIECE];
    so_vad_event event = {.kind = SO_VAD_NONE};
    for (size_t at = 0; at < samples && event.kind == SO_VAD_NONE; at += PIECE) {
        size_t n = samples - at < PIECE ? samples - at : PIECE, used;
        for (size_t i = 0; i < n; i++) piece[i] = (int16_t)lrintf(fmaxf(-1, fminf(1, pcm[at + i])) * 32767);
        so_vad_feed(vad, piece, n, &used, &event);
    }
    return event.kind != SO_VAD_NONE;
}
