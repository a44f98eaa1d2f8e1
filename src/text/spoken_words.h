/* Numbers as words, in English and in Chinese.
 * Source: docs/spoken.md.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_SPOKEN_WORDS_H
#define SO_TEXT_SPOKEN_WORDS_H

#include "text/buffer.h"

/* A span of digits; commas in it are skipped. */
typedef struct so_digits {
    const char *text;
    size_t size;
} so_digits;

/* All append; digits beyond 15, and those after a leading zero, are read one by one. */
so_status so_words_cardinal(so_digits digits, so_string *out, so_error *error); /* "one hundred five" */
so_status so_words_ordinal(so_digits digits, so_string *out, so_error *error);  /* "one hundred fifth" */
so_status so_words_each(so_digits digits, so_string *out, so_error *error);     /* "one zero five" */
/* Four digits as a year: "nineteen eighty-four", "two thousand five", "twenty ten", "nineteen hundred". */
so_status so_words_year(so_digits digits, so_string *out, so_error *error);

so_status so_words_chinese(so_digits digits, so_string *out, so_error *error);      /* 一百零五 */
so_status so_words_chinese_each(so_digits digits, so_string *out, so_error *error); /* 一零五 */

/* The value, at most 10^15; -1 for more. */
int64_t so_digits_value(so_digits digits);

#endif
