/* Opening the codec.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "checkpoint/codec.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/guess.h"
#include "base/sha.h"
#include "formats/onnx_campplus.h"
#include "formats/onnx_tokenizer.h"

enum { PATH = 4096 };

/* ---- sizes */

static void integer(const json_t *json, const char *key, int64_t *value)
{
    const json_t *v = json_object_get(json, key);
    if (json_is_integer(v)) *value = json_integer_value(v);
}

static void number(const json_t *json, const char *key, double *value)
{
    const json_t *v = json_object_get(json, key);
    if (json_is_number(v)) *value = json_number_value(v);
}

static void integers(const json_t *json, const char *key, int64_t *value, int64_t most, int64_t *n)
{
    const json_t *list = json_object_get(json, key);
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > (size_t)most) return;
    for (size_t i = 0; i < count; i++) value[i] = json_integer_value(json_array_get(list, i));
    if (n) *n = (int64_t)count;
}

static so_speech_tokenizer_config tokenizer_sizes(const json_t *json)
{
    so_speech_tokenizer_config c = {
        .mels = 128, .width = 1280, .heads = 20, .layers = 6, .codes = 4096, .context = 1500, .stride = {2, 2}};
    integer(json, "n_mels", &c.mels);
    integer(json, "dim", &c.width);
    integer(json, "heads", &c.heads);
    integer(json, "layers", &c.layers);
    integer(json, "codebook", &c.codes);
    integer(json, "n_ctx", &c.context);
    integers(json, "conv_strides", c.stride, 2, NULL);
    c.ff = 4 * c.width;
    integer(json, "ffn", &c.ff);
    return c;
}

static so_flow_config flow_sizes(const json_t *json)
{
    so_flow_config c = so_flow_published();
    const struct {
        const char *key;
        int64_t *value;
    } row[] = {{"vocab", &c.units},         {"enc_dim", &c.width},           {"enc_heads", &c.heads},
               {"enc_ffn", &c.ff},          {"enc_layers", &c.layers},       {"est_channels", &c.channels},
               {"est_heads", &c.est_heads}, {"est_head_dim", &c.head_width}, {"est_blocks", &c.est_blocks},
               {"est_mid", &c.mid},         {"spk_dim", &c.speaker},         {"input_frame_rate", &c.unit_rate},
               {"n_mels", &c.mels},         {"n_timesteps", &c.steps},       {"sample_rate", &c.rate},
               {"border", &c.border}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) integer(json, row[i].key, row[i].value);
    number(json, "inference_cfg_rate", &c.guidance);
    number(json, "sigma_min", &c.sigma_min);
    number(json, "temperature", &c.temperature);
    return c;
}

static so_hift_config hift_sizes(const json_t *json)
{
    so_hift_config c = so_hift_published();
    integer(json, "base_channels", &c.channels);
    integer(json, "f0_channels", &c.f0_channels);
    integer(json, "n_mels", &c.mels);
    integer(json, "sample_rate", &c.rate);
    integer(json, "nb_harmonics", &c.harmonics);
    integers(json, "upsample_rates", c.up_rate, SO_HIFT_STAGES, &c.stages);
    integers(json, "upsample_kernel_sizes", c.up_kernel, SO_HIFT_STAGES, NULL);
    integers(json, "source_resblock_kernel_sizes", c.source_kernel, SO_HIFT_STAGES, NULL);
    integers(json, "resblock_kernel_sizes", c.kernel, SO_HIFT_KERNELS, NULL);
    integers(json, "dilations", c.dilation, SO_HIFT_KERNELS, NULL);
    integer(json, "istft_n_fft", &c.n_fft);
    integer(json, "istft_hop", &c.hop);
    number(json, "nsf_alpha", &c.loud);
    number(json, "nsf_sigma", &c.noise);
    number(json, "voiced_threshold", &c.voiced);
    number(json, "audio_limit", &c.limit);
    return c;
}

