/* Spans of text, and names by number: a hash table with open addresses.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

so_span so_span_of(const char *string) { return (so_span){string, strlen(string)}; }

static uint64_t hash(so_span key)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ key.length;
    for (size_t i = 0; i < key.length; i++) h = (h ^ (unsigned char)key.data[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

/* The slot that holds `key`, or the empty one where it belongs. */
static size_t seek(const so_names *names, so_span key)
{
    size_t i = hash(key) & (names->slots - 1);
    for (; names->slot[i]; i = (i + 1) & (names->slots - 1)) {
        so_span k = names->key[names->slot[i] - 1];
        if (k.length == key.length && (!key.length || memcmp(k.data, key.data, key.length) == 0)) break;
    }
    return i;
}

int64_t so_names_find(const so_names *names, so_span key)
{
    if (!names->slots) return -1;
    return (int64_t)names->slot[seek(names, key)] - 1;
}

static so_status rehash(so_names *names, so_error *error)
{
    size_t slots = names->slots ? names->slots * 2 : 16;
    uint32_t *slot = calloc(slots, sizeof *slot);
    if (!slot) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu names", slots);
    free(names->slot);
    names->slot = slot;
    names->slots = slots;
    for (int64_t i = 0; i < names->count; i++) slot[seek(names, names->key[i])] = (uint32_t)i + 1;
    return SO_OK;
}

so_status so_names_add(so_names *names, so_span key, so_error *error)
{
    if (names->count >= 1 << 30) return so_fail(error, SO_ERR_LIMIT, "more than 2^30 names");
    SO_TRY(so_grow(&names->key, names->count, &names->capacity, sizeof *names->key, error));
    if ((size_t)names->count * 2 >= names->slots) SO_TRY(rehash(names, error));
    size_t i = seek(names, key);
    names->key[names->count] = key;
    names->slot[i] = (uint32_t)++names->count;
    return SO_OK;
}

void so_names_clear(so_names *names)
{
    free(names->key);
    free(names->slot);
    memset(names, 0, sizeof *names);
}
