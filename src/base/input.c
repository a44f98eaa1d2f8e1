/* Reading all of a file, whatever kind it is.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FIRST = 1 << 16, STEP_MS = 20 };

/* What is being read into memory. */
typedef struct stream {
    int fd;
    const char *name;
    so_input_options options;
    char *data;
    size_t size, capacity;
    bool fifo, met; /* a FIFO that this program opened; somebody wrote into it */
    double waited;  /* seconds */
} stream;

static int descriptor_of(const char *path) { return strcmp(path, "-") == 0 ? STDIN_FILENO : so_descriptor_of(path); }

static so_status grow(stream *s, so_error *error)
{
    if (s->size < s->capacity) return SO_OK;
    if (s->size >= s->options.limit)
        return so_fail(error, SO_ERR_LIMIT, "%s gives more than %zu bytes", s->name, s->options.limit);
    size_t capacity = s->capacity ? s->capacity + s->capacity / 2 : FIRST;
    if (capacity > s->options.limit) capacity = s->options.limit;
    char *data = realloc(s->data, capacity);
    if (!data) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes of %s", capacity, s->name);
    s->data = data;
    s->capacity = capacity;
    return SO_OK;
}

/* A while without bytes. */
static so_status wait(stream *s, bool nobody, so_error *error)
{
    struct pollfd ready = {.fd = s->fd, .events = POLLIN};
    struct timespec pause = {0, STEP_MS * 1000000};
    if (s->options.stop && *s->options.stop) return so_fail(error, SO_ERR_STOPPED, "stopped while reading %s", s->name);
    if (!nobody) return poll(&ready, 1, 10 * STEP_MS), SO_OK;
    if (s->waited >= s->options.patience)
        return so_fail(error, SO_ERR_IO, "nobody writes into the pipe %s: waited %g s", s->name, s->options.patience);
    nanosleep(&pause, NULL);
    s->waited += STEP_MS / 1000.0;
    return SO_OK;
}

/* One piece; *end once there is no more. */
static so_status take(stream *s, bool *end, so_error *error)
{
    if (!s->fifo) {
        /* The descriptor is somebody else's too and may not be made non-blocking. */
        struct pollfd ready = {.fd = s->fd, .events = POLLIN};
        if (poll(&ready, 1, 0) == 0) return wait(s, false, error);
    }
    ssize_t n = read(s->fd, s->data + s->size, s->capacity - s->size);
    if (n > 0) {
        s->size += (size_t)n;
        s->met = true;
        return SO_OK;
    }
    if (n == 0 && s->fifo && !s->met) return wait(s, true, error);
    if (n == 0) return *end = true, SO_OK;
    if (errno == EAGAIN) {
        s->met = true;
        return wait(s, false, error);
    }
    return errno == EINTR ? wait(s, false, error)
                          : so_fail(error, SO_ERR_IO, "cannot read %s: %s", s->name, strerror(errno));
}

static so_status drain(stream *s, so_error *error)
{
    for (bool end = false; !end;) {
        SO_TRY(grow(s, error));
        SO_TRY(take(s, &end, error));
    }
    return SO_OK;
}

static so_status open_named(stream *s, const char *path, so_error *error)
{
    struct stat st;
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (s->fd < 0) return so_fail(error, SO_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(s->fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(s->fd);
        return so_fail(error, SO_ERR_IO, "'%s' is a folder, not a file", path);
    }
    s->fifo = S_ISFIFO(st.st_mode);
    return SO_OK;
}

static so_status open_stream(stream *s, const char *path, so_error *error)
{
    struct stat st;
    int number = descriptor_of(path);
    if (number < 0) return open_named(s, path, error);
    s->fd = fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (s->fd < 0) return so_fail(error, SO_ERR_IO, "cannot read %s: %s", s->name, strerror(errno));
    if (fstat(s->fd, &st) != 0 || !S_ISDIR(st.st_mode)) return SO_OK;
    close(s->fd);
    return so_fail(error, SO_ERR_IO, "%s is a folder, not a file", s->name);
}

so_status so_input_open(so_input *input, const char *path, const so_input_options *options, so_error *error)
{
    struct stat st;
    char quoted[256];
    stream s = {.options = options ? *options : (so_input_options){0}};
    *input = (so_input){0};
    if (descriptor_of(path) < 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        SO_TRY(so_map_open(&input->map, path, error));
        input->data = input->map.data;
        input->size = input->map.size;
        return SO_OK;
    }
    snprintf(quoted, sizeof quoted, "'%.250s'", path);
    s.name = descriptor_of(path) == STDIN_FILENO ? "standard input" : quoted;
    if (!s.options.limit) s.options.limit = (size_t)1 << 30;
    if (s.options.patience <= 0) s.options.patience = 10;
    SO_TRY(open_stream(&s, path, error));
    so_status status = drain(&s, error);
    close(s.fd);
    if (status != SO_OK) {
        free(s.data);
        return status;
    }
    input->own = s.data;
    input->data = (const unsigned char *)(s.size ? s.data : "");
    input->size = s.size;
    return SO_OK;
}

void so_input_close(so_input *input)
{
    so_map_close(&input->map);
    free(input->own);
    *input = (so_input){0};
}
