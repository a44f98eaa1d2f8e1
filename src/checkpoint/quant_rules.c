/* Mixes of types: rules, falling back, notes.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "checkpoint/quant_rules.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/quantise.h"
#include "formats/safetensors.h"

/* Heads decide what is said; an error in v or down adds to every later layer. Positions of patches are few. The codec
 * in q8_0 is nearer to itself than products in bf16 leave it; docs/quantisation.md has what each of these costs. */
#define HEADS(text, speech)                                                                                            \
    "lm_head.weight " text "\naudio_lm_head.weight " speech "\naudio_to_text_proj.weight " speech "\n"
#define PARTS(codec) "*position_embedding.weight f16\ncodec.* " codec "\n"
#define MEDIUM "*.v_proj.weight q6_k some\n*.mlp.down_proj.weight q6_k some\n"

static const struct {
    const char *name, *table;
} rule_sets[] = {
    {"f32", "* f32\n"},
    {"bf16", "codec.* f16\n* bf16\n"},
    {"f16", "* f16\n"},
    {"q8_0", "codec.* f16\n* q8_0\n"},
    {"q6_k", PARTS("f16") "* q6_k\n"},
    {"q5_k", HEADS("q6_k", "q6_k") PARTS("q8_0") "* q5_k\n"},
    {"q5_k_m", HEADS("q6_k", "q6_k") MEDIUM PARTS("q8_0") "* q5_k\n"},
    {"q4_k", HEADS("q6_k", "q5_k") PARTS("q8_0") "* q4_k\n"},
    {"q4_k_m", HEADS("q6_k", "q5_k") MEDIUM PARTS("q8_0") "* q4_k\n"},
    {"q4_0", HEADS("q6_k", "q5_k") PARTS("q8_0") "* q4_0\n"},
    {"q5_0", HEADS("q6_k", "q6_k") PARTS("q8_0") "* q5_0\n"},
};
enum { RULE_SETS = sizeof rule_sets / sizeof *rule_sets, TABLE_MAX = 1 << 20 };

typedef struct rule {
    char *pattern;
    so_type type;
    bool some;
} rule;

typedef struct stack {
    char *prefix;
    int64_t layers;
} stack;

typedef struct fall {
    so_type wanted, got;
    int64_t width, count;
} fall;

struct so_quant_rules {
    bool keep;
    rule *rules;
    int64_t n_rules, rules_capacity;
    stack *stacks;
    int64_t n_stacks, stacks_capacity;
    fall *falls;
    int64_t n_falls, falls_capacity;
    so_safetensors *importance;
};

const char *so_quant_rules_names(void)
{
    return "f32, bf16, f16, q8_0, q6_k, q5_k, q5_k_m, q4_k, q4_k_m, q4_0 or q5_0";
}

static so_status add_rule(so_quant_rules *m, char *line, const char *where, int number, so_error *error)
{
    char *save, *pattern = strtok_r(line, " \t\r", &save);
    if (!pattern || *pattern == '#') return SO_OK;
    char *type = strtok_r(NULL, " \t\r", &save), *some = strtok_r(NULL, " \t\r", &save);
    char *more = some && *some != '#' ? strtok_r(NULL, " \t\r", &save) : NULL;
    rule r = {.type = SO_TYPE_COUNT, .some = some && strcmp(some, "some") == 0};
    for (so_type t = SO_F32; type && t < SO_TYPE_COUNT; t++)
        if (so_type_holds_numbers(t) && strcmp(so_type_about(t)->name, type) == 0) r.type = t;
    if (r.type == SO_TYPE_COUNT || (some && *some != '#' && !r.some) || (more && *more != '#'))
        return so_fail(
            error, SO_ERR_FORMAT,
            "%s, line %d: '%.80s%s%.40s', expected a pattern, a type (f32, bf16, f16, q8_0, q6_k, q5_k, q5_0, "
            "q4_k, q4_0) and perhaps 'some'",
            where, number, pattern, type ? " " : "", type ? type : "");
    SO_TRY(so_grow(&m->rules, m->n_rules, &m->rules_capacity, sizeof *m->rules, error));
    r.pattern = strdup(pattern);
    if (!r.pattern) return so_fail(error, SO_ERR_NOMEM, "no memory for a table of types");
    m->rules[m->n_rules++] = r;
    return SO_OK;
}

