/* What a run would take on other machines (train/cost.h), and on this one.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recipes/run/training.h"
#include "train/cost.h"

/* The published model's sizes (docs/model.md). */
static const so_omni_config published = {
    .llama = {.width = 4096, .heads = 32, .kv_heads = 8, .head_width = 128, .ff = 14336},
    .bottom = 3,
    .backbone = 32,
    .top = 5,
    .text_rows = 128256,
    .audio_rows = 132352,
    .speech = true,
    .vision = true,
    .siglip = {.width = 1152, .heads = 16, .ff = 4304, .layers = 26, .image = 384, .patch = 14},
};

/* ---- "gpus=64,mfu=0.35" */

typedef struct wish {
    so_cost_machine machine;
    so_cost_rows rows;
    double records, given; /* records of the run; whether rows were given */
    bool published;
} wish;

static so_status take_number(wish *w, const char *name, double x, so_error *error)
{
    const struct {
        const char *name;
        double *field;
    } known[] = {{"peak", &w->machine.peak}, {"mfu", &w->machine.share}, {"link", &w->machine.link},
                 {"wire", &w->machine.wire}, {"records", &w->records},   {"rows", &w->rows.backbone},
                 {"units", &w->rows.bottom}, {"answers", &w->rows.top},  {"pictures", &w->rows.pictures}};
    if (strcmp(name, "gpus") == 0 || strcmp(name, "node") == 0) {
        if (!(x >= 1 && x <= 1e6) || x != floor(x))
            return so_fail(error, SO_ERR_ARG, "--plan: %s is %g, expected a whole number", name, x);
        *(name[0] == 'g' ? &w->machine.gpus : &w->machine.node) = (int)x;
        return SO_OK;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        *known[i].field = x;
        w->given += i > 4;
        return SO_OK;
    }
    return so_fail(
        error, SO_ERR_ARG,
        "--plan: nothing is called '%.40s'; there are gpus, node, peak, mfu, link, wire, records, rows, units, "
        "answers, pictures, shape",
        name);
}

static so_status parse(const char *text, wish *w, so_error *error)
{
    *w = (wish){.machine = so_cost_h800()};
    while (*text) {
        char name[48], *end;
        size_t n = strcspn(text, ",");
        const char *equals = memchr(text, '=', n);
        if (!equals || equals == text || (size_t)(equals - text) >= sizeof name)
            return so_fail(error, SO_ERR_ARG, "--plan: '%.*s' is not NAME=VALUE", (int)(n < 60 ? n : 60), text);
        snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
        if (strcmp(name, "shape") == 0) {
            w->published = n - (size_t)(equals + 1 - text) == 9 && memcmp(equals + 1, "published", 9) == 0;
            if (!w->published) return so_fail(error, SO_ERR_ARG, "--plan: shape is 'published', or left out");
        } else {
            double x = strtod(equals + 1, &end);
            if (end == equals + 1 || end != text + n || !(x > 0) || !isfinite(x))
                return so_fail(error, SO_ERR_ARG, "--plan: %s is '%.*s', expected a number above 0", name,
                               (int)(text + n - equals - 1), equals + 1);
            SO_TRY(take_number(w, name, x, error));
        }
        text += n + (text[n] == ',');
    }
    return SO_OK;
}

/* ---- what a record of the run is, on average */

static void add_rows(const so_run *run, const so_sample *s, so_cost_rows *sum)
{
    int64_t prompt = 0;
    bool speaks = false;
    for (int64_t i = 0; i < s->n; i++) {
        prompt += s->ids[i] != SO_PICTURE_ID;
        speaks = speaks || (run->units && s->ids[i] >= run->first_unit && s->ids[i] < run->first_unit + run->units);
    }
    double spoken = speaks || s->n_units ? (double)(prompt + s->n_units) : 0;
    sum->backbone += (double)(s->n + s->n_text + s->pictures * (run->patches - 1));
    sum->bottom += spoken;
    sum->top += s->n_units ? spoken : 0;
    sum->pictures += (double)s->pictures;
}

