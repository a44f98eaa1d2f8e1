/* Element types of stored tensors, their sizes, and the half-width floats.
 *
 * Quantised types are the block layouts of GGUF. What their blocks mean is in base/block.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_TYPE_H
#define SO_BASE_TYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum so_type {
    SO_F32,
    SO_F16,
    SO_BF16,
    SO_I32,
    SO_I64,
    SO_U8,
    SO_F64,
    SO_Q8_0, /* 32 weights: f16 scale, 32 int8 */
    SO_Q4_0, /* 32 weights: f16 scale, 16 bytes of nibbles */
    SO_Q4_K, /* 256 weights */
    SO_Q5_K,
    SO_Q6_K,
    SO_Q5_0, /* 32 weights: what rows become whose width is no multiple of 256 */
    SO_TYPE_COUNT
} so_type;

typedef struct so_type_info {
    const char *name; /* "f32", "q8_0", ... */
    int block;        /* elements per block */
    int bytes;        /* bytes per block */
} so_type_info;

/* Never NULL for a valid type. */
const so_type_info *so_type_about(so_type type);
/* Bytes of `n` elements (n a multiple of the block); 0 on overflow or a bad multiple. */
size_t so_type_bytes(so_type type, int64_t n);

static inline float so_from_bf16(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* Round to nearest, ties to even; NaN stays NaN. */
static inline uint16_t so_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

static inline float so_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff, bits;
    float f;
    if (exponent == 0) {
        f = (float)mantissa * 0x1p-24f;
        return sign ? -f : f;
    }
    bits = exponent == 31 ? sign | 0x7f800000u | mantissa << 13 : sign | (exponent + 112) << 23 | mantissa << 13;
    memcpy(&f, &bits, 4);
    return f;
}

/* Round to nearest, ties to even; overflow gives infinity. */
static inline uint16_t so_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x47800000u) return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000u) { /* subnormal half: let float addition round */
        float a, b = 0.5f;
        memcpy(&a, &magnitude, 4);
        a += b;
        uint32_t r;
        memcpy(&r, &a, 4);
        return (uint16_t)(sign | (r - 0x3f000000u));
    }
    uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfff + odd) >> 13));
}

#endif
