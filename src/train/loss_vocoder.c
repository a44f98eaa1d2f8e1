/* The list of a vocoder's losses.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/loss_vocoder.h"

#include "train/loss_adversarial.h"

enum { RESOLUTIONS = 4 };

so_tensor *so_vocoder_source(so_pass *pass, const so_hift *net, int64_t B, int64_t T, const so_real *f0, so_rng *rng)
{
    const so_hift_config *c = &net->config;
    int64_t H = c->harmonics + 1, L = T * so_hift_samples(c);
    so_real *noise = so_take(pass, (size_t)(L * H) * sizeof *noise, false), offset[SO_HIFT_HARMONICS];
    so_tensor *h = so_new3(pass, B, L, H);
    for (int64_t b = 0; h && noise && b < B; b++) {
        so_hift_phase phase = {0};
        for (int64_t i = 0; i < L * H; i++) noise[i] = (so_real)so_rng_normal(rng);
        for (int64_t i = 0; i < H; i++) offset[i] = i ? (so_real)(6.283185307 * (so_rng_uniform(rng) - 0.5)) : 0;
        so_hift_harmonics(c, T, f0 + b * T, offset, noise, &phase, so_data(h) + b * L * H);
    }
    return h && noise ? so_hift_source(pass, net, h) : NULL;
}

so_tensor *so_vocoder_loss(so_pass *pass, const so_vocoder_take *t, const so_stage *stage, double weight,
                           so_notes *notes)
{
    static const int64_t window[RESOLUTIONS] = {2048, 1024, 512, 128};
    so_tensor *loss[2 + RESOLUTIONS];
    so_real share[2 + RESOLUTIONS], each = (so_real)so_stage_weight(stage, "stft"), stft = 0;
    int n = 0;
    so_tensor *goal = so_constant(pass, 2, (int64_t[]){t->guess->dim[0], t->guess->dim[1]}, t->f0);
    share[n] = (so_real)so_stage_weight(stage, "mel");
    loss[n++] = so_l1(pass, so_wave_log_mel(pass, t->wave, &t->band), so_wave_log_mel(pass, t->real, &t->band), NULL);
    for (int i = 0; i < RESOLUTIONS && each > 0; i++) {
        share[n] = each;
        loss[n++] = so_wave_stft_loss(pass, t->wave, t->real, window[i]);
    }
    share[n] = (so_real)so_stage_weight(stage, "f0");
    loss[n++] = so_l1(pass, t->guess, goal, NULL);
    if (!so_ok(pass)) return NULL;
    for (int i = 1; i < n - 1; i++) stft += so_data(loss[i])[0];
    so_notes_add(notes, "mel", (double)so_data(loss[0])[0], weight);
    if (each > 0) so_notes_add(notes, "stft", (double)(stft / RESOLUTIONS), weight);
    so_notes_add(notes, "f0", (double)so_data(loss[n - 1])[0], weight);
    return so_weighted_sum(pass, n, loss, share);
}

so_tensor *so_vocoder_contest(so_pass *pass, const so_discriminators *net, const so_vocoder_take *t,
                              const so_stage *stage, const so_micro *micro, double weight)
{
    static const char *const name[2][4] = {{"all", "fooling", "features", "relative"}, {"discriminating", "judged"}};
    static const double TAU = 0.04;
    so_discrimination real, made;
    if (!so_discriminate(pass, net, t->real, &real) || !so_discriminate(pass, net, t->wave, &made)) return NULL;
    so_tensor *loss[4] = {NULL};
    so_real share[4] = {1};
    int n = 0;
    if (micro->player == 0) {
        loss[n++] = so_vocoder_loss(pass, t, stage, weight, micro->notes);
        share[n] = (so_real)so_stage_weight(stage, "fooling");
        loss[n++] = so_generator_loss(pass, &made);
        share[n] = (so_real)so_stage_weight(stage, "features");
        loss[n++] = so_feature_loss(pass, &real, &made);
        share[n] = (so_real)so_stage_weight(stage, "relative");
        loss[n++] = so_relative_loss(pass, &made, &real, TAU);
    } else {
        loss[n++] = so_discriminator_loss(pass, &real, &made);
        share[n] = (so_real)so_stage_weight(stage, "relative");
        loss[n++] = so_relative_loss(pass, &real, &made, TAU);
    }
    if (!so_ok(pass)) return NULL;
    for (int i = 0; i < n; i++) so_notes_add(micro->notes, name[micro->player][i], (double)so_data(loss[i])[0], weight);
    return so_weighted_sum(pass, n, loss, share);
}
