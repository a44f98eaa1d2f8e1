/* Speech into units while it arrives.
 *
 * Audio is resampled to 16 kHz and turned into log-mel frames as it comes; every so often what was heard lately is
 * tokenised anew, and units with enough sound behind them are given out. When the turn ends, everything is tokenised
 * once more, in blocks of 30 s as the reference does, so that the final units equal those of the whole clip.
 *
 * A tokenizer that was trained on speech without silence around it (so_codec.trims) gets it so: sound begins with
 * the first 10 ms that are loud, and silence at the end waits in front of the gate until speech goes on.
 *
 * With the front end (media/front.h) units are those of one segment of speech, and times lead back to the recording.
 * When a second segment begins, feeding stops there: the caller takes the units of the one that ended.
 *
 * Tokenising takes a large tokenizer long. An ear whose `pieces` are on leaves it to so_ear_more, a half of a block at
 * a time: what is between them lies in the ear. Units come with the last piece.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SPEECH_EAR_H
#define SO_SPEECH_EAR_H

#include "checkpoint/codec.h"
#include "media/front.h"
#include "media/resample.h"
#include "nn/worker.h"

enum { SO_EAR_SPANS = 64 };

/* A stretch of sound on its way through the tokenizer. */
typedef struct so_ear_look {
    bool on, last;         /* there is one; a block ends with it */
    int64_t frame, frames; /* of the block */
    int64_t rows, half;    /* of x; of blocks, the next; -1: the convolutions are */
    int64_t at;            /* number of its first unit, */
    int64_t from, to;      /* of its units those that are put in place */
    so_real *x;            /* [rows, D] */
} so_ear_look;

typedef struct so_ear {
    const so_codec *codec;
    so_arena memory;
    so_worker *worker, own;    /* who computes; one of its own, unless it was given one */
    const so_kernels *kernels; /* with these, whatever table the worker has */
    so_site place;
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
    bool pieces; /* so_ear_more goes on with what feeding and finishing begin */
    so_ear_look look;
    bool whole;                        /* no interim looks: only the end matters */
    double loudest, quietest, quiet_s; /* levels of 10 ms so far; seconds of quiet at the end */
    double level;                      /* of the 10 ms being gathered */
    int64_t level_n;
    float *held;             /* [limit] samples in front of the gate; NULL: no gate */
    int64_t held_n, checked; /* of which `checked` have been looked at */
    int64_t quiet_n, lead;   /* quiet samples let through lately; samples dropped before the first sound */
    bool open, paused;       /* something loud was heard; the pause was tokenised */
    so_front *front;         /* NULL: none */
    so_front_run run;        /* waits while `ended` */
    bool waits, ended;       /* a run waits; it begins another segment */
    int flushed;             /* 1: the resampler has ended, 2: the front end too */
    size_t taken;            /* samples of the last feed */
    int64_t released;        /* samples of this segment */
    struct {
        int64_t out, at; /* sample of the segment, and of the recording */
    } span[SO_EAR_SPANS];
    int spans;
    float *piece; /* resampled */
    int64_t piece_size;
} so_ear;

/* Memory for turns of up to `seconds`. Computes with `worker`, of the same place, or, where that is NULL, with one of
 * its own. */
so_status so_ear_open(so_ear **out, const so_codec *codec, so_worker *worker, const so_site *place, double seconds,
                      so_error *error);
/* What a worker needs for any ear of this codec. */
so_status so_ear_plan(const so_codec *codec, const so_site *place, so_need *scratch, so_error *error);
void so_ear_close(so_ear **ear);
/* From now on sound goes through the front end of hearing. */
so_status so_ear_use_front(so_ear *ear, so_error *error);
/* Bytes that it has taken. */
size_t so_ear_bytes(const so_ear *ear);
/* A new turn. */
void so_ear_reset(so_ear *ear);
/* Takes mono samples; *news says whether units changed. Where another segment begins (ear->ended) it stops: ear->taken
 * says how many samples were taken. SO_ERR_LIMIT: the turn would be too long, nothing is taken. */
so_status so_ear_feed(so_ear *ear, const float *pcm, size_t n, int rate, bool *news, so_error *error);
/* The turn ends: all units are final. Where another segment begins before, ear->ended says so and ear->finished does
 * not: to be called again. */
so_status so_ear_finish(so_ear *ear, so_error *error);
/* Whether a look is on its way: its units are still to come. */
static inline bool so_ear_looks(const so_ear *ear) { return ear->look.on; }
/* Multiplications of its next piece. */
double so_ear_products(const so_ear *ear);
/* The piece; *news as so_ear_feed. After SO_ERR_STOPPED it is still the next, after any other error the look is given
 * up. */
so_status so_ear_more(so_ear *ear, bool *news, so_error *error);
/* The units of the segment that ended become final; then the one that begins replaces them. */
so_status so_ear_end_segment(so_ear *ear, so_error *error);
void so_ear_begin_segment(so_ear *ear);
/* Seconds of the recording at a second of the units' time. */
double so_ear_time(const so_ear *ear, double s);
/* Whether there was anything loud in the turn. */
bool so_ear_heard(const so_ear *ear);

#endif
