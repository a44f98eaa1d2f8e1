/* Measuring while training, on sets that are never learnt; and the weights that were best.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "recipes/run/training.h"

struct so_run_best {
    double value; /* of what is asked for; NAN: not measured yet */
    bool most;    /* the larger the better */
    so_lesson lesson;
    const so_run *run;
    const so_run_set *set; /* being measured */
    int64_t at, end, limit;
};

static bool wanted(const so_run *run, const so_run_set *set)
{
    const so_run_list *list = &run->config.evaluate.sets;
    if (!set->eval) return false;
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->item[i], set->data->name) == 0) return true;
    return list->n == 0;
}

static so_status check_names(const so_run *run, so_error *error)
{
    const so_run_list *list = &run->config.evaluate.sets;
    int sets = 0;
    for (int k = 0; k < run->sets; k++) sets += wanted(run, &run->set[k]);
    for (int i = 0; i < list->n; i++) {
        bool found = false;
        for (int k = 0; k < run->sets; k++)
            found = found || (run->set[k].eval && strcmp(run->set[k].data->name, list->item[i]) == 0);
        if (!found)
            return so_fail(error, SO_ERR_ARG, "evaluate.sets: no [[data]] with split = \"eval\" is called '%s'",
                           list->item[i]);
    }
    if (run->config.evaluate.best && !sets)
        return so_fail(error, SO_ERR_ARG, "evaluate.best needs a [[data]] with split = \"eval\"");
    return SO_OK;
}

/* The next portion of the set that is being measured. */
static so_status gather(void *context, so_micro *micro, so_arena *memory, const so_sample **samples, int64_t *n,
                        so_error *error)
{
    struct so_run_best *b = context;
    const so_run *run = b->run;
    int64_t rows = 0, most = b->end - b->at;
    so_sample *s = so_arena_alloc(memory, (size_t)(most + 1) * sizeof *s);
    *samples = s;
    *n = 0;
    micro->weight = 1;
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)most);
    for (; b->at < b->end; b->at++) {
        int64_t i = b->at * b->set->count / b->limit, next = so_run_rows(run, b->set, i);
        bool fits;
        if (rows && rows + next > run->config.plan.rows) break;
        SO_TRY(so_run_sample(run, b->set, i, i, memory, &s[*n], &fits, error));
        rows += next;
        *n += fits;
    }
    return SO_OK;
}

so_status so_run_measure_open(so_run *run, so_error *error)
{
    const char *best = run->config.evaluate.best;
    SO_TRY(check_names(run, error));
    struct so_run_best *b = run->best = calloc(1, sizeof *b);
    if (!b) return so_fail(error, SO_ERR_NOMEM, "no memory for measurements");
    *b = (struct so_run_best){.value = (double)NAN, .run = run, .lesson = run->lesson};
    b->most = best && strlen(best) > 6 && strcmp(best + strlen(best) - 6, "_right") == 0;
    b->lesson.source = (so_sample_source){.context = b, .gather = gather};
    return SO_OK;
}

void so_run_measure_close(so_run *run)
{
    free(run->best);
    run->best = NULL;
}

/* ---- the best weights */

static void best_path(const so_run *run, char path[1100]) { snprintf(path, 1100, "%s/best.safetensors", run->folder); }

static so_status keep_best(const so_run *run, double value, int64_t step, so_error *error)
{
    char path[1100], text[64];
    so_safetensors_writer *w;
    best_path(run, path);
    SO_TRY(so_safetensors_create(&w, path, error));
    snprintf(text, sizeof text, "%.17g", value);
    so_status status = so_safetensors_set(w, "value", text, error);
    snprintf(text, sizeof text, "%lld", (long long)step);
    if (status == SO_OK) status = so_safetensors_set(w, "step", text, error);
    for (int64_t i = 0; i < run->optim.count && status == SO_OK; i++) {
        const so_tensor *t = &run->optim.param[i].weight->tensor;
        status = so_safetensors_declare(w, t->name, SO_F32, t->n_dims, t->dim, error);
    }
    for (int64_t i = 0; i < run->optim.count && status == SO_OK; i++) {
        const so_tensor *t = &run->optim.param[i].weight->tensor;
        status = so_safetensors_put(w, t->name, t->data, (size_t)so_count(t) * sizeof(float), error);
    }
    if (status == SO_OK) return so_safetensors_commit(&w, error);
    so_safetensors_drop(&w);
    return status;
}

