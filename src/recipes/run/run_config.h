/* The settings of a training run, as people write them in a TOML file: one table of keys, with defaults and bounds.
 *
 * A key that is not in the table is an error that names the nearest one; names that other trainers use are taken where
 * they mean the same, and explained where they do not (run_keys.c). Whatever a file leaves out has its default, or the
 * stage's (train/stages.c). Paths are from where the program runs.
 *
 * Source: data-eval.md F.4.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_RUN_RUN_CONFIG_H
#define SO_RECIPES_RUN_RUN_CONFIG_H

#include "base/string.h"
#include "text/toml.h"
#include "train/stages.h"

enum { SO_RUN_DATA = 64, SO_RUN_LIST = 16, SO_RUN_GROUPS = 16 };

/* How often: steps, or seconds ("500", "20m"). */
typedef struct so_run_every {
    int64_t steps;
    double seconds;
} so_run_every;

/* A list of short texts. */
typedef struct so_run_list {
    const char *item[SO_RUN_LIST];
    int n;
} so_run_list;

/* One [[data]]. Strings live as long as the configuration. */
typedef struct so_run_data {
    const char *name, *path; /* path: a folder of records, or a corpus that readers know (docs/data.md) */
    const char *images;      /* folder of pictures and recordings of a corpus; NULL: the file's */
    const char *format;      /* of a corpus; NULL: told by what is in it */
    const char *task, *take, *split, *augment;
    double weight, epochs; /* 0: not given */
} so_run_data;

/* A named number: "loss.ctc", "optim.groups.projector.rate". */
typedef struct so_run_named {
    const char *name;
    double value;
} so_run_named;

typedef struct so_run_config {
    so_toml toml; /* owns all texts */
    const char *name, *stage, *model, *out, *system;
    int64_t seed;
    struct {
        int64_t steps, batch_records, batch_rows, batch_units, slots, rows, longest;
        double epochs, hours;
        const char *anneal, *too_long;
    } plan;
    struct {
        double rate, floor, warmup, beta1, beta2, epsilon, decay, clip, average; /* negative: the stage's */
        const char *shape;                                                       /* NULL: the stage's */
        so_run_named group_rate[SO_RUN_GROUPS], group_decay[SO_RUN_GROUPS];
        int group_rates, group_decays;
    } optim;
    so_run_list learn; /* none: the stage's groups */
    so_run_list fresh; /* groups that begin from random weights */
    struct {
        int64_t bottom, top; /* 0: the model's */
    } layers;
    const char *route; /* of speech to the backbone */
    bool check_files;
    so_run_named loss[SO_STAGE_LOSSES];
    int losses;
    struct {
        bool checkpoint;
        const char *type;
    } memory;
    struct {
        int64_t rank; /* 0: no adapters */
        double alpha, dropout;
        so_run_list targets;
    } lora;
    struct {
        const char *mode; /* NULL: the model's */
        int64_t size;     /* 0: the model's */
    } image;
    struct {
        int64_t width, ahead; /* W and K; 0: the model's */
    } window;
    const char *fuse; /* NULL: the model's */
    so_run_data data[SO_RUN_DATA];
    int n_data;
    struct {
        so_run_every every;
        int64_t keep;
        bool async;
        const char *type; /* of what learnt, in the finished model */
    } save;
    struct {
        so_run_every every;
        int64_t records;
        so_run_list sets;
        const char *best; /* NULL: the last weights are kept */
    } evaluate;
    struct {
        int64_t every, samples;
        bool tensorboard;
    } log;
    struct {
        bool exact;
        int64_t watchdog, restarts;
    } ranks;
} so_run_config;

/* What is read: a file's text, then settings ("NAME=VALUE"; "data.NAME.weight=2" for the entry of that name). */
typedef struct so_run_text {
    const char *name; /* of the file, for errors and as the run's name */
    const char *text;
    size_t size;
    const char *const *set;
    int sets;
} so_run_text;

/* Reads and checks, and fills in what the stage brings. `notes` (may be NULL) gets a line for each name that was
 * another's. Errors say the line. Close after a failure, too. */
so_status so_run_config_read(so_run_config *config, const so_run_text *text, so_string *notes, so_error *error);
void so_run_config_close(so_run_config *config);

/* The stage's row with what the settings change in it; its texts are the configuration's. */
void so_run_config_stage(const so_run_config *config, so_stage *stage);

/* Appends the settings with every default filled in, as a file that gives the same run. */
so_status so_run_config_print(const so_run_config *config, so_string *out, so_error *error);
/* Appends lines "name value" of all that changes what is learnt: what a checkpoint must have been begun with. */
so_status so_run_config_settings(const so_run_config *config, so_string *out, so_error *error);

/* ---- the table (run_keys.c) */
typedef enum so_run_kind {
    SO_RUN_TEXT,  /* const char * */
    SO_RUN_PATH,  /* const char *, from where the program runs */
    SO_RUN_WHOLE, /* int64_t */
    SO_RUN_REAL,  /* double */
    SO_RUN_BOOL,  /* bool */
    SO_RUN_TEXTS, /* so_run_list; one text or an array of them */
    SO_RUN_OFTEN  /* so_run_every */
} so_run_kind;

typedef struct so_run_key {
    const char *name; /* "plan.steps"; of [[data]] "data.path" */
    so_run_kind kind;
    size_t field;       /* in so_run_config, or so_run_data */
    double least, most; /* of numbers; both 0: any */
    const char *choice; /* of texts: "cosine linear constant root"; NULL: any */
    bool learning;      /* changes what is learnt */
    const char *about;
} so_run_key;

/* Key i, NULL after the last. */
const so_run_key *so_run_key_at(int i);
const so_run_key *so_run_key_find(const char *name);

/* Names that other trainers use. `key` NULL: it is none here, `hint` says why. */
typedef struct so_run_alias {
    const char *name, *key, *hint;
} so_run_alias;
const so_run_alias *so_run_alias_find(const char *name);
/* The nearest key by letters, or NULL when none is near. */
const char *so_run_key_near(const char *name);

#endif
