/* Forms of Unicode text, by utf8proc.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_UNICODE_H
#define SO_TEXT_UNICODE_H

#include "text/buffer.h"

/* Append; bytes that are not UTF-8 count as U+FFFD. */
/* Lower case, character by character; U+0130 as Python has it (i and a dot above). */
so_status so_lower(const char *text, size_t size, so_string *out, so_error *error);
/* Canonical decomposition (NFD). */
so_status so_decompose(const char *text, size_t size, so_string *out, so_error *error);
/* Compatibility decomposition (NFKD), and composition (NFKC). */
so_status so_decompose_compatible(const char *text, size_t size, so_string *out, so_error *error);
so_status so_compose_compatible(const char *text, size_t size, so_string *out, so_error *error);

/* Letters, numbers and marks. */
bool so_is_word_character(int32_t c);
/* First letter of the general category: 'L', 'M', 'N', 'P', 'S', 'Z', 'C'; *second (may be NULL) is the other. */
char so_category(int32_t c, char *second);
/* The value of a decimal digit of any script, or -1. */
int so_digit_value(int32_t c);

#endif
