/* Writing a tokenizer as tokenizer.json.
 * Source: interfaces.md section C.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "text/table.h"

static so_status put(so_string *out, const char *string, so_error *error) { return so_string_put(out, string, error); }

/* The inside of a JSON string. */
static so_status put_escaped(so_string *out, const char *bytes, size_t size, so_error *error)
{
    for (size_t i = 0; i < size; i++) {
        char escape[8];
        unsigned char c = (unsigned char)bytes[i];
        if (c < 0x20) {
            snprintf(escape, sizeof escape, "\\u%04x", c);
            SO_TRY(put(out, escape, error));
        } else {
            if (c == '"' || c == '\\') SO_TRY(so_string_add(out, "\\", 1, error));
            SO_TRY(so_string_add(out, bytes + i, 1, error));
        }
    }
    return SO_OK;
}

/* A vocabulary token in the byte alphabet, as the inside of a JSON string. */
static so_status put_spelled(so_string *out, const so_tokenizer *t, int32_t id, so_error *error)
{
    size_t size;
    const char *bytes = so_token_bytes(t, id, &size);
    for (size_t i = 0; i < size; i++) {
        char c[4];
        int n = so_utf8_put(c, so_byte_to_char((unsigned char)bytes[i]));
        SO_TRY(put_escaped(out, c, (size_t)n, error));
    }
    return SO_OK;
}

static so_status put_added(so_string *out, const so_tokenizer *t, so_error *error)
{
    bool first = true;
    for (int32_t id = 0; id < t->n; id++) {
        char line[256];
        size_t size;
        const char *bytes = so_token_bytes(t, id, &size);
        bool special = t->kinds[id] == SO_TOKEN_SPECIAL;
        if (t->kinds[id] <= SO_TOKEN_NORMAL) continue;
        if (!so_utf8_valid(bytes, size))
            return so_fail(error, SO_ERR_UNSUPPORTED, "added token %d is not UTF-8: JSON cannot hold it", id);
        snprintf(line, sizeof line, "%s\n    {\"id\": %d, \"content\": \"", first ? "" : ",", id);
        SO_TRY(put(out, line, error));
        SO_TRY(put_escaped(out, bytes, size, error));
        snprintf(
            line, sizeof line,
            "\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": %s, \"special\": %s}",
            special ? "false" : "true", special ? "true" : "false");
        SO_TRY(put(out, line, error));
        first = false;
    }
    return SO_OK;
}

static so_status put_vocabulary(so_string *out, const so_tokenizer *t, so_error *error)
{
    bool first = true;
    for (int32_t id = 0; id < t->n; id++) {
        char number[32];
        if (t->kinds[id] != SO_TOKEN_NORMAL) continue;
        SO_TRY(put(out, first ? "\n      \"" : ",\n      \"", error));
        SO_TRY(put_spelled(out, t, id, error));
        snprintf(number, sizeof number, "\": %d", id);
        SO_TRY(put(out, number, error));
        first = false;
    }
    return SO_OK;
}

static so_status put_merges(so_string *out, const so_tokenizer *t, so_error *error)
{
    int32_t(*merges)[2], n;
    SO_TRY(so_tokenizer_list_merges(t, &merges, &n, error));
    so_status status = SO_OK;
    for (int32_t i = 0; i < n; i++) {
        SO_TRY_GO(put(out, i ? ",\n      [\"" : "\n      [\"", error));
        SO_TRY_GO(put_spelled(out, t, merges[i][0], error));
        SO_TRY_GO(put(out, "\", \"", error));
        SO_TRY_GO(put_spelled(out, t, merges[i][1], error));
        SO_TRY_GO(put(out, "\"]", error));
    }
done:
    free(merges);
    return status;
}

static so_status put_post_processor(so_string *out, const so_tokenizer *t, so_error *error)
{
    char text[512];
    if (!t->add_bos) return put(out, "null", error);
    snprintf(text, sizeof text,
             "{\"type\": \"TemplateProcessing\",\n"
             "    \"single\": [{\"SpecialToken\": {\"id\": \"<|begin_of_text|>\", \"type_id\": 0}},\n"
             "               {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],\n"
             "    \"pair\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", "
             "\"type_id\": 1}}],\n"
             "    \"special_tokens\": {\"<|begin_of_text|>\": {\"id\": \"<|begin_of_text|>\", \"ids\": [%d],\n"
             "      \"tokens\": [\"<|begin_of_text|>\"]}}}",
             t->names.bos);
    return put(out, text, error);
}

static so_status put_all(so_string *out, const so_tokenizer *t, so_error *error)
{
    static const char byte_level[] =
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}";
    SO_TRY(put(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [",
               error));
    SO_TRY(put_added(out, t, error));
    SO_TRY(put(out, "],\n  \"normalizer\": null,\n  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [\n",
               error));
    SO_TRY(put(out, "    {\"type\": \"Split\", \"pattern\": {\"Regex\": \"", error));
    SO_TRY(put_escaped(out, t->pattern, strlen(t->pattern), error));
    SO_TRY(put(out, "\"}, \"behavior\": \"Isolated\", \"invert\": false},\n    ", error));
    SO_TRY(put(out, byte_level, error));
    SO_TRY(put(out, "]},\n  \"post_processor\": ", error));
    SO_TRY(put_post_processor(out, t, error));
    SO_TRY(put(out, ",\n  \"decoder\": ", error));
    SO_TRY(put(out, byte_level, error));
    SO_TRY(put(out, ",\n  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,\n", error));
    SO_TRY(put(out, "    \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false,\n",
               error));
    SO_TRY(put(out, "    \"byte_fallback\": false, \"ignore_merges\": ", error));
    SO_TRY(put(out, t->whole_pieces ? "true,\n    \"vocab\": {" : "false,\n    \"vocab\": {", error));
    SO_TRY(put_vocabulary(out, t, error));
    SO_TRY(put(out, "},\n    \"merges\": [", error));
    SO_TRY(put_merges(out, t, error));
    return put(out, "]}\n}\n", error);
}

so_status so_tokenizer_save_json(const so_tokenizer *t, const char *path, so_error *error)
{
    so_string out = {0};
    so_status status = put_all(&out, t, error);
    if (status == SO_OK) status = so_file_write(path, out.data, out.size, error);
    so_string_clear(&out);
    return status;
}
