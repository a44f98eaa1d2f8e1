/* Growing text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/string.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

so_status so_string_add(so_string *text, const char *bytes, size_t size, so_error *error)
{
    if (size > SIZE_MAX - text->size - 1) return so_fail(error, SO_ERR_LIMIT, "text of more than the address space");
    char *grown = so_grow_to(text->data, &text->capacity, text->size + size + 1, 1);
    if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes of text", text->size + size);
    text->data = grown;
    if (size) memcpy(grown + text->size, bytes, size);
    text->size += size;
    grown[text->size] = 0;
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
