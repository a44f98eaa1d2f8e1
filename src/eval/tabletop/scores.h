/* Scores of the tabletop world: answers by kind, word errors, times. Pure: what the model said comes in, tables come
 * out.
 * Source: the tabletop spec, "What is measured on the reserved part".
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_TABLETOP_SCORES_H
#define SO_EVAL_TABLETOP_SCORES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What can be measured of one item. */
typedef enum so_tabletop_measure {
    SO_MEASURE_FIRST_TRANSCRIPT, /* ms from the end of the user's speech; below zero when earlier */
    SO_MEASURE_FIRST_WORD,       /* ms until the first word of the answer */
    SO_MEASURE_FIRST_SAMPLE,     /* ms until the first sample of the voice */
    SO_MEASURE_REAL_TIME,        /* seconds of work per second of sound */
    SO_MEASURE_EARLY_WORDS,      /* words recognised before the utterance ended */
    SO_MEASURE_DURATION_RATIO,   /* length of the speech to that of the reference voice for the same sentence */
    SO_MEASURE_MEL_DISTANCE,     /* log-mel distance to it */
    SO_MEASURES
} so_tabletop_measure;

/* One item; lent until the call returns. Texts that were not asked for are NULL. */
typedef struct so_tabletop_result {
    const char *mode;           /* "V+S>T": rows of the tables are per mode */
    const char *kind;           /* "relation", ... */
    const char *answer, *got;   /* the right answer, the model's: exact match */
    const char *spoken, *heard; /* the user's words, the transcript: word error rate */
    const char *shown;          /* the transcript on view when the last piece of the speech had come */
    const char *offline;        /* the transcript of the whole utterance at once: `heard` should equal it */
    int64_t withdrawn;          /* words that were on view and were taken back */
    const char *echo; /* what was heard in the model's own voice: word errors against `got`, match with `answer` */
    double measured[SO_MEASURES]; /* NaN for what was not measured */
} so_tabletop_result;

typedef struct so_tabletop_score so_tabletop_score;

so_status so_tabletop_score_open(so_tabletop_score **out, so_error *error);
void so_tabletop_score_close(so_tabletop_score **score);
so_status so_tabletop_score_add(so_tabletop_score *score, const so_tabletop_result *result, so_error *error);
/* A result with nothing asked and nothing measured. */
so_tabletop_result so_tabletop_result_none(void);

/* Tables for a person, and one JSON object: {"modes": [{"mode", "answers": {"n", "right", "kinds": {kind: {"n",
 * "right"}}}, "transcript": {"words", "substituted", "deleted", "inserted", "wer"}, "streamed":
 * {"n", "equal", "beginnings", "words", "withdrawn", "revised"}, "echo": {..., "right", "n"},
 * "measures": {name:
 * {"n", "mean", "p50", "p90", "most"}}}]}. The caller frees with free(); NULL only without memory. */
char *so_tabletop_score_text(const so_tabletop_score *score);
char *so_tabletop_score_json(const so_tabletop_score *score);

/* Lower case, punctuation dropped, one space between words. The caller frees with free(); NULL only without memory. */
char *so_tabletop_plain(const char *text);
/* Whether the plain forms are equal. False for NULL. */
bool so_tabletop_match(const char *expected, const char *got);

#endif
