/* Numbers of the reference as tensors, and tensors against them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "base/own.h"
#include "eval/golden/golden_codec.h"

const so_view *so_codec_golden_view(const so_codec_golden *b, const char *tensor)
{
    return so_golden_view(b->g, b->name, tensor, NULL);
}

const float *so_codec_golden_floats(const so_codec_golden *b, const char *tensor)
{
    const so_view *v = so_codec_golden_view(b, tensor);
    return v && v->type == SO_F32 ? v->data : NULL;
}

int64_t so_codec_golden_length(const so_codec_golden *b, const char *tensor)
{
    const so_view *v = so_codec_golden_view(b, tensor);
    return v ? so_view_elements(v) : 0;
}

int64_t so_codec_golden_parameter(const so_codec_golden *b, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(b->json, "params"), key));
}

double so_codec_golden_bar(const so_codec_golden *b, const char *tensor)
{
    char name[256];
    double noise = 0, scale = 0;
    size_t i;
    json_t *t;
    snprintf(name, sizeof name, "%s.%s", b->name, tensor);
    json_array_foreach(json_object_get(b->json, "tensors"), i, t)
    {
        const char *found = json_string_value(json_object_get(t, "name"));
        if (!found || strcmp(found, name) != 0) continue;
        noise = json_number_value(json_object_get(t, "fp32_vs_fp64_max_abs"));
        scale = json_number_value(json_object_get(t, "max_abs"));
    }
    return fmax(10 * noise, 2e-6 * scale);
}

const float *so_codec_golden_exactly(so_codec_golden *b, const char *tensor, int64_t n)
{
    const so_view *v = so_codec_golden_view(b, tensor);
    if (v && v->type == SO_F32 && so_view_elements(v) == n) return v->data;
    return so_pass_fail(&b->pass, SO_ERR_MISSING, "no %s of %lld numbers", tensor, (long long)n);
}

const int32_t *so_codec_golden_ids(so_codec_golden *b, const char *tensor, int64_t n)
{
    const so_view *v = so_codec_golden_view(b, tensor);
    if (v && v->type == SO_I32 && so_view_elements(v) == n) return v->data;
    return so_pass_fail(&b->pass, SO_ERR_MISSING, "no %s of %lld integers", tensor, (long long)n);
}

double so_codec_golden_number(const so_codec_golden *b, const char *key, double otherwise)
{
    const json_t *v = json_object_get(json_object_get(b->json, "params"), key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

void so_codec_golden_expect_value(so_codec_golden *b, const char *key, double found)
{
    const json_t *v = json_object_get(json_object_get(b->json, "values"), key);
    double value = json_number_value(json_object_get(v, "value"));
    if (!json_is_number(json_object_get(v, "value"))) return;
    double noise = fabs(json_number_value(json_object_get(v, "fp32_run")) - value);
    if (!json_is_number(json_object_get(v, "fp32_run"))) noise = 0;
    so_golden_value(b->g, b->name, key, found, value, fmax(10 * noise, 2e-6 * fabs(value)));
}

so_tensor *so_codec_golden_read(so_codec_golden *b, const char *tensor, bool turned)
{
    const so_view *v = so_codec_golden_view(b, tensor);
    if (!v || v->type != SO_F32 || v->n_dims < 1 || v->n_dims > 3)
        return so_pass_fail(&b->pass, SO_ERR_MISSING, "no tensor %s", tensor);
    int64_t cols = v->dim[v->n_dims - 1], rows = v->n_dims > 1 ? v->dim[v->n_dims - 2] : 1, each = rows * cols;
    int64_t dim[3] = {v->n_dims == 3 ? v->dim[0] : 1, turned ? cols : rows, turned ? rows : cols};
    so_tensor *t = v->n_dims == 3 ? so_new(&b->pass, 3, dim) : so_new(&b->pass, 2, dim + 1);
    const float *from = v->data;
    so_real *to = t ? so_write_begin(&b->pass, t) : NULL;
    for (int64_t i = 0; to && i < so_count(t); i++) {
        int64_t j = i % each;
        to[i - j + (turned ? j % cols * rows + j / cols : j)] = from[i];
    }
    return so_write_end(&b->pass, t, to);
}

so_tensor *so_codec_golden_leaf(so_codec_golden *b, const char *tensor)
{
    const so_view *v = so_codec_golden_view(b, tensor);
    if (!v || v->type != SO_F32 || v->n_dims < 1 || v->n_dims > SO_MAX_DIMS)
        return so_pass_fail(&b->pass, SO_ERR_MISSING, "no tensor %s", tensor);
    so_tensor *t = so_constant(&b->pass, v->n_dims, v->dim, v->data);
    if (t) t->wants_grad = true;
    return t;
}

so_tensor *so_codec_golden_batched(so_codec_golden *b, so_tensor *t)
{
    return t ? so_reshape(&b->pass, t, 3, (int64_t[]){1, so_rows(t), so_cols(t)}) : NULL;
}

void so_codec_golden_expect_bar(so_codec_golden *b, const char *tensor, const so_tensor *found, bool turned, double bar)
{
    if (!so_codec_golden_view(b, tensor) || !found || !so_ok(&b->pass)) return;
    so_tensor seen = *found;
    so_mark mark = so_pass_mark(&b->pass);
    seen.data = so_mutable(so_read(&b->pass, found));
    if (so_ok(&b->pass)) so_codec_golden_expect_seen(b, tensor, &seen, turned, bar);
    so_pass_release(&b->pass, mark);
}

void so_codec_golden_expect_seen(so_codec_golden *b, const char *tensor, const so_tensor *found, bool turned,
                                 double bar)
{
    int64_t n = so_count(found), cols = so_cols(found), items = found->n_dims == 3 ? found->dim[0] : 1;
    int64_t each = n / (items ? items : 1), rows = each / (cols ? cols : 1);
    so_real *copy = malloc((size_t)n * sizeof *copy + 1);
    for (int64_t i = 0; copy && i < n; i++) {
        int64_t j = i % each;
        copy[i - j + (turned ? j % cols * rows + j / cols : j)] = so_data(found)[i];
    }
    if (copy) so_golden_numbers(b->g, b->name, tensor, copy, n, (so_bars){bar, bar});
    free(copy);
}

void so_codec_golden_expect(so_codec_golden *b, const char *tensor, const so_tensor *found, bool turned)
{
    so_codec_golden_expect_bar(b, tensor, found, turned, so_codec_golden_bar(b, tensor));
}

void so_codec_golden_expect_floats(so_codec_golden *b, const char *tensor, const float *found, int64_t n)
{
    double bar = so_codec_golden_bar(b, tensor);
    so_golden_numbers(b->g, b->name, tensor, found, n, (so_bars){bar, bar});
}
