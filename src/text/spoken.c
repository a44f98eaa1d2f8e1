/* Text as it is said. See text/spoken.h.
 *
 * Marks of a document go first, then everything that is read otherwise than it is written, one place after another: at
 * every place the first rule that fits there writes words for what it fits; last, what is left of punctuation is
 * brought to what a voice knows.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/spoken.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "so.h"
#include "text/spoken_rules.h"

typedef struct rewrite {
    const char *pattern, *replacement;
} rewrite;

/* Marks of a document. */
static const rewrite marks[] = {
    {"\\r\\n?", "\n"},
    {"(?m)^[ \\t]*```.*$", ""},
    {"(?m)^[ \\t]*([-*_])(?:[ \\t]*\\1){2,}[ \\t]*$", ""},
    {"!\\[([^\\]\\n]*)\\]\\([^)\\n]*\\)", "$1"},
    {"\\[([^\\]\\n]+)\\]\\([^)\\n]*\\)", "$1"},
    {"(?m)^[ \\t]*#{1,6}[ \\t]+(.*?)[ \\t#]*$", "$1\n\n"},
    {"(?m)^[ \\t]*>[ \\t]?", ""},
    {"(?m)^[ \\t]*(?:[-*+•]|[0-9]{1,3}[.)])[ \\t]+(.*)$", "$1\n\n"},
    {"\\*\\*([^*\\n]+)\\*\\*|__([^_\\n]+)__", "$1$2"},
    {"(?<![\\w*])\\*([^*\\n]+)\\*(?![\\w*])|(?<![\\w_])_([^_\\n]+)_(?![\\w_])", "$1$2"},
    {"`+([^`\\n]*)`+", "$1"},
    /* Signs that are no words in any language, emoji among them; those that are read stay. */
    {"(?![°℃℉©®™№²³×÷±≈≤≥≠∞])[\\p{So}\\x{FE0F}\\x{200D}\\x{1F3FB}-\\x{1F3FF}]", ""},
    {"[ \\t]*\\n[ \\t]*\\n\\s*", "\n\n"},
    {"(?<=[.!?:;,。！？：；，])\\n\\n", " "},
    {"\\n\\n", ". "},
    {"\\n", " "},
};

/* What is left of punctuation. */
static const rewrite ends_english[] = {
    {"…|\\.{3,}", "."},
    {"\\s*[–—]+\\s*|\\s+-+\\s+|\\s*--+\\s*", ", "},
    {"[\"“”«»„]", ""},
    {"(?<!\\pL)[’'‘]|[’'‘](?!\\pL)", ""},
    {"’|‘", "'"},
    {"\\s*[(\\[{]\\s*", ", "},
    {"\\s*[)\\]}]\\s*(?=[.,;:!?]|$)", ""},
    {"\\s*[)\\]}]\\s*", ", "},
    {"[*_|\\\\^~<>/]+", " "},
    {"\\s+", " "},
    {" (?=[,.;:!?])", ""},
    {"[,;:]+(?=[.!?])", ""},
    {",(?:\\s*,)+", ","},
    {"(?<=[.!?])\\.+", ""},
    {"^[\\s,;:.!?]+|\\s+$", ""},
    {"[,;:]+$", "."},
    {"(?<=[^.!?])$(?!\\n)", "."},
};

static const rewrite ends_chinese[] = {
    {"…+|\\.{3,}", "。"},
    {"[\"“”‘’「」『』《》【】（）()\\[\\]]", ""},
    {"——+|–|—", "，"},
    {"(?<=[\\x{4E00}-\\x{9FFF}，。！？；：])\\s+|\\s+(?=[\\x{4E00}-\\x{9FFF}，。！？；：])", ""},
    {"(?<=[\\x{4E00}-\\x{9FFF}]),", "，"},
    {"(?<=[\\x{4E00}-\\x{9FFF}])[.](?![0-9])", "。"},
    {"(?<=[\\x{4E00}-\\x{9FFF}])!", "！"},
    {"(?<=[\\x{4E00}-\\x{9FFF}])\\?", "？"},
    {"[*_|\\\\^~<>/]+", " "},
    {"\\s+", " "},
    {"^[\\s，。、]+|\\s+$", ""},
    {"[，、；：,;:]+$", "。"},
    {"(?<=[^。！？.!?])$(?!\\n)", "。"},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))
enum { MOST = 128 };

struct so_spoken_rules {
    pcre2_code *marks[COUNT(marks)], *english[COUNT(ends_english)], *chinese[COUNT(ends_chinese)];
    pcre2_code *say[2][MOST];
    const so_spoken_rule *rule[2];
    int n[2];
    pcre2_match_data *match;
    so_string text, next;
};

static so_status compile(pcre2_code **out, const char *pattern, uint32_t more, so_error *error)
{
    int number;
    PCRE2_SIZE at;
    *out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | more, &number, &at, NULL);
    if (!*out) return so_fail(error, SO_ERR_FORMAT, "pattern '%s' fails at %zu", pattern, (size_t)at);
    return SO_OK;
}

