/* Watching for losses that jump: what was learnt from then is named, nothing is changed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recipes/run/training.h"

enum { KEPT = 101, ENOUGH = 21, NAMED = 64 /* records that are named at most */ };
static const double JUMP = 5;

struct so_run_guard {
    double loss[KEPT];
    int n, next;
    FILE *file;
};

so_status so_run_guard_open(so_run *run, so_error *error)
{
    run->guard = calloc(1, sizeof *run->guard);
    return run->guard ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a list of losses");
}

void so_run_guard_close(so_run *run)
{
    if (run->guard && run->guard->file) fclose(run->guard->file);
    free(run->guard);
    run->guard = NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(const struct so_run_guard *guard)
{
    double sorted[KEPT];
    memcpy(sorted, guard->loss, (size_t)guard->n * sizeof *sorted);
    qsort(sorted, (size_t)guard->n, sizeof *sorted, by_size);
    return sorted[guard->n / 2];
}

/* The portion's records, as JSON. */
static json_t *records(const so_run *run, const so_micro *micro)
{
    bool more;
    int64_t from, n = so_batches_portion(&run->batches, micro->index, micro->portion, &from, &more);
    json_t *list = json_array();
    for (int64_t i = from; i < from + n && i < from + NAMED; i++) {
        const so_batch_item *item = &run->batches.item[i];
        const so_run_set *set = &run->set[run->source_set[item->place.source]];
        so_record record;
        so_error ignored;
        int32_t number = set->record[item->place.index];
        bool read = so_dataset_read(set->dataset, number, &record, &ignored) == SO_OK;
        json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:I}", "data", set->data->name, "record", number, "id",
                                              read ? record.id : "", "epoch", (json_int_t)item->place.epoch));
        so_record_clear(&record);
    }
    return list;
}

static void tell(so_run *run, const so_micro *micro, double loss, double usual)
{
    struct so_run_guard *guard = run->guard;
    char path[1100];
    if (!guard->file) {
        snprintf(path, sizeof path, run->ranks ? "%s/spikes-%d.jsonl" : "%s/spikes.jsonl", run->folder,
                 run->ranks ? run->ranks->rank : 0);
        guard->file = fopen(path, "a");
    }
    json_t *line = json_pack("{s:I, s:i, s:i, s:f, s:f, s:o}", "step", (json_int_t)micro->step, "slot", micro->index,
                             "portion", micro->portion, "loss", isfinite(loss) ? loss : 1e308, "median", usual,
                             "records", records(run, micro));
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    if (guard->file && text) fprintf(guard->file, "%s\n", text);
    if (guard->file) fflush(guard->file);
    so_run_say(run, "step %lld: a loss of %.4g where %.4g is usual; its records are named in %s/spikes.jsonl",
               (long long)micro->step, loss, usual, run->folder);
    free(text);
    json_decref(line);
}

void so_run_guard_look(so_run *run, const so_micro *micro, double loss)
{
    struct so_run_guard *guard = run->guard;
    if (!guard) return;
    double usual = guard->n >= ENOUGH ? median(guard) : (double)INFINITY;
    if (!isfinite(loss) || loss > JUMP * usual) tell(run, micro, loss, isfinite(usual) ? usual : 0);
    if (!isfinite(loss)) return;
    guard->loss[guard->next] = loss;
    guard->next = (guard->next + 1) % KEPT;
    if (guard->n < KEPT) guard->n++;
}
