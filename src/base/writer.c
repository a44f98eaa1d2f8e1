/* Writing a file: a regular one appears whole or not at all, anything else is written through.
 *
 * The temporary is locked while it is written, so that the next writer of the same name can tell one that is in use
 * from one that a killed process left behind.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MOST_LINKS = 40, READER_MS = 10000, STEP_MS = 20, NAME_MOST = 200, CREATION_MS = 100, CREATION_STEP_MS = 2 };

/* ---- temporaries that are open, for a handler to remove */

enum { SLOTS = 64 };

static struct {
    atomic_int state; /* 0 free, 1 being filled, 2 in use */
    pid_t owner;      /* a forked child does not remove its parent's */
    char name[PATH_MAX];
} open_now[SLOTS];

void so_writer_remember(const char *name)
{
    for (int i = 0; i < SLOTS && strlen(name) < PATH_MAX; i++) {
        int empty = 0;
        if (!atomic_compare_exchange_strong(&open_now[i].state, &empty, 1)) continue;
        strcpy(open_now[i].name, name);
        open_now[i].owner = getpid();
        atomic_store(&open_now[i].state, 2);
        return;
    }
}

void so_writer_forget(const char *name)
{
    for (int i = 0; i < SLOTS; i++)
        if (atomic_load(&open_now[i].state) == 2 && strcmp(open_now[i].name, name) == 0) {
            atomic_store(&open_now[i].state, 0);
            return;
        }
}

/* Between its creation and its being remembered no handler would find a temporary: none runs in the thread that creates
 * one, and one in another thread waits for it. */
static atomic_int creating;
_Static_assert(sizeof(sigset_t) <= sizeof(so_mask), "room for a mask");

