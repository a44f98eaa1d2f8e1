/* Searching the scale of a group of numbers.
 *
 * Every trial scale gives codes; for given codes the best scale is a least-squares solution in closed form, and so is
 * the error it leaves. Sums go in eight lanes so that compilers can use vectors.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/quantise_fit.h"

enum { LANES = 8 };

typedef struct sums {
    float wq, wqq, wqx;
} sums;

static float lanes_sum(const float lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Over codes q = clamp(round((x - zero) inverse), lo, hi). */
static sums code_sums(int n, const float *x, const float *w, float zero, float inverse, float lo, float hi)
{
    float wq[LANES] = {0}, wqq[LANES] = {0}, wqx[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float q = so_fit_round(so_fit_clamp((x[i + l] - zero) * inverse, lo, hi)), a = w[i + l] * q;
            wq[l] += a;
            wqq[l] += a * q;
            wqx[l] += a * x[i + l];
        }
    return (sums){lanes_sum(wq), lanes_sum(wqq), lanes_sum(wqx)};
}

float so_fit_symmetric(int n, const float *x, const float *w, int codes)
{
    float most = 0, best = 0, scale = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    if (most == 0 || !isfinite(1 / most)) return 0;
    for (int trial = -9; trial <= 9; trial++) {
        for (int side = -1; side <= 1; side += 2) {
            float inverse = (float)side * ((float)codes + 0.1f * (float)trial) / most;
            sums s = code_sums(n, x, w, 0, inverse, (float)-codes, (float)(codes - 1));
            if (s.wqq <= 0 || s.wqx * s.wqx <= best * s.wqq) continue;
            best = s.wqx * s.wqx / s.wqq;
            scale = s.wqx / s.wqq;
        }
    }
    return scale;
}

void so_fit_affine(int n, const float *x, const float *w, int codes, float *s, float *m)
{
    float lo = 0, hi = x[0], best = 0, sw[LANES] = {0}, swx[LANES] = {0};
    for (int i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
        sw[i % LANES] += w[i];
        swx[i % LANES] += w[i] * x[i];
    }
    *s = 0;
    *m = -lo;
    if (hi <= lo || !isfinite((float)codes / (hi - lo))) return;
    float all = lanes_sum(sw), mean = lanes_sum(swx);
    for (int trial = -10; trial <= 10; trial++) {
        float inverse = ((float)(codes - 1) + 0.1f * (float)trial) / (hi - lo);
        sums c = code_sums(n, x, w, lo, inverse, 0, (float)(codes - 1));
        float det = all * c.wqq - c.wq * c.wq;
        float scale = det > 0 ? (all * c.wqx - mean * c.wq) / det : 0;
        float zero = det > 0 ? (c.wqq * mean - c.wq * c.wqx) / det : 0;
        if (!(det > 0) || zero > 0) {
            zero = 0;
            scale = c.wqq > 0 ? c.wqx / c.wqq : 0;
        }
        float gain = scale * c.wqx + zero * mean; /* how much less than sum w x^2 is left */
        if (!(scale > 0) || gain <= best) continue;
        best = gain;
        *s = scale;
        *m = -zero;
    }
}
