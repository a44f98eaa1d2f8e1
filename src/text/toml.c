/* Reading a strict part of TOML.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/toml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "text/buffer.h"

enum { NAME = 256 };

/* A name that is a table: [it] was written, or it stands before a dot, or it is an array of tables. */
typedef struct so_toml_table {
    const char *name;
    int64_t number; /* of the array of tables that it is in, -1 */
    int64_t count;  /* > 0: an array of so many tables */
    bool written;
} so_toml_table;

typedef struct reader {
    so_toml *toml;
    const char *at, *end;
    int line;
    char table[NAME]; /* where keys go: "plan", or "" */
    int64_t number;
    so_error *error;
} reader;

static so_status wrong(reader *r, const char *what)
{
    char found[24] = "the end of the file";
    unsigned char c = r->at < r->end ? (unsigned char)*r->at : 0;
    if (r->at < r->end && (c == '\n' || c == '\r'))
        snprintf(found, sizeof found, "the end of the line");
    else if (r->at < r->end && c > ' ' && c < 127)
        snprintf(found, sizeof found, "'%c'", c);
    else if (r->at < r->end)
        snprintf(found, sizeof found, "the byte 0x%02x", c);
    return so_fail(r->error, SO_ERR_FORMAT, "line %d: %s, found %s", r->line, what, found);
}

static so_status not_read(reader *r, const char *what)
{
    return so_fail(r->error, SO_ERR_UNSUPPORTED, "line %d: %s is not read here", r->line, what);
}

static char *keep(reader *r, const char *text, size_t size)
{
    char *copy = so_arena_alloc(&r->toml->memory, size + 1);
    if (copy) {
        memcpy(copy, text, size);
        copy[size] = 0;
    } else
        so_fail(r->error, SO_ERR_NOMEM, "no memory for a text of %zu bytes", size);
    return copy;
}

static bool more(const reader *r) { return r->at < r->end; }
static bool next_is(const reader *r, char c) { return more(r) && *r->at == c; }
static void blanks(reader *r)
{
    while (more(r) && (*r->at == ' ' || *r->at == '\t')) r->at++;
}
static bool starts(const reader *r, const char *with)
{
    size_t n = strlen(with);
    return (size_t)(r->end - r->at) >= n && memcmp(r->at, with, n) == 0;
}

/* The rest of a comment. */
static so_status comment(reader *r)
{
    while (more(r) && *r->at != '\n') {
        unsigned char c = (unsigned char)*r->at;
        if ((c < ' ' && c != '\t' && !(c == '\r' && r->at + 1 < r->end && r->at[1] == '\n')) || c == 127)
            return wrong(r, "a comment holds no control characters");
        r->at++;
    }
    return SO_OK;
}

/* Blanks, maybe a comment, and the line's end or the file's. */
static so_status line_end(reader *r)
{
    blanks(r);
    if (next_is(r, '#')) SO_TRY(comment(r));
    if (next_is(r, '\r')) r->at++;
    if (!more(r)) return SO_OK;
    if (*r->at != '\n') return wrong(r, "expected the end of the line");
    r->at++;
    r->line++;
    return SO_OK;
}

/* Blanks, comments and line ends: between the items of a list. */
static so_status space(reader *r)
{
    for (;;) {
        blanks(r);
        if (!next_is(r, '#') && !next_is(r, '\n') && !next_is(r, '\r')) return SO_OK;
        SO_TRY(line_end(r));
    }
}

/* ---- texts */

static so_status code_point(reader *r, int digits, char out[4], int *n)
{
    uint32_t c = 0;
    for (int i = 0; i < digits; i++) {
        static const char hex[] = "0123456789abcdef";
        char d = more(r) ? *r->at : 0;
        if (d >= 'A' && d <= 'F') d = (char)(d - 'A' + 'a');
        const char *p = d ? strchr(hex, d) : NULL;
        if (!p) return wrong(r, "expected a hexadecimal digit");
        c = c * 16 + (uint32_t)(p - hex);
        r->at++;
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return wrong(r, "an escape that is no character");
    *n = so_utf8_put(out, (int32_t)c);
    return SO_OK;
}

static so_status escape(reader *r, so_string *out)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    char bytes[4];
    int n = 1;
    char c = more(r) ? *r->at : 0;
    const char *p = c ? strchr(from, c) : NULL;
    if (p) {
        bytes[0] = to[p - from];
        r->at++;
    } else if (c == 'u' || c == 'U') {
        r->at++;
        SO_TRY(code_point(r, c == 'u' ? 4 : 8, bytes, &n));
    } else
        return wrong(r, "an unknown escape");
    return so_string_add(out, bytes, (size_t)n, r->error);
}

