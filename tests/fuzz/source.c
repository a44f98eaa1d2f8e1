/* Fuzzes the texts of a model's folder, each beside a model that is otherwise whole: config.json,
 * generation_config.json, tokenizer_config.json with its chat template, preprocessor_config.json, the index of shards,
 * the codec's config.json. The first byte chooses which.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_OK(call, error) ((call) == SO_OK ? (void)0 : (void)(fprintf(stderr, "%s\n", (error).text), abort()))

#include "../toy.h"
#include "checkpoint/source.h"
#include "touch.h"

static const char *const kind[] = {"config.json",
                                   "generation_config.json",
                                   "tokenizer_config.json",
                                   "preprocessor_config.json",
                                   "model.safetensors.index.json",
                                   "codec/config.json"};
enum { KINDS = sizeof kind / sizeof *kind };
static char home[64];

static void linked(const char *folder, const char *name, const char *as)
{
    char from[160], to[160];
    snprintf(from, sizeof from, "%s/toy/%s", home, name);
    snprintf(to, sizeof to, "%s/%s", folder, as);
    if (symlink(from, to) != 0) abort();
}

/* A folder for each kind, with links to one toy's files, but for the file that is fuzzed. */
static void make_folders(void)
{
    static const char *const names[] = {"config.json",
                                        "tokenizer.json",
                                        "model.safetensors",
                                        "codec/config.json",
                                        "codec/speech_tokenizer_v1.safetensors",
                                        "codec/flow.safetensors",
                                        "codec/hift.safetensors"};
    so_error error;
    char folder[96], below[128];
    snprintf(home, sizeof home, "%s/so-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(home)) abort();
    snprintf(folder, sizeof folder, "%s/toy", home);
    CHECK_OK(so_make_folder(folder, &error), error);
    toy_make(folder, 5);
    for (int k = 0; k < KINDS; k++) {
        snprintf(folder, sizeof folder, "%s/%d", home, k);
        snprintf(below, sizeof below, "%s/codec", folder);
        CHECK_OK(so_make_folder(below, &error), error);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (strcmp(names[i], kind[k]) != 0)
                linked(folder, names[i], k == 4 && i == 2 ? "model-00001-of-00002.safetensors" : names[i]);
        if (k == 4) linked(folder, "codec/hift.safetensors", "model-00002-of-00002.safetensors");
    }
}

static void clean(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", home);
    if (system(command) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    so_source source;
    char folder[96], path[160], *report = NULL;
    if (size == 0) return 0;
    if (!home[0]) {
        make_folders();
        atexit(clean);
    }
    int k = data[0] % KINDS;
    snprintf(folder, sizeof folder, "%s/%d", home, k);
    snprintf(path, sizeof path, "%s/%s", folder, kind[k]);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data + 1, 1, size - 1, file) != size - 1 || fclose(file) != 0) abort();
    const char *in = folder;
    if (so_source_open(&source, &in, 1, NULL, &error) == SO_OK) {
        touch_views(&source.views);
        if (source.chat_template) touch(source.chat_template, strlen(source.chat_template));
        if (source.n_voices != 0) abort();
        error.text[0] = 0;
        bool whole = so_source_check(&source, false, &report, &error) == SO_OK;
        if (whole ? report != NULL : !error.text[0]) abort(); /* no report of sizes that no network can have */
        free(report);
    }
    so_source_close(&source);
    return 0;
}
