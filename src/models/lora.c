/* Low-rank adapters beside a network's matrices.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const modules[] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
enum { MODULES = sizeof modules / sizeof *modules };

typedef struct pair {
    so_tensor *a, *b;
} pair;

static const so_bind_row pair_table[] = {
    {offsetof(pair, a), "lora_A.weight", "R K", "lora", SO_INIT_FAN_IN, 1, false},
    {offsetof(pair, b), "lora_B.weight", "N R", "lora", SO_INIT_VALUE, 0, false},
};

/* Whether a list with commas between has the word [n]. */
static bool listed(const char *list, const char *word, size_t n)
{
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == n && strncmp(at, word, n) == 0) return true;
    return false;
}

static so_status check_targets(const char *targets, so_error *error)
{
    char all[96] = "";
    for (int i = 0; i < MODULES; i++) {
        strcat(all, i ? "," : "");
        strcat(all, modules[i]);
    }
    for (const char *at = targets; *at; at += strcspn(at, ","), at += *at == ',')
        if (!listed(all, at, strcspn(at, ",")))
            return so_fail(error, SO_ERR_ARG, "no matrix '%.*s' to adapt; there are %s", (int)strcspn(at, ","), at,
                           all);
    return SO_OK;
}

/* "q_proj" of "model.layers.0.self_attn.q_proj.weight"; *n is its length, 0 when the name has another form. */
static const char *module_of(const char *name, size_t *n)
{
    const char *end = strrchr(name, '.'), *from = end;
    *n = 0;
    if (!end || strcmp(end, ".weight") != 0) return name;
    while (from > name && from[-1] != '.') from--;
    *n = (size_t)(end - from);
    return from;
}

static bool adapted(const so_weight *w, const char *groups, const char *targets)
{
    size_t n;
    const char *module = module_of(w->tensor.name, &n);
    return n && (!groups || listed(groups, w->group, strlen(w->group))) && w->tensor.n_dims == 2 &&
           listed(targets, module, n);
}

static so_status open_set(so_lora_set *set, int64_t room, so_error *error)
{
    memset(set, 0, sizeof *set);
    set->lora = calloc((size_t)room + 1, sizeof *set->lora);
    set->of = calloc((size_t)room + 1, sizeof(so_tensor *));
    set->seed = calloc(1, sizeof *set->seed);
    SO_TRY(so_store_open(&set->store, 0, error));
    return set->lora && set->of && set->seed ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for adapters");
}

/* Binds one pair and attaches it. */
static so_status attach(so_lora_set *set, so_weight *w, so_binder *binder, double scale, so_error *error)
{
    char prefix[SO_VIEW_NAME_MAX + 1];
    pair p;
    size_t n = strlen(w->tensor.name) - strlen("weight");
    snprintf(prefix, sizeof prefix, "%.*s", (int)n, w->tensor.name);
    binder->sizes.of['N'] = w->tensor.dim[0];
    binder->sizes.of['K'] = w->tensor.dim[1];
    SO_TRY(SO_BIND(binder, prefix, 0, pair_table, &p, error));
    set->lora[set->count] =
        (so_lora){.a = p.a, .b = p.b, .scale = (so_real)scale, .number = (int)set->count, .seed = set->seed};
    set->of[set->count] = &w->tensor;
    w->tensor.lora = &set->lora[set->count++];
    return SO_OK;
}

/* Each group must have got one. */
static so_status check_groups(const so_lora_set *set, const so_store *base, const char *groups, so_error *error)
{
    for (const char *at = groups; at && *at; at += strcspn(at, ","), at += *at == ',') {
        bool found = false;
        for (int64_t i = 0; i < base->count && !found; i++) {
            const so_weight *w = base->weight[i];
            size_t n = strcspn(at, ",");
            found = w->tensor.lora && strlen(w->group) == n && strncmp(w->group, at, n) == 0;
        }
        if (!found)
            return so_fail(error, SO_ERR_MISSING, "no weight of '%.*s' is one of %s", (int)strcspn(at, ","), at,
                           set->targets);
    }
    return SO_OK;
}

static so_status make_all(so_lora_set *set, so_store *base, const char *groups, so_binder *binder, double scale,
                          so_error *error)
{
    for (int64_t i = 0; i < base->count; i++)
        if (adapted(base->weight[i], groups, set->targets)) SO_TRY(attach(set, base->weight[i], binder, scale, error));
    if (set->count) return check_groups(set, base, groups, error);
    return so_fail(error, SO_ERR_MISSING, "no weight of '%s' is one of %s", groups ? groups : "the model",
                   set->targets);
}

