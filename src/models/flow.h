/* The flow model: units (40 ms) to log-mel frames of the vocoder, by an encoder and a conditional flow.
 *
 *     units [N] ─ embed ─ linear, LN, sqrt D ─ n × encoder layer ─ LN ─ linear M ─ interpolate ─ 4 × (conv, GN, mish) ─
 * mu encoder layer: x += attn(LN x, relative positions); x += w2(silu(w1(LN x))) noise x(0) ─ 10 Euler steps of dx/dt =
 * (1+g) f(x, mu, t, s, cond) - g f(x, 0, t, 0, 0) ─ mel [T, M] f: U-Net over [x | mu | s | cond]: down (stride 2),
 * down, m × mid, up (twice), up; each a residual block and transformer blocks
 *
 * Channels last everywhere: mels are [T, M] or [B, T, M].
 *
 * Source: docs/model.md 7.2, 7.6.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_FLOW_H
#define SO_MODELS_FLOW_H

#include "nn/ops.h"
#include "nn/weights.h"

typedef struct so_flow_config {
    int64_t units, width, heads, ff, layers; /* the encoder: V, D, H, F, n */
    int64_t channels, est_heads, head_width, est_blocks,
        mid;                      /* f: C, heads, their width, transformer blocks a stage, m */
    int64_t speaker, mels;        /* width of a speaker's vector; M */
    int64_t unit_rate, rate, hop; /* units a second; Hz; samples a frame */
    int64_t border;               /* units at either end that the regulator stretches for themselves */
    int64_t steps;                /* Euler steps */
    double guidance, sigma_min;
    double temperature; /* of the noise that is begun with; 1 as published */
} so_flow_config;

typedef struct so_flow_layer {
    so_tensor *norm_mha_w, *norm_mha_b, *q_w, *q_b, *k_w, *k_b, *v_w, *v_b, *o_w, *o_b, *pos_w, *u, *v;
    so_tensor *norm_ff_w, *norm_ff_b, *w1_w, *w1_b, *w2_w, *w2_b;
} so_flow_layer;

typedef struct so_flow_resnet {
    so_tensor *conv1_w, *conv1_b, *norm1_w, *norm1_b, *time_w, *time_b, *conv2_w, *conv2_b, *norm2_w, *norm2_b;
    so_tensor *skip_w, *skip_b;
} so_flow_resnet;

typedef struct so_flow_attention {
    so_tensor *norm1_w, *norm1_b, *q_w, *k_w, *v_w, *o_w, *o_b, *norm3_w, *norm3_b, *fc1_w, *fc1_b, *fc2_w, *fc2_b;
} so_flow_attention;

/* A stage of the U-Net; `change` is its convolution at the end, absent in the middle. */
typedef struct so_flow_stage {
    so_flow_resnet resnet;
    so_flow_attention *attention; /* [est_blocks] */
    so_tensor *change_w, *change_b;
} so_flow_stage;

typedef struct so_flow {
    so_flow_config config;
    so_tensor *embedding, *speaker_w, *speaker_b, *in_w, *in_b, *in_norm_w, *in_norm_b, *after_w, *after_b, *proj_w,
        *proj_b;
    so_flow_layer *layer;
    struct {
        so_tensor *conv_w, *conv_b, *norm_w, *norm_b;
    } regulator[4];
    so_tensor *regulator_w, *regulator_b;
    so_tensor *time1_w, *time1_b, *time2_w, *time2_b;
    so_flow_stage down[2], *mid, up[2];
    so_tensor *final_conv_w, *final_conv_b, *final_norm_w, *final_norm_b, *final_w, *final_b;
} so_flow;

/* The published sizes. */
so_flow_config so_flow_published(void);
/* Group: "flow". */
so_status so_flow_bind(so_flow *net, const so_flow_config *config, const char *prefix, so_binder *binder,
                       so_error *error);

/* ---- units to mel, stage by stage; every stage may be called alone. Names for a watcher: "flow.embedded",
 * "flow.layer.I" (its output), "flow.projected"; of the U-Net "unet.time", and of its stages S "down.0", "down.1",
 * "mid", "mid.last", "up.0", "up.1": "unet.S.resnet", "unet.S.block.I", "unet.S.out"; "unet.final". */

