/* Comparing with reference numbers: files, differences, reports.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval/golden/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

so_status so_heap_add(so_heap *rows, int64_t n, int64_t cols, const so_real *from, so_error *error)
{
    if (rows->rows && rows->cols != cols)
        return so_fail(error, SO_ERR_SHAPE, "rows of %lld columns after rows of %lld", (long long)cols,
                       (long long)rows->cols);
    rows->cols = cols;
    int64_t need = (rows->rows + n) * cols;
    if (need > rows->capacity) {
        int64_t more = need > 2 * rows->capacity ? need : 2 * rows->capacity;
        so_real *grown = realloc(rows->data, (size_t)more * sizeof *grown + 1);
        if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld numbers", (long long)more);
        rows->data = grown;
        rows->capacity = more;
    }
    if (n) memcpy(rows->data + rows->rows * cols, from, (size_t)(n * cols) * sizeof *from);
    rows->rows += n;
    return SO_OK;
}

bool so_golden_wants(const so_golden *g, const char *set) { return !g->options.only || strstr(set, g->options.only); }

static void report(so_golden *g, so_golden_check *check)
{
    if (check->not_finite || !(check->deviation <= check->bar)) check->passed = 0;
    g->result->checks++;
    g->result->failed += !check->passed;
    if (g->told) json_object_set_new(g->told, check->what, json_true());
    if (g->each) g->each(g->context, check);
}

void so_golden_skip(so_golden *g, const char *set, const char *what, const char *reason)
{
    so_golden_check c = {.set = set, .what = what, .reason = reason, .passed = 1};
    if (what)
        g->result->left++;
    else
        g->result->skipped++;
    if (g->each) g->each(g->context, &c);
}

void so_golden_fail(so_golden *g, const char *set, const char *reason)
{
    so_golden_check c = {.set = set, .reason = reason};
    g->result->checks++;
    g->result->failed++;
    if (g->each) g->each(g->context, &c);
}

const so_view *so_golden_view(const so_golden *g, const char *set, const char *what, bool *fine)
{
    static const char mark[] = {'/', '.'};
    const so_safetensors *file[] = {g->fine, g->single};
    for (int f = 0; f < 2; f++) {
        for (int m = 0; m < 2 && file[f]; m++) {
            char name[256];
            snprintf(name, sizeof name, "%s%c%s", set, mark[m], what);
            const so_view *view = so_views_find(so_safetensors_views(file[f]), name);
            if (fine) *fine = f == 0;
            if (view) return view;
        }
    }
    return NULL;
}

void so_golden_array(so_golden *g, const char *set, const char *what, const so_real *found, const float *expected,
                     int64_t n, double bar)
{
    so_golden_check c = {.set = set, .what = what, .bar = bar, .compared = n, .passed = 1};
    double d2 = 0, e2 = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)found[i] - (double)expected[i]);
        c.not_finite += !isfinite((double)found[i]) && isfinite((double)expected[i]);
        if (d > c.deviation) c.deviation = d;
        d2 += d * d;
        e2 += (double)expected[i] * (double)expected[i];
    }
    c.relative_l2 = e2 > 0 ? sqrt(d2 / e2) : sqrt(d2);
    report(g, &c);
}

static void wrong_size(so_golden *g, const char *set, const char *what, int64_t found, int64_t expected)
{
    so_golden_check c = {.set = set,
                         .what = what,
                         .exact = 1,
                         .deviation = (double)(llabs((long long)(found - expected)) + 1),
                         .compared = expected};
    report(g, &c);
}

void so_golden_numbers(so_golden *g, const char *set, const char *what, const so_real *found, int64_t n, so_bars bars)
{
    bool fine;
    const so_view *view = so_golden_view(g, set, what, &fine);
    if (!view) return;
    if (view->type != SO_F32 || so_view_elements(view) != n)
        wrong_size(g, set, what, n, so_view_elements(view));
    else
        so_golden_array(g, set, what, found, view->data, n, fine ? bars.fine : bars.single);
}

void so_golden_value(so_golden *g, const char *set, const char *what, double found, double expected, double bar)
{
    so_golden_check c = {.set = set,
                         .what = what,
                         .deviation = fabs(found - expected),
                         .bar = bar,
                         .compared = 1,
                         .passed = 1,
                         .not_finite = !isfinite(found) && isfinite(expected)};
    if (found == expected) c.deviation = 0;
    c.relative_l2 = expected != 0 ? c.deviation / fabs(expected) : c.deviation;
    report(g, &c);
}

static void same_ids(so_golden *g, const char *set, const char *what, const int32_t *found, const int32_t *expected,
                     int64_t n)
{
    so_golden_check c = {.set = set, .what = what, .exact = 1, .compared = n, .passed = 1};
    for (int64_t i = 0; i < n; i++) c.deviation += found[i] != expected[i];
    report(g, &c);
}

void so_golden_ids(so_golden *g, const char *set, const char *what, const int32_t *found, int64_t n)
{
    const so_view *view = so_golden_view(g, set, what, NULL);
    if (!view) return;
    if (view->type != SO_I32 || so_view_elements(view) != n)
        wrong_size(g, set, what, n, so_view_elements(view));
    else
        same_ids(g, set, what, found, view->data, n);
}

void so_golden_list(so_golden *g, const char *set, const char *what, const json_t *expected, const int32_t *found,
                    int64_t n)
{
    if (!json_is_array(expected)) return;
    so_golden_check c = {.set = set, .what = what, .exact = 1, .compared = n, .passed = 1};
    if ((int64_t)json_array_size(expected) != n) {
        wrong_size(g, set, what, n, (int64_t)json_array_size(expected));
        return;
    }
    for (int64_t i = 0; i < n; i++) c.deviation += json_integer_value(json_array_get(expected, (size_t)i)) != found[i];
    report(g, &c);
}

void so_golden_text(so_golden *g, const char *set, const char *what, const char *expected, const char *found)
{
    if (!expected) return;
    so_golden_check c = {.set = set, .what = what, .exact = 1, .compared = (int64_t)strlen(expected), .passed = 1};
    c.deviation = strcmp(expected, found ? found : "") != 0;
    report(g, &c);
}

const char *so_golden_path(const so_golden *g, const char *name, char *out)
{
    if (name[0] == '/')
        snprintf(out, 4096, "%s", name);
    else
        snprintf(out, 4096, "%s/%s", g->folder, name);
    return out;
}

static so_status open_files(so_golden *g, so_error *error)
{
    char path[4096], *text = NULL;
    size_t size;
    json_error_t where;
    SO_TRY(so_file_read(so_golden_path(g, "golden.json", path), (size_t)256 << 20, &text, &size, error));
    g->root = json_loadb(text, size, 0, &where);
    free(text);
    if (!g->root) return so_fail(error, SO_ERR_FORMAT, "%s, line %d: %s", path, where.line, where.text);
    SO_TRY(so_safetensors_open(&g->single, so_golden_path(g, "golden.safetensors", path), error));
    so_golden_path(g, "golden-f64.safetensors", path);
    return access(path, R_OK) == 0 ? so_safetensors_open(&g->fine, path, error) : SO_OK;
}

so_status so_golden_run(const char *folder, const so_golden_options *options, so_golden_fn each, void *context,
                        so_golden_result *result, so_error *error)
{
    if (!folder || !result)
        return so_fail(error, SO_ERR_ARG, "no folder of reference numbers, or no place for a result");
    return so_golden_run_on(folder, NULL, options, each, context, result, error);
}

so_status so_golden_run_on(const char *folder, so_device *device, const so_golden_options *options, so_golden_fn each,
                           void *context, so_golden_result *result, so_error *error)
{
    so_golden g = {.folder = folder, .each = each, .context = context, .result = result, .device = device};
    char path[4096];
    so_status status;
    if (options) g.options = *options;
    *result = (so_golden_result){0};
    SO_TRY_GO(open_files(&g, error));
    if (access(so_golden_path(&g, "model", path), R_OK) == 0)
        status = so_golden_omni(&g, error);
    else if (access(so_golden_path(&g, "flow.safetensors", path), R_OK) == 0)
        status = so_golden_codec(&g, error);
    else
        status = so_fail(error, SO_ERR_UNSUPPORTED, "%s holds neither model/ nor flow.safetensors", folder);
done:
    so_device_close(&g.device);
    json_decref(g.told);
    so_safetensors_close(&g.single);
    so_safetensors_close(&g.fine);
    json_decref(g.root);
    return status;
}
