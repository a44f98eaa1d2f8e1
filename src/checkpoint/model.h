/* A model in memory: weights, tokenizer, and what is known about them. Read-only once open; shared by all sessions.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_MODEL_H
#define SO_CHECKPOINT_MODEL_H

#include <stdatomic.h>

#include "checkpoint/codec.h"
#include "checkpoint/config.h"
#include "formats/safetensors.h"
#include "models/lora.h"
#include "so.h"
#include "text/tokenizer.h"

struct so_model {
    char *path;
    so_setup setup;
    so_image_spec pictures;
    so_omni net;
    so_store store;
    so_tokenizer *tokenizer;
    unsigned char *spoken; /* bitmap of pronounceable ids, so_tokenizer_pronounceable */
    int32_t blank, eot;    /* ids */
    int32_t first_unit;    /* id of <Audio_0> */
    int64_t units;         /* speech units that have an id and a row */
    so_codec codec;
    so_lora_set lora; /* adapters beside the weights of `store`; count 0: none */
    char *lora_path;
    so_pool *pool;
    so_device *device;                          /* where the networks but the codec compute; NULL: the host */
    const so_kernels *kernels;                  /* with `int8` set where that is the precision */
    const so_kernels *encoders;                 /* kernels of the host: of the codec, and of the vision tower there */
    float *text_reach, *ctc_reach, *unit_reach; /* so_row_reach of the heads where int8 is the precision; else NULL */
    so_safetensors *safetensors;                /* one of the two is open */
    so_gguf *gguf;
    char *unused; /* names of tensors of the file that no network uses, one a line; NULL: none */
    int64_t n_unused;
    bool front;                  /* sessions that do not say have the front end of hearing */
    bool one_picture;            /* a conversation about a new picture does not remember an older one */
    int64_t context;             /* positions of the backbone a session gets */
    atomic_long positions_per_s; /* of a prompt through the backbone, measured once; 0: not yet */
};

/* so_model_open on a device that is open, which it takes, also when it fails. */
so_status so_model_open_on(so_model **out, const char *path, const so_model_options *options, so_device *device,
                           so_error *error);

/* Positions of a prompt that are computed together: as many as keep a slice short (64 to 512, by the model's size). */
int64_t so_model_prompt_rows(const so_model *model);
/* Whether weights are so few bytes that processors' caches keep them: threads may read them each by itself. */
bool so_model_stays_near(const so_model *model);

/* All stored tensors. */
const so_views *so_model_views(const so_model *model);
/* Whether the id enters the text memory of the top layers. */
static inline bool so_model_spoken(const so_model *model, int32_t id)
{
    return id >= 0 && id < so_tokenizer_size(model->tokenizer) && model->spoken[id >> 3] >> (id & 7) & 1;
}
/* Whether the id ends text, or units. */
bool so_model_stops(const so_model *model, int32_t id);

#endif
