/* Opening stored models without making networks of them.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "checkpoint/source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/guess.h"
#include "checkpoint/tokenizer_gguf.h"

enum { PATH = 4096, TEXT_MAX = 16 << 20 };

const char *const so_source_text_name[SO_SOURCE_TEXTS] = {"config.json", "generation_config.json",
                                                          "tokenizer_config.json", "special_tokens_map.json",
                                                          "preprocessor_config.json"};
enum { CONFIG, GENERATION, TOKENIZER, SPECIALS, PREPROCESSOR };

static const char tower_prefix[] = "model.vision_tower.vision_tower.";

/* "folder/name" if it can be read, else NULL. */
static const char *there(char path[PATH], const char *folder, const char *name)
{
    int n = snprintf(path, PATH, "%s/%s", folder, name);
    return n > 0 && n < PATH && access(path, R_OK) == 0 ? path : NULL;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What tells a file from another of the same path: bytes, time of change. */
static bool mark_of(const char *path, char mark[64])
{
    struct stat st;
    if (stat(path, &st) != 0) return false;
    snprintf(mark, 64, "%lld %lld.%09ld", (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return true;
}

static so_status note_file(so_source *s, const char *path, so_error *error)
{
    char mark[64], *longer;
    if (!mark_of(path, mark)) return SO_OK;
    if (asprintf(&longer, "%s%s %s\n", s->identity ? s->identity : "", path, mark) < 0)
        return so_fail(error, SO_ERR_NOMEM, "no memory for a list of files");
    free(s->identity);
    s->identity = longer;
    return SO_OK;
}

so_status so_source_unchanged(const so_source *s, so_error *error)
{
    char *copy = strdup(s->identity ? s->identity : ""), *save = NULL, mark[64];
    if (!copy) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of files");
    so_status status = SO_OK;
    for (char *line = strtok_r(copy, "\n", &save); line && status == SO_OK; line = strtok_r(NULL, "\n", &save)) {
        char *noted = strrchr(line, ' ');
        while (noted > line && *--noted != ' ') continue; /* the mark is two words */
        if (noted <= line) continue;                      /* a path with a line break in it */
        *noted++ = 0;
        if (!mark_of(line, mark) || strcmp(mark, noted) != 0)
            status = so_fail(error, SO_ERR_STATE, "'%s' was changed by somebody else while it was read", line);
    }
    free(copy);
    return status;
}

static so_status merge(so_source *s, const so_views *views, const char *prefix, so_error *error)
{
    char name[SO_VIEW_NAME_MAX + 64];
    for (int64_t i = 0; i < views->count; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, views->view[i].name);
        SO_TRY(so_views_add(&s->views, so_span_of(name), &views->view[i], error));
        const char *kept = s->views.view[s->views.count - 1].name;
        if (so_views_owns(views, &views->view[i])) SO_TRY(so_names_add(&s->copied, so_span_of(kept), error));
    }
    return SO_OK;
}

/* ---- texts */

static so_status parse(const char *text, const char *what, json_t **root, so_error *error)
{
    json_error_t where;
    *root = NULL;
    if (so_refuse_strange_text(text, strlen(text), error) != SO_OK) return so_fail_in(error, "%s", what);
    *root = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (json_is_object(*root)) return SO_OK;
    json_decref(*root);
    *root = NULL;
    return so_fail(error, SO_ERR_FORMAT, "%s, line %d: %s", what, where.line, where.text);
}

/* chat_template is a text or a list of {name, template}, of which "default" is meant. */
static const char *template_of(const json_t *root)
{
    const json_t *value = json_object_get(root, "chat_template"), *one;
    const char *found = json_string_value(value);
    size_t i;
    if (json_is_array(value)) json_array_foreach(value, i, one)
        {
            const char *name = json_string_value(json_object_get(one, "name"));
            if (!found || (name && strcmp(name, "default") == 0))
                found = json_string_value(json_object_get(one, "template"));
        }
    return found;
}

static so_status take_template(so_source *s, so_error *error)
{
    json_t *root;
    if (!s->text[TOKENIZER]) return SO_OK;
    SO_TRY(parse(s->text[TOKENIZER], "tokenizer_config.json", &root, error));
    const char *found = template_of(root);
    s->chat_template = found ? strdup(found) : NULL;
    bool lost = found && !s->chat_template;
    json_decref(root);
    return lost ? so_fail(error, SO_ERR_NOMEM, "no memory for a template") : SO_OK;
}

static bool all_are(const json_t *list, double value)
{
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one)
    {
        if (fabs(json_number_value(one) - value) > 1e-6) return false;
    }
    return true;
}

/* Pictures are prepared one way here; a file that asks for another is refused rather than ignored. */
static so_status check_preprocessor(const so_source *s, so_error *error)
{
    json_t *root;
    if (!s->text[PREPROCESSOR]) return SO_OK;
    SO_TRY(parse(s->text[PREPROCESSOR], so_source_text_name[PREPROCESSOR], &root, error));
    const json_t *size = json_object_get(root, "size"), *rescale = json_object_get(root, "rescale_factor");
    const json_t *resample = json_object_get(root, "resample");
    int64_t side = s->setup.omni.siglip.image;
    const char *wrong = NULL;
    if (!all_are(json_object_get(root, "image_mean"), 0.5)) wrong = "image_mean is not 0.5";
    if (!all_are(json_object_get(root, "image_std"), 0.5)) wrong = "image_std is not 0.5";
    if (json_is_number(rescale) && fabs(json_number_value(rescale) - 1.0 / 255) > 1e-9)
        wrong = "rescale_factor is not 1/255";
    if (json_is_integer(resample) && json_integer_value(resample) != 3) wrong = "resample is not bicubic (3)";
    if (json_is_object(size) && (json_integer_value(json_object_get(size, "height")) != side ||
                                 json_integer_value(json_object_get(size, "width")) != side))
        wrong = "size is not the vision tower's";
    json_decref(root);
    return wrong ? so_fail(error, SO_ERR_UNSUPPORTED, "%s: %s", so_source_text_name[PREPROCESSOR], wrong) : SO_OK;
}

/* ---- folders */

static so_status open_tokenizer(so_source *s, const char *folder, const char *elsewhere, so_error *error)
{
    char path[PATH];
    const char *at = elsewhere && !is_folder(elsewhere) ? elsewhere : NULL;
    const char *in = elsewhere ? elsewhere : folder;
    int64_t units = s->setup.audio_vocab ? s->setup.audio_vocab : 4096;
    if (!at) at = there(path, in, "tokenizer.json");
    if (!at) at = there(path, in, "tokenizer.model");
    if (!at) return so_fail(error, SO_ERR_MISSING, "%s: neither tokenizer.json nor tokenizer.model", in);
    SO_TRY(note_file(s, at, error));
    size_t length = strlen(at);
    if (length > 5 && strcmp(at + length - 5, ".json") == 0) return so_tokenizer_load_json(&s->tokenizer, at, error);
    return so_tokenizer_load_ranks(&s->tokenizer, at, (int32_t)units, error);
}

static so_status note_shards(so_source *s, const char *folder, so_error *error)
{
    char path[PATH];
    if (there(path, folder, "model.safetensors")) return note_file(s, path, error);
    if (!there(path, folder, "model.safetensors.index.json")) return SO_OK;
    SO_TRY(note_file(s, path, error));
    json_t *index = json_load_file(path, 0, NULL), *map = json_object_get(index, "weight_map"), *value;
    const char *tensor;
    so_names noted = {0};
    so_status status = SO_OK;
    json_object_foreach(map, tensor, value)
    {
        const char *shard = json_string_value(value);
        if (status != SO_OK || !shard || so_names_find(&noted, so_span_of(shard)) >= 0) continue;
        status = so_names_add(&noted, so_span_of(shard), error);
        if (status == SO_OK && there(path, folder, shard)) status = note_file(s, path, error);
    }
    so_names_clear(&noted);
    json_decref(index);
    return status;
}

static so_status open_model_folder(so_source *s, const char *folder, const char *tokenizer, so_error *error)
{
    char path[PATH];
    size_t size;
    if (s->model || s->gguf) return so_fail(error, SO_ERR_FORMAT, "'%s' is a second model", folder);
    for (int i = 0; i < SO_SOURCE_TEXTS; i++)
        if (there(path, folder, so_source_text_name[i]))
            SO_TRY(so_file_read(path, TEXT_MAX, &s->text[i], &size, error));
    if (!s->text[CONFIG])
        return so_fail(error, SO_ERR_MISSING,
                       "'%s' has weights and no config.json, which says what they are (part of every published model)",
                       folder);
    if (so_setup_parse(&s->setup, s->text[CONFIG], s->text[GENERATION], error) != SO_OK)
        return so_fail_in(error, "'%.300s'", folder);
    SO_TRY(take_template(s, error));
    SO_TRY(check_preprocessor(s, error));
    if (!s->setup.name[0]) {
        char whole[PATH];
        const char *base = realpath(folder, whole) ? strrchr(whole, '/') : NULL;
        if (base) snprintf(s->setup.name, sizeof s->setup.name, "%.63s", base + 1);
    }
    SO_TRY(so_safetensors_open_unaligned(&s->model, folder, error));
    SO_TRY(note_shards(s, folder, error));
    SO_TRY(merge(s, so_safetensors_views(s->model), "", error));
    return open_tokenizer(s, folder, tokenizer, error);
}

/* A SigLIP checkpoint: its names lack the model's prefix, its text tower is not wanted. */
static so_status open_tower_folder(so_source *s, const char *folder, so_error *error)
{
    char name[SO_VIEW_NAME_MAX + 64];
    if (s->tower) return so_fail(error, SO_ERR_FORMAT, "'%s' is a second vision tower", folder);
    SO_TRY(so_safetensors_open_unaligned(&s->tower, folder, error));
    SO_TRY(note_shards(s, folder, error));
    const so_views *views = so_safetensors_views(s->tower);
    for (int64_t i = 0; i < views->count; i++) {
        if (strncmp(views->view[i].name, "vision_model.", 13) != 0) continue;
        snprintf(name, sizeof name, "%s%s", tower_prefix, views->view[i].name);
        SO_TRY(so_views_add(&s->views, so_span_of(name), &views->view[i], error));
    }
    return SO_OK;
}

static so_status add_voice(so_source *s, const char *name, const float *numbers, int64_t width, so_error *error)
{
    if (s->n_voices == s->voices_capacity) {
        int64_t capacity = s->voices_capacity * 2 + 8;
        char **names = realloc(s->voice_name, (size_t)capacity * sizeof *names);
        if (names) s->voice_name = names;
        float *voices = names ? realloc(s->voice, (size_t)(capacity * width) * sizeof *voices) : NULL;
        if (!voices) return so_fail(error, SO_ERR_NOMEM, "no memory for voices");
        s->voice = voices;
        s->voices_capacity = capacity;
    }
    if (!(s->voice_name[s->n_voices] = strdup(name))) return so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
    memcpy(s->voice + s->n_voices++ * width, numbers, (size_t)width * sizeof *numbers);
    return SO_OK;
}

/* spk2info.pt: {name: {"embedding": [1, width]}}. */
static so_status take_voices(so_source *s, const so_views *views, so_error *error)
{
    int64_t width = s->codec.flow.config.speaker;
    for (int64_t i = 0; views && i < views->count; i++) {
        const so_view *v = &views->view[i];
        const char *dot = strrchr(v->name, '.');
        if (dot && strcmp(dot, ".embedding") != 0) continue;
        char name[256], found[160];
        snprintf(name, sizeof name, "%.*s", dot ? (int)(dot - v->name) : 255, v->name);
        if (v->type != SO_F32 || so_view_elements(v) != width)
            return so_fail(error, SO_ERR_SHAPE, "the voice '%.60s' is %s, expected f32 [1, %lld]", name,
                           so_view_describe(v, found, sizeof found), (long long)width);
        SO_TRY(add_voice(s, name, v->data, width, error));
    }
    return SO_OK;
}

static so_status note_part(so_source *s, const char *folder, const char *name, so_error *error)
{
    static const char *const ending[] = {"safetensors", "pt", "onnx"};
    char file[64], path[PATH];
    for (int i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s.%s", name, ending[i]);
        if (there(path, folder, file)) return note_file(s, path, error);
    }
    return SO_OK;
}

static so_status codec_sizes(so_source *s, so_error *error)
{
    json_t *root = NULL;
    if (s->codec.config) SO_TRY(parse(s->codec.config, "the codec's config.json", &root, error));
    so_status status = so_codec_sizes(&s->codec, root, error);
    if (s->codec.has_cam) s->codec.cam.config = so_cam_sizes(&s->views, SO_CODEC_CAM);
    json_decref(root);
    return status;
}

/* A folder that holds none of the codec's files is left alone; *any says whether it held one. */
static so_status open_codec_folder(so_source *s, const char *folder, bool *any, so_error *error)
{
    const struct {
        const char *name, *prefix;
        so_codec_part *part;
    } parts[] = {{"speech_tokenizer_v1", "codec.tokenizer.", &s->ears},
                 {"flow", "codec.flow.", &s->flow},
                 {"hift", "codec.hift.", &s->hift},
                 {"spk2info", NULL, &s->speakers},
                 {"campplus", SO_CODEC_CAM, &s->cam}};
    enum { PARTS = sizeof parts / sizeof *parts };
    const so_views *views[PARTS] = {0};
    char path[PATH];
    size_t size;
    for (int i = 0; i < PARTS; i++) {
        if (parts[i].part->safetensors || parts[i].part->zip || parts[i].part->onnx) continue;
        if (parts[i].part == &s->cam)
            SO_TRY(so_codec_cam_open(&s->cam, folder, &views[i], s->codec.cam_why, error));
        else
            SO_TRY(so_codec_part_open(parts[i].part, folder, parts[i].name, &views[i], error));
        if (!views[i]) continue;
        *any = true;
        SO_TRY(note_part(s, folder, parts[i].name, error));
        if (parts[i].prefix) SO_TRY(merge(s, views[i], parts[i].prefix, error));
    }
    s->codec.has_tokenizer |= views[0] != NULL;
    s->codec.has_vocoder |= views[1] != NULL || views[2] != NULL;
    s->codec.has_cam |= views[4] != NULL;
    /* A model's folder has a config.json of its own, which says nothing about codecs. */
    if ((views[0] || views[1] || views[2]) && !s->codec.config && there(path, folder, "config.json"))
        SO_TRY(so_file_read(path, 1 << 20, &s->codec.config, &size, error));
    SO_TRY(codec_sizes(s, error));
    return take_voices(s, views[3], error);
}

static const char *model_type(const char *folder, char out[64])
{
    char path[PATH];
    out[0] = 0;
    if (!there(path, folder, "config.json")) return out;
    json_t *root = json_load_file(path, 0, NULL);
    const char *type = json_string_value(json_object_get(root, "model_type"));
    if (type) snprintf(out, 64, "%s", type);
    json_decref(root);
    return out;
}

/* Says what is wrong with a folder that seems to hold nothing: a config.json that cannot be read, a download that broke
 * off. */
static so_status check_remains(const char *folder, so_error *error)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json", "flow.pt", "hift.pt",
                                        "speech_tokenizer_v1.onnx"};
    char path[PATH], found[PATH + 16], *text;
    size_t size;
    if (there(path, folder, "config.json")) {
        json_t *root;
        SO_TRY(so_file_read(path, TEXT_MAX, &text, &size, error));
        so_status status = parse(text, path, &root, error);
        free(text);
        SO_TRY(status);
        json_decref(root);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%.4000s/%s", folder, names[i]);
        if (so_unfinished(path, found, sizeof found))
            return so_fail(error, SO_ERR_MISSING, "'%s' is a download that was not finished, expected '%s'", found,
                           path);
    }
    return SO_OK;
}

