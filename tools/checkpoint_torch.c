/* PyTorch's zip files, written: entries without compression, each storage on a multiple of 64 bytes.
 * Source: PKWARE APPNOTE 6.3; what torch.save writes.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "checkpoint.h"

typedef struct bytes {
    char *data;
    size_t size;
    FILE *out;
} bytes;

static void put(FILE *f, const void *data, size_t size) { fwrite(data, 1, size, f); }
static void put_u16(FILE *f, unsigned v) { put(f, (unsigned char[]){(unsigned char)v, (unsigned char)(v >> 8)}, 2); }
static void put_u32(FILE *f, uint32_t v)
{
    put_u16(f, v & 0xffff);
    put_u16(f, v >> 16);
}

/* ---- the pickle, protocol 2 */

static void pickle_text(FILE *f, const char *text)
{
    fputc('X', f);
    put_u32(f, (uint32_t)strlen(text));
    put(f, text, strlen(text));
}

static void pickle_int(FILE *f, int64_t n)
{
    fputc('J', f);
    put_u32(f, (uint32_t)n);
}

static void pickle_ints(FILE *f, const int64_t *n, int count)
{
    fputc('(', f);
    for (int i = 0; i < count; i++) pickle_int(f, n[i]);
    fputc('t', f);
}

static void pickle_tensor(FILE *f, int64_t key, int64_t elements, int n_dims, const int64_t *dim)
{
    char number[24];
    int64_t stride[SO_VIEW_DIMS] = {0}, step = 1;
    for (int i = n_dims - 1; i >= 0; step *= dim[i--]) stride[i] = step;
    snprintf(number, sizeof number, "%lld", (long long)key);
    fputs("ctorch._utils\n_rebuild_tensor_v2\n((", f);
    pickle_text(f, "storage");
    fputs("ctorch\nFloatStorage\n", f);
    pickle_text(f, number);
    pickle_text(f, "cpu");
    pickle_int(f, elements);
    fputs("tQ", f);
    pickle_int(f, 0);
    pickle_ints(f, dim, n_dims);
    pickle_ints(f, stride, n_dims);
    fputs("\x89"
          "ccollections\nOrderedDict\n)RtR",
          f);
}

/* ---- the archive */

typedef struct archive {
    FILE *file, *directory;
    bytes listed;
    unsigned entries;
} archive;

static void begin_entry(archive *a, const char *name, uint32_t size, int64_t *header)
{
    size_t length = strlen(name);
    *header = ftello(a->file);
    size_t data = (size_t)*header + 30 + length, padding = (64 - (data + 4) % 64) % 64;
    put_u32(a->file, 0x04034b50);
    put_u16(a->file, 0);
    put_u16(a->file, 0x800); /* names are UTF-8 */
    put_u16(a->file, 0);
    put_u32(a->file, 0x00210000); /* 1980-01-01 */
    put_u32(a->file, 0);          /* the checksum comes later */
    put_u32(a->file, size);
    put_u32(a->file, size);
    put_u16(a->file, (unsigned)length);
    put_u16(a->file, (unsigned)padding + 4);
    put(a->file, name, length);
    put_u16(a->file, 0x4246);
    put_u16(a->file, (unsigned)padding);
    for (size_t i = 0; i < padding; i++) fputc('Z', a->file);
}

static void end_entry(archive *a, const char *name, uint32_t size, uint32_t crc, int64_t header)
{
    int64_t end = ftello(a->file);
    fseeko(a->file, header + 14, SEEK_SET);
    put_u32(a->file, crc);
    fseeko(a->file, end, SEEK_SET);
    FILE *d = a->directory;
    put_u32(d, 0x02014b50);
    put_u32(d, 0);
    put_u16(d, 0x800);
    put_u16(d, 0);
    put_u32(d, 0x00210000);
    put_u32(d, crc);
    put_u32(d, size);
    put_u32(d, size);
    put_u16(d, (unsigned)strlen(name));
    for (int i = 0; i < 4; i++) put_u16(d, 0);
    put_u32(d, 0);
    put_u32(d, (uint32_t)header);
    put(d, name, strlen(name));
    a->entries++;
}

