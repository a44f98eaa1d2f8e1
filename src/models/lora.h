/* Low-rank adapters of a network's matrices: few weights of their own learn, the network's stay as they are, of
 * whatever type.
 *
 *     y = x W^T + (alpha / r) (x A^T) B^T        A [r, K] random, B [N, r] zero
 *
 * Source: Hu et al., arXiv 2106.09685; Dettmers et al., arXiv 2305.14314 (over quantised weights). Their files:
 * formats/adapter.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_LORA_H
#define SO_MODELS_LORA_H

#include "formats/adapter.h"
#include "nn/weights.h"

typedef struct so_lora_options {
    int rank;            /* r; 0: 8 */
    double alpha;        /* 0: 2 r */
    const char *targets; /* comma between: of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj; NULL: all
                            seven */
    double dropout;      /* share of the adapters' inputs that is dropped while learning; 0 to below 1 */
} so_lora_options;

/* The adapters of one network. Zeroed before, closed once. */
typedef struct so_lora_set {
    so_store store; /* their weights, group "lora" */
    so_lora *lora;  /* [count] */
    so_tensor **of; /* [count] the weights that they adapt */
    int64_t count;
    char targets[96];
    uint64_t *seed; /* of dropout: whoever trains sets it before every pass */
} so_lora_set;

/* Makes adapters for the matrices of `groups` (comma between; NULL: all) in `base` that the targets name, and attaches
 * them: from now on the products of these weights have them. `base` must outlive the set. SO_ERR_ARG for a rank or a
 * target that is none, SO_ERR_MISSING when no weight of a group fits. */
so_status so_lora_make(so_lora_set *set, so_store *base, const char *groups, const so_lora_options *options,
                       uint64_t seed, so_error *error);
/* Attaches copies of what a file holds. SO_ERR_FORMAT naming what does not fit: a weight that `base` does not have, has
 * in another shape, or that is none of the seven kinds above. */
so_status so_lora_attach(so_lora_set *set, so_store *base, const so_adapter *adapter, so_error *error);
/* Detaches and frees. */
void so_lora_close(so_lora_set *set);

/* Both from and to a folder of PEFT; see so_adapter_save_peft. `model` is told as what they were trained on. */
so_status so_lora_load(so_lora_set *set, so_store *base, const char *folder, so_error *error);
so_status so_lora_save(const so_lora_set *set, const char *folder, const char *model, so_error *error);
/* Adds the adapters to their weights, which must be f32 (SO_ERR_TYPE), and detaches them. */
so_status so_lora_merge(so_lora_set *set, so_error *error);

#endif
