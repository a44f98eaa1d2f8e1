/* Numbers into the stored types that `linear` reads.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_QUANTISE_H
#define SO_BACKEND_QUANTISE_H

#include "base/error.h"
#include "base/type.h"

/* Writes k numbers of one row as `type` (F32, F16, BF16, Q8_0) into out, so_type_bytes(type, k) bytes. Halves round to
 * nearest even. Q8_0: per 32 weights the scale max |x| / 127 as f16, and x / scale rounded to nearest, ties away from zero
 * (as GGUF files have it). SO_ERR_TYPE for another type, SO_ERR_SHAPE when k is no multiple of the block, SO_ERR_NUMBER
 * for a number that the type cannot hold (NaN, infinity, beyond f16). */
so_status so_quantise_row(so_type type, const float *x, int64_t k, void *out, so_error *error);

#endif
