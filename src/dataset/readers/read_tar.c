/* Shards in WebDataset's manner: members of one sample stand together and share the name up to its first dot.
 * Source: data-eval.md A.8.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dataset/readers/reading.h"
#include "dataset/readers/tar_sample.h"
#include "text/buffer.h"

/* The folder part and the base name up to its first dot; 0 where there is no dot or the name is hidden. */
static size_t key_size(const char *name)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *dot = strchr(base, '.');
    return !dot || dot == base ? 0 : (size_t)(dot - name);
}

static bool leaves(const char *name)
{
    if (name[0] == '/') return true;
    for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strncmp(p, "../", 3) == 0 || strcmp(p, "..") == 0) return true;
    return false;
}

static bool is_one_of(const char *name, const char *endings)
{
    const char *dot = strrchr(name, '.');
    size_t n = dot ? strlen(dot + 1) : 0;
    for (const char *p = endings; n && p; p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL)
        if (strcspn(p, " ") == n && strncasecmp(p, dot + 1, n) == 0) return true;
    return false;
}

static const char *endings_of(so_file_kind kind)
{
    return kind == SO_FILE_PICTURE ? "jpg jpeg png webp gif bmp"
           : kind == SO_FILE_SOUND ? "wav flac opus ogg mp3"
                                   : "u16";
}

/* The member with this name or, failing that, the next one of the kind that was not taken. */
json_t *so_tar_sample_file(so_tar_sample *s, const char *name, so_file_kind kind, so_bad *bad)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    int found = -1;
    for (int i = 0; i < s->n && found < 0; i++) {
        const char *own = strrchr(s->member[i].name, '/');
        own = own ? own + 1 : s->member[i].name;
        if (strcmp(own, base) == 0 && is_one_of(own, endings_of(kind))) found = i;
    }
    for (int i = 0; i < s->n && found < 0; i++)
        if (!s->taken[i] && is_one_of(s->member[i].name, endings_of(kind))) found = i;
    if (found < 0) {
        *bad = kind == SO_FILE_PICTURE ? SO_BAD_NO_PICTURE : kind == SO_FILE_SOUND ? SO_BAD_NO_SOUND : SO_BAD_UNITS;
        return NULL;
    }
    s->taken[found] = true;
    return json_pack("{s:s, s:[I, I]}", "path", s->path, "at", (json_int_t)s->member[found].offset,
                     (json_int_t)s->member[found].size);
}

/* The text of the first member with one of these endings; NULL where there is none. The caller frees. */
static char *text_member(const so_tar_sample *s, const char *endings)
{
    for (int i = 0; i < s->n; i++)
        if (is_one_of(s->member[i].name, endings) && s->member[i].size <= SO_READ_LINE)
            return strndup((const char *)s->data + s->member[i].offset, (size_t)s->member[i].size);
    return NULL;
}

/* A sample without JSON: a text and a recording, or a caption and a picture. */
static so_status loose(so_reading *r, so_tar_sample *s, char *text, so_error *error)
{
    so_bad bad;
    json_t *sound = so_tar_sample_file(s, "", SO_FILE_SOUND, &bad);
    json_t *picture = sound ? NULL : so_tar_sample_file(s, "", SO_FILE_PICTURE, &bad);
    const char *body = text;
    size_t size = strlen(text);
    so_strip(&body, &size);
    if (!sound && !picture)
        return so_sink_bad(r->sink, SO_BAD_FORM, s->path, s->number, error, "'%s': a text alone", s->key);
    if (!so_utf8_valid(body, size)) {
        json_decref(sound);
        json_decref(picture);
        return so_sink_bad(r->sink, SO_BAD_UTF8, s->path, s->number, error, "'%s': its text is not UTF-8", s->key);
    }
    json_t *record = so_reading_record(r, s->key), *turn = so_reading_turn(record, "user", SO_IMAGE_TURN);
    json_t *words = json_stringn(body, size);
    if (sound) {
        json_object_set_new(turn, "text", words);
        json_object_set_new(turn, "audio", sound);
    } else {
        json_object_set_new(record, "images", json_pack("[o]", picture));
        json_object_set_new(so_reading_turn(record, "assistant", ""), "text", words);
    }
    return so_sink_put(r->sink, record, s->path, s->number, error);
}

