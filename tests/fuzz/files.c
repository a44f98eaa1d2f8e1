/* Fuzzes what is read from folders rather than from memory: records and conversations of a corpus, training logs and
 * checkpoints, and the configuration of a model. The first byte chooses which.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/config.h"
#include "dataset/tabletop/tabletop_corpus.h"
#include "formats/gguf.h"
#include "touch.h"
#include "train/checkpoint.h"
#include "train/log.h"

static so_error error;

static const char *keep(const void *data, size_t size, const char *ending)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/so-fuzz-%d%s", (int)getpid(), ending);
    FILE *file = fopen(path, "wb"); /* so_file_write waits for the disk */
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
    return path;
}

static void touch_text(const char *text)
{
    if (text) touch(text, strlen(text));
}

static void corpus(const char *path)
{
    so_tabletop_corpus c;
    if (so_tabletop_open(&c, path, &error) != SO_OK && c.count) abort();
    for (int64_t i = 0; i < c.count; i++) {
        const so_tabletop_item *item = &c.items[i];
        touch_text(item->id);
        touch_text(item->kind_name);
        touch_text(item->question);
        touch_text(item->answer);
        touch_text(item->image);
        touch_text(item->speech);
        touch_text(item->voice.accent);
        touch_text(item->voice.variant);
        if (item->objects < 0 || item->objects > SO_TABLETOP_OBJECTS) abort();
        for (int k = 0; k < item->objects; k++)
            if (!so_shape_name(item->object[k].shape) || !so_colour_name(item->object[k].colour)) abort();
    }
    so_tabletop_close(&c);
}

static void history(const char *path)
{
    so_history h;
    if (so_history_load(&h, path, &error) != SO_OK) return;
    for (int64_t i = 0; i < h.count; i++) {
        touch_text(h.curve[i].name);
        touch(h.curve[i].step, (size_t)h.curve[i].count * sizeof(double));
        touch(h.curve[i].value, (size_t)h.curve[i].count * sizeof(double));
    }
    so_history_close(&h);
}

static void checkpoint(const char *path)
{
    so_loader loader;
    if (so_loader_open(&loader, path, &error) != SO_OK) return;
    for (int64_t i = 0; i < loader.count; i++) {
        touch(loader.block[i].name, loader.block[i].name_length);
        touch(loader.block[i].data, loader.block[i].bytes);
    }
    so_loader_close(&loader);
}

/* What one way of writing takes, the other gives back. */
static void setup(const char *text)
{
    static so_setup a, b;
    char *printed, *again;
    if (so_setup_parse(&a, text, NULL, &error) != SO_OK) return;
    if (so_setup_print(&a, &printed, &error) != SO_OK) return;
    if (so_setup_parse(&b, printed, NULL, &error) != SO_OK || so_setup_print(&b, &again, &error) != SO_OK) abort();
    if (strcmp(printed, again) != 0) abort();
    free(printed);
    free(again);
}

static void setup_of_file(const void *data, size_t size)
{
    static so_setup s;
    so_gguf *gguf;
    if (so_gguf_open_memory(&gguf, data, size, &error) != SO_OK) return;
    so_setup_load(&s, gguf, &error);
    so_gguf_close(&gguf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    uint8_t what = data[0] % 6;
    char *text = malloc(size);
    if (!text) abort();
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    if (what == 0) corpus(keep(text, size - 1, ".jsonl"));
    if (what == 1) corpus(keep(text, size - 1, ".json"));
    if (what == 2) history(keep(text, size - 1, ".log"));
    if (what == 3) checkpoint(keep(text, size - 1, ".so"));
    if (what == 4) setup(text);
    if (what == 5) setup_of_file(text, size - 1);
    free(text);
    return 0;
}
