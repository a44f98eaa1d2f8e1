/* A dataset: records by number, with their lengths known before they are read.
 *
 * Whatever a corpus was, `data index` made a folder of it, which is read here:
 *
 *     DIR/records.jsonl   one record a line (dataset/record.h)
 *     DIR/records.idx     where each begins, and its lengths; the SHA-256 of records.jsonl
 *     DIR/bad.jsonl       what was left out: {"reason", "file", "record", "id"?, "what"}
 *     DIR/dataset.json    what was read, counts by reason, the same hash
 *
 * Training asks for nothing else: `count`, `lengths` to plan batches, `read` for a sample by number, and `identity`, by
 * which a run that goes on knows that its data are the same. Where a run stands is one number of its own. Other
 * implementations (mixtures, worlds that are made while they are read) fill the same struct.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_DATASET_H
#define SO_DATASET_DATASET_H

#include "dataset/record.h"

/* What a record will take, without reading it. */
typedef struct so_lengths {
    uint64_t offset; /* of its line in records.jsonl */
    uint32_t bytes;  /* of its line */
    uint32_t text;   /* bytes of all turns' texts */
    uint32_t units;  /* of all turns */
    uint32_t ms;     /* of all turns' recordings */
    uint16_t turns, images;
    uint32_t answers; /* bytes of assistants' texts */
} so_lengths;

typedef struct so_dataset so_dataset;

struct so_dataset {
    int64_t count;
    char identity[65];         /* changes when any record does */
    const so_lengths *lengths; /* [count]; NULL for those that were not asked for */
    /* From any thread. The record is to be cleared. */
    so_status (*read)(const so_dataset *dataset, int64_t i, so_record *out, so_error *error);
    /* Whether an answer of record i is spoken, which lengths do not tell from its question; NULL: nobody knows. */
    bool (*answers)(const so_dataset *dataset, int64_t i);
    /* Compares what is read with `identity`; NULL: it can not have changed. */
    so_status (*verify)(const so_dataset *dataset, so_error *error);
    void (*close)(so_dataset *dataset); /* frees it */
    void *own;
};

/* Opens a folder that `data index` made. SO_ERR_FORMAT where the index does not fit the records. */
so_status so_dataset_open(so_dataset **out, const char *folder, so_error *error);
/* Accepts NULL and a null dataset. */
void so_dataset_close(so_dataset **dataset);
/* Record i, 0 .. count - 1; SO_ERR_ARG beyond. */
so_status so_dataset_read(const so_dataset *dataset, int64_t i, so_record *out, so_error *error);
/* Reads all of it and compares with its identity; SO_ERR_FORMAT names the file that was changed. */
so_status so_dataset_verify(const so_dataset *dataset, so_error *error);

/* ---- how a record is written in ids: the chat template in one pass, with what is learnt of it */

/* A stretch of a record as it goes into the template. */
typedef struct so_stretch {
    const char *text; /* lent until the next one */
    size_t size;
    bool learnt;  /* the assistant's words and what ends them */
    bool picture; /* stands for a picture */
} so_stretch;

typedef so_status (*so_stretch_fn)(void *context, const so_stretch *stretch, so_error *error);

typedef struct so_render_options {
    const char *system; /* NULL: the published model's; "": none */
    bool plain;         /* pictures and captions without a template, as projectors are trained first */
} so_render_options;

/* Tells every stretch in order. Speech without an answer is its transcripts alone, which are learnt. SO_ERR_FORMAT when
 * nothing of the record would be learnt. */
so_status so_render(const so_record *record, const so_render_options *options, so_stretch_fn each, void *context,
                    so_error *error);

#endif
