/* campplus.onnx: a small random CAM++ written as exporters write it, with its norms folded or not, is read back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "protobuf.h"

#include "base/file.h"
#include "checkpoint/codec.h"
#include "formats/onnx_campplus.h"

enum { T = 120, VECTOR = 12 };

static so_store store;
static so_cam net;
static float features[T * 80];

static int open_net(void **state)
{
    (void)state;
    so_error error;
    so_rng rng;
    const so_cam_config c = {.mels = 80,
                             .head = 4,
                             .start = 8,
                             .growth = 4,
                             .vector = VECTOR,
                             .bottleneck = 2,
                             .layers = {2, 1, 3},
                             .dilation = {1, 2, 2},
                             .segment = 100};
    so_rng_init(&rng, 9, 0);
    CHECK_OK(so_store_open(&store, (size_t)1 << 30, &error), error);
    so_binder binder = {.store = &store, .rng = &rng};
    CHECK_OK(so_cam_bind(&net, &c, "", &binder, &error), error);
    for (int64_t i = 0; i < store.count; i++) { /* norms that do something */
        so_tensor *t = &store.weight[i]->tensor;
        bool variance = strstr(t->name, "running_var") != NULL;
        for (int64_t k = 0; t->n_dims == 1 && k < so_count(t); k++) {
            double x = so_rng_normal(&rng);
            so_data(t)[k] = (so_real)(variance ? 0.5 + x * x : (double)so_data(t)[k] + 0.3 * x);
        }
    }
    for (int i = 0; i < T * 80; i++) features[i] = (float)so_rng_normal(&rng);
    return 0;
}

static int close_net(void **state)
{
    (void)state;
    so_store_close(&store);
    return 0;
}

static void vector_of(const so_cam *cam, float out[VECTOR])
{
    so_error error;
    so_arena arena;
    so_pass pass;
    CHECK_OK(so_arena_init(&arena, (size_t)1 << 30, &error), error);
    so_pass_init(&pass, &arena, NULL, so_kernels_c());
    so_tensor *v = so_cam_vector(&pass, cam, so_constant(&pass, 2, (int64_t[]){T, 80}, features));
    if (!v) fail_msg("%s", pass.error.text);
    memcpy(out, so_data(v), VECTOR * sizeof *out);
    so_arena_clear(&arena);
}

/* ---- a file in the making */

typedef struct writing {
    bytes graph;
    bool folds;  /* norms behind a convolution go into it */
    int numbers; /* of names given so far */
    int swaps;   /* the n-th operation, from 1, gets another type; 0: none */
    int nodes;
} writing;

static void put_numbers(writing *w, const so_tensor *shape, const float *data, char name[32])
{
    bytes t = {0};
    for (int i = 0; i < shape->n_dims; i++) add_number(&t, 1, (uint64_t)shape->dim[i]);
    add_number(&t, 2, 1);
    snprintf(name, 32, "onnx::Any_%d", ++w->numbers);
    add_text(&t, 8, name);
    add_bytes(&t, 9, data, (size_t)so_count(shape) * sizeof *data);
    add_message(&w->graph, 5, &t);
}

static void put_node(writing *w, const char *type, int n, char input[][32])
{
    bytes t = {0};
    char name[32];
    add_text(&t, 1, "x");
    for (int i = 0; i < n; i++) add_text(&t, 1, input[i]);
    snprintf(name, sizeof name, "y%d", w->nodes);
    add_text(&t, 2, name);
    add_text(&t, 4, ++w->nodes == w->swaps ? "Gemm" : type);
    add_message(&w->graph, 1, &t);
}

static void put_norm(writing *w, const so_cam_norm *n)
{
    char input[4][32];
    float one[512], zero[512] = {0};
    for (int i = 0; i < 512; i++) one[i] = 1;
    put_numbers(w, n->mean, n->w ? so_data(n->w) : one, input[0]);
    put_numbers(w, n->mean, n->w ? so_data(n->b) : zero, input[1]);
    put_numbers(w, n->mean, so_data(n->mean), input[2]);
    put_numbers(w, n->mean, so_data(n->var), input[3]);
    put_node(w, "BatchNormalization", 4, input);
}

static void put_conv(writing *w, const so_tensor *weight, const so_tensor *bias)
{
    char input[2][32];
    put_numbers(w, weight, so_data(weight), input[0]);
    if (bias) put_numbers(w, bias, so_data(bias), input[1]);
    put_node(w, "Conv", bias ? 2 : 1, input);
}

static void put_pair(writing *w, const so_tensor *weight, const so_cam_norm *n)
{
    if (!w->folds) {
        put_conv(w, weight, NULL);
        put_node(w, "Relu", 0, NULL); /* something else between */
        put_norm(w, n);
        return;
    }
    int64_t O = weight->dim[0], each = so_count(weight) / O;
    float *scaled = malloc((size_t)so_count(weight) * sizeof *scaled), bias[512];
    for (int64_t o = 0; o < O; o++) {
        double by = (n->w ? (double)so_data(n->w)[o] : 1) / sqrt((double)so_data(n->var)[o] + 1e-5);
        for (int64_t i = 0; i < each; i++) scaled[o * each + i] = (float)((double)so_data(weight)[o * each + i] * by);
        bias[o] = (float)((n->w ? (double)so_data(n->b)[o] : 0) - (double)so_data(n->mean)[o] * by);
    }
    char input[2][32];
    put_numbers(w, weight, scaled, input[0]);
    put_numbers(w, n->mean, bias, input[1]);
    put_node(w, "Conv", 2, input);
    free(scaled);
}

