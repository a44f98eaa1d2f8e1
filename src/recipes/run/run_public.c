/* The face of a run from a file towards programs: include/so_recipes.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "recipes/run/training.h"

enum { FILE_MOST = SO_TOML_MOST };

void so_run_say(const so_run *run, const char *format, ...)
{
    char line[1400];
    va_list args;
    if (!run->options->say || !so_run_first(run)) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    run->options->say(run->options->say_context, line);
}

const char *so_train_file_key(int i, const char **about)
{
    const so_run_key *key = so_run_key_at(i);
    if (key && about) *about = key->about;
    return key ? key->name : NULL;
}

const char *so_train_file_task(int i, const char **about)
{
    const so_run_task *task = so_run_task_at(i);
    if (task && about) *about = task->about;
    return task ? task->name : NULL;
}

/* ---- one process of the run */

static so_status open_all(so_run *run, so_error *error)
{
    const so_train_file_options *o = run->options;
    int threads = o->threads, among = o->ranks > 1 ? o->ranks : 1;
    if (!threads && among > 1) threads = (int)sysconf(_SC_NPROCESSORS_ONLN) / among;
    if (among > 1 && threads < 1) threads = 1;
    SO_TRY(so_pool_open(&run->pool, threads, error));
    SO_TRY(so_run_open(run, error));
    SO_TRY(so_run_data_open(run, error));
    if (o->order) return so_run_show_order(run, o->step, error);
    if (o->plan) return so_run_plan(run, error);
    return o->dry ? so_run_dry(run, error) : so_run_train(run, error);
}

static so_status work(void *context, so_ranks *ranks, so_error *error)
{
    so_run *run = context;
    run->ranks = ranks;
    so_status status = open_all(run, error);
    so_run_close(run);
    so_pool_close(&run->pool);
    return status;
}

/* Corpora are read by one, while the others wait. */
static so_status prepare(so_run *run, so_error *error)
{
    if (so_run_first(run)) SO_TRY(so_run_index(run, error));
    return run->ranks ? run->ranks->gather(run->ranks, NULL, NULL, 0, error) : SO_OK;
}

/* Processes of this machine; where one is lost all begin again at the last checkpoint, as often as the settings say. */
static so_status run_ranks(so_run *run, so_error *error)
{
    const so_train_file_options *o = run->options;
    for (int64_t again = 0;; again++) {
        so_ranks_watch watch = {.stop = o->stop};
        so_status status = so_ranks_run(o->ranks, work, run, &watch, error);
        if (status == SO_OK || !watch.lost || again == run->config.ranks.restarts) return status;
        so_run_say(run, "%s; it goes on from its checkpoint (%lld of %lld)", error ? error->text : "a rank was lost",
                   (long long)again + 1, (long long)run->config.ranks.restarts);
    }
}

static so_status run_locked(so_run *run, so_error *error)
{
    const so_train_file_options *o = run->options;
    so_lock lock = {0};
    char path[1100], what[1100];
    SO_TRY(so_make_folder(run->folder, error));
    snprintf(path, sizeof path, "%s/lock", run->folder);
    snprintf(what, sizeof what, "the folder '%s'", run->folder);
    if (so_run_first(run)) SO_TRY(so_lock_take(&lock, path, what, error));
    so_status status = prepare(run, error);
    bool forks = !run->ranks && o->ranks > 1 && !o->dry && !o->order && !o->plan;
    if (status == SO_OK) status = forks ? run_ranks(run, error) : work(run, run->ranks, error);
    so_lock_release(&lock);
    return status;
}

/* ---- the settings */

static so_status read_settings(so_run *run, so_error *error)
{
    const so_train_file_options *o = run->options;
    so_run_text text = {.name = o->file, .set = o->set, .sets = o->sets};
    so_string notes = {0};
    char *file;
    SO_TRY(so_file_read(o->file, FILE_MOST, &file, &text.size, error));
    text.text = file;
    so_status status = so_run_config_read(&run->config, &text, &notes, error);
    free(file);
    for (char *line = notes.data, *end; status == SO_OK && line && *line; line = end + 1) {
        end = line + strcspn(line, "\n");
        *end = 0;
        so_run_say(run, "%s", line);
    }
    so_string_clear(&notes);
    if (status == SO_OK) snprintf(run->folder, sizeof run->folder, "%s", run->config.out);
    return status;
}

static so_status choose_kernels(so_run *run, so_error *error)
{
    SO_TRY(so_kernels_choose(&run->kernels, error));
    run->learning = run->kernels;
    if (strcmp(run->config.memory.type, "bf16") == 0 && run->kernels->train_bf16)
        run->learning = run->kernels->train_bf16;
    return SO_OK;
}

static so_status train_file(so_run *run, so_error *error)
{
    SO_TRY(read_settings(run, error));
    if (so_run_plan_alone(run)) return so_run_plan_published(run, error);
    SO_TRY(choose_kernels(run, error));
    if (so_ranks_launched()) SO_TRY(so_ranks_mpi(&run->ranks, error));
    SO_TRY(run_locked(run, error));
    so_ranks_close(&run->ranks);
    return SO_OK;
}

so_status so_train_file(const so_train_file_options *options, so_error *error)
{
    if (!options || !options->file) return so_fail(error, SO_ERR_ARG, "no options, or no file of settings");
    if (options->sets < 0 || (options->sets && !options->set) || options->ranks < 0 || options->ranks > SO_RANKS_MOST)
        return so_fail(error, SO_ERR_ARG, "%d settings, %d ranks", options->sets, options->ranks);
    so_run *run = calloc(1, sizeof *run);
    if (!run) return so_fail(error, SO_ERR_NOMEM, "no memory for a run");
    run->options = options;
    so_status status = train_file(run, error);
    so_run_config_close(&run->config);
    free(run);
    return status;
}
