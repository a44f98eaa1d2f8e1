/* Alignment of speech units and text: forced alignment on CTC posteriors, and the windows of text that each unit sees.
 *
 * Source: paper section 3.1.2 and eq. 6; docs/model.md 6.3 and 8: with N units' text heard, generation has
 * produced N + K text tokens and the top layers see the last W of them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_ALIGN_H
#define SO_TRAIN_ALIGN_H

#include <stdint.h>

#include "base/error.h"
#include "base/real.h"

/* The likeliest path through `labels` (n of them, none of them blank) for the rows [rows, cols] of CTC scores (logits
 * or log-probabilities: a constant per row does not matter). heard[t] becomes how many labels have begun in rows 0..t;
 * the last is n. state (may be NULL) gets the index of the label that row t stands on, or -1 for blank. SO_ERR_LIMIT
 * when there are fewer rows than labels and the blanks between repeats; SO_ERR_ARG for a label or blank outside the
 * columns. */
typedef struct so_ctc_ask {
    const so_real *scores;
    int64_t rows, cols;
    const int32_t *labels;
    int64_t n;
    int32_t blank;
} so_ctc_ask;
so_status so_ctc_align(const so_ctc_ask *ask, int32_t *heard, int32_t *state, so_error *error);

/* The greedy reading: heard[t] counts the collapsed labels of rows 0..t as generation does (a label counts when it is
 * not blank and not the last non-blank label). Returns the count; labels (may be NULL, else room for `rows`) gets them.
 */
int64_t so_ctc_greedy(const so_real *scores, int64_t rows, int64_t cols, int32_t blank, int32_t *heard,
                      int32_t *labels);

typedef struct so_window {
    int64_t width; /* W: text tokens seen at once; 0 or less: all */
    int64_t ahead; /* K: text tokens produced before the first unit */
} so_window;
/* The tokens lo <= j < hi that are seen when `heard` tokens of a text of n_text have been spoken. */
void so_window_of(const so_window *window, int64_t heard, int64_t n_text, int32_t *lo, int32_t *hi);

#endif