static so_status mean_rows(so_run *run, so_cost_rows *out, so_error *error)
{
    enum { LOOKED_AT = 256 };
    int64_t n = run->samples && run->samples < LOOKED_AT ? run->samples : LOOKED_AT;
    so_arena memory = {0};
    so_status status = SO_OK;
    *out = (so_cost_rows){0};
    so_arena_grow(&memory);
    run->blind = true;
    for (int64_t g = 0; g < n && status == SO_OK; g++) {
        so_order_place at = so_order_at(&run->order, g);
        so_sample s;
        bool fits;
        status = so_run_sample(run, &run->set[run->source_set[at.source]], at.index, g, &memory, &s, &fits, error);
        if (status == SO_OK && fits) add_rows(run, &s, out);
        so_arena_release(&memory, 0);
    }
    run->blind = false;
    so_arena_clear(&memory);
    out->backbone /= (double)n;
    out->bottom /= (double)n;
    out->top /= (double)n;
    out->pictures /= (double)n;
    return status;
}

/* Records of an update and of the run. */
static void count_records(const so_run *run, double *batch, double *records)
{
    *batch = (double)run->batches.n;
    *records = run->samples ? (double)run->samples : *batch * (double)run->steps;
    if (*batch * (double)run->steps < *records) *records = *batch * (double)run->steps;
}

/* ---- telling */

static void tell(const so_run *run, const wish *w, const so_cost *c, double records, double batch)
{
    so_cost_time t;
    so_cost learning = *c;
    const so_cost_machine *m = &w->machine;
    learning.frozen = 0;
    so_cost_run(&learning, m, records, batch, &t);
    double hours = t.seconds / 3600, all;
    so_cost_run(c, m, records, batch, &t);
    all = t.seconds / 3600;
    so_run_say(run, "a record: %.4g rows of the language model, %.4g of the bottom layers, %.4g of the top layers",
               w->rows.backbone, w->rows.bottom, w->rows.top);
    so_run_say(run, "work: %.3g operations, %.3g with layers computed again, and %.2g in frozen parts",
               records * (c->forward + c->back), records * (c->forward + c->back + c->again), records * c->frozen);
    so_run_say(run,
               "%d GPUs of %.4g TFLOP/s at %.0f %%: %.3g hours (%.3g with the frozen parts), %.0f updates of %.3g s",
               m->gpus, m->peak * 1e-12, m->share * 100, hours, all, ceil(records / batch), t.compute);
    so_run_say(run, "memory a GPU: %.3g to %.3g GB for weights, gradients (bf16 to f32) and moments, and activations",
               t.least * 1e-9, t.most * 1e-9);
    so_run_say(run,
               "gradients: %.3g GB an update in bf16; %.2g s within a machine, %.2g s between machines, of %.3g s that "
               "may hide them",
               2 * c->learning * 1e-9, t.within, t.between, t.compute);
}

so_status so_run_plan(so_run *run, so_error *error)
{
    wish w;
    so_cost cost;
    double batch, records;
    SO_TRY(parse(run->options->plan, &w, error));
    SO_TRY(so_batches_plan(&run->batches, 0, error));
    count_records(run, &batch, &records);
    if (!w.given) SO_TRY(mean_rows(run, &w.rows, error));
    if (w.records > 0) records = w.records;
    so_cost_of(w.published ? &published : &run->net.config, &run->stage, &w.rows, run->config.memory.checkpoint, &cost);
    tell(run, &w, &cost, records, batch);
    return SO_OK;
}

bool so_run_plan_alone(const so_run *run)
{
    const char *plan = run->options->plan;
    return plan && strstr(plan, "shape=published") && strstr(plan, "records=");
}

