/* The face of the recipes towards programs: include/so_recipes.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "so_recipes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recipes/tabletop/recipe.h"

typedef struct part {
    const char *name, *about;
    const char *file;                             /* is there when the part is done */
    so_status (*run)(so_tt *tt, so_error *error); /* NULL: the corpus, which takes more */
    bool optional;                                /* run only when it is named */
} part;

static const part parts[] = {
    {"vocabulary", "the text tokenizer", "tokenizer.json", so_tt_vocabulary},
    {"corpus", "questions and answers, spoken", "corpus.index", NULL},
    {"eyes", "vision tower: objects under patches", "eyes.safetensors", so_tt_eyes},
    {"backbone", "stage 1: text and pictures to text", "backbone.safetensors", so_tt_backbone},
    {"ears", "speech tokenizer: CTC through the quantiser", "ears.safetensors", so_tt_ears},
    {"units", "the corpus as speech units", "units.index", so_tt_units},
    {"bottom", "stage 2: speech to text (CTC)", "bottom.safetensors", so_tt_bottom},
    {"top", "stage 2: text to speech units", "top.safetensors", so_tt_top},
    {"flow", "units to mel: flow matching", "flow.safetensors", so_tt_flow},
    {"vocoder", "mel to samples", "vocoder.safetensors", so_tt_vocoder},
    {"polish", "the vocoder against judges; only when named", "polish.safetensors", so_tt_polish, true},
    {"omni", "stage 3: the three tri-modal tasks", "omni.safetensors", so_tt_omni},
    {"model", "one model of all parts", "model/tokenizer.json", so_tt_model},
};
enum { PARTS = sizeof parts / sizeof parts[0] };

const char *so_tabletop_recipe_part(int i, const char **about, const char *folder, int *done)
{
    if (i < 0 || i >= PARTS) return NULL;
    if (about) *about = parts[i].about;
    if (done) {
        char path[4096];
        int n = snprintf(path, sizeof path, "%s/%s", folder ? folder : ".", parts[i].file);
        *done = n > 0 && n < (int)sizeof path && access(path, R_OK) == 0;
    }
    return parts[i].name;
}

static so_status unknown(const char *name, so_error *error)
{
    char list[512] = "";
    for (int i = 0; i < PARTS; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", parts[i].name);
    return so_fail(error, SO_ERR_ARG, "the tabletop recipe has no part '%s'; its parts are %s", name, list);
}

static so_status run_part(so_tt *tt, const part *p, const so_recipe_options *options, so_error *error)
{
    so_tt_say(tt, "%s: %s", p->name, p->about);
    so_status status =
        p->run ? p->run(tt, error) : so_tt_corpus_make(tt, options->items ? options->items : 48000, 2, error);
    return status == SO_OK || status == SO_ERR_STOPPED ? status : so_fail_in(error, "%s", p->name);
}

static so_status find_fusion(const char *name, so_fuse *fuse, so_error *error)
{
    for (int i = 0; i < 3; i++)
        if (!name || strcmp(name, so_tt_fusions[i]) == 0) {
            *fuse = (so_fuse)i;
            return SO_OK;
        }
    return so_fail(error, SO_ERR_ARG, "no fusion '%s'; there are cross, add_input, add_layer", name);
}

so_status so_tabletop_recipe(const so_recipe_options *options, so_error *error)
{
    int first = 0, last = PARTS;
    if (options->part) {
        while (first < PARTS && strcmp(parts[first].name, options->part) != 0) first++;
        if (first == PARTS) return unknown(options->part, error);
        last = first + 1;
    }
    so_tt tt = {.folder = options->folder,
                .seed = options->seed,
                .steps = options->steps,
                .minutes = options->minutes,
                .say = options->say,
                .say_context = options->say_context,
                .stop = options->stop,
                .kernels = so_kernels_best(),
                .learning = options->bf16 ? so_kernels_bf16() : NULL};
    so_status status;
    tt.window = options->window ? options->window : 5;
    tt.lookahead = options->lookahead ? options->lookahead : 3;
    SO_TRY(find_fusion(options->fusion, &tt.fuse, error));
    SO_TRY_GO(so_tt_open(&tt, error));
    for (int i = first; i < last; i++) {
        if (parts[i].optional && !options->part) continue;
        /* The corpus is spoken by child processes: no threads before it. */
        if (!tt.pool && parts[i].run) SO_TRY_GO(so_pool_open(&tt.pool, options->threads, error));
        if (!parts[i].run) so_pool_close(&tt.pool);
        SO_TRY_GO(run_part(&tt, &parts[i], options, error));
    }
done:
    so_tt_close(&tt);
    so_pool_close(&tt.pool);
    return status;
}
