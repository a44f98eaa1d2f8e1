/* Prompts into the stores. See prompt.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/prompt.h"

#include <string.h>

#include "text/chat.h"

enum {
    CTC_CHUNK = 64, /* rows whose whole CTC distribution is in memory at a time */
    ON_BACKBONE = SO_SLOT_EXPECT | SO_SLOT_TEXT | SO_SLOT_IMAGE
};

so_status so_slots_add(so_slots *slots, const int32_t *ids, int64_t n, uint32_t where, const int64_t *first,
                       int64_t pictures, so_error *error)
{
    int64_t seen = 0;
    for (int64_t i = 0; i < n; i++) {
        so_slot slot = {ids[i], where};
        int64_t times = 1;
        if (ids[i] == SO_IMAGE_ID) {
            int64_t k = seen < pictures ? seen : pictures - 1;
            seen++;
            if (pictures == 0) continue;
            slot = (so_slot){(int32_t)first[k], SO_SLOT_IMAGE};
            times = first[k + 1] - first[k];
        }
        if (slots->n + times > slots->capacity)
            return so_fail(error, SO_ERR_LIMIT, "the conversation passes %lld positions", (long long)slots->capacity);
        for (int64_t j = 0; j < times; j++, slot.id += slot.where == SO_SLOT_IMAGE) slots->slot[slots->n++] = slot;
    }
    return SO_OK;
}

void so_slots_limit(so_slots *slots, int64_t limit)
{
    int64_t n = 0, kept = 0;
    for (; n < slots->n; n++)
        if (slots->slot[n].where & ON_BACKBONE && ++kept > limit) break;
    if (limit > 0) slots->n = n;
}

/* ---- prompts */

static void keep_last(so_talk *talk, const so_tensor *t, so_real *out)
{
    if (!t || talk->worker->pass.dry) return;
    int64_t c = so_cols(t);
    so_device_copy(talk->worker->pass.device, out, so_data(t) + (so_rows(t) - 1) * c, (size_t)c * sizeof *out);
}

/* The likeliest ids of CTC logits z, noted at positions at[0..] of the speech side. */
static void note_labels(so_talk *talk, const so_tensor *z, const int32_t *at)
{
    so_pass *pass = &talk->worker->pass;
    int64_t rows = z ? so_rows(z) : 0;
    int32_t found[CTC_CHUNK];
    if (pass->device) {
        so_mark mark = so_pass_mark(pass);
        int32_t *ids = so_take_data(pass, (size_t)rows * sizeof *ids);
        if (ids && !pass->dry) {
            pass->k->best(pass->pool, rows, so_cols(z), so_data(z), ids);
            so_device_read(pass->device, found, ids, (size_t)rows * sizeof *ids);
        }
        so_pass_release(pass, mark);
    }
    for (int64_t i = 0; i < rows && so_ok(pass) && !pass->dry; i++)
        talk->label[at[i]] = pass->device ? found[i] : so_argmax(so_data(z) + i * so_cols(z), so_cols(z));
}

/* Labels of rows of the bottom layers' output; a few rows at a time, because a whole distribution per row is large. */
static void label_rows(so_talk *talk, so_tensor *h, int64_t n, const int32_t *row, const int32_t *at)
{
    so_pass *pass = &talk->worker->pass;
    for (int64_t r0 = 0; r0 < n && so_ok(pass); r0 += CTC_CHUNK) {
        int64_t rows = n - r0 < CTC_CHUNK ? n - r0 : CTC_CHUNK;
        so_mark mark = so_pass_mark(pass);
        note_labels(talk, so_omni_ctc(pass, &talk->model->net, so_take_rows(pass, h, rows, row + r0)), at + r0);
        so_pass_release(pass, mark);
    }
}

/* The same, and expected text embeddings [n, D]. */
static so_tensor *expect(so_talk *talk, so_tensor *h, int64_t n, const int32_t *row, const int32_t *at)
{
    so_pass *pass = &talk->worker->pass;
    const so_omni *net = &talk->model->net;
    int64_t width = so_cols(h);
    so_tensor *e = so_new2(pass, n, width);
    for (int64_t r0 = 0; e && r0 < n && so_ok(pass); r0 += CTC_CHUNK) {
        int64_t rows = n - r0 < CTC_CHUNK ? n - r0 : CTC_CHUNK;
        so_mark mark = so_pass_mark(pass);
        so_tensor *z = so_omni_ctc(pass, net, so_take_rows(pass, h, rows, row + r0));
        note_labels(talk, z, at + r0);
        so_tensor *part = so_omni_expect(pass, net, z);
        if (part && !pass->dry)
            so_device_copy(pass->device, so_data(e) + r0 * width, part->data, (size_t)(rows * width) * sizeof(so_real));
        so_pass_release(pass, mark);
    }
    return e;
}

