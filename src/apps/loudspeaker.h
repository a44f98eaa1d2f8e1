/* Microphone and speaker through PortAudio.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_LOUDSPEAKER_H
#define SO_APPS_LOUDSPEAKER_H

#include <stdbool.h>
#include <stddef.h>

#include "so_status.h"

typedef struct so_audio_device so_audio_device;

/* Hz that is asked for first, and that a device may have; pieces in a second of the microphone; samples of a piece. */
enum {
    SO_MICROPHONE_RATE = 16000,
    SO_RATE_MIN = 8000,
    SO_RATE_MAX = 192000,
    SO_PIECES_PER_S = 25,
    SO_PIECE_MAX = SO_RATE_MAX / SO_PIECES_PER_S
};

typedef struct so_audio_device_options {
    const char *microphone, *speaker; /* a part of the name; NULL: the default one */
    int rate;                         /* Hz of what will be played; 0: 22050 */
    bool cancel;                      /* what it plays is taken out of what the microphone hears */
} so_audio_device_options;

/* SO_ERR_MISSING when there is no such device. Where nothing can be cancelled (no libspeexdsp), it says so on stderr.
 */
so_status so_audio_device_open(so_audio_device **out, const so_audio_device_options *options, so_error *error);
void so_audio_device_close(so_audio_device **device);
/* Hz of what the microphone gives, 16000 where it can. */
int so_audio_device_rate(const so_audio_device *device);
/* Whether echoes are cancelled. */
bool so_audio_device_cancels(const so_audio_device *device);
/* The next 40 ms of the microphone into pcm[SO_PIECE_MAX], their number into *samples; waits for them. */
so_status so_audio_device_read(so_audio_device *device, float *pcm, size_t *samples, so_error *error);
/* 1 when a piece can be read without waiting. */
int so_audio_device_ready(so_audio_device *device);
/* Queues mono samples at the rate of the options (copied) and plays what the speaker takes now. */
so_status so_audio_device_write(so_audio_device *device, const float *pcm, size_t samples, so_error *error);
/* Nothing more will be written of this answer. */
so_status so_audio_device_finish(so_audio_device *device, so_error *error);
/* Plays on; *queued (may be NULL) is 0 once all has been heard. */
so_status so_audio_device_play(so_audio_device *device, size_t *queued, so_error *error);
/* Drops what is queued; gives the seconds heard since the last call of this function. */
double so_audio_device_hush(so_audio_device *device);
/* The names of all devices, one a line, to stdout. */
so_status so_audio_device_list(so_error *error);

#endif
