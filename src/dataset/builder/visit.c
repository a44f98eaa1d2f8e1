/* SpokenVisIT out of VisIT-Bench's table.
 * Source: data-eval.md C.1.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/names.h"
#include "base/rng.h"
#include "dataset/builder/instruct.h"
#include "text/rows.h"

enum { ID, IMAGE, INSTRUCTION, CAPTION, CATEGORY, COLUMNS };

static so_status columns(so_rows *rows, int at[COLUMNS], const char *csv, so_error *error)
{
    static const char *const names[COLUMNS][3] = {
        {"id", "instruction_id"},
        {"image", "image_name"},
        {"instruction", "prompt"},
        {"instruction-conditioned caption", "image_dense_captions", "caption"},
        {"instruction_category", "category"}};
    so_status status;
    bool more = so_rows_next(rows, 16 << 20, &status, error);
    for (int c = 0; c < COLUMNS; c++) {
        at[c] = -1;
        for (int k = 0; k < 3 && more && at[c] < 0; k++) at[c] = names[c][k] ? so_rows_find(rows, names[c][k]) : -1;
    }
    if (status == SO_OK && (at[IMAGE] < 0 || at[INSTRUCTION] < 0))
        return so_fail(error, SO_ERR_FORMAT, "'%s': no columns image and instruction", csv);
    return status;
}

/* The base name: VisIT names pictures by URL or path. */
static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static so_status row(const so_visit_options *o, const so_rows *rows, const int at[COLUMNS], const char *id,
                     int64_t number, so_writer *out, so_error *error)
{
    char path[4096], speech[64];
    float *x;
    int64_t n;
    so_rng rng;
    snprintf(speech, sizeof speech, "%04lld.wav", (long long)number);
    snprintf(path, sizeof path, "%.3900s/speech/%s", o->folder, speech);
    so_rng_init(&rng, o->seed, (uint64_t)number);
    int who = (int)so_rng_below(&rng, so_speakers_count(o->speakers));
    if (access(path, R_OK) != 0) {
        SO_TRY(so_speakers_speak(o->speakers, who, so_rows_field(rows, at[INSTRUCTION]), o->seed + (uint64_t)number, &x,
                                 &n, error));
        so_instruct_level(x, &n, SO_SPEAKER_RATE);
        so_status wrote = so_audio_write(path, SO_AUDIO_WAV_S16, x, n, SO_SPEAKER_RATE, error);
        free(x);
        SO_TRY(wrote);
    }
    const so_speaker *speaker = so_speakers_at(o->speakers, who);
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s+++}", "id", id, "image", base_of(so_rows_field(rows, at[IMAGE])),
                  "instruction", so_rows_field(rows, at[INSTRUCTION]), "speech", speech, "caption",
                  so_rows_field(rows, at[CAPTION]), "category", so_rows_field(rows, at[CATEGORY]), "voice",
                  speaker->engine, ":", speaker->voice, "");
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (!text) return so_fail(error, SO_ERR_FORMAT, "row %lld is not UTF-8", (long long)number);
    so_status status = so_writer_put(out, text, strlen(text), error);
    if (status == SO_OK) status = so_writer_put(out, "\n", 1, error);
    free(text);
    return status;
}

/* Ids of a file, one a line, that live as long as *data. */
static so_status load_ids(const char *path, so_names *ids, char **data, so_error *error)
{
    size_t size;
    char *save = NULL;
    *data = NULL;
    if (!path) return SO_OK;
    SO_TRY(so_file_read(path, 16 << 20, data, &size, error));
    for (char *line = strtok_r(*data, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
        if (so_names_find(ids, so_span_of(line)) < 0) SO_TRY(so_names_add(ids, so_span_of(line), error));
    return SO_OK;
}

so_status so_visit_build(const so_visit_options *o, int64_t *made, int64_t *left, so_error *error)
{
    so_map map;
    so_names leave = {0};
    char *ids = NULL, path[4096], id[256];
    so_writer out = {0};
    int at[COLUMNS];
    *made = *left = 0;
    if (so_speakers_count(o->speakers) == 0) return so_fail(error, SO_ERR_MISSING, "nobody can speak here");
    snprintf(path, sizeof path, "%.4000s/speech", o->folder);
    SO_TRY(so_make_folder(path, error));
    SO_TRY(so_map_open(&map, o->csv, error));
    so_rows rows = {
        .at = (const char *)map.data, .end = (const char *)map.data + map.size, .separator = ',', .quoted = true};
    so_status status = load_ids(o->leave, &leave, &ids, error);
    if (status == SO_OK) status = columns(&rows, at, o->csv, error);
    snprintf(path, sizeof path, "%.4000s/VisIT_speech.jsonl", o->folder);
    if (status == SO_OK) status = so_writer_open(&out, path, error);
    for (int64_t number = 0; status == SO_OK && so_rows_next(&rows, 16 << 20, &status, error); number++) {
        snprintf(id, sizeof id, "%s", so_rows_field(&rows, at[ID]));
        if (!id[0]) snprintf(id, sizeof id, "v-%03lld", (long long)number);
        if (so_names_find(&leave, so_span_of(id)) >= 0 || !so_rows_field(&rows, at[INSTRUCTION])[0]) {
            ++*left;
            continue;
        }
        status = row(o, &rows, at, id, number, &out, error);
        *made += status == SO_OK;
        if (status == SO_OK && o->stop && *o->stop)
            status = so_fail(error, SO_ERR_STOPPED, "stopped; started again it goes on");
    }
    if (status == SO_OK) status = so_writer_commit(&out, error);
    so_writer_drop(&out);
    so_rows_clear(&rows);
    so_names_clear(&leave);
    free(ids);
    so_map_close(&map);
    return status;
}
