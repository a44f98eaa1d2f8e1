/* Flow matching.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/loss_flow.h"

/* factor[b] on all rows of item b. */
static so_tensor *scale_items(so_pass *pass, so_tensor *x, const so_real *factor)
{
    if (!so_ok(pass) || !x) return NULL;
    int64_t rows = so_rows(x), each = rows / x->dim[0];
    so_real *f = so_take(pass, (size_t)rows * sizeof *f, false);
    for (int64_t r = 0; f && r < rows; r++) f[r] = factor[r / each];
    return f ? so_scale_rows(pass, x, f) : NULL;
}

so_tensor *so_flow_matching_loss(so_pass *pass, const so_flow *net, so_tensor *x1, const so_flow_ask *given,
                                 so_tensor *z, const so_real *keep)
{
    if (!so_want_dims(pass, "flow loss", x1, 3) || !so_want_same(pass, "flow loss", x1, z)) return NULL;
    int64_t B = x1->dim[0];
    so_real rest = (so_real)(1 - net->config.sigma_min);
    so_flow_ask ask = *given;
    so_real *away = so_take(pass, (size_t)B * sizeof *away, false);
    if (!away) return NULL;
    for (int64_t b = 0; b < B; b++) away[b] = 1 - rest * ask.t[b];
    so_tensor *y = so_add(pass, scale_items(pass, z, away), scale_items(pass, x1, ask.t));
    so_label(pass, y, "flow.noisy");
    so_tensor *target = so_add(pass, x1, so_scale(pass, z, -rest));
    if (keep) {
        ask.mu = ask.mu ? scale_items(pass, ask.mu, keep) : NULL;
        ask.speaker = ask.speaker ? scale_items(pass, ask.speaker, keep) : NULL;
        ask.cond = ask.cond ? scale_items(pass, ask.cond, keep) : NULL;
    }
    return so_mse(pass, so_flow_velocity(pass, net, y, &ask), target, ask.mask);
}

/* mel[B, T, M] with everything but the first shown[b] frames zeroed. */
static so_tensor *shown_frames(so_pass *pass, const so_flow_lesson *l, so_tensor *mel)
{
    if (!l->shown || !mel) return NULL;
    so_real *f = so_length_mask(pass, l->B, l->T, l->shown);
    return f ? so_scale_rows(pass, mel, f) : NULL;
}

/* In training the padded axis is interpolated as a whole. */
static so_tensor *regulate_padded(so_pass *pass, const so_flow *net, so_tensor *h, const so_flow_lesson *l,
                                  const so_real *mask)
{
    int64_t B = l->B, N = l->N, T = l->T, M = net->config.mels;
    int32_t *index = so_take(pass, (size_t)(B * T) * sizeof *index, false);
    so_real *weight = so_take(pass, (size_t)(B * T) * sizeof *weight, false);
    if (!weight) return NULL;
    for (int64_t b = 0; b < B; b++) so_lerp_index(b * N, N, T, index + b * T, weight + b * T);
    so_tensor *x = so_lerp_rows(pass, h, B * T, index, weight);
    if (!x) return NULL;
    x = so_flow_smooth(pass, net, so_reshape(pass, x, 3, (int64_t[]){B, T, M}));
    return so_scale_rows(pass, x, mask);
}

so_tensor *so_flow_loss(so_pass *pass, const so_flow *net, const so_flow_lesson *l, so_tensor **mu)
{
    int64_t B = l->B, T = l->T, M = net->config.mels;
    for (int64_t b = 0; b < B; b++)
        if (l->units[b] < 1 || l->units[b] > l->N || l->frames[b] < 1 || l->frames[b] > T)
            return so_pass_fail(pass, SO_ERR_ARG,
                                "flow: recording %lld has %lld units and %lld frames, of %lld and %lld", (long long)b,
                                (long long)l->units[b], (long long)l->frames[b], (long long)l->N, (long long)T);
    so_real *mask = so_length_mask(pass, B, T, l->frames);
    if (!mask) return NULL;
    so_tensor *speaker =
        so_flow_speaker(pass, net, so_constant(pass, 2, (int64_t[]){B, net->config.speaker}, l->vector));
    so_tensor *h = so_flow_project(pass, net, so_flow_encoder(pass, net, B, l->N, l->ids, l->units));
    so_tensor *m = regulate_padded(pass, net, h, l, mask);
    if (mu) *mu = m;
    so_tensor *mel = so_constant(pass, 3, (int64_t[]){B, T, M}, l->mel);
    so_tensor *z = so_constant(pass, 3, (int64_t[]){B, T, M}, l->z);
    so_flow_ask ask = {m, speaker, shown_frames(pass, l, mel), l->t, mask, l->add_mask};
    return so_flow_matching_loss(pass, net, mel, &ask, z, l->keep);
}
