/* An arena: one block of memory given out front to back, released to a mark.
 *
 * The block is address space reserved from the system and touched only as it is used, so that a generous capacity costs
 * nothing. In a dry arena nothing is backed by memory and only the peak is counted.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_ARENA_H
#define SO_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct so_arena {
    char *base;
    size_t capacity, used, peak; /* bytes */
    size_t top;                  /* the most in use since the arena was trimmed */
} so_arena;

/* Reserves `capacity` bytes (rounded up to a page); of more than 32 GiB, a quarter, a sixteenth and so on where that
 * much address space cannot be had (arena->capacity tells). SO_ERR_NOMEM when there is none. */
so_status so_arena_init(so_arena *arena, size_t capacity, so_error *error);
/* An arena to count in: as many addresses as can be had, of which only what is written takes memory. */
so_status so_arena_dry(so_arena *arena, so_error *error);
/* Asks for large pages (2 MiB), for what is read from end to end again and again: fewer steps from one page to the
 * next. */
void so_arena_large(so_arena *arena);
/* Hands memory behind what is in use back to the system, when that is more than 32 MiB; it comes again, as zeros, when
 * it is needed. */
void so_arena_trim(so_arena *arena);
/* Gives the block back. Accepts a zeroed arena. */
void so_arena_clear(so_arena *arena);
/* `bytes` aligned to 64, not zeroed; NULL when the capacity is passed (the peak then says how much was asked for). */
void *so_arena_alloc(so_arena *arena, size_t bytes);
void *so_arena_zalloc(so_arena *arena, size_t bytes);

static inline size_t so_arena_mark(const so_arena *arena) { return arena->used; }
static inline void so_arena_release(so_arena *arena, size_t mark) { arena->used = mark; }

#endif
