/* Fuzzes the reader of voices made of recordings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "speech/clone.h"

#include "touch.h"

static void read_and_touch(const void *data, size_t size)
{
    so_error error;
    so_safetensors *file;
    so_clone *clone;
    so_clone_info info;
    so_codec codec = {.has_vocoder = true, .mark = "0123456789abcdef"};
    codec.flow.config = so_flow_published();
    codec.flow.config.speaker = 4;
    if (so_safetensors_open_memory(&file, data, size, &error) != SO_OK) return;
    if (so_clone_read(&clone, file, &error) == SO_OK) {
        so_clone_about(clone, &info);
        touch(info.name, strlen(info.name));
        touch(info.source, strlen(info.source));
        touch(clone->vector, (size_t)clone->width * sizeof *clone->vector);
        if (clone->n) touch(clone->mel, (size_t)(clone->frames * clone->bins) * sizeof *clone->mel);
        (void)so_clone_check(clone, &codec, &error);
    }
    so_clone_close(&clone);
    so_safetensors_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    with_header(data, size, read_and_touch);
    return 0;
}
