/* Prompts into the stores, and one step after another out of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/generate.h"

#include <stdlib.h>
#include <string.h>

#include "engine/choose.h"
#include "text/chat.h"

enum {
    CHUNK = 512,    /* slots of a prompt computed together */
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

static void start(so_talk *talk)
{
    talk->pass.error = (so_error){0};
    so_arena_release(talk->pass.arena, 0);
}

static so_status finish(so_talk *talk, so_error *error)
{
    const so_error *found = &talk->pass.error;
    return found->status == SO_OK ? SO_OK : so_fail(error, found->status, "%s", found->text);
}

static void keep_last(so_talk *talk, const so_tensor *t, so_real *out)
{
    if (!t || talk->pass.dry) return;
    int64_t c = so_cols(t);
    memcpy(out, so_data(t) + (so_rows(t) - 1) * c, (size_t)c * sizeof *out);
}

/* Labels of rows of the bottom layers' output; a few rows at a time, because a whole distribution per row is large. */
static void label_rows(so_talk *talk, so_tensor *h, int64_t n, const int32_t *row, const int32_t *at)
{
    so_pass *pass = &talk->pass;
    for (int64_t r0 = 0; r0 < n && so_ok(pass); r0 += CTC_CHUNK) {
        int64_t rows = n - r0 < CTC_CHUNK ? n - r0 : CTC_CHUNK;
        size_t mark = so_arena_mark(pass->arena);
        so_tensor *z = so_omni_ctc(pass, &talk->model->net, so_take_rows(pass, h, rows, row + r0));
        for (int64_t i = 0; z && i < rows && !pass->dry; i++)
            talk->label[at[r0 + i]] = so_argmax(so_data(z) + i * so_cols(z), so_cols(z));
        so_arena_release(pass->arena, mark);
    }
}

/* The same, and expected text embeddings [n, D]. */
static so_tensor *expect(so_talk *talk, so_tensor *h, int64_t n, const int32_t *row, const int32_t *at)
{
    so_pass *pass = &talk->pass;
    const so_omni *net = &talk->model->net;
    int64_t width = so_cols(h);
    so_tensor *e = so_new2(pass, n, width);
    for (int64_t r0 = 0; e && r0 < n && so_ok(pass); r0 += CTC_CHUNK) {
        int64_t rows = n - r0 < CTC_CHUNK ? n - r0 : CTC_CHUNK;
        size_t mark = so_arena_mark(pass->arena);
        so_tensor *z = so_omni_ctc(pass, net, so_take_rows(pass, h, rows, row + r0));
        for (int64_t i = 0; z && i < rows && !pass->dry; i++)
            talk->label[at[r0 + i]] = so_argmax(so_data(z) + i * so_cols(z), so_cols(z));
        so_tensor *part = so_omni_expect(pass, net, z);
        if (part && !pass->dry)
            memcpy(so_data(e) + r0 * width, so_data(part), (size_t)(rows * width) * sizeof(so_real));
        so_arena_release(pass->arena, mark);
    }
    return e;
}

/* A stack over rows x; returns its normed output and moves the store on. */
static so_tensor *run_backbone(so_talk *talk, so_tensor *x)
{
    so_pass *pass = &talk->pass;
    if (!x) return NULL;
    so_batch *batch = so_batch_one(pass, so_rows(x), &talk->backbone);
    so_tensor *y = so_omni_think(pass, &talk->model->net, x, batch);
    if (!so_ok(pass)) return NULL;
    if (!pass->dry) so_batch_advance(batch);
    keep_last(talk, y, talk->thought);
    talk->thought_at = talk->backbone.len;
    return y;
}

static so_tensor *run_top(so_talk *talk, so_tensor *h, const so_fusion *fusion)
{
    so_pass *pass = &talk->pass;
    if (!h) return NULL;
    so_batch *batch = so_batch_one(pass, so_rows(h), &talk->top);
    so_tensor *y = so_omni_speak(pass, &talk->model->net, h, batch, fusion);
    if (!so_ok(pass)) return NULL;
    if (!pass->dry) so_batch_advance(batch);
    return y;
}

