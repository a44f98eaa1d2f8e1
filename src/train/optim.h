/* AdamW over the learning weights of stores, with global-norm clipping and, if asked for, an average of the weights.
 *
 * Decay is decoupled and falls on matrices only (norms, biases and scalars keep their size). One fused pass over memory
 * updates weight, both moments and the average and clears the gradient. Sums run over fixed pieces, so that the result
 * is the same for every number of threads.
 *
 * Source: Loshchilov and Hutter, arXiv 1711.05101.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_OPTIM_H
#define SO_TRAIN_OPTIM_H

#include "base/pool.h"
#include "nn/weights.h"

typedef struct so_adamw {
    double beta1, beta2, epsilon; /* all 0: 0.9, 0.95, 1e-8 */
    double decay;                 /* weight decay per unit of rate */
    double clip;                  /* largest global gradient norm; 0: no clipping */
    double average;               /* decay of the weights' moving average; 0: none is kept */
} so_adamw;

/* How one group of weights learns. A group that no rule names has the factor 1. */
typedef struct so_group_rule {
    const char *group;
    double rate;  /* factor on the learning rate */
    double decay; /* factor on the decay */
} so_group_rule;

/* One learning weight. Read; the rest is the optimiser's. */
typedef struct so_param {
    so_weight *weight;
    so_real *m, *v;   /* moments of the pieces that are held (so_optim_hold); of all of them [count] */
    so_real *average; /* [count]; NULL when none is kept */
    int64_t count;
    double rate, decay; /* factors */
} so_param;

/* A fixed piece of a weight, the unit of threads' and ranks' work. */
typedef struct so_piece {
    int64_t param, from, count;
    int64_t at; /* where its moments begin among the weight's; -1: they are not held */
} so_piece;

typedef struct so_optim {
    so_adamw adamw;
    const so_kernels *k; /* for every number; NULL: the portable ones (so_trainer_run sets its own) */
    so_param *param;
    int64_t count, capacity, updates; /* updates made */
    so_piece *piece;                  /* of all weights, in their order */
    double *partial;                  /* [pieces] sums of squares */
    int64_t pieces, pieces_capacity;
    const int64_t *mine; /* [mines] pieces that this process updates, rising; NULL: all (train/courier.h shares them) */
    int64_t mines;
    bool averaged; /* so_optim_swap has put the averages in place */
} so_optim;

/* Readies an optimiser without weights. SO_ERR_ARG for coefficients outside [0, 1). */
so_status so_optim_open(so_optim *optim, const so_adamw *adamw, so_error *error);
/* Adds every weight of `store` that wants a gradient now (so_store_learn first). The store is lent until close. A
 * weight without a gradient buffer is SO_ERR_STATE. */
so_status so_optim_add(so_optim *optim, so_store *store, const so_group_rule *rule, int rules, so_error *error);
void so_optim_close(so_optim *optim);
/* Holds the moments of these pieces (rising; NULL: of all) and no others: what was held stays, what is new is zero.
 * After so_optim_add all are held. */
so_status so_optim_hold(so_optim *optim, const int64_t *piece, int64_t pieces, so_error *error);
/* The moment of a piece, first (0) or second (1), [count]; NULL where it is not held. */
so_real *so_optim_moment(const so_optim *optim, int64_t piece, int which);

/* Euclidean norm of the gradients of this process's pieces; not finite when one of them is not. */
double so_optim_norm(so_optim *optim, so_pool *pool);
/* Clips (given the norm of all gradients), updates this process's pieces with learning rate `rate`, clears their
 * gradients. */
void so_optim_update(so_optim *optim, so_pool *pool, double rate, double norm);
/* Clears the gradients without an update. */
void so_optim_skip(so_optim *optim);
/* Sets wants_grad of every weight: whose turn it is in adversarial training. */
void so_optim_turn(so_optim *optim, bool learns);
/* Exchanges weights and their averages (and back at the next call). Does nothing when none are kept. */
void so_optim_swap(so_optim *optim);
/* Name of the first weight whose gradient is not finite, or NULL. */
const char *so_optim_bad(const so_optim *optim);
/* Number of learning parameters. */
int64_t so_optim_parameters(const so_optim *optim);

/* ---- learning rate over time */
typedef enum so_rate_shape {
    SO_RATE_COSINE,   /* half a cosine from peak to floor */
    SO_RATE_LINEAR,   /* a line from peak to floor */
    SO_RATE_CONSTANT, /* peak */
    SO_RATE_ROOT      /* peak sqrt(warmup / step) */
} so_rate_shape;
typedef struct so_schedule {
    so_rate_shape shape;
    double peak, floor; /* floor as a fraction of peak */
    int64_t warmup;     /* steps of a line from 0 to peak */
} so_schedule;
/* Rate of update `step` (from 0) when `done` (0 to 1) of the planned training lies behind. */
double so_rate(const so_schedule *schedule, int64_t step, double done);

#endif
