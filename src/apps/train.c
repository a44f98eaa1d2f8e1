/* The verb train: runs a recipe, or one part of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "apps/verbs.h"
#include "so_recipes.h"
#include "so_train.h"

static void say(void *context, const char *line)
{
    (void)context;
    printf("%s\n", line);
    fflush(stdout);
}

static int list(const char *folder)
{
    const char *about, *name;
    int done;
    for (int i = 0; (name = so_tabletop_recipe_part(i, &about, folder, &done)); i++)
        printf("  %s %-12s %s\n", folder && done ? "done" : "    ", name, about);
    return SO_EXIT_OK;
}

/* The stages of Stream-Omni's training, as a table. */
static int stages(void)
{
    so_stage_info s;
    for (int i = 0; so_stage_about(i, &s); i++) {
        printf("%s%s%s  %s\n", so_cli_bold(stdout), s.name, so_cli_plain(stdout), s.about);
        printf("  network %s; learns %s\n  tasks %s; losses %s; rate %g\n", s.network, s.learns, s.tasks, s.losses,
               s.rate);
    }
    return SO_EXIT_OK;
}

static int report(const char *folder, const char *html)
{
    so_error error = {0};
    so_status status = so_train_report(folder, html, &error);
    if (status == SO_OK) printf("%s\n", html);
    return so_cli_end(status, &error);
}

static int run(int argc, char **argv)
{
    so_recipe_options recipe = {.stop = &so_cli_stop, .say = say};
    int64_t threads = 0, seed = 1;
    bool parts = false, bf16 = false;
    const so_option options[] = {
        {"part", SO_OPTION_TEXT, &recipe.part, "NAME", "only this part"},
        {"parts", SO_OPTION_FLAG, &parts, NULL, "list the parts, and which of them the folder holds"},
        {"threads", SO_OPTION_INT, &threads, "N", "threads; all cores when not given", 1, 1024},
        {"bf16", SO_OPTION_FLAG, &bf16, NULL, "products of matrices in bf16"},
        {"minutes", SO_OPTION_REAL, &recipe.minutes, "M", "time limit of each part; its planned steps when not given",
         0, 1e6},
        {"steps", SO_OPTION_INT, &recipe.steps, "N", "steps of each part that trains; as many as it plans when not given", 1, 1e9},
        {"items", SO_OPTION_INT, &recipe.items, "N", "exchanges spoken for the corpus; 48000 when not given", 1, 1e7},
        {"fusion", SO_OPTION_TEXT, &recipe.fusion, "WAY", "of text into the top layers: cross, add_input or add_layer"},
        {"window", SO_OPTION_INT, &recipe.window, "W", "text tokens the top layers see; -1: all; 5 when not given", -1, 4096},
        {"lookahead", SO_OPTION_INT, &recipe.lookahead, "K", "text tokens the voice waits for; 3 when not given", 1, 4096},
        {"seed", SO_OPTION_INT, &seed, "N", "seed of everything", 0, 9e15},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_train, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n == 1 && strcmp(argv[0], "stages") == 0) return stages();
    if (n == 3 && strcmp(argv[0], "report") == 0) return report(argv[1], argv[2]);
    if (n < 1 || strcmp(argv[0], "tabletop") != 0)
        return so_cli_usage(&so_verb_train, "expected 'tabletop DIR', 'report DIR FILE.html' or 'stages', found %s",
                            n ? argv[0] : "nothing");
    if (parts && n <= 2) return list(n == 2 ? argv[1] : NULL);
    if (n != 2) return so_cli_usage(&so_verb_train, "expected one working folder, found %d", n - 1);
    recipe.folder = argv[1];
    recipe.bf16 = bf16;
    recipe.threads = (int)threads;
    recipe.seed = (uint64_t)seed;
    so_cli_catch();
    so_error error = {0};
    return so_cli_end(so_tabletop_recipe(&recipe, &error), &error);
}

const so_verb so_verb_train = {
    "train", "makes a model: the tabletop recipe, whole or part by part",
    "train tabletop DIR [--part NAME]  |  report DIR FILE.html  |  stages",
    "tabletop runs the recipe; report draws the curves of the runs below DIR; stages lists what is learnt when.\n"
    "Parts leave their weights, logs and checkpoints in DIR. A finished part is not run again and an interrupted one\n"
    "(Ctrl-C) resumes where it was.\n\n"
    "examples:\n"
    "  stream-omni train tabletop work/one                         everything, from nothing\n"
    "  stream-omni train tabletop work/one --parts                 what there is and what is done\n"
    "  stream-omni train tabletop work/one --part eyes --minutes 10\n"
    "  stream-omni train report work/one report.html\n",
    run};
