/* The vocoder's discriminators: networks that tell real waveforms from made ones.
 *
 *     waveform folded at 2, 3, 5, 7, 11 samples ─ 5 × (conv (5,1), leaky) ─ conv (3,1) ─ verdicts
 *     waveform ─ complex spectrum of 2048, 1024, 512 samples ─ per band { 5 × (conv, leaky) } ─ bands joined ─ conv ─
 * verdicts
 *
 * Source: docs/model.md 7.6.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_DISCRIMINATORS_H
#define SO_MODELS_DISCRIMINATORS_H

#include "nn/ops.h"
#include "nn/weights.h"

enum { SO_DISCRIMINATORS = 8, SO_DISCRIMINATOR_BANDS = 5, SO_DISCRIMINATOR_LAYERS = 5, SO_DISCRIMINATOR_FEATURES = 96 };

typedef struct so_discriminators_config {
    int64_t periods, period[SO_DISCRIMINATOR_LAYERS], period_channels[SO_DISCRIMINATOR_LAYERS];
    int64_t windows, window[3], window_channels;
} so_discriminators_config;

typedef struct so_discriminator_conv {
    so_tensor *v, *g, *bias;
} so_discriminator_conv;

typedef struct so_discriminators {
    so_discriminators_config config;
    struct {
        so_discriminator_conv conv[SO_DISCRIMINATOR_LAYERS], post;
    } by_period[SO_DISCRIMINATOR_LAYERS];
    struct {
        so_discriminator_conv conv[SO_DISCRIMINATOR_BANDS][SO_DISCRIMINATOR_LAYERS], post;
    } by_window[3];
} so_discriminators;

/* What the discriminators say about one batch of waveforms. */
typedef struct so_discrimination {
    int n, n_features;
    so_tensor *out[SO_DISCRIMINATORS]; /* [B, ..] each */
    so_tensor *feature[SO_DISCRIMINATOR_FEATURES];
} so_discrimination;

/* The published sizes. */
so_discriminators_config so_discriminators_published(void);
/* Sizes for a vocoder of so many channels: the published ones from 512 on, else small ones. */
so_discriminators_config so_discriminators_for(int64_t channels);
/* Group: "discriminators". */
so_status so_discriminators_bind(so_discriminators *net, const so_discriminators_config *config, const char *prefix,
                                 so_binder *binder, so_error *error);
/* wave[B, N] */
bool so_discriminate(so_pass *pass, const so_discriminators *net, so_tensor *wave, so_discrimination *verdict);

#endif
