/* Arenas: one block, or chunks that are added as they are needed.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGN ((size_t)64)
#define PAGE ((size_t)4096)
#define FIRST_CHUNK ((size_t)1 << 20)
#define LARGEST_CHUNK ((size_t)64 << 20)
#define LEAST_RESERVED ((size_t)64 << 20)
#define LEAST_OPENED ((size_t)16 << 20)
/* Where the numbers of a dry arena would lie: no program has memory there, so that touching one is seen at once. */
#define NOWHERE ((uintptr_t)1 << 54)

/* A chunk of an arena that grows: blocks one behind the other, each with a head in front. */
struct so_chunk {
    so_chunk *before;
    size_t size, used; /* bytes, this head counted */
    size_t top;        /* where the head of the last block is; 0: there is none */
};

typedef struct head {
    size_t at;  /* what the arena had in use in front of this block */
    size_t top; /* the chunk's before it */
} head;

static size_t round_up(size_t n, size_t to) { return (n + to - 1) & ~(to - 1); }

static void *map_as(size_t bytes, int use)
{
    void *p = mmap(NULL, bytes, use, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void *map(size_t bytes) { return map_as(bytes, PROT_READ | PROT_WRITE); }

static void ask_large(void *p, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    madvise(p, bytes, MADV_HUGEPAGE); /* where the system has no large pages nothing is lost */
#else
    (void)p;
    (void)bytes;
#endif
}

so_status so_arena_init(so_arena *arena, size_t capacity, so_error *error)
{
    memset(arena, 0, sizeof *arena);
    if (capacity <= SIZE_MAX / 2) arena->base = map(round_up(capacity ? capacity : 1, PAGE));
    if (!arena->base) return so_fail(error, SO_ERR_NOMEM, "cannot reserve %zu bytes of memory", capacity);
    arena->capacity = arena->open = round_up(capacity ? capacity : 1, PAGE);
    return SO_OK;
}

so_status so_arena_reserve(so_arena *arena, size_t most, so_error *error)
{
    memset(arena, 0, sizeof *arena);
    size_t size = round_up(most, PAGE);
    while (!(arena->base = map_as(size, PROT_NONE)) && size / 2 >= LEAST_RESERVED) size = round_up(size / 2, PAGE);
    if (!arena->base) return so_fail(error, SO_ERR_NOMEM, "cannot reserve %zu bytes of memory", size);
    arena->capacity = size;
    return SO_OK;
}

void so_arena_over(so_arena *arena, void *base, size_t capacity)
{
    *arena = (so_arena){.base = base, .capacity = capacity, .open = capacity, .lent = true};
}

void so_arena_grow(so_arena *arena) { *arena = (so_arena){.grows = true, .capacity = SIZE_MAX / 2}; }

so_status so_arena_dry(so_arena *arena, so_error *error)
{
    (void)error;
    *arena = (so_arena){.grows = true, .dry = true, .capacity = SIZE_MAX / 2};
    return SO_OK;
}

void so_arena_large(so_arena *arena)
{
    arena->large = true;
    if (arena->base) ask_large(arena->base, arena->capacity);
}

void so_arena_trim(so_arena *arena)
{
    const size_t worth = (size_t)32 << 20;
    size_t from = round_up(arena->used, PAGE), to = round_up(arena->top, PAGE);
    if (!arena->base || arena->lent || to < from + worth) return;
    madvise(arena->base + from, to - from, MADV_DONTNEED);
    arena->top = arena->used;
}

static bool within(const char *p, size_t bytes, const void *base, size_t size)
{
    uintptr_t at = (uintptr_t)p, from = (uintptr_t)base;
    return base && at >= from && bytes <= size && at - from <= size - bytes;
}

size_t so_arena_drop(const so_arena *arena, void *p, size_t bytes)
{
    bool mine = !arena->lent && within(p, bytes, arena->base, arena->capacity);
    for (const so_chunk *c = arena->last; c && !mine; c = c->before) mine = within(p, bytes, c, c->size);
    size_t skip = round_up((size_t)(uintptr_t)p, PAGE) - (size_t)(uintptr_t)p;
    size_t whole = bytes > skip ? (bytes - skip) / PAGE * PAGE : 0;
    if (!mine || !whole || madvise((char *)p + skip, whole, MADV_DONTNEED) != 0) return 0;
    return whole;
}

void so_arena_clear(so_arena *arena)
{
    if (arena->base && !arena->lent) munmap(arena->base, arena->capacity);
    for (so_chunk *c = arena->last, *before; c; c = before) {
        before = c->before;
        munmap(c, c->size);
    }
    memset(arena, 0, sizeof *arena);
}

/* Gives up the blocks that were released. An empty chunk stays while it is the only one. */
static void forget_released(so_arena *arena)
{
    for (so_chunk *c = arena->last; c;) {
        const head *h = (const head *)(const void *)((const char *)c + c->top);
        if (c->top && h->at >= arena->used) {
            c->used = c->top;
            c->top = h->top;
        } else if (!c->top && c->before) {
            arena->last = c->before;
            munmap(c, c->size);
            c = arena->last;
        } else
            return;
    }
}

static so_chunk *add_chunk(so_arena *arena, size_t bytes)
{
    size_t size = arena->last ? arena->last->size * 2 : FIRST_CHUNK;
    if (size > LARGEST_CHUNK) size = LARGEST_CHUNK;
    size_t need = round_up(bytes + sizeof(so_chunk) + 2 * ALIGN, PAGE);
    so_chunk *c = map(size > need ? size : need);
    if (!c && size > need) c = map(size = need);
    if (!c) return NULL;
    if (size < need) size = need;
    if (arena->large) ask_large(c, size);
    *c = (so_chunk){.before = arena->last, .size = size, .used = sizeof *c};
    arena->last = c;
    return c;
}

/* Real memory of an arena that grows. */
static void *take_block(so_arena *arena, size_t start, size_t bytes)
{
    so_chunk *c = arena->last;
    for (int round = 0; round < 2; round++) {
        size_t at = c ? round_up(c->used + sizeof(head), ALIGN) : 0;
        if (c && at <= c->size && bytes <= c->size - at) {
            head *h = (head *)(void *)((char *)c + at - sizeof *h);
            *h = (head){start, c->top};
            c->top = at - sizeof *h;
            c->used = at + bytes;
            return (char *)c + at;
        }
        c = add_chunk(arena, bytes);
        if (!c) return NULL;
    }
    return NULL;
}

/* Memory for the addresses up to `end`: some more than that, so that it is not asked for often. */
static bool open_up_to(so_arena *arena, size_t end)
{
    size_t least = round_up(end, PAGE), most = arena->open + arena->open / 4;
    if (most < arena->open + LEAST_OPENED) most = arena->open + LEAST_OPENED;
    if (most < least) most = least;
    if (most > arena->capacity) most = arena->capacity;
    const int use = PROT_READ | PROT_WRITE;
    most = round_up(most, PAGE);
    if (mprotect(arena->base + arena->open, most - arena->open, use) != 0) {
        most = least;
        if (mprotect(arena->base + arena->open, most - arena->open, use) != 0) return false;
    }
    ask_large(arena->base + arena->open, most - arena->open);
    arena->open = most;
    return true;
}

static void *take(so_arena *arena, size_t bytes, bool numbers)
{
    size_t start = round_up(arena->used, ALIGN);
    if (bytes > SIZE_MAX / 4 || start + bytes > arena->capacity ||
        (!arena->grows && start + bytes > arena->open && !open_up_to(arena, start + bytes))) {
        if (bytes <= SIZE_MAX / 4 && start + bytes > arena->peak) arena->peak = start + bytes;
        return NULL;
    }
    char *p = arena->grows ? NULL : arena->base + start;
    if (arena->grows) {
        forget_released(arena);
        p = numbers && arena->dry ? (char *)(NOWHERE + start) : take_block(arena, start, bytes);
        if (!p) return NULL;
    }
    arena->used = start + bytes;
    if (arena->used > arena->peak) arena->peak = arena->used;
    if (arena->used > arena->top) arena->top = arena->used;
    return p;
}

void *so_arena_alloc(so_arena *arena, size_t bytes) { return take(arena, bytes, false); }
void *so_arena_numbers(so_arena *arena, size_t bytes) { return take(arena, bytes, true); }

void *so_arena_zalloc(so_arena *arena, size_t bytes)
{
    void *p = so_arena_alloc(arena, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

bool so_arena_before(const so_arena *arena, const void *p, size_t mark)
{
    uintptr_t at = (uintptr_t)p;
    if (!arena->grows) return at < (uintptr_t)arena->base + mark;
    if (at >= NOWHERE) return at - NOWHERE < mark;
    for (const so_chunk *c = arena->last; c; c = c->before)
        for (size_t top = c->top, end = c->used; top;) {
            const head *h = (const head *)(const void *)((const char *)c + top);
            if (h->at < mark) return true;
            if (at > (uintptr_t)h && at < (uintptr_t)c + end) return false;
            end = top;
            top = h->top;
        }
    return true;
}

size_t so_memory_free(void)
{
    char line[256];
    unsigned long long kilobytes = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu", &kilobytes) == 1) break;
    if (f) fclose(f);
    long pages = sysconf(_SC_AVPHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    if (!kilobytes && pages > 0 && size > 0) return (size_t)pages * (size_t)size;
    return (size_t)kilobytes * 1024;
}
