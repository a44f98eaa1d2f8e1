/* Choosing an id from logits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_SAMPLER_H
#define SO_NN_SAMPLER_H

#include "base/arena.h"
#include "base/real.h"
#include "base/rng.h"

typedef struct so_sampling {
    double temperature; /* 0: greedy */
    double top_p;       /* 0 or 1: off */
    int top_k;          /* 0: off */
    uint64_t seed;
} so_sampling;

/* Room for sorting, taken once. */
typedef struct so_sampler {
    int32_t *order;
    double *weight;
    int64_t capacity;
} so_sampler;

/* For up to `capacity` logits. False when the arena ends. */
bool so_sampler_init(so_sampler *sampler, so_arena *arena, int64_t capacity);
/* The largest; the lowest index among equals. */
int32_t so_argmax(const so_real *logits, int64_t n);
/* The indices of the `most` largest, the largest first, the lowest index among equals; returns how many there are. */
int so_likeliest(const so_real *logits, int64_t n, int most, int32_t *index);
int32_t so_sampler_draw(so_sampler *sampler, const so_sampling *how, const so_real *logits, int64_t n, so_rng *rng);

#endif
