/* Files and folders for a while.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/temporary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/writer.h"

static const char beginning[] = "stream-omni-tmp-";

static const char *place(int large)
{
    const char *chosen = getenv("TMPDIR");
    if (!large) return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    return chosen && chosen[0] ? chosen : "/tmp";
}

/* The files of a folder, no folder in it. */
static void empty(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

static void remove_path(const char *path, bool folder)
{
    if (folder) empty(path);
    (void)(folder ? rmdir(path) : unlink(path));
}

static void sweep(const char *in)
{
    char path[PATH_MAX];
    DIR *dir = opendir(in);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        if (strncmp(entry->d_name, beginning, sizeof beginning - 1) != 0) continue;
        if (snprintf(path, sizeof path, "%s/%s", in, entry->d_name) >= (int)sizeof path) continue;
        int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) continue;
        bool ours = fstat(fd, &st) == 0 && st.st_uid == geteuid() && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
        if (ours && flock(fd, LOCK_EX | LOCK_NB) == 0) remove_path(path, S_ISDIR(st.st_mode));
        close(fd);
    }
    closedir(dir);
}

static void sweep_once(const char *in)
{
    static atomic_int memory_done, disk_done;
    if (atomic_exchange(strcmp(in, "/dev/shm") == 0 ? &memory_done : &disk_done, 1) == 0) sweep(in);
}

/* One that has the lock before another process' sweep could take it. */
static bool make(so_temporary *out, bool folder, const char *ending)
{
    struct stat here, there;
    int fd = folder ? (mkdtemp(out->path) ? open(out->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1)
                    : mkostemps(out->path, (int)strlen(ending), O_CLOEXEC);
    out->fd = fd;
    return fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) && fstat(fd, &here) == 0 &&
           lstat(out->path, &there) == 0 && here.st_ino == there.st_ino;
}

static so_status create(so_temporary *out, bool folder, const char *ending, int large, so_error *error)
{
    const char *in = place(large);
    *out = (so_temporary){.fd = -1};
    sweep_once(in);
    for (int tries = 0; tries < 16; tries++) {
        int n = snprintf(out->path, sizeof out->path, "%s/%sXXXXXX%s", in, beginning, ending);
        if (n >= (int)sizeof out->path) break;
        so_mask before;
        so_writer_creates(&before);
        bool made = make(out, folder, ending);
        if (made) so_writer_remember(out->path);
        so_writer_created(&before);
        if (made) return SO_OK;
        if (out->fd < 0) break;
        close(out->fd);
    }
    *out = (so_temporary){.fd = -1};
    return so_fail(error, SO_ERR_IO, "cannot make a temporary %s in %s: %s", folder ? "folder" : "file", in,
                   strerror(errno));
}

so_status so_temporary_file(so_temporary *out, const char *ending, so_error *error)
{
    return create(out, false, ending, 0, error);
}

so_status so_temporary_folder(so_temporary *out, int large, so_error *error)
{
    return create(out, true, "", large, error);
}

void so_temporary_remove(so_temporary *temporary)
{
    struct stat st;
    if (!temporary->path[0]) return;
    remove_path(temporary->path, fstat(temporary->fd, &st) == 0 && S_ISDIR(st.st_mode));
    so_writer_forget(temporary->path);
    close(temporary->fd);
    *temporary = (so_temporary){.fd = -1};
}
