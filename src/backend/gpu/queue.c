/* Devices that are driven by launches: order, barriers, shared memory, and what goes wrong. See launch.h.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/queue.h"

enum { SUBMIT_EVERY = 100, SCRATCH = 8 << 20 };

const char *const so_gpu_text_name[SO_GPU_TEXT_COUNT] = {
#define ONE(NAME, THREADS) #NAME,
    SO_GPU_TEXTS(ONE)
#undef ONE
};
const int so_gpu_text_threads[SO_GPU_TEXT_COUNT] = {
#define ONE(NAME, THREADS) THREADS,
    SO_GPU_TEXTS(ONE)
#undef ONE
};

struct so_recording {
    void *of_driver;
    int64_t launches, bytes;
    int slot; /* where its inputs lie */
};

static const so_gpu_driver *driver_of(const so_device *d) { return d->opened.driver; }

void so_gpu_fail(void *device, so_status status, const char *format, ...)
{
    so_device *d = device;
    char text[sizeof d->error.text];
    va_list args;
    if (!d || d->error.status != SO_OK) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    so_fail(&d->error, status, "%s: %.900s", d->opened.about.name, text);
    atomic_store(&d->failed, true);
}

so_status so_device_state(so_device *d, so_error *error)
{
    if (!d || !atomic_load(&d->failed)) return SO_OK;
    return so_fail(error, d->error.status, "%s", d->error.text);
}

/* ---- opening */

so_status so_gpu_open(so_device **out, const so_gpu_opened *opened, so_error *error)
{
    so_device *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d) {
        opened->driver->close(opened->self);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a device");
    }
    d->opened = *opened;
    pthread_mutexattr_t again;
    pthread_mutexattr_init(&again);
    pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&d->lock, &again);
    pthread_mutexattr_destroy(&again);
    opened->driver->drive(opened->self, d);
    so_status status = so_pool_open(&d->pool, 1, error);
    if (status == SO_OK) status = so_steps_open(d, error);
    if (status == SO_OK) status = so_device_reserve(d, SCRATCH, &d->scratch, error);
    if (status != SO_OK) {
        so_device_close(&d);
        return status;
    }
    so_pool_lend(d->pool, d);
    d->exact.name = d->opened.about.name;
    so_gpu_fill(&d->exact);
    d->int8 = d->exact;
    d->int8.int8 = true;
    if (opened->about.piece[0]) so_gpu_fill_half(&d->int8, opened->about.piece_bf16);
    d->exact.train_bf16 = d->exact.with_bf16 = &d->exact;
    d->exact.with_int8 = &d->int8;
    *out = d;
    return SO_OK;
}

void so_device_close(so_device **device)
{
    if (!device || !*device) return;
    so_device *d = *device;
    driver_of(d)->wait(d->opened.self);
    so_steps_close(d);
    driver_of(d)->close(d->opened.self);
    so_pool_close(&d->pool);
    pthread_mutex_destroy(&d->lock);
    free(d);
    *device = NULL;
}

const so_device_info *so_device_about(const so_device *d) { return &d->opened.about; }
const so_kernels *so_device_kernels(const so_device *d, bool int8) { return int8 ? &d->int8 : &d->exact; }
so_pool *so_device_pool(const so_device *d) { return d->pool; }
size_t so_device_largest(const so_device *d) { return d->opened.largest; }

size_t so_device_left(so_device *d)
{
    pthread_mutex_lock(&d->lock);
    size_t all = d->opened.about.free, used = d->counts.reserved;
    pthread_mutex_unlock(&d->lock);
    return all > used ? all - used : 0;
}
so_device *so_gpu_of(so_pool *pool) { return so_pool_owner(pool); }

void so_device_count(const so_device *d, so_device_counts *counts) { *counts = d->counts; }

void so_gpu_hold(so_device *d) { pthread_mutex_lock(&d->lock); }
void so_gpu_let(so_device *d) { pthread_mutex_unlock(&d->lock); }

/* ---- memory */

