/* Reading a corpus of the tabletop world, also one that was made elsewhere.
 * Source: dataset/tabletop/tabletop_corpus.h.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/guess.h"
#include "base/own.h"
#include "dataset/tabletop/tabletop_corpus.h"

enum { CELLS = SO_TABLETOP_GRID * SO_TABLETOP_GRID };

static const size_t LARGEST = (size_t)4 << 30;

/* The first of the keys (ended by NULL) that holds text. */
static const char *text_of(const json_t *object, ...)
{
    va_list keys;
    const char *key, *text = NULL;
    va_start(keys, object);
    while (!text && (key = va_arg(keys, const char *))) text = json_string_value(json_object_get(object, key));
    va_end(keys);
    return text && text[0] ? text : NULL;
}

static double number_of(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* Within [lo, hi], so that the conversion is defined. */
static int whole_of(const json_t *object, const char *key, int lo, int hi, int otherwise)
{
    double value = number_of(object, key, otherwise);
    return value >= lo && value <= hi ? (int)value : otherwise;
}

static char *with_extension(const char *path, size_t stem, const char *extension)
{
    char *other;
    return asprintf(&other, "%.*s%s", (int)stem, path, extension) < 0 ? NULL : other;
}

/* A path that can be opened: relative to the folder, with the extension that exists. NULL only without memory. */
static char *find_file(const char *folder, const char *name)
{
    static const char *const extensions[] = {".flac", ".wav"};
    char *path;
    if (asprintf(&path, "%s%s%s", name[0] == '/' ? "" : folder, name[0] == '/' ? "" : "/", name) < 0) return NULL;
    size_t length = strlen(path);
    for (int i = 0; i < 2 && access(path, R_OK) != 0; i++) {
        size_t tail = strlen(extensions[i]);
        if (length <= tail || strcmp(path + length - tail, extensions[i]) != 0) continue;
        char *other = with_extension(path, length - tail, extensions[!i]);
        if (other && access(other, R_OK) == 0) {
            free(path);
            return other;
        }
        free(other);
    }
    return path;
}

static bool read_object(const json_t *json, so_scene_object *out)
{
    const char *size = text_of(json, "size", NULL), *cell = text_of(json, "cell", "place", NULL);
    int shape = so_shape_find(text_of(json, "shape", NULL));
    int colour = so_colour_find(text_of(json, "color", "colour", NULL));
    int at = whole_of(json, "cell", 0, CELLS - 1, -1);
    for (int i = 0; cell && i < CELLS; i++)
        if (strcmp(cell, so_cell_name(i)) == 0) at = i;
    if (shape < 0 || colour < 0 || at < 0) return false;
    *out = (so_scene_object){.shape = (so_shape)shape, .colour = (so_colour)colour, .cell = at};
    out->big = size && strcmp(size, "big") == 0;
    out->x = (float)number_of(json, "x", 0);
    out->y = (float)number_of(json, "y", 0);
    out->diameter = (float)number_of(json, "diameter", 0);
    for (size_t c = 0; c < 3; c++) {
        double value = json_number_value(json_array_get(json_object_get(json, "rgb"), c));
        out->rgb[c] = (uint8_t)(value >= 0 && value <= 255 ? value : 0);
    }
    return true;
}

static void read_objects(const json_t *record, so_tabletop_item *item)
{
    const json_t *list = json_object_get(record, "objects");
    for (size_t i = 0; i < json_array_size(list) && item->objects < SO_TABLETOP_OBJECTS; i++)
        item->objects += read_object(json_array_get(list, i), &item->object[item->objects]);
}

static void read_voice(const json_t *record, so_tabletop_item *item)
{
    const json_t *json = json_object_get(record, "voice");
    const char *accent = text_of(json, "accent", NULL), *variant = text_of(json, "variant", NULL);
    const char *engine = text_of(json, "engine", NULL), *name = text_of(json, "name", NULL);
    if (engine)
        snprintf(item->speaker, sizeof item->speaker, "%.31s%s%.60s", engine, name && name[0] ? ":" : "",
                 name ? name : "");
    if (!accent) return;
    if (!engine) snprintf(item->speaker, sizeof item->speaker, "espeak-ng");
    snprintf(item->voice.accent, sizeof item->voice.accent, "%s", accent);
    snprintf(item->voice.variant, sizeof item->voice.variant, "%s", variant ? variant : "");
    item->voice.speed = whole_of(json, "speed", 0, 1000, 0);
    item->voice.pitch = whole_of(json, "pitch", 0, 100, 0);
    item->voice.amplitude = whole_of(json, "amplitude", 0, 1000, 0);
    item->voice.disturbed = json_is_true(json_object_get(json, "disturbed"));
}

/* Copies that may be NULL because there is nothing to copy. */
static bool keep(const char **out, const char *text) { return !text || (*out = strdup(text)); }
static bool keep_path(const char **out, const char *folder, const char *name)
{
    return !name || (*out = find_file(folder, name));
}

static so_status read_record(const json_t *record, const char *folder, int64_t line, so_tabletop_item *item,
                             so_error *error)
{
    char number[32];
    const char *id = text_of(record, "id", "key", NULL),
               *question = text_of(record, "question", "text", "transcription", NULL);
    const json_t *numbered = json_object_get(record, "id");
    snprintf(number, sizeof number, "%lld",
             json_is_integer(numbered) ? (long long)json_integer_value(numbered) : (long long)line);
    if (!question) return so_fail(error, SO_ERR_FORMAT, "no text under \"question\" (or \"text\", \"transcription\")");
    item->kind = so_tabletop_kind_find(text_of(record, "kind", NULL));
    item->duration = number_of(record, "duration", 0);
    item->answer_duration = number_of(record, "answer_duration", 0);
    const json_t *scene = json_object_get(record, "scene");
    item->scene_seed = json_is_integer(scene) ? json_integer_value(scene) : -1;
    read_objects(record, item);
    read_voice(record, item);
    if (keep(&item->id, id ? id : number) && keep(&item->kind_name, text_of(record, "kind", NULL)) &&
        keep(&item->question, question) && keep(&item->answer, text_of(record, "answer", NULL)) &&
        keep_path(&item->image, folder, text_of(record, "image", NULL)) &&
        keep_path(&item->speech, folder, text_of(record, "speech", "audio", "audio_filepath", "wav", NULL)) &&
        keep_path(&item->answer_speech, folder, text_of(record, "answer_speech", NULL)))
        return SO_OK;
    return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
}

static so_status add_record(so_tabletop_corpus *corpus, const json_t *record, const char *folder, int64_t line,
                            so_error *error)
{
    if (corpus->count % 1024 == 0) {
        so_tabletop_item *items = realloc(corpus->items, (size_t)(corpus->count + 1024) * sizeof *items);
        if (!items) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld records", (long long)corpus->count + 1024);
        corpus->items = items;
    }
    so_tabletop_item *item = &corpus->items[corpus->count++];
    memset(item, 0, sizeof *item);
    return read_record(record, folder, line, item, error);
}

static so_status read_line(so_tabletop_corpus *corpus, const char *text, size_t size, const char *folder, int64_t line,
                           so_error *error)
{
    json_error_t why;
    json_t *record = json_loadb(text, size, 0, &why);
    so_status status = json_is_object(record) ? add_record(corpus, record, folder, line, error)
                                              : so_fail(error, SO_ERR_FORMAT, "not a JSON object: %s", why.text);
    json_decref(record);
    return status;
}

static so_status read_lines(so_tabletop_corpus *corpus, const char *path, const char *folder, so_error *error)
{
    char *data;
    size_t size;
    int64_t line = 1;
    SO_TRY(so_file_read(path, LARGEST, &data, &size, error));
    so_status status = size ? so_refuse_strange_text(data, size, error) : SO_OK;
    if (status != SO_OK) so_fail_in(error, "'%s'", path);
    for (const char *at = data, *end = data + size; at < end && status == SO_OK; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        size_t blank = strspn(at, " \t\r");
        if (at + blank < stop) status = read_line(corpus, at, (size_t)(stop - at), folder, line, error);
        if (status != SO_OK) so_fail_in(error, "'%s', line %lld", path, (long long)line);
        at = stop + 1;
    }
    free(data);
    return status;
}

/* The questions of one LLaVA conversation, each as a record of its own. */
static so_status read_conversation(so_tabletop_corpus *corpus, const json_t *conversation, const char *folder,
                                   so_error *error)
{
    const json_t *turns = json_object_get(conversation, "conversations"),
                 *speech = json_object_get(conversation, "speech");
    for (size_t i = 0; i + 1 < json_array_size(turns); i += 2) {
        const char *question = text_of(json_array_get(turns, i), "value", NULL);
        const char *answer = text_of(json_array_get(turns, i + 1), "value", NULL);
        const char *sound = json_is_string(speech) && i == 0 ? json_string_value(speech)
                                                             : json_string_value(json_array_get(speech, i / 2));
        if (question && strncmp(question, "<image>", 7) == 0) question += 7 + strspn(question + 7, "\n ");
        json_t *record =
            json_pack("{s:s* s:s* s:s* s:s* s:s*}", "id", text_of(conversation, "id", NULL), "question", question,
                      "answer", answer, "image", text_of(conversation, "image", NULL), "speech", sound);
        so_status status = record ? add_record(corpus, record, folder, corpus->count + 1, error)
                                  : so_fail(error, SO_ERR_NOMEM, "no memory for a conversation");
        json_decref(record);
        SO_TRY(status);
    }
    return SO_OK;
}

static so_status read_conversations(so_tabletop_corpus *corpus, const char *path, const char *folder, so_error *error)
{
    char *data;
    size_t size;
    json_error_t why;
    SO_TRY(so_file_read(path, LARGEST, &data, &size, error));
    so_status status = so_refuse_strange_text(data, size, error);
    json_t *list = status == SO_OK ? json_loadb(data, size, 0, &why) : NULL;
    free(data);
    if (status != SO_OK) return so_fail_in(error, "'%s'", path);
    if (!json_is_array(list)) status = so_fail(error, SO_ERR_FORMAT, "'%s' is not a JSON array: %s", path, why.text);
    for (size_t i = 0; i < json_array_size(list) && status == SO_OK; i++) {
        status = read_conversation(corpus, json_array_get(list, i), folder, error);
        if (status != SO_OK) so_fail_in(error, "'%s', conversation %zu", path, i);
    }
    json_decref(list);
    return status;
}

static bool is_array_file(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".json") == 0;
}

