/* What the published sizes take of a device, by numbers alone: names, shapes and types, no weights.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/gpu/fibers/fiber_device.h"
#include "checkpoint/quant_rules.h"
#include "checkpoint/source.h"
#include "plan/plan.h"

static const char config[] = "{\"model_type\": \"stream_omni_llama\", \"hidden_size\": 4096, \"intermediate_size\": "
                             "14336, \"num_attention_heads\": 32,"
                             " \"num_key_value_heads\": 8, \"num_hidden_layers\": 32, \"rms_norm_eps\": 1e-5, "
                             "\"rope_theta\": 500000.0, \"max_position_embeddings\": 8192, \"mm_vision_tower\": "
                             "\"google/siglip-so400m-patch14-384\"}";
static so_model model; /* as it is before weights move, but for the weights */
static so_views views;
static so_device *device;

/* The types that q4_k_m gives, where they lie as they are stored: not in the vocoder, not what has more axes than two.
 */
static void give_types(const so_manifest *manifest)
{
    static const char dummy[64];
    so_error error;
    so_quant_rules *rules;
    CHECK_OK(so_quant_rules_open(&rules, &(so_save_options){.type = "q4_k_m"}, &error), error);
    for (int64_t i = 0; i < manifest->views.count; i++)
        CHECK_OK(so_quant_rules_learn(rules, manifest->views.view[i].name, &error), error);
    for (int64_t i = 0; i < manifest->views.count; i++) {
        so_view v = manifest->views.view[i];
        char name[600];
        snprintf(name, sizeof name, "%s", v.name);
        char *direction = strstr(name, ".weight_v");
        if (strstr(name, ".weight_g")) continue; /* the vocoder's weights are folded when they are read */
        if (direction) strcpy(direction, ".weight");
        so_type type = so_quant_rules_type(rules, v.name, SO_BF16, v.n_dims, v.dim);
        bool codec = strncmp(name, "codec.", 6) == 0, vocoder = strncmp(name, "codec.hift.", 11) == 0;
        if (codec ? vocoder || manifest->row[i].init != SO_INIT_FAN_IN || v.n_dims < 2 : v.n_dims != 2) type = SO_F32;
        v.type = type;
        v.data = dummy;
        CHECK_OK(so_view_measure(&v, so_span_of(name), &error), error);
        CHECK_OK(so_views_add(&views, so_span_of(name), &v, &error), error);
    }
    so_quant_rules_close(&rules);
}

static void bind_codec(so_error *error)
{
    so_codec *c = &model.codec;
    so_codec sizes = {.has_tokenizer = true};
    so_binder binder = {.source = &views, .kernels = so_kernels_c(), .products = true};
    so_store *store[] = {&c->ears.store, &c->flow_part.store, &c->hift_part.store};
    CHECK_OK(so_codec_sizes(&sizes, NULL, error), *error);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(so_store_open(store[i], 0, error), *error);
        binder.store = store[i];
        if (i == 0)
            CHECK_OK(
                so_speech_tokenizer_bind(&c->tokenizer, &sizes.tokenizer.config, "codec.tokenizer.", &binder, error),
                *error);
        if (i == 1) CHECK_OK(so_flow_bind(&c->flow, &sizes.flow.config, "codec.flow.", &binder, error), *error);
        if (i == 2) CHECK_OK(so_hift_bind(&c->hift, &sizes.hift.config, "codec.hift.", &binder, error), *error);
        CHECK_OK(so_binder_finish(&binder, "the codec", error), *error);
    }
    c->has_tokenizer = c->has_vocoder = true;
}