static so_status compile_all(so_spoken_rules *r, so_error *error)
{
    for (size_t i = 0; i < COUNT(marks); i++) SO_TRY(compile(&r->marks[i], marks[i].pattern, 0, error));
    for (size_t i = 0; i < COUNT(ends_english); i++) SO_TRY(compile(&r->english[i], ends_english[i].pattern, 0, error));
    for (size_t i = 0; i < COUNT(ends_chinese); i++) SO_TRY(compile(&r->chinese[i], ends_chinese[i].pattern, 0, error));
    for (int k = 0; k < 2; k++) {
        r->rule[k] = k ? so_spoken_chinese(&r->n[k]) : so_spoken_english(&r->n[k]);
        if (r->n[k] > MOST) return so_fail(error, SO_ERR_LIMIT, "%d rules, there is room for %d", r->n[k], MOST);
        for (int i = 0; i < r->n[k]; i++) SO_TRY(compile(&r->say[k][i], r->rule[k][i].pattern, PCRE2_ANCHORED, error));
    }
    r->match = pcre2_match_data_create(SO_SPOKEN_GROUPS + 1, NULL);
    return r->match ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for matches");
}

so_status so_spoken_open(so_spoken_rules **out, so_error *error)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return so_fail(error, SO_ERR_NOMEM, "no memory for rules");
    so_status status = compile_all(*out, error);
    if (status != SO_OK) so_spoken_close(out);
    return status;
}

void so_spoken_close(so_spoken_rules **rules)
{
    if (!rules || !*rules) return;
    so_spoken_rules *r = *rules;
    for (size_t i = 0; i < COUNT(marks); i++) pcre2_code_free(r->marks[i]);
    for (size_t i = 0; i < COUNT(ends_english); i++) pcre2_code_free(r->english[i]);
    for (size_t i = 0; i < COUNT(ends_chinese); i++) pcre2_code_free(r->chinese[i]);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < MOST; i++) pcre2_code_free(r->say[k][i]);
    pcre2_match_data_free(r->match);
    so_string_clear(&r->text);
    so_string_clear(&r->next);
    free(r);
    *rules = NULL;
}

/* r->text rewritten by one pattern. */
static so_status rewrite_by(so_spoken_rules *r, const pcre2_code *code, const char *replacement, so_error *error)
{
    PCRE2_SIZE room = r->text.size * 2 + 64, size = room;
    for (int round = 0; round < 2; round++, room = size + 1) {
        char *made = malloc(room);
        if (!made) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes of text", (size_t)room);
        size = room;
        int n = pcre2_substitute(code, (PCRE2_SPTR)r->text.data, r->text.size, 0,
                                 PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_UNSET_EMPTY |
                                     PCRE2_SUBSTITUTE_OVERFLOW_LENGTH | PCRE2_NO_UTF_CHECK,
                                 r->match, NULL, (PCRE2_SPTR)replacement, PCRE2_ZERO_TERMINATED, (PCRE2_UCHAR *)made,
                                 &size);
        if (n >= 0) {
            r->text.size = 0;
            so_status status = so_string_add(&r->text, made, size, error);
            free(made);
            return status;
        }
        free(made);
        if (n != PCRE2_ERROR_NOMEMORY) return so_fail(error, SO_ERR_LIMIT, "a text that the rules cannot rewrite");
    }
    return so_fail(error, SO_ERR_LIMIT, "a text that grows beyond %zu bytes", (size_t)room);
}

/* The rule that fits at byte `at`, if one does: its words go to r->next. *taken bytes are read. */
static so_status say_one(so_spoken_rules *r, int k, size_t at, size_t *taken, so_error *error)
{
    *taken = 0;
    for (int i = 0; i < r->n[k]; i++) {
        int n =
            pcre2_match(r->say[k][i], (PCRE2_SPTR)r->text.data, r->text.size, at, PCRE2_NO_UTF_CHECK, r->match, NULL);
        const PCRE2_SIZE *where = pcre2_get_ovector_pointer(r->match);
        if (n < 1 || where[1] <= at) continue;
        so_digits group[SO_SPOKEN_GROUPS] = {{0}};
        for (int g = 1; g < n && g <= SO_SPOKEN_GROUPS; g++)
            if (where[2 * g] != PCRE2_UNSET)
                group[g - 1] = (so_digits){r->text.data + where[2 * g], where[2 * g + 1] - where[2 * g]};
        size_t before = r->next.size;
        *taken = where[1] - at;
        SO_TRY(r->rule[k][i].say(group, r->rule[k][i].with, &r->next, error));
        /* Words do not run together. */
        bool cut = before && r->next.size > before && k == 0 && (unsigned char)r->next.data[before - 1] > ' ' &&
                   strchr("([{\"'", r->next.data[before - 1]) == NULL && r->next.data[before] != ' ' &&
                   strchr(".,;:!?", r->next.data[before]) == NULL;
        if (cut) {
            SO_TRY(so_string_add(&r->next, " ", 1, error));
            memmove(r->next.data + before + 1, r->next.data + before, r->next.size - 1 - before);
            r->next.data[before] = ' ';
        }
        return SO_OK;
    }
    return SO_OK;
}

