/* Normal forms of transcripts: tables of rewriting rules run by PCRE2, around the number words.
 * Source: stream-omni.md sections 8.1 and 8.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/normalise.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <jansson.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/grow.h"
#include "text/intern.h"
#include "text/numbers.h"
#include "text/unicode.h"

#define TEXT_BYTES_MAX ((size_t)64 << 20)
#define SPELLING_BYTES_MAX ((size_t)64 << 20)

typedef struct rule {
    const char *pattern, *replacement; /* "\\L$0" and the like are PCRE2's extended replacements */
} rule;

static const rule before_symbols[] = {
    {"[<\\[][^>\\]]*[>\\]]", ""},
    {"\\(([^)]+?)\\)", ""},
    {"\\b(hmm|mm|mhm|mmm|uh|um)\\b", ""},
    {"(?:(?!\\x{180e})\\s)+'", "'"},
    {"\\bwon't\\b", "will not"},
    {"\\bcan't\\b", "can not"},
    {"\\blet's\\b", "let us"},
    {"\\bain't\\b", "aint"},
    {"\\by'all\\b", "you all"},
    {"\\bwanna\\b", "want to"},
    {"\\bgotta\\b", "got to"},
    {"\\bgonna\\b", "going to"},
    {"\\bi'ma\\b", "i am going to"},
    {"\\bimma\\b", "i am going to"},
    {"\\bwoulda\\b", "would have"},
    {"\\bcoulda\\b", "could have"},
    {"\\bshoulda\\b", "should have"},
    {"\\bma'am\\b", "madam"},
    {"\\bmr\\b", "mister "},
    {"\\bmrs\\b", "missus "},
    {"\\bst\\b", "saint "},
    {"\\bdr\\b", "doctor "},
    {"\\bprof\\b", "professor "},
    {"\\bcapt\\b", "captain "},
    {"\\bgov\\b", "governor "},
    {"\\bald\\b", "alderman "},
    {"\\bgen\\b", "general "},
    {"\\bsen\\b", "senator "},
    {"\\brep\\b", "representative "},
    {"\\bpres\\b", "president "},
    {"\\brev\\b", "reverend "},
    {"\\bhon\\b", "honorable "},
    {"\\basst\\b", "assistant "},
    {"\\bassoc\\b", "associate "},
    {"\\blt\\b", "lieutenant "},
    {"\\bcol\\b", "colonel "},
    {"\\bjr\\b", "junior "},
    {"\\bsr\\b", "senior "},
    {"\\besq\\b", "esquire "},
    {"'d been\\b", " had been"},
    {"'s been\\b", " has been"},
    {"'d gone\\b", " had gone"},
    {"'s gone\\b", " has gone"},
    {"'d done\\b", " had done"},
    {"'s got\\b", " has got"},
    {"n't\\b", " not"},
    {"'re\\b", " are"},
    {"'s\\b", " is"},
    {"'d\\b", " would"},
    {"'ll\\b", " will"},
    {"'t\\b", " not"},
    {"'ve\\b", " have"},
    {"'m\\b", " am"},
    {"(\\d),(\\d)", "$1$2"},
    {"\\.([^0-9]|$)", " $1"},
};

/* After the decomposition. */
static const rule after_symbols[] = {
    {"\\p{Mn}+", ""},
    {"(?![.%$¢€£])[\\p{M}\\p{S}\\p{P}]", " "},
    {"\\band\\s+a\\s+half\\b", "\x01"}, /* looked at by halves() */
};

static const rule before_numbers[] = {
    {"([a-z])([0-9])", "$1 $2"},
    {"([0-9])([a-z])", "$1 $2"},
    {"([0-9])\\s+(st|nd|rd|th|s)\\b", "$1$2"},
};

