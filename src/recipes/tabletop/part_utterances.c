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

/* Item i as record: its question as it was spoken, or from other surroundings where that is drawn. */
static so_status read_item(so_tt_speech_batch *b, const so_dataset *data, int64_t i, bool drawn, so_record *out)
{
    int64_t voices = 1 + SO_TT_DISGUISES, voice = drawn && b->slips ? so_rng_below(b->slips, voices) : 0;
    return so_dataset_read(data, voice * (data->count / voices) + i, out, &b->pass->error);
}

/* A question as it was asked, without its picture. */
static const char *question_of(const so_record *r) { return r->turn[0].text + (r->images ? strlen("<image>\n") : 0); }

/* How often a word is shown with a capital where it had none, or without: it is said alike, and many words have their
 * capital nowhere in what is learned from. */
static const double OTHER_CASE = 0.15;

static void add_memory(so_tt_speech_batch *b, const so_tt_segment *segment)
{
    int64_t s = b->seqs - 1;
    b->memory0[s] = b->memories;
    for (int64_t i = 0; i <= segment->labels; i++) { /* the text's end enters the memory too */
        int32_t id = i < segment->labels ? b->label[segment->label0 + i] : b->tt->id->eot;
        if (!(b->tt->pronounceable[id >> 3] >> (id & 7) & 1)) continue;
        if (b->memories == SO_TT_SPEECH_LABELS) return;
        if (b->slips && so_rng_uniform(b->slips) < OTHER_CASE) id = b->tt->twin[id];
        b->memory_id[b->memories] = id;
        b->memory_pos[b->memories] = (int32_t)(b->memories - b->memory0[s]);
        b->memories++;
    }
    b->memory_rows[s] = b->memories - b->memory0[s];
}

static void begin(so_tt_speech_batch *b)
{
    b->seqs++;
    add_ids(b, b->tt->head.data, NULL, (int64_t)b->tt->head.n);
}

/* What is heard is there, nothing is answered. */
static void end(so_tt_speech_batch *b)
{
    int64_t s = b->seqs - 1;
    add_ids(b, b->tt->reply.data, NULL, (int64_t)b->tt->reply.n);
    b->answer_segment[s] = -1;
    b->memory0[s] = b->memories;
    b->fused0[s] = b->fused;
}

static void add_answer(so_tt_speech_batch *b, const so_record_turn *say, int64_t row0, so_ids *scratch)
{
    const so_tt *tt = b->tt;
    int64_t s = b->seqs - 1, before = b->rows - 1;
    int64_t segment = add_segment(b, say->listed, say->n_listed, say->text, false, scratch);
    if (segment < 0) return;
    b->answer_segment[s] = segment;
    add_memory(b, &b->segment[segment]);
    for (int64_t r = 0; r <= say->n_listed; r++) {
        b->target[before + r] = r < say->n_listed ? tt->id->first_unit + say->listed[r] : tt->id->eot;
        b->fused_row[b->fused] = (int32_t)(before + r);
        b->fused_pos[b->fused++] = (int32_t)(before + r - row0);
    }
    b->fused_rows[s] = b->fused - b->fused0[s];
}

static bool full(const so_tt_speech_batch *b) { return b->seqs == SO_TT_SPEECH_SEQS || !so_ok(b->pass); }

void so_tt_speech_add(so_tt_speech_batch *b, const so_dataset *data, int64_t i, bool hear, bool speak, so_ids *scratch)
{
    so_record r;
    int64_t row0 = b->rows;
    if (full(b) || read_item(b, data, i, hear, &r) != SO_OK) return;
    begin(b);
    if (hear) add_segment(b, r.turn[0].listed, r.turn[0].n_listed, question_of(&r), true, scratch);
    end(b);
    if (speak && so_ok(b->pass)) add_answer(b, &r.turn[1], row0, scratch);
    so_record_clear(&r);
}

static void add_pair(so_tt_speech_batch *b, const so_record *first, const so_record *second, so_ids *scratch)
{
    char text[2 * sizeof((so_tt_item *)0)->question + 1];
    uint16_t both[PAIR_UNITS];
    int64_t n = first->turn[0].n_listed, m = second->turn[0].n_listed;
    if (n + m > PAIR_UNITS) m = 0;
    if (n > PAIR_UNITS) n = PAIR_UNITS;
    memcpy(both, first->turn[0].listed, (size_t)n * sizeof *both);
    memcpy(both + n, second->turn[0].listed, (size_t)m * sizeof *both);
    snprintf(text, sizeof text, "%s%s%s", question_of(first), m ? " " : "", m ? question_of(second) : "");
    begin(b);
    add_segment(b, both, n + m, text, true, scratch);
    end(b);
}

void so_tt_speech_pair(so_tt_speech_batch *b, const so_dataset *data, int64_t first, int64_t second, so_ids *scratch)
{
    so_record one, two;
    if (full(b) || read_item(b, data, first, true, &one) != SO_OK) return;
    if (read_item(b, data, second, true, &two) == SO_OK) {
        add_pair(b, &one, &two, scratch);
        so_record_clear(&two);
    }
    so_record_clear(&one);
}

void so_tt_speech_echo(so_tt_speech_batch *b, const so_dataset *data, int64_t i, so_ids *scratch)
{
    so_record r;
    if (full(b) || read_item(b, data, i, false, &r) != SO_OK) return;
    begin(b);
    add_segment(b, r.turn[1].listed, r.turn[1].n_listed, r.turn[1].text, false, scratch);
    end(b);
    so_record_clear(&r);
}
