/* Questions out of the annotations that the authors of a benchmark give out.
 * Source: data-eval.md D.0 to D.9, E.1.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "eval/scoring/benchmark.h"
#include "net/base64.h"
#include "text/rows.h"

/* Appends a question and gives it. NULL without memory, or for texts that are not UTF-8. */
static json_t *add(json_t *questions, const char *id, const char *image, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static json_t *add(json_t *questions, const char *id, const char *image, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) return NULL;
    json_t *q = json_pack("{s:s, s:s*, s:s}", "id", id, "image", image, "text", text);
    free(text);
    if (json_array_append(questions, q) != 0) return NULL;
    json_decref(q);
    return q;
}

static so_status no_memory(so_error *error)
{
    return so_fail(error, SO_ERR_NOMEM, "no memory for a question, or it is not UTF-8");
}

/* An id that is a string or a number, as text. */
static const char *id_of(const json_t *object, const char *key, char room[32])
{
    const json_t *id = json_object_get(object, key);
    if (json_is_string(id)) return json_string_value(id);
    snprintf(room, 32, "%lld", (long long)json_integer_value(id));
    return room;
}

static so_status want_list(const json_t *list, const char *name, so_error *error)
{
    if (json_array_size(list)) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "'%s': no list of questions in it", name);
}

/* ---- VQA */

so_status so_prepare_vqav2(const char *folder, json_t *questions, so_error *error)
{
    json_t *asked = NULL, *told = NULL, *truth = json_object(), *one;
    size_t i;
    char name[64], id[32];
    so_error why;
    so_status status = so_bench_json(folder, "v2_OpenEnded_mscoco_*questions.json", &asked, error);
    const json_t *list = json_object_get(asked, "questions");
    if (status == SO_OK) status = want_list(list, "v2_OpenEnded_mscoco_*questions.json", error);
    if (status == SO_OK && so_bench_json(folder, "v2_mscoco_*annotations.json", &told, &why) == SO_OK)
        json_array_foreach(json_object_get(told, "annotations"), i, one)
            json_object_set(truth, id_of(one, "question_id", id), one);
    const char *split = strstr(so_bench_text(asked, "data_subtype"), "test") ? "test2015" : "val2014";
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        if (status != SO_OK) break;
        const char *qid = id_of(one, "question_id", id);
        snprintf(name, sizeof name, "%s/COCO_%s_%012lld.jpg", split, split,
                 (long long)json_integer_value(json_object_get(one, "image_id")));
        json_t *q = add(questions, qid, name, "%s" SO_SHORT_ANSWER, so_bench_text(one, "question")),
               *answers = json_array();
        const json_t *a = json_object_get(truth, qid);
        for (size_t k = 0; k < json_array_size(json_object_get(a, "answers")); k++)
            json_array_append(answers, json_object_get(json_array_get(json_object_get(a, "answers"), k), "answer"));
        if (!q) status = no_memory(error);
        if (a) {
            json_object_set(q, "answers", answers);
            json_object_set(q, "category", json_object_get(a, "answer_type"));
            json_object_set(q, "kind", json_object_get(a, "question_type"));
        }
        json_decref(answers);
    }
    json_decref(asked);
    json_decref(told);
    json_decref(truth);
    return status;
}

so_status so_prepare_vizwiz(const char *folder, json_t *questions, so_error *error)
{
    json_t *list = NULL, *one;
    size_t i;
    SO_TRY(so_bench_json(folder, "val.json|test.json|Annotations/val.json", &list, error));
    so_status status = want_list(list, "val.json", error);
    json_array_foreach(list, i, one)
    {
        if (status != SO_OK) break;
        const char *image = so_bench_text(one, "image");
        json_t *q = add(
                   questions, image, image,
                   "%s\nWhen the provided information is insufficient, respond with 'Unanswerable'." SO_SHORT_ANSWER,
                   so_bench_text(one, "question")),
               *answers = json_array();
        const json_t *told = json_object_get(one, "answers");
        for (size_t k = 0; k < json_array_size(told); k++)
            json_array_append(answers, json_object_get(json_array_get(told, k), "answer"));
        if (!q) status = no_memory(error);
        if (q && json_array_size(answers)) {
            json_object_set(q, "answers", answers);
            json_object_set(q, "category", json_object_get(one, "answer_type"));
        }
        json_decref(answers);
    }
    json_decref(list);
    return status;
}

