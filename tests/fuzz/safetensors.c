/* Fuzzes the reader of safetensors files. An input that begins with '{' is taken as a header up to its last '}' and
 * gets the length that it has, so that mutations of the JSON are not all lost on a wrong length.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/safetensors.h"

#include "touch.h"

static void open_and_touch(const void *data, size_t size)
{
    so_error error;
    so_safetensors *file;
    if (so_safetensors_open_memory(&file, data, size, &error) != SO_OK) return;
    touch_views(so_safetensors_views(file));
    const char *format = so_safetensors_metadata(file, "format");
    if (format) touch(format, strlen(format));
    so_safetensors_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    with_header(data, size, open_and_touch);
    return 0;
}
