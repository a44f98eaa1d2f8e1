/* Benchmarks: their questions from the original annotations, answers of anybody, scores beside the paper's.
 *
 * A benchmark lives in a folder, which holds what its authors give out, and then
 *
 *     questions.jsonl   {"id", "text", "image"?, "audio"?, "category"?, ...truth}: made by so_bench_prepare
 *     answers*.jsonl    {"question_id", "text"}: a model's, from one process or several
 *     run.json          how they were made: model, decoding, image mode, weights
 *     score.json        the score and its parts
 *     upload.*          what the authors' server wants, where the truth is not given out
 *     page.html         the score beside the paper's, and answers that are wrong
 *
 * Source: data-eval.md, sections D and E; the paper's tables 2 to 5.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_SCORING_BENCHMARK_H
#define SO_EVAL_SCORING_BENCHMARK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "text/normalise.h"

/* One question with its answer. */
typedef struct so_item {
    const json_t *question;
    const char *id;
    const char *answer; /* NULL: missing */
    double right;       /* 0 to 1; negative: not scored by itself */
} so_item;

typedef struct so_items {
    so_item *item;
    int64_t n, missing;
    json_t *questions, *answers;
    char hash[65]; /* SHA-256 of questions.jsonl */
} so_items;

typedef struct so_scoring so_scoring;

typedef struct so_bench {
    const char *name, *title;
    const char *metric; /* of the score */
    double paper;       /* Stream-Omni's in the paper; 0: none */
    const char *peers;  /* "VITA-1.5 78.8, LLaVA-1.5 78.5" */
    int max_tokens;     /* of an answer */
    bool speech;        /* questions are spoken */
    bool speaks;        /* the voice of the answer is heard again, and that is scored */
    bool hears;         /* what is scored is the transcript */
    const char *needs;  /* files that prepare reads */
    so_status (*prepare)(const char *folder, json_t *questions, so_error *error);
    so_status (*score)(so_scoring *scoring, so_error *error); /* NULL: a judge or a server does */
} so_bench;

struct so_scoring {
    const so_bench *bench;
    so_items *items;
    const char *folder, *spelling; /* spelling: British to American words; may be NULL */
    json_t *parts;                 /* an object of numbers by name, to be filled */
    double score;                  /* what the paper's table has */
    json_t *upload;                /* to be filled where a server scores; NULL: nothing to upload */
};

/* NULL when there is none of this name; by number, NULL after the last. */
const so_bench *so_bench_find(const char *name);
const so_bench *so_bench_at(int i);

/* Writes questions.jsonl from what lies in the folder. *n: how many. SO_ERR_MISSING names the files that are wanted. */
so_status so_bench_prepare(const so_bench *bench, const char *folder, int64_t *n, so_error *error);

/* Reads questions.jsonl and answers: `answers` is a file, or NULL for answers*.jsonl in the folder. Forms: JSON lines
 * or a list of {"question_id" | "questionId" | "id", "text" | "answer" | "prediction"}, or one object of id to text.
 * Where ids repeat, answers are taken in order, if there are as many as questions. */
so_status so_items_open(so_items *items, const char *folder, const char *answers, so_error *error);
void so_items_close(so_items *items);

typedef struct so_score_options {
    const char *answers, *spelling;
    bool partial; /* score although answers are missing; those count as wrong */
} so_score_options;

/* Scores, and writes score.json, page.html and what is to be uploaded. *result, of the caller: the contents of
 * score.json. SO_ERR_STATE where answers are missing. */
so_status so_bench_score(const so_bench *bench, const char *folder, const so_score_options *options, json_t **result,
                         so_error *error);
/* One page over several folders that were scored. */
so_status so_bench_pages(const char *const *folders, int n, const char *path, so_error *error);

/* ---- shared by preparations and scores */

/* A JSON file, whole or as lines (then a list). SO_ERR_MISSING, SO_ERR_FORMAT name it. */
so_status so_bench_json(const char *folder, const char *name, json_t **out, so_error *error);
/* The first of the names (a pattern of glob, '|' between) that is in the folder, as a path. SO_ERR_MISSING. */
so_status so_bench_file(const char *folder, const char *names, char path[4096], so_error *error);
const char *so_bench_text(const json_t *object, const char *key); /* "" where there is none */
void so_bench_part(so_scoring *scoring, const char *name, double value);

#define SO_SHORT_ANSWER "\nAnswer the question using a single word or phrase."
#define SO_OPTION_LETTER "Answer with the option's letter from the given choices directly."

#define SO_BENCH_PREPARE(name) so_status name(const char *folder, json_t *questions, so_error *error)
SO_BENCH_PREPARE(so_prepare_vqav2);
SO_BENCH_PREPARE(so_prepare_gqa);
SO_BENCH_PREPARE(so_prepare_vizwiz);
SO_BENCH_PREPARE(so_prepare_textvqa);
SO_BENCH_PREPARE(so_prepare_scienceqa);
SO_BENCH_PREPARE(so_prepare_pope);
SO_BENCH_PREPARE(so_prepare_mme);
SO_BENCH_PREPARE(so_prepare_mmbench);
SO_BENCH_PREPARE(so_prepare_seed);
SO_BENCH_PREPARE(so_prepare_wild);
SO_BENCH_PREPARE(so_prepare_mmvet);
SO_BENCH_PREPARE(so_prepare_spoken);
SO_BENCH_PREPARE(so_prepare_heard);
SO_BENCH_PREPARE(so_prepare_visit);

#define SO_BENCH_SCORE(name) so_status name(so_scoring *s, so_error *error)
SO_BENCH_SCORE(so_score_vqav2);
SO_BENCH_SCORE(so_score_vizwiz);
SO_BENCH_SCORE(so_score_textvqa);
SO_BENCH_SCORE(so_score_gqa);
SO_BENCH_SCORE(so_score_scienceqa);
SO_BENCH_SCORE(so_score_pope);
SO_BENCH_SCORE(so_score_mme);
SO_BENCH_SCORE(so_score_mmbench);
SO_BENCH_SCORE(so_score_seed);
SO_BENCH_SCORE(so_score_wild);
SO_BENCH_SCORE(so_score_mmvet);
SO_BENCH_SCORE(so_score_visit);
SO_BENCH_SCORE(so_score_spoken);
SO_BENCH_SCORE(so_score_heard);

#endif