/* A stack over rows x; returns its normed output and moves the store on. */
static so_tensor *run_backbone(so_talk *talk, so_tensor *x)
{
    so_pass *pass = &talk->worker->pass;
    if (!x) return NULL;
    so_batch *batch = so_batch_one(pass, so_rows(x), &talk->backbone);
    so_tensor *y = so_omni_think(pass, &talk->model->net, x, batch);
    if (!so_ok(pass)) return NULL;
    if (!pass->dry) so_batch_advance(batch);
    keep_last(talk, y, talk->thought);
    talk->thought_at = talk->backbone.len;
    return y;
}

static so_tensor *run_top(so_talk *talk, so_tensor *h)
{
    so_pass *pass = &talk->worker->pass;
    if (!h) return NULL;
    so_batch *batch = so_batch_one(pass, so_rows(h), &talk->top);
    so_tensor *y = so_omni_speak(pass, &talk->model->net, h, batch, NULL);
    if (!so_ok(pass)) return NULL;
    if (!pass->dry) so_batch_advance(batch);
    return y;
}

/* The top layers read the speech side one row late: its last row waits in talk->h, because only the last row of a
 * prompt and the rows after it take text in. */
static void pass_on(so_talk *talk, so_tensor *h)
{
    so_pass *pass = &talk->worker->pass;
    if (!h || !talk->options.speaks) return;
    int64_t rows = so_rows(h), width = so_cols(h), waiting = talk->pending || pass->dry;
    int64_t n = waiting + rows - 1;
    if (n > 0) {
        so_tensor *x = so_new2(pass, n, width);
        if (!x) return;
        if (!pass->dry) {
            size_t row = (size_t)width * sizeof(so_real);
            if (waiting) so_device_copy(pass->device, so_data(x), talk->h, row);
            so_device_copy(pass->device, so_data(x) + waiting * width, so_data(h), (size_t)(rows - 1) * row);
        }
        run_top(talk, x);
    }
    if (!so_ok(pass) || pass->dry) return;
    keep_last(talk, h, talk->h);
    talk->pending = true;
}

/* What of one chunk goes where. */
typedef struct chunk {
    int64_t n_speech, n_expect, n_label, n_text, n_backbone;
    int32_t *speech, *text;          /* ids */
    int32_t *expect_row, *expect_at; /* rows among n_speech; positions on the speech side */
    int32_t *label_row, *label_at;   /* the same of those that are only labelled */
    int32_t *part, *row;             /* [n_backbone] of the splice: 0 expected, 1 text, 2 pictures */
    so_slot *read;                   /* [n_backbone] */
} chunk;

static chunk *new_chunk(so_pass *pass, int64_t rows)
{
    chunk *c = so_take(pass, sizeof *c, false);
    int32_t *memory = so_take(pass, (size_t)(8 * rows) * sizeof *memory, false);
    so_slot *read = so_take(pass, (size_t)rows * sizeof *read, false);
    if (!read) return NULL;
    *c = (chunk){.speech = memory,
                 .text = memory + rows,
                 .expect_row = memory + 2 * rows,
                 .expect_at = memory + 3 * rows,
                 .part = memory + 4 * rows,
                 .row = memory + 5 * rows,
                 .read = read,
                 .label_row = memory + 6 * rows,
                 .label_at = memory + 7 * rows};
    return c;
}

static void sort_in(const so_talk *talk, chunk *c, so_slot slot, bool speech, bool backbone)
{
    if (speech) c->speech[c->n_speech++] = slot.id;
    bool expected = speech && backbone && slot.where & SO_SLOT_EXPECT;
    if (expected) {
        c->expect_row[c->n_expect] = (int32_t)c->n_speech - 1;
        c->expect_at[c->n_expect++] = (int32_t)(talk->bottom.len + c->n_speech - 1);
    }
    /* A watcher sees the distributions of every row. */
    if (speech && !expected && (slot.where & SO_SLOT_LABEL || talk->worker->pass.watch)) {
        c->label_row[c->n_label] = (int32_t)c->n_speech - 1;
        c->label_at[c->n_label++] = (int32_t)(talk->bottom.len + c->n_speech - 1);
    }
    if (!backbone) return;
    c->read[c->n_backbone] = slot;
    c->part[c->n_backbone] = slot.where & SO_SLOT_EXPECT ? 0 : slot.where & SO_SLOT_TEXT ? 1 : 2;
    c->row[c->n_backbone++] = slot.where & SO_SLOT_EXPECT ? (int32_t)c->n_expect - 1
                              : slot.where & SO_SLOT_TEXT ? (int32_t)c->n_text
                                                          : slot.id;
    if (slot.where & SO_SLOT_TEXT) c->text[c->n_text++] = slot.id;
}

