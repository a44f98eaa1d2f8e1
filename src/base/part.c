/* Files that come into being over several runs.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/part.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SYNC_EVERY = 256 << 20 };

static const char *why(void)
{
    return errno == ENOSPC || errno == EDQUOT ? "the disk is full"
           : errno == EFBIG                   ? "the file is larger than the system allows"
                                              : strerror(errno);
}

/* The lock is on the file that the name means: one that was renamed while we waited is not it. */
static so_status lock(so_part *part, so_error *error)
{
    for (int tries = 0; tries < 100; tries++) {
        struct stat open_now, named;
        part->fd = open(part->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (part->fd < 0) return so_fail(error, SO_ERR_IO, "cannot write '%s': %s", part->part, why());
        if (flock(part->fd, LOCK_EX | LOCK_NB) != 0)
            return so_fail(error, SO_ERR_STATE, "'%s' is being written by another process", part->path);
        if (fstat(part->fd, &open_now) == 0 && stat(part->part, &named) == 0 && open_now.st_ino == named.st_ino &&
            open_now.st_dev == named.st_dev)
            return SO_OK;
        close(part->fd);
        part->fd = -1;
    }
    return so_fail(error, SO_ERR_STATE, "'%s' is being written by another process", part->path);
}

/* The last whole line "N" of a log that begins with the identity. */
static uint64_t logged(const so_part *part, const char *identity)
{
    char *text = NULL;
    size_t size, length = strlen(identity);
    uint64_t synced = 0;
    if (so_file_read(part->log_path, 1 << 20, &text, &size, NULL) != SO_OK) return 0;
    if (size > length && memcmp(text, identity, length) == 0 && text[length] == '\n')
        for (char *line = text + length + 1, *end; (end = strchr(line, '\n')); line = end + 1)
            synced = strtoull(line, NULL, 10);
    free(text);
    return synced;
}

static so_status start_log(so_part *part, const char *identity, so_error *error)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRIu64 "\n", part->size);
    part->log = open(part->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (part->log < 0 || write(part->log, identity, strlen(identity)) != (ssize_t)strlen(identity) ||
        write(part->log, "\n", 1) != 1 || write(part->log, text, (size_t)n) != n)
        return so_fail(error, SO_ERR_IO, "cannot write '%s': %s", part->log_path, why());
    return SO_OK;
}

static so_status open_part(so_part *part, const char *identity, so_error *error)
{
    struct stat st;
    SO_TRY(lock(part, error));
    if (fstat(part->fd, &st) != 0) return so_fail(error, SO_ERR_IO, "cannot look at '%s': %s", part->part, why());
    part->size = logged(part, identity);
    if (part->size > (uint64_t)st.st_size) part->size = 0;
    if (ftruncate(part->fd, (off_t)part->size) != 0 || lseek(part->fd, 0, SEEK_END) < 0)
        return so_fail(error, SO_ERR_IO, "cannot cut '%s': %s", part->part, why());
    part->synced = part->size;
    return start_log(part, identity, error);
}

so_status so_part_open(so_part *part, const char *path, const char *identity, so_error *error)
{
    *part = (so_part){.fd = -1, .log = -1};
    SO_TRY(so_output_find(path, &part->path, &part->fd, error));
    part->through = part->fd >= 0;
    if (asprintf(&part->part, "%s%s", part->path, part->through ? "" : ".part") < 0) part->part = NULL;
    if (!part->part || asprintf(&part->log_path, "%s.part.log", part->path) < 0) part->log_path = NULL;
    if (part->through && part->log_path) return SO_OK;
    so_status status = part->log_path ? open_part(part, identity, error)
                                      : so_fail(error, SO_ERR_NOMEM, "no memory to write '%s'", path);
    if (status != SO_OK) so_part_close(part);
    return status;
}

so_status so_part_sync(so_part *part, so_error *error)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRIu64 "\n", part->size);
    if (part->through) return SO_OK;
    if (fdatasync(part->fd) != 0) return so_fail(error, SO_ERR_IO, "cannot write '%s': %s", part->part, why());
    part->synced = part->size;
    /* What is on the disk need not stay in memory too. */
    (void)posix_fadvise(part->fd, 0, (off_t)part->synced, POSIX_FADV_DONTNEED);
    if (write(part->log, text, (size_t)n) != n)
        return so_fail(error, SO_ERR_IO, "cannot write '%s': %s", part->log_path, why());
    return SO_OK;
}

so_status so_part_put(so_part *part, const void *data, size_t size, so_error *error)
{
    const char *p = data;
    while (size) {
        ssize_t n = write(part->fd, p, size < 1 << 30 ? size : 1 << 30);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return so_fail(error, SO_ERR_IO, "cannot write '%s' after %" PRIu64 " bytes: %s%s", part->part, part->size,
                           why(),
                           part->through ? "" : "; what is written stays, and the same command goes on from there");
        p += n;
        size -= (size_t)n;
        part->size += (uint64_t)n;
    }
    return part->size - part->synced >= SYNC_EVERY ? so_part_sync(part, error) : SO_OK;
}

so_status so_part_cut(so_part *part, uint64_t size, so_error *error)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRIu64 "\n", size);
    if (part->through && size == part->size) return SO_OK;
    if (part->through || size > part->size || ftruncate(part->fd, (off_t)size) != 0 ||
        lseek(part->fd, 0, SEEK_END) < 0 || write(part->log, text, (size_t)n) != n)
        return so_fail(error, SO_ERR_IO, "cannot cut '%s': %s", part->part, why());
    part->size = size;
    if (part->synced > size) part->synced = size;
    return SO_OK;
}

so_status so_part_room(const so_part *part, uint64_t bytes, so_error *error)
{
    struct statvfs disk;
    if (part->through) return SO_OK;
    if (fstatvfs(part->fd, &disk) != 0) return SO_OK; /* not told: find out by writing */
    uint64_t left = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (bytes <= left) return SO_OK;
    return so_fail(error, SO_ERR_IO, "'%s' wants %.2f GB more and the disk has %.2f GB left", part->path,
                   (double)bytes / 1e9, (double)left / 1e9);
}

static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

so_status so_part_commit(so_part *part, so_error *error)
{
    so_status status = SO_OK;
    struct stat old;
    if (part->through) return so_part_close(part), SO_OK;
    if (stat(part->path, &old) == 0) (void)fchmod(part->fd, old.st_mode & 07777);
    if (fsync(part->fd) != 0 || rename(part->part, part->path) != 0)
        status = so_fail(error, SO_ERR_IO, "cannot finish '%s': %s", part->path, why());
    if (status == SO_OK) {
        sync_folder(part->path);
        unlink(part->log_path);
        part->synced = part->size;
    }
    so_part_close(part);
    return status;
}

void so_part_close(so_part *part)
{
    if (!part->path) return;
    if (part->log >= 0) {
        if (part->fd >= 0 && part->size > part->synced) (void)so_part_sync(part, NULL);
        close(part->log);
    }
    if (part->fd >= 0) close(part->fd);
    free(part->path);
    free(part->part);
    free(part->log_path);
    *part = (so_part){.fd = -1, .log = -1};
}

void so_part_drop(so_part *part)
{
    if (part->path && part->fd >= 0 && !part->through) {
        unlink(part->part);
        unlink(part->log_path);
        part->synced = part->size;
    }
    so_part_close(part);
}
