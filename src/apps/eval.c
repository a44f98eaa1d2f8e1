/* The verb eval: measures the program against reference numbers, and models on a corpus.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "apps/eval_bench.h"
#include "apps/exchange.h"
#include "apps/verbs.h"
#include "base/error.h"
#include "base/writer.h"
#include "eval/scoring/benchmark.h"
#include "so.h"
#include "so_eval.h"

/* ---- eval golden */
typedef struct telling {
    bool json, failures;
    int64_t printed;
    const char *set; /* of the line before; only compared */
    char last[128];
} telling;

static void print_json(telling *t, const so_golden_check *c)
{
    printf("%s\n  {\"set\": ", t->printed++ ? "," : "");
    so_json_text(stdout, c->set);
    printf(", \"what\": ");
    so_json_text(stdout, c->what ? c->what : "");
    if (c->reason) {
        printf(", \"not_compared\": ");
        so_json_text(stdout, c->reason);
        printf(", \"passed\": %s}", c->passed ? "true" : "false");
        return;
    }
    printf(", \"exact\": %s, \"deviation\": ", c->exact ? "true" : "false");
    so_json_number(stdout, c->deviation);
    printf(", \"bar\": ");
    so_json_number(stdout, c->bar);
    printf(", \"relative_l2\": ");
    so_json_number(stdout, c->relative_l2);
    printf(", \"compared\": %lld, \"not_finite\": %lld, \"passed\": %s}", (long long)c->compared,
           (long long)c->not_finite, c->passed ? "true" : "false");
}

static void each_check(void *context, const so_golden_check *c)
{
    telling *t = context;
    if (t->json) {
        print_json(t, c);
        return;
    }
    if (t->failures && c->passed && !c->reason) return;
    if (strncmp(t->last, c->set, sizeof t->last - 1) != 0) {
        printf("%s%s%s\n", so_cli_bold(stdout), c->set, so_cli_plain(stdout));
        snprintf(t->last, sizeof t->last, "%s", c->set);
        fflush(stdout); /* progress, in a pipe too */
    }
    if (c->reason) {
        printf("  %s%s%s %s: %s\n", c->passed ? so_cli_bold(stdout) : so_cli_red(stdout),
               c->passed ? "not compared" : "FAILED", so_cli_plain(stdout), c->what ? c->what : "this set", c->reason);
        return;
    }
    const char *mark = c->passed ? so_cli_green(stdout) : so_cli_red(stdout);
    printf("  %s%-6s%s %-44s", mark, c->passed ? "ok" : "FAILED", so_cli_plain(stdout), c->what);
    if (c->exact)
        printf(" %9.0f differ of %lld", c->deviation, (long long)c->compared);
    else
        printf(" %9.2e (bar %.0e)  L2 %.1e  of %lld", c->deviation, c->bar, c->relative_l2, (long long)c->compared);
    if (c->not_finite) printf("  %lld not finite", (long long)c->not_finite);
    printf("\n");
}

static int golden(const char *folder, const so_golden_options *options, telling *t)
{
    so_error error = {0};
    so_golden_result r = {0};
    double began = so_cli_now();
    if (t->json) printf("{\"checks\": [");
    so_status status = so_golden_run(folder, options, each_check, t, &r, &error);
    if (t->json)
        printf("\n], \"compared\": %lld, \"failed\": %lld, \"sets\": %lld, \"skipped\": %lld, \"left\": %lld, "
               "\"seconds\": %.2f}\n",
               (long long)r.checks, (long long)r.failed, (long long)r.sets, (long long)r.skipped, (long long)r.left,
               so_cli_now() - began);
    if (status != SO_OK) return so_cli_fail(&error);
    if (!t->json)
        printf("%lld compared in %lld sets, %lld past their bar, %lld sets and %lld tensors not compared, %.1f s\n",
               (long long)r.checks, (long long)r.sets, (long long)r.failed, (long long)r.skipped, (long long)r.left,
               so_cli_now() - began);
    if (r.checks == 0) {
        fprintf(stderr, "error: %s: nothing was compared\n", folder);
        return SO_EXIT_FAILURE;
    }
    return r.failed ? SO_EXIT_FAILURE : SO_EXIT_OK;
}

/* ---- eval tabletop */
typedef struct measuring {
    so_bar bar;
    so_writer details;
} measuring;

static void show_progress(void *context, int64_t done, int64_t total)
{
    so_bar_step(&((measuring *)context)->bar, (double)done, (double)total);
}

static void print_text(FILE *out, const char *name, const char *text)
{
    if (!text) return;
    fprintf(out, ", \"%s\": ", name);
    so_json_text(out, text);
}

