/* From rows to ids. See engine/choose.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/choose.h"

#include <math.h>

#include "nn/ops.h"
#include "nn/screen.h"
#include "text/recite.h"

/* A head, what its rows reach (nn/screen.h; NULL: unknown), and the name of its logits. */
typedef struct head {
    so_tensor *w;
    const float *reach;
    const char *name;
} head;

static head head_of(const so_model *m, so_head which)
{
    switch (which) {
    case SO_HEAD_CTC:
        return (head){m->net.ctc_head, m->ctc_reach, "ctc"};
    case SO_HEAD_TEXT:
        return (head){m->net.text_head, m->text_reach, "text_logits"};
    default:
        return (head){m->net.unit_head, m->unit_reach, "unit_logits"};
    }
}

static so_token_logprob odd(const so_model *model, int32_t id, double logprob)
{
    size_t bytes;
    const char *text = so_tokenizer_piece(model->tokenizer, id, &bytes);
    return (so_token_logprob){.text = text, .bytes = bytes, .id = id, .logprob = (float)logprob};
}

static void note_odds(so_talk *talk, const so_real *z, int64_t n, int32_t chosen)
{
    so_odds *o = talk->odds;
    int32_t likely[SO_LIKELIEST];
    double top = (double)z[so_argmax(z, n)], sum = 0;
    if (o->n == o->capacity) return;
    for (int64_t i = 0; i < n; i++) sum += exp((double)z[i] - top);
    double all = top + log(sum);
    so_token_logprob *beside = o->likely + o->n * o->most, *c = &o->chosen[o->n++];
    int found = so_likeliest(z, n, o->most, likely);
    for (int i = 0; i < found; i++) beside[i] = odd(talk->model, likely[i], (double)z[likely[i]] - all);
    *c = odd(talk->model, chosen, (double)z[chosen] - all);
    c->likeliest = beside;
    c->n_likeliest = found;
}

/* Ids that end a voice and are no units; the i-th, or -1. */
static int32_t voice_end(const so_model *model, int64_t i)
{
    int32_t id = model->setup.stop[i];
    bool unit = id >= model->first_unit && id < model->first_unit + model->units;
    return unit || id < 0 || id >= model->net.unit_head->dim[0] ? -1 : id;
}

/* The same on a device; `ids` lie there. Without `ends`, nothing ends a voice. */
static void units_there(so_pass *pass, const so_model *model, bool ends, const so_tensor *rows, int32_t *ids)
{
    int64_t m = so_rows(rows), k = so_cols(rows), n = model->units;
    so_mark mark = so_pass_mark(pass);
    so_real *z = so_take_data(pass, (size_t)(m * (n + model->setup.n_stop)) * sizeof *z);
    so_best_unit best = {.rows = m, .cols = n, .x = z, .end = z + m * n, .first = model->first_unit, .ids = ids};
    so_tensor w = so_some_rows(model->net.unit_head, model->first_unit, n);
    so_product product = {.type = w.type, .w = w.data, .n = n, .y = z};
    if (!z || pass->dry) {
        so_pass_release(pass, mark);
        return;
    }
    pass->k->linear(pass->pool, &product, k, so_data(rows), m);
    for (int64_t i = 0; ends && i < model->setup.n_stop && best.ends < SO_ENDS; i++) {
        int32_t end = voice_end(model, i);
        if (end < 0) continue;
        w = so_some_rows(model->net.unit_head, end, 1);
        product = (so_product){.type = w.type, .w = w.data, .n = 1, .y = z + m * (n + best.ends)};
        pass->k->linear(pass->pool, &product, k, so_data(rows), m);
        best.end_id[best.ends++] = end;
    }
    pass->k->best_unit(pass->pool, &best);
    so_pass_release(pass, mark);
}

static void units_on_device(so_pass *pass, const so_model *model, bool ends, const so_tensor *rows, int32_t *id)
{
    so_mark mark = so_pass_mark(pass);
    size_t bytes = (size_t)so_rows(rows) * sizeof *id;
    int32_t *ids = so_take_data(pass, bytes);
    if (ids) units_there(pass, model, ends, rows, ids);
    if (ids && so_ok(pass) && !pass->dry) so_device_read(pass->device, id, ids, bytes);
    so_pass_release(pass, mark);
}

