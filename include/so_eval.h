/* Measuring a model against reference numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_H
#define SO_EVAL_H

#include <signal.h>
#include <stdint.h>

#include "so_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One compared sequence or tensor, or one (with `what` NULL: a whole set) that cannot be compared. Strings live during
 * the call. */
typedef struct so_golden_check {
    const char *set;              /* the case, or "vision", "merge", "tlayer", ... */
    const char *what;             /* the tensor's or sequence's name */
    int exact;                    /* 1: ids or text; deviation is the number of places that differ */
    double deviation;             /* largest absolute difference */
    double bar;                   /* what it may be; 0 where exact */
    double relative_l2;           /* ||found - expected|| / ||expected||; 0 where exact */
    int64_t compared, not_finite; /* elements */
    int passed;
    const char *reason; /* NULL; otherwise nothing was compared, and why; passed is 0 where the program itself failed */
} so_golden_check;

typedef struct so_golden_options {
    int threads;           /* 0: all cores */
    int keep_types;        /* as in so_model_options */
    const char *inputs;    /* folder of the pictures and sounds; NULL: as golden.json says */
    const char *tokenizer; /* NULL: as golden.json says */
    const char *only;      /* a part of the set's name; NULL: every set */
    const char *device;    /* as in so_model_options: networks compute there; what only the host does is skipped */
} so_golden_options;

typedef struct so_golden_result {
    int64_t checks, failed, sets, skipped; /* skipped: sets that cannot be compared; each was told with its reason */
    int64_t left;                          /* tensors of compared sets that cannot be; told likewise */
} so_golden_result;

typedef void (*so_golden_fn)(void *context, const so_golden_check *check);

/* Runs everything that a folder of reference numbers holds: one laid out like stream-omni-tiny (a checkpoint in model/,
 * golden.json, golden.safetensors, optionally golden-f64.safetensors, whose tighter bars are then used) or like
 * cosyvoice-tiny; told apart by their contents. `each` (may be NULL) is told of every comparison. A status other than
 * SO_OK means that the comparison itself could not be made; deviations are counted in result->failed. `options` may be
 * NULL. */
so_status so_golden_run(const char *folder, const so_golden_options *options, so_golden_fn each, void *context,
                        so_golden_result *result, so_error *error);

/* ---- the tabletop world */

/* One item as a model answered it; strings live during the call, NULL for what was not part of it. */
typedef struct so_tabletop_reply {
    const char *mode, *id, *kind;
    const char *question, *answer; /* what was asked, and the right answer */
    const char *heard, *got;       /* the transcript, the model's answer */
    const char *echo;              /* its voice, heard again by itself */
    const char *offline;           /* the transcript of the whole utterance at once */
    int right;                     /* got is the answer, letter case and punctuation aside; or for what lies outside
                                      of the world, that it does */
    const char *condition;         /* "clean", "noise", "turns 11-30", "outside pictures" */
} so_tabletop_reply;

typedef struct so_tabletop_eval_options {
    const char *model;                 /* as so_model_open takes it */
    const char *modes;                 /* comma between; NULL: "V+T>T,V+S>T,S>T,V+S>S". Also known: T>T, S>S, and
                                          V+S>U, S>U, where speech units alone are made and heard again; say>S, say>U, where the
                                          right answer is said */
    const char *conditions;            /* comma between: clean, before, behind, inside, quiet, offset, telephone, noise,
                                          room (by the speech of V+S>T and S>T), long, outside; or all. NULL: clean, and no
                                          table of conditions */
    int64_t turns;                     /* of a long conversation; 0: 60 */
    const char *lora;                  /* adapters, as in so_model_options; NULL: none */
    int64_t items;                     /* at most so many of every mode; 0: all */
    int threads;                       /* workers, each with a session; 0: one per core */
    int keep_types;                    /* as in so_model_options */
    const char *kv;                    /* as in so_session_options */
    uint64_t seed;                     /* of the voice's noise */
    const volatile sig_atomic_t *stop; /* non-zero: end early; may be NULL */
    void (*progress)(void *context, int64_t done, int64_t total); /* may be NULL */
    void (*each)(void *context, const so_tabletop_reply *reply);  /* one at a time, in no fixed order; may be NULL */
    void *context;
} so_tabletop_eval_options;

/* Measures a model on a folder in the generator's format: answers by kind, word errors of the transcript, how often the
 * transcript of speech in pieces equals that of the whole utterance and how many of the words on view were withdrawn,
 * the voice heard again by the model's own ears, its length and log-mel distance to espeak-ng's, and times, which are
 * those of a listener whose speech arrives in pieces of 40 ms while the model works on one thread. *text is a table for
 * people, *json one object; either may be NULL; the caller frees with so_free. SO_ERR_MISSING when the folder has no
 * item of a mode. */
so_status so_eval_tabletop(const char *folder, const so_tabletop_eval_options *options, char **text, char **json,
                           so_error *error);

/* ---- quantised models */

/* What a model is asked: turns of a tabletop folder (with a picture, in words and in speech), the cases of a folder of
 * reference numbers (golden.json), lines of a text file (and made-up speech units), or a few built-in ones. */
typedef struct so_turns_options {
    const char *model, *tokenizer; /* as so_model_open takes them */
    const char *data; /* a folder (or .json of the tabletop world), or text, one turn a line; NULL: built-in */
    int64_t items;    /* at most so many; 0: 64 */
    int threads;      /* 0: all cores */
    uint64_t seed;    /* of made-up units and pictures */
    const volatile sig_atomic_t *stop;                            /* non-zero: end early; may be NULL */
    void (*progress)(void *context, int64_t done, int64_t total); /* may be NULL */
    void *context;
} so_turns_options;

typedef struct so_quant_options {
    so_turns_options turns;
    const char *type, *types, *importance; /* as in so_save_options; type and types NULL: the weights stay */
    const char *kv;                        /* as in so_session_options, of the quantised model */
    const char *keep;                      /* where to leave the quantised file; NULL: it is removed */
    int answers; /* 1: also the answers and word errors of a tabletop folder, with speech: slow */
    void (*note)(void *context, const char *line); /* as in so_save_options */
} so_quant_options;

/* What a type costs: the model is opened in f32, written as asked, opened again, and led along the first's answers.
 * *text is a table, *json one object; either may be NULL; the caller frees with so_free. */
so_status so_eval_quant(const so_quant_options *options, char **text, char **json, so_error *error);
/* Runs the turns and writes what each column of each matrix matters (see so_save_options.importance) to `path`;
 * *matrices of them, each met by at least *least rows. */
so_status so_calibrate(const so_turns_options *options, const char *path, int64_t *matrices, int64_t *least,
                       so_error *error);

#ifdef __cplusplus
}
#endif
#endif