/* The top layers read the speech side one row late: its last row waits in talk->h, because only the last row of a
 * prompt and the rows after it take text in. */
static void pass_on(so_talk *talk, so_tensor *h)
{
    so_pass *pass = &talk->pass;
    if (!h || !talk->options.speaks) return;
    int64_t rows = so_rows(h), width = so_cols(h), waiting = talk->pending || pass->dry;
    int64_t n = waiting + rows - 1;
    if (n > 0) {
        so_tensor *x = so_new2(pass, n, width);
        if (!x) return;
        if (!pass->dry) {
            if (waiting) memcpy(so_data(x), talk->h, (size_t)width * sizeof(so_real));
            memcpy(so_data(x) + waiting * width, so_data(h), (size_t)((rows - 1) * width) * sizeof(so_real));
        }
        run_top(talk, x, NULL);
    }
    keep_last(talk, h, talk->h);
    talk->pending = so_ok(pass) && !pass->dry;
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

static chunk *new_chunk(so_pass *pass)
{
    chunk *c = so_take(pass, sizeof *c, false);
    int32_t *memory = so_take(pass, 8 * CHUNK * sizeof *memory, false);
    so_slot *read = so_take(pass, CHUNK * sizeof *read, false);
    if (!read) return NULL;
    *c = (chunk){.speech = memory,
                 .text = memory + CHUNK,
                 .expect_row = memory + 2 * CHUNK,
                 .expect_at = memory + 3 * CHUNK,
                 .part = memory + 4 * CHUNK,
                 .row = memory + 5 * CHUNK,
                 .read = read,
                 .label_row = memory + 6 * CHUNK,
                 .label_at = memory + 7 * CHUNK};
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
    if (speech && !expected && slot.where & SO_SLOT_LABEL) {
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

/* The backbone's rows of a chunk, from their up to three sources. */
static so_tensor *assemble(so_talk *talk, chunk *c, so_tensor *e)
{
    so_pass *pass = &talk->pass;
    so_tensor *source[3] = {e, NULL, NULL}, *part[3];
    int32_t number[3];
    int parts = 0;
    if (c->n_text) source[1] = so_omni_read(pass, &talk->model->net, c->n_text, c->text);
    so_tensor *pictures = so_take(pass, sizeof *pictures, true);
    if (!pictures) return NULL;
    *pictures = (so_tensor){.data = talk->vectors,
                            .type = SO_F32,
                            .n_dims = 2,
                            .dim = {talk->n_vectors, talk->model->setup.omni.llama.width}};
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
    so_pass *pass = &talk->pass;
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

so_status so_talk_sync(so_talk *talk, const so_slot *slot, int64_t n, so_error *error)
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
    int64_t speech = 0, backbone = 0;
    for (int64_t i = 0; i < n;) {
        start(talk);
        chunk *c = new_chunk(&talk->pass);
        for (int64_t used = 0; c && i < n && used < CHUNK; i++) {
            bool hears = slot[i].where & SO_SLOT_SPEECH && speech++ >= k.speech;
            bool reads = slot[i].where & ON_BACKBONE && backbone++ >= k.backbone;
            if (!hears && !reads) continue;
            sort_in(talk, c, slot[i], hears, reads);
            used++;
        }
        if (c && (c->n_speech || c->n_backbone)) run_chunk(talk, c);
        SO_TRY(finish(talk, error));
    }
    return SO_OK;
}

/* ---- pictures */

static so_tensor *see_views(so_talk *talk, int views, const float *pixels)
{
    so_pass *pass = &talk->pass;
    const so_omni *net = &talk->model->net;
    const so_siglip_config *c = &net->config.siglip;
    int64_t patches = so_siglip_grid(c) * so_siglip_grid(c), width = net->config.llama.width;
    so_tensor *all = so_new2(pass, views * patches, width);
    const so_kernels *rest = pass->k;
    pass->k = talk->model->encoders;
    for (int i = 0; all && i < views && so_ok(pass); i++) {
        size_t mark = so_arena_mark(pass->arena);
        so_tensor *v = so_omni_see(pass, net, 1, pixels + (size_t)i * 3 * (size_t)(c->image * c->image));
        if (v && !pass->dry)
            memcpy(so_data(all) + i * patches * width, so_data(v), (size_t)(patches * width) * sizeof(so_real));
        so_arena_release(pass->arena, mark);
    }
    pass->k = rest;
    return all;
}

static float *take_pixels(so_talk *talk, int views)
{
    int64_t side = talk->model->setup.omni.siglip.image;
    return so_take(&talk->pass, (size_t)(views * 3 * side * side) * sizeof(float), false);
}

so_status so_talk_see(so_talk *talk, const so_image_views *views, int64_t *first, int64_t *n, so_error *error)
{
    const so_model *model = talk->model;
    const so_omni_config *c = &model->setup.omni;
    if (!c->vision || !talk->options.sees) return so_fail(error, SO_ERR_UNSUPPORTED, "the model does not see");
    so_picture pic = {views->n,
                      views->grid_w,
                      views->grid_h,
                      views->image_w,
                      views->image_h,
                      (int)so_siglip_grid(&c->siglip),
                      model->pictures.mode == SO_IMAGE_ANYRES};
    *n = so_picture_vectors(&model->setup, &pic);
    *first = talk->n_vectors;
    if (views->n > talk->max_views || *n > talk->max_vectors - talk->n_vectors)
        return so_fail(error, SO_ERR_LIMIT, "a picture of %lld vectors in %d views, there is room for %lld in %d",
                       (long long)*n, views->n, (long long)(talk->max_vectors - talk->n_vectors), talk->max_views);
    start(talk);
    float *pixels = take_pixels(talk, views->n);
    if (pixels) so_image_normalise(views, &model->pictures, pixels);
    so_tensor *all = pixels ? see_views(talk, views->n, pixels) : NULL;
    SO_TRY(finish(talk, error));
    const so_tensor *newline = model->net.image_newline;
    SO_TRY(so_picture_merge(&model->setup, &pic, c->llama.width, so_data(all), newline ? so_data(newline) : NULL,
                            talk->vectors + *first * c->llama.width, error));
    talk->n_vectors += *n;
    return SO_OK;
}

void so_talk_forget(so_talk *talk, int64_t first)
{
    /* The same vector numbers will stand for another picture: what the backbone read of them is void. */
    for (int64_t i = 0; i < talk->backbone.len; i++)
        if (talk->read[i].where == SO_SLOT_IMAGE && talk->read[i].id >= first) talk->backbone.len = i;
    if (first < talk->n_vectors) talk->n_vectors = first;
}

/* ---- answers */

so_status so_talk_begin(so_talk *talk, bool voice, so_error *error)
{
    if (talk->backbone.len == 0) return so_fail(error, SO_ERR_STATE, "an answer to nothing");
    if (voice && !talk->pending)
        return so_fail(error, SO_ERR_STATE, "a spoken answer without a prompt on the speech side");
    start(talk);
    so_arena_trim(&talk->scratch); /* an answer's rows need less than the prompt's */
    talk->n_text = talk->n_memory = talk->n_units = 0;
    talk->voice = voice;
    talk->typed = talk->read[talk->backbone.len - 1].where != (SO_SLOT_SPEECH | SO_SLOT_EXPECT);
    talk->target = talk->options.lookahead;
    talk->last_label = talk->last_symbol = talk->model->blank;
    talk->n_spoken = talk->idle = 0;
    talk->spoke = false;
    talk->script = NULL;
    talk->n_ready = talk->n_given = 0;
    talk->watched = talk->cut = false;
    talk->repeat = (so_repeat){0};
    talk->end = SO_END_NONE;
    return SO_OK;
}

void so_talk_sampling(so_talk *talk, const so_sampling *how, bool anew)
{
    talk->options.sampling = *how;
    if (anew) so_rng_init(&talk->rng, how->seed, 0);
}

void so_talk_recite(so_talk *talk, const int32_t *ids, int64_t n)
{
    talk->script = ids;
    talk->n_script = n;
}

/* The backbone reads its own last token, if any, and names the next. */
static int32_t think_on(so_talk *talk)
{
    so_pass *pass = &talk->pass;
    int64_t width = talk->model->setup.omni.llama.width;
    if (talk->n_text || pass->dry) {
        int32_t id = pass->dry ? 0 : talk->text[talk->n_text - 1];
        int64_t at = talk->backbone.len;
        if (run_backbone(talk, so_omni_read(pass, &talk->model->net, 1, &id)) && !pass->dry)
            talk->read[at] = (so_slot){id, SO_SLOT_TEXT};
    }
    so_tensor *hidden = so_constant(pass, 2, (int64_t[]){1, width}, talk->thought);
    return so_choose_text(talk, hidden);
}

/* The id that the backbone writes next. */
static so_status choose_text(so_talk *talk, int32_t *id, so_error *error)
{
    if (talk->cut || talk->script) {
        *id = !talk->cut && talk->n_text < talk->n_script ? talk->script[talk->n_text] : talk->model->eot;
        return SO_OK;
    }
    start(talk);
    *id = think_on(talk);
    return finish(talk, error);
}

/* Ready tokens go to where the top layers see them: as many as are due, or all. */
static void give(so_talk *talk, bool all)
{
    while (talk->n_given < talk->n_ready && (all || talk->n_memory < talk->target)) {
        int32_t id = talk->text[talk->n_given++];
        if (so_model_spoken(talk->model, id) || talk->options.loop == SO_LOOP_PAPER)
            talk->memory_ids[talk->n_memory++] = id;
    }
}

void so_talk_ready(so_talk *talk, int64_t n) { talk->n_ready = n; }

void so_talk_cut(so_talk *talk, int64_t n)
{
    talk->n_text = talk->n_ready = n;
    talk->cut = true;
    bool words = false;
    for (int64_t i = 0; i < n; i++) words |= so_model_spoken(talk->model, talk->text[i]);
    if (!talk->voice || !words) talk->end = SO_END_STOP_TEXT;
}

static so_made take_text(so_talk *talk, int32_t id)
{
    talk->text[talk->n_text++] = id;
    if (!talk->watched || talk->cut) talk->n_ready = talk->n_text;
    bool stop = talk->voice ? id == talk->model->eot : so_model_stops(talk->model, id);
    if (stop && (!talk->voice || talk->options.loop == SO_LOOP_PAPER)) talk->end = SO_END_STOP;
    if (!talk->voice && !stop && talk->n_text == talk->options.max_text) talk->end = SO_END_LENGTH;
    bool circles = so_repeat_add(&talk->repeat, talk->text, talk->n_text);
    if (!talk->voice && !talk->end && circles && !talk->options.circles) talk->end = SO_END_RUN_AWAY;
    return (so_made){SO_STEP_TEXT, id, stop, talk->backbone.len - 1};
}

/* Beside units: whether one more text token is due. */
static bool text_is_due(so_talk *talk)
{
    give(talk, false);
    if (talk->n_memory >= talk->target || talk->n_text == talk->options.max_text) return false;
    if (talk->n_text && talk->backbone.len == talk->backbone.capacity) return false;
    int32_t last = talk->n_text ? talk->text[talk->n_text - 1] : -1;
    if ((talk->script || talk->cut) && last == talk->model->eot) return false;
    if (talk->n_memory == 0) return true;
    int32_t remembered = talk->memory_ids[talk->n_memory - 1];
    /* The published code asks for the last token in one mode, for the last remembered one in the other. */
    if (talk->typed && talk->options.loop == SO_LOOP_RELEASED)
        return remembered != talk->model->eot && remembered != talk->model->blank;
    return last != talk->model->eot;
}

/* The speech side hears the unit just made; a new word in it calls for one more text token. */
static void hear_own(so_talk *talk)
{
    so_pass *pass = &talk->pass;
    int32_t id = pass->dry ? 0 : talk->last_unit;
    int64_t at = talk->bottom.len;
    so_batch *batch = so_batch_one(pass, 1, &talk->bottom);
    so_tensor *h = so_omni_hear(pass, &talk->model->net, 1, &id, batch);
    int32_t label = so_likeliest(talk, h, SO_HEAD_CTC);
    if (!so_ok(pass) || pass->dry) return;
    so_batch_advance(batch);
    keep_last(talk, h, talk->h);
    talk->pending = true;
    talk->heard[at] = id;
    talk->label[at] = label;
}

/* A voice that has gone through its text, or that gets no further in it, may go on for ever. Words beyond those of the
 * text are repetitions and count as no progress. */
static void watch_progress(so_talk *talk, bool new_word)
{
    int64_t most = talk->options.units_per_token;
    talk->n_spoken += new_word;
    talk->idle = new_word && talk->n_spoken <= talk->n_memory ? 0 : talk->idle + 1;
    if (most > 0 && talk->idle >= most) talk->end = SO_END_RUN_AWAY;
}

static so_status hear_unit(so_talk *talk, so_error *error)
{
    if (talk->bottom.len == talk->bottom.capacity) {
        talk->end = SO_END_CONTEXT;
        return SO_OK;
    }
    start(talk);
    hear_own(talk);
    SO_TRY(finish(talk, error));
    int32_t label = talk->label[talk->bottom.len - 1];
    int32_t against = talk->options.loop == SO_LOOP_PAPER ? talk->last_symbol : talk->last_label;
    bool new_word = label != talk->model->blank && label != against;
    if (new_word && talk->target < talk->n_memory + 1) talk->target = talk->n_memory + 1;
    if (label != talk->model->blank) talk->last_label = label;
    talk->last_symbol = label;
    talk->spoke = false;
    watch_progress(talk, new_word);
    return SO_OK;
}

/* The waiting row goes through the top layers together with the text window; the id it says. */
static int32_t speak_on(so_talk *talk)
{
    so_pass *pass = &talk->pass;
    int64_t width = talk->model->setup.omni.llama.width, window = talk->options.window;
    int64_t n = pass->dry ? talk->options.max_text : talk->n_memory, m = window < 0 || window > n ? n : window;
    int32_t *pos = so_take(pass, (size_t)(m + 1) * sizeof *pos, false);
    if (!pos) return 0;
    for (int64_t i = 0; i < m; i++) pos[i] = (int32_t)(n - m + i);
    so_fusion fusion = {.memory_rows = m,
                        .memory_ids = talk->memory_ids + (n - m),
                        .memory_pos = pos,
                        .rows = m > 0,
                        .row = (int32_t[]){0},
                        .pos = (int32_t[]){(int32_t)talk->top.len},
                        .n_seqs = 1,
                        .seq_rows = (int64_t[]){1},
                        .ranges = {.memory0 = (int64_t[]){0},
                                   .memory_rows = (int64_t[]){m},
                                   .lo = (int32_t[]){0},
                                   .hi = (int32_t[]){(int32_t)m}}};
    so_tensor *h = so_constant(pass, 2, (int64_t[]){1, width}, talk->h);
    so_tensor *row = run_top(talk, h, &fusion);
    if (talk->options.only_units) return so_choose_unit(talk, row);
    return so_choose(talk, row, SO_HEAD_UNIT, false);
}

static so_status choose_unit(so_talk *talk, int32_t *id, so_error *error)
{
    start(talk);
    *id = speak_on(talk);
    return finish(talk, error);
}

static so_made take_unit(so_talk *talk, int32_t id)
{
    talk->pending = false;
    talk->last_unit = id;
    talk->spoke = true;
    talk->n_units++;
    bool stop = so_model_stops(talk->model, id);
    if (stop)
        talk->end = SO_END_STOP;
    else if (talk->n_units == talk->options.max_units)
        talk->end = SO_END_LENGTH;
    return (so_made){SO_STEP_UNIT, id, stop, talk->top.len - 1};
}

/* What is due next; hears the unit made last before that is known. */
static so_status next_kind(so_talk *talk, so_step_kind *kind, so_error *error)
{
    *kind = SO_STEP_END;
    if (talk->end) return SO_OK;
    if (talk->spoke) SO_TRY(hear_unit(talk, error));
    if (!talk->voice && talk->n_text && talk->backbone.len == talk->backbone.capacity) talk->end = SO_END_CONTEXT;
    if (!talk->end) *kind = !talk->voice || text_is_due(talk) ? SO_STEP_TEXT : SO_STEP_UNIT;
    return SO_OK;
}

static so_status choose(so_talk *talk, so_step_kind kind, int32_t *id, so_error *error)
{
    return kind == SO_STEP_TEXT ? choose_text(talk, id, error) : choose_unit(talk, id, error);
}

static so_made take(so_talk *talk, so_step_kind kind, int32_t id)
{
    return kind == SO_STEP_TEXT ? take_text(talk, id) : take_unit(talk, id);
}

so_status so_talk_step(so_talk *talk, so_made *made, so_error *error)
{
    so_step_kind kind;
    int32_t id;
    *made = (so_made){.kind = SO_STEP_END};
    SO_TRY(next_kind(talk, &kind, error));
    if (kind == SO_STEP_END) return SO_OK;
    SO_TRY(choose(talk, kind, &id, error));
    *made = take(talk, kind, id);
    return SO_OK;
}

so_status so_talk_take(so_talk *talk, const so_made *given, so_error *error)
{
    so_step_kind kind;
    int32_t id;
    SO_TRY(next_kind(talk, &kind, error));
    if (talk->end == SO_END_RUN_AWAY) talk->end = SO_END_NONE;
    if (talk->end || given->kind == SO_STEP_END) return SO_OK;
    give(talk, true);
    SO_TRY(choose(talk, given->kind, &id, error));
    take(talk, given->kind, given->id);
    return SO_OK;
}

void so_talk_watch(so_talk *talk, const so_watch *watch) { talk->pass.watch = watch; }

/* ---- memory */

/* Everything a session may do, dry: what it needs of the scratch arena. */
static so_status rehearse(so_talk *talk, so_error *error)
{
    so_pass *pass = &talk->pass;
    const so_omni_config *c = &talk->model->setup.omni;
    pass->dry = true;
    start(talk);
    chunk *all = new_chunk(pass);
    so_slot slot = {0, c->speech ? SO_SLOT_SPEECH | SO_SLOT_EXPECT : SO_SLOT_TEXT};
    for (int i = 0; all && i < CHUNK; i++) sort_in(talk, all, slot, c->speech, true);
    if (all) run_chunk(talk, all);
    SO_TRY(finish(talk, error));
    start(talk);
    think_on(talk);
    if (c->speech) hear_own(talk);
    if (talk->options.speaks) speak_on(talk);
    SO_TRY(finish(talk, error));
    start(talk);
    if (talk->options.sees && take_pixels(talk, talk->max_views)) see_views(talk, talk->max_views, NULL);
    SO_TRY(finish(talk, error));
    pass->dry = false;
    return SO_OK;
}

/* Takes the session's parts from talk->memory; with `dry` memory only sizes count. */
static bool take_parts(so_talk *talk)
{
    const so_omni_config *c = &talk->model->setup.omni;
    const so_talk_options *o = &talk->options;
    so_arena *a = &talk->memory;
    int64_t width = c->llama.width, kv = c->llama.kv_heads * c->llama.head_width, n = o->context;
    so_kv *store[] = {&talk->bottom, &talk->backbone, &talk->top};
    int64_t layers[] = {c->speech ? c->bottom : 0, c->backbone, o->speaks ? c->top : 0};
    for (int i = 0; i < 3; i++) {
        *store[i] = (so_kv){NULL, o->kv, layers[i], kv, layers[i] || i == 0 ? n : 0, 0};
        store[i]->data = so_arena_alloc(a, so_kv_bytes(o->kv, layers[i], kv, store[i]->capacity) + 1);
    }
    size_t row = (size_t)width * sizeof(so_real);
    talk->heard = so_arena_alloc(a, (size_t)n * sizeof *talk->heard);
    talk->label = so_arena_alloc(a, (size_t)n * sizeof *talk->label);
    talk->read = so_arena_alloc(a, (size_t)n * sizeof *talk->read);
    talk->h = so_arena_alloc(a, row);
    talk->thought = so_arena_alloc(a, row);
    talk->vectors = so_arena_alloc(a, row * (size_t)talk->max_vectors + 1);
    talk->text = so_arena_alloc(a, (size_t)o->max_text * sizeof *talk->text);
    talk->memory_ids = so_arena_alloc(a, (size_t)o->max_text * sizeof *talk->memory_ids);
    int64_t most = c->text_rows > c->audio_rows ? c->text_rows : c->audio_rows;
    return so_sampler_init(&talk->sampler, a, most) && talk->memory_ids;
}

static void set_options(so_talk *talk, const so_model *model, const so_talk_options *options)
{
    *talk = (so_talk){.model = model, .options = *options};
    so_talk_options *o = &talk->options;
    const so_setup *s = &model->setup;
    if (o->lookahead <= 0) o->lookahead = s->lookahead > 0 ? s->lookahead : 3;
    if (o->window == 0) o->window = s->window > 0 ? s->window : 5;
    if (o->max_text <= 0) o->max_text = 1024;
    if (o->max_units <= 0) o->max_units = 1024;
    if (o->context <= 0) o->context = model->context;
    o->sees = o->sees && s->omni.vision;
    o->speaks = o->speaks && s->omni.speech;
    if (o->sees) talk->max_vectors = so_picture_most(s, &model->pictures, &talk->max_views);
}

static so_status measure(so_talk *talk, size_t *session, size_t *scratch, so_error *error)
{
    enum { WIDE = 40 }; /* a terabyte of addresses, never touched but for the tensors' heads */
    SO_TRY(so_arena_init(&talk->memory, (size_t)1 << WIDE, error));
    so_status status = so_arena_init(&talk->scratch, (size_t)1 << WIDE, error);
    so_pass_init(&talk->pass, &talk->scratch, NULL, talk->model->kernels);
    bool fits = status == SO_OK && take_parts(talk);
    if (status == SO_OK && !fits) status = so_fail(error, SO_ERR_NOMEM, "a session does not fit a terabyte");
    if (fits) status = rehearse(talk, error);
    *session = talk->memory.peak;
    *scratch = talk->scratch.peak;
    so_arena_clear(&talk->memory);
    so_arena_clear(&talk->scratch);
    return status;
}

so_status so_talk_plan(const so_model *model, const so_talk_options *options, size_t *session, size_t *scratch,
                       so_error *error)
{
    so_talk talk;
    set_options(&talk, model, options);
    return measure(&talk, session, scratch, error);
}

static so_status open_talk(so_talk *talk, const so_model *model, const so_talk_options *options, so_error *error)
{
    size_t session = 0, scratch = 0;
    set_options(talk, model, options);
    SO_TRY(measure(talk, &session, &scratch, error));
    SO_TRY(so_arena_init(&talk->memory, session, error));
    SO_TRY(so_arena_init(&talk->scratch, scratch, error));
    if (!take_parts(talk)) return so_fail(error, SO_ERR_NOMEM, "a session of %zu bytes", session);
    so_pass_init(&talk->pass, &talk->scratch, model->pool, model->kernels);
    so_rng_init(&talk->rng, talk->options.sampling.seed, 0);
    return SO_OK;
}

so_status so_talk_open(so_talk **out, const so_model *model, const so_talk_options *options, so_error *error)
{
    *out = NULL;
    so_talk *talk = malloc(sizeof *talk);
    if (!talk) return so_fail(error, SO_ERR_NOMEM, "no memory for a conversation");
    so_status status = open_talk(talk, model, options, error);
    if (status == SO_OK)
        *out = talk;
    else
        so_talk_close(&talk);
    return status;
}

void so_talk_close(so_talk **talk)
{
    if (!talk || !*talk) return;
    so_arena_clear(&(*talk)->memory);
    so_arena_clear(&(*talk)->scratch);
    free(*talk);
    *talk = NULL;
}
