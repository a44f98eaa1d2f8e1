/* What each update learns from.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/batches.h"

#include <stdlib.h>

#include "base/grow.h"

enum { MOST_SLOTS = 256 };

so_status so_batches_open(so_batches *b, so_data_order *order, const so_batches_options *o, so_error *error)
{
    *b = (so_batches){.order = order, .options = *o, .update = -1};
    if ((o->records > 0) == (o->budget > 0) || o->records < 0 || o->budget < 0 || o->portion < 1)
        return so_fail(error, SO_ERR_ARG, "updates of %lld samples or %lld of a budget, portions of %lld rows",
                       (long long)o->records, (long long)o->budget, (long long)o->portion);
    if (o->slots < 1 || o->slots > MOST_SLOTS)
        return so_fail(error, SO_ERR_ARG, "%d slots, expected 1 to %d", o->slots, MOST_SLOTS);
    return SO_OK;
}

void so_batches_close(so_batches *b)
{
    free(b->item);
    *b = (so_batches){.update = -1};
}

/* The sample behind the last of an update that begins with sample `first`; with `take`, its samples become items. */
static so_status walk(so_batches *b, int64_t first, bool take, int64_t *end, so_error *error)
{
    const so_batches_options *o = &b->options;
    int64_t budget = 0, g = first;
    b->n = take ? 0 : b->n;
    for (;; g++) {
        if ((o->total > 0 && g >= o->total) || (o->records > 0 && g - first >= o->records)) break;
        so_order_place place = so_order_at(b->order, g);
        so_batch_size size = o->measure(o->context, &place);
        if (o->budget > 0 && g > first && budget + size.budget > o->budget) break;
        budget += size.budget;
        if (!take) continue;
        SO_TRY(so_grow(&b->item, b->n, &b->capacity, sizeof *b->item, error));
        b->item[b->n++] = (so_batch_item){.g = g, .place = place, .rows = size.rows};
    }
    *end = g;
    return SO_OK;
}

static int longest_first(const void *a, const void *b)
{
    const so_batch_item *x = a, *y = b;
    if (x->rows != y->rows) return x->rows > y->rows ? -1 : 1;
    return x->g < y->g ? -1 : x->g > y->g;
}

static int by_place(const void *a, const void *b)
{
    const so_batch_item *x = a, *y = b;
    if (x->slot != y->slot) return x->slot < y->slot ? -1 : 1;
    if (x->portion != y->portion) return x->portion < y->portion ? -1 : 1;
    return longest_first(a, b);
}

static void deal(so_batches *b)
{
    const so_batches_options *o = &b->options;
    int64_t rows[MOST_SLOTS] = {0}, filled[MOST_SLOTS] = {0};
    int portion[MOST_SLOTS] = {0};
    b->rows = 0;
    if (b->n) qsort(b->item, (size_t)b->n, sizeof *b->item, longest_first);
    for (int64_t i = 0; i < b->n; i++) {
        so_batch_item *item = &b->item[i];
        int least = 0;
        for (int s = 1; s < o->slots; s++)
            if (rows[s] < rows[least]) least = s;
        if (filled[least] && filled[least] + item->rows > o->portion) {
            portion[least]++;
            filled[least] = 0;
        }
        rows[least] += item->rows;
        filled[least] += item->rows;
        item->slot = least;
        item->portion = portion[least];
        b->rows += item->rows;
    }
    if (b->n) qsort(b->item, (size_t)b->n, sizeof *b->item, by_place);
}

so_status so_batches_plan(so_batches *b, int64_t u, so_error *error)
{
    if (b->update == u) return SO_OK;
    int64_t at = 0, first = 0;
    if (b->options.records > 0) {
        first = u * b->options.records;
    } else { /* from the last one that is known, else from the first */
        if (b->update >= 0 && b->update < u) at = b->update + 1, first = b->next;
        for (; at < u; at++) SO_TRY(walk(b, first, false, &first, error));
    }
    b->update = -1;
    SO_TRY(walk(b, first, true, &b->next, error));
    deal(b);
    b->first = first;
    b->update = u;
    return SO_OK;
}

int64_t so_batches_portion(const so_batches *b, int slot, int portion, int64_t *from, bool *more)
{
    int64_t i = 0, n = 0;
    while (i < b->n && (b->item[i].slot < slot || (b->item[i].slot == slot && b->item[i].portion < portion))) i++;
    *from = i;
    for (; i < b->n && b->item[i].slot == slot && b->item[i].portion == portion; i++) n++;
    *more = i < b->n && b->item[i].slot == slot;
    return n;
}

so_status so_batches_count(so_batches *b, int64_t *updates, so_error *error)
{
    int64_t total = b->options.total, n = 0;
    if (total <= 0) return so_fail(error, SO_ERR_ARG, "a run without an end has no number of updates");
    if (b->options.records > 0) {
        n = (total + b->options.records - 1) / b->options.records;
    } else
        for (int64_t g = 0; g < total; n++) SO_TRY(walk(b, g, false, &g, error));
    *updates = n;
    return SO_OK;
}
