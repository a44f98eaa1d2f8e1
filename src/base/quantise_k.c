/* Writing blocks of 256 weights: a scale per group, and the groups' scales in a few bits each.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/quantise_fit.h"

/* Stores v as f16 and gives what it reads back as. */
static float store_half(uint8_t half[2], float v)
{
    uint16_t h = so_to_f16(v);
    memcpy(half, &h, 2);
    return so_from_f16(h);
}

static float inverse_of(float v)
{
    float inverse = v != 0 ? 1 / v : 0;
    return isfinite(inverse) ? inverse : 0;
}

/* Weighted squared error of one group of 32 with step s and least m. */
static float error_of(const float *x, const float *w, float s, float m, float top)
{
    float lane[8] = {0}, inverse = inverse_of(s);
    for (int i = 0; i < 32; i += 8)
        for (int l = 0; l < 8; l++) {
            float q = so_fit_round(so_fit_clamp((x[i + l] + m) * inverse, 0, top)), e = s * q - m - x[i + l];
            lane[l] += w[i + l] * e * e;
        }
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

typedef struct affine {
    float scale, least;
} affine;

/* Which of the neighbouring 6-bit codes, in these units, of a fitted scale and least leave the smallest error. */
static void choose_six(const float *x, const float *w, const affine *unit, const affine *fit, float top,
                       uint8_t *code_s, uint8_t *code_m)
{
    float d = unit->scale, dm = unit->least, s = fit->scale, m = fit->least;
    int s0 = (int)so_fit_clamp(so_fit_round(s * inverse_of(d)), 0, 63);
    int m0 = (int)so_fit_clamp(so_fit_round(m * inverse_of(dm)), 0, 63);
    float best = INFINITY;
    for (int a = s0 - 1; a <= s0 + 1; a++)
        for (int b = m0 - 1; b <= m0 + 1; b++) {
            if (a < 0 || a > 63 || b < 0 || b > 63) continue;
            float error = error_of(x, w, d * (float)a, dm * (float)b, top);
            if (error >= best) continue;
            best = error;
            *code_s = (uint8_t)a;
            *code_m = (uint8_t)b;
        }
}

/* Fits the 8 groups and writes scale, least and the packed codes; code[256] gets q. */
static void write_affine(const float *x, const float *w, int codes, uint8_t scale[2], uint8_t least[2], uint8_t six[12],
                         uint8_t code[256])
{
    float s[8], m[8], most_s = 0, most_m = 0, top = (float)(codes - 1);
    uint8_t cs[8] = {0}, cm[8] = {0};
    for (int g = 0; g < 8; g++) {
        so_fit_affine(32, x + 32 * g, w + 32 * g, codes, &s[g], &m[g]);
        most_s = s[g] > most_s ? s[g] : most_s;
        most_m = m[g] > most_m ? m[g] : most_m;
    }
    float d = store_half(scale, most_s / 63), dm = store_half(least, most_m / 63);
    for (int g = 0; g < 8; g++) {
        choose_six(x + 32 * g, w + 32 * g, &(affine){d, dm}, &(affine){s[g], m[g]}, top, &cs[g], &cm[g]);
        float below = dm * (float)cm[g], inverse = inverse_of(d * (float)cs[g]);
        for (int i = 32 * g; i < 32 * g + 32; i++)
            code[i] = (uint8_t)so_fit_round(so_fit_clamp((x[i] + below) * inverse, 0, top));
    }
    for (int g = 0; g < 4; g++) {
        six[g] = (uint8_t)(cs[g] | cs[4 + g] >> 4 << 6);
        six[4 + g] = (uint8_t)(cm[g] | cm[4 + g] >> 4 << 6);
        six[8 + g] = (uint8_t)((cs[4 + g] & 15) | cm[4 + g] << 4);
    }
}

static void pack_nibbles(const uint8_t code[256], uint8_t q[128])
{
    for (int i = 0; i < 128; i++) {
        const uint8_t *from = code + i / 32 * 64 + i % 32;
        q[i] = (uint8_t)((from[0] & 15) | from[32] << 4);
    }
}

void so_block_write_q4_k(const float *x, const float *w, so_block_q4_k *out)
{
    uint8_t code[256];
    write_affine(x, w, 16, out->scale, out->least, out->six, code);
    pack_nibbles(code, out->q);
}

void so_block_write_q5_k(const float *x, const float *w, so_block_q5_k *out)
{
    uint8_t code[256];
    write_affine(x, w, 32, out->scale, out->least, out->six, code);
    pack_nibbles(code, out->q);
    memset(out->high, 0, sizeof out->high);
    for (int i = 0; i < 256; i++) out->high[i % 32] |= (uint8_t)(code[i] >> 4 << i / 32);
}

void so_block_write_q6_k(const float *x, const float *w, so_block_q6_k *out)
{
    float s[16], most = 0;
    uint8_t code[256];
    for (int g = 0; g < 16; g++) {
        s[g] = so_fit_symmetric(16, x + 16 * g, w + 16 * g, 32);
        if (fabsf(s[g]) > fabsf(most)) most = s[g];
    }
    float d = store_half(out->scale, most / -128), inverse = inverse_of(d);
    for (int g = 0; g < 16; g++) {
        out->s[g] = (int8_t)so_fit_clamp(so_fit_round(so_fit_clamp(s[g] * inverse, -128, 127)), -128, 127);
        float step = inverse_of(d * (float)out->s[g]);
        for (int i = 16 * g; i < 16 * g + 16; i++)
            code[i] = (uint8_t)(so_fit_round(so_fit_clamp(x[i] * step, -32, 31)) + 32);
    }
    memset(out->low, 0, sizeof out->low);
    memset(out->high, 0, sizeof out->high);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, c = i % 128 / 32, at = i % 32;
        out->low[64 * half + 32 * (c % 2) + at] |= (uint8_t)((code[i] & 15) << c / 2 * 4);
        out->high[32 * half + at] |= (uint8_t)(code[i] >> 4 << 2 * c);
    }
}
