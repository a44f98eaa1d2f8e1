/* Training by the settings of a file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recipes/run/training.h"
#include "so.h"
#include "train/progress.h"

/* ---- what a portion learns from */

so_status so_run_portion_make(const so_run *run, so_batches *batches, so_run_place at, so_arena *memory,
                              so_run_portion *out, so_error *error)
{
    int64_t from;
    *out = (so_run_portion){.place = at};
    SO_TRY(so_batches_plan(batches, at.step, error));
    int64_t items = so_batches_portion(batches, at.slot, at.portion, &from, &out->more);
    so_sample *s = so_arena_alloc(memory, (size_t)(items + 1) * sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)items);
    out->sample = s;
    for (int64_t i = 0; i < items; i++) {
        const so_batch_item *item = &batches->item[from + i];
        const so_run_set *set = &run->set[run->source_set[item->place.source]];
        bool fits;
        SO_TRY(so_run_sample(run, set, item->place.index, item->g, memory, &s[out->n], &fits, error));
        out->rows += item->rows;
        out->n += fits;
        out->left_out += !fits;
    }
    return SO_OK;
}

static so_status gather(void *context, so_micro *micro, so_arena *memory, const so_sample **samples, int64_t *n,
                        so_error *error)
{
    so_run *run = context;
    so_run_place at = {micro->step, micro->player, micro->index, micro->portion};
    so_run_portion made;
    const so_run_portion *p = &made;
    SO_TRY(so_batches_plan(&run->batches, micro->step, error));
    if (run->ahead)
        SO_TRY(so_run_ahead_take(run->ahead, at, &p, error));
    else
        SO_TRY(so_run_portion_make(run, &run->batches, at, memory, &made, error));
    *samples = p->sample;
    *n = p->n;
    micro->more = p->more;
    for (int64_t i = 0; i < p->left_out; i++) so_notes_add(micro->notes, "left_out", 1, 1);
    /* Each row weighs the same in an update, however they are dealt. */
    double share = run->batches.rows ? (double)p->rows / (double)run->batches.rows : 0;
    micro->weight = share * run->batches.options.slots;
    return SO_OK;
}

so_sample_source so_run_source(so_run *run) { return (so_sample_source){.context = run, .gather = gather}; }

so_tensor *so_run_lesson(so_run *run, so_lesson *lesson, so_pass *pass, so_micro *micro)
{
    return run->codec ? so_run_codec_micro(run, &lesson->source, pass, micro) : so_lesson_micro(lesson, pass, micro);
}

so_tensor *so_run_micro(void *context, so_pass *pass, so_micro *micro)
{
    so_run *run = context;
    if (run->lora.count)
        *run->lora.seed = ((uint64_t)micro->step * 256 + (uint64_t)micro->index) * 4096 + (uint64_t)micro->portion +
                          micro->seed * 0x9e3779b97f4a7c15u;
    so_tensor *loss = so_run_lesson(run, &run->lesson, pass, micro);
    if (loss && so_ok(pass) && micro->player == 0) so_run_guard_look(run, micro, (double)so_data(loss)[0]);
    return loss;
}

/* ---- what learns */

static so_status join(so_string *out, const char *word, so_error *error)
{
    if (out->size) SO_TRY(so_string_put(out, ",", error));
    return so_string_put(out, word, error);
}

/* The weights stay as they are stored; adapters beside the matrices of the groups learn. */
static so_status learn_adapters(so_run *run, so_error *error)
{
    const so_run_config *c = &run->config;
    so_string groups = {0}, targets = {0};
    so_status status = so_store_learn(&run->store, NULL, false, error);
    for (int i = 0; i < SO_STAGE_GROUPS && run->stage.learns[i].group && status == SO_OK; i++)
        status = join(&groups, run->stage.learns[i].group, error);
    for (int i = 0; i < c->lora.targets.n && status == SO_OK; i++)
        status = join(&targets, c->lora.targets.item[i], error);
    so_lora_options how = {(int)c->lora.rank, c->lora.alpha, targets.data, c->lora.dropout};
    if (status == SO_OK) status = so_lora_make(&run->lora, &run->store, groups.data, &how, (uint64_t)c->seed, error);
    so_string_clear(&groups);
    so_string_clear(&targets);
    if (status != SO_OK) return so_fail_in(error, "lora");
    so_group_rule rule = {"lora", 1, 1};
    for (int i = 0; i < c->optim.group_rates; i++)
        if (strcmp(c->optim.group_rate[i].name, "lora") == 0) rule.rate = c->optim.group_rate[i].value;
    for (int i = 0; i < c->optim.group_decays; i++)
        if (strcmp(c->optim.group_decay[i].name, "lora") == 0) rule.decay = c->optim.group_decay[i].value;
    SO_TRY(so_store_learn(&run->lora.store, NULL, true, error));
    SO_TRY(so_optim_open(&run->optim, &run->stage.adamw, error));
    return so_optim_add(&run->optim, &run->lora.store, &rule, 1, error);
}

so_status so_run_learn(so_run *run, so_error *error)
{
    if (run->config.lora.rank) return learn_adapters(run, error);
    SO_TRY(so_stage_ready(&run->stage, run->codec ? so_run_codec_store(run) : &run->store, &run->optim, error));
    so_store *judges = so_run_codec_judges(run);
    if (!judges) return SO_OK;
    SO_TRY(so_store_learn(judges, NULL, true, error));
    SO_TRY(so_optim_open(&run->against, &run->stage.adamw, error));
    return so_optim_add(&run->against, judges, NULL, 0, error);
}

