/* Scores of the tabletop world.
 * Source: eval/tabletop/scores.h.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/tabletop/scores.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "eval/wer.h"

typedef struct match_count {
    int64_t asked, right;
} match_count;

/* Transcripts of speech that came in pieces, beside those of the same speech at once. */
typedef struct streaming {
    int64_t texts, equal;     /* utterances; of which the transcript at the end is the same */
    int64_t beginnings;       /* of which what was on view when the speech ended stands so in the other */
    int64_t words, withdrawn; /* of the transcripts; on view and taken back */
    int64_t revised;          /* utterances with a word taken back */
} streaming;

typedef struct kind_row {
    char *name;
    match_count count;
} kind_row;

typedef struct series {
    double *values;
    int64_t count, capacity;
} series;

typedef struct mode_rows {
    char *name;
    kind_row *kinds;
    int kind_count;
    match_count answers, echo_answers;
    so_wer transcript, echo;
    streaming streamed;
    series measured[SO_MEASURES];
} mode_rows;

struct so_tabletop_score {
    mode_rows *modes;
    int count;
};

static const char *const measures[SO_MEASURES] = {"first transcript ms", "first word ms", "first sample ms",
                                                  "real-time factor",    "early words",   "duration ratio",
                                                  "log-mel distance"};

char *so_tabletop_plain(const char *text)
{
    char *plain = malloc(strlen(text) + 1), *end = plain;
    bool gap = false;
    for (; plain && *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (isspace(c)) gap = end > plain;
        if (isspace(c) || ispunct(c)) continue;
        if (gap) *end++ = ' ';
        gap = false;
        *end++ = (char)tolower(c);
    }
    if (plain) *end = 0;
    return plain;
}

bool so_tabletop_match(const char *expected, const char *got)
{
    if (!expected || !got) return false;
    char *a = so_tabletop_plain(expected), *b = so_tabletop_plain(got);
    bool same = a && b && strcmp(a, b) == 0;
    free(a);
    free(b);
    return same;
}

/* Word errors between the plain forms. */
static bool count_errors(so_wer *errors, const char *expected, const char *got)
{
    char *a = so_tabletop_plain(expected), *b = so_tabletop_plain(got);
    bool done = a && b && so_wer_words(errors, a, strlen(a), b, strlen(b), NULL) == SO_OK;
    free(a);
    free(b);
    return done;
}

static int64_t count_words(const char *text)
{
    int64_t n = 0;
    for (const char *p = text; *p; p++)
        n += !isspace((unsigned char)*p) && (p == text || isspace((unsigned char)p[-1]));
    return n;
}

static void count_streamed(streaming *s, const so_tabletop_result *r)
{
    const char *shown = r->shown ? r->shown : "";
    s->texts++;
    s->equal += strcmp(r->heard, r->offline) == 0;
    s->beginnings += strncmp(shown, r->offline, strlen(shown)) == 0;
    s->words += count_words(r->heard);
    s->withdrawn += r->withdrawn;
    s->revised += r->withdrawn > 0;
}

so_tabletop_result so_tabletop_result_none(void)
{
    so_tabletop_result result = {0};
    for (int i = 0; i < SO_MEASURES; i++) result.measured[i] = NAN;
    return result;
}

so_status so_tabletop_score_open(so_tabletop_score **out, so_error *error)
{
    *out = calloc(1, sizeof **out);
    return *out ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a score");
}

void so_tabletop_score_close(so_tabletop_score **p)
{
    so_tabletop_score *score = *p;
    if (!score) return;
    for (int i = 0; i < score->count; i++) {
        mode_rows *mode = &score->modes[i];
        for (int k = 0; k < mode->kind_count; k++) free(mode->kinds[k].name);
        for (int k = 0; k < SO_MEASURES; k++) free(mode->measured[k].values);
        free(mode->kinds);
        free(mode->name);
    }
    free(score->modes);
    free(score);
    *p = NULL;
}

static mode_rows *mode_of(so_tabletop_score *score, const char *name)
{
    for (int i = 0; i < score->count; i++)
        if (strcmp(score->modes[i].name, name) == 0) return &score->modes[i];
    const mode_rows fresh = {.name = strdup(name)};
    size_t count = (size_t)score->count;
    if (!fresh.name || so_append(&score->modes, &count, sizeof fresh, &fresh, 1, NULL) != SO_OK) {
        free(fresh.name);
        return NULL;
    }
    return &score->modes[score->count++];
}

