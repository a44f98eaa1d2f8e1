/* Questions as people type them and as ears write them down.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "recipes/tabletop/part_batch.h"

static const char *const digits[] = {"zero",     "one",     "two",     "three",     "four",     "five",     "six",
                                     "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen",
                                     "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"};

/* Words for numbers become digits; the text only grows shorter. */
static void with_digits(char *text)
{
    char *to = text;
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, " .,?");
        for (int i = 0; i <= 20; i++)
            if (n == strlen(digits[i]) && strncmp(at, digits[i], n) == 0) {
                at += n;
                to += snprintf(to, 3, "%d", i);
                n = 0;
                break;
            }
        for (; n > 0; n--) *to++ = *at++;
        if (*at) *to++ = *at++;
    }
    *to = 0;
}

/* What the ears would write, as text. */
static void as_heard(const so_tt *tt, so_qa *qa)
{
    so_ids ids = {0};
    so_string text = {0};
    so_error error;
    if (so_tt_heard(tt, qa->question, &ids, &error) == SO_OK &&
        so_tokenizer_decode(tt->tokenizer, ids.data, ids.n, 0, &text, &error) == SO_OK &&
        text.size < sizeof qa->question)
        snprintf(qa->question, sizeof qa->question, "%.*s", (int)text.size, text.size ? text.data : "");
    so_string_clear(&text);
    so_ids_clear(&ids);
}

void so_tt_retype(const so_tt *tt, so_qa *qa, so_rng *rng)
{
    size_t n = strlen(qa->question);
    int64_t lot = so_rng_below(rng, 12);
    /* Names and words from outside reach the model unheard as often as spelled. */
    if (so_tabletop_declines(qa->answer) && so_rng_below(rng, 2)) {
        as_heard(tt, qa);
        return;
    }
    if (lot > 1 || n < 2 || qa->kind == SO_TALK_LETTER) return;
    if (strchr(".?", qa->question[n - 1]) && so_rng_below(rng, 2)) qa->question[n - 1] = 0;
    if (so_rng_below(rng, 2)) with_digits(qa->question);
    for (size_t i = 0; lot && qa->question[i]; i++) qa->question[i] = (char)tolower((unsigned char)qa->question[i]);
}
