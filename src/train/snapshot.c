/* Copies of where a run stands, and a thread that writes them.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "train/snapshot.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/grow.h"
#include "train/courier.h"
#include "train/settings.h"

/* A checkpoint in memory. */
typedef struct copy {
    char *name;
    void *data;
    size_t bytes;
} copy;
typedef struct copies {
    copy *copy;
    int64_t n, capacity;
} copies;

struct so_snapshot {
    const so_trainer *trainer;
    char *path;
    copies own, first; /* this process's file; of the first rank, the one that names all */
    char *own_path;
    int64_t step; /* of what is under way */
    bool under_way, joined;
    pthread_t thread;
    atomic_int state;
    so_error error;
};

static int size_of(const so_snapshot *k) { return k->trainer->plan.ranks ? k->trainer->plan.ranks->size : 1; }
static int rank_of(const so_snapshot *k) { return k->trainer->plan.ranks ? k->trainer->plan.ranks->rank : 0; }

/* ---- copies */

/* Room for a block, to be filled. */
static so_status add_room(copies *c, const char *name, size_t bytes, char **room, so_error *error)
{
    SO_TRY(so_grow(&c->copy, c->n, &c->capacity, sizeof *c->copy, error));
    copy *new = &c->copy[c->n];
    *new = (copy){strdup(name), malloc(bytes + 1), bytes};
    if (!new->name || !new->data) {
        free(new->name);
        free(new->data);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a copy of %zu bytes of a checkpoint", bytes);
    }
    c->n++;
    *room = new->data;
    return SO_OK;
}

static so_status add(copies *c, const char *name, const void *data, size_t bytes, so_error *error)
{
    char *room;
    SO_TRY(add_room(c, name, bytes, &room, error));
    if (bytes) memcpy(room, data, bytes);
    return SO_OK;
}

static void clear(copies *c)
{
    for (int64_t i = 0; i < c->n; i++) {
        free(c->copy[i].name);
        free(c->copy[i].data);
    }
    free(c->copy);
    *c = (copies){0};
}

static so_status write_copies(const copies *c, const char *path, so_error *error)
{
    so_saver saver;
    so_status status = so_saver_open(&saver, path, error);
    for (int64_t i = 0; i < c->n && status == SO_OK; i++)
        status = so_saver_put(&saver, c->copy[i].name, c->copy[i].data, c->copy[i].bytes, error);
    if (status == SO_OK) status = so_saver_commit(&saver, error);
    so_saver_drop(&saver);
    return status;
}

/* What belongs to the run as a whole. */
static so_status copy_run(const so_trainer *t, copies *c, so_error *error)
{
    char *settings, name[256];
    so_standing now = so_standing_of(t);
    SO_TRY(add(c, "standing", &now, sizeof now, error));
    SO_TRY(so_settings_of(&t->plan, &settings, error));
    so_status status = add(c, "settings", settings, strlen(settings), error);
    free(settings);
    for (int i = 0; i < t->extras && status == SO_OK; i++) {
        snprintf(name, sizeof name, "extra.%s", t->extra[i].name);
        status = add(c, name, t->extra[i].data, t->extra[i].bytes, error);
    }
    return status;
}

/* ---- parts */

const char *const so_part_kind[SO_PART_KINDS] = {"weight", "m", "v", "average"};

so_real *so_part_array(const so_optim *o, int64_t piece, int kind)
{
    const so_piece *p = &o->piece[piece];
    const so_param *q = &o->param[p->param];
    if (kind == 0) return so_data(&q->weight->tensor) + p->from;
    if (kind == 3) return q->average ? q->average + p->from : NULL;
    return so_optim_moment(o, piece, kind - 1);
}

int so_part_kinds(const so_optim *o) { return o->adamw.average > 0 ? SO_PART_KINDS : SO_PART_KINDS - 1; }

so_status so_part_path(const char *checkpoint, int64_t step, int64_t rank, int64_t ranks, char **path, so_error *error)
{
    size_t n = strlen(checkpoint);
    if (n > 3 && strcmp(checkpoint + n - 3, ".so") == 0) n -= 3;
    *path = malloc(n + 80);
    if (!*path) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    snprintf(*path, n + 80, "%.*s-%lld-%lld-of-%lld.so", (int)n, checkpoint, (long long)step, (long long)rank,
             (long long)ranks);
    return SO_OK;
}

void so_snapshot_sweep(const char *path, int64_t keep, int64_t below)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    size_t folder = slash ? (size_t)(slash - path) : 0, n = strlen(file);
    if (n > 3 && strcmp(file + n - 3, ".so") == 0) n -= 3;
    char *name = malloc(folder + 300);
    if (!name) return;
    snprintf(name, folder + 300, "%.*s", folder ? (int)folder : 1, folder ? path : ".");
    DIR *dir = opendir(name);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        long long at, rank, ranks;
        int end = 0;
        if (strncmp(e->d_name, file, n) != 0 || e->d_name[n] != '-') continue;
        if (sscanf(e->d_name + n + 1, "%lld-%lld-of-%lld.so%n", &at, &rank, &ranks, &end) != 3 || !end) continue;
        if (e->d_name[n + 1 + (size_t)end] != 0 || at == keep || at >= below) continue;
        snprintf(name, folder + 300, "%.*s/%.255s", folder ? (int)folder : 1, folder ? path : ".", e->d_name);
        unlink(name);
    }
    if (dir) closedir(dir);
    free(name);
}

