/* How places in a text are read: a pattern that fits there, and who writes the words.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_SPOKEN_RULES_H
#define SO_TEXT_SPOKEN_RULES_H

#include "text/spoken_words.h"

enum { SO_SPOKEN_GROUPS = 8 };

typedef struct so_spoken_rule {
    const char *pattern; /* PCRE2, anchored at the place */
    /* `group` are what the pattern's groups caught, size 0 where they did not; `with` is the rule's own. */
    so_status (*say)(const so_digits *group, const char *with, so_string *out, so_error *error);
    const char *with;
} so_spoken_rule;

/* In the order in which they are tried. */
const so_spoken_rule *so_spoken_english(int *n);
const so_spoken_rule *so_spoken_chinese(int *n);

#endif
