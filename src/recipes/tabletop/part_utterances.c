/* Questions and answers as rows of speech units, with their text as labels: what the speech layers learn from.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "recipes/tabletop/part_units.h"

enum { PAIR_UNITS = 2048 };

so_tt_speech_batch *so_tt_speech_start(so_pass *pass, const so_tt *tt)
{
    so_tt_speech_batch *b = so_take(pass, sizeof *b, true);
    if (!b) return NULL;
    b->pass = pass;
    b->tt = tt;
    size_t bytes = SO_TT_SPEECH_ROWS * 4;
    b->id = so_take(pass, bytes, false);
    b->same = so_take(pass, bytes, false);
    b->target = so_take(pass, bytes, false);
    b->label = so_take(pass, SO_TT_SPEECH_LABELS * 4, false);
    b->memory_id = so_take(pass, SO_TT_SPEECH_LABELS * 4, false);
    b->memory_pos = so_take(pass, SO_TT_SPEECH_LABELS * 4, false);
    b->fused_row = so_take(pass, bytes, false);
    b->fused_pos = so_take(pass, bytes, false);
    return b->fused_pos ? b : NULL;
}

static void add_ids(so_tt_speech_batch *b, const int32_t *ids, const uint16_t *units, int64_t n)
{
    int32_t first = b->tt->id->first_unit;
    int64_t held = -1; /* with slips: sometimes a unit is another one, as an unknown voice makes it */
    for (int64_t i = 0; i < n; i++) {
        if (units && b->slips) {
            held = so_rng_uniform(b->slips) < 0.03 ? so_rng_below(b->slips, SO_TT_UNITS) : -1;
        }
        if (b->rows == SO_TT_SPEECH_ROWS) {
            so_pass_fail(b->pass, SO_ERR_LIMIT, "a batch of more than %d speech rows", SO_TT_SPEECH_ROWS);
            return;
        }
        b->id[b->rows] = !units ? ids[i] : first + (int32_t)(held >= 0 ? held : units[i]);
        b->same[b->rows] = units ? -1 : ids[i];
        b->target[b->rows++] = -1;
        b->seq_rows[b->seqs - 1]++;
    }
}

/* Units whose text is `text`; `heard`: what a user says, of which some words are no tokens. Returns the segment's
 * number. */
static int64_t add_segment(so_tt_speech_batch *b, const uint16_t *units, int64_t n, const char *text, bool heard,
                           so_ids *scratch)
{
    scratch->n = 0;
    if ((heard ? so_tt_heard : so_tt_encode)(b->tt, text, scratch, &b->pass->error) != SO_OK) return -1;
    if (b->labels + (int64_t)scratch->n > SO_TT_SPEECH_LABELS) {
        so_pass_fail(b->pass, SO_ERR_LIMIT, "a batch of more than %d labels", SO_TT_SPEECH_LABELS);
        return -1;
    }
    b->segment[b->segments] = (so_tt_segment){b->rows, n, b->labels, (int64_t)scratch->n};
    memcpy(b->label + b->labels, scratch->data, scratch->n * 4);
    b->labels += (int64_t)scratch->n;
    add_ids(b, NULL, units, n);
    return b->segments++;
}

/* Units of the question of an item: as it was spoken, or from other surroundings where that is drawn. */
static const uint16_t *question_of(so_tt_speech_batch *b, const so_tt_units_file *units, int64_t i, int64_t *n)
{
    const so_tt_spoken *u = &units->item[i];
    int64_t who = b->slips ? so_rng_below(b->slips, 1 + SO_TT_DISGUISES) - 1 : -1;
    *n = who < 0 ? u->q_count : u->d_count[who];
    return units->unit + (who < 0 ? u->q_at : u->d_at[who]);
}

static void add_memory(so_tt_speech_batch *b, const so_tt_segment *segment)
{
    int64_t s = b->seqs - 1;
    b->memory0[s] = b->memories;
    for (int64_t i = 0; i <= segment->labels; i++) { /* the text's end enters the memory too */
        int32_t id = i < segment->labels ? b->label[segment->label0 + i] : b->tt->id->eot;
        if (!(b->tt->pronounceable[id >> 3] >> (id & 7) & 1)) continue;
        if (b->memories == SO_TT_SPEECH_LABELS) return;
        b->memory_id[b->memories] = id;
        b->memory_pos[b->memories] = (int32_t)(b->memories - b->memory0[s]);
        b->memories++;
    }
    b->memory_rows[s] = b->memories - b->memory0[s];
}

