/* The tokenizer inside a GGUF file. Tokens are raw bytes, merges are pairs of ids.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_TOKENIZER_GGUF_H
#define SO_CHECKPOINT_TOKENIZER_GGUF_H

#include "formats/gguf.h"
#include "text/tokenizer.h"

/* Writes the tokenizer into a GGUF file's key-values, and builds one from them. */
so_status so_tokenizer_to_gguf(const so_tokenizer *tokenizer, so_gguf_writer *writer, so_error *error);
so_status so_tokenizer_from_gguf(so_tokenizer **out, const so_gguf *gguf, so_error *error);

#endif
