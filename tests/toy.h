/* A whole model made of seeded random numbers, written as a folder in the published layout: small, senseless, complete
 * (words, pictures, speech in and out). Its top layers prefer speech units to text ids.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TESTS_TOY_H
#define SO_TESTS_TOY_H

#include "base/file.h"
#include "formats/safetensors.h"
#include "models/campplus.h"
#include "models/flow.h"
#include "models/hift.h"
#include "models/speech_tokenizer.h"
#include "models/stream_omni.h"
#include "so.h"
#include "text/bpe_train.h"

enum { TOY_UNITS = 64 };

static bool toy_clones;       /* its codec has CAM++, so that voices can be made of recordings */
static int64_t toy_text_rows; /* of the text tables, at least; 0: as many as there are ids */

static const char toy_config[] =
    "{\"model_type\": \"stream_omni_llama\", \"model_name\": \"toy\", \"system_prompt\": \"Be kind.\", "
    "\"hidden_size\": 32,"
    " \"intermediate_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"num_hidden_layers\": 3,"
    " \"num_bottom_audio_layers\": 2, \"num_top_audio_layers\": 2, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0,"
    " \"max_position_embeddings\": 1024, \"audio_vocab_size\": 64, \"mm_vision_tower\": \"siglip-toy\","
    " \"mm_projector_type\": \"mlp2x_gelu\", \"mm_patch_merge_type\": \"flat\", \"image_aspect_ratio\": \"pad\","
    " \"vision_config\": {\"hidden_size\": 24, \"intermediate_size\": 32, \"num_attention_heads\": 2,"
    " \"num_hidden_layers\": 2, \"image_size\": 56, \"patch_size\": 14, \"layer_norm_eps\": 1e-6}}";
static const char toy_codec[] =
    "{\"tokenizer\": {\"dim\": 32, \"heads\": 2, \"layers\": 1, \"codebook\": 64, \"n_mels\": 128, \"n_ctx\": 1500},"
    " \"flow\": {\"vocab\": 64, \"enc_dim\": 32, \"enc_heads\": 2, \"enc_ffn\": 32, \"enc_layers\": 1, "
    "\"est_channels\": 16,"
    " \"est_heads\": 1, \"est_head_dim\": 16, \"est_blocks\": 1, \"est_mid\": 1, \"spk_dim\": 8, \"n_timesteps\": 2},"
    " \"hift\": {\"base_channels\": 16, \"f0_channels\": 8}}";

static inline void toy_path(char *out, const char *folder, const char *name)
{
    snprintf(out, 512, "%.200s/%s", folder, name);
}

static inline void toy_write(const char *folder, const char *name, const so_store *store)
{
    char path[512];
    so_error error;
    so_safetensors_writer *w;
    toy_path(path, folder, name);
    CHECK_OK(so_safetensors_create(&w, path, &error), error);
    for (int64_t i = 0; i < store->count; i++) {
        const so_tensor *t = &store->weight[i]->tensor;
        CHECK_OK(so_safetensors_declare(w, t->name, SO_F32, t->n_dims, t->dim, &error), error);
    }
    for (int64_t i = 0; i < store->count; i++) {
        const so_tensor *t = &store->weight[i]->tensor;
        CHECK_OK(so_safetensors_put(w, t->name, t->data, (size_t)so_count(t) * sizeof(float), &error), error);
    }
    CHECK_OK(so_safetensors_commit(&w, &error), error);
}

static inline so_tokenizer *toy_tokenizer(void)
{
    static const char text[] =
        "the cat sat on the mat. the red star is above the blue circle, and the cat sees the star. "
        "what color is the star? where is the cat? one two three four five. hello, how are you?";
    so_bpe_trainer *trainer;
    so_tokenizer *tokenizer;
    so_error error;
    so_bpe_options options = {.size = 300, .units = TOY_UNITS};
    CHECK_OK(so_bpe_trainer_open(&trainer, &options, &error), error);
    CHECK_OK(so_bpe_trainer_feed(trainer, text, sizeof text - 1, &error), error);
    CHECK_OK(so_bpe_trainer_finish(trainer, &tokenizer, &error), error);
    so_bpe_trainer_close(&trainer);
    return tokenizer;
}

