/* What types cost, and the verb calibrate: what columns of matrices matter.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "apps/exchange.h"
#include "apps/verbs.h"
#include "so.h"
#include "so_eval.h"

static void show_progress(void *context, int64_t done, int64_t total)
{
    so_bar_step(context, (double)done, (double)total);
}

static void note(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "note: ");
    so_cli_put(stderr, line, strlen(line), true);
    fprintf(stderr, "\n");
}

int so_quant_run(so_quant_options *options, bool as_json)
{
    so_error error = {0};
    so_bar bar = {0};
    char *text = NULL, *json = NULL;
    if (!options->type && !options->types && !options->kv)
        return so_cli_usage(&so_verb_eval, "quant needs --type, --types or --kv");
    if (options->answers && !options->turns.data)
        return so_cli_usage(&so_verb_eval, "--answers needs --data with a tabletop corpus");
    options->turns.progress = show_progress;
    options->turns.context = &bar;
    options->turns.stop = &so_cli_stop;
    options->note = note;
    so_bar_start(&bar, "comparing", "turns");
    so_status status = so_output_check(options->keep, &error);
    if (status == SO_OK) status = so_eval_quant(options, as_json ? NULL : &text, as_json ? &json : NULL, &error);
    so_bar_end(&bar);
    if (status == SO_OK) printf("%s%s", as_json ? json : text, as_json ? "\n" : "");
    so_free(text);
    so_free(json);
    return so_cli_end(status, &error);
}

static int run(int argc, char **argv)
{
    so_turns_options turns = {0};
    const char *out = NULL;
    int64_t threads = 0, seed = 1, matrices = 0, least = 0;
    const so_option options[] = {
        {"output", SO_OPTION_TEXT, &out, "FILE", "where to write, a safetensors file"},
        {"data", SO_OPTION_TEXT, &turns.data, "DIR|FILE",
         "a tabletop corpus, reference numbers, or text, one turn a line; a few built-in turns when not given"},
        {"tokenizer", SO_OPTION_TEXT, &turns.tokenizer, "PATH", "the model's tokenizer, when it lies elsewhere"},
        {"items", SO_OPTION_INT, &turns.items, "N", "at most so many; 64 when not given", 1, 1e9},
        {"threads", SO_OPTION_INT, &threads, "N", "threads; all cores when not given", 1, 1024},
        {"seed", SO_OPTION_INT, &seed, "N", "of made-up speech units", 0, 9e15},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_calibrate, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1 || !out) return so_cli_usage(&so_verb_calibrate, "expected a model and --output FILE");
    so_error error = {0};
    so_bar bar = {0};
    turns.model = argv[0];
    turns.threads = (int)threads;
    turns.seed = (uint64_t)seed;
    turns.progress = show_progress;
    turns.context = &bar;
    turns.stop = &so_cli_stop;
    so_bar_start(&bar, "calibrating", "turns");
    so_status s = so_output_check(out, &error);
    if (s == SO_OK) s = so_calibrate(&turns, out, &matrices, &least, &error);
    so_bar_end(&bar);
    if (s == SO_OK)
        printf("%s: %lld matrices, each met by %lld rows or more\n", out, (long long)matrices, (long long)least);
    return so_cli_end(s, &error);
}

const so_verb so_verb_calibrate = {
    "calibrate", "finds out which columns of a model's matrices matter", "calibrate MODEL --output FILE [options]",
    "Runs the model over questions and writes, for every matrix, the mean square of what meets each of its columns. "
    "With\n"
    "it, convert --importance spends the bits of small types where they are felt.\n\n"
    "examples:\n"
    "  stream-omni calibrate models/tabletop.gguf --output tabletop.importance --data train --items 200\n"
    "  stream-omni convert models/tabletop.gguf small.gguf --type q4_k_m --importance tabletop.importance\n",
    run};