so_status so_run_plan_published(so_run *run, so_error *error)
{
    wish w;
    so_cost cost;
    const so_run_config *c = &run->config;
    SO_TRY(parse(run->options->plan, &w, error));
    so_run_config_stage(c, &run->stage);
    double batch = (double)c->plan.batch_records;
    if (c->plan.batch_rows) batch = (double)c->plan.batch_rows / (w.rows.backbone + w.rows.bottom);
    if (c->plan.batch_units) batch = (double)c->plan.batch_units / (w.rows.bottom > 0 ? w.rows.bottom : 1);
    if (!w.given || !(batch > 0) || !isfinite(batch))
        return so_fail(error, SO_ERR_ARG,
                       "--plan: without data it needs rows of a record: rows=, units=, answers=, pictures=");
    so_cost_of(&published, &run->stage, &w.rows, c->memory.checkpoint, &cost);
    tell(run, &w, &cost, w.records, batch);
    return SO_OK;
}

/* ---- this machine */

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Only the shortest sample of the plan is left. */
static void leave_shortest(so_batches *b)
{
    for (int64_t i = 1; i < b->n; i++)
        if (b->item[i].rows < b->item[0].rows) b->item[0] = b->item[i];
    b->item[0].slot = b->item[0].portion = 0;
    b->n = 1;
    b->rows = b->item[0].rows;
}

/* Seconds, and those of all processors. */
typedef struct spent {
    double seconds, worked;
} spent;

static spent spent_since(spent from)
{
    return (spent){now(CLOCK_MONOTONIC) - from.seconds, now(CLOCK_PROCESS_CPUTIME_ID) - from.worked};
}

/* One portion there and back, and an update that changes nothing; the memory that the portion took. */
static so_status try_portion(so_run *run, spent *portion, spent *update, double *bytes, so_error *error)
{
    so_arena arena;
    so_pass pass = {0};
    so_notes notes = {0};
    SO_TRY(so_arena_reserve(&arena, (size_t)64 << 30, error));
    spent from = spent_since((spent){0, 0});
    for (int player = 0; player < so_run_players(run) && so_ok(&pass); player++) {
        so_micro micro = {.notes = &notes, .weight = 1, .player = player};
        so_rng_init(&micro.rng, (uint64_t)run->config.seed, 0);
        so_arena_release(&arena, 0);
        so_pass_init(&pass, &arena, run->pool, run->learning);
        pass.recording = true;
        so_tensor *loss = so_run_micro(run, &pass, &micro);
        if (loss && so_ok(&pass)) so_backward(&pass, loss, 1);
    }
    *portion = spent_since(from);
    *bytes = (double)arena.peak;
    from = spent_since((spent){0, 0});
    so_optim_update(&run->optim, run->pool, 0, so_optim_norm(&run->optim, run->pool));
    *update = spent_since(from);
    so_arena_clear(&arena);
    if (so_ok(&pass)) return SO_OK;
    *error = pass.error;
    return error->status;
}

/* Bytes of memory that this process has in use, pages of files that it has read among them; 0: nobody tells. */
static double resident(void)
{
    long all, here = 0;
    FILE *memory = fopen("/proc/self/statm", "re");
    if (!memory) return 0;
    bool told = fscanf(memory, "%ld %ld", &all, &here) == 2;
    fclose(memory);
    return told ? (double)here * (double)sysconf(_SC_PAGESIZE) : 0;
}

/* Makes the samples of a portion, often enough to tell how long it takes: seconds of processors each time, and bytes.
 */
static so_status try_reading(const so_run *run, so_batches *batches, double *worked, double *bytes, so_error *error)
{
    static const double ENOUGH = 0.1;
    enum { MOST = 50 };
    so_arena memory = {0};
    so_run_portion portion;
    so_status status = SO_OK;
    spent from = spent_since((spent){0, 0}), so_far = {0};
    int n = 0;
    so_arena_grow(&memory);
    for (; n < MOST && so_far.worked < ENOUGH && status == SO_OK; n++) {
        so_arena_release(&memory, 0);
        status = so_run_portion_make(run, batches, (so_run_place){0}, &memory, &portion, error);
        so_far = spent_since(from);
    }
    *worked = so_far.worked / (n ? n : 1);
    *bytes = (double)memory.peak;
    so_arena_clear(&memory);
    return status;
}

/* What a portion takes. */
typedef struct portion_memory {
    double activations, samples; /* its samples are among the activations, once */
} portion_memory;

