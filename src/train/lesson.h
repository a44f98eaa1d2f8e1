/* Lessons of the language model: from samples to a recorded loss, for every stage of the table.
 *
 *      prompt with units ─ BOTTOM ─┬─ ctc, template
 *                                  ├─ expected embeddings ─┐
 *      prompt of text, pictures ───┴───────────────────────┴─ BACKBONE ─ text
 *      prompt and answer's units ─ BOTTOM ─ TOP (windows of the answer's text by forced alignment) ─ units
 *
 * All samples of a micro-batch stand in one ragged batch: no row is padding. Heads are applied only to rows that have
 * something to learn. Source: paper 3.2; docs/model.md 6, 8.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_LESSON_H
#define SO_TRAIN_LESSON_H

#include "models/stream_omni.h"
#include "train/align.h"
#include "train/example.h"
#include "train/stages.h"

typedef struct so_lesson {
    const so_omni *net;
    const so_stage *stage;
    so_sample_source source;
    int32_t blank, eot;        /* text ids: CTC blank; end of turn, also what the top layers end with */
    int32_t first_unit, units; /* unit ids first_unit .. first_unit + units - 1 */
    so_window window;          /* zeroed: W = 5, K = 3 */
    int64_t rows;              /* samples are drawn until this many rows are filled; 0: 2048 */
    int64_t samples;           /* at most so many; 0: 256 */
    int64_t longest;           /* samples with more rows are left out (and counted); 0: as many as `rows` */
    bool hard; /* speech reaches the backbone as the token that CTC thinks likeliest, not as expectation */
    /* For the task "caption" and the loss "pairs". */
    so_tensor *pairs_scale, *pairs_bias;
} so_lesson;

/* An so_micro_fn; the context is the lesson. Notes: each loss by its name, "text_right" and "units_right" (shares of
 * tokens whose argmax is right), "ctc_right" (share of sequences whose greedy reading is the transcript), "pairs_right"
 * (share of pictures whose own caption is nearest), "unaligned" (answers too short for their text), "left_out". */
so_tensor *so_lesson_micro(void *lesson, so_pass *pass, so_micro *micro);

#endif
