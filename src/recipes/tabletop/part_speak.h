/* Speaking the corpus: slices of questions and answers, made by child processes and put together.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_TABLETOP_PART_SPEAK_H
#define SO_RECIPES_TABLETOP_PART_SPEAK_H

#include "recipes/tabletop/part_cast.h"

/* What is to be spoken. Question i is drawn (i < drawn), then recorded ones follow, each COPIES times by other throats,
 * then those beyond (so_tt_draw_heard), then SO_TT_HELD_OUT of the reserved part, of which the first `kept` are
 * recorded. An answer is spoken once however often it is given. */
enum { SO_TT_COPIES = 3 };

typedef struct so_tt_script {
    const so_tt *tt;
    so_tt_cast *cast;
    int64_t drawn, recorded, heard, kept, items;
    so_tt_item *item; /* [items] words; places and numbers of samples are filled in by the end */
    int32_t *answer;  /* [items] which of the answers */
    int64_t answers, *a_at, *a_count;
    const char **answer_text; /* [answers] */
} so_tt_script;

so_status so_tt_script_open(so_tt_script *script, const so_tt *tt, so_tt_cast *cast, int64_t items, int64_t heard,
                            so_error *error);
void so_tt_script_close(so_tt_script *script);
/* Speaks everything that no finished slice holds, in `processes` child processes; slices lie in <folder>/speaking. */
so_status so_tt_script_speak(so_tt_script *script, int processes, so_error *error);
/* Puts the slices together as corpus.q16 and corpus.a22, and tells every item where its samples are. */
so_status so_tt_script_join(so_tt_script *script, so_error *error);
/* Removes the slices. */
void so_tt_script_sweep(const so_tt_script *script);

/* Whether its question is for the speakers of the cast: English speech. */
bool so_tt_by_cast(const so_tt_item *item);

/* The words of exchange i of a part, as the recipe draws them. */
void so_tt_draw_item(const so_tt *tt, so_tabletop_part part, int64_t i, so_tt_item *item);
/* The words of question i of those beyond the exchanges: mostly what no sentence foretells. */
void so_tt_draw_heard(const so_tt *tt, int64_t i, so_tt_item *item);

#endif