static so_status open_folder(so_source *s, const char *folder, const char *tokenizer, so_error *error)
{
    char type[64], path[PATH], below[PATH];
    bool any = false;
    model_type(folder, type);
    bool weights = there(path, folder, "model.safetensors") || there(path, folder, "model.safetensors.index.json");
    if (weights && strncmp(type, "siglip", 6) == 0) return open_tower_folder(s, folder, error);
    if (weights || type[0]) {
        SO_TRY(open_model_folder(s, folder, tokenizer, error));
        any = true;
    }
    if (there(below, folder, "codec")) SO_TRY(open_codec_folder(s, below, &any, error));
    SO_TRY(open_codec_folder(s, folder, &any, error));
    if (any) return SO_OK;
    SO_TRY(check_remains(folder, error));
    return so_fail(error, SO_ERR_MISSING,
                   "'%s' holds neither a model (config.json, *.safetensors) nor a part of the speech codec "
                   "(speech_tokenizer_v1.onnx, flow.pt, hift.pt, spk2info.pt)",
                   folder);
}

/* ---- GGUF */

static so_status take_text(const so_gguf *gguf, const char *key, char **out, so_error *error)
{
    so_span text;
    if (!so_gguf_has(gguf, key)) return SO_OK;
    SO_TRY(so_gguf_string(gguf, key, &text, error));
    *out = strndup(text.data, text.length);
    return *out ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for '%s'", key);
}

