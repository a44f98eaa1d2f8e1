/* The vocoder's discriminators. See discriminators.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/discriminators.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

so_discriminators_config so_discriminators_published(void)
{
    return (so_discriminators_config){5, {2, 3, 5, 7, 11}, {32, 128, 512, 1024, 1024}, 3, {2048, 1024, 512}, 32};
}

so_discriminators_config so_discriminators_for(int64_t channels)
{
    if (channels >= 512) return so_discriminators_published();
    return (so_discriminators_config){5, {2, 3, 5, 7, 11}, {8, 16, 32, 64, 64}, 3, {2048, 1024, 512}, 8};
}

static so_tensor *conv(so_pass *pass, const so_discriminator_conv *c, so_tensor *x, const int64_t stride[2],
                       const int64_t pad[2])
{
    return so_conv2d(pass, x, so_weight_norm(pass, c->v, c->g), c->bias, stride, pad);
}

static void note(so_discrimination *v, so_tensor *feature)
{
    if (v->n_features < SO_DISCRIMINATOR_FEATURES) v->feature[v->n_features++] = feature;
}

static void decide(so_discrimination *v, so_tensor *out)
{
    note(v, out);
    if (v->n < SO_DISCRIMINATORS) v->out[v->n++] = out;
}

/* wave[B, N], mirrored at its end to whole periods ->
 * [B, N / period, period, 1]. */
static so_tensor *fold(so_pass *pass, so_tensor *wave, int64_t period)
{
    int64_t B = wave->dim[0], N = wave->dim[1], H = (N + period - 1) / period, whole = H * period;
    if (N < period + 1) return so_pass_fail(pass, SO_ERR_ARG, "discriminators: %lld samples", (long long)N);
    so_tensor *x = so_reshape(pass, wave, 2, (int64_t[]){B * N, 1});
    if (whole != N) {
        int32_t *index = so_take(pass, (size_t)(B * whole) * sizeof *index, false);
        for (int64_t i = 0; index && i < B * whole; i++) {
            int64_t t = i % whole;
            index[i] = (int32_t)(i / whole * N + (t < N ? t : 2 * (N - 1) - t));
        }
        x = index ? so_take_rows(pass, x, B * whole, index) : NULL;
    }
    return x ? so_reshape(pass, x, 4, (int64_t[]){B, H, period, 1}) : NULL;
}

static void run_period(so_pass *pass, const so_discriminators *net, int64_t p, so_tensor *wave, so_discrimination *v)
{
    static const int64_t fast[2] = {3, 1}, slow[2] = {1, 1}, pad[2] = {2, 0}, post[2] = {1, 0};
    so_tensor *x = fold(pass, wave, net->config.period[p]);
    for (int i = 0; i < SO_DISCRIMINATOR_LAYERS; i++) {
        x = conv(pass, &net->by_period[p].conv[i], x, i < SO_DISCRIMINATOR_LAYERS - 1 ? fast : slow, pad);
        x = so_apply(pass, SO_LRELU_0_1, x);
        note(v, x);
    }
    decide(v, conv(pass, &net->by_period[p].post, x, slow, post));
}

/* Bins from..from+n of a spectrum [B, F, 2 bins] as [B, F, n, 2]. */
static so_tensor *band(so_pass *pass, so_tensor *spec, int64_t from, int64_t n)
{
    if (!spec) return NULL;
    int64_t bins = so_cols(spec) / 2, rows = so_rows(spec);
    so_tensor *part[2];
    for (int i = 0; i < 2; i++) {
        part[i] = so_cut_cols(pass, spec, i * bins + from, n);
        part[i] = part[i] ? so_reshape(pass, part[i], 2, (int64_t[]){rows * n, 1}) : NULL;
    }
    so_tensor *x = so_join_cols(pass, 2, part);
    return x ? so_reshape(pass, x, 4, (int64_t[]){spec->dim[0], spec->dim[1], n, 2}) : NULL;
}

static so_tensor *flat_rows(so_pass *pass, so_tensor *x)
{
    return x ? so_reshape(pass, x, 2, (int64_t[]){x->dim[0] * x->dim[1], x->dim[2] * x->dim[3]}) : NULL;
}

static void run_window(so_pass *pass, const so_discriminators *net, int64_t w, so_tensor *wave, so_discrimination *v)
{
    static const double edge[SO_DISCRIMINATOR_BANDS + 1] = {0, 0.1, 0.25, 0.5, 0.75, 1};
    static const int64_t same[2] = {1, 1}, coarser[2] = {1, 2}, wide[2] = {1, 4}, narrow[2] = {1, 1};
    int64_t n = net->config.window[w], bins = n / 2 + 1, C = net->config.window_channels;
    so_frames frames = {n, n / 4, n / 2, so_hann(pass, n)};
    so_tensor *spec = so_stft(pass, so_peak_normalise(pass, wave, 0.8), &frames), *part[SO_DISCRIMINATOR_BANDS];
    for (int b = 0; b < SO_DISCRIMINATOR_BANDS; b++) {
        int64_t from = (int64_t)(edge[b] * (double)bins), to = (int64_t)(edge[b + 1] * (double)bins);
        so_tensor *x = band(pass, spec, from, to - from);
        for (int i = 0; i < SO_DISCRIMINATOR_LAYERS; i++) {
            bool last = i == SO_DISCRIMINATOR_LAYERS - 1;
            x = conv(pass, &net->by_window[w].conv[b][i], x, i && !last ? coarser : same, last ? narrow : wide);
            x = so_apply(pass, SO_LRELU_0_1, x);
            if (i) note(v, x);
        }
        part[b] = flat_rows(pass, x);
    }
    so_tensor *x = so_join_cols(pass, SO_DISCRIMINATOR_BANDS, part);
    if (!x) return;
    x = so_reshape(pass, x, 4, (int64_t[]){spec->dim[0], spec->dim[1], so_cols(x) / C, C});
    decide(v, conv(pass, &net->by_window[w].post, x, same, narrow));
}

