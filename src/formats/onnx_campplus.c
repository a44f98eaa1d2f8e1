/* The weights of campplus.onnx.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/onnx_campplus.h"

#include <stdio.h>
#include <string.h>

enum { LAYERS_MAX = 256, BLOCKS = 3, CONV_DIMS = 4 };

typedef struct gathering {
    const so_onnx *onnx;
    so_views *out;
    int64_t at; /* node */
    so_error *error;
} gathering;

static bool is(const so_onnx_node *node, const char *type)
{
    return node->op_type.length == strlen(type) && memcmp(node->op_type.data, type, node->op_type.length) == 0;
}

/* The next convolution or norm, from node `at` on; NULL at the end. */
static const so_onnx_node *peek(const gathering *g, int64_t *at)
{
    for (; *at < so_onnx_nodes(g->onnx); ++*at) {
        const so_onnx_node *node = so_onnx_node_at(g->onnx, *at);
        if (is(node, "Conv") || is(node, "BatchNormalization")) return node;
    }
    return NULL;
}

static const so_onnx_node *next(gathering *g)
{
    const so_onnx_node *node = peek(g, &g->at);
    if (node) g->at++;
    return node;
}

/* The weight of the next convolution but `ahead`, NULL where there is none. */
static const so_view *ahead(const gathering *g, int ahead)
{
    for (int64_t at = g->at;; at++) {
        const so_onnx_node *node = peek(g, &at);
        if (!node) return NULL;
        if (is(node, "Conv") && ahead-- == 0) return so_onnx_input(g->onnx, node, 1);
    }
}

static so_status add(gathering *g, const char *prefix, const char *name, const so_view *view)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return so_views_add(g->out, so_span_of(full), view, g->error);
}

/* n numbers of one value. */
static so_status add_constant(gathering *g, const char *prefix, const char *name, int64_t n, float value)
{
    so_view v = {.type = SO_F32, .n_dims = 1, .dim = {n}, .bytes = (size_t)n * sizeof(float)};
    float *data = so_views_own(g->out, v.bytes);
    if (!data) return so_fail(g->error, SO_ERR_NOMEM, "no memory for %zu bytes of '%s%s'", v.bytes, prefix, name);
    for (int64_t i = 0; i < n; i++) data[i] = value;
    v.data = data;
    return add(g, prefix, name, &v);
}

static so_status wrong(const gathering *g, const char *name, const char *expected, const so_onnx_node *found)
{
    return so_fail(g->error, SO_ERR_MISSING, "%s: expected %s, found %.*s '%.*s'", name, expected,
                   found ? (int)found->op_type.length : 7, found ? found->op_type.data : "the end",
                   found ? (int)found->name.length : 0, found ? found->name.data : "");
}

/* ---- convolutions and norms */

/* The weight [O, ..] with so many axes; *conv is its node. */
static so_status add_conv(gathering *g, const char *name, int n_dims, const so_onnx_node **conv, const so_view **weight)
{
    char found[160];
    const so_onnx_node *node = next(g);
    if (!node || !is(node, "Conv")) return wrong(g, name, "a convolution", node);
    const so_view *w = so_onnx_input(g->onnx, node, 1);
    if (!w) return wrong(g, name, "a convolution with a stored weight", node);
    if (w->n_dims != n_dims || w->type != SO_F32 || w->dim[0] < 1)
        return so_fail(g->error, SO_ERR_SHAPE, "%s is %s, expected f32 with %d axes", name,
                       so_view_describe(w, found, sizeof found), n_dims);
    if (conv) *conv = node;
    *weight = w;
    return add(g, name, "", w);
}

/* "<name>.weight" and the like of n channels; those that a norm without scale lacks are not asked for. */
static so_status add_norm(gathering *g, const char *name, int64_t n, bool affine)
{
    static const char *const parts[] = {".weight", ".bias", ".running_mean", ".running_var"};
    char found[160];
    const so_onnx_node *node = next(g);
    if (!node || !is(node, "BatchNormalization")) return wrong(g, name, "a batch norm", node);
    for (int i = affine ? 0 : 2; i < 4; i++) {
        const so_view *v = so_onnx_input(g->onnx, node, i + 1);
        if (!v) return wrong(g, name, "a batch norm with stored numbers", node);
        if (v->type != SO_F32 || v->n_dims != 1 || (n && v->dim[0] != n))
            return so_fail(g->error, SO_ERR_SHAPE, "%s%s is %s, expected f32 [%lld]", name, parts[i],
                           so_view_describe(v, found, sizeof found), (long long)n);
        SO_TRY(add(g, name, parts[i], v));
    }
    return SO_OK;
}

/* What a norm is that was folded into a convolution: its bias, less nothing, by the root of 1. */
static so_status add_folded(gathering *g, const char *name, const so_onnx_node *conv, int64_t n, bool affine)
{
    const so_view *bias = so_onnx_input(g->onnx, conv, 2);
    char found[160];
    if (!bias) return wrong(g, name, "a batch norm, or a convolution with a bias before", conv);
    if (bias->type != SO_F32 || bias->n_dims != 1 || bias->dim[0] != n)
        return so_fail(g->error, SO_ERR_SHAPE, "%s: a bias %s, expected f32 [%lld]", name,
                       so_view_describe(bias, found, sizeof found), (long long)n);
    if (affine) SO_TRY(add_constant(g, name, ".weight", n, 1));
    if (affine) SO_TRY(add(g, name, ".bias", bias));
    SO_TRY(add_constant(g, name, ".running_var", n, 1 - 1e-5f)); /* the norm adds 1e-5 */
    if (affine) return add_constant(g, name, ".running_mean", n, 0);
    so_view less = *bias; /* without an offset of its own it takes the mean away */
    float *data = so_views_own(g->out, bias->bytes), one;
    if (!data) return so_fail(g->error, SO_ERR_NOMEM, "no memory for '%s'", name);
    for (int64_t i = 0; i < n; i++) {
        memcpy(&one, (const char *)bias->data + (size_t)i * sizeof one, sizeof one);
        data[i] = -one;
    }
    less.data = data;
    return add(g, name, ".running_mean", &less);
}

