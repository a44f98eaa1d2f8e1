/* Opening and closing models.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "checkpoint/model.h"

#include "checkpoint/save.h"
#include "checkpoint/tokenizer_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "nn/screen.h"

enum { PATH_SIZE = 4096, CONFIG_MAX = 16 << 20, MOST_POSITIONS = 1 << 24 };

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* "folder/name" if that file can be read, else "". */
static const char *beside(char *out, const char *folder, const char *name)
{
    int n = snprintf(out, PATH_SIZE, "%s/%s", folder, name);
    if (n < 0 || n >= PATH_SIZE || access(out, R_OK) != 0) out[0] = 0;
    return out;
}

const so_views *so_model_views(const so_model *model)
{
    return model->gguf ? so_gguf_views(model->gguf) : so_safetensors_views(model->safetensors);
}

bool so_model_stops(const so_model *model, int32_t id)
{
    for (int64_t i = 0; i < model->setup.n_stop; i++)
        if (model->setup.stop[i] == id) return true;
    return false;
}

static so_status read_setup(so_model *model, const char *folder, so_error *error)
{
    char path[PATH_SIZE], *config = NULL, *generation = NULL;
    size_t size;
    so_status status;
    snprintf(path, sizeof path, "%s/config.json", folder);
    if (access(path, F_OK) != 0)
        return so_fail(error, SO_ERR_MISSING,
                       "'%s' has no config.json, which says what a model is (part of every published model)", folder);
    SO_TRY_GO(so_file_read(path, CONFIG_MAX, &config, &size, error));
    if (beside(path, folder, "generation_config.json")[0])
        SO_TRY_GO(so_file_read(path, CONFIG_MAX, &generation, &size, error));
    status = so_setup_parse(&model->setup, config, generation, error);
    if (status != SO_OK) so_fail_in(error, "'%.300s'", folder);
done:
    free(config);
    free(generation);
    return status;
}

/* From a folder with tokenizer.json or tokenizer.model, or from one of the two. */
static so_status read_tokenizer(so_model *model, const char *at, so_error *error)
{
    char path[PATH_SIZE];
    int64_t units = model->setup.audio_vocab ? model->setup.audio_vocab : 4096;
    snprintf(path, sizeof path, "%s", at);
    if (is_folder(at) && !beside(path, at, "tokenizer.json")[0] && !beside(path, at, "tokenizer.model")[0])
        return so_fail(error, SO_ERR_MISSING, "%s: neither tokenizer.json nor tokenizer.model", at);
    size_t length = strlen(path);
    if (length > 5 && strcmp(path + length - 5, ".json") == 0)
        return so_tokenizer_load_json(&model->tokenizer, path, error);
    return so_tokenizer_load_ranks(&model->tokenizer, path, (int32_t)units, error);
}

static so_status read_folder(so_model *model, const char *path, const so_model_options *options, so_error *error)
{
    SO_TRY(read_setup(model, path, error));
    SO_TRY(so_safetensors_open(&model->safetensors, path, error));
    return read_tokenizer(model, options->tokenizer ? options->tokenizer : path, error);
}

static so_status read_gguf(so_model *model, const char *path, const so_model_options *options, so_error *error)
{
    SO_TRY(so_gguf_open(&model->gguf, path, error));
    SO_TRY(so_setup_load(&model->setup, model->gguf, error));
    if (options->tokenizer) return read_tokenizer(model, options->tokenizer, error);
    return so_tokenizer_from_gguf(&model->tokenizer, model->gguf, error);
}

