/* Checkpoints: named blocks of bytes in one file.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

static const char MAGIC[8] = {'S', 'O', 'T', 'R', 'A', 'I', 'N', '1'};
enum { NAME_MAX_BYTES = 1000 };

/* Eight bytes a step; the tail byte by byte. Blocks are summed one by one, so that pieces cannot swap unnoticed. */
static uint64_t mix(uint64_t sum, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    uint64_t word;
    for (; bytes >= 8; bytes -= 8, p += 8) {
        memcpy(&word, p, 8);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 29;
    }
    for (; bytes; bytes--) sum = (sum ^ *p++) * 0x100000001b3u;
    return sum;
}

static so_status put(so_saver *saver, const void *data, size_t bytes, so_error *error)
{
    saver->sum = mix(saver->sum, data, bytes);
    return so_writer_put(&saver->writer, data, bytes, error);
}

so_status so_saver_open(so_saver *saver, const char *path, so_error *error)
{
    memset(saver, 0, sizeof *saver);
    SO_TRY(so_writer_open(&saver->writer, path, error));
    return put(saver, MAGIC, sizeof MAGIC, error);
}

so_status so_saver_put(so_saver *saver, const char *name, const void *data, size_t bytes, so_error *error)
{
    uint32_t length = (uint32_t)strlen(name);
    uint64_t size = bytes;
    if (length == 0 || length > NAME_MAX_BYTES)
        return so_fail(error, SO_ERR_LIMIT, "a checkpoint block's name has %u bytes, expected 1 to %d", length,
                       NAME_MAX_BYTES);
    SO_TRY(put(saver, &length, sizeof length, error));
    SO_TRY(put(saver, name, length, error));
    SO_TRY(put(saver, &size, sizeof size, error));
    return put(saver, data, bytes, error);
}

so_status so_saver_commit(so_saver *saver, so_error *error)
{
    uint32_t end = 0;
    SO_TRY(put(saver, &end, sizeof end, error));
    SO_TRY(so_writer_put(&saver->writer, &saver->sum, sizeof saver->sum, error));
    return so_writer_commit(&saver->writer, error);
}

void so_saver_drop(so_saver *saver) { so_writer_drop(&saver->writer); }

typedef struct cursor {
    const unsigned char *data;
    size_t at, size;
    uint64_t sum;
} cursor;

static const void *next(cursor *c, size_t bytes)
{
    if (bytes > c->size - c->at) return NULL;
    const void *p = c->data + c->at;
    c->sum = mix(c->sum, p, bytes);
    c->at += bytes;
    return p;
}

/* Reads one block; *end at the closing entry. False when the bytes run out or a length is absurd. */
static bool next_block(cursor *c, so_block *block, bool *end)
{
    uint32_t length;
    uint64_t bytes;
    const void *p = next(c, sizeof length);
    if (!p) return false;
    memcpy(&length, p, sizeof length);
    *end = length == 0;
    if (*end) return true;
    if (length > NAME_MAX_BYTES || !(block->name = next(c, length))) return false;
    block->name_length = length;
    if (!(p = next(c, sizeof bytes))) return false;
    memcpy(&bytes, p, sizeof bytes);
    block->bytes = (size_t)bytes;
    return bytes <= c->size && (block->data = next(c, (size_t)bytes));
}

static so_status add_block(so_loader *loader, const so_block *block, so_error *error)
{
    SO_TRY(so_grow(&loader->block, loader->count, &loader->capacity, sizeof *loader->block, error));
    loader->block[loader->count++] = *block;
    return SO_OK;
}

static so_status read_all(so_loader *loader, const char *path, so_error *error)
{
    cursor c = {loader->map.data, 0, loader->map.size, 0};
    const void *magic = next(&c, sizeof MAGIC);
    if (!magic || memcmp(magic, MAGIC, sizeof MAGIC) != 0)
        return so_fail(error, SO_ERR_FORMAT, "'%s' does not begin as a training checkpoint (SOTRAIN1)", path);
    for (;;) {
        so_block block;
        bool end;
        size_t at = c.at;
        if (!next_block(&c, &block, &end))
            return so_fail(error, SO_ERR_FORMAT, "'%s' is cut or damaged: no whole block at byte %zu of %zu", path, at,
                           c.size);
        if (end) break;
        SO_TRY(add_block(loader, &block, error));
    }
    uint64_t sum;
    if (c.size - c.at != sizeof sum)
        return so_fail(error, SO_ERR_FORMAT, "'%s' has %zu bytes after its last block, expected 8", path,
                       c.size - c.at);
    memcpy(&sum, c.data + c.at, sizeof sum);
    if (sum != c.sum)
        return so_fail(error, SO_ERR_FORMAT, "'%s' is damaged: checksum %016llx, expected %016llx", path,
                       (unsigned long long)c.sum, (unsigned long long)sum);
    return SO_OK;
}

so_status so_loader_open(so_loader *loader, const char *path, so_error *error)
{
    memset(loader, 0, sizeof *loader);
    SO_TRY(so_map_open(&loader->map, path, error));
    so_status status = read_all(loader, path, error);
    if (status != SO_OK) so_loader_close(loader);
    return status;
}

void so_loader_close(so_loader *loader)
{
    so_map_close(&loader->map);
    free(loader->block);
    memset(loader, 0, sizeof *loader);
}

const so_block *so_loader_find(const so_loader *loader, const char *name)
{
    size_t length = strlen(name);
    for (int64_t i = 0; i < loader->count; i++)
        if (loader->block[i].name_length == length && memcmp(loader->block[i].name, name, length) == 0)
            return &loader->block[i];
    return NULL;
}

so_status so_loader_take(const so_loader *loader, const char *name, void *data, size_t bytes, so_error *error)
{
    const so_block *block = so_loader_find(loader, name);
    if (!block) return so_fail(error, SO_ERR_MISSING, "the checkpoint has no '%s'", name);
    if (block->bytes != bytes)
        return so_fail(error, SO_ERR_FORMAT, "the checkpoint's '%s' has %zu bytes, expected %zu", name, block->bytes,
                       bytes);
    if (bytes) memcpy(data, block->data, bytes);
    return SO_OK;
}