static kind_row *kind_of(mode_rows *mode, const char *name)
{
    for (int i = 0; i < mode->kind_count; i++)
        if (strcmp(mode->kinds[i].name, name) == 0) return &mode->kinds[i];
    const kind_row fresh = {.name = strdup(name)};
    size_t count = (size_t)mode->kind_count;
    if (!fresh.name || so_append(&mode->kinds, &count, sizeof fresh, &fresh, 1, NULL) != SO_OK) {
        free(fresh.name);
        return NULL;
    }
    return &mode->kinds[mode->kind_count++];
}

static bool put_value(series *s, double value)
{
    if (so_grow(&s->values, s->count, &s->capacity, sizeof *s->values, NULL) != SO_OK) return false;
    s->values[s->count++] = value;
    return true;
}

static void count_match(match_count *count, bool right)
{
    count->asked++;
    count->right += right;
}

so_status so_tabletop_score_add(so_tabletop_score *score, const so_tabletop_result *result, so_error *error)
{
    mode_rows *mode = mode_of(score, result->mode ? result->mode : "");
    kind_row *kind = mode ? kind_of(mode, result->kind ? result->kind : "") : NULL;
    bool kept = kind != NULL;
    if (kept && result->answer && result->got) {
        bool right = so_tabletop_match(result->answer, result->got);
        count_match(&kind->count, right);
        count_match(&mode->answers, right);
    }
    if (kept && result->spoken && result->heard) kept = count_errors(&mode->transcript, result->spoken, result->heard);
    if (kept && result->heard && result->offline) count_streamed(&mode->streamed, result);
    if (kept && result->got && result->echo) kept = count_errors(&mode->echo, result->got, result->echo);
    if (kept && result->answer && result->echo)
        count_match(&mode->echo_answers, so_tabletop_match(result->answer, result->echo));
    for (int i = 0; kept && i < SO_MEASURES; i++)
        if (isfinite(result->measured[i])) kept = put_value(&mode->measured[i], result->measured[i]);
    return kept ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory to count a result");
}

typedef struct summary {
    double mean, p50, p90, most;
} summary;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value that a share p of all do not pass. */
static double rank(const double *sorted, int64_t count, double p)
{
    int64_t at = (int64_t)ceil(p * (double)count) - 1;
    return sorted[at < 0 ? 0 : at];
}

static bool summarise(const series *s, summary *out)
{
    double *sorted = s->count ? malloc((size_t)s->count * sizeof *sorted) : NULL, sum = 0;
    if (!sorted) return false;
    memcpy(sorted, s->values, (size_t)s->count * sizeof *sorted);
    qsort(sorted, (size_t)s->count, sizeof *sorted, by_size);
    for (int64_t i = 0; i < s->count; i++) sum += sorted[i];
    *out = (summary){sum / (double)s->count, rank(sorted, s->count, 0.5), rank(sorted, s->count, 0.9),
                     sorted[s->count - 1]};
    free(sorted);
    return true;
}

static double percent(int64_t part, int64_t whole) { return whole ? 100.0 * (double)part / (double)whole : 0; }
static int64_t all_errors(const so_wer *e) { return e->substitutions + e->deletions + e->insertions; }

static void print_match(FILE *out, const char *name, const match_count *count)
{
    if (count->asked)
        fprintf(out, "  %-24s %7lld %7lld  %6.2f %%\n", name, (long long)count->asked, (long long)count->right,
                percent(count->right, count->asked));
}

static void print_errors(FILE *out, const char *name, const so_wer *e)
{
    if (e->pairs)
        fprintf(out, "  %-24s %7lld words  %6.2f %% errors (%lld substituted, %lld deleted, %lld inserted)\n", name,
                (long long)e->units, percent(all_errors(e), e->units), (long long)e->substitutions,
                (long long)e->deletions, (long long)e->insertions);
}

