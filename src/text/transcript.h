/* What was heard, from CTC labels.
 * Source: docs/model.md 6.2.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_TRANSCRIPT_H
#define SO_TEXT_TRANSCRIPT_H

#include <stdbool.h>

#include "so.h"
#include "text/tokenizer.h"

/* Appends the labels that are not blank and not equal to the label right before (a blank counts as one). */
so_status so_collapse(const int32_t *label, int64_t n, int32_t blank, so_ids *kept, so_error *error);
/* Their text, without specials and without white space at the ends, appended. */
so_status so_transcript_text(const so_tokenizer *tokenizer, const int32_t *ids, size_t n, so_string *text,
                             so_error *error);
/* Words found, behind those that are there already. */
typedef struct so_words_found {
    so_heard_word *word; /* [most] */
    size_t most, n;
} so_words_found;

/* The text of n labels, appended, and its words: bytes of `text`, and in place of seconds the positions of the first
 * label and behind the last one. Words beyond `most` are left out. */
so_status so_transcript_words(const so_tokenizer *tokenizer, const int32_t *label, int64_t n, int32_t blank,
                              so_string *text, so_words_found *words, so_error *error);

/* How many words of the text before are not those of the text after. */
int so_words_withdrawn(const char *before, const char *after);

/* The front of a transcript, which was told as stable: later looks at the same turn do not change it. */
typedef struct so_promise {
    so_string text;
    so_heard_word *word; /* [n] of it */
    size_t n, most;
    so_string last, whole; /* the transcript before; room to put one together */
    size_t agreed;         /* bytes that it had in common with the one before it */
} so_promise;

/* Room for `words` words of `bytes` bytes, so that keeping allocates nothing up to there. Start from a zeroed struct.
 */
so_status so_promise_open(so_promise *promise, size_t words, size_t bytes, so_error *error);
void so_promise_clear(so_promise *promise);
/* Another turn. */
void so_promise_reset(so_promise *promise);
/* A later transcript of the turn, and its words. What was promised stands, whatever this one made of it: its further
 * words come behind. Then more is promised: words with another behind them in which this transcript and the two before
 * it agree; all of a final one. */
so_status so_promise_keep(so_promise *promise, so_string *text, so_heard_word *word, size_t *n, bool final,
                          so_error *error);

#endif
