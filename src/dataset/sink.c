/* Writing records, their index, and what was left out.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/sink.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/lock.h"
#include "base/plain.h"
#include "base/pool.h"
#include "base/sha.h"
#include "dataset/dataset.h"
#include "dataset/inspect_record.h"

enum { BATCH = 64 };

/* One thing that a reader gave, in its turn. */
typedef struct given_record {
    json_t *json;
    char *file, *what; /* what: of those without a record */
    int64_t number;
    so_inspected found;
} given_record;

struct so_sink {
    so_sink_options options;
    so_pool *pool;
    so_lock lock;
    char *folder;
    so_writer records, index, bad;
    so_sha sha;
    so_sink_counts counts;
    uint64_t offset;
    given_record waiting[BATCH];
    int held;
    uint64_t *ids; /* hashes of ids met: open addressing, 0 for empty */
    size_t slots, used;
};

const char *so_bad_name(so_bad bad)
{
    static const char *const names[SO_BADS] = {"fine",
                                               "not JSON",
                                               "line too long",
                                               "not UTF-8",
                                               "unknown form",
                                               "roles",
                                               "empty",
                                               "placeholders",
                                               "text too long",
                                               "path outside",
                                               "picture missing",
                                               "picture broken",
                                               "recording missing",
                                               "recording broken",
                                               "duration",
                                               "units",
                                               "no transcript",
                                               "command",
                                               "cut off"};
    return names[bad];
}

const char *so_odd_name(so_odd odd)
{
    static const char *const names[SO_ODDS] = {"other ending", "id met before", "first turn not the user's",
                                               "placeholder added", "units of another codec"};
    return names[odd];
}

static so_status open_files(so_sink *s, const char *folder, so_error *error)
{
    char path[4096];
    so_index_head head = {{0}};
    if (strlen(folder) > 4000) return so_fail(error, SO_ERR_LIMIT, "the folder's path is too long");
    SO_TRY(so_make_folder(folder, error));
    snprintf(path, sizeof path, "%s/.lock", folder);
    SO_TRY(so_lock_take(&s->lock, path, "the dataset", error));
    snprintf(path, sizeof path, "%s/records.jsonl", folder);
    SO_TRY(so_writer_open(&s->records, path, error));
    snprintf(path, sizeof path, "%s/records.idx", folder);
    SO_TRY(so_writer_open(&s->index, path, error));
    snprintf(path, sizeof path, "%s/bad.jsonl", folder);
    SO_TRY(so_writer_open(&s->bad, path, error));
    return so_writer_put(&s->index, &head, sizeof head, error);
}

so_status so_sink_open(so_sink **out, const char *folder, const so_sink_options *options, so_error *error)
{
    *out = NULL;
    so_sink *s = calloc(1, sizeof *s);
    if (!s || !(s->folder = strdup(folder))) {
        free(s);
        return so_fail(error, SO_ERR_NOMEM, "no memory to write a dataset");
    }
    if (options) s->options = *options;
    if (s->options.least_s <= 0) s->options.least_s = 0.1;
    if (s->options.most_s <= 0) s->options.most_s = 60;
    so_sha_init(&s->sha, SO_SHA256);
    so_status status = so_pool_open(&s->pool, s->options.threads, error);
    if (status == SO_OK) status = open_files(s, folder, error);
    if (status == SO_OK)
        *out = s;
    else
        so_sink_close(&s);
    return status;
}

static void forget(given_record *g)
{
    json_decref(g->json);
    free(g->file);
    free(g->what);
    free(g->found.what);
    *g = (given_record){0};
}

void so_sink_close(so_sink **sink)
{
    if (!sink || !*sink) return;
    so_sink *s = *sink;
    for (int i = 0; i < s->held; i++) forget(&s->waiting[i]);
    so_writer_drop(&s->records);
    so_writer_drop(&s->index);
    so_writer_drop(&s->bad);
    so_lock_release(&s->lock);
    so_pool_close(&s->pool);
    free(s->ids);
    free(s->folder);
    free(s);
    *sink = NULL;
}