bool so_discriminate(so_pass *pass, const so_discriminators *net, so_tensor *wave, so_discrimination *v)
{
    *v = (so_discrimination){0};
    if (!so_want_dims(pass, "discriminators", wave, 2)) return false;
    for (int64_t p = 0; p < net->config.periods; p++) run_period(pass, net, p, wave, v);
    for (int64_t w = 0; w < net->config.windows; w++) run_window(pass, net, w, wave, v);
    return so_ok(pass);
}

/* ---- binding */

#define CONV(field, name, axes, init, scale)                                                                           \
    {                                                                                                                  \
        offsetof(so_discriminator_conv, field), name, axes, NULL, init, scale, false                                   \
    }
static const so_bind_row conv_table[] = {
    CONV(v, "weight_v", "O I a b", SO_INIT_FAN_IN, 1),
    CONV(g, "weight_g", "O", SO_INIT_VALUE, 1),
    CONV(bias, "bias", "O", SO_INIT_VALUE, 0),
};

static so_status bind_conv(so_discriminator_conv *c, const char *name, int64_t out, int64_t in, int64_t kh, int64_t kw,
                           so_binder *binder, so_error *error)
{
    int64_t *of = binder->sizes.of;
    of['O'] = out;
    of['I'] = in;
    of['a'] = kh;
    of['b'] = kw;
    SO_TRY(SO_BIND(binder, name, 0, conv_table, c, error));
    if (binder->source || !c->v || !c->g) return SO_OK;
    for (int64_t r = 0, n = in * kh * kw; r < out; r++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)so_data(c->v)[r * n + i] * (double)so_data(c->v)[r * n + i];
        so_data(c->g)[r] = (so_real)sqrt(sum);
    }
    return SO_OK;
}

static so_status bind_period(so_discriminators *net, int64_t p, const char *prefix, so_binder *binder, so_error *error)
{
    char name[320];
    int64_t in = 1;
    for (int i = 0; i < SO_DISCRIMINATOR_LAYERS; i++) {
        int64_t out = net->config.period_channels[i];
        snprintf(name, sizeof name, "%smpd.discriminators.%lld.convs.%d.", prefix, (long long)p, i);
        SO_TRY(bind_conv(&net->by_period[p].conv[i], name, out, in, 5, 1, binder, error));
        in = out;
    }
    snprintf(name, sizeof name, "%smpd.discriminators.%lld.conv_post.", prefix, (long long)p);
    return bind_conv(&net->by_period[p].post, name, 1, in, 3, 1, binder, error);
}

static so_status bind_window(so_discriminators *net, int64_t w, const char *prefix, so_binder *binder, so_error *error)
{
    char name[320];
    int64_t C = net->config.window_channels;
    for (int b = 0; b < SO_DISCRIMINATOR_BANDS; b++)
        for (int i = 0; i < SO_DISCRIMINATOR_LAYERS; i++) {
            snprintf(name, sizeof name, "%smrd.discriminators.%lld.band_convs.%d.%d.", prefix, (long long)w, b, i);
            int64_t width = i == SO_DISCRIMINATOR_LAYERS - 1 ? 3 : 9;
            SO_TRY(bind_conv(&net->by_window[w].conv[b][i], name, C, i ? C : 2, 3, width, binder, error));
        }
    snprintf(name, sizeof name, "%smrd.discriminators.%lld.conv_post.", prefix, (long long)w);
    return bind_conv(&net->by_window[w].post, name, 1, C, 3, 3, binder, error);
}

so_status so_discriminators_bind(so_discriminators *net, const so_discriminators_config *config, const char *prefix,
                                 so_binder *binder, so_error *error)
{
    *net = (so_discriminators){.config = *config};
    if (config->periods < 0 || config->periods > SO_DISCRIMINATOR_LAYERS || config->windows < 0 || config->windows > 3)
        return so_fail(error, SO_ERR_ARG, "discriminators: %lld periods, %lld windows", (long long)config->periods,
                       (long long)config->windows);
    const char *group = binder->group;
    if (!group) binder->group = "discriminators";
    so_status status = SO_OK;
    for (int64_t p = 0; p < config->periods && status == SO_OK; p++)
        status = bind_period(net, p, prefix, binder, error);
    for (int64_t w = 0; w < config->windows && status == SO_OK; w++)
        status = bind_window(net, w, prefix, binder, error);
    binder->group = group;
    return status;
}
