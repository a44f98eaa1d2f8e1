/* Batches of similar lengths.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/pack.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    int64_t length;
    int32_t item, place; /* place after the shuffle: ties keep a random order */
} entry;

static int by_length(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

typedef struct run {
    int64_t from, to; /* entries of one batch */
} run;

static void shuffle_entries(entry *e, int64_t n, so_rng *rng)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = so_rng_below(rng, i + 1);
        entry was = e[i];
        e[i] = e[k];
        e[k] = was;
    }
    for (int64_t i = 0; i < n; i++) e[i].place = (int32_t)i;
}

/* Cuts sorted windows greedily; returns how many runs. */
static int64_t cut(entry *e, int64_t n, const so_pack_options *o, run *runs)
{
    int64_t window = o->window > 0 ? o->window : n, count = 0;
    for (int64_t w = 0; w < n; w += window) {
        int64_t end = n - w > window ? w + window : n;
        qsort(e + w, (size_t)(end - w), sizeof *e, by_length);
        for (int64_t from = w, to; from < end; from = to) {
            for (to = from + 1; to < end; to++)
                if ((to - from + 1) * e[to].length > o->budget || (o->most > 0 && to - from >= o->most)) break;
            runs[count++] = (run){from, to};
        }
    }
    return count;
}

static void write_out(so_packing *out, const entry *e, run *runs, so_rng *rng)
{
    for (int64_t i = out->batches - 1; i > 0; i--) {
        int64_t k = so_rng_below(rng, i + 1);
        run was = runs[i];
        runs[i] = runs[k];
        runs[k] = was;
    }
    int64_t at = 0;
    for (int64_t b = 0; b < out->batches; b++) {
        out->start[b] = at;
        for (int64_t i = runs[b].from; i < runs[b].to; i++) {
            out->rows += e[i].length;
            out->item[at++] = e[i].item;
        }
        out->padded += (runs[b].to - runs[b].from) * e[runs[b].to - 1].length;
    }
    out->start[out->batches] = at;
}

so_status so_pack(so_packing *out, const int64_t *length, int64_t n, const so_pack_options *options, so_rng *rng,
                  so_error *error)
{
    memset(out, 0, sizeof *out);
    if (n < 0 || n > INT32_MAX || options->budget < 1)
        return so_fail(error, SO_ERR_ARG, "packing %lld items into batches of %lld rows", (long long)n,
                       (long long)options->budget);
    for (int64_t i = 0; i < n; i++)
        if (length[i] < 0 || length[i] > INT64_MAX / (n + 1))
            return so_fail(error, SO_ERR_ARG, "item %lld has %lld rows", (long long)i, (long long)length[i]);
    entry *e = malloc((size_t)(n + 1) * sizeof *e);
    run *runs = malloc((size_t)(n + 1) * sizeof *runs);
    out->start = malloc((size_t)(n + 1) * sizeof *out->start);
    out->item = malloc((size_t)(n + 1) * sizeof *out->item);
    so_status status = SO_OK;
    if (e && runs && out->start && out->item) {
        for (int64_t i = 0; i < n; i++) e[i] = (entry){length[i], (int32_t)i, 0};
        shuffle_entries(e, n, rng);
        out->batches = cut(e, n, options, runs);
        write_out(out, e, runs, rng);
    } else {
        so_packing_close(out);
        status = so_fail(error, SO_ERR_NOMEM, "no memory to pack %lld items", (long long)n);
    }
    free(e);
    free(runs);
    return status;
}

void so_packing_close(so_packing *packing)
{
    free(packing->start);
    free(packing->item);
    memset(packing, 0, sizeof *packing);
}