so_status so_prepare_textvqa(const char *folder, json_t *questions, so_error *error)
{
    json_t *all = NULL, *one;
    size_t i;
    char image[256], id[32];
    SO_TRY(so_bench_json(folder, "TextVQA_*_val.json|textvqa_val.json", &all, error));
    const json_t *list = json_object_get(all, "data");
    so_status status = want_list(list, "TextVQA_0.5.1_val.json", error);
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        if (status != SO_OK) break;
        snprintf(image, sizeof image, "train_images/%.200s.jpg", so_bench_text(one, "image_id"));
        const json_t *tokens = json_object_get(one, "ocr_tokens");
        so_string seen = {0};
        for (size_t k = 0; k < json_array_size(tokens); k++) {
            so_string_put(&seen, k ? ", " : "\nReference OCR token: ", NULL);
            so_string_put(&seen, json_string_value(json_array_get(tokens, k)), NULL);
        }
        json_t *q = add(questions, id_of(one, "question_id", id), image, "%s%s" SO_SHORT_ANSWER,
                        so_bench_text(one, "question"), seen.data ? seen.data : "");
        so_string_clear(&seen);
        if (!q) status = no_memory(error);
        json_object_set(q, "answers", json_object_get(one, "answers"));
    }
    json_decref(all);
    return status;
}

so_status so_prepare_gqa(const char *folder, json_t *questions, so_error *error)
{
    json_t *all = NULL, *one;
    const char *id;
    char image[256];
    SO_TRY(so_bench_json(folder, "testdev_balanced_questions.json", &all, error));
    so_status status =
        json_object_size(all) ? SO_OK : so_fail(error, SO_ERR_FORMAT, "testdev_balanced_questions.json: no questions");
    json_object_foreach(all, id, one)
    {
        if (status != SO_OK) break;
        const json_t *types = json_object_get(one, "types");
        if (json_is_false(json_object_get(one, "isBalanced"))) continue;
        snprintf(image, sizeof image, "images/%.200s.jpg", so_bench_text(one, "imageId"));
        json_t *q = add(questions, id, image, "%s" SO_SHORT_ANSWER, so_bench_text(one, "question"));
        if (!q) status = no_memory(error);
        json_object_set(q, "truth", json_object_get(one, "answer"));
        json_object_set(q, "category", json_object_get(types, "structural"));
        json_object_set(q, "kind", json_object_get(types, "semantic"));
    }
    json_decref(all);
    return status;
}

/* ---- choices */

/* "A. one\nB. two\n" of a list of texts. The caller frees. */
static char *options_of(const json_t *choices)
{
    so_string text = {0};
    for (size_t i = 0; i < json_array_size(choices) && i < 26; i++) {
        const char letter[4] = {(char)('A' + i), '.', ' ', 0}, *choice = json_string_value(json_array_get(choices, i));
        so_string_put(&text, letter, NULL);
        so_string_put(&text, choice ? choice : "", NULL);
        so_string_put(&text, "\n", NULL);
    }
    so_string_put(&text, "", NULL);
    return text.data;
}

so_status so_prepare_scienceqa(const char *folder, json_t *questions, so_error *error)
{
    json_t *problems = NULL, *splits = NULL, *id;
    size_t i;
    so_status status = so_bench_json(folder, "problems.json", &problems, error);
    if (status == SO_OK) status = so_bench_json(folder, "pid_splits.json", &splits, error);
    json_array_foreach(json_object_get(splits, "test"), i, id)
    {
        if (status != SO_OK) break;
        const char *pid = json_string_value(id), *hint;
        const json_t *one = pid ? json_object_get(problems, pid) : NULL;
        const json_t *picture = json_object_get(one, "image"), *choices = json_object_get(one, "choices");
        char image[256], truth[2] = {(char)('A' + json_integer_value(json_object_get(one, "answer")) % 26), 0};
        char *options = options_of(choices);
        if (!one || !options) {
            free(options);
            status =
                so_fail(error, SO_ERR_FORMAT, "pid_splits.json: problem %s is not in problems.json", pid ? pid : "");
            continue;
        }
        hint = so_bench_text(one, "hint");
        snprintf(image, sizeof image, "images/test/%.100s/image.png", pid);
        json_t *q = add(questions, pid, json_is_string(picture) ? image : NULL, "Context: %s\n%s\n%s" SO_OPTION_LETTER,
                        hint[0] ? hint : "N/A", so_bench_text(one, "question"), options);
        free(options);
        if (!q) status = no_memory(error);
        json_object_set_new(q, "truth", json_string(truth));
        json_object_set_new(q, "choices", json_integer((json_int_t)json_array_size(choices)));
        json_object_set(q, "category", json_object_get(one, "subject"));
    }
    json_decref(problems);
    json_decref(splits);
    return status;
}

