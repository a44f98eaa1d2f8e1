/* Numbers into stored types and back: the one place where weights are rounded.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_QUANTISE_H
#define SO_BASE_QUANTISE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/type.h"

/* Whether numbers can be written as `type` and read back: the floats and every block type. */
bool so_type_holds_numbers(so_type type);

/* Writes k numbers of one row as `type` into out, so_type_bytes(type, k) bytes at any address. Halves round to nearest
 * even. q8_0, q4_0 and q5_0 are the bytes that ggml's own quantisers write; q4_k, q5_k and q6_k have its layout, with
 * scales that a search finds (smaller weighted squared error, other bytes). SO_ERR_TYPE for a type that holds no
 * numbers, SO_ERR_SHAPE when k is no multiple of the block, SO_ERR_NUMBER for a number that the type cannot hold (NaN,
 * infinity, beyond f16 times the largest code). */
so_status so_quantise_row(so_type type, const float *x, int64_t k, void *out, so_error *error);
/* The same, where column i matters as importance[i] >= 0 says (the mean square of the activations that meet it): what
 * is kept small is the sum of importance times squared error. NULL: so_quantise_row. q8_0 does not look at it.
 * SO_ERR_NUMBER for an importance that is negative or not finite. */
so_status so_quantise_row_by(so_type type, const float *x, const float *importance, int64_t k, void *out,
                             so_error *error);
/* Reads k numbers (a multiple of the block) back; defined for any bytes. Types without numbers give zeros. */
void so_dequantise_row(so_type type, const void *in, int64_t k, float *out);

#endif
