/* Bytes that are made once and read by many threads: a few places, each found by its key.
 *
 * Memory for a place is taken when it is asked for the first time; what belongs there comes later, once.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_SHELF_H
#define SO_BASE_SHELF_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { SO_SHELF_PLACES = 8 };

typedef struct so_shelf_place {
    void *key;
    size_t key_bytes, bytes;
    unsigned char *data; /* [bytes] */
    atomic_int state;    /* 0: empty; 1: somebody fills it; 2: it is full and does not change any more */
} so_shelf_place;

typedef struct so_shelf {
    pthread_mutex_t lock;
    so_shelf_place place[SO_SHELF_PLACES];
    int n;
} so_shelf;

void so_shelf_init(so_shelf *shelf);
/* When nobody uses a place any more. */
void so_shelf_clear(so_shelf *shelf);
/* The place with this key, for `bytes`, a new one where there is none; NULL where all places are taken by others or
 * memory ends: who asked does without. It stays where it is until the shelf is cleared. */
so_shelf_place *so_shelf_find(so_shelf *shelf, const void *key, size_t key_bytes, size_t bytes);
/* True for one caller only, who fills place->data and then says so. */
bool so_shelf_claim(so_shelf_place *place);
void so_shelf_filled(so_shelf_place *place);
/* Whether place->data may be read. */
bool so_shelf_full(const so_shelf_place *place);

#endif
