/* Stage 3 of the paper: text, pictures and speech together. Only the language model learns, from what the frozen bottom
 * layers make of the user's speech: expected text embeddings, template included. Exchanges in writing are mixed in, so
 * that nothing learned in stage 1 is lost. The answer in speech needs no loss of its own here: the backbone never sees
 * generated speech.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipes/tabletop/part_batch.h"
#include "recipes/tabletop/part_stages.h"
#include "recipes/tabletop/part_units.h"
#include "recipes/tabletop/tt_dataset.h"
#include "train/align.h"

enum { TURNS = 8, HARD_TURNS = 12, TALK_TURNS = 4 };

/* A spoken turn is followed by another of the same conversation so often, or, in a share of the batches, nearly always:
 * then conversations are as long as the context; most rows of a turn. */
static const double GOES_ON = 0.6, GOES_ON_LONG = 0.96, LONG_ONES = 0.4;
enum { LONGEST_SPOKEN = 500 };

/* Of long conversations, so many are put as if they had been heard. */
static const double LONG_HEARD = 0.7;

typedef struct context {
    const so_tt *tt;
    so_omni net;
    so_tt_units_file units;
    so_ids ids;
    int64_t train;
    so_tt_aids aids;
    so_dataset *spoken;
    so_tt_world world, reserved;
} context;

/* Cells of what a spoken question names, on the rows where the bottom layers write the names down; the question is the
 * segment's, its rows the last ones of the batch. */
static void put_names(context *c, so_tt_batch *b, const so_tensor *ctc, const so_tt_speech_batch *s,
                      const so_tt_segment *g, const so_scene *scene, const char *question)
{
    so_error error;
    so_pass *pass = b->pass;
    int64_t v = so_cols(ctc), first = b->rows - g->rows, at = 0;
    int32_t *heard = so_take(pass, (size_t)g->rows * sizeof *heard, false);
    int64_t *row = so_take(pass, (size_t)g->labels * sizeof *row, false);
    if (!row || so_ctc_align(&(so_ctc_ask){so_data(ctc) + g->row0 * v, g->rows, v, s->label + g->label0, g->labels,
                                           c->tt->id->blank},
                             heard, NULL, &error) != SO_OK)
        return; /* more tokens than units: nothing to tell */
    for (int64_t i = 0; i < g->labels; i++) {
        while (at < g->rows - 1 && heard[at] <= i) at++;
        row[i] = first + at;
    }
    c->ids.n = 0;
    for (int64_t i = 0; i < g->labels; i++)
        if (so_ids_put(&c->ids, s->label[g->label0 + i], &pass->error) != SO_OK) return;
    so_tt_batch_names(b, c->tt, scene, question, &c->ids, row);
}

/* Opens a spoken turn. One that goes on a conversation reads its header as text: ears hear one turn at a time, each
 * behind a head of its own. */
static void open_turn(context *c, so_tt_batch *b, bool goes_on)
{
    const so_tt *tt = c->tt;
    if (goes_on && b->seq_rows[b->seqs - 1] < SO_TT_CONTEXT - LONGEST_SPOKEN) {
        so_tt_batch_text(b, tt->turn.data, (int64_t)tt->turn.n);
        b->heard_used += (int64_t)tt->head.n;
        return;
    }
    so_tt_batch_sequence(b);
    so_tt_batch_heard(b, (int64_t)tt->head.n);
}

/* The picture of an item, its question, which is a segment of what was heard, and its answer. */
static void put_heard(context *c, so_tt_batch *b, int64_t item, const so_tensor *ctc, const so_tt_speech_batch *s,
                      const so_tt_segment *g)
{
    const so_tt *tt = c->tt;
    so_pass *pass = b->pass;
    so_record r;
    so_scene scene;
    so_qa qa;
    uint64_t seed;
    int shown = 0;
    if (so_dataset_read(c->spoken, item, &r, &pass->error) != SO_OK) return;
    bool sees = so_tt_exchange(&r, 0, &shown, &qa, &seed);
    so_record_clear(&r);
    if (sees) {
        so_scene_make(&scene, seed);
        so_tt_batch_picture(b, seed);
    }
    so_tt_batch_heard(b, g->rows);
    if (b->aids && sees && so_ok(pass)) put_names(c, b, ctc, s, g, &scene, qa.question);
    so_tt_batch_heard(b, (int64_t)tt->reply.n);
    c->ids.n = 0;
    if (so_tt_encode(tt, qa.answer, &c->ids, &pass->error) == SO_OK)
        so_tt_batch_answer(b, c->ids.data, (int64_t)c->ids.n, tt->id->eot);
}

