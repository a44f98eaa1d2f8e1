/* Entries of a tar file, and headers of one.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/readers/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An octal field, ended by a blank, a zero or its own end. */
static bool octal(const unsigned char *field, size_t n, uint64_t *out)
{
    size_t i = 0;
    uint64_t value = 0;
    while (i < n && field[i] == ' ') i++;
    size_t from = i;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) value = value * 8 + (uint64_t)(field[i] - '0');
    for (size_t k = i; k < n; k++)
        if (field[k] != ' ' && field[k] != 0) return false;
    *out = value;
    return i > from;
}

static bool is_zero(const unsigned char *block)
{
    for (int i = 0; i < 512; i++)
        if (block[i]) return false;
    return true;
}

static uint64_t checksum(const unsigned char *block)
{
    uint64_t sum = 0;
    for (int i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? ' ' : block[i];
    return sum;
}

/* Records "LENGTH key=value\n" of a pax header: path and size are taken. */
static so_status pax(const unsigned char *data, size_t size, char *name, uint64_t *length, bool *sized, so_error *error)
{
    for (size_t at = 0; at < size;) {
        size_t n = 0, k = at;
        for (; k < size && data[k] >= '0' && data[k] <= '9' && n < size; k++) n = n * 10 + (size_t)(data[k] - '0');
        if (k == at || k == size || data[k] != ' ' || n > size - at || at + n <= k + 1 || data[at + n - 1] != '\n')
            return so_fail(error, SO_ERR_FORMAT, "a pax header that is none");
        const char *key = (const char *)data + k + 1;
        size_t rest = at + n - 1 - (k + 1);
        if (rest > 5 && memcmp(key, "path=", 5) == 0) {
            if (rest - 5 >= SO_TAR_NAME) return so_fail(error, SO_ERR_LIMIT, "a name of %zu bytes", rest - 5);
            memcpy(name, key + 5, rest - 5);
            name[rest - 5] = 0;
        } else if (rest > 5 && rest < 25 && memcmp(key, "size=", 5) == 0) {
            *length = 0;
            for (size_t i = 5; i < rest; i++) {
                if (key[i] < '0' || key[i] > '9' || *length > UINT64_MAX / 16)
                    return so_fail(error, SO_ERR_FORMAT, "a size in a pax header that is no number");
                *length = *length * 10 + (uint64_t)(key[i] - '0');
            }
            *sized = true;
        } else if (rest > 11 && memcmp(key, "GNU.sparse.", 11) == 0)
            return so_fail(error, SO_ERR_UNSUPPORTED, "a sparse file");
        at += n;
    }
    return SO_OK;
}

/* The name of a header: its prefix, a slash, its own. */
static void plain_name(const unsigned char *block, char *name)
{
    size_t n = strnlen((const char *)block + 345, 155), m = strnlen((const char *)block, 100), at = 0;
    if (memcmp(block + 257, "ustar\0", 6) == 0 && n) {
        memcpy(name, block + 345, n);
        name[n] = '/';
        at = n + 1;
    }
    memcpy(name + at, block, m);
    name[at + m] = 0;
}

static so_status header(so_tar *t, const unsigned char **block, uint64_t *size, so_error *error)
{
    uint64_t sum;
    if (t->size - t->at < 512)
        return so_fail(error, SO_ERR_LIMIT, "cut off: %zu bytes are left, a header has 512", t->size - t->at);
    *block = t->data + t->at;
    if (is_zero(*block)) {
        t->ended = true;
        return SO_OK;
    }
    if (!octal(*block + 148, 8, &sum) || sum != checksum(*block))
        return so_fail(error, SO_ERR_FORMAT, "byte %zu: no header of a tar file", t->at);
    if ((*block)[124] & 0x80) return so_fail(error, SO_ERR_UNSUPPORTED, "byte %zu: a size in base 256", t->at);
    if (!octal(*block + 124, 12, size)) return so_fail(error, SO_ERR_FORMAT, "byte %zu: a size that is none", t->at);
    t->at += 512;
    return SO_OK;
}

/* Steps over an entry's bytes. */
static so_status pass(so_tar *t, uint64_t size, so_error *error)
{
    if (size > t->size - t->at)
        return so_fail(error, SO_ERR_LIMIT, "cut off: %zu bytes are left of a file of %llu", t->size - t->at,
                       (unsigned long long)size);
    t->at += (size_t)size;
    size_t padding = so_tar_padding(size);
    t->at += padding < t->size - t->at ? padding : t->size - t->at;
    return SO_OK;
}

/* Headers that say something of the next entry: pax (x, g) and GNU's long name (L). */
static so_status special(so_tar *t, unsigned char type, uint64_t size, so_tar_entry *e, bool *sized, so_error *error)
{
    const unsigned char *data = t->data + t->at;
    SO_TRY(pass(t, size, error));
    if (type == 'x') return pax(data, (size_t)size, e->name, &e->size, sized, error);
    if (type != 'L') return SO_OK;
    size_t n = strnlen((const char *)data, (size_t)size);
    if (n == 0 || n >= SO_TAR_NAME) return so_fail(error, SO_ERR_LIMIT, "a name of %zu bytes", n);
    memcpy(e->name, data, n);
    e->name[n] = 0;
    return SO_OK;
}

static so_status next(so_tar *t, so_tar_entry *e, so_error *error)
{
    const unsigned char *block = NULL;
    bool sized = false;
    uint64_t size = 0;
    *e = (so_tar_entry){0};
    for (;;) {
        SO_TRY(header(t, &block, &size, error));
        if (t->ended) return SO_OK;
        unsigned char type = block[156];
        if (type == 'S') return so_fail(error, SO_ERR_UNSUPPORTED, "a sparse file");
        if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
            SO_TRY(special(t, type, size, e, &sized, error));
            continue;
        }
        if (!e->name[0]) plain_name(block, e->name);
        if (!sized) e->size = size;
        e->file = type == 0 || type == '0' || type == '7';
        e->offset = t->at;
        /* Links and folders have no bytes, whatever their header says. */
        if (!e->file) e->size = 0;
        return pass(t, e->size, error);
    }
}

bool so_tar_next(so_tar *t, so_tar_entry *entry, so_status *status, so_error *error)
{
    *status = SO_OK;
    if (t->ended) return false;
    *status = next(t, entry, error);
    if (*status != SO_OK) t->ended = true;
    return !t->ended;
}

so_status so_tar_header(unsigned char h[512], const char *name, uint64_t size, so_error *error)
{
    size_t n = strlen(name), cut = 0;
    memset(h, 0, 512);
    if (n > 100) {
        for (size_t i = n - 101; i < n && i <= 155; i++)
            if (name[i] == '/') {
                cut = i;
                break;
            }
        if (cut == 0 || n - cut - 1 > 100) return so_fail(error, SO_ERR_LIMIT, "'%s' is too long for a tar file", name);
        memcpy(h + 345, name, cut);
        memcpy(h, name + cut + 1, n - cut - 1);
    } else
        memcpy(h, name, n);
    if (size >= (uint64_t)1 << 33) return so_fail(error, SO_ERR_LIMIT, "'%s' has 8 GiB or more", name);
    memcpy(h + 100, "0000644", 8);
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    char digits[24];
    snprintf(digits, sizeof digits, "%011llo", (unsigned long long)size);
    memcpy(h + 124, digits, 12);
    memcpy(h + 136, "00000000000", 12);
    h[156] = '0';
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    snprintf(digits, sizeof digits, "%06llo", (unsigned long long)checksum(h));
    memcpy(h + 148, digits, 7);
    h[155] = ' ';
    return SO_OK;
}
