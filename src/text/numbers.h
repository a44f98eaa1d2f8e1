/* Number words to digits, a step of the English normaliser.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_NUMBERS_H
#define SO_TEXT_NUMBERS_H

#include "text/buffer.h"

/* Appends the words of `text` (lower case, parted by white space) joined by single spaces, numbers as digits. */
so_status so_numbers_rewrite(const char *text, size_t size, so_string *out, so_error *error);
/* Whether a word can stand before "and a half": a digit word, a tens word or a multiplier. */
bool so_numbers_can_be_halved(const char *word, size_t size);

#endif
