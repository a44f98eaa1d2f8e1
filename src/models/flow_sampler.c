/* The flow model as a whole: Euler steps from noise to a mel, and binding. See flow.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "models/flow_parts.h"

static const double quarter = 1.57079632679489661923; /* of a turn */

/* Both branches of the guidance as a batch of two: x twice; the conditions, and zeros. */
static so_tensor *twice(so_pass *pass, so_tensor *a, bool same)
{
    int64_t n = so_count(a);
    so_tensor *y = so_new3(pass, 2, so_rows(a), so_cols(a));
    if (!y || pass->dry) return y;
    pass->k->copy(pass->pool, n, so_data(a), so_data(y));
    if (same)
        pass->k->copy(pass->pool, n, so_data(a), so_data(y) + n);
    else
        pass->k->fill(pass->pool, n, 0, so_data(y) + n);
    return y;
}

/* The same question, put together in one step where a device does it. */
static so_tensor *both_questions(so_pass *pass, const so_flow_state *s)
{
    int64_t rows = so_rows(s->x), cols = so_cols(s->x);
    if (!so_want_same(pass, "flow", s->x, s->mu) || !so_want_cols(pass, "flow speaker", s->speaker, cols)) return NULL;
    so_tensor *y = so_new3(pass, 2, rows, 4 * cols);
    so_question q = {.rows = rows, .cols = cols, .cond = s->cond ? so_data(s->cond) : NULL};
    if (!y || pass->dry) return y;
    q.x = so_data(s->x);
    q.mu = so_data(s->mu);
    q.speaker = so_data(s->speaker);
    q.y = so_data(y);
    pass->k->question(pass->pool, &q);
    return y;
}

/* x moves on: f [2] is the length of the step and the strength of the guidance. */
static void move(so_pass *pass, const so_flow *net, const so_flow_state *s, so_tensor *times, so_tensor *f)
{
    if (so_joins(pass)) {
        so_tensor *v = so_flow_answer(pass, net, both_questions(pass, s), &(so_flow_ask){.times = times});
        if (v && !pass->dry) pass->k->guide(pass->pool, so_count(s->x), so_data(f), so_data(v), so_data(s->x));
        return;
    }
    so_flow_ask ask = {.mu = twice(pass, s->mu, false), .speaker = twice(pass, s->speaker, false), .times = times};
    if (s->cond) ask.cond = twice(pass, s->cond, false);
    if (!so_ok(pass)) return;
    ask.speaker = so_reshape(pass, ask.speaker, 2, (int64_t[]){2, so_count(s->speaker)});
    so_tensor *v = so_flow_velocity(pass, net, twice(pass, s->x, true), &ask);
    if (v && !pass->dry) pass->k->guide(pass->pool, so_count(s->x), so_data(f), so_data(v), so_data(s->x));
}

void so_flow_forget(so_flow_again *again)
{
    so_device_forget(again->device, &again->recording);
    *again = (so_flow_again){0};
}

/* Replays the recording, or makes it first; false where there is none to be had. */
static bool move_again(so_pass *pass, const so_flow *net, const so_flow_state *s, so_tensor *times, so_tensor *f,
                       so_flow_again *again)
{
    int64_t rows = so_rows(s->x);
    if (pass->dry || pass->watch) return false;
    if (again->recording && (again->base != pass->data->base || again->rows != rows)) so_flow_forget(again);
    if (!again->recording) {
        if (!so_device_record(pass->device)) return false;
        move(pass, net, s, times, f);
        *again = (so_flow_again){pass->device, so_device_recorded(pass->device), pass->data->base, rows};
    }
    if (!so_ok(pass)) so_flow_forget(again); /* it was stopped half way */
    if (!so_ok(pass) || !again->recording) return !so_ok(pass);
    so_device_replay(pass->device, again->recording);
    return true;
}

