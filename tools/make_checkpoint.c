/* Makes a checkpoint with random weights in the published file formats and, unless told otherwise, at the published
 * sizes: model/ (config.json, safetensors shards with index, tokenizer.json and the other texts) and codec/
 * (speech_tokenizer_v1.onnx, flow.pt, hift.pt, spk2info.pt). Nothing is held in memory; the same seed gives the same
 * bytes.
 *
 *   make_checkpoint DIR [--scale S] [--seed N] [--tiny] [--campplus]
 *
 * --scale S (0 to 1): so much of the layers and of the vocabulary, the widths as published; the codec is always whole.
 * --tiny: widths, layers, vocabulary and codec of a few megabytes, for tests.
 * --campplus: a small CAM++, too (codec/campplus.pt), so that voices can be made of recordings.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "checkpoint.h"

enum { PIECE = 1 << 16, SHARD = 2000000000 };

uint32_t so_crc32(uint32_t crc, const void *data, size_t size)
{
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
            table[i] = c;
        }
    crc = ~crc;
    for (const unsigned char *p = data; size--; p++) crc = crc >> 8 ^ table[(crc ^ *p) & 255];
    return ~crc;
}

/* Drawn from a table of normal numbers: 25 GB of them in a minute or two. */
static const float *normals(void)
{
    static float table[1 << 16];
    static int made_already;
    so_rng rng;
    so_rng_init(&rng, 1, 1);
    for (int i = 0; i < 1 << 16 && !made_already; i++) table[i] = (float)so_rng_normal(&rng);
    made_already = 1;
    return table;
}

void so_made_numbers(const made *m, int64_t i, int64_t at, int64_t n, float *out)
{
    const so_view *v = &m->manifest->views.view[i];
    const so_bind_row *row = &m->manifest->row[i];
    const float *table = normals();
    int64_t fan = v->n_dims > 1 ? so_view_elements(v) / v->dim[0] : 1;
    float scale = (float)(row->init == SO_INIT_FAN_IN ? row->scale / sqrt((double)fan) : row->scale);
    so_rng rng;
    so_rng_init(&rng, m->seed + (uint64_t)i * 1000003, (uint64_t)(at / PIECE));
    for (int64_t k = 0; k < n; k += 4) {
        uint64_t bits = so_rng_u64(&rng);
        for (int64_t j = k; j < n && j < k + 4; j++, bits >>= 16)
            out[j] = row->init == SO_INIT_VALUE ? scale : scale * table[bits & 0xffff];
    }
}

int so_made_write(const made *m, int64_t i, int half, FILE *out, uint32_t *crc)
{
    static float numbers[PIECE];
    static uint16_t halves[PIECE];
    int64_t elements = so_view_elements(&m->manifest->views.view[i]);
    for (int64_t at = 0; at < elements; at += PIECE) {
        int64_t n = elements - at < PIECE ? elements - at : PIECE;
        so_made_numbers(m, i, at, n, numbers);
        for (int64_t k = 0; k < n && half; k++) halves[k] = so_to_bf16(numbers[k]);
        const void *data = half ? (const void *)halves : numbers;
        size_t bytes = (size_t)n * (half ? sizeof *halves : sizeof *numbers);
        if (crc) *crc = so_crc32(*crc, data, bytes);
        if (fwrite(data, 1, bytes, out) != bytes) return -1;
    }
    return 0;
}

/* ---- sizes */

typedef struct plan {
    int64_t width, ff, heads, kv_heads, layers, bottom, top, pieces, units;
    int64_t tower_width, tower_ff, tower_heads, tower_layers, image;
    int tiny, campplus;
} plan;

static int64_t share(double scale, int64_t n, int64_t least)
{
    int64_t part = (int64_t)(scale * (double)n + 0.5);
    return part < least ? least : part;
}

static plan sizes(double scale, int tiny)
{
    if (tiny) return (plan){64, 96, 4, 2, 2, 1, 1, 700, 64, 32, 48, 2, 2, 56, 1};
    plan p = {4096,
              14336,
              32,
              8,
              share(scale, 32, 1),
              share(scale, 3, 1),
              share(scale, 5, 1),
              share(scale, 128000, 1000),
              4096,
              1152,
              4304,
              16,
              share(scale, 26, 1),
              384,
              0};
    return p;
}

/* ---- texts */

