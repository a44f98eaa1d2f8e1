/* A device of fibers. See fiber_device.h.
 *
 * A group's threads run one after the other, each until it waits, in an order that is drawn anew every time. What was
 * recorded since a barrier runs in an order that is drawn, too. When a launch has run, nothing may have changed but
 * what it declared to write; under AddressSanitizer it can reach nothing but what it declared.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "backend/gpu/fibers/fibers.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include "backend/gpu/fibers/fiber_device.h"
#include "backend/gpu/launch.h"
#include "base/rng.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(p, n) __asan_poison_memory_region(p, n)
#define ALLOW(p, n) __asan_unpoison_memory_region(p, n)
#else
#define FORBID(p, n) ((void)(p), (void)(n))
#define ALLOW(p, n) ((void)(p), (void)(n))
#endif

enum { MOST = 256, STACK = 128 << 10, BLOCKS = 256, RECORDED = 128, SHARED_BYTES = 1 << 20 };

typedef enum waits { RUNS, AT_SYNC, AT_REDUCE, DONE } waits;

/* Contexts begin a fiber and jumps go on with it, because contexts call the system each time. Sanitizers understand
 * contexts alone. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { JUMPS = 0 };
#else
enum { JUMPS = 1 };
#endif
typedef struct place {
    jmp_buf jump;
    ucontext_t context;
} place;

typedef struct fiber {
    place at;
    char *stack;
    waits waits;
    int line;
    float value;
    bool largest;
} fiber;

typedef struct block {
    char *host, *before; /* before: the same bytes as they were after the last launch */
    size_t bytes;
} block;

typedef struct recorded {
    so_gpu_launch launch;
    uint64_t to, from; /* of a copy of `bytes` */
    size_t bytes;
} recorded;

/* What is done again and again: bytes of SIZE_MAX stand for a barrier. */
typedef struct kept {
    recorded *item;
    int n, room;
} kept;

typedef struct fibers {
    void *device;
    kept *keeping; /* being recorded */
    int subgroup;
    bool watches;
    size_t memory, taken;
    so_rng rng;
    block block[BLOCKS];
    recorded recorded[RECORDED];
    int n_recorded;
    fiber fiber[MOST];
    place host;
    const so_fiber_kernel *kernel;
} fibers;

#define ONE(NAME, THREADS) extern const so_fiber_kernel so_fiber_kernel_##NAME;
SO_GPU_TEXTS(ONE)
#undef ONE
static const so_fiber_kernel *const kernels[SO_GPU_TEXT_COUNT] = {
#define ONE(NAME, THREADS) &so_fiber_kernel_##NAME,
    SO_GPU_TEXTS(ONE)
#undef ONE
};

int so_fiber_thread, so_fiber_group[3], so_fiber_subgroup;
static fibers *running;

/* ---- a group */

static void leave(waits how, int line)
{
    fiber *f = &running->fiber[so_fiber_thread];
    f->waits = how;
    f->line = line;
    if (!JUMPS)
        swapcontext(&f->at.context, &running->host.context);
    else if (_setjmp(f->at.jump) == 0)
        _longjmp(running->host.jump, 1);
}

void so_fiber_sync(int line) { leave(AT_SYNC, line); }

float so_fiber_reduce(float x, bool largest, int line)
{
    fiber *f = &running->fiber[so_fiber_thread];
    f->value = x;
    f->largest = largest;
    leave(AT_REDUCE, line);
    return f->value;
}

/* A fiber lives as long as its device and does one group after another. */
static void entry(void)
{
    for (;;) {
        running->kernel->body();
        leave(DONE, 0);
    }
}

static bool begin(fibers *s, fiber *f)
{
    if (!(f->stack = malloc(STACK))) {
        so_gpu_fail(s->device, SO_ERR_NOMEM, "no memory for a fiber");
        f->waits = DONE;
        return false;
    }
    getcontext(&f->at.context);
    f->at.context.uc_stack.ss_sp = f->stack;
    f->at.context.uc_stack.ss_size = STACK;
    f->at.context.uc_link = NULL;
    makecontext(&f->at.context, entry, 0);
    return true;
}

