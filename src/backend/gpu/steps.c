/* Steps that are asked again and again: recorded when they are seen for the second time, replayed from then on.
 *
 * Between begin and the next read, launches and copies are kept. What is asked then is compared, byte by byte, with
 * what was asked before: kernels, groups, parameters (addresses among them), barriers. Only what the host gives along
 * (positions, ids, sequences, where keys go) may differ: it lies in the shared piece, at the same places in every step.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/queue.h"

enum {
    KEPT = 24,   /* recordings */
    LATELY = 96, /* steps */
    SEEN = 64,   /* steps that are known by a number */
    MOST = 4096  /* calls in a step */
};
/* Calls that are no launches, in the place of a text. */
enum { BARRIER = SO_GPU_TEXT_COUNT, COPY };
/* What two calls are compared by: all of a launch but the ranges that it declares. */
enum { KEY = offsetof(so_gpu_launch, n_ranges) };
_Static_assert(KEY % 8 == 0 && KEY == 24 + SO_GPU_PARAMS, "no holes in what is compared");

typedef struct kept {
    void *of_driver;
    unsigned char *key; /* [n, KEY] */
    int n;
    uint64_t hash, used; /* used: the step that did last */
} kept;

struct so_steps {
    bool open;  /* between begin and end */
    bool keeps; /* and calls are kept */
    bool busy;  /* what was submitted may still read the inputs */
    size_t used;
    so_gpu_launch *call;
    int n, room;
    int64_t launches, bytes;
    uint64_t seen[SEEN], clock; /* clock: steps so far */
    int at_seen, n_kept;
    kept kept[KEPT];
};

so_status so_steps_open(so_device *d, so_error *error)
{
    d->steps = calloc(1, sizeof *d->steps);
    return d->steps ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a device's steps");
}

static void drop(so_device *d, kept *k)
{
    d->opened.driver->forget(d->opened.self, k->of_driver);
    free(k->key);
    *k = d->steps->kept[--d->steps->n_kept];
}

void so_steps_forget(so_device *d)
{
    while (d->steps && d->steps->n_kept) drop(d, &d->steps->kept[0]);
}

void so_steps_close(so_device *d)
{
    so_steps_forget(d);
    if (d->steps) free(d->steps->call);
    free(d->steps);
    d->steps = NULL;
}

/* ---- what is asked */

bool so_steps_keep(const so_device *d) { return d->steps && d->steps->keeps; }

static void issue(so_device *d, const so_gpu_launch *l)
{
    const so_gpu_driver *driver = d->opened.driver;
    uint64_t copy[3];
    memcpy(copy, l->params, sizeof copy);
    if ((int)l->text == BARRIER)
        driver->barrier(d->opened.self);
    else if ((int)l->text == COPY)
        driver->copy(d->opened.self, copy[0], copy[1], (size_t)copy[2]);
    else
        driver->launch(d->opened.self, l);
}

static void issue_each(so_device *d)
{
    for (int i = 0; i < d->steps->n && d->error.status == SO_OK; i++) issue(d, &d->steps->call[i]);
}

/* The calls that were kept have become launches of the device. */
static void count(so_device *d, bool replayed)
{
    so_steps *s = d->steps;
    d->counts.launches += s->launches;
    d->counts.replayed += replayed ? s->launches : 0;
    d->counts.bytes += s->bytes;
    d->since_submit += replayed ? 1 : s->n;
    s->busy = true;
    s->launches = s->bytes = s->n = 0;
}

/* A step that is too long: what was kept is computed, what follows is no longer kept. */
static void give_up(so_device *d)
{
    d->steps->keeps = false;
    issue_each(d);
    count(d, false);
}

static void put(so_device *d, const so_gpu_launch *l)
{
    so_steps *s = d->steps;
    if (s->keeps && s->n == s->room) {
        int room = s->room ? 2 * s->room : 256;
        so_gpu_launch *more = room <= MOST ? realloc(s->call, (size_t)room * sizeof *more) : NULL;
        if (!more) give_up(d);
        s->call = more ? more : s->call;
        s->room = more ? room : s->room;
    }
    if (s->keeps)
        s->call[s->n++] = *l;
    else
        issue(d, l);
}

void so_steps_barrier(so_device *d) { put(d, &(so_gpu_launch){.text = (so_gpu_text)BARRIER}); }

void so_steps_copy(so_device *d, uint64_t to, uint64_t from, size_t bytes)
{
    so_gpu_launch l = {.text = (so_gpu_text)COPY};
    memcpy(l.params, (uint64_t[]){to, from, bytes}, 3 * sizeof to);
    put(d, &l);
}

void so_steps_launch(so_device *d, const so_gpu_launch *l) { put(d, l); }

