/* The words of a transcript with their times, and the formats that tell them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_WORDS_H
#define SO_SERVER_WORDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "so.h"

typedef struct so_word {
    char *text;
    double begin, end; /* seconds */
} so_word;

typedef struct so_words {
    so_word *word;
    size_t n;
} so_words;

/* The words of a transcript, behind those that are there. False without memory. */
bool so_words_add(so_words *words, const char *text, const so_heard_word *word, size_t n);
void so_words_clear(so_words *words);

/* [{"word", "start", "end"}] */
json_t *so_words_json(const so_words *words);
/* A piece of a transcript that is shown at once. */
typedef struct so_caption {
    size_t first, n; /* words */
    double begin, end;
} so_caption;
/* Cuts into captions of at most 7 seconds and 84 characters, at pauses of more than 0.8 s. Gives the next after `from`
 * words; false at the end. */
bool so_words_caption(const so_words *words, size_t from, so_caption *caption);
/* SubRip and WebVTT; the caller frees it. NULL without memory. */
char *so_words_srt(const so_words *words);
char *so_words_vtt(const so_words *words);

#endif