static so_status check_sizes(const so_codec *codec, so_error *error)
{
    const so_speech_tokenizer_config *t = &codec->tokenizer.config;
    const so_flow_config *f = &codec->flow.config;
    const so_hift_config *h = &codec->hift.config;
    const int64_t all[] = {t->mels,       t->width,       t->heads, t->codes, t->context,   t->stride[0], t->stride[1],
                           f->units,      f->width,       f->heads, f->ff,    f->channels,  f->est_heads, f->head_width,
                           f->est_blocks, f->speaker,     f->mels,  f->steps, f->unit_rate, f->rate,      f->hop,
                           h->channels,   h->f0_channels, h->mels,  h->rate,  h->n_fft,     h->hop,       h->stages};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] < 1 || all[i] > 1 << 20)
            return so_fail(error, SO_ERR_FORMAT, "the codec's config.json holds a size of %lld", (long long)all[i]);
    if (t->width % t->heads || f->width % f->heads || h->harmonics < 0 || h->harmonics >= SO_HIFT_HARMONICS)
        return so_fail(error, SO_ERR_FORMAT, "the codec's config.json holds heads that do not divide a width");
    if (f->mels != h->mels || f->rate != h->rate || f->hop != so_hift_samples(h))
        return so_fail(error, SO_ERR_FORMAT,
                       "the codec's flow and vocoder differ: %lld and %lld bins, %lld and %lld Hz", (long long)f->mels,
                       (long long)h->mels, (long long)f->rate, (long long)h->rate);
    return SO_OK;
}

so_status so_codec_sizes(so_codec *codec, const json_t *json, so_error *error)
{
    codec->tokenizer.config = tokenizer_sizes(json_object_get(json, "tokenizer"));
    codec->trims = json_integer_value(json_object_get(json_object_get(json, "tokenizer"), "trim_silence")) != 0;
    const json_t *front = json_object_get(json_object_get(json, "tokenizer"), "front");
    codec->front = json_is_integer(front) ? (json_integer_value(front) ? 1 : -1) : 0;
    codec->flow.config = flow_sizes(json_object_get(json, "flow"));
    codec->hift.config = hift_sizes(json_object_get(json, "hift"));
    return check_sizes(codec, error);
}

static so_status read_sizes(so_codec *codec, so_error *error)
{
    json_error_t where;
    if (codec->config && so_refuse_strange_text(codec->config, strlen(codec->config), error) != SO_OK)
        return so_fail_in(error, "the codec's config.json");
    json_t *json = codec->config ? json_loads(codec->config, 0, &where) : NULL;
    if (codec->config && !json)
        return so_fail(error, SO_ERR_FORMAT, "the codec's config.json, line %d: %s", where.line, where.text);
    so_status status = so_codec_sizes(codec, json, error);
    json_decref(json);
    return status;
}

/* ---- files */

static bool there(char *out, const char *folder, const char *name)
{
    int n = snprintf(out, PATH, "%s/%s", folder, name);
    return n > 0 && n < PATH && access(out, R_OK) == 0;
}

so_status so_codec_part_open(so_codec_part *part, const char *folder, const char *name, const so_views **views,
                             so_error *error)
{
    char path[PATH], file[64];
    *views = NULL;
    snprintf(file, sizeof file, "%s.safetensors", name);
    if (there(path, folder, file)) {
        SO_TRY(so_safetensors_open(&part->safetensors, path, error));
        *views = so_safetensors_views(part->safetensors);
        return SO_OK;
    }
    snprintf(file, sizeof file, "%s.pt", name);
    if (there(path, folder, file)) {
        SO_TRY(so_torchzip_open(&part->zip, path, error));
        *views = so_torchzip_views(part->zip);
        return SO_OK;
    }
    snprintf(file, sizeof file, "%s.onnx", name);
    if (strcmp(name, "speech_tokenizer_v1") != 0 || !there(path, folder, file)) return SO_OK;
    SO_TRY(so_onnx_open(&part->onnx, path, error));
    SO_TRY(so_speech_tokenizer_views(part->onnx, &part->views, error));
    *views = &part->views;
    return SO_OK;
}

/* Whether the network of these weights' sizes finds all of them. */
static so_status try_cam(const so_views *views, so_error *error)
{
    so_store store;
    so_cam cam;
    so_cam_config config = so_cam_sizes(views, "");
    SO_TRY(so_store_open(&store, 0, error));
    so_binder binder = {.store = &store, .source = views, .kernels = so_kernels_c(), .expand = true};
    so_status status = so_cam_bind(&cam, &config, "", &binder, error);
    if (status == SO_OK) status = so_binder_finish(&binder, "CAM++", error);
    so_store_close(&store);
    return status;
}

