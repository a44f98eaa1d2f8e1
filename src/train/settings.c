/* Settings of a run, written and compared.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "train/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

so_status so_settings_of(const so_train_plan *plan, char **text, so_error *error)
{
    size_t size = 0;
    *text = NULL;
    FILE *out = open_memstream(text, &size);
    if (!out) return so_fail(error, SO_ERR_NOMEM, "no memory for a run's settings");
    fprintf(out, "seed %" PRIu64 "\n", plan->seed);
    fprintf(out, "steps %lld\n", (long long)plan->steps);
    fprintf(out, "minutes %.6g\n", plan->seconds / 60);
    fprintf(out, "%s", plan->settings ? plan->settings : "");
    if (fclose(out) == 0) return SO_OK;
    free(*text);
    *text = NULL;
    return so_fail(error, SO_ERR_NOMEM, "no memory for a run's settings");
}

/* The value behind "name " in a text of lines, "" when there is none. */
static void value_of(const char *text, const char *name, size_t length, char value[80])
{
    value[0] = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, name, length) != 0 || line[length] != ' ') continue;
        const char *from = line + length + 1;
        snprintf(value, 80, "%.*s", (int)strcspn(from, "\n"), from);
        return;
    }
}

/* Adds "name had (now now)" for every line of `one` whose value in `other` differs; `all` false: only names that
 * `other` lacks, so that each is told once. */
static void differences(const char *one, const char *other, bool swapped, char *told, size_t size)
{
    for (const char *line = one; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char a[80], b[80];
        size_t length = strcspn(line, " \n"), used = strlen(told);
        if (!length || line[length] != ' ') continue;
        value_of(line, line, length, a);
        value_of(other, line, length, b);
        if (strcmp(a, b) == 0 || (swapped && b[0])) continue;
        const char *had = swapped ? b : a, *now = swapped ? a : b;
        snprintf(told + used, size - used, "%s%.*s %s (now %s)", used ? ", " : "", (int)length, line,
                 *had ? had : "not said", *now ? now : "not said");
    }
}

so_status so_settings_same(const char *had, size_t size, const char *now, so_error *error)
{
    char told[700] = "", *before = strndup(had, size);
    if (!before) return so_fail(error, SO_ERR_NOMEM, "no memory for a run's settings");
    differences(before, now, false, told, sizeof told);
    differences(now, before, true, told, sizeof told);
    free(before);
    if (!told[0]) return SO_OK;
    return so_fail(
        error, SO_ERR_STATE,
        "the run was begun with other settings: %s; go on with those, or remove its checkpoint to begin anew", told);
}
