/* What reads the samples of one kind of sound file; private to so_sound.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_SOUND_SOURCE_H
#define SO_MEDIA_SOUND_SOURCE_H

#include "media/sound.h"

typedef struct so_sound_source so_sound_source;
struct so_sound_source {
    int rate, channels;
    int64_t frames; /* announced; -1: unknown */
    int damaged;    /* pieces that could not be decoded and were left out */
    /* Interleaved samples of up to n frames; *got 0 at the end. */
    so_status (*read)(so_sound_source *source, float *out, int64_t n, int64_t *got, so_error *error);
    void (*close)(so_sound_source *source);
};

/* Opened from memory that is lent until close. */
so_status so_sound_sndfile(so_sound_source **out, const void *data, size_t size, so_error *error);
/* By FFmpeg's libraries, found at run time; SO_ERR_MISSING when they are not there. SO_LIBAV=none in the environment
 * hides them. `form` names a format that cannot be told by its bytes; NULL: they tell. */
so_status so_sound_libav(so_sound_source **out, const void *data, size_t size, const char *form, so_error *error);

/* A RIFF, RF64 or W64 file by its chunks: where its samples lie, and a header that tells the truth about them. */
typedef struct so_sound_wav {
    unsigned char head[4200]; /* RIFF, fmt, fact, data */
    size_t head_size;
    size_t at, length;  /* bytes of the samples in the file */
    uint64_t announced; /* by the data chunk; equal to length when nothing is odd */
    bool streamed;      /* the writer did not know the length: no lie */
    bool truncated;     /* fewer bytes than announced */
    const char *oddity; /* something else, a sentence; NULL */
} so_sound_wav;
/* false: not such a file, or without fmt and data. */
bool so_sound_wav_find(so_sound_wav *wav, const unsigned char *data, size_t size);
/* Why a file that is not found above must not be given to libsndfile as it is, although it looks like a WAV file: it
 * may read a LIST chunk of 4 GB that is not there for hours. NULL: it may be. */
const char *so_sound_wav_unfit(const unsigned char *data, size_t size);

/* Bytes that a container's own lengths announce, where it has such; 0: unknown. */
uint64_t so_sound_announced(const unsigned char *data, size_t size, bool *ends);
/* The kind of file by its first bytes, for messages ("AAC in an MP4 file (m4a)"); NULL: unknown. */
const char *so_sound_kind(const unsigned char *data, size_t size);

#endif
