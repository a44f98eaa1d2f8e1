/* Unit tests of conversion and export: bit-exact both ways, every defect listed, runs that go on, targets that are
 * whole.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backend/kernels.h"
#include "base/part.h"
#include "base/rng.h"
#include "checkpoint/convert_gguf.h"
#include "place.h"

static const char config[] =
    "{\"model_type\": \"stream_omni_llama\", \"hidden_size\": 64, \"intermediate_size\": 96, \"num_attention_heads\": "
    "4,"
    " \"num_key_value_heads\": 2, \"num_hidden_layers\": 2, \"num_bottom_audio_layers\": 1, \"num_top_audio_layers\": "
    "1,"
    " \"rms_norm_eps\": 1e-5, \"rope_theta\": 500000.0,"
    " \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": "
    "4.0,"
    " \"original_max_position_embeddings\": 8192}, \"audio_vocab_size\": 16,"
    " \"mm_vision_tower\": \"siglip\", \"vision_config\": {\"hidden_size\": 32, \"intermediate_size\": 48,"
    " \"num_attention_heads\": 2, \"num_hidden_layers\": 2, \"image_size\": 28, \"patch_size\": 14}}";
enum { TEXT_ROWS = 512, UNITS = 16 };

static char place[64], model[96], target[96];

/* What to do to one tensor of the made-up file. */
typedef struct defect {
    const char *name;
    enum { NONE, DROP, RESHAPE, RETYPE } what;
} defect;

static void write_tokenizer(const char *path)
{
    so_error error;
    so_tokenizer *tokenizer;
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[256 * 10];
    int n = 0;
    for (int i = 0; i < 256; i++) n += sprintf(text + n, "%c%c== %d\n", digit[i >> 2], digit[(i & 3) << 4], i);
    CHECK_OK(so_tokenizer_parse_ranks(&tokenizer, text, (size_t)n, UNITS, &error), error);
    CHECK_OK(so_tokenizer_save_json(tokenizer, path, &error), error);
    so_tokenizer_close(&tokenizer);
}

static void write_weights(const char *path, const defect *defects, int n, const char *extra)
{
    so_error error;
    so_setup setup;
    so_codec none = {0};
    so_manifest manifest = {0};
    so_safetensors_writer *w;
    so_rng rng;
    so_rng_init(&rng, 5, 6);
    CHECK_OK(so_setup_parse(&setup, config, NULL, &error), error);
    setup.omni.text_rows = TEXT_ROWS;
    setup.omni.audio_rows = TEXT_ROWS + UNITS;
    setup.omni.speech = setup.omni.vision = true;
    CHECK_OK(so_source_manifest(&setup, &none, NULL, &manifest, &error), error);
    CHECK_OK(so_safetensors_create(&w, path, &error), error);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < manifest.views.count + (extra != NULL); i++) {
            bool more = i == manifest.views.count;
            const so_view *v = &manifest.views.view[more ? 0 : i];
            const char *name = more ? extra : v->name;
            int64_t elements = so_view_elements(v), dim[4] = {v->dim[0], v->dim[1], v->dim[2], v->dim[3]};
            int what = manifest.row[more ? 0 : i].optional ? DROP : NONE;
            for (int d = 0; d < n; d++)
                if (strcmp(defects[d].name, name) == 0) what = defects[d].what;
            so_type type = what == RETYPE ? SO_I64 : i % 7 == 3 ? SO_F32 : SO_BF16;
            if (what == DROP) continue;
            if (what == RESHAPE) {
                dim[0]++;
                elements = elements / v->dim[0] * dim[0];
            }
            if (!pass) {
                CHECK_OK(so_safetensors_declare(w, name, type, v->n_dims, dim, &error), error);
                continue;
            }
            size_t bytes = so_type_bytes(type, elements);
            unsigned char *data = malloc(bytes + 1);
            for (int64_t k = 0; k < elements; k++) {
                float x = (float)so_rng_normal(&rng);
                uint16_t half = so_to_bf16(x);
                if (type == SO_F32) memcpy(data + 4 * k, &x, 4);
                if (type == SO_BF16) memcpy(data + 2 * k, &half, 2);
                if (type == SO_I64) memset(data + 8 * k, 0, 8);
            }
            CHECK_OK(so_safetensors_put(w, name, data, bytes, &error), error);
            free(data);
        }
    CHECK_OK(so_safetensors_commit(&w, &error), error);
    so_manifest_clear(&manifest);
}

