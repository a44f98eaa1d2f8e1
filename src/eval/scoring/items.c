/* Questions and answers, brought together.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/names.h"
#include "base/sha.h"
#include "eval/scoring/benchmark.h"

static const size_t LARGEST = (size_t)4 << 30;

const char *so_bench_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

void so_bench_part(so_scoring *s, const char *name, double value)
{
    json_object_set_new(s->parts, name, json_real(value));
}

so_status so_bench_file(const char *folder, const char *names, char path[4096], so_error *error)
{
    for (const char *p = names; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
        glob_t found = {0};
        snprintf(path, 4096, "%.3000s/%.*s", folder, (int)strcspn(p, "|"), p);
        bool there = glob(path, 0, NULL, &found) == 0 && found.gl_pathc > 0;
        if (there) snprintf(path, 4096, "%s", found.gl_pathv[0]);
        globfree(&found);
        if (there) return SO_OK;
    }
    return so_fail(error, SO_ERR_MISSING, "'%s' has no %s", folder, names);
}

/* Lines of JSON as a list; a last line that is torn off is dropped where `torn` allows it. */
static so_status lines(const char *path, const char *data, size_t size, bool torn, json_t **out, so_error *error)
{
    json_t *list = json_array();
    int64_t number = 1;
    for (const char *at = data, *end = data + size; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = stop ? (size_t)(stop - at) : (size_t)(end - at), blank = 0;
        json_error_t why;
        while (blank < n && (at[blank] == ' ' || at[blank] == '\r' || at[blank] == '\t')) blank++;
        json_t *one = blank < n ? json_loadb(at, n, 0, &why) : NULL;
        if (blank < n && !one && !(torn && !stop)) {
            json_decref(list);
            return so_fail(error, SO_ERR_FORMAT, "'%s', line %lld: %s", path, (long long)number, why.text);
        }
        if (one) json_array_append_new(list, one);
        at = stop ? stop + 1 : end;
    }
    *out = list;
    return SO_OK;
}

static so_status load(const char *path, bool torn, json_t **out, so_error *error)
{
    char *data;
    size_t size;
    json_error_t why;
    *out = NULL;
    SO_TRY(so_file_read(path, LARGEST, &data, &size, error));
    size_t skip = size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    *out = json_loadb(data + skip, size - skip, 0, &why);
    so_status status = *out ? SO_OK : lines(path, data + skip, size - skip, torn, out, error);
    /* A file of one line is a list of one, not an object, where it ends like lines do. */
    const char *name = strrchr(path, '.');
    if (status == SO_OK && json_is_object(*out) && name && strcmp(name, ".jsonl") == 0) {
        json_t *list = json_array();
        json_array_append_new(list, *out);
        *out = list;
    }
    free(data);
    return status;
}

so_status so_bench_json(const char *folder, const char *name, json_t **out, so_error *error)
{
    char path[4096];
    *out = NULL;
    SO_TRY(so_bench_file(folder, name, path, error));
    return load(path, false, out, error);
}

/* ---- answers */

static const char *first_text(const json_t *object, const char *const *keys, char room[32])
{
    for (; *keys; keys++) {
        const json_t *value = json_object_get(object, *keys);
        if (json_is_string(value)) return json_string_value(value);
        if (json_is_integer(value)) {
            snprintf(room, 32, "%lld", (long long)json_integer_value(value));
            return room;
        }
    }
    return NULL;
}

static const char *const id_keys[] = {"question_id", "questionId", "id", "index", NULL};
static const char *const text_keys[] = {"text", "answer", "prediction", "pred", NULL};

