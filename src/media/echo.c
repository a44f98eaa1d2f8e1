/* Echo cancellation by libspeexdsp.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "media/echo.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/symbol.h"

static const char library_name[] = "libspeexdsp.so.1";

/* Requests of speex_echo_ctl and speex_preprocess_ctl. */
enum { ECHO_SET_RATE = 24, SET_DENOISE = 0, SET_ECHO_STATE = 24 };
enum { FRAMES = 2 /* of a piece */ };

static struct {
    void *(*open)(int frame, int tail);
    void (*close)(void *state);
    void (*cancel)(void *state, const int16_t *recorded, const int16_t *played, int16_t *out);
    int (*set)(void *state, int request, void *value);
    void *(*after_open)(int frame, int rate);
    void (*after_close)(void *state);
    int (*after_run)(void *state, int16_t *x);
    int (*after_set)(void *state, int request, void *value);
} lib;
static so_error failure; /* status SO_OK: the library is open */

static void find(void *library, const char *name, void *function)
{
    if (!so_symbol(library, name, function) && failure.status == SO_OK)
        so_fail(&failure, SO_ERR_MISSING, "%s has no function %s", library_name, name);
}

static void open_library(void)
{
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        so_fail(&failure, SO_ERR_MISSING, "echo cancellation needs libspeexdsp (Debian: libspeexdsp1)");
        return;
    }
    find(library, "speex_echo_state_init", &lib.open);
    find(library, "speex_echo_state_destroy", &lib.close);
    find(library, "speex_echo_cancellation", &lib.cancel);
    find(library, "speex_echo_ctl", &lib.set);
    find(library, "speex_preprocess_state_init", &lib.after_open);
    find(library, "speex_preprocess_state_destroy", &lib.after_close);
    find(library, "speex_preprocess_run", &lib.after_run);
    find(library, "speex_preprocess_ctl", &lib.after_set);
}

struct so_echo {
    void *state, *after;
    size_t piece, frame, margin;
    int64_t at;  /* the microphone's next sample */
    float *ring; /* [room] what is played at sample i, at i % room; what has passed is 0 again */
    size_t room;
    int16_t *shorts; /* [3 * frame] */
};

static so_status open_states(so_echo *e, int rate, so_error *error)
{
    int frame = (int)e->frame, off = 0;
    int32_t hertz = rate;
    e->state = lib.open(frame, rate / 1000 * SO_ECHO_TAIL_MS);
    e->after = lib.after_open(frame, rate);
    if (!e->state || !e->after) return so_fail(error, SO_ERR_NOMEM, "no memory for echo cancellation");
    lib.set(e->state, ECHO_SET_RATE, &hertz);
    lib.after_set(e->after, SET_DENOISE, &off); /* noise is the front end's affair */
    lib.after_set(e->after, SET_ECHO_STATE, e->state);
    return SO_OK;
}

so_status so_echo_open(so_echo **out, int rate, size_t piece, so_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    *out = NULL;
    if (failure.status != SO_OK) return so_fail(error, failure.status, "%s", failure.text);
    if (rate < 8000 || rate > 192000 || piece % FRAMES || piece < (size_t)rate / 50 || piece > (size_t)rate * 2 / 25)
        return so_fail(error, SO_ERR_ARG,
                       "echo cancellation at %d Hz in pieces of %zu samples, expected 8000 to 192000 Hz "
                       "and even pieces of 20 to 80 ms",
                       rate, piece);
    so_echo *e = calloc(1, sizeof *e);
    if (!e) return so_fail(error, SO_ERR_NOMEM, "no memory for echo cancellation");
    e->piece = piece;
    e->frame = piece / FRAMES;
    e->margin = (size_t)rate * SO_ECHO_MARGIN_MS / 1000;
    e->room = (size_t)rate * (SO_ECHO_AHEAD_S + 1);
    e->ring = calloc(e->room, sizeof *e->ring);
    e->shorts = calloc(3 * e->frame, sizeof *e->shorts);
    so_status status = e->ring && e->shorts ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for echo cancellation");
    if (status == SO_OK) status = open_states(e, rate, error);
    if (status != SO_OK) so_echo_close(&e);
    *out = e;
    return status;
}

void so_echo_close(so_echo **echo)
{
    if (!echo || !*echo) return;
    if ((*echo)->after) lib.after_close((*echo)->after);
    if ((*echo)->state) lib.close((*echo)->state);
    free((*echo)->ring);
    free((*echo)->shorts);
    free(*echo);
    *echo = NULL;
}

void so_echo_played(so_echo *e, const float *pcm, size_t n, int64_t at)
{
    at -= (int64_t)e->margin;
    for (size_t i = 0; i < n; i++) {
        int64_t sample = at + (int64_t)i;
        if (sample >= e->at && sample - e->at < (int64_t)e->room) e->ring[(size_t)sample % e->room] = pcm[i];
    }
}

static int16_t short_of(float x)
{
    double y = rint((double)x * 32768);
    return (int16_t)(y > 32767 ? 32767 : y < -32768 ? -32768 : y == y ? y : 0);
}

void so_echo_clean(so_echo *e, float *pcm)
{
    int16_t *recorded = e->shorts, *played = recorded + e->frame, *out = played + e->frame;
    for (size_t f = 0; f < FRAMES; f++, pcm += e->frame, e->at += (int64_t)e->frame) {
        for (size_t i = 0; i < e->frame; i++) {
            float *past = &e->ring[((size_t)e->at + i) % e->room];
            recorded[i] = short_of(pcm[i]);
            played[i] = short_of(*past);
            *past = 0;
        }
        lib.cancel(e->state, recorded, played, out);
        lib.after_run(e->after, out);
        for (size_t i = 0; i < e->frame; i++) pcm[i] = (float)out[i] / 32768;
    }
}

int64_t so_echo_at(const so_echo *echo) { return echo->at; }
size_t so_echo_delay(const so_echo *echo) { return echo->frame; } /* the suppressor's windows overlap by a half */
