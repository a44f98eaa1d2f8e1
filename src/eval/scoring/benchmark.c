/* The list of benchmarks, and what is done with each.
 * Source: the paper's tables 2 to 5.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/scoring/benchmark.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "eval/scoring/sheet.h"
#include "so.h"
#include "text/markup.h"

#define SPOKEN_PEERS(a, b, c) "VITA-1.5 " a ", GLM-4-Voice " b ", LLaMA-Omni " c
static const so_bench benches[] = {
    {"vqav2", "VQAv2", "VQA accuracy", 79.7, "VITA-1.5 78.8, LLaVA-1.5 78.5, LLaVA-NeXT 81.8", 128, false, false, false,
     "v2_OpenEnded_mscoco_*_questions.json (and v2_mscoco_*_annotations.json)", so_prepare_vqav2, so_score_vqav2},
    {"gqa", "GQA", "exact match", 68.3, "VITA-1.5 60.6, LLaVA-1.5 62.0, LLaVA-NeXT 64.2", 128, false, false, false,
     "testdev_balanced_questions.json", so_prepare_gqa, so_score_gqa},
    {"vizwiz", "VizWiz", "VQA accuracy", 45.5, "VITA-1.5 54.8, LLaVA-1.5 50.0, LLaVA-NeXT 57.6", 128, false, false,
     false, "val.json or test.json", so_prepare_vizwiz, so_score_vizwiz},
    {"scienceqa", "ScienceQA", "accuracy of questions with a picture", 93.4,
     "VITA-1.5 90.9, LLaVA-1.5 66.8, LLaVA-OV 96.0", 1024, false, false, false, "problems.json, pid_splits.json",
     so_prepare_scienceqa, so_score_scienceqa},
    {"textvqa", "TextVQA", "VQA accuracy (EvalAI's processor)", 62.7, "VITA-1.5 65.0, LLaVA-1.5 58.2, LLaVA-NeXT 64.9",
     128, false, false, false, "TextVQA_0.5.1_val.json", so_prepare_textvqa, so_score_textvqa},
    {"pope", "POPE", "mean F1 of three splits", 86.0, "VITA-1.5 85.7, LLaVA-1.5 85.9, LLaVA-NeXT 86.5", 128, false,
     false, false, "coco_pope_random.json, _popular, _adversarial", so_prepare_pope, so_score_pope},
    {"mme", "MME", "perception, of 2000", 1752.7, "VITA-1.5 1687.7, LLaVA-1.5 1510.7, LLaVA-OV 1580.0", 128, false,
     false, false, "folders existence, count, ...", so_prepare_mme, so_score_mme},
    {"mmbench", "MMBench (en)", "circular accuracy", 82.4, "VITA-1.5 76.7, LLaVA-1.5 64.3, LLaVA-OV 80.8", 1024, false,
     false, false, "mmbench_dev_*.tsv", so_prepare_mmbench, so_score_mmbench},
    {"mmbench-cn", "MMBench (cn)", "circular accuracy", 0, "", 1024, false, false, false, "mmbench_dev_cn_*.tsv",
     so_prepare_mmbench, so_score_mmbench},
    {"seed", "SEED-Bench", "accuracy", 76.3, "VITA-1.5 70.4, LLaVA-1.5 58.6, LLaVA-OV 75.4", 1024, false, false, false,
     "SEED-Bench.json", so_prepare_seed, so_score_seed},
    {"llava-wild", "LLaVA-Bench (wild)", "relative to the reference, judged", 71.2,
     "VITA-1.5 71.0, LLaVA-1.5 63.4, LLaVA-NeXT 81.6", 1024, false, false, false,
     "llava_questions.jsonl, context.jsonl, answers_gpt4.jsonl", so_prepare_wild, so_score_wild},
    {"mm-vet", "MM-Vet", "mean x 100, judged", 44.7, "VITA-1.5 49.6, LLaVA-1.5 30.5, LLaVA-NeXT 43.9", 1024, false,
     false, false, "mm-vet.json", so_prepare_mmvet, so_score_mmvet},
    {"llama-questions", "Llama Questions, S>T", "rule R1", 76.3, SPOKEN_PEERS("76.7", "64.7", "67.7"), 1024, true,
     false, false, "test.jsonl {id, audio, question, answers}", so_prepare_spoken, so_score_spoken},
    {"web-questions", "Web Questions, S>T", "rule R1", 44.2, SPOKEN_PEERS("42.7", "32.2", "33.4"), 128, true, false,
     false, "test.jsonl {id, audio, question, answers}", so_prepare_spoken, so_score_spoken},
    {"spokenvisit", "SpokenVisIT, V+S>T", "mean of 1 to 5, judged", 3.68, "VITA-1.5 3.45", 4096, true, false, false,
     "VisIT_speech.jsonl", so_prepare_visit, so_score_visit},
    {"llama-questions-voice", "Llama Questions, S>S", "rule R2", 65.0, "GLM-4-Voice 50.7, LLaMA-Omni 49.0, Moshi 21.0",
     1024, true, true, false, "test.jsonl {id, audio, question, answers}", so_prepare_spoken, so_score_spoken},
    {"web-questions-voice", "Web Questions, S>S", "rule R2", 27.5, "GLM-4-Voice 15.9, LLaMA-Omni 23.7, Moshi 9.2", 128,
     true, true, false, "test.jsonl {id, audio, question, answers}", so_prepare_spoken, so_score_spoken},
    {"spokenvisit-voice", "SpokenVisIT, V+S>S", "mean of 1 to 5, judged", 2.62, "", 2048, true, true, false,
     "VisIT_speech.jsonl", so_prepare_visit, so_score_visit},
    {"librispeech-clean", "LibriSpeech test-clean", "word errors, %", 3.0, "VITA-1.5 3.4, Whisper 2.5, GLM-4-Voice 2.8",
     0, true, false, true, "records.jsonl of data index", so_prepare_heard, so_score_heard},
    {"librispeech-other", "LibriSpeech test-other", "word errors, %", 7.2, "VITA-1.5 7.5, Whisper 4.5, GLM-4-Voice 7.7",
     0, true, false, true, "records.jsonl of data index", so_prepare_heard, so_score_heard},
    {"aishell", "AISHELL", "character errors, %", 0, "", 0, true, false, true, "records.jsonl of data index",
     so_prepare_heard, so_score_heard},
    {"wenetspeech", "WenetSpeech", "character errors, %", 0, "", 0, true, false, true, "records.jsonl of data index",
     so_prepare_heard, so_score_heard},
};
enum { BENCHES = sizeof benches / sizeof *benches };

const so_bench *so_bench_at(int i) { return i >= 0 && i < BENCHES ? &benches[i] : NULL; }
const so_bench *so_bench_find(const char *name)
{
    for (int i = 0; i < BENCHES; i++)
        if (strcmp(benches[i].name, name) == 0) return &benches[i];
    return NULL;
}

so_status so_bench_prepare(const so_bench *bench, const char *folder, int64_t *n, so_error *error)
{
    json_t *questions = json_array(), *one;
    char path[4096];
    size_t i;
    so_writer writer = {0};
    so_status status = bench->prepare(folder, questions, error);
    if (status == SO_ERR_MISSING) so_fail_in(error, "%s wants %s", bench->name, bench->needs);
    snprintf(path, sizeof path, "%.4000s/questions.jsonl", folder);
    *n = (int64_t)json_array_size(questions);
    if (status == SO_OK && *n == 0) status = so_fail(error, SO_ERR_FORMAT, "'%s': no questions", folder);
    if (status == SO_OK) status = so_writer_open(&writer, path, error);
    json_array_foreach(questions, i, one)
    {
        if (status != SO_OK) break;
        char *line = json_dumps(one, JSON_COMPACT);
        status = line ? so_writer_put(&writer, line, strlen(line), error)
                      : so_fail(error, SO_ERR_NOMEM, "no memory for a question");
        if (status == SO_OK) status = so_writer_put(&writer, "\n", 1, error);
        free(line);
    }
    if (status == SO_OK) status = so_writer_commit(&writer, error);
    so_writer_drop(&writer);
    json_decref(questions);
    return status;
}

/* ---- what is written */

