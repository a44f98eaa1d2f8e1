/* Voices made of recordings: a speaker's vector by CAM++, and a prompt, a few seconds of units and the mel they were
 * spoken with, which the flow goes on from.
 *
 *     recording -> 16 kHz -> front end: level, hum, silence -> speech ─┬─ Kaldi features -> CAM++ -> unit vector
 *                                                                      └─ of the first: units, and mel at 22.05 kHz
 *
 * The vector is the mean over the recordings, of unit length. A file of a voice is safetensors: "vector" f32 [speaker],
 * "units" i32 [P] and "mel" f32 [frames of P units, bins] (both absent: no prompt), and in its metadata the name, where
 * it came from and the mark of the codec that it belongs to.
 *
 * Source: docs/model.md 7.5; docs/files.md.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SPEECH_CLONE_H
#define SO_SPEECH_CLONE_H

#include "checkpoint/codec.h"
#include "formats/safetensors.h"
#include "so.h"
#include "speech/mouth.h"

enum {
    SO_CLONE_UNITS = SO_MOUTH_PROMPT, /* of a prompt, at most: 3 s */
    SO_CLONE_LONGEST = 30,            /* seconds of speech of a recording that are used */
    SO_CLONE_WIDEST = 4096            /* numbers of a vector, bins of a frame */
};

struct so_clone {
    char name[64], source[65]; /* SHA-256 of the samples that it was made of */
    char mark[17];             /* of the codec */
    int64_t width, bins;       /* of the vector, of a frame */
    float *vector;             /* [width] */
    int32_t *units;            /* [n] */
    int64_t n, frames;         /* n may be 0: no prompt */
    float *mel;                /* [frames, bins] */
    int recordings, cut;
    double seconds;
};

/* The voice in an open file; statuses as so_clone_load. */
so_status so_clone_read(so_clone **out, const so_safetensors *file, so_error *error);
/* SO_ERR_SHAPE or SO_ERR_UNSUPPORTED unless the codec can speak with this voice. */
so_status so_clone_check(const so_clone *clone, const so_codec *codec, so_error *error);
/* The mouth, of a session with this codec, speaks with it; NULL: with the codec's voice. SO_ERR_UNSUPPORTED without a
 * mouth. */
so_status so_clone_speak(const so_clone *clone, so_mouth *mouth, const so_codec *codec, so_error *error);
so_mouth_voice so_clone_voice(const so_clone *clone);

#endif