static void add_entry(archive *a, const char *name, const void *data, size_t size)
{
    int64_t header;
    begin_entry(a, name, (uint32_t)size, &header);
    put(a->file, data, size);
    end_entry(a, name, (uint32_t)size, so_crc32(0, data, size), header);
}

static int open_archive(archive *a, const char *path)
{
    *a = (archive){.file = fopen(path, "wb")};
    a->directory = open_memstream(&a->listed.data, &a->listed.size);
    return a->file && a->directory ? 0 : -1;
}

static int close_archive(archive *a)
{
    add_entry(a, "archive/version", "3\n", 2);
    fclose(a->directory);
    int64_t at = ftello(a->file);
    put(a->file, a->listed.data, a->listed.size);
    put_u32(a->file, 0x06054b50);
    put_u32(a->file, 0);
    put_u16(a->file, a->entries);
    put_u16(a->file, a->entries);
    put_u32(a->file, (uint32_t)a->listed.size);
    put_u32(a->file, (uint32_t)at);
    put_u16(a->file, 0);
    free(a->listed.data);
    return fclose(a->file);
}

int so_write_torch(const char *path, const made *m, const char *prefix)
{
    archive a;
    bytes pickle = {0};
    const so_views *views = &m->manifest->views;
    size_t length = strlen(prefix);
    if (open_archive(&a, path) != 0 || !(pickle.out = open_memstream(&pickle.data, &pickle.size))) return -1;
    fputs("\x80\x02"
          "}(",
          pickle.out);
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *v = &views->view[i];
        if (strncmp(v->name, prefix, length) != 0) continue;
        pickle_text(pickle.out, v->name + length);
        pickle_tensor(pickle.out, i, so_view_elements(v), v->n_dims, v->dim);
    }
    fputs("u.", pickle.out);
    fclose(pickle.out);
    add_entry(&a, "archive/data.pkl", pickle.data, pickle.size);
    free(pickle.data);
    for (int64_t i = 0; i < views->count; i++) {
        char name[64];
        uint32_t crc = 0;
        int64_t header;
        if (strncmp(views->view[i].name, prefix, length) != 0) continue;
        snprintf(name, sizeof name, "archive/data/%lld", (long long)i);
        begin_entry(&a, name, (uint32_t)views->view[i].bytes, &header);
        if (so_made_write(m, i, 0, a.file, &crc) != 0) return -1;
        end_entry(&a, name, (uint32_t)views->view[i].bytes, crc, header);
    }
    return close_archive(&a);
}

int so_write_voices(const char *path, const char *const *voice, int n, int64_t width, uint64_t seed)
{
    archive a;
    bytes pickle = {0};
    float *numbers = malloc((size_t)width * sizeof *numbers);
    so_rng rng;
    so_rng_init(&rng, seed, 77);
    if (!numbers || open_archive(&a, path) != 0 || !(pickle.out = open_memstream(&pickle.data, &pickle.size)))
        return -1;
    fputs("\x80\x02"
          "}(",
          pickle.out);
    for (int i = 0; i < n; i++) {
        pickle_text(pickle.out, voice[i]);
        fputs("}(", pickle.out);
        pickle_text(pickle.out, "embedding");
        pickle_tensor(pickle.out, i, width, 2, (int64_t[]){1, width});
        fputs("u", pickle.out);
    }
    fputs("u.", pickle.out);
    fclose(pickle.out);
    add_entry(&a, "archive/data.pkl", pickle.data, pickle.size);
    free(pickle.data);
    for (int i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, "archive/data/%d", i);
        for (int64_t k = 0; k < width; k++) numbers[k] = (float)so_rng_normal(&rng);
        add_entry(&a, name, numbers, (size_t)width * sizeof *numbers);
    }
    free(numbers);
    return close_archive(&a);
}