static const rule after_numbers[] = {
    {"([€£$])([0-9]+) (?:and )?¢([0-9])\\b", "$1$2.0$3"},
    {"([€£$])([0-9]+) (?:and )?¢([0-9]{2})\\b", "$1$2.$3"},
    {"[€£$]0.(?:0(?=[0-9]\\b))?([0-9]{1,2})\\b", "¢$1"},
    {"\\b1(s?)\\b", "one$1"},
};

static const rule last[] = {
    {"[.$¢€£]([^0-9])", " $1"}, {"([^0-9])%", "$1 "}, {"(?:(?!\\x{180e})\\s)+", " "}, /* U+180E was white space once */
};

#define COUNT(table) (sizeof(table) / sizeof *(table))
#define RULES                                                                                                          \
    (COUNT(before_symbols) + COUNT(after_symbols) + COUNT(before_numbers) + COUNT(after_numbers) + COUNT(last))

struct so_normaliser {
    pcre2_code *codes[RULES]; /* in the order of the tables above */
    pcre2_match_data *match;
    so_string text, next; /* what a pass reads and writes */
    so_intern british;    /* words; american[i] is the other spelling of the i-th */
    so_string *american;
    size_t capacity;
};

static so_status compile(so_normaliser *n, size_t *at, const rule *rules, size_t count, so_error *error)
{
    for (size_t i = 0; i < count; i++) {
        int code;
        PCRE2_SIZE where;
        pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)rules[i].pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                                             &code, &where, NULL);
        if (!compiled) return so_fail(error, SO_ERR_NOMEM, "no memory for the rule %s", rules[i].pattern);
        pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
        n->codes[(*at)++] = compiled;
    }
    return SO_OK;
}

static so_status add_spelling(so_normaliser *n, const char *british, const json_t *american, so_error *error)
{
    int32_t index;
    if (!json_is_string(american))
        return so_fail(error, SO_ERR_FORMAT, "spelling of \"%.80s\" is not a string", british);
    size_t known = n->british.n;
    SO_TRY(so_intern_add(&n->british, british, strlen(british), &index, error));
    if (n->british.n == known) return SO_OK;
    so_string *grown = so_grow_to(n->american, &n->capacity, n->british.n, sizeof *grown);
    if (!grown) {
        n->british.n = known; /* the arrays stay of one length */
        return so_fail(error, SO_ERR_NOMEM, "no memory for %zu spellings", known + 1);
    }
    n->american = grown;
    grown[index] = (so_string){0};
    return so_string_add(&grown[index], json_string_value(american), json_string_length(american), error);
}

static so_status load_spelling(so_normaliser *n, const char *path, so_error *error)
{
    char *data;
    size_t size;
    json_error_t where;
    SO_TRY(so_file_read(path, SPELLING_BYTES_MAX, &data, &size, error));
    json_t *root = json_loadb(data, size, 0, &where), *american;
    const char *british;
    so_status status = SO_OK;
    free(data);
    if (!json_is_object(root)) {
        status = so_fail(error, SO_ERR_FORMAT, "%s is not a JSON object: line %d: %s", path, where.line, where.text);
        goto done;
    }
    json_object_foreach(root, british, american) SO_TRY_GO(add_spelling(n, british, american, error));
done:
    json_decref(root);
    return status;
}

so_status so_normaliser_open(so_normaliser **out, const char *spelling, so_error *error)
{
    so_status status;
    size_t at = 0;
    *out = NULL;
    so_normaliser *n = calloc(1, sizeof *n);
    if (!n) return so_fail(error, SO_ERR_NOMEM, "no memory for a normaliser");
    SO_TRY_GO(compile(n, &at, before_symbols, COUNT(before_symbols), error));
    SO_TRY_GO(compile(n, &at, after_symbols, COUNT(after_symbols), error));
    SO_TRY_GO(compile(n, &at, before_numbers, COUNT(before_numbers), error));
    SO_TRY_GO(compile(n, &at, after_numbers, COUNT(after_numbers), error));
    SO_TRY_GO(compile(n, &at, last, COUNT(last), error));
    n->match = pcre2_match_data_create(8, NULL);
    if (!n->match) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for a normaliser");
        goto done;
    }
    if (spelling) SO_TRY_GO(load_spelling(n, spelling, error));