static int write_text(const char *folder, const char *name, const char *text)
{
    char path[4096];
    so_error error;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (so_file_write(path, text, strlen(text), &error) == SO_OK) return 0;
    fprintf(stderr, "%s\n", error.text);
    return -1;
}

static void config_text(const plan *p, char *out, size_t size)
{
    snprintf(
        out, size,
        "{\n  \"architectures\": [\"StreamOmniLlamaForCausalLM\"],\n  \"model_type\": \"stream_omni_llama\",\n"
        "  \"hidden_act\": \"silu\",\n  \"hidden_size\": %lld,\n  \"intermediate_size\": %lld,\n"
        "  \"num_attention_heads\": %lld,\n  \"num_key_value_heads\": %lld,\n  \"num_hidden_layers\": %lld,\n"
        "  \"num_bottom_audio_layers\": %lld,\n  \"num_top_audio_layers\": %lld,\n  \"rms_norm_eps\": 1e-05,\n"
        "  \"rope_theta\": 500000.0,\n  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
        "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 8192},\n"
        "  \"max_position_embeddings\": 131072,\n  \"vocab_size\": %lld,\n  \"text_vocab_size\": %lld,\n"
        "  \"audio_vocab_size\": %lld,\n  \"bos_token_id\": %lld,\n  \"eos_token_id\": [%lld, %lld, %lld],\n"
        "  \"torch_dtype\": \"bfloat16\",\n  \"mm_vision_tower\": \"google/siglip-so400m-patch14-384\",\n"
        "  \"mm_projector_type\": \"mlp2x_gelu\",\n  \"mm_hidden_size\": %lld,\n  \"mm_patch_merge_type\": \"flat\",\n"
        "  \"image_aspect_ratio\": \"square\",\n  \"mm_use_im_start_end\": false,\n  \"mm_use_im_patch_token\": "
        "false,\n"
        "  \"vision_config\": {\"hidden_size\": %lld, \"intermediate_size\": %lld, \"num_attention_heads\": %lld, "
        "\"num_hidden_layers\": %lld, \"image_size\": %lld, \"patch_size\": 14}\n}\n",
        (long long)p->width, (long long)p->ff, (long long)p->heads, (long long)p->kv_heads, (long long)p->layers,
        (long long)p->bottom, (long long)p->top, (long long)(p->pieces + 256 + p->units), (long long)p->pieces + 256,
        (long long)p->units, (long long)p->pieces, (long long)p->pieces + 1, (long long)p->pieces + 8,
        (long long)p->pieces + 9, (long long)p->tower_width, (long long)p->tower_width, (long long)p->tower_ff,
        (long long)p->tower_heads, (long long)p->tower_layers + 1, (long long)p->image);
}

static const char tiny_codec[] =
    "{\"tokenizer\": {\"dim\": 32, \"heads\": 2, \"layers\": 2, \"codebook\": 64, \"n_mels\": 128, \"n_ctx\": 1500},\n"
    " \"flow\": {\"vocab\": 64, \"enc_dim\": 32, \"enc_heads\": 2, \"enc_ffn\": 48, \"enc_layers\": 1, "
    "\"est_channels\": 16,\n"
    "  \"est_heads\": 2, \"est_head_dim\": 8, \"est_blocks\": 1, \"est_mid\": 1},\n"
    " \"hift\": {\"base_channels\": 16, \"f0_channels\": 16}}\n";

static int write_texts(const plan *p, const char *model)
{
    char text[512];
    snprintf(text, sizeof text,
             "{\"bos_token_id\": %lld, \"eos_token_id\": [%lld, %lld, %lld], \"do_sample\": false}\n",
             (long long)p->pieces, (long long)p->pieces + 1, (long long)p->pieces + 8, (long long)p->pieces + 9);
    int bad = write_text(model, "generation_config.json", text);
    bad |= write_text(model, "tokenizer_config.json",
                      "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"clean_up_tokenization_spaces\": true, "
                      "\"chat_template\": \"{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}"
                      "<|end_header_id|>\\n\\n{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
                      "<|start_header_id|>assistant<|end_header_id|>\\n\\n\"}\n");
    bad |= write_text(model, "special_tokens_map.json", "{\"bos_token\": \"<|begin_of_text|>\"}\n");
    snprintf(
        text, sizeof text,
        "{\"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, 0.5, 0.5], \"rescale_factor\": 0.00392156862745098, "
        "\"resample\": 3, \"size\": {\"height\": %lld, \"width\": %lld}}\n",
        (long long)p->image, (long long)p->image);
    return bad | write_text(model, "preprocessor_config.json", text);
}

