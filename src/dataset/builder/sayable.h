/* Whether a text can be said, and what of it: the filter before speech is made of dialogues.
 * Source: data-eval.md B.4.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_BUILDER_SAYABLE_H
#define SO_DATASET_BUILDER_SAYABLE_H

#include <stdbool.h>

#include "base/string.h"
#include "text/spoken.h"

typedef struct so_sayable so_sayable;

/* Compiled once; used by one thread at a time. */
so_status so_sayable_open(so_sayable **out, so_error *error);
void so_sayable_close(so_sayable **rules);

/* NULL where the text can be said, else why not: "code", "formula", "table", "address", "markup", "boxes", "data",
 * "signs", "long word", "list", "arithmetic"; static. */
const char *so_sayable_reason(so_sayable *rules, const char *text);
/* "en" or "zh", where nine of ten letters are of its script; else NULL. */
const char *so_sayable_lang(const char *text);
/* Seconds that saying it will take: 15 characters a second, 4.5 of Chinese. */
double so_sayable_seconds(const char *text, const char *lang);

/* What is said of a question: without placeholders and without the instructions that benchmarks and mixtures append
 * ("Answer the question using a single word or phrase.", ...). *choice: it asks for the letter of an option. Appends.
 */
so_status so_sayable_question(const char *text, so_string *out, bool *choice, so_error *error);
/* Cuts a text at the last sentence end within `seconds`; false where there is none. In place. */
bool so_sayable_cut(char *text, const char *lang, double seconds);

#endif
