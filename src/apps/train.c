/* The verb train: runs a recipe, or one part of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "apps/exchange.h"
#include "apps/samples.h"
#include "apps/train_file.h"
#include "apps/verbs.h"
#include "base/own.h"
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

/* What a report shows beside the curves. */
typedef struct shown {
    int64_t samples, seed;
    const char *conditions; /* file of a table, or NULL */
} shown;

static int report(const char *folder, const char *html, const so_setting *setting, const shown *show)
{
    so_error error = {0};
    so_sample_list samples = {0};
    const char *told = html;
    so_status status = so_output_settle(&html, &error);
    if (status == SO_OK) status = so_output_check(html, &error);
    if (status == SO_OK && setting->model)
        status = so_samples_make(&samples, setting, show->samples, (uint64_t)show->seed, &error);
    if (status == SO_OK && show->conditions) status = so_samples_conditions(&samples, show->conditions, &error);
    if (status == SO_OK) status = so_train_report_with(folder, html, samples.part, samples.n, &error);
    so_samples_clear(&samples);
    if (status == SO_OK) printf("%s\n", told);
    return so_cli_end(status, &error);
}

/* One verb of this program on behalf of another, shown as the user would type it. */
static int do_verb(const so_verb *verb, const char *const *arguments)
{
    char *argv[24];
    int argc = 0;
    printf("%sstream-omni %s", so_cli_bold(stdout), verb->name);
    for (; arguments[argc] && argc < 23; argc++) {
        printf(" %s", arguments[argc]);
        argv[argc] = so_mutable(arguments[argc]);
    }
    argv[argc] = NULL;
    printf("%s\n", so_cli_plain(stdout));
    fflush(stdout);
    return verb->run(argc, argv);
}

/* After the last part: the model as one file, the reserved part of the world, how the model does there, and a report.
 */
static int finish(const char *folder, int64_t questions)
{
    enum { ROOM = 1100 };
    char items[24], scenes[24];
    /* A scene has four questions, and of 500 each mode asks other ones: some stay unasked. */
    snprintf(items, sizeof items, "%lld", (long long)questions);
    snprintf(scenes, sizeof scenes, "%lld", (long long)(questions * 3 + 9) / 10);
    static const char *const names[] = {"model", "tabletop.gguf", "reserved", "report.html"};
    char path[4][ROOM];
    for (int i = 0; i < 4; i++)
        if (snprintf(path[i], ROOM, "%s/%s", folder, names[i]) >= ROOM)
            return SO_EXIT_OK; /* the recipe has refused it already */
    int status = do_verb(&so_verb_convert, (const char *[]){path[0], "-o", path[1], "--type", "q8_0", NULL});
    if (status == SO_EXIT_OK)
        status = do_verb(&so_verb_data, (const char *[]){"tabletop", path[2], "--reserved", "--seed", "7", "--scenes",
                                                         scenes, "--turns", "4", "--talk", items, "--answers", NULL});
    if (status == SO_EXIT_OK)
        status =
            do_verb(&so_verb_eval, (const char *[]){"tabletop", path[2], "--model", path[1], "--items", items, NULL});
    if (status == SO_EXIT_OK)
        status = do_verb(&so_verb_train, (const char *[]){"report", folder, path[3], "--model", path[1], NULL});
    return status;
}

/* Whether a run from a file of settings is asked for. */
static bool is_file(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        size_t n = strlen(argv[i]);
        if (argv[i][0] != '-') return n > 5 && strcmp(argv[i] + n - 5, ".toml") == 0;
    }
    return false;
}

