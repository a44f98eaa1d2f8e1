/* The weights of CosyVoice's speech_tokenizer_v1.onnx.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/onnx_tokenizer.h"

#include <stdio.h>
#include <string.h>

enum { BLOCKS_MAX = 64 };

typedef struct gathering {
    const so_onnx *onnx;
    so_views *out;
    int64_t D, F; /* width, feed-forward width */
    so_error *error;
} gathering;

/* A node of the decomposed or the fused form of one operation and which of its inputs is the weight. */
typedef struct source {
    const char *node;
    int input; /* -1: the only weight among the inputs */
} source;

static so_status expect(const gathering *g, const so_view *view, const char *name, int64_t rows, int64_t columns)
{
    char found[256];
    int n = columns ? 2 : 1;
    if (view->n_dims == n && view->dim[0] == rows && (n == 1 || view->dim[1] == columns)) return SO_OK;
    so_view_describe(view, found, sizeof found);
    if (n == 1)
        return so_fail(g->error, SO_ERR_SHAPE, "%s ('%s') is %s, expected [%lld]", name, view->name, found,
                       (long long)rows);
    return so_fail(g->error, SO_ERR_SHAPE, "%s ('%s') is %s, expected [%lld, %lld]", name, view->name, found,
                   (long long)rows, (long long)columns);
}

static so_status add(gathering *g, const char *name, const so_view *view)
{
    return so_views_add(g->out, so_span_of(name), view, g->error);
}

/* Tiles keep both sides of the transposition in the cache. */
static void transpose(char *to, const char *from, int64_t rows, int64_t columns, size_t size)
{
    enum { TILE = 16 };
    for (int64_t r0 = 0; r0 < rows; r0 += TILE)
        for (int64_t c0 = 0; c0 < columns; c0 += TILE)
            for (int64_t r = r0; r < rows && r < r0 + TILE; r++)
                for (int64_t c = c0; c < columns && c < c0 + TILE; c++)
                    memcpy(to + (size_t)(c * rows + r) * size, from + (size_t)(r * columns + c) * size, size);
}

/* Adds the 2-D weight with its axes swapped. */
static so_status add_transposed(gathering *g, const char *name, const so_view *view)
{
    so_view turned = *view;
    turned.dim[0] = view->dim[1];
    turned.dim[1] = view->dim[0];
    char *data = so_views_own(g->out, view->bytes);
    if (!data) return so_fail(g->error, SO_ERR_NOMEM, "no memory for %zu bytes of '%s'", view->bytes, name);
    transpose(data, view->data, view->dim[0], view->dim[1], (size_t)so_type_about(view->type)->bytes);
    turned.data = data;
    return add(g, name, &turned);
}

static so_status find(const gathering *g, const char *name, const source *sources, int n, const so_view **view)
{
    for (int i = 0; i < n; i++)
        if ((*view = so_onnx_consumed(g->onnx, sources[i].node, sources[i].input))) return SO_OK;
    return so_fail(g->error, SO_ERR_MISSING, "%s: no node '%s' that consumes one weight", name, sources[0].node);
}

/* A linear layer: its weight is stored as [in, out]. */
static so_status add_linear(gathering *g, int block, const char *path, const char *part, int64_t in, int64_t out)
{
    char name[96], node[96];
    const so_view *view = NULL;
    snprintf(name, sizeof name, "encoder.blocks.%d.%s.weight", block, part);
    snprintf(node, sizeof node, "/blocks.%d/%s/MatMul", block, path);
    SO_TRY(find(g, name, &(source){node, -1}, 1, &view));
    SO_TRY(expect(g, view, name, in, out));
    SO_TRY(add_transposed(g, name, view));
    if (strcmp(part, "attn.key") == 0) return SO_OK; /* the only one without a bias */
    snprintf(name, sizeof name, "encoder.blocks.%d.%s.bias", block, part);
    snprintf(node, sizeof node, "/blocks.%d/%s/Add", block, path);
    SO_TRY(find(g, name, &(source){node, -1}, 1, &view));
    SO_TRY(expect(g, view, name, out, 0));
    return add(g, name, view);
}

static so_status add_norm(gathering *g, int block, const char *part)
{
    static const char *const ends[2] = {"weight", "bias"}, *const nodes[2] = {"Mul", "Add_1"};
    for (int i = 0; i < 2; i++) {
        char name[96], plain[96], fused[96];
        const so_view *view = NULL;
        snprintf(name, sizeof name, "encoder.blocks.%d.%s.%s", block, part, ends[i]);
        snprintf(plain, sizeof plain, "/blocks.%d/%s/%s", block, part, nodes[i]);
        snprintf(fused, sizeof fused, "/blocks.%d/%s/LayerNormalization", block, part);
        SO_TRY(find(g, name, (source[]){{plain, -1}, {fused, i + 1}}, 2, &view));
        SO_TRY(expect(g, view, name, g->D, 0));
        SO_TRY(add(g, name, view));
    }
    return SO_OK;
}

