/* Long conversations: talk, pictures that come late and change, and what lies outside, in one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset/tabletop/tabletop.h"

static const uint64_t LOTS = 0x636f6e7665727365u;

/* Of a hundred turns with a picture in sight: about it, about what it has not; the rest is talk. Of a hundred turns of
 * talk: from where the world ends. Of a hundred pictures: no tabletop. */
enum { OF_PICTURE = 60, OF_ABSENT = 10, OF_WIDER = 20, OF_OTHER = 10 };

static void ask_about(const so_scene *scene, so_tabletop_part part, so_rng *rng, so_qa *out)
{
    if (so_scene_is_other(scene))
        so_scene_ask_other(part, rng, out);
    else if (so_rng_below(rng, OF_PICTURE + OF_ABSENT) < OF_ABSENT)
        so_scene_ask_wider(scene, rng, out);
    else
        so_scene_ask(scene, 0, rng, out);
}

static void chat(so_tabletop_part part, bool sees, so_rng *rng, so_qa *out)
{
    bool wider = so_rng_below(rng, 100) < OF_WIDER;
    uint32_t kinds = SO_TALK_WIDER & ~(sees ? 1u << SO_TALK_NO_PICTURE : 0u);
    /* Half of what is wider is from outside. */
    if (so_rng_below(rng, 2)) kinds = 1u << SO_TALK_OUTSIDE;
    uint64_t seed = so_rng_u64(rng);
    so_tabletop_talk(part, seed, so_rng_u64(rng), wider ? kinds : 0, out);
}

void so_tabletop_conversation(so_tabletop_part part, uint64_t seed, uint64_t index, int turns, so_tabletop_turn *out)
{
    so_rng rng;
    so_scene scene;
    uint64_t now = SO_TABLETOP_NO_SCENE;
    so_rng_init(&rng, seed ^ LOTS ^ (uint64_t)part << 60, index);
    int64_t pace = so_rng_range(&rng, 2, 16); /* turns that a picture lasts, in the mean */
    bool early = so_rng_below(&rng, 2);
    for (int t = 0; t < turns; t++) {
        so_tabletop_turn *turn = &out[t];
        turn->shown = t == 0 ? early : so_rng_below(&rng, pace) == 0;
        if (turn->shown) {
            uint64_t lot = so_rng_u64(&rng);
            now = so_rng_below(&rng, 100) < OF_OTHER ? so_tabletop_other_seed(part, lot, 0)
                                                     : so_tabletop_scene_seed(part, lot, 0);
            so_scene_make(&scene, now);
        }
        bool sees = now != SO_TABLETOP_NO_SCENE;
        turn->scene = now;
        /* Who shows a picture asks about it, mostly. */
        if (sees && so_rng_below(&rng, 100) < (turn->shown ? 90 : OF_PICTURE + OF_ABSENT))
            ask_about(&scene, part, &rng, &turn->qa);
        else
            chat(part, sees, &rng, &turn->qa);
    }
}