so_status so_prepare_seed(const char *folder, json_t *questions, so_error *error)
{
    static const char *const choice[] = {"choice_a", "choice_b", "choice_c", "choice_d"};
    json_t *all = NULL, *one;
    size_t i;
    char id[32];
    SO_TRY(so_bench_json(folder, "SEED-Bench*.json", &all, error));
    const json_t *list = json_object_get(all, "questions");
    so_status status = want_list(list, "SEED-Bench.json", error);
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        if (status != SO_OK) break;
        bool film = strcmp(so_bench_text(one, "data_type"), "video") == 0;
        char image[300], type[32];
        json_t *choices = json_array();
        for (int k = 0; k < 4; k++) json_array_append(choices, json_object_get(one, choice[k]));
        char *options = options_of(choices);
        json_decref(choices);
        snprintf(image, sizeof image, "%s/%.200s%s", film ? "SEED-Bench-video-image" : "SEED-Bench-image",
                 so_bench_text(one, "data_id"), film ? ".png" : "");
        json_t *q = add(questions, id_of(one, "question_id", id), image, "%s\n%s" SO_OPTION_LETTER,
                        so_bench_text(one, "question"), options ? options : "");
        free(options);
        if (!q) status = no_memory(error);
        snprintf(type, sizeof type, "type %lld",
                 (long long)json_integer_value(json_object_get(one, "question_type_id")));
        json_object_set(q, "truth", json_object_get(one, "answer"));
        json_object_set_new(q, "category", json_string(type));
        json_object_set_new(q, "kind", json_string(film ? "video" : "image"));
    }
    json_decref(all);
    return status;
}

/* ---- yes and no */

so_status so_prepare_pope(const char *folder, json_t *questions, so_error *error)
{
    static const char *const categories[] = {"random", "popular", "adversarial"};
    so_status status = SO_OK;
    for (int c = 0; c < 3 && status == SO_OK; c++) {
        json_t *list = NULL, *one;
        size_t i;
        char name[64], id[64], number[32], image[300];
        snprintf(name, sizeof name, "coco_pope_%s.json", categories[c]);
        status = so_bench_json(folder, name, &list, error);
        json_array_foreach(list, i, one)
        {
            if (status != SO_OK) break;
            snprintf(id, sizeof id, "%s/%s", categories[c], id_of(one, "question_id", number));
            snprintf(image, sizeof image, "val2014/%.250s", so_bench_text(one, "image"));
            json_t *q = add(questions, id, image, "%s" SO_SHORT_ANSWER, so_bench_text(one, "text"));
            if (!q) status = no_memory(error);
            json_object_set(q, "truth", json_object_get(one, "label"));
            json_object_set_new(q, "category", json_string(categories[c]));
        }
        json_decref(list);
    }
    return status;
}

static const char *const mme_tasks[] = {"existence",
                                        "count",
                                        "position",
                                        "color",
                                        "posters",
                                        "celebrity",
                                        "scene",
                                        "landmark",
                                        "artwork",
                                        "OCR",
                                        "commonsense_reasoning",
                                        "numerical_calculation",
                                        "text_translation",
                                        "code_reasoning"};
enum { MME_TASKS = sizeof mme_tasks / sizeof *mme_tasks };

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int is_text(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 4 && strcmp(e->d_name + n - 4, ".txt") == 0;
}

/* Two lines "question TAB Yes|No" about one picture. */
static so_status mme_picture(const char *folder, const char *task, const char *list, const char *stem,
                             json_t *questions, so_error *error)
{
    char path[4096], name[600], *data, *save = NULL;
    size_t size;
    int n = 0;
    static const char *const endings[] = {"png", "jpg"};
    const char *inside = strcmp(list, "questions_answers_YN") == 0 ? "images/" : "";
    snprintf(path, sizeof path, "%.2000s/%s/%s/%.500s.txt", folder, task, list, stem);
    SO_TRY(so_file_read(path, 1 << 20, &data, &size, error));
    for (int e = 0; e < 2; e++) {
        char file[4096];
        snprintf(name, sizeof name, "%s/%s%.400s.%s", task, inside, stem, endings[e]);
        snprintf(file, sizeof file, "%.2000s/%s", folder, name);
        FILE *there = fopen(file, "rb");
        if (there) {
            fclose(there);
            break;
        }
    }
    so_status status = SO_OK;
    for (char *line = strtok_r(data, "\r\n", &save); line && status == SO_OK;
         line = strtok_r(NULL, "\r\n", &save), n++) {
        char *truth = strchr(line, '\t'), id[700];
        if (truth) *truth++ = 0;
        snprintf(id, sizeof id, "%s/%d", name, n);
        json_t *q = truth ? add(questions, id, name, "%s" SO_SHORT_ANSWER, line) : NULL;
        if (!q) status = truth ? no_memory(error) : so_fail(error, SO_ERR_FORMAT, "'%s': a line without a tab", path);
        json_object_set_new(q, "truth", json_string(truth));
        json_object_set_new(q, "category", json_string(task));
    }
    free(data);
    if (status == SO_OK && n != 2) status = so_fail(error, SO_ERR_FORMAT, "'%s': %d questions, expected 2", path, n);
    return status;
}

