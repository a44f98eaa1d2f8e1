/* Answers brought into the form in which a benchmark compares them, and compared: pure functions, one rule each.
 *
 * Source: data-eval.md, sections D and E, which follow the public code of LLaVA, GT-Vision-Lab, VLMEvalKit and
 * UltraEval-Audio, oddities and all: a score is comparable only if they are kept.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_SCORING_ANSWERS_H
#define SO_EVAL_SCORING_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/string.h"
#include "text/normalise.h"

/* The answer processor of EvalAI (and of LLaVA for TextVQA): lower case, punctuation, number words, articles,
 * contractions. Replaces what is in `out`. */
so_status so_answer_evalai(const char *text, so_string *out, so_error *error);

/* VQA accuracy of an answer that `matches` of ten annotators gave: 0, 0.3, 0.6, 0.9, then 1. */
double so_vqa_credit(int matches);
/* The share of an answer among those of the annotators. `official`: as the VQA server counts (forms are changed only
 * where annotators disagree); else both sides through the processor above. */
so_status so_vqa_accuracy(const char *answer, const char *const *truth, int n, bool official, double *score,
                          so_error *error);

/* GQA: trailing points away, lower case. Replaces what is in `out`. */
so_status so_answer_gqa(const char *text, so_string *out, so_error *error);
/* ScienceQA: the letter A..E that the text is, begins with or says once; 0: none. */
char so_answer_science(const char *text);
/* POPE: whether the words before the first point say no. */
bool so_answer_denies(const char *text);
/* MME: 'y', 'n', or 'o' for other. */
char so_answer_mme(const char *text);
/* MMBench: the letter of one of n options by VLMEvalKit's rules, 'Z' where it says so, 0 where none can be told. */
char so_answer_option(const char *text, const char *const *options, int n);

/* Spoken questions, three rules that must not be mixed. R1, the authors' S>T: an answer, lower-cased, is part of the
 * output. R2, their S>S: also through the English normaliser. R3, UltraEval's: as a run of whole tokens. */
typedef enum so_match_rule { SO_MATCH_R1 = 1, SO_MATCH_R2, SO_MATCH_R3 } so_match_rule;
so_status so_match_right(so_match_rule rule, so_normaliser *normaliser, const char *output, const char *const *answers,
                         int n, bool *right, so_error *error);

/* The first number that a judge gives: in a JSON object with a member `score` (quoted or not), after "score:", or
 * alone. false where there is none from `least` to `most`. */
bool so_judge_score(const char *reply, double least, double most, double *score);
/* Two numbers from 1 to 10 on the first line, blanks or commas between. */
bool so_judge_pair(const char *reply, double pair[2]);

#endif