/* Lets thread t run until it waits. */
static void resume(fibers *s, int t)
{
    fiber *f = &s->fiber[t];
    bool begun = f->stack != NULL;
    so_fiber_thread = t;
    if (!begun && !begin(s, f)) return;
    if (!JUMPS) {
        swapcontext(&s->host.context, &f->at.context);
        return;
    }
    if (_setjmp(s->host.jump) != 0) return;
    if (begun)
        _longjmp(f->at.jump, 1);
    else
        setcontext(&f->at.context);
}

/* Whether fibers first .. first + n wait alike. */
static bool alike(const fibers *s, int first, int n, waits how)
{
    for (int t = first; t < first + n; t++)
        if (s->fiber[t].waits != how || s->fiber[t].line != s->fiber[first].line) return false;
    return true;
}

static void let(fibers *s, int first, int n)
{
    for (int t = first; t < first + n; t++) s->fiber[t].waits = RUNS;
}

static bool release(fibers *s)
{
    int threads = s->kernel->threads, sub = s->subgroup, released = 0;
    for (int first = 0; first < threads; first += sub) {
        if (!alike(s, first, sub, AT_REDUCE)) continue;
        float all = s->fiber[first].value;
        for (int t = first + 1; t < first + sub; t++) {
            float x = s->fiber[t].value;
            all = !s->fiber[t].largest ? all + x : x > all ? x : all;
        }
        for (int t = first; t < first + sub; t++) s->fiber[t].value = all;
        let(s, first, sub);
        released++;
    }
    if (!released && alike(s, 0, threads, AT_SYNC)) {
        let(s, 0, threads);
        released++;
    }
    return released > 0;
}

static bool run_some(fibers *s)
{
    int order[MOST], n = 0;
    for (int t = 0; t < s->kernel->threads; t++)
        if (s->fiber[t].waits == RUNS) order[n++] = t;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)so_rng_below(&s->rng, i + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (int i = 0; i < n; i++) resume(s, order[i]);
    return n > 0;
}

static void run_group(fibers *s, const so_gpu_launch *l)
{
    let(s, 0, s->kernel->threads);
    while (run_some(s) && !alike(s, 0, s->kernel->threads, DONE)) {
        bool left = false;
        for (int t = 0; t < s->kernel->threads; t++) {
            s->fiber[t].line = s->fiber[t].waits == DONE ? 0 : s->fiber[t].line;
            left |= s->fiber[t].waits != DONE;
        }
        if (!left) return;
        if (release(s)) continue;
        so_gpu_fail(s->device, SO_ERR_STATE, "%s.k: threads of a group wait at different places, among them line %d",
                    so_gpu_text_name[l->text], s->fiber[0].line);
        return;
    }
}

/* ---- what a launch may touch */

static void allow(fibers *s, const so_gpu_launch *l)
{
    for (int b = 0; b < BLOCKS; b++)
        if (s->block[b].host && l->n_ranges) FORBID(s->block[b].host, s->block[b].bytes);
    for (int i = 0; i < l->n_ranges; i++) ALLOW((char *)(uintptr_t)(l->range[i].at - SO_FIBER_AWAY), l->range[i].bytes);
}

/* Bytes from..to of a block are as they were, and declared ranges are noted. */
static void compare(fibers *s, const so_gpu_launch *l)
{
    for (int b = 0; b < BLOCKS; b++) {
        block *k = &s->block[b];
        if (!k->host) continue;
        ALLOW(k->host, k->bytes);
        if (!k->before) continue;
        for (int i = 0; i < l->n_ranges; i++) {
            char *p = (char *)(uintptr_t)(l->range[i].at - SO_FIBER_AWAY);
            if (l->range[i].writes && p >= k->host && p < k->host + k->bytes)
                memcpy(k->before + (p - k->host), p, l->range[i].bytes);
        }
        if (memcmp(k->before, k->host, k->bytes) != 0)
            so_gpu_fail(s->device, SO_ERR_STATE, "%s.k (kind %d) wrote memory that its launch did not declare",
                        so_gpu_text_name[l->text], l->kind);
    }
}

