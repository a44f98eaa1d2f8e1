/* Exporting: the backbone and the vision tower as llama.cpp opens them.
 *
 * llama.cpp rotates neighbouring pairs where the published weights rotate halves, so that rows of query and key
 * matrices are reordered within each head. Source: docs/files.md 2; the key names of ggml's GGUF documentation.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "checkpoint/export_gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/table.h"

enum { GGML_NORMAL = 1, GGML_CONTROL = 3, GGML_USER = 4, GGML_UNUSED = 5 };

/* ---- the tokenizer in GGUF's words */

static so_status spell(so_string *out, const so_tokenizer *t, int32_t id, so_error *error)
{
    size_t size;
    const char *bytes = so_tokenizer_piece(t, id, &size);
    bool plain = so_tokenizer_kind(t, id) != SO_TOKEN_NORMAL;
    for (size_t i = 0; i < size; i++) {
        char c[4] = {bytes[i]};
        SO_TRY(
            so_string_add(out, c, plain ? 1 : (size_t)so_utf8_put(c, so_byte_to_char((unsigned char)bytes[i])), error));
    }
    return SO_OK;
}

/* Texts gathered one behind the other: `end` tells where each stops. */
typedef struct words {
    so_string text;
    size_t *end;
    so_span *span;
    int64_t n;
} words;

static so_status open_words(words *w, int64_t most, so_error *error)
{
    w->end = malloc((size_t)(most + 1) * sizeof *w->end);
    w->span = malloc((size_t)(most + 1) * sizeof *w->span);
    return w->end && w->span ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %lld words", (long long)most);
}

static so_status set_words(words *w, const char *key, so_gguf_writer *out, so_error *error)
{
    for (int64_t i = 0; i < w->n; i++) {
        size_t begin = i ? w->end[i - 1] : 0;
        w->span[i] = (so_span){w->text.data + begin, w->end[i] - begin};
    }
    return so_gguf_set_strings(out, key, w->span, w->n, error);
}

static void close_words(words *w)
{
    so_string_clear(&w->text);
    free(w->end);
    free(w->span);
}

/* As many tokens as the table has rows: units, which the backbone does not know, are left out, rows without a token get
 * a name of their own. */
static so_status set_tokens(const so_tokenizer *t, int64_t rows, so_gguf_writer *out, so_error *error)
{
    words w = {0};
    int32_t *types = malloc((size_t)(rows + 1) * sizeof *types);
    so_status status = types ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %lld tokens", (long long)rows);
    if (status == SO_OK) status = open_words(&w, rows, error);
    for (int32_t id = 0; id < rows && status == SO_OK; id++) {
        so_token_kind kind = id < so_tokenizer_size(t) ? so_tokenizer_kind(t, id) : SO_TOKEN_NONE;
        char name[32];
        snprintf(name, sizeof name, "[PAD%d]", id);
        types[id] = kind == SO_TOKEN_NORMAL    ? GGML_NORMAL
                    : kind == SO_TOKEN_SPECIAL ? GGML_CONTROL
                    : kind == SO_TOKEN_ADDED   ? GGML_USER
                                               : GGML_UNUSED;
        status = kind == SO_TOKEN_NONE ? so_string_put(&w.text, name, error) : spell(&w.text, t, id, error);
        w.end[w.n++] = w.text.size;
    }
    if (status == SO_OK) status = set_words(&w, "tokenizer.ggml.tokens", out, error);
    if (status == SO_OK) status = so_gguf_set_i32s(out, "tokenizer.ggml.token_type", types, rows, error);
    close_words(&w);
    free(types);
    return status;
}

static so_status set_merges(const so_tokenizer *t, so_gguf_writer *out, so_error *error)
{
    words w = {0};
    int32_t(*merges)[2] = NULL, n = 0;
    so_status status = so_tokenizer_list_merges(t, &merges, &n, error);
    if (status == SO_OK) status = open_words(&w, n, error);
    for (int32_t i = 0; i < n && status == SO_OK; i++) {
        status = spell(&w.text, t, merges[i][0], error);
        if (status == SO_OK) status = so_string_put(&w.text, " ", error);
        if (status == SO_OK) status = spell(&w.text, t, merges[i][1], error);
        w.end[w.n++] = w.text.size;
    }
    if (status == SO_OK) status = set_words(&w, "tokenizer.ggml.merges", out, error);
    close_words(&w);
    free(merges);
    return status;
}

