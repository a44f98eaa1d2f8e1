/* Modules of the program that are opened when they are asked for.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 1024 };

/* The folder of the program, or of the library that holds this. */
static bool folder_of(bool program, char folder[static PATH])
{
    static const char here = 0;
    Dl_info about;
    ssize_t n = 0;
    if (program)
        n = readlink("/proc/self/exe", folder, PATH - 1);
    else if (dladdr(&here, &about) && about.dli_fname)
        n = snprintf(folder, PATH, "%s", about.dli_fname);
    if (n <= 0 || n >= PATH) return false;
    folder[n] = 0;
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    return slash;
}

/* The first of these places that has it; `tried` grows by those that were looked at. */
static void *open_below(const char *folder, const char *const *below, int n, const char *file, int flags, char *tried)
{
    char path[PATH + 256];
    void *module = NULL;
    for (int i = 0; i < n && !module; i++) {
        snprintf(path, sizeof path, "%s%s/%s", folder, below[i], file);
        size_t at = strlen(tried);
        snprintf(tried + at, SO_MODULE_TRIED - at, "%s%s", at ? ", " : "", path);
        module = dlopen(path, flags);
    }
    return module;
}

void *so_module_open(const char *file, const char *named, bool shared, char tried[static SO_MODULE_TRIED])
{
    static const char *const by_program[] = {"", "/..", "/../lib/stream-omni"};
    static const char *const by_library[] = {"", "/stream-omni", "/../stream-omni"};
    int flags = RTLD_NOW | (shared ? RTLD_GLOBAL : RTLD_LOCAL);
    char program[PATH], library[PATH], real[PATH_MAX];
    const char *wish = getenv(named);
    void *module = NULL;
    tried[0] = 0;
    if (wish && *wish) {
        snprintf(tried, SO_MODULE_TRIED, "%.2000s", wish);
        return dlopen(wish, flags);
    }
    bool known = folder_of(true, program);
    if (known) module = open_below(program, by_program, 3, file, flags, tried);
    if (module || !folder_of(false, library) || !realpath(library, real)) return module;
    return known && strcmp(real, program) == 0 ? NULL : open_below(real, by_library, 3, file, flags, tried);
}