void so_tt_speech_add(so_tt_speech_batch *b, const so_tt_units_file *units, int64_t i, bool hear, bool speak,
                      so_ids *scratch)
{
    const so_tt *tt = b->tt;
    const so_tt_spoken *u = &units->item[i];
    const so_tt_item *item = &tt->corpus.item[i];
    if (b->seqs == SO_TT_SPEECH_SEQS || !so_ok(b->pass)) return;
    int64_t s = b->seqs++, row0 = b->rows;
    add_ids(b, tt->head.data, NULL, (int64_t)tt->head.n);
    if (hear) {
        int64_t count;
        const uint16_t *question = question_of(b, units, i, &count);
        add_segment(b, question, count, item->question, true, scratch);
    }
    add_ids(b, tt->reply.data, NULL, (int64_t)tt->reply.n);
    b->answer_segment[s] = -1;
    b->memory0[s] = b->memories;
    b->fused0[s] = b->fused;
    if (!speak || !so_ok(b->pass)) return;
    int64_t before = b->rows - 1;
    int64_t segment = add_segment(b, units->unit + u->a_at, u->a_count, item->answer, false, scratch);
    if (segment < 0) return;
    b->answer_segment[s] = segment;
    add_memory(b, &b->segment[segment]);
    for (int64_t r = 0; r <= u->a_count; r++) {
        b->target[before + r] = r < u->a_count ? tt->id->first_unit + units->unit[u->a_at + r] : tt->id->eot;
        b->fused_row[b->fused] = (int32_t)(before + r);
        b->fused_pos[b->fused++] = (int32_t)(before + r - row0);
    }
    b->fused_rows[s] = b->fused - b->fused0[s];
}

void so_tt_speech_pair(so_tt_speech_batch *b, const so_tt_units_file *units, int64_t first, int64_t second,
                       so_ids *scratch)
{
    const so_tt *tt = b->tt;
    const so_tt_item *item = tt->corpus.item;
    char text[2 * sizeof item->question + 1];
    uint16_t both[PAIR_UNITS];
    int64_t n[2];
    const uint16_t *units_of[2] = {question_of(b, units, first, &n[0]), question_of(b, units, second, &n[1])};
    if (b->seqs == SO_TT_SPEECH_SEQS || !so_ok(b->pass)) return;
    if (n[0] + n[1] > PAIR_UNITS) n[1] = 0;
    if (n[0] > PAIR_UNITS) n[0] = PAIR_UNITS;
    memcpy(both, units_of[0], (size_t)n[0] * sizeof *both);
    memcpy(both + n[0], units_of[1], (size_t)n[1] * sizeof *both);
    snprintf(text, sizeof text, "%s%s%s", item[first].question, n[1] ? " " : "", n[1] ? item[second].question : "");
    int64_t s = b->seqs++;
    add_ids(b, tt->head.data, NULL, (int64_t)tt->head.n);
    add_segment(b, both, n[0] + n[1], text, true, scratch);
    add_ids(b, tt->reply.data, NULL, (int64_t)tt->reply.n);
    b->answer_segment[s] = -1;
    b->memory0[s] = b->memories;
    b->fused0[s] = b->fused;
}

void so_tt_speech_echo(so_tt_speech_batch *b, const so_tt_units_file *units, int64_t i, so_ids *scratch)
{
    const so_tt *tt = b->tt;
    const so_tt_spoken *u = &units->item[i];
    if (b->seqs == SO_TT_SPEECH_SEQS || !so_ok(b->pass)) return;
    int64_t s = b->seqs++;
    add_ids(b, tt->head.data, NULL, (int64_t)tt->head.n);
    add_segment(b, units->unit + u->a_at, u->a_count, tt->corpus.item[i].answer, false, scratch);
    add_ids(b, tt->reply.data, NULL, (int64_t)tt->reply.n);
    b->answer_segment[s] = -1;
    b->memory0[s] = b->memories;
    b->fused0[s] = b->fused;
}
