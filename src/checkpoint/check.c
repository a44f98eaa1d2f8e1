/* Holding stored tensors against what the networks expect.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantise.h"
#include "checkpoint/source.h"

static so_status list_codec(const so_codec *codec, so_binder *binder, so_error *error)
{
    so_speech_tokenizer ears;
    so_cam cam;
    so_flow *flow = calloc(1, sizeof *flow);
    so_hift *hift = calloc(1, sizeof *hift);
    so_status status = flow && hift ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a list of weights");
    if (status == SO_OK && codec->has_tokenizer)
        status = so_speech_tokenizer_bind(&ears, &codec->tokenizer.config, "codec.tokenizer.", binder, error);
    if (status == SO_OK && codec->has_vocoder)
        status = so_flow_bind(flow, &codec->flow.config, "codec.flow.", binder, error);
    if (status == SO_OK && codec->has_vocoder)
        status = so_hift_bind(hift, &codec->hift.config, "codec.hift.", binder, error);
    if (status == SO_OK && codec->has_cam) status = so_cam_bind(&cam, &codec->cam.config, SO_CODEC_CAM, binder, error);
    free(flow);
    free(hift);
    return status;
}

so_status so_source_manifest(const so_setup *setup, const so_codec *codec, const so_views *found, so_manifest *manifest,
                             so_error *error)
{
    so_store store;
    so_omni *net = calloc(1, sizeof *net);
    if (!net) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of weights");
    so_status status = so_store_open(&store, 0, error); /* layer arrays only */
    so_binder binder = {.store = &store, .source = found, .manifest = manifest};
    if (status == SO_OK) status = so_omni_bind(net, &setup->omni, &binder, error);
    binder.group = NULL;
    if (status == SO_OK) status = list_codec(codec, &binder, error);
    so_store_close(&store);
    free(net);
    return status;
}

static bool ends(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    return n >= m && strcmp(name + n - m, ending) == 0;
}

bool so_source_ignores(const so_setup *setup, const char *name)
{
    static const char tower[] = "model.vision_tower.vision_tower.vision_model.", layers[] = "encoder.layers.";
    static const char *const whole[] = {"top_audio_to_text_proj.weight", "codec.speaker", "codec.voices"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(name, whole[i]) == 0) return true;
    if (ends(name, ".rotary_emb.inv_freq") || ends(name, ".position_ids")) return true;
    if (strncmp(name, "codec.hift.discriminator.", 25) == 0) return true; /* of a file from adversarial training */
    if (strncmp(name, tower, sizeof tower - 1) != 0) return false;
    name += sizeof tower - 1;
    if (strncmp(name, "head.", 5) == 0) return true;
    /* the original tower has a layer more than is used */
    return strncmp(name, layers, sizeof layers - 1) == 0 &&
           strtol(name + sizeof layers - 1, NULL, 10) >= setup->omni.siglip.layers;
}

/* An axis of length 1 more or less does not matter: [80] and [80, 1] hold the same numbers. */
static bool same_shape(const so_view *a, const so_view *b)
{
    int i = 0, k = 0;
    for (;; i++, k++) {
        while (i < a->n_dims && a->dim[i] == 1) i++;
        while (k < b->n_dims && b->dim[k] == 1) k++;
        if (i == a->n_dims || k == b->n_dims) return i == a->n_dims && k == b->n_dims;
        if (a->dim[i] != b->dim[k]) return false;
    }
}

typedef struct list {
    FILE *out;
    int64_t missing, extra, shapes, types;
} list;

static const char *shape_text(const so_view *v, char *text, size_t size)
{
    const char *full = so_view_describe(v, text, size), *open = strchr(full, '[');
    return open ? open : full;
}

static void hold(list *l, const so_view *found, const so_view *expected, bool blocks)
{
    char a[160], b[160];
    if (!same_shape(found, expected)) {
        l->shapes++;
        fprintf(l->out, "shape:   %s is %s, expected %s\n", found->name, shape_text(found, a, sizeof a),
                shape_text(expected, b, sizeof b));
    }
    bool plain = found->type == SO_F32 || found->type == SO_F16 || found->type == SO_BF16;
    if (!plain && !(blocks && so_type_holds_numbers(found->type))) {
        l->types++;
        fprintf(l->out, "type:    %s is %s, expected f32, f16 or bf16\n", found->name,
                so_type_about(found->type)->name);
    }
}

static void compare(list *l, const so_source *s, const so_manifest *manifest)
{
    const so_views *want = &manifest->views;
    char text[160];
    for (int64_t i = 0; i < want->count; i++) {
        const so_view *expected = &want->view[i], *found = so_views_find(&s->views, expected->name);
        if (found) {
            hold(l, found, expected, s->gguf != NULL);
        } else if (!manifest->row[i].optional) {
            l->missing++;
            fprintf(l->out, "missing: %s %s\n", expected->name, shape_text(expected, text, sizeof text));
        }
    }
    for (int64_t i = 0; i < s->views.count; i++) {
        const so_view *found = &s->views.view[i];
        if (so_views_find(want, found->name) || so_source_ignores(&s->setup, found->name)) continue;
        l->extra++;
        fprintf(l->out, "extra:   %s %s\n", found->name, so_view_describe(found, text, sizeof text));
    }
}

so_status so_source_check(const so_source *source, bool drop_extra, char **report, so_error *error)
{
    so_manifest manifest = {0};
    list l = {0};
    size_t size = 0;
    *report = NULL;
    so_status status = so_source_manifest(&source->setup, &source->codec, &source->views, &manifest, error);
    if (status == SO_OK && !(l.out = open_memstream(report, &size)))
        status = so_fail(error, SO_ERR_NOMEM, "no memory for a report");
    if (status == SO_OK) {
        compare(&l, source, &manifest);
        fclose(l.out);
    }
    so_manifest_clear(&manifest);
    if (status != SO_OK) return status;
    int64_t wrong = l.missing + l.shapes + l.types + (drop_extra ? 0 : l.extra);
    if (*report && size == 0) {
        free(*report);
        *report = NULL;
    }
    if (!wrong) return SO_OK;
    return so_fail(
        error, SO_ERR_FORMAT, "%lld missing, %lld not expected, %lld of another shape, %lld of another type:\n%s",
        (long long)l.missing, (long long)l.extra, (long long)l.shapes, (long long)l.types, *report ? *report : "");
}
