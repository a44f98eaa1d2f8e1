/* Older checkpoints of a run.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "train/keep.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 4096, PATH = 4200 };

void so_keep_checkpoint(const char *folder, int64_t step)
{
    char from[PATH], to[PATH];
    snprintf(from, sizeof from, "%.4000s/checkpoint.so", folder);
    snprintf(to, sizeof to, "%.4000s/checkpoint-%lld.so", folder, (long long)step);
    if (access(from, F_OK) != 0) return;
    unlink(to);
    if (link(from, to) != 0) return;
}

static int later_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

void so_keep_latest(const char *folder, int most)
{
    int64_t *step = malloc(MOST * sizeof *step);
    DIR *dir = opendir(folder);
    struct dirent *e;
    int n = 0;
    while (step && dir && n < MOST && (e = readdir(dir))) {
        long long s;
        int end = 0;
        if (sscanf(e->d_name, "checkpoint-%lld.so%n", &s, &end) == 1 && end && !e->d_name[end]) step[n++] = s;
    }
    if (dir) closedir(dir);
    if (n) qsort(step, (size_t)n, sizeof *step, later_first);
    for (int i = most; i < n; i++) {
        char path[PATH];
        snprintf(path, sizeof path, "%.4000s/checkpoint-%lld.so", folder, (long long)step[i]);
        unlink(path);
    }
    free(step);
}
