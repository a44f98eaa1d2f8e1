/* Looking at every record again, deep.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "dataset/inspect_record.h"
#include "dataset/views.h"

enum { BATCH = 64 };

typedef struct checking {
    const so_dataset *dataset;
    so_sink_options options;
    int64_t from;
    so_inspected found[BATCH];
    char id[BATCH][80];
} checking;

static json_t *place(const so_locator *at)
{
    if (!at->size) return json_string(at->path);
    return json_pack("{s:s, s:[I, I]}", "path", at->path, "at", (json_int_t)at->offset, (json_int_t)at->size);
}

/* The record as readers give them, its paths resolved. */
static json_t *as_given(const so_record *r)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    json_t *turns = json_array(), *images = json_array();
    for (int i = 0; i < r->images; i++) json_array_append_new(images, place(&r->image[i]));
    for (int i = 0; i < r->turns; i++) {
        const so_record_turn *t = &r->turn[i];
        json_t *turn = json_pack("{s:s, s:s}", "role", roles[t->role], "text", t->text), *audio = NULL;
        if (t->seconds > 0) json_object_set_new(turn, "seconds", json_real(t->seconds));
        if (t->audio.path)
            audio = json_pack("{s:s, s:f, s:f}", "path", t->audio.path, "begin", t->begin, "end", t->end);
        if (t->audio.size)
            json_object_set_new(audio, "at",
                                json_pack("[I, I]", (json_int_t)t->audio.offset, (json_int_t)t->audio.size));
        if (audio) json_object_set_new(turn, "audio", audio);
        if (t->units.path) json_object_set_new(turn, "units", place(&t->units));
        json_array_append_new(turns, turn);
    }
    return json_pack("{s:o, s:o}", "turns", turns, "images", images);
}

static void tell(so_inspected *out, so_bad reason, const char *what)
{
    out->bad = reason;
    out->what = strdup(what);
}

static void one(void *context, int64_t k, int thread)
{
    checking *c = context;
    so_inspected *out = &c->found[k];
    so_record record;
    so_error error = {0};
    uint16_t *units;
    int64_t n;
    (void)thread;
    *out = (so_inspected){0};
    c->id[k][0] = 0;
    if (so_dataset_read(c->dataset, c->from + k, &record, &error) != SO_OK) {
        tell(out, SO_BAD_FORM, error.text);
        return;
    }
    snprintf(c->id[k], sizeof c->id[k], "%s", record.id);
    json_t *json = as_given(&record);
    so_inspect_record(json, &c->options, out);
    for (int i = 0; i < record.turns && !out->bad; i++) {
        if (so_turn_listed(&record.turn[i], &units, &n, &error) != SO_OK) tell(out, SO_BAD_UNITS, error.text);
        free(units);
    }
    json_decref(json);
    so_record_clear(&record);
}

so_status so_dataset_check(const so_dataset *d, const so_sink_options *options, so_check_fn each, void *context,
                           int64_t *bad, so_error *error)
{
    so_pool *pool = NULL;
    *bad = 0;
    SO_TRY(so_dataset_verify(d, error));
    checking *c = calloc(1, sizeof *c);
    if (!c) return so_fail(error, SO_ERR_NOMEM, "no memory to check records");
    c->dataset = d;
    c->options = *options;
    c->options.deep = true;
    if (c->options.least_s <= 0) c->options.least_s = 0.1;
    if (c->options.most_s <= 0) c->options.most_s = 60;
    so_status status = so_pool_open(&pool, options->threads, error);
    for (; c->from < d->count && status == SO_OK; c->from += BATCH) {
        int64_t n = d->count - c->from < BATCH ? d->count - c->from : BATCH;
        so_pool_for(pool, n, one, c);
        for (int64_t k = 0; k < n; k++) {
            *bad += c->found[k].bad != SO_BAD_NONE;
            if (c->found[k].bad) each(context, c->from + k, c->id[k], c->found[k].bad, c->found[k].what);
            free(c->found[k].what);
        }
        if (options->progress) options->progress(options->context, c->from + n);
        if (options->stop && *options->stop) status = so_fail(error, SO_ERR_STOPPED, "stopped");
    }
    so_pool_close(&pool);
    free(c);
    return status;
}
