/* Rules by which answers are compared.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/scoring/answers.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text/unicode.h"

/* ---- VQA */

/* Values of the contraction table; a key is a value without exactly one of its apostrophes. */
static const char contractions[] =
    " ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's "
    "isn't "
    "it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't "
    "somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's "
    "they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's "
    "where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've "
    "couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've something'd've "
    "there'd've they'd've we'd've who'd've wouldn't've y'all'd've you'd've 'ow's'at y'all'll ";

/* Whether `word` is `value` without one apostrophe. */
static bool lacks_one(const char *word, size_t n, const char *value, size_t size)
{
    if (n + 1 != size) return false;
    for (size_t i = 0; i < size; i++)
        if (value[i] == '\'' && memcmp(word, value, i) == 0 && memcmp(word + i, value + i + 1, n - i) == 0) return true;
    return false;
}

static so_status put_word(so_string *out, const char *word, size_t n, so_error *error)
{
    static const char *const numbers[] = {"zero", "one",   "two",   "three", "four", "five",
                                          "six",  "seven", "eight", "nine",  "ten"};
    char digits[4];
    if ((n == 1 && word[0] == 'a') || (n == 2 && memcmp(word, "an", 2) == 0) || (n == 3 && memcmp(word, "the", 3) == 0))
        return SO_OK;
    if (out->size) SO_TRY(so_string_add(out, " ", 1, error));
    if (n == 4 && memcmp(word, "none", 4) == 0) return so_string_add(out, "0", 1, error);
    for (int i = 0; i < 11; i++)
        if (strlen(numbers[i]) == n && memcmp(word, numbers[i], n) == 0) {
            snprintf(digits, sizeof digits, "%d", i);
            return so_string_put(out, digits, error);
        }
    if (n == 10 && memcmp(word, "somebody'd", 10) == 0)
        return so_string_add(out, "somebodyd", 9, error); /* as it is there */
    for (const char *value = contractions + 1; *value;) {
        size_t size = strcspn(value, " ");
        if (lacks_one(word, n, value, size)) return so_string_add(out, value, size, error);
        value += size + 1;
    }
    return so_string_add(out, word, n, error);
}

/* Lower case, number words, articles, contractions; words joined by single blanks. */
static so_status words(const char *text, so_string *out, so_error *error)
{
    so_string low = {0};
    so_status status = so_lower(text, strlen(text), &low, error);
    const char *at = low.data, *end = low.data + low.size;
    out->size = 0;
    while (status == SO_OK && at < end) {
        int32_t c;
        const char *from = at;
        size_t size = 0;
        for (int n; at < end; at += n, size += (size_t)n) {
            n = so_utf8_next(at, (size_t)(end - at), &c);
            if (so_is_space(c)) break;
        }
        if (size)
            status = put_word(out, from, size, error);
        else
            at += so_utf8_next(at, (size_t)(end - at), &c);
    }
    so_string_clear(&low);
    return status == SO_OK ? so_string_add(out, "", 0, error) : status;
}

static bool has_digit_comma(const char *text)
{
    for (const char *p = text; (p = strchr(p, ',')); p++)
        if (p > text && isdigit((unsigned char)p[-1]) && isdigit((unsigned char)p[1])) return true;
    return false;
}

/* Takes punctuation out or puts blanks in its place, judged by the text as it stood before; then points that no digit
 * follows, at most 32 of them (the reference passes a flag where a count belongs). In place. */
static void punctuation(char *text)
{
    static const char marks[] = ";/[]\"{}()=+\\_-><@`,?!";
    char *before = strdup(text);
    if (!before) return;
    bool comma = has_digit_comma(before);
    for (const char *m = marks; *m; m++) {
        const char after[3] = {*m, ' ', 0}, ahead[3] = {' ', *m, 0};
        bool away = comma || strstr(before, after) || strstr(before, ahead);
        char *out = text;
        for (char *p = text; *p; p++) {
            if (*p != *m) *out++ = *p;
            if (*p == *m && !away) *out++ = ' ';
        }
        *out = 0;
    }
    free(before);
    int left = 32;
    char *out = text;
    for (char *p = text; *p; p++)
        if (*p != '.' || isdigit((unsigned char)p[1]) || left-- <= 0) *out++ = *p;
    *out = 0;
}

