/* Bytes that are made once and read by many threads. See shelf.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/shelf.h"

#include <stdlib.h>
#include <string.h>

enum { EMPTY, BEING_FILLED, FULL };

void so_shelf_init(so_shelf *shelf) { pthread_mutex_init(&shelf->lock, NULL); }

void so_shelf_clear(so_shelf *shelf)
{
    for (int i = 0; i < shelf->n; i++) {
        free(shelf->place[i].key);
        free(shelf->place[i].data);
    }
    shelf->n = 0;
    pthread_mutex_destroy(&shelf->lock);
}

/* With the lock held. */
static so_shelf_place *find(so_shelf *shelf, const void *key, size_t key_bytes, size_t bytes)
{
    for (int i = 0; i < shelf->n; i++) {
        so_shelf_place *p = &shelf->place[i];
        if (p->key_bytes == key_bytes && p->bytes == bytes && memcmp(p->key, key, key_bytes) == 0) return p;
    }
    if (shelf->n == SO_SHELF_PLACES) return NULL;
    so_shelf_place *p = &shelf->place[shelf->n];
    p->key = malloc(key_bytes + 1);
    p->data = malloc(bytes + 1);
    if (!p->key || !p->data) {
        free(p->key);
        free(p->data);
        return NULL;
    }
    memcpy(p->key, key, key_bytes);
    p->key_bytes = key_bytes;
    p->bytes = bytes;
    atomic_init(&p->state, EMPTY);
    shelf->n++;
    return p;
}

so_shelf_place *so_shelf_find(so_shelf *shelf, const void *key, size_t key_bytes, size_t bytes)
{
    pthread_mutex_lock(&shelf->lock);
    so_shelf_place *p = find(shelf, key, key_bytes, bytes);
    pthread_mutex_unlock(&shelf->lock);
    return p;
}

bool so_shelf_claim(so_shelf_place *place)
{
    int empty = EMPTY;
    return atomic_compare_exchange_strong(&place->state, &empty, BEING_FILLED);
}

void so_shelf_filled(so_shelf_place *place) { atomic_store(&place->state, FULL); }

bool so_shelf_full(const so_shelf_place *place) { return atomic_load(&place->state) == FULL; }
