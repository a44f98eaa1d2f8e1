/* The number that activations, gradients and accumulators outside a kernel are made of: float; double in the second
 * build that gradient checks use (SO_DOUBLE).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_REAL_H
#define SO_BASE_REAL_H

#ifdef SO_DOUBLE
typedef double so_real;
#else
typedef float so_real;
#endif

#endif
