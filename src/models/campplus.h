/* CAM++: the voice of a recording as one vector.
 *
 *     features [T, 80] ─ 2-D head: conv, 2 × 2 residual blocks, conv (frequency 80 to 10) ─ conv, stride 2 in time
 *         ─ 3 × (dense layers with context-aware masks, a layer that halves the channels) ─ mean and deviation ─ vector
 *
 * Features are Kaldi filterbanks less their mean over time (docs/model.md 7.5). For inference: batch norms use
 * their stored statistics.
 *
 * Source: docs/model.md 7.5; Wang et al. 2023, "CAM++".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_CAMPPLUS_H
#define SO_MODELS_CAMPPLUS_H

#include "nn/ops.h"
#include "nn/weights.h"

enum { SO_CAM_BLOCKS = 3 };

typedef struct so_cam_config {
    int64_t mels, head, start, growth, vector; /* 80; channels of the head, of the first layer along time; 32; 192 */
    int64_t bottleneck;                        /* growths inside a dense layer */
    int64_t layers[SO_CAM_BLOCKS], dilation[SO_CAM_BLOCKS], segment; /* frames of a segment mean */
} so_cam_config;

typedef struct so_cam_norm {
    so_tensor *w, *b, *mean, *var;
} so_cam_norm;

typedef struct so_cam_residual {
    so_tensor *conv1, *conv2, *skip; /* skip: in the first of a stage */
    so_cam_norm norm1, norm2, skip_norm;
} so_cam_residual;

typedef struct so_cam_dense {
    so_cam_norm norm1, norm2;
    so_tensor *linear, *local, *mask1_w, *mask1_b, *mask2_w, *mask2_b;
} so_cam_dense;

typedef struct so_cam {
    so_cam_config config;
    so_tensor *conv1, *conv2, *tdnn, *out;
    so_cam_norm norm1, norm2, tdnn_norm, stats_norm, out_norm;
    so_cam_residual residual[2][2];
    so_cam_dense *dense[SO_CAM_BLOCKS];
    struct {
        so_cam_norm norm;
        so_tensor *linear;
    } transit[SO_CAM_BLOCKS];
} so_cam;

/* The published sizes. */
so_cam_config so_cam_published(void);
/* Sizes as the shapes of the stored weights "<prefix>head.conv1.weight", ... have them: no file tells of this network,
 * and it is never larger than published. What is not there is as published; whether all fits is for binding to say. */
so_cam_config so_cam_sizes(const so_views *views, const char *prefix);
so_status so_cam_bind(so_cam *net, const so_cam_config *config, const char *prefix, so_binder *binder, so_error *error);
/* features[T, mels] -> after the head [T, head mels/8], channel-major as published. */
so_tensor *so_cam_head(so_pass *pass, const so_cam *net, so_tensor *features);
/* features[T, mels], T >= 3 -> [1, vector]. Names for a watcher: "cam.tdnn", "cam.block.B.layer.I" (what a layer adds),
 * "cam.stats". */
so_tensor *so_cam_vector(so_pass *pass, const so_cam *net, so_tensor *features);

#endif
