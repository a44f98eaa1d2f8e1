/* Making a model from nothing: the recipes, which join corpora and training. `error` may be NULL.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_H
#define SO_RECIPES_H

#include <signal.h>
#include <stdint.h>

#include "so_status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct so_recipe_options {
    const char *folder; /* working folder: parts leave <part>.safetensors and their logs here */
    const char *part;   /* one part only; NULL: every part, in order */
    uint64_t seed;
    int threads;        /* 0: all cores */
    double minutes;     /* time limit of each part; 0: what the part plans */
    int64_t steps;      /* of each part that trains; 0: as many as it plans */
    int bf16;           /* 1: products of matrices in bf16 while training (half the time where the machine has it) */
    int64_t items;      /* exchanges that are spoken for the corpus; 0: 20000 */
    int64_t heard;      /* questions beyond, mostly lists of words; 0: three for two exchanges; -1: none */
    const char *fusion; /* how the top layers take in text: "cross" (also NULL), "add_input", "add_layer" */
    int64_t window;     /* W, text tokens that the top layers see; 0: 5; -1: all before the newest, too */
    int64_t lookahead;  /* K, text tokens that the voice waits for; 0: 3 */
    int ranks; /* processes of this machine that train together; 0, 1: this one. Where mpirun started several, these are
                  the ranks */
    int slots; /* micro-batches an update, each of the size that the part plans; 0: as many as ranks. With the same
                  slots any number of ranks ends with the same bits */
    double watchdog; /* seconds that ranks wait for one of them while they train: then it is named, and all end; 0: 120;
                        -1: for ever */
    /* Who speaks in the corpus, besides every engine that is found; NULL: nobody. */
    const char *own_voice;      /* the model's own, "engine/voice"; NULL: festival/cmu_us_slt_arctic_hts where it is */
    const char *recordings;     /* folders of spoken questions (as 'data tabletop' writes them), comma between */
    const char *voice_command;  /* a command line with {text} and {wav}, maybe {voice} and {seed} */
    const char *voice_endpoint; /* where POST {url}/audio/speech is answered */
    const char *voices;         /* names for the two, comma between */
    const char *from; /* folder of an earlier model (published layout, f32) to begin from; NULL: random weights */
    const char *cut;  /* a finished model (GGUF file or folder) that the parts 'vocabulary' and 'ears' are taken out of;
                         NULL: they are made */
    const volatile sig_atomic_t *stop;            /* non-zero: save and return SO_ERR_STOPPED; may be NULL */
    void (*say)(void *context, const char *line); /* progress for a person; may be NULL */
    void *say_context;
} so_recipe_options;

/* Part i (from 0) of the tabletop recipe in order, and what it does; NULL after the last. `done` (may be NULL) tells
 * whether `folder` (may be NULL) holds it. Strings live as long as the program. */
const char *so_tabletop_recipe_part(int i, const char **about, const char *folder, int *done);

/* Runs the tabletop recipe: from a seed to a small Stream-Omni. Parts that are finished are not run again, one that was
 * interrupted resumes. The folder is locked meanwhile. SO_ERR_STATE when another process works in it, when it was begun
 * with other settings (the error names them), or when a part is missing that must be done before; SO_ERR_FORMAT for a
 * corpus that was cut; SO_ERR_ARG for a part that does not exist (the error lists those that do). */
so_status so_tabletop_recipe(const so_recipe_options *options, so_error *error);

/* A run whose settings stand in a file (docs/training.md): a stage, corpora with their tasks, a model to begin with. */
typedef struct so_train_file_options {
    const char *file;       /* of settings, TOML */
    const char *const *set; /* `sets` settings "NAME=VALUE" that go before the file's */
    int sets;
    int threads;        /* 0: all cores */
    int ranks;          /* as in so_recipe_options */
    int dry;            /* 1: only tell what the run would do */
    int order;          /* 1: only tell what update `step` learns from */
    int64_t step;       /* of the order */
    const char *plan;   /* "gpus=64,mfu=0.35": tell what it would take there; NULL: not */
    const char *learnt; /* dry: written where learnt text begins and ends, two texts one behind the other with a zero
                           byte between; NULL: "[" and "]" */
    const volatile sig_atomic_t *stop;            /* non-zero: save and return SO_ERR_STOPPED; may be NULL */
    void (*say)(void *context, const char *line); /* progress for a person; may be NULL */
    void *say_context;
} so_train_file_options;

/* Trains to the end of the plan, from the checkpoint in the run's folder if there is one, and writes <out>/model in the
 * published layout. SO_ERR_ARG and SO_ERR_FORMAT name what is wrong in the file; SO_ERR_STATE when another process
 * works in the folder, or the checkpoint was begun with other settings or data, which are named. */
so_status so_train_file(const so_train_file_options *options, so_error *error);

/* Runs a file with [sweep] once for every value, or all with all, of the keys in [sweep.grid], each in a folder of its
 * own below `out`, and writes <out>/sweep.md and sweep.html. What is done is not done again; a run that fails does not
 * stop the others: SO_ERR_STATE in the end, which names the first. `dry` only lists the runs; `order` and `plan` must
 * be 0. */
so_status so_train_sweep(const so_train_file_options *options, so_error *error);

/* Key i (from 0) of such a file, as "plan.steps", and what it is; NULL after the last. */
const char *so_train_file_key(int i, const char **about);
/* Task i: what of a record can be learnt. */
const char *so_train_file_task(int i, const char **about);

#ifdef __cplusplus
}
#endif
#endif
