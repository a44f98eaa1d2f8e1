/* The scores of the benchmarks, by their own rules.
 * Source: data-eval.md D.1 to D.9, E.2, E.3.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "eval/scoring/answers.h"
#include "eval/scoring/benchmark.h"
#include "eval/wer.h"

/* Sums by name, told as means. */
typedef struct means {
    json_t *sum, *n;
} means;

static means new_means(void) { return (means){json_object(), json_object()}; }

static void mean_add(means *m, const char *prefix, const char *name, double value)
{
    char key[160];
    if (!name || !name[0]) return;
    snprintf(key, sizeof key, "%s%.120s", prefix, name);
    json_object_set_new(m->sum, key, json_real(json_number_value(json_object_get(m->sum, key)) + value));
    json_object_set_new(m->n, key, json_integer(json_integer_value(json_object_get(m->n, key)) + 1));
}

static void mean_tell(means *m, so_scoring *s, double scale)
{
    const char *key;
    json_t *sum;
    json_object_foreach(m->sum, key, sum)
        so_bench_part(s, key, scale * json_real_value(sum) / (double)json_integer_value(json_object_get(m->n, key)));
    json_decref(m->sum);
    json_decref(m->n);
}

static double mean_right(const so_items *s)
{
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++) sum += fmax(0, s->item[i].right);
    return s->n ? 100 * sum / (double)s->n : 0;
}

static const char *said(const so_item *item) { return item->answer ? item->answer : ""; }

/* ---- VQA */

static const char **texts_of(const json_t *list, int *n)
{
    *n = (int)json_array_size(list);
    const char **text = calloc((size_t)*n + 1, sizeof *text);
    for (int i = 0; text && i < *n; i++) {
        text[i] = json_string_value(json_array_get(list, (size_t)i));
        if (!text[i]) text[i] = "";
    }
    return text;
}

/* Where there is no truth the answers go into the upload, in the processor's form. */
static so_status upload_vqa(so_scoring *s, bool images, so_error *error)
{
    s->upload = json_array();
    for (int64_t i = 0; i < s->items->n; i++) {
        so_string form = {0};
        const char *id = s->items->item[i].id;
        so_status status = so_answer_evalai(said(&s->items->item[i]), &form, error);
        json_t *one = json_object();
        json_object_set_new(one, images ? "image" : "question_id",
                            images ? json_string(id) : json_integer(strtoll(id, NULL, 10)));
        json_object_set_new(one, "answer", json_string(form.data ? form.data : ""));
        json_array_append_new(s->upload, one);
        so_string_clear(&form);
        SO_TRY(status);
    }
    s->score = (double)NAN;
    return SO_OK;
}

static so_status vqa(so_scoring *s, bool official, bool images, so_error *error)
{
    means m = new_means();
    bool truth = s->items->n && json_object_get(s->items->item[0].question, "answers");
    so_status status = truth ? SO_OK : upload_vqa(s, images, error);
    for (int64_t i = 0; truth && i < s->items->n && status == SO_OK; i++) {
        so_item *item = &s->items->item[i];
        int n;
        const char **answers = texts_of(json_object_get(item->question, "answers"), &n);
        item->right = 0;
        if (!answers) status = so_fail(error, SO_ERR_NOMEM, "no memory for answers");
        if (answers && item->answer) status = so_vqa_accuracy(item->answer, answers, n, official, &item->right, error);
        mean_add(&m, "", so_bench_text(item->question, "category"), item->right);
        mean_add(&m, "question ", so_bench_text(item->question, "kind"), item->right);
        free(answers);
    }
    if (truth) s->score = round(mean_right(s->items) * 100) / 100;
    mean_tell(&m, s, 100);
    return status;
}

so_status so_score_vqav2(so_scoring *s, so_error *error) { return vqa(s, true, false, error); }
so_status so_score_vizwiz(so_scoring *s, so_error *error) { return vqa(s, true, true, error); }
so_status so_score_textvqa(so_scoring *s, so_error *error) { return vqa(s, false, false, error); }

