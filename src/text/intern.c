/* A set of byte strings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/intern.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "text/table.h"

const char *so_intern_get(const so_intern *set, int32_t index, size_t *size)
{
    size_t start = index ? set->ends[index - 1] : 0;
    *size = set->ends[index] - start;
    return set->bytes.data + start;
}

/* The slot that holds the string or the empty one where it belongs. */
static size_t slot_of(const so_intern *set, const char *bytes, size_t size)
{
    size_t i = so_hash_bytes(bytes, size), length;
    for (; set->slots[i & set->mask] >= 0; i++) {
        const char *found = so_intern_get(set, set->slots[i & set->mask], &length);
        if (length == size && memcmp(found, bytes, size) == 0) break;
    }
    return i & set->mask;
}

int32_t so_intern_find(const so_intern *set, const char *bytes, size_t size)
{
    return set->n ? set->slots[slot_of(set, bytes, size)] : -1;
}

static so_status make_room(so_intern *set, so_error *error)
{
    size_t slots = set->slots ? set->mask + 1 : 0;
    if (2 * (set->n + 1) <= slots) return SO_OK;
    slots = slots ? 2 * slots : 1024;
    int32_t *grown = slots > (size_t)1 << 31 ? NULL : malloc(slots * sizeof *grown);
    if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for a set of %zu strings", set->n + 1);
    memset(grown, 0xff, slots * sizeof *grown);
    free(set->slots);
    set->slots = grown;
    set->mask = slots - 1;
    for (size_t i = 0; i < set->n; i++) {
        size_t size;
        const char *bytes = so_intern_get(set, (int32_t)i, &size);
        grown[slot_of(set, bytes, size)] = (int32_t)i;
    }
    return SO_OK;
}

so_status so_intern_add(so_intern *set, const char *bytes, size_t size, int32_t *index, so_error *error)
{
    SO_TRY(make_room(set, error));
    size_t slot = slot_of(set, bytes, size);
    if ((*index = set->slots[slot]) >= 0) return SO_OK;
    size_t *ends = so_grow_to(set->ends, &set->ends_capacity, set->n + 1, sizeof *ends);
    if (!ends) return so_fail(error, SO_ERR_NOMEM, "no memory for a set of %zu strings", set->n + 1);
    set->ends = ends;
    SO_TRY(so_string_add(&set->bytes, bytes, size, error));
    ends[set->n] = set->bytes.size;
    *index = set->slots[slot] = (int32_t)set->n++;
    return SO_OK;
}

void so_intern_clear(so_intern *set)
{
    so_string_clear(&set->bytes);
    free(set->ends);
    free(set->slots);
    *set = (so_intern){0};
}
