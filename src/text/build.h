/* Inside the tokenizer: what its loaders share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_BUILD_H
#define SO_TEXT_BUILD_H

#include "text/tokenizer.h"

/* Tokens, specials and pattern of `parts`, without merges: lookups work, encoding joins by rank. */
so_status so_build_start(so_tokenizer **out, const so_tokenizer_parts *parts, so_error *error);
/* Takes `merges`, also on failure. */
so_status so_build_merges(so_tokenizer *tokenizer, int32_t (*merges)[2], int32_t n, so_error *error);

/* Tokens being listed in the order of their ids. Start from a zeroed struct. */
typedef struct so_token_list {
    so_string bytes;
    uint32_t *ends;
    uint8_t *kinds;
    size_t n, ends_capacity, kinds_capacity;
} so_token_list;

so_status so_token_list_add(so_token_list *list, const char *bytes, size_t size, so_token_kind kind, so_error *error);
void so_token_list_clear(so_token_list *list);
/* `parts` with the list lent to it, without merges. SO_ERR_LIMIT when there are too many. */
so_status so_token_list_parts(const so_token_list *list, so_tokenizer_parts *parts, so_error *error);

#endif
