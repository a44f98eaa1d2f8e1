/* CAM++. See campplus.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/campplus.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

so_cam_config so_cam_published(void)
{
    return (so_cam_config){.mels = 80,
                           .head = 32,
                           .start = 128,
                           .growth = 32,
                           .vector = 192,
                           .bottleneck = 4,
                           .layers = {12, 24, 16},
                           .dilation = {1, 2, 2},
                           .segment = 100};
}

/* Axis `axis` of a weight of the file, or what is published, or 1 where it makes no sense. */
static int64_t size_of(const so_views *views, const char *prefix, const char *name, int axis, int64_t otherwise)
{
    char full[SO_VIEW_NAME_MAX + 1];
    snprintf(full, sizeof full, "%.400s%s", prefix, name);
    const so_view *v = so_views_find(views, full);
    if (!v || v->n_dims <= axis) return otherwise;
    return v->dim[axis] > 0 && v->dim[axis] <= 1 << 16 ? v->dim[axis] : 1;
}

so_cam_config so_cam_sizes(const so_views *views, const char *prefix)
{
    static const char inner[] = "xvector.block1.tdnnd1.cam_layer.linear_local.weight";
    enum { MOST_LAYERS = 256 };
    so_cam_config c = so_cam_published();
    char name[128];
    c.head = size_of(views, prefix, "head.conv1.weight", 0, c.head);
    c.start = size_of(views, prefix, "xvector.tdnn.linear.weight", 0, c.start);
    c.mels = size_of(views, prefix, "xvector.tdnn.linear.weight", 1, c.head * c.mels / 8) / c.head * 8;
    c.vector = size_of(views, prefix, "xvector.dense.linear.weight", 0, c.vector);
    c.growth = size_of(views, prefix, inner, 0, c.growth);
    c.bottleneck = size_of(views, prefix, inner, 1, c.bottleneck * c.growth) / c.growth;
    for (int i = 0; i < SO_CAM_BLOCKS; i++)
        for (c.layers[i] = 0; c.layers[i] < MOST_LAYERS; c.layers[i]++) {
            snprintf(name, sizeof name, "xvector.block%d.tdnnd%lld.linear1.weight", i + 1, (long long)c.layers[i] + 1);
            if (!size_of(views, prefix, name, 0, 0)) break;
        }
    return c;
}

static so_tensor *norm(so_pass *pass, const so_cam_norm *n, so_tensor *x)
{
    return so_batch_norm(pass, x, n->w, n->b, n->mean, n->var, 1e-5);
}

static so_tensor *norm_relu(so_pass *pass, const so_cam_norm *n, so_tensor *x)
{
    return so_apply(pass, SO_RELU, norm(pass, n, x));
}

static so_tensor *residual(so_pass *pass, const so_cam_residual *r, so_tensor *x)
{
    const int64_t stride[2] = {r->skip ? 2 : 1, 1}, same[2] = {1, 1}, pad[2] = {1, 1}, none[2] = {0, 0};
    so_mark mark = so_pass_mark(pass);
    so_tensor *h = norm_relu(pass, &r->norm1, so_conv2d(pass, x, r->conv1, NULL, stride, pad));
    h = norm(pass, &r->norm2, so_conv2d(pass, h, r->conv2, NULL, same, pad));
    if (r->skip) x = norm(pass, &r->skip_norm, so_conv2d(pass, x, r->skip, NULL, stride, none));
    return so_keep(pass, mark, so_apply(pass, SO_RELU, so_add(pass, h, x)));
}

so_tensor *so_cam_head(so_pass *pass, const so_cam *net, so_tensor *features)
{
    const int64_t same[2] = {1, 1}, fewer[2] = {2, 1}, pad[2] = {1, 1};
    if (!so_want_dims(pass, "cam++", features, 2) || !so_want_cols(pass, "cam++", features, net->config.mels))
        return NULL;
    int64_t T = features->dim[0];
    so_tensor *x = so_swap(pass, features);
    x = x ? so_reshape(pass, x, 4, (int64_t[]){1, net->config.mels, T, 1}) : NULL;
    x = norm_relu(pass, &net->norm1, so_conv2d(pass, x, net->conv1, NULL, same, pad));
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 2; i++) x = residual(pass, &net->residual[s][i], x);
    x = norm_relu(pass, &net->norm2, so_conv2d(pass, x, net->conv2, NULL, fewer, pad));
    if (!x) return NULL;
    /* [frequency, T, channel] to [T, channel, frequency]. */
    int64_t bins = x->dim[1], C = x->dim[3];
    x = so_swap(pass, so_reshape(pass, x, 2, (int64_t[]){bins, T * C}));
    return x ? so_reshape(pass, x, 2, (int64_t[]){T, C * bins}) : NULL;
}