static void write_model(const defect *defects, int n, const char *extra)
{
    char path[128];
    so_error error;
    CHECK_OK(so_make_folder(model, &error), error);
    snprintf(path, sizeof path, "%s/config.json", model);
    CHECK_OK(so_file_write(path, config, strlen(config), &error), error);
    snprintf(path, sizeof path, "%s/tokenizer.json", model);
    write_tokenizer(path);
    snprintf(path, sizeof path, "%s/model.safetensors", model);
    write_weights(path, defects, n, extra);
}

static int setup(void **state)
{
    (void)state;
    strcpy(place, "/tmp/so-convert-XXXXXX");
    if (place_make(place)) return -1;
    snprintf(model, sizeof model, "%s/model", place);
    snprintf(target, sizeof target, "%s/out.gguf", place);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return place_remove(place);
}

static so_status run(const char *in, const char *out, const so_convert_options *options, so_error *error)
{
    so_convert_result result = {0};
    so_status status = so_convert(&in, 1, out, options, &result, error);
    so_convert_result_clear(&result);
    return status;
}

static void assert_same_views(const so_views *a, const so_views *b)
{
    assert_int_equal(a->count, b->count);
    for (int64_t i = 0; i < a->count; i++) {
        const so_view *v = &a->view[i], *w = so_views_find(b, v->name);
        if (!w) fail_msg("%s is missing", v->name);
        assert_int_equal(v->type, w->type);
        assert_int_equal(v->n_dims, w->n_dims);
        assert_memory_equal(v->dim, w->dim, (size_t)v->n_dims * sizeof *v->dim);
        assert_memory_equal(v->data, w->data, v->bytes);
    }
}

static void assert_same_files(const char *a, const char *b)
{
    so_map one, two;
    so_error error;
    CHECK_OK(so_map_open(&one, a, &error), error);
    CHECK_OK(so_map_open(&two, b, &error), error);
    assert_int_equal(one.size, two.size);
    assert_memory_equal(one.data, two.data, one.size);
    so_map_close(&one);
    so_map_close(&two);
}

static void there_and_back_is_exact(void **state)
{
    (void)state;
    so_error error;
    so_safetensors *a, *b;
    so_gguf *g;
    so_convert_result result = {0};
    so_convert_options small = {.threads = 2, .split = 20000};
    char back[96];
    const char *in = target, *out = back;
    snprintf(back, sizeof back, "%s/back", place);
    write_model(NULL, 0, NULL);
    CHECK_OK(run(model, target, NULL, &error), error);
    CHECK_OK(so_export(&in, 1, out, SO_EXPORT_SAFETENSORS, &small, &result, &error), error);
    assert_true(result.files > 3);
    so_convert_result_clear(&result);
    CHECK_OK(so_safetensors_open(&a, model, &error), error);
    CHECK_OK(so_safetensors_open(&b, back, &error), error);
    CHECK_OK(so_gguf_open(&g, target, &error), error);
    assert_same_views(so_safetensors_views(a), so_safetensors_views(b));
    assert_same_views(so_safetensors_views(a), so_gguf_views(g));
    so_safetensors_close(&a);
    so_safetensors_close(&b);
    so_gguf_close(&g);
    /* and the folder converts to the same file again, but for its name */
    char again[96];
    snprintf(again, sizeof again, "%s/again.gguf", place);
    CHECK_OK(run(back, again, &(so_convert_options){.name = "model"}, &error), error);
    struct stat one, two;
    assert_int_equal(stat(target, &one) | stat(again, &two), 0);
    assert_int_equal(one.st_size, two.st_size);
}

