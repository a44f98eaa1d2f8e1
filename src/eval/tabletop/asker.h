/* One worker that puts questions of the tabletop world to a model, through the public header alone.
 *
 * Speech arrives on a listener's clock: a piece of 40 ms is there 40 ms after the one before, work on it begins when it
 * is there and the work before is done. Times are differences on that clock, so that they are what a person would see,
 * though nothing waits for them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_TABLETOP_ASKER_H
#define SO_EVAL_TABLETOP_ASKER_H

#include "base/error.h"
#include "dataset/tabletop/tabletop_corpus.h"
#include "eval/tabletop/conditions.h"
#include "media/mel.h"
#include "so.h"
#include "so_eval.h"

typedef struct so_tabletop_mode {
    const char *name;
    bool sees, hears;
    unsigned want; /* besides text: SO_WANT_VOICE or SO_WANT_UNITS, which are then heard again */
    bool recites;  /* nothing is asked: the right answer is said */
} so_tabletop_mode;

/* What one worker keeps from item to item. Strings and samples are of the item at hand, until so_asker_forget. */
typedef struct so_asker {
    const so_tabletop_eval_options *options;
    so_mel *mel;
    so_model *model;
    so_session *session;
    const so_condition *condition; /* surroundings of what it plays; NULL: none */
    double clock, ready;           /* the listener's seconds; real time when work on it was last counted */
    char *heard, *got, *echo;
    char *shown, *offline; /* the transcript on view when the speech ended; that of the whole utterance at once */
    size_t got_length;
    float *pcm;
    size_t samples;
    int32_t *units;
    size_t n_units;
    so_usage usage;
    double first_heard, first_text, first_voice; /* on the listener's clock; NaN: not yet */
    int64_t early_words;
} so_asker;

/* Opens its model, of one thread, and a session; `options` and `mel` are lent. Close also after a failure. */
so_status so_asker_open(so_asker *asker, const so_tabletop_eval_options *options, so_mel *mel, so_error *error);
void so_asker_close(so_asker *asker);
void so_asker_forget(so_asker *asker);
/* Real time in seconds. */
double so_asker_now(void);

/* A picture file, or pixels of the world's size. */
so_status so_asker_show(so_asker *asker, const char *path, so_error *error);
/* A sound file, or samples, in the asker's surroundings; *end: seconds of it. */
so_status so_asker_hear(so_asker *asker, const char *path, double *end, so_error *error);
so_status so_asker_listen(so_asker *asker, const float *pcm, int64_t n, int rate, double *end, so_error *error);
/* Silence is answered, too: it counts as a wrong answer, not as none. */
so_status so_asker_reply(so_asker *asker, unsigned want, so_error *error);
/* Takes events until one of the kind, or the last of the answer. */
so_status so_asker_drain(so_asker *asker, so_event_kind until, so_error *error);

/* The answer's own voice or units, heard by a conversation that knows nothing of it: `echo`. */
so_status so_asker_echo(so_asker *asker, so_error *error);
/* What the model hears when it is given the whole utterance at once, `offline`: the clip becomes units in one piece,
 * and the units a transcript in another. `heard` is left as it is. */
so_status so_asker_hear_whole(so_asker *asker, const so_tabletop_mode *mode, const so_tabletop_item *item,
                              so_error *error);
/* The answer's speech against espeak-ng's: ratio of lengths, log-mel distance. Left alone where there is no sound. */
so_status so_asker_compare(so_asker *asker, double *ratio, double *distance, so_error *error);

#endif