static so_status add_table(so_quant_rules *m, const char *text, size_t size, const char *where, so_error *error)
{
    if (memchr(text, 0, size)) return so_fail(error, SO_ERR_FORMAT, "%s is not text", where);
    char *copy = strndup(text, size), *next = copy;
    if (!copy) return so_fail(error, SO_ERR_NOMEM, "no memory for a table of types");
    so_status status = SO_OK;
    for (int number = 1; next && status == SO_OK; number++) {
        char *line = strsep(&next, "\n");
        status = add_rule(m, line, where, number, error);
    }
    free(copy);
    return status;
}

static so_status add_file(so_quant_rules *m, const char *path, so_error *error)
{
    char *text;
    size_t size;
    SO_TRY(so_file_read(path, TABLE_MAX, &text, &size, error));
    so_status status = add_table(m, text, size, path, error);
    free(text);
    return status;
}

static so_status add_mix(so_quant_rules *m, const char *name, so_error *error)
{
    for (int i = 0; i < RULE_SETS; i++)
        if (strcmp(rule_sets[i].name, name) == 0)
            return add_table(m, rule_sets[i].table, strlen(rule_sets[i].table), name, error);
    return so_fail(error, SO_ERR_ARG, "type '%.40s', expected %s", name, so_quant_rules_names());
}

static so_status check_importance(const so_quant_rules *m, const char *path, so_error *error)
{
    const so_views *views = so_safetensors_views(m->importance);
    for (int64_t i = 0; i < views->count; i++)
        if (views->view[i].type != SO_F32 || views->view[i].n_dims != 1)
            return so_fail(error, SO_ERR_FORMAT, "%s: '%.200s' is no vector of f32", path, views->view[i].name);
    return SO_OK;
}

static so_status open_rules(so_quant_rules *m, const so_save_options *o, so_error *error)
{
    m->keep = !o->type && !o->types;
    if (o->types) SO_TRY(add_file(m, o->types, error));
    if (o->type) SO_TRY(add_mix(m, o->type, error));
    if (!o->importance) return SO_OK;
    SO_TRY(so_safetensors_open(&m->importance, o->importance, error));
    return check_importance(m, o->importance, error);
}

so_status so_quant_rules_open(so_quant_rules **out, const so_save_options *options, so_error *error)
{
    static const so_save_options none;
    *out = NULL;
    so_quant_rules *m = calloc(1, sizeof *m);
    if (!m) return so_fail(error, SO_ERR_NOMEM, "no memory for a table of types");
    so_status status = open_rules(m, options ? options : &none, error);
    if (status == SO_OK)
        *out = m;
    else
        so_quant_rules_close(&m);
    return status;
}

void so_quant_rules_close(so_quant_rules **rules)
{
    if (!rules || !*rules) return;
    so_quant_rules *m = *rules;
    for (int64_t i = 0; i < m->n_rules; i++) free(m->rules[i].pattern);
    for (int64_t i = 0; i < m->n_stacks; i++) free(m->stacks[i].prefix);
    so_safetensors_close(&m->importance);
    free(m->rules);
    free(m->stacks);
    free(m->falls);
    free(m);
    *rules = NULL;
}

/* "model.layers.12.mlp..." is layer 12 of the stack "model.layers."; false where there is no number. */
static bool layer_of(const char *name, size_t *prefix, int64_t *layer)
{
    const char *at = strstr(name, "layers.");
    char *end;
    if (!at || at[7] < '0' || at[7] > '9') return false;
    *prefix = (size_t)(at + 7 - name);
    *layer = strtoll(at + 7, &end, 10);
    return *end == '.' && *layer < 1 << 20;
}

