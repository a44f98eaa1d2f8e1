/* Choosing an id from logits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/sampler.h"

#include <math.h>

bool so_sampler_init(so_sampler *sampler, so_arena *arena, int64_t capacity)
{
    sampler->capacity = capacity;
    sampler->order = so_arena_alloc(arena, (size_t)capacity * sizeof *sampler->order);
    sampler->weight = so_arena_alloc(arena, (size_t)capacity * sizeof *sampler->weight);
    return sampler->order && sampler->weight;
}

int32_t so_argmax(const so_real *logits, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

int so_likeliest(const so_real *z, int64_t n, int most, int32_t *id)
{
    int found = 0;
    for (int64_t i = 0; i < n; i++) {
        int at = found;
        while (at > 0 && z[i] > z[id[at - 1]]) at--;
        if (at >= most) continue;
        if (found < most) found++;
        for (int j = found - 1; j > at; j--) id[j] = id[j - 1];
        id[at] = (int32_t)i;
    }
    return found;
}

static bool before(const so_real *logits, int32_t a, int32_t b)
{
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
}

static void sift(const so_real *logits, int32_t *heap, int64_t i, int64_t n)
{
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(logits, heap[child + 1], heap[child])) child++;
        if (!before(logits, heap[child], heap[i])) return;
        int32_t t = heap[i];
        heap[i] = heap[child];
        heap[child] = t;
    }
}

/* Takes candidates from a heap, best first, until enough probability is gathered or k are taken. */
int32_t so_sampler_draw(so_sampler *s, const so_sampling *how, const so_real *logits, int64_t n, so_rng *rng)
{
    if (how->temperature <= 0 || n > s->capacity) return so_argmax(logits, n);
    int64_t left = n, taken = 0, most = how->top_k > 0 && how->top_k < n ? how->top_k : n;
    double top = (double)logits[so_argmax(logits, n)], all = 0, kept = 0;
    double limit = how->top_p > 0 && how->top_p < 1 ? how->top_p : 2;
    for (int64_t i = 0; i < n; i++) s->order[i] = (int32_t)i;
    for (int64_t i = n / 2 - 1; i >= 0; i--) sift(logits, s->order, i, n);
    /* Candidates leave the heap's front and are kept at its end, in falling order from the last. */
    for (; taken < most; taken++) {
        int32_t id = s->order[0];
        s->order[0] = s->order[--left];
        s->order[left] = id;
        sift(logits, s->order, 0, left);
        s->weight[taken] = exp(((double)logits[id] - top) / how->temperature);
        all += s->weight[taken];
    }
    /* As the usual implementations do: the first whose gathered share passes top_p is still kept. */
    int64_t n_kept = 0;
    while (n_kept < taken && (n_kept == 0 || kept / all < limit)) kept += s->weight[n_kept++];
    double at = so_rng_uniform(rng) * kept;
    for (int64_t i = 0; i < n_kept; i++) {
        at -= s->weight[i];
        if (at < 0) return s->order[n - 1 - i];
    }
    return s->order[n - n_kept];
}
