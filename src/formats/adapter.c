/* Adapters in memory, and which form a path has.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "formats/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/grow.h"
#include "base/quantise.h"
#include "formats/gguf.h"

static bool has_config(const char *folder)
{
    char path[4096];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    return n > 0 && n < (int)sizeof path && stat(path, &st) == 0;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool so_adapter_is(const char *path)
{
    so_gguf *gguf;
    so_span type;
    if (is_folder(path)) return has_config(path);
    if (so_gguf_open(&gguf, path, NULL) != SO_OK) return false;
    bool is = so_gguf_string(gguf, "general.type", &type, NULL) == SO_OK && type.length == strlen("adapter") &&
              memcmp(type.data, "adapter", type.length) == 0;
    so_gguf_close(&gguf);
    return is;
}

static so_status check_numbers(const so_adapter *adapter, const char *path, so_error *error)
{
    if (!adapter->count) return so_fail(error, SO_ERR_FORMAT, "%s: an adapter of no matrices", path);
    for (int64_t i = 0; i < adapter->count; i++) {
        const so_adapter_pair *p = &adapter->pair[i];
        bool finite = true;
        for (int64_t j = 0; j < p->rank * p->k; j++) finite &= isfinite(p->a[j]) != 0;
        for (int64_t j = 0; j < p->n * p->rank; j++) finite &= isfinite(p->b[j]) != 0;
        if (!finite || !isfinite(p->scale))
            return so_fail(error, SO_ERR_NUMBER, "%s: the adapter of '%s' holds numbers that are not finite", path,
                           p->name);
    }
    return SO_OK;
}

so_status so_adapter_open(so_adapter *adapter, const char *path, so_error *error)
{
    *adapter = (so_adapter){0};
    so_status status;
    if (!is_folder(path))
        status = so_adapter_read_gguf(adapter, path, error);
    else if (has_config(path))
        status = so_adapter_read_peft(adapter, path, error);
    else
        status = so_fail(error, SO_ERR_MISSING, "'%s' has no adapter_config.json, which says what an adapter is", path);
    if (status == SO_OK) status = check_numbers(adapter, path, error);
    if (status != SO_OK) so_adapter_close(adapter);
    return status;
}

void so_adapter_close(so_adapter *adapter)
{
    for (int64_t i = 0; i < adapter->count; i++) {
        free(adapter->pair[i].name);
        free(adapter->pair[i].a);
        free(adapter->pair[i].b);
    }
    free(adapter->pair);
    free(adapter->model);
    free(adapter->targets);
    *adapter = (so_adapter){0};
}

static float *copied(const float *numbers, int64_t n)
{
    size_t bytes = (size_t)n * sizeof *numbers;
    float *copy = malloc(bytes + 1);
    return copy ? memcpy(copy, numbers, bytes) : NULL;
}

so_status so_adapter_add(so_adapter *adapter, const so_adapter_pair *pair, so_error *error)
{
    if (pair->rank < 1 || pair->rank > SO_ADAPTER_RANK_MOST)
        return so_fail(error, SO_ERR_FORMAT, "'%s' has an adapter of rank %lld, expected 1 to %d", pair->name,
                       (long long)pair->rank, SO_ADAPTER_RANK_MOST);
    if (so_adapter_find(adapter, pair->name)) return so_fail(error, SO_ERR_FORMAT, "'%s' has two adapters", pair->name);
    SO_TRY(so_grow(&adapter->pair, adapter->count, &adapter->capacity, sizeof *adapter->pair, error));
    so_adapter_pair *p = &adapter->pair[adapter->count++];
    *p = *pair;
    p->name = strdup(pair->name);
    p->a = copied(pair->a, pair->rank * pair->k);
    p->b = copied(pair->b, pair->n * pair->rank);
    return p->name && p->a && p->b ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for an adapter");
}

static float *numbers_of(const so_view *v)
{
    float *out = malloc((size_t)so_view_elements(v) * sizeof *out + 1);
    if (out) so_dequantise_row(v->type, v->data, so_view_elements(v), out);
    return out;
}

static bool is_matrix(const so_view *v)
{
    return v && v->n_dims == 2 && so_type_holds_numbers(v->type) && v->dim[0] > 0 && v->dim[1] > 0;
}

so_status so_adapter_add_views(so_adapter *adapter, const so_adapter_pair *about, const so_view *a, const so_view *b,
                               so_error *error)
{
    char found[96], other[96], rank[24] = "rank";
    if (about->rank) snprintf(rank, sizeof rank, "%lld", (long long)about->rank);
    bool good = is_matrix(a) && is_matrix(b) && a->dim[0] == b->dim[1] && (!about->rank || a->dim[0] == about->rank);
    if (!good)
        return so_fail(error, SO_ERR_FORMAT, "the adapter of '%s' is %s and %s, expected [%s, columns] and [rows, %s]",
                       about->name, a ? so_view_describe(a, found, sizeof found) : "absent",
                       b ? so_view_describe(b, other, sizeof other) : "absent", rank, rank);
    so_adapter_pair pair = *about;
    pair.n = b->dim[0];
    pair.k = a->dim[1];
    pair.rank = a->dim[0];
    pair.a = numbers_of(a);
    pair.b = numbers_of(b);
    so_status status = pair.a && pair.b ? so_adapter_add(adapter, &pair, error)
                                        : so_fail(error, SO_ERR_NOMEM, "no memory for an adapter");
    free(pair.a);
    free(pair.b);
    return status;
}

const so_adapter_pair *so_adapter_find(const so_adapter *adapter, const char *weight)
{
    for (int64_t i = 0; i < adapter->count; i++)
        if (strcmp(adapter->pair[i].name, weight) == 0) return &adapter->pair[i];
    return NULL;
}

so_span so_adapter_module(const char *weight)
{
    const char *end = strrchr(weight, '.'), *from = end;
    if (!end || strcmp(end, ".weight") != 0) return (so_span){weight, 0};
    while (from > weight && from[-1] != '.') from--;
    return (so_span){from, (size_t)(end - from)};
}

so_status so_adapter_turn(so_adapter *adapter, int64_t heads, int64_t kv_heads, so_error *error)
{
    for (int64_t i = 0; i < adapter->count; i++) {
        so_adapter_pair *p = &adapter->pair[i];
        so_span module = so_adapter_module(p->name);
        int64_t count = module.length && module.data[0] == 'q' ? heads : kv_heads, r = p->rank;
        if (!p->in_pairs) continue;
        if (count < 1 || p->n % (2 * count))
            return so_fail(error, SO_ERR_FORMAT, "the adapter of '%s' has %lld rows, which %lld heads do not divide",
                           p->name, (long long)p->n, (long long)count);
        float *b = malloc((size_t)(p->n * r) * sizeof *b);
        if (!b) return so_fail(error, SO_ERR_NOMEM, "no memory for an adapter");
        int64_t width = p->n / count;
        for (int64_t row = 0; row < p->n; row++) {
            int64_t within = row % width, half = row - within + within % 2 * (width / 2) + within / 2;
            memcpy(b + half * r, p->b + row * r, (size_t)r * sizeof *b);
        }
        free(p->b);
        p->b = b;
        p->in_pairs = false;
    }
    return SO_OK;
}

void so_adapter_add_row(const so_adapter_pair *pair, int64_t r, float *row)
{
    for (int64_t j = 0; j < pair->rank; j++) {
        const float by = pair->scale * pair->b[r * pair->rank + j], *a = pair->a + j * pair->k;
        for (int64_t c = 0; c < pair->k; c++) row[c] += by * a[c];
    }
}