so_status so_score_gqa(so_scoring *s, so_error *error)
{
    means m = new_means();
    so_status status = SO_OK;
    for (int64_t i = 0; i < s->items->n && status == SO_OK; i++) {
        so_item *item = &s->items->item[i];
        so_string form = {0};
        status = so_answer_gqa(said(item), &form, error);
        item->right = status == SO_OK && item->answer && strcmp(form.data, so_bench_text(item->question, "truth")) == 0;
        so_string_clear(&form);
        const char *structural = so_bench_text(item->question, "category");
        mean_add(&m, "structural ", structural, item->right);
        mean_add(&m, "semantic ", so_bench_text(item->question, "kind"), item->right);
        mean_add(&m, "", strcmp(structural, "query") == 0 ? "open" : "binary", item->right);
    }
    s->score = mean_right(s->items);
    mean_tell(&m, s, 100);
    return status;
}

/* ---- letters */

so_status so_score_scienceqa(so_scoring *s, so_error *error)
{
    means m = new_means();
    double all = 0, pictures = 0, right = 0;
    int64_t failed = 0;
    (void)error;
    for (int64_t i = 0; i < s->items->n; i++) {
        so_item *item = &s->items->item[i];
        char letter = so_answer_science(said(item)), truth = so_bench_text(item->question, "truth")[0];
        failed += letter == 0;
        if (letter - 'A' >= json_integer_value(json_object_get(item->question, "choices"))) letter = 0;
        item->right = letter && letter == truth;
        all += item->right;
        if (json_object_get(item->question, "image")) {
            pictures++;
            right += item->right;
        }
        mean_add(&m, "", so_bench_text(item->question, "category"), item->right);
    }
    s->score = pictures > 0 ? 100 * right / pictures : 0;
    so_bench_part(s, "all questions", s->items->n ? 100 * all / (double)s->items->n : 0);
    so_bench_part(s, "with a picture, n", pictures);
    so_bench_part(s, "no letter found, n", (double)failed);
    mean_tell(&m, s, 100);
    return SO_OK;
}

so_status so_score_seed(so_scoring *s, so_error *error)
{
    means m = new_means();
    double first = 0;
    (void)error;
    for (int64_t i = 0; i < s->items->n; i++) {
        so_item *item = &s->items->item[i];
        const char *truth = so_bench_text(item->question, "truth");
        item->right = item->answer && strcmp(item->answer, truth) == 0;
        first += item->answer && item->answer[0] == truth[0];
        mean_add(&m, "", so_bench_text(item->question, "kind"), item->right);
        mean_add(&m, "", so_bench_text(item->question, "category"), item->right);
    }
    s->score = mean_right(s->items);
    so_bench_part(s, "first character", s->items->n ? 100 * first / (double)s->items->n : 0);
    mean_tell(&m, s, 100);
    return SO_OK;
}

/* A base question is right where all of its rows are: copies have the options turned round. */
so_status so_score_mmbench(so_scoring *s, so_error *error)
{
    json_t *groups = json_object(), *kinds = json_object(), *right;
    const char *base;
    char key[32];
    int64_t unclear = 0;
    means m = new_means();
    bool truth = s->items->n && json_object_get(s->items->item[0].question, "truth");
    (void)error;
    if (!truth) s->upload = json_array();
    for (int64_t i = 0; i < s->items->n; i++) {
        so_item *item = &s->items->item[i];
        int n;
        const char **options = texts_of(json_object_get(item->question, "choices"), &n);
        if (!options) return so_fail(error, SO_ERR_NOMEM, "no memory for options");
        char letter = so_answer_option(said(item), options, n);
        free(options);
        unclear += letter == 0;
        item->right = truth && letter == so_bench_text(item->question, "truth")[0];
        snprintf(key, sizeof key, "%lld", strtoll(item->id, NULL, 10) % 1000000);
        const json_t *before = json_object_get(groups, key);
        json_object_set_new(groups, key, json_boolean(item->right > 0 && (!before || json_is_true(before))));
        if (!before) json_object_set(kinds, key, json_object_get(item->question, "category"));
        if (!truth)
            json_array_append_new(s->upload,
                                  json_pack("{s:s, s:s, s:O, s:O*}", "index", item->id, "prediction", said(item),
                                            "choices", json_object_get(item->question, "choices"), "question",
                                            json_object_get(item->question, "question")));
    }
    double sum = 0, n = (double)json_object_size(groups);
    json_object_foreach(groups, base, right)
    {
        sum += json_is_true(right);
        const char *kind = json_string_value(json_object_get(kinds, base));
        mean_add(&m, "", kind ? kind : "", json_is_true(right));
    }
    s->score = truth && n > 0 ? 100 * sum / n : (double)NAN;
    so_bench_part(s, "base questions, n", n);
    so_bench_part(s, "rows alone", mean_right(s->items));
    so_bench_part(s, "no letter found, n", (double)unclear);
    mean_tell(&m, s, 100);
    json_decref(groups);
    json_decref(kinds);
    return SO_OK;
}

