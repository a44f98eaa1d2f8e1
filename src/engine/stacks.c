/* The memory of a conversation inside the networks. See stacks.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/stacks.h"

#include <stdlib.h>

#include "engine/see.h"
#include "engine/step.h"
#include "nn/ops.h"

/* Takes the session's parts from talk->memory; with `dry` memory only sizes count. */
static bool take_parts(so_talk *talk)
{
    const so_omni_config *c = &talk->model->setup.omni;
    const so_talk_options *o = &talk->options;
    so_arena *a = &talk->memory, *data = talk->model->device ? &talk->numbers : a;
    int64_t width = c->llama.width, kv = c->llama.kv_heads * c->llama.head_width, n = o->context;
    so_kv *store[] = {&talk->bottom, &talk->backbone, &talk->top};
    int64_t layers[] = {c->speech ? c->bottom : 0, c->backbone, o->speaks ? c->top : 0};
    for (int i = 0; i < 3; i++) {
        *store[i] = (so_kv){NULL, o->kv, layers[i], kv, layers[i] || i == 0 ? n : 0, 0, NULL, layers[i]};
        if (i == 1 && talk->model->device) store[i]->split = talk->model->device_layers;
        int64_t there = store[i]->split, rest = layers[i] - there;
        store[i]->data = so_arena_numbers(data, so_kv_bytes(o->kv, there, kv, store[i]->capacity) + 1);
        if (rest) store[i]->beside = so_arena_numbers(a, so_kv_bytes(o->kv, rest, kv, store[i]->capacity) + 1);
    }
    size_t row = (size_t)width * sizeof(so_real);
    talk->heard = so_arena_alloc(a, (size_t)n * sizeof *talk->heard);
    talk->label = so_arena_alloc(a, (size_t)n * sizeof *talk->label);
    talk->read = so_arena_alloc(a, (size_t)n * sizeof *talk->read);
    talk->h = so_arena_numbers(data, row);
    talk->thought = so_arena_numbers(data, row);
    talk->vectors = so_arena_alloc(a, row * (size_t)talk->max_vectors + 1);
    if (o->sees) {
        size_t patches = (size_t)(so_siglip_grid(&c->siglip) * so_siglip_grid(&c->siglip));
        talk->inside = so_arena_numbers(a, patches * (size_t)c->siglip.width * sizeof *talk->inside);
        talk->seen = so_arena_numbers(a, (size_t)talk->max_views * patches * row);
    }
    talk->text = so_arena_alloc(a, (size_t)o->max_text * sizeof *talk->text);
    talk->memory_ids = so_arena_alloc(a, (size_t)o->max_text * sizeof *talk->memory_ids);
    if (o->speaks && c->fuse == SO_FUSE_CROSS && !talk->model->device) {
        bool all = o->window < 0 || o->window >= o->max_text;
        talk->shown =
            (so_kv){NULL, SO_F32, c->top, c->llama.heads * c->llama.head_width, all ? o->max_text : 2 * o->window};
        talk->shown.data = so_arena_numbers(a, so_kv_bytes(SO_F32, c->top, talk->shown.width, talk->shown.capacity));
    }
    int64_t most = c->text_rows > c->audio_rows ? c->text_rows : c->audio_rows;
    return so_sampler_init(&talk->sampler, a, most) && talk->memory_ids && so_talk_take_slice(talk);
}

/* Of `layers` whose products for `rows` rows are `each` multiplications, as many as keep a piece short; at least one.
 */
static int64_t layers_at_once(double each, double most, int64_t layers)
{
    double n = most / (each + 1);
    return n < 1 || layers < 1 ? 1 : n > (double)layers ? layers : (int64_t)n;
}

/* What two cores do in about 5 ms; a device should not wait between small ones. */
static void set_pieces(so_talk *talk)
{
    so_talk_options *o = &talk->options;
    const so_omni_config *c = &talk->model->setup.omni;
    bool int8 = talk->model->kernels->int8;
    double most_float = talk->model->device ? 1e9 : 3e8, most = int8 ? 3e9 : most_float;
    double layer = (double)o->rows * so_llama_products(&c->llama), width = (double)c->llama.width;
    if (o->slice_layers <= 0) o->slice_layers = layers_at_once(layer, most, c->backbone);
    double label = 2 * (double)c->text_rows * width;
    if (o->label_rows <= 0) o->label_rows = layers_at_once(label, int8 ? 30e9 : 1e9, SO_LABEL_ROWS) / 16 * 16;
    o->label_rows = o->label_rows < 16 ? 16 : o->label_rows > SO_LABEL_ROWS ? SO_LABEL_ROWS : o->label_rows;
    /* What is expected is summed in floats. */
    if (o->expect_rows == 0) o->expect_rows = (int64_t)(1e9 / ((double)o->label_rows * width));
    o->expect_rows = (o->expect_rows + SO_MIX_ROWS - 1) / SO_MIX_ROWS * SO_MIX_ROWS;
    if (o->expect_rows >= c->text_rows || talk->model->device) o->expect_rows = -1;
    if (o->tower_halves > 0 || !o->sees) return;
    double patches = (double)(so_siglip_grid(&c->siglip) * so_siglip_grid(&c->siglip));
    width = (double)c->siglip.width;
    layer = patches * width * (4 * width + 2 * (double)c->siglip.ff + 2 * patches);
    o->tower_halves = layers_at_once(layer / 2, most_float, 2 * c->siglip.layers);
}

