/* What a file is, by its ending.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_FILES_H
#define SO_APPS_FILES_H

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static inline bool so_ends_in(const char *path, const char *const *endings)
{
    const char *dot = strrchr(path, '.');
    for (; dot && *endings; endings++)
        if (strcasecmp(dot, *endings) == 0) return true;
    return false;
}

static inline bool so_is_picture(const char *path)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".webp", ".ppm", ".pgm", NULL};
    return so_ends_in(path, endings);
}

static inline bool so_is_sound(const char *path)
{
    static const char *const endings[] = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".opus", NULL};
    return so_ends_in(path, endings);
}

#endif