/* Vectors of pictures, which the host keeps: on a device, a copy. */
static so_tensor *pictures_of(so_talk *talk)
{
    so_pass *pass = &talk->worker->pass;
    int64_t n = pass->dry ? talk->max_vectors : talk->n_vectors, width = talk->model->setup.omni.llama.width;
    if (pass->device) return so_constant(pass, 2, (int64_t[]){n, width}, talk->vectors);
    so_tensor *pictures = so_take(pass, sizeof *pictures, true);
    if (pictures)
        *pictures = (so_tensor){.data = talk->vectors, .type = SO_F32, .n_dims = 2, .dim = {talk->n_vectors, width}};
    return pictures;
}

/* The backbone's rows of a chunk, from their up to three sources. */
static so_tensor *assemble(so_talk *talk, chunk *c, so_tensor *e)
{
    so_pass *pass = &talk->worker->pass;
    so_tensor *source[3] = {e, NULL, NULL}, *part[3];
    int32_t number[3];
    int parts = 0;
    if (c->n_text) source[1] = so_omni_read(pass, &talk->model->net, c->n_text, c->text);
    so_tensor *pictures = pictures_of(talk);
    if (!pictures) return NULL;
    if (talk->n_vectors) source[2] = pictures;
    for (int i = 0; i < 3; i++) {
        number[i] = parts;
        if (source[i]) part[parts++] = source[i];
    }
    for (int64_t i = 0; i < c->n_backbone; i++) {
        if (!source[c->part[i]]) return so_pass_fail(pass, SO_ERR_STATE, "a slot of the backbone without its source");
        c->part[i] = number[c->part[i]];
    }
    return so_splice(pass, parts, part, c->n_backbone, c->part, c->row);
}

static void run_chunk(so_talk *talk, chunk *c)
{
    so_pass *pass = &talk->worker->pass;
    int64_t at = talk->bottom.len;
    so_tensor *h = NULL, *e = NULL;
    if (c->n_speech) {
        so_batch *batch = so_batch_one(pass, c->n_speech, &talk->bottom);
        h = so_omni_hear(pass, &talk->model->net, c->n_speech, c->speech, batch);
        for (int64_t i = 0; i < c->n_speech && so_ok(pass) && !pass->dry; i++) {
            talk->heard[at + i] = c->speech[i];
            talk->label[at + i] = -1;
        }
        if (c->n_label && h) label_rows(talk, h, c->n_label, c->label_row, c->label_at);
        if (c->n_expect && h) e = expect(talk, h, c->n_expect, c->expect_row, c->expect_at);
        if (so_ok(pass) && !pass->dry) so_batch_advance(batch);
        pass_on(talk, h);
        if (!so_ok(pass) && !pass->dry) talk->bottom.len = at; /* what the top layers have not read is not held */
    }
    if (!c->n_backbone) return;
    int64_t from = talk->backbone.len;
    if (run_backbone(talk, assemble(talk, c, e)) && !pass->dry)
        memcpy(talk->read + from, c->read, (size_t)c->n_backbone * sizeof *c->read);
}

/* How much of the wanted slots the stores hold already. */
typedef struct held {
    int64_t speech, backbone;         /* positions that are kept */
    int64_t all_speech, all_backbone; /* positions wanted */
} held;

static held compare(const so_talk *talk, const so_slot *slot, int64_t n)
{
    held k = {0};
    bool same_speech = true, same_backbone = true;
    for (int64_t i = 0; i < n; i++) {
        bool speech = slot[i].where & SO_SLOT_SPEECH, backbone = slot[i].where & ON_BACKBONE;
        if (speech) {
            same_speech = same_speech && k.all_speech < talk->bottom.len && talk->heard[k.all_speech] == slot[i].id;
            k.all_speech++;
            k.speech += same_speech;
        }
        if (backbone) {
            const so_slot *read = &talk->read[k.all_backbone];
            bool same = k.all_backbone < talk->backbone.len && read->id == slot[i].id && read->where == slot[i].where &&
                        (same_speech || !(slot[i].where & SO_SLOT_EXPECT));
            same_backbone = same_backbone && same;
            k.all_backbone++;
            k.backbone += same_backbone;
        }
    }
    /* The last rows' outputs are needed: they are at hand only if nothing follows them in the store. */
    bool speaks = talk->options.speaks;
    if (k.speech == k.all_speech && k.speech && speaks && !(talk->pending && talk->bottom.len == k.speech)) k.speech--;
    if (k.backbone == k.all_backbone && k.backbone && talk->thought_at != k.backbone) k.backbone--;
    return k;
}