/* What the published template renders to, for a model that came without one. */
static const char llama3_template[] =
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ "
    "message['content'] | trim + '<|eot_id|>' }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}";

static so_status set_tokenizer(const so_source *s, so_gguf_writer *out, so_error *error)
{
    const so_tokenizer *t = s->tokenizer;
    const so_token_names *names = so_tokenizer_names(t);
    so_tokenizer_parts parts;
    so_tokenizer_parts_of(t, &parts);
    if (strcmp(parts.pattern, SO_LLAMA3_PATTERN) != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "llama.cpp cuts text in ways of its own; this tokenizer's is not Llama 3's");
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", names->bos},
               {"tokenizer.ggml.eos_token_id", names->eot >= 0 ? names->eot : names->eos},
               {"tokenizer.ggml.eot_token_id", names->eot},
               {"tokenizer.ggml.eom_token_id", names->eom},
               {"tokenizer.ggml.padding_token_id", names->eos}};
    SO_TRY(so_gguf_set_string(out, "tokenizer.ggml.model", "gpt2", error));
    SO_TRY(so_gguf_set_string(out, "tokenizer.ggml.pre", "llama-bpe", error));
    SO_TRY(set_tokens(t, s->setup.omni.text_rows, out, error));
    SO_TRY(set_merges(t, out, error));
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id >= 0) SO_TRY(so_gguf_set_u32(out, ids[i].key, (uint32_t)ids[i].id, error));
    SO_TRY(so_gguf_set_bool(out, "tokenizer.ggml.add_bos_token", true, error));
    return so_gguf_set_string(out, "tokenizer.chat_template", s->chat_template ? s->chat_template : llama3_template,
                              error);
}

/* ---- the backbone */

