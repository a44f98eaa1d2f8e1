/* Speech to units, once for all training.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/part.h"
#include "dataset/readers/readers.h"
#include "dataset/views.h"

/* What was made so far: units one after another, and a line "record turn count" for each turn. */
typedef struct making {
    const so_dataset *dataset;
    const so_unit_options *o;
    so_part units, log;
    so_clips clips;
    int64_t record; /* first that is not done */
    int64_t failed;
} making;

typedef struct done_turn {
    int64_t record, turn, count;
} done_turn;

static bool next_done(const char **at, const char *end, done_turn *out)
{
    char *rest;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    if (!stop) return false;
    out->record = strtoll(*at, &rest, 10);
    out->turn = strtoll(rest, &rest, 10);
    out->count = strtoll(rest, &rest, 10);
    *at = stop + 1;
    return *rest == '\n' && out->record >= 0 && out->turn >= -1 && out->count >= 0;
}

/* Goes back to the last record whose line "record -1 0" says that it is whole. */
static so_status go_on(making *m, so_error *error)
{
    char *data = NULL;
    size_t size = 0;
    uint64_t log = 0, units = 0, all = 0;
    if (m->log.size) SO_TRY(so_file_read(m->log.part, (size_t)16 << 30, &data, &size, error));
    done_turn t;
    const char *at = data;
    if (size > m->log.size) size = (size_t)m->log.size;
    while (data && next_done(&at, data + size, &t)) {
        all += (uint64_t)t.count * 2;
        if (all > m->units.size) break;
        if (t.turn >= 0) continue;
        m->record = t.record + 1;
        units = all;
        log = (uint64_t)(at - data);
    }
    free(data);
    SO_TRY(so_part_cut(&m->log, log, error));
    return so_part_cut(&m->units, units, error);
}

static so_status note(making *m, int64_t record, int turn, int64_t count, so_error *error)
{
    char line[96];
    int n = snprintf(line, sizeof line, "%" PRId64 " %d %" PRId64 "\n", record, turn, count);
    return so_part_put(&m->log, line, (size_t)n, error);
}

/* A turn that cannot be read keeps no units: the records that are written later leave it out, and count it. */
static so_status turn(making *m, const so_record_turn *t, int64_t record, int number, so_error *error)
{
    so_audio audio;
    int32_t *ids = NULL;
    int64_t n = 0;
    so_error why;
    bool has = t->units.path || t->listed;
    if (!t->audio.path || (has && !m->o->again)) return SO_OK;
    if (so_clips_read(&m->clips, t, &audio, &why) != SO_OK) {
        m->failed++;
        return SO_OK;
    }
    so_status status = m->o->tokenise(m->o->tokeniser, audio.samples, audio.n, audio.rate, &ids, &n, error);
    so_audio_clear(&audio);
    if (status != SO_OK) return status;
    for (int64_t i = 0; i < n && status == SO_OK; i++) {
        unsigned char pair[2] = {(unsigned char)(ids[i] & 255), (unsigned char)(ids[i] >> 8 & 255)};
        status = so_part_put(&m->units, pair, 2, error);
    }
    free(ids);
    return status == SO_OK ? note(m, record, number, n, error) : status;
}

static so_status make_all(making *m, so_error *error)
{
    for (; m->record < m->dataset->count; m->record++) {
        so_record r;
        SO_TRY(so_dataset_read(m->dataset, m->record, &r, error));
        so_status status = SO_OK;
        for (int i = 0; i < r.turns && status == SO_OK; i++) status = turn(m, &r.turn[i], m->record, i, error);
        so_record_clear(&r);
        if (status == SO_OK) status = note(m, m->record, -1, 0, error);
        if (status == SO_OK && m->record % 64 == 63) {
            status = so_part_sync(&m->units, error); /* first: the log must not tell of units that are not there */
            if (status == SO_OK) status = so_part_sync(&m->log, error);
        }
        SO_TRY(status);
        if (m->o->progress) m->o->progress(m->o->context, m->record + 1, m->dataset->count);
        if (m->o->stop && *m->o->stop) return so_fail(error, SO_ERR_STOPPED, "stopped; started again it goes on");
    }
    SO_TRY(so_part_sync(&m->units, error));
    return so_part_sync(&m->log, error);
}

