/* Mixes of types: rules, falling back, tables that people write, importance.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "checkpoint/quant_rules.h"
#include "checkpoint/source.h"
#include "formats/safetensors.h"

static const char *write_text(const char *text)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/so-mix-%d", getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static so_quant_rules *open_mix(const char *type, const char *table)
{
    so_error error;
    so_quant_rules *m;
    so_save_options options = {.type = type, .types = table ? write_text(table) : NULL};
    CHECK_OK(so_quant_rules_open(&m, &options, &error), error);
    for (int i = 0; i < 32; i++) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.%d.self_attn.v_proj.weight", i);
        CHECK_OK(so_quant_rules_learn(m, name, &error), error);
    }
    return m;
}

static so_type matrix(so_quant_rules *m, const char *name, int64_t cols)
{
    return so_quant_rules_type(m, name, SO_BF16, 2, (int64_t[]){64, cols});
}

static void mixes_put_bits_where_they_are_felt(void **state)
{
    (void)state;
    so_quant_rules *m = open_mix("q4_k_m", NULL);
    assert_int_equal(matrix(m, "model.layers.0.self_attn.q_proj.weight", 4096), SO_Q4_K);
    assert_int_equal(matrix(m, "model.layers.0.self_attn.v_proj.weight", 4096), SO_Q6_K);
    assert_int_equal(matrix(m, "model.layers.31.mlp.down_proj.weight", 14336), SO_Q6_K);
    assert_int_equal(matrix(m, "lm_head.weight", 4096), SO_Q6_K);
    assert_int_equal(matrix(m, "audio_lm_head.weight", 4096), SO_Q5_K);
    assert_int_equal(matrix(m, "audio_to_text_proj.weight", 4096), SO_Q5_K);
    assert_int_equal(matrix(m, "model.embed_tokens.weight", 4096), SO_Q4_K);
    assert_int_equal(matrix(m, "codec.flow.anything", 256), SO_Q8_0);
    int six = 0;
    for (int i = 0; i < 32; i++) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.%d.self_attn.v_proj.weight", i);
        six += matrix(m, name, 4096) == SO_Q6_K;
    }
    assert_int_equal(six, 16);
    /* vectors and odd shapes */
    assert_int_equal(so_quant_rules_type(m, "model.norm.weight", SO_BF16, 1, (int64_t[]){4096}), SO_F32);
    assert_int_equal(so_quant_rules_type(m, "x.patch_embedding.weight", SO_BF16, 4, (int64_t[]){8, 3, 14, 14}),
                     SO_BF16);
    so_quant_rules_close(&m);
    m = open_mix("f32", NULL);
    assert_int_equal(matrix(m, "codec.flow.anything", 256), SO_F32);
    so_quant_rules_close(&m);
    m = open_mix(NULL, NULL);
    assert_int_equal(matrix(m, "lm_head.weight", 31), SO_BF16);
    so_quant_rules_close(&m);
}

/* Issue "The published model on an ordinary computer": below 8.3 GB in q4_k_m. */
static void the_published_model_is_small_enough(void **state)
{
    (void)state;
    static const char config[] =
        "{\"architectures\": [\"StreamOmniLlamaForCausalLM\"], \"hidden_size\": 4096, \"intermediate_size\": 14336, "
        "\"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"num_hidden_layers\": 32, "
        "\"num_bottom_audio_layers\": 3, "
        "\"num_top_audio_layers\": 5, \"rms_norm_eps\": 1e-05, \"rope_theta\": 500000.0, \"vocab_size\": 128256, "
        "\"audio_vocab_size\": 4096, \"mm_vision_tower\": \"google/siglip-so400m-patch14-384\", \"mm_hidden_size\": "
        "1152}";
    so_setup setup;
    so_codec codec = {.has_tokenizer = true, .has_vocoder = true};
    so_manifest manifest = {0};
    so_error error;
    CHECK_OK(so_setup_parse(&setup, config, NULL, &error), error);
    setup.omni.text_rows = 128256;
    setup.omni.audio_rows = 132352;
    setup.omni.speech = setup.omni.vision = true;
    CHECK_OK(so_codec_sizes(&codec, NULL, &error), error);
    CHECK_OK(so_source_manifest(&setup, &codec, NULL, &manifest, &error), error);
    so_quant_rules *m = open_mix("q4_k_m", NULL);
    double weights = 0, bytes = 0;
    for (int64_t i = 0; i < manifest.views.count; i++)
        CHECK_OK(so_quant_rules_learn(m, manifest.views.view[i].name, &error), error);
    for (int64_t i = 0; i < manifest.views.count; i++) {
        const so_view *v = &manifest.views.view[i];
        so_type type = so_quant_rules_type(m, v->name, SO_BF16, v->n_dims, v->dim);
        weights += (double)so_view_elements(v);
        bytes += (double)so_type_bytes(type, so_view_elements(v));
    }
    if (getenv("SO_SHOW")) print_message("%.0f weights, %.0f bytes\n", weights, bytes);
    assert_true(weights > 12.9e9 && weights < 13.0e9); /* with the codec */
    assert_true(bytes > 8.0e9 && bytes < 8.3e9);
    so_quant_rules_close(&m);
    so_manifest_clear(&manifest);
}

static void count_note(void *context, const char *line)
{
    ++*(int *)context;
    assert_non_null(strstr(line, "rows of"));
}

