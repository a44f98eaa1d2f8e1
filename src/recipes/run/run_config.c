/* Reading the settings of a training run.
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipes/run/run_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_LENGTH = 900, NAME_LENGTH = 60 };

static const char *const groups[] = {"backbone",  "projector", "vision", "bottom", "top",  "lora",
                                     "tokenizer", "flow",      "hift",   "f0",     "pairs"};
enum { GROUPS = sizeof groups / sizeof groups[0] };
static const char *const shapes[] = {"cosine", "linear", "constant", "root"};

static void defaults(so_run_config *c)
{
    *c = (so_run_config){.seed = 1, .n_data = 0};
    c->plan.slots = 8;
    c->plan.rows = c->plan.longest = 2048;
    c->plan.anneal = "steps";
    c->plan.too_long = "drop";
    c->optim.rate = c->optim.floor = c->optim.warmup = c->optim.beta1 = c->optim.beta2 = -1;
    c->optim.epsilon = c->optim.decay = c->optim.clip = c->optim.average = -1;
    c->memory.checkpoint = c->check_files = true;
    c->route = "expected";
    c->memory.type = "f32";
    c->save.every.seconds = 1200;
    c->save.keep = 1;
    c->save.async = true;
    c->evaluate.records = 200;
    c->log.every = 10;
    c->log.samples = 4;
    c->log.tensorboard = true;
    c->ranks.exact = true;
    c->ranks.watchdog = 120;
}

/* ---- one value */

/* A setting being taken: its key, its value, and where it came from. */
typedef struct taken {
    const char *name; /* as it was written */
    const so_run_key *key;
    const so_toml_value *value;
    int line;
    void *base;       /* the struct that the field is in */
    so_arena *memory; /* of texts */
    so_error *error;
} taken;

static so_status complain(const taken *t, const char *expected)
{
    char found[120];
    const so_toml_value *v = t->value;
    switch (v->kind) {
    case SO_TOML_TEXT:
        snprintf(found, sizeof found, "\"%.100s\"", v->text);
        break;
    case SO_TOML_WHOLE:
        snprintf(found, sizeof found, "%lld", (long long)v->whole);
        break;
    case SO_TOML_REAL:
        snprintf(found, sizeof found, "%g", v->real);
        break;
    case SO_TOML_BOOL:
        snprintf(found, sizeof found, "%s", v->yes ? "true" : "false");
        break;
    case SO_TOML_LIST:
        snprintf(found, sizeof found, "an array of %lld", (long long)v->items);
        break;
    }
    return so_fail(t->error, SO_ERR_ARG, "%s is %s, expected %s", t->name, found, expected);
}

static bool chosen(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = choices; n && (p = strstr(p, text)); p += n)
        if ((p == choices || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0)) return true;
    return false;
}

static so_status take_text(const taken *t, const char **out)
{
    char expected[200];
    const so_toml_value *v = t->value;
    if (v->kind == SO_TOML_WHOLE && strcmp(t->key->name, "data.take") == 0) { /* a number of records */
        char *text = so_arena_alloc(t->memory, 24);
        if (!text) return so_fail(t->error, SO_ERR_NOMEM, "no memory for a setting");
        snprintf(text, 24, "%lld", (long long)v->whole);
        *out = text;
        return SO_OK;
    }
    if (v->kind != SO_TOML_TEXT) return complain(t, "a text");
    if (t->key->choice && !chosen(t->key->choice, v->text)) {
        snprintf(expected, sizeof expected, "one of %s", t->key->choice);
        return complain(t, expected);
    }
    if (t->key->kind == SO_RUN_PATH && (!v->text[0] || strlen(v->text) > PATH_LENGTH))
        return complain(t, "a path of 1 to 900 bytes");
    if (strpbrk(v->text, "\n\r")) return complain(t, "one line");
    *out = v->text;
    return SO_OK;
}

static so_status take_number(const taken *t, double *out)
{
    char expected[120];
    const so_toml_value *v = t->value;
    bool whole = t->key->kind == SO_RUN_WHOLE;
    if (v->kind != SO_TOML_WHOLE && (whole || v->kind != SO_TOML_REAL))
        return complain(t, whole ? "a whole number" : "a number");
    bool bounded = t->key->least != 0 || t->key->most != 0;
    if (bounded && !(v->real >= t->key->least && v->real <= t->key->most)) {
        snprintf(expected, sizeof expected, "%g to %g", t->key->least, t->key->most);
        return complain(t, expected);
    }
    *out = v->real;
    return SO_OK;
}

