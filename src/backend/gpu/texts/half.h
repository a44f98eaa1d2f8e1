/* Numbers into f16 and bf16 bits, to nearest even, as base/type.h does it: conversions of devices may round otherwise.
 * SPDX-License-Identifier: Apache-2.0 */
DEVICE uint f16_of(float f)
{
    uint bits = to_bits(f), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7e00u;
    if (magnitude >= 0x47800000u) return sign | 0x7c00u;
    if (magnitude < 0x38800000u) return sign | (to_bits(from_bits(magnitude) + 0.5f) - 0x3f000000u);
    return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13);
}

DEVICE uint bf16_of(float f)
{
    uint bits = to_bits(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
