/* Counting activations per column.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval/quant/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct column_sums {
    int64_t rows, cols;
    double *sum; /* [cols] of squares */
} column_sums;

struct so_calibration {
    so_names names;
    column_sums *sums; /* by number of name */
    int64_t capacity;
    so_status failure; /* of a count that could not be kept */
    so_watch watch;
};

so_status so_calibration_open(so_calibration **out, so_error *error)
{
    *out = calloc(1, sizeof **out);
    return *out ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a calibration");
}

void so_calibration_close(so_calibration **calibration)
{
    if (!calibration || !*calibration) return;
    so_calibration *c = *calibration;
    for (int64_t i = 0; i < c->names.count; i++) free(c->sums[i].sum);
    free(c->sums);
    so_names_clear(&c->names);
    free(c);
    *calibration = NULL;
}

static column_sums *find(so_calibration *c, const so_tensor *w)
{
    so_error ignored;
    so_span name = so_span_of(w->name);
    int64_t i = so_names_find(&c->names, name);
    if (i >= 0) return c->sums[i].cols == so_cols(w) ? &c->sums[i] : NULL;
    if (so_grow(&c->sums, c->names.count, &c->capacity, sizeof *c->sums, &ignored) != SO_OK) return NULL;
    column_sums *s = &c->sums[c->names.count];
    *s = (column_sums){0, so_cols(w), calloc((size_t)so_cols(w) + 1, sizeof *s->sum)};
    if (s->sum && so_names_add(&c->names, name, &ignored) == SO_OK) return s;
    free(s->sum);
    return NULL;
}

static void count(void *context, const so_tensor *w, const so_tensor *x)
{
    so_calibration *c = context;
    if (!w->name) return;
    column_sums *s = find(c, w);
    if (!s) {
        c->failure = SO_ERR_NOMEM;
        return;
    }
    for (int64_t r = 0; r < so_rows(x); r++) {
        const so_real *row = so_data(x) + r * s->cols;
        for (int64_t i = 0; i < s->cols; i++) s->sum[i] += (double)row[i] * (double)row[i];
    }
    s->rows += so_rows(x);
}

void so_calibration_watch(so_calibration *calibration, so_session *session)
{
    calibration->watch = (so_watch){.product = count, .context = calibration};
    so_talk_watch(session->talk, &calibration->watch);
}

int64_t so_calibration_count(const so_calibration *c, int64_t *least)
{
    *least = c->names.count ? c->sums[0].rows : 0;
    for (int64_t i = 0; i < c->names.count; i++)
        if (c->sums[i].rows < *least) *least = c->sums[i].rows;
    return c->names.count;
}

static so_status put(const so_calibration *c, int64_t i, so_safetensors_writer *writer, so_error *error)
{
    const column_sums *s = &c->sums[i];
    float *mean = malloc((size_t)s->cols * sizeof *mean + 1);
    if (!mean) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld means", (long long)s->cols);
    so_status status = SO_OK;
    for (int64_t k = 0; k < s->cols && status == SO_OK; k++) {
        mean[k] = (float)(s->sum[k] / (double)s->rows);
        if (!isfinite(mean[k]))
            status = so_fail(error, SO_ERR_NUMBER, "what met '%s' was not finite in column %lld", c->names.key[i].data,
                             (long long)k);
    }
    if (status == SO_OK)
        status = so_safetensors_put(writer, c->names.key[i].data, mean, (size_t)s->cols * sizeof *mean, error);
    free(mean);
    return status;
}

static so_status write_all(const so_calibration *c, so_safetensors_writer *writer, so_error *error)
{
    SO_TRY(so_safetensors_set(writer, "format", "stream-omni importance 1", error));
    for (int64_t i = 0; i < c->names.count; i++)
        SO_TRY(so_safetensors_declare(writer, c->names.key[i].data, SO_F32, 1, &c->sums[i].cols, error));
    for (int64_t i = 0; i < c->names.count; i++) SO_TRY(put(c, i, writer, error));
    return SO_OK;
}

so_status so_calibration_save(const so_calibration *c, const char *path, so_error *error)
{
    so_safetensors_writer *writer;
    if (c->failure) return so_fail(error, c->failure, "not every matrix could be counted");
    if (c->names.count == 0) return so_fail(error, SO_ERR_STATE, "nothing was calibrated");
    SO_TRY(so_safetensors_create(&writer, path, error));
    so_status status = write_all(c, writer, error);
    if (status == SO_OK) return so_safetensors_commit(&writer, error);
    so_safetensors_drop(&writer);
    return status;
}
