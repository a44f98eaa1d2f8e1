/* The public header of training.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "so_train.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "train/report.h"
#include "train/stages.h"

static void list(char *text, size_t size, const char *name, double number, bool with_number)
{
    size_t used = strlen(text);
    if (used >= size) return;
    if (with_number)
        snprintf(text + used, size - used, "%s%s %g", used ? ", " : "", name, number);
    else
        snprintf(text + used, size - used, "%s%s", used ? ", " : "", name);
}

int so_stage_about(int i, so_stage_info *info)
{
    const so_stage *s = so_stage_at(i);
    if (!s || !info) return s != NULL;
    *info = (so_stage_info){.name = s->name, .about = s->about, .network = s->network, .rate = s->rate};
    for (int k = 0; k < SO_STAGE_GROUPS && s->learns[k].group; k++)
        list(info->learns, sizeof info->learns, s->learns[k].group, 0, false);
    for (int k = 0; k < SO_STAGE_TASKS && s->task[k].name; k++)
        list(info->tasks, sizeof info->tasks, s->task[k].name, s->task[k].share, true);
    for (int k = 0; k < SO_STAGE_LOSSES && s->loss[k].name; k++)
        list(info->losses, sizeof info->losses, s->loss[k].name, s->loss[k].weight, true);
    return 1;
}

static so_status add_run(so_report *report, const char *folder, const char *name, int *runs, so_error *error)
{
    char path[4200];
    snprintf(path, sizeof path, "%.4000s/log.jsonl", folder);
    if (access(path, R_OK) != 0) return SO_OK;
    so_report_heading(report, name);
    ++*runs;
    return so_report_run(report, folder, error);
}

static so_status add_runs(so_report *report, const char *folder, so_error *error)
{
    int runs = 0;
    struct dirent **entry = NULL;
    int n = scandir(folder, &entry, NULL, alphasort);
    if (n < 0) return so_fail(error, SO_ERR_IO, "cannot read the folder '%s': %s", folder, strerror(errno));
    so_status status = add_run(report, folder, folder, &runs, error);
    for (int i = 0; i < n; i++) {
        char path[4400];
        snprintf(path, sizeof path, "%.4000s/%s", folder, entry[i]->d_name);
        if (status == SO_OK && entry[i]->d_name[0] != '.')
            status = add_run(report, path, entry[i]->d_name, &runs, error);
        free(entry[i]);
    }
    free(entry);
    if (status == SO_OK && runs == 0)
        status = so_fail(error, SO_ERR_MISSING, "'%s' holds no log.jsonl, nor does a folder in it", folder);
    return status;
}

static void add_rows(so_report *report, const char *text)
{
    const char *cells[128];
    int rows = 1;
    char *copy = strdup(text), *save = NULL;
    cells[0] = cells[1] = "";
    char *line = copy ? strtok_r(copy, "\n", &save) : NULL;
    for (; line && rows < 64; line = strtok_r(NULL, "\n", &save)) {
        char *tab = strchr(line, '\t');
        if (tab) *tab = 0;
        cells[2 * rows] = line;
        cells[2 * rows++ + 1] = tab ? tab + 1 : "";
    }
    so_report_table(report, rows, 2, cells);
    free(copy);
}

static so_status add_part(so_report *report, const so_report_part *p, so_error *error)
{
    const char *text = p->text ? p->text : "", *family = p->kind == SO_REPORT_PICTURE ? "image/" : "audio/";
    if (p->kind == SO_REPORT_HEADING)
        so_report_heading(report, text);
    else if (p->kind == SO_REPORT_TEXT)
        so_report_text(report, "%s", text);
    else if (p->kind == SO_REPORT_ROWS)
        add_rows(report, text);
    else if (!p->data || !p->bytes || !p->type || strncmp(p->type, family, strlen(family)) != 0)
        return so_fail(error, SO_ERR_ARG, "a part of a report holds %zu bytes of type '%s', expected %s...", p->bytes,
                       p->type ? p->type : "", family);
    else
        so_report_file(report, text, p->type, p->data, p->bytes, p->width);
    return SO_OK;
}

so_status so_train_report(const char *folder, const char *html, so_error *error)
{
    return so_train_report_with(folder, html, NULL, 0, error);
}

so_status so_train_report_with(const char *folder, const char *html, const so_report_part *parts, int n,
                               so_error *error)
{
    if (!folder || !html || n < 0 || (n && !parts))
        return so_fail(error, SO_ERR_ARG, "no folder, no file, or no parts");
    so_report *report;
    SO_TRY(so_report_open(&report, "stream-omni: training", error));
    so_status status = SO_OK;
    for (int i = 0; i < n && status == SO_OK; i++) status = add_part(report, &parts[i], error);
    if (status == SO_OK) status = add_runs(report, folder, error);
    if (status == SO_OK) status = so_report_save(report, html, error);
    so_report_close(&report);
    return status;
}
