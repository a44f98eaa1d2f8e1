/* The tabletop model as a folder in the published layout: config.json, tokenizer.json, model.safetensors, and the
 * codec's files in codec/ (config.json, speech_tokenizer_v1.safetensors, flow.safetensors, hift.safetensors).
 * Everything that opens the published model opens this one; `stream-omni convert` makes the one file of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "formats/safetensors.h"
#include "models/speech_tokenizer.h"
#include "recipes/tabletop/part_units.h"
#include "recipes/tabletop/part_vocal.h"

const char *const so_tt_fusions[] = {"cross", "add_input", "add_layer"};

static so_status write_config(const so_tt *tt, const char *folder, so_error *error)
{
    so_omni_config c = so_tt_config(tt);
    char text[4096], path[1024];
    int n = snprintf(
        text, sizeof text,
        "{\n"
        " \"architectures\": [\"StreamOmniLlamaForCausalLM\"],\n \"model_type\": \"stream_omni_llama\",\n"
        " \"model_name\": \"tabletop\",\n \"system_prompt\": \"%s\",\n"
        " \"hidden_size\": %lld,\n \"intermediate_size\": %lld,\n \"num_attention_heads\": %lld,\n"
        " \"num_key_value_heads\": %lld,\n \"head_dim\": %lld,\n \"num_hidden_layers\": %lld,\n"
        " \"num_bottom_audio_layers\": %lld,\n \"num_top_audio_layers\": %lld,\n \"rms_norm_eps\": %g,\n"
        " \"rope_theta\": %g,\n \"max_position_embeddings\": %d,\n \"vocab_size\": %lld,\n \"text_vocab_size\": "
        "%lld,\n"
        " \"audio_vocab_size\": %d,\n \"text_lookahead\": %lld,\n \"text_window\": %lld,\n"
        " \"speech_fusion\": \"%s\",\n \"speech_history\": 0,\n \"units_per_token\": 50,\n"
        " \"mm_vision_tower\": \"siglip-tabletop\",\n \"mm_projector_type\": \"mlp2x_gelu\",\n \"mm_hidden_size\": "
        "%lld,\n"
        " \"mm_patch_merge_type\": \"flat\",\n \"image_aspect_ratio\": \"square\",\n"
        " \"bos_token_id\": %d,\n \"eos_token_id\": [%d, %d, %d],\n"
        " \"vision_config\": {\"hidden_size\": %lld, \"intermediate_size\": %lld, \"num_attention_heads\": %lld,\n"
        "  \"num_hidden_layers\": %lld, \"image_size\": %lld, \"patch_size\": %lld, \"layer_norm_eps\": %g}\n}\n",
        so_tabletop_system, (long long)c.llama.width, (long long)c.llama.ff, (long long)c.llama.heads,
        (long long)c.llama.kv_heads, (long long)c.llama.head_width, (long long)c.backbone, (long long)c.bottom,
        (long long)c.top, c.llama.rms_eps, c.llama.rope_theta, SO_TT_CONTEXT, (long long)c.audio_rows,
        (long long)c.text_rows, SO_TT_UNITS, (long long)tt->lookahead,
        (long long)(tt->window < 0 ? 1 << 16 : tt->window), so_tt_fusions[tt->fuse], (long long)c.siglip.width,
        tt->id->bos, tt->id->eos, tt->id->eom, tt->id->eot, (long long)c.siglip.width, (long long)c.siglip.ff,
        (long long)c.siglip.heads, (long long)c.siglip.layers + 1, (long long)c.siglip.image, (long long)c.siglip.patch,
        c.siglip.norm_eps);
    snprintf(path, sizeof path, "%s/config.json", folder);
    return so_file_write(path, text, (size_t)n, error);
}

static so_status copy_file(const char *from, const char *to, so_error *error)
{
    so_map map;
    SO_TRY(so_map_open(&map, from, error));
    so_status status = so_file_write(to, map.data, map.size, error);
    so_map_close(&map);
    return status;
}

/* The sizes of the codec's networks, under the names that codec/config.json has. */
static so_status write_codec_config(const char *folder, so_error *error)
{
    so_speech_tokenizer_config t = so_tt_ears_config(false);
    so_flow_config f = so_tt_flow_config();
    so_hift_config h = so_tt_vocoder_config();
    char text[2048], path[1100];
    int n = snprintf(
        text, sizeof text,
        "{\n \"tokenizer\": {\"n_mels\": %lld, \"dim\": %lld, \"heads\": %lld, \"layers\": %lld, \"ffn\": %lld,\n"
        "  \"codebook\": %lld, \"n_ctx\": %lld, \"conv_strides\": [%lld, %lld], \"front\": 1},\n"
        " \"flow\": {\"vocab\": %lld, \"enc_dim\": %lld, \"enc_heads\": %lld, \"enc_ffn\": %lld, \"enc_layers\": "
        "%lld,\n"
        "  \"est_channels\": %lld, \"est_heads\": %lld, \"est_head_dim\": %lld, \"est_blocks\": %lld, \"est_mid\": "
        "%lld,\n"
        "  \"spk_dim\": %lld, \"n_mels\": %lld, \"input_frame_rate\": %lld, \"n_timesteps\": %lld,\n"
        "  \"inference_cfg_rate\": %g, \"temperature\": %g},\n"
        " \"hift\": {\"base_channels\": %lld, \"f0_channels\": %lld, \"n_mels\": %lld}\n}\n",
        (long long)t.mels, (long long)t.width, (long long)t.heads, (long long)t.layers, (long long)t.ff,
        (long long)t.codes, (long long)t.context, (long long)t.stride[0], (long long)t.stride[1], (long long)f.units,
        (long long)f.width, (long long)f.heads, (long long)f.ff, (long long)f.layers, (long long)f.channels,
        (long long)f.est_heads, (long long)f.head_width, (long long)f.est_blocks, (long long)f.mid,
        (long long)f.speaker, (long long)f.mels, (long long)f.unit_rate, (long long)f.steps, f.guidance, f.temperature,
        (long long)h.channels, (long long)h.f0_channels, (long long)h.mels);
    snprintf(path, sizeof path, "%s/codec/config.json", folder);
    return so_file_write(path, text, (size_t)n, error);
}

