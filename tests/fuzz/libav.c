/* Fuzzes what is done with what FFmpeg's libraries say of a file. Where they are absent there is nothing to fuzz.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "media/sound_source.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    so_sound_source *source;
    so_error error = {0};
    (void)argc;
    (void)argv;
    if (so_sound_libav(&source, "", 0, NULL, &error) != SO_ERR_MISSING) return 0;
    fprintf(stderr, "# SKIP: %s\n", error.text);
    exit(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_sound_source *source;
    enum { N = 1024, MOST = 1 << 18 };
    static float x[N * SO_SOUND_MAX_CHANNELS];
    if (so_sound_libav(&source, data, size, NULL, NULL) != SO_OK) return 0;
    if (source->channels < 1 || source->channels > SO_SOUND_MAX_CHANNELS) abort();
    int64_t got = 1;
    for (int64_t all = 0; all < MOST && got > 0; all += got) {
        if (source->read(source, x, N, &got, NULL) != SO_OK) break;
        if (got < 0 || got > N) abort();
    }
    source->close(source);
    return 0;
}
