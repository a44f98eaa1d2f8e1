/* The directory of a zip archive.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/zip.h"

#include <stdlib.h>
#include <string.h>

#include "base/guess.h"

enum { END_SIZE = 22, LOCATOR_SIZE = 20, END64_SIZE = 56, CENTRAL_SIZE = 46, LOCAL_SIZE = 30, COMMENT_MAX = 65535 };

static uint16_t u16(const unsigned char *p)
{
    uint16_t x;
    memcpy(&x, p, 2);
    return x;
}

static uint32_t u32(const unsigned char *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
    return x;
}

static uint64_t u64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

typedef struct directory {
    uint64_t entries, size, offset;
} directory;

/* The 64-bit end record stands before the 32-bit one, found through a locator. */
static so_status find_directory64(const so_zip *zip, size_t end, directory *d, so_error *error)
{
    if (end < LOCATOR_SIZE || u32(zip->data + end - LOCATOR_SIZE) != 0x07064b50)
        return so_fail(error, SO_ERR_FORMAT, "zip: no zip64 locator before byte %zu", end);
    uint64_t at = u64(zip->data + end - LOCATOR_SIZE + 8);
    if (at > end || end - at < END64_SIZE || u32(zip->data + at) != 0x06064b50)
        return so_fail(error, SO_ERR_FORMAT, "zip: no zip64 end record at byte %llu", (unsigned long long)at);
    *d = (directory){u64(zip->data + at + 32), u64(zip->data + at + 40), u64(zip->data + at + 48)};
    return SO_OK;
}

static so_status find_directory(const so_zip *zip, directory *d, so_error *error)
{
    size_t end = 0;
    int found = 0;
    for (size_t back = END_SIZE; !found && back <= zip->size && back <= END_SIZE + COMMENT_MAX; back++) {
        end = zip->size - back;
        found = u32(zip->data + end) == 0x06054b50 && u16(zip->data + end + 20) == back - END_SIZE;
    }
    if (!found && zip->size >= 4 && u32(zip->data) == 0x04034b50)
        return so_fail(error, SO_ERR_FORMAT,
                       "zip: no end record in %zu bytes: the file was cut (a download that was not finished?)",
                       zip->size);
    const char *what = found ? NULL : so_guess(zip->data, zip->size);
    if (what) return so_fail(error, SO_ERR_FORMAT, "%s, expected a zip archive, as PyTorch writes", what);
    if (!found) return so_fail(error, SO_ERR_FORMAT, "not a zip archive: no end record in %zu bytes", zip->size);
    const unsigned char *p = zip->data + end;
    *d = (directory){u16(p + 10), u32(p + 12), u32(p + 16)};
    if (d->entries == 0xffff || d->size == 0xffffffff || d->offset == 0xffffffff)
        SO_TRY(find_directory64(zip, end, d, error));
    if (d->offset > end || d->size > end - d->offset || d->entries > d->size / CENTRAL_SIZE)
        return so_fail(error, SO_ERR_FORMAT, "zip: a directory of %llu entries and %llu bytes at %llu in %zu bytes",
                       (unsigned long long)d->entries, (unsigned long long)d->size, (unsigned long long)d->offset,
                       zip->size);
    return SO_OK;
}

/* Replaces fields of 0xffffffff by those of the extra block 1, which lists them in this order. */
static so_status widen(so_zip_entry *entry, const unsigned char *extra, size_t size, so_error *error)
{
    uint64_t *field[] = {&entry->size, &entry->stored, &entry->offset};
    for (size_t at = 0; size - at >= 4;) {
        size_t id = u16(extra + at), bytes = u16(extra + at + 2);
        at += 4;
        if (bytes > size - at) break;
        for (size_t i = 0, from = at; id == 1 && i < 3; i++) {
            if (*field[i] != 0xffffffff) continue;
            if (at + bytes - from < 8) return so_fail(error, SO_ERR_FORMAT, "zip: a zip64 block is too short");
            *field[i] = u64(extra + from);
            from += 8;
        }
        at += bytes;
    }
    return SO_OK;
}

static so_status read_entry(so_zip *zip, const unsigned char *p, size_t left, size_t *used, so_error *error)
{
    if (left < CENTRAL_SIZE || u32(p) != 0x02014b50)
        return so_fail(error, SO_ERR_FORMAT, "zip: no directory entry at byte %zu", (size_t)(p - zip->data));
    size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    *used = CENTRAL_SIZE + name + extra + comment;
    if (*used > left) return so_fail(error, SO_ERR_FORMAT, "zip: a directory entry leaves the directory");
    so_span key = {(const char *)p + CENTRAL_SIZE, name};
    if (so_names_find(&zip->names, key) >= 0)
        return so_fail(error, SO_ERR_FORMAT, "zip: entry '%.*s' appears twice", SO_SPAN_ARGS(key));
    SO_TRY(so_grow(&zip->entry, zip->names.count, &zip->capacity, sizeof *zip->entry, error));
    so_zip_entry *entry = &zip->entry[zip->names.count];
    *entry = (so_zip_entry){u32(p + 42), u32(p + 20), u32(p + 24), u16(p + 8), u16(p + 10)};
    SO_TRY(widen(entry, p + CENTRAL_SIZE + name, extra, error));
    return so_names_add(&zip->names, key, error);
}

so_status so_zip_init(so_zip *zip, const void *data, size_t size, so_error *error)
{
    memset(zip, 0, sizeof *zip);
    zip->data = data;
    zip->size = size;
    directory d = {0};
    SO_TRY(find_directory(zip, &d, error));
    size_t at = (size_t)d.offset, end = at + (size_t)d.size, used = 0;
    for (uint64_t i = 0; i < d.entries; i++, at += used)
        SO_TRY(read_entry(zip, zip->data + at, end - at, &used, error));
    return SO_OK;
}

so_status so_zip_find(const so_zip *zip, so_span name, so_span *bytes, so_error *error)
{
    int64_t i = so_names_find(&zip->names, name);
    if (i < 0) return so_fail(error, SO_ERR_MISSING, "zip: no entry '%.*s'", SO_SPAN_ARGS(name));
    const so_zip_entry *entry = &zip->entry[i];
    if (entry->method != 0 || (entry->flags & 1) || entry->stored != entry->size)
        return so_fail(error, SO_ERR_UNSUPPORTED, "zip: entry '%.*s' is compressed or encrypted, expected stored",
                       SO_SPAN_ARGS(name));
    if (entry->offset > zip->size || zip->size - entry->offset < LOCAL_SIZE ||
        u32(zip->data + entry->offset) != 0x04034b50)
        return so_fail(error, SO_ERR_FORMAT, "zip: no entry at byte %llu for '%.*s'", (unsigned long long)entry->offset,
                       SO_SPAN_ARGS(name));
    const unsigned char *p = zip->data + entry->offset;
    uint64_t head = LOCAL_SIZE + (uint64_t)u16(p + 26) + u16(p + 28), left = zip->size - entry->offset;
    if (head > left || entry->size > left - head)
        return so_fail(error, SO_ERR_FORMAT, "zip: the %llu bytes of '%.*s' leave the file",
                       (unsigned long long)entry->size, SO_SPAN_ARGS(name));
    *bytes = (so_span){(const char *)p + head, (size_t)entry->size};
    return SO_OK;
}

void so_zip_clear(so_zip *zip)
{
    so_names_clear(&zip->names);
    free(zip->entry);
    memset(zip, 0, sizeof *zip);
}
