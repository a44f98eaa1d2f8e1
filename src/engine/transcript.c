/* What was heard, from CTC labels.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/transcript.h"

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
    so_string raw = {0};
    so_status status = so_tokenizer_decode(tokenizer, ids, n, SO_DECODE_SKIP_SPECIAL, &raw, error);
    const char *bytes = raw.data;
    size_t size = raw.size;
    if (status == SO_OK && size) so_strip(&bytes, &size);
    if (status == SO_OK) status = so_string_add(text, bytes ? bytes : "", size, error);
    so_string_clear(&raw);
    return status;
}
