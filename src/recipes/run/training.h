/* A training run from a file of settings: corpora, tasks and stages joined.
 *
 *      [[data]] ─ dataset (records by number) ─ task (a record as ids, pictures, units) ─┐
 *      order (train/order.h) ─ batches (train/batches.h) ────────────────────────────────┴─ lesson ─ trainer
 *
 * The model is a published folder or a GGUF file. Groups that learn are expanded to f32, all others keep the type of
 * the file. What was learnt is written as a folder in the published layout.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_RUN_TRAINING_H
#define SO_RECIPES_RUN_TRAINING_H

#include "checkpoint/source.h"
#include "dataset/dataset.h"
#include "media/image.h"
#include "models/lora.h"
#include "recipes/run/run_config.h"
#include "so_recipes.h"
#include "train/batches.h"
#include "train/lesson.h"
#include "train/ranks.h"

/* What of a record is learnt. */
typedef struct so_run_task {
    const char *name;
    const char *like;                      /* what stages call it: "vs-t" */
    bool plain, picture, question, answer; /* without a template; needs pictures; units of a question, of an answer */
    bool spoken;                           /* one exchange through the speech side */
    bool sound;                            /* a recording, for the codec's networks */
    const char *losses;                    /* that it has something for */
    const char *about;
} so_run_task;
const so_run_task *so_run_task_at(int i);
/* By either name; NULL when there is none. */
const so_run_task *so_run_task_find(const char *name);

/* One [[data]], open. */
typedef struct so_run_set {
    const so_run_data *data;
    const so_run_task *task;
    so_dataset *dataset;
    int32_t *record;        /* [count] numbers of the records that are used */
    int64_t count, lacking; /* lacking: records without what the task needs */
    double scale;           /* rows of samples, by what lengths say of them */
    bool eval;
} so_run_set;

typedef struct so_run {
    const so_train_file_options *options;
    so_run_config config;
    so_stage stage;
    so_pool *pool;
    const so_kernels *kernels, *learning; /* learning: what training computes with */
    so_ranks *ranks;                      /* NULL: alone */

    so_source source; /* the model that the run begins with */
    so_store store;
    so_omni net;
    so_lora_set lora; /* adapters that learn, where the settings ask for them */
    so_image_spec pictures;
    const char *system;
    so_ids head, reply; /* up to the user's content; from its end to the assistant's */
    int32_t blank, eot, first_unit;
    int64_t units, patches; /* of speech; rows of a picture */
    uint8_t *spoken;        /* bitmap of ids that are pronounced */
    bool reshaped;          /* it has other layers, or another fusion, than the model in the file */

    so_run_set set[SO_RUN_DATA];
    int sets;
    int source_set[SO_RUN_DATA], sources; /* source i of the order is set source_set[i] */
    so_data_order order;
    so_batches batches;
    int64_t steps, samples; /* of the run; samples 0: as many as the steps take */

    struct so_run_codec *codec; /* what learns instead of the language model (run_codec.c); NULL: nothing */

    so_tensor *pairs_scale, *pairs_bias; /* of the loss "pairs", in `store`, not of the model; NULL: another stage */

    bool blind; /* samples are made to be looked at: pictures are counted, not read */
    so_lesson lesson;
    so_optim optim;
    so_optim against;           /* the second player's, of discriminators; no weights: there is none */
    struct so_run_ahead *ahead; /* makes samples before they are asked for (run_ahead.c); NULL: nobody does */
    struct so_run_guard *guard; /* watches for losses that jump (run_guard.c) */
    struct so_run_best *best;   /* measures, and keeps the best weights (run_measure.c) */
    char folder[1000];
} so_run;