void so_writer_creates(so_mask *before)
{
    static const int own_fault[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t from_outside, mask;
    sigfillset(&from_outside);
    for (size_t i = 0; i < sizeof own_fault / sizeof *own_fault; i++) sigdelset(&from_outside, own_fault[i]);
    pthread_sigmask(SIG_BLOCK, &from_outside, &mask);
    memcpy(before, &mask, sizeof mask);
    atomic_fetch_add(&creating, 1);
}

void so_writer_created(const so_mask *before)
{
    atomic_fetch_sub(&creating, 1);
    sigset_t mask;
    memcpy(&mask, before, sizeof mask);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void so_writer_abandon(void)
{
    struct timespec pause = {0, CREATION_STEP_MS * 1000000};
    for (int waited = 0; atomic_load(&creating) && waited < CREATION_MS; waited += CREATION_STEP_MS)
        nanosleep(&pause, NULL);
    for (int i = SLOTS - 1; i >= 0; i--) /* what stands in a folder was remembered after it */
        if (atomic_load(&open_now[i].state) == 2 && open_now[i].owner == getpid() && unlink(open_now[i].name) != 0)
            rmdir(open_now[i].name);
}

/* ---- what a path leads to */

int so_descriptor_of(const char *path)
{
    static const char *const named[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    static const char *const folder[] = {"/dev/fd/", "/proc/self/fd/"};
    for (int i = 0; i < 3; i++)
        if (strcmp(path, named[i]) == 0) return i;
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(folder[i]);
        if (strncmp(path, folder[i], n) != 0 || path[n] < '0' || path[n] > '9') continue;
        char *end;
        long number = strtol(path + n, &end, 10);
        if (*end == 0 && number <= INT_MAX) return (int)number;
    }
    return -1;
}

/* One link of a path, or NULL when it is none. */
static char *next_link(const char *path)
{
    char to[PATH_MAX], *copy, *joined = NULL;
    ssize_t n = readlink(path, to, sizeof to - 1);
    if (n < 0) return NULL;
    to[n] = 0;
    if (to[0] == '/') return strdup(to);
    copy = strdup(path);
    if (!copy || asprintf(&joined, "%s/%s", dirname(copy), to) < 0) joined = NULL;
    free(copy);
    return joined;
}

static so_status follow_links(const char *path, char **target, so_error *error)
{
    *target = strdup(path);
    for (int i = 0; *target && so_descriptor_of(*target) < 0; i++) {
        struct stat st;
        if (lstat(*target, &st) != 0 || !S_ISLNK(st.st_mode)) break;
        char *next = i < MOST_LINKS ? next_link(*target) : NULL;
        free(*target);
        *target = next;
        if (!next) return so_fail(error, SO_ERR_IO, "cannot write '%s': its symbolic links lead nowhere", path);
    }
    return *target ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory to write '%s'", path);
}

/* A FIFO opens once somebody reads it. */
static so_status open_fifo(const char *path, int *fd, so_error *error)
{
    struct timespec pause = {0, STEP_MS * 1000000};
    for (int waited = 0; waited < READER_MS; waited += STEP_MS) {
        *fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (*fd >= 0) {
            fcntl(*fd, F_SETFL, O_WRONLY);
            return SO_OK;
        }
        if (errno != ENXIO) return so_fail(error, SO_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
        nanosleep(&pause, NULL);
    }
    return so_fail(error, SO_ERR_IO, "nobody reads the pipe '%s'", path);
}

static so_status open_socket(const char *path, int *fd, so_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return so_fail(error, SO_ERR_LIMIT, "the path of the socket '%s' is too long", path);
    strcpy(address.sun_path, path);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && connect(*fd, (struct sockaddr *)&address, sizeof address) == 0) return SO_OK;
    so_status status = so_fail(error, SO_ERR_IO, "cannot connect to the socket '%s': %s", path, strerror(errno));
    if (*fd >= 0) close(*fd);
    *fd = -1;
    return status;
}

static so_status open_through(const char *target, mode_t mode, int *fd, so_error *error)
{
    if (S_ISFIFO(mode)) return open_fifo(target, fd, error);
    if (S_ISSOCK(mode)) return open_socket(target, fd, error);
    *fd = open(target, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return *fd >= 0 ? SO_OK : so_fail(error, SO_ERR_IO, "cannot open '%s': %s", target, strerror(errno));
}

static so_status find_target(const char *target, int *through, so_error *error)
{
    struct stat st;
    int number = so_descriptor_of(target);
    if (number >= 0) {
        *through = fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        return *through >= 0 ? SO_OK : so_fail(error, SO_ERR_IO, "cannot write '%s': %s", target, strerror(errno));
    }
    if (stat(target, &st) != 0) return SO_OK;
    if (S_ISDIR(st.st_mode)) return so_fail(error, SO_ERR_IO, "cannot write '%s': it is a folder", target);
    if (!S_ISREG(st.st_mode)) return open_through(target, st.st_mode, through, error);
    if (faccessat(AT_FDCWD, target, W_OK, AT_EACCESS) == 0) return SO_OK;
    return so_fail(error, SO_ERR_IO, "cannot write '%s': %s", target, strerror(errno));
}

so_status so_output_find(const char *path, char **target, int *through, so_error *error)
{
    *through = -1;
    *target = NULL;
    if (!path[0]) return so_fail(error, SO_ERR_ARG, "an empty name for a file to write");
    SO_TRY(follow_links(path, target, error));
    so_status status = find_target(*target, through, error);
    if (status == SO_OK) return SO_OK;
    free(*target);
    *target = NULL;
    return status;
}

/* ---- temporaries */

static const char ending[] = ".so-tmp";

/* "<folder>/<name>.so-tmp", with a number of this process where `unlike` is not 0. */
static char *name_temporary(const char *target, int unlike)
{
    const char *slash = strrchr(target, '/');
    int folder = slash ? (int)(slash - target) + 1 : 0;
    char *name = NULL;
    int n = unlike ? asprintf(&name, "%.*s%.*s.%ld-%d%s", folder, target, NAME_MOST, target + folder, (long)getpid(),
                              unlike, ending)
                   : asprintf(&name, "%.*s%.*s%s", folder, target, NAME_MOST, target + folder, ending);
    return n < 0 ? NULL : name;
}

/* Whether the lock is had, on a file system that has any; another process' file is left alone. */
static bool locked(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR); }

static bool same_file(int fd, const char *name)
{
    struct stat here, there;
    return fstat(fd, &here) == 0 && lstat(name, &there) == 0 && here.st_ino == there.st_ino &&
           here.st_dev == there.st_dev;
}

/* Removes a temporary that a killed process left; false when it is in use. */
static bool remove_stale(const char *name)
{
    struct stat st;
    int fd = open(name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT;
    bool stale = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && locked(fd);
    if (stale && same_file(fd, name)) unlink(name);
    close(fd);
    return stale;
}

void so_writer_sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t n = strlen(entry->d_name), m = strlen(ending);
        char *name;
        if (n <= m || strcmp(entry->d_name + n - m, ending) != 0) continue;
        if (asprintf(&name, "%s/%s", folder, entry->d_name) < 0) break;
        (void)remove_stale(name);
        free(name);
    }
    closedir(dir);
}

static int create_one(const char *name)
{
    for (int tries = 0; tries < 16; tries++) {
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd >= 0 && locked(fd) && same_file(fd, name)) return fd;
        if (fd >= 0)
            close(fd);
        else if (errno != EEXIST)
            return -1;
        else if (!remove_stale(name))
            break;
    }
    errno = EEXIST;
    return -1;
}