static so_status write_json(const char *folder, const char *name, const json_t *json, size_t flags, so_error *error)
{
    char path[4096], *text = json_dumps(json, flags);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for %s", name);
    snprintf(path, sizeof path, "%.4000s/%s", folder, name);
    so_status status = so_file_write(path, text, strlen(text), error);
    free(text);
    return status;
}

/* What is told of the run, or that nothing is. */
static json_t *run_of(const char *folder)
{
    so_error why;
    json_t *run = NULL;
    if (so_bench_json(folder, "run.json", &run, &why) == SO_OK && json_is_object(run)) return run;
    json_decref(run);
    return json_pack("{s:s, s:s, s:s, s:s}", "model", "not told", "decoding", "not told", "image_mode", "not told",
                     "weights", "not told");
}

static json_t *result_of(const so_bench *bench, const so_scoring *s)
{
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:f, s:s, s:s, s:s, s:I, s:I, s:o, s:O}", "benchmark", bench->name, "title", bench->title,
        "metric", bench->metric, "score", isfinite(s->score) ? json_real(s->score) : json_null(), "paper", bench->paper,
        "peers", bench->peers, "harness", "stream-omni " SO_VERSION, "questions_sha256", s->items->hash, "n",
        (json_int_t)s->items->n, "missing", (json_int_t)s->items->missing, "run", run_of(s->folder), "parts", s->parts);
}

