/* Two lists of transcripts, compared three ways.
 * Source: data-eval.md E.3, E.4.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/scoring/compare.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "eval/scoring/answers.h"
#include "eval/wer.h"
#include "text/normalise.h"

typedef struct entry {
    char *id, *text, *other;
    double rate;
    int64_t edits;
} entry;

typedef struct list {
    entry *entry;
    int64_t n, capacity;
} list;

static void clear(list *l)
{
    for (int64_t i = 0; i < l->n; i++) {
        free(l->entry[i].id);
        free(l->entry[i].text);
    }
    free(l->entry);
}

static so_status add(list *l, const char *text, size_t size, so_error *error)
{
    if (l->n == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 256;
        entry *longer = realloc(l->entry, (size_t)l->capacity * sizeof *longer);
        if (!longer) return so_fail(error, SO_ERR_NOMEM, "no memory for transcripts");
        l->entry = longer;
    }
    entry *e = &l->entry[l->n++];
    *e = (entry){0};
    json_t *json = size && text[0] == '{' ? json_loadb(text, size, 0, NULL) : NULL;
    const json_t *id = json_object_get(json, "id") ? json_object_get(json, "id") : json_object_get(json, "question_id"),
                 *words = json_object_get(json, "text") ? json_object_get(json, "text")
                                                        : json_object_get(json, "transcription");
    if (json_is_string(words)) {
        e->text = strdup(json_string_value(words));
        e->id = json_is_string(id) ? strdup(json_string_value(id)) : NULL;
    } else
        e->text = strndup(text, size);
    json_decref(json);
    return e->text ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a transcript");
}

static so_status load(const char *path, list *l, so_error *error)
{
    char *data;
    size_t size;
    SO_TRY(so_file_read(path, (size_t)1 << 30, &data, &size, error));
    so_status status = SO_OK;
    for (const char *at = data, *end = data + size; at < end && status == SO_OK;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = stop ? (size_t)(stop - at) : (size_t)(end - at);
        if (n && at[n - 1] == '\r') n--;
        status = add(l, at, n, error);
        at = stop ? stop + 1 : end;
    }
    free(data);
    return status;
}

static int by_id(const void *a, const void *b) { return strcmp(((const entry *)a)->id, ((const entry *)b)->id); }
static int by_edits(const void *a, const void *b)
{
    int64_t x = ((const entry *)a)->edits, y = ((const entry *)b)->edits;
    return x > y ? -1 : x < y;
}

static bool all_named(const list *l)
{
    for (int64_t i = 0; i < l->n; i++)
        if (!l->entry[i].id) return false;
    return l->n > 0;
}

static so_status pair(list *a, list *b, so_error *error)
{
    bool named = all_named(a) && all_named(b);
    if (named) qsort(b->entry, (size_t)b->n, sizeof *b->entry, by_id);
    if (!named && a->n != b->n)
        return so_fail(error, SO_ERR_FORMAT, "%lld references and %lld transcripts without ids", (long long)a->n,
                       (long long)b->n);
    for (int64_t i = 0; i < a->n; i++) {
        entry *found = named ? bsearch(&a->entry[i], b->entry, (size_t)b->n, sizeof *b->entry, by_id) : &b->entry[i];
        if (!found) return so_fail(error, SO_ERR_FORMAT, "no transcript of '%.100s'", a->entry[i].id);
        a->entry[i].other = found->text;
    }
    return SO_OK;
}

typedef struct rates {
    so_wer authors, whisper, characters;
} rates;

static so_status one(so_normaliser *n, entry *e, rates *r, so_error *error)
{
    so_string form[6] = {{0}};
    so_status status = SO_OK;
    so_wer own = {0};
    for (int k = 0; k < 2 && status == SO_OK; k++) {
        const char *text = k ? e->other : e->text;
        size_t size = strlen(text);
        status = so_normalise_asr(text, size, &form[k], error);
        if (status == SO_OK) status = so_normaliser_english(n, text, size, &form[2 + k], error);
        if (status == SO_OK) status = so_normalise_chinese(text, size, &form[4 + k], error);
    }
    bool chinese = status == SO_OK && form[4].size > 0;
    const so_string *a = &form[chinese ? 4 : 0], *b = a + 1;
    if (status == SO_OK)
        status = so_wer_words(&r->authors, form[0].data, form[0].size, form[1].data, form[1].size, error);
    if (status == SO_OK)
        status = so_wer_words(&r->whisper, form[2].data, form[2].size, form[3].data, form[3].size, error);
    if (status == SO_OK)
        status = chinese
                     ? so_wer_characters(&r->characters, a->data, a->size, b->data, b->size, error)
                     : so_wer_characters(&r->characters, form[0].data, form[0].size, form[1].data, form[1].size, error);
    if (status == SO_OK)
        status = (chinese ? so_wer_characters : so_wer_words)(&own, a->data, a->size, b->data, b->size, error);
    e->edits = own.substitutions + own.deletions + own.insertions;
    e->rate = so_wer_rate(&own);
    for (int k = 0; k < 6; k++) so_string_clear(&form[k]);
    return status;
}

static so_status put(so_string *out, so_error *error, const char *format, ...) __attribute__((format(printf, 3, 4)));
static so_status put(so_string *out, so_error *error, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return so_string_put(out, text, error);
}

static so_status tell(const rates *r, const list *l, const char *spelling, so_string *out, so_error *error)
{
    const so_wer *const wer[] = {&r->authors, &r->whisper, &r->characters};
    const char *const names[] = {"words, as the authors count",
                                 spelling ? "words, by Whisper's normaliser"
                                          : "words, by Whisper's normaliser (no spelling table)",
                                 "characters"};
    for (int i = 0; i < 3; i++)
        SO_TRY(put(out, error, "%-52s %6.2f %%  %lld of %lld: %lld substituted, %lld deleted, %lld inserted\n",
                   names[i], 100 * so_wer_rate(wer[i]),
                   (long long)(wer[i]->substitutions + wer[i]->deletions + wer[i]->insertions),
                   (long long)wer[i]->units, (long long)wer[i]->substitutions, (long long)wer[i]->deletions,
                   (long long)wer[i]->insertions));
    for (int64_t i = 0; i < l->n && i < 10 && l->entry[i].edits; i++)
        SO_TRY(put(out, error, "%s%s%lld edits\n  %.300s\n  %.300s\n", l->entry[i].id ? l->entry[i].id : "",
                   l->entry[i].id ? ": " : "", (long long)l->entry[i].edits, l->entry[i].text, l->entry[i].other));
    return SO_OK;
}

static json_t *as_json(const so_wer *w)
{
    return json_pack("{s:f, s:I, s:I, s:I, s:I}", "rate", so_wer_rate(w), "units", (json_int_t)w->units, "substituted",
                     (json_int_t)w->substitutions, "deleted", (json_int_t)w->deletions, "inserted",
                     (json_int_t)w->insertions);
}

so_status so_compare_transcripts(const char *reference, const char *hypothesis, const char *spelling, bool json,
                                 so_string *out, so_error *error)
{
    list a = {0}, b = {0};
    rates r = {0};
    so_normaliser *n = NULL;
    so_status status = load(reference, &a, error);
    if (status == SO_OK) status = load(hypothesis, &b, error);
    if (status == SO_OK) status = pair(&a, &b, error);
    if (status == SO_OK) status = so_normaliser_open(&n, spelling, error);
    for (int64_t i = 0; i < a.n && status == SO_OK; i++) status = one(n, &a.entry[i], &r, error);
    if (status == SO_OK && !json) {
        qsort(a.entry, (size_t)a.n, sizeof *a.entry, by_edits);
        status = tell(&r, &a, spelling, out, error);
    } else if (status == SO_OK) {
        json_t *all =
            json_pack("{s:I, s:o, s:o, s:o, s:b}", "pairs", (json_int_t)a.n, "authors", as_json(&r.authors), "whisper",
                      as_json(&r.whisper), "characters", as_json(&r.characters), "spelling", spelling != NULL);
        char *text = all ? json_dumps(all, JSON_REAL_PRECISION(12)) : NULL;
        status = text ? put(out, error, "%s\n", text) : so_fail(error, SO_ERR_NOMEM, "no memory for a result");
        free(text);
        json_decref(all);
    }
    if (n) so_normaliser_close(&n);
    clear(&a);
    clear(&b);
    return status;
}

/* ---- forms */