/* What a frame is masked by: the mean of all frames plus that of its segment. [T, C] */
static so_tensor *context_mask(so_pass *pass, const so_cam_dense *d, so_tensor *x, int64_t segment)
{
    if (!x) return NULL;
    int64_t T = so_rows(x), n = (T + segment - 1) / segment;
    so_tensor *share = so_new2(pass, n, T);
    int32_t *index = so_take(pass, (size_t)T * sizeof *index, false);
    if (!share || !index) return NULL;
    for (int64_t t = 0; t < T; t++) index[t] = (int32_t)(t / segment);
    for (int64_t s = 0; s < n && !pass->dry; s++) {
        int64_t from = s * segment, to = from + segment < T ? from + segment : T;
        for (int64_t t = 0; t < T; t++)
            so_data(share)[s * T + t] = (so_real)(1 / (double)T + (t >= from && t < to ? 1 / (double)(to - from) : 0));
    }
    so_tensor *context = so_matmul(pass, share, x);
    context = so_conv1d(pass, context, d->mask1_w, d->mask1_b, so_conv_same(1, 1));
    context = so_conv1d(pass, so_apply(pass, SO_RELU, context), d->mask2_w, d->mask2_b, so_conv_same(1, 1));
    return so_take_rows(pass, so_apply(pass, SO_SIGMOID, context), T, index);
}

static so_tensor *dense(so_pass *pass, const so_cam *net, int block, int64_t i, so_tensor *x)
{
    const so_cam_dense *d = &net->dense[block][i];
    so_mark mark = so_pass_mark(pass);
    so_tensor *h = so_conv1d(pass, norm_relu(pass, &d->norm1, x), d->linear, NULL, so_conv_same(1, 1));
    h = norm_relu(pass, &d->norm2, h);
    so_tensor *local = so_conv1d(pass, h, d->local, NULL, so_conv_same(3, net->config.dilation[block]));
    so_tensor *grown = so_mul(pass, local, context_mask(pass, d, h, net->config.segment));
    so_label(pass, grown, "cam.block.%d.layer.%lld", block, (long long)i);
    return so_keep(pass, mark, so_join_cols(pass, 2, (so_tensor *[]){x, grown}));
}

so_tensor *so_cam_vector(so_pass *pass, const so_cam *net, so_tensor *features)
{
    so_mark mark = so_pass_mark(pass);
    so_tensor *x = so_keep(pass, mark, so_cam_head(pass, net, features));
    x = norm_relu(pass, &net->tdnn_norm, so_conv1d(pass, x, net->tdnn, NULL, (so_conv1){2, 2, 1, -1}));
    so_label(pass, x, "cam.tdnn");
    for (int b = 0; b < SO_CAM_BLOCKS; b++) {
        mark = so_pass_mark(pass);
        for (int64_t i = 0; i < net->config.layers[b]; i++) x = dense(pass, net, b, i, x);
        x = so_conv1d(pass, norm_relu(pass, &net->transit[b].norm, x), net->transit[b].linear, NULL,
                      so_conv_same(1, 1));
        x = so_keep(pass, mark, x);
    }
    x = so_column_stats(pass, norm_relu(pass, &net->stats_norm, x));
    so_label(pass, x, "cam.stats");
    return norm(pass, &net->out_norm, so_conv1d(pass, x, net->out, NULL, so_conv_same(1, 1)));
}

/* ---- binding */

#define NORM(field, name, init, scale)                                                                                 \
    {                                                                                                                  \
        offsetof(so_cam_norm, field), name, "N", NULL, init, scale, false                                              \
    }
static const so_bind_row norm_table[] = {
    NORM(w, "weight", SO_INIT_VALUE, 1),
    NORM(b, "bias", SO_INIT_VALUE, 0),
    NORM(mean, "running_mean", SO_INIT_VALUE, 0),
    NORM(var, "running_var", SO_INIT_VALUE, 1),
};

static so_status bind_norm(so_cam_norm *n, const char *prefix, const char *name, int64_t channels, bool affine,
                           so_binder *binder, so_error *error)
{
    char full[400];
    snprintf(full, sizeof full, "%s%s.", prefix, name);
    binder->sizes.of['N'] = channels;
    int skip = affine ? 0 : 2;
    return so_bind(binder, full, 0, norm_table + skip, 4 - skip, n, error);
}

typedef struct one {
    so_tensor *w;
} one;

static so_status bind_weight(so_tensor **w, const char *prefix, const char *name, const char *axes, so_binder *binder,
                             so_error *error)
{
    so_bind_row row = {offsetof(one, w), name, axes, NULL, SO_INIT_FAN_IN, 1, false};
    one holder = {0};
    SO_TRY(so_bind(binder, prefix, 0, &row, 1, &holder, error));
    *w = holder.w;
    return SO_OK;
}