static so_status upload(const so_bench *bench, const so_scoring *s, so_error *error)
{
    char path[4096];
    if (!s->upload) return SO_OK;
    if (strncmp(bench->name, "mmbench", 7) != 0)
        return write_json(s->folder, "upload.json", s->upload, JSON_COMPACT, error);
    snprintf(path, sizeof path, "%.4000s/upload.xlsx", s->folder);
    return so_sheet_write(path, s->upload, error);
}

/* ---- pages */

static void row(so_page *p, const json_t *r)
{
    const json_t *score = json_object_get(r, "score"), *run = json_object_get(r, "run");
    double paper = json_number_value(json_object_get(r, "paper"));
    so_page_put(p, "<tr>");
    so_page_cell(p, true, "%s", so_bench_text(r, "title"));
    so_page_cell(p, false, "%s", so_bench_text(r, "metric"));
    if (json_is_number(score))
        so_page_cell(p, false, "%.2f", json_number_value(score));
    else
        so_page_cell(p, false, "its server scores");
    if (paper > 0)
        so_page_cell(p, false, "%.4g", paper);
    else
        so_page_cell(p, false, "-");
    so_page_cell(p, false, "%s", so_bench_text(r, "peers"));
    so_page_cell(p, false, "%lld, %lld missing", (long long)json_integer_value(json_object_get(r, "n")),
                 (long long)json_integer_value(json_object_get(r, "missing")));
    so_page_cell(p, false, "%s; %s; %s; %s; %s; questions %.12s", so_bench_text(r, "harness"),
                 so_bench_text(run, "model"), so_bench_text(run, "decoding"), so_bench_text(run, "image_mode"),
                 so_bench_text(run, "weights"), so_bench_text(r, "questions_sha256"));
    so_page_put(p, "</tr>\n");
}

static void heading(so_page *p)
{
    static const char *const names[] = {"Benchmark", "Metric", "Score", "Paper", "Peers", "n", "How"};
    so_page_put(p, "<table><tr>");
    for (int i = 0; i < 7; i++) so_page_cell(p, true, "%s", names[i]);
    so_page_put(p, "</tr>\n");
}