/* The likeliest of the units and of what ends a voice; the lowest among equals. */
static void likeliest_units(so_pass *pass, const so_model *model, bool ends, so_tensor *rows, int32_t *id)
{
    so_tensor units = so_some_rows(model->net.unit_head, model->first_unit, model->units);
    const float *reach = model->unit_reach ? model->unit_reach + model->first_unit : NULL;
    so_best_rows(pass, rows, &units, reach, id, NULL);
    if (pass->dry || !so_ok(pass)) return;
    for (int64_t r = 0; r < so_rows(rows); r++) {
        int32_t best = model->first_unit + id[r];
        so_real most = -INFINITY;
        for (int64_t i = -1; i < (ends ? model->setup.n_stop : 0); i++) { /* -1: that unit itself */
            int32_t other = i < 0 ? best : voice_end(model, i);
            so_real z;
            if (other < 0) continue;
            so_tensor one = so_some_rows(model->net.unit_head, other, 1);
            pass->k->linear(NULL, &(so_product){.type = one.type, .w = one.data, .n = 1, .y = &z}, one.dim[1],
                            so_data(rows) + r * so_cols(rows), 1);
            if (z > most || (z == most && other < best)) most = z, best = other;
        }
        id[r] = best;
    }
}

/* Whether a voice may not end yet: it was not heard to say all words, and has not been long on its way to the next one.
 * The published code knows nothing of it. */
static bool goes_on(const so_talk *talk)
{
    enum { PATIENCE = 15 /* units */ };
    return talk->model->setup.units_per_token && talk->idle < PATIENCE &&
           so_recite_left(talk->model->tokenizer, talk->memory_ids, talk->n_memory, talk->n_spoken);
}

/* The same, sampled. */
static int32_t sample_unit(so_pass *pass, so_talk *talk, so_tensor *row)
{
    const so_model *model = talk->model;
    int64_t n = 0, most = model->setup.n_stop + model->units;
    so_real *z = so_take(pass, (size_t)most * sizeof *z, false);
    int32_t *ids = so_take(pass, (size_t)most * sizeof *ids, false);
    so_tensor part = so_some_rows(model->net.unit_head, model->first_unit, model->units),
              *y = so_linear(pass, row, &part, NULL);
    if (!z || !ids || !y || pass->dry) return 0;
    const so_real *seen = so_read(pass, y);
    for (int64_t i = 0; seen && i < model->units; i++, n++) z[n] = seen[i], ids[n] = model->first_unit + (int32_t)i;
    for (int64_t i = goes_on(talk) ? model->setup.n_stop : 0; i < model->setup.n_stop; i++) {
        int32_t id = voice_end(model, i);
        if (id < 0) continue;
        part = so_some_rows(model->net.unit_head, id, 1);
        y = so_linear(pass, row, &part, NULL);
        seen = so_read(pass, y);
        if (!seen) return 0;
        z[n] = seen[0];
        ids[n++] = id;
    }
    return ids[so_sampler_draw(&talk->sampler, &talk->options.sampling, z, n, &talk->rng)];
}

static bool greedy(const so_talk *talk, so_head which)
{
    return which == SO_HEAD_CTC || talk->options.sampling.temperature <= 0 || (which == SO_HEAD_TEXT && talk->voice);
}

static int32_t read_logits(so_talk *talk, so_head which, const so_real *z, int64_t n)
{
    const so_sampling *how = &talk->options.sampling;
    int32_t from = which == SO_HEAD_UNIT && goes_on(talk) ? talk->model->first_unit : 0;
    if (from) z += from, n = talk->model->units;
    int32_t id = greedy(talk, which) ? so_argmax(z, n) : so_sampler_draw(&talk->sampler, how, z, n, &talk->rng);
    if (which == SO_HEAD_TEXT && talk->odds) note_odds(talk, z, n, id);
    return from + id;
}

/* How a row's id is found: among all logits, those that a screening leaves, units and ends, units alone, sampled. */
typedef enum way { ALL, SCREENED, UNITS, MORE_UNITS, SAMPLED_UNITS, WAYS } way;

