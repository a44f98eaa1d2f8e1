/* A run's progress as a line for people.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Adds a number that there is. `form` has one place for a double. */
static void add(char *line, size_t size, const char *form, double x)
{
    size_t used = strlen(line);
    if (isfinite(x) && used < size) snprintf(line + used, size - used, form, x);
}

void so_progress_line(const so_progress *p, const char *name, char *line, size_t size)
{
    const so_notes *n = p->evaluation ? p->evaluation : p->notes;
    snprintf(line, size, "%s%s %lld/%lld", name, p->evaluation ? " EVALUATION" : "", (long long)p->step,
             (long long)p->steps);
    add(line, size, "  loss %.4f", p->loss);
    if (isfinite(p->loss)) { /* else no step lies between this line and the one before */
        add(line, size, "  rate %.2g", p->rate);
        add(line, size, "  norm %.2g", p->norm);
        add(line, size, "  %.0f tok/s", p->tokens_per_second);
    }
    add(line, size, "  %.0f s", p->elapsed);
    add(line, size, ", %.0f s left", p->left);
    for (int i = 0; n && i < n->count; i++) {
        char form[48];
        snprintf(form, sizeof form, "  %.31s %%.4g", n->note[i].name);
        add(line, size, form, so_note_mean(&n->note[i]));
    }
}