static so_status bind_head(so_cam *net, const char *prefix, so_binder *binder, so_error *error)
{
    int64_t C = net->config.head;
    binder->sizes.of['C'] = C;
    SO_TRY(bind_weight(&net->conv1, prefix, "head.conv1.weight", "C 1 3 3", binder, error));
    SO_TRY(bind_norm(&net->norm1, prefix, "head.bn1", C, true, binder, error));
    SO_TRY(bind_weight(&net->conv2, prefix, "head.conv2.weight", "C C 3 3", binder, error));
    SO_TRY(bind_norm(&net->norm2, prefix, "head.bn2", C, true, binder, error));
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 2; i++) {
            so_cam_residual *r = &net->residual[s][i];
            char full[320];
            snprintf(full, sizeof full, "%shead.layer%d.%d.", prefix, s + 1, i);
            SO_TRY(bind_weight(&r->conv1, full, "conv1.weight", "C C 3 3", binder, error));
            SO_TRY(bind_norm(&r->norm1, full, "bn1", C, true, binder, error));
            SO_TRY(bind_weight(&r->conv2, full, "conv2.weight", "C C 3 3", binder, error));
            SO_TRY(bind_norm(&r->norm2, full, "bn2", C, true, binder, error));
            if (i) continue;
            SO_TRY(bind_weight(&r->skip, full, "shortcut.0.weight", "C C 1 1", binder, error));
            SO_TRY(bind_norm(&r->skip_norm, full, "shortcut.1", C, true, binder, error));
        }
    return SO_OK;
}

#define DENSE(field, name, axes, init, scale)                                                                          \
    {                                                                                                                  \
        offsetof(so_cam_dense, field), name, axes, NULL, init, scale, false                                            \
    }
static const so_bind_row dense_table[] = {
    DENSE(linear, "linear1.weight", "B I 1", SO_INIT_FAN_IN, 1),
    DENSE(local, "cam_layer.linear_local.weight", "G B 3", SO_INIT_FAN_IN, 1),
    DENSE(mask1_w, "cam_layer.linear1.weight", "H B 1", SO_INIT_FAN_IN, 1),
    DENSE(mask1_b, "cam_layer.linear1.bias", "H", SO_INIT_VALUE, 0),
    DENSE(mask2_w, "cam_layer.linear2.weight", "G H 1", SO_INIT_FAN_IN, 1),
    DENSE(mask2_b, "cam_layer.linear2.bias", "G", SO_INIT_VALUE, 0),
};

/* Binds block b, which has *channels at its entrance; leaves in *channels what it has at its end. */
static so_status bind_block(so_cam *net, int b, int64_t *channels, const char *prefix, so_binder *binder,
                            so_error *error)
{
    const so_cam_config *c = &net->config;
    int64_t inner = c->bottleneck * c->growth, *of = binder->sizes.of;
    char full[320];
    net->dense[b] = so_arena_zalloc(&binder->store->memory, (size_t)(c->layers[b] + 1) * sizeof *net->dense[b]);
    if (!net->dense[b]) return so_fail(error, SO_ERR_NOMEM, "no memory for CAM++");
    for (int64_t i = 0; i < c->layers[b]; i++, *channels += c->growth) {
        so_cam_dense *d = &net->dense[b][i];
        snprintf(full, sizeof full, "%sxvector.block%d.tdnnd%lld.", prefix, b + 1, (long long)i + 1);
        of['B'] = inner;
        of['I'] = *channels;
        of['G'] = c->growth;
        of['H'] = inner / 2;
        SO_TRY(bind_norm(&d->norm1, full, "nonlinear1.batchnorm", *channels, true, binder, error));
        SO_TRY(bind_norm(&d->norm2, full, "nonlinear2.batchnorm", inner, true, binder, error));
        SO_TRY(SO_BIND(binder, full, 0, dense_table, d, error));
    }
    snprintf(full, sizeof full, "%sxvector.transit%d.", prefix, b + 1);
    SO_TRY(bind_norm(&net->transit[b].norm, full, "nonlinear.batchnorm", *channels, true, binder, error));
    of['I'] = *channels;
    of['O'] = *channels /= 2;
    return bind_weight(&net->transit[b].linear, full, "linear.weight", "O I 1", binder, error);
}

static so_status bind(so_cam *net, const char *prefix, so_binder *binder, so_error *error)
{
    const so_cam_config *c = &net->config;
    int64_t channels = c->start, *of = binder->sizes.of;
    SO_TRY(bind_head(net, prefix, binder, error));
    of['O'] = c->start;
    of['I'] = c->head * (c->mels / 8);
    SO_TRY(bind_weight(&net->tdnn, prefix, "xvector.tdnn.linear.weight", "O I 5", binder, error));
    SO_TRY(bind_norm(&net->tdnn_norm, prefix, "xvector.tdnn.nonlinear.batchnorm", c->start, true, binder, error));
    for (int b = 0; b < SO_CAM_BLOCKS; b++) SO_TRY(bind_block(net, b, &channels, prefix, binder, error));
    SO_TRY(bind_norm(&net->stats_norm, prefix, "xvector.out_nonlinear.batchnorm", channels, true, binder, error));
    of['O'] = c->vector;
    of['I'] = 2 * channels;
    SO_TRY(bind_weight(&net->out, prefix, "xvector.dense.linear.weight", "O I 1", binder, error));
    return bind_norm(&net->out_norm, prefix, "xvector.dense.nonlinear.batchnorm", c->vector, false, binder, error);
}

so_status so_cam_bind(so_cam *net, const so_cam_config *config, const char *prefix, so_binder *binder, so_error *error)
{
    *net = (so_cam){.config = *config};
    const char *group = binder->group;
    if (!group) binder->group = "voice";
    so_status status = bind(net, prefix, binder, error);
    binder->group = group;
    return status;
}