/* Speaking does without it: an ONNX file that holds another network than is known here is left alone. */
so_status so_codec_cam_open(so_codec_part *part, const char *folder, const so_views **views, char why[SO_CODEC_WHY],
                            so_error *error)
{
    char path[PATH];
    so_error own = {0};
    why[0] = 0;
    SO_TRY(so_codec_part_open(part, folder, "campplus", views, error));
    if (*views || !there(path, folder, "campplus.onnx")) return SO_OK;
    so_status status = so_onnx_open(&part->onnx, path, &own);
    if (status == SO_OK) status = so_campplus_views(part->onnx, &part->views, &own);
    if (status == SO_OK) status = try_cam(&part->views, &own);
    if (status == SO_OK) *views = &part->views;
    if (status == SO_OK) return SO_OK;
    so_codec_part_close(part);
    *part = (so_codec_part){.safetensors = NULL};
    snprintf(why, SO_CODEC_WHY, "campplus.onnx: %.240s", own.text);
    return SO_OK;
}

typedef struct sources {
    const so_views *ears, *flow, *hift, *voices, *cam;
    so_codec_part voice_part;
    const char *ears_prefix, *flow_prefix, *hift_prefix, *cam_prefix;
} sources;

void so_codec_part_close(so_codec_part *part)
{
    so_store_close(&part->store);
    so_safetensors_close(&part->safetensors);
    so_torchzip_close(&part->zip);
    so_views_clear(&part->views);
    so_onnx_close(&part->onnx);
}

static so_status find_folder(so_codec *codec, sources *s, const char *folder, so_error *error)
{
    char path[PATH];
    size_t size;
    bool any = false;
    s->ears_prefix = s->flow_prefix = s->hift_prefix = s->cam_prefix = "";
    SO_TRY(so_codec_part_open(&codec->ears, folder, "speech_tokenizer_v1", &s->ears, error));
    SO_TRY(so_codec_part_open(&codec->flow_part, folder, "flow", &s->flow, error));
    SO_TRY(so_codec_part_open(&codec->hift_part, folder, "hift", &s->hift, error));
    SO_TRY(so_codec_part_open(&s->voice_part, folder, "spk2info", &s->voices, error));
    SO_TRY(so_codec_cam_open(&codec->cam_part, folder, &s->cam, codec->cam_why, error));
    any = s->ears || s->flow || s->hift;
    if (any && there(path, folder, "config.json")) SO_TRY(so_file_read(path, 1 << 20, &codec->config, &size, error));
    return SO_OK;
}

static so_status find_gguf(so_codec *codec, sources *s, const so_gguf *gguf, so_error *error)
{
    const so_views *all = so_gguf_views(gguf);
    s->ears_prefix = "codec.tokenizer.";
    s->flow_prefix = "codec.flow.";
    s->hift_prefix = "codec.hift.";
    s->cam_prefix = SO_CODEC_CAM;
    if (so_views_find(all, "codec.tokenizer.encoder.conv1.weight")) s->ears = all;
    if (so_views_find(all, "codec.flow.input_embedding.weight")) s->flow = all;
    if (so_views_find(all, "codec.hift.conv_pre.bias") || so_views_find(all, "codec.hift.generator.conv_pre.bias"))
        s->hift = all;
    s->voices = s->flow ? all : NULL;
    if (so_views_find(all, SO_CODEC_CAM "head.conv1.weight")) s->cam = all;
    if (!so_gguf_has(gguf, "stream_omni.codec")) return SO_OK;
    so_span text;
    SO_TRY(so_gguf_string(gguf, "stream_omni.codec", &text, error));
    codec->config = strndup(text.data, text.length);
    return codec->config ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for the codec's configuration");
}

/* ---- voices */

static const so_view *voice_view(const so_views *views, const char *wanted, int64_t width, bool gguf)
{
    const so_view *first = NULL;
    if (gguf) return so_views_find(views, "codec.speaker");
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *v = &views->view[i];
        if (v->type != SO_F32 || so_view_elements(v) != width) continue;
        size_t length = strcspn(v->name, ".");
        if (strlen(wanted) == length && strncmp(v->name, wanted, length) == 0) return v;
        if (!first) first = v;
    }
    return first;
}