static so_status say_all(so_spoken_rules *r, int k, so_error *error)
{
    bool wrote = false; /* words were written just before */
    r->next.size = 0;
    for (size_t at = 0; at < r->text.size;) {
        size_t taken;
        SO_TRY(say_one(r, k, at, &taken, error));
        if (!taken) {
            int32_t c;
            taken = (size_t)so_utf8_next(r->text.data + at, r->text.size - at, &c);
            bool word = c > 127 || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9');
            if (wrote && word && k == 0) SO_TRY(so_string_add(&r->next, " ", 1, error));
            SO_TRY(so_string_add(&r->next, r->text.data + at, taken, error));
            wrote = false;
        } else
            wrote = true;
        at += taken;
    }
    so_string swap = r->text;
    r->text = r->next;
    r->next = swap;
    return SO_OK;
}

/* The digit of ASCII for one of another script, or the character itself. */
static int32_t digit(int32_t c)
{
    static const int32_t zero[] = {0x0660, 0x06F0, 0x07C0, 0x0966,  0x09E6,  0x0A66,  0x0AE6,  0x0B66,
                                   0x0BE6, 0x0C66, 0x0CE6, 0x0D66,  0x0E50,  0x0ED0,  0x0F20,  0x1040,
                                   0x17E0, 0x1810, 0xFF10, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6};
    for (size_t i = 0; c > 127 && i < COUNT(zero); i++)
        if (c >= zero[i] && c < zero[i] + 10) return '0' + c - zero[i];
    return c;
}

/* Letters and signs of full width in their usual width, digits of any script as those of ASCII. */
static so_status narrow(so_spoken_rules *r, const char *text, size_t size, so_error *error)
{
    r->next.size = r->text.size = 0;
    SO_TRY(so_utf8_add_lossy(&r->next, text, size, error));
    for (size_t at = 0; at < r->next.size;) {
        int32_t c;
        char out[4];
        at += (size_t)so_utf8_next(r->next.data + at, r->next.size - at, &c);
        c = digit(c);
        bool wide = (c >= 0xFF21 && c <= 0xFF3A) || (c >= 0xFF41 && c <= 0xFF5A) || c == 0xFF05 || c == 0xFF04 ||
                    c == 0xFF0E || c == 0xFF0F || c == 0xFF0B || c == 0xFF1D;
        if (wide) c -= 0xFEE0;
        if (c == 0x3000 || c == 0xA0 || c == 0x202F) c = ' ';
        SO_TRY(so_string_add(&r->text, out, (size_t)so_utf8_put(out, c), error));
    }
    return SO_OK;
}

static bool is_chinese(const so_string *text)
{
    int64_t chinese = 0, latin = 0;
    bool word = false;
    for (size_t at = 0; at < text->size;) {
        int32_t c;
        at += (size_t)so_utf8_next(text->data + at, text->size - at, &c);
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        chinese += (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3001 && c <= 0x303F);
        latin += letter && !word;
        word = letter;
    }
    return chinese && chinese >= latin;
}

so_status so_spoken_write(so_spoken_rules *r, const char *text, size_t size, so_tongue tongue, so_string *out,
                          so_error *error)
{
    SO_TRY(narrow(r, text, size, error));
    if (!r->text.size) return SO_OK;
    int k = tongue == SO_TONGUE_CHINESE || (tongue == SO_TONGUE_TOLD && is_chinese(&r->text));
    for (size_t i = 0; i < COUNT(marks); i++) SO_TRY(rewrite_by(r, r->marks[i], marks[i].replacement, error));
    SO_TRY(say_all(r, k, error));
    for (size_t i = 0; i < COUNT(ends_english) && !k && r->text.size; i++)
        SO_TRY(rewrite_by(r, r->english[i], ends_english[i].replacement, error));
    for (size_t i = 0; i < COUNT(ends_chinese) && k && r->text.size; i++)
        SO_TRY(rewrite_by(r, r->chinese[i], ends_chinese[i].replacement, error));
    return so_string_add(out, r->text.data ? r->text.data : "", r->text.size, error);
}

so_status so_spoken_text(const char *utf8, const char *language, char **out, so_error *error)
{
    so_spoken_rules *rules = NULL;
    so_string text = {0};
    so_tongue tongue = SO_TONGUE_TOLD;
    if (!out) return so_fail(error, SO_ERR_ARG, "no place for the text");
    *out = NULL;
    if (!utf8) return so_fail(error, SO_ERR_ARG, "no text");
    if (language && strcmp(language, "en") != 0 && strcmp(language, "zh") != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "language '%.20s', expected en or zh", language);
    if (language) tongue = strcmp(language, "zh") == 0 ? SO_TONGUE_CHINESE : SO_TONGUE_ENGLISH;
    so_status status = so_spoken_open(&rules, error);
    if (status == SO_OK) status = so_spoken_write(rules, utf8, strlen(utf8), tongue, &text, error);
    if (status == SO_OK && !text.data) status = so_string_put(&text, "", error);
    so_spoken_close(&rules);
    if (status == SO_OK)
        *out = text.data;
    else
        so_string_clear(&text);
    return status;
}