static way way_of(const so_pass *pass, const so_talk *talk, so_head which)
{
    bool sampled = talk->options.sampling.temperature > 0 && which != SO_HEAD_CTC;
    if (which == SO_HEAD_UNIT && !pass->watch && goes_on(talk)) return sampled ? SAMPLED_UNITS : MORE_UNITS;
    if (which == SO_HEAD_UNIT && talk->options.only_units) return sampled ? SAMPLED_UNITS : UNITS;
    if (which == SO_HEAD_TEXT) sampled = (sampled && !talk->voice) || talk->odds;
    /* The same answer, without most of the logits; a watcher wants to see them all. */
    return !sampled && (head_of(talk->model, which).reach || pass->device) && !pass->watch ? SCREENED : ALL;
}

static void choose_by(so_pass *pass, way how, so_talk *const *talk, so_tensor *rows, so_head which, int32_t *id)
{
    const so_model *model = talk[0]->model;
    head h = head_of(model, which);
    int64_t n = so_rows(rows);
    if ((how == UNITS || how == MORE_UNITS) && pass->device) {
        units_on_device(pass, model, how == UNITS, rows, id);
    } else if (how == UNITS || how == MORE_UNITS) {
        likeliest_units(pass, model, how == UNITS, rows, id);
    } else if (how == SCREENED) {
        so_best_rows(pass, rows, h.w, h.reach, id, NULL);
    } else if (how == SAMPLED_UNITS) {
        for (int32_t i = 0; i < n; i++) {
            so_tensor *row = so_take_rows(pass, rows, 1, &i);
            id[i] = row ? sample_unit(pass, talk[i], row) : 0;
        }
    } else {
        so_tensor *z = so_linear(pass, rows, h.w, NULL);
        so_label(pass, z, "%s", h.name);
        for (int64_t i = 0; i < n && h.reach && !pass->watch && !pass->dry; i++) {
            so_product exact = {.type = h.w->type, .w = h.w->data, .n = h.w->dim[0]};
            if (!z || !greedy(talk[i], which)) continue; /* by a screening, but for its log-probabilities */
            exact.y = so_data(z) + i * exact.n;
            pass->k->linear(pass->pool, &exact, h.w->dim[1], so_data(rows) + i * h.w->dim[1], 1);
        }
        const so_real *seen = so_read(pass, z);
        for (int64_t i = 0; seen && i < n && !pass->dry; i++)
            id[i] = read_logits(talk[i], which, seen + i * so_cols(z), so_cols(z));
    }
}

void so_choose(so_pass *pass, so_talk *const *talk, int64_t n, so_tensor *rows, so_head which, int32_t *id)
{
    int32_t *index = so_take(pass, (size_t)n * sizeof *index, false),
            *found = so_take(pass, (size_t)n * sizeof *id, true);
    so_talk **some = so_take(pass, (size_t)n * sizeof(so_talk *), false);
    if (!rows || !index || !found || !some) return;
    for (int how = 0; how < WAYS && so_ok(pass); how++) {
        int64_t m = 0;
        so_mark mark = so_pass_mark(pass);
        for (int32_t i = 0; i < n; i++)
            if (pass->dry || way_of(pass, talk[i], which) == (way)how) {
                some[m] = talk[i];
                index[m++] = i;
            }
        if (m) choose_by(pass, (way)how, some, m < n ? so_take_rows(pass, rows, m, index) : rows, which, found);
        for (int64_t i = 0; i < m && !pass->dry; i++) id[index[i]] = found[i];
        so_pass_release(pass, mark);
    }
}

bool so_choose_stays(const so_pass *pass, so_talk *const *talk, int64_t n, so_head which)
{
    if (!pass->device || pass->watch) return false;
    for (int64_t i = 0; i < n; i++) {
        way how = way_of(pass, talk[i], which);
        if (!pass->dry && how != SCREENED && how != UNITS && how != MORE_UNITS) return false;
        if (how != way_of(pass, talk[0], which)) return false;
    }
    return true;
}

void so_choose_there(so_pass *pass, so_talk *const *talk, int64_t n, so_tensor *rows, so_head which, int32_t *ids)
{
    const so_model *model = talk[0]->model;
    if (!so_ok(pass) || !rows || n < 1) return;
    way how = way_of(pass, talk[0], which);
    if (pass->dry || how == SCREENED)
        so_best_rows_there(pass, rows, head_of(model, which).w, ids);
    else
        units_there(pass, model, how == UNITS, rows, ids);
}
