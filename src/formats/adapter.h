/* Files of low-rank adapters: what they add to the products of which weights.
 *
 *     w' = w + scale b a        a [rank, k], b [n, rank], w [n, k]
 *
 * Two forms are read and written. PEFT's is a folder: adapter_config.json, and adapter_model.safetensors with
 * "base_model.model.<weight>.lora_A.weight" and "...lora_B.weight". llama.cpp's is a GGUF file with general.type
 * "adapter", adapter.type "lora", adapter.lora.alpha, and "<tensor>.lora_a", "<tensor>.lora_b"; its names of a
 * Llama's matrices stand for the published ones, and its rows of queries and keys lie in another order within each head
 * (pairs instead of halves), as they do in its models.
 *
 * Source: Hu et al., arXiv 2106.09685; docs/files.md 10.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_ADAPTER_H
#define SO_FORMATS_ADAPTER_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/view.h"

enum { SO_ADAPTER_RANK_MOST = 512 };

typedef struct so_adapter_pair {
    char *name; /* of the weight: "model.layers.0.self_attn.q_proj.weight" */
    int64_t n, k, rank;
    float scale;   /* alpha / rank */
    float *a, *b;  /* [rank, k], [n, rank] */
    bool in_pairs; /* rows of b lie as llama.cpp rotates, until so_adapter_turn */
} so_adapter_pair;

typedef struct so_adapter {
    so_adapter_pair *pair; /* in the order of the file */
    int64_t count, capacity;
    char *model;   /* what it was trained on, as the file says; "" */
    char *targets; /* PEFT's target_modules, comma between; NULL: none are told */
} so_adapter;

/* Whether a path is a folder with adapter_config.json, or a GGUF file of an adapter. */
bool so_adapter_is(const char *path);
/* Reads either form and closes the file. SO_ERR_FORMAT and SO_ERR_UNSUPPORTED name what is no such adapter: another
 * kind (DoRA, biases, whole modules, embeddings), a rank that differs, half of a pair, numbers that are not finite. */
so_status so_adapter_open(so_adapter *adapter, const char *path, so_error *error);
/* Accepts a zeroed one. */
void so_adapter_close(so_adapter *adapter);
/* Puts rows that lie in pairs into halves; for a model with so many heads. SO_ERR_FORMAT when rows don't divide. */
so_status so_adapter_turn(so_adapter *adapter, int64_t heads, int64_t kv_heads, so_error *error);
/* Adds a pair, whose numbers are copied. */
so_status so_adapter_add(so_adapter *adapter, const so_adapter_pair *pair, so_error *error);
/* NULL when it doesn't adapt that weight. */
const so_adapter_pair *so_adapter_find(const so_adapter *adapter, const char *weight);
/* "q_proj" of "model.layers.0.self_attn.q_proj.weight"; length 0 when the name has another form. */
so_span so_adapter_module(const char *weight);

/* Writes a folder of PEFT, file by file, the configuration last. All pairs must have one rank and scale: SO_ERR_ARG. */
so_status so_adapter_save_peft(const so_adapter *adapter, const char *folder, so_error *error);
/* Writes llama.cpp's form; *own (may be NULL) counts pairs of weights that llama.cpp has no name for, which keep theirs
 * and which it doesn't read. */
so_status so_adapter_save_gguf(const so_adapter *adapter, const char *path, int64_t heads, int64_t kv_heads,
                               int64_t *own, so_error *error);

/* Row r of b a, scaled, is added to row[k]. */
void so_adapter_add_row(const so_adapter_pair *pair, int64_t r, float *row);

/* Adds a pair whose numbers are stored in views: `about` tells name, scale, in_pairs, and the rank where one is
 * expected (0: whatever the views have). SO_ERR_FORMAT when they are not [rank, k] and [n, rank]; either may be NULL
 * (absent). */
so_status so_adapter_add_views(so_adapter *adapter, const so_adapter_pair *about, const so_view *a, const so_view *b,
                               so_error *error);
/* Of the two forms; so_adapter_open calls them. */
so_status so_adapter_read_peft(so_adapter *adapter, const char *folder, so_error *error);
so_status so_adapter_read_gguf(so_adapter *adapter, const char *path, so_error *error);

#endif
