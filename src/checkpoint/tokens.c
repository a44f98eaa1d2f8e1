/* Text as the model's tokens, and back; what of it the model has no sound for.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/model.h"

so_status so_text_tokens(const so_model *model, const char *utf8, unsigned flags, int32_t **ids, size_t *n,
                         so_error *error)
{
    so_ids list = {0};
    if (!ids || !n) return so_fail(error, SO_ERR_ARG, "no place for the tokens");
    *ids = NULL;
    *n = 0;
    if (!model || !utf8) return so_fail(error, SO_ERR_ARG, "no %s", model ? "text" : "model");
    unsigned how = (flags & SO_TOKENS_SPECIAL ? SO_ENCODE_SPECIAL | SO_ENCODE_ADDED : 0) |
                   (flags & SO_TOKENS_BOS ? SO_ENCODE_BOS : 0);
    so_status status = so_tokenizer_encode(model->tokenizer, utf8, strlen(utf8), how, &list, error);
    if (status != SO_OK) {
        so_ids_clear(&list);
        return status;
    }
    *ids = list.data;
    *n = list.n;
    return SO_OK;
}

so_status so_tokens_text(const so_model *model, const int32_t *ids, size_t n, char **out, so_error *error)
{
    so_string text = {0};
    if (!out) return so_fail(error, SO_ERR_ARG, "no place for the text");
    *out = NULL;
    if (!model || (!ids && n)) return so_fail(error, SO_ERR_ARG, "no %s", model ? "tokens" : "model");
    so_status status = so_tokenizer_decode(model->tokenizer, ids, n, 0, &text, error);
    if (status == SO_OK && !text.data) status = so_string_put(&text, "", error);
    if (status == SO_OK)
        *out = text.data;
    else
        so_string_clear(&text);
    return status;
}

/* ---- what has no sound */

/* A letter or a digit, whatever the script; punctuation of ASCII and of Chinese is none. */
static bool is_word(int32_t c)
{
    if (c < 128) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    bool mark = (c >= 0x2000 && c <= 0x2BFF) || (c >= 0x3000 && c <= 0x303F) || (c >= 0xFF00 && c <= 0xFFEF);
    return c >= 0xC0 && c != 0xD7 && c != 0xF7 && !mark;
}

/* Appends a character unless it is there already. */
static so_status note(so_string *list, const char *bytes, size_t n, so_error *error)
{
    for (size_t at = 0; at + n <= list->size; at++)
        if (memcmp(list->data + at, bytes, n) == 0) return SO_OK;
    if (list->size) SO_TRY(so_string_add(list, " ", 1, error));
    return so_string_add(list, bytes, n, error);
}

/* Characters of the text that no token with a sound holds as a whole. */
static so_status find_mute(const so_model *m, const so_string *text, const so_ids *ids, so_string *list,
                           so_error *error)
{
    size_t i = 0, end = 0, begin = 0;
    for (size_t at = 0; at < text->size;) {
        int32_t c;
        size_t n = (size_t)so_utf8_next(text->data + at, text->size - at, &c);
        while (i < ids->n && end <= at) {
            size_t bytes;
            so_tokenizer_piece(m->tokenizer, ids->data[i++], &bytes);
            begin = end;
            end += bytes;
        }
        bool sounds = i && begin <= at && at + n <= end && so_model_spoken(m, ids->data[i - 1]);
        if (is_word(c) && !sounds) SO_TRY(note(list, text->data + at, n, error));
        at += n;
    }
    return SO_OK;
}

so_status so_unspeakable(const so_model *model, const char *utf8, char **out, so_error *error)
{
    so_string text = {0}, list = {0};
    so_ids ids = {0};
    if (!out) return so_fail(error, SO_ERR_ARG, "no place for the characters");
    *out = NULL;
    if (!model || !utf8) return so_fail(error, SO_ERR_ARG, "no %s", model ? "text" : "model");
    so_status status = so_utf8_add_lossy(&text, utf8, strlen(utf8), error);
    if (status == SO_OK && text.size)
        status = so_tokenizer_encode(model->tokenizer, text.data, text.size, 0, &ids, error);
    if (status == SO_OK) status = find_mute(model, &text, &ids, &list, error);
    so_string_clear(&text);
    so_ids_clear(&ids);
    if (status == SO_OK)
        *out = list.data;
    else
        so_string_clear(&list);
    return status;
}