static so_status take_list(const taken *t, so_run_list *out)
{
    const so_toml_value *v = t->value, *item = v->kind == SO_TOML_LIST ? v->item : v;
    int64_t n = v->kind == SO_TOML_LIST ? v->items : 1;
    *out = (so_run_list){.n = 0};
    if (n > SO_RUN_LIST) return complain(t, "at most 16 texts");
    for (int64_t i = 0; i < n; i++) {
        if (item[i].kind != SO_TOML_TEXT || !item[i].text[0] || strpbrk(item[i].text, " \n\r"))
            return complain(t, "names");
        out->item[out->n++] = item[i].text;
    }
    return SO_OK;
}

/* 500 steps, or "20m". */
static so_status take_often(const taken *t, so_run_every *out)
{
    static const char expected[] = "a number of steps, or a time as \"90s\", \"20m\", \"2h\"";
    const so_toml_value *v = t->value;
    *out = (so_run_every){0};
    if (v->kind == SO_TOML_WHOLE && v->whole >= 0 && v->whole <= 1000000000) {
        out->steps = v->whole;
        return SO_OK;
    }
    if (v->kind != SO_TOML_TEXT) return complain(t, expected);
    char *end;
    double x = strtod(v->text, &end), unit = 0;
    if (strcmp(end, "s") == 0) unit = 1;
    if (strcmp(end, "m") == 0) unit = 60;
    if (strcmp(end, "h") == 0) unit = 3600;
    if (end == v->text || unit == 0 || !(x > 0 && x * unit <= 1e8)) return complain(t, expected);
    out->seconds = x * unit;
    return SO_OK;
}

static so_status take(const taken *t)
{
    char *field = (char *)t->base + t->key->field;
    double x;
    switch (t->key->kind) {
    case SO_RUN_TEXT:
    case SO_RUN_PATH:
        return take_text(t, (const char **)(void *)field);
    case SO_RUN_WHOLE:
        SO_TRY(take_number(t, &x));
        return *(int64_t *)(void *)field = t->value->whole, SO_OK;
    case SO_RUN_REAL:
        SO_TRY(take_number(t, &x));
        return *(double *)(void *)field = x, SO_OK;
    case SO_RUN_BOOL:
        if (t->value->kind != SO_TOML_BOOL) return complain(t, "true or false");
        *(bool *)(void *)field = t->value->yes;
        return SO_OK;
    case SO_RUN_TEXTS:
        return take_list(t, (so_run_list *)(void *)field);
    case SO_RUN_OFTEN:
        return take_often(t, (so_run_every *)(void *)field);
    }
    return SO_OK;
}

/* ---- names */

static bool known_group(const char *name)
{
    for (int i = 0; i < GROUPS; i++)
        if (strcmp(groups[i], name) == 0) return true;
    return false;
}

static so_status put_named(so_run_named *list, int *n, int most, const char *name, const taken *t)
{
    int i = 0;
    double x;
    static const so_run_key number = {.kind = SO_RUN_REAL, .least = 0, .most = 1e6};
    taken asked = *t;
    asked.key = &number;
    SO_TRY(take_number(&asked, &x));
    while (i < *n && strcmp(list[i].name, name) != 0) i++;
    if (i == most) return so_fail(t->error, SO_ERR_LIMIT, "more than %d of the kind of %s", most, t->name);
    list[i] = (so_run_named){name, x};
    if (i == *n) ++*n;
    return SO_OK;
}

