/* Writing and forwarding errors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *so_status_name(so_status status)
{
    static const char *const names[] = {"ok",          "argument", "io",    "format", "shape",  "type",   "missing",
                                        "unsupported", "memory",   "limit", "state",  "number", "stopped"};
    if ((unsigned)status >= sizeof names / sizeof *names) return "unknown";
    return names[status];
}

so_status so_fail(so_error *error, so_status status, const char *format, ...)
{
    if (!error) return status;
    va_list args;
    va_start(args, format);
    error->status = status;
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return status;
}

so_status so_fail_in(so_error *error, const char *format, ...)
{
    if (!error) return SO_ERR_ARG;
    char prefix[512], rest[sizeof error->text];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    memcpy(rest, error->text, sizeof rest);
    rest[sizeof rest - 1] = 0;
    snprintf(error->text, sizeof error->text, "%s: %.*s", prefix, (int)(sizeof error->text - strlen(prefix) - 3), rest);
    return error->status;
}