static void run_launch(fibers *s, const so_gpu_launch *l)
{
    s->kernel = kernels[l->text];
    if (s->kernel->threads != so_gpu_text_threads[l->text]) {
        so_gpu_fail(s->device, SO_ERR_STATE, "%s.k has groups of %d, expected %d", so_gpu_text_name[l->text],
                    s->kernel->threads, so_gpu_text_threads[l->text]);
        return;
    }
    if (l->bytes != s->kernel->bytes) {
        so_gpu_fail(s->device, SO_ERR_STATE, "%s.k takes %zu bytes, its launch gives %u", so_gpu_text_name[l->text],
                    s->kernel->bytes, l->bytes);
        return;
    }
    memcpy(s->kernel->params, l->params, l->bytes);
    *s->kernel->kind = l->kind;
    running = s;
    so_fiber_subgroup = s->subgroup;
    allow(s, l);
    for (uint32_t z = 0; z < l->groups[2]; z++)
        for (uint32_t y = 0; y < l->groups[1]; y++)
            for (uint32_t x = 0; x < l->groups[0]; x++) {
                so_fiber_group[0] = (int)x;
                so_fiber_group[1] = (int)y;
                so_fiber_group[2] = (int)z;
                run_group(s, l);
            }
    compare(s, l);
}

/* ---- the driver */

static char *inside(fibers *s, uint64_t at, size_t bytes, block **found)
{
    char *p = (char *)(uintptr_t)(at - SO_FIBER_AWAY);
    for (int b = 0; b < BLOCKS; b++)
        if (s->block[b].host && p >= s->block[b].host && p + bytes <= s->block[b].host + s->block[b].bytes) {
            *found = &s->block[b];
            return p;
        }
    so_gpu_fail(s->device, SO_ERR_ARG, "%zu bytes are copied that nobody reserved", bytes);
    return NULL;
}

static void run_copy(fibers *s, const recorded *r)
{
    block *a, *b;
    char *to = inside(s, r->to, r->bytes, &a), *from = inside(s, r->from, r->bytes, &b);
    if (!to || !from) return;
    memcpy(to, from, r->bytes);
    if (a->before) memcpy(a->before + (to - a->host), from, r->bytes);
}

static recorded *keep(fibers *s)
{
    kept *k = s->keeping;
    if (k->n == k->room) {
        k->room = k->room ? 2 * k->room : 64;
        recorded *more = realloc(k->item, (size_t)k->room * sizeof *more);
        if (!more) abort();
        k->item = more;
    }
    k->item[k->n] = (recorded){.bytes = 0};
    return &k->item[k->n++];
}

static void barrier(void *self)
{
    fibers *s = self;
    if (s->keeping) {
        keep(s)->bytes = SIZE_MAX;
        return;
    }
    for (int n = s->n_recorded; n > 0; n--) {
        int at = (int)so_rng_below(&s->rng, n);
        recorded r = s->recorded[at];
        s->recorded[at] = s->recorded[n - 1];
        if (r.bytes)
            run_copy(s, &r);
        else
            run_launch(s, &r.launch);
    }
    s->n_recorded = 0;
}

static recorded *record(fibers *s)
{
    if (s->keeping) return keep(s);
    if (s->n_recorded == RECORDED) barrier(s);
    recorded *r = &s->recorded[s->n_recorded++];
    *r = (recorded){.bytes = 0};
    return r;
}

static void launch(void *self, const so_gpu_launch *l) { record(self)->launch = *l; }

static void copy(void *self, uint64_t to, uint64_t from, size_t bytes)
{
    recorded *r = record(self);
    r->to = to;
    r->from = from;
    r->bytes = bytes;
}

static void *start_keeping(void *self)
{
    fibers *s = self;
    barrier(s);
    return s->keeping = calloc(1, sizeof *s->keeping);
}

static void end_keeping(void *self) { ((fibers *)self)->keeping = NULL; }

/* What is computed is what was kept; what it may touch is what is declared now. */
static void replay(void *self, void *recording, const so_gpu_launch *now)
{
    const kept *k = recording;
    for (int i = 0; i < k->n; i++) {
        if (k->item[i].bytes == SIZE_MAX) {
            barrier(self);
            continue;
        }
        recorded *r = record(self);
        *r = k->item[i];
        if (!now || r->bytes) continue;
        r->launch.n_ranges = now[i].n_ranges;
        memcpy(r->launch.range, now[i].range, sizeof now[i].range);
    }
}

