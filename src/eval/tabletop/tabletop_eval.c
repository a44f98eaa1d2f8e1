/* Measuring a model on the tabletop world: lists of tasks, workers that do them, tables.
 *
 * Every worker has a model of one thread and a session of its own, and takes the next task.
 *
 * Source: the tabletop spec, "What is measured on the reserved part".
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/grow.h"
#include "eval/tabletop/tasks.h"

static const so_tabletop_mode modes[] = {
    {"V+T>T", true, false, 0, false},
    {"V+S>T", true, true, 0, false},
    {"V+S>S", true, true, SO_WANT_VOICE, false},
    {"V+S>U", true, true, SO_WANT_UNITS, false},
    {"T>T", false, false, 0, false},
    {"S>T", false, true, 0, false},
    {"S>S", false, true, SO_WANT_VOICE, false},
    {"S>U", false, true, SO_WANT_UNITS, false},
    {"say>S", false, false, SO_WANT_VOICE, true},
    {"say>U", false, false, SO_WANT_UNITS, true},
};
enum { MODES = sizeof modes / sizeof modes[0] };

static bool take_task(so_tabletop_work *all, const so_tabletop_task **t)
{
    pthread_mutex_lock(&all->lock);
    bool more = all->next < all->tasks && all->failure == SO_OK && !(all->options->stop && *all->options->stop);
    if (more) *t = &all->task[all->next++];
    pthread_mutex_unlock(&all->lock);
    return more;
}

static so_status work_on(so_tabletop_work *all, so_asker *w, so_error *error)
{
    const so_tabletop_task *t;
    SO_TRY(so_asker_open(w, all->options, all->mel, error));
    while (take_task(all, &t)) {
        if (so_tabletop_do(all, w, t, error) != SO_OK)
            return so_fail_in(error, "%s, %s, item %s", t->condition->name, t->mode->name,
                              t->item && t->item->id ? t->item->id : "without id");
        pthread_mutex_lock(&all->lock);
        all->done++;
        pthread_mutex_unlock(&all->lock);
    }
    return SO_OK;
}

static void *worker_main(void *context)
{
    so_tabletop_work *all = context;
    so_asker w = {0};
    so_error error = {0};
    so_status status = work_on(all, &w, &error);
    so_asker_close(&w);
    pthread_mutex_lock(&all->lock);
    if (status != SO_OK && all->failure == SO_OK) {
        all->failure = status;
        all->error = error;
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* ---- lists */

static so_status find_mode(const char *name, size_t length, const so_tabletop_mode **out, so_error *error)
{
    for (int i = 0; i < MODES; i++)
        if (strlen(modes[i].name) == length && strncmp(modes[i].name, name, length) == 0) {
            *out = &modes[i];
            return SO_OK;
        }
    return so_fail(error, SO_ERR_ARG,
                   "modes are V+T>T, V+S>T, V+S>S, V+S>U, T>T, S>T, S>S, S>U, say>S, say>U; found '%.*s'", (int)length,
                   name);
}

static so_status add_task(so_tabletop_work *all, const so_tabletop_task *t, so_error *error)
{
    size_t count = (size_t)all->tasks;
    SO_TRY(so_append(&all->task, &count, sizeof *t, t, 1, error));
    all->tasks = (int64_t)count;
    return SO_OK;
}

static bool is_asked(const so_condition *c, const so_tabletop_mode *m, const so_tabletop_item *item)
{
    if (c->kind != SO_CONDITION_OUTSIDE) return so_tabletop_fits(m, item);
    return m->hears && item->speech && (item->image != NULL) == m->sees && so_tabletop_declines(item->answer);
}

/* Items spread over the whole corpus, which is sorted by picture; *added of them. */
static so_status add_items(so_tabletop_work *all, const so_condition *c, const so_tabletop_mode *m, int64_t *added,
                           so_error *error)
{
    int64_t fitting = 0, seen = 0, n = 0;
    for (int64_t i = 0; i < all->corpus.count; i++) fitting += is_asked(c, m, &all->corpus.items[i]);
    int64_t most = all->options->items > 0 && all->options->items < fitting ? all->options->items : fitting;
    for (int64_t i = 0; i < all->corpus.count; i++) {
        if (!is_asked(c, m, &all->corpus.items[i])) continue;
        if (seen++ * most / fitting != n || n >= most) continue;
        SO_TRY(add_task(all, &(so_tabletop_task){c, m, &all->corpus.items[i], n}, error));
        n++;
    }
    *added = n;
    return SO_OK;
}

/* Conversations until every item was asked about once; at least one. */
static so_status add_conversations(so_tabletop_work *all, const so_condition *c, const so_tabletop_mode *m,
                                   so_error *error)
{
    int64_t items = all->options->items > 0 ? all->options->items : 500;
    int64_t turns = all->options->turns > 0 ? all->options->turns : SO_TABLETOP_LONG_TURNS;
    for (int64_t i = 0; i * turns < items; i++) SO_TRY(add_task(all, &(so_tabletop_task){c, m, NULL, i}, error));
    return SO_OK;
}

/* Made-up ones, and those of the corpus that are spoken. */
static so_status add_outside(so_tabletop_work *all, const so_condition *c, so_error *error)
{
    static const char *const names[] = {"T>T", "T>T", "T>T", "V+T>T", "S>T"}, *const spoken[] = {"S>T", "V+S>T"};
    int64_t items = all->options->items > 0 ? all->options->items : SO_TABLETOP_OUTSIDE_ITEMS, found;
    for (int64_t i = 0; i < items; i++) {
        const so_tabletop_mode *m = NULL;
        const char *name = names[i % 5];
        SO_TRY(find_mode(name, strlen(name), &m, error));
        SO_TRY(add_task(all, &(so_tabletop_task){c, m, NULL, i}, error));
    }
    for (int i = 0; i < 2; i++) {
        const so_tabletop_mode *m = NULL;
        SO_TRY(find_mode(spoken[i], strlen(spoken[i]), &m, error));
        SO_TRY(add_items(all, c, m, &found, error));
    }
    return SO_OK;
}

