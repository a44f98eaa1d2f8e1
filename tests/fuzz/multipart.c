/* Fuzzes multipart bodies; pieces must make no difference.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/multipart.h"

/* What was told, as one number: parts, their names, and bytes in their order. */
typedef struct seen {
    uint64_t sum;
    size_t bytes;
} seen;

static void mix(seen *s, const void *data, size_t n)
{
    for (size_t i = 0; i < n; i++) s->sum = s->sum * 31 + ((const uint8_t *)data)[i];
}
static bool on_part(void *context, const char *name, const char *file)
{
    mix(context, name, strlen(name) + 1);
    mix(context, file, strlen(file) + 1);
    return true;
}
static bool on_data(void *context, const void *data, size_t n)
{
    mix(context, data, n);
    ((seen *)context)->bytes += n;
    return true;
}
static bool on_end(void *context)
{
    mix(context, "$", 1);
    return true;
}

static bool parse(const char *type, const uint8_t *data, size_t size, size_t step, seen *s)
{
    so_multipart *m = malloc(sizeof *m);
    const so_multipart_sink sink = {s, on_part, on_data, on_end};
    *s = (seen){0};
    if (!m) abort();
    bool good = so_multipart_init(m, type, &sink);
    for (size_t at = 0; good && at < size; at += step)
        good = so_multipart_feed(m, data + at, size - at < step ? size - at : step);
    good = good && so_multipart_end(m);
    free(m);
    return good;
}

/* A step, the Content-Type up to a line feed, the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
    seen whole, pieces;
    if (!end || end - data > 200) return 0;
    char type[200];
    size_t n = (size_t)(end - data - 1);
    memcpy(type, data + 1, n);
    type[n] = 0;
    const uint8_t *body = end + 1;
    size_t length = size - (size_t)(body - data);
    bool a = parse(type, body, length, length + 1, &whole), b = parse(type, body, length, data[0] % 16 + 1u, &pieces);
    if (a != b || (a && (whole.sum != pieces.sum || whole.bytes > length))) abort();
    return 0;
}