/* Bytes of a process: weights as they lie in memory, of what learns gradients, moments and averages, too; sums of slots
 * that wait in the tree; activations; a copy that is being saved; samples that are made ahead; and all else that the
 * process holds by now: itself, what it has read of the model's file, corpora, the tokenizer. */
static void tell_memory(const so_run *run, portion_memory portion)
{
    double frozen = 0, learning = 4.0 * (double)(so_optim_parameters(&run->optim) + so_optim_parameters(&run->against));
    double waiting = 0, average = run->stage.adamw.average > 0;
    const so_store *store = run->codec ? so_run_codec_store(run) : &run->store;
    for (int64_t i = 0; i < store->count; i++) {
        const so_tensor *t = &store->weight[i]->tensor;
        if (!t->wants_grad) frozen += (double)so_type_bytes(t->type, so_count(t));
    }
    int alone = run->options->ranks > 1 ? run->options->ranks : 1;
    for (int slots = 1; slots * alone < run->batches.options.slots; slots *= 2) waiting += learning;
    double learns = (2 + 2.0 / alone + average) * learning; /* weights, gradients, a share of two moments, averages */
    double saved = run->config.save.async ? (3 + average) * learning / alone : 0; /* without gradients */
    double ahead = SO_RUN_AHEAD * portion.samples, rest = resident() - frozen - (4 + average) * learning;
    if (rest < 0) rest = 0;
    so_run_say(run,
               "memory: %.3g GB: frozen weights %.3g, what learns %.3g, sums of slots %.3g, activations of a portion "
               "%.3g, a copy that is being saved %.3g, samples made ahead %.3g, the program and what it has read %.3g",
               (frozen + learns + waiting + portion.activations + saved + ahead + rest) * 1e-9, frozen * 1e-9,
               learns * 1e-9, waiting * 1e-9, portion.activations * 1e-9, saved * 1e-9, ahead * 1e-9, rest * 1e-9);
}

so_status so_run_plan_here(so_run *run, so_error *error)
{
    static const double MOST = 2e12; /* operations that are tried out */
    so_cost cost;
    so_cost_rows rows;
    double batch, records, bytes;
    spent portion, update;
    SO_TRY(so_batches_plan(&run->batches, 0, error));
    count_records(run, &batch, &records);
    SO_TRY(mean_rows(run, &rows, error));
    so_cost_of(&run->net.config, &run->stage, &rows, run->config.memory.checkpoint, &cost);
    double work = cost.forward + cost.back + cost.again + cost.frozen;
    so_run_say(run, "work: %.3g operations a record, %.3g an update, %.3g in all", work, work * batch, work * records);
    if (!run->batches.n) return SO_OK;
    bool more;
    int64_t from, all = run->batches.rows, n = so_batches_portion(&run->batches, 0, 0, &from, &more), part = 0;
    for (int64_t i = 0; i < n; i++) part += run->batches.item[i].rows;
    bool one = work * batch * (double)part / (double)all > MOST;
    if (one) {
        leave_shortest(&run->batches);
        part = run->batches.rows;
    }
    so_status status = try_portion(run, &portion, &update, &bytes, error);
    double reading = 0;
    portion_memory taken = {.activations = bytes};
    if (status == SO_OK) status = try_reading(run, &run->batches, &reading, &taken.samples, error);
    run->batches.update = -1;
    SO_TRY(status);
    double scale = (double)all / (double)part, steps = (double)run->steps / 3600;
    double seconds = portion.seconds * scale + update.seconds, worked = portion.worked * scale + update.worked;
    so_run_say(
        run,
        "here: %lld rows took %.3g s there and back (%.3g s of processors)%s: an update %.3g s, the run %.3g hours "
        "(%.3g of processors) with %d threads; their samples are read and made in %.3g s of processors, %.3g times as "
        "fast",
        (long long)part, portion.seconds, portion.worked, one ? ", one short sample" : "", seconds, seconds * steps,
        worked * steps, so_pool_threads(run->pool), reading,
        (portion.worked - reading) / (reading > 1e-9 ? reading : 1e-9));
    tell_memory(run, taken);
    return SO_OK;
}
