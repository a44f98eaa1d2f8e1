/* Voices made of recordings, on disk and with a codec.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"
#include "speech/clone.h"

static const char format_key[] = "stream_omni.voice", format[] = "1";

so_status so_clone_name(const char *name, so_error *error)
{
    if (!name) return so_fail(error, SO_ERR_ARG, "a voice without a name");
    size_t n = strlen(name);
    so_error why;
    bool plain = n > 0 && n < sizeof((so_clone *)NULL)->name && !strpbrk(name, "/\\") && name[0] != '.' &&
                 name[0] != '-' && so_name_check((so_span){name, n}, &why) == SO_OK;
    if (plain) return SO_OK;
    return so_fail(error, SO_ERR_ARG,
                   "'%.80s' cannot be the name of a voice: expected 1 to 63 bytes of UTF-8 without slashes and control "
                   "characters, and no dot or dash in front",
                   name);
}

/* ---- writing */

static so_status declare(const so_clone *c, so_safetensors_writer *w, so_error *error)
{
    char number[32];
    SO_TRY(so_safetensors_set(w, format_key, format, error));
    SO_TRY(so_safetensors_set(w, "name", c->name, error));
    SO_TRY(so_safetensors_set(w, "source", c->source, error));
    SO_TRY(so_safetensors_set(w, "codec", c->mark, error));
    snprintf(number, sizeof number, "%d", c->recordings);
    SO_TRY(so_safetensors_set(w, "recordings", number, error));
    snprintf(number, sizeof number, "%.3f", c->seconds);
    SO_TRY(so_safetensors_set(w, "seconds", number, error));
    SO_TRY(so_safetensors_declare(w, "vector", SO_F32, 1, &c->width, error));
    if (!c->n) return SO_OK;
    SO_TRY(so_safetensors_declare(w, "units", SO_I32, 1, &c->n, error));
    return so_safetensors_declare(w, "mel", SO_F32, 2, (int64_t[]){c->frames, c->bins}, error);
}

static so_status put(const so_clone *c, so_safetensors_writer *w, so_error *error)
{
    SO_TRY(so_safetensors_put(w, "vector", c->vector, (size_t)c->width * sizeof *c->vector, error));
    if (!c->n) return SO_OK;
    SO_TRY(so_safetensors_put(w, "units", c->units, (size_t)c->n * sizeof *c->units, error));
    return so_safetensors_put(w, "mel", c->mel, (size_t)(c->frames * c->bins) * sizeof *c->mel, error);
}

so_status so_clone_save(const so_clone *clone, const char *path, so_error *error)
{
    so_safetensors_writer *w = NULL;
    if (!clone || !path) return so_fail(error, SO_ERR_ARG, "no voice, or no path to write it to");
    SO_TRY(so_safetensors_create(&w, path, error));
    so_status status = declare(clone, w, error);
    if (status == SO_OK) status = put(clone, w, error);
    if (status == SO_OK) return so_safetensors_commit(&w, error);
    so_safetensors_drop(&w);
    return status;
}

/* ---- reading */

/* A tensor of this type and number of axes, each within 1 to `most`; its data copied to *out. */
static so_status take(const so_views *views, const char *name, so_type type, int axes, int64_t most, void **out,
                      const so_view **view, so_error *error)
{
    char text[160];
    const so_view *v = so_views_find(views, name);
    if (!v) return so_fail(error, SO_ERR_MISSING, "there is no '%s' in it", name);
    bool fits = v->type == type && v->n_dims == axes;
    for (int i = 0; i < axes && fits; i++) fits = v->dim[i] > 0 && v->dim[i] <= most;
    if (!fits)
        return so_fail(error, SO_ERR_SHAPE, "'%s' is %s, expected %s with %d axes of 1 to %lld", name,
                       so_view_describe(v, text, sizeof text), so_type_about(type)->name, axes, (long long)most);
    if (!(*out = malloc(v->bytes))) return so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
    memcpy(*out, v->data, v->bytes);
    *view = v;
    for (int64_t i = 0; type == SO_F32 && i < so_view_elements(v); i++)
        if (!isfinite(((float *)*out)[i])) return so_fail(error, SO_ERR_NUMBER, "'%s' holds NaN or infinity", name);
    return SO_OK;
}

static so_status take_prompt(so_clone *c, const so_views *views, so_error *error)
{
    const so_view *units, *mel;
    bool one = so_views_find(views, "units") != NULL, other = so_views_find(views, "mel") != NULL;
    if (!one && !other) return SO_OK;
    SO_TRY(take(views, "units", SO_I32, 1, SO_CLONE_UNITS, (void **)&c->units, &units, error));
    SO_TRY(take(views, "mel", SO_F32, 2, SO_CLONE_WIDEST, (void **)&c->mel, &mel, error));
    c->n = units->dim[0];
    c->frames = mel->dim[0];
    c->bins = mel->dim[1];
    for (int64_t i = 0; i < c->n; i++)
        if (c->units[i] < 0) return so_fail(error, SO_ERR_FORMAT, "unit %lld is %d", (long long)i, c->units[i]);
    return SO_OK;
}