static void set_options(so_talk *talk, const so_model *model, const so_talk_options *options)
{
    *talk = (so_talk){.model = model, .options = *options};
    so_talk_options *o = &talk->options;
    const so_setup *s = &model->setup;
    if (o->lookahead <= 0) o->lookahead = s->lookahead > 0 ? s->lookahead : 3;
    if (o->window == 0) o->window = s->window > 0 ? s->window : 5;
    if (o->max_text <= 0) o->max_text = 1024;
    if (o->max_units <= 0) o->max_units = 1024;
    if (o->rows <= 0) o->rows = SO_PROMPT_ROWS;
    if (o->context <= 0) o->context = model->context;
    o->sees = o->sees && s->omni.vision;
    o->speaks = o->speaks && s->omni.speech;
    if (o->sees) talk->max_vectors = so_picture_most(s, &model->pictures, &talk->max_views);
    if (o->pictures > 1) talk->max_vectors *= o->pictures;
    set_pieces(talk);
}

size_t so_talk_per_position(const so_model *model, const so_talk_options *options)
{
    const so_omni_config *c = &model->setup.omni;
    so_talk talk;
    set_options(&talk, model, options);
    int64_t layers = (c->speech ? c->bottom : 0) + c->backbone + (talk.options.speaks ? c->top : 0);
    size_t lists = sizeof *talk.heard + sizeof *talk.label + sizeof *talk.read;
    return so_kv_bytes(talk.options.kv, layers, c->llama.kv_heads * c->llama.head_width, 1) + lists;
}

typedef struct rehearsal {
    so_talk *talk;
    int64_t steps;
} rehearsal;

/* Everything a conversation may do, dry, in a worker's arena. */
static so_status rehearse(so_worker *worker, void *context, so_error *error)
{
    const rehearsal *r = context;
    r->talk->worker = worker;
    SO_TRY(so_talk_rehearse_prompt(r->talk, error));
    SO_TRY(so_talk_rehearse_look(r->talk, error));
    return so_talk_rehearse_steps(r->talk, r->steps, error);
}

so_status so_talk_plan(const so_model *model, const so_talk_options *options, int64_t steps, so_need *session,
                       so_need *scratch, so_error *error)
{
    so_talk talk;
    rehearsal all = {&talk, steps > 0 ? steps : 1};
    so_site place = so_model_place(model);
    *scratch = (so_need){0};
    set_options(&talk, model, options);
    SO_TRY(so_arena_dry(&talk.memory, error));
    SO_TRY(so_arena_dry(&talk.numbers, error));
    so_status status = take_parts(&talk) ? so_worker_measure_on(&place, rehearse, &all, scratch, error)
                                         : so_fail(error, SO_ERR_NOMEM, "a session is too large");
    *session = (so_need){talk.memory.peak, talk.numbers.peak, 0};
    so_arena_clear(&talk.memory);
    so_arena_clear(&talk.numbers);
    return status;
}

static so_status open_talk(so_talk *talk, const so_model *model, const so_talk_options *options, so_error *error)
{
    so_need session, scratch;
    so_site place = so_model_place(model);
    set_options(talk, model, options);
    SO_TRY(so_talk_plan(model, options, 1, &session, &scratch, error));
    SO_TRY(so_arena_init(&talk->memory, session.host, error));
    if (model->device) {
        if (so_device_reserve(model->device, session.device, &talk->block, error) != SO_OK)
            return so_fail(error, SO_ERR_NOMEM,
                           "a session of %lld positions needs %.3f GB on %s, %.3f GB are left there: close another, or "
                           "use a smaller --context or --kv q8_0",
                           (long long)talk->options.context, (double)session.device * 1e-9,
                           so_device_about(model->device)->name, (double)so_device_left(model->device) * 1e-9);
        so_arena_over(&talk->numbers, talk->block, session.device);
    }
    talk->worker = options->worker ? options->worker : &talk->own;
    if (!options->worker) SO_TRY(so_worker_open_on(&talk->own, &place, scratch, error));
    if (!take_parts(talk)) return so_fail(error, SO_ERR_NOMEM, "a session of %zu bytes", session.host);
    so_rng_init(&talk->rng, talk->options.sampling.seed, 0);
    return SO_OK;
}

so_status so_talk_open(so_talk **out, const so_model *model, const so_talk_options *options, so_error *error)
{
    *out = NULL;
    so_talk *talk = malloc(sizeof *talk);
    if (!talk) return so_fail(error, SO_ERR_NOMEM, "no memory for a conversation");
    so_status status = open_talk(talk, model, options, error);
    if (status == SO_OK)
        *out = talk;
    else
        so_talk_close(&talk);
    return status;
}

void so_talk_close(so_talk **talk)
{
    if (!talk || !*talk) return;
    so_arena_clear(&(*talk)->memory);
    so_arena_clear(&(*talk)->numbers);
    so_worker_clear(&(*talk)->own);
    so_device_release((*talk)->model->device, (*talk)->block);
    free(*talk);
    *talk = NULL;
}

void so_talk_watch(so_talk *talk, const so_watch *watch) { talk->worker->pass.watch = watch; }