static stack *stack_of(const so_quant_rules *m, const char *name, size_t prefix)
{
    for (int64_t i = 0; i < m->n_stacks; i++)
        if (strlen(m->stacks[i].prefix) == prefix && strncmp(m->stacks[i].prefix, name, prefix) == 0)
            return &m->stacks[i];
    return NULL;
}

so_status so_quant_rules_learn(so_quant_rules *m, const char *name, so_error *error)
{
    size_t prefix;
    int64_t layer;
    if (!layer_of(name, &prefix, &layer)) return SO_OK;
    stack *s = stack_of(m, name, prefix);
    if (!s) {
        SO_TRY(so_grow(&m->stacks, m->n_stacks, &m->stacks_capacity, sizeof *m->stacks, error));
        s = &m->stacks[m->n_stacks];
        *s = (stack){strndup(name, prefix), 0};
        if (!s->prefix) return so_fail(error, SO_ERR_NOMEM, "no memory for a table of types");
        m->n_stacks++;
    }
    if (s->layers <= layer) s->layers = layer + 1;
    return SO_OK;
}

/* Whether a layer is one of the `some`: the first and last eighth, and every third between. */
static bool is_some(const so_quant_rules *m, const char *name)
{
    size_t prefix;
    int64_t layer;
    if (!layer_of(name, &prefix, &layer)) return true;
    const stack *s = stack_of(m, name, prefix);
    if (!s) return true;
    int64_t edge = s->layers / 8;
    return layer < edge || layer >= s->layers - edge || (layer - edge) % 3 == 2 || s->layers < 3;
}

static void note_fall(so_quant_rules *m, so_type wanted, so_type got, int64_t width)
{
    so_error ignored;
    for (int64_t i = 0; i < m->n_falls; i++)
        if (m->falls[i].wanted == wanted && m->falls[i].got == got && m->falls[i].width == width) {
            m->falls[i].count++;
            return;
        }
    if (so_grow(&m->falls, m->n_falls, &m->falls_capacity, sizeof *m->falls, &ignored) != SO_OK) return;
    m->falls[m->n_falls++] = (fall){wanted, got, width, 1};
}

static so_type that_fits(so_quant_rules *m, so_type wanted, int64_t width)
{
    so_type got = wanted;
    if (width % so_type_about(got)->block) got = wanted == SO_Q4_K ? SO_Q5_0 : SO_Q8_0;
    if (width % so_type_about(got)->block) got = SO_F16;
    if (got != wanted) note_fall(m, wanted, got, width);
    return got;
}

so_type so_quant_rules_type(so_quant_rules *m, const char *name, so_type stored, int n_dims, const int64_t *dim)
{
    so_type type = stored;
    if (n_dims < 2) return SO_F32;
    for (int64_t i = 0; i < m->n_rules && !m->keep; i++) {
        const rule *r = &m->rules[i];
        if (fnmatch(r->pattern, name, 0) != 0 || (r->some && !is_some(m, name))) continue;
        type = r->type;
        break;
    }
    if (m->keep || so_type_about(type)->block == 1) return type;
    if (n_dims == 2) return that_fits(m, type, dim[1]);
    return strncmp(name, "codec.", 6) != 0 && so_type_about(stored)->block == 1 ? stored : SO_F16;
}

const float *so_quant_rules_importance(const so_quant_rules *m, const char *name, int64_t k)
{
    const so_view *view = m->importance ? so_views_find(so_safetensors_views(m->importance), name) : NULL;
    return view && view->dim[0] == k ? view->data : NULL;
}

void so_quant_rules_tell(const so_quant_rules *m, void (*note)(void *context, const char *line), void *context)
{
    for (int64_t i = 0; i < m->n_falls && note; i++) {
        const fall *f = &m->falls[i];
        char line[160];
        snprintf(line, sizeof line, "%lld matri%s with rows of %lld %s stored as %s: rows of %s are multiples of %d",
                 (long long)f->count, f->count == 1 ? "x" : "ces", (long long)f->width, f->count == 1 ? "is" : "are",
                 so_type_about(f->got)->name, so_type_about(f->wanted)->name, so_type_about(f->wanted)->block);
        note(context, line);
    }
}
