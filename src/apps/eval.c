/* The verb eval: measures the program against reference numbers, and models on a corpus.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "apps/verbs.h"
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
    so_json_text(stdout, c->what);
    printf(", \"exact\": %s, \"deviation\": ", c->exact ? "true" : "false");
    so_json_number(stdout, c->deviation);
    printf(", \"bar\": ");
    so_json_number(stdout, c->bar);
    printf(", \"relative_l2\": ");
    so_json_number(stdout, c->relative_l2);
    printf(", \"compared\": %lld, \"not_finite\": %lld, \"passed\": %s}", (long long)c->compared, (long long)c->not_finite,
           c->passed ? "true" : "false");
}

static void each_check(void *context, const so_golden_check *c)
{
    telling *t = context;
    if (t->json) {
        print_json(t, c);
        return;
    }
    if (t->failures && c->passed) return;
    if (strncmp(t->last, c->set, sizeof t->last - 1) != 0) {
        printf("%s%s%s\n", so_cli_bold(stdout), c->set, so_cli_plain(stdout));
        snprintf(t->last, sizeof t->last, "%s", c->set);
    }
    const char *mark = c->passed ? so_cli_green(stdout) : so_cli_red(stdout);
    printf("  %s%-6s%s %-44s", mark, c->passed ? "ok" : "FAILED", so_cli_plain(stdout), c->what);
    if (c->exact) printf(" %9.0f differ of %lld", c->deviation, (long long)c->compared);
    else printf(" %9.2e (bar %.0e)  L2 %.1e  of %lld", c->deviation, c->bar, c->relative_l2, (long long)c->compared);
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
        printf("\n], \"compared\": %lld, \"failed\": %lld, \"sets\": %lld, \"skipped\": %lld, \"seconds\": %.2f}\n",
               (long long)r.checks, (long long)r.failed, (long long)r.sets, (long long)r.skipped, so_cli_now() - began);
    if (status != SO_OK) return so_cli_fail(&error);
    if (!t->json)
        printf("%lld compared in %lld sets, %lld past their bar, %lld sets skipped, %.1f s\n", (long long)r.checks,
               (long long)r.sets, (long long)r.failed, (long long)r.skipped, so_cli_now() - began);
    if (r.checks == 0) {
        fprintf(stderr, "error: %s: nothing was compared\n", folder);
        return SO_EXIT_FAILURE;
    }
    return r.failed ? SO_EXIT_FAILURE : SO_EXIT_OK;
}

static int run(int argc, char **argv)
{
    so_golden_options golden_options = {0};
    telling t = {0};
    int64_t threads = 0;
    bool keep = false;
    const so_option options[] = {
        {"threads", SO_OPTION_INT, &threads, "N", "threads; all cores when not given", 1, 1024},
        {"only", SO_OPTION_TEXT, &golden_options.only, "TEXT", "golden: sets with this in their name"},
        {"inputs", SO_OPTION_TEXT, &golden_options.inputs, "DIR", "golden: its pictures and sounds, when they lie elsewhere"},
        {"tokenizer", SO_OPTION_TEXT, &golden_options.tokenizer, "PATH", "golden: the tokenizer, when it lies elsewhere"},
        {"keep-types", SO_OPTION_FLAG, &keep, NULL, "golden: do not expand the weights to f32"},
        {"failures", SO_OPTION_FLAG, &t.failures, NULL, "golden: print only what passes a bar"},
        {"json", SO_OPTION_FLAG, &t.json, NULL, "as JSON"},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_eval, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 2 || strcmp(argv[0], "golden") != 0)
        return so_cli_usage(&so_verb_eval, "expected 'golden DIR', found %s%s%s", n ? argv[0] : "nothing", n > 1 ? " " : "",
                            n > 1 ? argv[1] : "");
    golden_options.threads = (int)threads;
    golden_options.keep_types = keep;
    return golden(argv[1], &golden_options, &t);
}

const so_verb so_verb_eval = {
    "eval", "measures against reference numbers",
    "eval golden DIR [options]",
    "golden runs every case of a folder of reference numbers, prints how far each tensor and sequence is from them,\n"
    "and fails where a bar is passed.\n\n"
    "examples:\n"
    "  stream-omni eval golden reference/stream-omni-tiny\n"
    "  stream-omni eval golden reference/cosyvoice-tiny --only flow --failures\n",
    run};
