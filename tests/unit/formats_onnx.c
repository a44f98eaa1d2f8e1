/* ONNX: made-up models, broken bytes, and the speech tokenizer's weights bit for bit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "protobuf.h"

#include "formats/onnx_tokenizer.h"
#include "formats/safetensors.h"

static void add_initializer(bytes *graph, const char *name, int64_t rows, int64_t columns, const void *data)
{
    bytes t = {0};
    add_number(&t, 1, (uint64_t)rows);
    if (columns) add_number(&t, 1, (uint64_t)columns);
    add_number(&t, 2, 1);
    add_text(&t, 8, name);
    add_bytes(&t, 9, data, (size_t)(rows * (columns ? columns : 1)) * 4);
    add_message(graph, 5, &t);
}

static void add_node(bytes *graph, const char *name, const char *type, const char *a, const char *b, const char *out)
{
    bytes n = {0};
    add_text(&n, 1, a);
    if (b) add_text(&n, 1, b);
    add_text(&n, 2, out);
    if (name) add_text(&n, 3, name);
    add_text(&n, 4, type);
    add_message(graph, 1, &n);
}

static const float six[6] = {0, 1, 2, 3, 4, 5};

static void make_model(bytes *model)
{
    bytes graph = {0};
    add_node(&graph, "/lin/MatMul", "MatMul", "x", "onnx::MatMul_7", "/lin/MatMul_output_0");
    add_node(&graph, NULL, "Add", "alias", "/lin/MatMul_output_0", "/lin/Add_output_0");
    add_node(&graph, "id", "Identity", "onnx::Add_3", NULL, "alias");
    add_node(&graph, "both", "Add", "alias", "onnx::MatMul_7", "y");
    add_node(&graph, "loop", "Identity", "loop", NULL, "loop");
    add_node(&graph, "end", "Add", "loop", "nothing", "z");
    add_initializer(&graph, "onnx::MatMul_7", 2, 3, six);
    add_initializer(&graph, "onnx::Add_3", 3, 0, six);
    close_model(model, &graph);
}

static void graph_is_read(void **state)
{
    (void)state;
    bytes model;
    so_error error;
    so_onnx *onnx;
    make_model(&model);
    CHECK_OK(so_onnx_open_memory(&onnx, model.data, model.size, &error), error);
    assert_int_equal(so_onnx_views(onnx)->count, 2);
    assert_int_equal(so_onnx_nodes(onnx), 6);
    const so_onnx_node *node = so_onnx_node_at(onnx, 0);
    assert_true(node->n_inputs == 2 && node->n_outputs == 1 && node->op_type.length == 6);
    assert_memory_equal(node->input[1].data, "onnx::MatMul_7", 14);
    assert_memory_equal(node->output[0].data, "/lin/MatMul_output_0", 20);
    assert_ptr_equal(so_onnx_find(onnx, "/lin/MatMul"), node);
    assert_ptr_equal(so_onnx_find(onnx, "/lin/Add"), so_onnx_node_at(onnx, 1)); /* by its output */
    assert_null(so_onnx_find(onnx, "/lin/Mul"));
    const so_view *weight = so_onnx_consumed(onnx, "/lin/MatMul", -1), *bias = so_onnx_consumed(onnx, "/lin/Add", -1);
    assert_true(weight && weight->n_dims == 2 && weight->dim[1] == 3 && weight->type == SO_F32);
    assert_memory_equal(weight->data, six, sizeof six);
    assert_true(bias && bias->n_dims == 1 && bias->dim[0] == 3); /* through the Identity */
    assert_ptr_equal(so_onnx_consumed(onnx, "/lin/MatMul", 1), weight);
    assert_null(so_onnx_consumed(onnx, "/lin/MatMul", 0));
    assert_null(so_onnx_consumed(onnx, "/lin/MatMul", 2));
    assert_null(so_onnx_consumed(onnx, "both", -1));
    assert_null(so_onnx_consumed(onnx, "end", -1));
    assert_null(so_onnx_consumed(onnx, "none", -1));
    so_onnx_close(&onnx);
    assert_null(onnx);
    free(model.data);
}

static void refuse(const void *data, size_t size, so_status status, const char *says)
{
    so_error error;
    so_onnx *onnx;
    void *exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    so_status got = so_onnx_open_memory(&onnx, exact, size, &error);
    if (got != status || !strstr(error.text, says))
        fail_msg("status %d, '%s'; expected %d, '%s'", got, error.text, status, says);
    assert_null(onnx);
    free(exact);
}

