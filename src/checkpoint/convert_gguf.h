/* What converting and exporting share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_CONVERT_GGUF_H
#define SO_CHECKPOINT_CONVERT_GGUF_H

#include "checkpoint/copy.h"
#include "checkpoint/quant_rules.h"
#include "checkpoint/source.h"
#include "formats/adapter.h"
#include "so_checkpoint.h"

/* A target being gathered: the source it comes from, and what made-up tensors point to. */
typedef struct so_convert_job {
    const so_convert_options *options;
    so_convert_result *result;
    so_source source;
    so_copy_list list;
    so_quant_rules *rules; /* NULL: types stay as they are */
    so_pool *pool;
    so_adapter lora; /* added on the way; count 0: none */
    int64_t merged;  /* tensors of the list that have one */
    so_view made[2]; /* tensors that no file holds */
    void *numbers[2];
} so_convert_job;

/* Opens and checks the source. so_convert_job_close after failure too. */
so_status so_convert_job_open(so_convert_job *job, const char *const *in, int n, const so_convert_options *options,
                              so_convert_result *result, so_error *error);
void so_convert_job_close(so_convert_job *job);
/* The type that a tensor of the model is stored as. This is the one place where conversion decides on types. */
so_type so_convert_type(const so_convert_job *job, const so_view *view);
/* Adds a tensor of job->source.views. */
so_status so_convert_add(so_convert_job *job, const char *name, const so_view *view, so_type type, int64_t heads,
                         so_error *error);
/* Adds numbers [rows, cols] (rows 0: [cols]) that are copied, as tensor `which` of job->made. */
so_status so_convert_make(so_convert_job *job, int which, const char *name, const float *numbers, int64_t rows,
                          int64_t cols, so_error *error);
/* Writes all items to `path` as GGUF, split as the options say; `keys` (without declarations) is freed, on failure too.
 */
so_status so_convert_write_gguf(so_convert_job *job, const char *path, so_gguf_writer **keys, so_error *error);
/* Opens adapters for the model of a source: every one must be for a matrix of it. */
so_status so_convert_open_adapter(so_adapter *adapter, const char *path, const so_source *source, so_error *error);
/* Tells of what was merged into the list, and of adapted matrices that are no part of it. SO_ERR_MISSING when none is.
 */
so_status so_convert_tell_merged(const so_convert_job *job, so_error *error);
/* Licence keys, for models that owe them. */
so_status so_convert_licences(const so_convert_job *job, so_gguf_writer *out, so_error *error);
/* What writing a target of this job takes along. */
so_copy_work so_convert_work(const so_convert_job *job);
/* The hash by which a run that goes on knows its part: of the source's files and of a head. */
void so_convert_identity(const so_convert_job *job, const char *head, size_t bytes, char out[96]);

#endif