static void failures(so_page *p, const so_items *items)
{
    int shown = 0;
    so_page_put(p, "</table>\n<h2>Answers that are wrong</h2>\n<table>\n");
    for (int64_t i = 0; i < items->n && shown < 100; i++) {
        const so_item *item = &items->item[i];
        const char *image = so_bench_text(item->question, "image");
        const json_t *answers = json_object_get(item->question, "answers");
        if (item->right < 0 || item->right >= 0.5) continue;
        shown++;
        so_page_put(p, "<tr>");
        so_page_cell(p, false, "%s", item->id);
        so_page_put(p, "<td>");
        if (image[0])
            so_page_put(p, "<img loading=\"lazy\" alt=\"\" src=\""), so_page_text(p, image), so_page_put(p, "\">");
        so_page_put(p, "</td>");
        so_page_cell(p, false, "%s", so_bench_text(item->question, "text"));
        const char *truth = so_bench_text(item->question, "truth");
        if (!truth[0]) truth = json_string_value(json_array_get(answers, 0));
        so_page_cell(p, false, "%s", truth ? truth : so_bench_text(item->question, "reference"));
        so_page_put(p, "<td class=\"bad\">");
        so_page_text(p, item->answer ? item->answer : "(missing)");
        so_page_put(p, "</td></tr>\n");
    }
    so_page_put(p, "</table>\n");
    if (!shown) so_page_put(p, "<p>None.</p>\n");
}

static so_status page(const so_scoring *s, const json_t *result, so_error *error)
{
    so_page p = {0};
    const char *name;
    json_t *value;
    char path[4096];
    so_page_begin(&p, so_bench_text(result, "title"));
    heading(&p);
    row(&p, result);
    so_page_put(&p, "</table>\n<h2>Parts</h2>\n<table>\n");
    json_object_foreach(s->parts, name, value)
    {
        so_page_put(&p, "<tr>");
        so_page_cell(&p, false, "%s", name);
        so_page_cell(&p, false, "%.4g", json_number_value(value));
        so_page_put(&p, "</tr>\n");
    }
    failures(&p, s->items);
    snprintf(path, sizeof path, "%.4000s/page.html", s->folder);
    return so_page_end(&p, path, error);
}

so_status so_bench_pages(const char *const *folders, int n, const char *path, so_error *error)
{
    so_page p = {0};
    so_status status = SO_OK;
    so_page_begin(&p, "Benchmarks");
    heading(&p);
    for (int i = 0; i < n && status == SO_OK; i++) {
        json_t *result = NULL;
        status = so_bench_json(folders[i], "score.json", &result, error);
        if (status == SO_OK) row(&p, result);
        json_decref(result);
    }
    so_page_put(
        &p,
        "</table>\n<p>Scores of different harnesses, image modes or types of weights are not the same measure.</p>\n");
    if (status != SO_OK) {
        so_string_clear(&p.html);
        return status;
    }
    return so_page_end(&p, path, error);
}

so_status so_bench_score(const so_bench *bench, const char *folder, const so_score_options *options, json_t **result,
                         so_error *error)
{
    const so_score_options o = options ? *options : (so_score_options){0};
    so_items items;
    *result = NULL;
    SO_TRY(so_items_open(&items, folder, o.answers, error));
    so_scoring s = {.bench = bench, .items = &items, .folder = folder, .spelling = o.spelling, .parts = json_object()};
    so_status status = SO_OK;
    if (items.missing && !o.partial)
        status = so_fail(error, SO_ERR_STATE, "'%s': %lld of %lld answers are missing; --partial counts them as wrong",
                         folder, (long long)items.missing, (long long)items.n);
    if (status == SO_OK) status = bench->score(&s, error);
    if (status == SO_OK) status = upload(bench, &s, error);
    if (status == SO_OK && !(*result = result_of(bench, &s)))
        status = so_fail(error, SO_ERR_NOMEM, "no memory for a score");
    if (status == SO_OK)
        status = write_json(folder, "score.json", *result, JSON_INDENT(1) | JSON_REAL_PRECISION(9), error);
    if (status == SO_OK) status = page(&s, *result, error);
    json_decref(s.parts);
    json_decref(s.upload);
    so_items_close(&items);
    return status;
}