static void broken_bytes_are_refused(void **state)
{
    (void)state;
    bytes model;
    make_model(&model);
    size_t head = 2 + 9; /* version and producer: a cut there leaves whole messages without a graph */
    for (size_t n = 0; n < model.size; n++)
        refuse(model.data, n, n == 2 || n == head ? SO_ERR_MISSING : SO_ERR_FORMAT, "");
    refuse("\x3b", 1, SO_ERR_FORMAT, "wire type 3");
    refuse("\x00\x01", 2, SO_ERR_FORMAT, "field number 0");
    refuse("\x38\x01", 2, SO_ERR_FORMAT, "wire type 0");
    refuse("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, SO_ERR_FORMAT, "broken number");
    refuse("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, SO_ERR_FORMAT, "a field of");
    refuse("\x3a\x00\x3a\x00", 4, SO_ERR_FORMAT, "more than one graph");
    free(model.data);
}

static void bad_initializers_are_refused(void **state)
{
    (void)state;
    static const struct {
        int dims, type, field; /* field: where the 24 bytes are */
        int64_t rows;
        so_status status;
        const char *says;
    } bad[] = {
        {1, 1, 9, 5, SO_ERR_FORMAT, "has 24 bytes, its type and shape say 20"},
        {1, 1, 9, -6, SO_ERR_FORMAT, "dimension of -6"},
        {1, 3, 9, 6, SO_ERR_UNSUPPORTED, "data type 3"},
        {1, 0, 9, 6, SO_ERR_UNSUPPORTED, "data type 0"},
        {1, 1, 4, 6, SO_ERR_UNSUPPORTED, "field 4"},
        {1, 1, 13, 6, SO_ERR_UNSUPPORTED, "another file"},
        {1, 1, 20, 6, SO_ERR_UNSUPPORTED, "raw_data"},
        {9, 1, 9, 1, SO_ERR_UNSUPPORTED, "more than 8 dimensions"},
    };
    bytes model;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes graph = {0}, t = {0};
        for (int k = 0; k < bad[i].dims; k++) add_number(&t, 1, (uint64_t)bad[i].rows);
        add_number(&t, 2, (uint64_t)bad[i].type);
        add_text(&t, 8, "w");
        add_bytes(&t, bad[i].field, six, sizeof six);
        add_message(&graph, 5, &t);
        close_model(&model, &graph);
        refuse(model.data, model.size, bad[i].status, bad[i].says);
        free(model.data);
    }
    bytes elsewhere = {0}, there = {0};
    add_number(&elsewhere, 1, 6);
    add_number(&elsewhere, 2, 1);
    add_text(&elsewhere, 8, "w");
    add_number(&elsewhere, 14, 1); /* data_location: EXTERNAL */
    add_message(&there, 5, &elsewhere);
    close_model(&model, &there);
    refuse(model.data, model.size, SO_ERR_UNSUPPORTED, "another file");
    free(model.data);
    bytes graph = {0};
    add_initializer(&graph, "w", 6, 0, six);
    add_initializer(&graph, "w", 6, 0, six);
    close_model(&model, &graph);
    refuse(model.data, model.size, SO_ERR_FORMAT, "twice");
    free(model.data);
}

static void packed_dims_are_read(void **state)
{
    (void)state;
    bytes model, graph = {0}, t = {0};
    so_error error;
    so_onnx *onnx;
    add_bytes(&t, 1, "\x02\x03", 2);
    add_number(&t, 2, 1);
    add_text(&t, 8, "w");
    add_bytes(&t, 9, six, sizeof six);
    add_message(&graph, 5, &t);
    close_model(&model, &graph);
    CHECK_OK(so_onnx_open_memory(&onnx, model.data, model.size, &error), error);
    const so_view *w = so_views_find(so_onnx_views(onnx), "w");
    assert_true(w && w->n_dims == 2 && w->dim[0] == 2 && w->dim[1] == 3);
    so_onnx_close(&onnx);
    free(model.data);
}

static void other_models_are_no_tokenizer(void **state)
{
    (void)state;
    bytes model;
    so_error error;
    so_onnx *onnx;
    so_views views = {0};
    make_model(&model);
    CHECK_OK(so_onnx_open_memory(&onnx, model.data, model.size, &error), error);
    assert_int_equal(so_speech_tokenizer_views(onnx, &views, &error), SO_ERR_MISSING);
    assert_non_null(strstr(error.text, "encoder.conv1.weight"));
    so_views_clear(&views);
    so_onnx_close(&onnx);
    free(model.data);
}

static void tokenizer_equals_its_twin(void **state)
{
    (void)state;
    static const char *const files[2] = {"reference/cosyvoice-tiny/speech_tokenizer_v1.onnx",
                                         "reference/cosyvoice-tiny/variants/speech_tokenizer_v1_fused.onnx"};
    for (int i = 0; i < 2; i++) {
        so_error error;
        so_onnx *onnx;
        so_safetensors *twin;
        so_views views = {0};
        CHECK_OK(so_onnx_open(&onnx, check_shared(files[i]), &error), error);
        CHECK_OK(so_safetensors_open(&twin, check_shared("reference/cosyvoice-tiny/speech_tokenizer_v1.safetensors"),
                                     &error),
                 error);
        CHECK_OK(so_speech_tokenizer_views(onnx, &views, &error), error);
        const so_views *expected = so_safetensors_views(twin);
        assert_int_equal(views.count, 36);
        assert_int_equal(expected->count, 36);
        for (int64_t k = 0; k < expected->count; k++) {
            const so_view *e = &expected->view[k], *g = so_views_find(&views, e->name);
            if (!g) fail_msg("'%s' is missing", e->name);
            assert_int_equal(g->type, e->type);
            assert_int_equal(g->n_dims, e->n_dims);
            assert_memory_equal(g->dim, e->dim, sizeof g->dim);
            assert_int_equal((uintptr_t)g->data % 4, 0);
            assert_memory_equal(g->data, e->data, e->bytes);
        }
        so_views_clear(&views);
        so_safetensors_close(&twin);
        so_onnx_close(&onnx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graph_is_read),
        cmocka_unit_test(broken_bytes_are_refused),
        cmocka_unit_test(bad_initializers_are_refused),
        cmocka_unit_test(packed_dims_are_read),
        cmocka_unit_test(other_models_are_no_tokenizer),
        cmocka_unit_test(tokenizer_equals_its_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