/* ---- the run's papers */

static so_status write_file(const so_run *run, const char *name, const so_string *text, so_error *error)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/%s", run->folder, name);
    return so_file_write(path, text->data ? text->data : "", text->size, error);
}

static so_status write_papers(const so_run *run, so_error *error)
{
    so_string config = {0}, lock = {0};
    so_status status = so_string_put(&config, "# resolved by stream-omni " SO_VERSION "\n", error);
    if (status == SO_OK) status = so_run_config_print(&run->config, &config, error);
    if (status == SO_OK) status = so_run_data_lock(run, &lock, error);
    if (status == SO_OK) status = write_file(run, "config.toml", &config, error);
    if (status == SO_OK) status = write_file(run, "data.lock", &lock, error);
    so_string_clear(&config);
    so_string_clear(&lock);
    return status;
}

/* What a checkpoint must have been begun with. */
static so_status settings(const so_run *run, so_string *out, so_error *error)
{
    char line[1200];
    snprintf(line, sizeof line, "model %.900s\n", run->config.model);
    SO_TRY(so_string_put(out, line, error));
    SO_TRY(so_run_config_settings(&run->config, out, error));
    return so_run_data_settings(run, out, error);
}

/* ---- the loop */

static void tell(void *context, const so_progress *p)
{
    const so_run *run = context;
    char line[900];
    so_progress_line(p, run->config.name, line, sizeof line);
    so_run_say(run, "%s", line);
}

static int64_t warmup_steps(const so_run *run)
{
    double warmup = run->stage.warmup;
    return (int64_t)(warmup < 1 ? warmup * (double)run->steps : warmup);
}

static so_status loop(so_run *run, const char *begun, so_error *error)
{
    const so_run_config *c = &run->config;
    bool measures = false;
    for (int i = 0; i < run->sets; i++) measures = measures || run->set[i].eval;
    so_trainer trainer = {.plan = {.steps = run->steps,
                                   .seconds = c->plan.hours * 3600,
                                   .anneal_by_time = strcmp(c->plan.anneal, "time") == 0,
                                   .accumulate = (int)c->plan.slots,
                                   .ranks = run->ranks,
                                   .patience = (double)c->ranks.watchdog,
                                   .seed = (uint64_t)c->seed,
                                   .schedule = {run->stage.shape, run->stage.rate, run->stage.floor, warmup_steps(run)},
                                   .report_every = c->log.every,
                                   .evaluate_every = c->evaluate.every.steps,
                                   .save_every = c->save.every.steps,
                                   .save_seconds = c->save.every.seconds,
                                   .keep = (int)c->save.keep,
                                   .save_now = !c->save.async,
                                   .settings = begun,
                                   .folder = run->folder,
                                   .tensorboard = c->log.tensorboard},
                          .hooks = {.context = run,
                                    .micro = so_run_micro,
                                    .evaluate = measures ? so_run_measure : NULL,
                                    .updated = run->codec ? so_run_codec_updated : NULL,
                                    .progress = tell,
                                    .stop = run->options->stop},
                          .player = {&run->optim, &run->against},
                          .players = so_run_players(run)};
    trainer.extra = so_run_codec_extra(run, &trainer.extras);
    return so_trainer_run(&trainer, run->pool, run->learning, error);
}

static so_status train_and_keep(so_run *run, const char *begun, so_error *error)
{
    SO_TRY(loop(run, begun, error));
    if (!so_run_first(run)) return SO_OK;
    if (so_run_ahead_waited(run->ahead) > 10)
        so_run_say(run, "reading: training waited %.0f s for samples", so_run_ahead_waited(run->ahead));
    if (run->stage.adamw.average > 0) so_optim_swap(&run->optim);
    SO_TRY(so_run_measure_best(run, error));
    SO_TRY(so_run_keep(run, error));
    if (run->lora.count)
        so_run_say(run, "the adapters are in %s/adapter (ask --model %s --lora %s/adapter)", run->folder,
                   run->config.model, run->folder);
    else
        so_run_say(run, "the model is in %s/model", run->folder);
    return SO_OK;
}

/* Without a checkpoint, what an earlier run in this folder found best is nothing to this one; then true. */
static bool begin_anew(const so_run *run)
{
    static const char *const names[] = {"best.safetensors", "spikes.jsonl", "files.lock"};
    char path[1100];
    snprintf(path, sizeof path, "%s/checkpoint.so", run->folder);
    if (access(path, F_OK) == 0) return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", run->folder, names[i]);
        remove(path);
    }
    return true;
}

so_status so_run_train(so_run *run, so_error *error)
{
    so_string begun = {0};
    SO_TRY(so_run_learn(run, error));
    SO_TRY(so_run_guard_open(run, error));
    SO_TRY(so_run_measure_open(run, error));
    SO_TRY(so_run_ahead_open(run, error));
    run->lesson.source = so_run_source(run);
    if (so_run_first(run)) {
        bool anew = begin_anew(run);
        SO_TRY(so_run_data_verify(run, error));
        SO_TRY(so_run_files(run, !anew, error));
        SO_TRY(write_papers(run, error));
    }
    so_status status = settings(run, &begun, error);
    if (status == SO_OK) status = train_and_keep(run, begun.data, error);
    so_string_clear(&begun);
    return status;
}
