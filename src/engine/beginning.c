/* What conversations begin with is computed once for a model.
 *
 * Keys, values, labels and the last row of the template's first words, with the system text, are put by once computed;
 * others copy them, the same to the bit: slices of prompts end where the beginning does, copied or not.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/own.h"
#include "engine/prompt.h"

enum { LONGEST = 128 /* positions that are put by */ };

/* Bytes on their way out of a conversation, or into one. */
typedef struct carrying {
    unsigned char *data; /* NULL: they are counted */
    size_t n;
    bool in;
} carrying;

static void carry(carrying *c, void *p, size_t bytes)
{
    if (c->data) memcpy(c->in ? p : c->data + c->n, c->in ? c->data + c->n : p, bytes);
    c->n += bytes;
}

static void carry_store(carrying *c, so_kv *kv, int64_t n)
{
    size_t bytes = so_kv_bytes(kv->type, 1, kv->width, n) / 2;
    for (int64_t i = 0; i < kv->layers; i++) {
        carry(c, so_kv_k(kv, i), bytes);
        carry(c, so_kv_v(kv, i), bytes);
    }
    if (c->in) kv->len = n;
}

static void carry_backbone(so_talk *talk, carrying *c)
{
    carry_store(c, &talk->backbone, talk->n_begin);
    carry(c, talk->read, (size_t)talk->n_begin * sizeof *talk->read);
    if (c->in) talk->thought_at = 0; /* the question follows */
}

static void carry_speech(so_talk *talk, carrying *c)
{
    int64_t n = talk->n_begin;
    carry_store(c, &talk->bottom, n);
    if (talk->options.speaks) carry_store(c, &talk->top, n - 1);
    carry(c, talk->heard, (size_t)n * sizeof *talk->heard);
    carry(c, talk->label, (size_t)n * sizeof *talk->label);
    carry(c, talk->h, (size_t)talk->model->setup.omni.llama.width * sizeof *talk->h);
    if (c->in) talk->pending = talk->options.speaks;
}

void so_talk_begins_with(so_talk *talk, const so_ids *ids)
{
    const so_talk_options *o = &talk->options;
    int64_t n = (int64_t)ids->n;
    carrying all = {0};
    talk->begin = ids->data;
    talk->n_begin = 0;
    talk->beginning[0] = talk->beginning[1] = NULL;
    if (n < 2 || n > LONGEST || n > o->context || talk->model->device) return;
    talk->n_begin = n;
    carry_backbone(talk, &all);
    if (talk->model->setup.omni.speech) carry_speech(talk, &all);
    int32_t key[4 + LONGEST] = {0, (int32_t)o->kv, (int32_t)o->rows, o->speaks};
    memcpy(key + 4, ids->data, ids->n * sizeof *key);
    for (int32_t k = 0; k < (talk->model->setup.omni.speech ? 2 : 1); k++) {
        key[0] = k;
        talk->beginning[k] =
            so_shelf_find(so_mutable(&talk->model->beginnings), key, (4 + ids->n) * sizeof *key, all.n);
    }
}

/* Whether the first of these slots on a side are the beginning, and enter there so. */
static bool begins(const so_talk *talk, const so_slot *slot, int64_t n, uint32_t side, uint32_t where)
{
    int64_t seen = 0;
    for (int64_t i = 0; i < n && seen < talk->n_begin; i++) {
        if (!(slot[i].where & side)) continue;
        if (slot[i].id != talk->begin[seen++] || !(slot[i].where & where)) return false;
    }
    return seen && seen == talk->n_begin;
}

static so_shelf_place *place_of(const so_talk *talk, const so_slot *slot, int64_t n, bool *expected)
{
    *expected = begins(talk, slot, n, SO_ON_BACKBONE, SO_SLOT_EXPECT);
    if (*expected) return talk->beginning[1];
    return begins(talk, slot, n, SO_ON_BACKBONE, SO_SLOT_TEXT) ? talk->beginning[0] : NULL;
}

bool so_talk_take_beginning(so_talk *talk, const so_slot *slot, int64_t n, int64_t speech, int64_t backbone)
{
    bool expected, hears = begins(talk, slot, n, SO_SLOT_SPEECH, SO_SLOT_SPEECH);
    const so_shelf_place *place = place_of(talk, slot, n, &expected);
    bool reads = backbone < talk->n_begin, lacks = hears && speech < talk->n_begin;
    if (!place || !(reads || lacks) || talk->worker->pass.watch || !so_shelf_full(place)) return false;
    carrying c = {.data = reads ? place->data : NULL, .in = reads};
    carry_backbone(talk, &c);
    c.data = place->data;
    c.in = true;
    if (lacks || (hears && expected)) carry_speech(talk, &c); /* what is expected has labels */
    return true;
}

void so_talk_put_beginning(so_talk *talk)
{
    const so_wanted *w = &talk->wanted;
    bool expected, speech = talk->model->setup.omni.speech, whole = !w->speech && !w->backbone;
    if (!talk->n_begin || !whole || talk->backbone.len != talk->n_begin || talk->worker->pass.watch) return;
    so_shelf_place *place = place_of(talk, w->slot, w->n, &expected);
    if (!place || (speech && talk->bottom.len != talk->n_begin) || !so_shelf_claim(place)) return;
    carrying c = {.data = place->data};
    carry_backbone(talk, &c);
    if (speech) carry_speech(talk, &c);
    so_shelf_filled(place);
}
