/* Configurations, opening and saving models.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "checkpoint/model.h"

static const char config[] =
    "{\"model_type\": \"stream_omni_llama\", \"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 4,"
    " \"num_attention_heads\": 4, \"eos_token_id\": [7, 9], \"mm_vision_tower\": \"siglip\","
    " \"image_grid_pinpoints\": [[384, 768], [768, 384]], \"image_aspect_ratio\": \"anyres\"%s%s%s}";

static so_status parse(so_setup *setup, const char *more, so_error *error)
{
    char text[2048];
    snprintf(text, sizeof text, config, strstr(more, "rms_norm_eps") ? "" : ", \"rms_norm_eps\": 1e-5",
             strstr(more, "rope_theta") ? "" : ", \"rope_theta\": 500000.0", more);
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

#define LLAMA3                                                                                                         \
    "\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "                \
    "\"original_max_position_embeddings\": 8192"

/* The same settings as transformers wrote them before version 5 and writes them now. */
static void rotary_parameters_of_every_version(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        double factor, theta;
    } cases[] = {
        {", \"rope_theta\": 500000.0, \"rope_scaling\": {" LLAMA3 "}, \"torch_dtype\": \"bfloat16\"", 8, 500000},
        {", \"rope_parameters\": {\"rope_theta\": 500000.0, " LLAMA3 "}, \"dtype\": \"bfloat16\"", 8, 500000},
        {", \"rope_theta\": 1e4, \"rope_parameters\": {\"rope_theta\": 10000.0, \"rope_type\": \"default\"}", 1, 10000},
        {", \"rope_theta\": 1e4, \"rope_scaling\": {\"rope_type\": \"default\"}", 1, 10000},
        {", \"rope_theta\": 1e4, \"rope_scaling\": {\"type\": \"default\", \"factor\": 2.0}", 1, 10000},
        {", \"rope_theta\": 1e4, \"rope_scaling\": null, \"rope_parameters\": null", 1, 10000},
        {", \"rope_parameters\": {\"rope_theta\": 10000.0}", 1, 10000},
        {", \"rope_theta\": 5e5, \"rope_scaling\": {\"type\": \"llama3\", " LLAMA3 "}", 8, 5e5},
        {", \"rope_theta\": 1e4, \"layer_types\": [\"full_attention\", \"full_attention\"], \"sliding_window\": null",
         1, 1e4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        so_setup s;
        so_error error = {0};
        if (parse(&s, cases[i].more, &error) != SO_OK) fail_msg("case %zu: %s", i, error.text);
        if (s.omni.llama.rope_factor != cases[i].factor || s.omni.llama.rope_theta != cases[i].theta)
            fail_msg("case %zu: factor %g, theta %g", i, s.omni.llama.rope_factor, s.omni.llama.rope_theta);
    }
}

/* Sizes of a tower that SigLIP's own configuration would leave out are its defaults, not the published tower's. */
static void a_tower_that_leaves_defaults_out(void **state)
{
    (void)state;
    so_setup s;
    so_error error;
    CHECK_OK(parse(&s, ", \"vision_config\": {\"model_type\": \"siglip_vision_model\", \"image_size\": 256}", &error),
             error);
    assert_true(s.omni.siglip.width == 768 && s.omni.siglip.ff == 3072 && s.omni.siglip.heads == 12);
    assert_true(s.omni.siglip.layers == 11 && s.omni.siglip.image == 256 && s.omni.siglip.patch == 16);
}

static void settings_that_would_be_half_read_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *more, *names;
        so_status status;
    } cases[] = {
        {", \"rope_parameters\": {\"rope_theta\": 1e4, \"rope_type\": \"yarn\", \"factor\": 4}", "'yarn'",
         SO_ERR_UNSUPPORTED},
        {", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}", "'linear'", SO_ERR_UNSUPPORTED},
        {", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}", "'low_freq_factor'", SO_ERR_MISSING},
        {", \"rope_theta\": 1e4, \"rope_parameters\": {\"rope_theta\": 5e5}", "'rope_theta' is 10000, and 500000",
         SO_ERR_FORMAT},
        {", \"rope_parameters\": {" LLAMA3 "}, \"rope_scaling\": {\"type\": \"default\"}", "'llama3'", SO_ERR_FORMAT},
        {", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e4}}", "'full_attention'", SO_ERR_UNSUPPORTED},
        {", \"rope_parameters\": 5", "not an object", SO_ERR_FORMAT},
        {", \"rope_parameters\": {\"rope_theta\": null}, \"rope_theta\": null", "'rope_theta' is missing",
         SO_ERR_MISSING},
        {", \"rms_norm_eps\": null", "'rms_norm_eps' is missing", SO_ERR_MISSING},
        {", \"partial_rotary_factor\": 0.5", "'partial_rotary_factor'", SO_ERR_UNSUPPORTED},
        {", \"sliding_window\": 4096", "'sliding_window'", SO_ERR_UNSUPPORTED},
        {", \"layer_types\": [\"sliding_attention\"]", "'sliding_attention'", SO_ERR_UNSUPPORTED},
        {", \"quantization_config\": {\"quant_method\": \"bitsandbytes\"}", "'bitsandbytes'", SO_ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        so_setup s;
        so_error error = {0};
        so_status status = parse(&s, cases[i].more, &error);
        if (status != cases[i].status || !strstr(error.text, cases[i].names))
            fail_msg("case %zu: status %d, '%s'", i, status, error.text);
    }
    static const struct {
        const char *text, *names;
    } strange[] = {
        {"\xef\xbb\xbf{}", "a byte order mark"},
        {"\xff\xfe{", "UTF-16"},
        {"", "an empty file"},
        {"<!DOCTYPE html><html></html>", "an HTML page"},
        {"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"},
        {"{\"text_config\": {\"hidden_size\": 4}}", "'text_config'"},
        {"{\"a\": 1,\n}", "config.json, line 2"},
    };
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        so_setup s;
        so_error error = {0};
        assert_int_not_equal(so_setup_parse(&s, strange[i].text, NULL, &error), SO_OK);
        if (!strstr(error.text, strange[i].names)) fail_msg("text %zu: '%s'", i, error.text);
    }
}

static void printed_config_reads_back(void **state)
{
    (void)state;
    so_setup a, b;
    so_error error;
    char *text;
    CHECK_OK(parse(&a,
                   ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
                   "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
                   "\"original_max_position_embeddings\": 8192}",
                   &error),
             error);
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
    assert_true(info.takes_units && info.sees);
    assert_null(info.unused);
    assert_int_equal(model->eot, 128009);
    so_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(refusals),
        cmocka_unit_test(rotary_parameters_of_every_version),
        cmocka_unit_test(a_tower_that_leaves_defaults_out),
        cmocka_unit_test(settings_that_would_be_half_read_are_named),
        cmocka_unit_test(printed_config_reads_back),
        cmocka_unit_test(about_tells_the_parts),
        cmocka_unit_test(saved_model_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
