/* What a type costs, and what columns matter: models asked the same turns.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/temporary.h"
#include "base/writer.h"
#include "checkpoint/quant_rules.h"
#include "eval/quant/calibrate.h"
#include "eval/quant/turns.h"

/* Long enough for every answer of the tabletop world; a model that never ends is stopped there. */
static const so_session_options sizes = {.max_text = 64, .max_units = 160, .units_per_token = -1};

typedef struct judging {
    const so_quant_options *options;
    so_model *first, *other;
    so_turns *turns;
    so_lockstep *lockstep;
    char *path;        /* of the quantised file */
    so_temporary made; /* the folder of a `path` that is not to stay */
    double bytes, first_bytes;
    json_t *answers[2]; /* of so_eval_tabletop, for f32 and the type; NULL: not asked */
} judging;

static void tell(const so_turns_options *o, int64_t done, int64_t total)
{
    if (o->progress) o->progress(o->context, done, total);
}

static so_status stopped(const so_turns_options *o, so_error *error)
{
    return o->stop && *o->stop ? so_fail(error, SO_ERR_STOPPED, "stopped") : SO_OK;
}

static double file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

static so_status choose_path(judging *j, so_error *error)
{
    if (!j->options->keep) SO_TRY(so_temporary_folder(&j->made, 1, error));
    if (asprintf(&j->path, "%s%s", j->options->keep ? j->options->keep : j->made.path,
                 j->options->keep ? "" : "/model.gguf") < 0) {
        j->path = NULL;
        return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    }
    if (!j->options->keep) so_writer_remember(j->path);
    return SO_OK;
}

static so_status open_models(judging *j, so_error *error)
{
    const so_quant_options *o = j->options;
    so_model_options first = {
        .threads = o->turns.threads, .tokenizer = o->turns.tokenizer, .precision = SO_PRECISION_EXACT};
    so_model_options open = {.threads = o->turns.threads, .tokenizer = o->turns.tokenizer};
    so_model_options keep = {.threads = o->turns.threads, .keep_types = 1};
    so_save_options save = {
        .type = o->type, .types = o->types, .importance = o->importance, .note = o->note, .context = o->turns.context};
    SO_TRY(so_model_open(&j->first, o->turns.model, &first, error));
    if (!o->type && !o->types) return so_model_open(&j->other, o->turns.model, &open, error);
    SO_TRY(choose_path(j, error));
    SO_TRY(so_model_save(j->first, j->path, &save, error));
    j->bytes = file_bytes(j->path);
    return so_model_open(&j->other, j->path, &keep, error);
}

static so_status run_turns(judging *j, so_error *error)
{
    const so_turns_options *o = &j->options->turns;
    so_session_options other = sizes;
    so_turn turn;
    other.kv = j->options->kv;
    SO_TRY(so_turns_open(&j->turns, j->first, o, error));
    SO_TRY(so_lockstep_open(&j->lockstep, j->first, j->other, &sizes, &other, error));
    for (int64_t i = 0; i < so_turns_count(j->turns); i++) {
        SO_TRY(stopped(o, error));
        SO_TRY(so_turns_get(j->turns, i, &turn, error));
        SO_TRY(so_lockstep_ask(j->lockstep, &turn, error));
        tell(o, i + 1, so_turns_count(j->turns));
    }
    return SO_OK;
}

/* Answers and word errors of both, on the same items. */
static so_status ask_answers(judging *j, so_error *error)
{
    const so_quant_options *o = j->options;
    for (int i = 0; i < 2; i++) {
        so_tabletop_eval_options ask = {.model = i && j->path ? j->path : o->turns.model,
                                        .modes = "V+T>T,V+S>T,V+S>U",
                                        .items = o->turns.items,
                                        .threads = o->turns.threads,
                                        .seed = o->turns.seed,
                                        .keep_types = i && j->path,
                                        .kv = i ? o->kv : NULL,
                                        .stop = o->turns.stop,
                                        .progress = o->turns.progress,
                                        .context = o->turns.context};
        char *json = NULL;
        SO_TRY(so_eval_tabletop(o->turns.data, &ask, NULL, &json, error));
        j->answers[i] = json_loads(json, 0, NULL);
        free(json);
        if (!j->answers[i]) return so_fail(error, SO_ERR_NOMEM, "no memory for answers");
    }
    return SO_OK;
}

