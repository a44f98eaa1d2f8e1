/* Edit distance: the fewest substitutions, deletions and insertions that make one sequence of the other.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_EDIT_H
#define SO_BASE_EDIT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct so_edits {
    int32_t all, substitutions, deletions, insertions;
} so_edits;

/* Whether item i of the reference equals item k of the hypothesis. */
typedef bool (*so_same_fn)(const void *context, int64_t i, int64_t k);

/* Edits between a reference of n items and a hypothesis of m, both below 2^31: what is missing there was deleted, what
 * is too much inserted. Of equally few edits those with most substitutions. `row` lends room for m + 1. */
so_edits so_edits_between(int64_t n, int64_t m, so_same_fn same, const void *context, so_edits *row);
/* The same for ids, as a number alone. */
int64_t so_edit_distance(const int32_t *a, int64_t n, const int32_t *b, int64_t m, so_edits *row);

#endif
