/* Reads every byte that a reader's views promise, so that a sanitizer sees what lies outside.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FUZZ_TOUCH_H
#define SO_FUZZ_TOUCH_H

#include <stdlib.h>
#include <string.h>

#include "formats/view.h"

static volatile unsigned touched; /* depends on every byte read, so that no read can be left out */

static inline void touch(const void *data, size_t bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes; i++) sum = sum * 31 + ((const unsigned char *)data)[i];
    touched = sum;
}

/* Aborts where a table contradicts itself. */
static inline void touch_views(const so_views *views)
{
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *view = &views->view[i];
        size_t elements = (size_t)so_view_elements(view);
        if (so_views_find(views, view->name) != view) abort();
        if (view->n_dims > SO_VIEW_DIMS || (view->bytes == 0) != (elements == 0)) abort();
        touch(view->data, view->bytes);
    }
}

/* Hands an input to a reader of safetensors files: as it is, or, where it begins with '{', behind the length of a
 * header that ends with its last '}', so that mutations of the JSON are not all lost on a wrong length. */
static inline void with_header(const uint8_t *data, size_t size, void read(const void *, size_t))
{
    uint64_t length = size;
    if (size == 0 || data[0] != '{') {
        read(data, size);
        return;
    }
    while (length > 1 && data[length - 1] != '}') length--;
    unsigned char *file = malloc(8 + size);
    if (!file) return;
    memcpy(file, &length, 8);
    memcpy(file + 8, data, size);
    read(file, 8 + size);
    free(file);
}

#endif
