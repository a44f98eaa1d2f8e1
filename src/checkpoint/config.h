/* What a model is: its sizes, ids and habits, read from config.json or from the key-values of a GGUF file.
 *
 * One table names every field once, for both formats. Row counts of the tables and the parts that exist are taken from
 * the tensors, never from the configuration. Source: docs/model.md 2 and 3.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_CONFIG_H
#define SO_CHECKPOINT_CONFIG_H

#include "formats/gguf.h"
#include "media/image.h"
#include "models/stream_omni.h"

enum { SO_MAX_STOPS = 8 };

typedef struct so_setup {
    so_omni_config omni;
    char name[64];
    char system[1024];      /* system text of the prompts; empty: the published one */
    char aspect[48];        /* image_aspect_ratio */
    char merge[48];         /* mm_patch_merge_type */
    char pinpoints[2048];   /* image_grid_pinpoints as text */
    char tower[128];        /* mm_vision_tower; empty: no pictures */
    char fuse[16];          /* "cross", "add_input", "add_layer" */
    int64_t length_limit;   /* tokenizer_model_max_length: positions of a spliced prompt; 0: none */
    int64_t context;        /* positions the backbone was made for */
    int64_t audio_vocab;    /* speech units, when said */
    int64_t speech_history; /* 1: the speech side goes on through a conversation, as the published code does; 0: every
                             * turn begins it anew, and the backbone keeps finished turns as words */
    int64_t lookahead, window;  /* K and W that the model was trained with; 0: 3 and 5 */
    int64_t units_per_token;    /* as in so_session_options, for answers; 0: none, as the published code has none */
    int32_t stop[SO_MAX_STOPS]; /* ids that end text, and units */
    int64_t n_stop;
} so_setup;

/* From the text of config.json and, unless NULL, of generation_config.json. SO_ERR_FORMAT names a field that is
 * missing, of the wrong kind or senseless; SO_ERR_UNSUPPORTED what this program cannot do. */
so_status so_setup_parse(so_setup *setup, const char *config, const char *generation, so_error *error);
/* From a GGUF file's key-values. */
so_status so_setup_load(so_setup *setup, const so_gguf *gguf, so_error *error);
/* Into a GGUF file's key-values. */
so_status so_setup_save(const so_setup *setup, so_gguf_writer *writer, so_error *error);
/* A config.json that so_setup_parse reads back; the caller frees *text with free(). */
so_status so_setup_print(const so_setup *setup, char **text, so_error *error);
/* Takes row counts and the existence of speech and vision from the tensors. */
so_status so_setup_measure(so_setup *setup, const so_views *views, so_error *error);
/* How pictures become views. */
so_status so_setup_pictures(const so_setup *setup, so_image_spec *spec, so_error *error);

#endif