static so_status settle_ids(so_model *model, so_error *error)
{
    const so_token_names *names = so_tokenizer_names(model->tokenizer);
    so_setup *s = &model->setup;
    int64_t size = so_tokenizer_size(model->tokenizer);
    const char *missing = names->eot < 0                            ? "<|eot_id|>"
                          : s->omni.speech && names->blank < 0      ? "<|reserved_special_token_0|>"
                          : s->omni.speech && names->first_unit < 0 ? "<Audio_0>"
                                                                    : NULL;
    if (missing) return so_fail(error, SO_ERR_MISSING, "the tokenizer has no token %s", missing);
    model->blank = names->blank;
    model->eot = names->eot;
    model->first_unit = names->first_unit;
    model->units = names->units;
    if (s->omni.speech && model->first_unit + model->units > s->omni.audio_rows)
        model->units = s->omni.audio_rows - model->first_unit;
    if (model->blank >= s->omni.text_rows || model->eot >= s->omni.text_rows || (s->omni.speech && model->units < 1))
        return so_fail(error, SO_ERR_FORMAT, "%lld text rows and %lld audio rows do not fit a tokenizer of %lld ids",
                       (long long)s->omni.text_rows, (long long)s->omni.audio_rows, (long long)size);
    if (s->n_stop == 0) {
        const int32_t stops[] = {names->eos, names->eom, names->eot};
        for (int i = 0; i < 3; i++)
            if (stops[i] >= 0) s->stop[s->n_stop++] = stops[i];
    }
    model->spoken = malloc((size_t)(size + 7) / 8 + 1);
    if (!model->spoken) return so_fail(error, SO_ERR_NOMEM, "no memory for a bitmap of %lld ids", (long long)size);
    return so_tokenizer_pronounceable(model->tokenizer, model->spoken, error);
}

/* The codec lies in a folder of its own, or in codec/ below the model's, or beside the model's files, or in its GGUF
 * file. */
static so_status open_codec(so_model *model, const char *path, const so_model_options *options, so_error *error)
{
    char below[PATH_SIZE];
    so_codec_source source = {.folder = options->codec,
                              .speaker = options->speaker,
                              .bf16 = options->bf16 && !model->codec_device,
                              .stored = model->codec_device != NULL,
                              .kernels = model->encoders,
                              .pool = model->pool};
    if (!source.folder && model->gguf) source.gguf = model->gguf;
    if (!source.folder && !model->gguf) source.folder = beside(below, path, "codec")[0] ? below : path;
    SO_TRY(so_codec_open(&model->codec, &source, error));
    const so_codec *c = &model->codec;
    if (options->codec && !c->has_tokenizer && !c->has_vocoder)
        return so_fail(
            error, SO_ERR_MISSING,
            "'%s' holds no part of a speech codec (speech_tokenizer_v1.onnx, flow.pt with hift.pt, or the same as "
            ".safetensors)",
            options->codec);
    if (c->has_tokenizer && model->setup.omni.speech && c->tokenizer.config.codes > model->units)
        return so_fail(error, SO_ERR_FORMAT, "the codec hears %lld units, the model knows %lld",
                       (long long)c->tokenizer.config.codes, (long long)model->units);
    return SO_OK;
}

/* Small models are expanded to f32, but for matrices that the kernels read as fast as they are stored (so_binder.q8):
 * as f32 they would not stay in the processor's caches. Large ones keep their types. */
static bool small(const so_views *views)
{
    size_t bytes = 0;
    for (int64_t i = 0; i < views->count; i++) bytes += views->view[i].bytes;
    return bytes < (size_t)1 << 30;
}

static so_status choose_precision(so_model *model, const so_model_options *options, so_error *error)
{
    so_precision precision = options->precision;
    const char *wish = getenv("SO_PRECISION");
    if (precision == SO_PRECISION_AUTO && wish && *wish) {
        if (strcmp(wish, "exact") && strcmp(wish, "int8"))
            return so_fail(error, SO_ERR_ARG, "SO_PRECISION is 'exact' or 'int8', found '%s'", wish);
        precision = strcmp(wish, "int8") ? SO_PRECISION_EXACT : SO_PRECISION_INT8;
    }
    if (precision == SO_PRECISION_AUTO) precision = model->small ? SO_PRECISION_EXACT : SO_PRECISION_INT8;
    const so_kernels *best;
    SO_TRY(so_kernels_choose(&best, error));
    const so_kernels *host = precision == SO_PRECISION_INT8 ? best->with_int8 : best;
    model->encoders = options->bf16 ? best->with_bf16 : host;
    model->rest = host;
    model->kernels = model->device ? so_device_kernels(model->device, precision == SO_PRECISION_INT8) : host;
    return SO_OK;
}