/* ---- the records again, with units */

/* Absolute paths, since the new folder is another one. */
static void settle(json_t *json, const so_locator *at)
{
    if (json_is_object(json)) json_object_set_new(json, "path", json_string(at->path));
}

static so_status rewrite(so_sink *sink, const so_dataset *d, const char *folder, const char *log, size_t size,
                         so_error *error)
{
    const char *at = log;
    uint64_t offset = 0;
    char name[4096];
    snprintf(name, sizeof name, "%.4000s/records.jsonl", folder);
    for (int64_t i = 0; i < d->count; i++) {
        so_record r;
        done_turn t;
        SO_TRY(so_dataset_read(d, i, &r, error));
        json_t *json = json_deep_copy(r.json), *turns = json_object_get(json, "turns"),
               *images = json_object_get(json, "images");
        for (int k = 0; k < r.images; k++) {
            json_t *image = json_array_get(images, (size_t)k);
            if (json_is_string(image)) json_array_set_new(images, (size_t)k, json_string(r.image[k].path));
            settle(image, &r.image[k]);
        }
        for (int k = 0; k < r.turns; k++) {
            json_t *one = json_array_get(turns, (size_t)k);
            settle(json_object_get(one, "audio"), &r.turn[k].audio);
            settle(json_object_get(one, "units"), &r.turn[k].units);
        }
        while (next_done(&at, log + size, &t) && t.turn >= 0) {
            json_object_set_new(
                json_array_get(turns, (size_t)t.turn), "units",
                json_pack("{s:s, s:[I, I]}", "path", "units.u16", "at", (json_int_t)offset, (json_int_t)t.count * 2));
            offset += (uint64_t)t.count * 2;
        }
        so_record_clear(&r);
        SO_TRY(so_sink_put(sink, json, name, i + 1, error));
    }
    return SO_OK;
}

static so_status write_records(const so_dataset *d, const char *folder, const char *log_path, so_sink_counts *counts,
                               so_error *error)
{
    so_sink *sink = NULL;
    char *log = NULL;
    size_t size;
    const so_sink_options options = {.least_s = 1e-9, .most_s = 1e6, .lax = true};
    SO_TRY(so_file_read(log_path, (size_t)16 << 30, &log, &size, error));
    json_t *about = json_pack("[{s:s, s:s}]", "units_of", d->identity, "log", "units.log");
    so_status status = so_sink_open(&sink, folder, &options, error);
    if (status == SO_OK) status = rewrite(sink, d, folder, log, size, error);
    if (status == SO_OK) status = so_sink_commit(sink, about, error);
    if (status == SO_OK && counts) *counts = *so_sink_counts_of(sink);
    so_sink_close(&sink);
    json_decref(about);
    free(log);
    return status;
}

so_status so_dataset_units(const so_dataset *d, const char *folder, const so_unit_options *options,
                           so_sink_counts *counts, so_error *error)
{
    making m = {.dataset = d, .o = options};
    char units[4096], log[4096], identity[512];
    if (strlen(folder) > 4000) return so_fail(error, SO_ERR_LIMIT, "the folder's path is too long");
    snprintf(units, sizeof units, "%s/units.u16", folder);
    snprintf(log, sizeof log, "%s/units.log", folder);
    snprintf(identity, sizeof identity, "stream-omni units %s %.300s", d->identity, options->identity);
    SO_TRY(so_make_folder(folder, error));
    so_status status = so_part_open(&m.units, units, identity, error);
    if (status == SO_OK) status = so_part_open(&m.log, log, identity, error);
    if (status == SO_OK) status = go_on(&m, error);
    if (status == SO_OK) status = make_all(&m, error);
    so_clips_clear(&m.clips);
    if (status == SO_OK) status = so_part_commit(&m.units, error);
    if (status == SO_OK) status = so_part_commit(&m.log, error);
    so_part_close(&m.units);
    so_part_close(&m.log);
    return status == SO_OK ? write_records(d, folder, log, counts, error) : status;
}
