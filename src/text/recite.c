/* SPDX-License-Identifier: Apache-2.0 */
#include "text/recite.h"

static bool is_mark(const so_tokenizer *tokenizer, int32_t id)
{
    size_t size;
    const char *piece = so_tokenizer_piece(tokenizer, id, &size);
    if (so_tokenizer_kind(tokenizer, id) == SO_TOKEN_SPECIAL) return true;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)piece[i], letter = c | 0x20;
        if (c >= 0x80 || (c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'z')) return false;
    }
    return true;
}

int64_t so_recite_on(const so_tokenizer *tokenizer, const int32_t *text, int64_t n, int64_t at, int32_t heard)
{
    bool mark = is_mark(tokenizer, heard);
    for (int64_t i = at; i < n && i < at + SO_RECITE_FIND; i++)
        if (text[i] == heard || (mark && is_mark(tokenizer, text[i]))) return i + 1 - at;
    return at < 1 || at > n || text[at - 1] != heard;
}

bool so_recite_left(const so_tokenizer *tokenizer, const int32_t *text, int64_t n, int64_t at)
{
    while (at < n && is_mark(tokenizer, text[at])) at++;
    return at < n;
}