/* Whether this process writes: rank 0 does. */
static inline bool so_run_first(const so_run *run) { return !run->ranks || run->ranks->rank == 0; }
void so_run_say(const so_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- run_open.c */
/* Opens the model (config.model), so that the stage's groups can learn. */
so_status so_run_open(so_run *run, so_error *error);
/* Closes what the run holds, but its options, configuration, pool and ranks. */
void so_run_close(so_run *run);

/* ---- run_data.c */
/* Reads corpora that are no folders of records into <out>/data/NAME, unless they are there already. */
so_status so_run_index(so_run *run, so_error *error);
/* Opens all sets, the order, and the plan of batches; `run` has its model. */
so_status so_run_data_open(so_run *run, so_error *error);
void so_run_data_close(so_run *run);
/* The order of samples and the plan of batches once more, for somebody else: both are the caller's, to be closed. */
so_status so_run_plan_open(so_run *run, so_data_order *order, so_batches *batches, so_error *error);
/* Rows, by lengths alone, of record i of a set's used ones. */
int64_t so_run_rows(const so_run *run, const so_run_set *set, int64_t i);
/* Compares every set with its hash. SO_ERR_FORMAT names the file that was changed. */
so_status so_run_data_verify(const so_run *run, so_error *error);
/* Appends what data the run is of, as JSON: data.lock. */
so_status so_run_data_lock(const so_run *run, so_string *out, so_error *error);
/* Appends lines "data.NAME.identity HASH" for a checkpoint's settings. */
so_status so_run_data_settings(const so_run *run, so_string *out, so_error *error);

/* ---- run_task.c */
/* Sample g of record i of a set's used ones; all of it lies in `memory`. *fits: whether it is short enough, and has
 * what the task needs (else it is empty). */
so_status so_run_sample(const so_run *run, const so_run_set *set, int64_t i, int64_t g, so_arena *memory,
                        so_sample *out, bool *fits, so_error *error);
/* Whether the stage learns which caption belongs to which picture. */
static inline bool so_run_matches(const so_run *run) { return so_stage_weight(&run->stage, "pairs") > 0; }
/* Rows that a sample takes in the networks. */
int64_t so_run_sample_rows(const so_run *run, const so_sample *sample);

/* ---- run_train.c */
/* Trains to the end of the plan, and writes the model. */
so_status so_run_train(so_run *run, so_error *error);
/* What trains: groups of the store, or adapters beside their matrices. */
so_status so_run_learn(so_run *run, so_error *error);
/* The samples of the plan's portions, for the lesson. */
so_sample_source so_run_source(so_run *run);
/* The loss of what the lesson's source gathers, by whatever network the stage trains. */
so_tensor *so_run_lesson(so_run *run, so_lesson *lesson, so_pass *pass, so_micro *micro);
static inline int so_run_players(const so_run *run) { return run->against.count ? 2 : 1; }
/* An so_micro_fn whose context is the run. */
so_tensor *so_run_micro(void *run, so_pass *pass, so_micro *micro);

/* Where a portion stands in a run: of each update, first all of the one player, then of the other. */
typedef struct so_run_place {
    int64_t step;
    int player, slot, portion;
} so_run_place;
typedef struct so_run_portion {
    so_run_place place;
    const so_sample *sample; /* [n] */
    int64_t n, rows, left_out;
    bool more; /* the slot has another one */
} so_run_portion;
/* Makes what an update learns from in one portion, by a plan of the caller's; all of it lies in `memory`. `out` tells
 * its place also after a failure. */
so_status so_run_portion_make(const so_run *run, so_batches *batches, so_run_place at, so_arena *memory,
                              so_run_portion *out, so_error *error);

/* ---- run_ahead.c */
enum { SO_RUN_AHEAD = 4 /* portions whose samples are made before they are asked for */ };
so_status so_run_ahead_open(so_run *run, so_error *error);
void so_run_ahead_close(so_run *run);
/* The portion at a place, as a thread has made it meanwhile; *out lives until the next one is taken. */
so_status so_run_ahead_take(struct so_run_ahead *ahead, so_run_place at, const so_run_portion **out, so_error *error);
/* Seconds that were waited for portions. */
double so_run_ahead_waited(const struct so_run_ahead *ahead);

/* ---- run_files.c */
/* Lists the files that records point to in <out>/files.lock; of a run that goes on, compares with that list.
 * SO_ERR_FORMAT names the file that was changed. */
so_status so_run_files(const so_run *run, bool goes_on, so_error *error);

/* ---- run_codec.c: the stages tokenizer, flow, vocoder and vocoder-gan */
/* run->source must be open. */
so_status so_run_codec_open(so_run *run, so_error *error);
void so_run_codec_close(so_run *run);
so_store *so_run_codec_store(const so_run *run);
/* Discriminators; NULL: none. */
so_store *so_run_codec_judges(const so_run *run);
/* Samples a second of recordings that the network is given. */
int64_t so_run_codec_rate(const so_run *run);
bool so_run_codec_wants_units(const so_run *run);
/* Whether it learns a voice: the assistant's, where turns of his are spoken. */
bool so_run_codec_voice(const so_run *run);
so_status so_run_codec_sample(const so_run *run, const so_record *record, int64_t g, so_arena *memory, so_sample *out,
                              so_error *error);
/* The loss of what `from` gathers. */
so_tensor *so_run_codec_micro(so_run *run, const so_sample_source *from, so_pass *pass, so_micro *micro);
/* A hook of the trainer: the tokenizer's codes follow what was quantised. */
so_status so_run_codec_updated(void *run, int64_t step, so_error *error);
/* What a checkpoint holds besides weights: *n blocks. */
const so_extra *so_run_codec_extra(const so_run *run, int *n);
/* The tokenizer's codes, which learn by following; NULL of other networks. */
const so_tensor *so_run_codec_codes(const so_run *run);

/* ---- run_guard.c */
so_status so_run_guard_open(so_run *run, so_error *error);
void so_run_guard_close(so_run *run);
/* Tells of a loss above five times the median of those before, naming the portion's records, in <out>/spikes.jsonl. */
void so_run_guard_look(so_run *run, const so_micro *micro, double loss);

/* ---- run_measure.c */
so_status so_run_measure_open(so_run *run, so_error *error);
void so_run_measure_close(so_run *run);
/* A hook of the trainer: losses of every set that is only measured. */
so_status so_run_measure(void *run, so_pass *pass, int64_t step, so_notes *notes, so_error *error);
/* Puts the best weights in place of the last, where the settings ask for them. */
so_status so_run_measure_best(so_run *run, so_error *error);

/* ---- run_keep.c */
/* Writes <out>/model: the model that the run began with, with what was learnt; or <out>/adapter. */
so_status so_run_keep(so_run *run, so_error *error);

/* ---- run_plan.c */
/* Tells what the run would take on the machines of options->plan. SO_ERR_ARG for what is no plan. */
so_status so_run_plan(so_run *run, so_error *error);
/* Whether that needs neither model nor data; and then telling it, with nothing open but the settings. */
bool so_run_plan_alone(const so_run *run);
so_status so_run_plan_published(so_run *run, so_error *error);
/* Tells what the run would take here, by trying a portion of the first update; what learns must be ready. */
so_status so_run_plan_here(so_run *run, so_error *error);

/* ---- run_dry.c */
/* Tells what the run would do: steps, memory, hours, samples with what is learnt of them. */
so_status so_run_dry(so_run *run, so_error *error);
/* Names what update `step` learns from. */
so_status so_run_show_order(so_run *run, int64_t step, so_error *error);

#endif
