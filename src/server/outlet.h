/* The model's voice as the bytes of a sound format, while it is made.
 *
 * In: 16-bit mono samples. PCM, WAV, FLAC (libsndfile), Ogg Opus (libopusenc) and MP3 (lame) come out as they grow;
 * `whole` holds everything back until the end, so that headers tell the true length.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_OUTLET_H
#define SO_SERVER_OUTLET_H

#include <stdint.h>

#include "base/error.h"
#include "net/bytes.h"

enum { SO_SPEECH_RATE = 24000 /* Hz of what clients get unless they ask for another */ };

typedef enum so_outlet_kind {
    SO_OUTLET_PCM,
    SO_OUTLET_WAV,
    SO_OUTLET_FLAC,
    SO_OUTLET_OPUS,
    SO_OUTLET_MP3
} so_outlet_kind;

/* "pcm", "pcm16", "wav", "flac", "opus", "mp3"; false for other names. */
bool so_outlet_named(const char *name, so_outlet_kind *sound);
/* "audio/wav" and the like. */
const char *so_outlet_type(so_outlet_kind sound);

typedef struct so_outlet so_outlet;
/* SO_ERR_NOMEM, SO_ERR_UNSUPPORTED when an encoder refuses. */
so_status so_outlet_open(so_outlet **out, so_outlet_kind sound, int rate, bool whole, so_error *error);
void so_outlet_close(so_outlet **outlet);
/* Appends what is ready to `out`. */
so_status so_outlet_feed(so_outlet *outlet, const int16_t *pcm, size_t n, so_bytes *out, so_error *error);
/* Appends the rest. The outlet can only be closed after it. */
so_status so_outlet_finish(so_outlet *outlet, so_bytes *out, so_error *error);

#endif