/* Pieces: every byte, then words of two, three, four letters. */
static void piece(int64_t i, char out[8], int *length)
{
    if (i < 256) {
        out[0] = (char)i;
        *length = 1;
        return;
    }
    int64_t n = 26 * 26;
    *length = 2;
    for (i -= 256; i >= n; n *= 26, ++*length) i -= n;
    for (int k = *length - 1; k >= 0; k--, i /= 26) out[k] = (char)('a' + i % 26);
}

static int write_tokenizer(const plan *p, const char *model)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text, path[4096];
    size_t size;
    so_error error = {0};
    so_tokenizer *tokenizer = NULL;
    FILE *f = open_memstream(&text, &size);
    for (int64_t i = 0; i < p->pieces; i++) {
        unsigned char b[9] = {0};
        int n;
        piece(i, (char *)b, &n);
        for (int k = 0; k < n; k += 3) {
            unsigned v = (unsigned)b[k] << 16 | (unsigned)b[k + 1] << 8 | b[k + 2];
            fprintf(f, "%c%c%c%c", digit[v >> 18], digit[v >> 12 & 63], k + 1 < n ? digit[v >> 6 & 63] : '=',
                    k + 2 < n ? digit[v & 63] : '=');
        }
        fprintf(f, " %lld\n", (long long)i);
    }
    fclose(f);
    snprintf(path, sizeof path, "%s/tokenizer.json", model);
    so_status status = so_tokenizer_parse_ranks(&tokenizer, text, size, (int32_t)p->units, &error);
    if (status == SO_OK) status = so_tokenizer_save_json(tokenizer, path, &error);
    so_tokenizer_close(&tokenizer);
    free(text);
    if (status != SO_OK) fprintf(stderr, "%s\n", error.text);
    return status == SO_OK ? 0 : -1;
}

/* ---- safetensors */

static int is_model(const so_view *v) { return strncmp(v->name, "codec.", 6) != 0; }

static int write_shard(const made *m, const char *path, int64_t first, int64_t end)
{
    so_safetensors_writer *w = NULL;
    char *head = NULL;
    size_t bytes = 0;
    so_error error = {0};
    so_status status = so_safetensors_create(&w, NULL, &error);
    for (int64_t i = first; i < end && status == SO_OK; i++) {
        const so_view *v = &m->manifest->views.view[i];
        if (is_model(v)) status = so_safetensors_declare(w, v->name, SO_BF16, v->n_dims, v->dim, &error);
    }
    if (status == SO_OK) status = so_safetensors_head(w, &head, &bytes, &error);
    so_safetensors_drop(&w);
    FILE *f = status == SO_OK ? fopen(path, "wb") : NULL;
    int bad = !f || fwrite(head, 1, bytes, f) != bytes;
    for (int64_t i = first; i < end && !bad; i++)
        if (is_model(&m->manifest->views.view[i])) bad = so_made_write(m, i, 1, f, NULL);
    free(head);
    if (f && fclose(f) != 0) bad = 1;
    if (bad) fprintf(stderr, "%s: %s\n", path, status == SO_OK ? "cannot be written" : error.text);
    return bad;
}

static int write_model(const made *m, const char *model, int64_t limit)
{
    const so_views *views = &m->manifest->views;
    int64_t cut[1024], shards = 0, used = 0, total = 0;
    for (int64_t i = 0; i < views->count; i++) {
        int64_t bytes = is_model(&views->view[i]) ? (int64_t)views->view[i].bytes / 2 : 0;
        if (i == 0 || (used && used + bytes > limit && shards < 1023)) {
            cut[shards++] = i;
            used = 0;
        }
        used += bytes;
        total += bytes;
    }
    cut[shards] = views->count;
    char path[4096], *text;
    size_t size;
    FILE *index = open_memstream(&text, &size);
    fprintf(index, "{\"metadata\": {\"total_size\": %lld}, \"weight_map\": {", (long long)total);
    int bad = 0, any = 0;
    for (int64_t s = 0; s < shards && !bad; s++) {
        char name[64];
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", (int)s + 1, (int)shards);
        snprintf(path, sizeof path, "%s/%s", model, name);
        bad = write_shard(m, path, cut[s], cut[s + 1]);
        for (int64_t i = cut[s]; i < cut[s + 1]; i++)
            if (is_model(&views->view[i]))
                fprintf(index, "%s\"%s\": \"%s\"", any++ ? ",\n" : "\n", views->view[i].name, name);
    }
    fprintf(index, "}}\n");
    fclose(index);
    bad = bad || write_text(model, "model.safetensors.index.json", text);
    free(text);
    return bad;
}

