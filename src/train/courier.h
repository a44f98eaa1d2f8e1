/* What travels between ranks while they train: sums of gradients during the way back, new weights while the next data
 * are read. A thread of its own carries them.
 *
 * Pieces of the weights are dealt to the ranks that update them. They travel in batches of whole weights, in an order
 * that all ranks share: that in which the first update's way back completed them. A batch leaves when all its gradients
 * are complete on this rank, and arrives when they are on all. What is added up, and in which order, does not depend on
 * when anything travels.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_COURIER_H
#define SO_TRAIN_COURIER_H

#include "train/optim.h"
#include "train/ranks.h"

typedef struct so_courier so_courier;

/* Makes the gradient of piece `piece` what this rank gives to the sum; called by the courier's thread, once an update
 * for each piece. */
typedef void (*so_courier_ready)(void *context, int64_t piece);

/* Which of so many ranks updates each piece, owner [pieces]. Checkpoints depend on it. */
void so_courier_deal(const so_optim *optim, int ranks, uint8_t *owner);

/* Deals the optimiser's pieces (optim->mine) to more than one rank, which from then on holds only their moments. Both
 * are lent, the optimiser has all its weights.
 */
so_status so_courier_open(so_courier **courier, so_optim *optim, so_ranks *ranks, so_courier_ready ready, void *context,
                          so_error *error);
/* Something that will never arrive is left behind: the process is about to end. */
void so_courier_close(so_courier **courier);

/* The last slot of an update begins: gradients travel as they are told complete. */
void so_courier_sums(so_courier *courier);
/* Of a weight of the optimiser, in any order. */
void so_courier_complete(so_courier *courier, const so_tensor *weight);
/* All gradients are complete. When it returns their sums over all ranks stand in the buffers of this rank's pieces, and
 * nothing in the others. */
so_status so_courier_arrived(so_courier *courier, so_error *error);

/* The optimiser has updated this rank's pieces: they go to all. */
void so_courier_weights(so_courier *courier);
/* Waits until they are there. */
so_status so_courier_wait(so_courier *courier, so_error *error);

/* Nothing may travel meanwhile: sums of squares that so_optim_norm has left, of all pieces; arrays of all weights. */
so_status so_courier_squares(so_courier *courier, so_error *error);
/* Numbers of a piece; NULL where this rank does not keep them. */
typedef so_real *(*so_courier_array)(const so_optim *optim, int64_t piece);
so_status so_courier_gather(so_courier *courier, so_courier_array array, so_error *error);
/* Moments of all pieces, or only of this rank's. */
so_status so_courier_hold(so_courier *courier, bool all, so_error *error);
bool so_courier_first(const so_courier *courier);

/* Seconds since this was last asked. */
typedef struct so_courier_times {
    double moved;  /* carrying: packing, moving, adding up */
    double seen;   /* of these, while the training had nothing to do but wait */
    double waited; /* waiting for other ranks that still computed */
} so_courier_times;
so_courier_times so_courier_spent(so_courier *courier);
/* Something the owner has moved between ranks by itself. */
void so_courier_spend(so_courier *courier, double seconds);
double so_courier_clock(void);

#endif