/* ---- ids that were met */

static uint64_t hash_of(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h ? h : 1;
}

static bool insert(uint64_t *slots, size_t n, uint64_t h)
{
    size_t at = (size_t)(h * 0x9e3779b97f4a7c15u >> 17) & (n - 1);
    while (slots[at] && slots[at] != h) at = (at + 1) & (n - 1);
    bool new_one = !slots[at];
    slots[at] = h;
    return new_one;
}

/* Counts an id that was there before. */
static so_status meet(so_sink *s, const char *id, so_error *error)
{
    if (s->used * 2 >= s->slots) {
        size_t n = s->slots ? s->slots * 2 : 1024;
        uint64_t *slots = calloc(n, sizeof *slots);
        if (!slots) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu ids", n);
        for (size_t i = 0; i < s->slots; i++)
            if (s->ids[i]) insert(slots, n, s->ids[i]);
        free(s->ids);
        s->ids = slots;
        s->slots = n;
    }
    if (insert(s->ids, s->slots, hash_of(id)))
        s->used++;
    else
        s->counts.odd[SO_ODD_TWICE]++;
    return SO_OK;
}

/* ---- writing */

static so_status write_json(so_writer *writer, json_t *json, so_sha *sha, size_t *size, so_error *error)
{
    char *line = json_dumps(json, JSON_COMPACT);
    if (!line) return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    *size = strlen(line);
    line[*size] = '\n';
    *size += 1;
    so_status status = so_writer_put(writer, line, *size, error);
    if (sha) so_sha_feed(sha, line, *size);
    free(line);
    return status;
}

static so_status write_bad(so_sink *s, const given_record *g, so_bad reason, const char *what, so_error *error)
{
    size_t size;
    const json_t *id = json_object_get(g->json, "id");
    s->counts.bad[reason]++;
    s->counts.all_bad++;
    json_t *line = json_pack("{s:s, s:s, s:I, s:O*, s:s}", "reason", so_bad_name(reason), "file", g->file, "record",
                             (json_int_t)g->number, "id", json_is_string(id) ? id : NULL, "what", what ? what : "");
    if (!line) line = json_pack("{s:s, s:I}", "reason", so_bad_name(reason), "record", (json_int_t)g->number);
    if (!line) return so_fail(error, SO_ERR_NOMEM, "no memory to tell of a bad record");
    so_status status = write_json(&s->bad, line, NULL, &size, error);
    json_decref(line);
    return status;
}

static so_status write_record(so_sink *s, given_record *g, so_error *error)
{
    so_sink_counts *c = &s->counts;
    so_lengths *l = &g->found.lengths;
    char name[40];
    size_t size;
    const char *id = json_string_value(json_object_get(g->json, "id"));
    if (!id || !id[0]) {
        snprintf(name, sizeof name, "%lld", (long long)c->records);
        if (json_object_set_new(g->json, "id", json_string(name)) != 0)
            return so_fail(error, SO_ERR_NOMEM, "no memory for an id");
    } else
        SO_TRY(meet(s, id, error));
    l->offset = s->offset;
    SO_TRY(write_json(&s->records, g->json, &s->sha, &size, error));
    if (size > UINT32_MAX) return so_fail(error, SO_ERR_LIMIT, "a record of %zu bytes", size);
    l->bytes = (uint32_t)size;
    s->offset += size;
    c->records++;
    c->turns += l->turns;
    c->images += l->images;
    c->units += l->units;
    c->text += l->text;
    c->seconds += l->ms / 1e3;
    for (int i = 0; i < SO_ODDS; i++) c->odd[i] += g->found.odd[i];
    return so_writer_put(&s->index, l, sizeof *l, error);
}