/* How far int8 activations may lead the heads' rows astray. */
static so_status measure_heads(so_model *model, so_error *error)
{
    const so_tensor *head[] = {model->net.text_head, model->net.ctc_head, model->net.unit_head};
    float **reach[] = {&model->text_reach, &model->ctc_reach, &model->unit_reach};
    for (int i = 0; i < 3 && model->kernels->int8 && !model->device; i++) {
        if (!head[i] || so_type_about(head[i]->type)->block == 1) continue;
        *reach[i] = so_arena_alloc(&model->store.memory, (size_t)head[i]->dim[0] * sizeof(float));
        if (!*reach[i]) return so_fail(error, SO_ERR_NOMEM, "no memory for the reach of '%s'", head[i]->name);
        so_row_reach(model->pool, head[i], *reach[i]);
    }
    return SO_OK;
}

static so_status bind(so_model *model, const so_model_options *options, so_error *error)
{
    const so_views *views = so_model_views(model);
    model->small = small(views);
    model->prefault = options->prefault;
    model->elements = 1;
    for (int64_t i = 0; i < views->count; i++) model->elements += (double)so_view_elements(&views->view[i]);
    SO_TRY(choose_precision(model, options, error));
    for (int64_t i = 0; options->prefault > 0 && i < views->count; i++)
        so_prefault(views->view[i].data, views->view[i].bytes);
    SO_TRY(so_setup_measure(&model->setup, views, error));
    SO_TRY(so_store_open(&model->store, 0, error));
    so_binder binder = {.store = &model->store, .source = views, .pool = model->pool, .check_finite = true};
    binder.kernels = model->encoders;
    binder.expand = !options->keep_types && !model->kernels->int8 && model->small && !model->device;
    binder.q8 = true;
    SO_TRY(so_omni_bind(&model->net, &model->setup.omni, &binder, error));
    SO_TRY(so_binder_finish(&binder, model->path, error));
    SO_TRY(measure_heads(model, error));
    bool lay = options->bf16 && !model->device;
    if (lay) SO_TRY(so_store_lay_bf16(&model->store, "vision", model->encoders, model->pool, error));
    if (lay) SO_TRY(so_store_lay_bf16(&model->store, "projector", model->encoders, model->pool, error));
    so_store_forget(&model->store, views);
    return SO_OK;
}

static so_status list_unused(so_model *model, so_error *error)
{
    const so_views *views = so_model_views(model);
    size_t size = 1;
    for (int64_t i = 0; i < views->count; i++) size += strlen(views->view[i].name) + 1;
    model->unused = malloc(size);
    if (!model->unused) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of names");
    char *end = model->unused;
    for (int64_t i = 0; i < views->count; i++) {
        if (so_store_find(&model->store, views->view[i].name) || strncmp(views->view[i].name, "codec.", 6) == 0)
            continue;
        end += sprintf(end, "%s%s", model->n_unused ? "\n" : "", views->view[i].name);
        model->n_unused++;
    }
    *end = 0;
    return SO_OK;
}

static so_status open_lora(so_model *model, const char *path, so_error *error)
{
    so_adapter adapter;
    const so_llama_config *c = &model->setup.omni.llama;
    model->lora_path = strdup(path);
    if (!model->lora_path) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    SO_TRY(so_adapter_open(&adapter, path, error));
    so_status status = so_adapter_turn(&adapter, c->heads, c->kv_heads, error);
    if (status == SO_OK) status = so_lora_attach(&model->lora, &model->store, &adapter, error);
    so_adapter_close(&adapter);
    if (status != SO_OK) return so_fail_in(error, "%s", path);
    return SO_OK;
}

/* Small models were trained on little: clean sound, and one picture at a time. */
static void choose_habits(so_model *model, int wish)
{
    enum { SMALL = 300000000, IF_SMALL = 2 };
    int said = model->codec.front;
    model->one_picture = so_store_parameters(&model->store, NULL) < SMALL;
    if (!said && wish == IF_SMALL) said = model->one_picture ? 1 : -1;
    model->front = (wish == 1 || wish == -1 ? wish : said) > 0;
}

