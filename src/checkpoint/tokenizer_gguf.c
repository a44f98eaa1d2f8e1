/* The tokenizer inside a GGUF file. Tokens are raw bytes, merges are pairs of ids.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "checkpoint/tokenizer_gguf.h"

/* Numbers of tokenizer.ggml.token_type. */
enum { GGML_NORMAL = 1, GGML_CONTROL = 3, GGML_USER = 4, GGML_UNUSED = 5 };

static so_status set_tokens(const so_tokenizer_parts *parts, so_gguf_writer *writer, so_error *error)
{
    so_span *text = calloc((size_t)parts->n + 1, sizeof *text);
    int32_t *types = calloc((size_t)parts->n + 1, sizeof *types);
    so_status status = SO_OK;
    if (!text || !types) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for %d tokens", parts->n);
        goto done;
    }
    for (int32_t i = 0; i < parts->n; i++) {
        uint32_t begin = i ? parts->ends[i - 1] : 0;
        text[i] = (so_span){parts->bytes + begin, parts->ends[i] - begin};
        types[i] = parts->kinds[i] == SO_TOKEN_NORMAL    ? GGML_NORMAL
                   : parts->kinds[i] == SO_TOKEN_SPECIAL ? GGML_CONTROL
                   : parts->kinds[i] == SO_TOKEN_ADDED   ? GGML_USER
                                                         : GGML_UNUSED;
    }
    SO_TRY_GO(so_gguf_set_strings(writer, "stream_omni.tokenizer.tokens", text, parts->n, error));
    SO_TRY_GO(so_gguf_set_i32s(writer, "tokenizer.ggml.token_type", types, parts->n, error));
done:
    free(text);
    free(types);
    return status;
}

so_status so_tokenizer_to_gguf(const so_tokenizer *tokenizer, so_gguf_writer *writer, so_error *error)
{
    so_tokenizer_parts parts;
    so_tokenizer_parts_of(tokenizer, &parts);
    SO_TRY(so_gguf_set_string(writer, "tokenizer.ggml.model", "gpt2", error));
    SO_TRY(so_gguf_set_string(writer, "stream_omni.tokenizer.pattern", parts.pattern, error));
    SO_TRY(so_gguf_set_bool(writer, "tokenizer.ggml.add_bos_token", parts.add_bos, error));
    SO_TRY(so_gguf_set_bool(writer, "stream_omni.tokenizer.whole_pieces", parts.whole_pieces, error));
    SO_TRY(set_tokens(&parts, writer, error));
    if (!parts.merges) return SO_OK;
    return so_gguf_set_i32s(writer, "stream_omni.tokenizer.merges", &parts.merges[0][0], 2 * (int64_t)parts.n_merges,
                            error);
}

/* What the parts point to while they are read. */
typedef struct lists {
    char *bytes, *pattern;
    uint32_t *ends;
    uint8_t *kinds;
    int32_t (*merges)[2];
} lists;

static so_status read_tokens(lists *l, so_tokenizer_parts *parts, const so_gguf *gguf, so_error *error)
{
    so_gguf_array text, type;
    SO_TRY(so_gguf_array_of(gguf, "stream_omni.tokenizer.tokens", SO_GGUF_STRING, &text, error));
    SO_TRY(so_gguf_array_of(gguf, "tokenizer.ggml.token_type", SO_GGUF_I32, &type, error));
    if (text.n != type.n || text.n > 1 << 22)
        return so_fail(error, SO_ERR_FORMAT, "%lld tokens of %lld types", (long long)text.n, (long long)type.n);
    size_t size = 0;
    for (int64_t i = 0; i < text.n; i++) size += so_gguf_string_at(&text, i).length;
    if (size > UINT32_MAX) return so_fail(error, SO_ERR_LIMIT, "a vocabulary of %zu bytes", size);
    l->bytes = malloc(size + 1);
    l->ends = malloc(((size_t)text.n + 1) * sizeof *l->ends);
    l->kinds = malloc((size_t)text.n + 1);
    if (!l->bytes || !l->ends || !l->kinds)
        return so_fail(error, SO_ERR_NOMEM, "no memory for %lld tokens", (long long)text.n);
    size = 0;
    for (int64_t i = 0; i < text.n; i++) {
        so_span t = so_gguf_string_at(&text, i);
        int32_t kind = so_gguf_i32_at(&type, i);
        memcpy(l->bytes + size, t.data, t.length);
        size += t.length;
        l->ends[i] = (uint32_t)size;
        l->kinds[i] = kind == GGML_NORMAL    ? SO_TOKEN_NORMAL
                      : kind == GGML_CONTROL ? SO_TOKEN_SPECIAL
                      : kind == GGML_USER    ? SO_TOKEN_ADDED
                                             : SO_TOKEN_NONE;
    }
    parts->n = (int32_t)text.n;
    parts->bytes = l->bytes;
    parts->ends = l->ends;
    parts->kinds = l->kinds;
    return SO_OK;
}

static so_status read_merges(lists *l, so_tokenizer_parts *parts, const so_gguf *gguf, so_error *error)
{
    so_gguf_array pairs;
    if (!so_gguf_has(gguf, "stream_omni.tokenizer.merges")) return SO_OK;
    SO_TRY(so_gguf_array_of(gguf, "stream_omni.tokenizer.merges", SO_GGUF_I32, &pairs, error));
    if (pairs.n % 2 || pairs.n > 1 << 25)
        return so_fail(error, SO_ERR_FORMAT, "%lld ids of merges", (long long)pairs.n);
    l->merges = malloc((size_t)pairs.n * sizeof(int32_t) + 1);
    if (!l->merges) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld merges", (long long)pairs.n / 2);
    memcpy(l->merges, pairs.data, (size_t)pairs.n * sizeof(int32_t));
    parts->merges = (const int32_t(*)[2])l->merges;
    parts->n_merges = (int32_t)(pairs.n / 2);
    return SO_OK;
}

so_status so_tokenizer_from_gguf(so_tokenizer **out, const so_gguf *gguf, so_error *error)
{
    lists l = {0};
    so_tokenizer_parts parts = {0};
    so_span pattern;
    so_status status;
    *out = NULL;
    SO_TRY_GO(so_gguf_string(gguf, "stream_omni.tokenizer.pattern", &pattern, error));
    l.pattern = strndup(pattern.data ? pattern.data : "", pattern.length);
    if (!l.pattern) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for a pattern");
        goto done;
    }
    parts.pattern = l.pattern;
    SO_TRY_GO(so_gguf_bool(gguf, "tokenizer.ggml.add_bos_token", &parts.add_bos, error));
    SO_TRY_GO(so_gguf_bool(gguf, "stream_omni.tokenizer.whole_pieces", &parts.whole_pieces, error));
    SO_TRY_GO(read_tokens(&l, &parts, gguf, error));
    SO_TRY_GO(read_merges(&l, &parts, gguf, error));
    SO_TRY_GO(so_tokenizer_build(out, &parts, error));
done:
    free(l.bytes);
    free(l.ends);
    free(l.kinds);
    free(l.merges);
    free(l.pattern);
    return status;
}
