/* Numbers into stored types: refusals, halves, and the blocks of 32.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/quantise.h"

#include <math.h>

#include "base/quantise_fit.h"

bool so_type_holds_numbers(so_type type)
{
    return type == SO_F32 || type == SO_F16 || type == SO_BF16 || (type >= SO_Q8_0 && type < SO_TYPE_COUNT);
}

static float store_scale(uint8_t half[2], float scale)
{
    uint16_t h = so_to_f16(scale);
    memcpy(half, &h, 2);
    float inverse = scale != 0 ? 1 / scale : 0; /* of the scale before it was rounded: so does ggml */
    return isfinite(inverse) ? inverse : 0;
}

static void write_q8_0(const float *x, so_block_q8_0 *out)
{
    float max = 0;
    for (int i = 0; i < 32; i++) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    float inverse = store_scale(out->scale, max / 127);
    for (int i = 0; i < 32; i++) out->q[i] = (int8_t)roundf(x[i] * inverse);
}

/* The scale that puts the number farthest from 0 on the code -codes, or the one a weighted search finds. */
static float scale_of(const float *x, const float *w, int codes)
{
    float most = 0;
    if (w) return so_fit_symmetric(32, x, w, codes);
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    return most / (float)-codes;
}

static int code_of(float x, float inverse, int codes)
{
    int code = (int)(x * inverse + ((float)codes + 0.5f));
    return code < 0 ? 0 : code > 2 * codes - 1 ? 2 * codes - 1 : code;
}

static void write_q4_0(const float *x, const float *w, so_block_q4_0 *out)
{
    float inverse = store_scale(out->scale, scale_of(x, w, 8));
    for (int i = 0; i < 16; i++) out->q[i] = (uint8_t)(code_of(x[i], inverse, 8) | code_of(x[16 + i], inverse, 8) << 4);
}

static void write_q5_0(const float *x, const float *w, so_block_q5_0 *out)
{
    float inverse = store_scale(out->scale, scale_of(x, w, 16));
    memset(out->high, 0, sizeof out->high);
    for (int i = 0; i < 32; i++) {
        int code = code_of(x[i], inverse, 16);
        out->high[i / 8] |= (uint8_t)(code >> 4 << i % 8);
        out->q[i % 16] = (uint8_t)(i < 16 ? code & 15 : out->q[i % 16] | (code & 15) << 4);
    }
}

/* What each of n numbers matters: its column's importance in units of the row's mean, or, where nothing is known, more
 * the larger it is. */
static const float *weights_of(const float *x, const float *importance, double mean, int n, float *w)
{
    float sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    float typical = sqrtf(sum / (float)n);
    for (int i = 0; i < n; i++) /* a column that never spoke up still counts a little */
        w[i] = importance ? (float)((double)importance[i] / mean) + 1e-3f : typical + fabsf(x[i]) + 1e-30f;
    return w;
}

static void write_block(so_type type, const float *x, const float *importance, double mean, unsigned char *out)
{
    float w[256];
    switch (type) {
    case SO_Q8_0:
        write_q8_0(x, (void *)out);
        break;
    case SO_Q4_0:
        write_q4_0(x, importance ? weights_of(x, importance, mean, 32, w) : NULL, (void *)out);
        break;
    case SO_Q5_0:
        write_q5_0(x, importance ? weights_of(x, importance, mean, 32, w) : NULL, (void *)out);
        break;
    case SO_Q4_K:
        so_block_write_q4_k(x, weights_of(x, importance, mean, 256, w), (void *)out);
        break;
    case SO_Q5_K:
        so_block_write_q5_k(x, weights_of(x, importance, mean, 256, w), (void *)out);
        break;
    default:
        so_block_write_q6_k(x, weights_of(x, importance, mean, 256, w), (void *)out);
        break;
    }
}

static void write_floats(so_type type, const float *x, int64_t k, void *out)
{
    uint16_t *half = out;
    if (type == SO_F32) memcpy(out, x, (size_t)k * sizeof *x);
    for (int64_t i = 0; i < k && type == SO_F16; i++) half[i] = so_to_f16(x[i]);
    for (int64_t i = 0; i < k && type == SO_BF16; i++) half[i] = so_to_bf16(x[i]);
}

/* 65520 rounds to infinity as f16; a block's scale is a fraction of its largest number. */
static float limit_of(so_type type)
{
    switch (type) {
    case SO_F32:
        return 3.4028235e38f;
    case SO_F16:
        return 65519.99f;
    case SO_BF16:
        return 3.39e38f;
    case SO_Q8_0:
        return 127 * 65504.0f;
    case SO_Q4_0:
        return 7 * 65504.0f;
    case SO_Q5_0:
        return 15 * 65504.0f;
    default:
        return 32 * 65504.0f;
    }
}

static so_status check(so_type type, const float *x, const float *importance, int64_t k, so_error *error)
{
    const so_type_info *about = so_type_about(type);
    if (!so_type_holds_numbers(type))
        return so_fail(error, SO_ERR_TYPE, "cannot write numbers as %s, expected a float or a block type", about->name);
    if (k < 0 || k % about->block)
        return so_fail(error, SO_ERR_SHAPE, "a row of %lld numbers as %s, expected a multiple of %d", (long long)k,
                       about->name, about->block);
    float limit = limit_of(type);
    for (int64_t i = 0; i < k; i++)
        if (!(fabsf(x[i]) <= limit))
            return so_fail(error, SO_ERR_NUMBER, "%g at position %lld cannot be written as %s", (double)x[i],
                           (long long)i, about->name);
    for (int64_t i = 0; importance && i < k; i++)
        if (!(importance[i] >= 0 && importance[i] <= 1e30f))
            return so_fail(error, SO_ERR_NUMBER, "the importance %g of column %lld, expected 0 to 1e30",
                           (double)importance[i], (long long)i);
    return SO_OK;
}

so_status so_quantise_row_by(so_type type, const float *x, const float *importance, int64_t k, void *out,
                             so_error *error)
{
    const so_type_info *about = so_type_about(type);
    unsigned char *bytes = out;
    double sum = 0;
    SO_TRY(check(type, x, importance, k, error));
    if (about->block == 1) {
        write_floats(type, x, k, out);
        return SO_OK;
    }
    for (int64_t i = 0; importance && i < k; i++) sum += (double)importance[i];
    if (!(sum > 0)) importance = NULL;
    for (int64_t i = 0; i < k; i += about->block, bytes += about->bytes)
        write_block(type, x + i, importance ? importance + i : NULL, sum / (double)k, bytes);
    return SO_OK;
}

so_status so_quantise_row(so_type type, const float *x, int64_t k, void *out, so_error *error)
{
    return so_quantise_row_by(type, x, NULL, k, out, error);
}
