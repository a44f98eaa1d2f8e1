/* The tabletop recipe: from a seed to a small Stream-Omni that sees, hears, writes and speaks.
 *
 * The recipe stands above train/ and data/, which do not see each other, and joins them: it draws samples from the
 * world, turns them into batches, and runs one part after another. Each part reads what earlier parts left in the
 * working folder and leaves <part>.safetensors there; a part that is finished is not run again, one that was
 * interrupted resumes.
 *
 *   vocabulary   the text tokenizer                          corpus   questions and answers, spoken
 *   eyes         the vision tower (objects under patches)    backbone stage 1: text and pictures to text
 *   ears         the speech tokenizer (CTC through the VQ)   steady   the same ears in noise, rooms, other throats
 *   units        the corpus as speech units                  bottom   stage 2: speech to text (CTC)
 *   top          stage 2: text to speech units               flow     units to mel
 *   vocoder      mel to samples                              omni     stage 3: the three tri-modal tasks
 *   model        one GGUF file
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_TABLETOP_RECIPE_H
#define SO_RECIPES_TABLETOP_RECIPE_H

#include "backend/kernels.h"
#include "base/file.h"
#include "dataset/dataset.h"
#include "dataset/tabletop/tabletop.h"
#include "media/mel.h"
#include "media/resample.h"
#include "models/stream_omni.h"
#include "text/chat.h"
#include "train/trainer.h"

/* The model's own system text. */
extern const char so_tabletop_system[];

/* Names of the ways of fusion, by so_fuse. */
extern const char *const so_tt_fusions[3];

enum {
    SO_TT_TEXT_SIZE = 1600, /* vocabulary of the BPE */
    SO_TT_WORDS = 1232,     /* of it: words that are one token though pairs do not make them */
    SO_TT_UNITS = 512,
    SO_TT_CONTEXT = 2048, /* positions of a conversation */
    SO_TT_LAYERS = 6,     /* of the language model */
    SO_TT_PHONES = 64,    /* most phoneme classes, 0 is CTC's blank */
    SO_TT_HELD_OUT = 504, /* the last items of the corpus: of the reserved part, never learned from */
};

/* One spoken exchange of the corpus. Samples stand in two packed files of 16-bit numbers. */
typedef struct so_tt_item {
    so_tabletop_kind kind;
    int32_t beyond; /* 1: of the questions beyond the exchanges (so_tt_draw_heard) */
    uint64_t scene; /* seed of the picture; ~0: none */
    char question[160], answer[160];
    int64_t q_at, q_count;              /* the user's voice, 16 kHz */
    int64_t a_at, a_count;              /* the model's voice, 22050 Hz */
    char speaker[48];                   /* of the question: "flite/slt", "recorded/blend-7", "sound" */
    char language[8];                   /* of the question, where it is not English: espeak-ng's name of it */
    uint8_t q_phone[256], a_phone[256]; /* classes 1.. of what is spoken */
    int16_t q_phones, a_phones;
} so_tt_item;

typedef struct so_tt_corpus {
    so_map index_map, q_map, a_map;
    const so_tt_item *item;
    int64_t count;
    const int16_t *q, *a;
} so_tt_corpus;

/* Who speaks in the corpus, besides all that this machine has. NULL: nobody. */
typedef struct so_tt_casting {
    const char *own;                         /* the model's own voice, "engine/voice"; NULL: the natural one */
    const char *recordings;                  /* folders of spoken questions, comma between */
    const char *command, *endpoint, *voices; /* as in dataset/voices/speaker.h */
    double seconds;                          /* that one utterance may take to make; 0: 20 */
} so_tt_casting;

typedef struct so_tt {
    const char *folder;
    so_tt_casting casting;
    uint64_t seed;
    int64_t steps;  /* of each part that trains; 0: the plan's */
    double minutes; /* time limit per part; 0: the plan's steps alone */
    so_pool *pool;
    const so_kernels *kernels;
    so_fuse fuse;               /* of the top layers */
    int64_t window, lookahead;  /* W (-1: unbounded) and K */
    so_ranks *ranks;            /* who trains along; NULL: nobody */
    double patience;            /* seconds that ranks wait for one of them while they train; 0: for ever */
    int slots;                  /* micro-batches an update; 0: 1 */
    const char *settings;       /* what a checkpoint must have been begun with, besides seed, steps and minutes */
    const so_kernels *learning; /* what training computes with; NULL: kernels */
    const volatile sig_atomic_t *stop;
    void (*say)(void *context, const char *line); /* progress for a person; may be NULL */
    void *say_context;
    so_tokenizer *tokenizer;
    const so_token_names *id;
    so_ids head, turn,
        reply; /* template pieces: up to the user's content; <eot> + user header; <eot> + assistant header */
    uint8_t *pronounceable; /* bitmap over text ids */
    int32_t *twin;          /* by text id: the same word with its capital or without; itself where there is none */
    so_tt_corpus corpus;
    so_dataset *spoken; /* the corpus as records, without units (tt_dataset.h); NULL before it is made */
    so_mel *whisper, *vocoder;
    so_resampler *down; /* 22050 -> 16000 */
} so_tt;

/* Whether this process writes what parts leave: rank 0 does. */
bool so_tt_first(const so_tt *tt);
/* Opens the working folder and what is there already (tokenizer, corpus). */
so_status so_tt_open(so_tt *tt, so_error *error);
void so_tt_close(so_tt *tt);

