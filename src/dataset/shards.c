/* Packing records and what they point to into tar shards.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sniff.h"
#include "dataset/readers/tar.h"
#include "dataset/views.h"

typedef struct packing {
    const so_dataset *dataset;
    so_writer writer;
    so_clips clips;
    uint64_t written; /* bytes of the shard */
    bool dry;         /* only measure */
    char key[32];
} packing;

static so_status member(packing *p, const char *field, const void *data, size_t size, so_error *error)
{
    static const char zeros[1024];
    unsigned char header[512];
    char name[64];
    p->written += 512 + size + so_tar_padding(size);
    if (p->dry) return SO_OK;
    snprintf(name, sizeof name, "%s.%s", p->key, field);
    SO_TRY(so_tar_header(header, name, size, error));
    SO_TRY(so_writer_put(&p->writer, header, sizeof header, error));
    SO_TRY(so_writer_put(&p->writer, data, size, error));
    return so_writer_put(&p->writer, zeros, so_tar_padding(size), error);
}

/* "0.jpg": by what the bytes are. */
static const char *picture_ending(const unsigned char *data, size_t size)
{
    if (size > 3 && memcmp(data, "\xff\xd8\xff", 3) == 0) return "jpg";
    if (size > 4 && memcmp(data, "\x89PNG", 4) == 0) return "png";
    if (size > 12 && memcmp(data + 8, "WEBP", 4) == 0) return "webp";
    if (size > 4 && memcmp(data, "GIF8", 4) == 0) return "gif";
    return "bmp";
}

static const char *sound_ending(const unsigned char *data, size_t size)
{
    if (size > 4 && memcmp(data, "RIFF", 4) == 0) return "wav";
    if (size > 4 && memcmp(data, "fLaC", 4) == 0) return "flac";
    if (size > 36 && memcmp(data, "OggS", 4) == 0) return memcmp(data + 28, "OpusHead", 8) == 0 ? "opus" : "ogg";
    return NULL;
}

static so_status pictures(packing *p, const so_record *r, json_t *names, so_error *error)
{
    for (int i = 0; i < r->images; i++) {
        so_map map;
        const unsigned char *data;
        size_t size;
        char field[32], name[72];
        SO_TRY(so_locator_open(&r->image[i], &map, &data, &size, error));
        snprintf(field, sizeof field, "%d.%s", i, picture_ending(data, size));
        snprintf(name, sizeof name, "%s.%s", p->key, field);
        json_array_append_new(names, json_string(name));
        so_status status = member(p, field, data, size, error);
        so_map_close(&map);
        SO_TRY(status);
    }
    return SO_OK;
}

/* A whole file as it is, where it is of a kind that others read; else its samples as FLAC. */
static so_status sound(packing *p, const so_record_turn *t, int number, char field[32], so_error *error)
{
    so_map map;
    const unsigned char *data;
    unsigned char *coded = NULL;
    size_t size;
    so_audio audio = {0};
    SO_TRY(so_locator_open(&t->audio, &map, &data, &size, error));
    const char *ending = t->begin > 0 || t->end > 0 ? NULL : sound_ending(data, size);
    so_status status = SO_OK;
    snprintf(field, 32, "t%d.%s", number, ending ? ending : "flac");
    if (ending) {
        status = member(p, field, data, size, error);
    } else {
        status = so_clips_read(&p->clips, t, &audio, error);
        if (status == SO_OK)
            status = so_audio_encode(SO_AUDIO_FLAC, audio.samples, audio.n, audio.rate, &coded, &size, error);
        if (status == SO_OK) status = member(p, field, coded, size, error);
    }
    free(coded);
    so_audio_clear(&audio);
    so_map_close(&map);
    return status;
}

static so_status speech(packing *p, const so_record_turn *t, int number, json_t *turn, so_error *error)
{
    char field[32], name[72];
    if (t->audio.path) {
        SO_TRY(sound(p, t, number, field, error));
        snprintf(name, sizeof name, "%s.%s", p->key, field);
        json_object_set_new(turn, "audio", json_pack("{s:s}", "path", name));
    }
    uint16_t *units;
    int64_t n;
    SO_TRY(so_turn_listed(t, &units, &n, error));
    so_status status = SO_OK;
    if (n) {
        snprintf(field, sizeof field, "t%d.u16", number);
        snprintf(name, sizeof name, "%s.%s", p->key, field);
        status = member(p, field, units, (size_t)n * 2, error);
        json_object_set_new(turn, "units", json_pack("{s:s}", "path", name));
    }
    free(units);
    return status;
}

/* The members of a record; its JSON, with their names in it, is the last. */
static so_status record(packing *p, int64_t i, so_error *error)
{
    so_record r;
    SO_TRY(so_dataset_read(p->dataset, i, &r, error));
    json_t *json = json_deep_copy(r.json), *names = json_array(), *turns = json_object_get(json, "turns");
    snprintf(p->key, sizeof p->key, "%09lld", (long long)i);
    so_status status = pictures(p, &r, names, error);
    for (int k = 0; k < r.turns && status == SO_OK; k++)
        status = speech(p, &r.turn[k], k, json_array_get(turns, (size_t)k), error);
    if (r.images) json_object_set(json, "images", names);
    json_decref(names);
    char *text = status == SO_OK ? json_dumps(json, JSON_COMPACT) : NULL;
    if (status == SO_OK)
        status = text ? member(p, "json", text, strlen(text), error)
                      : so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    free(text);
    json_decref(json);
    so_record_clear(&r);
    return status;
}

/* How many records, from the first, make one shard. */
static so_status plan(packing *p, int64_t from, uint64_t most, int64_t *end, so_error *error)
{
    p->dry = true;
    p->written = 1024;
    for (*end = from; *end < p->dataset->count && p->written <= most; (*end)++) SO_TRY(record(p, *end, error));
    if (p->written > most && *end > from + 1) (*end)--;
    p->dry = false;
    return SO_OK;
}

static so_status shard(packing *p, const char *path, int64_t from, int64_t end, so_error *error)
{
    static const char zeros[1024];
    if (access(path, F_OK) == 0) return SO_OK;
    SO_TRY(so_writer_open(&p->writer, path, error));
    so_status status = SO_OK;
    for (int64_t i = from; i < end && status == SO_OK; i++) status = record(p, i, error);
    if (status == SO_OK) status = so_writer_put(&p->writer, zeros, sizeof zeros, error);
    if (status == SO_OK) status = so_writer_commit(&p->writer, error);
    so_writer_drop(&p->writer);
    return status;
}

so_status so_dataset_shard(const so_dataset *d, const char *folder, const so_shard_options *options, int64_t *shards,
                           so_error *error)
{
    const so_shard_options o = options ? *options : (so_shard_options){0};
    packing p = {.dataset = d};
    so_status status = so_make_folder(folder, error);
    int64_t n = 0;
    for (int64_t from = 0, end; from < d->count && status == SO_OK; from = end, n++) {
        char path[4096];
        snprintf(path, sizeof path, "%.4000s/part-%06lld.tar", folder, (long long)n);
        status = plan(&p, from, o.bytes ? o.bytes : (uint64_t)1 << 30, &end, error);
        if (status != SO_OK) break;
        status = shard(&p, path, from, end, error);
        if (o.progress) o.progress(o.context, end);
        if (status == SO_OK && o.stop && *o.stop) status = so_fail(error, SO_ERR_STOPPED, "stopped");
    }
    so_clips_clear(&p.clips);
    if (shards) *shards = n;
    return status;
}
