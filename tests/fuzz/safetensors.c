/* Fuzzes the reader of safetensors files.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/safetensors.h"

#include "touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    so_safetensors *file;
    if (so_safetensors_open_memory(&file, data, size, &error) != SO_OK) return 0;
    touch_views(so_safetensors_views(file));
    const char *format = so_safetensors_metadata(file, "format");
    if (format) touch(format, strlen(format));
    so_safetensors_close(&file);
    return 0;
}
