/* Files that records point to: pictures, units, recordings. What a run began with is listed in <out>/files.lock, and a
 * run that goes on looks whether they are still the same, by size and time of change.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recipes/run/training.h"

enum { LOCK_MOST = 1 << 30 };

/* What is being listed: every path once. */
typedef struct listing {
    so_names seen;
    so_arena memory; /* of their texts */
    so_string out;
    const so_run_set *set;
} listing;

static so_status put_file(listing *l, const so_locator *at, so_error *error)
{
    struct stat st;
    uint64_t scene;
    char head[100];
    if (!at->path || so_locator_scene(at, &scene) || strpbrk(at->path, "\n\r")) return SO_OK;
    if (so_names_find(&l->seen, so_span_of(at->path)) >= 0) return SO_OK;
    if (stat(at->path, &st) != 0)
        return so_fail(error, SO_ERR_MISSING, "data '%s': there is no '%s'", l->set->data->name, at->path);
    char *copy = so_arena_alloc(&l->memory, strlen(at->path) + 1);
    if (!copy) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of files");
    strcpy(copy, at->path);
    SO_TRY(so_names_add(&l->seen, so_span_of(copy), error));
    snprintf(head, sizeof head, "%s\t%lld\t%lld.%09ld\t", l->set->data->name, (long long)st.st_size,
             (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    SO_TRY(so_string_put(&l->out, head, error));
    SO_TRY(so_string_put(&l->out, copy, error));
    return so_string_put(&l->out, "\n", error);
}

/* What the set's task reads of a record. */
static so_status put_record(listing *l, const so_record *r, so_error *error)
{
    const so_run_task *task = l->set->task;
    for (int i = 0; i < r->images && !task->sound && (task->picture || !task->spoken); i++)
        SO_TRY(put_file(l, &r->image[i], error));
    for (int i = 0; i < r->turns && (task->spoken || task->sound); i++) SO_TRY(put_file(l, &r->turn[i].units, error));
    for (int i = 0; i < r->turns && task->sound; i++) SO_TRY(put_file(l, &r->turn[i].audio, error));
    return SO_OK;
}

static so_status list_all(const so_run *run, listing *l, so_error *error)
{
    for (int k = 0; k < run->sets; k++) {
        const so_run_set *set = l->set = &run->set[k];
        for (int64_t i = 0; i < set->count; i++) {
            so_record r;
            SO_TRY(so_dataset_read(set->dataset, set->record[i], &r, error));
            so_status status = put_record(l, &r, error);
            so_record_clear(&r);
            SO_TRY(status);
        }
    }
    return SO_OK;
}

static so_status write_list(const so_run *run, const char *path, so_error *error)
{
    listing l = {.set = NULL};
    so_arena_grow(&l.memory);
    so_status status = list_all(run, &l, error);
    if (status == SO_OK) status = so_file_write(path, l.out.data ? l.out.data : "", l.out.size, error);
    so_names_clear(&l.seen);
    so_arena_clear(&l.memory);
    so_string_clear(&l.out);
    return status;
}

/* One line: "name TAB size TAB seconds.nanoseconds TAB path". */
static so_status compare(const char *line, so_error *error)
{
    struct stat st;
    char name[64], seconds[64];
    long long size;
    int path;
    if (sscanf(line, "%63[^\t]\t%lld\t%63[^\t]\t%n", name, &size, seconds, &path) != 3)
        return so_fail(error, SO_ERR_FORMAT, "a line of files.lock is none: '%.60s'", line);
    if (stat(line + path, &st) != 0)
        return so_fail(error, SO_ERR_FORMAT, "data '%s': '%s' was there when the run began and is not any more", name,
                       line + path);
    char now[64];
    snprintf(now, sizeof now, "%lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    if ((long long)st.st_size == size && strcmp(now, seconds) == 0) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT,
                   "data '%s': '%s' was changed since the run began (%lld bytes then, %lld now%s): restore it, begin "
                   "in another folder, or go on all the same with check_files = false",
                   name, line + path, size, (long long)st.st_size,
                   (long long)st.st_size == size ? ", another time of change" : "");
}

static so_status compare_list(const char *path, so_error *error)
{
    char *text;
    size_t size;
    SO_TRY(so_file_read(path, LOCK_MOST, &text, &size, error));
    so_status status = SO_OK;
    for (char *line = text, *end; *line && status == SO_OK; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = 0;
        status = compare(line, error);
    }
    free(text);
    return status;
}

so_status so_run_files(const so_run *run, bool goes_on, so_error *error)
{
    char path[1100];
    if (!run->config.check_files) return SO_OK;
    snprintf(path, sizeof path, "%s/files.lock", run->folder);
    if (goes_on && access(path, F_OK) == 0) return compare_list(path, error);
    return write_list(run, path, error);
}
