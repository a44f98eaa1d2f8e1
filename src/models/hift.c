/* The vocoder. See hift.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/hift.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define TWO_PI 6.283185307179586476925

/* ---- sizes */

so_hift_config so_hift_published(void)
{
    return (so_hift_config){.channels = 512,
                            .f0_channels = 512,
                            .mels = 80,
                            .rate = 22050,
                            .harmonics = 8,
                            .stages = 2,
                            .up_rate = {8, 8},
                            .up_kernel = {16, 16},
                            .source_kernel = {7, 11},
                            .kernel = {3, 7, 11},
                            .dilation = {1, 3, 5},
                            .n_fft = 16,
                            .hop = 4,
                            .loud = 0.1,
                            .noise = 0.003,
                            .voiced = 10,
                            .limit = 0.99};
}

int64_t so_hift_samples(const so_hift_config *c)
{
    int64_t n = c->hop;
    for (int64_t i = 0; i < c->stages; i++) n *= c->up_rate[i];
    return n;
}

int64_t so_hift_context(const so_hift_config *c)
{
    int64_t kernel = c->kernel[0], dilations = 0, finer = so_hift_samples(c), reach = 4 * finer;
    for (int i = 1; i < SO_HIFT_KERNELS; i++) kernel = c->kernel[i] > kernel ? c->kernel[i] : kernel;
    for (int i = 0; i < SO_HIFT_KERNELS; i++) dilations += c->dilation[i];
    for (int64_t i = 0; i < c->stages; i++) {
        finer /= c->up_rate[i];
        int64_t source = c->source_kernel[i] > kernel ? c->source_kernel[i] : kernel;
        reach += finer * (c->up_kernel[i] + 1);
        reach += finer * ((source - 1) / 2 + (kernel - 1) / 2) * (dilations + SO_HIFT_KERNELS);
    }
    reach += finer * 4 + c->n_fft;
    return reach / so_hift_samples(c) + 1;
}

/* ---- layers */

static so_tensor *weight(so_pass *pass, const so_hift_conv *c)
{
    return c->w ? c->w : so_weight_norm(pass, c->v, c->g);
}

static so_tensor *conv(so_pass *pass, const so_hift_conv *c, so_tensor *x, int64_t kernel, int64_t dilation)
{
    return so_conv1d(pass, x, weight(pass, c), c->bias, so_conv_same(kernel, dilation));
}

static so_tensor *resblock(so_pass *pass, const so_hift *net, const so_hift_resblock *r, so_tensor *x)
{
    so_mark mark = so_pass_mark(pass);
    for (int i = 0; i < SO_HIFT_KERNELS; i++) {
        so_tensor *t = so_snake(pass, x, r->alpha1[i]);
        t = conv(pass, &r->conv1[i], t, r->kernel, net->config.dilation[i]);
        t = so_snake(pass, t, r->alpha2[i]);
        x = so_residual(pass, x, conv(pass, &r->conv2[i], t, r->kernel, 1));
    }
    return so_keep(pass, mark, x);
}

so_tensor *so_hift_f0(so_pass *pass, const so_hift *net, so_tensor *mel)
{
    if (!so_want_dims(pass, "hift f0", mel, 3)) return NULL;
    so_tensor *x = mel;
    for (int i = 0; i < 5; i++) x = so_apply(pass, SO_ELU, conv(pass, &net->f0_conv[i], x, 3, 1));
    x = so_apply(pass, SO_ABS, so_linear(pass, x, net->f0_w, net->f0_b));
    return x ? so_reshape(pass, x, 2, mel->dim) : NULL;
}

void so_hift_harmonics(const so_hift_config *c, int64_t T, const so_real *f0, const so_real *offset,
                       const so_real *noise, so_hift_phase *phase, so_real *out)
{
    int64_t H = c->harmonics + 1, each = so_hift_samples(c);
    for (int64_t t = 0; t < T; t++) {
        bool voiced = (double)f0[t] > c->voiced;
        double loud = voiced ? c->loud : 0, amplitude = voiced ? c->noise : c->loud / 3, step[SO_HIFT_HARMONICS];
        for (int64_t h = 0; h < H; h++) step[h] = (double)f0[t] * (double)(h + 1) / (double)c->rate;
        for (int64_t i = 0; i < each; i++, out += H, noise += H)
            for (int64_t h = 0; h < H; h++) {
                double turn = phase->turn[h] + step[h];
                phase->turn[h] = turn -= floor(turn);
                double tone = voiced ? loud * sin(TWO_PI * turn + (double)offset[h]) : 0;
                out[h] = (so_real)(tone + amplitude * (double)noise[h]);
            }
    }
}