static void line_to_blank(char *text)
{
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\t') *p = ' ';
}

/* A trimmed copy. */
static char *trimmed(const char *text)
{
    size_t size = strlen(text);
    so_strip(&text, &size);
    return strndup(text, size);
}

so_status so_answer_evalai(const char *text, so_string *out, so_error *error)
{
    so_string low = {0}, split = {0};
    SO_TRY(so_lower(text, strlen(text), &low, error));
    so_status status = SO_OK;
    for (const char *p = low.data; *p && status == SO_OK; p++) {
        if (*p == ',' || *p == '?') continue;
        if (p[0] == '\'' && p[1] == 's') status = so_string_add(&split, " ", 1, error);
        if (status == SO_OK) status = so_string_add(&split, p, 1, error);
    }
    if (status == SO_OK) status = so_string_add(&split, "", 0, error);
    char *plain = status == SO_OK ? trimmed(split.data) : NULL;
    if (status == SO_OK && !plain) status = so_fail(error, SO_ERR_NOMEM, "no memory for an answer");
    if (status == SO_OK) {
        line_to_blank(plain);
        punctuation(plain);
        status = words(plain, out, error);
    }
    free(plain);
    so_string_clear(&low);
    so_string_clear(&split);
    return status;
}

double so_vqa_credit(int m) { return m <= 0 ? 0 : m >= 4 ? 1 : 0.3 * m; }

/* An answer in the form in which the server compares it. */
static so_status official_form(const char *text, bool changed, so_string *out, so_error *error)
{
    char *copy = strdup(text), *plain = NULL;
    out->size = 0;
    if (copy) {
        line_to_blank(copy);
        plain = trimmed(copy);
    }
    so_status status = plain ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for an answer");
    if (plain && changed) {
        punctuation(plain);
        status = words(plain, out, error);
    } else if (plain)
        status = so_string_put(out, plain, error);
    free(copy);
    free(plain);
    return status;
}

so_status so_vqa_accuracy(const char *answer, const char *const *truth, int n, bool official, double *score,
                          so_error *error)
{
    so_string own = {0}, other = {0};
    bool agree = true;
    int matches = 0;
    for (int i = 1; i < n; i++) agree = agree && strcmp(truth[i], truth[0]) == 0;
    so_status status = official ? official_form(answer, !agree, &own, error) : so_answer_evalai(answer, &own, error);
    for (int i = 0; i < n && status == SO_OK; i++) {
        status = official ? official_form(truth[i], !agree, &other, error) : so_answer_evalai(truth[i], &other, error);
        if (status == SO_OK) matches += strcmp(own.data, other.data) == 0;
    }
    *score = so_vqa_credit(matches);
    so_string_clear(&own);
    so_string_clear(&other);
    return status;
}

/* ---- letters, yes and no */

so_status so_answer_gqa(const char *text, so_string *out, so_error *error)
{
    size_t n = strlen(text);
    while (n && text[n - 1] == '.') n--;
    out->size = 0;
    return so_lower(text, n, out, error);
}

char so_answer_science(const char *text)
{
    static const char says[] = "The answer is ";
    char found = 0;
    int n = 0;
    bool letter = text[0] >= 'A' && text[0] <= 'E';
    if (letter && (text[1] == 0 || (text[1] == '.' && text[2] == ' '))) return text[0];
    for (const char *p = text; (p = strstr(p, says)); p++) {
        char c = p[sizeof says - 1];
        if (c < 'A' || c > 'Z' || p[sizeof says] != '.') continue;
        found = c;
        n++;
    }
    return n == 1 ? found : 0;
}

