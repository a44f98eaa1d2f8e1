/* An arena: memory given out front to back, released to a mark.
 *
 * As a rule it is one block of address space, reserved from the system and touched only as it is used. Where its size
 * is not known, addresses alone are reserved, and memory for them as it is needed: a system that promises no more
 * memory than it has (strict overcommit), or a limit of data (RLIMIT_DATA), counts no more than that. One that grows
 * takes chunks as they are needed: for what is kept until the end. A dry one grows, too, and only counts what numbers
 * would take.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_ARENA_H
#define SO_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct so_chunk so_chunk;

typedef struct so_arena {
    char *base;                  /* NULL where it grows */
    size_t capacity, used, peak; /* bytes */
    size_t open;                 /* of its addresses that have memory */
    size_t top;                  /* the most in use since the arena was trimmed */
    so_chunk *last;
    bool grows, dry, large, lent;
} so_arena;

/* Reserves `capacity` bytes (rounded up to a page). SO_ERR_NOMEM when that much address space cannot be had. */
so_status so_arena_init(so_arena *arena, size_t capacity, so_error *error);
/* Reserves as many bytes of addresses as can be had, at most `most`, for work of unknown size: half, a quarter and so
 * on down to 64 MiB where address space is limited (arena->capacity tells). Memory is asked for as it is needed, in
 * large pages. */
so_status so_arena_reserve(so_arena *arena, size_t most, so_error *error);
/* Gives out `capacity` bytes of addresses that begin at `base`, a multiple of 64, and are somebody else's: of a device,
 * or of another arena. None of them is read or written; clearing leaves them alone. */
void so_arena_over(so_arena *arena, void *base, size_t capacity);
/* An arena that grows by chunks. Memory that was released may go back to the system at once. */
void so_arena_grow(so_arena *arena);
/* An arena to count in: it holds what so_arena_alloc gives, but not what so_arena_numbers gives. Gives SO_OK. */
so_status so_arena_dry(so_arena *arena, so_error *error);
/* Asks for large pages (2 MiB), for what is read from end to end again and again: fewer steps from one page to the
 * next. */
void so_arena_large(so_arena *arena);
/* Hands memory behind what is in use back to the system, when that is more than 32 MiB; it comes again, as zeros, when
 * it is needed. */
void so_arena_trim(so_arena *arena);
/* Gives the whole pages within `bytes` at p back to the system, when p is memory of this arena that nobody will read
 * again: what is left of them reads as zeros. Returns how many bytes that were. */
size_t so_arena_drop(const so_arena *arena, void *p, size_t bytes);
/* Gives the block back. Accepts a zeroed arena. */
void so_arena_clear(so_arena *arena);
/* `bytes` aligned to 64, not zeroed; NULL when the capacity is passed (the peak then says how much was asked for). */
void *so_arena_alloc(so_arena *arena, size_t bytes);
void *so_arena_zalloc(so_arena *arena, size_t bytes);
/* The same for numbers that a dry arena has no memory for: there the result must not be read or written. */
void *so_arena_numbers(so_arena *arena, size_t bytes);
/* Whether what `p` points to is no part of what the arena gave out behind the mark. */
bool so_arena_before(const so_arena *arena, const void *p, size_t mark);

static inline size_t so_arena_mark(const so_arena *arena) { return arena->used; }
static inline void so_arena_release(so_arena *arena, size_t mark) { arena->used = mark; }

/* Bytes of the machine's memory that are free, or can be made so. */
size_t so_memory_free(void);

#endif
