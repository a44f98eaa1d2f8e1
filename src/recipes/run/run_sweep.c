/* Many runs of one file of settings, each with other values: ablations.
 *
 *     [sweep]
 *     how = "each"                       # one key at a time; "grid": all with all
 *     show = ["held.units_right"]        # of the last evaluation; all of it when not given
 *     seeds = [1, 2]                     # every run once with each of these
 *     [sweep.grid]
 *     fuse = ["cross", "add_input"]
 *     window.W = [3, 5, -1]
 *
 * Every run has a folder below `out` and goes on where it was stopped; what is done is told in its result.json and not
 * done again. One that fails is told, and the others go on. In the end stand sweep.md and sweep.html.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/sha.h"
#include "recipes/run/run_config.h"
#include "so_recipes.h"
#include "train/report.h"

enum { KEYS = 16, RUNS = 256, SHOWN = 12, NAME = 200, SETS = 80 };

/* A key, and the values that it takes, as settings write them. */
typedef struct varied {
    const char *name;
    char **value;
    int n;
} varied;

typedef struct one_run {
    int pick[KEYS];  /* which value of each key; -1: the file's */
    char name[NAME]; /* of its folder */
    char *failed;    /* why; NULL: it did not */
    json_t *result;  /* {"step", "eval": {name: value}, "seconds"} */
} one_run;

typedef struct sweep {
    const so_train_file_options *options;
    so_toml toml;
    const char *out;
    char hash[65]; /* of the file without what is varied: a result is of that */
    bool each;
    varied key[KEYS];
    int keys, runs;
    int seeds; /* which key is sweep.seeds, with whose values every run is made; -1: none is */
    one_run *run;
    const char *show[SHOWN];
    int shown;
} sweep;

static void say(const sweep *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const sweep *s, const char *format, ...)
{
    char line[1400];
    va_list args;
    if (!s->options->say) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    s->options->say(s->options->say_context, line);
}

/* ---- what is varied */

static so_status put_value(const so_toml_value *v, bool quoted, so_string *out, so_error *error)
{
    char text[64];
    switch (v->kind) {
    case SO_TOML_TEXT:
        if (quoted) SO_TRY(so_string_put(out, "\"", error));
        SO_TRY(so_string_put(out, v->text, error));
        return quoted ? so_string_put(out, "\"", error) : SO_OK;
    case SO_TOML_WHOLE:
        snprintf(text, sizeof text, "%lld", (long long)v->whole);
        break;
    case SO_TOML_REAL:
        snprintf(text, sizeof text, "%.17g", v->real);
        if (!strpbrk(text, ".en")) strcat(text, ".0");
        break;
    case SO_TOML_BOOL:
        strcpy(text, v->yes ? "true" : "false");
        break;
    case SO_TOML_LIST:
        SO_TRY(so_string_put(out, "[", error));
        for (int64_t i = 0; i < v->items; i++) {
            if (i) SO_TRY(so_string_put(out, ", ", error));
            SO_TRY(put_value(&v->item[i], true, out, error));
        }
        strcpy(text, "]");
        break;
    }
    return so_string_put(out, text, error);
}

static so_status take_key(sweep *s, const char *name, const so_toml_value *list, so_error *error)
{
    varied *k = &s->key[s->keys];
    if (list->kind != SO_TOML_LIST || list->items < 1)
        return so_fail(error, SO_ERR_ARG, "sweep, %s: expected an array of values", name);
    if (s->keys == KEYS) return so_fail(error, SO_ERR_LIMIT, "sweep.grid has more than %d keys", KEYS);
    *k = (varied){.name = name, .value = calloc((size_t)list->items, sizeof *k->value)};
    if (!k->value) return so_fail(error, SO_ERR_NOMEM, "no memory for a list");
    s->keys++;
    for (int64_t i = 0; i < list->items; i++) {
        so_string text = {0};
        so_status status = put_value(&list->item[i], false, &text, error);
        k->value[k->n] = text.data;
        if (text.data) k->n++;
        if (status != SO_OK) return status;
    }
    return SO_OK;
}