/* ---- telling */
static const char *const drift_names[SO_DRIFTS] = {"text", "CTC", "units"};

static double share(int64_t part, int64_t whole) { return whole ? 100.0 * (double)part / (double)whole : (double)NAN; }

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *as_json(const judging *j)
{
    const so_quant_options *o = j->options;
    so_model_info info;
    so_model_about(j->first, &info);
    json_t *root = json_object(), *drifts = json_object();
    json_object_set_new(root, "model", json_string(o->turns.model));
    json_object_set_new(root, "type", o->type ? json_string(o->type) : json_null());
    json_object_set_new(root, "kv", o->kv ? json_string(o->kv) : json_null());
    json_object_set_new(root, "parameters", json_integer(info.parameters));
    json_object_set_new(root, "bytes", j->bytes > 0 ? json_integer((json_int_t)j->bytes) : json_null());
    for (int i = 0; i < SO_DRIFTS; i++) {
        const so_drift *d = &so_lockstep_drift(j->lockstep)[i];
        json_t *one = json_object();
        json_object_set_new(one, "distributions", json_integer(d->rows));
        json_object_set_new(one, "same", number(share(d->agree, d->rows)));
        json_object_set_new(one, "firm", json_integer(d->firm));
        json_object_set_new(one, "same_where_firm", number(share(d->firm_agree, d->firm)));
        json_object_set_new(one, "kl_mean", number(d->rows ? d->kl / (double)d->rows : (double)NAN));
        json_object_set_new(one, "kl_most", number(d->kl_most));
        json_object_set_new(drifts, drift_names[i], one);
    }
    json_object_set_new(root, "drift", drifts);
    if (j->answers[0]) json_object_set(root, "f32", j->answers[0]);
    if (j->answers[1]) json_object_set(root, "quantised", j->answers[1]);
    return root;
}

static double answer_share(const json_t *mode)
{
    const json_t *a = json_object_get(mode, "answers");
    return share(json_integer_value(json_object_get(a, "right")), json_integer_value(json_object_get(a, "n")));
}

static double word_errors(const json_t *mode, const char *what)
{
    const json_t *wer = json_object_get(json_object_get(mode, what), "wer");
    return json_is_number(wer) ? 100 * json_number_value(wer) : (double)NAN;
}

static void print_answers(FILE *out, const judging *j)
{
    const json_t *a = json_object_get(j->answers[0], "modes"), *b = json_object_get(j->answers[1], "modes");
    fprintf(out, "\n%-8s %20s %22s %22s\n", "", "answers right", "transcript word errors", "own voice word errors");
    for (size_t i = 0; i < json_array_size(a) && i < json_array_size(b); i++) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);
        fprintf(out, "%-8s %7.2f %% -> %6.2f %%", json_string_value(json_object_get(x, "mode")), answer_share(x),
                answer_share(y));
        for (int k = 0; k < 2; k++) {
            double before = word_errors(x, k ? "echo" : "transcript"),
                   after = word_errors(y, k ? "echo" : "transcript");
            if (isfinite(before) && isfinite(after))
                fprintf(out, "   %6.2f %% -> %6.2f %%", before, after);
            else
                fprintf(out, "%23s", "");
        }
        fprintf(out, "\n");
    }
}

