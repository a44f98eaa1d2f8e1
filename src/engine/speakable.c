/* Text made ready to be said, and what of it a model has no sound for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/spoken.h"

#include <stdlib.h>
#include <string.h>

#include "checkpoint/model.h"
#include "text/sentence.h"

so_status so_spoken_text(const char *utf8, const char *language, char **out, so_error *error)
{
    so_spoken_rules *rules = NULL;
    so_string text = {0};
    so_tongue tongue = SO_TONGUE_TOLD;
    if (!out) return so_fail(error, SO_ERR_ARG, "no place for the text");
    *out = NULL;
    if (!utf8) return so_fail(error, SO_ERR_ARG, "no text");
    if (language && strcmp(language, "en") != 0 && strcmp(language, "zh") != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "language '%.20s', expected en or zh", language);
    if (language) tongue = strcmp(language, "zh") == 0 ? SO_TONGUE_CHINESE : SO_TONGUE_ENGLISH;
    so_status status = so_spoken_open(&rules, error);
    if (status == SO_OK) status = so_spoken_write(rules, utf8, strlen(utf8), tongue, &text, error);
    if (status == SO_OK && !text.data) status = so_string_put(&text, "", error);
    so_spoken_close(&rules);
    if (status == SO_OK)
        *out = text.data;
    else
        so_string_clear(&text);
    return status;
}

size_t so_sentence(const char *utf8)
{
    if (!utf8) return 0;
    size_t blank = strspn(utf8, " \t\r\n"), size = strlen(utf8 + blank);
    return size ? blank + so_sentence_size(utf8 + blank, size) : 0;
}

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