so_tensor *so_hift_source(so_pass *pass, const so_hift *net, so_tensor *harmonics)
{
    if (!so_want_dims(pass, "hift source", harmonics, 3)) return NULL;
    so_tensor *s = so_apply(pass, SO_TANH, so_linear(pass, harmonics, net->merge_w, net->merge_b));
    return s ? so_reshape(pass, s, 2, harmonics->dim) : NULL;
}

/* One element more on the left of every item, the mirror image of the second. */
static so_tensor *reflect_left(so_pass *pass, so_tensor *x)
{
    if (!x) return NULL;
    int64_t B = x->dim[0], T = x->dim[1], C = x->dim[2], n = B * (T + 1);
    int32_t *index = so_take(pass, (size_t)n * sizeof *index, false);
    for (int64_t i = 0; index && i < n; i++) {
        int64_t t = i % (T + 1);
        index[i] = (int32_t)(i / (T + 1) * T + (t ? t - 1 : 1));
    }
    so_tensor *y = index ? so_take_rows(pass, x, n, index) : NULL;
    return y ? so_reshape(pass, y, 3, (int64_t[]){B, T + 1, C}) : NULL;
}

/* What the source adds at a stage whose frames are `rate` times coarser than the spectrum's. */
static so_tensor *source_branch(so_pass *pass, const so_hift *net, int64_t i, so_tensor *S, int64_t rate)
{
    const so_hift_stage *s = &net->stage[i];
    so_conv1 down = {rate, rate / 2, 1, -1};
    so_tensor *x = so_conv1d(pass, S, s->source_w, s->source_b, rate > 1 ? down : so_conv_same(1, 1));
    so_label(pass, x, "hift.source.%lld.down", (long long)i);
    x = resblock(pass, net, &s->source, x);
    so_label(pass, x, "hift.source.%lld", (long long)i);
    return x;
}

static so_tensor *stage(so_pass *pass, const so_hift *net, int64_t i, so_tensor *x, so_tensor *S, int64_t coarser)
{
    const so_hift_config *c = &net->config;
    const so_hift_stage *s = &net->stage[i];
    so_mark mark = so_pass_mark(pass);
    x = so_apply(pass, SO_LRELU_0_1, x);
    x = so_conv_transpose1d(pass, x, weight(pass, &s->up), s->up.bias, c->up_rate[i],
                            (c->up_kernel[i] - c->up_rate[i]) / 2);
    so_label(pass, x, "hift.up.%lld", (long long)i);
    if (i == c->stages - 1) x = reflect_left(pass, x);
    so_label(pass, x, "hift.up.%lld.padded", (long long)i);
    x = so_add(pass, x, source_branch(pass, net, i, S, coarser));
    so_tensor *sum = NULL;
    for (int k = 0; k < SO_HIFT_KERNELS; k++) {
        so_tensor *y = resblock(pass, net, &s->block[k], x);
        so_label(pass, y, "hift.block.%lld.%d", (long long)i, k);
        sum = k ? so_residual(pass, sum, y) : y;
    }
    x = so_keep(pass, mark, so_scale(pass, sum, (so_real)1 / SO_HIFT_KERNELS));
    so_label(pass, x, "hift.stage.%lld", (long long)i);
    return x;
}

static so_frames small_frames(so_pass *pass, const so_hift_config *c)
{
    return (so_frames){c->n_fft, c->hop, c->n_fft / 2, so_hann(pass, c->n_fft)};
}

