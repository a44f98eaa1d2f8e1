/* Stream-Omni: three stacks of Llama layers, a vision tower, and the tables that join text, pictures and speech.
 *
 *    speech units ─ audio_embed ─ BOTTOM ─┬─ h ────────────────────────── TOP (+ fusion) ─ unit_head ─ speech units
 *                                         └─ ctc_head ─ softmax x text_embed ─┐        ▲
 *    text ─ text_embed ───────────────────────────────────────────────────────┤   text_memory
 *    picture ─ SigLIP ─ projector ────────────────────────────────────────────┴─ BACKBONE ─ text_head ─ text tokens
 *
 * Each stack has its own key/value store and its own positions. Layer order of a top layer: self-attention,
 * alignment-based fusion (cross-attention into the last W text tokens), feed-forward. Source: paper figures 2 and 3;
 * docs/model.md 3 to 6.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_STREAM_OMNI_H
#define SO_MODELS_STREAM_OMNI_H

#include "models/llama.h"
#include "models/projector.h"
#include "models/siglip.h"

/* How the top layers take in text (paper, table 6). */
typedef enum so_fuse {
    SO_FUSE_CROSS,     /* cross-attention over the visible window, in every layer */
    SO_FUSE_ADD_INPUT, /* the newest visible text token's row added once, before the first layer */
    SO_FUSE_ADD_LAYER  /* the same, added in every layer */
} so_fuse;

typedef struct so_omni_config {
    so_llama_config llama;         /* the shape of all three stacks */
    int64_t bottom, backbone, top; /* layers */
    int64_t text_rows, audio_rows; /* rows of the text tables and of the audio tables */
    bool speech, vision;           /* which parts exist */
    so_siglip_config siglip;
    so_fuse fuse;
} so_omni_config;

typedef struct so_fusion_layer {
    so_tensor *q, *k, *v, *o; /* full multi-head: [Hd, D] each, o [D, Hd] */
} so_fusion_layer;

typedef struct so_omni {
    so_omni_config config;
    so_llama bottom, backbone, top;
    so_fusion_layer *fusion;                                     /* [top] */
    so_tensor *text_embed, *text_head;                           /* [Vt, D] */
    so_tensor *audio_embed, *ctc_head, *unit_head, *text_memory; /* [Va, D], [Vt, D], [Va, D], [Va, D] */
    so_siglip siglip;
    so_projector projector;
    so_tensor *image_newline; /* [D] or NULL */
} so_omni;

/* Binds everything the config says exists, under the published names. Groups: "backbone", "bottom", "top", "vision",
 * "projector". */
so_status so_omni_bind(so_omni *net, const so_omni_config *config, so_binder *binder, so_error *error);

/* ---- the boxes of the figure. Names for a watcher: "bottom.in.I", "bottom.out", the same of "backbone" and "top" (I:
 * a layer, whose input it is; out: after the norm), "ctc" (logits), "expect", "text_logits", "unit_logits", and those
 * of models/siglip.h and models/projector.h. */
/* Ids of the speech side (units, and template text) -> h [n, D]. The caller advances the batch. */
so_tensor *so_omni_hear(so_pass *pass, const so_omni *net, int64_t n, const int32_t *ids, const so_batch *batch);
/* The same with ids that lie on the device. */
so_tensor *so_omni_hear_there(so_pass *pass, const so_omni *net, int64_t n, const int32_t *ids, const so_batch *batch);
/* h [S, D] -> CTC logits [S, Vt] */
so_tensor *so_omni_ctc(so_pass *pass, const so_omni *net, so_tensor *h);
/* CTC logits -> expected text embeddings softmax(logits) x text_embed [S, D] */
so_tensor *so_omni_expect(so_pass *pass, const so_omni *net, so_tensor *ctc_logits);
/* Text ids -> [n, D] */
so_tensor *so_omni_read(so_pass *pass, const so_omni *net, int64_t n, const int32_t *ids);
/* The same with ids that lie on the device. */
so_tensor *so_omni_read_there(so_pass *pass, const so_omni *net, int64_t n, const int32_t *ids);
/* Pictures (SigLIP's input) -> [pictures * P, D] */
so_tensor *so_omni_see(so_pass *pass, const so_omni *net, int64_t pictures, const float *pixels);
/* [R, D] -> backbone output after its norm [R, D] */
so_tensor *so_omni_think(so_pass *pass, const so_omni *net, so_tensor *x, const so_batch *batch);
/* -> text logits [R, Vt] */
so_tensor *so_omni_write(so_pass *pass, const so_omni *net, so_tensor *hidden);

/* What the top layers see of the text, for one pass. Only the rows listed in `row` take it in: in generation the last
 * row of each sequence, in training every row of an answer. */
typedef struct so_fusion {
    int64_t memory_rows;       /* entries of all sequences, one after another */
    const int32_t *memory_ids; /* [memory_rows] text ids, rows of text_memory */
    so_tensor *memory;         /* or ready rows [memory_rows, D] instead of ids */
    const int32_t *memory_pos; /* [memory_rows] index of each in its answer */
    int64_t rows;              /* rows that take text in; 0: none */
    const int32_t *row;        /* [rows] rows of x, ascending */
    const int32_t *pos;        /* [rows] their speech positions */
    int64_t n_seqs;
    const int64_t *seq_rows; /* [n_seqs] how many of `row` belong to each sequence */
    so_memory ranges;        /* per sequence and per entry of `row` */
    so_kv *const *store;     /* NULL; or, for SO_FUSE_CROSS in place of ids and memory, [n_seqs]: where so_omni_note has
                                put it. Each sequence sees the last ranges.memory_rows of its store */
} so_fusion;
/* Keys and values of text in all top layers, into the batch's stores, which hold all heads: rows of text_memory with
 * these ids, each at pos, its index in its answer. The caller advances the batch. */
void so_omni_note(so_pass *pass, const so_omni *net, const int32_t *ids, const int32_t *pos, const so_batch *batch);
/* h [R, D] -> top output after its norm [R, D]. */
so_tensor *so_omni_speak(so_pass *pass, const so_omni *net, so_tensor *h, const so_batch *batch,
                         const so_fusion *fusion);
/* Its layers first .. last - 1 alone, without the norm: h is what the layer before them made. */
so_tensor *so_omni_speak_layers(so_pass *pass, const so_omni *net, so_tensor *h, const so_batch *batch,
                                const so_fusion *fusion, int64_t first, int64_t last);
/* -> unit logits [R, Va] */
so_tensor *so_omni_voice(so_pass *pass, const so_omni *net, so_tensor *hidden);

#endif
