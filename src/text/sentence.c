/* Cutting text into sentences. See text/sentence.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/sentence.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "so.h"

static bool starts(const char *p, const char *end, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(end - p) >= n && memcmp(p, what, n) == 0;
}

static size_t one_of(const char *p, const char *end, const char *const *list)
{
    for (; *list; list++)
        if (starts(p, end, *list)) return strlen(*list);
    return 0;
}

/* Whether a point ends a word that is only shortened. */
static bool shortened(const char *text, const char *point)
{
    static const char *const words[] = {"mr",  "mrs",  "ms",   "dr",  "st",     "prof", "gen", "sen",
                                        "rep", "rev",  "hon",  "jr",  "sr",     "vs",   "etc", "e.g",
                                        "i.e", "no",   "vol",  "fig", "approx", "dept", "est", "inc",
                                        "ltd", "corp", "capt", "lt",  "col",    "u.s",  "a.m", "p.m"};
    const char *from = point;
    while (from > text && (isalpha((unsigned char)from[-1]) || from[-1] == '.')) from--;
    size_t n = (size_t)(point - from);
    if (n == 1 && isupper((unsigned char)*from)) return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        bool same = strlen(words[i]) == n;
        for (size_t k = 0; same && k < n; k++) same = tolower((unsigned char)from[k]) == words[i][k];
        if (same) return true;
    }
    return false;
}

size_t so_sentence_size(const char *text, size_t size)
{
    static const char *const wide[] = {"。", "？", "！", "；", NULL};
    static const char *const closing[] = {"\"", "'", ")", "]", "”", "’", "」", "』", "）", NULL};
    static const char *const marks = ".?!";
    const char *end = text + size;
    for (const char *p = text; p < end;) {
        if (*p == '\n') return (size_t)(p - text);
        size_t n = one_of(p, end, wide);
        bool narrow = !n && *p && strchr(marks, *p);
        if (!n && !narrow) {
            p++;
            continue;
        }
        const char *mark = p;
        p += narrow ? 1 : n;
        while (p < end && *p && strchr(marks, *p)) p++;
        for (size_t more; (more = one_of(p, end, wide)) > 0;) p += more;
        for (size_t more; (more = one_of(p, end, closing)) > 0;) p += more;
        bool parted = p == end || isspace((unsigned char)*p) || !narrow || (*p & 0x80);
        const char *next = p;
        while (next < end && *next == ' ') next++;
        bool lower = next < end && islower((unsigned char)*next); /* "e.g. this", "well... no" */
        bool goes_on = lower || (p == mark + 1 && shortened(text, mark));
        if (parted && !(narrow && *mark == '.' && p < end && goes_on)) return (size_t)(p - text);
    }
    return size;
}

size_t so_sentence(const char *utf8)
{
    if (!utf8) return 0;
    size_t blank = strspn(utf8, " \t\r\n"), size = strlen(utf8 + blank);
    return size ? blank + so_sentence_size(utf8 + blank, size) : 0;
}

bool so_has_words(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0x80 || isalnum((unsigned char)text[i])) return true;
    return false;
}
