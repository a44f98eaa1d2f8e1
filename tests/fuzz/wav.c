/* Fuzzes the walk over the chunks of a WAV file and the lengths of other containers: what is found lies in the file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "media/sound_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_sound_wav wav;
    bool ends;
    /* A copy of exactly this size: a byte read behind it is seen. */
    unsigned char *copy = malloc(size + 1);
    if (!copy) return 0;
    copy = realloc(copy, size ? size : 1);
    if (size) memcpy(copy, data, size);
    if (so_sound_wav_find(&wav, copy, size)) {
        if (wav.at > size || wav.length > size - wav.at) abort();
        if (wav.head_size < 28 + 14 || wav.head_size > sizeof wav.head) abort();
        if (!wav.truncated && !wav.streamed && !wav.oddity && wav.length != wav.announced) abort();
    }
    uint64_t announced = so_sound_announced(copy, size, &ends);
    if (size < 4 && announced) abort();
    (void)so_sound_kind(copy, size);
    free(copy);
    return 0;
}
