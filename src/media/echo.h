/* Echo cancellation: what a loudspeaker plays is taken out of what a microphone beside it records, by the adaptive
 * filter of libspeexdsp, which is opened at run time.
 *
 * Both sides are counted in samples of the microphone. What is played is given as soon as it is known when it will
 * sound; the microphone's pieces come in order. Errors of that time up to SO_ECHO_MARGIN_MS early and most of
 * SO_ECHO_TAIL_MS late are the filter's to learn, along with the room.
 *
 * Source: speex_echo.h and speex_preprocess.h of speexdsp 1.2.1.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_ECHO_H
#define SO_MEDIA_ECHO_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    SO_ECHO_TAIL_MS = 250,  /* of the room's echo, and of what its time is known late */
    SO_ECHO_MARGIN_MS = 30, /* that an echo may come before it was said to */
    SO_ECHO_AHEAD_S = 8     /* seconds that may be given before they sound */
};

typedef struct so_echo so_echo;

/* `rate` of the microphone, 8000..192000 Hz, and samples of each of its pieces (an even part of a second: 20 to 80 ms).
 * SO_ERR_MISSING without the library, SO_ERR_ARG, SO_ERR_NOMEM. */
so_status so_echo_open(so_echo **out, int rate, size_t piece, so_error *error);
void so_echo_close(so_echo **echo);
/* The loudspeaker plays n mono samples, of the microphone's rate, from the microphone's sample `at` on. What has passed
 * already, or lies further ahead than SO_ECHO_AHEAD_S, is dropped. */
void so_echo_played(so_echo *echo, const float *pcm, size_t n, int64_t at);
/* The next piece of the microphone, cleaned in place; what comes out is so_echo_delay samples (half a piece) late. */
void so_echo_clean(so_echo *echo, float *pcm);
size_t so_echo_delay(const so_echo *echo);
/* Samples cleaned so far: where the next piece begins. */
int64_t so_echo_at(const so_echo *echo);

#endif
