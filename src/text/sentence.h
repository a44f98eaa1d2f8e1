/* Cutting text into sentences, one after another.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_SENTENCE_H
#define SO_TEXT_SENTENCE_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the first sentence of a text that does not begin with white space: to the mark that ends it, quotes and
 * brackets behind that counted; to the end of a line or of the text where there is none. No mark is the point in "3.5",
 * in "Dr. Smith" and the like, and behind a single capital. */
size_t so_sentence_size(const char *text, size_t size);
/* Whether there is a letter, a digit or a character beyond ASCII in a text. */
bool so_has_words(const char *text, size_t size);

#endif
