/* The Fourier transform of short real frames, for spectra of speech.
 *
 * A length n must be even and n/2 a product of 2, 3 and 5: powers of two, and the 400 points of Whisper's features.
 * Everything is computed in double precision; a plan is read-only after it is opened and may be shared by threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_FFT_H
#define SO_MEDIA_FFT_H

#include "base/error.h"

typedef struct so_fft so_fft;

typedef struct so_bin {
    double re, im;
} so_bin;

/* Numbers of two frames side by side. */
typedef double so_two __attribute__((vector_size(16)));
typedef struct so_bin_two {
    so_two re, im;
} so_bin_two;

enum { SO_FFT_MAX = 1 << 20 };

/* SO_ERR_ARG when n is not of the form above or above SO_FFT_MAX. */
so_status so_fft_open(so_fft **out, int n, so_error *error);
void so_fft_close(so_fft **fft);

/* spectrum[k] = sum over t of x[t] exp(-2 pi i k t / n) for k = 0..n/2. `spectrum` has n/2 + 1 entries, `scratch` n/2.
 */
void so_fft_real(const so_fft *fft, const double *x, so_bin *spectrum, so_bin *scratch);
/* The same of two frames at once, each to the last bit what it is by itself. */
void so_fft_real_two(const so_fft *fft, const so_two *x, so_bin_two *spectrum, so_bin_two *scratch);

#endif
