/* Saving an opened checkpoint as one GGUF file: configuration, tokenizer and every weight.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_SAVE_H
#define SO_CHECKPOINT_SAVE_H

#include "base/pool.h"
#include "checkpoint/codec.h"
#include "checkpoint/config.h"
#include "nn/weights.h"
#include "so.h"
#include "text/tokenizer.h"

/* What is saved; all of it lent. */
typedef struct so_save_parts {
    const so_setup *setup;
    const so_tokenizer *tokenizer;
    const so_store *store; /* the model's weights; the codec's are in its own stores */
    const so_codec *codec; /* zeroed: none */
    so_pool *pool;         /* may be NULL */
} so_save_parts;

/* As so_model_save (include/so.h) promises. */
so_status so_save_parts_to(const so_save_parts *parts, const char *path, const so_save_options *options,
                           so_error *error);

#endif
