/* How the quantisers' files share their searches. Private to base/.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_QUANTISE_FIT_H
#define SO_BASE_QUANTISE_FIT_H

#include "base/block.h"

enum { SO_FIT_MOST = 32 }; /* numbers of one fit */

/* The whole number nearest v, |v| < 2^22; ties to even. Vectorises where lrintf does not. */
static inline float so_fit_round(float v) { return (v + 12582912.0f) - 12582912.0f; }
static inline float so_fit_clamp(float v, float lo, float hi)
{
    v = v < lo ? lo : v;
    return v > hi ? hi : v;
}

/* The scale s, of either sign, for which codes q = clamp(round(x / s), -codes, codes - 1) leave the least sum of
 * w (x - s q)^2, among scales that put the number farthest from 0 near an end of the codes. 0 where all x are 0. n is a
 * multiple of 8, at most SO_FIT_MOST; w > 0. */
float so_fit_symmetric(int n, const float *x, const float *w, int codes);
/* The same for x = s q - m, q in 0..codes - 1, s >= 0, m >= 0. */
void so_fit_affine(int n, const float *x, const float *w, int codes, float *s, float *m);

/* One block of 256 numbers; w: what each matters. */
void so_block_write_q4_k(const float *x, const float *w, so_block_q4_k *out);
void so_block_write_q5_k(const float *x, const float *w, so_block_q5_k *out);
void so_block_write_q6_k(const float *x, const float *w, so_block_q6_k *out);

#endif
