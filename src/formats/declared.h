/* What writers of tensor files share: all tensors are declared before the first one's data comes, and come in that
 * order.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_DECLARED_H
#define SO_FORMATS_DECLARED_H

#include "formats/view.h"

/* SO_ERR_STATE unless tensor number `next` of `declared` has this name and so many bytes. */
so_status so_declared_next(const so_views *declared, int64_t next, const char *name, size_t bytes, so_error *error);
/* SO_ERR_STATE, naming the first tensor without data, unless `next` is past the last. */
so_status so_declared_all(const so_views *declared, int64_t next, so_error *error);

#endif
