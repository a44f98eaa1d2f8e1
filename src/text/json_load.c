/* Reading the tokenizer.json of Hugging Face tokenizers: byte-level BPE only, and every request for something else is
 * refused by name.
 * Source: interfaces.md section C.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/grow.h"
#include "base/guess.h"
#include "text/build.h"
#include "text/json_scan.h"
#include "text/table.h"

#define JSON_FILE_MAX ((size_t)256 << 20)

#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* The parts of the file: the three long lists as text, all the rest as values. */
typedef struct layout {
    so_scan vocab, merges, added; /* `at` is NULL where the file has none */
    json_t *root, *model;         /* the other members of the file and of "model" */
} layout;

/* A token of the file, its bytes from `start` in the pool. */
typedef struct entry {
    size_t start, size;
    so_token_kind kind;
} entry;

typedef struct tokens {
    entry *list; /* by id */
    size_t n, capacity;
    so_string pool, scratch;
} tokens;

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

static so_status not_json(const char *where, bool nomem, so_error *error)
{
    if (nomem) return so_fail(error, SO_ERR_NOMEM, "no memory for a tokenizer");
    return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: %s is not what is expected there", where);
}

static so_status put_token(tokens *t, int64_t id, const char *bytes, size_t size, so_token_kind kind, so_error *error)
{
    if (id < 0 || id >= SO_TOKENS_MAX)
        return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: token id %lld is not from 0 to %d", (long long)id,
                       SO_TOKENS_MAX - 1);
    if (size == 0) return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: token %lld has no text", (long long)id);
    if ((size_t)id >= t->n) {
        entry *grown = so_grow_to(t->list, &t->capacity, (size_t)id + 1, sizeof *grown);
        if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld tokens", (long long)id + 1);
        t->list = grown;
        memset(grown + t->n, 0, ((size_t)id + 1 - t->n) * sizeof *grown);
        t->n = (size_t)id + 1;
    }
    if (t->list[id].kind != SO_TOKEN_NONE && kind == SO_TOKEN_NORMAL)
        return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: two vocabulary entries with id %lld", (long long)id);
    t->list[id] = (entry){t->pool.size, size, kind};
    return so_string_add(&t->pool, bytes, size, error);
}

static so_status read_vocab(tokens *t, so_scan scan, so_error *error)
{
    char bytes[SO_TOKEN_BYTES_MAX];
    bool first = true, nomem = false;
    so_scan_take(&scan, '{');
    while (so_scan_next(&scan, &first, '}')) {
        int64_t id;
        size_t size;
        if (!so_scan_key(&scan, &t->scratch, &nomem) || !so_scan_integer(&scan, &id)) break;
        SO_TRY(spelled_bytes(t->scratch.data, t->scratch.size, bytes, &size, error));
        SO_TRY(put_token(t, id, bytes, size, SO_TOKEN_NORMAL, error));
    }
    return scan.bad ? not_json("model.vocab", nomem, error) : SO_OK;
}

/* One object of added_tokens. False when it is not JSON. */
static bool read_added_token(tokens *t, so_scan *scan, int64_t *id, bool *special, bool *strips, bool *nomem)
{
    bool first = true, on;
    so_string key = {0};
    *id = -1;
    *special = *strips = false;
    t->scratch.size = 0;
    so_scan_take(scan, '{');
    while (so_scan_next(scan, &first, '}') && so_scan_key(scan, &key, nomem)) {
        if (strcmp(key.data, "id") == 0)
            so_scan_integer(scan, id);
        else if (strcmp(key.data, "content") == 0)
            so_scan_string(scan, &t->scratch, nomem);
        else if (strcmp(key.data, "special") == 0)
            so_scan_bool(scan, special);
        else if (!strcmp(key.data, "single_word") || !strcmp(key.data, "lstrip") || !strcmp(key.data, "rstrip"))
            *strips = (so_scan_bool(scan, &on) && on) || *strips;
        else
            so_scan_skip(scan, NULL);
    }
    so_string_clear(&key);
    return !scan->bad;
}

