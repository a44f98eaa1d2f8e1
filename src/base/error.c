/* Writing and forwarding errors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/plain.h"

const char *so_status_name(so_status status)
{
    static const char *const names[] = {"ok",    "argument", "io",          "format",       "shape",
                                        "type",  "missing",  "unsupported", "memory",       "limit",
                                        "state", "number",   "stopped",     "nothing heard"};
    if ((unsigned)status >= sizeof names / sizeof *names) return "unknown";
    return names[status];
}

so_status so_fail(so_error *error, so_status status, const char *format, ...)
{
    if (!error) return status;
    char text[sizeof error->text];
    va_list args;
    va_start(args, format);
    error->status = status;
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    so_plain(error->text, sizeof error->text, text, strlen(text), true);
    return status;
}

so_status so_fail_in(so_error *error, const char *format, ...)
{
    if (!error) return SO_ERR_ARG;
    char given[512], prefix[512], rest[sizeof error->text];
    va_list args;
    va_start(args, format);
    vsnprintf(given, sizeof given, format, args);
    va_end(args);
    so_plain(prefix, sizeof prefix, given, strlen(given), true);
    memcpy(rest, error->text, sizeof rest);
    rest[sizeof rest - 1] = 0;
    snprintf(error->text, sizeof error->text, "%s: %.*s", prefix, (int)(sizeof error->text - strlen(prefix) - 3), rest);
    return error->status;
}
