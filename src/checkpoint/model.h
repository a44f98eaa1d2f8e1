/* A model in memory: weights, tokenizer, and what is known about them. Read-only once open; shared by all sessions.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_MODEL_H
#define SO_CHECKPOINT_MODEL_H

#include <stdatomic.h>

#include "base/shelf.h"
#include "checkpoint/codec.h"
#include "checkpoint/config.h"
#include "formats/safetensors.h"
#include "models/lora.h"
#include "nn/ahead.h"
#include "nn/worker.h"
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
    so_device *device;                          /* where the networks compute; NULL: the host */
    so_device *codec_device;                    /* where the codec computes: the same device, or NULL: the host */
    int64_t device_layers;                      /* of the backbone, from the first on; the others stay on the host */
    const so_kernels *kernels;                  /* with `int8` set where that is the precision */
    const so_kernels *encoders;                 /* of the codec and the vision tower on the host */
    const so_kernels *rest;                     /* of layers that stay on the host beside a device */
    float *text_reach, *ctc_reach, *unit_reach; /* so_row_reach of the heads where int8 is the precision; else NULL */
    so_safetensors *safetensors;                /* one of the two is open */
    so_gguf *gguf;
    int prefault;    /* as options have it */
    so_ahead *ahead; /* reads the file beside other work; NULL: nothing does */
    char *unused;    /* names of tensors of the file that no network uses, one a line; NULL: none */
    int64_t n_unused;
    bool front;                  /* sessions that do not say have the front end of hearing */
    bool small;                  /* its file has less than a gibibyte */
    double elements;             /* numbers in the file, and one */
    bool one_picture;            /* a conversation about a new picture does not remember an older one */
    int64_t context;             /* positions of the backbone a session gets */
    atomic_long positions_per_s; /* of a prompt through the backbone, measured once; 0: not yet */
    so_shelf beginnings;         /* what the networks made of what conversations begin with (engine/beginning.c) */
};

/* so_model_open, up to where weights go to a device, if there is one: the model takes it, also when it fails. */
so_status so_model_load(so_model **out, const char *path, const so_model_options *options, so_device *device,
                        so_error *error);
/* Moves the weights to where they will be used. */
so_status so_model_settle(so_model *model, so_error *error);
/* Layers of the backbone from `layers` on stay on the host; before so_model_settle. */
void so_model_keep_layers(so_model *model, int64_t layers);
/* Opens the device that options name, *device NULL: the host. */
so_status so_model_device(const so_model_options *options, so_device **device, so_error *error);

static inline so_site so_model_place(const so_model *m)
{
    bool all = m->device_layers >= m->setup.omni.backbone;
    return (so_site){m->device, m->kernels, m->device && !all ? m->rest : NULL, m->pool};
}
static inline so_site so_model_codec_place(const so_model *m)
{
    return (so_site){m->codec_device, m->codec_device ? so_device_kernels(m->codec_device, false) : m->encoders, NULL,
                     m->pool};
}
/* Whether the codec computes elsewhere than the networks, and needs workers of its own. */
static inline bool so_model_codec_apart(const so_model *m) { return m->device != m->codec_device; }

/* Positions of a prompt that are computed together: as many as keep a slice short (64 to 512, by the model's size). */
int64_t so_model_prompt_rows(const so_model *model);
/* The type of a session's keys and values: `name`, or the model's choice where that is NULL. SO_ERR_ARG where it is
 * none that heads of this model can be stored in. */
so_status so_model_kv_type(const so_model *model, const char *name, so_type *type, so_error *error);
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
