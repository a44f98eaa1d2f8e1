/* Samples: what a corpus hands to training, in ids and numbers.
 *
 * A source makes samples on request; everything a sample points to lives in the arena that the source was given (or in
 * the corpus itself) until the micro-batch is done.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_EXAMPLE_H
#define SO_TRAIN_EXAMPLE_H

#include "base/arena.h"
#include "base/rng.h"

enum { SO_PICTURE_ID = -200 }; /* stands in ids where a picture's vectors go */

/* One exchange, in whatever modalities it has. Parts that a stage's losses do not need may be absent. */
typedef struct so_sample {
    /* The prompt: text ids, unit ids (they send the whole prompt through the bottom layers), SO_PICTURE_ID per picture.
     */
    const int32_t *ids;
    int64_t n;
    const uint8_t
        *learn; /* [n] ids to be predicted from what stands before; NULL: none, or all where there is no answer */
    const float *pixels; /* [pictures, 3, S, S], as the vision tower takes them */
    int64_t pictures;
    const int32_t *heard; /* transcript of the prompt's units, text ids */
    int64_t n_heard;
    /* The answer: text ids with the end of turn, and its speech, unit ids (offset added) without an end. */
    const int32_t *text;
    int64_t n_text;
    const uint8_t *spoken; /* [n_text] tokens that are pronounced, the end of turn included; NULL: all */
    const int32_t *units;
    int64_t n_units;
    const float *sound; /* a recording, for the codec's networks; its transcript is `heard`, its units have no offset */
    int64_t n_sound;
} so_sample;

struct so_micro;

/* Where samples come from: drawn one by one, or a whole portion as it was planned (train/batches.h). */
typedef struct so_sample_source {
    void *context;
    /* Fills *sample with a sample of `task` (a name from the stage's table), drawn with `rng` only. */
    so_status (*next)(void *context, const char *task, so_rng *rng, so_arena *memory, so_sample *sample,
                      so_error *error);
    /* Not NULL: used instead. *samples [*n] are all of this portion; sets micro->more and micro->weight. */
    so_status (*gather)(void *context, struct so_micro *micro, so_arena *memory, const so_sample **samples, int64_t *n,
                        so_error *error);
} so_sample_source;

#endif