static so_status gguf_voices(so_source *s, so_error *error)
{
    int64_t width = s->codec.flow.config.speaker;
    so_gguf_array names;
    const so_view *all = so_views_find(&s->views, "codec.voices"), *one = so_views_find(&s->views, "codec.speaker");
    if (one && !all && one->type == SO_F32 && so_view_elements(one) == width)
        return add_voice(s, "speaker", one->data, width, error);
    if (!all) return SO_OK;
    SO_TRY(so_gguf_array_of(s->gguf, "stream_omni.voices", SO_GGUF_STRING, &names, error));
    if (all->type != SO_F32 || names.n * width != so_view_elements(all))
        return so_fail(error, SO_ERR_SHAPE, "'codec.voices' is not %lld voices of %lld numbers", (long long)names.n,
                       (long long)width);
    for (int64_t i = 0; i < names.n; i++) {
        char name[256];
        so_span text = so_gguf_string_at(&names, i);
        snprintf(name, sizeof name, "%.*s", SO_SPAN_ARGS(text));
        SO_TRY(add_voice(s, name, (const float *)all->data + i * width, width, error));
    }
    return SO_OK;
}

static so_status open_gguf(so_source *s, const char *path, const char *tokenizer, so_error *error)
{
    char key[96];
    if (s->model || s->gguf) return so_fail(error, SO_ERR_FORMAT, "'%s' is a second model", path);
    SO_TRY(so_gguf_open(&s->gguf, path, error));
    SO_TRY(so_setup_load(&s->setup, s->gguf, error));
    SO_TRY(note_file(s, path, error));
    SO_TRY(merge(s, so_gguf_views(s->gguf), "", error));
    for (int i = 0; i < SO_SOURCE_TEXTS; i++) {
        snprintf(key, sizeof key, "stream_omni.source.%s", so_source_text_name[i]);
        SO_TRY(take_text(s->gguf, key, &s->text[i], error));
    }
    SO_TRY(take_text(s->gguf, "tokenizer.chat_template", &s->chat_template, error));
    SO_TRY(take_text(s->gguf, "stream_omni.codec", &s->codec.config, error));
    s->codec.has_tokenizer = so_views_find(&s->views, "codec.tokenizer.encoder.conv1.weight") != NULL;
    s->codec.has_vocoder = so_views_find(&s->views, "codec.flow.input_embedding.weight") != NULL;
    s->codec.has_cam = so_views_find(&s->views, SO_CODEC_CAM "head.conv1.weight") != NULL;
    SO_TRY(codec_sizes(s, error));
    SO_TRY(gguf_voices(s, error));
    if (tokenizer) return open_tokenizer(s, path, tokenizer, error);
    return so_tokenizer_from_gguf(&s->tokenizer, s->gguf, error);
}

