/* The model that a run begins with.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recipes/run/training.h"
#include "recipes/tabletop/recipe.h"
#include "text/chat.h"

static so_status encode(const so_run *run, const char *text, so_ids *ids, so_error *error)
{
    return so_tokenizer_encode(run->source.tokenizer, text, strlen(text), SO_ENCODE_SPECIAL, ids, error);
}

/* The template around a user's content. */
static so_status template_pieces(so_run *run, so_error *error)
{
    const so_setup *setup = &run->source.setup;
    run->system = run->config.system ? run->config.system : setup->system[0] ? setup->system : so_chat_system;
    SO_TRY(encode(run, "<|begin_of_text|>", &run->head, error));
    if (run->system[0]) {
        SO_TRY(encode(run, "<|start_header_id|>system<|end_header_id|>\n\n", &run->head, error));
        SO_TRY(encode(run, run->system, &run->head, error));
        SO_TRY(encode(run, "<|eot_id|>", &run->head, error));
    }
    SO_TRY(encode(run, "<|start_header_id|>user<|end_header_id|>\n\n", &run->head, error));
    return encode(run, "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", &run->reply, error);
}

static so_status settle_ids(so_run *run, so_error *error)
{
    const so_tokenizer *tokenizer = run->source.tokenizer;
    const so_token_names *names = so_tokenizer_names(tokenizer);
    const so_omni_config *c = &run->net.config;
    const char *missing = names->bos < 0                       ? "<|begin_of_text|>"
                          : names->eot < 0                     ? "<|eot_id|>"
                          : names->start_header < 0            ? "<|start_header_id|>"
                          : names->end_header < 0              ? "<|end_header_id|>"
                          : c->speech && names->blank < 0      ? "<|reserved_special_token_0|>"
                          : c->speech && names->first_unit < 0 ? "<Audio_0>"
                                                               : NULL;
    if (missing) return so_fail(error, SO_ERR_MISSING, "the tokenizer has no token %s", missing);
    run->blank = names->blank;
    run->eot = names->eot;
    run->first_unit = names->first_unit;
    run->units = c->speech ? names->units : 0;
    if (c->speech && run->first_unit + run->units > c->audio_rows) run->units = c->audio_rows - run->first_unit;
    if (run->eot >= c->text_rows || (c->speech && (run->blank >= c->text_rows || run->units < 1)))
        return so_fail(error, SO_ERR_FORMAT, "%lld text rows and %lld audio rows do not fit the tokenizer",
                       (long long)c->text_rows, (long long)c->audio_rows);
    run->spoken = calloc((size_t)so_tokenizer_size(tokenizer) / 8 + 1, 1);
    if (!run->spoken) return so_fail(error, SO_ERR_NOMEM, "no memory for a vocabulary");
    return so_tokenizer_pronounceable(tokenizer, run->spoken, error);
}

/* The window and the way of fusion belong to the model: other ones are told to those who use it afterwards. */
static void settle_window(so_run *run)
{
    so_setup *setup = &run->source.setup;
    const so_run_config *c = &run->config;
    bool other = run->reshaped || (c->window.width && c->window.width != (setup->window ? setup->window : 5)) ||
                 (c->window.ahead && c->window.ahead != (setup->lookahead ? setup->lookahead : 3));
    if (c->window.width) setup->window = c->window.width;
    if (c->window.ahead) setup->lookahead = c->window.ahead;
    run->lesson.window = (so_window){setup->window ? setup->window : 5, setup->lookahead ? setup->lookahead : 3};
    if (!other || !run->source.text[0]) return;
    free(run->source.text[0]); /* the configuration is written anew */
    run->source.text[0] = NULL;
}

static so_status settle_pictures(so_run *run, so_error *error)
{
    const so_run_config *c = &run->config;
    if (!run->net.config.vision) return SO_OK;
    int64_t grid = so_siglip_grid(&run->net.config.siglip), size = run->net.config.siglip.image;
    run->patches = grid * grid;
    SO_TRY(so_setup_pictures(&run->source.setup, &run->pictures, error));
    if (c->image.size && c->image.size != size)
        return so_fail(error, SO_ERR_UNSUPPORTED, "image.size is %lld, the model's is %lld", (long long)c->image.size,
                       (long long)size);
    if (c->image.mode) run->pictures.mode = strcmp(c->image.mode, "pad") == 0 ? SO_IMAGE_PAD : SO_IMAGE_SQUARE;
    if (run->pictures.mode == SO_IMAGE_ANYRES)
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "the model cuts pictures into tiles (%s), which training does not do yet: give image.mode "
                       "\"pad\" or \"square\"",
                       run->source.setup.aspect);
    return SO_OK;
}

static so_status check_groups(const so_run *run, so_error *error)
{
    for (int i = 0; i < SO_STAGE_GROUPS && run->stage.learns[i].group; i++)
        if (so_store_parameters(&run->store, run->stage.learns[i].group) == 0)
            return so_fail(error, SO_ERR_MISSING, "'%s' has no weights of the group '%s', which is to learn",
                           run->config.model, run->stage.learns[i].group);
    return SO_OK;
}

static bool is_fresh(const so_run *run, const char *group)
{
    for (int i = 0; i < run->config.fresh.n; i++)
        if (strcmp(run->config.fresh.item[i], group) == 0) return true;
    return false;
}

/* Another shape than the model's, which only groups can have that begin anew; of others the last layers may be left
 * out. */
