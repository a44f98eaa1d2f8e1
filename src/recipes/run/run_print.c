/* Writing the settings of a training run down.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "recipes/run/run_config.h"

static so_status put_quoted(so_string *out, const char *text, so_error *error)
{
    SO_TRY(so_string_put(out, "\"", error));
    for (; *text; text++) {
        char escaped[8] = {*text};
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') snprintf(escaped, sizeof escaped, "\\%c", *text);
        if (c < ' ' || c == 127) snprintf(escaped, sizeof escaped, "\\u%04x", c);
        SO_TRY(so_string_put(out, escaped, error));
    }
    return so_string_put(out, "\"", error);
}

/* A number that TOML reads as the same number, a real one as a real one. */
static so_status put_real(so_string *out, double x, so_error *error)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        double back;
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (sscanf(text, "%lf", &back) == 1 && back == x) break;
    }
    if (!strpbrk(text, ".e")) strcat(text, ".0");
    return so_string_put(out, text, error);
}

/* Whether the field holds anything. */
static bool given(const so_run_key *key, const void *field)
{
    switch (key->kind) {
    case SO_RUN_TEXT:
    case SO_RUN_PATH:
        return *(const char *const *)field != NULL;
    case SO_RUN_TEXTS:
        return ((const so_run_list *)field)->n > 0;
    case SO_RUN_REAL:
        return *(const double *)field > 0 || strncmp(key->name, "optim.", 6) == 0;
    default:
        return true;
    }
}

static so_status put_value(so_string *out, const so_run_key *key, const void *field, so_error *error)
{
    char text[40];
    const so_run_list *list = field;
    const so_run_every *every = field;
    switch (key->kind) {
    case SO_RUN_TEXT:
    case SO_RUN_PATH:
        return put_quoted(out, *(const char *const *)field, error);
    case SO_RUN_WHOLE:
        snprintf(text, sizeof text, "%lld", (long long)*(const int64_t *)field);
        break;
    case SO_RUN_REAL:
        return put_real(out, *(const double *)field, error);
    case SO_RUN_BOOL:
        strcpy(text, *(const bool *)field ? "true" : "false");
        break;
    case SO_RUN_OFTEN:
        if (every->seconds > 0)
            snprintf(text, sizeof text, "\"%.15gs\"", every->seconds);
        else
            snprintf(text, sizeof text, "%lld", (long long)every->steps);
        break;
    case SO_RUN_TEXTS:
        SO_TRY(so_string_put(out, "[", error));
        for (int i = 0; i < list->n; i++) {
            if (i) SO_TRY(so_string_put(out, ", ", error));
            SO_TRY(put_quoted(out, list->item[i], error));
        }
        strcpy(text, "]");
        break;
    }
    return so_string_put(out, text, error);
}

/* The table that a key stands in: the bytes before its last dot. */
static int table_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (int)(dot - name) : 0;
}

static so_status put_key(so_string *out, const so_run_key *key, const void *base, so_error *error)
{
    const void *field = (const char *)base + key->field;
    const char *dot = strrchr(key->name, '.');
    if (!given(key, field)) return SO_OK;
    SO_TRY(so_string_put(out, dot ? dot + 1 : key->name, error));
    SO_TRY(so_string_put(out, " = ", error));
    SO_TRY(put_value(out, key, field, error));
    return so_string_put(out, "\n", error);
}

static so_status put_data(so_string *out, const so_run_data *d, so_error *error)
{
    SO_TRY(so_string_put(out, "\n[[data]]\n", error));
    for (int i = 0; so_run_key_at(i); i++)
        if (strncmp(so_run_key_at(i)->name, "data.", 5) == 0) SO_TRY(put_key(out, so_run_key_at(i), d, error));
    return SO_OK;
}

static so_status put_named(so_string *out, const char *before, const so_run_named *list, int n, so_error *error)
{
    for (int i = 0; i < n; i++) {
        char line[120];
        snprintf(line, sizeof line, before, list[i].name);
        SO_TRY(so_string_put(out, line, error));
        SO_TRY(put_real(out, list[i].value, error));
        SO_TRY(so_string_put(out, "\n", error));
    }
    return SO_OK;
}

so_status so_run_config_print(const so_run_config *c, so_string *out, so_error *error)
{
    const so_run_key *key;
    int length = 0;
    const char *table = "";
    for (int i = 0; (key = so_run_key_at(i)); i++)
        if (!table_of(key->name)) SO_TRY(put_key(out, key, c, error));
    for (int i = 0; (key = so_run_key_at(i)); i++) {
        int n = table_of(key->name);
        if (n == 0 || strncmp(key->name, "data.", 5) == 0) continue;
        if (n != length || memcmp(key->name, table, (size_t)n) != 0) {
            table = key->name;
            length = n;
            SO_TRY(so_string_put(out, "\n[", error));
            SO_TRY(so_string_add(out, table, (size_t)n, error));
            SO_TRY(so_string_put(out, "]\n", error));
        }
        SO_TRY(put_key(out, key, c, error));
        if (strcmp(key->name, "optim.average") != 0) continue;
        SO_TRY(put_named(out, "groups.%s.rate = ", c->optim.group_rate, c->optim.group_rates, error));
        SO_TRY(put_named(out, "groups.%s.decay = ", c->optim.group_decay, c->optim.group_decays, error));
    }
    SO_TRY(so_string_put(out, "\n[loss]\n", error));
    SO_TRY(put_named(out, "%s = ", c->loss, c->losses, error));
    for (int i = 0; i < c->n_data; i++) SO_TRY(put_data(out, &c->data[i], error));
    return SO_OK;
}

static so_status put_setting(so_string *out, const so_run_key *key, const char *name, const void *base, so_error *error)
{
    const void *field = (const char *)base + key->field;
    if (!key->learning || !given(key, field)) return SO_OK;
    SO_TRY(so_string_put(out, name, error));
    SO_TRY(so_string_put(out, " ", error));
    SO_TRY(put_value(out, key, field, error));
    return so_string_put(out, "\n", error);
}

so_status so_run_config_settings(const so_run_config *c, so_string *out, so_error *error)
{
    char name[120];
    const so_run_key *key;
    for (int i = 0; (key = so_run_key_at(i)); i++) {
        if (strncmp(key->name, "data.", 5) != 0 && strcmp(key->name, "seed") != 0)
            SO_TRY(put_setting(out, key, key->name, c, error));
        for (int d = 0; d < c->n_data && strncmp(key->name, "data.", 5) == 0; d++) {
            if (c->data[d].split && strcmp(c->data[d].split, "eval") == 0) continue;
            snprintf(name, sizeof name, "data.%s%s", c->data[d].name, key->name + 4);
            SO_TRY(put_setting(out, key, name, &c->data[d], error));
        }
    }
    SO_TRY(put_named(out, "optim.groups.%s.rate ", c->optim.group_rate, c->optim.group_rates, error));
    SO_TRY(put_named(out, "optim.groups.%s.decay ", c->optim.group_decay, c->optim.group_decays, error));
    return put_named(out, "loss.%s ", c->loss, c->losses, error);
}
