/* Text as it is said: numbers, money, times, dates, units, abbreviations, addresses and symbols as words.
 * Source: docs/spoken.md.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_SPOKEN_H
#define SO_TEXT_SPOKEN_H

#include "text/buffer.h"

typedef enum so_tongue { SO_TONGUE_TOLD, SO_TONGUE_ENGLISH, SO_TONGUE_CHINESE } so_tongue;

typedef struct so_spoken_rules so_spoken_rules;

/* Compiled once; may be used by one thread at a time. */
so_status so_spoken_open(so_spoken_rules **out, so_error *error);
void so_spoken_close(so_spoken_rules **rules);
/* Appends the spoken form. TOLD: Chinese where there are as many Chinese characters as Latin words, or more. Bytes that
 * are not UTF-8 count as U+FFFD. Time grows with the size of the text. */
so_status so_spoken_write(so_spoken_rules *rules, const char *text, size_t size, so_tongue tongue, so_string *out,
                          so_error *error);

#endif
