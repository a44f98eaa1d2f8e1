/* From a row to an id. See engine/choose.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/choose.h"

#include <math.h>

#include "nn/screen.h"

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

static so_tensor *logits(so_talk *talk, so_tensor *row, const head *h)
{
    so_tensor *z = so_linear(&talk->pass, row, h->w, NULL);
    so_label(&talk->pass, z, "%s", h->name);
    return z;
}

int32_t so_likeliest(so_talk *talk, so_tensor *row, so_head which)
{
    so_pass *pass = &talk->pass;
    head h = head_of(talk->model, which);
    bool screened = h.reach && !pass->watch; /* the same answer, without most of the logits */
    int32_t id = 0;
    if (pass->dry || screened) id = so_best_row(pass, row, h.w, h.reach, NULL);
    if (!pass->dry && screened) return id;
    so_tensor *z = logits(talk, row, &h);
    return z && so_ok(pass) && !pass->dry ? so_argmax(so_data(z), so_cols(z)) : 0;
}

int32_t so_choose(so_talk *talk, so_tensor *row, so_head which, bool greedy)
{
    if (greedy || talk->pass.dry || talk->options.sampling.temperature <= 0) return so_likeliest(talk, row, which);
    head h = head_of(talk->model, which);
    so_tensor *z = logits(talk, row, &h);
    if (!z || !so_ok(&talk->pass)) return 0;
    return so_sample(&talk->sampler, &talk->options.sampling, so_data(z), so_cols(z), &talk->rng);
}

static so_token_logprob odd(const so_model *model, int32_t id, double logprob)
{
    size_t bytes;
    const char *text = so_tokenizer_piece(model->tokenizer, id, &bytes);
    return (so_token_logprob){.text = text, .bytes = bytes, .id = id, .logprob = (float)logprob};
}

/* The likeliest first; the lowest id among equals. */
static int most_likely(const so_real *z, int64_t n, int most, int32_t *id)
{
    int found = 0;
    for (int64_t i = 0; i < n; i++) {
        int at = found;
        while (at > 0 && z[i] > z[id[at - 1]]) at--;
        if (at >= most) continue;
        if (found < most) found++;
        for (int j = found - 1; j > at; j--) id[j] = id[j - 1];
        id[at] = (int32_t)i;
    }
    return found;
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
    int found = most_likely(z, n, o->most, likely);
    for (int i = 0; i < found; i++) beside[i] = odd(talk->model, likely[i], (double)z[likely[i]] - all);
    *c = odd(talk->model, chosen, (double)z[chosen] - all);
    c->likeliest = beside;
    c->n_likeliest = found;
}

int32_t so_choose_text(so_talk *talk, so_tensor *row)
{
    so_pass *pass = &talk->pass;
    const so_sampling *how = &talk->options.sampling;
    if (!talk->odds || pass->dry) return so_choose(talk, row, SO_HEAD_TEXT, talk->voice);
    head h = head_of(talk->model, SO_HEAD_TEXT);
    so_tensor *z = logits(talk, row, &h);
    if (!z || !so_ok(pass)) return 0;
    bool greedy = talk->voice || how->temperature <= 0;
    int64_t n = so_cols(z);
    int32_t id = greedy ? so_argmax(so_data(z), n) : so_sample(&talk->sampler, how, so_data(z), n, &talk->rng);
    note_odds(talk, so_data(z), n, id);
    return id;
}

/* Rows first .. first + n of a head, as a tensor of their own. */
static so_tensor some_rows(const so_tensor *w, int64_t first, int64_t n)
{
    so_tensor part = {.data = (char *)w->data + so_type_bytes(w->type, first * w->dim[1]),
                      .dim = {n, w->dim[1]},
                      .type = w->type,
                      .n_dims = 2,
                      .name = w->name};
    return part;
}

/* Ids that end a voice and are no units; the i-th, or -1. */
static int32_t voice_end(const so_model *model, int64_t i)
{
    int32_t id = model->setup.stop[i];
    bool unit = id >= model->first_unit && id < model->first_unit + model->units;
    return unit || id < 0 || id >= model->net.unit_head->dim[0] ? -1 : id;
}

/* The likeliest of the units and of what ends a voice; the lowest among equals. */
static int32_t likeliest_unit(so_talk *talk, so_tensor *row)
{
    so_pass *pass = &talk->pass;
    const so_model *model = talk->model;
    so_tensor units = some_rows(model->net.unit_head, model->first_unit, model->units);
    const float *reach = model->unit_reach ? model->unit_reach + model->first_unit : NULL;
    int32_t best = model->first_unit + so_best_row(pass, row, &units, reach, NULL);
    so_real most = -INFINITY;
    if (pass->dry || !so_ok(pass)) return best;
    for (int64_t i = -1; i < model->setup.n_stop; i++) { /* -1: that unit itself */
        int32_t id = i < 0 ? best : voice_end(model, i);
        so_real z;
        if (id < 0) continue;
        so_tensor one = some_rows(model->net.unit_head, id, 1);
        pass->k->linear(NULL, &(so_product){.type = one.type, .w = one.data, .n = 1, .y = &z}, one.dim[1], so_data(row),
                        1);
        if (z > most || (z == most && id < best)) most = z, best = id;
    }
    return best;
}

int32_t so_choose_unit(so_talk *talk, so_tensor *row)
{
    so_pass *pass = &talk->pass;
    const so_model *model = talk->model;
    if (pass->dry || talk->options.sampling.temperature <= 0) return likeliest_unit(talk, row);
    int64_t n = 0, most = model->setup.n_stop + model->units;
    so_real *z = so_take(pass, (size_t)most * sizeof *z, false);
    int32_t *ids = so_take(pass, (size_t)most * sizeof *ids, false);
    so_tensor part = some_rows(model->net.unit_head, model->first_unit, model->units),
              *y = so_linear(pass, row, &part, NULL);
    if (!z || !ids || !y || !so_ok(pass)) return 0;
    for (int64_t i = 0; i < model->units; i++, n++) z[n] = so_data(y)[i], ids[n] = model->first_unit + (int32_t)i;
    for (int64_t i = 0; i < model->setup.n_stop; i++) {
        int32_t id = voice_end(model, i);
        if (id < 0) continue;
        part = some_rows(model->net.unit_head, id, 1);
        y = so_linear(pass, row, &part, NULL);
        if (!y || !so_ok(pass)) return 0;
        z[n] = so_data(y)[0];
        ids[n++] = id;
    }
    return ids[so_sample(&talk->sampler, &talk->options.sampling, z, n, &talk->rng)];
}
