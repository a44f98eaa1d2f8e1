/* The SigLIP vision tower: patches of a picture to features, before the final norm, the last layer dropped.
 *
 *     pixels [B, 3, S, S] ─ patches ─(+ positions)─ n × { x += attn(LN x); x += fc2(gelu_tanh(fc1(LN x))) } ─ [B P, D]
 *
 * Source: docs/model.md 4.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_SIGLIP_H
#define SO_MODELS_SIGLIP_H

#include "nn/ops.h"
#include "nn/weights.h"

typedef struct so_siglip_config {
    int64_t width, heads, ff, layers; /* D, H, F; `layers` that run (the published config counts one more) */
    int64_t image, patch;             /* pixels a side */
    double norm_eps;
} so_siglip_config;

typedef struct so_siglip_layer {
    so_tensor *norm1_w, *norm1_b, *q_w, *q_b, *k_w, *k_b, *v_w, *v_b, *o_w, *o_b;
    so_tensor *norm2_w, *norm2_b, *fc1_w, *fc1_b, *fc2_w, *fc2_b;
} so_siglip_layer;

typedef struct so_siglip {
    so_siglip_config config;
    so_tensor *patch_w, *patch_b, *position;
    so_tensor *post_w, *post_b; /* loaded, unused for features; NULL when absent */
    so_siglip_layer *layer;
} so_siglip;

/* Names begin with `prefix`, e.g. "model.vision_tower.vision_tower.vision_model.". */
so_status so_siglip_bind(so_siglip *net, const so_siglip_config *config, const char *prefix, so_binder *binder,
                         so_error *error);
/* Patches a side. */
int64_t so_siglip_grid(const so_siglip_config *config);
/* pixels: B pictures [3, S, S] of numbers already normalised -> features [B grid^2, D]. Names for a watcher:
 * "vision.patches", "vision.in.I" (the input of layer I), "vision.out". */
so_tensor *so_siglip_forward(so_pass *pass, const so_siglip *net, int64_t pictures, const float *pixels);
/* The same in pieces: what enters the first layer, and halves first .. last - 1 of the layers: half 2 i is the
 * attention of layer i, 2 i + 1 what it does to each row. */
so_tensor *so_siglip_patches(so_pass *pass, const so_siglip *net, int64_t pictures, const float *pixels);
so_tensor *so_siglip_halves(so_pass *pass, const so_siglip *net, int64_t pictures, so_tensor *x, int64_t first,
                            int64_t last);

#endif
