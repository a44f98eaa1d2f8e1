/* Losses of waveforms [B, N]. Source: docs/model.md 7.5, 7.6.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_OPS_WAVE_H
#define SO_NN_OPS_WAVE_H

#include "nn/ops.h"

typedef struct so_wave_mel {
    int64_t rate, n_fft, hop, mels;
    double f_min, f_max; /* Hz */
} so_wave_mel;
/* ln(max(mel magnitudes, 1e-5)), [B, F, M], F = N / hop; frames as in docs/model.md 7.5. */
so_tensor *so_wave_log_mel(so_pass *pass, so_tensor *wave, const so_wave_mel *mel);
/* For one resolution: L1 of log magnitudes plus the squared relative error of magnitudes; hop is n_fft / 4. */
so_tensor *so_wave_stft_loss(so_pass *pass, so_tensor *wave, so_tensor *real, int64_t n_fft);

#endif
