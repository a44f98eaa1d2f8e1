/* Ops of the codec's networks: convolutions along time, group norms, Fourier transforms, quantisation. Included by ops.h.
 *
 * Sequences along time are [B, T, C] (or [T, C] for one): channels last.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_OPS_CONV_H
#define SO_NN_OPS_CONV_H

#include "nn/pass.h"

#endif
