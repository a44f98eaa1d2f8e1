/* One optimiser's work shared among ranks, with the same bits for any number of them.
 *
 * An update is made of slots: micro-batches in an order of their own, whoever computes them. Slot gradients are added
 * up in one fixed binary tree,
 *
 *     ((g0 + g1) + (g2 + g3)) + ((g4 + g5) + (g6 + g7))
 *
 * of which every rank owns an aligned part: rank r of n computes slots r V/n up to (r + 1) V/n and adds them up alone;
 * only its one sum crosses to the others. There everybody adds the upper levels for the pieces of the weights that it
 * owns, updates these with its part of the moments, and shows the new weights to all. 1, 2, 4 ... V ranks give the same
 * bits, as long as V and their number are powers of two. What crosses does so beside the computing (train/courier.h).
 *
 * Source: Rajbhandari et al., "ZeRO", arXiv 1910.02054 (moments in pieces).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_SHARE_H
#define SO_TRAIN_SHARE_H

#include "train/courier.h"

typedef struct so_share so_share;

/* `slots` of an update, over all ranks; `ranks` may be NULL (alone). Both are lent, the optimiser has all its weights.
 * SO_ERR_ARG, naming what is allowed, where slots do not divide among the ranks. */
so_status so_share_open(so_share **share, so_optim *optim, so_ranks *ranks, int slots, so_error *error);
void so_share_close(so_share **share);

/* Slots that this rank computes: first .. first + count - 1. */
void so_share_mine(const so_share *share, int *first, int *count);

/* An update begins. */
void so_share_begin(so_share *share);
/* This rank's last slot is about to be computed: its gradients may travel before it ends, as they are told complete
 * (so_follow in nn/pass.h). Without this call they travel when the slot has ended. Nothing where nobody shares. */
void so_share_last(so_share *share);
void so_share_complete(so_share *share, const so_tensor *weight);
/* The gradient of this rank's next slot stands in the weights' buffers: into the tree with it. After the last of its
 * slots it waits until the sum over all slots stands there, in the pieces that this rank owns. */
so_status so_share_slot(so_share *share, so_pool *pool, so_error *error);
/* The norm of the sum, of all ranks' pieces. */
so_status so_share_norm(so_share *share, so_pool *pool, double *norm, so_error *error);
/* After so_optim_update: everybody's new weights begin to travel. */
void so_share_weights(so_share *share);
/* Waits until they have arrived: before anything reads a weight. */
so_status so_share_wait(so_share *share, so_error *error);
/* Everybody's averages, before an evaluation. */
so_status so_share_averages(so_share *share, so_error *error);
/* The first rank gets everybody's moments, and all get the averages, before it writes a checkpoint of one file; then it
 * lets the moments of others go. */
so_status so_share_collect(so_share *share, so_error *error);
so_status so_share_disperse(so_share *share, so_error *error);

/* Seconds since this was last asked (train/courier.h); 0 where nobody shares. */
so_courier_times so_share_spent(so_share *share);
/* Something else was moved between ranks. */
void so_share_spend(so_share *share, double seconds);

#endif