static void take_text(const so_safetensors *file, const char *key, char *out, size_t size)
{
    const char *text = so_safetensors_metadata(file, key);
    snprintf(out, size, "%s", text ? text : "");
}

static so_status read_all(so_clone *c, const so_safetensors *file, so_error *error)
{
    const so_views *views = so_safetensors_views(file);
    const char *version = so_safetensors_metadata(file, format_key), *name = so_safetensors_metadata(file, "name");
    char number[32];
    const so_view *v;
    if (!version)
        return so_fail(error, SO_ERR_FORMAT, "it is not a voice of stream-omni: no '%s' in its metadata", format_key);
    if (strcmp(version, format) != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "a voice of format '%.20s', expected '%s'", version, format);
    SO_TRY(so_clone_name(name ? name : "", error));
    snprintf(c->name, sizeof c->name, "%s", name);
    take_text(file, "source", c->source, sizeof c->source);
    take_text(file, "codec", c->mark, sizeof c->mark);
    take_text(file, "recordings", number, sizeof number);
    c->recordings = (int)strtol(number, NULL, 10);
    take_text(file, "seconds", number, sizeof number);
    c->seconds = strtod(number, NULL);
    if (!isfinite(c->seconds) || c->seconds < 0) c->seconds = 0;
    if (c->recordings < 0) c->recordings = 0;
    SO_TRY(take(views, "vector", SO_F32, 1, SO_CLONE_WIDEST, (void **)&c->vector, &v, error));
    c->width = v->dim[0];
    return take_prompt(c, views, error);
}

so_status so_clone_read(so_clone **out, const so_safetensors *file, so_error *error)
{
    so_clone *c = calloc(1, sizeof *c);
    so_status status = c ? read_all(c, file, error) : so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
    if (status != SO_OK) so_clone_close(&c);
    *out = c;
    return status;
}

so_status so_clone_load(so_clone **out, const char *path, so_error *error)
{
    so_safetensors *file = NULL;
    so_error nobody;
    if (!error) error = &nobody;
    if (!out || !path) return so_fail(error, SO_ERR_ARG, "no place for a voice, or no path to read it from");
    *out = NULL;
    SO_TRY(so_safetensors_open(&file, path, error));
    so_status status = so_clone_read(out, file, error);
    so_safetensors_close(&file);
    return status == SO_OK ? SO_OK : so_fail_in(error, "the voice '%.300s'", path);
}

void so_clone_about(const so_clone *clone, so_clone_info *info)
{
    if (!info) return;
    *info = (so_clone_info){.name = "", .source = ""};
    if (!clone) return;
    *info = (so_clone_info){.name = clone->name,
                            .source = clone->source,
                            .recordings = clone->recordings,
                            .cut = clone->cut,
                            .seconds = clone->seconds,
                            .prompt_units = (int)clone->n};
}

/* ---- with a codec */

so_status so_clone_check(const so_clone *c, const so_codec *codec, so_error *error)
{
    const so_flow_config *flow = &codec->flow.config;
    if (!codec->has_vocoder) return so_fail(error, SO_ERR_UNSUPPORTED, "this model does not speak");
    if (c->width != flow->speaker)
        return so_fail(error, SO_ERR_SHAPE, "the voice '%s' has a vector of %lld numbers, the model expects %lld",
                       c->name, (long long)c->width, (long long)flow->speaker);
    if (strcmp(c->mark, codec->mark) != 0)
        return so_fail(
            error, SO_ERR_UNSUPPORTED,
            "the voice '%s' was made with another model (codec %s, this one's is %s): make it anew with this "
            "one",
            c->name, c->mark[0] ? c->mark : "unknown", codec->mark);
    if (!c->n) return SO_OK;
    if (c->bins != flow->mels || c->frames != so_flow_frames(flow, c->n))
        return so_fail(error, SO_ERR_SHAPE, "the voice '%s' has a prompt of [%lld, %lld], expected [%lld, %lld]",
                       c->name, (long long)c->frames, (long long)c->bins, (long long)so_flow_frames(flow, c->n),
                       (long long)flow->mels);
    for (int64_t i = 0; i < c->n; i++)
        if (c->units[i] >= flow->units)
            return so_fail(error, SO_ERR_SHAPE, "the voice '%s' has a unit %d, expected 0 to %lld", c->name,
                           c->units[i], (long long)flow->units - 1);
    return SO_OK;
}

so_mouth_voice so_clone_voice(const so_clone *c)
{
    return (so_mouth_voice){.vector = c->vector, .units = c->units, .n = c->n, .mel = c->mel};
}

so_status so_clone_speak(const so_clone *c, so_mouth *mouth, const so_codec *codec, so_error *error)
{
    if (!mouth) return so_fail(error, SO_ERR_UNSUPPORTED, "this model does not speak");
    if (!c) return so_mouth_speak_as(mouth, NULL, error);
    SO_TRY(so_clone_check(c, codec, error));
    const so_mouth_voice voice = so_clone_voice(c);
    return so_mouth_speak_as(mouth, &voice, error);
}
