/* What writers of tensor files share.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/declared.h"

#include <string.h>

so_status so_declared_next(const so_views *declared, int64_t next, const char *name, size_t bytes, so_error *error)
{
    if (next >= declared->count)
        return so_fail(error, SO_ERR_STATE, "data of '%s' after the last declared tensor", name);
    const so_view *view = &declared->view[next];
    if (strcmp(view->name, name) == 0 && view->bytes == bytes) return SO_OK;
    return so_fail(error, SO_ERR_STATE, "%zu bytes of '%s' given, expected %zu of '%s'", bytes, name, view->bytes,
                   view->name);
}

so_status so_declared_all(const so_views *declared, int64_t next, so_error *error)
{
    if (next >= declared->count) return SO_OK;
    return so_fail(error, SO_ERR_STATE, "tensor '%s' was declared and has no data", declared->view[next].name);
}