so_tensor *so_hift_spectrum(so_pass *pass, const so_hift *net, so_tensor *mel, so_tensor *source)
{
    const so_hift_config *c = &net->config;
    if (!so_want_dims(pass, "hift", mel, 3) || !so_want_cols(pass, "hift", mel, c->mels)) return NULL;
    if (!so_want_dims(pass, "hift", source, 2) ||
        !so_want_cols(pass, "hift source", source, mel->dim[1] * so_hift_samples(c)))
        return NULL;
    so_frames frames = small_frames(pass, c);
    so_tensor *S = so_stft(pass, source, &frames);
    so_tensor *x = conv(pass, &net->pre, mel, 7, 1);
    so_label(pass, x, "hift.pre");
    int64_t coarser = so_hift_samples(c) / c->hop;
    for (int64_t i = 0; i < c->stages; i++) {
        coarser /= c->up_rate[i];
        x = stage(pass, net, i, x, S, coarser);
    }
    return conv(pass, &net->post, so_apply(pass, SO_LRELU_0_01, x), 7, 1);
}

so_tensor *so_hift_wave(so_pass *pass, const so_hift *net, so_tensor *mel, so_tensor *source)
{
    so_frames frames = small_frames(pass, &net->config);
    so_tensor *spectrum = so_polar(pass, so_hift_spectrum(pass, net, mel, source), 100);
    return so_clamp(pass, so_istft(pass, spectrum, &frames), net->config.limit);
}

/* ---- binding */

#define CONV(field, name, axes, init, scale, optional)                                                                 \
    {                                                                                                                  \
        offsetof(so_hift_conv, field), name, axes, NULL, init, scale, optional                                         \
    }
/* Weights [O, I, k] and [I, O, k] (transposed): the first letter is the axis with a length of its own. */
static const so_bind_row norm_table[] = {
    CONV(v, "weight_v", "O I k", SO_INIT_FAN_IN, 1, false),
    CONV(g, "weight_g", "O", SO_INIT_VALUE, 1, false),
    CONV(bias, "bias", "B", SO_INIT_VALUE, 0, false),
};
static const so_bind_row parametrized_table[] = {
    CONV(v, "parametrizations.weight.original1", "O I k", SO_INIT_FAN_IN, 1, false),
    CONV(g, "parametrizations.weight.original0", "O", SO_INIT_VALUE, 1, false),
    CONV(bias, "bias", "B", SO_INIT_VALUE, 0, false),
};
static const so_bind_row plain_table[] = {
    CONV(w, "weight", "O I k", SO_INIT_FAN_IN, 1, false),
    CONV(bias, "bias", "B", SO_INIT_VALUE, 0, false),
};

#define NET(field, name, axes, group, init, scale)                                                                     \
    {                                                                                                                  \
        offsetof(so_hift, field), name, axes, group, init, scale, false                                                \
    }
static const so_bind_row net_table[] = {
    NET(f0_w, "f0_predictor.classifier.weight", "1 f", "f0", SO_INIT_FAN_IN, 1),
    NET(f0_b, "f0_predictor.classifier.bias", "1", "f0", SO_INIT_VALUE, 0),
    NET(merge_w, "m_source.l_linear.weight", "1 h", NULL, SO_INIT_FAN_IN, 1),
    NET(merge_b, "m_source.l_linear.bias", "1", NULL, SO_INIT_VALUE, 0),
};
static const so_bind_row source_table[] = {
    {offsetof(so_hift_stage, source_w), "source_downs.{}.weight", "O I k", NULL, SO_INIT_FAN_IN, 1, false},
    {offsetof(so_hift_stage, source_b), "source_downs.{}.bias", "O", NULL, SO_INIT_VALUE, 0, false},
};
typedef struct alphas {
    so_tensor *one, *two;
} alphas;
static const so_bind_row alpha_table[] = {
    {offsetof(alphas, one), "activations1.{}.alpha", "O", NULL, SO_INIT_VALUE, 1, false},
    {offsetof(alphas, two), "activations2.{}.alpha", "O", NULL, SO_INIT_VALUE, 1, false},
};

/* A new direction has the length it was drawn with, times `gain`. */
static void start_length(const so_hift_conv *c, double gain)
{
    int64_t rows = c->v->dim[0], n = so_count(c->v) / rows;
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)so_data(c->v)[r * n + i] * (double)so_data(c->v)[r * n + i];
        so_data(c->g)[r] = (so_real)(gain * sqrt(sum));
    }
}

typedef struct shape {
    int64_t out, in, kernel;
    bool transposed;
    double gain; /* of random weights */
} shape;