/* ---- yes and no */

so_status so_score_pope(so_scoring *s, so_error *error)
{
    static const char *const categories[] = {"random", "popular", "adversarial"};
    double f1_sum = 0;
    int told = 0;
    char name[64];
    (void)error;
    for (int c = 0; c < 3; c++) {
        double tp = 0, fp = 0, tn = 0, fn = 0;
        for (int64_t i = 0; i < s->items->n; i++) {
            so_item *item = &s->items->item[i];
            if (strcmp(so_bench_text(item->question, "category"), categories[c]) != 0) continue;
            bool yes = !so_answer_denies(said(item)),
                 truth = strcmp(so_bench_text(item->question, "truth"), "yes") == 0;
            if (!item->answer) yes = !truth; /* missing is wrong */
            item->right = yes == truth;
            *(yes ? truth ? &tp : &fp : truth ? &fn : &tn) += 1;
        }
        double n = tp + fp + tn + fn, p = tp + fp > 0 ? tp / (tp + fp) : 0, r = tp + fn > 0 ? tp / (tp + fn) : 0;
        double f1 = p + r > 0 ? 2 * p * r / (p + r) : 0;
        if (n == 0) continue;
        f1_sum += f1;
        told++;
        const double value[] = {100 * f1, 100 * (tp + tn) / n, 100 * p, 100 * r, 100 * (tp + fp) / n};
        static const char *const what[] = {"F1", "accuracy", "precision", "recall", "says yes"};
        for (int k = 0; k < 5; k++) {
            snprintf(name, sizeof name, "%s %s", categories[c], what[k]);
            so_bench_part(s, name, value[k]);
        }
    }
    s->score = told ? 100 * f1_sum / told : 0;
    return SO_OK;
}

so_status so_score_mme(so_scoring *s, so_error *error)
{
    static const char *const cognition[] = {"commonsense_reasoning", "numerical_calculation", "text_translation",
                                            "code_reasoning"};
    double perception = 0, thought = 0, sum = 0, both = 0, n = 0;
    char name[96];
    for (int64_t i = 0; i < s->items->n; i += 2) {
        so_item *one = &s->items->item[i], *two = i + 1 < s->items->n ? one + 1 : NULL;
        const char *task = so_bench_text(one->question, "category");
        if (!two || strcmp(so_bench_text(one->question, "image"), so_bench_text(two->question, "image")) != 0)
            return so_fail(error, SO_ERR_FORMAT, "'%s' has not two questions", so_bench_text(one->question, "image"));
        for (so_item *item = one; item <= two; item++)
            item->right = so_answer_mme(said(item)) ==
                          (strcasecmp(so_bench_text(item->question, "truth"), "yes") == 0 ? 'y' : 'n');
        sum += one->right + two->right;
        both += one->right > 0 && two->right > 0;
        n++;
        bool last =
            i + 2 >= s->items->n || strcmp(task, so_bench_text(s->items->item[i + 2].question, "category")) != 0;
        if (!last) continue;
        double score = 100 * sum / (2 * n) + 100 * both / n;
        bool thinks = false;
        for (int k = 0; k < 4; k++) thinks = thinks || strcmp(task, cognition[k]) == 0;
        *(thinks ? &thought : &perception) += score;
        snprintf(name, sizeof name, "%.60s", task);
        so_bench_part(s, name, score);
        sum = both = n = 0;
    }
    s->score = perception;
    so_bench_part(s, "perception", perception);
    so_bench_part(s, "cognition", thought);
    return SO_OK;
}

