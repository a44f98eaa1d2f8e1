/* train RUN.toml: a run by a file of settings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "apps/train_file.h"

#include <string.h>

#include "apps/cli.h"
#include "so_recipes.h"

static void say(void *context, const char *line)
{
    (void)context;
    so_cli_put(stdout, line, strlen(line), true);
    putchar('\n');
    fflush(stdout);
}

/* Samples have marks of our own in them: colours, on a terminal. */
static void say_raw(void *context, const char *line)
{
    (void)context;
    printf("%s\n", line);
    fflush(stdout);
}

int so_train_print_keys(void)
{
    const char *about, *name;
    for (int i = 0; (name = so_train_file_key(i, &about)); i++) printf("%-18s %s\n", name, about);
    printf("%-18s %s\n", "loss.NAME", "weight of a loss of the stage; 0: without it");
    printf("%-18s %s\n", "optim.groups.NAME", "rate and decay: factors for one group");
    printf("\n%stasks%s\n", so_cli_bold(stdout), so_cli_plain(stdout));
    for (int i = 0; (name = so_train_file_task(i, &about)); i++) printf("%-22s %s\n", name, about);
    return SO_EXIT_OK;
}

static const so_verb verb = {
    "train", "trains a stage on any corpus, by a file of settings", "train RUN.toml [options]",
    "A run's folder (out) gets config.toml (every setting), data.lock (which data it was), log.jsonl, a checkpoint, "
    "and "
    "in\n"
    "the end the model (or its adapters), as a folder that convert and ask take. A run that was stopped goes on where "
    "it was; under "
    "other\n"
    "settings or data it is refused, and what differs is named. More in docs/training.md.\n\n"
    "examples:\n"
    "  stream-omni train examples/train/finetune.toml --dry-run\n"
    "  stream-omni train run.toml --set optim.rate=1e-5 --set data.talk.weight=0.3\n"
    "  stream-omni train run.toml --ranks 2                    two processes, the bits of one\n"
    "  stream-omni train run.toml --ranks 2 --supervise 5      one that dies or hangs is not the end\n"
    "  stream-omni train run.toml --show-order 100             what update 100 learns from\n"
    "  stream-omni train run.toml --plan gpus=64,mfu=0.35\n"
    "  stream-omni train examples/train/stage1.toml --plan "
    "gpus=8,mfu=0.4,shape=published,records=4e6,rows=980,pictures=1\n"
    "  stream-omni train sweep sweep.toml                      many runs, one table (train sweep --help)\n"
    "  stream-omni train report OUT report.html                curves\n",
    NULL};

static const so_verb sweep_verb = {
    "train sweep", "trains by a file of settings again and again, each time with other values",
    "train sweep RUN.toml [options]",
    "The file has, besides what a run needs, [sweep] (how = \"grid\", all values with all, or \"each\", one key at a "
    "time;\n"
    "show = names of measurements) and [sweep.grid] with an array of values for every key that is varied.\n"
    "Every run has a folder below out. What is done is not done again; a run that fails does not stop the others (exit "
    "1\n"
    "in the end). The table is out/sweep.md, with curves in out/sweep.html. More in docs/training.md.\n\n"
    "examples:\n"
    "  stream-omni train sweep examples/train/sweep.toml --dry-run\n"
    "  stream-omni train sweep sweep.toml --set plan.steps=200\n",
    NULL};

int so_train_run_sweep(int argc, char **argv)
{
    so_train_file_options o = {.stop = &so_cli_stop, .say = say};
    so_texts set = {.n = 0};
    int64_t threads = 0, ranks = 0;
    bool dry = false;
    const so_option options[] = {
        {"set", SO_OPTION_TEXTS, &set, "NAME=VALUE", "a setting that goes before the file's; may be given again"},
        {"dry-run", SO_OPTION_FLAG, &dry, NULL, "only list the runs"},
        {"threads", SO_OPTION_INT, &threads, "N", "threads; all cores when not given", 1, 1024},
        {"ranks", SO_OPTION_INT, &ranks, "N", "processes of this machine that train together", 1, 256},
        {0},
    };
    int n, status = so_cli_parse(&sweep_verb, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1) return so_cli_usage(&sweep_verb, "expected one file of settings, found %d operands", n);
    o.file = argv[0];
    o.set = set.text;
    o.sets = set.n;
    o.threads = (int)threads;
    o.ranks = (int)ranks;
    o.dry = dry;
    so_cli_grace(0.95);
    so_error error = {0};
    return so_cli_end(so_train_sweep(&o, &error), &error);
}

int so_train_run_file(int argc, char **argv)
{
    so_train_file_options o = {.stop = &so_cli_stop};
    so_texts set = {.n = 0};
    int64_t threads = 0, ranks = 0, slots = 0, restarts = 0, order = -1;
    bool dry = false;
    char slots_text[40], restarts_text[40], colours[40];
    const so_option options[] = {
        {"set", SO_OPTION_TEXTS, &set, "NAME=VALUE", "a setting that goes before the file's; may be given again"},
        {"dry-run", SO_OPTION_FLAG, &dry, NULL, "only tell what the run would do, and show samples"},
        {"plan", SO_OPTION_TEXT, &o.plan, "LIST",
         "only tell what the run would take elsewhere: gpus=64,mfu=0.35,peak=989e12,node=8,link=160e9,wire=45e9"},
        {"show-order", SO_OPTION_INT, &order, "STEP", "only tell what this update learns from", 0, 1e15},
        {"threads", SO_OPTION_INT, &threads, "N", "threads; all cores when not given", 1, 1024},
        {"ranks", SO_OPTION_INT, &ranks, "N",
         "processes of this machine that train together; mpirun's when it started them", 1, 256},
        {"supervise", SO_OPTION_INT, &restarts, "N",
         "ranks.restarts: begin again at the last checkpoint, so often, when a rank is lost", 1, 1000},
        {"slots", SO_OPTION_INT, &slots, "V", "plan.slots: micro-batches of an update, shared among the ranks", 1, 256},
        {0},
    };
    int n, status = so_cli_parse(&verb, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1) return so_cli_usage(&verb, "expected one file of settings, found %d operands", n);
    if (restarts && set.n < 64) {
        snprintf(restarts_text, sizeof restarts_text, "ranks.restarts=%lld", (long long)restarts);
        set.text[set.n++] = restarts_text;
    }
    if (slots && set.n < 64) {
        snprintf(slots_text, sizeof slots_text, "plan.slots=%lld", (long long)slots);
        set.text[set.n++] = slots_text;
    }
    snprintf(colours, sizeof colours, "%s%c%s", so_cli_green(stdout), 0, so_cli_plain(stdout));
    o.file = argv[0];
    o.set = set.text;
    o.sets = set.n;
    o.threads = (int)threads;
    o.ranks = (int)ranks;
    o.dry = dry;
    o.order = order >= 0;
    o.step = order;
    o.learnt = so_cli_colour(stdout) ? colours : NULL;
    o.say = o.learnt && dry ? say_raw : say;
    so_cli_grace(0.95); /* a step ends and a checkpoint is written; else the last one stands */
    so_error error = {0};
    return so_cli_end(so_train_file(&o, &error), &error);
}