done:
    if (status != SO_OK) so_normaliser_close(&n);
    *out = n;
    return status;
}

void so_normaliser_close(so_normaliser **normaliser)
{
    so_normaliser *n = *normaliser;
    if (!n) return;
    for (size_t i = 0; i < RULES; i++) pcre2_code_free(n->codes[i]);
    for (size_t i = 0; i < n->british.n; i++) so_string_clear(&n->american[i]);
    pcre2_match_data_free(n->match);
    so_string_clear(&n->text);
    so_string_clear(&n->next);
    so_intern_clear(&n->british);
    free(n->american);
    free(n);
    *normaliser = NULL;
}

/* The pass that was written becomes the one to read. */
static void turn(so_normaliser *n)
{
    so_string read = n->text;
    n->text = n->next;
    n->next = read;
    n->next.size = 0;
}

static so_status apply(so_normaliser *n, const pcre2_code *code, const char *replacement, so_error *error)
{
    const uint32_t options =
        PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_EXTENDED | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH | PCRE2_NO_UTF_CHECK;
    size_t need = n->text.size + 64;
    for (int attempt = 0; attempt < 2; attempt++) {
        char *room = so_grow_to(n->next.data, &n->next.capacity, need, 1);
        if (!room) return so_fail(error, SO_ERR_NOMEM, "no memory for a text of %zu bytes", need);
        n->next.data = room;
        PCRE2_SIZE size = n->next.capacity;
        int result = pcre2_substitute(code, (PCRE2_SPTR)n->text.data, n->text.size, 0, options, n->match, NULL,
                                      (PCRE2_SPTR)replacement, PCRE2_ZERO_TERMINATED, (PCRE2_UCHAR *)room, &size);
        if (result == PCRE2_ERROR_NOMEMORY && attempt == 0) {
            need = size;
            continue;
        }
        if (result < 0) {
            PCRE2_UCHAR message[128] = "";
            pcre2_get_error_message(result, message, sizeof message);
            return so_fail(error, SO_ERR_LIMIT, "normalising %zu bytes: %s", n->text.size, (const char *)message);
        }
        if (result == 0) return SO_OK; /* nothing matched: the text stays */
        n->next.size = size;
        break;
    }
    turn(n);
    return SO_OK;
}

static so_status apply_all(so_normaliser *n, size_t *at, const rule *rules, size_t count, so_error *error)
{
    for (size_t i = 0; i < count; i++) SO_TRY(apply(n, n->codes[(*at)++], rules[i].replacement, error));
    return SO_OK;
}

static const char *plain_letters(int32_t c)
{
    static const struct {
        int32_t from;
        const char *to;
    } pairs[] = {{0xc6, "AE"}, {0x152, "OE"}, {0xd8, "O"},  {0x1e9e, "SS"}, {0x110, "D"}, {0xd0, "D"},
                 {0xde, "th"}, {0x141, "L"},  {0xe6, "ae"}, {0x153, "oe"},  {0xf8, "o"},  {0xdf, "ss"},
                 {0x111, "d"}, {0xf0, "d"},   {0xfe, "th"}, {0x142, "l"}};
    for (size_t i = 0; i < COUNT(pairs); i++)
        if (pairs[i].from == c) return pairs[i].to;
    return NULL;
}

static so_status decompose(so_normaliser *n, so_error *error)
{
    for (size_t i = 0; i < n->text.size; i++)
        if (n->text.data[i] == 1) n->text.data[i] = ' '; /* the byte 1 will mark "and a half" */
    SO_TRY(so_decompose_compatible(n->text.data ? n->text.data : "", n->text.size, &n->next, error));
    turn(n);
    for (size_t at = 0; at < n->text.size;) {
        int32_t c;
        int length = so_utf8_next(n->text.data + at, n->text.size - at, &c);
        const char *to = plain_letters(c);
        SO_TRY(so_string_add(&n->next, to ? to : n->text.data + at, to ? strlen(to) : (size_t)length, error));
        at += (size_t)length;
    }
    SO_TRY(so_string_add(&n->next, "", 0, error));
    turn(n);
    return SO_OK;
}