static so_status set_llama(const so_source *s, so_gguf_writer *out, so_error *error)
{
    const so_llama_config *c = &s->setup.omni.llama;
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {{"llama.vocab_size", s->setup.omni.text_rows}, {"llama.context_length", s->setup.context},
                 {"llama.embedding_length", c->width},          {"llama.block_count", s->setup.omni.backbone},
                 {"llama.feed_forward_length", c->ff},          {"llama.rope.dimension_count", c->head_width},
                 {"llama.attention.head_count", c->heads},      {"llama.attention.head_count_kv", c->kv_heads},
                 {"llama.attention.key_length", c->head_width}, {"llama.attention.value_length", c->head_width}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        SO_TRY(so_gguf_set_u32(out, sizes[i].key, (uint32_t)sizes[i].value, error));
    SO_TRY(so_gguf_set_f32(out, "llama.attention.layer_norm_rms_epsilon", (float)c->rms_eps, error));
    return so_gguf_set_f32(out, "llama.rope.freq_base", (float)c->rope_theta, error);
}

/* Divisors of the rotary frequencies: what llama3 scaling does to each. */
static so_status add_frequencies(so_convert_job *job, so_error *error)
{
    const so_llama_config *c = &job->source.setup.omni.llama;
    int64_t n = c->head_width / 2;
    if (c->rope_factor <= 1) return SO_OK;
    float *divisor = malloc((size_t)n * sizeof *divisor);
    if (!divisor) return so_fail(error, SO_ERR_NOMEM, "no memory for frequencies");
    for (int64_t i = 0; i < n; i++) {
        double wave = 6.283185307179586 * pow(c->rope_theta, 2 * (double)i / (double)c->head_width);
        double smooth = (c->rope_original / wave - c->rope_low) / (c->rope_high - c->rope_low);
        divisor[i] = (float)(smooth <= 0   ? c->rope_factor
                             : smooth >= 1 ? 1
                                           : 1 / ((1 - smooth) / c->rope_factor + smooth));
    }
    so_status status = so_convert_make(job, 0, "rope_freqs.weight", divisor, 0, n, error);
    free(divisor);
    return status;
}

typedef struct renaming {
    const char *from, *to; /* the same for every layer */
    int turns;             /* 1: rows of query heads, 2: of key heads */
    so_type always;        /* a type that the other program insists on; SO_TYPE_COUNT: the wanted one */
} renaming;

static const renaming llama_layer[] = {
    {"input_layernorm.weight", "attn_norm.weight", 0, SO_F32},
    {"self_attn.q_proj.weight", "attn_q.weight", 1, SO_TYPE_COUNT},
    {"self_attn.k_proj.weight", "attn_k.weight", 2, SO_TYPE_COUNT},
    {"self_attn.v_proj.weight", "attn_v.weight", 0, SO_TYPE_COUNT},
    {"self_attn.o_proj.weight", "attn_output.weight", 0, SO_TYPE_COUNT},
    {"post_attention_layernorm.weight", "ffn_norm.weight", 0, SO_F32},
    {"mlp.gate_proj.weight", "ffn_gate.weight", 0, SO_TYPE_COUNT},
    {"mlp.up_proj.weight", "ffn_up.weight", 0, SO_TYPE_COUNT},
    {"mlp.down_proj.weight", "ffn_down.weight", 0, SO_TYPE_COUNT},
};
static const renaming llama_whole[] = {
    {"model.embed_tokens.weight", "token_embd.weight", 0, SO_TYPE_COUNT},
    {"model.norm.weight", "output_norm.weight", 0, SO_F32},
    {"lm_head.weight", "output.weight", 0, SO_TYPE_COUNT},
};

static so_status add_renamed(so_convert_job *job, const char *prefix, const char *to_prefix, const renaming *r, int n,
                             so_error *error)
{
    const so_llama_config *c = &job->source.setup.omni.llama;
    for (int i = 0; i < n; i++) {
        char from[512], to[128];
        snprintf(from, sizeof from, "%s%s", prefix, r[i].from);
        snprintf(to, sizeof to, "%s%s", to_prefix, r[i].to);
        const so_view *v = so_views_find(&job->source.views, from);
        if (!v) return so_fail(error, SO_ERR_MISSING, "the model has no '%s'", from);
        so_type type = r[i].always != SO_TYPE_COUNT ? r[i].always : so_convert_type(job, v);
        int64_t heads = r[i].turns == 1 ? c->heads : r[i].turns == 2 ? c->kv_heads : 0;
        SO_TRY(so_convert_add(job, to, v, type, heads, error));
    }
    return SO_OK;
}
#define RENAME(job, prefix, to, table, error)                                                                          \
    add_renamed(job, prefix, to, table, (int)(sizeof(table) / sizeof *(table)), error)

static so_status set_general(const so_convert_job *job, const char *architecture, const char *kind, so_gguf_writer *out,
                             so_error *error)
{
    SO_TRY(so_gguf_set_string(out, "general.architecture", architecture, error));
    SO_TRY(so_gguf_set_string(out, "general.type", kind, error));
    SO_TRY(so_gguf_set_string(out, "general.name", job->source.setup.name[0] ? job->source.setup.name : "stream-omni",
                              error));
    SO_TRY(so_gguf_set_u32(out, "general.quantization_version", 2, error));
    return so_convert_licences(job, out, error);
}

so_status so_export_llama(so_convert_job *job, so_gguf_writer *out, so_error *error)
{
    char from[64], to[64];
    SO_TRY(set_general(job, "llama", "model", out, error));
    SO_TRY(set_llama(&job->source, out, error));
    SO_TRY(set_tokenizer(&job->source, out, error));
    SO_TRY(add_frequencies(job, error));
    SO_TRY(RENAME(job, "", "", llama_whole, error));
    for (int64_t i = 0; i < job->source.setup.omni.backbone; i++) {
        snprintf(from, sizeof from, "model.layers.%lld.", (long long)i);
        snprintf(to, sizeof to, "blk.%lld.", (long long)i);
        SO_TRY(RENAME(job, from, to, llama_layer, error));
    }
    return SO_OK;
}

/* ---- the vision tower */

static const renaming tower_whole[] = {
    {"embeddings.patch_embedding.bias", "v.patch_embd.bias", 0, SO_F32},
    {"embeddings.position_embedding.weight", "v.position_embd.weight", 0, SO_F32},
};
static const renaming projector[] = {
    {"0.weight", "mm.0.weight", 0, SO_TYPE_COUNT},
    {"0.bias", "mm.0.bias", 0, SO_F32},
    {"2.weight", "mm.2.weight", 0, SO_TYPE_COUNT},
    {"2.bias", "mm.2.bias", 0, SO_F32},
};
#define PAIR(from, to)                                                                                                 \
    {from ".weight", to ".weight", 0, SO_TYPE_COUNT}, { from ".bias", to ".bias", 0, SO_F32 }
static const renaming tower_layer[] = {
    {"layer_norm1.weight", "ln1.weight", 0, SO_F32},
    {"layer_norm1.bias", "ln1.bias", 0, SO_F32},
    {"layer_norm2.weight", "ln2.weight", 0, SO_F32},
    {"layer_norm2.bias", "ln2.bias", 0, SO_F32},
    PAIR("self_attn.q_proj", "attn_q"),
    PAIR("self_attn.k_proj", "attn_k"),
    PAIR("self_attn.v_proj", "attn_v"),
    PAIR("self_attn.out_proj", "attn_out"),
    PAIR("mlp.fc1", "ffn_up"),
    PAIR("mlp.fc2", "ffn_down"),
};

/* All layers that are stored run: the published tower already lacks the last one. */
static so_status set_clip(const so_source *s, so_gguf_writer *out, so_error *error)
{
    static const float half[3] = {0.5f, 0.5f, 0.5f};
    const so_siglip_config *c = &s->setup.omni.siglip;
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {{"clip.vision.image_size", c->image},
                 {"clip.vision.patch_size", c->patch},
                 {"clip.vision.embedding_length", c->width},
                 {"clip.vision.feed_forward_length", c->ff},
                 {"clip.vision.block_count", c->layers},
                 {"clip.vision.attention.head_count", c->heads},
                 {"clip.vision.projection_dim", s->setup.omni.llama.width}};
    SO_TRY(so_gguf_set_bool(out, "clip.has_text_encoder", false, error));
    SO_TRY(so_gguf_set_bool(out, "clip.has_vision_encoder", true, error));
    SO_TRY(so_gguf_set_bool(out, "clip.has_llava_projector", true, error));
    SO_TRY(so_gguf_set_string(out, "clip.projector_type", "mlp", error));
    SO_TRY(so_gguf_set_bool(out, "clip.use_gelu", true, error));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        SO_TRY(so_gguf_set_u32(out, sizes[i].key, (uint32_t)sizes[i].value, error));
    SO_TRY(so_gguf_set_f32(out, "clip.vision.attention.layer_norm_epsilon", (float)c->norm_eps, error));
    SO_TRY(so_gguf_set_f32s(out, "clip.vision.image_mean", half, 3, error));
    SO_TRY(so_gguf_set_f32s(out, "clip.vision.image_std", half, 3, error));
    return so_gguf_set_i32s(out, "clip.vision.feature_layer", &(int32_t){(int32_t)c->layers}, 1, error);
}

so_status so_export_mmproj(so_convert_job *job, so_gguf_writer *out, so_error *error)
{
    static const char tower[] = "model.vision_tower.vision_tower.vision_model.";
    char from[128], to[64];
    if (!job->source.setup.omni.vision) return so_fail(error, SO_ERR_MISSING, "the model has no vision tower");
    SO_TRY(set_general(job, "clip", "mmproj", out, error));
    SO_TRY(set_clip(&job->source, out, error));
    snprintf(from, sizeof from, "%sembeddings.patch_embedding.weight", tower);
    const so_view *patch = so_views_find(&job->source.views, from);
    if (!patch) return so_fail(error, SO_ERR_MISSING, "the model has no '%s'", from);
    /* ggml convolves f16 and f32 only */
    SO_TRY(so_convert_add(job, "v.patch_embd.weight", patch, patch->type == SO_F16 ? SO_F16 : SO_F32, 0, error));
    SO_TRY(RENAME(job, tower, "", tower_whole, error));
    SO_TRY(RENAME(job, "model.mm_projector.", "", projector, error));
    for (int64_t i = 0; i < job->source.setup.omni.siglip.layers; i++) {
        snprintf(from, sizeof from, "%sencoder.layers.%lld.", tower, (long long)i);
        snprintf(to, sizeof to, "v.blk.%lld.", (long long)i);
        SO_TRY(RENAME(job, from, to, tower_layer, error));
    }
    return SO_OK;
}