/* A GGUF file has its voice in codec.speaker, and all that it could have in codec.voices. */
static so_status gguf_voice(so_codec *codec, const so_codec_source *source, const so_views *views, so_error *error)
{
    int64_t width = codec->flow.config.speaker;
    const so_view *all = so_views_find(views, "codec.voices");
    so_gguf_array names = {0};
    so_span name = {0};
    if (so_gguf_has(source->gguf, "stream_omni.voice"))
        SO_TRY(so_gguf_string(source->gguf, "stream_omni.voice", &name, error));
    if (all) SO_TRY(so_gguf_array_of(source->gguf, "stream_omni.voices", SO_GGUF_STRING, &names, error));
    if (all && (all->type != SO_F32 || names.n * width != so_view_elements(all)))
        return so_fail(error, SO_ERR_SHAPE, "'codec.voices' is not %lld voices of %lld numbers", (long long)names.n,
                       (long long)width);
    for (int64_t i = 0; i < names.n && source->speaker; i++) {
        so_span one = so_gguf_string_at(&names, i);
        if (one.length != strlen(source->speaker) || memcmp(one.data, source->speaker, one.length) != 0) continue;
        memcpy(codec->speaker, (const float *)all->data + i * width, (size_t)width * sizeof *codec->speaker);
        name = one;
    }
    if (name.length) snprintf(codec->speaker_name, sizeof codec->speaker_name, "%.*s", SO_SPAN_ARGS(name));
    if (source->speaker && strcmp(codec->speaker_name, source->speaker) != 0)
        return so_fail(error, SO_ERR_MISSING, "no voice '%.60s' among those of the codec", source->speaker);
    return SO_OK;
}

static so_status take_voice(so_codec *codec, const so_codec_source *source, const sources *s, so_error *error)
{
    int64_t width = codec->flow.config.speaker;
    codec->speaker = calloc((size_t)width, sizeof *codec->speaker);
    if (!codec->speaker) return so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
    if (!s->voices) return SO_OK;
    const so_view *v = voice_view(s->voices, source->speaker ? source->speaker : "英文女", width, source->gguf);
    if (!source->gguf && source->speaker && (!v || strncmp(v->name, source->speaker, strlen(source->speaker)) != 0))
        return so_fail(error, SO_ERR_MISSING, "no voice '%.60s' among those of the codec", source->speaker);
    if (!v) return SO_OK;
    if (v->type != SO_F32 || so_view_elements(v) != width)
        return so_fail(error, SO_ERR_SHAPE, "the voice '%.60s' has %lld numbers, expected %lld", v->name,
                       (long long)so_view_elements(v), (long long)width);
    memcpy(codec->speaker, v->data, (size_t)width * sizeof *codec->speaker);
    snprintf(codec->speaker_name, sizeof codec->speaker_name, "%.*s", (int)strcspn(v->name, "."), v->name);
    return source->gguf ? gguf_voice(codec, source, s->voices, error) : SO_OK;
}

/* ---- networks */

static const so_kernels *kernels_of(const so_codec_source *source)
{
    return source->kernels ? source->kernels : so_kernels_c();
}

static so_status start_part(so_codec_part *part, so_binder *binder, const so_codec_source *source,
                            const so_views *views, so_error *error)
{
    SO_TRY(so_store_open(&part->store, 0, error));
    /* Convolutions and everything small want f32; these networks are small. */
    *binder = (so_binder){.store = &part->store,
                          .source = views,
                          .pool = source->pool,
                          .kernels = kernels_of(source),
                          .expand = true,
                          .bf16 = source->bf16,
                          .products = source->stored,
                          .check_finite = true};
    return SO_OK;
}

static so_status bind_ears(so_codec *codec, const so_codec_source *source, const sources *s, so_error *error)
{
    so_binder binder;
    so_speech_tokenizer_config config = codec->tokenizer.config;
    SO_TRY(start_part(&codec->ears, &binder, source, s->ears, error));
    SO_TRY(so_speech_tokenizer_bind(&codec->tokenizer, &config, s->ears_prefix, &binder, error));
    SO_TRY(so_binder_finish(&binder, "the speech tokenizer", error));
    if (source->bf16) SO_TRY(so_store_lay_bf16(&codec->ears.store, NULL, kernels_of(source), source->pool, error));
    if (source->gguf) so_store_forget(&codec->ears.store, s->ears);
    codec->has_tokenizer = true;
    SO_TRY(so_mel_open(&codec->mel, SO_MEL_WHISPER, error));
    if (so_mel_bins(codec->mel) != config.mels)
        return so_fail(error, SO_ERR_UNSUPPORTED, "a speech tokenizer of %lld mel bins, expected %d",
                       (long long)config.mels, so_mel_bins(codec->mel));
    return SO_OK;
}