so_status so_run_measure_best(so_run *run, so_error *error)
{
    char path[1100];
    so_safetensors *file;
    best_path(run, path);
    if (!run->config.evaluate.best || access(path, F_OK) != 0) return SO_OK;
    SO_TRY(so_safetensors_open(&file, path, error));
    const so_views *views = so_safetensors_views(file);
    so_status status = SO_OK;
    for (int64_t i = 0; i < run->optim.count && status == SO_OK; i++) {
        so_tensor *t = &run->optim.param[i].weight->tensor;
        const so_view *v = so_views_find(views, t->name);
        if (!v || v->type != SO_F32 || so_view_elements(v) != so_count(t))
            status = so_fail(error, SO_ERR_FORMAT, "'%s' has no '%s' of the model's size", path, t->name);
        else
            memcpy(t->data, v->data, v->bytes);
    }
    so_safetensors_close(&file);
    return status;
}

/* The value that was best so far, from the file of it where the run goes on. */
static void remember(so_run *run)
{
    char path[1100];
    so_safetensors *file;
    so_error ignored;
    best_path(run, path);
    if (!isnan(run->best->value) || access(path, F_OK) != 0) return;
    if (so_safetensors_open(&file, path, &ignored) != SO_OK) return;
    const char *value = so_safetensors_metadata(file, "value");
    if (value) run->best->value = strtod(value, NULL);
    so_safetensors_close(&file);
}

static so_status look(so_run *run, int64_t step, const so_notes *notes, so_error *error)
{
    const char *name = run->config.evaluate.best;
    if (!name || !so_run_first(run)) return SO_OK;
    double value = so_notes_mean(notes, name);
    if (isnan(value))
        return so_fail(error, SO_ERR_ARG,
                       "evaluate.best: nothing measured is called '%s'; expected NAME.loss or another "
                       "number of the line EVALUATION",
                       name);
    if (step > 0) remember(run);
    double had = run->best->value;
    if (!isnan(had) && !(run->best->most ? value > had : value < had)) return SO_OK;
    run->best->value = value;
    return keep_best(run, value, step, error);
}

/* ---- measuring */

static so_status measure_set(so_run *run, const so_run_set *set, so_pass *pass, so_notes *out, so_error *error)
{
    struct so_run_best *b = run->best;
    so_notes notes = {0};
    double sum = 0, weight = 0;
    b->set = set;
    b->at = 0;
    b->end = b->limit = set->count < run->config.evaluate.records ? set->count : run->config.evaluate.records;
    while (b->at < b->end) {
        so_micro micro = {.notes = &notes, .weight = 1};
        size_t mark = so_arena_mark(pass->arena);
        so_rng_init(&micro.rng, 1, (uint64_t)b->at);
        so_tensor *loss = so_run_lesson(run, &b->lesson, pass, &micro);
        if (so_ok(pass) && loss) {
            sum += (double)so_data(loss)[0] * (double)micro.tokens;
            weight += (double)micro.tokens;
        }
        so_arena_release(pass->arena, mark);
        if (so_ok(pass)) continue;
        *error = pass->error;
        return error->status;
    }
    char name[64];
    snprintf(name, sizeof name, "%.20s.loss", set->data->name);
    if (weight > 0) so_notes_add(out, name, sum / weight, 1);
    for (int i = 0; i < notes.count; i++) {
        snprintf(name, sizeof name, "%.16s.%.14s", set->data->name, notes.note[i].name);
        so_notes_add(out, name, so_note_mean(&notes.note[i]), 1);
    }
    return SO_OK;
}

so_status so_run_measure(void *context, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    so_run *run = context;
    for (int i = 0; i < run->sets; i++)
        if (wanted(run, &run->set[i])) SO_TRY(measure_set(run, &run->set[i], pass, notes, error));
    return look(run, step, notes, error);
}