/* The next word of `*size` bytes from `*at` on; false at the end. */
static bool next_word(const char *text, size_t end, size_t *at, size_t *size)
{
    int32_t c;
    int length;
    for (; *at < end; *at += (size_t)length) {
        length = so_utf8_next(text + *at, end - *at, &c);
        if (!so_is_space(c)) break;
    }
    for (*size = 0; *at + *size < end; *size += (size_t)length) {
        length = so_utf8_next(text + *at + *size, end - *at - *size, &c);
        if (so_is_space(c)) break;
    }
    return *size > 0;
}

/* "<number word> and a half" becomes "... point five". `and a half` stands as the byte 1 here; a segment of white space
 * before it, or nothing, takes it away. */
static so_status halves(so_normaliser *n, so_error *error)
{
    bool first = true;
    for (size_t from = 0; from <= n->text.size;) {
        const char *mark = memchr(n->text.data + from, 1, n->text.size - from);
        size_t end = mark ? (size_t)(mark - n->text.data) : n->text.size, at = from, size, last_at = 0, last_size = 0;
        for (; next_word(n->text.data, end, &at, &size); at += size) last_at = at, last_size = size;
        if (last_size) {
            SO_TRY(so_string_put(&n->next, first ? "" : " ", error));
            SO_TRY(so_string_add(&n->next, n->text.data + from, end - from, error));
            bool point = so_numbers_can_be_halved(n->text.data + last_at, last_size);
            if (mark) SO_TRY(so_string_put(&n->next, point ? " point five" : " and a half", error));
            first = false;
        }
        from = end + 1;
    }
    SO_TRY(so_string_add(&n->next, "", 0, error));
    turn(n);
    return SO_OK;
}

static so_status respell(so_normaliser *n, so_error *error)
{
    size_t size;
    for (size_t at = 0; next_word(n->text.data, n->text.size, &at, &size); at += size) {
        const char *word = n->text.data + at;
        size_t length = size;
        int32_t index = so_intern_find(&n->british, word, size);
        if (index >= 0) word = n->american[index].data, length = n->american[index].size;
        if (n->next.size) SO_TRY(so_string_add(&n->next, " ", 1, error));
        SO_TRY(so_string_add(&n->next, word, length, error));
    }
    SO_TRY(so_string_add(&n->next, "", 0, error));
    turn(n);
    return SO_OK;
}

so_status so_normaliser_english(so_normaliser *n, const char *text, size_t size, so_string *out, so_error *error)
{
    size_t at = 0;
    if (size > TEXT_BYTES_MAX) return so_fail(error, SO_ERR_LIMIT, "a transcript of %zu bytes, more than 64 MiB", size);
    n->text.size = n->next.size = 0;
    SO_TRY(so_lower(text, size, &n->text, error));
    SO_TRY(apply_all(n, &at, before_symbols, COUNT(before_symbols), error));
    SO_TRY(decompose(n, error));
    SO_TRY(apply_all(n, &at, after_symbols, COUNT(after_symbols), error));
    SO_TRY(halves(n, error));
    SO_TRY(apply_all(n, &at, before_numbers, COUNT(before_numbers), error));
    SO_TRY(so_numbers_rewrite(n->text.data, n->text.size, &n->next, error));
    turn(n);
    SO_TRY(apply_all(n, &at, after_numbers, COUNT(after_numbers), error));
    SO_TRY(respell(n, error));
    SO_TRY(apply_all(n, &at, last, COUNT(last), error));
    return so_string_add(out, n->text.data, n->text.size, error);
}