static void every_defect_is_listed(void **state)
{
    (void)state;
    static const defect defects[] = {{"model.norm.weight", DROP},
                                     {"lm_head.weight", RESHAPE},
                                     {"model.layers.1.mlp.up_proj.weight", RETYPE},
                                     {"model.mm_projector.2.bias", DROP}};
    static const char *const lines[] = {
        "missing: model.norm.weight [64]\n", "shape:   lm_head.weight is [513, 64], expected [512, 64]\n",
        "type:    model.layers.1.mlp.up_proj.weight is i64, expected f32, f16 or bf16\n",
        "missing: model.mm_projector.2.bias [64]\n", "extra:   model.surprise.weight"};
    so_error error;
    so_convert_result result;
    const char *in = model;
    write_model(defects, 4, "model.surprise.weight");
    assert_int_equal(so_convert(&in, 1, target, NULL, &result, &error), SO_ERR_FORMAT);
    assert_non_null(strstr(error.text, "2 missing, 1 not expected, 1 of another shape, 1 of another type"));
    assert_non_null(result.report);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(result.report, lines[i])) fail_msg("no line '%s' in:\n%s", lines[i], result.report);
    so_convert_result_clear(&result);
    assert_int_not_equal(access(target, F_OK), 0);
    /* what no network uses may be dropped, if one says so; what the published files may hold is not even told */
    write_model(NULL, 0, "model.surprise.weight");
    assert_int_equal(run(model, target, NULL, &error), SO_ERR_FORMAT);
    CHECK_OK(run(model, target, &(so_convert_options){.drop_extra = 1}, &error), error);
    write_model(NULL, 0, "top_audio_to_text_proj.weight");
    CHECK_OK(run(model, target, NULL, &error), error);
}

typedef struct stopper {
    double at;
    int steps;
} stopper;

static so_status stop(void *context, double done, double total, so_error *error)
{
    stopper *s = context;
    s->steps++;
    return done < s->at * total ? SO_OK : so_fail(error, SO_ERR_STOPPED, "stopped");
}

static void a_run_that_was_cut_off_goes_on(void **state)
{
    (void)state;
    so_error error;
    char whole[96], part[128];
    struct stat st;
    stopper s = {2, 0};
    so_convert_options stopping = {.type = "q8_0", .step = stop, .context = &s, .name = "m"};
    snprintf(whole, sizeof whole, "%s/whole.gguf", place);
    snprintf(part, sizeof part, "%s.part", target);
    write_model(NULL, 0, NULL);
    CHECK_OK(run(model, whole, &stopping, &error), error);
    int all = s.steps;
    s = (stopper){0.6, 0};
    assert_int_equal(run(model, target, &stopping, &error), SO_ERR_STOPPED);
    assert_int_not_equal(access(target, F_OK), 0);
    assert_int_equal(stat(part, &st), 0);
    assert_true(st.st_size > 0);
    assert_true(s.steps < all);
    s = (stopper){2, 0};
    CHECK_OK(run(model, target, &stopping, &error), error);
    assert_true(s.steps < all - 5); /* what was there was not written again */
    assert_same_files(whole, target);
    assert_int_not_equal(access(part, F_OK), 0);
    /* a source that changed meanwhile is another one */
    unlink(target);
    s = (stopper){0.6, 0};
    assert_int_equal(run(model, target, &stopping, &error), SO_ERR_STOPPED);
    static const defect other[] = {{"none", NONE}};
    write_model(other, 1, NULL);
    s = (stopper){2, 0};
    CHECK_OK(run(model, target, &stopping, &error), error);
    assert_int_equal(s.steps, all);
}

static void two_converters_exclude_each_other(void **state)
{
    (void)state;
    so_part held;
    so_error error;
    write_model(NULL, 0, NULL);
    CHECK_OK(so_part_open(&held, target, "somebody else", &error), error);
    assert_int_equal(run(model, target, NULL, &error), SO_ERR_STATE);
    so_part_close(&held);
    CHECK_OK(run(model, target, NULL, &error), error);
}

/* Writes other bytes over the weights, in place, as soon as the target holds some of them. */
static so_status overwrite(void *context, double done, double total, so_error *error)
{
    bool *over = context;
    char path[128];
    (void)total;
    if (*over || done < 1) return SO_OK;
    snprintf(path, sizeof path, "%s/model.safetensors", model);
    FILE *file = fopen(path, "r+b");
    if (!file || fseek(file, -64, SEEK_END) != 0 || fwrite(place, 1, 8, file) != 8 || fclose(file) != 0)
        return so_fail(error, SO_ERR_IO, "%s", path);
    *over = true;
    return SO_OK;
}

