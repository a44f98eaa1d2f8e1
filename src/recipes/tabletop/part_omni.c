/* Stage 3 of the paper: text, pictures and speech together. Only the language model learns, from what the frozen bottom
 * layers make of the user's speech: expected text embeddings, template included. Exchanges in writing are mixed in, so
 * that nothing learned in stage 1 is lost. The answer in speech needs no loss of its own here: the backbone never sees
 * generated speech.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset/tabletop/tabletop_dataset.h"
#include "recipes/tabletop/part_batch.h"
#include "recipes/tabletop/part_stages.h"
#include "recipes/tabletop/part_units.h"
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
} context;

/* Cells of what a spoken question names, on the rows where the bottom layers write the names down; the question is the
 * segment's, its rows the last ones of the batch. */
static void put_names(context *c, so_tt_batch *b, const so_tensor *ctc, const so_tt_speech_batch *s,
                      const so_tt_segment *g, const so_tt_item *item)
{
    so_scene scene;
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
    so_scene_make(&scene, item->scene);
    so_tt_batch_names(b, c->tt, &scene, item->question, &c->ids, row);
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

/* Spoken items of the corpus as conversations of the batch; who asks, and where a conversation ends, is drawn from
 * `slips` (NULL: each item is one). Every picture is shown with its question. */
static void put_spoken(context *c, so_tt_batch *b, int64_t n, const int64_t *item, so_rng *slips)
{
    so_pass *pass = b->pass;
    const so_tt *tt = c->tt;
    bool recording = pass->recording;
    so_tt_speech_batch *s = so_tt_speech_start(pass, tt);
    if (s) s->slips = slips;
    for (int64_t i = 0; s && i < n; i++) so_tt_speech_add(s, &c->units, item[i], true, false, &c->ids);
    if (!s || !so_ok(pass)) return;
    pass->recording = false;
    so_batch *batch = so_batch_many(pass, s->seqs, s->seq_rows, NULL);
    so_tensor *h = so_omni_hear(pass, &c->net, s->rows, s->id, batch);
    so_tensor *ctc = so_omni_ctc(pass, &c->net, h);
    b->heard = so_omni_expect(pass, &c->net, ctc);
    pass->recording = recording;
    double goes_on = slips && so_rng_uniform(slips) < LONG_ONES ? GOES_ON_LONG : GOES_ON;
    for (int64_t i = 0; i < n && so_ok(pass); i++) {
        const so_tt_item *it = &tt->corpus.item[item[i]];
        open_turn(c, b, slips && i > 0 && so_rng_uniform(slips) < goes_on);
        if (it->scene != ~(uint64_t)0) so_tt_batch_picture(b, it->scene);
        so_tt_batch_heard(b, s->segment[i].rows);
        if (b->aids && it->scene != ~(uint64_t)0 && so_ok(pass)) put_names(c, b, ctc, s, &s->segment[i], it);
        so_tt_batch_heard(b, (int64_t)tt->reply.n);
        c->ids.n = 0;
        if (so_tt_encode(tt, it->answer, &c->ids, &pass->error) == SO_OK)
            so_tt_batch_answer(b, c->ids.data, (int64_t)c->ids.n, tt->id->eot);
    }
}

/* `spread` (may be NULL): the questions are put as if they had been heard, by these random numbers. */
static void put_written(context *c, so_tt_batch *b, const so_scene *scene, int turns, const so_qa *qa, so_rng *spread)
{
    const so_tt *tt = c->tt;
    so_tt_batch_sequence(b);
    for (int t = 0; t < turns && so_ok(b->pass); t++) {
        const so_ids *open = t ? &tt->turn : &tt->head;
        so_tt_batch_text(b, open->data, (int64_t)open->n);
        if (t == 0 && scene) so_tt_batch_picture(b, scene->seed);
        if (spread)
            so_tt_batch_spread(tt, b, &c->ids, qa[t].question, spread);
        else
            so_tt_batch_question(b, tt, scene, qa[t].question, &c->ids);
        so_tt_batch_text(b, tt->reply.data, (int64_t)tt->reply.n);
        c->ids.n = 0;
        if (so_tt_encode(tt, qa[t].answer, &c->ids, &b->pass->error) != SO_OK) return;
        so_tt_batch_answer(b, c->ids.data, (int64_t)c->ids.n, tt->id->eot);
    }
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
    for (int i = 0; i < pictures && so_ok(pass); i++) {
        so_dialogue d;
        so_tabletop_dialogue(SO_TABLETOP_TRAIN, c->tt->seed + 1, (uint64_t)(m->step * pictures + i),
                             1 + (int)so_rng_below(&m->rng, TURNS), &d);
        put_written(c, b, &d.scene, d.turns, d.turn, NULL);
    }
    for (int i = 0; i < hard && so_ok(pass); i++) {
        so_scene scene;
        so_qa qa[HARD_TURNS];
        so_scene_make(&scene,
                      so_tabletop_scene_seed(SO_TABLETOP_TRAIN, c->tt->seed + 3, (uint64_t)(m->step * hard + i)));
        put_written(c, b, &scene, so_tabletop_hard(&scene, 1 + (int)so_rng_below(&m->rng, HARD_TURNS), &m->rng, qa), qa,
                    NULL);
    }
    for (int i = 0; i < talks + sums && so_ok(pass); i++) {
        so_qa qa[TALK_TURNS];
        int turns = 1 + (int)so_rng_below(&m->rng, TALK_TURNS);
        for (int t = 0; t < turns; t++)
            so_tabletop_talk(SO_TABLETOP_TRAIN, c->tt->seed + 1,
                             (uint64_t)((m->step * (talks + sums) + i) * TALK_TURNS + t),
                             i >= talks                      ? SO_TT_RECKONING
                             : so_rng_below(&m->rng, 5) == 0 ? SO_TALK_WIDER
                                                             : so_tt_chat(&m->rng),
                             &qa[t]);
        put_written(c, b, NULL, turns, qa, i % 2 ? &m->rng : NULL);
    }
    int longs = (int)so_tt_share("omni", "long");
    for (int i = 0; i < longs; i++)
        so_tt_batch_long(c->tt, b, &c->ids,
                         &(so_tt_long){SO_TABLETOP_TRAIN, c->tt->seed + 1, (uint64_t)(m->step * longs + i),
                                       so_tt_long_turns(&m->rng), &m->rng, so_rng_uniform(&m->rng) < LONG_HEARD});
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
    for (uint64_t i = 0; i < 8 && so_ok(pass); i++) {
        size_t mark = so_arena_mark(pass->arena);
        uint8_t right[32];
        memset(right, 1, sizeof right);
        so_tt_batch *b = so_tt_batch_start(pass, &c->net);
        for (uint64_t k = 0; b && k < 32; k++) {
            so_dialogue d;
            so_tabletop_dialogue(SO_TABLETOP_RESERVED, 5, i * 32 + k, 1, &d);
            put_written(c, b, &d.scene, 1, d.turn, NULL);
        }
        if (b) so_tt_batch_loss(b, right);
        for (int k = 0; k < 32; k++) so_notes_add(notes, "V+T to T", right[k], 1);
        so_arena_release(pass->arena, mark);
    }
    *error = pass->error;
    return error->status;
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
    so_status status = so_tt_learn(tt, &job, error);
    so_tt_units_close(&c.units);
    so_ids_clear(&c.ids);
    so_store_close(&store);
    return status;
}