void so_steps_count(so_device *d, int64_t bytes)
{
    d->steps->launches++;
    d->steps->bytes += bytes;
}

void *so_steps_share(so_device *d, size_t bytes, uint64_t *at)
{
    so_steps *s = d->steps;
    size_t from = so_queue_room(d) + s->used;
    if (s->used + bytes > so_queue_step_room(d)) {
        give_up(d);
        return NULL;
    }
    s->used += bytes;
    *at = d->opened.shared_at + from;
    return (char *)d->opened.shared + from;
}

/* ---- recordings */

static uint64_t hash_of(const so_steps *s)
{
    uint64_t h = 14695981039346656037u;
    for (int i = 0; i < s->n; i++) {
        uint64_t word[KEY / 8];
        memcpy(word, &s->call[i], KEY);
        for (int w = 0; w < KEY / 8; w++) h = (h ^ word[w]) * 1099511628211u;
    }
    return h ? h : 1;
}

static kept *find(so_steps *s, uint64_t hash)
{
    for (int k = 0; k < s->n_kept; k++) {
        bool same = s->kept[k].hash == hash && s->kept[k].n == s->n;
        for (int i = 0; i < s->n && same; i++) same = !memcmp(s->kept[k].key + (size_t)i * KEY, &s->call[i], KEY);
        if (same) return &s->kept[k];
    }
    return NULL;
}

/* Whether it was asked before; it is known from now on. */
static bool known(so_steps *s, uint64_t hash)
{
    for (int i = 0; i < SEEN; i++)
        if (s->seen[i] == hash) return true;
    s->seen[s->at_seen] = hash;
    s->at_seen = (s->at_seen + 1) % SEEN;
    return false;
}

/* Room for one more, by what was not used for longest; false where all were used lately, so that more kinds of steps
 * than are kept do not push each other out for ever. */
static bool make_room(so_device *d)
{
    so_steps *s = d->steps;
    kept *oldest = &s->kept[0];
    if (s->n_kept < KEPT) return true;
    for (int k = 1; k < s->n_kept; k++)
        if (s->kept[k].used < oldest->used) oldest = &s->kept[k];
    if (s->clock - oldest->used <= LATELY) return false;
    d->opened.driver->submit(d->opened.self);
    d->opened.driver->wait(d->opened.self);
    drop(d, oldest);
    return true;
}

static kept *record(so_device *d, uint64_t hash)
{
    so_steps *s = d->steps;
    if (!make_room(d)) return NULL;
    kept k = {.key = malloc((size_t)s->n * KEY), .n = s->n, .hash = hash};
    if (k.key) k.of_driver = d->opened.driver->record(d->opened.self);
    if (!k.of_driver) {
        free(k.key);
        return NULL;
    }
    for (int i = 0; i < s->n; i++) memcpy(k.key + (size_t)i * KEY, &s->call[i], KEY);
    issue_each(d);
    d->opened.driver->recorded(d->opened.self);
    s->kept[s->n_kept] = k;
    return &s->kept[s->n_kept++];
}

void so_steps_issue(so_device *d)
{
    so_steps *s = d->steps;
    if (!so_steps_keep(d) || !s->n) return;
    so_queue_barrier(d);
    uint64_t hash = hash_of(s);
    s->clock++;
    kept *k = find(s, hash);
    if (!k && d->error.status == SO_OK && known(s, hash)) k = record(d, hash);
    if (d->error.status != SO_OK) {
        s->n = 0;
        s->launches = s->bytes = 0;
        return;
    }
    if (k) {
        k->used = s->clock;
        d->opened.driver->replay(d->opened.self, k->of_driver, s->call);
    } else {
        issue_each(d);
    }
    count(d, k != NULL);
}

void so_steps_done(so_device *d)
{
    if (!d->steps) return;
    d->steps->used = 0;
    d->steps->busy = false;
}

/* ---- between begin and end */

void so_device_step_begin(so_device *d)
{
    if (!d) return;
    pthread_mutex_lock(&d->lock);
    so_steps *s = d->steps;
    if (s->open || d->recording) { /* of this thread: others wait */
        pthread_mutex_unlock(&d->lock);
        return;
    }
    so_queue_barrier(d);
    s->open = true;
    s->keeps = d->opened.driver->record && d->error.status == SO_OK && !s->busy;
    if (!s->busy) s->used = 0;
    d->turns.at = 0; /* held until end */
}

void so_device_step_end(so_device *d)
{
    if (!d) return;
    pthread_mutex_lock(&d->lock);
    if (d->steps->open) {
        so_steps_issue(d);
        d->steps->open = d->steps->keeps = false;
        d->turns.at = 0;
        pthread_mutex_unlock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
}