static void a_source_that_changes_meanwhile_gives_no_model(void **state)
{
    (void)state;
    so_error error;
    bool over = false;
    char part[128], weights[128];
    const struct timespec past[2] = {{1000, 0}, {1000, 0}}; /* clocks of file systems are coarse */
    so_convert_options options = {.type = "q8_0", .step = overwrite, .context = &over};
    snprintf(part, sizeof part, "%s.part", target);
    snprintf(weights, sizeof weights, "%s/model.safetensors", model);
    write_model(NULL, 0, NULL);
    assert_int_equal(utimensat(AT_FDCWD, weights, past, 0), 0);
    assert_int_equal(run(model, target, &options, &error), SO_ERR_STATE);
    assert_true(over);
    assert_non_null(strstr(error.text, "model.safetensors' was changed"));
    assert_int_not_equal(access(target, F_OK), 0);
    assert_int_not_equal(access(part, F_OK), 0); /* nor does a later run go on from it */
    CHECK_OK(run(model, target, &options, &error), error);
}

static void a_full_disk_leaves_no_model(void **state)
{
    (void)state;
    so_error error;
    int status;
    write_model(NULL, 0, NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {200000, 200000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(run(model, target, NULL, &error) == SO_ERR_IO ? 0 : 1);
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_not_equal(access(target, F_OK), 0);
    CHECK_OK(run(model, target, NULL, &error), error);
}

static void split_files_are_one_model(void **state)
{
    (void)state;
    so_error error;
    so_gguf *one, *many;
    so_convert_result result;
    const char *in = model;
    char other[128];
    so_convert_options split = {.split = 50000};
    write_model(NULL, 0, NULL);
    CHECK_OK(run(model, target, NULL, &error), error);
    CHECK_OK(so_convert(&in, 1, target, &split, &result, &error), error);
    assert_true(result.files > 2);
    CHECK_OK(so_gguf_open(&one, target, &error), error);
    CHECK_OK(so_gguf_open(&many, result.path, &error), error);
    assert_same_views(so_gguf_views(one), so_gguf_views(many));
    so_gguf_close(&one);
    so_gguf_close(&many);
    snprintf(other, sizeof other, "%s/out-00002-of-%05d.gguf", place, (int)result.files);
    assert_int_equal(so_gguf_open(&many, other, &error), SO_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "give the first part"));
    unlink(other);
    assert_int_equal(so_gguf_open(&many, result.path, &error), SO_ERR_IO);
    CHECK_OK(so_file_write(other, "GGUF", 4, &error), error);
    assert_int_equal(so_gguf_open(&many, result.path, &error), SO_ERR_FORMAT);
    so_convert_result_clear(&result);
}

static void quantised_rows_are_close(void **state)
{
    (void)state;
    so_error error;
    so_safetensors *a;
    so_gguf *g;
    float x[96], y[96];
    write_model(NULL, 0, NULL);
    CHECK_OK(run(model, target, &(so_convert_options){.type = "q8_0", .threads = 2}, &error), error);
    CHECK_OK(so_safetensors_open(&a, model, &error), error);
    CHECK_OK(so_gguf_open(&g, target, &error), error);
    const so_view *v = so_views_find(so_safetensors_views(a), "model.layers.0.mlp.down_proj.weight");
    const so_view *w = so_views_find(so_gguf_views(g), "model.layers.0.mlp.down_proj.weight");
    assert_int_equal(w->type, SO_Q8_0);
    for (int r = 0; r < 64; r++) {
        so_kernels_c()->row(v->type, v->data, r, 96, x);
        so_kernels_c()->row(w->type, w->data, r, 96, y);
        check_close("row", y, x, 96, 0.005, 0.01);
    }
    so_safetensors_close(&a);
    so_gguf_close(&g);
}

/* Pairs of the exported row order are halves of the stored one: row 2i + j of a head was row i + j * width / 2. */
static void llama_export_turns_rows(void **state)
{
    (void)state;
    so_error error;
    so_safetensors *a;
    so_gguf *g;
    so_convert_result result = {0};
    so_gguf_array tokens;
    const char *in = model;
    write_model(NULL, 0, NULL);
    CHECK_OK(so_export(&in, 1, target, SO_EXPORT_LLAMA, NULL, &result, &error), error);
    so_convert_result_clear(&result);
    CHECK_OK(so_safetensors_open(&a, model, &error), error);
    CHECK_OK(so_gguf_open(&g, target, &error), error);
    static const struct {
        const char *from, *to;
        int heads;
    } turned[] = {{"model.layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight", 4},
                  {"model.layers.1.self_attn.k_proj.weight", "blk.1.attn_k.weight", 2}};
    for (int t = 0; t < 2; t++) {
        const so_view *v = so_views_find(so_safetensors_views(a), turned[t].from);
        const so_view *w = so_views_find(so_gguf_views(g), turned[t].to);
        size_t row = v->bytes / (size_t)v->dim[0];
        assert_int_equal(w->bytes, v->bytes);
        for (int h = 0; h < turned[t].heads; h++)
            for (int i = 0; i < 8; i++)
                for (int j = 0; j < 2; j++)
                    assert_memory_equal((const char *)w->data + (size_t)(h * 16 + 2 * i + j) * row,
                                        (const char *)v->data + (size_t)(h * 16 + i + 8 * j) * row, row);
    }
    const so_view *freq = so_views_find(so_gguf_views(g), "rope_freqs.weight");
    assert_non_null(freq);
    assert_int_equal(freq->dim[0], 8);
    assert_float_equal(((const float *)freq->data)[0], 1, 0);
    assert_float_equal(((const float *)freq->data)[7], 8, 0);
    assert_int_equal(so_views_find(so_gguf_views(g), "output_norm.weight")->type, SO_F32);
    CHECK_OK(so_gguf_array_of(g, "tokenizer.ggml.tokens", SO_GGUF_STRING, &tokens, &error), error);
    assert_int_equal(tokens.n, TEXT_ROWS);
    so_span space = so_gguf_string_at(&tokens, ' '), special = so_gguf_string_at(&tokens, 256 + 9);
    assert_int_equal(space.length, 2);
    assert_memory_equal(space.data, "\xc4\xa0", 2); /* U+0120, as byte-level vocabularies write a blank */
    assert_int_equal(special.length, strlen("<|eot_id|>"));
    assert_memory_equal(special.data, "<|eot_id|>", special.length);
    so_safetensors_close(&a);
    so_gguf_close(&g);
    CHECK_OK(so_export(&in, 1, target, SO_EXPORT_MMPROJ, NULL, &result, &error), error);
    CHECK_OK(so_gguf_open(&g, target, &error), error);
    assert_non_null(so_views_find(so_gguf_views(g), "v.blk.0.ffn_down.weight"));
    assert_int_equal(so_gguf_views(g)->count, 3 + 4 + 16);
    so_gguf_close(&g);
    so_convert_result_clear(&result);
}

static void what_is_no_model_is_told(void **state)
{
    (void)state;
    so_error error;
    char path[128];
    const char *two[] = {model, model};
    so_convert_result result;
    assert_int_equal(run("/nonexistent", target, NULL, &error), SO_ERR_IO);
    assert_int_equal(run(place, target, NULL, &error), SO_ERR_MISSING);
    write_model(NULL, 0, NULL);
    assert_int_equal(run(model, target, &(so_convert_options){.type = "q3"}, &error), SO_ERR_ARG);
    assert_int_equal(so_convert(two, 2, target, NULL, &result, &error), SO_ERR_FORMAT);
    so_convert_result_clear(&result);
    snprintf(path, sizeof path, "%s/preprocessor_config.json", model);
    static const char other[] = "{\"image_mean\": [0.48, 0.45, 0.4]}";
    CHECK_OK(so_file_write(path, other, strlen(other), &error), error);
    assert_int_equal(run(model, target, NULL, &error), SO_ERR_UNSUPPORTED);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", model);
    assert_int_equal(truncate(path, 100000), 0);
    assert_int_equal(run(model, target, NULL, &error), SO_ERR_FORMAT);
    snprintf(path, sizeof path, "%s/tokenizer.json", model);
    write_model(NULL, 0, NULL);
    unlink(path);
    assert_int_equal(run(model, target, NULL, &error), SO_ERR_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back_is_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(every_defect_is_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_that_was_cut_off_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(two_converters_exclude_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_that_changes_meanwhile_gives_no_model, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_no_model, setup, teardown),
        cmocka_unit_test_setup_teardown(split_files_are_one_model, setup, teardown),
        cmocka_unit_test_setup_teardown(quantised_rows_are_close, setup, teardown),
        cmocka_unit_test_setup_teardown(llama_export_turns_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_model_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
