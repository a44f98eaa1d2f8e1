/* Turns of written conversations, and long ones, as rows of a batch.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

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

bool so_tt_exchange(const so_record *r, int k, int *shown, so_qa *out, uint64_t *scene)
{
    static const char place[] = "<image>\n";
    const char *question = r->turn[2 * k].text, *kind = r->turn[2 * k].kind;
    bool shows = *shown < r->images && strncmp(question, place, sizeof place - 1) == 0;
    *out = (so_qa){0};
    snprintf(out->question, sizeof out->question, "%s", question + (shows ? sizeof place - 1 : 0));
    snprintf(out->answer, sizeof out->answer, "%s", r->turn[2 * k + 1].text);
    for (int i = 0; kind && i < SO_TABLETOP_KINDS; i++)
        if (strcmp(kind, so_tabletop_kind_name(i)) == 0) out->kind = (so_tabletop_kind)i;
    return shows && so_locator_scene(&r->image[(*shown)++], scene);
}

int so_tt_batch_written(const so_tt *tt, so_tt_batch *b, so_ids *ids, const so_tt_written *w)
{
    so_record r;
    so_scene scene;
    bool sees = false;
    int t = 0, shown = 0;
    if (!so_ok(b->pass) || so_dataset_read(w->from, w->index, &r, &b->pass->error) != SO_OK) return 0;
    so_tt_batch_sequence(b);
    for (; t < w->turns && t < r.turns / 2 && so_ok(b->pass); t++) {
        so_qa qa;
        uint64_t seed;
        if (b->seq_rows[b->seqs - 1] >= SO_TT_CONTEXT - LONGEST_TURN) break;
        bool shows = so_tt_exchange(&r, t, &shown, &qa, &seed);
        if (shows) so_scene_make(&scene, seed);
        sees = sees || shows;
        if (w->retype) so_tt_retype(tt, &qa, w->retype);
        so_tt_batch_turn(tt, b, ids, t, sees ? &scene : NULL, shows, &qa, w->spread);
        if (w->asked) w->asked[t] = qa;
    }
    so_record_clear(&r);
    return t;
}

/* ---- streams */

static so_status open_stream(so_dataset **out, so_tabletop_part part, so_tabletop_stream stream, uint64_t seed,
                             uint32_t kinds, so_error *error)
{
    static const int turns[SO_TABLETOP_STREAMS] = {12, 12, SO_TABLETOP_TALK_TURNS, SO_TT_LONG_TURNS, 1};
    return so_tabletop_stream_open(
        out,
        &(so_tabletop_stream_options){
            .stream = stream, .part = part, .seed = seed, .count = INT32_MAX, .turns = turns[stream], .kinds = kinds},
        error);
}

so_status so_tt_world_open(so_tt_world *w, so_tabletop_part part, so_tt_world_seeds of, so_error *error)
{
    const uint32_t kinds[3] = {0, 1u << SO_TALK_INITIAL, 1u << SO_TALK_FIRST};
    *w = (so_tt_world){.pictures = NULL};
    SO_TRY(open_stream(&w->pictures, part, SO_TABLETOP_PICTURES, of.seed, 0, error));
    SO_TRY(open_stream(&w->hard, part, SO_TABLETOP_HARD, of.hard, 0, error));
    SO_TRY(open_stream(&w->sums, part, SO_TABLETOP_TALK, of.sums, SO_TT_RECKONING, error));
    SO_TRY(open_stream(&w->conversations, part, SO_TABLETOP_CONVERSATIONS, of.seed, 0, error));
    for (int i = 0; i < 3; i++) SO_TRY(open_stream(&w->talk[i], part, SO_TABLETOP_TALK, of.seed, kinds[i], error));
    return open_stream(&w->wider, part, SO_TABLETOP_TALK, of.seed, SO_TALK_WIDER, error);
}

void so_tt_world_close(so_tt_world *w)
{
    so_dataset_close(&w->pictures);
    so_dataset_close(&w->hard);
    so_dataset_close(&w->sums);
    so_dataset_close(&w->conversations);
    so_dataset_close(&w->wider);
    for (int i = 0; i < 3; i++) so_dataset_close(&w->talk[i]);
}

const so_dataset *so_tt_world_talk(const so_tt_world *w, so_rng *rng)
{
    int64_t which = so_rng_below(rng, 8);
    return w->talk[which == 0 ? 1 : which < 3 ? 2 : 0];
}

int so_tt_long_turns(so_rng *rng) { return (int)(3 * pow(SO_TT_LONG_TURNS / 3.0, so_rng_uniform(rng))); }