/* Where the lines are and what their paths are relative to. */
static so_status locate(const char *path, char **file, char **folder, so_error *error)
{
    static const char *const names[] = {"records.jsonl", "llava.json", "asr.jsonl", "manifest.jsonl"};
    struct stat st;
    if (stat(path, &st) != 0) return so_fail(error, SO_ERR_MISSING, "there is no '%s'", path);
    if (!S_ISDIR(st.st_mode)) {
        const char *slash = strrchr(path, '/');
        *file = strdup(path);
        *folder = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
        return *file && *folder ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    }
    *folder = strdup(path);
    for (int i = 0; i < 4; i++) {
        if (!*folder || asprintf(file, "%s/%s", path, names[i]) < 0) {
            *file = NULL;
            return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
        }
        if (access(*file, R_OK) == 0) return SO_OK;
        free(*file);
        *file = NULL;
    }
    return so_fail(error, SO_ERR_MISSING, "'%s' has none of records.jsonl, llava.json, asr.jsonl, manifest.jsonl",
                   path);
}

so_status so_tabletop_open(so_tabletop_corpus *corpus, const char *path, so_error *error)
{
    char *file = NULL, *folder = NULL;
    memset(corpus, 0, sizeof *corpus);
    so_status status = locate(path, &file, &folder, error);
    if (status == SO_OK)
        status = is_array_file(file) ? read_conversations(corpus, file, folder, error)
                                     : read_lines(corpus, file, folder, error);
    if (status != SO_OK) so_tabletop_close(corpus);
    free(file);
    free(folder);
    return status;
}

void so_tabletop_close(so_tabletop_corpus *corpus)
{
    for (int64_t i = 0; i < corpus->count; i++) {
        const so_tabletop_item *item = &corpus->items[i];
        const char *const strings[] = {item->id,    item->kind_name, item->question,     item->answer,
                                       item->image, item->speech,    item->answer_speech};
        for (size_t k = 0; k < sizeof strings / sizeof *strings; k++) free(so_mutable(strings[k]));
    }
    free(corpus->items);
    memset(corpus, 0, sizeof *corpus);
}