/* A convolution and the norm behind it, folded or not. */
static so_status add_pair(gathering *g, const char *conv, const char *norm, int n_dims, bool affine)
{
    const so_onnx_node *node;
    const so_view *weight;
    SO_TRY(add_conv(g, conv, n_dims, &node, &weight));
    if (node->n_inputs > 2) return add_folded(g, norm, node, weight->dim[0], affine);
    return add_norm(g, norm, weight->dim[0], affine);
}

/* ---- the network */

static so_status add_head(gathering *g)
{
    SO_TRY(add_pair(g, "head.conv1.weight", "head.bn1", CONV_DIMS, true));
    for (int s = 1; s <= 2; s++)
        for (int i = 0; i < 2; i++) {
            static const char *const pair[][2] = {{"conv1", "bn1"}, {"conv2", "bn2"}, {"shortcut.0", "shortcut.1"}};
            for (int k = 0; k < (i ? 2 : 3); k++) {
                char conv[64], norm[64];
                snprintf(conv, sizeof conv, "head.layer%d.%d.%s.weight", s, i, pair[k][0]);
                snprintf(norm, sizeof norm, "head.layer%d.%d.%s", s, i, pair[k][1]);
                SO_TRY(add_pair(g, conv, norm, CONV_DIMS, true));
            }
        }
    return add_pair(g, "head.conv2.weight", "head.bn2", CONV_DIMS, true);
}

static so_status add_biased(gathering *g, const char *name)
{
    char full[128];
    const so_onnx_node *node;
    const so_view *weight;
    snprintf(full, sizeof full, "%s.weight", name);
    SO_TRY(add_conv(g, full, 3, &node, &weight));
    const so_view *bias = so_onnx_input(g->onnx, node, 2);
    if (!bias) return wrong(g, name, "a convolution with a bias", node);
    return add(g, name, ".bias", bias);
}

static so_status add_layer(gathering *g, int block, int layer)
{
    char at[64], name[128], norm[128];
    const so_view *weight;
    snprintf(at, sizeof at, "xvector.block%d.tdnnd%d", block, layer);
    snprintf(norm, sizeof norm, "%s.nonlinear1.batchnorm", at);
    SO_TRY(add_norm(g, norm, 0, true));
    snprintf(name, sizeof name, "%s.linear1.weight", at);
    snprintf(norm, sizeof norm, "%s.nonlinear2.batchnorm", at);
    SO_TRY(add_pair(g, name, norm, 3, true));
    snprintf(name, sizeof name, "%s.cam_layer.linear_local.weight", at);
    SO_TRY(add_conv(g, name, 3, NULL, &weight));
    snprintf(name, sizeof name, "%s.cam_layer.linear1", at);
    SO_TRY(add_biased(g, name));
    snprintf(name, sizeof name, "%s.cam_layer.linear2", at);
    return add_biased(g, name);
}

/* A layer looks 3 frames wide with its second convolution; what follows a block does not. */
static bool is_layer(const gathering *g)
{
    const so_view *second = ahead(g, 1), *first = ahead(g, 0);
    return first && second && first->n_dims == 3 && second->n_dims == 3 && first->dim[2] == 1 && second->dim[2] == 3;
}

static so_status add_block(gathering *g, int block)
{
    char name[64];
    const so_view *weight;
    for (int layer = 1; is_layer(g); layer++) {
        if (layer > LAYERS_MAX) return so_fail(g->error, SO_ERR_LIMIT, "more than %d layers in a block", LAYERS_MAX);
        SO_TRY(add_layer(g, block, layer));
    }
    snprintf(name, sizeof name, "xvector.transit%d.nonlinear.batchnorm", block);
    SO_TRY(add_norm(g, name, 0, true));
    snprintf(name, sizeof name, "xvector.transit%d.linear.weight", block);
    return add_conv(g, name, 3, NULL, &weight);
}

so_status so_campplus_views(const so_onnx *onnx, so_views *out, so_error *error)
{
    gathering g = {.onnx = onnx, .out = out, .error = error};
    SO_TRY(add_head(&g));
    SO_TRY(add_pair(&g, "xvector.tdnn.linear.weight", "xvector.tdnn.nonlinear.batchnorm", 3, true));
    for (int block = 1; block <= BLOCKS; block++) SO_TRY(add_block(&g, block));
    SO_TRY(add_norm(&g, "xvector.out_nonlinear.batchnorm", 0, true));
    SO_TRY(add_pair(&g, "xvector.dense.linear.weight", "xvector.dense.nonlinear.batchnorm", 3, false));
    const so_onnx_node *more = next(&g);
    if (more) return wrong(&g, "CAM++", "no more convolutions and norms", more);
    return so_views_align(out, error);
}
