/* The data of a run: corpora indexed, opened, mixed, cut into updates.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset/readers/readers.h"
#include "dataset/tabletop/tabletop_dataset.h"
#include "recipes/run/training.h"
#include "recipes/tabletop/tt_dataset.h"

enum { PATH = 4096, LOOKED_AT = 64 /* records that are rendered to learn how long they are */ };

/* ---- corpora that are no folders of records */

static bool is_records(const char *path)
{
    char name[PATH + 16];
    snprintf(name, sizeof name, "%s/records.idx", path);
    return access(name, F_OK) == 0;
}

/* Whether records are made while they are read: of the tabletop world, or of what its recipe left. */
static bool is_made(const char *path) { return so_tabletop_stream_is(path) || so_tt_dataset_is(path); }

static so_status open_made(const so_run_set *set, so_dataset **out, so_error *error)
{
    const char *path = set->data->path;
    so_tabletop_stream_options stream;
    if (!so_tabletop_stream_is(path)) return so_tt_dataset_open(out, path, set->eval, error);
    SO_TRY(so_tabletop_stream_parse(path, &stream, error));
    stream.part = set->eval ? SO_TABLETOP_RESERVED : SO_TABLETOP_TRAIN;
    return so_tabletop_stream_open(out, &stream, error);
}

/* Where the records of a corpus lie. */
static void records_of(const so_run *run, const so_run_data *data, char path[PATH])
{
    if (is_records(data->path))
        snprintf(path, PATH, "%s", data->path);
    else
        snprintf(path, PATH, "%s/data/%s", run->config.out, data->name);
}

