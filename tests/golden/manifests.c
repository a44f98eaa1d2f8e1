/* What the networks expect at the published sizes against the manifests of the published files: every name, every
 * shape.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/file.h"
#include "checkpoint/source.h"

static const char config[] = "{\"model_type\": \"stream_omni_llama\", \"hidden_size\": 4096, \"intermediate_size\": "
                             "14336, \"num_attention_heads\": 32,"
                             " \"num_key_value_heads\": 8, \"num_hidden_layers\": 32, \"rms_norm_eps\": 1e-5, "
                             "\"rope_theta\": 500000.0, \"mm_vision_tower\": "
                             "\"google/siglip-so400m-patch14-384\"}";

static void published(so_manifest *manifest)
{
    so_setup setup;
    so_codec codec = {.has_tokenizer = true, .has_vocoder = true};
    so_error error;
    CHECK_OK(so_setup_parse(&setup, config, NULL, &error), error);
    setup.omni.text_rows = 128256;
    setup.omni.audio_rows = 132352;
    setup.omni.speech = setup.omni.vision = true;
    CHECK_OK(so_codec_sizes(&codec, NULL, &error), error);
    CHECK_OK(so_source_manifest(&setup, &codec, NULL, manifest, &error), error);
}

static void one_line(const so_manifest *manifest, const char *prefix, char *line, bool *seen)
{
    char name[600], *type = strchr(line, '\t'), *shape = type ? strchr(type + 1, '\t') : NULL;
    int64_t dim[8], n = 0;
    assert_non_null(shape);
    *type = 0;
    for (char *p = shape + 1; n < 8; p++) {
        dim[n++] = strtoll(p, &p, 10);
        if (*p != ',') break;
    }
    snprintf(name, sizeof name, "%s%s", prefix, line);
    const so_view *v = so_views_find(&manifest->views, name);
    if (!v) fail_msg("%s is not expected by any network", name);
    seen[v - manifest->views.view] = true;
    int i = 0, k = 0;
    for (;; i++, k++) {
        while (i < v->n_dims && v->dim[i] == 1) i++;
        while (k < n && dim[k] == 1) k++;
        if (i == v->n_dims || k == n) break;
        if (v->dim[i] != dim[k])
            fail_msg("%s: axis %d is %lld, the file has %lld", name, i, (long long)v->dim[i], (long long)dim[k]);
    }
    if (i != v->n_dims || k != n) fail_msg("%s has another number of axes", name);
}

/* Both ways: the file holds nothing that is not expected, and everything that is. */
static void hold(const char *file, const char *prefix, int64_t tensors)
{
    char path[200], *text;
    size_t size;
    so_error error;
    so_manifest manifest = {0};
    int64_t lines = 0;
    snprintf(path, sizeof path, "reference/manifests/%s", file);
    CHECK_OK(so_file_read(check_shared(path), 1 << 20, &text, &size, &error), error);
    published(&manifest);
    bool *seen = calloc((size_t)manifest.views.count, sizeof *seen);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        if (*line == '#' || !*line) continue;
        one_line(&manifest, prefix, line, seen);
        lines++;
    }
    assert_int_equal(lines, tensors);
    for (int64_t i = 0; i < manifest.views.count; i++) {
        const char *name = manifest.views.view[i].name;
        bool codec = strncmp(name, "codec.", 6) == 0;
        if (*prefix ? strncmp(name, prefix, strlen(prefix)) != 0 : codec) continue;
        if (!seen[i] && !manifest.row[i].optional) fail_msg("%s is expected, and the file has none", name);
    }
    free(seen);
    free(text);
    so_manifest_clear(&manifest);
}

static void the_model(void **state)
{
    (void)state;
    hold("stream-omni-8b.safetensors.txt", "", 814);
}

static void the_flow(void **state)
{
    (void)state;
    hold("cosyvoice-300m-25hz.flow.pt.txt", "codec.flow.", 1185);
}

static void the_vocoder(void **state)
{
    (void)state;
    hold("cosyvoice-300m-25hz.hift.pt.txt", "codec.hift.", 227);
}

static void the_speech_tokenizer(void **state)
{
    (void)state;
    hold("cosyvoice-300m-25hz.speech_tokenizer_v1.onnx.txt", "codec.tokenizer.", 96);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model),
        cmocka_unit_test(the_flow),
        cmocka_unit_test(the_vocoder),
        cmocka_unit_test(the_speech_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
