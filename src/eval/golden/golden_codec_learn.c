/* The reference's networks with weights that learn, opened when a case first wants them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "eval/golden/golden_codec.h"

static so_status open_part(so_codec_golden *b, so_codec_part *part, const char *name, so_binder *binder,
                           so_error *error)
{
    const so_views *views;
    SO_TRY(so_codec_part_open(part, b->g->folder, name, &views, error));
    if (!views) return so_fail(error, SO_ERR_MISSING, "the folder holds no %s.safetensors", name);
    SO_TRY(so_store_open(&part->store, 0, error));
    *binder =
        (so_binder){.store = &part->store, .source = views, .pool = b->pool, .expand = true, .check_finite = true};
    return SO_OK;
}

static so_status finish_part(so_codec_part *part, const so_binder *binder, const char *what, so_error *error)
{
    SO_TRY(so_binder_finish(binder, what, error));
    return so_store_learn(&part->store, NULL, true, error);
}

so_status so_codec_golden_learn_flow(so_codec_golden *b, so_error *error)
{
    so_codec_part *part = &b->learners.flow_part;
    so_binder binder;
    if (part->store.count) return SO_OK;
    SO_TRY(open_part(b, part, "flow", &binder, error));
    SO_TRY(so_flow_bind(&b->learners.flow, &b->codec.flow.config, "", &binder, error));
    return finish_part(part, &binder, "the flow", error);
}

so_status so_codec_golden_learn_hift(so_codec_golden *b, so_error *error)
{
    so_codec_part *part = &b->learners.hift_part;
    so_binder binder;
    if (part->store.count) return SO_OK;
    SO_TRY(open_part(b, part, "hift", &binder, error));
    SO_TRY(so_hift_bind(&b->learners.hift, &b->codec.hift.config, "", &binder, error));
    return finish_part(part, &binder, "the vocoder", error);
}

int64_t so_codec_golden_integers(const json_t *list, int64_t *value, int64_t most)
{
    int64_t n = (int64_t)json_array_size(list);
    for (int64_t i = 0; i < n && i < most; i++) value[i] = json_integer_value(json_array_get(list, (size_t)i));
    return n < most ? n : most;
}

static so_discriminators_config discriminator_sizes(const so_codec_golden *b)
{
    so_discriminators_config c = so_discriminators_published();
    json_error_t where;
    json_t *root = b->codec.config ? json_loads(b->codec.config, 0, &where) : NULL;
    const json_t *json = json_object_get(root, "discriminator");
    so_codec_golden_integers(json_object_get(json, "mpd_channels"), c.period_channels, SO_DISCRIMINATOR_LAYERS);
    if (json_object_get(json, "mpd_periods"))
        c.periods = so_codec_golden_integers(json_object_get(json, "mpd_periods"), c.period, SO_DISCRIMINATOR_LAYERS);
    if (json_object_get(json, "mrd_windows"))
        c.windows = so_codec_golden_integers(json_object_get(json, "mrd_windows"), c.window, 3);
    if (json_object_get(json, "mrd_channels"))
        c.window_channels = json_integer_value(json_object_get(json, "mrd_channels"));
    json_decref(root);
    return c;
}

so_status so_codec_golden_learn_discriminators(so_codec_golden *b, so_error *error)
{
    so_codec_part *part = &b->learners.disc_part;
    so_binder binder;
    if (part->store.count) return SO_OK;
    so_discriminators_config config = discriminator_sizes(b);
    for (int64_t i = 0; i < config.periods; i++)
        if (config.period[i] < 1)
            return so_fail(error, SO_ERR_FORMAT, "config.json: a period of %lld", (long long)config.period[i]);
    for (int64_t i = 0; i < config.windows; i++)
        if (config.window[i] < 64 || config.window[i] > 1 << 16)
            return so_fail(error, SO_ERR_FORMAT, "config.json: a window of %lld", (long long)config.window[i]);
    SO_TRY(open_part(b, part, "discriminators", &binder, error));
    SO_TRY(so_discriminators_bind(&b->learners.discriminators, &config, "", &binder, error));
    return finish_part(part, &binder, "the discriminators", error);
}

so_status so_codec_golden_learn_cam(so_codec_golden *b, so_error *error)
{
    so_codec_part *part = &b->learners.cam_part;
    so_binder binder;
    if (part->store.count) return SO_OK;
    SO_TRY(open_part(b, part, "campplus", &binder, error));
    so_cam_config config = so_cam_sizes(binder.source, "");
    SO_TRY(so_cam_bind(&b->learners.cam, &config, "", &binder, error));
    return finish_part(part, &binder, "CAM++", error);
}

void so_codec_golden_forget(so_codec_golden *b)
{
    so_codec_part *part[] = {&b->learners.flow_part, &b->learners.hift_part, &b->learners.disc_part};
    for (size_t p = 0; p < sizeof part / sizeof *part; p++)
        for (int64_t i = 0; i < part[p]->store.count; i++) {
            so_tensor *t = &part[p]->store.weight[i]->tensor;
            if (t->grad) memset(t->grad, 0, (size_t)so_count(t) * sizeof *t->grad);
        }
}