static so_status bind_mouth(so_codec *codec, const so_codec_source *source, const sources *s, so_error *error)
{
    so_binder binder;
    so_flow_config flow = codec->flow.config;
    so_hift_config hift = codec->hift.config;
    SO_TRY(start_part(&codec->flow_part, &binder, source, s->flow, error));
    SO_TRY(so_flow_bind(&codec->flow, &flow, s->flow_prefix, &binder, error));
    SO_TRY(so_binder_finish(&binder, "the flow", error));
    if (source->bf16) SO_TRY(so_store_lay_bf16(&codec->flow_part.store, NULL, kernels_of(source), source->pool, error));
    if (source->gguf) so_store_forget(&codec->flow_part.store, s->flow);
    SO_TRY(start_part(&codec->hift_part, &binder, source, s->hift, error));
    binder.bf16 = binder.products = false; /* its weights are folded first */
    SO_TRY(so_hift_bind(&codec->hift, &hift, s->hift_prefix, &binder, error));
    SO_TRY(so_binder_finish(&binder, "the vocoder", error));
    if (source->gguf) so_store_forget(&codec->hift_part.store, s->hift);
    SO_TRY(so_hift_fold(&codec->hift, kernels_of(source), &codec->hift_part.store.memory, error));
    if (source->bf16)
        SO_TRY(so_hift_lay_bf16(&codec->hift, kernels_of(source), &codec->hift_part.store.memory, source->pool, error));
    codec->has_vocoder = true;
    return SO_OK;
}

/* It runs once for a recording: in f32, on the host. */
static so_status bind_cam(so_codec *codec, const so_codec_source *source, const sources *s, so_error *error)
{
    so_binder binder;
    so_cam_config config = so_cam_sizes(s->cam, s->cam_prefix);
    SO_TRY(start_part(&codec->cam_part, &binder, source, s->cam, error));
    binder.bf16 = binder.products = false;
    SO_TRY(so_cam_bind(&codec->cam, &config, s->cam_prefix, &binder, error));
    SO_TRY(so_binder_finish(&binder, "CAM++", error));
    if (source->gguf) so_store_forget(&codec->cam_part.store, s->cam);
    if (config.mels != SO_CODEC_CAM_MELS || config.vector != codec->flow.config.speaker)
        return so_fail(error, SO_ERR_SHAPE, "CAM++ makes %lld numbers of %lld bins, expected %lld (the flow's) of %d",
                       (long long)config.vector, (long long)config.mels, (long long)codec->flow.config.speaker,
                       SO_CODEC_CAM_MELS);
    codec->has_cam = true;
    return SO_OK;
}

/* Of weights that are few, and stay f32 in every file. */
static void mark(so_codec *codec)
{
    const so_tensor *all[] = {codec->flow.speaker_b, codec->flow.after_b, codec->flow.proj_b};
    char hex[65];
    so_sha sha;
    so_sha_init(&sha, SO_SHA256);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        so_sha_feed(&sha, all[i]->data, (size_t)so_count(all[i]) * sizeof(so_real));
    so_sha_end(&sha, hex);
    snprintf(codec->mark, sizeof codec->mark, "%.16s", hex);
}

static so_status open_codec(so_codec *codec, const so_codec_source *source, sources *s, so_error *error)
{
    SO_TRY(source->gguf ? find_gguf(codec, s, source->gguf, error) : find_folder(codec, s, source->folder, error));
    if (!s->ears && !s->flow && !s->hift) return SO_OK;
    SO_TRY(read_sizes(codec, error));
    if (s->ears) SO_TRY(bind_ears(codec, source, s, error));
    if (!s->flow && !s->hift) return SO_OK;
    if (!s->flow || !s->hift)
        return so_fail(error, SO_ERR_MISSING, "the codec has a %s but no %s", s->flow ? "flow" : "vocoder",
                       s->flow ? "vocoder" : "flow");
    SO_TRY(take_voice(codec, source, s, error));
    SO_TRY(bind_mouth(codec, source, s, error));
    mark(codec);
    return s->cam ? bind_cam(codec, source, s, error) : SO_OK;
}

so_status so_codec_open(so_codec *codec, const so_codec_source *source, so_error *error)
{
    sources s = {0};
    *codec = (so_codec){0};
    so_status status = open_codec(codec, source, &s, error);
    so_codec_part_close(&s.voice_part);
    if (status != SO_OK) so_codec_close(codec);
    return status;
}

void so_codec_close(so_codec *codec)
{
    so_codec_part_close(&codec->ears);
    so_codec_part_close(&codec->flow_part);
    so_codec_part_close(&codec->hift_part);
    so_codec_part_close(&codec->cam_part);
    so_mel_close(&codec->mel);
    free(codec->speaker);
    free(codec->config);
    *codec = (so_codec){0};
}
