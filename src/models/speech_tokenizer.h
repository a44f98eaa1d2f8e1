/* The speech tokenizer: log-mel frames (10 ms) to units (40 ms), by an encoder of a recogniser that was cut in two.
 *
 *     mel [B, F, M] ─ conv, gelu ─ conv, gelu ─(+ positions)─ n × block ─ unit length ─ nearest of K codes ─ ids
 *                                                                                          │ (training only)
 *                                                            CTC logits ─ norm ─ m × block ─(+ positions)
 *     block: x += attn(LN x); x += fc2(gelu(fc1(LN x)))
 *
 * Rows behind the convolutions are packed: the frames of all recordings one after another, described by a so_batch.
 *
 * Source: docs/model.md 7.1, 7.6.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_SPEECH_TOKENIZER_H
#define SO_MODELS_SPEECH_TOKENIZER_H

#include "nn/ops.h"
#include "nn/weights.h"

typedef struct so_speech_tokenizer_config {
    int64_t mels, width, heads, ff, layers; /* M, D, H, F, n */
    int64_t codes, context;                 /* K; rows of the position table */
    int64_t stride[2];                      /* of the convolutions: units come every 10 ms stride[0] stride[1] */
    /* For training; all zero where only units are wanted. */
    int64_t second_layers, vocab; /* m, classes of the CTC head (the blank included); 0: no second half */
    int64_t inner_layer;          /* after how many blocks an auxiliary CTC head listens; 0: none */
} so_speech_tokenizer_config;

typedef struct so_speech_block {
    so_tensor *norm1_w, *norm1_b, *q_w, *q_b, *k_w, *v_w, *v_b, *o_w, *o_b;
    so_tensor *norm2_w, *norm2_b, *fc1_w, *fc1_b, *fc2_w, *fc2_b;
} so_speech_block;

typedef struct so_speech_tokenizer {
    so_speech_tokenizer_config config;
    so_tensor *conv1_w, *conv1_b, *conv2_w, *conv2_b, *position, *codes;
    so_speech_block *block, *second;
    so_tensor *code_count, *code_sum; /* [K], [K, D]: averages behind the codes; NULL but in training */
    so_tensor *post_w, *post_b, *ctc_w, *ctc_b, *inner_w, *inner_b; /* NULL where the config has none */
} so_speech_tokenizer;

/* Groups: "tokenizer" learns; "codebook" follows its vectors (so_speech_tokenizer_follow). Random weights get sinusoids
 * for positions. */
so_status so_speech_tokenizer_bind(so_speech_tokenizer *net, const so_speech_tokenizer_config *config,
                                   const char *prefix, so_binder *binder, so_error *error);
/* Units for F frames. */
int64_t so_speech_tokenizer_units(const so_speech_tokenizer_config *config, int64_t F);

/* mel[B, F, M], recording b has frames[b] of them and zeros behind -> packed rows [R, D]; *batch says which are whose.
 * `inner` (may be NULL) gets the auxiliary CTC logits [R, V], NULL without such a head. */
so_tensor *so_speech_tokenizer_encode(so_pass *pass, const so_speech_tokenizer *net, so_tensor *mel,
                                      const int64_t *frames, so_batch **batch, so_tensor **inner);
/* The same in pieces: the convolutions, which give the rows that enter the first block; halves first .. last - 1 of the
 * blocks, half 2 i being the attention of block i and 2 i + 1 what it does to each row. */
so_tensor *so_speech_tokenizer_front(so_pass *pass, const so_speech_tokenizer *net, so_tensor *mel,
                                     const int64_t *frames, so_batch **batch);
so_tensor *so_speech_tokenizer_halves(so_pass *pass, const so_speech_tokenizer *net, so_tensor *x,
                                      const so_batch *batch, int64_t first, int64_t last);
/* Packed rows -> their codes [R, D] (straight through), ids[R]; `unit` (may be NULL) gets the rows at unit length. */
so_tensor *so_speech_tokenizer_quantise(so_pass *pass, const so_speech_tokenizer *net, so_tensor *hidden, int32_t *ids,
                                        so_tensor **unit);
/* Packed codes -> CTC logits [R, V]. */
so_tensor *so_speech_tokenizer_recognise(so_pass *pass, const so_speech_tokenizer *net, so_tensor *codes,
                                         const so_batch *batch);
/* One recording, mel[F, M]: ids[so_speech_tokenizer_units(F)]. */
so_status so_speech_tokenizer_ids(so_pass *pass, const so_speech_tokenizer *net, so_tensor *mel, int32_t *ids);

/* After a step: the codes follow the batch's rows of unit length. Returns how many dead codes were revived. */
int64_t so_speech_tokenizer_follow(so_speech_tokenizer *net, const so_vq_rule *rule, const so_tensor *unit,
                                   const int32_t *ids, so_rng *rng);
/* Before the first: every code becomes a random one of these rows. */
void so_speech_tokenizer_start_codes(so_speech_tokenizer *net, const so_tensor *unit, so_rng *rng);

#endif
