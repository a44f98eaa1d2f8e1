/* Prompts: the chat template, and cutting it at the places of pictures.
 *
 *   <|begin_of_text|> <|start_header_id|>system<|end_header_id|>\n\n SYSTEM <|eot_id|>
 *   <|start_header_id|>user<|end_header_id|>\n\n ... <|eot_id|>   one such block per message, contents trimmed
 *   <|start_header_id|>assistant<|end_header_id|>\n\n             always at the end
 *
 * Source: stream-omni.md sections 4.2, 4.5 and 6.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_CHAT_H
#define SO_TEXT_CHAT_H

#include "text/tokenizer.h"

/* Stands in the ids where a picture's vectors go. Never embedded. */
#define SO_IMAGE_ID (-200)
/* Stands in a content where a picture goes. */
#define SO_IMAGE_MARK "<image>"

/* The system text of the published model. */
extern const char so_chat_system[];

/* One turn. Units and pictures stand in `content` as "<Audio_n>" and "<image>". A turn with empty content is left out;
 * one that becomes empty by trimming is not. */
typedef struct so_message {
    const char *role; /* "user", "assistant" */
    const char *content;
    size_t size; /* bytes of content */
} so_message;

typedef struct so_chat_options {
    const char *system;    /* NULL: so_chat_system */
    bool literal_contents; /* special tokens spelled out in contents stay plain text, so that a user cannot forge turns;
                            * units and pictures are still seen. The reference sees specials too: false */
} so_chat_options;

/* A prompt in ids. Start from a zeroed struct.
 *
 * Positions below count ids without pictures, as the speech layers do. With the Llama-3 vocabulary and one BOS,
 * label_first is 43 and label_last is n - 3 for the published system text: the labels that the transcript is taken from
 * are label_first <= i < label_last. */
typedef struct so_prompt {
    so_ids ids;           /* with SO_IMAGE_ID per picture */
    int32_t images;       /* how many */
    int32_t prefix;       /* ids up to and with the first message's header and its line breaks */
    int32_t suffix;       /* ids from the last message's <|eot_id|> on */
    int32_t label_first;  /* the first message's <|end_header_id|> */
    int32_t label_last;   /* without pictures, the <|start_header_id|> of the last header is label_last - 1 */
    int32_t last_message; /* where the content of the last message begins */
} so_prompt;

/* The prompt as text, appended to `text`. */
so_status so_chat_render(const so_message *messages, size_t n, const so_chat_options *options, so_string *text,
                         so_error *error);
/* The prompt as ids, as the reference cuts it: the text is split at pictures, each part is encoded by itself, and if
 * the first begins with BOS the first id of every later part is dropped, whatever it is (the BOS of a tokenizer that
 * adds one, else usually the line break after the picture). SO_ERR_MISSING names a special token that the vocabulary
 * lacks. */
so_status so_chat_encode(const so_tokenizer *tokenizer, const so_message *messages, size_t n,
                         const so_chat_options *options, so_prompt *prompt, so_error *error);
void so_prompt_clear(so_prompt *prompt);

/* A user's content, appended to `text`: `images` times "<image>" and a line break, then the text, then the units. */
so_status so_chat_content(so_string *text, int32_t images, const char *words, const int32_t *units, size_t n_units,
                          so_error *error);

#endif