static int start(void **state)
{
    (void)state;
    so_error error = {0};
    so_manifest manifest = {0};
    so_codec codec = {.has_tokenizer = true, .has_vocoder = true};
    CHECK_OK(so_setup_parse(&model.setup, config, NULL, &error), error);
    model.setup.omni.text_rows = 128256;
    model.setup.omni.audio_rows = 132352;
    model.setup.omni.speech = model.setup.omni.vision = true;
    CHECK_OK(so_codec_sizes(&codec, NULL, &error), error);
    CHECK_OK(so_source_manifest(&model.setup, &codec, NULL, &manifest, &error), error);
    give_types(&manifest);
    so_manifest_clear(&manifest);
    CHECK_OK(so_fibers_open(&device, &(so_fibers_options){.subgroup = 32}, &error), error);
    CHECK_OK(so_store_open(&model.store, 0, &error), error);
    so_binder binder = {.store = &model.store, .source = &views, .kernels = so_kernels_c()};
    CHECK_OK(so_omni_bind(&model.net, &model.setup.omni, &binder, &error), error);
    CHECK_OK(so_binder_finish(&binder, "the model", &error), error);
    CHECK_OK(so_setup_pictures(&model.setup, &model.pictures, &error), error);
    bind_codec(&error);
    model.device = model.codec_device = device;
    model.kernels = so_device_kernels(device, true);
    model.encoders = model.rest = so_kernels_c();
    model.device_layers = model.setup.omni.backbone;
    model.units = 4096;
    model.elements = 8e9;
    model.context = 4096;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    so_store_close(&model.store);
    so_store_close(&model.codec.ears.store);
    so_store_close(&model.codec.flow_part.store);
    so_store_close(&model.codec.hift_part.store);
    so_views_clear(&views);
    so_device_close(&device);
    return 0;
}

/* A card of 12 GB holds the published model in q4_k_m with 4,096 positions, a picture and a voice. */
static void the_published_size_fits_a_card_of_12_gb(void **state)
{
    (void)state;
    so_error error = {0};
    so_device_plan p;
    CHECK_OK(so_plan_device(&model, NULL, &p, &error), error);
    fprintf(stderr, "# weights %.3f GB, codec %.3f, keys and values %.3f, voice %.3f, scratch %.3f: %.3f GB\n",
            (double)p.weights * 1e-9, (double)p.codec * 1e-9, (double)p.talk * 1e-9, (double)p.mouth * 1e-9,
            (double)p.scratch * 1e-9, (double)p.all * 1e-9);
    assert_int_equal(p.all, p.weights + p.codec + p.talk + p.mouth + p.scratch);
    assert_true(p.weights > (size_t)7500000000); /* nothing was forgotten */
    assert_true(p.talk > (size_t)4096 * 40 * 2 * 1024 * 2);
    assert_true(p.all < (size_t)9500000000);
}

static void what_would_fit_is_said(void **state)
{
    (void)state;
    so_error error = {0};
    so_device_plan p;
    CHECK_OK(so_plan_check(&model, (size_t)12 << 30, &error), error);
    CHECK_OK(so_plan_device(&model, NULL, &p, &error), error);
    /* A little too small: fewer positions do, or the codec elsewhere. */
    assert_int_equal(so_plan_check(&model, p.all - 100000000, &error), SO_ERR_NOMEM);
    const char *at = strstr(error.text, "--context ");
    assert_non_null(at);
    assert_non_null(strstr(error.text, "--codec-device cpu"));
    int64_t fits = atoll(at + 10);
    assert_true(fits > 2000 && fits < 4096);
    model.context = fits;
    CHECK_OK(so_plan_check(&model, p.all - 100000000, &error), error);
    model.context = 4096;
    /* Far too small: some layers stay where they are. */
    assert_int_equal(so_plan_check(&model, (size_t)6000000000, &error), SO_ERR_NOMEM);
    assert_null(strstr(error.text, "--context "));
    at = strstr(error.text, "--device-layers ");
    assert_non_null(at);
    int64_t layers = atoll(at + 16);
    CHECK_OK(so_plan_layers(&model, (size_t)6000000000, &error), error);
    assert_true(model.device_layers == layers && model.device_layers < 32);
    CHECK_OK(so_plan_check(&model, (size_t)6000000000, &error), error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_size_fits_a_card_of_12_gb),
        cmocka_unit_test(what_would_fit_is_said),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
