/* The face of the recipes towards programs: include/so_recipes.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "so_recipes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "recipes/tabletop/recipe.h"

typedef struct part {
    const char *name, *about;
    const char *file;                             /* is there when the part is done */
    so_status (*run)(so_tt *tt, so_error *error); /* NULL: the corpus, which takes more */
    const char *needs;                            /* parts that must be done before, by blanks */
    bool optional;                                /* run only when it is named */
    bool uncut;                                   /* left out, unless named, where the ears are a finished model's */
    bool alone;                                   /* done by one rank while the others wait */
} part;

static const part parts[] = {
    {"vocabulary", "the text tokenizer", "tokenizer.json", so_tt_vocabulary, "", .alone = true},
    {"corpus", "questions and answers, spoken", "corpus.index", NULL, "", .alone = true},
    {"eyes", "vision tower: objects under patches", "eyes.safetensors", so_tt_eyes, "vocabulary"},
    {"backbone", "stage 1: text and pictures to text", "backbone.safetensors", so_tt_backbone, "vocabulary eyes"},
    {"ears", "speech tokenizer: CTC through the quantiser", "ears.safetensors", so_tt_ears, "corpus"},
    {"steady", "speech tokenizer: the same units in noise, rooms and other throats", "steady.safetensors", so_tt_steady,
     "corpus ears", .uncut = true},
    {"units", "the corpus as speech units", "units.index", so_tt_units, "corpus ears", .alone = true},
    {"bottom", "stage 2: speech to text (CTC)", "bottom.safetensors", so_tt_bottom,
     "vocabulary corpus eyes backbone units"},
    {"top", "stage 2: text to speech units", "top.safetensors", so_tt_top,
     "vocabulary corpus eyes backbone units bottom"},
    {"flow", "units to mel: flow matching", "flow.safetensors", so_tt_flow, "corpus units"},
    {"vocoder", "mel to samples", "vocoder.safetensors", so_tt_vocoder, "corpus"},
    {"adversarial", "the vocoder against discriminators; only when named", "adversarial.safetensors", so_tt_adversarial,
     "corpus vocoder", true},
    {"omni", "stage 3: the three tri-modal tasks", "omni.safetensors", so_tt_omni,
     "vocabulary corpus eyes backbone units bottom"},
    {"model", "one model of all parts", "model/tokenizer.json", so_tt_model, "vocabulary", .alone = true},
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

static bool done(const so_tt *tt, const part *p)
{
    char path[1024];
    return access(so_tt_path(tt, p->file, path), R_OK) == 0;
}

/* SO_ERR_STATE, naming the first, unless all that a part reads was made. A part that is done reads nothing. */
static so_status check_needs(const so_tt *tt, const part *p, so_error *error)
{
    if (done(tt, p)) return SO_OK;
    for (int i = 0; i < PARTS; i++) {
        const char *at = strstr(p->needs, parts[i].name);
        if (at && !done(tt, &parts[i]))
            return so_fail(error, SO_ERR_STATE, "the part '%s' must be done first: there is no '%s/%s'", parts[i].name,
                           tt->folder, parts[i].file);
    }
    return SO_OK;
}

static so_status run_part(so_tt *tt, const part *p, const so_recipe_options *options, so_error *error)
{
    so_tt_say(tt, "%s: %s", p->name, p->about);
    so_status status = check_needs(tt, p, error);
    if (status != SO_OK) return so_fail_in(error, "%s", p->name);
    int64_t items = options->items ? options->items : 20000;
    so_tt_numbers numbers = {items, options->heard > 0 ? options->heard : options->heard < 0 ? 0 : 3 * items / 2, 2};
    status = p->run ? p->run(tt, error) : so_tt_corpus_make(tt, &numbers, error);
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

/* ---- one folder, one process, one seed */

enum { SETTINGS = 400 };

/* What the checkpoints of parts must have been begun with. */
static void write_settings(const so_recipe_options *o, const so_tt *tt, char text[SETTINGS])
{
    snprintf(text, SETTINGS, "bf16 %s\nfusion %s\nwindow %lld\nlookahead %lld\n", o->bf16 ? "yes" : "no",
             so_tt_fusions[tt->fuse], (long long)tt->window, (long long)tt->lookahead);
}

/* All parts of a folder are of one seed, which begun.txt tells, and one corpus. */
static so_status check_begun(const so_tt *tt, const so_recipe_options *o, so_error *error)
{
    char path[1024], line[40], *found;
    size_t size;
    int64_t items = tt->corpus.count ? so_tt_drawn(tt) : 0;
    if (o->items && tt->corpus.count && items != o->items)
        return so_fail(error, SO_ERR_STATE,
                       "'%s' holds a corpus of %lld exchanges (now %lld); leave --items out, or take another folder",
                       tt->folder, (long long)items, (long long)o->items);
    snprintf(line, sizeof line, "seed %llu\n", (unsigned long long)o->seed);
    so_tt_path(tt, "begun.txt", path);
    if (access(path, F_OK) != 0) return so_file_write(path, line, strlen(line), error);
    SO_TRY(so_file_read(path, 4096, &found, &size, error));
    bool same = strcmp(found, line) == 0 || size == 0;
    found[strcspn(found, "\n")] = 0;
    so_status status =
        same ? SO_OK
             : so_fail(error, SO_ERR_STATE,
                       "'%s' was begun with %.60s (now seed %llu); go on with that, or take another folder", tt->folder,
                       found, (unsigned long long)o->seed);
    free(found);
    return status;
}

static so_status lock_folder(const char *folder, so_lock *lock, so_error *error)
{
    char path[1024], what[1100];
    if (!folder || strlen(folder) > 900)
        return so_fail(error, SO_ERR_ARG, "a folder's name of %zu bytes, expected up to 900",
                       folder ? strlen(folder) : 0);
    SO_TRY(so_make_folder(folder, error));
    snprintf(path, sizeof path, "%s/lock", folder);
    snprintf(what, sizeof what, "the folder '%s'", folder);
    return so_lock_take(lock, path, what, error);
}

/* Everybody waits for everybody; then what a rank did alone is there for all. */
static so_status meet(so_tt *tt, bool again, so_error *error)
{
    if (!tt->ranks) return SO_OK;
    SO_TRY(tt->ranks->gather(tt->ranks, NULL, NULL, 0, error));
    if (!again || so_tt_first(tt)) return SO_OK;
    so_tt_close(tt);
    return so_tt_open(tt, error);
}

static so_status run_parts(so_tt *tt, int first, int last, const so_recipe_options *options, so_error *error)
{
    if (so_tt_first(tt)) {
        SO_TRY(so_tt_open(tt, error));
        SO_TRY(check_begun(tt, options, error));
        if (options->cut) SO_TRY(so_tt_cut(tt, options->cut, error));
    }
    SO_TRY(meet(tt, true, error));
    int threads = options->threads, among = options->ranks > 1 ? options->ranks : 1;
    if (!threads && among > 1) threads = (int)sysconf(_SC_NPROCESSORS_ONLN) / among;
    if (among > 1 && threads < 1) threads = 1;
    for (int i = first; i < last; i++) {
        if ((parts[i].optional || (parts[i].uncut && options->cut)) && !options->part) continue;
        /* The corpus is spoken by child processes: no threads before it. */
        if (!tt->pool && parts[i].run) SO_TRY(so_pool_open(&tt->pool, threads, error));
        if (!parts[i].run) so_pool_close(&tt->pool);
        if (options->from && tt->tokenizer) {
            if (so_tt_first(tt)) SO_TRY(so_tt_start(tt, options->from, error));
            SO_TRY(meet(tt, true, error));
        }
        if (!parts[i].alone || so_tt_first(tt)) SO_TRY(run_part(tt, &parts[i], options, error));
        SO_TRY(meet(tt, parts[i].alone, error));
    }
    return SO_OK;
}

/* ---- many processes */

typedef struct shared_run {
    so_tt *tt;
    int first, last;
    const so_recipe_options *options;
} shared_run;

static so_status run_and_close(so_tt *tt, int first, int last, const so_recipe_options *options, so_error *error)
{
    if (!so_tt_first(tt)) tt->say = NULL;
    so_status status = run_parts(tt, first, last, options, error);
    so_tt_close(tt);
    so_pool_close(&tt->pool);
    return status;
}

static so_status be_a_rank(void *context, so_ranks *ranks, so_error *error)
{
    shared_run *r = context;
    r->tt->ranks = ranks;
    return run_and_close(r->tt, r->first, r->last, r->options, error);
}

/* With the folder's lock, which is the first rank's. */
static so_status run_locked(so_tt *tt, int first, int last, const so_recipe_options *options, so_error *error)
{
    so_lock lock = {0};
    if (so_tt_first(tt)) SO_TRY(lock_folder(options->folder, &lock, error));
    shared_run r = {tt, first, last, options};
    so_status status = !tt->ranks && options->ranks > 1 ? so_ranks_run(options->ranks, be_a_rank, &r,
                                                                       &(so_ranks_watch){.stop = options->stop}, error)
                                                        : run_and_close(tt, first, last, options, error);
    so_lock_release(&lock);
    return status;
}

so_status so_tabletop_recipe(const so_recipe_options *options, so_error *error)
{
    if (!options || !options->folder) return so_fail(error, SO_ERR_ARG, "no options, or no folder");
    int first = 0, last = PARTS;
    char settings[SETTINGS];
    if (options->part) {
        while (first < PARTS && strcmp(parts[first].name, options->part) != 0) first++;
        if (first == PARTS) return unknown(options->part, error);
        last = first + 1;
    }
    const so_kernels *kernels;
    SO_TRY(so_kernels_choose(&kernels, error));
    so_tt tt = {.folder = options->folder,
                .seed = options->seed,
                .steps = options->steps,
                .minutes = options->minutes,
                .say = options->say,
                .say_context = options->say_context,
                .stop = options->stop,
                .patience = options->watchdog > 0   ? options->watchdog
                            : options->watchdog < 0 ? 0
                                                    : 120,
                .settings = settings,
                .kernels = kernels,
                .learning = options->bf16 ? kernels->train_bf16 : NULL};
    tt.casting = (so_tt_casting){.own = options->own_voice,
                                 .recordings = options->recordings,
                                 .command = options->voice_command,
                                 .endpoint = options->voice_endpoint,
                                 .voices = options->voices};
    tt.window = options->window ? options->window : 5;
    tt.lookahead = options->lookahead ? options->lookahead : 3;
    SO_TRY(find_fusion(options->fusion, &tt.fuse, error));
    write_settings(options, &tt, settings);
    tt.slots = options->slots ? options->slots : options->ranks > 1 ? options->ranks : 1;
    if (so_ranks_launched()) SO_TRY(so_ranks_mpi(&tt.ranks, error));
    if (tt.ranks && !options->slots) tt.slots = tt.ranks->size;
    so_status status = run_locked(&tt, first, last, options, error);
    if (status == SO_OK) so_ranks_close(&tt.ranks);
    return status;
}
