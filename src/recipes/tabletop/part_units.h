/* The corpus as speech units, and conversations made of them for the speech layers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_TABLETOP_PART_UNITS_H
#define SO_RECIPES_TABLETOP_PART_UNITS_H

#include "dataset/dataset.h"
#include "models/speech_tokenizer.h"
#include "recipes/tabletop/recipe.h"

/* Units of every item: question at q_at.. of q_count, answer likewise, and the question from other throats and in other
 * surroundings, in one array. */
enum { SO_TT_DISGUISES = 2 };

typedef struct so_tt_spoken {
    int32_t q_at, q_count, a_at, a_count, d_at[SO_TT_DISGUISES], d_count[SO_TT_DISGUISES];
} so_tt_spoken;

typedef struct so_tt_units_file {
    so_map index_map, unit_map;
    const so_tt_spoken *item;
    const uint16_t *unit;
    int64_t count;
} so_tt_units_file;

/* The speech tokenizer in its own store, random; `training` with its second half and heads. */
so_speech_tokenizer_config so_tt_ears_config(bool training);
so_status so_tt_ears_open(const so_tt *tt, bool training, so_store *store, so_speech_tokenizer *net, so_error *error);
/* Samples at 16 kHz of utterance item * 2 + answer. */
int64_t so_tt_utterance_samples(const so_tt *tt, int32_t utterance);
/* Features [frames[i], 128] of n recordings as one tensor [n, longest, 128], zeros behind the shorter ones; NULL when
 * memory ends. */
so_tensor *so_tt_pad(so_pass *pass, int64_t n, float *const *mel, const int64_t *frames);
/* The part whose ears are to be used: "steady" where that is done, else "ears". */
const char *so_tt_ears_part(const so_tt *tt);

/* Checks that every item's units are there. */
so_status so_tt_units_open(so_tt_units_file *units, const so_tt *tt, so_error *error);
void so_tt_units_close(so_tt_units_file *units);
/* SO_ERR_FORMAT, saying what to do, unless the units are those of the corpus and all there. */
so_status so_tt_check_units(const so_tt_units_file *units, const so_tt *tt, so_error *error);

/* A ragged batch for the speech layers. One sequence is
 *
 *     head | user's units | reply | answer's units (| <eot>)
 *
 * with a heard segment (CTC against the question), a spoken one (CTC against the answer), and what the top layers
 * predict: every answer unit and the final <eot>, from the row before. */
enum { SO_TT_SPEECH_ROWS = 40960, SO_TT_SPEECH_SEQS = 192, SO_TT_SPEECH_LABELS = 8192 };

typedef struct so_tt_segment {
    int64_t row0, rows, label0, labels; /* CTC labels are text ids */
} so_tt_segment;

typedef struct so_tt_speech_batch {
    so_pass *pass;
    const so_tt *tt;
    so_rng
        *slips; /* from here is drawn who asks, and which units are mistaken; NULL: the question as it was recorded */
    int64_t rows, seqs, segments, labels, memories, fused;
    int64_t seq_rows[SO_TT_SPEECH_SEQS];
    int32_t *id;     /* [rows] what the bottom layers read */
    int32_t *same;   /* [rows] the row's own id for template rows (the CTC head repeats them), -1 for units */
    int32_t *target; /* [rows] unit id that follows, -1 where the top layers say nothing */
    so_tt_segment segment[2 * SO_TT_SPEECH_SEQS];
    int32_t *label;
    /* the text the top layers see: the pronounceable tokens of each answer and its <eot> */
    int32_t *memory_id, *memory_pos;
    int64_t memory0[SO_TT_SPEECH_SEQS], memory_rows[SO_TT_SPEECH_SEQS], fused_rows[SO_TT_SPEECH_SEQS];
    int64_t answer_segment[SO_TT_SPEECH_SEQS], fused0[SO_TT_SPEECH_SEQS];
    int32_t *fused_row, *fused_pos; /* [fused] rows with a target, and their positions */
} so_tt_speech_batch;

so_tt_speech_batch *so_tt_speech_start(so_pass *pass, const so_tt *tt);
/* Question and answer of an item of the recipe's dataset (tt_dataset.h) with units; `hear` false leaves the question
 * out and puts the template of spoken text in its place (a user message of one space, trimmed: nothing); `speak` false
 * leaves the answer out. */
void so_tt_speech_add(so_tt_speech_batch *b, const so_dataset *data, int64_t item, bool hear, bool speak,
                      so_ids *scratch);

/* Two questions in one turn, one behind the other: heard, nothing answered. */
void so_tt_speech_pair(so_tt_speech_batch *b, const so_dataset *data, int64_t first, int64_t second, so_ids *scratch);

/* The model's own voice as if a user had said it: an answer heard, nothing answered. What its own ears are measured
 * with. */
void so_tt_speech_echo(so_tt_speech_batch *b, const so_dataset *data, int64_t item, so_ids *scratch);

#endif
