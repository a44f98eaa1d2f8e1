/* Parts cut out of a finished model: its vocabulary and its ears, so that a corpus becomes units as that model hears
 * it.
 *
 * What goes on from a model (files of settings, stages 2 and 3) must have its units; ears of the recipe that were
 * trained anew, from the same seed or another, number sounds otherwise.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "checkpoint/source.h"
#include "recipes/tabletop/part_units.h"

/* Copies the source's tensor of each weight into `store`, as floats. */
static so_status take_ears(const so_tt *tt, const so_source *source, const char *model, so_store *store,
                           so_error *error)
{
    static const char prefix[] = "codec.tokenizer.";
    so_store found;
    so_speech_tokenizer net;
    so_speech_tokenizer_config config = so_tt_ears_config(false);
    so_binder binder = {.store = &found,
                        .source = &source->views,
                        .pool = tt->pool,
                        .kernels = tt->kernels,
                        .expand = true,
                        .check_finite = true};
    SO_TRY(so_store_open(&found, 0, error));
    so_status status = so_speech_tokenizer_bind(&net, &config, prefix, &binder, error);
    if (status == SO_OK) status = so_binder_finish(&binder, model, error);
    for (int64_t i = 0; i < store->count && status == SO_OK; i++) {
        char name[200];
        so_tensor *to = &store->weight[i]->tensor;
        snprintf(name, sizeof name, "%s%s", prefix, to->name);
        const so_weight *w = so_store_find(&found, name);
        if (!w || w->tensor.type != SO_F32 || so_count(&w->tensor) != so_count(to))
            status = so_fail(error, SO_ERR_FORMAT, "'%s': '%s' is not that of the recipe's ears", model, name);
        else
            memcpy(to->data, w->tensor.data, (size_t)so_count(to) * sizeof(float));
    }
    so_store_close(&found);
    return status;
}

static so_status cut_ears(const so_tt *tt, const so_source *source, const char *model, so_error *error)
{
    so_store store;
    so_speech_tokenizer net;
    if (!source->codec.has_tokenizer)
        return so_fail(error, SO_ERR_MISSING, "'%s' has no speech tokenizer to cut out", model);
    so_status status = so_tt_ears_open(tt, false, &store, &net, error);
    if (status == SO_OK) status = take_ears(tt, source, model, &store, error);
    if (status == SO_OK) status = so_tt_keep(tt, &store, NULL, "ears", error);
    so_store_close(&store);
    return status;
}

so_status so_tt_cut(so_tt *tt, const char *model, so_error *error)
{
    char path[1024];
    so_source source = {0};
    bool words = !tt->tokenizer, ears = !so_tt_done(tt, "ears");
    if (!words && !ears) return SO_OK;
    so_status status = so_source_open(&source, &model, 1, NULL, error);
    if (status == SO_OK && ears) status = cut_ears(tt, &source, model, error);
    if (status == SO_OK && words)
        status = so_tokenizer_save_json(source.tokenizer, so_tt_path(tt, "tokenizer.json", path), error);
    so_source_close(&source);
    SO_TRY(status);
    so_tt_say(tt, "cut out of '%s':%s%s", model, words ? " vocabulary" : "", ears ? " ears" : "");
    if (!words) return SO_OK;
    so_tt_close(tt); /* opened again with the vocabulary */
    return so_tt_open(tt, error);
}