static int run(int argc, char **argv)
{
    if (argc > 0 && strcmp(argv[0], "sweep") == 0) return so_train_run_sweep(argc - 1, argv + 1);
    if (is_file(argc, argv)) return so_train_run_file(argc, argv);
    so_recipe_options recipe = {.stop = &so_cli_stop, .say = say};
    so_setting setting = {0};
    shown show = {.samples = 6};
    int64_t threads = 0, seed = 1, questions = 500, ranks = 0, slots = 0;
    bool parts = false, bf16 = false;
    const so_option options[] = {
        {"part", SO_OPTION_TEXT, &recipe.part, "NAME", "only this part"},
        {"parts", SO_OPTION_FLAG, &parts, NULL, "list the parts, and which of them the folder holds"},
        {"threads", SO_OPTION_INT, &threads, "N", "threads; all cores when not given", 1, 1024},
        {"ranks", SO_OPTION_INT, &ranks, "N",
         "processes of this machine that train together; mpirun's when it started them", 1, 256},
        {"slots", SO_OPTION_INT, &slots, "V",
         "micro-batches of an update, shared among the ranks; as many as ranks when not given", 1, 256},
        {"watchdog", SO_OPTION_REAL, &recipe.watchdog, "SECONDS",
         "ranks wait so long for one of them, then all end; 120 when not given, -1: for ever", -1, 1e6},
        {"bf16", SO_OPTION_FLAG, &bf16, NULL, "products of matrices in bf16"},
        {"minutes", SO_OPTION_REAL, &recipe.minutes, "M", "time limit of each part; its planned steps when not given",
         0, 1e6},
        {"steps", SO_OPTION_INT, &recipe.steps, "N",
         "steps of each part that trains; as many as it plans when not given", 1, 1e9},
        {"items", SO_OPTION_INT, &recipe.items, "N", "exchanges spoken for the corpus; 20000 when not given", 1, 1e7},
        {"heard", SO_OPTION_INT, &recipe.heard, "N",
         "questions beyond, mostly lists of words; three for two exchanges when not given, -1: none", -1, 1e7},
        {"own-voice", SO_OPTION_TEXT, &recipe.own_voice, "ENGINE/NAME",
         "what the model learns to speak like; festival/cmu_us_slt_arctic_hts when not given"},
        {"recordings", SO_OPTION_TEXT, &recipe.recordings, "DIR[,DIR]",
         "questions that were spoken beforehand, by people or slow engines: corpora of 'data tabletop'"},
        {"voice-command", SO_OPTION_TEXT, &recipe.voice_command, "LINE", "speaks, too: 'prog {text} {wav}'"},
        {"voice-endpoint", SO_OPTION_TEXT, &recipe.voice_endpoint, "URL",
         "speaks, too: POST URL/audio/speech, or cosyvoice+http://HOST"},
        {"voice-names", SO_OPTION_TEXT, &recipe.voices, "LIST", "voices of the command or the endpoint"},
        {"fusion", SO_OPTION_TEXT, &recipe.fusion, "WAY", "of text into the top layers: cross, add_input or add_layer"},
        {"from", SO_OPTION_TEXT, &recipe.from, "FOLDER",
         "an earlier model to begin from, as 'export --as safetensors --type f32' writes it"},
        {"cut", SO_OPTION_TEXT, &recipe.cut, "FILE|DIR",
         "a finished model whose vocabulary and ears are taken, instead of making these parts"},
        {"window", SO_OPTION_INT, &recipe.window, "W", "text tokens the top layers see; -1: all; 5 when not given", -1,
         4096},
        {"lookahead", SO_OPTION_INT, &recipe.lookahead, "K", "text tokens the voice waits for; 3 when not given", 1,
         4096},
        {"questions", SO_OPTION_INT, &questions, "N", "of each mode, asked when the last part is done; 0: none", 0,
         1e6},
        {"model", SO_OPTION_TEXT, &setting.model, "FILE|DIR", "report: a finished model, whose answers are shown"},
        {"samples", SO_OPTION_INT, &show.samples, "N", "report: how many answers; 6 when not given", 1, 64},
        {"conditions", SO_OPTION_TEXT, &show.conditions, "FILE",
         "report: a table, as 'eval tabletop --condition all --json' prints it"},
        {"seed", SO_OPTION_INT, &seed, "N", "seed of everything", 0, 9e15},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_train, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n == 1 && strcmp(argv[0], "stages") == 0) return stages();
    if (n == 1 && strcmp(argv[0], "keys") == 0) return so_train_print_keys();
    if (n == 3 && strcmp(argv[0], "report") == 0) {
        show.seed = seed;
        return report(argv[1], argv[2], &setting, &show);
    }
    if (n < 1 || strcmp(argv[0], "tabletop") != 0)
        return so_cli_usage(&so_verb_train,
                            "expected 'RUN.toml', 'sweep RUN.toml', 'tabletop DIR', 'report DIR FILE.html', 'stages' "
                            "or 'keys', found %s",
                            n ? argv[0] : "nothing");
    if (parts && n <= 2) return list(n == 2 ? argv[1] : NULL);
    if (n != 2) return so_cli_usage(&so_verb_train, "expected one working folder, found %d", n - 1);
    recipe.folder = argv[1];
    so_cli_grace(0.95); /* a step ends and a checkpoint is written; else the last one stands */
    recipe.bf16 = bf16;
    recipe.threads = (int)threads;
    recipe.ranks = (int)ranks;
    recipe.slots = (int)slots;
    recipe.seed = (uint64_t)seed;
    so_error error = {0};
    status = so_cli_end(so_tabletop_recipe(&recipe, &error), &error);
    if (status != SO_EXIT_OK || recipe.part || !questions) return status;
    return finish(recipe.folder, questions);
}

const so_verb so_verb_train = {
    "train", "trains a model: a stage on any corpus by a file of settings, or the tabletop recipe",
    "train RUN.toml [--set NAME=VALUE] [--dry-run]  |  tabletop DIR [--part NAME]  |  report DIR FILE.html "
    "[--model FILE]  |  stages  |  keys",
    "RUN.toml names a stage, a model to begin with, and corpora (examples/train; 'train RUN.toml --help' has its "
    "options,\n"
    "'train keys' all settings). tabletop runs the recipe; report draws the curves of the runs below DIR, and with\n"
    "--model what a finished model sees, hears, writes and says; stages lists what is learnt when.\n"
    "After the last part the model is put into one file (DIR/tabletop.gguf), asked about the reserved part of the "
    "world\n"
    "(DIR/reserved), and reported on (DIR/report.html). Parts leave their weights, logs and checkpoints in DIR. A\n"
    "finished part is not run again and an interrupted one (Ctrl-C) resumes where it was, with the settings it was "
    "begun\n"
    "with: others are refused and named. A folder is locked while a run works in it.\n\n"
    "examples:\n"
    "  stream-omni train examples/train/finetune.toml --dry-run    steps, data, samples with what is learnt of them\n"
    "  stream-omni train run.toml --set optim.rate=1e-5 --ranks 2\n"
    "  stream-omni train tabletop work/one                         everything, from nothing\n"
    "  stream-omni train tabletop work/one --parts                 what there is and what is done\n"
    "  stream-omni train tabletop work/one --part eyes --minutes 10\n"
    "  stream-omni train tabletop work/one --part eyes --slots 4 --ranks 2   two processes, the bits of one\n"
    "  mpirun -np 4 stream-omni train tabletop work/one --part eyes --slots 4\n"
    "  stream-omni train report work/one report.html --model models/tabletop.gguf --samples 6\n",
    run};
