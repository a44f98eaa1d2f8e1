/* Fuzzes the readers of folders of speech: the first byte chooses the layout, the rest is its list of transcripts; of a
 * Kaldi folder up to two bytes 0x1e divide it into wav.scp, text and segments. One recording is there.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "dataset/dataset.h"
#include "dataset/readers/readers.h"
#include "media/audio.h"

static char root[64];

static const char *in_root(const char *name)
{
    static char path[2][160];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", root, name);
    return path[turn];
}

static void put(const char *name, const uint8_t *data, size_t size)
{
    FILE *f = fopen(in_root(name), "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
}

static void make_root(void)
{
    static const char *const folders[] = {"libri/84/121123", "aishell/transcript", "aishell/wav/dev/S0002",
                                          "aishell3/train/wav/SSB0005", "kaldi"};
    static const char *const sounds[] = {"libri/84/121123/84-121123-0000.wav",
                                         "aishell/wav/dev/S0002/BAC009S0002W0122.wav",
                                         "aishell3/train/wav/SSB0005/SSB00050001.wav", "kaldi/a.wav"};
    float sound[4000] = {0.1f};
    so_audio_format format;
    so_error error;
    strcpy(root, access("/dev/shm", W_OK) == 0 ? "/dev/shm/so-fuzz-folders-XXXXXX" : "/tmp/so-fuzz-folders-XXXXXX");
    if (!mkdtemp(root)) abort();
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (so_make_folder(in_root(folders[i]), &error) != SO_OK) abort();
    for (size_t i = 0; i < sizeof sounds / sizeof *sounds; i++)
        if (so_audio_format_of(sounds[i], &format, &error) != SO_OK ||
            so_audio_write(in_root(sounds[i]), format, sound, 4000, 16000, &error) != SO_OK)
            abort();
}

/* wav.scp, text and segments of data; a part that is not there is removed. */
static void put_kaldi(const uint8_t *data, size_t size)
{
    static const char *const files[] = {"kaldi/wav.scp", "kaldi/text", "kaldi/segments"};
    for (int i = 0; i < 3; i++) {
        const uint8_t *end = i < 2 && data ? memchr(data, 0x1e, size) : NULL;
        if (!data) {
            unlink(in_root(files[i]));
            continue;
        }
        put(files[i], data, end ? (size_t)(end - data) : size);
        size -= end ? (size_t)(end - data) + 1 : size;
        data = end ? end + 1 : NULL;
    }
}

static void read_all(const so_dataset *d)
{
    so_error error;
    for (int64_t i = 0; i < d->count; i++) {
        so_record r;
        if (so_dataset_read(d, i, &r, &error) != SO_OK) abort(); /* what was written down can be read */
        so_record_clear(&r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *folder, *list, *format;
    } layouts[] = {{"libri", "libri/84/121123/84-121123.trans.txt", "librispeech"},
                   {"aishell", "aishell/transcript/aishell_transcript_v0.8.txt", "aishell1"},
                   {"aishell3", "aishell3/train/content.txt", "aishell3"},
                   {"kaldi", NULL, "kaldi"}};
    so_error error;
    so_sink *sink;
    so_dataset *d;
    so_sink_options options = {.threads = 1};
    if (size < 1) return 0;
    if (!root[0]) make_root();
    int which = data[0] % 4;
    if (layouts[which].list)
        put(layouts[which].list, data + 1, size - 1);
    else
        put_kaldi(data + 1, size - 1);
    const so_read_options read = {.format = layouts[which].format};
    if (so_sink_open(&sink, in_root("out"), &options, &error) != SO_OK) abort();
    if (so_read_corpus(in_root(layouts[which].folder), &read, sink, &error) == SO_OK &&
        so_sink_commit(sink, NULL, &error) == SO_OK) {
        if (so_dataset_open(&d, in_root("out"), &error) != SO_OK) abort();
        read_all(d);
        so_dataset_close(&d);
    }
    so_sink_close(&sink);
    return 0;
}
