/* Reading a rank file: lines "base64(bytes) rank", with the specials of Llama 3 and speech units behind them.
 * Source: interfaces.md section C.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/grow.h"
#include "base/guess.h"
#include "text/build.h"
#include "text/table.h"

#define SPECIALS 256
#define RANK_FILE_MAX ((size_t)256 << 20)

so_status so_token_list_add(so_token_list *list, const char *bytes, size_t size, so_token_kind kind, so_error *error)
{
    if (list->n >= SO_TOKENS_MAX || list->bytes.size + size > UINT32_MAX)
        return so_fail(error, SO_ERR_LIMIT, "more than %d tokens or 4 GiB of them", SO_TOKENS_MAX);
    uint32_t *ends = so_grow_to(list->ends, &list->ends_capacity, list->n + 1, sizeof *ends);
    if (ends) list->ends = ends;
    uint8_t *kinds = so_grow_to(list->kinds, &list->kinds_capacity, list->n + 1, sizeof *kinds);
    if (kinds) list->kinds = kinds;
    if (!ends || !kinds) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu tokens", list->n + 1);
    SO_TRY(so_string_add(&list->bytes, bytes, size, error));
    ends[list->n] = (uint32_t)list->bytes.size;
    kinds[list->n++] = (uint8_t)kind;
    return SO_OK;
}

void so_token_list_clear(so_token_list *list)
{
    so_string_clear(&list->bytes);
    free(list->ends);
    free(list->kinds);
    *list = (so_token_list){0};
}

so_status so_token_list_parts(const so_token_list *list, so_tokenizer_parts *parts, so_error *error)
{
    if (list->n == 0) return so_fail(error, SO_ERR_FORMAT, "a tokenizer without tokens");
    parts->n = (int32_t)list->n;
    parts->bytes = list->bytes.data;
    parts->ends = list->ends;
    parts->kinds = list->kinds;
    return SO_OK;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes written to `out` (at least size * 3 / 4), or -1. */
static int base64_decode(const char *text, size_t size, char *out)
{
    int n = 0;
    if (size == 0 || size % 4) return -1;
    size_t padding = text[size - 1] != '=' ? 0 : text[size - 2] != '=' ? 1 : 2;
    for (size_t i = 0; i < size; i += 4) {
        uint32_t word = 0;
        for (size_t k = i; k < i + 4; k++) {
            int digit = k >= size - padding ? 0 : base64_digit(text[k]);
            if (digit < 0) return -1;
            word = word << 6 | (uint32_t)digit;
        }
        for (int k = 16; k >= 0; k -= 8) out[n++] = (char)(word >> k & 0xff);
    }
    return n - (int)padding;
}

static so_status add_line(so_token_list *list, const char *line, size_t size, so_error *error)
{
    char bytes[SO_TOKEN_BYTES_MAX + 3];
    size_t space = 0, rank = 0, i;
    while (space < size && line[space] != ' ') space++;
    if (space / 4 * 3 > SO_TOKEN_BYTES_MAX)
        return so_fail(error, SO_ERR_LIMIT, "rank file, line %zu: a token of %zu bytes", list->n + 1, space / 4 * 3);
    int length = base64_decode(line, space, bytes);
    for (i = space + 1; i < size && line[i] >= '0' && line[i] <= '9' && rank <= SO_TOKENS_MAX; i++)
        rank = rank * 10 + (size_t)(line[i] - '0');
    if (length <= 0 || i != size || size < space + 2 || rank != list->n)
        return so_fail(error, SO_ERR_FORMAT, "rank file, line %zu: \"%.*s\" is not \"base64 %zu\"", list->n + 1,
                       (int)(size < 80 ? size : 80), line, list->n);
    return so_token_list_add(list, bytes, (size_t)length, SO_TOKEN_NORMAL, error);
}

static so_status add_specials(so_token_list *list, so_error *error)
{
    static const char *const named[] = {
        "<|begin_of_text|>",
        "<|end_of_text|>",
        NULL,
        NULL,
        "<|finetune_right_pad_id|>",
        NULL,
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eom_id|>",
        "<|eot_id|>",
        "<|python_tag|>",
    };
    int reserved = 0;
    for (size_t i = 0; i < SPECIALS; i++) {
        char name[48];
        if (i < sizeof named / sizeof *named && named[i])
            snprintf(name, sizeof name, "%s", named[i]);
        else
            snprintf(name, sizeof name, "<|reserved_special_token_%d|>", reserved++);
        SO_TRY(so_token_list_add(list, name, strlen(name), SO_TOKEN_SPECIAL, error));
    }
    return SO_OK;
}

so_status so_tokenizer_parse_ranks(so_tokenizer **out, const char *text, size_t size, int32_t units, so_error *error)
{
    so_status status = SO_OK;
    so_token_list list = {0};
    so_tokenizer_parts parts = {.pattern = SO_LLAMA3_PATTERN, .whole_pieces = true};
    *out = NULL;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        size_t step = length + 1;
        if (length && text[at + length - 1] == '\r') length--;
        if (length) SO_TRY_GO(add_line(&list, text + at, length, error));
        at += step;
    }
    SO_TRY_GO(add_specials(&list, error));
    for (int32_t i = 0; i < units; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "<Audio_%d>", i);
        SO_TRY_GO(so_token_list_add(&list, name, (size_t)n, SO_TOKEN_ADDED, error));
    }
    SO_TRY_GO(so_token_list_parts(&list, &parts, error));
    SO_TRY_GO(so_tokenizer_build(out, &parts, error));
done:
    so_token_list_clear(&list);
    return status;
}

so_status so_tokenizer_load_ranks(so_tokenizer **out, const char *path, int32_t units, so_error *error)
{
    char *data;
    size_t size;
    *out = NULL;
    SO_TRY(so_file_read(path, RANK_FILE_MAX, &data, &size, error));
    so_status status = so_refuse_stranger(data, size, "a file of ranks (tokenizer.model)", error);
    if (status == SO_OK) status = so_tokenizer_parse_ranks(out, data, size, units, error);
    free(data);
    return status == SO_OK ? SO_OK : so_fail_in(error, "%s", path);
}