/* Spoken items of the corpus as conversations of the batch; who asks, and where a conversation ends, is drawn from
 * `slips` (NULL: each item is one). Every picture is shown with its question. */
static void put_spoken(context *c, so_tt_batch *b, int64_t n, const int64_t *item, so_rng *slips)
{
    so_pass *pass = b->pass;
    const so_tt *tt = c->tt;
    bool recording = pass->recording;
    so_tt_speech_batch *s = so_tt_speech_start(pass, tt);
    if (s) s->slips = slips;
    for (int64_t i = 0; s && i < n; i++) so_tt_speech_add(s, c->spoken, item[i], true, false, &c->ids);
    if (!s || !so_ok(pass)) return;
    pass->recording = false;
    so_batch *batch = so_batch_many(pass, s->seqs, s->seq_rows, NULL);
    so_tensor *h = so_omni_hear(pass, &c->net, s->rows, s->id, batch);
    so_tensor *ctc = so_omni_ctc(pass, &c->net, h);
    b->heard = so_omni_expect(pass, &c->net, ctc);
    pass->recording = recording;
    double goes_on = slips && so_rng_uniform(slips) < LONG_ONES ? GOES_ON_LONG : GOES_ON;
    for (int64_t i = 0; i < n && so_ok(pass); i++) {
        open_turn(c, b, slips && i > 0 && so_rng_uniform(slips) < goes_on);
        put_heard(c, b, item[i], ctc, s, &s->segment[i]);
    }
}

static void put(context *c, so_tt_batch *b, const so_dataset *from, int64_t index, int turns)
{
    so_tt_batch_written(c->tt, b, &c->ids, &(so_tt_written){.from = from, .index = index, .turns = turns});
}

/* A dialogue without a picture, each of whose turns is talk of another kind: exchange number i * TALK_TURNS + turn of
 * its stream. `spread` (may be NULL): the questions are put as if they had been heard, by these random numbers. */
static void put_talk(context *c, so_tt_batch *b, int64_t i, bool sum, so_rng *rng, so_rng *spread)
{
    so_qa qa[TALK_TURNS];
    const so_tt_world *w = &c->world;
    int turns = 1 + (int)so_rng_below(rng, TALK_TURNS);
    for (int t = 0; t < turns; t++) {
        const so_dataset *from = sum ? w->sums : so_rng_below(rng, 5) == 0 ? w->wider : so_tt_world_talk(w, rng);
        int64_t number = i * TALK_TURNS + t;
        int shown = 0;
        uint64_t scene;
        so_record r;
        if (so_dataset_read(from, number / SO_TABLETOP_TALK_TURNS, &r, &b->pass->error) != SO_OK) return;
        so_tt_exchange(&r, (int)(number % SO_TABLETOP_TALK_TURNS), &shown, &qa[t], &scene);
        so_record_clear(&r);
    }
    so_tt_batch_sequence(b);
    for (int t = 0; t < turns && so_ok(b->pass); t++)
        so_tt_batch_turn(c->tt, b, &c->ids, t, NULL, false, &qa[t], spread);
}