/* "optim.groups.NAME.rate", "loss.NAME"; *was: whether it was one of these. */
static so_status take_named(so_run_config *c, const taken *t, bool *was)
{
    char group[NAME_LENGTH];
    const char *name = t->name;
    *was = true;
    if (strncmp(name, "loss.", 5) == 0) return put_named(c->loss, &c->losses, SO_STAGE_LOSSES, name + 5, t);
    if (strncmp(name, "optim.groups.", 13) == 0) {
        const char *end = strrchr(name + 13, '.');
        bool rate = end && strcmp(end, ".rate") == 0, decay = end && strcmp(end, ".decay") == 0;
        snprintf(group, sizeof group, "%.*s", end ? (int)(end - name - 13) : 0, name + 13);
        if ((!rate && !decay) || !known_group(group))
            return so_fail(t->error, SO_ERR_ARG,
                           "%s: expected optim.groups.NAME.rate or .decay, NAME one of backbone, projector, vision, "
                           "bottom, top, lora",
                           name);
        for (int i = 0; i < GROUPS; i++)
            if (strcmp(groups[i], group) == 0) name = groups[i];
        return rate ? put_named(c->optim.group_rate, &c->optim.group_rates, SO_RUN_GROUPS, name, t)
                    : put_named(c->optim.group_decay, &c->optim.group_decays, SO_RUN_GROUPS, name, t);
    }
    *was = false;
    return SO_OK;
}

static so_status unknown(const char *name, so_error *error)
{
    const so_run_alias *alias = so_run_alias_find(name);
    const char *near = so_run_key_near(name);
    if (alias) return so_fail(error, SO_ERR_ARG, "%s is no key here: %s", name, alias->hint);
    if (near) return so_fail(error, SO_ERR_ARG, "no key is called %.100s; the nearest is %s", name, near);
    return so_fail(error, SO_ERR_ARG, "no key is called %.100s; 'train keys' lists them", name);
}

/* The key of a name, by its own or another trainer's. */
static so_status find_key(const char *name, const so_run_key **key, so_string *notes, so_error *error)
{
    *key = so_run_key_find(name);
    if (*key) return SO_OK;
    const so_run_alias *alias = so_run_alias_find(name);
    if (!alias || !alias->key) return unknown(name, error);
    *key = so_run_key_find(alias->key);
    if (!notes) return SO_OK;
    char line[300];
    snprintf(line, sizeof line, "%s is %s here%s%s\n", name, alias->key, alias->hint ? ": " : "",
             alias->hint ? alias->hint : "");
    return so_string_put(notes, line, error);
}

static so_run_data *data_called(so_run_config *c, const char *name, size_t length)
{
    for (int i = 0; i < c->n_data; i++)
        if (c->data[i].name && strlen(c->data[i].name) == length && memcmp(c->data[i].name, name, length) == 0)
            return &c->data[i];
    return NULL;
}

static so_status apply(so_run_config *c, taken *t, so_run_data *data, so_string *notes)
{
    bool was;
    if (!data) {
        SO_TRY(take_named(c, t, &was));
        if (was) return SO_OK;
    }
    SO_TRY(find_key(t->name, &t->key, notes, t->error));
    bool of_data = strncmp(t->key->name, "data.", 5) == 0;
    if (of_data && !data)
        return so_fail(t->error, SO_ERR_ARG, "%s stands in [[data]], two brackets: there may be several", t->name);
    if (!of_data && data) return so_fail(t->error, SO_ERR_ARG, "%s stands outside of [[data]]", t->key->name);
    t->base = data ? (void *)data : (void *)c;
    t->memory = &c->toml.memory;
    return take(t);
}

static so_status apply_entry(so_run_config *c, const so_toml_entry *e, so_string *notes, so_error *error)
{
    taken t = {.name = e->name, .value = &e->value, .line = e->line, .error = error};
    so_run_data *data = NULL;
    if (strncmp(e->name, "sweep.", 6) == 0) return SO_OK; /* many runs are made of this one (run_sweep.c) */
    if (e->number >= 0 && strncmp(e->name, "data.", 5) != 0)
        return so_fail(error, SO_ERR_ARG, "[[%.*s]] is none of a run's tables", (int)strcspn(e->name, "."), e->name);
    if (e->number >= 0) data = &c->data[e->number];
    return apply(c, &t, data, notes);
}

static so_status apply_file(so_run_config *c, const so_run_text *text, so_string *notes, so_error *error)
{
    int64_t n = so_toml_tables(&c->toml, "data");
    if (n > SO_RUN_DATA)
        return so_fail(error, SO_ERR_LIMIT, "%lld [[data]], expected up to %d", (long long)n, SO_RUN_DATA);
    c->n_data = (int)n;
    for (int64_t i = 0; i < c->toml.count; i++) {
        const so_toml_entry *e = &c->toml.entry[i];
        so_status status = apply_entry(c, e, notes, error);
        if (status != SO_OK) return so_fail_in(error, "'%.300s', line %d", text->name, e->line);
    }
    return SO_OK;
}