static so_status take_entry(sweep *s, const so_toml_entry *e, so_error *error)
{
    const char *name = e->name + strlen("sweep.");
    const so_toml_value *v = &e->value;
    if (strncmp(name, "grid.", 5) == 0) return take_key(s, name + 5, v, error);
    if (strcmp(name, "seeds") == 0) {
        s->seeds = s->keys;
        return take_key(s, "seed", v, error);
    }
    if (strcmp(name, "how") == 0 && v->kind == SO_TOML_TEXT &&
        (strcmp(v->text, "each") == 0 || strcmp(v->text, "grid") == 0)) {
        s->each = v->text[0] == 'e';
        return SO_OK;
    }
    if (strcmp(name, "show") == 0 && v->kind == SO_TOML_LIST && v->items <= SHOWN) {
        for (int64_t i = 0; i < v->items; i++) {
            if (v->item[i].kind != SO_TOML_TEXT)
                return so_fail(error, SO_ERR_ARG, "sweep.show: expected names of measurements");
            s->show[s->shown++] = v->item[i].text;
        }
        return SO_OK;
    }
    return so_fail(
        error, SO_ERR_ARG,
        "%s: expected sweep.how (\"grid\" or \"each\"), sweep.show (up to %d names), sweep.seeds or sweep.grid.KEY",
        e->name, SHOWN);
}

/* Everything but the sweep itself, and what goes before the file: a result belongs to that. */
static so_status hash_file(sweep *s, so_error *error)
{
    so_sha sha;
    so_sha_init(&sha, SO_SHA256);
    for (int64_t i = 0; i < s->toml.count; i++) {
        const so_toml_entry *e = &s->toml.entry[i];
        so_string text = {0};
        if (strncmp(e->name, "sweep.", 6) == 0) continue;
        so_status status = put_value(&e->value, true, &text, error);
        so_sha_feed(&sha, e->name, strlen(e->name) + 1);
        if (text.data) so_sha_feed(&sha, text.data, text.size + 1);
        so_string_clear(&text);
        SO_TRY(status);
    }
    for (int i = 0; i < s->options->sets; i++) so_sha_feed(&sha, s->options->set[i], strlen(s->options->set[i]) + 1);
    so_sha_end(&sha, s->hash);
    return SO_OK;
}

static so_status read_file(sweep *s, so_error *error)
{
    const so_train_file_options *o = s->options;
    char *text;
    size_t size;
    SO_TRY(so_file_read(o->file, SO_TOML_MOST, &text, &size, error));
    so_status status = so_toml_parse(&s->toml, text, size, error);
    free(text);
    if (status != SO_OK) return so_fail_in(error, "'%.300s'", o->file);
    for (int64_t i = 0; i < s->toml.count; i++) {
        const so_toml_entry *e = &s->toml.entry[i];
        if (strcmp(e->name, "out") == 0 && e->value.kind == SO_TOML_TEXT) s->out = e->value.text;
        if (strncmp(e->name, "sweep.", 6) != 0) continue;
        status = take_entry(s, e, error);
        if (status != SO_OK) return so_fail_in(error, "'%.300s', line %d", o->file, e->line);
    }
    for (int i = 0; i < o->sets; i++)
        if (strncmp(o->set[i], "out=", 4) == 0) s->out = o->set[i] + 4;
    if (!s->out) return so_fail(error, SO_ERR_ARG, "'%.300s' has no out, the folder of the runs", o->file);
    if (!s->keys) return so_fail(error, SO_ERR_ARG, "'%.300s' varies nothing: it has no [sweep.grid]", o->file);
    return hash_file(s, error);
}

/* ---- the runs */