static void odd_rows_fall_back_and_it_is_told(void **state)
{
    (void)state;
    so_quant_rules *m = open_mix("q4_k_m", NULL);
    int notes = 0;
    so_quant_rules_tell(m, count_note, &notes);
    assert_int_equal(notes, 0);
    assert_int_equal(matrix(m, "model.layers.0.self_attn.q_proj.weight", 192), SO_Q5_0);
    assert_int_equal(matrix(m, "model.layers.1.self_attn.q_proj.weight", 192), SO_Q5_0);
    assert_int_equal(matrix(m, "lm_head.weight", 192), SO_Q8_0);
    assert_int_equal(matrix(m, "model.layers.0.self_attn.q_proj.weight", 24), SO_F16);
    so_quant_rules_tell(m, count_note, &notes);
    assert_int_equal(notes, 3);
    so_quant_rules_close(&m);
    m = open_mix("q5_k", NULL);
    assert_int_equal(matrix(m, "model.layers.0.self_attn.q_proj.weight", 192), SO_Q8_0);
    so_quant_rules_close(&m);
}

static void a_table_comes_before_the_mix(void **state)
{
    (void)state;
    so_quant_rules *m = open_mix("q4_k", "# a comment\n\n  lm_head.weight\tq8_0  # with a remark\r\n"
                                         "*.v_proj.* bf16 some\ncodec.* q8_0");
    assert_int_equal(matrix(m, "lm_head.weight", 4096), SO_Q8_0);
    assert_int_equal(matrix(m, "audio_lm_head.weight", 4096), SO_Q5_K);
    assert_int_equal(matrix(m, "model.layers.0.self_attn.v_proj.weight", 4096), SO_BF16);
    assert_int_equal(matrix(m, "model.layers.5.self_attn.v_proj.weight", 4096), SO_Q4_K);
    assert_int_equal(matrix(m, "codec.flow.anything", 512), SO_Q8_0);
    so_quant_rules_close(&m);
    m = open_mix(NULL, "*head* q8_0");
    assert_int_equal(matrix(m, "lm_head.weight", 4096), SO_Q8_0);
    assert_int_equal(matrix(m, "model.embed_tokens.weight", 4096), SO_BF16);
    so_quant_rules_close(&m);
}

static void broken_tables_are_refused_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *line;
    } bad[] = {
        {"* q4_k\n* q3_k\n", "line 2"}, {"lonely", "line 1"}, {"\n\n* q4_k all\n", "line 3"}, {"* i32", "line 1"},
        {"* q8_0 some more", "line 1"}, {"* Q8_0", "line 1"},
    };
    so_error error;
    so_quant_rules *m;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        so_save_options options = {.types = write_text(bad[i].text)};
        assert_int_equal(so_quant_rules_open(&m, &options, &error), SO_ERR_FORMAT);
        assert_null(m);
        assert_non_null(strstr(error.text, bad[i].line));
    }
    assert_int_equal(so_quant_rules_open(&m, &(so_save_options){.type = "q3_k"}, &error), SO_ERR_ARG);
    assert_non_null(strstr(error.text, "q4_k_m"));
    assert_int_equal(so_quant_rules_open(&m, &(so_save_options){.types = "/nowhere/at/all"}, &error), SO_ERR_IO);
    assert_int_equal(so_quant_rules_open(&m, &(so_save_options){.importance = "/nowhere/at/all"}, &error), SO_ERR_IO);
}

static void importance_is_found_by_name_and_width(void **state)
{
    (void)state;
    so_error error;
    so_safetensors_writer *w;
    float x[4] = {1, 2, 3, 4};
    int64_t four = 4, two[2] = {2, 2};
    char path[64];
    snprintf(path, sizeof path, "/tmp/so-importance-%d", getpid());
    CHECK_OK(so_safetensors_create(&w, path, &error), error);
    CHECK_OK(so_safetensors_declare(w, "a", SO_F32, 1, &four, &error), error);
    CHECK_OK(so_safetensors_put(w, "a", x, sizeof x, &error), error);
    CHECK_OK(so_safetensors_commit(&w, &error), error);
    so_quant_rules *m;
    CHECK_OK(so_quant_rules_open(&m, &(so_save_options){.type = "q4_k", .importance = path}, &error), error);
    const float *found = so_quant_rules_importance(m, "a", 4);
    assert_non_null(found);
    assert_memory_equal(found, x, sizeof x);
    assert_null(so_quant_rules_importance(m, "a", 5));
    assert_null(so_quant_rules_importance(m, "b", 4));
    so_quant_rules_close(&m);
    CHECK_OK(so_safetensors_create(&w, path, &error), error);
    CHECK_OK(so_safetensors_declare(w, "a", SO_F32, 2, two, &error), error);
    CHECK_OK(so_safetensors_put(w, "a", x, sizeof x, &error), error);
    CHECK_OK(so_safetensors_commit(&w, &error), error);
    assert_int_equal(so_quant_rules_open(&m, &(so_save_options){.importance = path}, &error), SO_ERR_FORMAT);
    unlink(path);
    unlink(write_text(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixes_put_bits_where_they_are_felt), cmocka_unit_test(the_published_model_is_small_enough),
        cmocka_unit_test(odd_rows_fall_back_and_it_is_told),  cmocka_unit_test(a_table_comes_before_the_mix),
        cmocka_unit_test(broken_tables_are_refused_by_line),  cmocka_unit_test(importance_is_found_by_name_and_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
