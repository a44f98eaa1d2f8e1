/* Speech into units while it arrives.
 *
 * Audio is resampled to 16 kHz and turned into log-mel frames as it comes; every so often what was heard lately is
 * tokenised anew, and units with enough sound behind them are given out. When the turn ends, everything is tokenised
 * once more, in blocks of 30 s as the reference does, so that the final units equal those of the whole clip.
 *
 * A tokenizer that was trained on speech without silence around it (so_codec.trims) gets it so: sound begins with
 * the first 10 ms that are loud, and silence at the end waits in front of the gate until speech goes on.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_EAR_H
#define SO_ENGINE_EAR_H

#include "checkpoint/codec.h"
#include "media/resample.h"

typedef struct so_ear {
    const so_codec *codec;
    so_arena memory, scratch;
    so_pass pass;
    so_resampler *resampler;
    so_resample_stream *stream; /* NULL at 16 kHz */
    so_mel_stream *mel;
    int rate;      /* Hz of this turn; 0 before the first sample */
    int64_t limit; /* samples at 16 kHz of a turn */
    int64_t step;  /* frames of new sound between two interim looks; may be changed after opening */
    int64_t samples, block_samples, done_frames, block_first;
    int32_t *units, *fresh;
    int64_t n, capacity;
    int64_t revised; /* units given out and changed later */
    bool finished;
    bool whole;                        /* no interim looks: only the end matters */
    double loudest, quietest, quiet_s; /* levels of 10 ms so far; seconds of quiet at the end */
    double level;                      /* of the 10 ms being gathered */
    int64_t level_n;
    float *held;             /* [limit] samples in front of the gate; NULL: no gate */
    int64_t held_n, checked; /* of which `checked` have been looked at */
    int64_t quiet_n, lead;   /* quiet samples let through lately; samples dropped before the first sound */
    bool open, paused;       /* something loud was heard; the pause was tokenised */
    float *piece;            /* resampled */
    int64_t piece_size;
} so_ear;

/* Memory for turns of up to `seconds`. */
so_status so_ear_open(so_ear **out, const so_codec *codec, so_pool *pool, const so_kernels *kernels, double seconds,
                      so_error *error);
void so_ear_close(so_ear **ear);
/* A new turn. */
void so_ear_reset(so_ear *ear);
/* Takes mono samples; *news says whether units changed. SO_ERR_LIMIT: the turn would be too long, nothing is taken. */
so_status so_ear_feed(so_ear *ear, const float *pcm, size_t n, int rate, bool *news, so_error *error);
/* The turn ends: all units are final. */
so_status so_ear_finish(so_ear *ear, so_error *error);

#endif
