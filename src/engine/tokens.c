/* Text as the model's tokens, and back.
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
