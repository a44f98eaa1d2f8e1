/* The forms a model is exported in.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_EXPORT_GGUF_H
#define SO_CHECKPOINT_EXPORT_GGUF_H

#include "checkpoint/convert_gguf.h"

/* Fill keys and items of a job that is open. SO_ERR_MISSING, SO_ERR_UNSUPPORTED (a tokenizer that llama.cpp cannot be).
 */
so_status so_export_llama(so_convert_job *job, so_gguf_writer *out, so_error *error);
so_status so_export_mmproj(so_convert_job *job, so_gguf_writer *out, so_error *error);
/* Writes the folder `out` in the published layout, the codec below it in codec/. */
so_status so_export_safetensors(so_convert_job *job, const char *out, so_error *error);

#endif