static so_status add_block(gathering *g, int block)
{
    static const char *const parts[4] = {"query", "key", "value", "out"};
    for (int i = 0; i < 4; i++) {
        char path[32], part[32];
        snprintf(path, sizeof path, "attn/%s", parts[i]);
        snprintf(part, sizeof part, "attn.%s", parts[i]);
        SO_TRY(add_linear(g, block, path, part, g->D, g->D));
    }
    SO_TRY(add_norm(g, block, "attn_ln"));
    SO_TRY(add_linear(g, block, "mlp/mlp.0", "mlp.0", g->D, g->F));
    SO_TRY(add_linear(g, block, "mlp/mlp.2", "mlp.2", g->F, g->D));
    return add_norm(g, block, "mlp_ln");
}

/* Convolutions and positions carry parameter names in the 25 Hz file; else the node tells. */
static so_status add_named(gathering *g, const char *name, source node)
{
    char stored[96];
    snprintf(stored, sizeof stored, "encoders.%s", name + strlen("encoder."));
    const so_view *view = so_views_find(so_onnx_views(g->onnx), stored);
    if (!view) SO_TRY(find(g, name, &node, 1, &view));
    return add(g, name, view);
}

static so_status add_front(gathering *g)
{
    SO_TRY(add_named(g, "encoder.conv1.weight", (source){"/conv1/Conv", 1}));
    SO_TRY(add_named(g, "encoder.conv1.bias", (source){"/conv1/Conv", 2}));
    SO_TRY(add_named(g, "encoder.conv2.weight", (source){"/conv2/Conv", 1}));
    SO_TRY(add_named(g, "encoder.conv2.bias", (source){"/conv2/Conv", 2}));
    SO_TRY(add_named(g, "encoder.positional_embedding", (source){"/Slice", 0}));
    const so_view *conv = so_views_find(g->out, "encoder.conv2.weight");
    if (conv->n_dims != 3 || conv->dim[0] < 1) {
        char found[256];
        return so_fail(g->error, SO_ERR_SHAPE, "encoder.conv2.weight is %s, expected [width, width, 3]",
                       so_view_describe(conv, found, sizeof found));
    }
    g->D = conv->dim[0];
    return SO_OK;
}

/* Stored as [width, codes]; the other way round is told by its shape. */
static so_status add_codebook(gathering *g)
{
    static const char name[] = "quantizer._codebook.embed";
    static const char node[] = "/quantizer/rq/model/layers.0/_codebook/Pow_1";
    static const char sibling[] = "/quantizer/rq/model/layers.0/_codebook/MatMul";
    const so_view *view = NULL;
    SO_TRY(find(g, name, (source[]){{node, 0}, {sibling, -1}}, 2, &view));
    if (view->n_dims == 2 && view->dim[0] == g->D) return add_transposed(g, name, view);
    if (view->n_dims == 2 && view->dim[1] == g->D) return add(g, name, view);
    return expect(g, view, name, g->D, view->n_dims == 2 ? view->dim[1] : 1);
}

so_status so_speech_tokenizer_views(const so_onnx *onnx, so_views *out, so_error *error)
{
    gathering g = {.onnx = onnx, .out = out, .error = error};
    SO_TRY(add_front(&g));
    const so_view *feed = NULL;
    SO_TRY(find(&g, "encoder.blocks.0.mlp.0.weight", &(source){"/blocks.0/mlp/mlp.0/MatMul", -1}, 1, &feed));
    g.F = feed->n_dims == 2 ? feed->dim[1] : 0;
    if (g.F < 1) return expect(&g, feed, "encoder.blocks.0.mlp.0.weight", g.D, 4 * g.D);
    for (int i = 0;; i++) {
        char node[64];
        snprintf(node, sizeof node, "/blocks.%d/attn/query/MatMul", i);
        if (!so_onnx_find(onnx, node)) break;
        if (i == BLOCKS_MAX) return so_fail(error, SO_ERR_LIMIT, "more than %d blocks", BLOCKS_MAX);
        SO_TRY(add_block(&g, i));
    }
    SO_TRY(add_codebook(&g));
    return so_views_align(out, error);
}
