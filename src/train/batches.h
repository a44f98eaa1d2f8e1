/* What each update learns from: samples dealt to slots, and slots cut into portions that fit into memory, from lengths
 * alone.
 *
 * An update takes a number of samples, or as many as a budget holds. They are dealt to the slots (train/share.h)
 * longest first, each to the slot with the fewest rows, so that ranks finish together; a slot's samples go into
 * portions of similar lengths. Everything follows from the update's number: any rank can tell what any other reads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_BATCHES_H
#define SO_TRAIN_BATCHES_H

#include "train/order.h"

/* Rows that a sample takes, and what it counts of the budget (rows, or speech units), at least 1 each. */
typedef struct so_batch_size {
    int64_t rows, budget;
} so_batch_size;

typedef struct so_batches_options {
    int64_t records; /* samples of an update; 0: by the budget */
    int64_t budget;  /* of an update; at least one sample is taken */
    int64_t total;   /* samples of the run; the last update may be smaller; 0: without an end */
    int slots;       /* 1 to 256 */
    int64_t portion; /* rows of a portion; a sample with more stands alone */
    so_batch_size (*measure)(void *context, const so_order_place *place);
    void *context;
} so_batches_options;

typedef struct so_batch_item {
    int64_t g; /* the sample's number in the run */
    so_order_place place;
    int64_t rows;
    int slot, portion;
} so_batch_item;

typedef struct so_batches {
    so_data_order *order;
    so_batches_options options;
    int64_t update, first, next; /* which update `item` holds (-1: none), its first sample, the next one's */
    so_batch_item *item;         /* [n] by slot and portion */
    int64_t n, capacity, rows;
} so_batches;

/* The order is lent. SO_ERR_ARG. */
so_status so_batches_open(so_batches *batches, so_data_order *order, const so_batches_options *options,
                          so_error *error);
void so_batches_close(so_batches *batches);
/* Fills in update u >= 0. None has samples beyond the total: n is 0 there. */
so_status so_batches_plan(so_batches *batches, int64_t u, so_error *error);
/* Items of a portion of a slot: [*from, *from + result); *more: whether the slot has another. */
int64_t so_batches_portion(const so_batches *batches, int slot, int portion, int64_t *from, bool *more);
/* Updates that the total makes. */
so_status so_batches_count(so_batches *batches, int64_t *updates, so_error *error);

#endif
