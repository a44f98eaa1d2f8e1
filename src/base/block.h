/* Blocks of quantised weights as they lie in memory and in GGUF files, byte for byte those of ggml.
 *
 * A half is an IEEE f16. Blocks lie on any address: read halves with so_block_f16. In every type the low nibbles hold
 * the earlier weights. Source: the GGUF specification and the `gguf` package's dequantisers (tools/quant_golden.py).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_BLOCK_H
#define SO_BASE_BLOCK_H

#include "base/type.h"

/* w = scale q, q in -127..127. */
typedef struct so_block_q8_0 {
    uint8_t scale[2];
    int8_t q[32];
} so_block_q8_0;

/* w = scale (q - 8), q in 0..15: weight i is the low nibble of q[i], weight 16 + i its high nibble. */
typedef struct so_block_q4_0 {
    uint8_t scale[2];
    uint8_t q[16];
} so_block_q4_0;

/* w = scale (q - 16), q in 0..31: nibbles as in q4_0, the fifth bit of weight i is bit i of `high` (little endian). */
typedef struct so_block_q5_0 {
    uint8_t scale[2];
    uint8_t high[4];
    uint8_t q[16];
} so_block_q5_0;

/* 8 groups of 32: w = scale s_g q - least m_g, q in 0..15, s_g and m_g in 0..63 packed in `six` (so_block_six). Groups
 * 2h and 2h + 1 are the low and the high nibbles of q[32 h ..+32]. */
typedef struct so_block_q4_k {
    uint8_t scale[2], least[2];
    uint8_t six[12];
    uint8_t q[128];
} so_block_q4_k;

/* The same with q in 0..31: the fifth bit of weight i of group g is bit g of high[i]. */
typedef struct so_block_q5_k {
    uint8_t scale[2], least[2];
    uint8_t six[12];
    uint8_t high[32];
    uint8_t q[128];
} so_block_q5_k;

/* 16 groups of 16: w = scale s_g (q - 32), q in 0..63. In each half of 128 weights, with quarter c = 0..3 of 32
 * weights: the low four bits of weight 32 c + i are the nibble (low for c < 2) of low[64 half + 32 (c % 2) + i], the
 * upper two are bits 2c of high[32 half + i]. */
typedef struct so_block_q6_k {
    uint8_t low[128];
    uint8_t high[64];
    int8_t s[16];
    uint8_t scale[2];
} so_block_q6_k;

_Static_assert(sizeof(so_block_q8_0) == 34 && sizeof(so_block_q4_0) == 18 && sizeof(so_block_q5_0) == 22, "32 weights");
_Static_assert(sizeof(so_block_q4_k) == 144 && sizeof(so_block_q5_k) == 176 && sizeof(so_block_q6_k) == 210,
               "256 weights");

static inline float so_block_f16(const uint8_t half[2])
{
    uint16_t h;
    memcpy(&h, half, 2);
    return so_from_f16(h);
}

/* Unpacks the 6-bit scales and minima of the 8 groups of q4_k and q5_k: bytes 0-3 and 4-7 hold scales and minima of
 * groups 0-3 in their low six bits and the upper two bits of those of groups 4-7; bytes 8-11 the latter's low nibbles.
 */
static inline void so_block_six(const uint8_t six[12], uint8_t scale[8], uint8_t least[8])
{
    for (int g = 0; g < 4; g++) {
        scale[g] = six[g] & 63;
        least[g] = six[4 + g] & 63;
        scale[4 + g] = (uint8_t)((six[8 + g] & 15) | (six[g] >> 6) << 4);
        least[4 + g] = (uint8_t)(six[8 + g] >> 4 | (six[4 + g] >> 6) << 4);
    }
}

#endif
