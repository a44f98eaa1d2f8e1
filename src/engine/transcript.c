/* What was heard, from CTC labels.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/transcript.h"

#include <stdbool.h>
#include <string.h>

so_status so_collapse(const int32_t *label, int64_t n, int32_t blank, so_ids *kept, so_error *error)
{
    for (int64_t i = 0; i < n; i++)
        if (label[i] != blank && label[i] >= 0 && (i == 0 || label[i] != label[i - 1]))
            SO_TRY(so_ids_put(kept, label[i], error));
    return SO_OK;
}

/* Bytes of the text from `from` on belong to the label at `at`. */
static void place(const so_string *text, size_t from, int64_t at, so_words_found *found, bool *open)
{
    for (size_t i = from; i < text->size; i++) {
        if (strchr(" \t\n\r", text->data[i])) {
            *open = false;
            continue;
        }
        if (!*open && found->n == found->most) return;
        if (!*open) found->word[found->n++] = (so_heard_word){.text_begin = i, .begin_s = (double)at};
        *open = true;
        found->word[found->n - 1].text_end = i + 1;
        found->word[found->n - 1].end_s = (double)at + 1;
    }
}

/* Takes the white space at both ends away. */
static void strip_from(so_string *text, size_t begin, so_words_found *found, size_t first)
{
    if (text->size == begin) return;
    const char *bytes = text->data + begin;
    size_t size = text->size - begin;
    so_strip(&bytes, &size);
    size_t cut = (size_t)(bytes - (text->data + begin));
    memmove(text->data + begin, bytes, size);
    text->size = begin + size;
    text->data[text->size] = 0;
    for (size_t i = first; i < found->n; i++) {
        found->word[i].text_begin -= cut;
        found->word[i].text_end -= cut;
    }
}

so_status so_transcript_words(const so_tokenizer *tokenizer, const int32_t *label, int64_t n, int32_t blank,
                              so_string *text, so_words_found *found, so_error *error)
{
    size_t begin = text->size, first = found->n, from;
    bool open = false;
    so_decoder decoder;
    so_decoder_init(&decoder, tokenizer, SO_DECODE_SKIP_SPECIAL);
    for (int64_t i = 0; i < n; i++) {
        from = text->size;
        if (label[i] < 0 || label[i] == blank) continue;
        if (i && label[i] == label[i - 1]) {
            if (open && found->n) found->word[found->n - 1].end_s = (double)i + 1;
            continue;
        }
        SO_TRY(so_decoder_feed(&decoder, label[i], text, error));
        place(text, from, i, found, &open);
    }
    from = text->size;
    SO_TRY(so_decoder_flush(&decoder, text, error));
    place(text, from, n - 1, found, &open);
    strip_from(text, begin, found, first);
    return SO_OK;
}

so_status so_transcript_text(const so_tokenizer *tokenizer, const int32_t *ids, size_t n, so_string *text,
                             so_error *error)
{
    size_t from = text->size;
    so_decoder decoder;
    so_decoder_init(&decoder, tokenizer, SO_DECODE_SKIP_SPECIAL);
    for (size_t i = 0; i < n; i++) SO_TRY(so_decoder_feed(&decoder, ids[i], text, error));
    SO_TRY(so_decoder_flush(&decoder, text, error));
    if (text->size == from) return SO_OK;
    const char *bytes = text->data + from;
    size_t size = text->size - from;
    so_strip(&bytes, &size);
    memmove(text->data + from, bytes, size);
    text->size = from + size;
    text->data[text->size] = 0;
    return SO_OK;
}
