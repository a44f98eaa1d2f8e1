/* The front end of hearing: what a microphone brings, made like what a speech tokenizer was trained on.
 *
 * Hum of the mains is taken out line by line, and high-pass filters take away offsets and rumble, where there are any.
 * A gain brings quiet speech up and loud speech down, within limits and slowly, and leaves speech of a usual level
 * alone. Silence and steady noise before, behind and between speech are left out, short pauses are kept, longer ones
 * shortened, and a long one ends a segment: a longer one early in it, because people stop in the middle of a question
 * and go on. What is speech is told by its level above a noise floor that follows the recording.
 *
 *     16 kHz samples -> hum -> high-pass -> frames of 10 ms: loud or quiet -> segments -> gain -> runs of samples
 *
 * The same samples give the same runs, however they were cut into pieces. Nothing is allocated after opening.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_FRONT_H
#define SO_MEDIA_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SO_FRONT_RATE = 16000, SO_FRONT_PIECE = 4096 /* samples fed at once at most */ };

typedef struct so_front so_front;

typedef struct so_front_options {
    bool plain;     /* cut only: samples come out as they went in */
    double pause;   /* seconds of quiet that end a segment, 2 at most; 0: 1.8 in its first 5 s of speech, then 0.45 */
    double longest; /* seconds of the longest segment; 0: 28 */
} so_front_options;

/* Samples that came out, in order. */
typedef struct so_front_run {
    const float *pcm; /* [n], lives until the next feed, finish or reset */
    int64_t n;
    int64_t at;       /* place of the first one in what was fed */
    bool first, last; /* begins a segment; ends it (then n may be 0) */
} so_front_run;

/* `options` may be NULL. */
so_status so_front_open(so_front **out, const so_front_options *options, so_error *error);
/* Bytes that it has taken. */
size_t so_front_bytes(const so_front *front);
void so_front_close(so_front **front);
/* A new recording. */
void so_front_reset(so_front *front);

/* From now on so many seconds of quiet end a segment, as the option has them. */
void so_front_pause(so_front *front, double seconds);

/* Takes n (0 .. SO_FRONT_PIECE) finite samples; all runs must have been taken before. */
void so_front_feed(so_front *front, const float *x, int64_t n);
/* The recording ends: what waits is decided; a segment that is open ends. */
void so_front_finish(so_front *front);
/* The next run, or false. */
bool so_front_next(so_front *front, so_front_run *run);

/* Whether speech was heard since the reset. */
bool so_front_heard(const so_front *front);
/* Seconds of quiet since the last loud frame; 0 before the first. */
double so_front_quiet(const so_front *front);

#endif
