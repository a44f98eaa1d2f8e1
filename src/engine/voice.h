/* Streaming out: speech units that arrive one by one become audio while the answer is still being thought of.
 *
 * Flow and vocoder look both ways. A piece is made from its own units, the context left of them, and a few units right of
 * them where they exist; noise belongs to absolute frames, the phase of the source is carried on, and the vocoder runs over
 * overlapping mel so that borders join. Streamed and whole synthesis have exactly the same length, and differ by no more
 * than the amount docs/speed.md states.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_VOICE_H
#define SO_ENGINE_VOICE_H

#include "models/flow.h"
#include "models/hift.h"

typedef struct so_voice_stream so_voice_stream;

typedef struct so_voice_options {
    int first;      /* units before the first audio leaves; 0: the default */
    int piece;      /* units of later pieces; 0: the default */
    int right;      /* units of context to the right that a piece waits for; 0: the default; -1: none */
    int left;       /* units of context to the left that are computed again; 0: the default */
    int limit;      /* units of one answer; 0: 1500 */
    int steps;      /* Euler steps; 0: the model's */
    uint64_t seed;  /* of noise and phases */
} so_voice_options;

/* Everything is allocated here. The networks and `speaker` (of config.speaker numbers) are lent until close. */
so_status so_voice_stream_open(so_voice_stream **out, const so_flow *flow, const so_hift *hift, const float *speaker,
                               const so_voice_options *options, so_error *error);
void so_voice_stream_close(so_voice_stream **voice);
/* A new answer begins. */
void so_voice_stream_reset(so_voice_stream *voice, uint64_t seed);
/* Takes units; `last` says that no more follow. */
so_status so_voice_stream_feed(so_voice_stream *voice, const int32_t *units, int64_t n, bool last, so_error *error);
/* The next audio that can be made now: *pcm (22050 Hz mono, valid until the next call) and the units it speaks, from
 * *unit0 on; *samples is 0 when more units are needed, or all has been given. */
so_status so_voice_stream_next(so_voice_stream *voice, so_pass *pass, const float **pcm, int64_t *samples, int64_t *unit0,
                               int64_t *units, so_error *error);
/* Whole synthesis of n units at once into `pcm` of so_voice_samples(n): the oracle of the stream. */
so_status so_voice_whole(const so_flow *flow, const so_hift *hift, const float *speaker, const int32_t *units, int64_t n,
                         uint64_t seed, int steps, so_pass *pass, float *pcm, so_error *error);
int64_t so_voice_samples(const so_flow *flow, int64_t units);

#endif
