/* What was heard, from CTC labels.
 * Source: docs/model.md 6.2.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_TRANSCRIPT_H
#define SO_ENGINE_TRANSCRIPT_H

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

#endif