static so_status read_added(tokens *t, so_scan scan, so_error *error)
{
    bool first = true, nomem = false, special, strips;
    int64_t id;
    if (!scan.at) return SO_OK;
    so_scan_take(&scan, '[');
    while (so_scan_next(&scan, &first, ']') && read_added_token(t, &scan, &id, &special, &strips, &nomem)) {
        if (strips) return unsupported("an added token with single_word, lstrip or rstrip", error);
        SO_TRY(put_token(t, id, t->scratch.data, t->scratch.size, special ? SO_TOKEN_SPECIAL : SO_TOKEN_ADDED, error));
    }
    return scan.bad ? not_json("added_tokens", nomem, error) : SO_OK;
}

static so_status read_vocabulary(const layout *file, so_token_list *list, so_error *error)
{
    tokens t = {0};
    so_status status;
    SO_TRY_GO(read_vocab(&t, file->vocab, error));
    SO_TRY_GO(read_added(&t, file->added, error));
    for (size_t id = 0; id < t.n; id++)
        SO_TRY_GO(so_token_list_add(list, t.pool.data + t.list[id].start, t.list[id].size, t.list[id].kind, error));
done:
    free(t.list);
    so_string_clear(&t.pool);
    so_string_clear(&t.scratch);
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

/* "a b" or ["a", "b"]. */
static so_status read_merge(const so_tokenizer *t, so_scan *scan, so_string *text, int32_t ids[2], so_error *error)
{
    bool nomem = false, first = true;
    if (so_scan_peek(scan) == '"') {
        if (!so_scan_string(scan, text, &nomem)) return not_json("a merge", nomem, error);
        const char *space = memchr(text->data, ' ', text->size);
        if (!space) return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: merge \"%.80s\" has no space", text->data);
        SO_TRY(merge_side(t, text->data, (size_t)(space - text->data), &ids[0], error));
        return merge_side(t, space + 1, text->size - (size_t)(space + 1 - text->data), &ids[1], error);
    }
    int n = 0;
    so_scan_take(scan, '[');
    for (; so_scan_next(scan, &first, ']'); n++) {
        if (n == 2 || !so_scan_string(scan, text, &nomem)) return not_json("a merge", nomem, error);
        SO_TRY(merge_side(t, text->data, text->size, &ids[n], error));
    }
    return n == 2 && !scan->bad ? SO_OK : not_json("a merge", nomem, error);
}