static void each_reply(void *context, const so_tabletop_reply *r)
{
    FILE *out = ((measuring *)context)->details.file;
    if (!out) return;
    fprintf(out, "{\"mode\": \"%s\", \"right\": %s", r->mode, r->right ? "true" : "false");
    if (r->condition && strcmp(r->condition, "clean") != 0) print_text(out, "condition", r->condition);
    print_text(out, "id", r->id);
    print_text(out, "kind", r->kind);
    print_text(out, "question", r->question);
    print_text(out, "answer", r->answer);
    print_text(out, "heard", r->heard);
    print_text(out, "offline", r->offline);
    print_text(out, "got", r->got);
    print_text(out, "echo", r->echo);
    fprintf(out, "}\n");
}

static int tabletop(const char *folder, so_tabletop_eval_options *options, const char *details, bool as_json)
{
    so_error error = {0};
    measuring m = {0};
    char *text = NULL, *json = NULL;
    if (so_output_settle(&details, &error) != SO_OK ||
        (details && so_writer_open(&m.details, details, &error) != SO_OK))
        return so_cli_fail(&error);
    options->progress = show_progress;
    options->each = each_reply;
    options->context = &m;
    options->stop = &so_cli_stop;
    so_bar_start(&m.bar, "asking", "questions");
    so_status status = so_eval_tabletop(folder, options, as_json ? NULL : &text, as_json ? &json : NULL, &error);
    so_bar_end(&m.bar);
    if (status == SO_OK) printf("%s%s", as_json ? json : text, as_json ? "\n" : "");
    if (status == SO_OK && so_cli_stop)
        status = so_fail(&error, SO_ERR_STOPPED, "stopped; the tables tell of what was asked until then");
    if (status == SO_OK && details) status = so_writer_commit(&m.details, &error);
    so_writer_drop(&m.details);
    so_free(text);
    so_free(json);
    return so_cli_end(status, &error);
}

/* The verbs behind "eval" that have options of their own. */
static const so_verb *const inner[] = {&so_eval_prepare, &so_eval_run, &so_eval_score,    &so_eval_judge,
                                       &so_eval_page,    &so_eval_wer, &so_eval_normalise};

/* "eval NAME DIR": prepares where that was not done, asks, scores. Options are those of eval run. */
static int whole(int argc, char **argv)
{
    char path[4096];
    char *name[] = {argv[0], argv[1], NULL}, *again[] = {argv[0], argv[1], NULL};
    snprintf(path, sizeof path, "%.4000s/questions.jsonl", argv[1]);
    int status = access(path, R_OK) == 0 ? SO_EXIT_OK : so_eval_prepare.run(2, name);
    if (status == SO_EXIT_OK) status = so_eval_run.run(argc, argv);
    return status == SO_EXIT_OK ? so_eval_score.run(2, again) : status;
}

