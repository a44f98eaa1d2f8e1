/* What a vocoder learns from: one list for all that train one. Source: docs/model.md 7.6.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_LOSS_VOCODER_H
#define SO_TRAIN_LOSS_VOCODER_H

#include "models/discriminators.h"
#include "models/hift.h"
#include "nn/ops_wave.h"
#include "train/stages.h"

/* Pieces of recordings, and what the vocoder makes of their mel. */
typedef struct so_vocoder_take {
    so_tensor *real, *wave; /* [B, N] samples, as they were recorded and as they were made */
    so_tensor *guess;       /* [B, T] pitch in Hz, as the vocoder hears it from the mel */
    const so_real *f0;      /* [B, T] as it was measured */
    so_wave_mel band;       /* in which waves are compared */
} so_vocoder_take;

/* A source [B, 256 T] with phases and noise from `rng`, for f0[B, T] in Hz. */
so_tensor *so_vocoder_source(so_pass *pass, const so_hift *net, int64_t B, int64_t T, const so_real *f0, so_rng *rng);

/* Of the mel, of the spectrum in four resolutions, and of the pitch, with the stage's weights "mel", "stft" and "f0";
 * noted by these names with `weight`. */
so_tensor *so_vocoder_loss(so_pass *pass, const so_vocoder_take *take, const so_stage *stage, double weight,
                           so_notes *notes);
/* Against discriminators, with the stage's weights "fooling", "features" and "relative" besides: player 0 is the
 * vocoder, player 1 the discriminators. */
so_tensor *so_vocoder_contest(so_pass *pass, const so_discriminators *net, const so_vocoder_take *take,
                              const so_stage *stage, const so_micro *micro, double weight);

#endif
