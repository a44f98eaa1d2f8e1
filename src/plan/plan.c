/* Plans of device memory, and opening a model. See plan.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

enum { ALIGN = 256, STEP = 64 /* positions that advice is rounded to */ };

static size_t whole(size_t bytes) { return bytes ? (bytes + ALIGN - 1) / ALIGN * ALIGN : 0; }

so_status so_plan_device(const so_model *model, const so_session_options *options, so_device_plan *plan,
                         so_error *error)
{
    so_talk_options talk;
    so_session_need need;
    so_session_options none = {0};
    *plan = (so_device_plan){.layers = model->device_layers};
    SO_TRY(so_session_talk_options(model, options, &talk, error));
    SO_TRY(so_session_plan(model, &talk, options ? options : &none, 1, &need, error));
    plan->weights = so_store_device_bytes(&model->store);
    if (model->lora.count) plan->weights += so_store_device_bytes(&model->lora.store);
    if (model->codec_device) plan->codec = so_codec_device_bytes(&model->codec);
    plan->talk = whole(need.talk.device);
    plan->mouth = whole(need.mouth.device);
    plan->scratch = whole(need.scratch.device);
    plan->all = plan->weights + plan->codec + plan->talk + plan->mouth + plan->scratch;
    return SO_OK;
}

/* ---- what would fit */

static size_t needed(const so_model *model)
{
    so_device_plan plan;
    so_error error;
    return so_plan_device(model, NULL, &plan, &error) == SO_OK ? plan.all : SIZE_MAX;
}

/* The most positions that fit, rounded down; 0 where too few do. */
static int64_t fitting_context(so_model *model, size_t left)
{
    int64_t before = model->context, lo = 0, hi = before / STEP;
    while (lo + 1 < hi) {
        int64_t mid = (lo + hi) / 2;
        model->context = mid * STEP;
        if (needed(model) <= left)
            lo = mid;
        else
            hi = mid;
    }
    model->context = before;
    return lo >= 4 ? lo * STEP : 0;
}

static bool fits_without_codec(so_model *model, size_t left)
{
    so_device *before = model->codec_device;
    model->codec_device = NULL;
    bool fits = before && needed(model) <= left;
    model->codec_device = before;
    return fits;
}

/* The most layers on the device that fit; 0: none. Leaves the model as it was. */
static int64_t fitting_layers(so_model *model, size_t left)
{
    int64_t before = model->device_layers, n = before - 1;
    for (; n >= 1; n--) {
        so_model_keep_layers(model, n);
        if (needed(model) <= left) break;
    }
    so_model_keep_layers(model, before);
    return n > 0 ? n : 0;
}

so_status so_plan_check(so_model *model, size_t left, so_error *error)
{
    so_device_plan plan;
    SO_TRY(so_plan_device(model, NULL, &plan, error));
    if (plan.all <= left) return SO_OK;
    char advice[256] = "";
    int64_t context = fitting_context(model, left);
    size_t used = 0;
    if (context) used += (size_t)snprintf(advice, sizeof advice, "--context %lld", (long long)context);
    if (fits_without_codec(model, left))
        used += (size_t)snprintf(advice + used, sizeof advice - used, "%s--codec-device cpu", used ? " or " : "");
    int64_t layers = fitting_layers(model, left);
    if (layers > 0)
        snprintf(advice + used, sizeof advice - used, "%s--device-layers %lld", used ? " or " : "", (long long)layers);
    return so_fail(error, SO_ERR_NOMEM,
                   "%s: %lld positions need %.2f GB (%.2f of them for weights), %.2f GB are free: %s would fit",
                   model->device ? so_device_about(model->device)->name : "the device", (long long)model->context,
                   (double)plan.all * 1e-9, (double)(plan.weights + plan.codec) * 1e-9, (double)left * 1e-9,
                   advice[0] ? advice : "smaller types of weights (convert --type) or --device cpu");
}

so_status so_plan_layers(so_model *model, size_t left, so_error *error)
{
    int64_t all = model->net.backbone.layers;
    so_device_plan plan;
    SO_TRY(so_plan_device(model, NULL, &plan, error));
    if (plan.all <= left || all < 2) return SO_OK;
    int64_t n = fitting_layers(model, left);
    so_model_keep_layers(model, n ? n : 1);
    return SO_OK; /* so_plan_check says what is short */
}

/* ---- opening */

static so_status place(so_model *model, const so_model_options *options, so_error *error)
{
    int layers = options ? options->device_layers : 0;
    if (!model->device) return SO_OK;
    size_t left = so_device_left(model->device);
    if (layers < 0)
        SO_TRY(so_plan_layers(model, left, error));
    else if (layers > 0 && layers < model->net.backbone.layers)
        so_model_keep_layers(model, layers);
    return so_plan_check(model, left, error);
}

so_status so_model_open_on(so_model **out, const char *path, const so_model_options *options, so_device *device,
                           so_error *error)
{
    SO_TRY(so_model_load(out, path, options, device, error));
    so_status status = place(*out, options, error);
    if (status == SO_OK) status = so_model_settle(*out, error);
    if (status != SO_OK) so_model_close(out);
    return status;
}

so_status so_model_open(so_model **out, const char *path, const so_model_options *options, so_error *error)
{
    so_device *device;
    if (!out) return so_fail(error, SO_ERR_ARG, "no place for a model");
    *out = NULL;
    if (!path) return so_fail(error, SO_ERR_ARG, "no path of a model");
    SO_TRY(so_model_device(options, &device, error));
    return so_model_open_on(out, path, options, device, error);
}
