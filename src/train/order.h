/* The order of data without a state: which record sample number g of a run is.
 *
 * Samples come in blocks. A block holds a fixed number of samples of each source (exact mixing, nothing by chance), in
 * an order drawn anew for every block. A source's records are passed through in an order drawn anew for every epoch, so
 * that each comes once before any comes again. Where a run stands in its data is one number, whatever the number of
 * threads and ranks.
 *
 * Permutations are a Feistel network of four rounds over the next power of four, with cycle walking: no memory, any
 * place in constant time. Source: Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_ORDER_H
#define SO_TRAIN_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { SO_ORDER_SOURCES = 64 };

typedef struct so_data_order {
    uint64_t seed;
    int sources;
    int64_t count[SO_ORDER_SOURCES]; /* records of each */
    int64_t share[SO_ORDER_SOURCES]; /* samples of each in a block */
    int64_t block;                   /* their sum */
    int64_t laid;                    /* private: the block whose places are known, -1 */
    struct so_order_slot *slot;      /* private: [block] */
} so_data_order;

/* One sample: record `index` of a source, met for the (epoch + 1)th time. */
typedef struct so_order_place {
    int source;
    int64_t epoch, index;
} so_order_place;

/* Sources with count[i] > 0 records, drawn with weight[i] > 0. A block has 1,000 samples, or as many as bring each
 * share within half a percent of its weight, up to a million. SO_ERR_ARG. */
so_status so_order_open(so_data_order *order, uint64_t seed, int sources, const int64_t *count, const double *weight,
                        so_error *error);
void so_order_close(so_data_order *order);
/* Sample number g >= 0. The block around it is laid out and kept until another one is asked for. */
so_order_place so_order_at(so_data_order *order, int64_t g);
/* How often a source's records are met in so many samples, on average. */
double so_order_epochs(const so_data_order *order, int source, int64_t samples);

/* Where i goes in a permutation of 0 .. n - 1 that `key` names. */
int64_t so_shuffled(uint64_t key, int64_t i, int64_t n);

#endif