/* "data.NAME.weight=2" is of the entry of that name; its name may have dots. */
static so_status apply_set(so_run_config *c, const char *set, so_string *notes, so_error *error)
{
    so_toml_value value;
    taken t = {.value = &value, .error = error};
    char name[NAME_LENGTH];
    so_run_data *data = NULL;
    SO_TRY(so_toml_assign(&c->toml, set, &t.name, &value, error));
    const char *last = strrchr(t.name, '.');
    if (strncmp(t.name, "data.", 5) == 0 && last > t.name + 5) {
        data = data_called(c, t.name + 5, (size_t)(last - t.name - 5));
        if (!data) return so_fail(error, SO_ERR_ARG, "%s: no [[data]] has that name", t.name);
        snprintf(name, sizeof name, "data.%s", last + 1);
        t.name = name;
    }
    return apply(c, &t, data, notes);
}

/* ---- the whole */

static const char *last_part(so_run_config *c, const char *path)
{
    size_t n = strlen(path), from;
    while (n > 1 && path[n - 1] == '/') n--;
    for (from = n; from > 0 && path[from - 1] != '/';) from--;
    char *name = so_arena_zalloc(&c->toml.memory, n - from + 1);
    if (!name) return NULL;
    memcpy(name, path + from, n - from);
    for (char *p = name; *p; p++)
        if (*p == ' ') *p = '_';
    return name;
}

/* The names of entries that have none: what their paths end with. */
static so_status name_data(so_run_config *c, so_error *error)
{
    for (int i = 0; i < c->n_data; i++) {
        so_run_data *d = &c->data[i];
        if (!d->name && d->path && !(d->name = last_part(c, d->path)))
            return so_fail(error, SO_ERR_NOMEM, "no memory for a name");
    }
    return SO_OK;
}

static so_status check_names(const so_run_config *c, so_error *error)
{
    for (int i = 0; i < c->n_data; i++) {
        const so_run_data *d = &c->data[i];
        if (!d->path) return so_fail(error, SO_ERR_ARG, "[[data]] number %d has no path", i + 1);
        if (!d->name[0] || strlen(d->name) > 40 || strchr(d->name, ' '))
            return so_fail(error, SO_ERR_ARG,
                           "data '%.60s' needs another name: 1 to 40 bytes without blanks, given as `name`", d->name);
        for (int k = 0; k < i; k++)
            if (strcmp(c->data[k].name, d->name) == 0)
                return so_fail(error, SO_ERR_ARG, "two [[data]] are called '%s': give one another `name`", d->name);
    }
    return SO_OK;
}

static so_status check_data(const so_run_config *c, so_error *error)
{
    int learnt = 0, by_epochs = 0, by_weight = 0;
    for (int i = 0; i < c->n_data; i++) {
        const so_run_data *d = &c->data[i];
        bool eval = d->split && strcmp(d->split, "eval") == 0;
        if (!d->task) return so_fail(error, SO_ERR_ARG, "data '%s' has no task", d->name);
        if (eval && (d->weight > 0 || d->epochs > 0))
            return so_fail(error, SO_ERR_ARG, "data '%s' is only measured: no weight, no epochs", d->name);
        if (d->weight > 0 && d->epochs > 0)
            return so_fail(error, SO_ERR_ARG, "data '%s' has a weight and epochs, expected one of them", d->name);
        learnt += !eval;
        by_epochs += d->epochs > 0;
        by_weight += d->weight > 0;
    }
    if (!learnt) return so_fail(error, SO_ERR_ARG, "no [[data]] to learn from");
    if ((by_epochs && by_epochs < learnt) || (by_weight && by_weight < learnt))
        return so_fail(error, SO_ERR_ARG, "%d of %d [[data]] have %s: give all of them one", by_epochs + by_weight,
                       learnt, by_epochs ? "epochs" : "a weight");
    if (by_epochs && c->plan.epochs > 0)
        return so_fail(error, SO_ERR_ARG, "plan.epochs and epochs of [[data]]: expected one of them");
    return SO_OK;
}