static inline void toy_codec_files(const char *folder, uint64_t seed)
{
    so_error error;
    so_rng rng;
    char path[512], below[512];
    toy_path(below, folder, "codec");
    CHECK_OK(so_make_folder(below, &error), error);
    toy_path(path, below, "config.json");
    CHECK_OK(so_file_write(path, toy_codec, sizeof toy_codec - 1, &error), error);
    so_speech_tokenizer_config t = {.mels = 128,
                                    .width = 32,
                                    .heads = 2,
                                    .ff = 128,
                                    .layers = 1,
                                    .codes = TOY_UNITS,
                                    .context = 1500,
                                    .stride = {2, 2}};
    so_flow_config f = so_flow_published();
    f.units = TOY_UNITS;
    f.width = f.ff = 32;
    f.heads = 2;
    f.layers = f.est_heads = f.est_blocks = f.mid = 1;
    f.channels = f.head_width = 16;
    f.speaker = 8;
    f.steps = 2;
    so_hift_config h = so_hift_published();
    h.channels = 16;
    h.f0_channels = 8;
    for (int part = 0; part < 3; part++) {
        static const char *const names[] = {"speech_tokenizer_v1.safetensors", "flow.safetensors", "hift.safetensors"};
        so_store store;
        so_speech_tokenizer ears;
        so_flow flow;
        so_hift hift;
        CHECK_OK(so_store_open(&store, (size_t)1 << 32, &error), error);
        so_rng_init(&rng, seed, (uint64_t)part + 10);
        so_binder binder = {.store = &store, .rng = &rng};
        if (part == 0) CHECK_OK(so_speech_tokenizer_bind(&ears, &t, "", &binder, &error), error);
        if (part == 1) CHECK_OK(so_flow_bind(&flow, &f, "", &binder, &error), error);
        if (part == 2) CHECK_OK(so_hift_bind(&hift, &h, "", &binder, &error), error);
        toy_write(below, names[part], &store);
        so_store_close(&store);
    }
}

static inline void toy_cam(const char *folder, uint64_t seed)
{
    so_error error;
    so_rng rng;
    so_store store;
    so_cam cam;
    so_cam_config c = {.mels = 80,
                       .head = 4,
                       .start = 8,
                       .growth = 4,
                       .vector = 8,
                       .bottleneck = 2,
                       .layers = {2, 1, 1},
                       .dilation = {1, 2, 2},
                       .segment = 100};
    CHECK_OK(so_store_open(&store, (size_t)1 << 32, &error), error);
    so_rng_init(&rng, seed, 20);
    so_binder binder = {.store = &store, .rng = &rng};
    CHECK_OK(so_cam_bind(&cam, &c, "", &binder, &error), error);
    toy_write(folder, "codec/campplus.safetensors", &store);
    so_store_close(&store);
}

/* Makes the model in `folder`, which toy_remove takes away again. */
static inline void toy_make(const char *folder, uint64_t seed)
{
    so_error error;
    so_rng rng;
    so_store store;
    so_omni net;
    char path[512];
    so_tokenizer *tokenizer = toy_tokenizer();
    int32_t first_unit = so_tokenizer_names(tokenizer)->first_unit, size = so_tokenizer_size(tokenizer);
    toy_path(path, folder, "tokenizer.json");
    CHECK_OK(so_tokenizer_save_json(tokenizer, path, &error), error);
    so_tokenizer_close(&tokenizer);
    toy_path(path, folder, "config.json");
    CHECK_OK(so_file_write(path, toy_config, sizeof toy_config - 1, &error), error);
    so_omni_config c = {
        .llama =
            {.width = 32, .heads = 4, .kv_heads = 2, .head_width = 8, .ff = 64, .rms_eps = 1e-5, .rope_theta = 10000},
        .bottom = 2,
        .backbone = 3,
        .top = 2,
        .text_rows = first_unit > toy_text_rows ? first_unit : toy_text_rows,
        .audio_rows = size,
        .speech = true,
        .vision = true,
        .siglip = {.width = 24, .heads = 2, .ff = 32, .layers = 1, .image = 56, .patch = 14, .norm_eps = 1e-6}};
    CHECK_OK(so_store_open(&store, (size_t)1 << 32, &error), error);
    so_rng_init(&rng, seed, 1);
    so_binder binder = {.store = &store, .rng = &rng};
    CHECK_OK(so_omni_bind(&net, &c, &binder, &error), error);
    memset(net.unit_head->data, 0, (size_t)(first_unit * 32) * sizeof(so_real));
    toy_write(folder, "model.safetensors", &store);
    so_store_close(&store);
    toy_codec_files(folder, seed);
    if (toy_clones) toy_cam(folder, seed);
}

static inline void toy_remove(const char *folder)
{
    static const char *const names[] = {"codec/config.json",
                                        "codec/speech_tokenizer_v1.safetensors",
                                        "codec/flow.safetensors",
                                        "codec/hift.safetensors",
                                        "codec/campplus.safetensors",
                                        "codec",
                                        "tokenizer.json",
                                        "config.json",
                                        "model.safetensors",
                                        "model.gguf",
                                        ""};
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        toy_path(path, folder, names[i]);
        remove(path);
    }
}

#define TOY_FOLDER "/tmp/so-toy-XXXXXX" /* what toy_open makes a folder of its own from */

static inline int toy_open(so_model **model, char *folder, int threads, int context)
{
    so_error error;
    if (!mkdtemp(folder)) return -1;
    toy_make(folder, 5);
    CHECK_OK(so_model_open(model, folder, &(so_model_options){.threads = threads, .context = context}, &error), error);
    return 0;
}

static inline int toy_close(so_model **model, const char *folder)
{
    so_model_close(model);
    toy_remove(folder);
    return 0;
}

#endif
