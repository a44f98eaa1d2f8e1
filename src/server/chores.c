/* Work for a few threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/chores.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct chore {
    so_chore_fn work, done;
    void *subject;
    struct chore *next;
} chore;

typedef struct row {
    chore *first, *last;
} row;

struct so_chores {
    pthread_mutex_t lock;
    pthread_cond_t news;
    row waiting, ended;
    bool stop;
    void (*wake)(void *context);
    void *context;
    int threads;
    pthread_t thread[64];
};

static void append(row *r, chore *c)
{
    c->next = NULL;
    if (r->last)
        r->last->next = c;
    else
        r->first = c;
    r->last = c;
}

static chore *take(row *r)
{
    chore *c = r->first;
    if (!c) return NULL;
    r->first = c->next;
    if (!r->first) r->last = NULL;
    return c;
}

static void *work(void *context)
{
    so_chores *all = context;
    pthread_mutex_lock(&all->lock);
    while (!all->stop) {
        chore *c = take(&all->waiting);
        if (!c) {
            pthread_cond_wait(&all->news, &all->lock);
            continue;
        }
        pthread_mutex_unlock(&all->lock);
        c->work(c->subject);
        pthread_mutex_lock(&all->lock);
        append(&all->ended, c);
        pthread_mutex_unlock(&all->lock);
        all->wake(all->context);
        pthread_mutex_lock(&all->lock);
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

so_status so_chores_open(so_chores **out, int threads, void (*wake)(void *context), void *context, so_error *error)
{
    so_chores *all = calloc(1, sizeof *all);
    *out = NULL;
    if (!all) return so_fail(error, SO_ERR_NOMEM, "no memory for threads");
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->news, NULL);
    all->wake = wake;
    all->context = context;
    if (threads > 64) threads = 64;
    while (all->threads < threads && pthread_create(&all->thread[all->threads], NULL, work, all) == 0) all->threads++;
    if (all->threads == 0) {
        so_chores_close(&all);
        return so_fail(error, SO_ERR_IO, "no thread can be started");
    }
    *out = all;
    return SO_OK;
}

void so_chores_close(so_chores **chores)
{
    if (!chores || !*chores) return;
    so_chores *all = *chores;
    pthread_mutex_lock(&all->lock);
    all->stop = true;
    pthread_cond_broadcast(&all->news);
    pthread_mutex_unlock(&all->lock);
    for (int i = 0; i < all->threads; i++) pthread_join(all->thread[i], NULL);
    for (chore *c; (c = take(&all->waiting)) != NULL;) append(&all->ended, c);
    so_chores_collect(all);
    pthread_mutex_destroy(&all->lock);
    pthread_cond_destroy(&all->news);
    free(all);
    *chores = NULL;
}

int so_chores_put(so_chores *all, so_chore_fn fn, so_chore_fn done, void *subject)
{
    chore *c = malloc(sizeof *c);
    if (!c) return 0;
    *c = (chore){fn, done, subject, NULL};
    pthread_mutex_lock(&all->lock);
    append(&all->waiting, c);
    pthread_cond_signal(&all->news);
    pthread_mutex_unlock(&all->lock);
    return 1;
}

void so_chores_collect(so_chores *all)
{
    pthread_mutex_lock(&all->lock);
    row ended = all->ended;
    all->ended = (row){NULL, NULL};
    pthread_mutex_unlock(&all->lock);
    for (chore *c; (c = take(&ended)) != NULL;) {
        c->done(c->subject);
        free(c);
    }
}