/* The order in which the network computes. */
static void put_net(writing *w)
{
    put_pair(w, net.conv1, &net.norm1);
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 2; i++) {
            const so_cam_residual *r = &net.residual[s][i];
            put_pair(w, r->conv1, &r->norm1);
            put_pair(w, r->conv2, &r->norm2);
            if (r->skip) put_pair(w, r->skip, &r->skip_norm);
        }
    put_pair(w, net.conv2, &net.norm2);
    put_pair(w, net.tdnn, &net.tdnn_norm);
    for (int b = 0; b < SO_CAM_BLOCKS; b++) {
        for (int64_t i = 0; i < net.config.layers[b]; i++) {
            const so_cam_dense *d = &net.dense[b][i];
            put_norm(w, &d->norm1);
            put_pair(w, d->linear, &d->norm2);
            put_conv(w, d->local, NULL);
            put_conv(w, d->mask1_w, d->mask1_b);
            put_conv(w, d->mask2_w, d->mask2_b);
        }
        put_norm(w, &net.transit[b].norm);
        put_conv(w, net.transit[b].linear, NULL);
    }
    put_norm(w, &net.stats_norm);
    put_pair(w, net.out, &net.out_norm);
}

static so_status read_back(const bytes *model, so_onnx **onnx, so_views *views, so_error *error)
{
    *views = (so_views){0};
    so_status status = so_onnx_open_memory(onnx, model->data, model->size, error);
    return status == SO_OK ? so_campplus_views(*onnx, views, error) : status;
}

static void the_same_vector(void **state)
{
    (void)state;
    float expected[VECTOR], found[VECTOR];
    so_error error;
    vector_of(&net, expected);
    for (int folds = 0; folds < 2; folds++) {
        writing w = {.folds = folds};
        bytes model;
        so_onnx *onnx = NULL;
        so_views views;
        so_store read;
        so_cam cam;
        put_net(&w);
        close_model(&model, &w.graph);
        CHECK_OK(read_back(&model, &onnx, &views, &error), error);
        assert_int_equal(views.count, store.count);
        so_cam_config sizes = so_cam_sizes(&views, "");
        assert_memory_equal(&sizes, &net.config, sizeof sizes);
        CHECK_OK(so_store_open(&read, 0, &error), error);
        so_binder binder = {.store = &read, .source = &views, .kernels = so_kernels_c(), .expand = true};
        CHECK_OK(so_cam_bind(&cam, &sizes, "", &binder, &error), error);
        CHECK_OK(so_binder_finish(&binder, "CAM++", &error), error);
        vector_of(&cam, found);
        if (folds)
            check_close("folded", found, expected, VECTOR, 1e-4, 1e-4);
        else
            assert_memory_equal(found, expected, sizeof found);
        so_store_close(&read);
        so_views_clear(&views);
        so_onnx_close(&onnx);
        free(model.data);
    }
}

static void left_alone(const bytes *model)
{
    char folder[] = "/tmp/so-campplus-XXXXXX", path[128], why[SO_CODEC_WHY];
    const so_views *found;
    so_codec_part part = {.safetensors = NULL};
    so_error error;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/campplus.onnx", folder);
    CHECK_OK(so_file_write(path, model->data, model->size, &error), error);
    CHECK_OK(so_codec_cam_open(&part, folder, &found, why, &error), error);
    assert_null(found);
    assert_non_null(strstr(why, "campplus.onnx: "));
    so_codec_part_close(&part);
    unlink(path);
    rmdir(folder);
}

/* Any operation that is another: refused by the name of what was expected there, never a crash; the codec goes on
 * without. */
static void other_networks(void **state)
{
    (void)state;
    so_error error;
    for (int folds = 0; folds < 2; folds++)
        for (int swap = 1, nodes = 1; swap <= nodes; swap++) {
            writing w = {.swaps = swap, .folds = folds};
            bytes model;
            so_onnx *onnx = NULL;
            so_views views;
            put_net(&w);
            nodes = w.nodes;
            close_model(&model, &w.graph);
            so_status status = read_back(&model, &onnx, &views, &error);
            if (status == SO_OK) assert_false(folds); /* Relu is nothing that is looked at */
            if (status != SO_OK) assert_true(status == SO_ERR_MISSING || status == SO_ERR_SHAPE);
            so_views_clear(&views);
            so_onnx_close(&onnx);
            if (folds && swap == 1) left_alone(&model);
            free(model.data);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_vector),
        cmocka_unit_test(other_networks),
    };
    return cmocka_run_group_tests(tests, open_net, close_net);
}
