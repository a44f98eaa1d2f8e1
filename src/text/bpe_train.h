/* Learning a small byte-level BPE vocabulary from text.
 *
 * The result depends on the texts and options only: pairs are joined by falling count, ties by lower ids. Pieces that
 * are tokens although no merges lead to them are found because the tokenizer takes whole pieces first, as Llama 3's
 * does
 * ("ignore_merges").
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_BPE_TRAIN_H
#define SO_TEXT_BPE_TRAIN_H

#include "text/tokenizer.h"

/* The specials that prompts, labels and generation need, NULL at the end. */
extern const char *const so_bpe_specials[];

typedef struct so_bpe_options {
    int32_t size; /* vocabulary tokens, the 256 bytes counted, specials and units not */
    int32_t
        pieces; /* of the `size`, how many are the commonest pieces (words) that joining pairs does not make whole */
    const char *pattern;         /* NULL: SO_LLAMA3_PATTERN */
    const char *const *specials; /* their ids follow the vocabulary's; NULL at the end; NULL: so_bpe_specials */
    int32_t units;               /* <Audio_0>... follow the specials */
    bool add_bos;
} so_bpe_options;

typedef struct so_bpe_trainer so_bpe_trainer;

/* Copies the options; the strings are lent until close. SO_ERR_ARG for a size below 256. */
so_status so_bpe_trainer_open(so_bpe_trainer **out, const so_bpe_options *options, so_error *error);
/* Counts the pieces of one text. Special tokens in it are not looked for: they are text. */
so_status so_bpe_trainer_feed(so_bpe_trainer *trainer, const char *text, size_t size, so_error *error);
/* Learns the merges of all texts fed so far and makes the tokenizer. Fewer tokens than asked for are made when no pair
 * occurs twice any more. Call once. */
so_status so_bpe_trainer_finish(so_bpe_trainer *trainer, so_tokenizer **out, so_error *error);
void so_bpe_trainer_close(so_bpe_trainer **trainer);

#endif
