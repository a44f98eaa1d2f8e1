/* Random weights of any stored type, made quickly: for measuring a network of full size, not for training one.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "nn/weights.h"

/* Elements of one task: whole blocks of every type. */
enum { PIECE = 1 << 16 };

typedef struct fill_job {
    so_type type;
    int64_t n;
    double scale;
    uint64_t seed;
    unsigned char *out;
} fill_job;

static void put_f16(unsigned char *at, double x)
{
    uint16_t h = so_to_f16((float)x);
    memcpy(at, &h, 2);
}

/* One block: random bits for the numbers, and scales that bring them to mean 0 and deviation `s`. Uniform integers of n
 * values deviate by sqrt((n^2 - 1) / 12). */
static void fix_scales(so_type type, double s, unsigned char *block)
{
    static const unsigned char halfway[12] = {0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0}; /* all 6-bit scales 32 */
    switch (type) {
    case SO_Q8_0:
        put_f16(block, s / 73.9);
        break;
    case SO_Q4_0:
        put_f16(block, s / 4.61);
        break;
    case SO_Q4_K:
    case SO_Q5_K: {
        double step = s / (type == SO_Q4_K ? 4.61 : 9.23) / 32;
        put_f16(block, step);
        put_f16(block + 2, step * (type == SO_Q4_K ? 7.5 : 15.5));
        memcpy(block + 4, halfway, sizeof halfway);
        break;
    }
    case SO_Q6_K:
        memset(block + 192, 64, 16);
        put_f16(block + 208, s / 18.47 / 64);
        break;
    default:
        break;
    }
}

static void fill_blocks(const fill_job *j, so_rng *rng, int64_t i0, int64_t i1)
{
    const so_type_info *t = so_type_about(j->type);
    unsigned char *out = j->out + i0 / t->block * t->bytes, *end = j->out + i1 / t->block * t->bytes;
    for (unsigned char *p = out; p < end; p += 8) {
        uint64_t bits = so_rng_u64(rng);
        memcpy(p, &bits, end - p < 8 ? (size_t)(end - p) : 8);
    }
    for (unsigned char *p = out; p < end; p += t->bytes) fix_scales(j->type, j->scale, p);
}

static void fill_numbers(const fill_job *j, so_rng *rng, int64_t i0, int64_t i1)
{
    double width = j->scale * 3.4641016151377544; /* uniform numbers of deviation `scale` */
    for (int64_t i = i0; i < i1; i++) {
        double x = (so_rng_uniform(rng) - 0.5) * width;
        switch (j->type) {
        case SO_F32:
            ((so_real *)(void *)j->out)[i] = (so_real)x;
            break;
        case SO_BF16:
            ((uint16_t *)(void *)j->out)[i] = so_to_bf16((float)x);
            break;
        default:
            ((uint16_t *)(void *)j->out)[i] = so_to_f16((float)x);
            break;
        }
    }
}

static void fill_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const fill_job *j = p;
    int64_t i0 = task * PIECE, i1 = i0 + PIECE < j->n ? i0 + PIECE : j->n;
    so_rng rng;
    so_rng_init(&rng, j->seed, (uint64_t)task);
    (so_type_about(j->type)->block > 1 ? fill_blocks : fill_numbers)(j, &rng, i0, i1);
}

void so_random_fill(so_pool *pool, so_type type, int64_t n, double scale, uint64_t seed, void *out)
{
    so_pool_for(pool, (n + PIECE - 1) / PIECE, fill_task, &(fill_job){type, n, scale, seed, out});
}