static so_status open_model(so_model *model, const char *path, const so_model_options *options, so_error *error)
{
    model->path = strdup(path);
    if (!model->path) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    SO_TRY(so_pool_open(&model->pool, options->threads, error));
    SO_TRY(is_folder(path) ? read_folder(model, path, options, error) : read_gguf(model, path, options, error));
    SO_TRY(bind(model, options, error));
    SO_TRY(settle_ids(model, error));
    model->context = options->context > 0 ? options->context : model->setup.context;
    if (model->context < 1 || (options->context <= 0 && model->context > 8192)) model->context = 8192;
    /* The host puts pictures together, newlines between their rows. */
    if (model->net.image_newline) model->net.image_newline->host = true;
    model->device_layers = model->setup.omni.backbone;
    if (options->lora) SO_TRY(open_lora(model, options->lora, error));
    if (model->setup.omni.vision) SO_TRY(so_setup_pictures(&model->setup, &model->pictures, error));
    SO_TRY(list_unused(model, error));
    SO_TRY(open_codec(model, path, options, error));
    choose_habits(model, options->front);
    return SO_OK;
}

static so_status check_options(const so_model_options *o, so_error *error)
{
    if (o && (o->context < 0 || o->context > MOST_POSITIONS))
        return so_fail(error, SO_ERR_ARG, "context is %lld, expected 0 to %d", (long long)o->context, MOST_POSITIONS);
    if (o && (o->precision < SO_PRECISION_AUTO || o->precision > SO_PRECISION_INT8))
        return so_fail(error, SO_ERR_ARG, "precision is %d, expected %d to %d", (int)o->precision, SO_PRECISION_AUTO,
                       SO_PRECISION_INT8);
    return SO_OK;
}

/* Whether the codec goes to the device, too. */
static so_status choose_codec_device(so_model *model, const so_model_options *options, so_error *error)
{
    const char *wish = options->codec_device;
    model->codec_device = model->device;
    if (!wish || !*wish) return SO_OK;
    if (strcmp(wish, "cpu") == 0)
        model->codec_device = NULL;
    else if (!options->device || strcmp(wish, options->device) != 0)
        return so_fail(error, SO_ERR_ARG, "the codec's device is '%.60s', expected cpu or that of the model (%.60s)",
                       wish, options->device ? options->device : "cpu");
    return SO_OK;
}

so_status so_model_device(const so_model_options *options, so_device **device, so_error *error)
{
    const char *wish = options ? options->device : NULL;
    *device = NULL;
    SO_TRY(check_options(options, error));
    return wish && *wish && strcmp(wish, "cpu") ? so_device_open(device, wish, error) : SO_OK;
}

so_status so_model_load(so_model **out, const char *path, const so_model_options *options, so_device *device,
                        so_error *error)
{
    static const so_model_options none;
    so_model *model = calloc(1, sizeof *model);
    *out = NULL;
    if (!model) {
        so_device_close(&device);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a model");
    }
    if (!options) options = &none;
    so_shelf_init(&model->beginnings);
    model->device = device;
    so_status status = choose_codec_device(model, options, error);
    if (status == SO_OK) status = open_model(model, path, options, error);
    if (status == SO_OK)
        *out = model;
    else
        so_model_close(&model);
    return status;
}

void so_model_keep_layers(so_model *model, int64_t layers)
{
    model->device_layers = layers;
    so_llama_stay(&model->net.backbone, layers);
}

so_status so_model_settle(so_model *model, so_error *error)
{
    if (!model->device && !model->small && model->prefault == 0)
        so_ahead_begin(&model->ahead, &model->store, so_model_views(model));
    if (!model->device) return SO_OK;
    SO_TRY(so_store_upload(&model->store, model->device, error));
    so_store_forget(&model->store, so_model_views(model));
    if (model->lora.count) SO_TRY(so_store_upload(&model->lora.store, model->device, error));
    return model->codec_device ? so_codec_upload(&model->codec, model->codec_device, error) : SO_OK;
}

