/* Stored types back into numbers: what the blocks mean.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/block.h"
#include "base/quantise.h"

static void read_q8_0(const so_block_q8_0 *b, float *out)
{
    float scale = so_block_f16(b->scale);
    for (int i = 0; i < 32; i++) out[i] = scale * (float)b->q[i];
}

static void read_q4_0(const so_block_q4_0 *b, float *out)
{
    float scale = so_block_f16(b->scale);
    for (int i = 0; i < 16; i++) {
        out[i] = scale * (float)((b->q[i] & 15) - 8);
        out[16 + i] = scale * (float)((b->q[i] >> 4) - 8);
    }
}

static void read_q5_0(const so_block_q5_0 *b, float *out)
{
    float scale = so_block_f16(b->scale);
    for (int i = 0; i < 16; i++) {
        int low = (b->high[i / 8] >> i % 8 & 1) << 4, high = (b->high[2 + i / 8] >> i % 8 & 1) << 4;
        out[i] = scale * (float)((low | (b->q[i] & 15)) - 16);
        out[16 + i] = scale * (float)((high | b->q[i] >> 4) - 16);
    }
}

/* `high` is NULL for q4_k. */
static void read_affine(const uint8_t scale[2], const uint8_t least[2], const uint8_t six[12], const uint8_t *high,
                        const uint8_t *q, float *out)
{
    uint8_t s[8], m[8];
    float d = so_block_f16(scale), dm = so_block_f16(least);
    so_block_six(six, s, m);
    for (int g = 0; g < 8; g++) {
        float step = d * (float)s[g], below = dm * (float)m[g];
        for (int i = 0; i < 32; i++) {
            int code = q[g / 2 * 32 + i] >> g % 2 * 4 & 15;
            if (high) code |= (high[i] >> g & 1) << 4;
            out[g * 32 + i] = step * (float)code - below;
        }
    }
}

static void read_q6_k(const so_block_q6_k *b, float *out)
{
    float d = so_block_f16(b->scale);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, c = i % 128 / 32, at = i % 32;
        int low = b->low[64 * half + 32 * (c % 2) + at] >> c / 2 * 4 & 15, high = b->high[32 * half + at] >> 2 * c & 3;
        out[i] = d * (float)b->s[i / 16] * (float)((low | high << 4) - 32);
    }
}

void so_dequantise_row(so_type type, const void *in, int64_t k, float *out)
{
    const so_type_info *about = so_type_about(type);
    const unsigned char *p = in;
    for (int64_t i = 0; i + about->block <= k; i += about->block, p += about->bytes, out += about->block) {
        uint16_t half = 0;
        memcpy(&half, p, 2 < about->bytes ? 2 : (size_t)about->bytes);
        switch (type) {
        case SO_F32:
            memcpy(out, p, 4);
            break;
        case SO_F16:
            *out = so_from_f16(half);
            break;
        case SO_BF16:
            *out = so_from_bf16(half);
            break;
        case SO_Q8_0:
            read_q8_0((const void *)p, out);
            break;
        case SO_Q4_0:
            read_q4_0((const void *)p, out);
            break;
        case SO_Q5_0:
            read_q5_0((const void *)p, out);
            break;
        case SO_Q4_K: {
            const so_block_q4_k *b = (const void *)p;
            read_affine(b->scale, b->least, b->six, NULL, b->q, out);
            break;
        }
        case SO_Q5_K: {
            const so_block_q5_k *b = (const void *)p;
            read_affine(b->scale, b->least, b->six, b->high, b->q, out);
            break;
        }
        case SO_Q6_K:
            read_q6_k((const void *)p, out);
            break;
        default:
            *out = 0;
            break;
        }
    }
}
