/* Numbers into stored types.
 * SPDX-License-Identifier: Apache-2.0 */
#include "backend/quantise.h"

#include <math.h>

static void block_q8_0(const float *x, unsigned char *out)
{
    float max = 0;
    for (int i = 0; i < 32; i++) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    float scale = max / 127, inverse = scale > 0 ? 1 / scale : 0;
    if (!isfinite(inverse)) inverse = 0; /* a subnormal scale is 0 as f16 anyway */
    uint16_t half = so_to_f16(scale);
    memcpy(out, &half, 2);
    for (int i = 0; i < 32; i++) out[2 + i] = (unsigned char)(int8_t)roundf(x[i] * inverse);
}

so_status so_quantise_row(so_type type, const float *x, int64_t k, void *out, so_error *error)
{
    const so_type_info *about = so_type_about(type);
    if (type != SO_F32 && type != SO_F16 && type != SO_BF16 && type != SO_Q8_0)
        return so_fail(error, SO_ERR_TYPE, "cannot write numbers as %s, expected f32, f16, bf16 or q8_0", about->name);
    if (k < 0 || k % about->block)
        return so_fail(error, SO_ERR_SHAPE, "a row of %lld numbers as %s, expected a multiple of %d", (long long)k,
                       about->name, about->block);
    /* 65520 rounds to infinity as f16; a block's scale is a 127th of its largest number */
    float limit = type == SO_F16 ? 65519.99f : type == SO_Q8_0 ? 127 * 65504.0f : type == SO_BF16 ? 3.39e38f : INFINITY;
    for (int64_t i = 0; i < k; i++)
        if (!(fabsf(x[i]) <= limit) || !isfinite(x[i]))
            return so_fail(error, SO_ERR_NUMBER, "%g at position %lld cannot be written as %s", (double)x[i], (long long)i,
                           about->name);
    unsigned char *bytes = out;
    if (type == SO_F32) memcpy(out, x, (size_t)k * sizeof *x);
    for (int64_t i = 0; i < k && (type == SO_F16 || type == SO_BF16); i++) {
        uint16_t half = type == SO_F16 ? so_to_f16(x[i]) : so_to_bf16(x[i]);
        memcpy(bytes + 2 * i, &half, 2);
    }
    for (int64_t i = 0; i < k && type == SO_Q8_0; i += 32) block_q8_0(x + i, bytes + i / 32 * 34);
    return SO_OK;
}