static so_status check_plan(so_run_config *c, const char *file, so_error *error)
{
    int given = (c->plan.batch_records > 0) + (c->plan.batch_rows > 0) + (c->plan.batch_units > 0);
    if (!c->stage) return so_fail(error, SO_ERR_ARG, "'%.300s' has no stage; 'train stages' lists them", file);
    if (!c->model) return so_fail(error, SO_ERR_ARG, "'%.300s' has no model to begin with", file);
    if (!c->out) return so_fail(error, SO_ERR_ARG, "'%.300s' has no out, the folder of the run", file);
    if (given != 1)
        return so_fail(error, SO_ERR_ARG,
                       "%d of plan.batch_records, plan.batch_rows and plan.batch_units are given, expected one", given);
    if (c->plan.slots & (c->plan.slots - 1))
        return so_fail(error, SO_ERR_ARG, "plan.slots is %lld, expected a power of two", (long long)c->plan.slots);
    if (!c->ranks.exact)
        return so_fail(error, SO_ERR_UNSUPPORTED, "ranks.exact = false: there is no faster, inexact way yet");
    if (strcmp(c->plan.anneal, "time") == 0 && c->plan.hours <= 0)
        return so_fail(error, SO_ERR_ARG, "plan.anneal = \"time\" needs plan.hours");
    return SO_OK;
}

/* ---- what the stage brings */

static void fill_number(double *field, double of_stage)
{
    if (*field < 0) *field = of_stage;
}

static void fill_optim(so_run_config *c, const so_stage *s)
{
    bool none = s->adamw.beta1 == 0 && s->adamw.beta2 == 0 && s->adamw.epsilon == 0;
    fill_number(&c->optim.rate, s->rate);
    fill_number(&c->optim.floor, s->floor);
    fill_number(&c->optim.warmup, s->warmup);
    fill_number(&c->optim.beta1, none ? 0.9 : s->adamw.beta1);
    fill_number(&c->optim.beta2, none ? 0.95 : s->adamw.beta2);
    fill_number(&c->optim.epsilon, none ? 1e-8 : s->adamw.epsilon);
    fill_number(&c->optim.decay, s->adamw.decay);
    fill_number(&c->optim.clip, s->adamw.clip);
    fill_number(&c->optim.average, s->adamw.average);
    if (!c->optim.shape) c->optim.shape = shapes[s->shape];
}

static so_status fill_losses(so_run_config *c, const so_stage *s, so_error *error)
{
    so_run_named all[SO_STAGE_LOSSES];
    char list[200] = "";
    int n = 0, found = 0;
    for (; n < SO_STAGE_LOSSES && s->loss[n].name; n++) {
        all[n] = (so_run_named){s->loss[n].name, s->loss[n].weight};
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", n ? ", " : "", all[n].name);
        for (int k = 0; k < c->losses; k++)
            if (strcmp(c->loss[k].name, all[n].name) == 0) all[n].value = c->loss[k].value, found++;
    }
    for (int k = 0; k < c->losses && found < c->losses; k++) {
        bool known = false;
        for (int i = 0; i < n; i++) known |= strcmp(all[i].name, c->loss[k].name) == 0;
        if (!known)
            return so_fail(error, SO_ERR_ARG, "the stage '%s' has no loss '%s'; its losses are %s", s->name,
                           c->loss[k].name, list);
    }
    memcpy(c->loss, all, (size_t)n * sizeof *all);
    c->losses = n;
    return SO_OK;
}

static so_status check_fresh(const so_run_config *c, so_error *error)
{
    for (int i = 0; i < c->fresh.n; i++) {
        bool learns = false;
        for (int k = 0; k < c->learn.n; k++) learns = learns || strcmp(c->learn.item[k], c->fresh.item[i]) == 0;
        if (!learns)
            return so_fail(error, SO_ERR_ARG, "fresh: '%.60s' is none of the groups that learn", c->fresh.item[i]);
    }
    if (c->fresh.n && c->lora.rank)
        return so_fail(error, SO_ERR_ARG, "fresh: adapters learn beside weights that there are already");
    return SO_OK;
}

