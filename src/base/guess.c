/* What a file is that is not what it should be.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/guess.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sniff.h"

const char *so_guess(const void *data, size_t size)
{
    const unsigned char *p = data;
    so_sniffed is = so_sniff(data, size);
    if (is.content != SO_CONTENT_UNKNOWN && is.content != SO_CONTENT_TEXT) return is.what;
    for (size_t at = 0; at < size; at++) {
        if (p[at] == '{' || p[at] == '[') return "JSON or another text";
        if (p[at] != ' ' && (p[at] < 9 || p[at] > 13)) break;
    }
    return is.content == SO_CONTENT_TEXT && size >= 4 ? is.what : NULL;
}

so_status so_refuse_stranger(const void *data, size_t size, const char *expected, so_error *error)
{
    so_sniffed is = so_sniff(data, size);
    return is.stranger ? so_fail(error, SO_ERR_FORMAT, "%s, expected %s", is.what, expected) : SO_OK;
}

so_status so_refuse_strange_text(const void *data, size_t size, so_error *error)
{
    const unsigned char *p = data;
    SO_TRY(so_refuse_stranger(data, size, "JSON", error));
    if (size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        return so_fail(error, SO_ERR_FORMAT,
                       "a byte order mark before the text (as some Windows editors write), expected UTF-8 without one");
    if (size >= 2 && (memcmp(p, "\xff\xfe", 2) == 0 || memcmp(p, "\xfe\xff", 2) == 0 || !p[0] || !p[1]))
        return so_fail(error, SO_ERR_FORMAT, "UTF-16 text, expected UTF-8");
    return SO_OK;
}

bool so_unfinished(const char *path, char *found, size_t size)
{
    static const char *const endings[] = {".part", ".incomplete", ".crdownload", ".aria2", ".download", ".tmp", ".!qB"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        int n = snprintf(found, size, "%s%s", path, endings[i]);
        if (n > 0 && (size_t)n < size && access(found, F_OK) == 0) return true;
    }
    return false;
}
