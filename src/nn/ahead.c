/* Weights read ahead of their use. See ahead.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/ahead.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/file.h"

enum { PIECE = 16 << 20, STACK = 256 << 10 };

struct so_ahead {
    const so_store *store;
    const so_views *source;
    atomic_bool stop;
    bool joined;
    pthread_t thread;
};

/* The file's numbers of weight i; NULL where it has numbers of its own. */
static const so_view *view_of(const so_ahead *a, int64_t i)
{
    const so_tensor *t = &a->store->weight[i]->tensor;
    const so_view *view = so_views_find(a->source, t->name);
    return view && !t->bf16 && t->data == view->data ? view : NULL;
}

static void *read_all(void *context)
{
    so_ahead *a = context;
    for (int64_t i = 0; i < a->store->count; i++) {
        const so_view *view = view_of(a, i);
        const char *data = view ? view->data : NULL;
        for (size_t at = 0; data && at < view->bytes && !atomic_load(&a->stop); at += PIECE)
            so_prefault(data + at, view->bytes - at < PIECE ? view->bytes - at : PIECE);
    }
    return NULL;
}

void so_ahead_begin(so_ahead **out, const so_store *store, const so_views *source)
{
    pthread_attr_t attributes;
    size_t bytes = 0;
    *out = NULL;
    so_ahead *a = calloc(1, sizeof *a);
    if (!a) return;
    *a = (so_ahead){.store = store, .source = source};
    for (int64_t i = 0; i < store->count; i++) bytes += view_of(a, i) ? view_of(a, i)->bytes : 0;
    bool fits = bytes && so_memory_free() > bytes + bytes / 8;
    if (!fits || pthread_attr_init(&attributes) != 0) {
        free(a);
        return;
    }
    pthread_attr_setstacksize(&attributes, STACK);
    if (pthread_create(&a->thread, &attributes, read_all, a) == 0)
        *out = a;
    else
        free(a);
    pthread_attr_destroy(&attributes);
}

void so_ahead_wait(so_ahead *a)
{
    if (a && !a->joined) a->joined = pthread_join(a->thread, NULL) == 0;
}

void so_ahead_end(so_ahead **ahead)
{
    if (!*ahead) return;
    atomic_store(&(*ahead)->stop, true);
    so_ahead_wait(*ahead);
    free(*ahead);
    *ahead = NULL;
}