/* ---- all of it */

static so_status make_manifest(const plan *p, so_manifest *manifest, char *config, size_t size, so_error *error)
{
    so_setup setup;
    so_codec codec = {.has_tokenizer = true, .has_vocoder = true, .has_cam = p->campplus};
    codec.cam.config = (so_cam_config){.mels = 80,
                                       .head = 8,
                                       .start = 16,
                                       .growth = 8,
                                       .vector = 192,
                                       .bottleneck = 2,
                                       .layers = {1, 1, 1},
                                       .dilation = {1, 2, 2},
                                       .segment = 100};
    json_t *json = p->tiny ? json_loads(tiny_codec, 0, NULL) : NULL;
    config_text(p, config, size);
    so_status status = so_setup_parse(&setup, config, NULL, error);
    setup.omni.text_rows = p->pieces + 256;
    setup.omni.audio_rows = p->pieces + 256 + p->units;
    setup.omni.speech = setup.omni.vision = true;
    if (status == SO_OK) status = so_codec_sizes(&codec, json, error);
    if (status == SO_OK) status = so_source_manifest(&setup, &codec, NULL, manifest, error);
    json_decref(json);
    return status;
}

static int make(const plan *p, const char *folder, uint64_t seed)
{
    static const char *const voices[] = {"中文女", "英文女", "英文男"};
    char config[4096], model[2048], codec[2048], path[4096];
    so_manifest manifest = {0};
    so_error error = {0};
    made m = {&manifest, seed};
    snprintf(model, sizeof model, "%s/model", folder);
    snprintf(codec, sizeof codec, "%s/codec", folder);
    if (make_manifest(p, &manifest, config, sizeof config, &error) != SO_OK || so_make_folder(model, &error) != SO_OK ||
        so_make_folder(codec, &error) != SO_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int bad = write_model(&m, model, p->tiny ? 300000 : SHARD) || write_texts(p, model) || write_tokenizer(p, model);
    if (p->tiny) bad = bad || write_text(codec, "config.json", tiny_codec);
    snprintf(path, sizeof path, "%s/speech_tokenizer_v1.onnx", codec);
    bad = bad || so_write_onnx(path, &m);
    snprintf(path, sizeof path, "%s/flow.pt", codec);
    bad = bad || so_write_torch(path, &m, "codec.flow.");
    snprintf(path, sizeof path, "%s/hift.pt", codec);
    bad = bad || so_write_torch(path, &m, "codec.hift.");
    snprintf(path, sizeof path, "%s/spk2info.pt", codec);
    bad = bad || so_write_voices(path, voices, 3, 192, seed);
    snprintf(path, sizeof path, "%s/campplus.pt", codec);
    if (p->campplus) bad = bad || so_write_torch(path, &m, SO_CODEC_CAM);
    bad = bad || write_text(model, "config.json", config);
    so_manifest_clear(&manifest);
    return bad;
}

int main(int argc, char **argv)
{
    const char *folder = NULL;
    double scale = 1;
    uint64_t seed = 1;
    int tiny = 0, campplus = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--tiny") == 0)
            tiny = 1;
        else if (strcmp(argv[i], "--campplus") == 0)
            campplus = 1;
        else if (strcmp(argv[i], "--scale") == 0 && i + 1 < argc)
            scale = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (!folder && argv[i][0] != '-')
            folder = argv[i];
        else
            folder = argv[argc - 1], scale = -1;
    }
    if (!folder || !(scale > 0 && scale <= 1)) {
        fprintf(stderr, "usage: make_checkpoint DIR [--scale S] [--seed N] [--tiny] [--campplus]\n");
        return 2;
    }
    plan p = sizes(scale, tiny);
    p.campplus = campplus;
    return make(&p, folder, seed);
}