/* ---- parts, in order; each is resumable */
so_status so_tt_vocabulary(so_tt *tt, so_error *error);
/* How much the corpus holds besides recordings and what is held out. */
typedef struct so_tt_numbers {
    int64_t items; /* exchanges: question and answer spoken */
    int64_t heard; /* questions beyond, mostly lists of words */
    int processes; /* that speak */
} so_tt_numbers;

so_status so_tt_corpus_make(so_tt *tt, const so_tt_numbers *numbers, so_error *error);
/* How many items of the open corpus, from the first on, have a spoken answer and are to be learned from: all but those
 * that are held out, unless another program made the corpus and left questions without one. */
int64_t so_tt_answered(const so_tt *tt);
/* How many exchanges of the open corpus were drawn to be learned from; the others were recorded, or are held out. */
int64_t so_tt_drawn(const so_tt *tt);
so_status so_tt_eyes(so_tt *tt, so_error *error);
so_status so_tt_backbone(so_tt *tt, so_error *error);
so_status so_tt_ears(so_tt *tt, so_error *error);
so_status so_tt_steady(so_tt *tt, so_error *error);
so_status so_tt_units(so_tt *tt, so_error *error);
so_status so_tt_bottom(so_tt *tt, so_error *error);
so_status so_tt_top(so_tt *tt, so_error *error);
so_status so_tt_flow(so_tt *tt, so_error *error);
so_status so_tt_vocoder(so_tt *tt, so_error *error);
/* Optional: goes on from vocoder.safetensors with the adversarial losses of 7.2 and small discriminators; leaves
 * adversarial.safetensors. */
so_status so_tt_adversarial(so_tt *tt, so_error *error);
so_status so_tt_omni(so_tt *tt, so_error *error);

/* Puts all parts together as <folder>/model, in the published layout; parts that are absent stay random and are named.
 */
so_status so_tt_model(so_tt *tt, so_error *error);

/* ---- what parts share (tabletop.c) */
/* SO_ERR_FORMAT, saying what to do, unless every item of the open corpus lies within its files and is whole. */
so_status so_tt_check_corpus(const so_tt *tt, so_error *error);
so_omni_config so_tt_config(const so_tt *tt);
/* A store with the whole model, random from the recipe's seed, overlaid with what `parts` (NULL at the end) left. */
so_status so_tt_omni_open(const so_tt *tt, so_store *store, so_omni *net, const char *const *parts, so_error *error);
/* Writes start.safetensors of an earlier model, a folder in the published layout of type f32, unless it is there:
 * weights that the parts then begin with instead of random ones. The vocabulary must be made. */
so_status so_tt_start(const so_tt *tt, const char *folder, so_error *error);
/* Takes the parts 'vocabulary' and 'ears', where they are not done, out of a finished model, a GGUF file or a folder,
 * and opens the recipe again with them. SO_ERR_MISSING when the model has no speech tokenizer, SO_ERR_FORMAT when it is
 * not of the recipe's shape. */
so_status so_tt_cut(so_tt *tt, const char *model, so_error *error);
/* Copies into `store` every weight of start.safetensors that it has by name and size; nothing without the file. */
so_status so_tt_begin(const so_tt *tt, so_store *store, so_error *error);
/* Copies into `store` every weight of <folder>/<part>.safetensors that it has by name. SO_ERR_MISSING without the file.
 */
so_status so_tt_overlay(const so_tt *tt, so_store *store, const char *part, so_error *error);
/* Writes the weights of the groups (NULL at the end; NULL: all) to <folder>/<part>.safetensors. */
so_status so_tt_keep(const so_tt *tt, const so_store *store, const char *const *groups, const char *part,
                     so_error *error);
bool so_tt_done(const so_tt *tt, const char *part);
/* "<folder>/<name>" in `path` of at least 1024 bytes. */
const char *so_tt_path(const so_tt *tt, const char *name, char *path);
/* Runs a trainer whose folder is <folder>/<part>; fills the hooks' stop and progress. */
so_status so_tt_train(const so_tt *tt, const char *part, so_trainer *trainer, so_error *error);
/* Appends the ids of a text. */
so_status so_tt_encode(const so_tt *tt, const char *text, so_ids *ids, so_error *error);
/* Appends the ids that the ears are to write for a text: words that are no token of the vocabulary, and no word of
 * English as this world has it, are SO_TABLETOP_UNKNOWN each. */
so_status so_tt_heard(const so_tt *tt, const char *text, so_ids *ids, so_error *error);
/* The same as text, appended. */
so_status so_tt_heard_text(const so_tt *tt, const char *text, so_string *heard, so_error *error);
void so_tt_say(const so_tt *tt, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Normalised picture [3, 112, 112] of a scene. */
void so_tt_picture(uint64_t scene, float *pixels);
/* Log-mels [*frames, 128] of samples [n] at 16 kHz as the ears get them when they are used: through the front end of
 * hearing. With random numbers the sound comes from other surroundings, `strength` (0 to 1) as strange, and mostly from
 * another throat. The caller frees. */
so_status so_tt_hear(const so_tt *tt, const float *pcm, int64_t n, so_rng *rng, double strength, float **mel,
                     int64_t *frames, so_error *error);
/* The same sound twice, frame for frame: mel[0] from other surroundings and half of the time from another throat,
 * mel[1] as it was said, with the same pauses and at the same pace. The caller frees both. */
so_status so_tt_hear_twice(const so_tt *tt, const float *pcm, int64_t n, so_rng *rng, float *mel[2], int64_t *frames,
                           so_error *error);
/* Samples of an item's voice at 16 kHz; the caller frees. */
so_status so_tt_speech(const so_tt *tt, const so_tt_item *item, bool answer, float **pcm, int64_t *count,
                       so_error *error);

#endif