static so_status reshape(so_run *run, so_error *error)
{
    const so_run_config *c = &run->config;
    so_setup *setup = &run->source.setup;
    so_omni_config *omni = &setup->omni;
    const char *fuse = setup->fuse[0] ? setup->fuse : so_tt_fusions[omni->fuse];
    if (c->fuse && strcmp(c->fuse, fuse) != 0) {
        if (!is_fresh(run, "top"))
            return so_fail(error, SO_ERR_UNSUPPORTED,
                           "fuse is \"%s\", the model's is \"%s\": its top layers are made for that, unless they begin "
                           "anew (fresh = [\"top\"])",
                           c->fuse, fuse);
        snprintf(setup->fuse, sizeof setup->fuse, "%s", c->fuse);
        for (int i = 0; i < 3; i++)
            if (strcmp(c->fuse, so_tt_fusions[i]) == 0) omni->fuse = (so_fuse)i;
        run->reshaped = true;
    }
    const struct {
        const char *group;
        int64_t wanted, *has;
    } layers[] = {{"bottom", c->layers.bottom, &omni->bottom}, {"top", c->layers.top, &omni->top}};
    for (int i = 0; i < 2; i++) {
        if (!layers[i].wanted || layers[i].wanted == *layers[i].has) continue;
        if (layers[i].wanted > *layers[i].has && !is_fresh(run, layers[i].group))
            return so_fail(error, SO_ERR_UNSUPPORTED,
                           "layers.%s is %lld, the model has %lld: more must begin anew (fresh = [\"%s\"])",
                           layers[i].group, (long long)layers[i].wanted, (long long)*layers[i].has, layers[i].group);
        *layers[i].has = layers[i].wanted;
        run->reshaped = true;
    }
    return SO_OK;
}

/* What belongs to the loss of pairs and not to the model: how sure it is, and how seldom a caption fits. */
static so_status bind_pairs(so_run *run, so_error *error)
{
    static const so_bind_row table[] = {
        {offsetof(so_run, pairs_scale), "pairs.scale", "1", "pairs", SO_INIT_VALUE, 2.3, false},
        {offsetof(so_run, pairs_bias), "pairs.bias", "1", "pairs", SO_INIT_VALUE, -4, false}};
    so_rng rng;
    so_rng_init(&rng, (uint64_t)run->config.seed, 0x7061697273u);
    so_binder binder = {.store = &run->store, .rng = &rng};
    if (!so_run_matches(run)) return SO_OK;
    if (!run->net.config.vision)
        return so_fail(error, SO_ERR_MISSING, "'%s' has no vision tower, which the stage '%s' trains",
                       run->config.model, run->stage.name);
    if (run->config.lora.rank)
        return so_fail(error, SO_ERR_UNSUPPORTED, "lora.rank: adapters do not learn pairs of pictures and captions");
    SO_TRY(SO_BIND(&binder, "", 0, table, run, error));
    run->lesson.pairs_scale = run->pairs_scale;
    run->lesson.pairs_bias = run->pairs_bias;
    return SO_OK;
}

static so_status bind(so_run *run, so_error *error)
{
    const char *expands[SO_STAGE_GROUPS + 1] = {NULL}, *fresh[SO_RUN_LIST + 1] = {NULL};
    so_rng rng;
    so_rng_init(&rng, (uint64_t)run->config.seed, 0x6672657368u);
    for (int i = 0; i < run->config.fresh.n; i++) fresh[i] = run->config.fresh.item[i];
    if (!run->config.lora.rank)
        for (int i = 0; i < SO_STAGE_GROUPS; i++) expands[i] = run->stage.learns[i].group;
    SO_TRY(so_store_open(&run->store, 0, error));
    so_binder binder = {.store = &run->store,
                        .source = &run->source.views,
                        .pool = run->pool,
                        .kernels = run->kernels,
                        .expands = expands,
                        .fresh = fresh,
                        .rng = &rng,
                        .check_finite = true};
    SO_TRY(so_omni_bind(&run->net, &run->source.setup.omni, &binder, error));
    SO_TRY(so_binder_finish(&binder, run->config.model, error));
    SO_TRY(bind_pairs(run, error));
    bool again = run->config.memory.checkpoint;
    run->net.backbone.checkpoint = run->net.bottom.checkpoint = run->net.top.checkpoint = again;
    return check_groups(run, error);
}

so_status so_run_open(so_run *run, so_error *error)
{
    const char *path = run->config.model;
    so_run_config_stage(&run->config, &run->stage);
    SO_TRY(so_source_open(&run->source, &path, 1, NULL, error));
    if (strcmp(run->stage.network, "omni") != 0) return so_run_codec_open(run, error);
    SO_TRY(reshape(run, error));
    SO_TRY(bind(run, error));
    SO_TRY(settle_ids(run, error));
    settle_window(run);
    SO_TRY(settle_pictures(run, error));
    SO_TRY(template_pieces(run, error));
    run->lesson.net = &run->net;
    run->lesson.hard = strcmp(run->config.route, "argmax") == 0;
    run->lesson.stage = &run->stage;
    run->lesson.blank = run->blank;
    run->lesson.eot = run->eot;
    run->lesson.first_unit = run->first_unit;
    run->lesson.units = (int32_t)run->units;
    return SO_OK;
}

void so_run_close(so_run *run)
{
    so_run_ahead_close(run);
    so_run_data_close(run);
    so_run_guard_close(run);
    so_run_measure_close(run);
    so_optim_close(&run->optim);
    so_optim_close(&run->against);
    so_run_codec_close(run);
    so_lora_close(&run->lora);
    so_store_close(&run->store);
    so_source_close(&run->source);
    so_ids_clear(&run->head);
    so_ids_clear(&run->reply);
    free(run->spoken);
    run->spoken = NULL;
}
