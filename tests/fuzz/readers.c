/* Fuzzes the readers of corpora: the first byte chooses which, the rest is the file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "dataset/dataset.h"
#include "dataset/readers/readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {"llava",       "tar",        "text",   "commonvoice",
                                          "wenetspeech", "llava-yaml", "records"};
    static char folder[64], file[96], out[96];
    so_error error;
    so_sink *sink;
    so_sink_options options = {.threads = 1};
    if (size < 1) return 0;
    if (!folder[0]) {
        strcpy(folder,
               access("/dev/shm", W_OK) == 0 ? "/dev/shm/so-fuzz-readers-XXXXXX" : "/tmp/so-fuzz-readers-XXXXXX");
        if (!mkdtemp(folder)) abort();
        snprintf(file, sizeof file, "%s/f", folder);
        snprintf(out, sizeof out, "%s/out", folder);
    }
    FILE *f = fopen(file, "wb");
    if (!f || fwrite(data + 1, 1, size - 1, f) != size - 1 || fclose(f) != 0) abort();
    const so_read_options read = {.format = formats[data[0] % 7], .take = data[0] & 64 ? "random:50%" : NULL};
    if (so_sink_open(&sink, out, &options, &error) != SO_OK) abort();
    if (so_read_corpus(file, &read, sink, &error) == SO_OK && so_sink_commit(sink, NULL, &error) == SO_OK) {
        so_dataset *d;
        if (so_dataset_open(&d, out, &error) != SO_OK) abort();
        for (int64_t i = 0; i < d->count; i++) {
            so_record r;
            if (so_dataset_read(d, i, &r, &error) != SO_OK) abort(); /* what was written down can be read */
            so_record_clear(&r);
        }
        so_dataset_close(&d);
    }
    so_sink_close(&sink);
    return 0;
}
