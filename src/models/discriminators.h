/* The vocoder's judges: networks that tell real waveforms from made ones, and the losses of the game.
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

enum { SO_JUDGES = 8, SO_JUDGE_BANDS = 5, SO_JUDGE_LAYERS = 5, SO_JUDGE_FEATURES = 96 };

typedef struct so_judges_config {
    int64_t periods, period[SO_JUDGE_LAYERS], period_channels[SO_JUDGE_LAYERS];
    int64_t windows, window[3], window_channels;
} so_judges_config;

typedef struct so_judge_conv {
    so_tensor *v, *g, *bias;
} so_judge_conv;

typedef struct so_judges {
    so_judges_config config;
    struct {
        so_judge_conv conv[SO_JUDGE_LAYERS], post;
    } by_period[SO_JUDGE_LAYERS];
    struct {
        so_judge_conv conv[SO_JUDGE_BANDS][SO_JUDGE_LAYERS], post;
    } by_window[3];
} so_judges;

/* What the judges say about one batch of waveforms. */
typedef struct so_verdict {
    int n, n_features;
    so_tensor *out[SO_JUDGES]; /* [B, ..] each */
    so_tensor *feature[SO_JUDGE_FEATURES];
} so_verdict;

/* The published sizes. */
so_judges_config so_judges_published(void);
/* Group: "judges". */
so_status so_judges_bind(so_judges *net, const so_judges_config *config, const char *prefix, so_binder *binder,
                         so_error *error);
/* wave[B, N] */
bool so_judge(so_pass *pass, const so_judges *net, so_tensor *wave, so_verdict *verdict);

/* Sum over judges of mean((1 - D(made))^2). */
so_tensor *so_fooling_loss(so_pass *pass, const so_verdict *made);
/* Sum over judges of mean((1 - D(real))^2) + mean(D(made)^2). */
so_tensor *so_judging_loss(so_pass *pass, const so_verdict *real, const so_verdict *made);
/* Twice the sum over features of mean|real - made|. */
so_tensor *so_feature_loss(so_pass *pass, const so_verdict *real, const so_verdict *made);
/* Sum over judges of so_median_loss. */
so_tensor *so_relative_loss(so_pass *pass, const so_verdict *real, const so_verdict *made, double tau);

#endif