static void forget(void *self, void *recording)
{
    kept *k = recording;
    (void)self;
    free(k->item);
    free(k);
}

static so_status reserve(void *self, size_t bytes, uint64_t *address, so_error *error)
{
    fibers *s = self;
    if (s->memory && bytes > s->memory - s->taken)
        return so_fail(error, SO_ERR_NOMEM, "the device has no %zu bytes in one piece left", bytes);
    for (int b = 0; b < BLOCKS; b++) {
        block *k = &s->block[b];
        if (k->host) continue;
        k->host = calloc(1, bytes);
        k->before = s->watches ? calloc(1, bytes) : NULL;
        k->bytes = bytes;
        if (!k->host || (s->watches && !k->before)) break;
        *address = (uint64_t)(uintptr_t)k->host + SO_FIBER_AWAY;
        s->taken += bytes;
        return SO_OK;
    }
    return so_fail(error, SO_ERR_NOMEM, "fibers: no memory for %zu bytes, or %d blocks", bytes, BLOCKS);
}

static void drop(block *k)
{
    free(k->host);
    free(k->before);
    *k = (block){0};
}

static size_t release_block(void *self, uint64_t address)
{
    fibers *s = self;
    size_t bytes = 0;
    for (int b = 0; b < BLOCKS; b++)
        if (s->block[b].host && (uint64_t)(uintptr_t)s->block[b].host + SO_FIBER_AWAY == address) {
            bytes = s->block[b].bytes;
            s->taken -= bytes;
            drop(&s->block[b]);
        }
    return bytes;
}

static void drive(void *self, void *device) { ((fibers *)self)->device = device; }

static void close_fibers(void *self)
{
    fibers *s = self;
    for (int b = 0; b < BLOCKS; b++) drop(&s->block[b]);
    for (int t = 0; t < MOST; t++) free(s->fiber[t].stack);
    free(s);
}

so_status so_fibers_driver(so_gpu_opened *opened, const so_fibers_options *o, so_error *error)
{
    static const so_gpu_driver driver = {.drive = drive,
                                         .reserve = reserve,
                                         .release = release_block,
                                         .launch = launch,
                                         .copy = copy,
                                         .barrier = barrier,
                                         .submit = barrier,
                                         .wait = barrier,
                                         .close = close_fibers,
                                         .record = start_keeping,
                                         .recorded = end_keeping,
                                         .replay = replay,
                                         .forget = forget};
    fibers *s = calloc(1, sizeof *s);
    uint64_t shared = 0;
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for fibers");
    s->subgroup = o->subgroup;
    s->watches = o->watches;
    s->memory = o->memory;
    so_rng_init(&s->rng, o->seed, 3);
    so_status status = reserve(s, SHARED_BYTES, &shared, error);
    if (status != SO_OK) {
        close_fibers(s);
        return status;
    }
    *opened = (so_gpu_opened){.driver = &driver,
                              .self = s,
                              .largest = o->largest ? o->largest : (size_t)1 << 30,
                              .shared = (void *)(uintptr_t)(shared - SO_FIBER_AWAY),
                              .shared_at = shared,
                              .shared_bytes = SHARED_BYTES};
    /* The host writes the shared piece between launches: nothing there is compared. */
    if (s->block[0].before) free(s->block[0].before);
    s->block[0].before = NULL;
    snprintf(opened->about.name, sizeof opened->about.name, "fibers:%d", o->subgroup);
    snprintf(opened->about.title, sizeof opened->about.title, "threads of the host, subgroups of %d", o->subgroup);
    opened->about.subgroup = o->subgroup;
    opened->about.memory = o->memory ? o->memory : (size_t)1 << 40;
    opened->about.free = opened->about.memory - SHARED_BYTES;
    return SO_OK;
}

so_status so_fibers_open(so_device **out, const so_fibers_options *o, so_error *error)
{
    so_gpu_opened opened;
    *out = NULL;
    SO_TRY(so_fibers_driver(&opened, o, error));
    return so_gpu_open(out, &opened, error);
}