static int create_temporary(so_writer *w)
{
    for (int unlike = 0; unlike < 1000; unlike++) {
        free(w->temporary);
        w->temporary = name_temporary(w->target, unlike);
        if (!w->temporary) return errno = ENOMEM, -1;
        int fd = create_one(w->temporary);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

/* The new file has owner and mode of the one that it will replace. */
static void take_mode(int fd, const char *target)
{
    struct stat old, new;
    if (stat(target, &old) != 0 || fstat(fd, &new) != 0) return;
    if (old.st_uid != new.st_uid || old.st_gid != new.st_gid) {
        if (fchown(fd, old.st_uid, old.st_gid) != 0) return;
    }
    if (fchmod(fd, old.st_mode & 07777) != 0) return; /* then with the mode of new files */
}

/* ---- the writer */

static so_status fail_open(so_writer *w, int fd, so_error *error)
{
    so_status status = so_fail(error, SO_ERR_IO, "cannot create '%s': %s", w->path, strerror(errno));
    if (fd >= 0) close(fd);
    if (w->temporary && fd >= 0) {
        unlink(w->temporary);
        so_writer_forget(w->temporary);
    }
    free(w->temporary);
    w->temporary = NULL;
    so_writer_drop(w);
    return status;
}

so_status so_writer_open(so_writer *w, const char *path, so_error *error)
{
    int fd;
    *w = (so_writer){.begin = 0};
    SO_TRY(so_output_find(path, &w->target, &fd, error));
    w->path = strdup(path);
    if (!w->path) {
        if (fd >= 0) close(fd);
        so_writer_drop(w);
        return so_fail(error, SO_ERR_NOMEM, "no memory to write '%s'", path);
    }
    if (fd >= 0) {
        struct stat st;
        bool seeks = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(fcntl(fd, F_GETFL) & O_APPEND);
        w->begin = seeks ? (long)lseek(fd, 0, SEEK_CUR) : -1;
    } else {
        so_mask before;
        so_writer_creates(&before);
        fd = create_temporary(w);
        if (fd >= 0) so_writer_remember(w->temporary);
        so_writer_created(&before);
        if (fd < 0) return fail_open(w, fd, error);
        take_mode(fd, w->target);
    }
    w->file = fdopen(fd, "wb");
    return w->file ? SO_OK : fail_open(w, fd, error);
}

so_status so_writer_put(so_writer *w, const void *data, size_t size, so_error *error)
{
    if (size && fwrite(data, 1, size, w->file) != size)
        return so_fail(error, SO_ERR_IO, "cannot write %zu bytes for '%s': %s", size, w->path, strerror(errno));
    return SO_OK;
}

bool so_writer_seeks(const so_writer *w) { return w->begin >= 0; }

so_status so_writer_patch(so_writer *w, long offset, const void *data, size_t size, so_error *error)
{
    long end = so_writer_seeks(w) ? ftell(w->file) : -1;
    if (end < 0 || fseek(w->file, w->begin + offset, SEEK_SET) != 0)
        return so_fail(error, SO_ERR_IO, "cannot go back in '%s': %s", w->path, strerror(errno));
    SO_TRY(so_writer_put(w, data, size, error));
    if (fseek(w->file, end, SEEK_SET) != 0)
        return so_fail(error, SO_ERR_IO, "cannot go on in '%s': %s", w->path, strerror(errno));
    return SO_OK;
}

static void sync_folder(const char *path)
{
    char *copy = strdup(path);
    if (!copy) return;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

so_status so_writer_commit(so_writer *w, so_error *error)
{
    /* Devices and pipes have nothing to sync. */
    bool failed = fflush(w->file) != 0 || ferror(w->file) || (w->temporary && !w->quick && fsync(fileno(w->file)) != 0);
    int why = errno;
    if (!failed && w->temporary && rename(w->temporary, w->target) != 0) {
        failed = true;
        why = errno;
    }
    if (!failed && w->temporary) {
        so_writer_forget(w->temporary);
        free(w->temporary);
        w->temporary = NULL;
        if (!w->quick) sync_folder(w->target);
    }
    if (fclose(w->file) != 0 && !failed) {
        failed = true;
        why = errno;
    }
    w->file = NULL;
    so_status status = failed ? so_fail(error, SO_ERR_IO, "cannot finish '%s': %s", w->path, strerror(why)) : SO_OK;
    so_writer_drop(w);
    return status;
}

void so_writer_drop(so_writer *w)
{
    if (w->temporary) {
        unlink(w->temporary);
        so_writer_forget(w->temporary);
    }
    if (w->file) fclose(w->file);
    free(w->temporary);
    free(w->target);
    free(w->path);
    *w = (so_writer){.begin = 0};
}