static so_tensor *micro(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    int64_t item[SO_TT_SPEECH_SEQS];
    int hard = (int)so_tt_share("omni", "vt-t hard"), sums = (int)so_tt_share("omni", "reckoning");
    int spoken = (int)so_tt_share("omni", "spoken"), pictures = (int)so_tt_share("omni", "vt-t"),
        talks = (int)so_tt_share("omni", "chat");
    so_tt_batch *b = so_tt_batch_start(pass, &c->net);
    if (!b) return NULL;
    b->aids = &c->aids;
    b->part = "omni";
    b->notes = m->notes;
    for (int i = 0; i < spoken; i++) item[i] = so_rng_below(&m->rng, c->train);
    put_spoken(c, b, spoken, item, &m->rng);
    const so_tt_world *w = &c->world;
    for (int i = 0; i < pictures && so_ok(pass); i++)
        put(c, b, w->pictures, m->step * pictures + i, 1 + (int)so_rng_below(&m->rng, TURNS));
    for (int i = 0; i < hard && so_ok(pass); i++)
        put(c, b, w->hard, m->step * hard + i, 1 + (int)so_rng_below(&m->rng, HARD_TURNS));
    for (int i = 0; i < talks + sums && so_ok(pass); i++)
        put_talk(c, b, m->step * (talks + sums) + i, i >= talks, &m->rng, i % 2 ? &m->rng : NULL);
    int longs = (int)so_tt_share("omni", "long");
    for (int i = 0; i < longs && so_ok(pass); i++) {
        int turns = so_tt_long_turns(&m->rng);
        bool heard = so_rng_uniform(&m->rng) < LONG_HEARD;
        so_tt_batch_written(c->tt, b, &c->ids,
                            &(so_tt_written){.from = w->conversations,
                                             .index = m->step * longs + i,
                                             .turns = turns,
                                             .retype = heard ? NULL : &m->rng,
                                             .spread = heard ? &m->rng : NULL});
    }
    m->tokens = b->rows;
    return so_tt_batch_loss(b, NULL);
}

static so_status evaluate(void *p, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    context *c = p;
    (void)step;
    for (int64_t at = c->train; at + 28 <= c->units.count && so_ok(pass); at += 28) {
        size_t mark = so_arena_mark(pass->arena);
        int64_t item[28];
        uint8_t right[28];
        memset(right, 1, sizeof right);
        for (int i = 0; i < 28; i++) item[i] = at + i;
        so_tt_batch *b = so_tt_batch_start(pass, &c->net);
        if (!b) break;
        put_spoken(c, b, 28, item, NULL);
        so_tt_batch_loss(b, right);
        for (int i = 0; i < 28; i++)
            so_notes_add(notes, c->tt->corpus.item[item[i]].scene == ~(uint64_t)0 ? "S to T talk" : "V+S to T",
                         right[i], 1);
        so_arena_release(pass->arena, mark);
    }
    for (int64_t i = 0; i < 8 && so_ok(pass); i++) {
        size_t mark = so_arena_mark(pass->arena);
        uint8_t right[32];
        memset(right, 1, sizeof right);
        so_tt_batch *b = so_tt_batch_start(pass, &c->net);
        for (int64_t k = 0; b && k < 32; k++) put(c, b, c->reserved.pictures, i * 32 + k, 1);
        if (b) so_tt_batch_loss(b, right);
        for (int k = 0; k < 32; k++) so_notes_add(notes, "V+T to T", right[k], 1);
        so_arena_release(pass->arena, mark);
    }
    *error = pass->error;
    return error->status;
}

static so_status open_data(context *c, so_error *error)
{
    uint64_t seed = c->tt->seed;
    SO_TRY(so_tt_dataset_of(&c->spoken, c->tt, &c->units, 0, c->units.count, error));
    SO_TRY(so_tt_world_open(&c->world, SO_TABLETOP_TRAIN, (so_tt_world_seeds){seed + 1, seed + 3, seed + 1}, error));
    return so_tt_world_open(&c->reserved, SO_TABLETOP_RESERVED, (so_tt_world_seeds){5, 5, 5}, error);
}

so_status so_tt_omni(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "omni")) return SO_OK;
    context c = {.tt = tt};
    so_store store;
    SO_TRY(so_tt_omni_open(tt, &store, &c.net, (const char *[]){"eyes", "backbone", "bottom", NULL}, error));
    SO_TRY(so_tt_units_open(&c.units, tt, error));
    c.train = c.units.count - SO_TT_HELD_OUT;
    SO_TRY(so_tt_aids_bind(&c.aids, tt, &store, c.net.config.llama.width, error));
    so_tt_job job = {.part = "omni",
                     .store = &store,
                     .keep = (const char *[]){"backbone", NULL},
                     .hooks = {.context = &c, .micro = micro, .evaluate = evaluate}};
    so_status status = open_data(&c, error);
    if (status == SO_OK) status = so_tt_learn(tt, &job, error);
    so_tt_world_close(&c.world);
    so_tt_world_close(&c.reserved);
    so_dataset_close(&c.spoken);
    so_tt_units_close(&c.units);
    so_ids_clear(&c.ids);
    so_store_close(&store);
    return status;
}