/* "fuse=cross" as a folder's name has it: signs that shells and disks take differently become "-". */
static void name_run(const sweep *s, one_run *r)
{
    size_t used = 0;
    for (int k = 0; k < s->keys; k++) {
        if (r->pick[k] < 0) continue;
        int n = snprintf(r->name + used, NAME - used, "%s%s=%s", used ? "," : "", s->key[k].name,
                         s->key[k].value[r->pick[k]]);
        used = used + (size_t)n < NAME ? used + (size_t)n : NAME - 1;
    }
    if (!used) strcpy(r->name, "base");
    for (char *p = r->name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._,=-", *p)) *p = '-';
}

static so_status add_run(sweep *s, const int *pick, so_error *error)
{
    if (s->runs == RUNS) return so_fail(error, SO_ERR_LIMIT, "a sweep of more than %d runs", RUNS);
    one_run *r = &s->run[s->runs];
    *r = (one_run){.result = NULL};
    memcpy(r->pick, pick, sizeof r->pick);
    name_run(s, r);
    for (int i = 0; i < s->runs; i++)
        if (strcmp(s->run[i].name, r->name) == 0)
            return so_fail(error, SO_ERR_ARG, "two runs of the sweep are '%s'", r->name);
    s->runs++;
    return SO_OK;
}

/* One run, or one for each of the seeds. */
static so_status add_runs(sweep *s, int *pick, so_error *error)
{
    if (s->seeds < 0) return add_run(s, pick, error);
    for (int i = 0; i < s->key[s->seeds].n; i++) {
        pick[s->seeds] = i;
        SO_TRY(add_run(s, pick, error));
    }
    return SO_OK;
}

static so_status list_each(sweep *s, so_error *error)
{
    int pick[KEYS];
    for (int k = 0; k < KEYS; k++) pick[k] = -1;
    SO_TRY(add_runs(s, pick, error));
    for (int k = 0; k < s->keys; k++)
        for (int i = 0; i < s->key[k].n && k != s->seeds; i++) {
            pick[k] = i;
            SO_TRY(add_runs(s, pick, error));
            pick[k] = -1;
        }
    return SO_OK;
}

static so_status list_grid(sweep *s, so_error *error)
{
    int pick[KEYS];
    for (int k = 0; k < KEYS; k++) pick[k] = k < s->keys ? 0 : -1;
    for (int k = 0; k >= 0;) {
        SO_TRY(add_runs(s, pick, error));
        for (k = s->keys - 1; k >= 0 && (k == s->seeds || ++pick[k] == s->key[k].n); k--) pick[k] = 0;
    }
    return SO_OK;
}

static so_status list_runs(sweep *s, so_error *error)
{
    s->run = calloc(RUNS, sizeof *s->run);
    if (!s->run) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of runs");
    return s->each ? list_each(s, error) : list_grid(s, error);
}

/* ---- one run */

static void path_of(const sweep *s, const one_run *r, const char *file, char path[2000])
{
    snprintf(path, 2000, "%.1000s/%s%s%s", s->out, r->name, file[0] ? "/" : "", file);
}

/* The result of a run that is done already, under the same settings. */
static bool is_done(const sweep *s, one_run *r)
{
    char path[2000];
    path_of(s, r, "result.json", path);
    json_t *found = json_load_file(path, 0, NULL);
    const char *hash = json_string_value(json_object_get(found, "settings"));
    if (hash && strcmp(hash, s->hash) == 0) {
        r->result = found;
        return true;
    }
    json_decref(found);
    return false;
}

/* The last evaluation of its log, and what it took. */
static so_status take_result(const sweep *s, one_run *r, so_error *error)
{
    char path[2000];
    json_t *eval = json_object();
    double step = 0, seconds = 0;
    so_history history = {0};
    path_of(s, r, "log.jsonl", path);
    so_status status = so_history_load(&history, path, error);
    for (int64_t i = 0; i < history.count && status == SO_OK; i++) {
        const so_curve *c = &history.curve[i];
        if (!c->count) continue;
        double last = c->value[c->count - 1];
        if (strcmp(c->name, "eval.elapsed") == 0)
            seconds = last;
        else if (strncmp(c->name, "eval.", 5) == 0 && isfinite(last))
            json_object_set_new(eval, c->name + 5, json_real(last));
        if (c->step[c->count - 1] > step) step = c->step[c->count - 1];
    }
    so_history_close(&history);
    r->result = json_pack("{s:s, s:f, s:f, s:o}", "settings", s->hash, "step", step, "seconds", seconds, "eval", eval);
    path_of(s, r, "result.json", path);
    char *text = r->result ? json_dumps(r->result, JSON_INDENT(1)) : NULL;
    if (status == SO_OK)
        status = text ? so_file_write(path, text, strlen(text), error)
                      : so_fail(error, SO_ERR_NOMEM, "no memory for a result");
    free(text);
    return status;
}

static so_status do_run(const sweep *s, one_run *r, so_error *error)
{
    const char *set[SETS];
    char text[KEYS + 1][1200];
    so_train_file_options o = *s->options;
    int n = 0;
    if (o.sets > SETS - KEYS - 1) return so_fail(error, SO_ERR_LIMIT, "%d settings beside a sweep", o.sets);
    for (; n < o.sets; n++) set[n] = o.set[n];
    for (int k = 0; k < s->keys; k++) {
        if (r->pick[k] < 0) continue;
        snprintf(text[k], sizeof text[k], "%s=%s", s->key[k].name, s->key[k].value[r->pick[k]]);
        set[n++] = text[k];
    }
    snprintf(text[KEYS], sizeof text[KEYS], "out=%.900s/%s", s->out, r->name);
    set[n++] = text[KEYS];
    o.set = set;
    o.sets = n;
    SO_TRY(so_train_file(&o, error));
    return take_result(s, r, error);
}

static so_status do_all(sweep *s, int *failed, so_error *error)
{
    for (int i = 0; i < s->runs; i++) {
        one_run *r = &s->run[i];
        so_error why = {0};
        if (is_done(s, r)) {
            say(s, "run %d of %d, %s: done before", i + 1, s->runs, r->name);
            continue;
        }
        say(s, "run %d of %d, %s", i + 1, s->runs, r->name);
        so_status status = do_run(s, r, &why);
        if (status == SO_ERR_STOPPED) return so_fail(error, status, "%s", why.text);
        if (status == SO_OK) continue;
        r->failed = strdup(why.text);
        ++*failed;
        say(s, "failed: %s", why.text);
    }
    return SO_OK;
}

/* ---- the table */

/* Names of all that any run measured, where the file names none. */
static void choose_shown(sweep *s)
{
    const char *name;
    json_t *value;
    for (int i = 0; i < s->runs && !s->shown; i++)
        json_object_foreach(json_object_get(s->run[i].result, "eval"), name, value) if (s->shown < SHOWN)
            s->show[s->shown++] = name;
}

static double measured(const one_run *r, const char *name)
{
    const json_t *value = json_object_get(json_object_get(r->result, "eval"), name);
    return value ? json_number_value(value) : (double)NAN;
}

/* Cell (row, col) of the table: row 0 is the head. */
static void cell(const sweep *s, int row, int col, char out[120])
{
    const one_run *r = row ? &s->run[row - 1] : NULL;
    out[0] = 0;
    if (col < s->keys) {
        const varied *k = &s->key[col];
        snprintf(out, 120, "%s", !r ? k->name : r->pick[col] < 0 ? "-" : k->value[r->pick[col]]);
    } else if (col == s->keys) {
        if (!r)
            strcpy(out, "steps");
        else if (r->failed)
            strcpy(out, "failed");
        else
            snprintf(out, 120, "%.0f", json_number_value(json_object_get(r->result, "step")));
    } else if (!r)
        snprintf(out, 120, "%s", s->show[col - s->keys - 1]);
    else if (isfinite(measured(r, s->show[col - s->keys - 1])))
        snprintf(out, 120, "%.4g", measured(r, s->show[col - s->keys - 1]));
}

/* Whether two runs differ in nothing but the seed. */
static bool same_but_seed(const sweep *s, const one_run *a, const one_run *b)
{
    for (int k = 0; k < s->keys; k++)
        if (strcmp(s->key[k].name, "seed") != 0 && a->pick[k] != b->pick[k]) return false;
    return true;
}

/* Where seeds are varied, too: mean and spread over them, as lines of Markdown. */
static so_status put_seeds(const sweep *s, so_string *out, so_error *error)
{
    bool seeds = false;
    char text[300];
    for (int k = 0; k < s->keys; k++) seeds = seeds || strcmp(s->key[k].name, "seed") == 0;
    if (!seeds || (s->each && s->seeds < 0)) return SO_OK;
    SO_TRY(so_string_put(out, "\nMean over seeds (least to most):\n\n", error));
    for (int i = 0; i < s->runs; i++) {
        bool first = true, base = true;
        for (int k = 0; k < i; k++) first = first && !same_but_seed(s, &s->run[i], &s->run[k]);
        if (!first) continue;
        SO_TRY(so_string_put(out, "* ", error));
        for (int k = 0; k < s->keys; k++) {
            if (strcmp(s->key[k].name, "seed") == 0) continue;
            if (s->run[i].pick[k] < 0) continue;
            snprintf(text, sizeof text, "%s %s; ", s->key[k].name, s->key[k].value[s->run[i].pick[k]]);
            SO_TRY(so_string_put(out, text, error));
            base = false;
        }
        if (base) SO_TRY(so_string_put(out, "as it stands; ", error));
        for (int c = 0; c < s->shown; c++) {
            double sum = 0, least = INFINITY, most = -INFINITY;
            int n = 0;
            for (int k = i; k < s->runs; k++) {
                double x = measured(&s->run[k], s->show[c]);
                if (!same_but_seed(s, &s->run[i], &s->run[k]) || !isfinite(x)) continue;
                sum += x;
                n++;
                least = fmin(least, x);
                most = fmax(most, x);
            }
            if (!n) continue;
            snprintf(text, sizeof text, "%s %.4g (%.4g to %.4g, %d seeds)%s", s->show[c], sum / n, least, most, n,
                     c + 1 < s->shown ? ", " : "");
            SO_TRY(so_string_put(out, text, error));
        }
        SO_TRY(so_string_put(out, "\n", error));
    }
    return SO_OK;
}

static so_status put_markdown(const sweep *s, so_string *out, so_error *error)
{
    int cols = s->keys + 1 + s->shown;
    char text[120], line[600];
    for (int row = 0; row <= s->runs; row++) {
        for (int col = 0; col < cols; col++) {
            cell(s, row, col, text);
            snprintf(line, sizeof line, "| %s ", text);
            SO_TRY(so_string_put(out, line, error));
        }
        SO_TRY(so_string_put(out, "|\n", error));
        for (int col = 0; col < cols && row == 0; col++) SO_TRY(so_string_put(out, "|---", error));
        if (row == 0) SO_TRY(so_string_put(out, "|\n", error));
    }
    SO_TRY(put_seeds(s, out, error));
    for (int i = 0; i < s->runs; i++) {
        if (!s->run[i].failed) continue;
        snprintf(line, sizeof line, "\n%s failed: %.300s\n", s->run[i].name, s->run[i].failed);
        SO_TRY(so_string_put(out, line, error));
    }
    return SO_OK;
}

/* A curve of each run for each measurement. */
static void plot(const sweep *s, so_report *report)
{
    for (int c = 0; c < s->shown; c++) {
        char name[80], path[2000];
        so_history *history = calloc((size_t)s->runs, sizeof *history);
        so_curve *curve = calloc((size_t)s->runs, sizeof *curve);
        const so_curve **list = calloc((size_t)s->runs, sizeof *list);
        int n = 0;
        snprintf(name, sizeof name, "eval.%s", s->show[c]);
        for (int i = 0; i < s->runs && history && curve && list; i++) {
            so_error ignored;
            path_of(s, &s->run[i], "log.jsonl", path);
            if (so_history_load(&history[i], path, &ignored) != SO_OK) continue;
            const so_curve *found = so_history_find(&history[i], name);
            if (!found || !found->count) continue;
            curve[n] = *found;
            snprintf(curve[n].name, sizeof curve[n].name, "%.47s", s->run[i].name);
            list[n] = &curve[n];
            n++;
        }
        if (n) so_report_curves(report, s->show[c], list, n);
        for (int i = 0; i < s->runs && history; i++) so_history_close(&history[i]);
        free(history);
        free(curve);
        free(list);
    }
}

static so_status write_page(const sweep *s, so_error *error)
{
    int rows = s->runs + 1, cols = s->keys + 1 + s->shown;
    char path[2000], title[400];
    so_report *report;
    char(*text)[120] = calloc((size_t)(rows * cols), sizeof *text);
    const char **cells = calloc((size_t)(rows * cols), sizeof *cells);
    snprintf(title, sizeof title, "Sweep: %.300s", s->options->file);
    so_status status =
        text && cells ? so_report_open(&report, title, error) : so_fail(error, SO_ERR_NOMEM, "no memory for a table");
    if (status == SO_OK) {
        for (int i = 0; i < rows * cols; i++) {
            cell(s, i / cols, i % cols, text[i]);
            cells[i] = text[i];
        }
        so_report_table(report, rows, cols, cells);
        plot(s, report);
        snprintf(path, sizeof path, "%.1000s/sweep.html", s->out);
        status = so_report_save(report, path, error);
        so_report_close(&report);
    }
    free(text);
    free(cells);
    return status;
}

static so_status write_tables(sweep *s, so_error *error)
{
    so_string out = {0};
    char path[2000];
    choose_shown(s);
    so_status status = put_markdown(s, &out, error);
    snprintf(path, sizeof path, "%.1000s/sweep.md", s->out);
    if (status == SO_OK) status = so_make_folder(s->out, error);
    if (status == SO_OK) status = so_file_write(path, out.data, out.size, error);
    if (status == SO_OK) status = write_page(s, error);
    if (status == SO_OK) say(s, "%s", out.data);
    if (status == SO_OK) say(s, "the table is in %s, with curves in %.1000s/sweep.html", path, s->out);
    so_string_clear(&out);
    return status;
}

/* ---- all of it */

static so_status sweep_file(sweep *s, so_error *error)
{
    int failed = 0;
    SO_TRY(read_file(s, error));
    SO_TRY(list_runs(s, error));
    if (s->options->dry) {
        for (int i = 0; i < s->runs; i++)
            say(s, "run %d of %d, %s%s", i + 1, s->runs, s->run[i].name, is_done(s, &s->run[i]) ? ": done before" : "");
        return SO_OK;
    }
    SO_TRY(do_all(s, &failed, error));
    SO_TRY(write_tables(s, error));
    if (!failed) return SO_OK;
    for (int i = 0; i < s->runs; i++)
        if (s->run[i].failed)
            return so_fail(error, SO_ERR_STATE, "%d of %d runs failed, the first is %s: %.300s", failed, s->runs,
                           s->run[i].name, s->run[i].failed);
    return SO_OK;
}

so_status so_train_sweep(const so_train_file_options *options, so_error *error)
{
    if (!options || !options->file) return so_fail(error, SO_ERR_ARG, "no options, or no file of settings");
    if (options->sets < 0 || (options->sets && !options->set) || options->order || options->plan)
        return so_fail(error, SO_ERR_ARG, "a sweep takes settings, threads and ranks");
    sweep *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for a sweep");
    s->options = options;
    s->seeds = -1;
    so_status status = sweep_file(s, error);
    for (int i = 0; i < s->runs; i++) {
        free(s->run[i].failed);
        json_decref(s->run[i].result);
    }
    for (int k = 0; k < s->keys; k++) {
        for (int i = 0; i < s->key[k].n; i++) free(s->key[k].value[i]);
        free(s->key[k].value);
    }
    free(s->run);
    so_toml_close(&s->toml);
    free(s);
    return status;
}
