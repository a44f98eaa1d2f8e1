/* Random numbers: xoshiro256** seeded through splitmix64; the same stream on every machine.
 * Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators".
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_RNG_H
#define SO_BASE_RNG_H

#include <math.h>
#include <stdint.h>

typedef struct so_rng {
    uint64_t s[4];
    double spare; /* the second normal of a pair */
    int32_t has_spare;
    int32_t pad;
} so_rng;

static inline uint64_t so_splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A stream for (seed, stream): different streams of one seed are independent. */
static inline void so_rng_init(so_rng *r, uint64_t seed, uint64_t stream)
{
    uint64_t x = seed ^ (stream * 0xd1342543de82ef95u + 0x2545f4914f6cdd1du);
    for (int i = 0; i < 4; i++) r->s[i] = so_splitmix(&x);
    r->spare = 0;
    r->has_spare = r->pad = 0;
}

static inline uint64_t so_rng_u64(so_rng *r)
{
    uint64_t *s = r->s, x = s[1] * 5, t = s[1] << 17;
    x = ((x << 7) | (x >> 57)) * 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return x;
}

/* Uniform in [0, 1). */
static inline double so_rng_uniform(so_rng *r) { return (double)(so_rng_u64(r) >> 11) * 0x1p-53; }
/* Uniform integer in [0, n), n > 0. */
static inline int64_t so_rng_below(so_rng *r, int64_t n) { return (int64_t)(so_rng_uniform(r) * (double)n); }
/* Uniform integer in [lo, hi], both included. */
static inline int64_t so_rng_range(so_rng *r, int64_t lo, int64_t hi) { return lo + so_rng_below(r, hi - lo + 1); }

/* Standard normal (polar method). */
static inline double so_rng_normal(so_rng *r)
{
    if (r->has_spare) {
        r->has_spare = 0;
        return r->spare;
    }
    double u, v, q;
    do {
        u = 2 * so_rng_uniform(r) - 1;
        v = 2 * so_rng_uniform(r) - 1;
        q = u * u + v * v;
    } while (q >= 1 || q == 0);
    double f = sqrt(-2 * log(q) / q);
    r->spare = v * f;
    r->has_spare = 1;
    return u * f;
}

#endif
