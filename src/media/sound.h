/* Sound files of every kind as mono samples, piece by piece.
 *
 * Built in: what libsndfile reads (WAV, RF64, W64, AIFF, AU, CAF, FLAC, Ogg, MP3, ...). AAC, ALAC, WebM, AMR, WMA and
 * others are read by FFmpeg's libraries where they are installed. What a file is, its bytes say; its name only where a
 * format puts no mark into its bytes.
 * Lengths in headers are not believed: what is there is read, and what was odd is told as a warning.
 *
 * Several channels become one by their mean. Channels that are silent are left out of it, one that is the opposite of
 * the loudest is turned over first, and where the mean would still cancel itself the loudest channel stands alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_SOUND_H
#define SO_MEDIA_SOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SO_SOUND_MAX_CHANNELS = 64, SO_SOUND_MAX_SECONDS = 600, SO_SOUND_WARNING = 320 };

typedef struct so_sound_options {
    double max_seconds; /* longer ones are refused with SO_ERR_LIMIT; 0: SO_SOUND_MAX_SECONDS */
    int channel;        /* 1 .. channels: this one alone; 0: all, mixed */
    bool strict;        /* a file that is cut off is refused with SO_ERR_FORMAT, not read as far as it goes */
    const char *name;   /* the file's, where it is known: bytes that bear no mark of any kind are G.722 when it ends in
                           .g722 (telephone prompts; FFmpeg's libraries read them). NULL: not known */
} so_sound_options;

typedef struct so_sound so_sound;

/* Opens the file that lies in `data`, which is lent until close. `options` may be NULL. SO_ERR_FORMAT: empty, cut off
 * before its samples, or no sound file; SO_ERR_MISSING: only FFmpeg's libraries could read it, and they are absent (the
 * text names the package); SO_ERR_LIMIT: channels or rate (100 .. 768000 Hz) out of bounds. */
so_status so_sound_open(so_sound **out, const void *data, size_t size, const so_sound_options *options,
                        so_error *error);
void so_sound_close(so_sound **sound);

int so_sound_rate(const so_sound *sound);       /* Hz */
int so_sound_channels(const so_sound *sound);   /* of the file */
double so_sound_seconds(const so_sound *sound); /* length as announced, or as counted where it had to be; -1: unknown */
const char *so_sound_warning(const so_sound *sound); /* what was odd so far, sentences; "" */

/* The next samples, at most n; *got 0 at the end. SO_ERR_NUMBER: samples that are not finite; SO_ERR_LIMIT: the sound
 * is longer than max_seconds; SO_ERR_FORMAT at the end of a file without samples or, where strict, of one that is cut.
 */
so_status so_sound_read(so_sound *sound, float *out, int64_t n, int64_t *got, so_error *error);

#endif
