/* What a dataset is made of: sums, shares, histograms.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/views.h"
#include "text/markup.h"

enum { SECONDS, TEXT, ANSWER, UNITS, TURNS, PICTURES, PLOTS };

static const so_histogram empty[PLOTS] = {
    {.title = "Speech of a record", .unit = "s", .width = 1},
    {.title = "Text of a record", .unit = "bytes", .width = 50},
    {.title = "Answers of a record", .unit = "bytes", .width = 50},
    {.title = "Units of a record", .unit = "units", .width = 25},
    {.title = "Turns of a record", .unit = "turns", .width = 1},
    {.title = "Pictures of a record", .unit = "pictures", .width = 1},
};

/* Counts one more under a name. */
static void count(json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    json_object_set_new(object, name, json_integer(json_integer_value(value) + 1));
}

static so_status gather(const so_dataset *d, so_histogram plots[PLOTS], json_t *sources, json_t *langs, so_error *error)
{
    for (int64_t i = 0; i < d->count; i++) {
        const so_lengths *l = &d->lengths[i];
        so_record record;
        if (l->ms) so_histogram_add(&plots[SECONDS], l->ms / 1e3);
        if (l->units) so_histogram_add(&plots[UNITS], l->units);
        if (l->answers) so_histogram_add(&plots[ANSWER], l->answers);
        so_histogram_add(&plots[TEXT], l->text);
        so_histogram_add(&plots[TURNS], l->turns);
        so_histogram_add(&plots[PICTURES], l->images);
        SO_TRY(so_dataset_read(d, i, &record, error));
        count(sources, record.source ? record.source : "(not told)");
        count(langs, record.lang ? record.lang : "(not told)");
        so_record_clear(&record);
    }
    return SO_OK;
}

static void table(so_page *page, const char *title, const json_t *counts)
{
    const char *name;
    json_t *value;
    so_page_put(page, "<h2>%s</h2><table>", title);
    json_object_foreach((json_t *)(uintptr_t)counts, name, value)
    {
        so_page_put(page, "<tr>");
        so_page_cell(page, false, "%s", name);
        so_page_cell(page, false, "%lld", (long long)json_integer_value(value));
        so_page_put(page, "</tr>\n");
    }
    so_page_put(page, "</table>\n");
}

static so_status write_page(const so_dataset *d, const char *path, const so_histogram *plots, const json_t *sources,
                            const json_t *langs, so_error *error)
{
    so_page page = {0};
    so_page_begin(&page, "A dataset");
    so_page_put(&page, "<p>%lld records, identity %s</p>\n", (long long)d->count, d->identity);
    table(&page, "Sources", sources);
    table(&page, "Languages", langs);
    for (int i = 0; i < PLOTS; i++)
        if (plots[i].n && plots[i].most > 0) so_page_histogram(&page, &plots[i]);
    return so_page_end(&page, path, error);
}

static json_t *summary(const so_dataset *d, const so_histogram *plots, json_t *sources, json_t *langs)
{
    return json_pack("{s:I, s:s, s:f, s:I, s:I, s:I, s:I, s:O, s:O}", "records", (json_int_t)d->count, "identity",
                     d->identity, "speech_s", plots[SECONDS].sum, "units", (json_int_t)plots[UNITS].sum, "text_bytes",
                     (json_int_t)plots[TEXT].sum, "turns", (json_int_t)plots[TURNS].sum, "pictures",
                     (json_int_t)plots[PICTURES].sum, "sources", sources, "languages", langs);
}

static so_status put_list(so_string *out, const char *title, const json_t *counts, so_error *error)
{
    const char *name;
    json_t *value;
    char line[256];
    SO_TRY(so_string_put(out, title, error));
    json_object_foreach((json_t *)(uintptr_t)counts, name, value)
    {
        snprintf(line, sizeof line, " %s %lld", name, (long long)json_integer_value(value));
        SO_TRY(so_string_put(out, line, error));
    }
    return so_string_put(out, "\n", error);
}

so_status so_dataset_stats(const so_dataset *d, const char *page, bool json, so_string *out, so_error *error)
{
    so_histogram plots[PLOTS];
    json_t *sources = json_object(), *langs = json_object(), *all = NULL;
    char *text = NULL, line[256];
    memcpy(plots, empty, sizeof plots);
    so_status status = gather(d, plots, sources, langs, error);
    if (status == SO_OK && page) status = write_page(d, page, plots, sources, langs, error);
    if (status != SO_OK) goto done;
    if (json) {
        all = summary(d, plots, sources, langs);
        text = json_dumps(all, JSON_REAL_PRECISION(9));
        status = text ? so_string_put(out, text, error) : so_fail(error, SO_ERR_NOMEM, "no memory for a summary");
        if (status == SO_OK) status = so_string_put(out, "\n", error);
        goto done;
    }
    snprintf(line, sizeof line,
             "%lld records, %.0f turns, %.0f pictures, %.0f bytes of text, %.2f h of speech, %.0f units\n",
             (long long)d->count, plots[TURNS].sum, plots[PICTURES].sum, plots[TEXT].sum, plots[SECONDS].sum / 3600,
             plots[UNITS].sum);
    SO_TRY_GO(so_string_put(out, line, error));
    SO_TRY_GO(put_list(out, "sources:", sources, error));
    status = put_list(out, "languages:", langs, error);
done:
    free(text);
    json_decref(all);
    json_decref(sources);
    json_decref(langs);
    return status;
}