void so_model_close(so_model **model)
{
    if (!model || !*model) return;
    so_model *m = *model;
    so_ahead_end(&m->ahead);
    so_codec_close(&m->codec);
    so_lora_close(&m->lora);
    so_store_close(&m->store);
    so_tokenizer_close(&m->tokenizer);
    so_safetensors_close(&m->safetensors);
    so_gguf_close(&m->gguf);
    so_pool_close(&m->pool);
    so_device_close(&m->device);
    so_shelf_clear(&m->beginnings);
    free(m->spoken);
    free(m->unused);
    free(m->lora_path);
    free(m->path);
    free(m);
    *model = NULL;
}

void so_model_about(const so_model *model, so_model_info *info)
{
    if (!info) return;
    *info = (so_model_info){.name = "", .path = "", .voice = "", .device = "", .lora = ""};
    if (!model) return;
    const so_omni_config *c = &model->setup.omni;
    const so_codec *codec = &model->codec;
    *info = (so_model_info){.name = model->setup.name, .path = model->path};
    info->parameters = so_store_parameters(&model->store, NULL);
    info->text_rows = c->text_rows;
    info->audio_rows = c->audio_rows;
    info->units = model->units;
    info->width = (int)c->llama.width;
    info->bottom = (int)c->bottom;
    info->backbone = (int)c->backbone;
    info->top = (int)c->top;
    info->takes_units = c->speech;
    info->takes_audio = codec->has_tokenizer;
    info->speaks = c->speech && codec->has_vocoder;
    info->front = model->front;
    info->voice = codec->speaker_name;
    info->sees = c->vision;
    info->picture_side = c->vision ? (int)c->siglip.image : 0;
    info->picture_vectors = c->vision ? (int)(so_siglip_grid(&c->siglip) * so_siglip_grid(&c->siglip)) : 0;
    info->unused = model->n_unused ? model->unused : NULL;
    info->n_unused = model->n_unused;
    info->int8 = model->kernels->int8;
    info->device = model->device ? so_device_about(model->device)->name : "cpu";
    info->lora = model->lora.count ? model->lora_path : "";
    info->n_lora = (int)model->lora.count;
    info->codec_device = model->codec_device ? info->device : "cpu";
    info->device_layers = (int)model->device_layers;
}

so_status so_model_save(const so_model *model, const char *path, const so_save_options *options, so_error *error)
{
    if (!model || !path) return so_fail(error, SO_ERR_ARG, "no model, or no path to write it to");
    if (model->device)
        return so_fail(error, SO_ERR_STATE, "a model on %s cannot be saved: open it on the host",
                       so_device_about(model->device)->name);
    if (model->lora.count)
        return so_fail(error, SO_ERR_STATE,
                       "a model with adapters (%s) can't be saved: open it without, or merge them (convert --lora)",
                       model->lora_path);
    const so_save_parts all = {&model->setup, model->tokenizer, &model->store, &model->codec, model->pool};
    return so_save_parts_to(&all, path, options, error);
}

int64_t so_model_prompt_rows(const so_model *model)
{
    int64_t rows = (int64_t)(10e9 / model->elements) / 64 * 64;
    return !model->small || rows < 64 ? 64 : rows > 512 ? 512 : rows;
}

so_status so_model_kv_type(const so_model *model, const char *name, so_type *type, so_error *error)
{
    static const so_type known[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    int64_t width = model->setup.omni.llama.head_width;
    *type = name ? SO_TYPE_COUNT : model->kernels->int8 ? SO_F16 : SO_F32;
    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
        if (strcmp(name, so_type_about(known[i])->name) == 0) *type = known[i];
    if (*type == SO_TYPE_COUNT)
        return so_fail(error, SO_ERR_ARG, "keys and values as '%.40s', expected f32, f16, bf16 or q8_0", name);
    if (width % so_type_about(*type)->block)
        return so_fail(error, SO_ERR_ARG, "keys and values as %s need heads of a multiple of %d numbers, found %lld",
                       name, so_type_about(*type)->block, (long long)width);
    return SO_OK;
}

bool so_model_stays_near(const so_model *model)
{
    const so_views *views = so_model_views(model);
    size_t bytes = 0;
    for (int64_t i = 0; i < views->count; i++) bytes += views->view[i].bytes;
    return bytes < (size_t)64 << 20 && !model->device;
}
