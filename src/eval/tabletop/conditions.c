/* Conditions of the tabletop world, and their table.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/tabletop/conditions.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "eval/tabletop/scores.h"
#include "eval/wer.h"

static const so_condition conditions[] = {
    {"clean", "as it was recorded", SO_CONDITION_SOUND, {0}},
    {"before", "5 s of silence before it", SO_CONDITION_SOUND, {.before_s = 5}},
    {"behind", "5 s of silence behind it", SO_CONDITION_SOUND, {.behind_s = 5}},
    {"inside", "1.5 s of silence inside", SO_CONDITION_SOUND, {.inside_s = 1.5}},
    {"quiet", "its peak at -40 dB", SO_CONDITION_SOUND, {.peak_db = -40}},
    {"offset", "half of full scale, and 0.2 added", SO_CONDITION_SOUND, {.offset = 0.2, .peak_db = -6}},
    {"telephone", "8 kHz, mu-law", SO_CONDITION_SOUND, {.line = SO_LINE_ULAW}},
    {"noise", "pink noise 10 dB below it", SO_CONDITION_SOUND, {.noise_db = 10, .noise_tilt = -3}},
    {"hum", "hum of 50 Hz and its multiples, 5 dB below it", SO_CONDITION_SOUND, {.hum_db = 5}},
    {"room", "a small room, 0.3 s", SO_CONDITION_SOUND, {.room_s = 0.3, .room_m = 4}},
    {"long", "conversations of many turns, with pictures that come late and change", SO_CONDITION_LONG, {0}},
    {"outside", "questions, pictures and sounds from outside of the world", SO_CONDITION_OUTSIDE, {0}},
};
enum { CONDITIONS = sizeof conditions / sizeof conditions[0] };

const so_condition *so_condition_at(int i) { return i >= 0 && i < CONDITIONS ? &conditions[i] : NULL; }

const so_condition *so_condition_find(const char *name, size_t length)
{
    for (int i = 0; i < CONDITIONS; i++)
        if (strlen(conditions[i].name) == length && strncmp(conditions[i].name, name, length) == 0)
            return &conditions[i];
    return NULL;
}

typedef struct row {
    char *condition, *mode, *voice;
    int64_t asked, right, inside, refused;
    so_wer errors;
} row;

struct so_condition_table {
    row *rows;
    size_t count;
};

so_status so_condition_table_open(so_condition_table **out, so_error *error)
{
    *out = calloc(1, sizeof **out);
    return *out ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a table");
}

void so_condition_table_close(so_condition_table **table)
{
    if (!*table) return;
    for (size_t i = 0; i < (*table)->count; i++) {
        free((*table)->rows[i].condition);
        free((*table)->rows[i].mode);
        free((*table)->rows[i].voice);
    }
    free((*table)->rows);
    free(*table);
    *table = NULL;
}

static row *row_of(so_condition_table *table, const so_condition_result *r)
{
    for (size_t i = 0; i < table->count; i++) {
        row *x = &table->rows[i];
        if (strcmp(x->condition, r->condition) == 0 && strcmp(x->mode, r->mode) == 0 && strcmp(x->voice, r->voice) == 0)
            return x;
    }
    const row fresh = {.condition = strdup(r->condition), .mode = strdup(r->mode), .voice = strdup(r->voice)};
    if (!fresh.condition || !fresh.mode || !fresh.voice ||
        so_append(&table->rows, &table->count, sizeof fresh, &fresh, 1, NULL) != SO_OK) {
        free(fresh.condition);
        free(fresh.mode);
        free(fresh.voice);
        return NULL;
    }
    return &table->rows[table->count - 1];
}

so_status so_condition_table_add(so_condition_table *table, const so_condition_result *result, so_error *error)
{
    row *x = row_of(table, result);
    bool kept = x != NULL;
    if (kept) {
        x->asked++;
        x->right += result->right;
        x->inside += result->inside;
        x->refused += result->inside && result->refused;
    }
    if (kept && result->spoken && result->heard) {
        char *a = so_tabletop_plain(result->spoken), *b = so_tabletop_plain(result->heard);
        kept = a && b && so_wer_words(&x->errors, a, strlen(a), b, strlen(b), NULL) == SO_OK;
        free(a);
        free(b);
    }
    return kept ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a row of the table");
}

/* Order of rows: as conditions stand in their list, those of conversations by turn, then by mode and voice. */
static int place(const row *x)
{
    for (int i = 0; i < CONDITIONS; i++)
        if (strcmp(x->condition, conditions[i].name) == 0) return 100 * i;
    int turn = 0;
    if (sscanf(x->condition, "turns %d", &turn) == 1) return 100 * CONDITIONS + (turn < 5000 ? turn : 5000);
    return 100 * CONDITIONS + 6000;
}

static int by_place(const void *a, const void *b)
{
    const row *x = a, *y = b;
    int order = (place(x) > place(y)) - (place(x) < place(y));
    if (!order) order = strcmp(x->condition, y->condition);
    if (!order) order = strcmp(x->mode, y->mode);
    return order ? order : strcmp(x->voice, y->voice);
}

static row *sorted(const so_condition_table *table)
{
    row *rows = malloc(table->count * sizeof *rows + 1);
    if (!rows) return NULL;
    if (table->count) memcpy(rows, table->rows, table->count * sizeof *rows);
    qsort(rows, table->count, sizeof *rows, by_place);
    return rows;
}

static int64_t all_errors(const so_wer *e) { return e->substitutions + e->deletions + e->insertions; }

static void print_share(FILE *out, int64_t part, int64_t whole)
{
    if (whole)
        fprintf(out, "  %6.1f %%", 100.0 * (double)part / (double)whole);
    else
        fprintf(out, "  %8s", "");
}

char *so_condition_table_text(const so_condition_table *table)
{
    char *text = NULL;
    size_t size;
    row *rows = sorted(table);
    FILE *out = rows ? open_memstream(&text, &size) : NULL;
    if (!out) {
        free(rows);
        return NULL;
    }
    fprintf(out, "%-20s %-6s %-20s %7s  %8s  %8s  %8s\n", "condition", "mode", "voice", "asked", "right", "words",
            "refused");
    for (size_t i = 0; i < table->count; i++) {
        const row *x = &rows[i];
        fprintf(out, "%-20s %-6s %-20s %7lld", x->condition, x->mode, x->voice, (long long)x->asked);
        print_share(out, x->right, x->asked);
        print_share(out, all_errors(&x->errors), x->errors.units);
        print_share(out, x->refused, x->inside);
        fprintf(out, "\n");
    }
    fprintf(out, "right: answers; words: errors of the transcript; refused: of questions of the world, answered as if "
                 "they were not\n");
    free(rows);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

char *so_condition_table_json(const so_condition_table *table)
{
    row *rows = sorted(table);
    json_t *list = rows ? json_array() : NULL;
    for (size_t i = 0; list && i < table->count; i++) {
        const row *x = &rows[i];
        json_array_append_new(list, json_pack("{s:s s:s s:s s:I s:I s:I s:I s:I s:I}", "condition", x->condition,
                                              "mode", x->mode, "voice", x->voice, "n", (json_int_t)x->asked, "right",
                                              (json_int_t)x->right, "inside", (json_int_t)x->inside, "refused",
                                              (json_int_t)x->refused, "words", (json_int_t)x->errors.units, "errors",
                                              (json_int_t)all_errors(&x->errors)));
    }
    char *text = list ? json_dumps(list, JSON_INDENT(1)) : NULL;
    json_decref(list);
    free(rows);
    return text;
}