bool so_answer_denies(const char *text)
{
    size_t end = strcspn(text, ".");
    char word[8];
    size_t n = 0;
    for (size_t i = 0; i <= end; i++) {
        if (i < end && text[i] == ',') continue;
        if (i < end && text[i] != ' ') {
            if (n < sizeof word - 1) word[n] = text[i];
            n++;
            continue;
        }
        word[n < sizeof word - 1 ? n : 0] = 0;
        if (strcmp(word, "No") == 0 || strcmp(word, "not") == 0 || strcmp(word, "no") == 0) return true;
        n = 0;
    }
    return false;
}

char so_answer_mme(const char *text)
{
    char first[5] = "";
    for (int i = 0; i < 4 && text[i]; i++) first[i] = (char)tolower((unsigned char)text[i]), first[i + 1] = 0;
    return strstr(first, "yes") ? 'y' : strstr(first, "no") ? 'n' : 'o';
}

/* The letter that stands as a word, if exactly one of the first n does, and among the last four words. *any: how many
 * letters do; *last: whether a lone Z does. */
static char letter_alone(const char *text, int n, int *any, bool *z)
{
    char *copy = strdup(text), *save = NULL, found = 0;
    int seen[26] = {0}, position[26] = {0}, count = 0;
    *any = 0;
    *z = false;
    if (!copy) return 0;
    for (char *p = copy; *p; p++)
        if (strchr(".()[],:;!*#{}", *p)) *p = ' ';
    for (char *w = strtok_r(copy, " \t\r\n", &save); w; w = strtok_r(NULL, " \t\r\n", &save), count++)
        if (w[1] == 0 && w[0] >= 'A' && w[0] <= 'Z') seen[w[0] - 'A'] = 1, position[w[0] - 'A'] = count;
    for (int i = 0; i < n && i < 26; i++)
        if (seen[i]) found = (char)('A' + i), ++*any;
    *z = seen[25];
    if (*any == 1 && position[found - 'A'] < count - 4) found = 0;
    free(copy);
    return *any == 1 ? found : 0;
}

/* "answer is X", with or without marks of boldness. */
static char letter_said(const char *text, int n)
{
    for (const char *p = text; (p = strcasestr(p, "answer is")); p++) {
        const char *at = p + 9;
        at += strspn(at, " :*(");
        if (*at >= 'A' && *at < 'A' + n && !isalnum((unsigned char)at[1])) return *at;
    }
    return 0;
}

char so_answer_option(const char *text, const char *const *options, int n)
{
    int any, found = 0;
    bool z;
    size_t all = 0;
    char letter = letter_alone(text, n, &any, &z);
    if (letter) return letter;
    if (any == 0 && z) return 'Z';
    if (any <= 1 && (letter = letter_said(text, n))) return letter;
    if (any > 1) return 0;
    for (int i = 0; i < n; i++) all += strlen(options[i]);
    if (strlen(text) > 2 * all) return 0;
    for (int i = 0; i < n; i++)
        if (strcasestr(text, options[i])) letter = (char)('A' + i), found++;
    return found == 1 ? letter : 0;
}

/* ---- spoken answers */

static so_status contains(const char *text, const char *part, bool lower, bool *out, so_error *error)
{
    so_string a = {0}, b = {0};
    so_status status = SO_OK;
    if (lower) {
        status = so_lower(text, strlen(text), &a, error);
        if (status == SO_OK) status = so_lower(part, strlen(part), &b, error);
        if (status == SO_OK) *out = b.size && strstr(a.data, b.data);
    } else
        *out = part[0] && strstr(text, part);
    so_string_clear(&a);
    so_string_clear(&b);
    return status;
}

static so_status normal(so_normaliser *n, const char *text, so_string *out, so_error *error)
{
    so_string low = {0};
    SO_TRY(so_lower(text, strlen(text), &low, error));
    so_status status = so_normaliser_english(n, low.data, low.size, out, error);
    so_string_clear(&low);
    return status;
}

