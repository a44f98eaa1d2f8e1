/* eval prepare, run, score, judge, page, wer, normalise: benchmarks, and answers of anybody.
 * SPDX-License-Identifier: Apache-2.0 */
#include "apps/eval_bench.h"

#include <stdlib.h>
#include <string.h>

#include "apps/exchange.h"
#include "apps/turn.h"
#include "eval/scoring/compare.h"
#include "eval/scoring/judge.h"
#include "eval/scoring/run.h"

static void step(void *context, int64_t done, int64_t total) { so_bar_step(context, (double)done, (double)total); }

/* The benchmark and its folder; the exit status of a mistake, else -1. */
static int named(const so_verb *verb, int n, char **argv, const so_bench **bench)
{
    char list[1024] = "";
    if (n != 2) return so_cli_usage(verb, "expected a benchmark and its folder, found %d operands", n);
    if ((*bench = so_bench_find(argv[0]))) return -1;
    for (int i = 0; so_bench_at(i); i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", so_bench_at(i)->name);
    return so_cli_usage(verb, "no benchmark '%s', expected %s", argv[0], list);
}

/* ---- prepare */

static int run_prepare(int argc, char **argv)
{
    const so_option options[] = {{0}};
    const so_bench *bench;
    int64_t count = 0;
    int n, status = so_cli_parse(&so_eval_prepare, options, argc, argv, &n);
    if (status >= 0) return status;
    if ((status = named(&so_eval_prepare, n, argv, &bench)) >= 0) return status;
    so_error error = {0};
    if (so_bench_prepare(bench, argv[1], &count, &error) != SO_OK) return so_cli_fail(&error);
    printf("%s: %lld questions\n", argv[1], (long long)count);
    return SO_EXIT_OK;
}

const so_verb so_eval_prepare = {"eval prepare", "questions of a benchmark, out of what its authors give out",
                                 "eval prepare NAME DIR",
                                 "DIR holds the original annotations (and pictures or recordings); it gets "
                                 "questions.jsonl. docs/benchmarks.md says\n"
                                 "for each benchmark which files, and how it is scored.\n\n"
                                 "examples:\n"
                                 "  stream-omni eval prepare gqa gqa/\n",
                                 run_prepare};

/* ---- run */

static int run_run(int argc, char **argv)
{
    so_setting setting = {0};
    so_bar bar;
    so_ask_options ask = {.stop = &so_cli_stop, .progress = step, .context = &bar};
    int64_t sessions = 8, rank = 0, ranks = 1;
    const so_option options[] = {
        {"sessions", SO_OPTION_INT, &sessions, "N", "questions at a time", 1, 64},
        {"rank", SO_OPTION_INT, &rank, "N", "this process, of --ranks that share the folder", 0, 1e6},
        {"ranks", SO_OPTION_INT, &ranks, "N", "how many share it", 1, 1e6},
        {"items", SO_OPTION_INT, &ask.items, "N", "only the first so many questions", 1, 1e9},
        {"in-words", SO_OPTION_FLAG, &ask.in_words, NULL, "ask spoken questions in words"},
        {"image-mode", SO_OPTION_TEXT, &ask.image_mode, "TEXT", "told with the score: how pictures are fed"},
        {"weights", SO_OPTION_TEXT, &ask.weights, "TEXT", "told with the score: the weights' type"},
        SO_MODEL_OPTIONS(setting),
        {0},
    };
    const so_bench *bench;
    int n, status = so_cli_parse(&so_eval_run, options, argc, argv, &n);
    if (status >= 0) return status;
    if ((status = named(&so_eval_run, n, argv, &bench)) >= 0) return status;
    so_error error = {0};
    so_ask_counts counts;
    so_model_options opened = {.threads = (int)setting.threads,
                               .tokenizer = setting.tokenizer,
                               .codec = setting.codec,
                               .lora = setting.lora,
                               .keep_types = setting.keep_types,
                               .bf16 = setting.bf16,
                               .prefault = setting.prefault};
    if (setting.precision && strcmp(setting.precision, "int8") == 0) opened.precision = SO_PRECISION_INT8;
    if (setting.precision && strcmp(setting.precision, "exact") == 0) opened.precision = SO_PRECISION_EXACT;
    ask.model = so_cli_model(setting.model);
    ask.opened = &opened;
    ask.sessions = (int)sessions;
    ask.rank = (int)rank;
    ask.ranks = (int)ranks;
    so_bar_start(&bar, "asking", "questions");
    so_status s = so_bench_ask(bench, argv[1], &ask, &counts, &error);
    so_bar_end(&bar);
    if (s != SO_OK) return so_cli_fail(&error);
    printf("%s: %lld asked, %lld had answers, %lld could not be asked\n", argv[1], (long long)counts.asked,
           (long long)counts.there, (long long)counts.failed);
    if (counts.failed) fprintf(stderr, "first: %s\n", counts.first);
    return counts.failed ? SO_EXIT_FAILURE : SO_EXIT_OK;
}

const so_verb so_eval_run = {
    "eval run", "asks a model the questions of a benchmark", "eval run NAME DIR [options]",
    "Greedy, many questions at a time; answers go to DIR/answers-RANK-of-RANKS.jsonl. A stopped run goes on, with any\n"
    "number of ranks; several processes or machines may share the folder.\n\n"
    "examples:\n"
    "  stream-omni eval run pope pope/ --model stream-omni-8b\n"
    "  stream-omni eval run gqa gqa/ --rank 3 --ranks 8\n",
    run_run};

/* ---- score */

static void print_part(const char *name, double value)
{
    so_cli_put(stdout, name, strlen(name), false);
    printf(": %.4g\n", value);
}

static void print_score(const json_t *r)
{
    const json_t *run = json_object_get(r, "run"), *score = json_object_get(r, "score");
    const char *name;
    json_t *value;
    double paper = json_number_value(json_object_get(r, "paper"));
    json_object_foreach(json_object_get(r, "parts"), name, value)
    {
        printf("  ");
        print_part(name, json_number_value(value));
    }
    printf("%s, %s: ", so_bench_text(r, "title"), so_bench_text(r, "metric"));
    if (json_is_number(score))
        printf("%s%.2f%s", so_cli_bold(stdout), json_number_value(score), so_cli_plain(stdout));
    else
        printf("its server scores");
    if (paper > 0) printf(" (paper %.4g)", paper);
    printf("\n  %s, questions %.12s, n %lld, missing %lld, decoding %s, image mode %s, weights %s, model %s\n",
           so_bench_text(r, "harness"), so_bench_text(r, "questions_sha256"),
           (long long)json_integer_value(json_object_get(r, "n")),
           (long long)json_integer_value(json_object_get(r, "missing")), so_bench_text(run, "decoding"),
           so_bench_text(run, "image_mode"), so_bench_text(run, "weights"), so_bench_text(run, "model"));
}

static int run_score(int argc, char **argv)
{
    so_score_options score = {0};
    bool json = false;
    const so_option options[] = {
        {"answers", SO_OPTION_TEXT, &score.answers, "FILE",
         "answers of another system; DIR/answers*.jsonl when not given"},
        {"partial", SO_OPTION_FLAG, &score.partial, NULL, "score although answers are missing: those count as wrong"},
        {"spelling", SO_OPTION_TEXT, &score.spelling, "FILE",
         "British to American words (JSON), as Whisper's normaliser has"},
        {"json", SO_OPTION_FLAG, &json, NULL, "as JSON"},
        {0},
    };
    const so_bench *bench;
    json_t *result = NULL;
    int n, status = so_cli_parse(&so_eval_score, options, argc, argv, &n);
    if (status >= 0) return status;
    if ((status = named(&so_eval_score, n, argv, &bench)) >= 0) return status;
    so_error error = {0};
    if (so_bench_score(bench, argv[1], &score, &result, &error) != SO_OK) return so_cli_fail(&error);
    char *text = json ? json_dumps(result, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    if (json)
        printf("%s\n", text ? text : "null");
    else
        print_score(result);
    free(text);
    json_decref(result);
    return SO_EXIT_OK;
}

const so_verb so_eval_score = {
    "eval score", "scores answers by a benchmark's own rules", "eval score NAME DIR [options]",
    "Writes DIR/score.json, DIR/page.html (the score beside the paper's, and what is wrong) and, where a server "
    "scores,\n"
    "DIR/upload.json or .xlsx. --answers takes JSON lines, a list, or an object of id to text.\n\n"
    "examples:\n"
    "  stream-omni eval score gqa gqa/\n"
    "  stream-omni eval score textvqa textvqa/ --answers llava-1.5/answers.jsonl\n",
    run_score};

/* ---- judge */

static int run_judge(int argc, char **argv)
{
    so_bar bar;
    so_judge_options judge = {.model = "gpt-4o", .stop = &so_cli_stop, .progress = step, .context = &bar};
    judge.key = getenv("OPENAI_API_KEY");
    const so_option options[] = {
        {"endpoint", SO_OPTION_TEXT, &judge.endpoint, "URL", "an OpenAI-compatible server, with /v1"},
        {"judge", SO_OPTION_TEXT, &judge.model, "NAME", "its model"},
        {"key", SO_OPTION_TEXT, &judge.key, "KEY", "its key; $OPENAI_API_KEY when not given"},
        {"prompt", SO_OPTION_TEXT, &judge.prompt, "FILE",
         "with {caption}, {question}, {answer}, {reference}; our own when not given"},
        {"answers", SO_OPTION_TEXT, &judge.answers, "FILE", "answers of another system"},
        {"pause", SO_OPTION_REAL, &judge.pause, "S",
         "before a request that failed is made again (1), doubled each time", 0.001, 60},
        {0},
    };
    const so_bench *bench;
    so_judge_counts counts;
    int n, status = so_cli_parse(&so_eval_judge, options, argc, argv, &n);
    if (status >= 0) return status;
    if ((status = named(&so_eval_judge, n, argv, &bench)) >= 0) return status;
    if (!judge.endpoint) return so_cli_usage(&so_eval_judge, "expected --endpoint URL");
    so_error error = {0};
    so_bar_start(&bar, "judging", "answers");
    so_status s = so_judge_run(bench, argv[1], &judge, &counts, &error);
    so_bar_end(&bar);
    printf("%s by %s: %lld judged, %lld were there, %lld not understood, %lld without an answer\n", argv[1],
           judge.model, (long long)counts.judged, (long long)counts.cached, (long long)counts.unparsed,
           (long long)counts.missing);
    return so_cli_end(s, &error);
}

const so_verb so_eval_judge = {
    "eval judge", "has another model judge answers (llava-wild, mm-vet, spokenvisit)",
    "eval judge NAME DIR --endpoint URL [options]",
    "What the judge says is kept in DIR/judge.jsonl and never asked for twice; replies that are not understood are "
    "asked\n"
    "for twice more, then left out and counted. eval score then takes the means.\n\n"
    "examples:\n"
    "  stream-omni eval judge spokenvisit visit/ --endpoint https://api.openai.com/v1 --judge gpt-4o\n"
    "  stream-omni eval judge mm-vet mm-vet/ --endpoint http://127.0.0.1:8000/v1 --judge local --prompt theirs.txt\n",
    run_judge};

/* ---- page, wer, normalise */

static int run_page(int argc, char **argv)
{
    const char *output = NULL;
    const so_option options[] = {{"output", SO_OPTION_TEXT, &output, "FILE", "the page (-o)"}, {0}};
    int n, status = so_cli_parse(&so_eval_page, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n < 1 || !output)
        return so_cli_usage(&so_eval_page, "expected folders that were scored and -o FILE, found %d operands", n);
    so_error error = {0};
    return so_cli_end(so_bench_pages((const char *const *)argv, n, output, &error), &error);
}

const so_verb so_eval_page = {"eval page", "one page of scores beside the paper's", "eval page DIR... -o FILE",
                              "examples:\n"
                              "  stream-omni eval page gqa pope mme -o results.html\n",
                              run_page};

static int run_wer(int argc, char **argv)
{
    const char *spelling = NULL;
    bool json = false;
    const so_option options[] = {
        {"spelling", SO_OPTION_TEXT, &spelling, "FILE",
         "British to American words (JSON), as Whisper's normaliser has"},
        {"json", SO_OPTION_FLAG, &json, NULL, "as JSON"},
        {0},
    };
    int n, status = so_cli_parse(&so_eval_wer, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 2) return so_cli_usage(&so_eval_wer, "expected references and transcripts, found %d operands", n);
    so_error error = {0};
    so_string text = {0};
    so_status s = so_compare_transcripts(argv[0], argv[1], spelling, json, &text, &error);
    if (s == SO_OK) so_cli_put(stdout, text.data, text.size, true);
    so_string_clear(&text);
    return so_cli_end(s, &error);
}

const so_verb so_eval_wer = {"eval wer", "word and character errors between two lists of transcripts",
                             "eval wer REFERENCES TRANSCRIPTS [options]",
                             "Plain lines, in order, or JSON lines {\"id\", \"text\"}. As the paper's authors count "
                             "(letters and digits only), by\n"
                             "Whisper's English normaliser, and by characters; with the ten worst.\n\n"
                             "examples:\n"
                             "  stream-omni eval wer test-clean.ref test-clean.hyp --spelling english.json\n",
                             run_wer};

static int run_normalise(int argc, char **argv)
{
    const char *spelling = NULL, *form = "english";
    const so_option options[] = {
        {"form", SO_OPTION_TEXT, &form, "NAME",
         "english, basic, plain (basic without diacritics), split, authors, chinese, evalai"},
        {"spelling", SO_OPTION_TEXT, &spelling, "FILE", "British to American words (JSON), of english"},
        {0},
    };
    int n, status = so_cli_parse(&so_eval_normalise, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1) return so_cli_usage(&so_eval_normalise, "expected one file of lines, found %d operands", n);
    so_error error = {0};
    so_string text = {0};
    so_status s = so_normalise_lines(argv[0], form, spelling, &text, &error);
    if (s == SO_OK) fwrite(text.data, 1, text.size, stdout);
    so_string_clear(&text);
    return so_cli_end(s, &error);
}

const so_verb so_eval_normalise = {"eval normalise", "lines in the form in which they are compared",
                                   "eval normalise FILE [options]",
                                   "examples:\n"
                                   "  stream-omni eval normalise heard.txt --form basic\n",
                                   run_normalise};
