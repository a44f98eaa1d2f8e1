/* Files: read-only maps, and writing that is either whole or absent.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/file.h"
#include "base/input.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static so_status open_regular(const char *path, int *fd, size_t *size, so_error *error)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO would wait for a writer */
    if (*fd < 0) return so_fail(error, SO_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    struct stat st;
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(*fd);
        return so_fail(error, SO_ERR_IO, "'%s' is %s", path,
                       S_ISDIR(st.st_mode) ? "a folder, not a file" : "not a regular file");
    }
    *size = (size_t)st.st_size;
    return SO_OK;
}

so_status so_map_open(so_map *map, const char *path, so_error *error)
{
    int fd;
    memset(map, 0, sizeof *map);
    SO_TRY(open_regular(path, &fd, &map->size, error));
    map->data = (const unsigned char *)""; /* an empty file is a text too: its end can be reckoned */
    if (map->size) {
        void *data = mmap(NULL, map->size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            close(fd);
            *map = (so_map){0};
            return so_fail(error, SO_ERR_IO, "cannot map '%s': %s", path, strerror(errno));
        }
        map->data = data;
#ifdef MADV_HUGEPAGE
        const size_t large = (size_t)64 << 20; /* 2 MiB read at once, and held in one page where the file system can */
        if (map->size >= large) madvise(data, map->size, MADV_HUGEPAGE);
#endif
    }
    close(fd);
    return SO_OK;
}

void so_map_close(so_map *map)
{
    if (map->size) munmap(so_mutable(map->data), map->size);
    memset(map, 0, sizeof *map);
}

void so_prefault(const void *data, size_t size)
{
    enum { PAGE = 4096 };
    uintptr_t from = (uintptr_t)data / PAGE * PAGE, to = (uintptr_t)data + size;
    if (!data || !size) return;
#ifdef MADV_POPULATE_READ
    if (madvise((void *)from, to - from, MADV_POPULATE_READ) == 0) return;
#endif
    madvise((void *)from, to - from, MADV_WILLNEED);
    unsigned sum = 0;
    for (const volatile unsigned char *p = data; (uintptr_t)p < to; p += PAGE) sum += *p;
    (void)sum;
}

void so_map_forget(const void *data, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)data + size) / page * page;
    if (end > begin) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static so_status read_all(int fd, char *data, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = read(fd, data + got, size - got);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return SO_ERR_IO;
        got += (size_t)n;
    }
    return SO_OK;
}

/* A FIFO or device: process substitution stands in for files too. */
static so_status read_stream(const char *path, size_t limit, char **data, size_t *size, so_error *error)
{
    so_input input;
    so_input_options options = {.limit = limit ? limit : 1};
    SO_TRY(so_input_open(&input, path, &options, error));
    *data = malloc(input.size + 1);
    so_status status =
        *data ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for the %zu bytes of '%s'", input.size, path);
    if (status == SO_OK) {
        if (input.size) memcpy(*data, input.data, input.size);
        (*data)[input.size] = 0;
        *size = input.size;
    }
    so_input_close(&input);
    return status;
}

so_status so_file_read(const char *path, size_t limit, char **data, size_t *size, so_error *error)
{
    int fd;
    struct stat st;
    *data = NULL;
    *size = 0;
    size_t bytes;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return read_stream(path, limit, data, size, error);
    SO_TRY(open_regular(path, &fd, &bytes, error));
    so_status status = SO_OK;
    if (bytes > limit) {
        status = so_fail(error, SO_ERR_LIMIT, "'%s' has %zu bytes, expected at most %zu", path, bytes, limit);
    } else if (!(*data = malloc(bytes + 1))) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for the %zu bytes of '%s'", bytes, path);
    } else if (read_all(fd, *data, bytes) != SO_OK) {
        status = so_fail(error, SO_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
        free(*data);
        *data = NULL;
    } else {
        (*data)[bytes] = 0;
        *size = bytes;
    }
    close(fd);
    return status;
}

so_status so_file_write(const char *path, const void *data, size_t size, so_error *error)
{
    so_writer writer;
    SO_TRY(so_writer_open(&writer, path, error));
    so_status status = so_writer_put(&writer, data, size, error);
    if (status == SO_OK) return so_writer_commit(&writer, error);
    so_writer_drop(&writer);
    return status;
}

so_status so_make_folder(const char *path, so_error *error)
{
    char *copy = strdup(path);
    if (!copy) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    so_status status = SO_OK;
    for (char *p = copy + 1;; p++) {
        if (*p && *p != '/') continue;
        char end = *p;
        *p = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            status = so_fail(error, SO_ERR_IO, "cannot make the folder '%s': %s", copy, strerror(errno));
            break;
        }
        *p = end;
        if (!end) break;
    }
    struct stat st;
    if (status == SO_OK && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        status = so_fail(error, SO_ERR_IO, "'%s' is not a folder", path);
    free(copy);
    return status;
}
