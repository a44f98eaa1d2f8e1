/* Reading the tokenizer.json of Hugging Face tokenizers: byte-level BPE only, and every request for something else is
 * refused by name.
 * Source: interfaces.md section C.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/build.h"
#include "text/table.h"

#define JSON_FILE_MAX ((size_t)256 << 20)

#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* What the entries of one id are while they are collected. */
typedef struct entry {
    const char *text; /* NULL: none; lent by the JSON value */
    size_t size;
    so_token_kind kind;
} entry;

static so_status unsupported(const char *what, so_error *error)
{
    return so_fail(error, SO_ERR_UNSUPPORTED, "tokenizer.json: %s is not supported", what);
}

static bool is_type(const json_t *object, const char *type)
{
    const char *found = json_string_value(json_object_get(object, "type"));
    return found && strcmp(found, type) == 0;
}

/* Absent, null, false, "" and 0 all say: not asked for. */
static bool is_set(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value) || json_is_false(value)) return false;
    if (json_is_string(value)) return json_string_length(value) > 0;
    return !json_is_number(value) || json_number_value(value) != 0;
}

/* The bytes a vocabulary entry spells: through the byte alphabet if all its characters are of it, else as they are.
 * `out` has room for SO_TOKEN_BYTES_MAX. */
static so_status spelled_bytes(const char *text, size_t size, char *out, size_t *length, so_error *error)
{
    *length = 0;
    if (size > SO_TOKEN_BYTES_MAX)
        return so_fail(error, SO_ERR_LIMIT, "tokenizer.json: a token spelled with %zu bytes", size);
    for (size_t at = 0; at < size;) {
        int32_t c;
        at += (size_t)so_utf8_next(text + at, size - at, &c);
        int byte = so_char_to_byte(c);
        if (byte < 0) {
            memcpy(out, text, size);
            *length = size;
            return SO_OK;
        }
        out[(*length)++] = (char)byte;
    }
    return SO_OK;
}

static so_status put_entry(entry *entries, int64_t id, const json_t *text, so_token_kind kind, so_error *error)
{
    if (!json_is_string(text) || json_string_length(text) == 0)
        return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: token %lld has no text", (long long)id);
    entries[id] = (entry){json_string_value(text), json_string_length(text), kind};
    return SO_OK;
}

static so_status put_added(entry *entries, const json_t *token, so_error *error)
{
    int64_t id = json_integer_value(json_object_get(token, "id"));
    if (is_set(token, "single_word") || is_set(token, "lstrip") || is_set(token, "rstrip"))
        return unsupported("an added token with single_word, lstrip or rstrip", error);
    return put_entry(entries, id, json_object_get(token, "content"),
                     is_set(token, "special") ? SO_TOKEN_SPECIAL : SO_TOKEN_ADDED, error);
}

static so_status check_id(const json_t *value, const char *where, int64_t *largest, so_error *error)
{
    int64_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || id >= SO_TOKENS_MAX)
        return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: %s: an id that is not a number from 0 to %d", where,
                       SO_TOKENS_MAX - 1);
    if (id > *largest) *largest = id;
    return SO_OK;
}

/* Entries 0..*n-1 of vocabulary and added tokens; the caller frees `*entries`. */
static so_status collect(const json_t *vocab, const json_t *added, entry **out, int64_t *n, so_error *error)
{
    int64_t largest = -1;
    const char *key;
    json_t *value;
    size_t i;
    *out = NULL;
    json_object_foreach((json_t *)vocab, key, value) SO_TRY(check_id(value, "vocab", &largest, error));
    json_array_foreach(added, i, value)
        SO_TRY(check_id(json_object_get(value, "id"), "added_tokens", &largest, error));
    entry *entries = calloc((size_t)(largest + 1) + 1, sizeof *entries);
    if (!entries) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld tokens", (long long)largest + 1);
    *out = entries;
    *n = largest + 1;
    json_object_foreach((json_t *)vocab, key, value) {
        int64_t id = json_integer_value(value);
        if (entries[id].text)
            return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: two vocabulary entries with id %lld", (long long)id);
        entries[id] = (entry){key, strlen(key), SO_TOKEN_NORMAL};
    }
    json_array_foreach(added, i, value) SO_TRY(put_added(entries, value, error));
    return SO_OK;
}

