/* What can be said.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/builder/sayable.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "text/buffer.h"
#include "text/sentence.h"

static const struct {
    const char *reason, *pattern;
} rules[] = {
    {"code", "```|(?m)(^(\\t| {4}).*[;{}()=].*\\n){2}"},
    {"formula", "\\\\(frac|begin|sqrt|sum|int|left|cdot|times)|\\$[^$\\n]*[\\\\^_][^$\\n]*\\$"},
    {"table", "(?m)^.*\\|.*\\|.*\\|"},
    {"address", "https?://|www\\.|[\\w.+-]+@[\\w-]+\\.\\w|(^|\\s)(/\\w+){2,}|\\b[A-Z]:\\\\"},
    {"markup", "</?(?!image>)[a-zA-Z][^<>]*>"},
    {"boxes", "\\[ *-?[0-9.]+ *, *-?[0-9.]+ *, *-?[0-9.]+ *, *-?[0-9.]+ *\\]"},
    {"data", "(?s)^\\s*[\\[{].*[\\]}]\\s*$|\"\\w+\" *: *[\"\\[{0-9]|Reference OCR token"},
    {"long word", "[^\\s\\p{Han}\\p{P}]{41}"},
    {"list", "(?m)(^\\s*([-*+]|[0-9]+[.)])\\s(?s:.*?)$){9}|(?:(?:^|\\n)\\s*(?:[-*+•]|[0-9]+[.)])\\s[^\\n]*\\n*){9}"},
    {"arithmetic", "[0-9]\\s*[a-z]?\\s*[+*/=^]\\s*[0-9]|[0-9]\\s*[a-z]\\s*[+=-]|[a-z]\\^[0-9]"},
};
enum { RULES = sizeof rules / sizeof *rules };

struct so_sayable {
    pcre2_code *code[RULES];
    pcre2_match_data *match;
};

void so_sayable_close(so_sayable **s)
{
    if (!s || !*s) return;
    for (int i = 0; i < RULES; i++) pcre2_code_free((*s)->code[i]);
    pcre2_match_data_free((*s)->match);
    free(*s);
    *s = NULL;
}

so_status so_sayable_open(so_sayable **out, so_error *error)
{
    int code;
    PCRE2_SIZE at;
    so_sayable *s = calloc(1, sizeof *s);
    bool fine = s && (s->match = pcre2_match_data_create(16, NULL));
    for (int i = 0; i < RULES && fine; i++) {
        s->code[i] =
            pcre2_compile((PCRE2_SPTR)rules[i].pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
        fine = s->code[i] != NULL;
        if (fine) pcre2_jit_compile(s->code[i], PCRE2_JIT_COMPLETE);
    }
    *out = s;
    if (fine) return SO_OK;
    so_sayable_close(out);
    return so_fail(error, SO_ERR_NOMEM, "no memory for the rules of what can be said");
}

/* More than 4 % are neither letters, digits, white space nor marks of a sentence. */
static bool odd_signs(const char *text)
{
    size_t size = strlen(text), all = 0, odd = 0;
    for (size_t at = 0; at < size; all++) {
        int32_t c;
        at += (size_t)so_utf8_next(text + at, size - at, &c);
        bool letter = c >= 0xc0 ? !(c >= 0x2190 && c < 0x2e80)
                                : (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        odd += !letter && !so_is_space(c) && !(c < 128 && c > 0 && strchr(".,;:!?'\"-()%$", (int)c)) &&
               !(c >= 0x2010 && c <= 0x2027);
    }
    return odd * 25 > all;
}

const char *so_sayable_reason(so_sayable *s, const char *text)
{
    for (int i = 0; i < RULES; i++) {
        int found = pcre2_match(s->code[i], (PCRE2_SPTR)text, strlen(text), 0, 0, s->match, NULL);
        if (found != PCRE2_ERROR_NOMATCH) return rules[i].reason; /* what passes PCRE2's limits is not said either */
    }
    return odd_signs(text) ? "signs" : NULL;
}

static bool is_chinese(int32_t c) { return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf); }

const char *so_sayable_lang(const char *text)
{
    size_t size = strlen(text);
    int64_t latin = 0, chinese = 0, other = 0;
    for (size_t at = 0; at < size;) {
        int32_t c;
        at += (size_t)so_utf8_next(text + at, size - at, &c);
        chinese += is_chinese(c);
        latin += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c < 0x250);
        other +=
            c >= 0x250 && !is_chinese(c) && !(c >= 0x2000 && c < 0x2100) && !(c >= 0x3000 && c < 0x3040) && c < 0xfe00;
    }
    int64_t all = latin + chinese + other;
    return all == 0 ? NULL : latin * 10 > all * 9 ? "en" : chinese * 10 > all * 9 ? "zh" : NULL;
}

double so_sayable_seconds(const char *text, const char *lang)
{
    size_t size = strlen(text), n = 0;
    for (size_t i = 0; i < size; i++) n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return (double)n / (strcmp(lang, "zh") == 0 ? 4.5 : 15);
}

so_status so_sayable_question(const char *text, so_string *out, bool *choice, so_error *error)
{
    static const char *const appended[] = {
        "Answer the question using a single word or phrase.", "Provide a short description for this region.",
        "Provide a one-sentence caption for the provided image.",
        "When the provided information is insufficient, respond with 'Unanswerable'."};
    static const char *const letters[] = {"Answer with the option's letter from the given choices directly.",
                                          "请直接回答选项字母。"};
    char *copy = strdup(text);
    if (!copy) return so_fail(error, SO_ERR_NOMEM, "no memory for a question");
    *choice = false;
    for (size_t i = 0; i < 2; i++) *choice = *choice || strstr(copy, letters[i]);
    for (size_t i = 0; i < sizeof appended / sizeof *appended; i++)
        for (char *p; (p = strstr(copy, appended[i]));)
            memmove(p, p + strlen(appended[i]), strlen(p + strlen(appended[i])) + 1);
    for (char *p; (p = strstr(copy, "<image>"));) memmove(p, p + 7, strlen(p + 7) + 1);
    const char *words = copy;
    size_t size = strlen(copy);
    so_strip(&words, &size);
    so_status status = so_string_add(out, words, size, error);
    free(copy);
    return status;
}

bool so_sayable_cut(char *text, const char *lang, double seconds)
{
    if (so_sayable_seconds(text, lang) <= seconds) return true;
    size_t size = strlen(text), end = 0, at = 0;
    while (at < size) {
        size_t blank = strspn(text + at, " \t\r\n"), n = so_sentence_size(text + at + blank, size - at - blank);
        if (n == 0) break;
        char kept = text[at + blank + n];
        text[at + blank + n] = 0;
        bool fits = so_sayable_seconds(text, lang) <= seconds;
        text[at + blank + n] = kept;
        if (!fits) break;
        end = at = at + blank + n;
    }
    text[end] = 0;
    return end > 0;
}
