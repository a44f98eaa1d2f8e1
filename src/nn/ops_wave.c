/* Log-mel spectra and spectral losses of waveforms, made of other ops.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/ops_wave.h"

so_tensor *so_wave_log_mel(so_pass *pass, so_tensor *wave, const so_wave_mel *m)
{
    so_frames frames = {m->n_fft, m->hop, (m->n_fft - m->hop) / 2, so_hann(pass, m->n_fft)};
    so_tensor *bank = so_slaney_bank(pass, (double)m->rate, m->n_fft, m->mels, m->f_min, m->f_max);
    so_tensor *x = so_magnitude(pass, so_stft(pass, wave, &frames), 1e-9);
    return bank ? so_log_floor(pass, so_linear(pass, x, bank, NULL), 1e-5) : NULL;
}

so_tensor *so_wave_stft_loss(so_pass *pass, so_tensor *wave, so_tensor *real, int64_t n_fft)
{
    so_frames frames = {n_fft, n_fft / 4, n_fft / 2, so_hann(pass, n_fft)};
    so_tensor *x = so_magnitude(pass, so_stft(pass, wave, &frames), 1e-7);
    so_tensor *y = so_magnitude(pass, so_stft(pass, real, &frames), 1e-7);
    if (!x || !y) return NULL;
    double square = 0;
    for (int64_t i = 0; i < so_count(y) && !pass->dry; i++) square += (double)so_data(y)[i] * (double)so_data(y)[i];
    so_real relative = (so_real)((double)so_count(y) / (square + 1e-6));
    so_tensor *log_part = so_l1(pass, so_log_floor(pass, x, 1e-5), so_log_floor(pass, y, 1e-5), NULL);
    return so_weighted_sum(pass, 2, (so_tensor *[]){log_part, so_mse(pass, x, y, NULL)}, (so_real[]){1, relative});
}
