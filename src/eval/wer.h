/* Word and character error rates.
 * Source: stream-omni.md section 8.1.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_WER_H
#define SO_EVAL_WER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Counts over all pairs measured so far. Start from a zeroed struct. */
typedef struct so_wer {
    int64_t units; /* words or characters of the references */
    int64_t substitutions, deletions, insertions;
    int64_t pairs;
} so_wer;

/* Adds the smallest number of edits that make the reference of the hypothesis, both as words between white space. Among
 * equally few edits the way with most substitutions counts. Time grows as the product of the lengths, memory as their
 * sum. SO_ERR_LIMIT for texts of 1 GiB and more. */
so_status so_wer_words(so_wer *wer, const char *reference, size_t reference_size, const char *hypothesis,
                       size_t hypothesis_size, so_error *error);
/* The same over characters (UTF-8), white space included. */
so_status so_wer_characters(so_wer *wer, const char *reference, size_t reference_size, const char *hypothesis,
                            size_t hypothesis_size, so_error *error);
/* Edits per reference unit: 0.03 is 3 %. With no reference units, 0 without and 1 with insertions. */
double so_wer_rate(const so_wer *wer);

#endif