/* Frames for N units: int(N / unit_rate * rate / hop) in double. */
int64_t so_flow_frames(const so_flow_config *config, int64_t N);
/* vector[B, speaker] of any length -> [B, M]. */
so_tensor *so_flow_speaker(so_pass *pass, const so_flow *net, so_tensor *vector);
/* ids[B, N] of recordings of lengths[b] units (NULL: all N) -> [B, N, D] after the last norm. Ids below 0 become 0. */
so_tensor *so_flow_encoder(so_pass *pass, const so_flow *net, int64_t B, int64_t N, const int32_t *ids,
                           const int64_t *lengths);
/* [.., D] -> [.., M] */
so_tensor *so_flow_project(so_pass *pass, const so_flow *net, so_tensor *h);
/* The convolutions of the length regulator on [B, T, M]. */
so_tensor *so_flow_smooth(so_pass *pass, const so_flow *net, so_tensor *x);
/* One recording: h[P + N, M], of which P units are a prompt with M1 frames -> mu[M1 + frames, M]. */
so_tensor *so_flow_regulate(so_pass *pass, const so_flow *net, so_tensor *h, int64_t P, int64_t M1, int64_t frames);

/* What f is asked under. */
typedef struct so_flow_ask {
    so_tensor *mu, *speaker, *cond; /* [B, T, M], [B, M], [B, T, M]; NULL means zeros */
    const so_real *t;               /* [B] */
    const so_real *mask;            /* [B, T], 1 for frames that exist; NULL: all do */
    bool add_mask;                  /* as the published weights were trained: the mask is ADDED to attention scores */
    so_tensor *times;               /* so_flow_times of t, which then is not read; NULL: made of t */
} so_flow_ask;
/* [B, 4M]: what f is told of the times t[B]. */
so_tensor *so_flow_times(so_pass *pass, const so_flow *net, int64_t B, const so_real *t);
/* f(x, ..) for x[B, T, M]. */
so_tensor *so_flow_velocity(so_pass *pass, const so_flow *net, so_tensor *x, const so_flow_ask *ask);
/* One recording: noise z[T, M], mu[T, M], speaker[1, M], cond[T, M] or NULL -> mel [T, M]. Nothing may record. */
so_tensor *so_flow_sample(so_pass *pass, const so_flow *net, so_tensor *z, so_tensor *mu, so_tensor *speaker,
                          so_tensor *cond);

/* Step i, from 0, of the config.steps that so_flow_sample takes: x[T, M], noise at first and mel behind the last, moves
 * on in place. Leaves nothing in the arena. */
void so_flow_step(so_pass *pass, const so_flow *net, int64_t i, so_tensor *x, so_tensor *mu, so_tensor *speaker,
                  so_tensor *cond);

/* The same for steps of one chunk on a device: what the first of them asks of it is recorded, and the others replay
 * it. Zeroed before the first, forgotten when the tensors' memory is to hold something else. */
typedef struct so_flow_again {
    so_device *device;
    so_recording *recording; /* NULL: none */
    const void *base;        /* the memory of numbers that it was recorded in */
    int64_t rows;
} so_flow_again;
typedef struct so_flow_state {
    so_tensor *x, *mu, *speaker, *cond; /* as so_flow_step takes them */
} so_flow_state;
void so_flow_step_again(so_pass *pass, const so_flow *net, int64_t i, const so_flow_state *state, so_flow_again *again);
void so_flow_forget(so_flow_again *again);

/* All stages for one recording of N units after a prompt of P units and M1 frames (both 0: none). */
typedef struct so_flow_request {
    int64_t N, P, M1, frames; /* frames: so_flow_frames(N) as a rule */
    const int32_t *ids;       /* [P + N] */
    const so_real *prompt;    /* [M1, M] */
    const so_real *vector;    /* [speaker] */
    const so_real *z;         /* [M1 + frames, M] */
    /* The first K frames of noise and mu from an earlier call; NULL and 0: none. */
    const so_real *z_before, *mu_before; /* [K, M] */
    int64_t K;
} so_flow_request;
/* -> mel [frames, M]. `mu` (may be NULL) gets the regulated encoding [M1 + frames, M]. */
so_tensor *so_flow_mel(so_pass *pass, const so_flow *net, const so_flow_request *request, so_tensor **mu);

#endif