static so_status fill_text(reader *r, char quote, so_string *out)
{
    while (more(r) && *r->at != quote) {
        unsigned char c = (unsigned char)*r->at;
        if ((c < ' ' && c != '\t') || c == 127) return wrong(r, "a text ends on its line");
        r->at++;
        if (c == '\\' && quote == '"')
            SO_TRY(escape(r, out));
        else
            SO_TRY(so_string_add(out, (const char *)&c, 1, r->error));
    }
    if (!more(r)) return wrong(r, "a text without its end");
    r->at++;
    return SO_OK;
}

static so_status text(reader *r, const char **out)
{
    so_string made = {0};
    char quote = *r->at;
    if (starts(r, "\"\"\"") || starts(r, "'''")) return not_read(r, "a text over several lines");
    r->at++;
    so_status status = fill_text(r, quote, &made);
    if (status == SO_OK) *out = keep(r, made.data ? made.data : "", made.size);
    so_string_clear(&made);
    return status != SO_OK ? status : *out ? SO_OK : SO_ERR_NOMEM;
}

/* ---- numbers */

/* Characters that a bare value may have. */
static bool bare(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '-' ||
           c == '.' || c == '_' || c == ':';
}

/* Digits with single _ between them; how many characters, 0 when they are not that. */
static size_t digits(const char *p)
{
    size_t n = 0;
    while ((p[n] >= '0' && p[n] <= '9') || (p[n] == '_' && n > 0 && p[n - 1] != '_')) n++;
    return n > 0 && p[n - 1] == '_' ? 0 : n;
}

/* A number by TOML's grammar: no leading zeros, digits on both sides of a point. */
static bool number_form(const char *p, bool *real)
{
    *real = false;
    if (*p == '+' || *p == '-') p++;
    size_t n = digits(p);
    if (n == 0 || (n > 1 && p[0] == '0')) return false;
    p += n;
    if (*p == '.') {
        *real = true;
        if ((n = digits(++p)) == 0) return false;
        p += n;
    }
    if (*p == 'e' || *p == 'E') {
        *real = true;
        p++;
        if (*p == '+' || *p == '-') p++;
        if ((n = digits(p)) == 0) return false;
        p += n;
    }
    return *p == 0;
}

static so_status bare_value(reader *r, so_toml_value *out)
{
    char word[80];
    size_t n = 0;
    bool real;
    while (r->at + n < r->end && bare(r->at[n])) n++;
    if (n == 0) return wrong(r, "expected a value");
    if (n >= sizeof word) return so_fail(r->error, SO_ERR_FORMAT, "line %d: a number of %zu characters", r->line, n);
    memcpy(word, r->at, n);
    word[n] = 0;
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        *out = (so_toml_value){.kind = SO_TOML_BOOL, .yes = word[0] == 't'};
    } else if (number_form(word, &real)) {
        char plain[80];
        size_t m = 0;
        for (size_t i = 0; i <= n; i++)
            if (word[i] != '_') plain[m++] = word[i];
        errno = 0;
        *out = (so_toml_value){.kind = real ? SO_TOML_REAL : SO_TOML_WHOLE, .real = strtod(plain, NULL)};
        if (!real) out->whole = strtoll(plain, NULL, 10);
        if (errno == ERANGE && (!real || out->real > 1 || out->real < -1))
            return so_fail(r->error, SO_ERR_FORMAT, "line %d: the number %s is too large", r->line, word);
    } else if (strchr(word, ':') || (n >= 8 && word[4] == '-')) {
        return not_read(r, "a date or a time");
    } else if (word[0] == '0' && (word[1] == 'x' || word[1] == 'o' || word[1] == 'b')) {
        return not_read(r, "a number to another base than ten");
    } else
        return so_fail(r->error, SO_ERR_FORMAT, "line %d: '%s' is no value; a text stands in quotes", r->line, word);
    r->at += n;
    return SO_OK;
}

/* ---- values */

static so_status value(reader *r, int depth, so_toml_value *out);

static so_status list(reader *r, int depth, so_toml_value *out)
{
    so_toml_value *item = NULL;
    int64_t n = 0, capacity = 0;
    so_status status = SO_OK;
    if (depth == SO_TOML_DEEP)
        return so_fail(r->error, SO_ERR_LIMIT, "line %d: more than %d arrays in each other", r->line, SO_TOML_DEEP);
    r->at++;
    for (;;) {
        SO_TRY_GO(space(r));
        if (next_is(r, ']')) break;
        SO_TRY_GO(so_grow(&item, n, &capacity, sizeof *item, r->error));
        SO_TRY_GO(value(r, depth + 1, &item[n]));
        n++;
        SO_TRY_GO(space(r));
        if (next_is(r, ']')) break;
        if (!next_is(r, ',')) {
            status = wrong(r, "expected ',' or ']' in an array");
            goto done;
        }
        r->at++;
    }
    r->at++;
    so_toml_value *kept = so_arena_alloc(&r->toml->memory, (size_t)(n + 1) * sizeof *kept);
    if (!kept) {
        status = so_fail(r->error, SO_ERR_NOMEM, "no memory for an array of %lld items", (long long)n);
        goto done;
    }
    if (n) memcpy(kept, item, (size_t)n * sizeof *kept);
    *out = (so_toml_value){.kind = SO_TOML_LIST, .item = kept, .items = n};
done:
    free(item);
    return status;
}

