/* stream-omni: models from one form into another, whatever their size.
 *
 * Tensors go from maps of the source to the target a few megabytes at a time. A target appears whole or not at all:
 * bytes go to "<target>.part", and a run that was cut off goes on there when it is asked for the same thing again.
 *
 * `options` and `error` may be NULL, other pointers not: SO_ERR_ARG.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_H
#define SO_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "so_status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct so_convert_options {
    const char *type;       /* of matrices, as so_save_options has it; NULL: as they are stored */
    const char *types;      /* file of rules "PATTERN TYPE", asked before those of `type`; NULL: none */
    const char *importance; /* file that so_calibration_save wrote, for types below q8_0; NULL: none */
    void (*note)(void *context, const char *line); /* is told of matrices that could not have their type; may be NULL */
    const char *tokenizer;                         /* folder or file of the tokenizer; NULL: where the model is */
    const char *name;                              /* general.name; NULL: the configuration's, else the folder's */
    const char *speaker; /* the voice to speak with; NULL: the codec's English woman, else the first */
    int threads;         /* 0: all cores */
    int64_t split;       /* most bytes of tensors per file; 0: one file */
    const char *lora;    /* adapters that are added to the weights they are for; NULL: none. A folder of PEFT or a GGUF
                          * file; matrices keep their types unless `type` says otherwise, and are rounded again */
    int drop_extra;      /* leave out tensors that no network uses instead of refusing the model */
    /* Told now and then how many bytes of how many are written; anything but SO_OK stops, and the part stays. */
    so_status (*step)(void *context, double done, double total, so_error *error);
    void *context;
} so_convert_options;

typedef struct so_convert_result {
    char name[64];   /* of the model */
    char path[4096]; /* the file to open: of a split model the first */
    int64_t files, tensors, parameters;
    double bytes;
    char *report;   /* a line for every tensor that is missing, extra or of another shape or type; NULL: none. Also
                     * filled on failure. Freed with so_convert_result_clear. */
    char note[256]; /* why a file was left alone that could have been taken; "" */
} so_convert_result;
void so_convert_result_clear(so_convert_result *result);

/* Reads a model from `n` folders (the published model, the speech codec, a vision tower; any order) or a GGUF file of
 * this program and writes it to `out` as GGUF: configuration, tokenizer, template, every tensor, voices, licence notes.
 * Every stored tensor is accounted for: SO_ERR_FORMAT when one is missing, not expected, or of another shape or type,
 * all of them listed. SO_ERR_STATE when another process writes the same target, SO_ERR_IO when the disk is full.
 * `result` is filled as far as the work came. */
so_status so_convert(const char *const *in, int n, const char *out, const so_convert_options *options,
                     so_convert_result *result, so_error *error);

/* Whether a path holds low-rank adapters: a folder of PEFT, or a GGUF file of them. */
int so_is_adapter(const char *path);
/* Writes adapters in the other form: as GGUF for llama.cpp (and --lora here) where `out` ends with ".gguf", else as a
 * folder of PEFT. `model` is what they are for, whose heads and shapes are looked at; NULL: what they were trained on,
 * as their file says. Of the options only `note` and `context` count. SO_ERR_FORMAT when they do not fit the model. */
so_status so_convert_adapter(const char *in, const char *model, const char *out, const so_convert_options *options,
                             so_convert_result *result, so_error *error);

typedef enum so_export_form {
    SO_EXPORT_LLAMA,      /* GGUF of the backbone and the tokenizer as llama.cpp opens it */
    SO_EXPORT_MMPROJ,     /* GGUF of the vision tower and the projector as llama.cpp opens it beside the former */
    SO_EXPORT_SAFETENSORS /* a folder in the published layout, with shards of at most `split` bytes (0: 5 GB) */
} so_export_form;

/* Reads a model as so_convert does and writes it in another program's form. Types that are not quantised come out bit
 * by bit as they went in unless options->type says otherwise. SO_ERR_MISSING when the model lacks what the form needs.
 */
so_status so_export(const char *const *in, int n, const char *out, so_export_form form,
                    const so_convert_options *options, so_convert_result *result, so_error *error);

/* What the licences of the published models and of what they were made from ask to be said, and the line that
 * interfaces must show. Not legal advice. Static. */
const char *so_licence_notes(void);
const char *so_licence_line(void);

#ifdef __cplusplus
}
#endif
#endif
