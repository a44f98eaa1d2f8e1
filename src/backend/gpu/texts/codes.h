/* Products of 32 stored codes with 32 rounded numbers. group_codes reads group g of the row that begins at `row` into
 * `code` (four codes a word, in their order) and says in `about`: weight = about[i / 16] code - about[2].
 * SPDX-License-Identifier: Apache-2.0 */
#include "backend/gpu/texts/weight.h"

DEVICE int word_at(uint64_t at, int i) { return int(uint(U16(at).v[2 * i]) | (uint(U16(at).v[2 * i + 1]) << 16)); }
/* Four bits, each as the fifth of a byte. */
DEVICE int fifths(int bits) { return ((bits & 1) << 4) | ((bits & 2) << 11) | ((bits & 4) << 18) | ((bits & 8) << 25); }

/* Word i of group g. */
DEVICE int code_word(uint64_t row, int g, int i)
{
    if (KIND == TYPE_Q8_0) return word_at(row + uint64_t(g) * uint64_t(34) + uint64_t(2), i);
    if (KIND == TYPE_Q4_0)
        return (word_at(row + uint64_t(g) * uint64_t(18) + uint64_t(2), i % 4) >> (i / 4 * 4)) & 0x0f0f0f0f;
    if (KIND == TYPE_Q5_0) {
        uint64_t b = row + uint64_t(g) * uint64_t(22);
        int low = (word_at(b + uint64_t(6), i % 4) >> (i / 4 * 4)) & 0x0f0f0f0f;
        return low | fifths((word_at(b + uint64_t(2), 0) >> (4 * i)) & 15);
    }
    int e = g % 8;
    uint64_t b = row + uint64_t(g / 8) * uint64_t(KIND == TYPE_Q4_K ? 144 : KIND == TYPE_Q5_K ? 176 : 210);
    if (KIND == TYPE_Q6_K) {
        int low = (word_at(b, 16 * (e / 4) + 8 * (e % 2) + i) >> (e % 4 / 2 * 4)) & 0x0f0f0f0f;
        int high = (word_at(b + uint64_t(128), 8 * (e / 4) + i) >> (2 * (e % 4))) & 0x03030303;
        return low | (high << 4);
    }
    int q = (word_at(b + uint64_t(KIND == TYPE_Q4_K ? 16 : 48), e / 2 * 8 + i) >> (e % 2 * 4)) & 0x0f0f0f0f;
    if (KIND == TYPE_Q5_K) q = q | (((word_at(b + uint64_t(16), i) >> e) & 0x01010101) << 4);
    return q;
}

/* The factor of codes 0 to 15 (half 0) or 16 to 31 (1) of a group. */
DEVICE float code_scale(uint64_t row, int g, int half_group)
{
    if (KIND == TYPE_Q8_0) return half_at(row + uint64_t(g) * uint64_t(34));
    if (KIND == TYPE_Q4_0) return half_at(row + uint64_t(g) * uint64_t(18));
    if (KIND == TYPE_Q5_0) return half_at(row + uint64_t(g) * uint64_t(22));
    uint64_t b = row + uint64_t(g / 8) * uint64_t(KIND == TYPE_Q4_K ? 144 : KIND == TYPE_Q5_K ? 176 : 210);
    if (KIND == TYPE_Q6_K)
        return half_at(b + uint64_t(208)) * float(int(I8(b + uint64_t(192)).v[2 * (g % 8) + half_group]));
    return half_at(b) * float(six_scale(b + uint64_t(4), g % 8));
}

/* What codes stand above 0: weight = scale (code - offset) - least. */
DEVICE int code_offset() { return KIND == TYPE_Q4_0 ? 8 : KIND == TYPE_Q5_0 ? 16 : KIND == TYPE_Q6_K ? 32 : 0; }
DEVICE float code_least(uint64_t row, int g)
{
    if (KIND != TYPE_Q4_K && KIND != TYPE_Q5_K) return 0.0f;
    uint64_t b = row + uint64_t(g / 8) * uint64_t(KIND == TYPE_Q4_K ? 144 : 176);
    return half_at(b + uint64_t(2)) * float(six_least(b + uint64_t(4), g % 8));
}

/* Row of w times row of x (codes at x, scales kp bytes behind them), this lane's share of the groups. */
DEVICE float codes_dot(uint64_t row, uint64_t x, int kp, int g)
{
    int dot0 = 0, dot1 = 0, all0 = 0, all1 = 0;
    UNROLL for (int i = 0; i < 4; i++)
    {
        int a = I32(x + uint64_t(32 * g)).v[i], b = I32(x + uint64_t(32 * g)).v[i + 4];
        dot0 += dot4(code_word(row, g, i), a);
        dot1 += dot4(code_word(row, g, i + 4), b);
        all0 += dot4(0x01010101, a);
        all1 += dot4(0x01010101, b);
    }
    float s = code_scale(row, g, 0) * float(dot0 - code_offset() * all0) +
              code_scale(row, g, 1) * float(dot1 - code_offset() * all1);
    return (s - code_least(row, g) * float(all0 + all1)) * F32(x + uint64_t(kp)).v[g];
}