static so_status read_merges(so_tokenizer *t, so_scan scan, so_error *error)
{
    so_status status = SO_OK;
    size_t n = 0, capacity = 0;
    int32_t(*merges)[2] = NULL;
    so_string text = {0};
    bool first = true;
    so_scan_take(&scan, '[');
    do {
        int32_t(*grown)[2] = n >= SO_MERGES_MAX ? NULL : so_grow_to(merges, &capacity, n + 1, sizeof *grown);
        if (!grown) {
            status = so_fail(error, SO_ERR_LIMIT, "tokenizer.json: no memory for %zu merges, or too many", n + 1);
            goto done;
        }
        merges = grown;
        if (!so_scan_next(&scan, &first, ']')) break;
        SO_TRY_GO(read_merge(t, &scan, &text, merges[n++], error));
    } while (true);
    if (scan.bad) {
        status = not_json("model.merges", false, error);
        goto done;
    }
    status = so_build_merges(t, merges, (int32_t)n, error);
    merges = NULL;
done:
    free(merges);
    so_string_clear(&text);
    return status;
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
    json_array_foreach(json_object_get(processor, "single"), i, item)
    {
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
    static const char *const refused[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                          "byte_fallback"};
    const json_t *decoder = json_object_get(root, "decoder");
    if (!is_type(model, "BPE")) return unsupported("a model.type other than BPE", error);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (is_set(model, refused[i])) return unsupported(refused[i], error);
    if (is_set(root, "normalizer")) return unsupported("a normalizer", error);
    if (decoder && !is_type(decoder, "ByteLevel")) return unsupported("a decoder other than ByteLevel", error);
    return SO_OK;
}

/* A short value goes into `object`. */
static bool read_value(so_scan *scan, json_t *object, const char *key)
{
    so_scan span;
    if (!so_scan_skip(scan, &span)) return false;
    json_t *value = json_loadb(span.at, (size_t)(span.end - span.at), JSON_DECODE_ANY, NULL);
    return value && json_object_set_new(object, key, value) == 0;
}

static bool read_model(so_scan *scan, layout *file, so_string *key)
{
    bool first = true, nomem;
    so_scan_take(scan, '{');
    while (so_scan_next(scan, &first, '}')) {
        if (!so_scan_key(scan, key, &nomem)) return false;
        so_scan *span = !strcmp(key->data, "vocab")    ? &file->vocab
                        : !strcmp(key->data, "merges") ? &file->merges
                                                       : NULL;
        if (!(span ? so_scan_skip(scan, span) : read_value(scan, file->model, key->data))) return false;
    }
    return !scan->bad;
}

static bool read_layout(so_scan *scan, layout *file, so_string *key)
{
    bool first = true, nomem;
    file->root = json_object();
    file->model = json_object();
    if (!file->root || !file->model) return false;
    so_scan_take(scan, '{');
    while (so_scan_next(scan, &first, '}')) {
        if (!so_scan_key(scan, key, &nomem)) return false;
        bool good = !strcmp(key->data, "model")          ? read_model(scan, file, key)
                    : !strcmp(key->data, "added_tokens") ? so_scan_skip(scan, &file->added)
                                                         : read_value(scan, file->root, key->data);
        if (!good) return false;
    }
    return !scan->bad && so_scan_peek(scan) == 0 && scan->at == scan->end;
}

static so_status read_file(so_tokenizer **out, const layout *file, so_error *error)
{
    so_status status;
    so_token_list list = {0};
    so_tokenizer_parts parts = {0};
    SO_TRY(check_requests(file->root, file->model, error));
    SO_TRY(read_pre_tokenizer(json_object_get(file->root, "pre_tokenizer"), &parts.pattern, error));
    SO_TRY(read_post_processor(json_object_get(file->root, "post_processor"), &parts.add_bos, error));
    if (!file->vocab.at || !file->merges.at)
        return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: model.vocab or model.merges is absent");
    parts.whole_pieces = is_set(file->model, "ignore_merges");
    SO_TRY_GO(read_vocabulary(file, &list, error));
    SO_TRY_GO(so_token_list_parts(&list, &parts, error));
    SO_TRY_GO(so_build_start(out, &parts, error));
    SO_TRY_GO(read_merges(*out, file->merges, error));
done:
    so_token_list_clear(&list);
    if (status != SO_OK) so_tokenizer_close(out);
    return status;
}

so_status so_tokenizer_parse_json(so_tokenizer **out, const char *json, size_t size, so_error *error)
{
    layout file = {0};
    so_string key = {0};
    so_scan scan = {json, json + size, false};
    so_status status;
    *out = NULL;
    if (so_refuse_strange_text(json, size, error) != SO_OK) return so_fail_in(error, "tokenizer.json");
    if (size == 0 || !so_utf8_valid(json, size))
        return so_fail(error, SO_ERR_FORMAT, "tokenizer.json: %zu bytes that are not UTF-8 text", size);
    if (read_layout(&scan, &file, &key))
        status = read_file(out, &file, error);
    else
        status = so_fail(error, SO_ERR_FORMAT, "tokenizer.json is not a JSON object, found out after \"%.80s\"",
                         key.data ? key.data : "");
    json_decref(file.root);
    json_decref(file.model);
    so_string_clear(&key);
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
