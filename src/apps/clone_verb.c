/* The verb voices: making, listing and removing voices of recordings.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/clones.h"
#include "apps/operand.h"
#include "apps/turn.h"
#include "apps/verbs.h"
#include "base/file.h"

static so_status add(const so_setting *setting, bool replace, int n, char **operand, so_error *error)
{
    char path[SO_CLONES_PATH], folder[SO_CLONES_PATH];
    so_model *model = NULL;
    so_clone *clone = NULL;
    so_clone_info info;
    so_status status;
    SO_TRY(so_clones_path(operand[0], path, error));
    if (!replace && access(path, F_OK) == 0)
        return so_fail(error, SO_ERR_ARG, "there is a voice '%s' already; --replace makes it anew", operand[0]);
    SO_TRY(so_clones_folder(folder, error));
    SO_TRY(so_make_folder(folder, error));
    SO_TRY_GO(so_setting_open(setting, &model, error));
    SO_TRY_GO(so_clones_make(model, operand[0], (const char *const *)operand + 1, n - 1, &clone, error));
    SO_TRY_GO(so_clone_save(clone, path, error));
    so_clone_about(clone, &info);
    printf("%s: of %.1f s of speech in %d recording%s, with a prompt of %.1f s\n", info.name, info.seconds,
           info.recordings, info.recordings == 1 ? "" : "s", info.prompt_units * SO_UNIT_MS / 1000.0);
done:
    so_clone_close(&clone);
    so_model_close(&model);
    return status;
}

static void print(const so_clone *clone, bool json, bool first)
{
    so_clone_info info;
    so_clone_about(clone, &info);
    double prompt = info.prompt_units * SO_UNIT_MS / 1000.0;
    if (!json) {
        printf("%-24s %5.1f s of speech, %d recording%s, prompt %.1f s\n", info.name, info.seconds, info.recordings,
               info.recordings == 1 ? "" : "s", prompt);
        return;
    }
    printf("%s{\"name\": ", first ? "" : ", ");
    so_json_text(stdout, info.name);
    printf(", \"seconds\": %.3f, \"recordings\": %d, \"prompt_s\": %.3f, \"source\": ", info.seconds, info.recordings,
           prompt);
    so_json_text(stdout, info.source);
    printf("}");
}

static so_status list(bool json, so_error *error)
{
    so_clones all;
    char folder[SO_CLONES_PATH];
    so_status status = so_clones_open(&all, error);
    if (status == SO_OK) status = so_clones_folder(folder, error);
    if (status == SO_OK) {
        if (json) printf("[");
        for (int i = 0; i < all.n; i++) print(all.clone[i], json, i == 0);
        if (json) printf("]\n");
        if (!json && !all.n) fprintf(stderr, "no voices in %s\n", folder);
        if (all.broken)
            status = so_fail(error, SO_ERR_FORMAT, "%d of the files in %s cannot be read", all.broken, folder);
    }
    so_clones_clear(&all);
    return status;
}

static so_status forget(int n, char **name, so_error *error)
{
    char path[SO_CLONES_PATH];
    for (int i = 0; i < n; i++) {
        SO_TRY(so_clones_path(name[i], path, error));
        if (access(path, F_OK) != 0) return so_fail(error, SO_ERR_MISSING, "no voice '%s'", name[i]);
    }
    for (int i = 0; i < n; i++) {
        SO_TRY(so_clones_path(name[i], path, error));
        if (unlink(path) != 0) return so_fail(error, SO_ERR_IO, "%s: %s", path, strerror(errno));
    }
    return SO_OK;
}

static int run(int argc, char **argv)
{
    so_setting setting = {0};
    bool json = false, replace = false;
    const so_option options[] = {
        {"replace", SO_OPTION_FLAG, &replace, NULL, "add: make a voice anew that there is already"},
        {"json", SO_OPTION_FLAG, &json, NULL, "list: as JSON"},
        SO_SOUND_OPTIONS,
        SO_MODEL_OPTIONS(setting),
        {0},
    };
    so_error error = {0};
    int n, status = so_cli_parse(&so_verb_voices, options, argc, argv, &n);
    if (status >= 0) return status;
    const char *what = n ? argv[0] : "";
    if (strcmp(what, "list") == 0 && n == 1) return so_cli_end(list(json, &error), &error);
    if (strcmp(what, "list") == 0) return so_cli_usage(&so_verb_voices, "list takes no names, found '%s'", argv[1]);
    if (strcmp(what, "remove") == 0 && n > 1) return so_cli_end(forget(n - 1, argv + 1, &error), &error);
    if (strcmp(what, "remove") == 0) return so_cli_usage(&so_verb_voices, "expected names of voices to remove");
    if (strcmp(what, "add") == 0 && n > 2) return so_cli_end(add(&setting, replace, n - 1, argv + 1, &error), &error);
    if (strcmp(what, "add") == 0) return so_cli_usage(&so_verb_voices, "expected a name and recordings");
    return so_cli_usage(&so_verb_voices, "expected add, list or remove, found '%s'", what);
}

const so_verb so_verb_voices = {
    "voices", "makes voices of recordings, lists and removes them",
    "voices add NAME RECORDING... | list | remove NAME... [options]",
    "A voice is made of one or several recordings of one person: 5 to 15 s of speech are enough, one second is the\n"
    "least, 30 s of each are used. It is for the model that it was made with, which must have CAM++\n"
    "(campplus.safetensors beside the files of its codec). Voices lie in ~/.local/share/stream-omni/voices\n"
    "(STREAM_OMNI_VOICES_DIR); speak, ask, talk and serve take them by name with --voice. Ask people before you use\n"
    "their voices.\n\n"
    "examples:\n"
    "  stream-omni voices add ada ada1.wav ada2.wav --model model.gguf\n"
    "  stream-omni voices list\n"
    "  stream-omni speak \"Good morning.\" --voice ada --model model.gguf --wav ada-says.wav\n"
    "  stream-omni voices remove ada\n",
    run};
