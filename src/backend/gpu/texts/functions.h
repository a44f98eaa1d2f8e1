/* Functions of single numbers. Devices' own functions are too coarse for sines of large angles, hyperbolic tangents and
 * gaussians.
 * SPDX-License-Identifier: Apache-2.0 */
DEVICE float f_sigmoid(float x) { return 1.0f / (1.0f + exp(-x)); }
DEVICE float f_tanh(float x)
{
    float a = abs(x), e = exp(-2.0f * a), big = (1.0f - e) / (1.0f + e), s = x * x;
    float small = a * (1.0f + s * (-0.33333333f + s * (0.13333333f - s * 0.053968254f)));
    float y = a < 0.1f ? small : big;
    return x < 0.0f ? -y : y;
}

/* erfc with a relative error below 1.2e-7 (Numerical Recipes 6.2, a rational Chebyshev fit). */
DEVICE float f_erfc(float x)
{
    float z = abs(x), t = 1.0f / (1.0f + 0.5f * z);
    float s = -0.82215223f + t * 0.17087277f;
    s = -1.13520398f + t * (1.48851587f + t * s);
    s = 0.09678418f + t * (-0.18628806f + t * (0.27886807f + t * s));
    s = -1.26551223f + t * (1.00002368f + t * (0.37409196f + t * s));
    float y = t * exp(-z * z + s);
    return x < 0.0f ? 2.0f - y : y;
}

DEVICE float f_sin(float x)
{
    float n = nearest(x * 0.63661977f), r = x - n * 1.5703125f;
    r = r - n * 4.8375129e-4f;
    r = r - n * 7.5497899e-8f;
    int q = int(n) & 3;
    float s = r * r;
    float odd = r + r * s * (-0.16666667f + s * (8.3333333e-3f + s * (-1.9841270e-4f + s * 2.7557319e-6f)));
    float even = 1.0f + s * (-0.5f + s * (4.1666667e-2f + s * (-1.3888889e-3f + s * 2.4801587e-5f)));
    float y = (q & 1) == 0 ? odd : even;
    return (q & 2) == 0 ? y : -y;
}

DEVICE float f_mish(float x)
{
    if (x > 30.0f) return x;
    float e = exp(x), n = e * (e + 2.0f);
    return x * (n / (n + 2.0f));
}

DEVICE float f_expm1(float x)
{
    if (x > -0.1f) return x * (1.0f + x * (0.5f + x * (0.16666667f + x * (0.041666667f + x * 8.3333333e-3f))));
    return exp(x) - 1.0f;
}

/* For angles that f_sin does not have to bring near 0 first. */
DEVICE float f_cos(float x)
{
    float s = x * x;
    return 1.0f + s * (-0.5f + s * (4.1666667e-2f + s * (-1.3888889e-3f + s * (2.4801587e-5f - s * 2.7557319e-7f))));
}

/* so_unary (backend/kernels_element.h) by its number. */
DEVICE float unary(int f, float x)
{
    if (f == 0) return x * f_sigmoid(x);
    if (f == 1) return 0.5f * x * f_erfc(-0.70710678f * x);
    if (f == 2) return 0.5f * x * (1.0f + f_tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    if (f == 3) return f_mish(x);
    if (f == 4) return x > 0.0f ? x : f_expm1(x);
    if (f == 5) return x > 0.0f ? x : 0.0f;
    if (f == 6) return x > 0.0f ? x : x * 0.1f;
    if (f == 7) return x > 0.0f ? x : x * 0.01f;
    if (f == 8) return f_tanh(x);
    if (f == 9) return f_sigmoid(x);
    if (f == 10) return exp(x);
    if (f == 11) return f_sin(x);
    if (f == 12) return abs(x);
    return x * x;
}

/* What a product or a norm ends with: 0: nothing, else 1 + a so_unary. */
DEVICE float f_then(int then, float x)
{
    if (then == 0) return x;
    return unary(then - 1, x);
}
