/* Fuzzes frames of Wyoming.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/wyoming_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    so_wyoming_frame f;
    size_t used, at = 0;
    uint8_t *copy = malloc(size + 1); /* its end is the memory's */
    if (!copy) return 0;
    memcpy(copy, data, size);
    while (so_wyoming_read(copy + at, size - at, &f, &used, &error) == SO_OK && used > 0) {
        if (used > size - at || f.payload < copy || f.payload + f.size > copy + size || !json_is_object(f.data))
            abort();
        if (!f.type[0] || strlen(f.type) >= sizeof f.type) abort();
        json_decref(f.data);
        at += used;
    }
    free(copy);
    return 0;
}
