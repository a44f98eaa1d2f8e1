/* A model as it is stored, before anything is made of it: every tensor of every file under one name, and the texts
 * beside.
 *
 * From one or several folders, in any order: the published model (config.json, safetensors, tokenizer), the speech
 * codec (speech_tokenizer_v1.onnx, flow.pt, hift.pt, spk2info.pt, campplus.onnx, or the same as safetensors; also as
 * codec/ below the model), the vision tower where the model's files lack it (google/siglip-so400m-patch14-384); or from
 * one GGUF file written here. Nothing is copied: tensors lie in maps of the files, codec tensors under
 * "codec.tokenizer.", "codec.flow.", "codec.hift.", "codec.campplus.". Source: docs/model.md 3, docs/files.md.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_SOURCE_H
#define SO_CHECKPOINT_SOURCE_H

#include "checkpoint/codec.h"
#include "checkpoint/config.h"
#include "nn/weights.h"
#include "text/tokenizer.h"

/* Small files that travel with a model, as they were. */
enum { SO_SOURCE_TEXTS = 5 };
extern const char *const so_source_text_name[SO_SOURCE_TEXTS]; /* "config.json", "generation_config.json", ... */

typedef struct so_source {
    so_setup setup; /* measured */
    so_tokenizer *tokenizer;
    so_codec codec;  /* sizes and config text only; has_tokenizer, has_vocoder, has_cam say which parts are there */
    so_views views;  /* all tensors but voices; data may be unaligned */
    so_names copied; /* of those tensors whose data is a copy in memory, not in a map */
    char *text[SO_SOURCE_TEXTS]; /* NULL: absent */
    char *chat_template;         /* NULL: none */
    char **voice_name;           /* [n_voices] */
    float *voice;                /* [n_voices, codec.flow.config.speaker] */
    int64_t n_voices, voices_capacity;
    char *identity; /* a line for every file: path, bytes, time of change */
    so_gguf *gguf;  /* when it came from one */
    so_safetensors *model, *tower;
    so_codec_part ears, flow, hift, speakers, cam;
} so_source;

/* Opens all of `path`. `tokenizer` (may be NULL) says where the model's tokenizer lies otherwise. SO_ERR_MISSING when
 * no folder holds a model; SO_ERR_FORMAT when two hold the same tensor, and whatever the readers find. so_source_close
 * after failure too. */
so_status so_source_open(so_source *source, const char *const *path, int paths, const char *tokenizer, so_error *error);
void so_source_close(so_source *source);
/* SO_ERR_STATE when a file is not the one any more that was opened: what was read of it cannot be trusted. */
so_status so_source_unchanged(const so_source *source, so_error *error);

/* Everything the networks of these sizes expect, under the names of so_source. With `found`, the form that the stored
 * names show is taken (weight norm of three kinds). */
so_status so_source_manifest(const so_setup *setup, const so_codec *codec, const so_views *found, so_manifest *manifest,
                             so_error *error);

/* Holds what is stored against what is expected. Every difference is one line of *report (missing, not expected, of
 * another shape, of another type), which the caller frees with free(); NULL when there is none. SO_ERR_FORMAT counts
 * them and repeats as many as fit; extra tensors alone are forgiven with `drop_extra` (and still reported). Sizes that
 * no network can have are an error without a report. */
so_status so_source_check(const so_source *source, bool drop_extra, char **report, so_error *error);
/* Whether a published file may hold a tensor of this name that no network uses. */
bool so_source_ignores(const so_setup *setup, const char *name);

#endif
