/* Sound files in and out: whole clips of mono float samples (what is read and how: media/sound.h), and WAV, FLAC, OGG.
 *
 * Samples are float in [-1, 1] by convention (a float file may hold more).
 * Known and not ours: an OGG file that breaks off in its headers costs 5.8 KB of memory that libsndfile 1.2.0 forgets.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_AUDIO_H
#define SO_MEDIA_AUDIO_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "media/sound.h"

/* A mono clip; the samples are freed with so_audio_clear. */
typedef struct so_audio {
    float *samples; /* [n] */
    int64_t n;
    int rate;                       /* Hz */
    int channels;                   /* of the file, before mixing */
    char warning[SO_SOUND_WARNING]; /* what was odd about the file, for people; "" */
} so_audio;

/* Reads a whole clip: a path, or the bytes of a file. Statuses as so_sound_open and so_sound_read. */
so_status so_audio_read_with(so_audio *out, const char *path, const so_sound_options *options, so_error *error);
so_status so_audio_decode_with(so_audio *out, const void *data, size_t size, const so_sound_options *options,
                               so_error *error);
/* The same, strict: a file that is cut off is refused. `max_seconds` 0: SO_SOUND_MAX_SECONDS. */
so_status so_audio_read(so_audio *out, const char *path, double max_seconds, so_error *error);
so_status so_audio_decode(so_audio *out, const void *data, size_t size, double max_seconds, so_error *error);
void so_audio_clear(so_audio *audio);

typedef enum so_audio_format {
    SO_AUDIO_WAV_F32, /* as it is */
    SO_AUDIO_WAV_S16, /* the others clip to [-1, 1] */
    SO_AUDIO_FLAC,    /* 16 bits */
    SO_AUDIO_OGG,     /* Vorbis, quality 0.6 */
    SO_AUDIO_OPUS,    /* in Ogg; at 24 kHz where the rate is none of Opus' own */
    SO_AUDIO_MP3
} so_audio_format;

/* A file's bytes for n mono samples; the caller frees `*data` with free(). */
so_status so_audio_encode(so_audio_format format, const float *x, int64_t n, int rate, unsigned char **data,
                          size_t *size, so_error *error);
/* The same into a file that is whole or absent. */
so_status so_audio_write(const char *path, so_audio_format format, const float *x, int64_t n, int rate,
                         so_error *error);
/* The format that a path's ending names in any case (.wav: S16, .flac, .ogg and .oga, .opus, .mp3); SO_ERR_UNSUPPORTED
 * for others. */
so_status so_audio_format_of(const char *path, so_audio_format *format, so_error *error);

enum { SO_WAV_HEADER = 44 };

/* The 44 bytes before `n` mono samples of a WAV_F32 or WAV_S16 file. Negative n: the length is not known yet, as when
 * the file goes down a pipe; readers then take all that comes. */
void so_wav_header(unsigned char header[SO_WAV_HEADER], so_audio_format format, int rate, int64_t n);

/* A WAV file written while it is made. Zeroed before open; drop after a failure or to give up, harmless after close. */
typedef struct so_wav_writer {
    so_writer file;
    so_audio_format format;
    int rate;
    int64_t n; /* samples written */
} so_wav_writer;

so_status so_wav_open(so_wav_writer *writer, const char *path, so_audio_format format, int rate, so_error *error);
so_status so_wav_put(so_wav_writer *writer, const float *x, int64_t n, so_error *error);
/* Writes the length into the header and gives the file its name. */
so_status so_wav_close(so_wav_writer *writer, so_error *error);
void so_wav_drop(so_wav_writer *writer);

#endif