static so_status bind_conv(so_hift_conv *c, const char *prefix, const char *name, shape s, so_binder *binder,
                           so_error *error)
{
    char full[384], probe[448];
    snprintf(full, sizeof full, "%s%s.", prefix, name);
    int64_t *of = binder->sizes.of;
    of['O'] = s.transposed ? s.in : s.out;
    of['I'] = s.transposed ? s.out : s.in;
    of['B'] = s.out;
    of['k'] = s.kernel;
    snprintf(probe, sizeof probe, "%sweight", full);
    if (binder->source && so_views_find(binder->source, probe)) return SO_BIND(binder, full, 0, plain_table, c, error);
    snprintf(probe, sizeof probe, "%sparametrizations.weight.original1", full);
    if (binder->source && so_views_find(binder->source, probe))
        return SO_BIND(binder, full, 0, parametrized_table, c, error);
    SO_TRY(SO_BIND(binder, full, 0, norm_table, c, error));
    if (!binder->source && c->v && c->g) start_length(c, s.gain);
    return SO_OK;
}

static so_status bind_resblock(so_hift_resblock *r, const char *prefix, int64_t channels, int64_t kernel,
                               so_binder *binder, so_error *error)
{
    r->kernel = kernel;
    for (int i = 0; i < SO_HIFT_KERNELS; i++) {
        char name[64];
        alphas a = {0};
        snprintf(name, sizeof name, "convs1.%d", i);
        SO_TRY(bind_conv(&r->conv1[i], prefix, name, (shape){channels, channels, kernel, false, 1}, binder, error));
        snprintf(name, sizeof name, "convs2.%d", i);
        SO_TRY(bind_conv(&r->conv2[i], prefix, name, (shape){channels, channels, kernel, false, 0.3}, binder, error));
        SO_TRY(SO_BIND(binder, prefix, i, alpha_table, &a, error));
        r->alpha1[i] = a.one;
        r->alpha2[i] = a.two;
    }
    return SO_OK;
}

static so_status bind_stage(so_hift *net, int64_t i, int64_t coarser, const char *prefix, so_binder *binder,
                            so_error *error)
{
    const so_hift_config *c = &net->config;
    so_hift_stage *s = &net->stage[i];
    int64_t channels = c->channels >> (i + 1);
    char name[320];
    snprintf(name, sizeof name, "ups.%lld", (long long)i);
    shape up = {channels, 2 * channels, c->up_kernel[i], true, sqrt((double)c->up_rate[i] / 2)};
    SO_TRY(bind_conv(&s->up, prefix, name, up, binder, error));
    binder->sizes.of['O'] = channels;
    binder->sizes.of['I'] = c->n_fft + 2;
    binder->sizes.of['k'] = coarser > 1 ? 2 * coarser : 1;
    SO_TRY(SO_BIND(binder, prefix, i, source_table, s, error));
    snprintf(name, sizeof name, "%ssource_resblocks.%lld.", prefix, (long long)i);
    SO_TRY(bind_resblock(&s->source, name, channels, c->source_kernel[i], binder, error));
    for (int k = 0; k < SO_HIFT_KERNELS; k++) {
        snprintf(name, sizeof name, "%sresblocks.%lld.", prefix, (long long)(i * SO_HIFT_KERNELS + k));
        SO_TRY(bind_resblock(&s->block[k], name, channels, c->kernel[k], binder, error));
    }
    return SO_OK;
}

static so_status bind(so_hift *net, const char *prefix, so_binder *binder, so_error *error)
{
    const so_hift_config *c = &net->config;
    const char *group = binder->group;
    binder->sizes.of['f'] = c->f0_channels;
    binder->sizes.of['h'] = c->harmonics + 1;
    SO_TRY(SO_BIND(binder, prefix, 0, net_table, net, error));
    binder->group = "f0";
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "f0_predictor.condnet.%d", 2 * i);
        shape s = {c->f0_channels, i ? c->f0_channels : c->mels, 3, false, 1};
        SO_TRY(bind_conv(&net->f0_conv[i], prefix, name, s, binder, error));
    }
    binder->group = group;
    SO_TRY(bind_conv(&net->pre, prefix, "conv_pre", (shape){c->channels, c->mels, 7, false, 1}, binder, error));
    int64_t coarser = so_hift_samples(c) / c->hop;
    for (int64_t i = 0; i < c->stages; i++) {
        coarser /= c->up_rate[i];
        SO_TRY(bind_stage(net, i, coarser, prefix, binder, error));
    }
    shape post = {c->n_fft + 2, c->channels >> c->stages, 7, false, 0.3};
    return bind_conv(&net->post, prefix, "conv_post", post, binder, error);
}

