/* What an optimiser does to every number, written once for all instruction sets: loops that compilers turn into vector
 * code of the file that includes them. Bound by memory: 28 bytes a number.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_ADAM_BODY_H
#define SO_BACKEND_CPU_ADAM_BODY_H

#include <math.h>

#include "backend/kernels_element.h"

static inline so_real root_of(so_real x)
{
#ifdef SO_DOUBLE
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

static inline void adam_some(const so_adam *step, int64_t n, so_real *restrict w, so_real *restrict g,
                             so_real *restrict m, so_real *restrict v)
{
    so_real scale = step->scale, b1 = step->b1, b2 = step->b2, n1 = 1 - b1, n2 = 1 - b2, rate = step->rate;
    so_real shrink = step->shrink, correct = step->correct, epsilon = step->epsilon;
    for (int64_t i = 0; i < n; i++) {
        so_real grad = g[i] * scale;
        m[i] = b1 * m[i] + n1 * grad;
        v[i] = b2 * v[i] + n2 * grad * grad;
        w[i] = w[i] * shrink - rate * m[i] / (root_of(v[i] * correct) + epsilon);
        g[i] = 0;
    }
}

/* Blocks of a fixed size keep the loop in a form that every compiler turns into vector code. */
static void adam(const so_adam *step, int64_t n, so_real *w, so_real *g, so_real *m, so_real *v)
{
    enum { BLOCK = 64 };
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) adam_some(step, BLOCK, w + i, g + i, m + i, v + i);
    adam_some(step, n - i, w + i, g + i, m + i, v + i);
}

/* Eight sums side by side: the loop vectorises and the order of additions is fixed. */
static double square_sum(int64_t n, const so_real *x)
{
    double lane[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
    for (; i < n; i++) lane[0] += (double)x[i] * (double)x[i];
    for (int l = 0; l < 8; l++) sum += lane[l];
    return sum;
}

#endif
