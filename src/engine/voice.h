/* Streaming out: speech units that arrive one by one become audio while the answer is still being thought of.
 *
 *     units ─ flow over [left context | piece | right context] ─ mel of the piece ─ vocoder over overlapping mel ─ audio
 *
 * Flow and vocoder look both ways. A piece is made from its own units, the context left of them, and a few units right of
 * them where they exist; noise belongs to absolute frames, the phase of the source is carried on, and the vocoder runs over
 * overlapping mel so that borders join. What comes out does not depend on when units were fed. Streamed and whole synthesis
 * have exactly the same length; an answer that fits into the first piece is the whole synthesis, bit for bit; for longer
 * ones docs/speed.md states the difference.
 *
 * The vocoder needs f0, which reaches SO_VOICE_HOLD frames ahead: audio ends that much before the mel of its piece. Frames
 * right of a piece (they will be made again with the next one) serve as the vocoder's further context. So the first audio
 * leaves after `first` + `right` units and lasts `first` units less 64 ms; units that come half as fast again as they are
 * spoken keep the audio from pausing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_VOICE_H
#define SO_ENGINE_VOICE_H

#include "models/flow.h"
#include "models/hift.h"

enum { SO_VOICE_HOLD = 5 };

typedef struct so_voice_stream so_voice_stream;

typedef struct so_voice_options {
    int first;      /* units of the first piece; 0: 6 */
    int piece;      /* units of later pieces, which grow by half each until they have so many; 0: 25 */
    int right;      /* units of context to the right that a piece waits for; 0: 3; -1: none */
    int left;       /* units of context to the left that are computed again; 0: 50; -1: none */
    int limit;      /* units of one answer; 0: 1500 */
    int steps;      /* Euler steps; 0: the model's */
    uint64_t seed;  /* of noise and phases */
} so_voice_options;

/* Everything is allocated here. The networks and `speaker` (of config.speaker numbers) are lent until close. SO_ERR_ARG
 * when the two networks do not fit each other. */
so_status so_voice_stream_open(so_voice_stream **out, const so_flow *flow, const so_hift *hift, const float *speaker,
                               const so_voice_options *options, so_error *error);
void so_voice_stream_close(so_voice_stream **voice);
/* Bytes of a pass's arena that next needs at most. */
so_status so_voice_stream_plan(const so_voice_stream *voice, const so_kernels *kernels, size_t *bytes, so_error *error);
/* A new answer begins. */
void so_voice_stream_reset(so_voice_stream *voice, uint64_t seed);
/* Takes units; `last` says that no more follow. Nothing is taken on SO_ERR_LIMIT (too many), SO_ERR_ARG (a unit that does
 * not exist) and SO_ERR_STATE (after the last). */
so_status so_voice_stream_feed(so_voice_stream *voice, const int32_t *units, int64_t n, bool last, so_error *error);
/* The next audio that can be made now: *pcm (22050 Hz mono, valid until the next call) and the units it speaks, from
 * *unit0 on; *samples is 0 when more units are needed, or all has been given. The pass's arena is used and released. */
so_status so_voice_stream_next(so_voice_stream *voice, so_pass *pass, const float **pcm, int64_t *samples, int64_t *unit0,
                               int64_t *units, so_error *error);
/* The log-mel frames [*frames, mels] that are final by now, valid until the next call. */
const so_real *so_voice_stream_mel(const so_voice_stream *voice, int64_t *frames);

/* Whole synthesis of n units at once into `pcm` of so_voice_samples(n): the oracle of the stream. `mel` (may be NULL) gets
 * the frames [so_flow_frames(n), mels]. */
so_status so_voice_whole(const so_flow *flow, const so_hift *hift, const float *speaker, const int32_t *units, int64_t n,
                         uint64_t seed, int steps, so_pass *pass, float *pcm, float *mel, so_error *error);
int64_t so_voice_samples(const so_flow *flow, int64_t units);

#endif
