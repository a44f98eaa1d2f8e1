/* An arena over reserved address space.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/arena.h"

#include <string.h>
#include <sys/mman.h>

so_status so_arena_init(so_arena *arena, size_t capacity, so_error *error)
{
    capacity = (capacity + 4095) & ~(size_t)4095;
    memset(arena, 0, sizeof *arena);
    /* Where address space is limited (a shell's limit, valgrind) a generous reservation shrinks; a modest one is needed
     * whole. */
    const size_t modest = (size_t)8 << 30;
    void *base = MAP_FAILED;
    for (size_t most = capacity; base == MAP_FAILED; capacity = most /= 4) {
        base = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base != MAP_FAILED) break;
        if (most / 4 < modest) return so_fail(error, SO_ERR_NOMEM, "cannot reserve %zu bytes of memory", capacity);
    }
    arena->base = base;
    arena->capacity = capacity;
    return SO_OK;
}

so_status so_arena_dry(so_arena *arena, so_error *error)
{
    return so_arena_init(arena, (size_t)1 << 40, error); /* a terabyte */
}

void so_arena_large(so_arena *arena)
{
#ifdef MADV_HUGEPAGE
    madvise(arena->base, arena->capacity, MADV_HUGEPAGE); /* where the system has no large pages nothing is lost */
#else
    (void)arena;
#endif
}

void so_arena_trim(so_arena *arena)
{
    const size_t worth = (size_t)32 << 20;
    size_t from = (arena->used + 4095) & ~(size_t)4095, to = (arena->top + 4095) & ~(size_t)4095;
    if (!arena->base || to < from + worth) return;
    madvise(arena->base + from, to - from, MADV_DONTNEED);
    arena->top = arena->used;
}

void so_arena_clear(so_arena *arena)
{
    if (arena->base) munmap(arena->base, arena->capacity);
    memset(arena, 0, sizeof *arena);
}

void *so_arena_alloc(so_arena *arena, size_t bytes)
{
    size_t start = (arena->used + 63) & ~(size_t)63;
    if (bytes > (size_t)-1 / 2 || start + bytes > arena->capacity) {
        if (start + bytes > arena->peak) arena->peak = start + bytes;
        return NULL;
    }
    arena->used = start + bytes;
    if (arena->used > arena->peak) arena->peak = arena->used;
    if (arena->used > arena->top) arena->top = arena->used;
    return arena->base + start;
}

void *so_arena_zalloc(so_arena *arena, size_t bytes)
{
    void *p = so_arena_alloc(arena, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}