static void print_streamed(FILE *out, const streaming *s)
{
    if (!s->texts) return;
    fprintf(out,
            "  %-24s %7lld times  %6.2f %% equal to the transcript of the whole, %.2f %% its beginning until then\n",
            "streamed transcript", (long long)s->texts, percent(s->equal, s->texts), percent(s->beginnings, s->texts));
    fprintf(out, "  %-24s %7lld words  %6.2f %% as many withdrawn (%lld, in %.2f %% of utterances)\n", "words on view",
            (long long)s->words, percent(s->withdrawn, s->words), (long long)s->withdrawn,
            percent(s->revised, s->texts));
}

static void print_mode(FILE *out, const mode_rows *mode)
{
    fprintf(out, "%s\n", mode->name);
    if (mode->answers.asked) fprintf(out, "  %-24s %7s %7s\n", "answers", "asked", "right");
    for (int k = 0; k < mode->kind_count; k++) print_match(out, mode->kinds[k].name, &mode->kinds[k].count);
    print_match(out, "all", &mode->answers);
    print_match(out, "all, heard in the voice", &mode->echo_answers);
    print_errors(out, "transcript", &mode->transcript);
    print_streamed(out, &mode->streamed);
    print_errors(out, "own voice", &mode->echo);
    for (int k = 0; k < SO_MEASURES; k++) {
        summary s;
        if (summarise(&mode->measured[k], &s))
            fprintf(out, "  %-24s %7lld times  mean %.4g, half below %.4g, nine tenths below %.4g, most %.4g\n",
                    measures[k], (long long)mode->measured[k].count, s.mean, s.p50, s.p90, s.most);
    }
}

char *so_tabletop_score_text(const so_tabletop_score *score)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    for (int i = 0; i < score->count; i++) print_mode(out, &score->modes[i]);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

static json_t *errors_json(const so_wer *e)
{
    return json_pack("{s:I s:I s:I s:I s:I s:f}", "texts", (json_int_t)e->pairs, "words", (json_int_t)e->units,
                     "substituted", (json_int_t)e->substitutions, "deleted", (json_int_t)e->deletions, "inserted",
                     (json_int_t)e->insertions, "wer", e->units ? (double)all_errors(e) / (double)e->units : 0.0);
}

static json_t *match_json(const match_count *count)
{
    return json_pack("{s:I s:I}", "n", (json_int_t)count->asked, "right", (json_int_t)count->right);
}

static json_t *streamed_json(const streaming *s)
{
    return json_pack("{s:I s:I s:I s:I s:I s:I}", "n", (json_int_t)s->texts, "equal", (json_int_t)s->equal,
                     "beginnings", (json_int_t)s->beginnings, "words", (json_int_t)s->words, "withdrawn",
                     (json_int_t)s->withdrawn, "revised", (json_int_t)s->revised);
}

static json_t *mode_json(const mode_rows *mode)
{
    json_t *json = json_pack("{s:s}", "mode", mode->name), *answers = match_json(&mode->answers);
    json_t *kinds = json_object(), *numbers = json_object();
    for (int k = 0; k < mode->kind_count; k++)
        if (mode->kinds[k].count.asked)
            json_object_set_new(kinds, mode->kinds[k].name, match_json(&mode->kinds[k].count));
    for (int k = 0; k < SO_MEASURES; k++) {
        summary s;
        if (summarise(&mode->measured[k], &s))
            json_object_set_new(numbers, measures[k],
                                json_pack("{s:I s:f s:f s:f s:f}", "n", (json_int_t)mode->measured[k].count, "mean",
                                          s.mean, "p50", s.p50, "p90", s.p90, "most", s.most));
    }
    json_object_set_new(answers, "kinds", kinds);
    json_object_set_new(json, "answers", answers);
    if (mode->transcript.pairs) json_object_set_new(json, "transcript", errors_json(&mode->transcript));
    if (mode->streamed.texts) json_object_set_new(json, "streamed", streamed_json(&mode->streamed));
    if (mode->echo.pairs) {
        json_t *echo = errors_json(&mode->echo), *right = match_json(&mode->echo_answers);
        json_object_update(echo, right);
        json_decref(right);
        json_object_set_new(json, "echo", echo);
    }
    json_object_set_new(json, "measures", numbers);
    return json;
}

char *so_tabletop_score_json(const so_tabletop_score *score)
{
    json_t *modes = json_array();
    for (int i = 0; i < score->count; i++) json_array_append_new(modes, mode_json(&score->modes[i]));
    json_t *all = json_pack("{s:o}", "modes", modes);
    char *text = all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(all);
    return text;
}
