/* Growing text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/string.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

so_status so_string_reserve(so_string *text, size_t bytes, so_error *error)
{
    if (bytes > SIZE_MAX - text->size - 1) return so_fail(error, SO_ERR_LIMIT, "text of more than the address space");
    char *grown = so_grow_to(text->data, &text->capacity, text->size + bytes + 1, 1);
    if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes of text", text->size + bytes);
    text->data = grown;
    grown[text->size] = 0;
    return SO_OK;
}

so_status so_string_add(so_string *text, const char *bytes, size_t size, so_error *error)
{
    SO_TRY(so_string_reserve(text, size, error));
    if (size) memcpy(text->data + text->size, bytes, size);
    text->size += size;
    text->data[text->size] = 0;
    return SO_OK;
}

so_status so_string_put(so_string *text, const char *string, so_error *error)
{
    return so_string_add(text, string, strlen(string), error);
}

void so_string_clear(so_string *text)
{
    free(text->data);
    *text = (so_string){0};
}
