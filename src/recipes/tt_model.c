/* The tabletop model as a folder in the published layout: config.json, tokenizer.json, model.safetensors, and the codec's files in
 * codec/ (config.json, speech_tokenizer_v1.safetensors, flow.safetensors, hift.safetensors). Everything that opens the
 * published model opens this one; `stream-omni convert` makes the one file of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "formats/safetensors.h"
#include "recipes/tabletop.h"

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
        " \"rope_theta\": %g,\n \"max_position_embeddings\": 2048,\n \"vocab_size\": %lld,\n \"text_vocab_size\": %lld,\n"
        " \"audio_vocab_size\": %d,\n \"text_lookahead\": 3,\n \"text_window\": 5,\n"
        " \"mm_vision_tower\": \"siglip-tabletop\",\n \"mm_projector_type\": \"mlp2x_gelu\",\n \"mm_hidden_size\": %lld,\n"
        " \"mm_patch_merge_type\": \"flat\",\n \"image_aspect_ratio\": \"square\",\n"
        " \"bos_token_id\": %d,\n \"eos_token_id\": [%d, %d, %d],\n"
        " \"vision_config\": {\"hidden_size\": %lld, \"intermediate_size\": %lld, \"num_attention_heads\": %lld,\n"
        "  \"num_hidden_layers\": %lld, \"image_size\": %lld, \"patch_size\": %lld, \"layer_norm_eps\": %g}\n}\n",
        so_tabletop_system, (long long)c.llama.width, (long long)c.llama.ff, (long long)c.llama.heads, (long long)c.llama.kv_heads,
        (long long)c.llama.head_width, (long long)c.backbone, (long long)c.bottom, (long long)c.top, c.llama.rms_eps,
        c.llama.rope_theta, (long long)c.audio_rows, (long long)c.text_rows, SO_TT_UNITS, (long long)c.siglip.width, tt->id->bos,
        tt->id->eos, tt->id->eom, tt->id->eot, (long long)c.siglip.width, (long long)c.siglip.ff, (long long)c.siglip.heads,
        (long long)c.siglip.layers + 1, (long long)c.siglip.image, (long long)c.siglip.patch, c.siglip.norm_eps);
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

so_status so_tt_model(so_tt *tt, so_error *error)
{
    char folder[1000], path[2048], from[1024];
    so_store store;
    so_omni net;
    so_tt_path(tt, "model", folder);
    SO_TRY(so_make_folder(folder, error));
    const char *parts[] = {"eyes", "backbone", "omni", "bottom", "top", NULL};
    SO_TRY(so_tt_omni_open(tt, &store, &net, parts, error));
    so_status status = so_tt_keep(tt, &store, NULL, "model/model", error);
    so_store_close(&store);
    SO_TRY(status);
    SO_TRY(write_config(tt, folder, error));
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    SO_TRY(copy_file(so_tt_path(tt, "tokenizer.json", from), path, error));
    return SO_OK;
}