so_status so_source_open(so_source *source, const char *const *path, int paths, const char *tokenizer, so_error *error)
{
    *source = (so_source){0};
    for (int i = 0; i < paths; i++) {
        if (access(path[i], R_OK) != 0) return so_fail(error, SO_ERR_IO, "%s: no such file or folder", path[i]);
        SO_TRY(is_folder(path[i]) ? open_folder(source, path[i], tokenizer, error)
                                  : open_gguf(source, path[i], tokenizer, error));
    }
    if (!source->model && !source->gguf)
        return so_fail(error, SO_ERR_MISSING, "no model among the folders: none has config.json and *.safetensors");
    return so_setup_measure(&source->setup, &source->views, error);
}

void so_source_close(so_source *source)
{
    so_tokenizer_close(&source->tokenizer);
    so_names_clear(&source->copied);
    so_views_clear(&source->views);
    for (int i = 0; i < SO_SOURCE_TEXTS; i++) free(source->text[i]);
    for (int64_t i = 0; i < source->n_voices; i++) free(source->voice_name[i]);
    free(source->voice_name);
    free(source->voice);
    free(source->chat_template);
    free(source->identity);
    free(source->codec.config);
    so_gguf_close(&source->gguf);
    so_safetensors_close(&source->model);
    so_safetensors_close(&source->tower);
    so_codec_part_close(&source->ears);
    so_codec_part_close(&source->flow);
    so_codec_part_close(&source->hift);
    so_codec_part_close(&source->speakers);
    so_codec_part_close(&source->cam);
    *source = (so_source){0};
}
