/* What learns of the codec in a run from a file; of run_codec.c and run_vocoder.c alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_RUN_RUN_CODEC_H
#define SO_RECIPES_RUN_RUN_CODEC_H

#include "media/mel.h"
#include "models/discriminators.h"
#include "recipes/run/training.h"

enum {
    EARS_RATE = 16000,
    VOICE_RATE = 22050,
    HOP = 256,
    BYTES = 256, /* classes of the transcript, 0 is CTC's blank */
    SHORTEST = 512,
};

typedef enum network { EARS, FLOW, VOCODER } network;

struct so_run_codec {
    network what;
    so_store store;
    so_speech_tokenizer ears;
    so_flow flow;
    so_hift hift;
    bool contest; /* the vocoder learns against discriminators, which are not kept */
    so_store judging;
    so_discriminators judges;
    so_mel *mel;
    so_extra extra[3];
    so_real *vector; /* [speaker] of the one voice */
    /* what the last portion quantised, for the codebook */
    so_real *unit;
    int32_t *ids;
    int64_t rows;
    so_rng rng;
};

/* Discriminators, random, where the stage wants them. */
so_status so_run_vocoder_open(so_run *run, so_error *error);
/* The loss of the player whose turn it is, of crops of n recordings. */
so_tensor *so_run_vocoder_learn(so_run *run, so_pass *pass, so_micro *micro, const so_sample *sample, int64_t n);

#endif
