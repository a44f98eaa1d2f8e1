/* Prompts into the stores. See prompt.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/prompt.h"

#include <string.h>

#include "text/chat.h"

enum { CTC_CHUNK = SO_LABEL_ROWS };

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

/* ---- slices */

/* What of a slice is to be done next: the bottom layers, the top layers, labels and what the backbone expects of them,
 * the backbone's own layers. */
typedef enum stage { NOTHING, HEAR, PASS_ON, LABEL, READ } stage;

/* A slice of a prompt on its way through the stacks. The stores count it in only once it is through: the speech side
 * after its labels, the backbone after its last layer. */
struct so_slice {
    stage next;
    int64_t layer; /* the next, of a stack */
    int64_t n_speech, n_expect, n_label, n_text, n_backbone, labelled;
    int64_t weighed;                 /* rows of the vocabulary in `sum`; -1: no distribution waits in `odds` */
    int32_t *speech, *text;          /* ids */
    int32_t *expect_row, *expect_at; /* rows among n_speech; positions on the speech side */
    int32_t *label_row, *label_at;   /* the same of those that are only labelled */
    int32_t *part, *row;             /* [n_backbone] of the splice: 0 expected, 1 text, 2 pictures */
    so_slot *read;                   /* [n_backbone] */
    so_real *h, *x; /* rows of D: what the bottom layers made; what the next layer of another stack reads */
    so_real *odds;  /* [label_rows, V] what the rows being labelled may be, where that is weighed in pieces, */
    double *sum;    /* [label_rows, D] and what is expected of it so far */
};

bool so_talk_take_slice(so_talk *talk)
{
    so_arena *a = &talk->memory, *data = talk->model->device ? &talk->numbers : a;
    size_t rows = (size_t)talk->options.rows, width = (size_t)talk->model->setup.omni.llama.width;
    so_slice *c = talk->slice = so_arena_zalloc(a, sizeof *c);
    int32_t *ids = so_arena_alloc(a, 8 * rows * sizeof *ids);
    if (!c || !ids) return false;
    int32_t **list[] = {&c->speech,    &c->text,     &c->expect_row, &c->expect_at,
                        &c->label_row, &c->label_at, &c->part,       &c->row};
    for (size_t i = 0; i < 8; i++) *list[i] = ids + i * rows;
    c->read = so_arena_alloc(a, rows * sizeof *c->read);
    c->h = so_arena_numbers(data, (talk->model->setup.omni.speech ? rows * width : 1) * sizeof *c->h);
    c->x = so_arena_numbers(data, rows * width * sizeof *c->x);
    if (!talk->model->setup.omni.speech || talk->options.expect_rows < 0) return c->read != NULL;
    rows = (size_t)talk->options.label_rows;
    c->odds = so_arena_numbers(a, rows * (size_t)talk->model->setup.omni.text_rows * sizeof *c->odds);
    c->sum = so_arena_numbers(a, rows * width * sizeof *c->sum);
    return c->read != NULL;
}

static so_tensor *rows_at(so_talk *talk, so_real *data, int64_t rows)
{
    so_tensor *t = so_take(&talk->worker->pass, sizeof *t, true);
    if (t)
        *t = (so_tensor){.data = data, .type = SO_F32, .n_dims = 2, .dim = {rows, talk->model->setup.omni.llama.width}};
    return t;
}

static void keep(const so_talk *talk, const so_tensor *x, so_real *out)
{
    const so_pass *pass = &talk->worker->pass;
    if (so_ok(pass) && x && !pass->dry) so_device_copy(pass->device, out, x->data, (size_t)so_count(x) * sizeof *out);
}

static void keep_last(const so_talk *talk, const so_tensor *x, so_real *out)
{
    const so_pass *pass = &talk->worker->pass;
    int64_t c = x ? so_cols(x) : 0;
    if (so_ok(pass) && x && !pass->dry)
        so_device_copy(pass->device, out, so_data(x) + (so_rows(x) - 1) * c, (size_t)c * sizeof *out);
}

/* Behind the layers that are made in this piece. */
static int64_t layers_to(const so_talk *talk, const so_slice *c, int64_t layers)
{
    int64_t last = c->layer + talk->options.slice_layers;
    return last < layers ? last : layers;
}

