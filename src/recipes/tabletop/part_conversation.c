/* Turns of written conversations, and long ones, as rows of a batch.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "recipes/tabletop/part_batch.h"

enum { LONGEST_TURN = 200, SPREAD = 9 /* blanks before a token that is heard, at most */ };

void so_tt_batch_spread(const so_tt *tt, so_tt_batch *b, so_ids *ids, const char *question, so_rng *rng)
{
    int32_t row[1024];
    int64_t n = 0;
    ids->n = 0;
    if (so_tt_heard(tt, question, ids, &b->pass->error) != SO_OK) return;
    for (size_t i = 0; i <= ids->n && n + SPREAD + 2 <= (int64_t)(sizeof row / sizeof *row); i++) {
        for (int64_t blanks = 1 + so_rng_below(rng, SPREAD); blanks > 0; blanks--) row[n++] = tt->id->blank;
        for (int64_t times = i < ids->n ? 1 + so_rng_below(rng, 2) : 0; times > 0; times--) row[n++] = ids->data[i];
    }
    so_tt_batch_text(b, row, n);
}

void so_tt_batch_turn(const so_tt *tt, so_tt_batch *b, so_ids *ids, int turn, const so_scene *scene, bool shown,
                      const so_qa *qa, so_rng *spread)
{
    const so_ids *open = turn ? &tt->turn : &tt->head;
    so_tt_batch_text(b, open->data, (int64_t)open->n);
    if (shown) so_tt_batch_picture(b, scene->seed);
    if (spread)
        so_tt_batch_spread(tt, b, ids, qa->question, spread);
    else
        so_tt_batch_question(b, tt, scene, qa->question, ids);
    so_tt_batch_text(b, tt->reply.data, (int64_t)tt->reply.n);
    ids->n = 0;
    if (so_tt_encode(tt, qa->answer, ids, &b->pass->error) == SO_OK)
        so_tt_batch_answer(b, ids->data, (int64_t)ids->n, tt->id->eot);
}

int so_tt_batch_long(const so_tt *tt, so_tt_batch *b, so_ids *ids, const so_tt_long *l)
{
    so_tabletop_turn turn[SO_TT_LONG_TURNS];
    int t = 0;
    so_tabletop_conversation(l->part, l->seed, l->index, l->turns, turn);
    so_tt_batch_sequence(b);
    for (; t < l->turns && so_ok(b->pass) && b->seq_rows[b->seqs - 1] < SO_TT_CONTEXT - LONGEST_TURN; t++) {
        so_scene scene;
        bool sees = turn[t].scene != SO_TABLETOP_NO_SCENE;
        if (sees) so_scene_make(&scene, turn[t].scene);
        if (l->rng && !l->heard) so_tt_retype(tt, &turn[t].qa, l->rng);
        so_tt_batch_turn(tt, b, ids, t, sees ? &scene : NULL, turn[t].shown, &turn[t].qa, l->heard ? l->rng : NULL);
    }
    return t;
}

int so_tt_long_turns(so_rng *rng) { return (int)(3 * pow(SO_TT_LONG_TURNS / 3.0, so_rng_uniform(rng))); }
