/* A sound file written while it is made, in the form that its name's ending says.
 *
 * WAV goes out as it comes, with its length in the header where the file can be gone back in. The other forms are
 * encoded when the file is closed. Samples: mono float in [-1, 1], others are clipped.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_SOUND_WRITER_H
#define SO_MEDIA_SOUND_WRITER_H

#include "media/audio.h"

/* Zeroed before open; drop after a failure or to give up, harmless after close. */
typedef struct so_sound_writer {
    so_audio_format format;
    int rate;
    so_wav_writer wav;
    so_writer file; /* of the other forms */
    float *held;    /* [n] samples for them */
    int64_t n, capacity;
} so_sound_writer;

/* The form of `path`: its ending's; WAV where the name has none and means a device, a pipe or a descriptor.
 * SO_ERR_UNSUPPORTED names the endings that can be written, or says that the library lacks an encoder. */
so_status so_sound_writer_form(const char *path, int rate, so_audio_format *format, so_error *error);
so_status so_sound_writer_open(so_sound_writer *writer, const char *path, int rate, so_error *error);
so_status so_sound_writer_put(so_sound_writer *writer, const float *x, int64_t n, so_error *error);
/* The file gets its name. */
so_status so_sound_writer_close(so_sound_writer *writer, so_error *error);
void so_sound_writer_drop(so_sound_writer *writer);

#endif
