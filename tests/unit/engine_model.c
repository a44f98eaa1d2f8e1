/* Configurations, opening and saving models.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "engine/model.h"

static const char config[] =
    "{\"model_type\": \"stream_omni_llama\", \"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 4,"
    " \"num_attention_heads\": 4, \"eos_token_id\": [7, 9], \"mm_vision_tower\": \"siglip\","
    " \"image_grid_pinpoints\": [[384, 768], [768, 384]], \"image_aspect_ratio\": \"anyres\"%s}";

static so_status parse(so_setup *setup, const char *more, so_error *error)
{
    char text[2048];
    snprintf(text, sizeof text, config, more);
    return so_setup_parse(setup, text, NULL, error);
}

static void defaults(void **state)
{
    (void)state;
    so_setup s;
    so_error error;
    CHECK_OK(parse(&s, "", &error), error);
    assert_int_equal(s.omni.llama.kv_heads, 4);
    assert_int_equal(s.omni.llama.head_width, 8);
    assert_int_equal(s.omni.bottom, 3);
    assert_int_equal(s.omni.top, 5);
    assert_int_equal(s.omni.siglip.width, 1152);
    assert_int_equal(s.omni.siglip.layers, 26);
    assert_int_equal(s.n_stop, 2);
    assert_true(s.omni.llama.rope_factor == 1);
    so_image_spec spec;
    CHECK_OK(so_setup_pictures(&s, &spec, &error), error);
    assert_int_equal(spec.mode, SO_IMAGE_ANYRES);
    assert_int_equal(spec.pinpoint[1][0], 768);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        so_status status;
        const char *names;
    } cases[] = {
        {", \"hidden_act\": \"gelu\"", SO_ERR_UNSUPPORTED, "hidden_act"},
        {", \"rope_scaling\": {\"rope_type\": \"yarn\"}", SO_ERR_UNSUPPORTED, "yarn"},
        {", \"num_key_value_heads\": 3", SO_ERR_FORMAT, "heads"},
        {", \"num_key_value_heads\": \"3\"", SO_ERR_FORMAT, "num_key_value_heads"},
        {", \"rms_norm_eps\": -1", SO_ERR_FORMAT, "rms_norm_eps"},
        {", \"mlp_bias\": true", SO_ERR_UNSUPPORTED, "mlp_bias"},
        {", \"vision_config\": {\"patch_size\": 0}", SO_ERR_FORMAT, "vision"},
        {", \"model_name\": \"a name that is far longer than the sixty-three bytes that are kept of it\"", SO_ERR_LIMIT,
         "model_name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        so_setup s;
        so_error error = {0};
        assert_int_equal(parse(&s, cases[i].more, &error), cases[i].status);
        assert_non_null(strstr(error.text, cases[i].names));
    }
    so_setup s;
    so_error error;
    assert_int_equal(so_setup_parse(&s, "{\"hidden_size\": 32}", NULL, &error), SO_ERR_MISSING);
    assert_int_equal(so_setup_parse(&s, "[", NULL, &error), SO_ERR_FORMAT);
}

static void printed_config_reads_back(void **state)
{
    (void)state;
    so_setup a, b;
    so_error error;
    char *text;
    CHECK_OK(parse(&a, ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}", &error), error);
    CHECK_OK(so_setup_print(&a, &text, &error), error);
    CHECK_OK(so_setup_parse(&b, text, NULL, &error), error);
    free(text);
    assert_memory_equal(&a, &b, sizeof a);
}

static so_model *open_tiny(int keep)
{
    static char tokenizer[4096];
    so_model *model;
    so_error error;
    snprintf(tokenizer, sizeof tokenizer, "%s", check_shared("reference/llama3-tokenizer"));
    so_model_options options = {.threads = 1, .keep_types = keep, .tokenizer = tokenizer};
    CHECK_OK(so_model_open(&model, check_shared("reference/stream-omni-tiny/model"), &options, &error), error);
    return model;
}

static void assert_same_weights(const so_model *a, const so_model *b, double bar)
{
    assert_int_equal(a->store.count, b->store.count);
    for (int64_t i = 0; i < a->store.count; i++) {
        const so_tensor *s = &a->store.weight[i]->tensor, *t = &so_store_find(&b->store, s->name)->tensor;
        int64_t cols = so_cols(s);
        float *x = malloc((size_t)cols * sizeof *x), *y = malloc((size_t)cols * sizeof *y);
        for (int64_t r = 0; r < so_rows(s); r += 1 + so_rows(s) / 50) {
            so_kernels_c()->row(s->type, s->data, r, cols, x);
            so_kernels_c()->row(t->type, t->data, r, cols, y);
            check_close(s->name, y, x, cols, bar, -1);
        }
        free(x);
        free(y);
    }
}

static void saved_model_is_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        double bar;
    } cases[] = {{NULL, 0}, {"f32", 0}, {"f16", 0}, {"q8_0", 0.005}};
    char path[64] = "/tmp/so-engine-XXXXXX";
    so_error error;
    so_model *model = open_tiny(1), *copy;
    assert_int_not_equal(mkstemp(path), -1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_OK(so_model_save(model, path, &(so_save_options){.type = cases[i].type}, &error), error);
        CHECK_OK(so_model_open(&copy, path, &(so_model_options){.threads = 1, .keep_types = 1}, &error), error);
        so_setup expected = model->setup;
        assert_memory_equal(&expected, &copy->setup, sizeof expected);
        assert_int_equal(so_tokenizer_size(model->tokenizer), so_tokenizer_size(copy->tokenizer));
        assert_memory_equal(model->spoken, copy->spoken, (size_t)(so_tokenizer_size(copy->tokenizer) + 7) / 8);
        assert_same_weights(model, copy, cases[i].bar);
        so_model_close(&copy);
    }
    assert_int_equal(so_model_save(model, path, &(so_save_options){.type = "q3"}, &error), SO_ERR_ARG);
    unlink(path);
    so_model_close(&model);
}

static void about_tells_the_parts(void **state)
{
    (void)state;
    so_model *model = open_tiny(0);
    so_model_info info;
    so_model_about(model, &info);
    assert_int_equal(info.text_rows, 128256);
    assert_int_equal(info.audio_rows, 132352);
    assert_int_equal(info.units, 4096);
    assert_int_equal(info.picture_vectors, 729);
    assert_true(info.hears && info.sees);
    assert_null(info.unused);
    assert_int_equal(model->eot, 128009);
    so_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(refusals),
        cmocka_unit_test(printed_config_reads_back),
        cmocka_unit_test(about_tells_the_parts),
        cmocka_unit_test(saved_model_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