/* `asked`: the modes were named, and each must be there. */
static so_status add_mode(so_tabletop_work *all, const so_condition *c, const so_tabletop_mode *m, bool asked,
                          so_error *error)
{
    int64_t added = 0;
    bool clean = c == so_condition_at(0);
    if (c->kind == SO_CONDITION_LONG) return m->want || m->recites ? SO_OK : add_conversations(all, c, m, error);
    if (!clean && !m->hears) return SO_OK;
    SO_TRY(add_items(all, c, m, &added, error));
    return added || !asked ? SO_OK : so_fail(error, SO_ERR_MISSING, "the corpus has no item for %s", m->name);
}

static so_status add_condition(so_tabletop_work *all, const so_condition *c, so_error *error)
{
    const char *list = all->options->modes;
    bool only_clean = !all->options->conditions;
    if (c->kind == SO_CONDITION_OUTSIDE) return add_outside(all, c, error);
    if (!list) list = only_clean ? "V+T>T,V+S>T,S>T,V+S>S" : c->kind == SO_CONDITION_LONG ? "V+T>T,V+S>T" : "V+S>T,S>T";
    while (*list) {
        const so_tabletop_mode *m = NULL;
        size_t length = strcspn(list, ",");
        SO_TRY(find_mode(list, length, &m, error));
        SO_TRY(add_mode(all, c, m, only_clean || all->options->modes, error));
        list += length + (list[length] == ',');
    }
    return SO_OK;
}

static so_status list_tasks(so_tabletop_work *all, so_error *error)
{
    const char *list = all->options->conditions;
    if (!list) return add_condition(all, so_condition_at(0), error);
    for (int i = 0; strcmp(list, "all") == 0 && so_condition_at(i); i++)
        SO_TRY(add_condition(all, so_condition_at(i), error));
    while (*list && strcmp(list, "all") != 0) {
        size_t length = strcspn(list, ",");
        const so_condition *c = so_condition_find(list, length);
        if (!c)
            return so_fail(
                error, SO_ERR_ARG,
                "conditions are clean, before, behind, inside, quiet, offset, telephone, noise, hum, room, long, "
                "outside, or all; found '%.*s'",
                (int)length, list);
        SO_TRY(add_condition(all, c, error));
        list += length + (list[length] == ',');
    }
    return all->tasks ? SO_OK
                      : so_fail(error, SO_ERR_MISSING, "the corpus has no item for '%s'", all->options->conditions);
}

static so_status run_all(so_tabletop_work *all, int threads, so_error *error)
{
    pthread_t *thread = calloc((size_t)threads, sizeof *thread);
    int started = 0;
    if (!thread) return so_fail(error, SO_ERR_NOMEM, "no memory for %d workers", threads);
    for (; started < threads; started++) {
        if (pthread_create(&thread[started], NULL, worker_main, all) != 0) break;
    }
    for (bool busy = started > 0; busy;) {
        struct timespec pause = {0, 100000000};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&all->lock);
        busy = all->done < all->tasks && all->failure == SO_OK && !(all->options->stop && *all->options->stop);
        if (all->options->progress) all->options->progress(all->options->context, all->done, all->tasks);
        pthread_mutex_unlock(&all->lock);
    }
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    free(thread);
    if (started == 0) return so_fail(error, SO_ERR_NOMEM, "no thread could be started");
    if (all->failure != SO_OK && error) *error = all->error;
    return all->failure;
}

/* The scores of what was asked undisturbed, and where conditions were asked for, their table. */
static char *tables(const so_tabletop_work *all, bool json)
{
    char *scores = json ? so_tabletop_score_json(all->score) : so_tabletop_score_text(all->score), *both = NULL;
    if (!all->options->conditions || !scores) return scores;
    char *rows = json ? so_condition_table_json(all->table) : so_condition_table_text(all->table);
    if (rows && asprintf(&both, json ? "{\"scores\": %s, \"conditions\": %s}" : "%s%s", scores, rows) < 0) both = NULL;
    free(scores);
    free(rows);
    return both;
}

so_status so_eval_tabletop(const char *folder, const so_tabletop_eval_options *options, char **text, char **json,
                           so_error *error)
{
    if (!folder || !options) return so_fail(error, SO_ERR_ARG, "no folder, or no options");
    so_tabletop_work all = {.options = options, .lock = PTHREAD_MUTEX_INITIALIZER};
    so_status status;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    SO_TRY_GO(so_tabletop_open(&all.corpus, folder, error));
    SO_TRY_GO(so_tabletop_score_open(&all.score, error));
    SO_TRY_GO(so_condition_table_open(&all.table, error));
    SO_TRY_GO(so_mel_open(&all.mel, SO_MEL_VOCODER, error));
    SO_TRY_GO(list_tasks(&all, error));
    SO_TRY_GO(run_all(&all, options->threads > 0 ? options->threads : cores > 0 ? (int)cores : 1, error));
    if ((text && !(*text = tables(&all, false))) || (json && !(*json = tables(&all, true))))
        status = so_fail(error, SO_ERR_NOMEM, "no memory for tables");
done:
    so_condition_table_close(&all.table);
    free(all.task);
    so_mel_close(&all.mel);
    so_tabletop_score_close(&all.score);
    so_tabletop_close(&all.corpus);
    return status;
}