so_status so_prepare_mme(const char *folder, json_t *questions, so_error *error)
{
    so_status status = SO_OK;
    for (int t = 0; t < MME_TASKS && status == SO_OK; t++) {
        char path[4096];
        struct dirent **files = NULL;
        const char *list = "questions_answers_YN";
        snprintf(path, sizeof path, "%.2000s/%s/%s", folder, mme_tasks[t], list);
        int n = scandir(path, &files, is_text, by_name);
        if (n < 0) {
            list = ".";
            snprintf(path, sizeof path, "%.2000s/%s", folder, mme_tasks[t]);
            n = scandir(path, &files, is_text, by_name);
        }
        for (int i = 0; i < n; i++) {
            char stem[512];
            snprintf(stem, sizeof stem, "%.*s", (int)(strlen(files[i]->d_name) - 4), files[i]->d_name);
            if (status == SO_OK) status = mme_picture(folder, mme_tasks[t], list, stem, questions, error);
            free(files[i]);
        }
        free(files);
    }
    if (status == SO_OK && json_array_size(questions) == 0)
        return so_fail(error, SO_ERR_MISSING, "'%s': none of MME's folders (existence, count, ...)", folder);
    return status;
}

/* ---- MMBench */

/* The reference's script reads the table with pandas, to which all of these are no value, and then takes "nan" and
 * "none" in any case for none, too. */
static bool present(const char *cell)
{
    static const char *const nothing[] = {"",     "#N/A", "#N/A N/A", "#NA",     "-1.#IND", "-1.#QNAN",
                                          "-NaN", "-nan", "1.#IND",   "1.#QNAN", "<NA>",    "N/A",
                                          "NA",   "NULL", "n/a",      "null"};
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        if (strcmp(cell, nothing[i]) == 0) return false;
    return strcasecmp(cell, "nan") != 0 && strcasecmp(cell, "none") != 0;
}

/* The picture of a row: base64, or a short number, which is the row that has it. */
static so_status picture_of(const char *folder, const char *index, const char *cell, char name[64], so_error *error)
{
    char path[4096];
    size_t n = strlen(cell), wrote;
    so_base64 state = {0};
    snprintf(name, 64, "images/%.40s.jpg", n < 64 ? cell : index);
    if (n < 64) return SO_OK;
    char *bytes = malloc(n);
    if (!bytes) return so_fail(error, SO_ERR_NOMEM, "no memory for a picture");
    bool fine = so_base64_feed(&state, cell, n, bytes, &wrote) && so_base64_end(&state);
    snprintf(path, sizeof path, "%.4000s/%s", folder, name);
    so_status status = fine ? so_file_write(path, bytes, wrote, error)
                            : so_fail(error, SO_ERR_FORMAT, "row %s: its picture is no base64", index);
    free(bytes);
    return status;
}

static so_status mmbench_row(const char *folder, const so_rows *rows, const int at[10], json_t *questions, bool chinese,
                             so_error *error)
{
    const char *index = so_rows_field(rows, at[0]), *hint = so_rows_field(rows, at[2]);
    char name[64];
    SO_TRY(picture_of(folder, index, so_rows_field(rows, at[8]), name, error));
    json_t *choices = json_array();
    for (int i = 0; i < 4 && at[3 + i] >= 0 && present(so_rows_field(rows, at[3 + i])); i++)
        json_array_append_new(choices, json_string(so_rows_field(rows, at[3 + i])));
    char *options = options_of(choices);
    json_t *q =
        add(questions, index, name, "%s%s%s\n%s%s", present(hint) ? hint : "", present(hint) ? "\n" : "",
            so_rows_field(rows, at[1]), options ? options : "", chinese ? "请直接回答选项字母。" : SO_OPTION_LETTER);
    free(options);
    json_object_set_new(q, "choices", choices);
    if (!q) return no_memory(error);
    json_object_set_new(q, "question", json_string(so_rows_field(rows, at[1])));
    if (at[7] >= 0 && present(so_rows_field(rows, at[7])))
        json_object_set_new(q, "truth", json_string(so_rows_field(rows, at[7])));
    if (at[9] >= 0) json_object_set_new(q, "category", json_string(so_rows_field(rows, at[9])));
    return SO_OK;
}