typedef enum form { ENGLISH, BASIC, PLAIN, SPLIT, AUTHORS, CHINESE, EVALAI, FORMS } form;
static const char *const form_names[FORMS] = {"english", "basic", "plain", "split", "authors", "chinese", "evalai"};

static so_status normalise(so_normaliser *n, form kind, const char *text, size_t size, so_string *out, so_error *error)
{
    if (kind == ENGLISH) return so_normaliser_english(n, text, size, out, error);
    if (kind == AUTHORS) return so_normalise_asr(text, size, out, error);
    if (kind == CHINESE) return so_normalise_chinese(text, size, out, error);
    if (kind != EVALAI) return so_normalise_basic(text, size, kind == PLAIN, kind == SPLIT, out, error);
    so_string own = {0};
    char *copy = strndup(text, size);
    so_status status =
        copy ? so_answer_evalai(copy, &own, error) : so_fail(error, SO_ERR_NOMEM, "no memory for a line");
    if (status == SO_OK) status = so_string_add(out, own.data, own.size, error);
    free(copy);
    so_string_clear(&own);
    return status;
}

so_status so_normalise_lines(const char *path, const char *name, const char *spelling, so_string *out, so_error *error)
{
    so_normaliser *n = NULL;
    char *data = NULL;
    size_t size;
    int kind = 0;
    while (kind < FORMS && strcmp(form_names[kind], name) != 0) kind++;
    if (kind == FORMS)
        return so_fail(error, SO_ERR_ARG,
                       "no form '%s', expected english, basic, plain, split, authors, chinese or evalai", name);
    SO_TRY(so_file_read(path, (size_t)1 << 30, &data, &size, error));
    so_status status = so_normaliser_open(&n, spelling, error);
    for (const char *at = data, *end = data + size; at < end && status == SO_OK;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        status = normalise(n, (form)kind, at, stop ? (size_t)(stop - at) : (size_t)(end - at), out, error);
        if (status == SO_OK) status = so_string_add(out, "\n", 1, error);
        at = stop ? stop + 1 : end;
    }
    if (n) so_normaliser_close(&n);
    free(data);
    return status;
}
