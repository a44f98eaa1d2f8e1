/* Growing arrays.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/grow.h"

#include <stdlib.h>
#include <string.h>

static so_status resize(void *items, size_t count, size_t size, so_error *error)
{
    void *old, *grown;
    size_t bytes;
    memcpy(&old, items, sizeof old);
    if (__builtin_mul_overflow(count, size, &bytes) || !(grown = realloc(old, bytes)))
        return so_fail(error, SO_ERR_NOMEM, "no memory for %zu items of %zu bytes", count, size);
    memcpy(items, &grown, sizeof grown);
    return SO_OK;
}

so_status so_grow_by(void *items, int64_t count, int64_t more, int64_t *capacity, size_t size, so_error *error)
{
    if (more <= *capacity - count) return SO_OK;
    if (more > INT64_MAX / 2 - count) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld items", (long long)more);
    int64_t next = *capacity < 8 ? 8 : *capacity * 2;
    if (next < count + more) next = count + more;
    SO_TRY(resize(items, (size_t)next, size, error));
    *capacity = next;
    return SO_OK;
}

so_status so_grow(void *items, int64_t count, int64_t *capacity, size_t size, so_error *error)
{
    return so_grow_by(items, count, 1, capacity, size, error);
}

/* The power of two that an array of n items holds. */
static size_t held(size_t n)
{
    size_t most = n ? 8 : 0;
    while (most < n && most <= SIZE_MAX / 2) most *= 2;
    return most;
}

so_status so_append(void *items, size_t *count, size_t size, const void *more, size_t n, so_error *error)
{
    if (n > SIZE_MAX / 2 - *count) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu items", n);
    if (held(*count + n) != held(*count)) SO_TRY(resize(items, held(*count + n), size, error));
    void *all;
    memcpy(&all, items, sizeof all);
    if (n) memcpy((char *)all + *count * size, more, n * size);
    *count += n;
    return SO_OK;
}

void *so_grow_to(void *array, size_t *capacity, size_t need, size_t width)
{
    if (need <= *capacity && array) return array;
    size_t next = *capacity < 16 ? 16 : *capacity;
    while (next < need) {
        if (next > SIZE_MAX / 2 / width) return NULL;
        next *= 2;
    }
    void *grown = realloc(array, next * width);
    if (grown) *capacity = next;
    return grown;
}