static so_status sample(so_reading *r, so_tar_sample *s, so_error *error)
{
    json_error_t why;
    if (s->n == 0) return SO_OK;
    memset(s->taken, 0, sizeof s->taken);
    char *text = text_member(s, "json"), *words = text ? NULL : text_member(s, "txt text caption");
    so_status status;
    if (text) {
        json_t *json = json_loads(text, 0, &why);
        if (json && json_is_object(json) && !json_object_get(json, "id"))
            json_object_set_new(json, "id", json_string(s->key));
        r->sample = s;
        status =
            json ? so_read_json_record(r, json, s->path, s->number, error)
                 : so_sink_bad(r->sink, json_error_code(&why) == json_error_invalid_utf8 ? SO_BAD_UTF8 : SO_BAD_JSON,
                               s->path, s->number, error, "'%s': %s", s->key, why.text);
        r->sample = NULL;
        json_decref(json);
    } else if (words)
        status = loose(r, s, words, error);
    else
        status = so_sink_bad(r->sink, SO_BAD_FORM, s->path, s->number, error, "'%s': neither json nor txt", s->key);
    free(text);
    free(words);
    s->n = 0;
    return status;
}

static so_status member(so_reading *r, so_tar_sample *s, const so_tar_entry *e, so_error *error)
{
    size_t n = key_size(e->name);
    if (!e->file || n == 0) return SO_OK;
    if (leaves(e->name)) return so_sink_bad(r->sink, SO_BAD_PATH, s->path, s->number + 1, error, "'%s'", e->name);
    if (!so_utf8_valid(e->name, strlen(e->name)))
        return so_sink_bad(r->sink, SO_BAD_UTF8, s->path, s->number + 1, error, "a name that is not UTF-8");
    if (s->n && (strlen(s->key) != n || memcmp(s->key, e->name, n) != 0)) SO_TRY(sample(r, s, error));
    if (s->n == SO_TAR_MEMBERS)
        return so_fail(error, SO_ERR_LIMIT, "'%s': more than %d members of '%s'", s->path, SO_TAR_MEMBERS, s->key);
    if (s->n == 0) s->number++;
    snprintf(s->key, sizeof s->key, "%.*s", (int)n, e->name);
    s->member[s->n++] = *e;
    return SO_OK;
}

/* One shard. What was whole before it breaks off is used. */
static so_status shard(so_reading *r, const char *path, so_error *error)
{
    so_map map;
    so_tar_entry e;
    so_status status;
    so_error why = {0};
    SO_TRY(so_map_open(&map, path, error));
    so_tar_sample *s = calloc(1, sizeof *s);
    char *whole = realpath(path, NULL);
    if (!s || !whole) {
        free(s);
        free(whole);
        so_map_close(&map);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a shard");
    }
    so_tar tar = {.data = map.data, .size = map.size};
    s->path = whole;
    s->data = map.data;
    while (so_tar_next(&tar, &e, &status, &why) && (status = member(r, s, &e, error)) == SO_OK) continue;
    if (status != SO_OK && why.status == SO_OK) {
        /* the sink's, or a limit: told in `error` */
    } else if (status == SO_OK)
        status = sample(r, s, error);
    else /* the last sample may lack members */
        status = so_sink_bad(r->sink, why.status == SO_ERR_LIMIT ? SO_BAD_CUT : SO_BAD_FORM, path, s->number, error,
                             "%s", why.text);
    so_map_close(&map);
    free(s);
    free(whole);
    return status;
}

so_status so_read_tar(so_reading *r, so_error *error) { return shard(r, r->path, error); }
