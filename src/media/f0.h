/* The fundamental frequency of speech, one value per vocoder frame, for training the vocoder's F0 predictor.
 *
 * Source: P. Boersma, "Accurate short-term analysis of the fundamental frequency" (candidates and the path through
 * them); P. McLeod and G. Wyvill, "A smarter way to find pitch" (the normalised correlation).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_F0_H
#define SO_MEDIA_F0_H

#include <stdint.h>

#include "base/error.h"

enum { SO_F0_RATE = 22050, SO_F0_HOP = 256, SO_F0_LOWEST = 50, SO_F0_HIGHEST = 600 }; /* Hz, samples, Hz, Hz */

/* Values of a clip of n samples: n / 256, one per frame of SO_MEL_VOCODER. */
int64_t so_f0_frames(int64_t n);
/* Estimates the frequency around sample 256 f + 128 for each frame f, in Hz between the lowest and highest above; 0
 * where there is no voice. `x` is mono at 22050 Hz, `f0` has so_f0_frames(n) values. Only SO_ERR_NOMEM. */
so_status so_f0_estimate(const float *x, int64_t n, float *f0, so_error *error);

#endif
