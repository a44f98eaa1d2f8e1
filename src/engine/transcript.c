/* What was heard, from CTC labels.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/transcript.h"

#include <string.h>

so_status so_collapse(const int32_t *label, int64_t n, int32_t blank, so_ids *kept, so_error *error)
{
    for (int64_t i = 0; i < n; i++)
        if (label[i] != blank && label[i] >= 0 && (i == 0 || label[i] != label[i - 1]))
            SO_TRY(so_ids_put(kept, label[i], error));
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