static void inspect(void *context, int64_t i, int thread)
{
    so_sink *s = context;
    given_record *g = &s->waiting[i];
    (void)thread;
    if (g->json && !g->found.bad) so_inspect_record(g->json, &s->options, &g->found);
}

static so_status flush(so_sink *s, so_error *error)
{
    so_status status = SO_OK;
    so_pool_for(s->pool, s->held, inspect, s);
    for (int i = 0; i < s->held; i++) {
        given_record *g = &s->waiting[i];
        if (status == SO_OK && g->found.bad)
            status = write_bad(s, g, g->found.bad, g->what ? g->what : g->found.what, error);
        else if (status == SO_OK)
            status = write_record(s, g, error);
        forget(g);
    }
    s->held = 0;
    if (s->options.progress) s->options.progress(s->options.context, s->counts.records);
    if (status == SO_OK && s->options.stop && *s->options.stop) status = so_fail(error, SO_ERR_STOPPED, "stopped");
    return status;
}

/* Takes over `json` and `what`. */
static so_status add(so_sink *s, given_record g, const char *file, int64_t number, so_error *error)
{
    g.file = strdup(file);
    g.number = number;
    if (!g.file) {
        forget(&g);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    }
    s->waiting[s->held++] = g;
    return s->held == BATCH ? flush(s, error) : SO_OK;
}

so_status so_sink_put(so_sink *s, json_t *record, const char *file, int64_t number, so_error *error)
{
    if (!record) return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    return add(s, (given_record){.json = record}, file, number, error);
}

so_status so_sink_bad(so_sink *s, so_bad reason, const char *file, int64_t number, so_error *error, const char *format,
                      ...)
{
    given_record g = {.found = {.bad = reason}};
    char text[512], plain[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!(g.what = strdup(so_plain(plain, sizeof plain, text, strlen(text), false))))
        return so_fail(error, SO_ERR_NOMEM, "no memory to tell of a bad record");
    return add(s, g, file, number, error);
}

void so_sink_odd(so_sink *s, so_odd odd) { s->counts.odd[odd]++; }
const so_sink_counts *so_sink_counts_of(const so_sink *s) { return &s->counts; }

static json_t *counted(const int64_t *counts, int n, const char *(*name)(int))
{
    json_t *object = json_object();
    for (int i = 0; i < n; i++)
        if (counts[i]) json_object_set_new(object, name(i), json_integer(counts[i]));
    return object;
}
static const char *bad_name(int i) { return so_bad_name((so_bad)i); }
static const char *odd_name(int i) { return so_odd_name((so_odd)i); }

static so_status write_about(so_sink *s, const json_t *about, so_error *error)
{
    const so_sink_counts *c = &s->counts;
    char path[4096];
    json_t *json =
        json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:o, s:o, s:O*}", "format", "stream-omni dataset",
                  "version", 1, "identity", c->identity, "records", c->records, "turns", c->turns, "images", c->images,
                  "units", c->units, "seconds", c->seconds, "text_bytes", c->text, "left_out",
                  counted(c->bad, SO_BADS, bad_name), "notes", counted(c->odd, SO_ODDS, odd_name), "sources", about);
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for dataset.json");
    snprintf(path, sizeof path, "%s/dataset.json", s->folder);
    so_status status = so_file_write(path, text, strlen(text), error);
    free(text);
    return status;
}

so_status so_sink_commit(so_sink *s, const json_t *about, so_error *error)
{
    so_index_head head = {.magic = SO_INDEX_MAGIC};
    SO_TRY(flush(s, error));
    so_sha_end(&s->sha, s->counts.identity);
    head.count = (uint64_t)s->counts.records;
    memcpy(head.hash, s->counts.identity, sizeof head.hash);
    SO_TRY(so_writer_patch(&s->index, 0, &head, sizeof head, error));
    SO_TRY(so_writer_commit(&s->bad, error));
    SO_TRY(so_writer_commit(&s->records, error));
    SO_TRY(so_writer_commit(&s->index, error));
    return write_about(s, about, error);
}
