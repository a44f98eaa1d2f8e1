/* What a run costs, from counts alone: work, time, memory, and what ranks send each other.
 *
 * The convention of 6 N: every row passes all parameters of a stack, 2 operations each on the way there, 4 on the way
 * back where they learn, 2 where only their inputs want gradients, and 2 more where layers are computed again.
 * Attention itself is left out (about 3 % at 1,000 rows of the published model). Nothing here is measured.
 *
 * Source: data-eval.md G.4 and G.7; Rajbhandari et al., arXiv 1910.02054 (memory of moments in pieces).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_COST_H
#define SO_TRAIN_COST_H

#include "models/stream_omni.h"
#include "train/stages.h"

/* What passes through the stacks, of one record on average. */
typedef struct so_cost_rows {
    double backbone; /* rows of the language model: text, pictures, heard speech */
    double bottom;   /* rows of the bottom layers, and of the CTC head */
    double top;      /* rows of the top layers, and of the unit head */
    double pictures;
} so_cost_rows;

typedef struct so_cost {
    double parameters, learning; /* in all; that learn, tables included */
    double used;                 /* of stacks that take part */
    double forward, back, again; /* operations of a record: there, back, and there again */
    double frozen;               /* operations of a record in stacks that want no gradient: not in the others */
} so_cost;

/* Of a record of a stage, layers computed again on the way back where `again` says so. */
void so_cost_of(const so_omni_config *config, const so_stage *stage, const so_cost_rows *rows, bool again,
                so_cost *out);

/* A machine, or several. Rates in operations and bytes a second. */
typedef struct so_cost_machine {
    int gpus, node;     /* devices, and how many of them are in one machine */
    double peak, share; /* peak of one device, and the share of it that is reached */
    double link, wire;  /* bytes a second of one device to others of its machine, and to other machines */
} so_cost_machine;
/* H800: 989 TFLOP/s of bf16, 35 % of it; 160 GB/s within a machine of eight, 45 GB/s between machines. */
so_cost_machine so_cost_h800(void);

typedef struct so_cost_time {
    double seconds, compute; /* of the run; of an update */
    double within, between;  /* seconds of an update that gradients and weights travel, when nothing hides them */
    double least, most; /* bytes a device needs for weights, gradients (bf16 to f32) and its share of the moments */
} so_cost_time;

/* Of `records` in updates of `batch`. */
void so_cost_run(const so_cost *cost, const so_cost_machine *machine, double records, double batch, so_cost_time *out);

#endif