so_status so_hift_bind(so_hift *net, const so_hift_config *config, const char *prefix, so_binder *binder,
                       so_error *error)
{
    if (config->stages < 1 || config->stages > SO_HIFT_STAGES || config->harmonics + 1 > SO_HIFT_HARMONICS ||
        config->channels >> config->stages < 1)
        return so_fail(error, SO_ERR_ARG, "hift: %lld stages, %lld channels, %lld harmonics", (long long)config->stages,
                       (long long)config->channels, (long long)config->harmonics);
    *net = (so_hift){.config = *config};
    const char *group = binder->group;
    if (!group) binder->group = "hift";
    char full[256];
    snprintf(full, sizeof full, "%sgenerator.conv_pre.bias", prefix);
    bool trained = binder->source && so_views_find(binder->source, full);
    snprintf(full, sizeof full, "%s%s", prefix, trained ? "generator." : "");
    so_status status = bind(net, full, binder, error);
    binder->group = group;
    return status;
}

/* Calls `fn` for every convolution with weight norm. */
typedef so_status (*conv_fn)(so_hift_conv *c, void *context, so_error *error);
static so_status each_conv(so_hift *net, conv_fn fn, void *context, so_error *error)
{
    for (int i = 0; i < 5; i++) SO_TRY(fn(&net->f0_conv[i], context, error));
    SO_TRY(fn(&net->pre, context, error));
    SO_TRY(fn(&net->post, context, error));
    for (int64_t s = 0; s < net->config.stages; s++) {
        SO_TRY(fn(&net->stage[s].up, context, error));
        for (int i = 0; i < SO_HIFT_KERNELS; i++) {
            SO_TRY(fn(&net->stage[s].source.conv1[i], context, error));
            SO_TRY(fn(&net->stage[s].source.conv2[i], context, error));
            for (int k = 0; k < SO_HIFT_KERNELS; k++) {
                SO_TRY(fn(&net->stage[s].block[k].conv1[i], context, error));
                SO_TRY(fn(&net->stage[s].block[k].conv2[i], context, error));
            }
        }
    }
    return SO_OK;
}

/* What folds, or lays out, a convolution's weight. */
typedef struct weight_work {
    const so_kernels *kernels;
    so_arena *memory;
    so_pool *pool;
} weight_work;

static so_status fold(so_hift_conv *c, void *context, so_error *error)
{
    const weight_work *work = context;
    if (c->w) return SO_OK;
    so_pass pass;
    so_pass_init(&pass, work->memory, NULL, work->kernels);
    c->w = so_weight_norm(&pass, c->v, c->g);
    if (!c->w) return so_fail(error, pass.error.status, "%s", pass.error.text);
    return SO_OK;
}

static so_status lay(so_hift_conv *c, void *context, so_error *error)
{
    const weight_work *work = context;
    return so_tensor_lay_bf16(c->w, work->kernels, work->memory, work->pool, error);
}

so_status so_hift_lay_bf16(so_hift *net, const so_kernels *kernels, so_arena *memory, so_pool *pool, so_error *error)
{
    return each_conv(net, lay, &(weight_work){kernels, memory, pool}, error);
}

so_status so_hift_fold(so_hift *net, const so_kernels *kernels, so_arena *memory, so_error *error)
{
    return each_conv(net, fold, &(weight_work){kernels, memory, NULL}, error);
}

/* What gathers the folded weights. */
typedef struct folded {
    so_tensor **list;
    int64_t n, most;
} folded;

static so_status gather(so_hift_conv *c, void *context, so_error *error)
{
    folded *f = context;
    if (!c->v) return SO_OK; /* stored plain: it is in the store */
    if (f->n == f->most) return so_fail(error, SO_ERR_LIMIT, "more than %lld convolutions", (long long)f->most);
    c->v->host = c->g->host = true;
    f->list[f->n++] = c->w;
    return SO_OK;
}

int64_t so_hift_folded(const so_hift *net, so_tensor **list, int64_t most)
{
    folded f = {list, 0, most};
    so_hift all = *net; /* each_conv may change what it is given; this looks only */
    return each_conv(&all, gather, &f, NULL) == SO_OK ? f.n : 0;
}