static so_status value(reader *r, int depth, so_toml_value *out)
{
    *out = (so_toml_value){.kind = SO_TOML_TEXT};
    if (!more(r)) return wrong(r, "expected a value");
    if (*r->at == '"' || *r->at == '\'') return text(r, &out->text);
    if (*r->at == '[') return list(r, depth, out);
    if (*r->at == '{') return not_read(r, "an inline table");
    return bare_value(r, out);
}

/* ---- keys and tables */

static bool bare_key(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* A dotted key, appended to `name`. */
static so_status key(reader *r, char name[NAME])
{
    size_t used = strlen(name);
    for (;;) {
        const char *part = r->at;
        size_t n = 0;
        blanks(r);
        if (next_is(r, '"') || next_is(r, '\'')) {
            SO_TRY(text(r, &part));
            n = strlen(part);
            if (strchr(part, '.')) return not_read(r, "a key with a dot in it");
        } else {
            part = r->at;
            while (r->at < r->end && bare_key(*r->at)) r->at++;
            n = (size_t)(r->at - part);
        }
        if (n == 0) return wrong(r, "expected a key");
        if (used + n + 2 > NAME)
            return so_fail(r->error, SO_ERR_LIMIT, "line %d: a key of more than %d bytes", r->line, NAME - 2);
        if (used) name[used++] = '.';
        memcpy(name + used, part, n);
        name[used += n] = 0;
        blanks(r);
        if (!next_is(r, '.')) return SO_OK;
        r->at++;
    }
}

static so_toml_table *find_table(const so_toml *toml, const char *name, int64_t number)
{
    for (int64_t i = 0; i < toml->tables; i++)
        if (toml->table[i].number == number && strcmp(toml->table[i].name, name) == 0) return &toml->table[i];
    return NULL;
}

static const so_toml_entry *find_entry(const so_toml *toml, const char *name, int64_t number)
{
    for (int64_t i = 0; i < toml->count; i++)
        if (toml->entry[i].number == number && strcmp(toml->entry[i].name, name) == 0) return &toml->entry[i];
    return NULL;
}

static so_status add_table(reader *r, const char *name, int64_t number, so_toml_table **out)
{
    so_toml *t = r->toml;
    if (find_entry(t, name, number))
        return so_fail(r->error, SO_ERR_FORMAT, "line %d: '%s' is a value already, and can be no table", r->line, name);
    SO_TRY(so_grow(&t->table, t->tables, &t->tables_capacity, sizeof *t->table, r->error));
    char *kept = keep(r, name, strlen(name));
    if (!kept) return SO_ERR_NOMEM;
    t->table[t->tables] = (so_toml_table){.name = kept, .number = number};
    *out = &t->table[t->tables++];
    return SO_OK;
}

/* What stands before the dots of a name is a table. */
static so_status add_parents(reader *r, const char *name, int64_t number)
{
    char parent[NAME];
    so_toml_table *table;
    snprintf(parent, sizeof parent, "%s", name);
    for (char *dot = strrchr(parent, '.'); dot; dot = strrchr(parent, '.')) {
        *dot = 0;
        if (!find_table(r->toml, parent, number) && !find_table(r->toml, parent, -1))
            SO_TRY(add_table(r, parent, number, &table));
    }
    return SO_OK;
}

/* [name] or [[name]]. */
static so_status header(reader *r)
{
    r->at++;
    bool array = next_is(r, '[');
    if (array) r->at++;
    r->table[0] = 0;
    r->number = -1;
    SO_TRY(key(r, r->table));
    if (!next_is(r, ']')) return wrong(r, "expected ']'");
    r->at++;
    if (array && !next_is(r, ']')) return wrong(r, "expected ']]'");
    if (array) r->at++;
    char first[NAME];
    snprintf(first, sizeof first, "%s", r->table);
    first[strcspn(first, ".")] = 0;
    so_toml_table *within = find_table(r->toml, first, -1), *table = find_table(r->toml, r->table, -1);
    if (array && strchr(r->table, '.')) return not_read(r, "an array of tables within a table");
    if (within && within->count && strchr(r->table, '.')) { /* a table of the last of an array */
        r->number = within->count - 1;
        table = find_table(r->toml, r->table, r->number);
    }
    if (!table) {
        SO_TRY(add_table(r, r->table, r->number, &table));
    } else if (array ? !table->count : table->written || table->count)
        return so_fail(r->error, SO_ERR_FORMAT, "line %d: the table '%s' was there before", r->line, r->table);
    table->written = true;
    if (array) r->number = table->count++;
    SO_TRY(add_parents(r, r->table, r->number));
    return line_end(r);
}

static so_status pair(reader *r)
{
    so_toml *t = r->toml;
    char name[NAME];
    so_toml_entry e = {.number = r->number, .line = r->line};
    snprintf(name, sizeof name, "%s", r->table);
    SO_TRY(key(r, name));
    if (!next_is(r, '=')) return wrong(r, "expected '='");
    r->at++;
    blanks(r);
    SO_TRY(value(r, 0, &e.value));
    const so_toml_entry *before = find_entry(t, name, r->number);
    if (before)
        return so_fail(r->error, SO_ERR_FORMAT, "line %d: '%s' was set on line %d already", e.line, name, before->line);
    if (find_table(t, name, r->number) || find_table(t, name, -1))
        return so_fail(r->error, SO_ERR_FORMAT, "line %d: '%s' is a table already, and can be no value", e.line, name);
    SO_TRY(add_parents(r, name, r->number));
    SO_TRY(so_grow(&t->entry, t->count, &t->capacity, sizeof *t->entry, r->error));
    if (!(e.name = keep(r, name, strlen(name)))) return SO_ERR_NOMEM;
    t->entry[t->count++] = e;
    return line_end(r);
}

/* ---- a file */

static so_status read_all(reader *r)
{
    if (starts(r, "\xef\xbb\xbf")) r->at += 3;
    while (more(r)) {
        blanks(r);
        if (next_is(r, '['))
            SO_TRY(header(r));
        else if (!more(r) || *r->at == '\n' || *r->at == '\r' || *r->at == '#')
            SO_TRY(line_end(r));
        else
            SO_TRY(pair(r));
    }
    return SO_OK;
}

/* Line by line, so that the line can be told. */
static so_status check_lines(const char *bytes, size_t size, so_error *error)
{
    int line = 1;
    for (size_t from = 0; from < size; line++) {
        const char *end = memchr(bytes + from, '\n', size - from);
        size_t n = end ? (size_t)(end - bytes) - from + 1 : size - from;
        if (!so_utf8_valid(bytes + from, n))
            return so_fail(error, SO_ERR_FORMAT, "line %d: a text that is not UTF-8", line);
        from += n;
    }
    return SO_OK;
}

so_status so_toml_parse(so_toml *toml, const char *bytes, size_t size, so_error *error)
{
    *toml = (so_toml){0};
    so_arena_grow(&toml->memory);
    reader r = {.toml = toml, .at = bytes, .end = bytes + size, .line = 1, .number = -1, .error = error};
    if (size > SO_TOML_MOST) return so_fail(error, SO_ERR_LIMIT, "%zu bytes, expected up to %d", size, SO_TOML_MOST);
    SO_TRY(check_lines(bytes, size, error));
    return read_all(&r);
}

void so_toml_close(so_toml *toml)
{
    so_arena_clear(&toml->memory);
    free(toml->entry);
    free(toml->table);
    *toml = (so_toml){0};
}

so_status so_toml_assign(so_toml *toml, const char *line, const char **name, so_toml_value *out, so_error *error)
{
    if (!toml->memory.grows) so_arena_grow(&toml->memory);
    const char *equals = strchr(line, '=');
    if (!equals || equals == line) return so_fail(error, SO_ERR_ARG, "'%.200s' is not NAME=VALUE", line);
    so_error ignored;
    reader r = {.toml = toml, .at = equals + 1, .end = line + strlen(line), .line = 1, .error = &ignored};
    if (!so_utf8_valid(line, strlen(line))) return so_fail(error, SO_ERR_FORMAT, "'%.200s' is not UTF-8", line);
    so_status status = value(&r, 0, out);
    if (status == SO_OK) blanks(&r);
    if (status != SO_OK || more(&r)) {
        const char *kept = keep(&r, equals + 1, strlen(equals + 1));
        if (!kept) return so_fail(error, SO_ERR_NOMEM, "no memory for a setting");
        *out = (so_toml_value){.kind = SO_TOML_TEXT, .text = kept};
    }
    *name = keep(&r, line, (size_t)(equals - line));
    return *name ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a setting");
}

int64_t so_toml_tables(const so_toml *toml, const char *array)
{
    const so_toml_table *table = find_table(toml, array, -1);
    return table ? table->count : 0;
}

const char *so_toml_kind_name(so_toml_kind kind)
{
    static const char *const names[] = {"a text", "a whole number", "a real number", "true or false", "an array"};
    return names[kind];
}
