/* A recording of any length in pieces that one turn can hold: cut where nobody speaks (front.h), each with its places
 * in the recording.
 *
 * samples at any rate -> 16 kHz -> front end -> pieces of at most 30 s
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_PIECES_H
#define SO_MEDIA_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Seconds of the longest recording that is written down. */
enum { SO_PIECES_MOST_S = 4 * 3600 };

typedef struct so_pieces so_pieces;

/* The recording: its next samples, at most n, into out; *got 0 at its end. */
typedef so_status (*so_pieces_read)(void *context, float *out, int64_t n, int64_t *got, so_error *error);

/* Pieces of a recording at `rate` Hz (4000 to 384000). `plain`: samples are only cut, else as the front end makes them.
 * SO_ERR_ARG, SO_ERR_NOMEM. */
so_status so_pieces_open(so_pieces **out, int rate, bool plain, so_pieces_read read, void *context, so_error *error);
void so_pieces_close(so_pieces **pieces);
/* A recording in which somebody speaks from its first to its last word for so many seconds, to be said before the first
 * piece. In a long one many sentences follow each other, and a short pause ends a piece; in a short one, or where
 * nothing is said, somebody may stop within a question. */
void so_pieces_length(so_pieces *pieces, double seconds);
/* Seconds from the first to the last moment of x [n] that is at most 40 dB below the loudest. */
double so_pieces_spoken(const float *x, int64_t n, int rate);
/* The next piece: *n samples at SO_FRONT_RATE, which live until the next call; *n 0 when there are no more. Statuses
 * are those of `read`. */
so_status so_pieces_next(so_pieces *pieces, const float **pcm, int64_t *n, so_error *error);
/* Where in the recording the instant `seconds` of the last piece is. */
double so_pieces_time(const so_pieces *pieces, double seconds);
/* Seconds of the recording that were read so far. */
double so_pieces_seconds(const so_pieces *pieces);

#endif
