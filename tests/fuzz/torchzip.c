/* Fuzzes the reader of PyTorch's zip files. An input that is not an archive is taken as a pickle and wrapped in one, so
 * that the pickle machine is reached without a directory's offsets having to fit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/torchzip.h"

#include "touch.h"

static void append(unsigned char **to, const void *data, size_t size)
{
    memcpy(*to, data, size);
    *to += size;
}

static void append_number(unsigned char **to, uint64_t value, size_t size) { append(to, &value, size); }

/* Two stored entries: the input as a/data.pkl and 64 zero bytes as a/data/0. */
static unsigned char *wrap(const uint8_t *data, size_t size, size_t *wrapped)
{
    static const char *const names[2] = {"a/data.pkl", "a/data/0"};
    static const char zeros[64];
    size_t sizes[2] = {size, sizeof zeros}, at[2], lengths[2] = {10, 8};
    unsigned char *zip = malloc(size + 512), *to = zip;
    if (!zip) return NULL;
    for (int i = 0; i < 2; i++) {
        at[i] = (size_t)(to - zip);
        append(&to, "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18);
        append_number(&to, sizes[i], 4);
        append_number(&to, sizes[i], 4);
        append_number(&to, lengths[i], 4);
        append(&to, names[i], lengths[i]);
        append(&to, i ? (const void *)zeros : data, sizes[i]);
    }
    size_t directory = (size_t)(to - zip);
    for (int i = 0; i < 2; i++) {
        append(&to, "PK\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
        append_number(&to, sizes[i], 4);
        append_number(&to, sizes[i], 4);
        append_number(&to, lengths[i], 6);
        append_number(&to, 0, 8);
        append_number(&to, at[i], 4);
        append(&to, names[i], lengths[i]);
    }
    size_t end = (size_t)(to - zip);
    append(&to, "PK\5\6\0\0\0\0\2\0\2\0", 12);
    append_number(&to, end - directory, 4);
    append_number(&to, directory, 4);
    append_number(&to, 0, 2);
    *wrapped = (size_t)(to - zip);
    return zip;
}

static void open_and_touch(const void *data, size_t size)
{
    so_error error;
    so_torchzip *file;
    if (so_torchzip_open_memory(&file, data, size, &error) != SO_OK) return;
    touch_views(so_torchzip_views(file));
    for (int64_t i = 0; i < so_torchzip_scalars(file); i++) {
        const so_torchzip_scalar *scalar = so_torchzip_scalar_at(file, i);
        if (scalar->kind == SO_TORCHZIP_STRING) touch(scalar->s.data, scalar->s.length);
        if (!so_torchzip_find_scalar(file, scalar->name)) abort();
    }
    so_torchzip_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 2 && data[0] == 'P' && data[1] == 'K') {
        open_and_touch(data, size);
        return 0;
    }
    size_t wrapped = 0;
    unsigned char *zip = wrap(data, size, &wrapped);
    if (zip) open_and_touch(zip, wrapped);
    free(zip);
    return 0;
}