/* What this rank updates of one player's arrays of one kind. */
static so_status copy_mine(copies *c, const so_optim *o, const char *name, int kind, so_error *error)
{
    char *to;
    size_t bytes = 0;
    for (int64_t i = 0; i < o->mines; i++) bytes += (size_t)o->piece[o->mine[i]].count * sizeof(so_real);
    SO_TRY(add_room(c, name, bytes, &to, error));
    for (int64_t i = 0; i < o->mines; i++) {
        const so_piece *p = &o->piece[o->mine[i]];
        size_t n = (size_t)p->count * sizeof(so_real);
        memcpy(to, so_part_array(o, o->mine[i], kind), n);
        to += n;
    }
    return SO_OK;
}

static so_status copy_part(so_snapshot *k, so_error *error)
{
    const so_trainer *t = k->trainer;
    so_part_head head = {
        .step = t->step, .rank = rank_of(k), .ranks = size_of(k), .pieces = t->player[0]->pieces, .seed = t->plan.seed};
    SO_TRY(add(&k->own, "part", &head, sizeof head, error));
    for (int p = 0; p < t->players; p++)
        for (int kind = 0; kind < so_part_kinds(t->player[p]); kind++) {
            char name[40];
            snprintf(name, sizeof name, "%d.%s", p, so_part_kind[kind]);
            SO_TRY(copy_mine(&k->own, t->player[p], name, kind, error));
        }
    if (head.rank) return SO_OK;
    SO_TRY(copy_run(t, &k->first, error));
    return add(&k->first, "parts", &head.ranks, sizeof head.ranks, error);
}

static so_status copy_whole(so_snapshot *k, so_error *error)
{
    const so_trainer *t = k->trainer;
    SO_TRY(copy_run(t, &k->own, error));
    for (int p = 0; p < t->players; p++) {
        const so_optim *o = t->player[p];
        /* A process alone holds all: the arrays of a weight's first piece are those of the weight. */
        for (int64_t i = 0; i < o->pieces; i++)
            for (int kind = 0; kind < so_part_kinds(o) && o->piece[i].from == 0; kind++) {
                const so_param *q = &o->param[o->piece[i].param];
                char name[1100];
                snprintf(name, sizeof name, "%d.%s.%s", p, so_part_kind[kind], q->weight->tensor.name);
                SO_TRY(add(&k->own, name, so_part_array(o, i, kind), (size_t)q->count * sizeof(so_real), error));
            }
    }
    return SO_OK;
}

/* ---- the thread */

static void *write_own(void *context)
{
    so_snapshot *k = context;
    so_status status = write_copies(&k->own, k->own_path, &k->error);
    atomic_store(&k->state, status == SO_OK ? SO_SNAPSHOT_WRITTEN : SO_SNAPSHOT_FAILED);
    return NULL;
}

static void forget(so_snapshot *k)
{
    if (k->under_way && !k->joined) pthread_join(k->thread, NULL);
    clear(&k->own);
    clear(&k->first);
    free(k->own_path);
    k->own_path = NULL;
    k->under_way = k->joined = false;
    atomic_store(&k->state, SO_SNAPSHOT_NOTHING);
}

so_status so_snapshot_open(so_snapshot **out, const so_trainer *trainer, const char *path, so_error *error)
{
    *out = NULL;
    so_snapshot *k = calloc(1, sizeof *k);
    char *copied = strdup(path);
    if (!k || !copied) {
        free(k);
        free(copied);
        return so_fail(error, SO_ERR_NOMEM, "no memory for checkpoints");
    }
    k->trainer = trainer;
    k->path = copied;
    *out = k;
    return SO_OK;
}

void so_snapshot_close(so_snapshot **keeper)
{
    so_snapshot *k = *keeper;
    if (!k) return;
    forget(k);
    free(k->path);
    free(k);
    *keeper = NULL;
}

static so_status take_copies(so_snapshot *k, so_error *error)
{
    if (size_of(k) == 1) {
        k->own_path = strdup(k->path);
        if (!k->own_path) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
        return copy_whole(k, error);
    }
    SO_TRY(so_part_path(k->path, k->trainer->step, rank_of(k), size_of(k), &k->own_path, error));
    return copy_part(k, error);
}

so_status so_snapshot_begin(so_snapshot *k, so_error *error)
{
    sigset_t all, before;
    if (k->under_way) return so_fail(error, SO_ERR_STATE, "a checkpoint is still being written");
    k->step = k->trainer->step;
    so_status status = take_copies(k, error);
    if (status != SO_OK) {
        forget(k);
        return status;
    }
    k->error = (so_error){0};
    atomic_store(&k->state, SO_SNAPSHOT_WRITING);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the others' affair */
    int failed = pthread_create(&k->thread, NULL, write_own, k);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    k->under_way = true;
    k->joined = failed != 0;
    if (failed) write_own(k); /* without a thread it is written now */
    return SO_OK;
}

so_snapshot_stage so_snapshot_state(so_snapshot *k) { return (so_snapshot_stage)atomic_load(&k->state); }

so_status so_snapshot_wait(so_snapshot *k, so_error *error)
{
    if (!k->under_way) return SO_OK;
    if (!k->joined) pthread_join(k->thread, NULL);
    k->joined = true;
    return so_snapshot_state(k) == SO_SNAPSHOT_WRITTEN ? SO_OK : so_fail(error, k->error.status, "%s", k->error.text);
}

so_status so_snapshot_commit(so_snapshot *k, so_error *error)
{
    if (!k->under_way) return SO_OK;
    so_status status = so_snapshot_wait(k, error);
    if (status == SO_OK && k->first.n) status = write_copies(&k->first, k->path, error);
    /* Others may be writing the next one by now. */
    if (status == SO_OK && rank_of(k) == 0) so_snapshot_sweep(k->path, -1, k->step);
    forget(k);
    return status;
}