/* Copies <folder>/<part>.safetensors to model/codec/<name>.safetensors; an unfinished part is left out and named. */
static so_status take_part(const so_tt *tt, const char *part, const char *name, const char *folder, so_error *error)
{
    char file[64], from[1024], to[1100];
    if (!so_tt_done(tt, part)) {
        so_tt_say(tt, "model: without '%s', which is not trained yet", part);
        return SO_OK;
    }
    snprintf(file, sizeof file, "%s.safetensors", part);
    snprintf(to, sizeof to, "%s/codec/%s.safetensors", folder, name);
    return copy_file(so_tt_path(tt, file, from), to, error);
}

/* The one voice, under the name that the file of voices gives it. */
static so_status write_voice(const char *folder, so_error *error)
{
    so_real vector[192];
    char path[1100];
    so_safetensors_writer *writer;
    so_tt_voice(vector);
    snprintf(path, sizeof path, "%s/codec/spk2info.safetensors", folder);
    SO_TRY(so_safetensors_create(&writer, path, error));
    so_status status = so_safetensors_declare(writer, "tabletop.embedding", SO_F32, 2, (int64_t[]){1, 192}, error);
    if (status == SO_OK) status = so_safetensors_put(writer, "tabletop.embedding", vector, sizeof vector, error);
    if (status == SO_OK) return so_safetensors_commit(&writer, error);
    so_safetensors_drop(&writer);
    return status;
}

static so_status write_codec(const so_tt *tt, const char *folder, so_error *error)
{
    so_store store;
    so_speech_tokenizer ears;
    char path[1100];
    snprintf(path, sizeof path, "%s/codec", folder);
    SO_TRY(so_make_folder(path, error));
    if (so_tt_done(tt, "ears")) {
        SO_TRY(so_tt_ears_open(tt, false, &store, &ears, error));
        so_status status = so_tt_overlay(tt, &store, so_tt_ears_part(tt), error);
        if (status == SO_OK) status = so_tt_keep(tt, &store, NULL, "model/codec/speech_tokenizer_v1", error);
        so_store_close(&store);
        SO_TRY(status);
    } else
        so_tt_say(tt, "model: without 'ears', which is not trained yet");
    SO_TRY(write_voice(folder, error));
    SO_TRY(take_part(tt, "flow", "flow", folder, error));
    SO_TRY(take_part(tt, so_tt_done(tt, "adversarial") ? "adversarial" : "vocoder", "hift", folder, error));
    return write_codec_config(folder, error);
}

so_status so_tt_model(so_tt *tt, so_error *error)
{
    char folder[1000], path[2048], from[1024];
    so_store store;
    so_omni net;
    so_tt_path(tt, "model", folder);
    SO_TRY(so_make_folder(folder, error));
    const char *parts[] = {"eyes", "backbone", "omni", "bottom", "top"};
    SO_TRY(so_tt_omni_open(tt, &store, &net, NULL, error));
    so_status status = SO_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == SO_OK; i++) {
        if (so_tt_done(tt, parts[i]))
            status = so_tt_overlay(tt, &store, parts[i], error);
        else
            so_tt_say(tt, "model: without '%s', which is not trained yet", parts[i]);
    }
    if (status == SO_OK) status = so_tt_keep(tt, &store, NULL, "model/model", error);
    so_store_close(&store);
    SO_TRY(status);
    SO_TRY(write_config(tt, folder, error));
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    SO_TRY(copy_file(so_tt_path(tt, "tokenizer.json", from), path, error));
    return write_codec(tt, folder, error);
}
