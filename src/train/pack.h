/* Batches of similar lengths, for networks that work on padded rectangles.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_PACK_H
#define SO_TRAIN_PACK_H

#include <stdint.h>

#include "base/error.h"
#include "base/rng.h"

typedef struct so_pack_options {
    int64_t budget; /* most padded rows in a batch: count times longest; an item longer than that stands alone */
    int64_t most;   /* most items in a batch; 0: no limit */
    int64_t window; /* items that are shuffled together before they are sorted; 0: all */
} so_pack_options;

/* One order of all items for one epoch: item[i] in batches, batch b being item[start[b]] .. item[start[b + 1]]. */
typedef struct so_packing {
    int64_t batches;
    int64_t *start;       /* [batches + 1] */
    int32_t *item;        /* [n] */
    int64_t rows, padded; /* sum of lengths; sum of count times longest */
} so_packing;

/* Items 0..n-1 have length[i] >= 0 rows. Items are shuffled, each window is sorted by length and cut into batches, and
 * the batches are shuffled: the same rng gives the same packing. Close with so_packing_close. */
so_status so_pack(so_packing *out, const int64_t *length, int64_t n, const so_pack_options *options, so_rng *rng,
                  so_error *error);
void so_packing_close(so_packing *packing);

#endif