static so_status list_tokens(so_token_list *list, const entry *entries, int64_t n, so_error *error)
{
    char bytes[SO_TOKEN_BYTES_MAX];
    for (int64_t id = 0; id < n; id++) {
        const entry *e = &entries[id];
        const char *text = e->text ? e->text : "";
        size_t size = e->size;
        if (e->text && e->kind == SO_TOKEN_NORMAL) {
            SO_TRY(spelled_bytes(e->text, e->size, bytes, &size, error));
            text = bytes;
        }
        SO_TRY(so_token_list_add(list, text, size, e->text ? e->kind : SO_TOKEN_NONE, error));
    }
    return SO_OK;
}

static so_status read_vocabulary(const json_t *root, const json_t *model, so_token_list *list, so_error *error)
{
    const json_t *vocab = json_object_get(model, "vocab"), *added = json_object_get(root, "added_tokens");
    if (!json_is_object(vocab)) return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: model.vocab is not an object");
    entry *entries;
    int64_t n = 0;
    so_status status = collect(vocab, added, &entries, &n, error);
    if (status == SO_OK) status = list_tokens(list, entries, n, error);
    free(entries);
    return status;
}

static so_status merge_side(const so_tokenizer *t, const char *text, size_t size, int32_t *id, so_error *error)
{
    char bytes[SO_TOKEN_BYTES_MAX];
    size_t length;
    SO_TRY(spelled_bytes(text, size, bytes, &length, error));
    *id = so_token_lookup(t, &t->normal, bytes, length);
    if (*id < 0)
        return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: a merge of \"%.*s\", which is no token",
                       (int)(size < 100 ? size : 100), text);
    return SO_OK;
}

static so_status read_merge(const so_tokenizer *t, const json_t *merge, int32_t ids[2], so_error *error)
{
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge), *space = strchr(text, ' ');
        if (!space) return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: merge \"%.80s\" has no space", text);
        SO_TRY(merge_side(t, text, (size_t)(space - text), &ids[0], error));
        return merge_side(t, space + 1, strlen(space + 1), &ids[1], error);
    }
    for (size_t side = 0; side < 2; side++) {
        const json_t *text = json_array_get(merge, side);
        if (!json_is_string(text) || json_array_size(merge) != 2)
            return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: a merge that is neither \"a b\" nor [\"a\", \"b\"]");
        SO_TRY(merge_side(t, json_string_value(text), json_string_length(text), &ids[side], error));
    }
    return SO_OK;
}

static so_status read_merges(so_tokenizer *t, const json_t *list, so_error *error)
{
    size_t n = json_array_size(list), i;
    const json_t *merge;
    if (!json_is_array(list) || n > SO_MERGES_MAX)
        return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: model.merges is not an array of at most %d", SO_MERGES_MAX);
    int32_t(*merges)[2] = malloc((n + 1) * sizeof *merges);
    if (!merges) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu merges", n);
    json_array_foreach(list, i, merge) {
        so_status status = read_merge(t, merge, merges[i], error);
        if (status != SO_OK) {
            free(merges);
            return status;
        }
    }
    return so_build_merges(t, merges, (int32_t)n, error);
}

static so_status read_split(const json_t *step, const char **pattern, so_error *error)
{
    const char *behavior = json_string_value(json_object_get(step, "behavior"));
    const char *regex = json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
    if (!regex || !behavior || strcmp(behavior, "Isolated") != 0 || is_set(step, "invert") || *pattern)
        return unsupported("a pre_tokenizer other than one Split with an isolated Regex", error);
    *pattern = regex;
    return SO_OK;
}

static so_status read_byte_level(const json_t *step, const char **pattern, so_error *error)
{
    const json_t *use_regex = json_object_get(step, "use_regex");
    if (is_set(step, "add_prefix_space")) return unsupported("add_prefix_space", error);
    if (json_is_false(use_regex)) return SO_OK;
    if (*pattern) return unsupported("a Split before a ByteLevel with use_regex", error);
    *pattern = GPT2_PATTERN;
    return SO_OK;
}

