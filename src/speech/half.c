/* How long the halves of a voice take: units to mel frames, mel frames to samples.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "checkpoint/model.h"
#include "nn/worker.h"

enum { MOST_UNITS = 4096 };

typedef struct half_work {
    const so_codec *codec;
    so_half half;
    int64_t units, frames, samples;
    int32_t *ids;   /* [units] */
    float *numbers; /* noise and mel [frames, M], source [samples] */
} half_work;

static so_status run_half(so_worker *worker, void *context, so_error *error)
{
    const half_work *w = context;
    so_pass *pass = so_worker_begin(worker);
    const so_flow *flow = &w->codec->flow;
    int64_t M = flow->config.mels;
    so_flow_request r = {.N = w->units, .ids = w->ids, .frames = w->frames, .vector = w->codec->speaker};
    so_tensor *y;
    r.z = w->numbers;
    if (w->half == SO_HALF_FLOW) {
        y = so_flow_mel(pass, flow, &r, NULL);
    } else {
        so_tensor *mel = so_constant(pass, 3, (int64_t[]){1, w->frames, M}, w->numbers);
        so_tensor *source = so_constant(pass, 2, (int64_t[]){1, w->samples}, w->numbers + w->frames * M);
        y = so_hift_wave(pass, &w->codec->hift, mel, source);
    }
    so_read(pass, y); /* waits for a device */
    return so_worker_end(worker, error);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static so_status make_work(half_work *w, const so_model *model, so_half half, size_t units, so_error *error)
{
    const so_codec *codec = &model->codec;
    *w = (half_work){.codec = codec, .half = half, .units = (int64_t)units};
    w->frames = so_flow_frames(&codec->flow.config, w->units);
    w->samples = w->frames * so_hift_samples(&codec->hift.config);
    int64_t all = w->frames * codec->flow.config.mels + w->samples;
    w->ids = malloc(units * sizeof *w->ids);
    w->numbers = malloc((size_t)all * sizeof *w->numbers + 1);
    if (!w->ids || !w->numbers) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu units", units);
    for (size_t i = 0; i < units; i++) w->ids[i] = (int32_t)((int64_t)i * 7919 % codec->flow.config.units);
    for (int64_t i = 0; i < all; i++) w->numbers[i] = (float)(0.1 * sin(0.37 * (double)i));
    return w->frames > 0 ? SO_OK : so_fail(error, SO_ERR_ARG, "%zu units make no frame", units);
}

so_status so_time_half(so_model *model, so_half half, size_t units, double *seconds, so_error *error)
{
    if (!model || !seconds) return so_fail(error, SO_ERR_ARG, "no model, or no place for seconds");
    *seconds = 0;
    if (half != SO_HALF_FLOW && half != SO_HALF_VOCODER)
        return so_fail(error, SO_ERR_ARG, "half %d of a voice, expected 0 or 1", (int)half);
    if (!units || units > MOST_UNITS)
        return so_fail(error, SO_ERR_ARG, "%zu units, expected 1 to %d", units, MOST_UNITS);
    if (!model->codec.has_vocoder) return so_fail(error, SO_ERR_UNSUPPORTED, "this model has no voice");
    half_work work;
    so_worker worker = {0};
    so_site place = so_model_codec_place(model);
    so_need need = {0};
    so_status status = make_work(&work, model, half, units, error);
    if (status == SO_OK) status = so_worker_measure_on(&place, run_half, &work, &need, error);
    if (status == SO_OK) status = so_worker_open_on(&worker, &place, need, error);
    double began = now();
    if (status == SO_OK) status = run_half(&worker, &work, error);
    if (status == SO_OK) *seconds = now() - began;
    so_worker_clear(&worker);
    free(work.ids);
    free(work.numbers);
    return status;
}