void so_flow_step_again(so_pass *pass, const so_flow *net, int64_t i, const so_flow_state *s, so_flow_again *again)
{
    if (!so_ok(pass) || !s->x || !s->mu || !s->speaker) return;
    so_mark mark = so_pass_mark(pass);
    double steps = (double)net->config.steps, t0 = 1 - cos(quarter * (double)i / steps);
    double t1 = 1 - cos(quarter * (double)(i + 1) / steps);
    so_real f[2] = {(so_real)(t1 - t0), (so_real)net->config.guidance};
    so_tensor *times = so_flow_times(pass, net, 2, (so_real[]){(so_real)t0, (so_real)t0});
    so_tensor *factor = so_constant(pass, 1, (int64_t[]){2}, f);
    if (!so_ok(pass)) return;
    if (!again || !pass->device || !move_again(pass, net, s, times, factor, again)) move(pass, net, s, times, factor);
    so_pass_release(pass, mark);
}

void so_flow_step(so_pass *pass, const so_flow *net, int64_t i, so_tensor *x, so_tensor *mu, so_tensor *speaker,
                  so_tensor *cond)
{
    so_flow_step_again(pass, net, i, &(so_flow_state){x, mu, speaker, cond}, NULL);
}

/* A copy of rows from, from + 1, ... of x. */
static so_tensor *copy_rows(so_pass *pass, const so_tensor *x, int64_t from, int64_t rows)
{
    so_tensor *y = so_new2(pass, rows, so_cols(x));
    if (y && !pass->dry) pass->k->copy(pass->pool, so_count(y), so_data(x) + from * so_cols(x), so_data(y));
    return y;
}

so_tensor *so_flow_sample(so_pass *pass, const so_flow *net, so_tensor *z, so_tensor *mu, so_tensor *speaker,
                          so_tensor *cond)
{
    if (!so_ok(pass) || !z || !mu || !speaker) return NULL;
    if (pass->recording) return so_pass_fail(pass, SO_ERR_STATE, "flow: the sampler cannot be recorded");
    if (!so_want_same(pass, "flow", z, mu) || (cond && !so_want_same(pass, "flow", z, cond))) return NULL;
    so_tensor *x = copy_rows(pass, z, 0, so_rows(z));
    so_flow_state state = {x, mu, speaker, cond};
    so_flow_again again = {0};
    for (int64_t i = 0; i < net->config.steps; i++) so_flow_step_again(pass, net, i, &state, &again);
    so_flow_forget(&again);
    return so_ok(pass) ? x : NULL;
}

/* Numbers of the host at the front of x. */
static void put(so_pass *pass, so_tensor *x, const so_real *from, int64_t n)
{
    if (x && !pass->dry) so_device_write(pass->device, x->data, from, (size_t)n * sizeof *from);
}

/* The first K rows of x replaced by others. */
static so_tensor *replace_rows(so_pass *pass, so_tensor *x, int64_t K, const so_real *rows)
{
    if (!x || K < 1) return x;
    if (K > so_rows(x))
        return so_pass_fail(pass, SO_ERR_ARG, "flow: %lld frames from before, %lld in all", (long long)K,
                            (long long)so_rows(x));
    so_tensor *y = copy_rows(pass, x, 0, so_rows(x));
    put(pass, y, rows, K * so_cols(x));
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
        if (cond && !pass->dry) pass->k->fill(pass->pool, so_count(cond), 0, so_data(cond));
        put(pass, cond, r->prompt, r->M1 * M);
    }
    z = replace_rows(pass, z, r->K, r->z_before);
    m = replace_rows(pass, m, r->K, r->mu_before);
    so_tensor *mel = so_flow_sample(pass, net, z, m, speaker, cond);
    return !mel || r->M1 == 0 ? mel : copy_rows(pass, mel, r->M1, r->frames);
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
                            .sigma_min = 1e-6,
                            .temperature = 1};
}

static so_status bind(so_flow *net, const so_flow_config *config, const char *prefix, so_binder *binder,
                      so_error *error)
{
    if (config->heads < 1 || config->width % config->heads || config->channels % 8)
        return so_fail(error, SO_ERR_ARG, "flow: width %lld in %lld heads, %lld channels in 8 groups",
                       (long long)config->width, (long long)config->heads, (long long)config->channels);
    if (!(config->guidance >= 0 && config->guidance <= 100 && config->temperature >= 0 && config->temperature <= 10))
        return so_fail(error, SO_ERR_ARG,
                       "flow: a guidance of %g and noise of temperature %g, expected 0 to 100 and 0 to 10",
                       config->guidance, config->temperature);
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
