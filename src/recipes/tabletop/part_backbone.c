/* The backbone, stage 1 of the paper: text and pictures to text. The tower stays as the eyes left it; projector and
 * language model learn. There is no published Llama of this size, so the language model begins from nothing: dialogues
 * without a picture teach it the rest of the world's text.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset/tabletop/tabletop_dataset.h"
#include "recipes/tabletop/part_batch.h"
#include "recipes/tabletop/part_stages.h"

enum { TURNS = 12, TALK_TURNS = 5 };

typedef struct context {
    const so_tt *tt;
    so_omni net;
    so_ids ids; /* scratch */
    so_tt_aids aids;
} context;

/* Returns the kind of the first turn. */
static so_tabletop_kind put_dialogue(context *c, so_tt_batch *b, so_tabletop_part part, uint64_t seed, uint64_t index,
                                     int turns)
{
    so_dialogue d;
    so_tabletop_dialogue(part, seed, index, turns, &d);
    so_tt_batch_sequence(b);
    for (int t = 0; t < d.turns; t++) so_tt_batch_turn(c->tt, b, &c->ids, t, &d.scene, t == 0, &d.turn[t], NULL);
    return d.turn[0].kind;
}

static void put_hard(context *c, so_tt_batch *b, uint64_t index, int turns, so_rng *rng)
{
    so_scene scene;
    so_qa qa[TURNS];
    so_scene_make(&scene, so_tabletop_scene_seed(SO_TABLETOP_TRAIN, c->tt->seed + 2, index));
    int n = so_tabletop_hard(&scene, turns, rng, qa);
    so_tt_batch_sequence(b);
    for (int t = 0; t < n; t++) so_tt_batch_turn(c->tt, b, &c->ids, t, &scene, t == 0, &qa[t], NULL);
}

static so_tabletop_kind put_talk(context *c, so_tt_batch *b, so_tabletop_part part, uint64_t seed, uint64_t index,
                                 uint32_t kinds, int turns)
{
    so_qa qa = {0};
    so_tt_batch_sequence(b);
    for (int t = 0; t < turns; t++) {
        so_tabletop_talk(part, seed, index * 16 + (uint64_t)t, kinds, &qa);
        so_tt_batch_turn(c->tt, b, &c->ids, t, NULL, false, &qa, NULL);
    }
    return qa.kind;
}

static so_tensor *micro(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    so_tt_batch *b = so_tt_batch_start(pass, &c->net);
    if (!b) return NULL;
    b->aids = &c->aids;
    b->part = "backbone";
    b->notes = m->notes;
    int pictures = (int)so_tt_share("backbone", "vt-t"), talks = (int)so_tt_share("backbone", "chat");
    int hard = (int)so_tt_share("backbone", "vt-t hard"), sums = (int)so_tt_share("backbone", "reckoning");
    uint64_t first = (uint64_t)m->step * (uint64_t)pictures;
    for (int i = 0; i < pictures; i++)
        put_dialogue(c, b, SO_TABLETOP_TRAIN, c->tt->seed, first + (uint64_t)i, 1 + (int)so_rng_below(&m->rng, TURNS));
    for (int i = 0; i < talks; i++)
        put_talk(c, b, SO_TABLETOP_TRAIN, c->tt->seed, first + (uint64_t)i, so_tt_chat(&m->rng),
                 1 + (int)so_rng_below(&m->rng, TALK_TURNS));
    for (int i = 0; i < hard; i++) put_hard(c, b, first + (uint64_t)i, 1 + (int)so_rng_below(&m->rng, TURNS), &m->rng);
    for (int i = 0; i < sums; i++)
        put_talk(c, b, SO_TABLETOP_TRAIN, c->tt->seed + 2, first + (uint64_t)i, SO_TT_RECKONING,
                 1 + (int)so_rng_below(&m->rng, 2 * TALK_TURNS));
    int longs = (int)so_tt_share("backbone", "long");
    for (int i = 0; i < longs; i++)
        so_tt_batch_long(c->tt, b, &c->ids,
                         &(so_tt_long){SO_TABLETOP_TRAIN, c->tt->seed, (uint64_t)(m->step * longs + i),
                                       so_tt_long_turns(&m->rng), &m->rng});
    m->tokens = b->rows;
    so_tensor *loss = so_tt_batch_loss(b, NULL);
    if (loss) so_notes_add(m->notes, "all", so_data(loss)[0], 1);
    return loss;
}

/* Answers of long conversations by turn, and of what lies outside: right, and inside ones refused. */
static void evaluate_long(context *c, so_pass *pass, so_notes *notes)
{
    enum { MANY = 12, LENGTH = 60 };
    for (uint64_t i = 0; i < MANY && so_ok(pass); i++) {
        size_t mark = so_arena_mark(pass->arena);
        so_tabletop_turn turn[SO_TT_LONG_TURNS];
        uint8_t right[SO_TT_LONG_TURNS];
        memset(right, 1, sizeof right);
        so_tt_batch *b = so_tt_batch_start(pass, &c->net);
        if (!b) break;
        int turns = so_tt_batch_long(c->tt, b, &c->ids, &(so_tt_long){SO_TABLETOP_RESERVED, 3, i, LENGTH, .rng = NULL});
        so_tabletop_conversation(SO_TABLETOP_RESERVED, 3, i, LENGTH, turn);
        so_tt_batch_loss(b, right);
        for (int t = 0; t < turns; t++) {
            bool outside = so_tabletop_declines(turn[t].qa.answer);
            if (!outside)
                so_notes_add(notes, t < 10 ? "turns to 10" : t < 30 ? "turns to 30" : "turns to 60", right[t], 1);
            else
                so_notes_add(notes, "outside", right[t], 1);
        }
        so_arena_release(pass->arena, mark);
    }
}

static so_status evaluate(void *p, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    context *c = p;
    (void)step;
    for (uint64_t i = 0; i < 16 && so_ok(pass); i++) {
        size_t mark = so_arena_mark(pass->arena);
        uint8_t right[64];
        so_tabletop_kind kind[64];
        memset(right, 1, sizeof right);
        so_tt_batch *b = so_tt_batch_start(pass, &c->net);
        if (!b) break;
        for (uint64_t k = 0; k < 32; k++) {
            if (i % 2)
                kind[k] = put_talk(c, b, SO_TABLETOP_RESERVED, 3, i * 32 + k, 0, 1);
            else
                kind[k] = put_dialogue(c, b, SO_TABLETOP_RESERVED, 3, i * 32 + k, 1);
        }
        so_tt_batch_loss(b, right);
        for (int k = 0; k < 32; k++) {
            so_notes_add(notes, i % 2 ? "talk exact" : "picture exact", right[k], 1);
            so_notes_add(notes, so_tabletop_kind_name((int)kind[k]), right[k], 1);
        }
        so_arena_release(pass->arena, mark);
    }
    evaluate_long(c, pass, notes);
    *error = pass->error;
    return error->status;
}

so_status so_tt_backbone(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "backbone")) return SO_OK;
    context c = {.tt = tt};
    so_store store;
    SO_TRY(so_tt_omni_open(tt, &store, &c.net, (const char *[]){"eyes", NULL}, error));
    SO_TRY(so_tt_aids_bind(&c.aids, tt, &store, c.net.config.llama.width, error));
    so_tt_job job = {.part = "backbone",
                     .store = &store,
                     .hooks = {.context = &c, .micro = micro, .evaluate = evaluate},
                     .keep = (const char *[]){"backbone", "projector", NULL}};
    so_status status = so_tt_learn(tt, &job, error);
    so_store_close(&store);
    so_ids_clear(&c.ids);
    return status;
}