so_status so_prepare_mmbench(const char *folder, json_t *questions, so_error *error)
{
    static const char *const columns[10] = {"index", "question", "hint",   "A",     "B",
                                            "C",     "D",        "answer", "image", "category"};
    char path[4096], images[4096];
    so_map map;
    so_status status;
    int at[10];
    SO_TRY(so_bench_file(folder, "*mmbench*.tsv|*MMBench*.tsv", path, error));
    snprintf(images, sizeof images, "%.4000s/images", folder);
    SO_TRY(so_make_folder(images, error));
    SO_TRY(so_map_open(&map, path, error));
    so_rows rows = {
        .at = (const char *)map.data, .end = (const char *)map.data + map.size, .separator = '\t', .quoted = true};
    bool more = so_rows_next(&rows, 64 << 20, &status, error);
    for (int i = 0; i < 10; i++) at[i] = more ? so_rows_find(&rows, columns[i]) : -1;
    if (status == SO_OK && (at[0] < 0 || at[1] < 0 || at[3] < 0 || at[8] < 0))
        status = so_fail(error, SO_ERR_FORMAT, "'%s': no columns index, question, A, image", path);
    bool chinese = strcasestr(path, "_cn") != NULL;
    while (status == SO_OK && so_rows_next(&rows, 64 << 20, &status, error))
        status = mmbench_row(folder, &rows, at, questions, chinese, error);
    so_rows_clear(&rows);
    so_map_close(&map);
    return status;
}

/* ---- judged */

so_status so_prepare_wild(const char *folder, json_t *questions, so_error *error)
{
    json_t *asked = NULL, *context = NULL, *truth = NULL, *captions = json_object(), *one;
    size_t i;
    char id[32];
    so_status status =
        so_bench_json(folder, "questions.source.jsonl|llava_questions.jsonl|questions_original.jsonl", &asked, error);
    if (status == SO_OK) status = so_bench_json(folder, "context.jsonl", &context, error);
    if (status == SO_OK) status = so_bench_json(folder, "answers_gpt4.jsonl", &truth, error);
    json_array_foreach(context, i, one)
    {
        const json_t *caption = json_object_get(one, "caption");
        so_string text = {0};
        for (size_t k = 0; k < json_array_size(caption); k++) {
            so_string_put(&text, k ? "\n" : "", NULL);
            so_string_put(&text, json_string_value(json_array_get(caption, k)), NULL);
        }
        json_object_set_new(captions, so_bench_text(one, "image"),
                            json_string(text.data                 ? text.data
                                        : json_is_string(caption) ? json_string_value(caption)
                                                                  : ""));
        so_string_clear(&text);
    }
    json_array_foreach(asked, i, one)
    {
        if (status != SO_OK) break;
        const char *image = so_bench_text(one, "image");
        json_t *q = add(questions, id_of(one, "question_id", id), image, "%s", so_bench_text(one, "text"));
        if (!q) status = no_memory(error);
        json_object_set(q, "category", json_object_get(one, "category"));
        json_object_set(q, "caption", json_object_get(captions, image));
        json_object_set(q, "reference", json_object_get(json_array_get(truth, i), "text"));
    }
    json_decref(asked);
    json_decref(context);
    json_decref(truth);
    json_decref(captions);
    return status;
}

so_status so_prepare_mmvet(const char *folder, json_t *questions, so_error *error)
{
    json_t *all = NULL, *one;
    const char *id;
    char image[300];
    SO_TRY(so_bench_json(folder, "mm-vet.json", &all, error));
    so_status status = json_object_size(all) ? SO_OK : so_fail(error, SO_ERR_FORMAT, "mm-vet.json: no questions");
    json_object_foreach(all, id, one)
    {
        if (status != SO_OK) break;
        snprintf(image, sizeof image, "images/%.250s", so_bench_text(one, "imagename"));
        json_t *q = add(questions, id, image, "%s", so_bench_text(one, "question"));
        if (!q) status = no_memory(error);
        json_object_set(q, "reference", json_object_get(one, "answer"));
        json_object_set(q, "capability", json_object_get(one, "capability"));
    }
    json_decref(all);
    return status;
}