/* Answers as they are, lower-cased and normalised, in the output as it is or normalised. */
static so_status rule_two(so_normaliser *n, const char *output, const char *answer, bool *right, so_error *error)
{
    so_string heard = {0}, low = {0}, plain = {0};
    so_status status = normal(n, output, &heard, error);
    if (status == SO_OK) status = so_lower(answer, strlen(answer), &low, error);
    if (status == SO_OK) status = normal(n, answer, &plain, error);
    const char *const candidates[] = {answer, low.data, plain.data};
    for (int i = 0; i < 3 && status == SO_OK; i++) {
        const char *c = candidates[i];
        if (!c || !c[strspn(c, " ")]) continue; /* nothing is part of everything */
        *right = *right || strstr(output, c) || strstr(heard.data, c);
    }
    so_string_clear(&heard);
    so_string_clear(&low);
    so_string_clear(&plain);
    return status;
}

/* Tokens of UltraEval: runs of letters, numbers and marks, or another character that is no blank; each behind a byte 1,
 * decomposed and in lower case. */
static so_status tokens(const char *text, so_string *out, so_error *error)
{
    so_string forms = {0}, low = {0};
    bool inside = false;
    so_status status = so_decompose(text, strlen(text), &forms, error);
    if (status == SO_OK) status = so_lower(forms.data, forms.size, &low, error);
    for (size_t at = 0; status == SO_OK && at < low.size;) {
        int32_t c;
        size_t n = (size_t)so_utf8_next(low.data + at, low.size - at, &c);
        bool letter = so_is_word_character(c);
        if (!so_is_space(c)) {
            if (!letter || !inside) status = so_string_add(out, "\1", 1, error);
            if (status == SO_OK) status = so_string_add(out, low.data + at, n, error);
        }
        inside = letter;
        at += n;
    }
    so_string_clear(&forms);
    so_string_clear(&low);
    return status == SO_OK ? so_string_add(out, "\1", 1, error) : status;
}

static so_status rule_three(const char *output, const char *answer, bool *right, so_error *error)
{
    so_string all = {0}, part = {0};
    so_status status = tokens(output, &all, error);
    if (status == SO_OK) status = tokens(answer, &part, error);
    if (status == SO_OK) *right = part.size > 1 && strstr(all.data, part.data);
    so_string_clear(&all);
    so_string_clear(&part);
    return status;
}

so_status so_match_right(so_match_rule rule, so_normaliser *normaliser, const char *output, const char *const *answers,
                         int n, bool *right, so_error *error)
{
    *right = false;
    for (int i = 0; i < n && !*right; i++) {
        if (rule == SO_MATCH_R1) SO_TRY(contains(output, answers[i], true, right, error));
        if (rule == SO_MATCH_R2) SO_TRY(rule_two(normaliser, output, answers[i], right, error));
        if (rule == SO_MATCH_R3) SO_TRY(rule_three(output, answers[i], right, error));
    }
    return SO_OK;
}

/* ---- judges */

static bool number_at(const char *text, double least, double most, double *score)
{
    char *end;
    text += strspn(text, " \t\r\n:=\"'*`");
    double x = strtod(text, &end);
    if (end == text || !(x >= least && x <= most) || isalpha((unsigned char)*end)) return false;
    *score = x;
    return true;
}

bool so_judge_score(const char *reply, double least, double most, double *score)
{
    for (const char *p = reply; (p = strcasestr(p, "score")); p += 5)
        if (number_at(p + 5, least, most, score)) return true;
    if (!number_at(reply, least, most, score)) return false;
    /* A number alone: nothing but marks may be around it. */
    const char *rest = reply + strspn(reply, " \t\r\n\"'*`0123456789.");
    return rest[strspn(rest, " \t\r\n\"'*`")] == 0;
}

bool so_judge_pair(const char *reply, double pair[2])
{
    char line[128], *at = line, *end;
    snprintf(line, sizeof line, "%.*s", (int)(strcspn(reply, "\n") < 127 ? strcspn(reply, "\n") : 127), reply);
    for (char *p = line; *p; p++)
        if (*p == ',') *p = ' ';
    for (int i = 0; i < 2; i++, at = end) {
        pair[i] = strtod(at, &end);
        if (end == at || !(pair[i] >= 1 && pair[i] <= 10)) return false;
    }
    return at[strspn(at, " \r")] == 0;
}