so_status so_lora_make(so_lora_set *set, so_store *base, const char *groups, const so_lora_options *options,
                       uint64_t seed, so_error *error)
{
    static const so_lora_options none;
    if (!options) options = &none;
    int rank = options->rank ? options->rank : 8;
    double alpha = options->alpha > 0 ? options->alpha : 2.0 * rank;
    so_rng rng;
    so_rng_init(&rng, seed, 0x6c6f7261);
    memset(set, 0, sizeof *set);
    if (rank < 1 || rank > SO_ADAPTER_RANK_MOST || !(alpha < 1e6))
        return so_fail(error, SO_ERR_ARG, "an adapter of rank %d and alpha %g, expected 1 to %d and more than 0", rank,
                       alpha, SO_ADAPTER_RANK_MOST);
    if (options->targets) SO_TRY(check_targets(options->targets, error));
    so_status status = open_set(set, base->count, error);
    for (int i = 0; i < MODULES && status == SO_OK; i++) {
        if (options->targets && !listed(options->targets, modules[i], strlen(modules[i]))) continue;
        if (set->targets[0]) strcat(set->targets, ",");
        strcat(set->targets, modules[i]);
    }
    so_binder binder = {.store = &set->store, .rng = &rng};
    binder.sizes.of['R'] = rank;
    if (!(options->dropout >= 0 && options->dropout < 1))
        status = so_fail(error, SO_ERR_ARG, "a dropout of %g, expected 0 to below 1", options->dropout);
    if (status == SO_OK) status = make_all(set, base, groups, &binder, alpha / rank, error);
    for (int64_t i = 0; i < set->count; i++) set->lora[i].dropout = options->dropout;
    if (status != SO_OK) so_lora_close(set);
    return status;
}

/* ---- from a file */

/* The weight that a pair adapts, or why there is none. */
static so_status weight_for(const so_store *base, const so_adapter_pair *p, so_weight **out, so_error *error)
{
    so_weight *w = so_store_find(base, p->name);
    size_t n;
    const char *module = module_of(p->name, &n);
    bool known = false;
    for (int i = 0; i < MODULES; i++) known |= strlen(modules[i]) == n && strncmp(modules[i], module, n) == 0;
    *out = w;
    if (!w) return so_fail(error, SO_ERR_FORMAT, "the adapter is for '%s', which the model does not have", p->name);
    if (!known || w->tensor.n_dims != 2)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the adapter is for '%s', expected matrices of layers: *_proj.weight",
                       p->name);
    if (w->tensor.dim[0] == p->n && w->tensor.dim[1] == p->k) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "the adapter of '%s' is for [%lld, %lld], and the model has [%lld, %lld]",
                   p->name, (long long)p->n, (long long)p->k, (long long)w->tensor.dim[0], (long long)w->tensor.dim[1]);
}

static void fill(so_tensor *t, const float *from)
{
    so_real *to = so_data(t);
    for (int64_t i = 0; i < so_count(t); i++) to[i] = (so_real)from[i];
}

static void add_target(so_lora_set *set, const char *weight)
{
    size_t n, used = strlen(set->targets);
    const char *module = module_of(weight, &n);
    if (listed(set->targets, module, n) || used + n + 2 > sizeof set->targets) return;
    snprintf(set->targets + used, sizeof set->targets - used, "%s%.*s", used ? "," : "", (int)n, module);
}

static so_status attach_pairs(so_lora_set *set, so_store *base, const so_adapter *adapter, so_error *error)
{
    so_weight *w;
    so_rng rng;
    so_rng_init(&rng, 0, 0);
    SO_TRY(open_set(set, adapter->count, error));
    so_binder binder = {.store = &set->store, .rng = &rng};
    for (int64_t i = 0; i < adapter->count; i++) {
        const so_adapter_pair *p = &adapter->pair[i];
        SO_TRY(weight_for(base, p, &w, error));
        binder.sizes.of['R'] = p->rank;
        SO_TRY(attach(set, w, &binder, (double)p->scale, error));
        fill(set->lora[i].a, p->a);
        fill(set->lora[i].b, p->b);
        add_target(set, p->name);
    }
    return SO_OK;
}

so_status so_lora_attach(so_lora_set *set, so_store *base, const so_adapter *adapter, so_error *error)
{
    so_status status = attach_pairs(set, base, adapter, error);
    if (status != SO_OK) so_lora_close(set);
    return status;
}

void so_lora_close(so_lora_set *set)
{
    for (int64_t i = 0; i < set->count; i++) set->of[i]->lora = NULL;
    so_store_close(&set->store);
    free(set->lora);
    free(set->of);
    free(set->seed);
    memset(set, 0, sizeof *set);
}

so_status so_lora_merge(so_lora_set *set, so_error *error)
{
    for (int64_t i = 0; i < set->count; i++)
        if (set->of[i]->type != SO_F32)
            return so_fail(error, SO_ERR_TYPE, "'%s' is stored as %s; adapters are added to f32 only", set->of[i]->name,
                           so_type_about(set->of[i]->type)->name);
    for (int64_t i = 0; i < set->count; i++) {
        const so_lora *l = &set->lora[i];
        int64_t n = set->of[i]->dim[0], k = set->of[i]->dim[1], r = l->a->dim[0];
        for (int64_t row = 0; row < n; row++)
            for (int64_t j = 0; j < r; j++) {
                so_real by = l->scale * so_data(l->b)[row * r + j], *w = so_data(set->of[i]) + row * k;
                for (int64_t c = 0; c < k; c++) w[c] += by * so_data(l->a)[j * k + c];
            }
        set->of[i]->lora = NULL;
    }
    return SO_OK;
}