static void print_table(FILE *out, const judging *j)
{
    const so_quant_options *o = j->options;
    so_model_info info;
    so_model_about(j->first, &info);
    fprintf(out, "%s as %s", info.name[0] ? info.name : o->turns.model,
            o->type    ? o->type
            : o->types ? o->types
                       : "stored");
    if (o->kv) fprintf(out, ", keys and values as %s", o->kv);
    if (j->bytes > 0) fprintf(out, ": %.1f MB", j->bytes / 1e6);
    fprintf(out, "\n\n%-8s %13s %12s %18s %12s %12s\n", "", "distributions", "same choice", "same, where firm",
            "KL mean", "KL most");
    for (int i = 0; i < SO_DRIFTS; i++) {
        const so_drift *d = &so_lockstep_drift(j->lockstep)[i];
        if (d->rows == 0) continue;
        fprintf(out, "%-8s %13lld %10.2f %% %16.2f %% %12.3e %12.3e\n", drift_names[i], (long long)d->rows,
                share(d->agree, d->rows), share(d->firm_agree, d->firm), d->kl / (double)d->rows, d->kl_most);
    }
    if (j->answers[1]) print_answers(out, j);
}

static so_status give(const judging *j, char **text, char **json, so_error *error)
{
    size_t size;
    FILE *out = text ? open_memstream(text, &size) : NULL;
    if (out) {
        print_table(out, j);
        fclose(out);
    }
    json_t *root = json ? as_json(j) : NULL;
    if (json) *json = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(root);
    return (!text || *text) && (!json || *json) ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a table");
}

so_status so_eval_quant(const so_quant_options *options, char **text, char **json, so_error *error)
{
    if (!options || !options->turns.model) return so_fail(error, SO_ERR_ARG, "no options, or no model");
    judging j = {.options = options};
    so_status status;
    SO_TRY_GO(open_models(&j, error));
    SO_TRY_GO(run_turns(&j, error));
    if (options->answers) SO_TRY_GO(ask_answers(&j, error));
    SO_TRY_GO(give(&j, text, json, error));
done:
    so_lockstep_close(&j.lockstep);
    so_turns_close(&j.turns);
    so_model_close(&j.first);
    so_model_close(&j.other);
    if (j.made.path[0] && j.path) so_writer_forget(j.path);
    so_temporary_remove(&j.made);
    free(j.path);
    json_decref(j.answers[0]);
    json_decref(j.answers[1]);
    return status;
}

/* ---- calibration */
static so_status calibrate(so_session *session, so_turns *turns, const so_turns_options *o, so_error *error)
{
    so_turn turn;
    so_made made = {0};
    for (int64_t i = 0; i < so_turns_count(turns); i++) {
        SO_TRY(stopped(o, error));
        SO_TRY(so_turns_get(turns, i, &turn, error));
        SO_TRY(so_turn_give(session, &turn, error));
        do SO_TRY(so_talk_step(session->talk, &made, error));
        while (made.kind != SO_STEP_END);
        tell(o, i + 1, so_turns_count(turns));
    }
    return SO_OK;
}

so_status so_calibrate(const so_turns_options *options, const char *path, int64_t *matrices, int64_t *least,
                       so_error *error)
{
    if (!options || !options->model || !path) return so_fail(error, SO_ERR_ARG, "no options, no model, or no path");
    so_model_options open = {.threads = options->threads, .tokenizer = options->tokenizer};
    so_model *model = NULL;
    so_turns *turns = NULL;
    so_session *session = NULL;
    so_calibration *calibration = NULL;
    so_status status;
    SO_TRY_GO(so_model_open(&model, options->model, &open, error));
    SO_TRY_GO(so_turns_open(&turns, model, options, error));
    SO_TRY_GO(so_session_open(&session, model, &sizes, error));
    SO_TRY_GO(so_calibration_open(&calibration, error));
    so_calibration_watch(calibration, session);
    SO_TRY_GO(calibrate(session, turns, options, error));
    SO_TRY_GO(so_calibration_save(calibration, path, error));
    *matrices = so_calibration_count(calibration, least);
done:
    so_calibration_close(&calibration);
    so_session_close(&session);
    so_turns_close(&turns);
    so_model_close(&model);
    return status;
}