/* What a corpus looked like when it was indexed: another file of that name is indexed anew. */
static so_status describe(const so_run_data *data, char **text, so_error *error)
{
    struct stat st = {0};
    if (!strchr(data->path, '{') && stat(data->path, &st) != 0)
        return so_fail(error, SO_ERR_MISSING, "data '%s': there is no '%s'", data->name, data->path);
    int n = asprintf(text, "%s\nformat %s\nimages %s\n%lld bytes, changed %lld.%09ld\n", data->path,
                     data->format ? data->format : "-", data->images ? data->images : "-", (long long)st.st_size,
                     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return n > 0 ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a path");
}

static bool indexed(const char *folder, const char *looks)
{
    char path[PATH + 32], *text = NULL;
    size_t size;
    so_error ignored;
    snprintf(path, sizeof path, "%s/indexed.txt", folder);
    bool same = is_records(folder) && so_file_read(path, 1 << 16, &text, &size, &ignored) == SO_OK;
    same = same && strcmp(text, looks) == 0;
    free(text);
    return same;
}

static so_status read_corpus(const so_run *run, const so_run_data *data, const char *folder, so_error *error)
{
    so_sink *sink = NULL;
    so_sink_options check = {.stop = run->options->stop, .threads = run->options->threads};
    so_read_options how = {.format = data->format, .root = data->images, .seed = (uint64_t)run->config.seed};
    json_t *about = json_array();
    so_status status;
    SO_TRY_GO(so_sink_open(&sink, folder, &check, error));
    SO_TRY_GO(so_read_corpus(data->path, &how, sink, error));
    json_array_append_new(about, json_pack("{s:s}", "path", data->path));
    SO_TRY_GO(so_sink_commit(sink, about, error));
    const so_sink_counts *c = so_sink_counts_of(sink);
    so_run_say(run, "data '%s': %lld records, %lld left out%s%s%s", data->name, (long long)c->records,
               (long long)c->all_bad, c->all_bad ? ", named in " : "", c->all_bad ? folder : "",
               c->all_bad ? "/bad.jsonl" : "");
done:
    so_sink_close(&sink);
    json_decref(about);
    return status == SO_OK ? SO_OK : so_fail_in(error, "data '%s'", data->name);
}

static so_status index_one(const so_run *run, const so_run_data *data, so_error *error)
{
    char folder[PATH], path[PATH + 32], *looks = NULL;
    records_of(run, data, folder);
    if (is_records(data->path) || is_made(data->path)) return SO_OK;
    SO_TRY(describe(data, &looks, error));
    so_status status = SO_OK;
    if (!indexed(folder, looks)) {
        status = so_make_folder(folder, error);
        if (status == SO_OK) status = read_corpus(run, data, folder, error);
        snprintf(path, sizeof path, "%s/indexed.txt", folder);
        if (status == SO_OK) status = so_file_write(path, looks, strlen(looks), error);
    }
    free(looks);
    return status;
}

so_status so_run_index(so_run *run, so_error *error)
{
    for (int i = 0; i < run->config.n_data; i++) SO_TRY(index_one(run, &run->config.data[i], error));
    return SO_OK;
}

/* ---- which records are used */

static bool fits_task(const so_run *run, const so_run_task *task, const so_lengths *l)
{
    if (task->sound) return l->ms > 0 && (l->units > 0 || !so_run_codec_wants_units(run));
    if (task->picture && !l->images) return false;
    if (so_run_matches(run) && l->images != 1) return false;
    if ((task->question || task->answer) && !l->units) return false;
    /* A question about a picture that is not shown has no answer. */
    if (task->spoken && task->question && !task->picture && task->name[0] != 'a' && l->images) return false;
    return task->name[0] == 'a' || l->answers > 0; /* all but "asr" answer something */
}

/* Whether record i of a set is left to learn from: an answer in speech, where the task or the network needs one. */
static bool has_answer(const so_run *run, const so_run_set *set, int64_t i)
{
    const so_dataset *d = set->dataset;
    bool voice = set->task->sound && so_run_codec_voice(run);
    return !d->answers || !(set->task->answer || voice) || d->answers(d, i);
}

/* "first:N", "end:N", "random:N", "N", a share "p%": from .. and how many of n; *random: drawn. */
static so_status parse_take(const char *take, int64_t n, int64_t *from, int64_t *count, bool *random, so_error *error)
{
    const char *number = strchr(take, ':') ? strchr(take, ':') + 1 : take;
    char *end;
    *from = 0;
    *count = n;
    *random = false;
    if (strcmp(take, "all") == 0) return SO_OK;
    double x = strtod(number, &end);
    bool share = *end == '%' && end[1] == 0, last = strncmp(take, "end:", 4) == 0;
    *random = strncmp(take, "random:", 7) == 0;
    bool known = number == take || last || *random || strncmp(take, "first:", 6) == 0;
    if (!known || end == number || (!share && *end) || !(x > 0) || (share && x > 100) || x > 1e15)
        return so_fail(error, SO_ERR_ARG,
                       "take is \"%.60s\", expected all, first:N, end:N, random:N, N or a share as 10%%", take);
    double exact = share ? ceil(x / 100 * (double)n - 1e-9) : floor(x);
    if (exact < (double)n) *count = (int64_t)exact;
    if (last) *from = n - *count;
    return SO_OK;
}

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static so_status choose_records(const so_run *run, so_run_set *set, so_error *error)
{
    int64_t n = set->dataset->count, usable = 0, from, count;
    bool random;
    if (n > INT32_MAX) return so_fail(error, SO_ERR_LIMIT, "%lld records, expected up to 2^31", (long long)n);
    int32_t *all = malloc((size_t)(n + 1) * sizeof *all), *taken = malloc((size_t)(n + 1) * sizeof *taken);
    so_status status = all && taken ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %lld records", (long long)n);
    for (int64_t i = 0; i < n && status == SO_OK; i++)
        if (fits_task(run, set->task, &set->dataset->lengths[i]) && has_answer(run, set, i)) all[usable++] = (int32_t)i;
    set->lacking = n - usable;
    if (status == SO_OK)
        status = parse_take(set->data->take ? set->data->take : "all", usable, &from, &count, &random, error);
    if (status == SO_OK) {
        uint64_t key = (uint64_t)run->config.seed * 0x9e3779b97f4a7c15u + 0x74616b65u;
        for (int64_t i = 0; i < count; i++) taken[i] = all[random ? so_shuffled(key, i, usable) : from + i];
        if (count) qsort(taken, (size_t)count, sizeof *taken, by_number);
        set->record = taken;
        set->count = count;
        taken = NULL;
    }
    free(all);
    free(taken);
    return status;
}

static so_status nothing(const so_run *run, const so_run_set *set, so_error *error)
{
    const so_run_task *task = set->task;
    bool units = false;
    for (int64_t i = 0; i < set->dataset->count; i++) units = units || set->dataset->lengths[i].units;
    if ((task->question || task->answer || (task->sound && so_run_codec_wants_units(run))) && !units)
        return so_fail(error, SO_ERR_MISSING,
                       "no record has speech units, which the task '%s' needs: make them once with 'stream-omni data "
                       "units %s -o DIR', and give that folder as path",
                       task->name, set->data->path);
    return so_fail(error, SO_ERR_MISSING, "of %lld records none has what the task '%s' needs (%s)",
                   (long long)set->dataset->count, task->name, task->about);
}

/* ---- how long samples are */

/* Rows by the lengths alone, before they are scaled. */
static double guess(const so_run *run, const so_run_set *set, const so_lengths *l)
{
    if (set->task->sound) return 1 + (double)l->ms / 40;
    double text = so_stage_weight(&run->stage, "text") > 0 ? 1 : 0;
    double pictures = (so_run_matches(run) ? 1 : text) * (double)l->images * (double)run->patches;
    return (double)l->text / 4 + 5.0 * l->turns + (double)(run->head.n + run->reply.n) +
           (set->task->spoken ? (1 + text) * (double)l->units : 0) + pictures;
}

int64_t so_run_rows(const so_run *run, const so_run_set *set, int64_t i)
{
    const so_lengths *l = &set->dataset->lengths[set->record[i]];
    double rows = guess(run, set, l) * (set->scale > 0 ? set->scale : 1);
    return rows > 1 ? (int64_t)rows : 1;
}

/* A few records are made into samples, spread over the set; their rows tell how long the others are. */
static so_status measure_set(so_run *run, so_run_set *set, so_error *error)
{
    so_arena memory = {0};
    double real = 0, guessed = 0;
    int64_t n = set->count < LOOKED_AT ? set->count : LOOKED_AT, found = 0;
    so_arena_grow(&memory);
    run->blind = true;
    so_status status = SO_OK;
    for (int64_t k = 0; k < n && status == SO_OK; k++) {
        so_sample s;
        bool fits;
        int64_t i = k * set->count / n;
        status = so_run_sample(run, set, i, i, &memory, &s, &fits, error);
        if (status != SO_OK) break;
        if (!fits && !s.n && !s.sound) continue; /* it lacks what the task needs */
        found++;
        real += (double)so_run_sample_rows(run, &s);
        guessed += guess(run, set, &set->dataset->lengths[set->record[i]]);
        so_arena_release(&memory, 0);
    }
    run->blind = false;
    if (status == SO_OK && n && !found)
        status =
            so_fail(error, SO_ERR_FORMAT, "of %lld records that were looked at none has an exchange for the task '%s'",
                    (long long)n, set->task->name);
    set->scale = guessed > 0 ? real / guessed : 1;
    so_arena_clear(&memory);
    return status;
}

/* ---- sets */

/* Whether the task has something for any loss of the stage. */
static so_status check_losses(const so_run *run, const so_run_set *set, so_error *error)
{
    char wanted[200] = "";
    if (set->eval) return SO_OK;
    for (int i = 0; i < SO_STAGE_LOSSES && run->stage.loss[i].name; i++) {
        const char *name = run->stage.loss[i].name;
        if (run->stage.loss[i].weight <= 0) continue;
        if (strstr(set->task->losses, name)) return SO_OK;
        snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%s", wanted[0] ? ", " : "", name);
    }
    return so_fail(error, SO_ERR_ARG,
                   "the task '%s' has nothing that the stage '%s' learns from (losses %s; the task has %s)",
                   set->task->name, run->stage.name, wanted, set->task->losses);
}

static so_status unknown_task(const so_run_data *data, so_error *error)
{
    char list[300] = "";
    for (int i = 0; so_run_task_at(i); i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", so_run_task_at(i)->name);
    return so_fail(error, SO_ERR_ARG, "no task is called '%.60s'; there are %s", data->task, list);
}

static so_status open_set(so_run *run, const so_run_data *data, so_run_set *set, so_error *error)
{
    char path[PATH];
    *set = (so_run_set){.data = data, .task = so_run_task_find(data->task)};
    set->eval = data->split && strcmp(data->split, "eval") == 0;
    if (!set->task) return unknown_task(data, error);
    if (set->task->sound != (run->codec != NULL))
        return so_fail(error, SO_ERR_ARG, "the stage '%s' learns from %s, the task is '%s'", run->stage.name,
                       run->codec ? "recordings (task \"recording\")" : "conversations", set->task->name);
    SO_TRY(check_losses(run, set, error));
    records_of(run, data, path);
    if (is_made(data->path))
        SO_TRY(open_made(set, &set->dataset, error));
    else if (is_records(path))
        SO_TRY(so_dataset_open(&set->dataset, path, error));
    else
        return so_fail(error, SO_ERR_MISSING, "there is no '%s'", data->path);
    SO_TRY(choose_records(run, set, error));
    if (set->count == 0) return nothing(run, set, error);
    return measure_set(run, set, error);
}

/* ---- order and plan */

static so_batch_size measure(void *context, const so_order_place *place)
{
    const so_run *run = context;
    const so_run_set *set = &run->set[run->source_set[place->source]];
    const so_lengths *l = &set->dataset->lengths[set->record[place->index]];
    so_batch_size size = {so_run_rows(run, set, place->index), 1};
    size.budget = run->config.plan.batch_units ? (l->units ? l->units : 1) : size.rows;
    return size;
}

so_status so_run_plan_open(so_run *run, so_data_order *order, so_batches *batches, so_error *error)
{
    const so_run_config *c = &run->config;
    int64_t count[SO_RUN_DATA];
    double weight[SO_RUN_DATA];
    for (int k = 0; k < run->sources; k++) {
        const so_run_set *set = &run->set[run->source_set[k]];
        count[k] = set->count;
        weight[k] = set->data->weight > 0   ? set->data->weight
                    : set->data->epochs > 0 ? set->data->epochs * (double)set->count
                                            : (double)set->count;
    }
    SO_TRY(so_order_open(order, (uint64_t)c->seed, run->sources, count, weight, error));
    return so_batches_open(batches, order,
                           &(so_batches_options){.records = c->plan.batch_records,
                                                 .budget = c->plan.batch_rows + c->plan.batch_units,
                                                 .total = run->samples,
                                                 .slots = (int)c->plan.slots,
                                                 .portion = c->plan.rows,
                                                 .measure = measure,
                                                 .context = run},
                           error);
}

static so_status plan(so_run *run, so_error *error)
{
    const so_run_config *c = &run->config;
    int64_t all = 0;
    double by_epochs = 0;
    for (int i = 0; i < run->sets; i++) {
        const so_run_set *set = &run->set[i];
        if (set->eval) continue;
        run->source_set[run->sources++] = i;
        all += set->count;
        by_epochs += set->data->epochs * (double)set->count;
    }
    double epochs = c->plan.epochs > 0 ? c->plan.epochs : c->plan.steps > 0 ? 0 : 1;
    run->samples = (int64_t)llround(by_epochs > 0 ? by_epochs : epochs * (double)all);
    SO_TRY(so_run_plan_open(run, &run->order, &run->batches, error));
    run->steps = c->plan.steps;
    if (!run->samples) return SO_OK;
    SO_TRY(so_batches_count(&run->batches, &run->steps, error));
    if (c->plan.steps > 0 && c->plan.steps < run->steps) run->steps = c->plan.steps;
    return SO_OK;
}

so_status so_run_data_open(so_run *run, so_error *error)
{
    for (int i = 0; i < run->config.n_data; i++) {
        so_status status = open_set(run, &run->config.data[i], &run->set[run->sets++], error);
        if (status != SO_OK) return so_fail_in(error, "data '%s'", run->config.data[i].name);
    }
    return plan(run, error);
}

void so_run_data_close(so_run *run)
{
    for (int i = 0; i < run->sets; i++) {
        so_dataset_close(&run->set[i].dataset);
        free(run->set[i].record);
    }
    run->sets = 0;
    so_batches_close(&run->batches);
    so_order_close(&run->order);
}

/* ---- what data it is */

so_status so_run_data_verify(const so_run *run, so_error *error)
{
    for (int i = 0; i < run->sets; i++) {
        so_status status = so_dataset_verify(run->set[i].dataset, error);
        if (status != SO_OK) return so_fail_in(error, "data '%s'", run->set[i].data->name);
    }
    return SO_OK;
}

so_status so_run_data_lock(const so_run *run, so_string *out, so_error *error)
{
    json_t *root = json_array();
    for (int i = 0; i < run->sets; i++) {
        const so_run_set *s = &run->set[i];
        json_array_append_new(root, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b}", "name", s->data->name, "path",
                                              s->data->path, "task", s->task->name, "identity", s->dataset->identity,
                                              "records", (json_int_t)s->dataset->count, "used", (json_int_t)s->count,
                                              "lacking", (json_int_t)s->lacking, "measured", s->eval));
    }
    char *text = json_dumps(root, JSON_INDENT(1));
    so_status status = text ? so_string_put(out, text, error) : so_fail(error, SO_ERR_NOMEM, "no memory for a list");
    free(text);
    json_decref(root);
    return status == SO_OK ? so_string_put(out, "\n", error) : status;
}

so_status so_run_data_settings(const so_run *run, so_string *out, so_error *error)
{
    for (int i = 0; i < run->sets; i++) {
        char line[200];
        const so_run_set *s = &run->set[i];
        if (s->eval) continue;
        snprintf(line, sizeof line, "data.%s.identity %.16s, %lld records\n", s->data->name, s->dataset->identity,
                 (long long)s->count);
        SO_TRY(so_string_put(out, line, error));
    }
    return SO_OK;
}