static so_status fill_stage(so_run_config *c, so_error *error)
{
    const so_stage *s = so_stage_find(c->stage);
    if (!s) return so_fail(error, SO_ERR_ARG, "no stage is called '%.60s'; 'train stages' lists them", c->stage);
    fill_optim(c, s);
    if (!c->learn.n)
        for (int i = 0; i < SO_STAGE_GROUPS && s->learns[i].group; i++)
            c->learn.item[c->learn.n++] = s->learns[i].group;
    if (c->learn.n > SO_STAGE_GROUPS)
        return so_fail(error, SO_ERR_ARG, "learn has more than %d groups", SO_STAGE_GROUPS);
    for (int i = 0; i < c->learn.n; i++)
        if (!known_group(c->learn.item[i]) || strcmp(c->learn.item[i], "lora") == 0)
            return so_fail(
                error, SO_ERR_ARG,
                "learn: no group is called '%.60s'; there are backbone, projector, vision, bottom, top, and of the "
                "codec tokenizer, flow, hift, f0",
                c->learn.item[i]);
    SO_TRY(check_fresh(c, error));
    return fill_losses(c, s, error);
}

static so_status read_all(so_run_config *c, const so_run_text *text, so_string *notes, so_error *error)
{
    so_status status = so_toml_parse(&c->toml, text->text, text->size, error);
    if (status != SO_OK) return so_fail_in(error, "'%.300s'", text->name);
    SO_TRY(apply_file(c, text, notes, error));
    SO_TRY(name_data(c, error));
    for (int i = 0; i < text->sets; i++) {
        status = apply_set(c, text->set[i], notes, error);
        if (status != SO_OK) return so_fail_in(error, "--set %.200s", text->set[i]);
    }
    if (!c->name) {
        char *name = so_arena_zalloc(&c->toml.memory, strlen(text->name) + 1);
        const char *last = strrchr(text->name, '/');
        if (!name) return so_fail(error, SO_ERR_NOMEM, "no memory for a name");
        strcpy(name, last ? last + 1 : text->name);
        name[strcspn(name, ".")] = 0;
        c->name = name;
    }
    SO_TRY(check_plan(c, text->name, error));
    SO_TRY(fill_stage(c, error));
    SO_TRY(name_data(c, error));
    SO_TRY(check_names(c, error));
    return check_data(c, error);
}

so_status so_run_config_read(so_run_config *config, const so_run_text *text, so_string *notes, so_error *error)
{
    defaults(config);
    return read_all(config, text, notes, error);
}

void so_run_config_close(so_run_config *config) { so_toml_close(&config->toml); }

/* The value of a named number, `otherwise` when it is not there. */
static double named(const so_run_named *list, int n, const char *name, double otherwise)
{
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0) return list[i].value;
    return otherwise;
}

void so_run_config_stage(const so_run_config *c, so_stage *stage)
{
    const so_stage *row = so_stage_find(c->stage);
    *stage = *row;
    memset(stage->learns, 0, sizeof stage->learns);
    for (int i = 0; i < c->learn.n; i++) {
        const char *group = c->learn.item[i];
        double rate = 1, decay = 1;
        for (int k = 0; k < SO_STAGE_GROUPS && row->learns[k].group; k++)
            if (strcmp(row->learns[k].group, group) == 0) rate = row->learns[k].rate, decay = row->learns[k].decay;
        stage->learns[i] = (so_group_rule){group, named(c->optim.group_rate, c->optim.group_rates, group, rate),
                                           named(c->optim.group_decay, c->optim.group_decays, group, decay)};
    }
    for (int i = 0; i < c->losses; i++) {
        stage->loss[i].name = c->loss[i].name;
        stage->loss[i].weight = c->loss[i].value;
    }
    stage->rate = c->optim.rate;
    stage->floor = c->optim.floor;
    stage->warmup = c->optim.warmup;
    for (int i = 0; i < 4; i++)
        if (strcmp(shapes[i], c->optim.shape) == 0) stage->shape = (so_rate_shape)i;
    stage->adamw =
        (so_adamw){c->optim.beta1, c->optim.beta2, c->optim.epsilon, c->optim.decay, c->optim.clip, c->optim.average};
}