so_status so_device_reserve(so_device *d, size_t bytes, void **address, so_error *error)
{
    uint64_t at = 0;
    *address = NULL;
    bytes = (bytes + SO_QUEUE_ALIGN - 1) / SO_QUEUE_ALIGN * SO_QUEUE_ALIGN;
    pthread_mutex_lock(&d->lock);
    so_status status = driver_of(d)->reserve(d->opened.self, bytes ? bytes : SO_QUEUE_ALIGN, &at, error);
    if (status == SO_OK) d->counts.reserved += bytes ? bytes : SO_QUEUE_ALIGN;
    pthread_mutex_unlock(&d->lock);
    *address = (void *)(uintptr_t)at;
    return status;
}

/* ---- order */

void so_queue_barrier(so_device *d)
{
    if (d->n_pending && so_steps_keep(d))
        so_steps_barrier(d);
    else if (d->n_pending)
        driver_of(d)->barrier(d->opened.self);
    d->counts.barriers += d->n_pending > 0;
    d->n_pending = 0;
}

static void submit(so_device *d)
{
    so_steps_issue(d);
    so_queue_barrier(d);
    if (d->since_submit) {
        driver_of(d)->submit(d->opened.self);
        d->counts.submits++;
    }
    d->since_submit = 0;
}

/* Everything that was recorded is done: the shared piece is empty again. */
static void finish(so_device *d)
{
    if (d->recording) {
        so_gpu_fail(d, SO_ERR_STATE, "somebody waits for what is only recorded");
        return;
    }
    submit(d);
    driver_of(d)->wait(d->opened.self);
    d->counts.waits++;
    d->shared_used = 0;
    d->turns.at = 0;
    so_steps_done(d);
}

static bool overlaps(const so_gpu_range *a, const so_gpu_range *b)
{
    return (a->writes || b->writes) && a->at < b->at + b->bytes && b->at < a->at + a->bytes;
}

/* A barrier, if what is to come must not overtake what was recorded. */
static void order(so_device *d, const so_gpu_range *range, int n)
{
    bool wait = d->n_pending + n > SO_QUEUE_PENDING;
    for (int i = 0; i < n && !wait; i++)
        for (int j = 0; j < d->n_pending && !wait; j++) wait = overlaps(&range[i], &d->pending[j]);
    if (wait) so_queue_barrier(d);
    memcpy(d->pending + d->n_pending, range, (size_t)n * sizeof *range);
    d->n_pending += n;
}

static void declare(so_gpu_launch *l, const void *address, size_t bytes, bool writes)
{
    if (!address || !bytes || l->n_ranges == SO_GPU_RANGES) return;
    l->range[l->n_ranges++] = (so_gpu_range){(uint64_t)(uintptr_t)address, bytes, writes};
}

void so_gpu_reads(so_gpu_launch *l, const void *address, size_t bytes) { declare(l, address, bytes, false); }
void so_gpu_writes(so_gpu_launch *l, const void *address, size_t bytes) { declare(l, address, bytes, true); }

static void recorded(so_device *d)
{
    if (!d->recording && !so_steps_keep(d) && ++d->since_submit >= SUBMIT_EVERY) submit(d);
}

static void count_launch(so_device *d, const so_gpu_launch *l)
{
    int64_t bytes = 0;
    for (int i = 0; i < l->n_ranges; i++) bytes += (int64_t)l->range[i].bytes;
    if (so_steps_keep(d)) {
        so_steps_count(d, bytes);
    } else {
        *(d->recording ? &d->recording->launches : &d->counts.launches) += 1;
        *(d->recording ? &d->recording->bytes : &d->counts.bytes) += bytes;
    }
}

static void put_copy(so_device *d, uint64_t to, uint64_t from, size_t bytes)
{
    if (so_steps_keep(d))
        so_steps_copy(d, to, from, bytes);
    else
        driver_of(d)->copy(d->opened.self, to, from, bytes);
}

void so_gpu_launch_now(so_device *d, so_gpu_launch *l)
{
    enum { MOST_GROUPS = 65535 }; /* what every device takes */
    if (!l->groups[0] || !l->groups[1] || !l->groups[2]) return;
    pthread_mutex_lock(&d->lock);
    if (l->groups[0] > MOST_GROUPS || l->groups[1] > MOST_GROUPS || l->groups[2] > MOST_GROUPS)
        so_gpu_fail(d, SO_ERR_LIMIT, "%s of %u x %u x %u groups, at most %d", so_gpu_text_name[l->text], l->groups[0],
                    l->groups[1], l->groups[2], MOST_GROUPS);
    if (d->error.status == SO_OK) {
        order(d, l->range, l->n_ranges);
        count_launch(d, l);
        if (so_steps_keep(d))
            so_steps_launch(d, l);
        else
            driver_of(d)->launch(d->opened.self, l);
        recorded(d);
    }
    pthread_mutex_unlock(&d->lock);
}