/* ---- speech */

so_status so_score_spoken(so_scoring *s, so_error *error)
{
    static const char *const names[] = {"", "R1, the authors' S>T", "R2, the authors' S>S", "R3, UltraEval"};
    so_normaliser *normaliser;
    double sum[4] = {0};
    SO_TRY(so_normaliser_open(&normaliser, s->spelling, error));
    so_status status = SO_OK;
    for (int64_t i = 0; i < s->items->n && status == SO_OK; i++) {
        so_item *item = &s->items->item[i];
        int n;
        const char **answers = texts_of(json_object_get(item->question, "answers"), &n);
        if (!answers) status = so_fail(error, SO_ERR_NOMEM, "no memory for answers");
        item->right = 0;
        for (int rule = 1; rule <= 3 && status == SO_OK && item->answer; rule++) {
            bool right;
            status = so_match_right((so_match_rule)rule, normaliser, item->answer, answers, n, &right, error);
            sum[rule] += right;
            if (rule == (s->bench->speaks ? 2 : 1)) item->right = right;
        }
        free(answers);
    }
    for (int rule = 1; rule <= 3; rule++)
        so_bench_part(s, names[rule], s->items->n ? 100 * sum[rule] / (double)s->items->n : 0);
    s->score = s->items->n ? 100 * sum[s->bench->speaks ? 2 : 1] / (double)s->items->n : 0;
    so_normaliser_close(&normaliser);
    return status;
}

static void tell_wer(so_scoring *s, const char *what, const so_wer *w)
{
    char name[64];
    const double value[] = {100 * so_wer_rate(w), (double)w->substitutions, (double)w->deletions, (double)w->insertions,
                            (double)w->units};
    static const char *const parts[] = {"", ", substituted", ", deleted", ", inserted", ", of"};
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%s%s", what, parts[i]);
        so_bench_part(s, name, value[i]);
    }
}

/* Word errors as the authors count and through Whisper's normaliser, character errors of Chinese. */
so_status so_score_heard(so_scoring *s, so_error *error)
{
    so_normaliser *normaliser;
    so_wer authors = {0}, whisper = {0}, chinese = {0};
    SO_TRY(so_normaliser_open(&normaliser, s->spelling, error));
    so_status status = SO_OK;
    for (int64_t i = 0; i < s->items->n && status == SO_OK; i++) {
        so_item *item = &s->items->item[i];
        const char *truth = so_bench_text(item->question, "truth"), *heard = said(item);
        so_string a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0};
        so_wer own = {0};
        status = so_normalise_asr(truth, strlen(truth), &a, error);
        if (status == SO_OK) status = so_normalise_asr(heard, strlen(heard), &b, error);
        if (status == SO_OK) status = so_normaliser_english(normaliser, truth, strlen(truth), &c, error);
        if (status == SO_OK) status = so_normaliser_english(normaliser, heard, strlen(heard), &d, error);
        if (status == SO_OK) status = so_normalise_chinese(truth, strlen(truth), &e, error);
        if (status == SO_OK) status = so_normalise_chinese(heard, strlen(heard), &f, error);
        if (status == SO_OK) status = so_wer_words(&authors, a.data, a.size, b.data, b.size, error);
        if (status == SO_OK) status = so_wer_words(&whisper, c.data, c.size, d.data, d.size, error);
        if (status == SO_OK) status = so_wer_characters(&chinese, e.data, e.size, f.data, f.size, error);
        if (status == SO_OK)
            status = e.size ? so_wer_characters(&own, e.data, e.size, f.data, f.size, error)
                            : so_wer_words(&own, a.data, a.size, b.data, b.size, error);
        item->right = fmax(0, 1 - so_wer_rate(&own));
        so_string *const all[] = {&a, &b, &c, &d, &e, &f};
        for (int k = 0; k < 6; k++) so_string_clear(all[k]);
    }
    so_normaliser_close(&normaliser);
    tell_wer(s, "WER as the authors count", &authors);
    tell_wer(s, s->spelling ? "WER by Whisper's normaliser" : "WER by Whisper's normaliser, no spelling table",
             &whisper);
    if (chinese.units) tell_wer(s, "CER", &chinese);
    s->score = 100 * so_wer_rate(chinese.units > authors.units ? &chinese : &authors);
    return status;
}