static so_status read_pre_tokenizer(const json_t *pre, const char **pattern, so_error *error)
{
    const json_t *steps = json_object_get(pre, "pretokenizers");
    bool bytes = false, sequence = is_type(pre, "Sequence");
    size_t n = sequence ? json_array_size(steps) : 1;
    *pattern = NULL;
    for (size_t i = 0; i < n; i++) {
        const json_t *step = sequence ? json_array_get(steps, i) : pre;
        if (is_type(step, "Split"))
            SO_TRY(read_split(step, pattern, error));
        else if (is_type(step, "ByteLevel"))
            SO_TRY(read_byte_level(step, pattern, error));
        else
            return unsupported("this type of pre_tokenizer", error);
        bytes = bytes || is_type(step, "ByteLevel");
    }
    if (!bytes || !*pattern) return unsupported("a pre_tokenizer without ByteLevel or without a pattern", error);
    return SO_OK;
}

static so_status read_template(const json_t *processor, bool *add_bos, so_error *error)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(processor, "single"), i, item) {
        const json_t *special = json_object_get(item, "SpecialToken");
        if (!special) continue;
        const char *id = json_string_value(json_object_get(special, "id"));
        if (i > 0 || !id || strcmp(id, "<|begin_of_text|>") != 0)
            return unsupported("a post_processor that adds more than <|begin_of_text|>", error);
        *add_bos = true;
    }
    return SO_OK;
}

static so_status read_post_processor(const json_t *post, bool *add_bos, so_error *error)
{
    bool sequence = is_type(post, "Sequence");
    const json_t *steps = json_object_get(post, "processors");
    size_t n = sequence ? json_array_size(steps) : 1;
    *add_bos = false;
    if (!post || json_is_null(post)) return SO_OK;
    for (size_t i = 0; i < n; i++) {
        const json_t *step = sequence ? json_array_get(steps, i) : post;
        if (is_type(step, "TemplateProcessing"))
            SO_TRY(read_template(step, add_bos, error));
        else if (!is_type(step, "ByteLevel"))
            return unsupported("this type of post_processor", error);
    }
    return SO_OK;
}

static so_status check_requests(const json_t *root, const json_t *model, so_error *error)
{
    static const char *const refused[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"};
    const json_t *decoder = json_object_get(root, "decoder");
    if (!is_type(model, "BPE")) return unsupported("a model.type other than BPE", error);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (is_set(model, refused[i])) return unsupported(refused[i], error);
    if (is_set(root, "normalizer")) return unsupported("a normalizer", error);
    if (decoder && !is_type(decoder, "ByteLevel")) return unsupported("a decoder other than ByteLevel", error);
    return SO_OK;
}

static so_status read_root(so_tokenizer **out, const json_t *root, so_error *error)
{
    so_status status;
    so_token_list list = {0};
    so_tokenizer_parts parts = {0};
    const json_t *model = json_object_get(root, "model");
    SO_TRY(check_requests(root, model, error));
    SO_TRY(read_pre_tokenizer(json_object_get(root, "pre_tokenizer"), &parts.pattern, error));
    SO_TRY(read_post_processor(json_object_get(root, "post_processor"), &parts.add_bos, error));
    parts.whole_pieces = is_set(model, "ignore_merges");
    SO_TRY_GO(read_vocabulary(root, model, &list, error));
    SO_TRY_GO(so_token_list_parts(&list, &parts, error));
    SO_TRY_GO(so_build_start(out, &parts, error));
    SO_TRY_GO(read_merges(*out, json_object_get(model, "merges"), error));
done:
    so_token_list_clear(&list);
    if (status != SO_OK) so_tokenizer_close(out);
    return status;
}

so_status so_tokenizer_parse_json(so_tokenizer **out, const char *json, size_t size, so_error *error)
{
    json_error_t where;
    *out = NULL;
    json_t *root = json_loadb(json, size, 0, &where);
    if (!root)
        return so_fail(error, SO_ERR_FORMAT, "tokenizer.json, line %d, column %d: %s", where.line, where.column, where.text);
    so_status status = read_root(out, root, error);
    json_decref(root);
    return status;
}

so_status so_tokenizer_load_json(so_tokenizer **out, const char *path, so_error *error)
{
    char *data;
    size_t size;
    *out = NULL;
    SO_TRY(so_file_read(path, JSON_FILE_MAX, &data, &size, error));
    so_status status = so_tokenizer_parse_json(out, data, size, error);
    free(data);
    return status == SO_OK ? SO_OK : so_fail_in(error, "%s", path);
}