static void hear(so_talk *talk, const so_slice *c)
{
    so_pass *pass = &talk->worker->pass;
    const so_omni *net = &talk->model->net;
    int64_t n = c->n_speech, last = layers_to(talk, c, net->bottom.layers);
    so_batch *batch = so_batch_one(pass, n, &talk->bottom);
    so_tensor *x = c->layer ? rows_at(talk, c->h, n) : so_embed(pass, net->audio_embed, n, c->speech);
    x = so_llama_layers(pass, &net->bottom, x, batch, c->layer, last);
    keep(talk, last < net->bottom.layers ? x : so_llama_norm(pass, &net->bottom, x), c->h);
    for (int64_t i = 0; i < n && so_ok(pass) && !pass->dry; i++) {
        talk->heard[talk->bottom.len + i] = c->speech[i];
        talk->label[talk->bottom.len + i] = -1;
    }
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

/* Labels of n rows of the bottom layers' output and, where `e` [n, D] is not NULL, the text embeddings that are
 * expected there, or what they are summed from. A whole distribution per row is large: n <= CTC_CHUNK. */
static void label_rows(so_talk *talk, const so_slice *c, int64_t n, const int32_t *row, const int32_t *at, so_real *e)
{
    so_pass *pass = &talk->worker->pass;
    const so_omni *net = &talk->model->net;
    so_mark mark = so_pass_mark(pass);
    so_tensor *h = rows_at(talk, c->h, c->n_speech), *z = so_omni_ctc(pass, net, so_take_rows(pass, h, n, row));
    note_labels(talk, z, at);
    if (e && talk->options.expect_rows > 0)
        keep(talk, so_softmax(pass, z), c->odds);
    else if (e)
        keep(talk, so_omni_expect(pass, net, z), e);
    so_pass_release(pass, mark);
}

static int64_t weighed_to(const so_talk *talk, const so_slice *c)
{
    int64_t last = c->weighed + talk->options.expect_rows, all = talk->model->setup.omni.text_rows;
    return last < all ? last : all;
}

/* Whether what is expected of the rows being labelled takes pieces beyond this one. */
static bool weighs_on(const so_talk *talk, const so_slice *c)
{
    return talk->options.expect_rows > 0 && (c->weighed < 0 || weighed_to(talk, c) < talk->model->setup.omni.text_rows);
}

/* More rows of the vocabulary into what is expected of n rows; behind the last, that is e [n, D]. */
static void weigh(so_talk *talk, const so_slice *c, int64_t n, so_real *e)
{
    so_pass *pass = &talk->worker->pass;
    const so_tensor *embed = talk->model->net.text_embed;
    int64_t last = weighed_to(talk, c), count = n * so_cols(embed);
    so_tensor *p = so_lent(pass, n, embed->dim[0], c->odds);
    if (c->weighed == 0 && !pass->dry) memset(c->sum, 0, (size_t)count * sizeof *c->sum);
    if (p) so_matmul_some(pass, p, embed, c->weighed, last, c->sum);
    if (last < embed->dim[0] || !so_ok(pass) || pass->dry) return;
    for (int64_t i = 0; i < count; i++) e[i] = (so_real)c->sum[i];
    so_label(pass, so_lent(pass, n, so_cols(embed), e), "expect");
}

/* Vectors of pictures, which the host keeps: on a device, a copy. */
static so_tensor *pictures_of(so_talk *talk)
{
    so_pass *pass = &talk->worker->pass;
    int64_t n = pass->dry ? talk->max_vectors : talk->n_vectors;
    return so_lent(pass, n, talk->model->setup.omni.llama.width, talk->vectors);
}

/* The backbone's rows of a slice, from their up to three sources. */
static so_tensor *assemble(so_talk *talk, const so_slice *c, so_tensor *e)
{
    so_pass *pass = &talk->worker->pass;
    so_tensor *source[3] = {e, NULL, NULL}, *part[3];
    int32_t number[3], *from = so_take(pass, (size_t)c->n_backbone * sizeof *from, false);
    int parts = 0;
    if (c->n_text) source[1] = so_omni_read(pass, &talk->model->net, c->n_text, c->text);
    so_tensor *pictures = pictures_of(talk);
    if (!pictures || !from) return NULL;
    if (talk->n_vectors) source[2] = pictures;
    for (int i = 0; i < 3; i++) {
        number[i] = parts;
        if (source[i]) part[parts++] = source[i];
    }
    for (int64_t i = 0; i < c->n_backbone; i++) {
        if (!source[c->part[i]]) return so_pass_fail(pass, SO_ERR_STATE, "a slot of the backbone without its source");
        from[i] = number[c->part[i]];
    }
    return so_splice(pass, parts, part, c->n_backbone, from, c->row);
}

/* Rows that are labelled in a piece: those that are only labelled come first. */
static int64_t rows_to_label(const so_talk *talk, const so_slice *c)
{
    int64_t end = c->labelled < c->n_label ? c->n_label : c->n_label + c->n_expect, left = end - c->labelled;
    return left < talk->options.label_rows ? left : talk->options.label_rows;
}

/* The speech side holds the slice. */
static void count_in(so_talk *talk, const so_slice *c)
{
    int64_t waiting = talk->pending, passed = waiting + c->n_speech - 1;
    if (!so_ok(&talk->worker->pass) || talk->worker->pass.dry || !c->n_speech) return;
    talk->bottom.len += c->n_speech;
    if (!talk->options.speaks) return;
    if (passed > 0) talk->top.len += passed;
    keep_last(talk, rows_at(talk, c->h, c->n_speech), talk->h);
    talk->pending = true;
}

/* A few rows, or a part of what is expected of them; behind the last, the backbone's rows. What is expected waits at
 * the beginning of c->x. */
static void label(so_talk *talk, const so_slice *c)
{
    so_pass *pass = &talk->worker->pass;
    int64_t n = rows_to_label(talk, c), at = c->labelled, i = at - c->n_label;
    so_real *e = i < 0 ? NULL : c->x + i * talk->model->setup.omni.llama.width;
    if (n && i < 0)
        label_rows(talk, c, n, c->label_row + at, c->label_at + at, NULL);
    else if (n && c->weighed < 0)
        label_rows(talk, c, n, c->expect_row + i, c->expect_at + i, e);
    else if (n)
        weigh(talk, c, n, e);
    if (n && i >= 0 && weighs_on(talk, c)) return;
    if (at + n < c->n_label + c->n_expect || !so_ok(pass)) return;
    if (c->n_backbone) keep(talk, assemble(talk, c, c->n_expect ? rows_at(talk, c->x, c->n_expect) : NULL), c->x);
    count_in(talk, c);
}

/* Where a piece of LABEL leads; true once all rows are labelled. */
static bool labelled(const so_talk *talk, so_slice *c)
{
    int64_t n = rows_to_label(talk, c);
    if (n && c->labelled >= c->n_label && weighs_on(talk, c)) {
        c->weighed = c->weighed < 0 ? 0 : weighed_to(talk, c);
        return false;
    }
    c->weighed = -1;
    c->labelled += n;
    return c->labelled == c->n_label + c->n_expect;
}

/* Whether of a stack's last layer no more is made than others will see. A watcher sees it all. */
static bool spares(const so_pass *pass, bool last) { return last && !pass->watch && !pass->device && !pass->dry; }

/* The top layers read the speech side one row late: its last row waits in talk->h, because only the last row of a
 * prompt and the rows after it take text in. */
static void pass_on(so_talk *talk, const so_slice *c)
{
    so_pass *pass = &talk->worker->pass;
    const so_omni *net = &talk->model->net;
    int64_t waiting = talk->pending || pass->dry, n = waiting + c->n_speech - 1;
    int64_t width = talk->model->setup.omni.llama.width, last = layers_to(talk, c, net->top.layers);
    if (!talk->options.speaks || n <= 0) return;
    if (c->layer == 0 && !pass->dry) {
        size_t row = (size_t)width * sizeof(so_real);
        if (waiting) so_device_copy(pass->device, c->x, talk->h, row);
        so_device_copy(pass->device, c->x + waiting * width, c->h, (size_t)(c->n_speech - 1) * row);
    }
    so_batch *batch = so_batch_one(pass, n, &talk->top);
    bool spared = spares(pass, last == net->top.layers);
    so_tensor *x = so_omni_speak_layers(pass, net, rows_at(talk, c->x, n), batch, NULL, c->layer, last - spared);
    if (spared)
        so_llama_note(pass, &net->top, last - 1, x, batch);
    else if (last < net->top.layers)
        keep(talk, x, c->x);
    else
        so_llama_norm(pass, &net->top, x); /* for who watches */
}

/* A few layers of the backbone. */
static void read_layers(so_talk *talk, so_slice *c)
{
    so_pass *pass = &talk->worker->pass;
    const so_llama *net = &talk->model->net.backbone;
    int64_t last = layers_to(talk, c, net->layers), len = talk->backbone.len, n = c->n_backbone;
    bool spared = spares(pass, last == net->layers && n > 1);
    so_batch *batch = so_batch_one(pass, n, &talk->backbone);
    so_tensor *y = so_llama_layers(pass, net, rows_at(talk, c->x, n), batch, c->layer, last - spared);
    if (spared) { /* the output of the last row alone is wanted */
        so_llama_note(pass, net, last - 1, y, batch);
        talk->backbone.len += n - 1;
        batch = so_batch_one(pass, 1, &talk->backbone);
        y = so_llama_layers(pass, net, so_take_rows(pass, y, 1, &(int32_t){(int32_t)n - 1}), batch, last - 1, last);
        if (!so_ok(pass)) talk->backbone.len = len;
    }
    if (last < net->layers) {
        keep(talk, y, c->x);
        return;
    }
    keep_last(talk, so_llama_norm(pass, net, y), talk->thought);
    if (!so_ok(pass) || pass->dry) return;
    so_batch_advance(batch);
    memcpy(talk->read + len, c->read, (size_t)c->n_backbone * sizeof *c->read);
    talk->thought_at = talk->backbone.len;
}

/* The next stage that has anything to do. */
static stage stage_after(const so_slice *c, stage s)
{
    if (s < HEAR && c->n_speech) return HEAR;
    if (s < PASS_ON && c->n_speech) return PASS_ON;
    if (s < LABEL && c->n_speech + c->n_backbone) return LABEL;
    if (s < READ && c->n_backbone) return READ;
    return NOTHING;
}

static int64_t layers_of(const so_talk *talk, stage s)
{
    const so_omni_config *c = &talk->model->setup.omni;
    return s == HEAR ? c->bottom : s == PASS_ON ? (talk->options.speaks ? c->top : 0) : c->backbone;
}

/* One stage, or the part of it that is short. */
static so_status run_stage(so_talk *talk, so_error *error)
{
    so_slice *c = talk->slice;
    so_worker_begin(talk->worker);
    if (c->next == HEAR) hear(talk, c);
    if (c->next == PASS_ON) pass_on(talk, c);
    if (c->next == LABEL) label(talk, c);
    if (c->next == READ) read_layers(talk, c);
    SO_TRY(so_worker_end(talk->worker, error));
    if (c->next == LABEL) {
        if (!labelled(talk, c)) return SO_OK;
    } else {
        c->layer += talk->options.slice_layers;
        if (c->layer < layers_of(talk, c->next)) return SO_OK;
    }
    c->layer = 0;
    c->next = stage_after(c, c->next);
    return SO_OK;
}

static void empty(so_slice *c)
{
    c->next = NOTHING;
    c->labelled = 0;
    c->weighed = -1;
    c->layer = c->n_speech = c->n_expect = c->n_label = c->n_text = c->n_backbone = 0;
}

static void sort_in(const so_talk *talk, so_slice *c, so_slot slot, bool speech, bool backbone)
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

/* ---- prompts */

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
        bool speech = slot[i].where & SO_SLOT_SPEECH, backbone = slot[i].where & SO_ON_BACKBONE;
        if (speech) {
            same_speech = same_speech && k.all_speech < talk->bottom.len && talk->heard[k.all_speech] == slot[i].id;
            k.all_speech++;
            k.speech += same_speech;
        }
        if (backbone) {
            const so_slot *read = &talk->read[k.all_backbone];
            /* The backbone does not see whether a text entered the speech side, too. */
            bool same = k.all_backbone < talk->backbone.len && read->id == slot[i].id &&
                        !((read->where ^ slot[i].where) & SO_ON_BACKBONE) &&
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
        backbone += (slot[i].where & SO_ON_BACKBONE) != 0;
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

/* Slices end where the beginning of all prompts begins and ends, so that it is computed alike behind anything. */
static bool parts(const so_talk *t, int64_t at) { return t->n_begin && (at == 0 || at == t->n_begin); }

/* The next slots that are not in the stores yet. */
static void fill_slice(so_talk *talk)
{
    so_slice *c = talk->slice;
    so_wanted *w = &talk->wanted;
    empty(c);
    for (int64_t used = 0; w->at < w->n && used < talk->options.rows; w->at++) {
        const so_slot *slot = &w->slot[w->at];
        bool hears = slot->where & SO_SLOT_SPEECH && w->seen_speech >= w->speech;
        bool reads = slot->where & SO_ON_BACKBONE && w->seen_backbone >= w->backbone;
        if (used && ((hears && parts(talk, w->seen_speech)) || (reads && parts(talk, w->seen_backbone)))) break;
        w->seen_speech += (slot->where & SO_SLOT_SPEECH) != 0;
        w->seen_backbone += (slot->where & SO_ON_BACKBONE) != 0;
        if (!hears && !reads) continue;
        sort_in(talk, c, *slot, hears, reads);
        used++;
    }
    c->next = stage_after(c, NOTHING);
}

so_status so_talk_want(so_talk *talk, const so_slot *slot, int64_t n, so_error *error)
{
    held k = compare(talk, slot, n);
    if (k.all_speech && !talk->model->setup.omni.speech)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model has no speech layers");
    if (k.all_backbone > talk->backbone.capacity || k.all_speech > talk->bottom.capacity)
        return so_fail(error, SO_ERR_LIMIT, "the conversation passes %lld positions",
                       (long long)talk->backbone.capacity);
    if (so_talk_take_beginning(talk, slot, n, k.speech, k.backbone)) k = compare(talk, slot, n);
    /* A part of it would not be what others copy. */
    if (k.backbone < talk->n_begin) k.backbone = 0;
    if (k.speech < talk->n_begin) k.speech = 0;
    reach_back(&k, slot, n);
    rewind_to(talk, &k);
    talk->kept = k.backbone;
    talk->wanted = (so_wanted){.slot = slot, .n = n, .speech = k.speech, .backbone = k.backbone};
    fill_slice(talk);
    return SO_OK;
}

void so_talk_unwant(so_talk *talk)
{
    talk->wanted.slot = NULL;
    empty(talk->slice);
}

so_work so_talk_next(const so_talk *talk)
{
    enum { READ_ROWS = 8 /* take as long as it takes to read the weights */ };
    const so_slice *c = talk->slice;
    const so_omni_config *o = &talk->model->setup.omni;
    int64_t rows = rows_to_label(talk, c);
    if (c->next == LABEL ? !rows : c->next == NOTHING || !layers_of(talk, c->next)) return (so_work){SO_WORK_OTHER, 1};
    double label = (double)(rows + READ_ROWS) * (double)o->llama.width;
    if (c->next == LABEL && c->weighed >= 0)
        return (so_work){SO_WORK_EXPECT, label * (double)(weighed_to(talk, c) - c->weighed)};
    if (c->next == LABEL && c->labelled >= c->n_label && talk->options.expect_rows < 0) label *= 2;
    if (c->next == LABEL) return (so_work){SO_WORK_LABELS, label * (double)o->text_rows};
    int64_t n = c->next == READ ? c->n_backbone : c->n_speech, layers = layers_to(talk, c, layers_of(talk, c->next));
    return (so_work){SO_WORK_LAYERS, (double)((n + READ_ROWS) * (layers - c->layer)) * so_llama_products(&o->llama)};
}

so_status so_talk_more(so_talk *talk, bool *done, so_error *error)
{
    so_slice *c = talk->slice;
    *done = !talk->wanted.slot;
    if (*done) return SO_OK;
    if (c->next != NOTHING) {
        so_status status = run_stage(talk, error);
        if (status != SO_OK) so_talk_unwant(talk); /* whoever goes on compares anew */
        SO_TRY(status);
        if (c->next == NOTHING) so_talk_put_beginning(talk);
        if (c->next == NOTHING) fill_slice(talk);
    }
    *done = c->next == NOTHING;
    if (*done) talk->wanted.slot = NULL;
    return SO_OK;
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
    bool speech = talk->model->setup.omni.speech;
    int64_t rows = talk->options.rows < talk->options.context ? talk->options.rows : talk->options.context;
    so_slice *c = talk->slice;
    so_slot slot = {0, speech ? SO_SLOT_SPEECH | SO_SLOT_EXPECT : SO_SLOT_TEXT};
    empty(c);
    for (int64_t i = 0; i < rows; i++) sort_in(talk, c, slot, speech, true);
    c->next = stage_after(c, NOTHING);
    while (c->next != NOTHING) SO_TRY(run_stage(talk, error));
    return SO_OK;
}
