/* The recipe's spoken corpus as a dataset.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "recipes/tabletop/tt_dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sha.h"

enum { QUESTION_RATE = 16000, ANSWER_RATE = 22050 };

typedef struct spoken {
    const so_tt *tt;
    const so_tt_units_file *units; /* NULL: none */
    int64_t from, items;
    so_lengths *lengths;
    char *folder;               /* of an own recipe, or NULL */
    so_tt own;                  /* open where there is a folder */
    so_tt_units_file own_units; /* likewise */
} spoken;

/* Units of an item's question in one of its voices. */
static const uint16_t *question_units(const spoken *s, int64_t item, int64_t voice, int64_t *n)
{
    const so_tt_spoken *u = &s->units->item[item];
    *n = voice ? u->d_count[voice - 1] : u->q_count;
    return s->units->unit + (voice ? u->d_at[voice - 1] : u->q_at);
}

/* The question as it is written, behind its picture, and as it is heard. */
static so_status put_question(const spoken *s, const so_tt_item *item, so_record *r, so_error *error)
{
    bool sees = item->scene != SO_TABLETOP_NO_SCENE;
    so_string heard = {0};
    /* Which words are tokens is known when the vocabulary is made. */
    so_status status = s->tt->tokenizer ? so_tt_heard_text(s->tt, item->question, &heard, error)
                                        : so_string_put(&heard, item->question, error);
    char *text = so_record_take(r, sizeof item->question + 16), *say = so_record_take(r, heard.size + 1);
    if (status == SO_OK && (!text || !say)) status = so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    if (status == SO_OK) {
        snprintf(text, sizeof item->question + 16, "%s%s", sees ? "<image>\n" : "", item->question);
        if (heard.size) memcpy(say, heard.data, heard.size);
        r->turn[0] = (so_record_turn){.role = SO_ROLE_USER,
                                      .text = text,
                                      .say = say,
                                      .speaker = item->speaker,
                                      .kind = so_tabletop_kind_name((int)item->kind),
                                      .samples = s->tt->corpus.q + item->q_at,
                                      .n_samples = item->q_count,
                                      .rate = QUESTION_RATE,
                                      .phones = item->q_phone,
                                      .n_phones = item->q_phones};
        if (sees) status = so_record_scene(r, &r->image[0], item->scene, error);
    }
    so_string_clear(&heard);
    return status;
}

static so_status read_spoken(const so_dataset *d, int64_t i, so_record *out, so_error *error)
{
    const spoken *s = d->own;
    int64_t voice = i / s->items, at = s->from + i % s->items;
    const so_tt_item *item = &s->tt->corpus.item[at];
    char id[60];
    snprintf(id, sizeof id, "item-%lld.%lld", (long long)at, (long long)voice);
    SO_TRY(so_record_make(out, id, 2, item->scene != SO_TABLETOP_NO_SCENE, error));
    so_status status = put_question(s, item, out, error);
    if (status != SO_OK) {
        so_record_clear(out);
        return status;
    }
    out->source = "tabletop";
    out->lang = item->language[0] ? item->language : "en";
    out->turn[1] = (so_record_turn){.role = SO_ROLE_ASSISTANT,
                                    .text = item->answer,
                                    .samples = s->tt->corpus.a + item->a_at,
                                    .n_samples = item->a_count,
                                    .rate = ANSWER_RATE,
                                    .phones = item->a_phone,
                                    .n_phones = item->a_phones};
    if (!s->units) return SO_OK;
    const so_tt_spoken *u = &s->units->item[at];
    out->turn[0].listed = question_units(s, at, voice, &out->turn[0].n_listed);
    if (!u->a_count) return SO_OK; /* a question that is only heard */
    out->turn[1].listed = s->units->unit + u->a_at;
    out->turn[1].n_listed = u->a_count;
    return SO_OK;
}

static bool answers_spoken(const so_dataset *d, int64_t i)
{
    const spoken *s = d->own;
    return s->tt->corpus.item[s->from + i % s->items].a_count > 0;
}

static void close_spoken(so_dataset *d)
{
    spoken *s = d->own;
    if (s && s->folder) {
        so_tt_units_close(&s->own_units);
        so_tt_close(&s->own);
        free(s->folder);
    }
    if (s) free(s->lengths);
    free(s);
    free(d);
}

static so_status measure(so_dataset *d, spoken *s, so_error *error)
{
    s->lengths = calloc((size_t)d->count + 1, sizeof *s->lengths);
    if (!s->lengths) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld records", (long long)d->count);
    for (int64_t i = 0; i < d->count; i++) {
        int64_t at = s->from + i % s->items, units = 0;
        const so_tt_item *item = &s->tt->corpus.item[at];
        if (s->units) question_units(s, at, i / s->items, &units);
        if (s->units) units += s->units->item[at].a_count;
        s->lengths[i] =
            (so_lengths){.text = (uint32_t)(strlen(item->question) + strlen(item->answer)),
                         .units = (uint32_t)units,
                         .ms = (uint32_t)(item->q_count * 1000 / QUESTION_RATE + item->a_count * 1000 / ANSWER_RATE),
                         .turns = 2,
                         .images = item->scene != SO_TABLETOP_NO_SCENE,
                         .answers = (uint32_t)strlen(item->answer)};
    }
    d->lengths = s->lengths;
    return SO_OK;
}