/* ---- shared memory */

/* Of a recording: its inputs live as long as it. */
static void *share_kept(so_device *d, size_t bytes, uint64_t *at)
{
    size_t room = so_queue_kept_room(d) / SO_QUEUE_SLOTS, slot = room * (size_t)d->recording->slot;
    size_t from = so_queue_room(d) + so_queue_step_room(d) + slot + d->kept;
    d->overflow |= d->kept + bytes > room;
    if (d->overflow) return NULL;
    d->kept += bytes;
    *at = d->opened.shared_at + from;
    return (char *)d->opened.shared + from;
}

/* With the lock held. */
static void *share(so_device *d, size_t bytes, uint64_t *at)
{
    bytes = (bytes + SO_QUEUE_ALIGN - 1) / SO_QUEUE_ALIGN * SO_QUEUE_ALIGN;
    if (d->recording) return share_kept(d, bytes, at);
    void *of_step = so_steps_keep(d) ? so_steps_share(d, bytes, at) : NULL;
    if (of_step) return of_step;
    if (bytes > so_queue_room(d)) {
        so_gpu_fail(d, SO_ERR_LIMIT, "%zu bytes of inputs at a time, there is room for %zu", bytes, so_queue_room(d));
        return NULL;
    }
    if (d->shared_used + bytes > so_queue_room(d)) finish(d);
    size_t from = d->shared_used;
    d->shared_used += bytes;
    *at = d->opened.shared_at + from;
    return (char *)d->opened.shared + from;
}

void *so_gpu_share(so_device *d, size_t bytes, uint64_t *at)
{
    pthread_mutex_lock(&d->lock);
    void *p = share(d, bytes, at);
    pthread_mutex_unlock(&d->lock);
    return p;
}

void *so_gpu_scratch(so_device *d, size_t bytes) { return bytes <= SCRATCH ? d->scratch : NULL; }

uint64_t so_gpu_turns(so_device *d, const so_rotation *r, size_t *bytes)
{
    int64_t half = r->width / 2;
    size_t listed = (size_t)r->rows * sizeof *r->pos;
    *bytes = (size_t)(r->rows * half * 2) * sizeof(float);
    pthread_mutex_lock(&d->lock);
    so_queue_turns *t = &d->turns;
    bool same = t->at && t->rows == r->rows && t->half == half && t->freq == r->freq && r->rows <= SO_QUEUE_TURNS &&
                memcmp(t->pos, r->pos, listed) == 0;
    uint64_t at = t->at;
    float *out = same ? NULL : share(d, *bytes, &at);
    for (int64_t i = 0; out && i < r->rows * half; i++) {
        double angle = (double)((float)r->pos[i / half] * (float)r->freq[i % half]);
        out[2 * i] = (float)cos(angle);
        out[2 * i + 1] = (float)sin(angle);
    }
    if (out && r->rows <= SO_QUEUE_TURNS) {
        t->at = at;
        t->rows = r->rows;
        t->half = half;
        t->freq = r->freq;
        memcpy(t->pos, r->pos, listed);
    }
    pthread_mutex_unlock(&d->lock);
    return at;
}

/* ---- between host and device */

/* With the lock held: `bytes` at most a quarter of the shared piece. */
static void copy_piece(so_device *d, char *host, uint64_t address, size_t bytes, bool write)
{
    uint64_t at = 0;
    void *p = share(d, bytes, &at);
    if (!p) return;
    if (write) memcpy(p, host, bytes);
    if (!write && d->recording) finish(d); /* which fails */
    so_gpu_range range[] = {{write ? at : address, bytes, false}, {write ? address : at, bytes, true}};
    order(d, range, 2);
    put_copy(d, range[1].at, range[0].at, bytes);
    recorded(d);
    if (write || d->recording) return;
    size_t offset = (size_t)(at - d->opened.shared_at);
    finish(d);
    memcpy(host, (char *)d->opened.shared + offset, bytes);
}

