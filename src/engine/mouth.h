/* Units into speech while they are made.
 *
 * Units become mel frames in chunks: each chunk is computed with units before it (heard already) and a few behind it,
 * from noise that belongs to the frame, not to the chunk; where two chunks meet, their frames fade into each other. The
 * vocoder then runs over the frames without seams: its source keeps its phase, and every piece is computed with as many
 * frames around it as can reach it, so that pieces put together are the waveform of the whole. N units give as many
 * samples streamed as at once.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_MOUTH_H
#define SO_ENGINE_MOUTH_H

#include "checkpoint/codec.h"

typedef struct so_mouth_options {
    int64_t first, hop;  /* units of the first chunk, of later ones */
    int64_t left, right; /* units around a chunk */
    int64_t max_units;   /* of one answer */
    uint64_t seed;
} so_mouth_options;

typedef struct so_mouth {
    const so_codec *codec;
    so_mouth_options options;
    so_arena memory, scratch;
    so_pass pass;
    int32_t *units;
    int64_t n, mel_units; /* units given; units whose frames are final */
    bool ended;
    so_real *mel;  /* [frames, M] */
    so_real *tail; /* [FADE, M] the last chunk's view of the frames behind its end */
    int64_t mel_frames, tail_frames;
    so_real *source; /* [frames, samples a frame] */
    int64_t source_frames, wave_frames;
    so_hift_phase phase;
    so_real offset[SO_HIFT_HARMONICS];
    so_real *z; /* noise of one chunk, harmonics of one piece */
    float *out; /* the last piece given out */
} so_mouth;

so_status so_mouth_open(so_mouth **out, const so_codec *codec, so_pool *pool, const so_kernels *kernels,
                        const so_mouth_options *options, so_error *error);
void so_mouth_close(so_mouth **mouth);
/* A new answer. */
void so_mouth_reset(so_mouth *mouth, uint64_t seed);
/* One more unit. SO_ERR_LIMIT above max_units. */
so_status so_mouth_put(so_mouth *mouth, int32_t unit, so_error *error);
/* No more units. */
void so_mouth_end(so_mouth *mouth);
/* The next piece of the waveform, lent until the next call; *samples is 0 when more units are needed, or all is out. */
so_status so_mouth_next(so_mouth *mouth, const float **pcm, int64_t *samples, so_error *error);
/* Samples given out so far. */
int64_t so_mouth_samples(const so_mouth *mouth);

#endif