/* The hash of what records are made of; of the samples, which are large, where they lie and how many there are. */
static void hash_of(const spoken *s, char hex[65])
{
    const so_tt_corpus *c = &s->tt->corpus;
    so_sha sha;
    char text[100];
    so_sha_init(&sha, SO_SHA256);
    so_sha_feed(&sha, c->item + s->from, (size_t)s->items * sizeof *c->item);
    if (s->units) {
        so_sha_feed(&sha, s->units->item + s->from, (size_t)s->items * sizeof *s->units->item);
        so_sha_feed(&sha, s->units->unit, s->units->unit_map.size);
    }
    int n = snprintf(text, sizeof text, "%zu %zu", c->q_map.size, c->a_map.size);
    so_sha_feed(&sha, text, (size_t)n);
    so_sha_end(&sha, hex);
}

static so_status verify_spoken(const so_dataset *d, so_error *error)
{
    const spoken *s = d->own;
    char hex[65];
    hash_of(s, hex);
    if (strcmp(hex, d->identity) == 0) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "corpus and units of '%s' were changed while they were read", s->tt->folder);
}

static so_status make(so_dataset **out, spoken *s, so_error *error)
{
    so_dataset *d = calloc(1, sizeof *d);
    if (!d) return so_fail(error, SO_ERR_NOMEM, "no memory for a dataset");
    d->count = s->items * (s->units ? 1 + SO_TT_DISGUISES : 1);
    d->own = s;
    d->read = read_spoken;
    d->answers = answers_spoken;
    d->verify = verify_spoken;
    d->close = close_spoken;
    so_status status = measure(d, s, error);
    if (status == SO_OK)
        *out = d;
    else
        free(d);
    return status;
}

so_status so_tt_dataset_of(so_dataset **out, const so_tt *tt, const so_tt_units_file *units, int64_t from,
                           int64_t items, so_error *error)
{
    *out = NULL;
    if (from < 0 || items < 1 || from > tt->corpus.count - items)
        return so_fail(error, SO_ERR_ARG, "items %lld to %lld of a corpus of %lld", (long long)from,
                       (long long)(from + items - 1), (long long)tt->corpus.count);
    spoken *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for a dataset");
    s->tt = tt;
    s->units = units;
    s->from = from;
    s->items = items;
    so_status status = make(out, s, error);
    if (status == SO_OK) return SO_OK;
    free(s->lengths);
    free(s);
    return status;
}

/* ---- a folder */

bool so_tt_dataset_is(const char *folder)
{
    char path[2000];
    int n = snprintf(path, sizeof path, "%s/corpus.index", folder);
    if (n < 0 || n >= (int)sizeof path || access(path, R_OK) != 0) return false;
    snprintf(path, sizeof path, "%s/units.index", folder);
    return access(path, R_OK) == 0;
}

static so_status open_folder(spoken *s, const char *folder, bool held_out, so_error *error)
{
    if (!(s->folder = strdup(folder))) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    s->own.folder = s->folder;
    SO_TRY(so_tt_open(&s->own, error));
    s->tt = &s->own;
    if (!s->own.tokenizer)
        return so_fail(error, SO_ERR_MISSING, "'%s' has no tokenizer.json: its part 'vocabulary' is not done", folder);
    SO_TRY(so_tt_units_open(&s->own_units, &s->own, error));
    s->units = &s->own_units;
    int64_t learned = s->own.corpus.count - SO_TT_HELD_OUT;
    if (learned < 1)
        return so_fail(error, SO_ERR_FORMAT, "'%s' has %lld exchanges, expected more than %d", folder,
                       (long long)s->own.corpus.count, SO_TT_HELD_OUT);
    s->from = held_out ? learned : 0;
    s->items = held_out ? SO_TT_HELD_OUT : learned;
    return SO_OK;
}

so_status so_tt_dataset_open(so_dataset **out, const char *folder, bool held_out, so_error *error)
{
    *out = NULL;
    if (strlen(folder) > 900)
        return so_fail(error, SO_ERR_ARG, "a path of %zu bytes, expected up to 900", strlen(folder));
    spoken *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for a dataset");
    so_status status = open_folder(s, folder, held_out, error);
    if (status == SO_OK) status = make(out, s, error);
    if (status == SO_OK) {
        hash_of(s, (*out)->identity);
        return SO_OK;
    }
    so_tt_units_close(&s->own_units);
    so_tt_close(&s->own);
    free(s->folder);
    free(s->lengths);
    free(s);
    return status;
}
