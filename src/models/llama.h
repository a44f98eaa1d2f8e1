/* Llama decoder layers: the backbone and, in smaller number, the bottom and top speech layers.
 *
 *     x ──┬─ RMSNorm ─ Q,K,V ─ RoPE ─ attention ─ O ─┬─(+)─┬─ RMSNorm ─ down(silu(gate) * up) ─┬─(+)── x'
 *         └──────────────────────────────────────────┘     └─────────────────────────────────┘
 *
 * Rows [R, D] belong to the sequences of an so_batch. Source: docs/model.md 2, 5.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_LLAMA_H
#define SO_MODELS_LLAMA_H

#include "nn/ops.h"
#include "nn/weights.h"

typedef struct so_llama_config {
    int64_t width, heads, kv_heads, head_width, ff; /* D, H, K, d, F */
    double rms_eps, rope_theta;
    double rope_factor; /* llama3 scaling; 1 or 0: none */
    double rope_low, rope_high, rope_original;
} so_llama_config;

typedef struct so_llama_layer {
    so_tensor *attn_norm, *q, *k, *v, *o, *mlp_norm, *gate, *up, *down;
} so_llama_layer;

/* A stack of layers with its final norm. */
typedef struct so_llama {
    so_llama_config config;
    const char *name; /* for who watches: "backbone"; set at bind from the binder's group */
    int64_t layers;
    so_llama_layer *layer; /* [layers] */
    so_tensor *norm;
    double *freq;    /* [d / 2], radians per position */
    bool checkpoint; /* while recording: recompute each layer on the way back */
} so_llama;

/* Binds `layers` layers "<prefix>{}." and the norm `norm_name` (both full names) and readies the rotary table; memory
 * comes from the store. */
so_status so_llama_bind(so_llama *net, const so_llama_config *config, int64_t layers, const char *prefix,
                        const char *norm_name, so_binder *binder, so_error *error);
/* Sets the letters D H K d F of `sizes`. */
void so_llama_sizes(const so_llama_config *config, so_sizes *sizes);

/* Multiplications of one row in the products of one layer. */
double so_llama_products(const so_llama_config *config);
/* The two halves of layer i; a layer is both in turn. x[R, D] -> [R, D]; on a device the second writes `into`, which
 * may be what the first was given, where that is not NULL. */
so_tensor *so_llama_attend(so_pass *pass, const so_llama *net, int64_t i, so_tensor *x, const so_batch *batch);
so_tensor *so_llama_feed(so_pass *pass, const so_llama *net, int64_t i, so_tensor *x, so_tensor *into);
/* Layer i's keys and values of x alone, into the batch's stores: all that others will ever see of rows whose output is
 * not wanted. On the host. */
void so_llama_note(so_pass *pass, const so_llama *net, int64_t i, so_tensor *x, const so_batch *batch);
/* Weights of the layers from `first` on stay on the host where the network moves to a device, all others go with it. */
void so_llama_stay(so_llama *net, int64_t first);
/* Layers first .. last - 1. Where nothing records, one layer's memory does for all. Does not advance the batch's
 * stores. Names for a watcher: "NAME.in.I", the input of layer I. */
so_tensor *so_llama_layers(so_pass *pass, const so_llama *net, so_tensor *x, const so_batch *batch, int64_t first,
                           int64_t last);
/* The final norm, named "NAME.out". */
so_tensor *so_llama_norm(so_pass *pass, const so_llama *net, so_tensor *x);
/* All layers and the final norm. */
so_tensor *so_llama_forward(so_pass *pass, const so_llama *net, so_tensor *x, const so_batch *batch);

#endif
