/* Stored weights as numbers (base/block.h): element c of the row that begins at `row`. WEIGHT is its type. Blocks
 * lie on even addresses.
 * SPDX-License-Identifier: Apache-2.0 */
DEVICE float half_at(uint64_t at) { return half_bits(U16(at).v[0]); }
DEVICE int byte_at(uint64_t at, int i) { return int(U8(at).v[i]); }

/* The 6-bit scale and minimum of group g of q4_k and q5_k. */
DEVICE int six_scale(uint64_t six, int g)
{
    return g < 4 ? (byte_at(six, g) & 63) : ((byte_at(six, 4 + g) & 15) | ((byte_at(six, g - 4) >> 6) << 4));
}
DEVICE int six_least(uint64_t six, int g)
{
    return g < 4 ? (byte_at(six, 4 + g) & 63) : ((byte_at(six, 4 + g) >> 4) | ((byte_at(six, g) >> 6) << 4));
}

DEVICE float small_block(uint64_t row, int c)
{
    int i = c % 32;
    uint64_t b = row + uint64_t(c / 32) * uint64_t(WEIGHT == TYPE_Q8_0 ? 34 : WEIGHT == TYPE_Q4_0 ? 18 : 22);
    if (WEIGHT == TYPE_Q8_0) return half_at(b) * float(int(I8(b + uint64_t(2)).v[i]));
    uint64_t codes = b + uint64_t(WEIGHT == TYPE_Q4_0 ? 2 : 6);
    int q = (byte_at(codes, i % 16) >> (i / 16 * 4)) & 15;
    if (WEIGHT == TYPE_Q4_0) return half_at(b) * float(q - 8);
    q = q | (((byte_at(b + uint64_t(2), i / 8) >> (i % 8)) & 1) << 4);
    return half_at(b) * float(q - 16);
}

DEVICE float large_block(uint64_t row, int c)
{
    int i = c % 256, g = i / 32, at = i % 32;
    uint64_t b = row + uint64_t(c / 256) * uint64_t(WEIGHT == TYPE_Q4_K ? 144 : WEIGHT == TYPE_Q5_K ? 176 : 210);
    if (WEIGHT == TYPE_Q6_K) {
        int low = (byte_at(b, 64 * (g / 4) + 32 * (g % 2) + at) >> (g % 4 / 2 * 4)) & 15;
        int high = (byte_at(b + uint64_t(128), 32 * (g / 4) + at) >> (2 * (g % 4))) & 3;
        float scale = half_at(b + uint64_t(208)) * float(int(I8(b + uint64_t(192)).v[i / 16]));
        return scale * float((low | (high << 4)) - 32);
    }
    int q = (byte_at(b + uint64_t(WEIGHT == TYPE_Q4_K ? 16 : 48), g / 2 * 32 + at) >> (g % 2 * 4)) & 15;
    if (WEIGHT == TYPE_Q5_K) q = q | (((byte_at(b + uint64_t(16), at) >> g) & 1) << 4);
    uint64_t six = b + uint64_t(4);
    float scale = half_at(b) * float(six_scale(six, g)), least = half_at(b + uint64_t(2)) * float(six_least(six, g));
    return scale * float(q) - least;
}

DEVICE float weight_at(uint64_t row, int c)
{
    if (WEIGHT == TYPE_F32) return F32(row).v[c];
    if (WEIGHT == TYPE_F16) return half_bits(U16(row).v[c]);
    if (WEIGHT == TYPE_BF16) return from_bits(uint(U16(row).v[c]) << 16);
    if (WEIGHT == TYPE_Q8_0 || WEIGHT == TYPE_Q4_0 || WEIGHT == TYPE_Q5_0) return small_block(row, c);
    return large_block(row, c);
}

/* Bytes of a row of k numbers. */
DEVICE int row_bytes_of(int k)
{
    if (WEIGHT == TYPE_F32) return 4 * k;
    if (WEIGHT == TYPE_F16 || WEIGHT == TYPE_BF16) return 2 * k;
    if (WEIGHT == TYPE_Q8_0) return k / 32 * 34;
    if (WEIGHT == TYPE_Q4_0) return k / 32 * 18;
    if (WEIGHT == TYPE_Q5_0) return k / 32 * 22;
    return k / 256 * (WEIGHT == TYPE_Q4_K ? 144 : WEIGHT == TYPE_Q5_K ? 176 : 210);
}
