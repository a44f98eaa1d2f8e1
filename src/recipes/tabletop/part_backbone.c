/* The backbone, stage 1 of the paper: text and pictures to text. The tower stays as the eyes left it; projector and
 * language model learn. There is no published Llama of this size, so the language model begins from nothing: dialogues
 * without a picture teach it the rest of the world's text.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipes/tabletop/part_batch.h"
#include "recipes/tabletop/part_stages.h"

enum { TURNS = 12, TALK_TURNS = 5 };

typedef struct context {
    const so_tt *tt;
    so_omni net;
    so_ids ids; /* scratch */
    so_tt_aids aids;
    so_tt_world world, reserved;
} context;

static void put(context *c, so_tt_batch *b, const so_dataset *from, int64_t index, int turns)
{
    so_tt_batch_written(c->tt, b, &c->ids, &(so_tt_written){.from = from, .index = index, .turns = turns});
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
    const so_tt_world *w = &c->world;
    int64_t first = m->step * pictures;
    for (int i = 0; i < pictures; i++) put(c, b, w->pictures, first + i, 1 + (int)so_rng_below(&m->rng, TURNS));
    for (int i = 0; i < talks; i++) {
        int turns = 1 + (int)so_rng_below(&m->rng, TALK_TURNS);
        put(c, b, so_tt_world_talk(w, &m->rng), first + i, turns);
    }
    for (int i = 0; i < hard; i++) put(c, b, w->hard, first + i, 1 + (int)so_rng_below(&m->rng, TURNS));
    for (int i = 0; i < sums; i++) put(c, b, w->sums, first + i, 1 + (int)so_rng_below(&m->rng, 2 * TALK_TURNS));
    int longs = (int)so_tt_share("backbone", "long");
    for (int i = 0; i < longs; i++)
        so_tt_batch_written(c->tt, b, &c->ids,
                            &(so_tt_written){.from = w->conversations,
                                             .index = m->step * longs + i,
                                             .turns = so_tt_long_turns(&m->rng),
                                             .retype = &m->rng});
    m->tokens = b->rows;
    so_tensor *loss = so_tt_batch_loss(b, NULL);
    if (loss) so_notes_add(m->notes, "all", so_data(loss)[0], 1);
    return loss;
}

/* Answers of long conversations by turn, and of what lies outside: right, and inside ones refused. */
static void evaluate_long(context *c, so_pass *pass, so_notes *notes)
{
    enum { MANY = 12, LENGTH = 60 };
    for (int64_t i = 0; i < MANY && so_ok(pass); i++) {
        size_t mark = so_arena_mark(pass->arena);
        so_qa asked[LENGTH];
        uint8_t right[SO_TT_LONG_TURNS];
        memset(right, 1, sizeof right);
        so_tt_batch *b = so_tt_batch_start(pass, &c->net);
        if (!b) break;
        int turns = so_tt_batch_written(
            c->tt, b, &c->ids,
            &(so_tt_written){.from = c->reserved.conversations, .index = i, .turns = LENGTH, .asked = asked});
        so_tt_batch_loss(b, right);
        for (int t = 0; t < turns; t++) {
            bool outside = so_tabletop_declines(asked[t].answer);
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
    for (int64_t i = 0; i < 16 && so_ok(pass); i++) {
        size_t mark = so_arena_mark(pass->arena);
        uint8_t right[64];
        so_qa asked[32];
        memset(right, 1, sizeof right);
        so_tt_batch *b = so_tt_batch_start(pass, &c->net);
        if (!b) break;
        for (int64_t k = 0; k < 32; k++)
            so_tt_batch_written(c->tt, b, &c->ids,
                                &(so_tt_written){.from = i % 2 ? c->reserved.talk[0] : c->reserved.pictures,
                                                 .index = i * 32 + k,
                                                 .turns = 1,
                                                 .asked = &asked[k]});
        so_tt_batch_loss(b, right);
        for (int k = 0; k < 32; k++) {
            so_notes_add(notes, i % 2 ? "talk exact" : "picture exact", right[k], 1);
            so_notes_add(notes, so_tabletop_kind_name((int)asked[k].kind), right[k], 1);
        }
        so_arena_release(pass->arena, mark);
    }
    evaluate_long(c, pass, notes);
    *error = pass->error;
    return error->status;
}

static so_status open_worlds(context *c, so_error *error)
{
    uint64_t seed = c->tt->seed;
    SO_TRY(so_tt_world_open(&c->world, SO_TABLETOP_TRAIN, (so_tt_world_seeds){seed, seed + 2, seed + 2}, error));
    return so_tt_world_open(&c->reserved, SO_TABLETOP_RESERVED, (so_tt_world_seeds){3, 3, 3}, error);
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
    so_status status = open_worlds(&c, error);
    if (status == SO_OK) status = so_tt_learn(tt, &job, error);
    so_tt_world_close(&c.world);
    so_tt_world_close(&c.reserved);
    so_store_close(&store);
    so_ids_clear(&c.ids);
    return status;
}