/* Brackets as the English rules have them, on text in lower case. */
static size_t bracket(const char *text, size_t size)
{
    bool round = text[0] == '(';
    if (text[0] != '<' && text[0] != '[' && !round) return 0;
    for (size_t i = 1; i < size; i++)
        if (round ? text[i] == ')' : text[i] == '>' || text[i] == ']') return round && i == 1 ? 0 : i + 1;
    return 0;
}

/* The characters of a text without what stands in brackets of one kind. */
static so_status without(const so_string *text, bool round, so_string *out, so_error *error)
{
    for (size_t at = 0; at < text->size;) {
        size_t n = (text->data[at] == '(') == round ? bracket(text->data + at, text->size - at) : 0;
        if (n == 0) SO_TRY(so_string_add(out, text->data + at, 1, error));
        at += n ? n : 1;
    }
    return so_string_add(out, "", 0, error);
}

/* Marks, signs and punctuation as blanks, white space as single ones; `split`: a blank around every character. */
static so_status plain_signs(const so_string *text, bool split, so_string *out, so_error *error)
{
    bool blank = false;
    size_t begin = out->size;
    for (size_t at = 0; at < text->size;) {
        int32_t c;
        size_t n = (size_t)so_utf8_next(text->data + at, text->size - at, &c);
        char kind = so_category(c, NULL);
        if (kind == 'M' || kind == 'S' || kind == 'P' || so_is_space(c)) {
            blank = true;
        } else {
            if (blank || (split && out->size > begin)) SO_TRY(so_string_add(out, " ", 1, error));
            SO_TRY(so_string_add(out, text->data + at, n, error));
            blank = false;
        }
        at += n;
    }
    return so_string_add(out, blank ? " " : "", blank, error);
}

/* Canonical form without marks, and letters that are taken for others. */
static so_status without_marks(const so_string *text, so_string *out, so_error *error)
{
    for (size_t at = 0; at < text->size;) {
        int32_t c;
        char second;
        size_t n = (size_t)so_utf8_next(text->data + at, text->size - at, &c);
        const char *other = plain_letters(c);
        if (so_category(c, &second) != 'M' || second != 'n')
            SO_TRY(so_string_add(out, other ? other : text->data + at, other ? strlen(other) : n, error));
        at += n;
    }
    return so_string_add(out, "", 0, error);
}

so_status so_normalise_basic(const char *text, size_t size, bool plain, bool split, so_string *out, so_error *error)
{
    so_string a = {0}, b = {0}, c = {0}, d = {0};
    so_status status = so_lower(text, size, &a, error);
    if (status == SO_OK) status = without(&a, false, &b, error);
    if (status == SO_OK) status = without(&b, true, &c, error);
    a.size = b.size = 0;
    if (status == SO_OK)
        status = plain ? so_decompose_compatible(c.data, c.size, &a, error)
                       : so_compose_compatible(c.data, c.size, &d, error);
    if (status == SO_OK && plain) status = without_marks(&a, &d, error);
    b.size = 0;
    if (status == SO_OK) status = plain_signs(&d, split, &b, error);
    if (status == SO_OK)
        status = so_lower(b.data ? b.data : "", b.size, out, error); /* forms may have brought capitals */
    so_string *const all[] = {&a, &b, &c, &d};
    for (int i = 0; i < 4; i++) so_string_clear(all[i]);
    return status;
}

so_status so_normalise_asr(const char *text, size_t size, so_string *out, so_error *error)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ') SO_TRY(so_string_add(out, &c, 1, error));
    }
    return so_string_add(out, "", 0, error);
}

so_status so_normalise_chinese(const char *text, size_t size, so_string *out, so_error *error)
{
    for (size_t at = 0; at < size;) {
        int32_t c;
        int length = so_utf8_next(text + at, size - at, &c);
        if (c >= 0x4e00 && c <= 0x9fff) SO_TRY(so_string_add(out, text + at, (size_t)length, error));
        at += (size_t)length;
    }
    return so_string_add(out, "", 0, error);
}
