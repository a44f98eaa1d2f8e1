/* The training log, written and read.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/log.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

so_status so_log_open(FILE **log, const char *path, int64_t step, so_error *error)
{
    *log = fopen(path, step > 0 ? "ae" : "we");
    if (!*log) return so_fail(error, SO_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    if (step > 0) fprintf(*log, "{\"resumed\":%lld}\n", (long long)step);
    return SO_OK;
}

static void put_number(json_t *line, const char *key, double value)
{
    if (isfinite(value)) json_object_set_new(line, key, json_real(value));
}

so_status so_log_write(FILE *log, const so_progress *p, so_error *error)
{
    if (!log) return SO_OK;
    json_t *line = json_object();
    const so_notes *notes = p->evaluation ? p->evaluation : p->notes;
    json_object_set_new(line, "step", json_integer(p->step));
    if (p->evaluation) {
        json_object_set_new(line, "eval", json_true());
    } else {
        put_number(line, "loss", p->loss);
        put_number(line, "rate", p->rate);
        put_number(line, "norm", p->norm);
        put_number(line, "tokens_per_s", p->tokens_per_second);
        if (p->exchange > 0) {
            put_number(line, "exchange_s", p->exchange);
            put_number(line, "exchange_hidden", p->hidden);
            put_number(line, "waited_s", p->waited);
        }
        json_object_set_new(line, "skipped", json_integer(p->skipped));
    }
    put_number(line, "elapsed", p->elapsed);
    for (int i = 0; notes && i < notes->count; i++)
        put_number(line, notes->note[i].name, so_note_mean(&notes->note[i]));
    int failed = json_dumpf(line, log, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0 || fputc('\n', log) == EOF ||
                 fflush(log) != 0;
    json_decref(line);
    return failed ? so_fail(error, SO_ERR_IO, "cannot write the training log: %s", strerror(errno)) : SO_OK;
}

static so_curve *curve_of(so_history *h, const char *name)
{
    for (int64_t i = 0; i < h->count; i++)
        if (strcmp(h->curve[i].name, name) == 0) return &h->curve[i];
    if (so_grow(&h->curve, h->count, &h->capacity, sizeof *h->curve, NULL) != SO_OK) return NULL;
    so_curve *c = &h->curve[h->count++];
    memset(c, 0, sizeof *c);
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

static so_status add_point(so_history *h, const char *name, double step, double value, so_error *error)
{
    so_curve *c = curve_of(h, name);
    if (c && c->count == c->capacity) {
        int64_t capacity = c->capacity ? 2 * c->capacity : 256;
        double *grown = realloc(c->step, (size_t)capacity * 2 * sizeof *grown);
        if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for the history of a run");
        memmove(grown + capacity, grown + c->capacity, (size_t)c->count * sizeof *grown);
        c->step = grown;
        c->value = grown + capacity;
        c->capacity = capacity;
    }
    if (!c) return so_fail(error, SO_ERR_NOMEM, "no memory for the history of a run");
    c->step[c->count] = step;
    c->value[c->count++] = value;
    return SO_OK;
}

static void forget_after(so_history *h, double step)
{
    for (int64_t i = 0; i < h->count; i++)
        while (h->curve[i].count && h->curve[i].step[h->curve[i].count - 1] > step) h->curve[i].count--;
}

static so_status read_line(so_history *h, const char *text, size_t size, so_error *error)
{
    json_t *line = json_loadb(text, size, 0, NULL), *value;
    const char *key;
    so_status status = SO_OK;
    if (json_is_object(line)) {
        json_t *resumed = json_object_get(line, "resumed"), *step = json_object_get(line, "step");
        bool eval = json_is_true(json_object_get(line, "eval"));
        if (json_is_integer(resumed)) forget_after(h, (double)json_integer_value(resumed));
        json_object_foreach(line, key, value)
        {
            char name[48];
            snprintf(name, sizeof name, "%s%.40s", eval ? "eval." : "", key);
            if (json_is_number(step) && json_is_number(value) && strcmp(key, "step") != 0 && status == SO_OK)
                status = add_point(h, name, json_number_value(step), json_number_value(value), error);
        }
    }
    json_decref(line);
    return status;
}

so_status so_history_load(so_history *history, const char *path, so_error *error)
{
    char *data;
    size_t size;
    memset(history, 0, sizeof *history);
    SO_TRY(so_file_read(path, (size_t)1 << 30, &data, &size, error));
    so_status status = SO_OK;
    for (char *line = data, *end; status == SO_OK && line < data + size; line = end + 1) {
        end = memchr(line, '\n', (size_t)(data + size - line));
        if (!end) break;
        status = read_line(history, line, (size_t)(end - line), error);
    }
    free(data);
    if (status != SO_OK) so_history_close(history);
    return status;
}

void so_history_close(so_history *history)
{
    for (int64_t i = 0; i < history->count; i++) free(history->curve[i].step);
    free(history->curve);
    memset(history, 0, sizeof *history);
}

const so_curve *so_history_find(const so_history *history, const char *name)
{
    for (int64_t i = 0; i < history->count; i++)
        if (strcmp(history->curve[i].name, name) == 0) return &history->curve[i];
    return NULL;
}