/* ---- what a judge said (judge.jsonl, brought in as "score" or "pair" of each item) */

static so_status judged(so_scoring *s, json_t **by_id, so_error *error)
{
    json_t *list = NULL, *one;
    size_t i;
    SO_TRY(so_bench_json(s->folder, "judge.jsonl", &list, error));
    *by_id = json_object();
    json_array_foreach(list, i, one) json_object_set(*by_id, so_bench_text(one, "id"), one);
    json_decref(list);
    return SO_OK;
}

/* 100 x mean of the answers' points / mean of the references'. */
so_status so_score_wild(so_scoring *s, so_error *error)
{
    json_t *by_id;
    SO_TRY(judged(s, &by_id, error));
    double own = 0, reference = 0, n = 0, unparsed = 0;
    for (int64_t i = 0; i < s->items->n; i++) {
        so_item *item = &s->items->item[i];
        const json_t *pair = json_object_get(json_object_get(by_id, item->id), "pair");
        if (json_array_size(pair) != 2) {
            unparsed++;
            continue;
        }
        reference += json_number_value(json_array_get(pair, 0));
        own += json_number_value(json_array_get(pair, 1));
        item->right = json_number_value(json_array_get(pair, 1)) / 10;
        n++;
    }
    json_decref(by_id);
    s->score = reference > 0 ? 100 * own / reference : 0;
    so_bench_part(s, "answers, mean x 10", n > 0 ? 10 * own / n : 0);
    so_bench_part(s, "references, mean x 10", n > 0 ? 10 * reference / n : 0);
    so_bench_part(s, "not judged or not understood, n", unparsed);
    return SO_OK;
}

/* The mean of what the judge gave, its standard error, and by kind. */
static so_status mean_judged(so_scoring *s, double scale, const char *list, so_error *error)
{
    json_t *by_id;
    SO_TRY(judged(s, &by_id, error));
    means m = new_means();
    double sum = 0, squares = 0, n = 0, unparsed = 0;
    for (int64_t i = 0; i < s->items->n; i++) {
        so_item *item = &s->items->item[i];
        const json_t *score = json_object_get(json_object_get(by_id, item->id), "score"),
                     *kinds = json_object_get(item->question, list);
        if (!json_is_number(score)) {
            unparsed++;
            continue;
        }
        double x = json_number_value(score);
        sum += x;
        squares += x * x;
        n++;
        item->right = scale > 1 ? x : x / 5;
        mean_add(&m, "", so_bench_text(item->question, list), x);
        for (size_t k = 0; k < json_array_size(kinds); k++)
            mean_add(&m, "", json_string_value(json_array_get(kinds, k)), x);
    }
    json_decref(by_id);
    double mean = n > 0 ? sum / n : 0;
    s->score = scale * mean;
    so_bench_part(s, "standard error", n > 1 ? scale * sqrt(fmax(0, squares / n - mean * mean) / (n - 1)) : 0);
    so_bench_part(s, "not judged or not understood, n", unparsed);
    mean_tell(&m, s, scale);
    return SO_OK;
}

so_status so_score_mmvet(so_scoring *s, so_error *error) { return mean_judged(s, 100, "capability", error); }
so_status so_score_visit(so_scoring *s, so_error *error) { return mean_judged(s, 1, "category", error); }
