/* The flow model as a whole: Euler steps from noise to a mel, and binding. See flow.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "models/flow_parts.h"

static const double quarter = 1.57079632679489661923; /* of a turn */

/* Both branches of the guidance as a batch of two: x twice; the conditions, and zeros. */
static so_tensor *twice(so_pass *pass, so_tensor *a, bool same)
{
    int64_t n = so_count(a);
    so_tensor *y = so_new3(pass, 2, so_rows(a), so_cols(a));
    if (!y || pass->dry) return y;
    memcpy(y->data, a->data, (size_t)n * sizeof(so_real));
    if (same)
        memcpy(so_data(y) + n, a->data, (size_t)n * sizeof(so_real));
    else
        memset(so_data(y) + n, 0, (size_t)n * sizeof(so_real));
    return y;
}

void so_flow_step(so_pass *pass, const so_flow *net, int64_t i, so_tensor *x, so_tensor *mu, so_tensor *speaker,
                  so_tensor *cond)
{
    if (!so_ok(pass) || !x || !mu || !speaker) return;
    size_t mark = so_arena_mark(pass->arena);
    int64_t n = so_count(x), steps = net->config.steps;
    double t0 = 1 - cos(quarter * (double)i / (double)steps), t1 = 1 - cos(quarter * (double)(i + 1) / (double)steps);
    so_flow_ask ask = {twice(pass, mu, false), twice(pass, speaker, false), cond ? twice(pass, cond, false) : NULL};
    if (!so_ok(pass)) return;
    ask.speaker = so_reshape(pass, ask.speaker, 2, (int64_t[]){2, so_count(speaker)});
    ask.t = (so_real[]){(so_real)t0, (so_real)t0};
    so_tensor *v = so_flow_velocity(pass, net, twice(pass, x, true), &ask);
    so_real g = (so_real)net->config.guidance, dt = (so_real)(t1 - t0);
    for (int64_t j = 0; v && j < n && !pass->dry; j++)
        so_data(x)[j] += dt * ((1 + g) * so_data(v)[j] - g * so_data(v)[n + j]);
    so_arena_release(pass->arena, mark);
}

so_tensor *so_flow_sample(so_pass *pass, const so_flow *net, so_tensor *z, so_tensor *mu, so_tensor *speaker,
                          so_tensor *cond)
{
    if (!so_ok(pass) || !z || !mu || !speaker) return NULL;
    if (pass->recording) return so_pass_fail(pass, SO_ERR_STATE, "flow: the sampler cannot be recorded");
    if (!so_want_same(pass, "flow", z, mu) || (cond && !so_want_same(pass, "flow", z, cond))) return NULL;
    so_tensor *x = so_constant(pass, 2, (int64_t[]){so_rows(z), so_cols(z)}, so_data(z));
    for (int64_t i = 0; i < net->config.steps; i++) so_flow_step(pass, net, i, x, mu, speaker, cond);
    return so_ok(pass) ? x : NULL;
}

/* The first K rows of x replaced by others. */
static so_tensor *replace_rows(so_pass *pass, so_tensor *x, int64_t K, const so_real *rows)
{
    if (!x || K < 1) return x;
    if (K > so_rows(x))
        return so_pass_fail(pass, SO_ERR_ARG, "flow: %lld frames from before, %lld in all", (long long)K,
                            (long long)so_rows(x));
    so_tensor *y = so_constant(pass, 2, (int64_t[]){so_rows(x), so_cols(x)}, so_data(x));
    if (y && !pass->dry) memcpy(y->data, rows, (size_t)(K * so_cols(x)) * sizeof *rows);
    return y;
}

so_tensor *so_flow_mel(so_pass *pass, const so_flow *net, const so_flow_request *r, so_tensor **mu)
{
    int64_t M = net->config.mels, all = r->M1 + r->frames;
    so_tensor *vector = so_constant(pass, 2, (int64_t[]){1, net->config.speaker}, r->vector);
    so_tensor *speaker = so_flow_speaker(pass, net, vector);
    so_tensor *h = so_flow_project(pass, net, so_flow_encoder(pass, net, 1, r->P + r->N, r->ids, NULL));
    so_tensor *m = so_flow_regulate(pass, net, h, r->P, r->M1, r->frames), *cond = NULL;
    if (mu) *mu = m;
    so_tensor *z = so_constant(pass, 2, (int64_t[]){all, M}, r->z);
    if (r->M1) {
        cond = so_new2(pass, all, M);
        if (cond && !pass->dry) {
            memset(cond->data, 0, (size_t)so_count(cond) * sizeof(so_real));
            memcpy(cond->data, r->prompt, (size_t)(r->M1 * M) * sizeof(so_real));
        }
    }
    z = replace_rows(pass, z, r->K, r->z_before);
    m = replace_rows(pass, m, r->K, r->mu_before);
    so_tensor *mel = so_flow_sample(pass, net, z, m, speaker, cond);
    if (!mel || r->M1 == 0) return mel;
    return so_constant(pass, 2, (int64_t[]){r->frames, M}, so_data(mel) + r->M1 * M);
}

/* ---- binding */

so_flow_config so_flow_published(void)
{
    return (so_flow_config){.units = 4096,
                            .width = 512,
                            .heads = 8,
                            .ff = 2048,
                            .layers = 6,
                            .channels = 256,
                            .est_heads = 8,
                            .head_width = 64,
                            .est_blocks = 4,
                            .mid = 12,
                            .speaker = 192,
                            .mels = 80,
                            .unit_rate = 25,
                            .rate = 22050,
                            .hop = 256,
                            .border = 20,
                            .steps = 10,
                            .guidance = 0.7,
                            .sigma_min = 1e-6};
}

static so_status bind(so_flow *net, const so_flow_config *config, const char *prefix, so_binder *binder,
                      so_error *error)
{
    if (config->heads < 1 || config->width % config->heads || config->channels % 8)
        return so_fail(error, SO_ERR_ARG, "flow: width %lld in %lld heads, %lld channels in 8 groups",
                       (long long)config->width, (long long)config->heads, (long long)config->channels);
    int64_t *of = binder->sizes.of;
    of['V'] = config->units;
    of['D'] = config->width;
    of['H'] = config->heads;
    of['d'] = config->width / config->heads;
    of['F'] = config->ff;
    of['M'] = config->mels;
    of['S'] = config->speaker;
    of['C'] = config->channels;
    of['A'] = config->est_heads * config->head_width;
    SO_TRY(so_flow_bind_encoder(net, prefix, binder, error));
    SO_TRY(so_flow_bind_unet(net, prefix, binder, error));
    SO_TRY(so_flow_bind_encoder_layers(net, prefix, binder, error));
    return so_flow_bind_unet_stages(net, prefix, binder, error);
}

so_status so_flow_bind(so_flow *net, const so_flow_config *config, const char *prefix, so_binder *binder,
                       so_error *error)
{
    *net = (so_flow){.config = *config};
    const char *group = binder->group;
    if (!group) binder->group = "flow";
    so_status status = bind(net, config, prefix, binder, error);
    binder->group = group;
    return status;
}
