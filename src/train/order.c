/* The order of data without a state.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/order.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"

/* A sample of a block: its source, and how many of that source stand before it. */
typedef struct so_order_slot {
    int32_t source, before;
} so_order_slot;

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a ^ (b * 0xd1342543de82ef95u + 0x2545f4914f6cdd1du);
    return so_splitmix(&x);
}

int64_t so_shuffled(uint64_t key, int64_t i, int64_t n)
{
    int bits = 1; /* of each half */
    while (((uint64_t)1 << 2 * bits) < (uint64_t)n) bits++;
    const uint64_t half = ((uint64_t)1 << bits) - 1;
    uint64_t x = (uint64_t)i;
    do {
        uint64_t left = x >> bits, right = x & half;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t next = left ^ (mix(key + round, right) & half);
            left = right;
            right = next;
        }
        x = left << bits | right;
    } while (x >= (uint64_t)n);
    return (int64_t)x;
}

/* Shares of a block of this size by the largest remainders. Whether each is near its weight. */
static bool share_out(so_data_order *o, const double *weight, double sum, int64_t block)
{
    double rest[SO_ORDER_SOURCES];
    int64_t left = block;
    for (int i = 0; i < o->sources; i++) {
        double exact = weight[i] / sum * (double)block;
        o->share[i] = (int64_t)exact;
        rest[i] = exact - (double)o->share[i];
        left -= o->share[i];
    }
    for (; left > 0; left--) {
        int most = 0;
        for (int i = 1; i < o->sources; i++)
            if (rest[i] > rest[most]) most = i;
        o->share[most]++;
        rest[most] = -1;
    }
    o->block = block;
    bool near = true;
    for (int i = 0; i < o->sources; i++) {
        double exact = weight[i] / sum * (double)block;
        near = near && fabs((double)o->share[i] - exact) <= 0.005 * exact;
    }
    return near;
}

so_status so_order_open(so_data_order *o, uint64_t seed, int sources, const int64_t *count, const double *weight,
                        so_error *error)
{
    *o = (so_data_order){.seed = seed, .sources = sources, .laid = -1};
    double sum = 0;
    if (sources < 1 || sources > SO_ORDER_SOURCES)
        return so_fail(error, SO_ERR_ARG, "%d sources of data, expected 1 to %d", sources, SO_ORDER_SOURCES);
    for (int i = 0; i < sources; i++) {
        if (count[i] < 1 || !(weight[i] > 0) || !isfinite(weight[i]))
            return so_fail(error, SO_ERR_ARG, "source %d has %lld records and the weight %g", i, (long long)count[i],
                           weight[i]);
        o->count[i] = count[i];
        sum += weight[i];
    }
    for (int64_t block = 1000; !share_out(o, weight, sum, block) && block < 1000000;) block *= 10;
    for (int i = 0; i < sources; i++)
        if (o->share[i] == 0)
            return so_fail(error, SO_ERR_ARG, "source %d has %.2g of the weight: less than one sample in %lld", i,
                           weight[i] / sum, (long long)o->block);
    o->slot = malloc((size_t)o->block * sizeof *o->slot);
    return o->slot ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a block of %lld samples", (long long)o->block);
}

void so_order_close(so_data_order *o)
{
    free(o->slot);
    *o = (so_data_order){.laid = -1};
}

/* The order of a block's sources. */
static void lay(so_data_order *o, int64_t block)
{
    int32_t met[SO_ORDER_SOURCES] = {0};
    uint64_t key = mix(o->seed, (uint64_t)block);
    for (int64_t p = 0; p < o->block; p++) {
        int64_t at = so_shuffled(key, p, o->block);
        int32_t i = 0;
        for (; at >= o->share[i]; i++) at -= o->share[i];
        o->slot[p] = (so_order_slot){i, met[i]++};
    }
    o->laid = block;
}

so_order_place so_order_at(so_data_order *o, int64_t g)
{
    int64_t block = g / o->block;
    so_order_slot slot = {0, (int32_t)(g % o->block)};
    if (o->sources > 1) {
        if (o->laid != block) lay(o, block);
        slot = o->slot[g % o->block];
    }
    int i = slot.source;
    int64_t met = block * o->share[i] + slot.before, epoch = met / o->count[i];
    uint64_t key = mix(mix(o->seed, 0x736f7572u + (uint64_t)i), (uint64_t)epoch);
    return (so_order_place){i, epoch, so_shuffled(key, met % o->count[i], o->count[i])};
}

double so_order_epochs(const so_data_order *o, int source, int64_t samples)
{
    return (double)samples * (double)o->share[source] / (double)o->block / (double)o->count[source];
}
