/* Reading a folder of records by number.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/dataset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha.h"
#include "dataset/sink.h"

typedef struct folder {
    char *path, *real; /* as it was given; from the root, where records' paths begin */
    so_map records, index;
} folder;

static so_status read_line(const so_dataset *d, int64_t i, so_record *out, so_error *error)
{
    const folder *f = d->own;
    const so_lengths *l = &d->lengths[i];
    so_status status =
        so_record_parse(out, (const char *)f->records.data + l->offset, (size_t)l->bytes, f->real, error);
    return status == SO_OK ? SO_OK : so_fail_in(error, "'%s', record %lld", f->path, (long long)i);
}

static so_status verify_folder(const so_dataset *d, so_error *error)
{
    const folder *f = d->own;
    so_sha sha;
    char hex[65];
    so_sha_init(&sha, SO_SHA256);
    so_sha_feed(&sha, f->records.data, f->records.size);
    so_sha_end(&sha, hex);
    if (strcmp(hex, d->identity) == 0) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "'%s/records.jsonl' was changed: its hash is %.12s..., expected %.12s...",
                   f->path, hex, d->identity);
}

static void close_folder(so_dataset *d)
{
    folder *f = d->own;
    if (f) {
        so_map_close(&f->records);
        so_map_close(&f->index);
        free(f->path);
        free(f->real);
    }
    free(f);
    free(d);
}

/* Whether every entry lies inside the records, each behind the one before. */
static so_status check_index(const so_dataset *d, const folder *f, so_error *error)
{
    uint64_t end = 0;
    for (int64_t i = 0; i < d->count; i++) {
        const so_lengths *l = &d->lengths[i];
        if (l->offset != end || l->bytes < 2 || l->bytes > f->records.size - l->offset)
            return so_fail(error, SO_ERR_FORMAT, "record %lld lies outside records.jsonl (%zu bytes)", (long long)i,
                           f->records.size);
        end = l->offset + l->bytes;
    }
    if (end == f->records.size) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "records.jsonl has %zu bytes, the index says %llu: index it again",
                   f->records.size, (unsigned long long)end);
}

static so_status open_maps(so_dataset *d, folder *f, so_error *error)
{
    char name[4096];
    if (!(f->real = realpath(f->path, NULL))) return so_fail(error, SO_ERR_IO, "%s", strerror(errno));
    snprintf(name, sizeof name, "%s/records.idx", f->path);
    SO_TRY(so_map_open(&f->index, name, error));
    snprintf(name, sizeof name, "%s/records.jsonl", f->path);
    SO_TRY(so_map_open(&f->records, name, error));
    const so_index_head *head = (const void *)f->index.data;
    if (f->index.size < sizeof *head || memcmp(head->magic, SO_INDEX_MAGIC, sizeof head->magic) != 0)
        return so_fail(error, SO_ERR_FORMAT, "records.idx is no index, or of another version");
    if ((f->index.size - sizeof *head) / sizeof(so_lengths) != head->count ||
        (f->index.size - sizeof *head) % sizeof(so_lengths) != 0)
        return so_fail(error, SO_ERR_FORMAT, "records.idx has %zu bytes, which are not %llu records", f->index.size,
                       (unsigned long long)head->count);
    d->count = (int64_t)head->count;
    d->lengths = (const void *)(f->index.data + sizeof *head);
    snprintf(d->identity, sizeof d->identity, "%.64s", head->hash);
    return check_index(d, f, error);
}

so_status so_dataset_open(so_dataset **out, const char *path, so_error *error)
{
    *out = NULL;
    so_dataset *d = calloc(1, sizeof *d);
    folder *f = calloc(1, sizeof *f);
    if (!d || !f || !(f->path = strdup(path))) {
        free(d);
        free(f);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a dataset");
    }
    d->own = f;
    d->read = read_line;
    d->verify = verify_folder;
    d->close = close_folder;
    so_status status = open_maps(d, f, error);
    if (status == SO_OK) {
        *out = d;
        return SO_OK;
    }
    so_fail_in(error, "'%s'", path);
    close_folder(d);
    return status;
}

void so_dataset_close(so_dataset **dataset)
{
    if (!dataset || !*dataset) return;
    (*dataset)->close(*dataset);
    *dataset = NULL;
}

so_status so_dataset_read(const so_dataset *d, int64_t i, so_record *out, so_error *error)
{
    *out = (so_record){0};
    if (i < 0 || i >= d->count)
        return so_fail(error, SO_ERR_ARG, "record %lld of %lld", (long long)i, (long long)d->count);
    return d->read(d, i, out, error);
}

so_status so_dataset_verify(const so_dataset *d, so_error *error) { return d->verify ? d->verify(d, error) : SO_OK; }