/* All answer files of a folder, one after another. */
static so_status load_answers(const char *folder, const char *answers, json_t **out, so_error *error)
{
    char pattern[4096];
    glob_t found = {0};
    so_status status = SO_OK;
    if (answers) return load(answers, false, out, error);
    *out = json_array();
    snprintf(pattern, sizeof pattern, "%.4000s/answers*.jsonl", folder);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && status == SO_OK; i++) {
            json_t *more = NULL;
            status = load(found.gl_pathv[i], true, &more, error);
            if (status == SO_OK) json_array_extend(*out, more);
            json_decref(more);
        }
    globfree(&found);
    if (status == SO_OK && json_array_size(*out) == 0)
        return so_fail(error, SO_ERR_MISSING, "'%s' has no answers*.jsonl; eval run makes them", folder);
    return status;
}

/* By their ids; in order where the answers' ids repeat and there are as many. */
static so_status match(so_items *s, so_error *error)
{
    so_names names = {0};
    char room[32];
    so_status status = SO_OK;
    const json_t *a = s->answers;
    size_t n = json_array_size(a);
    bool repeats = false;
    if (json_is_object(a)) {
        for (int64_t i = 0; i < s->n; i++) {
            const json_t *value = json_object_get(a, s->item[i].id);
            s->item[i].answer = json_is_object(value) ? first_text(value, text_keys, room) : json_string_value(value);
        }
        return SO_OK;
    }
    const char **text = calloc(n + 1, sizeof *text);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu answers", n);
    for (size_t i = 0; i < n && status == SO_OK; i++) {
        json_t *one = json_array_get(a, i);
        const char *id = first_text(one, id_keys, room), *said = first_text(one, text_keys, room);
        if (id == room) { /* a number: kept in the answer itself, as text */
            json_object_set_new(one, "question_id", json_string(room));
            id = so_bench_text(one, "question_id");
            said = first_text(one, text_keys, room);
        }
        if (!id || !said || said == room)
            status = so_fail(error, SO_ERR_FORMAT, "answer %zu has no question_id or no text", i + 1);
        else if (so_names_find(&names, so_span_of(id)) >= 0) {
            repeats = true; /* of two answers to one question the first counts */
        } else {
            text[names.count] = said;
            status = so_names_add(&names, so_span_of(id), error);
        }
    }
    bool in_order = repeats && (int64_t)n == s->n;
    for (int64_t i = 0; i < s->n && status == SO_OK; i++) {
        int64_t at = in_order ? -1 : so_names_find(&names, so_span_of(s->item[i].id));
        s->item[i].answer = in_order  ? first_text(json_array_get(a, (size_t)i), text_keys, room)
                            : at >= 0 ? text[at]
                                      : NULL;
    }
    so_names_clear(&names);
    free(text);
    return status;
}

so_status so_items_open(so_items *s, const char *folder, const char *answers, so_error *error)
{
    char path[4096], *data;
    size_t size, i;
    json_t *one;
    *s = (so_items){0};
    SO_TRY(so_bench_file(folder, "questions.jsonl", path, error));
    SO_TRY(so_file_read(path, LARGEST, &data, &size, error));
    so_sha sha;
    so_sha_init(&sha, SO_SHA256);
    so_sha_feed(&sha, data, size);
    so_sha_end(&sha, s->hash);
    so_status status = lines(path, data, size, false, &s->questions, error);
    free(data);
    if (status == SO_OK && !(s->item = calloc(json_array_size(s->questions) + 1, sizeof *s->item)))
        status = so_fail(error, SO_ERR_NOMEM, "no memory for questions");
    if (status == SO_OK)
        json_array_foreach(s->questions, i, one) s->item[s->n++] =
            (so_item){.question = one, .id = so_bench_text(one, "id"), .right = -1};
    if (status == SO_OK) status = load_answers(folder, answers, &s->answers, error);
    if (status == SO_OK) status = match(s, error);
    for (int64_t k = 0; k < s->n; k++) s->missing += s->item[k].answer == NULL;
    if (status != SO_OK) so_items_close(s);
    return status;
}

void so_items_close(so_items *s)
{
    json_decref(s->questions);
    json_decref(s->answers);
    free(s->item);
    *s = (so_items){0};
}