static void copy(so_device *d, void *host, uint64_t address, size_t bytes, bool write)
{
    pthread_mutex_lock(&d->lock);
    for (size_t at = 0, most = so_queue_room(d) / 4; at < bytes && d->error.status == SO_OK; at += most)
        copy_piece(d, (char *)host + at, address + at, bytes - at < most ? bytes - at : most, write);
    pthread_mutex_unlock(&d->lock);
}

void so_device_write(so_device *d, void *to, const void *from, size_t bytes)
{
    if (d)
        copy(d, (void *)(uintptr_t)from, (uint64_t)(uintptr_t)to, bytes, true);
    else
        memcpy(to, from, bytes);
}

void so_device_read(so_device *d, void *to, const void *from, size_t bytes)
{
    if (d) {
        memset(to, 0, bytes);
        copy(d, to, (uint64_t)(uintptr_t)from, bytes, false);
    } else {
        memcpy(to, from, bytes);
    }
}

void so_device_copy(so_device *d, void *to, const void *from, size_t bytes)
{
    if (!d) memcpy(to, from, bytes);
    if (!d || !bytes) return;
    so_gpu_range range[] = {{(uint64_t)(uintptr_t)from, bytes, false}, {(uint64_t)(uintptr_t)to, bytes, true}};
    pthread_mutex_lock(&d->lock);
    if (d->error.status == SO_OK) {
        order(d, range, 2);
        count_launch(d, &(so_gpu_launch){.n_ranges = 0});
        put_copy(d, range[1].at, range[0].at, bytes);
        recorded(d);
    }
    pthread_mutex_unlock(&d->lock);
}

/* ---- recordings */

bool so_device_record(so_device *d)
{
    so_recording *r = d && driver_of(d)->record ? calloc(1, sizeof *r) : NULL;
    if (!r) return false;
    pthread_mutex_lock(&d->lock);
    so_queue_barrier(d);
    while (r->slot < SO_QUEUE_SLOTS && (d->slots >> r->slot & 1)) r->slot++;
    if (d->error.status == SO_OK && !d->recording && !so_steps_keep(d) && r->slot < SO_QUEUE_SLOTS)
        r->of_driver = driver_of(d)->record(d->opened.self);
    if (!r->of_driver) {
        pthread_mutex_unlock(&d->lock);
        free(r);
        return false;
    }
    d->turns.at = 0;
    d->recording = r;
    d->slots |= 1U << r->slot;
    d->kept = 0;
    d->overflow = false;
    return true;
}

/* With the lock held. */
static void drop_recording(so_device *d, so_recording *r)
{
    driver_of(d)->forget(d->opened.self, r->of_driver);
    d->slots &= ~(1U << r->slot);
    free(r);
}

so_recording *so_device_recorded(so_device *d)
{
    so_recording *r = d->recording;
    so_queue_barrier(d);
    driver_of(d)->recorded(d->opened.self);
    d->recording = NULL;
    d->turns.at = 0;
    if (d->overflow || d->error.status != SO_OK) {
        drop_recording(d, r);
        r = NULL;
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

void so_device_replay(so_device *d, const so_recording *r)
{
    pthread_mutex_lock(&d->lock);
    if (d->error.status == SO_OK) {
        so_queue_barrier(d);
        driver_of(d)->replay(d->opened.self, r->of_driver, NULL);
        d->counts.launches += r->launches;
        d->counts.replayed += r->launches;
        d->counts.bytes += r->bytes;
        d->since_submit++;
    }
    pthread_mutex_unlock(&d->lock);
}

void so_device_forget(so_device *d, so_recording **recording)
{
    if (!d || !recording || !*recording) return;
    pthread_mutex_lock(&d->lock);
    finish(d);
    drop_recording(d, *recording);
    *recording = NULL;
    pthread_mutex_unlock(&d->lock);
}

void so_device_flush(so_device *d)
{
    if (!d) return;
    pthread_mutex_lock(&d->lock);
    submit(d);
    pthread_mutex_unlock(&d->lock);
}

void so_device_release(so_device *d, void *address)
{
    if (!d || !address) return;
    pthread_mutex_lock(&d->lock);
    finish(d);
    so_steps_forget(d);
    d->counts.reserved -= driver_of(d)->release(d->opened.self, (uint64_t)(uintptr_t)address);
    pthread_mutex_unlock(&d->lock);
}