static int run(int argc, char **argv)
{
    if (argc > 1 && argv[1][0] != '-' && so_bench_find(argv[0])) return whole(argc, argv);
    for (size_t i = 0; argc > 0 && i < sizeof inner / sizeof *inner; i++)
        if (strcmp(argv[0], inner[i]->name + strlen("eval ")) == 0) return inner[i]->run(argc - 1, argv + 1);
    so_golden_options golden_options = {0};
    so_tabletop_eval_options world = {0};
    telling t = {0};
    so_quant_options quant = {0};
    const char *model = NULL, *details = NULL;
    int64_t threads = 0, seed = 1;
    bool keep = false, answers = false;
    const so_option options[] = {
        {"threads", SO_OPTION_INT, &threads, "N", "threads; all cores when not given", 1, 1024},
        {"json", SO_OPTION_FLAG, &t.json, NULL, "as JSON"},
        {"only", SO_OPTION_TEXT, &golden_options.only, "TEXT", "golden: sets with this in their name"},
        {"inputs", SO_OPTION_TEXT, &golden_options.inputs, "DIR",
         "golden: its pictures and sounds, when they lie elsewhere"},
        {"tokenizer", SO_OPTION_TEXT, &golden_options.tokenizer, "PATH",
         "golden, quant: the tokenizer, when it lies elsewhere"},
        {"device", SO_OPTION_TEXT, &golden_options.device, "NAME",
         "golden: where networks compute, cpu, vulkan or cuda; what only the processor does is skipped"},
        {"keep-types", SO_OPTION_FLAG, &keep, NULL, "golden: do not expand the weights to f32"},
        {"failures", SO_OPTION_FLAG, &t.failures, NULL, "golden: print only what passes a bar"},
        {"model", SO_OPTION_TEXT, &model, "FILE|DIR", "tabletop: the model; models/tabletop.gguf when not given"},
        {"lora", SO_OPTION_TEXT, &world.lora, "DIR|FILE", "tabletop: adapters to put beside its weights"},
        {"modes", SO_OPTION_TEXT, &world.modes, "LIST",
         "tabletop: of V+T>T,V+S>T,S>T,V+S>S (these when not given),T>T,S>S,V+S>U,S>U,say>S,say>U"},
        {"items", SO_OPTION_INT, &world.items, "N", "tabletop: at most so many of each mode; quant: in all (64)", 1,
         1e9},
        {"condition", SO_OPTION_TEXT, &world.conditions, "LIST",
         "tabletop: of clean,before,behind,inside,quiet,offset,telephone,noise,hum,room,long,outside, or all"},
        {"turns", SO_OPTION_INT, &world.turns, "N", "tabletop: of a long conversation; 60 when not given", 1, 100000},
        {"details", SO_OPTION_TEXT, &details, "FILE", "tabletop: every answer, one JSON object a line"},
        {"seed", SO_OPTION_INT, &seed, "N", "tabletop: of the voice's noise; quant: of made-up units", 0, 9e15},
        {"type", SO_OPTION_TEXT, &quant.type, "TYPE", "quant: of matrices, as in convert"},
        {"types", SO_OPTION_TEXT, &quant.types, "FILE", "quant: rules, as in convert"},
        {"importance", SO_OPTION_TEXT, &quant.importance, "FILE", "quant: what columns matter, from calibrate"},
        {"kv", SO_OPTION_TEXT, &quant.kv, "TYPE", "quant: of keys and values: f32, f16, bf16, q8_0"},
        {"data", SO_OPTION_TEXT, &quant.turns.data, "DIR|FILE",
         "quant: a tabletop corpus, reference numbers, or text, one turn a line; a few built-in turns when not given"},
        {"answers", SO_OPTION_FLAG, &answers, NULL, "quant: also answers and word errors on the corpus"},
        {"keep", SO_OPTION_TEXT, &quant.keep, "FILE", "quant: leave the quantised model there"},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_eval, options, argc, argv, &n);
    if (status >= 0) return status;
    bool is_golden = n == 2 && strcmp(argv[0], "golden") == 0, is_tabletop = n == 2 && strcmp(argv[0], "tabletop") == 0;
    bool is_quant = n == 2 && strcmp(argv[0], "quant") == 0;
    if (!is_golden && !is_tabletop && !is_quant)
        return so_cli_usage(
            &so_verb_eval,
            "expected 'golden DIR', 'tabletop DIR', 'quant MODEL', prepare, run, score, judge, page, wer or "
            "normalise, found %s%s%s",
            n ? argv[0] : "nothing", n > 1 ? " " : "", n > 1 ? argv[1] : "");
    if (is_quant) {
        quant.turns.model = argv[1];
        quant.turns.tokenizer = golden_options.tokenizer;
        quant.turns.items = world.items;
        quant.turns.threads = (int)threads;
        quant.turns.seed = (uint64_t)seed;
        quant.answers = answers;
        return so_quant_run(&quant, t.json);
    }
    golden_options.threads = world.threads = (int)threads;
    golden_options.keep_types = keep;
    if (is_golden) return golden(argv[1], &golden_options, &t);
    world.model = so_cli_model(model);
    world.seed = (uint64_t)seed;
    return tabletop(argv[1], &world, details, t.json);
}

const so_verb so_verb_eval = {
    "eval",
    "measures the program against reference numbers, a model on benchmarks or the tabletop world, a type's cost",
    "eval golden|tabletop DIR [options] | eval quant MODEL --type TYPE [options] |\n"
    "       eval NAME DIR | eval prepare|run|score|judge NAME DIR, eval page, eval wer, eval normalise (each has "
    "--help)",
    "golden runs every case of a folder of reference numbers, prints how far each tensor and sequence is from them,\n"
    "and fails where a bar is passed. tabletop asks a model every question of a corpus that 'data tabletop' wrote and\n"
    "prints answers by kind, word error rates, how the transcript of speech in pieces compares with that of the\n"
    "whole, what its voice sounds like to itself, and times. --condition asks by speech in silence, noise, rooms and "
    "on\n"
    "the telephone, in long conversations, and what lies outside of the world, and prints a row for each voice. quant "
    "writes the model in another type, leads it along "
    "the\n"
    "answers of the f32 model, and tells how far its distributions of text, CTC labels and units are: share of equal\n"
    "choices, Kullback-Leibler distance in nats. prepare, run, score and judge are for benchmarks "
    "(docs/benchmarks.md).\n\n"
    "examples:\n"
    "  stream-omni eval golden reference/stream-omni-tiny\n"
    "  stream-omni eval golden reference/cosyvoice-tiny --only flow --failures\n"
    "  stream-omni eval tabletop test --items 500 --details answers.jsonl\n"
    "  stream-omni eval tabletop test --modes V+S\\>S --json\n"
    "  stream-omni eval tabletop test --condition all --items 100\n"
    "  stream-omni eval tabletop test --condition long --turns 1000 --modes V+T\\>T --items 1000\n"
    "  stream-omni eval quant models/tabletop.gguf --type q4_k_m --data test --answers\n"
    "  stream-omni eval quant reference/stream-omni-tiny/model --data reference/stream-omni-tiny --type q8_0 \\\n"
    "    --tokenizer reference/llama3-tokenizer\n",
    run};