so_status so_prepare_visit(const char *folder, json_t *questions, so_error *error)
{
    static const char *const captions[] = {"caption", "image_dense_captions", "image_dense_caption",
                                           "instruction_conditioned_caption", "instruction-conditioned caption"};
    json_t *list = NULL, *one;
    size_t i;
    char id[32], image[300], speech[300];
    SO_TRY(so_bench_json(folder, "VisIT_speech.jsonl|SpokenVisIT.jsonl", &list, error));
    so_status status = want_list(list, "VisIT_speech.jsonl", error);
    json_array_foreach(list, i, one)
    {
        if (status != SO_OK) break;
        snprintf(image, sizeof image, "images/%.250s", so_bench_text(one, "image"));
        snprintf(speech, sizeof speech, "speech/%.250s", so_bench_text(one, "speech"));
        json_t *q = add(questions, id_of(one, "id", id), image, "%s", so_bench_text(one, "instruction"));
        if (!q) status = no_memory(error);
        json_object_set_new(q, "audio", json_string(speech));
        json_object_set(q, "category", json_object_get(one, "category"));
        for (int k = 0; k < 5 && !json_object_get(q, "caption"); k++)
            json_object_set(q, "caption", json_object_get(one, captions[k]));
    }
    json_decref(list);
    return status;
}

/* ---- speech */

so_status so_prepare_spoken(const char *folder, json_t *questions, so_error *error)
{
    json_t *list = NULL, *one;
    size_t i;
    char id[32], number[32];
    SO_TRY(so_bench_json(folder, "questions.source.jsonl|test.jsonl|llama_questions.jsonl|web_questions.jsonl", &list,
                         error));
    so_status status = want_list(list, "test.jsonl", error);
    json_array_foreach(list, i, one)
    {
        static const char *const asked[] = {"question", "QuestionText", "utterance"}, *const sounds[] = {"audio",
                                                                                                         "Wav Filename",
                                                                                                         "WavPath"};
        const json_t *text = NULL, *sound = NULL, *answers = json_object_get(one, "answers"),
                     *answer = json_object_get(one, "Answer");
        if (status != SO_OK) break;
        for (int k = 0; k < 3; k++)
            text = text ? text : json_object_get(one, asked[k]),
            sound = sound ? sound : json_object_get(one, sounds[k]);
        snprintf(number, sizeof number, "%zu", i);
        json_t *q = add(questions, json_object_get(one, "id") ? id_of(one, "id", id) : number, NULL, "%s",
                        json_is_string(text) ? json_string_value(text) : "");
        if (!q) status = no_memory(error);
        if (json_is_string(sound)) json_object_set(q, "audio", (json_t *)(uintptr_t)sound);
        if (json_is_array(answers))
            json_object_set(q, "answers", (json_t *)(uintptr_t)answers);
        else
            json_object_set_new(q, "answers", json_pack("[O*]", answer ? answer : json_object_get(one, "answer")));
        if (q && !json_array_size(json_object_get(q, "answers")))
            status = so_fail(error, SO_ERR_FORMAT, "question %zu has no answers", i + 1);
    }
    json_decref(list);
    return status;
}

/* Transcripts of a folder that `data index` made, or of lines {"id", "wav", "transcription"}. */
so_status so_prepare_heard(const char *folder, json_t *questions, so_error *error)
{
    json_t *list = NULL, *one;
    size_t i;
    char id[32];
    SO_TRY(so_bench_json(folder, "records.jsonl|test.jsonl|manifest.jsonl", &list, error));
    so_status status = want_list(list, "records.jsonl", error);
    json_array_foreach(list, i, one)
    {
        const json_t *turn = json_array_get(json_object_get(one, "turns"), 0), *record = turn ? turn : one,
                     *audio = json_object_get(record, turn ? "audio" : "wav");
        const char *text = so_bench_text(record, turn ? "text" : "transcription");
        if (status != SO_OK) break;
        json_t *q = add(questions, id_of(one, "id", id), NULL, "%s", "");
        if (!q) status = no_memory(error);
        json_object_set(q, "audio", (json_t *)(uintptr_t)audio);
        json_object_set_new(q, "truth", json_string(text));
        json_object_set(q, "lang", json_object_get(one, "lang"));
    }
    json_decref(list);
    return status;
}