/* An expected embedding that has to be computed needs its row on the speech side computed too. */
static void reach_back(held *k, const so_slot *slot, int64_t n)
{
    int64_t speech = 0, backbone = 0;
    for (int64_t i = 0; i < n; i++) {
        if (slot[i].where & SO_SLOT_EXPECT && backbone >= k->backbone) {
            if (speech < k->speech) k->speech = speech;
            return;
        }
        speech += (slot[i].where & SO_SLOT_SPEECH) != 0;
        backbone += (slot[i].where & ON_BACKBONE) != 0;
    }
}

static void rewind_to(so_talk *talk, const held *k)
{
    if (k->speech < talk->bottom.len) talk->pending = false;
    talk->bottom.len = k->speech;
    if (talk->top.len > k->speech - talk->pending) talk->top.len = k->speech - talk->pending;
    if (k->backbone < talk->backbone.len) talk->backbone.len = k->backbone;
}

int64_t so_talk_shared(const so_talk *talk, const so_slot *slot, int64_t n) { return compare(talk, slot, n).backbone; }

so_status so_talk_want(so_talk *talk, const so_slot *slot, int64_t n, so_error *error)
{
    held k = compare(talk, slot, n);
    if (k.all_speech && !talk->model->setup.omni.speech)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model has no speech layers");
    if (k.all_backbone > talk->backbone.capacity || k.all_speech > talk->bottom.capacity)
        return so_fail(error, SO_ERR_LIMIT, "the conversation passes %lld positions",
                       (long long)talk->backbone.capacity);
    reach_back(&k, slot, n);
    rewind_to(talk, &k);
    talk->kept = k.backbone;
    talk->wanted = (so_wanted){.slot = slot, .n = n, .speech = k.speech, .backbone = k.backbone};
    return SO_OK;
}

so_status so_talk_more(so_talk *talk, bool *done, so_error *error)
{
    so_wanted w = talk->wanted;
    *done = !w.slot;
    if (*done) return SO_OK;
    chunk *c = new_chunk(so_worker_begin(talk->worker), talk->options.rows);
    for (int64_t used = 0; c && w.at < w.n && used < talk->options.rows; w.at++) {
        const so_slot *slot = &w.slot[w.at];
        bool hears = slot->where & SO_SLOT_SPEECH && w.seen_speech++ >= w.speech;
        bool reads = slot->where & ON_BACKBONE && w.seen_backbone++ >= w.backbone;
        if (!hears && !reads) continue;
        sort_in(talk, c, *slot, hears, reads);
        used++;
    }
    if (c && (c->n_speech || c->n_backbone)) run_chunk(talk, c);
    so_status status = so_worker_end(talk->worker, error);
    if (status != SO_OK) w.slot = NULL; /* whoever goes on compares anew */
    *done = w.at == w.n;
    if (*done) w.slot = NULL;
    talk->wanted = w;
    return status;
}

so_status so_talk_sync(so_talk *talk, const so_slot *slot, int64_t n, so_error *error)
{
    SO_TRY(so_talk_want(talk, slot, n, error));
    for (bool done = false; !done;) SO_TRY(so_talk_more(talk, &done, error));
    return SO_OK;
}

/* ---- memory */

so_status so_talk_rehearse_prompt(so_talk *talk, so_error *error)
{
    const so_omni_config *c = &talk->model->setup.omni;
    int64_t rows = talk->options.rows < talk->options.context ? talk->options.rows : talk->options.context;
    chunk *all = new_chunk(so_worker_begin(talk->worker), talk->options.rows);
    so_slot slot = {0, c->speech ? SO_SLOT_SPEECH | SO_SLOT_EXPECT : SO_SLOT_TEXT};
    for (int64_t i = 0; all && i < rows; i++) sort_in(talk, all, slot, c->speech, true);
    if (all) run_chunk(talk, all);
    return so_worker_end(talk->worker, error);
}
