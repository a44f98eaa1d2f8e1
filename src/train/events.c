/* Records, checks, and the few fields of protocol buffers that curves need.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "train/events.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/string.h"

enum { WALL_TIME = 1, STEP = 2, FILE_VERSION = 3, SUMMARY = 5, SESSION_LOG = 7 }; /* of an Event */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };                         /* kinds of fields */
enum { TABLE = 256, VALUES = 2 * SO_MAX_NOTES + 12 };

struct so_events {
    FILE *file;
    char path[4096];
    uint32_t table[TABLE];
};

/* ---- CRC-32C */

static void make_table(uint32_t table[TABLE])
{
    for (uint32_t i = 0; i < TABLE; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        table[i] = c;
    }
}

static uint32_t check_of(const so_events *e, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) c = e->table[(c ^ p[i]) & 255] ^ c >> 8;
    c ^= 0xffffffffu;
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

/* ---- fields */

static so_status put_varint(so_string *out, uint64_t x, so_error *error)
{
    char bytes[10];
    size_t n = 0;
    do bytes[n++] = (char)((x & 127) | (x > 127 ? 128 : 0));
    while (x >>= 7);
    return so_string_add(out, bytes, n, error);
}

static so_status put_key(so_string *out, int field, int kind, so_error *error)
{
    return put_varint(out, (uint64_t)(field << 3 | kind), error);
}

/* The low n bytes of a word, lowest first. */
static so_status put_word(so_string *out, uint64_t x, int n, so_error *error)
{
    char bytes[8];
    for (int i = 0; i < n; i++) bytes[i] = (char)(x >> 8 * i & 255);
    return so_string_add(out, bytes, (size_t)n, error);
}

static so_status put_bytes(so_string *out, int field, const char *bytes, size_t n, so_error *error)
{
    SO_TRY(put_key(out, field, BYTES, error));
    SO_TRY(put_varint(out, n, error));
    return n ? so_string_add(out, bytes, n, error) : SO_OK;
}

static so_status put_double(so_string *out, int field, double x, so_error *error)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    SO_TRY(put_key(out, field, FIXED64, error));
    return put_word(out, bits, 8, error);
}

static so_status put_float(so_string *out, int field, float x, so_error *error)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    SO_TRY(put_key(out, field, FIXED32, error));
    return put_word(out, bits, 4, error);
}

/* ---- records */

static so_status write_record(so_events *e, const so_string *event, so_error *error)
{
    so_string whole = {0};
    so_status status;
    SO_TRY_GO(put_word(&whole, event->size, 8, error));
    SO_TRY_GO(put_word(&whole, check_of(e, whole.data, 8), 4, error));
    SO_TRY_GO(so_string_add(&whole, event->data, event->size, error));
    SO_TRY_GO(put_word(&whole, check_of(e, event->data, event->size), 4, error));
    if (fwrite(whole.data, 1, whole.size, e->file) != whole.size || fflush(e->file) != 0)
        status = so_fail(error, SO_ERR_IO, "'%s': %s", e->path, strerror(errno));
done:
    so_string_clear(&whole);
    return status;
}

static so_status begin_event(so_string *event, double wall_time, int64_t step, so_error *error)
{
    SO_TRY(put_double(event, WALL_TIME, wall_time, error));
    if (step == 0) return SO_OK; /* what is zero is left out */
    SO_TRY(put_key(event, STEP, VARINT, error));
    return put_varint(event, (uint64_t)step, error);
}

static so_status write_version(so_events *e, double wall_time, so_error *error)
{
    static const char version[] = "brain.Event:2";
    so_string event = {0};
    so_status status = begin_event(&event, wall_time, 0, error);
    if (status == SO_OK) status = put_bytes(&event, FILE_VERSION, version, strlen(version), error);
    if (status == SO_OK) status = write_record(e, &event, error);
    so_string_clear(&event);
    return status;
}

/* "The session starts at this step": readers drop what they have from there on. */
static so_status write_start(so_events *e, double wall_time, int64_t step, so_error *error)
{
    static const char start[] = {1 << 3 | VARINT, 1}; /* status: START */
    so_string event = {0};
    so_status status = begin_event(&event, wall_time, step, error);
    if (status == SO_OK) status = put_bytes(&event, SESSION_LOG, start, sizeof start, error);
    if (status == SO_OK) status = write_record(e, &event, error);
    so_string_clear(&event);
    return status;
}

so_status so_events_create(so_events **out, const char *path, double wall_time, so_error *error)
{
    *out = NULL;
    so_events *e = calloc(1, sizeof *e);
    if (!e) return so_fail(error, SO_ERR_NOMEM, "no memory for a file of events");
    make_table(e->table);
    snprintf(e->path, sizeof e->path, "%s", path);
    e->file = fopen(path, "wb");
    so_status status =
        e->file ? write_version(e, wall_time, error) : so_fail(error, SO_ERR_IO, "'%s': %s", path, strerror(errno));
    if (status == SO_OK)
        *out = e;
    else
        so_events_close(&e);
    return status;
}

static double wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

so_status so_events_open(so_events **out, const char *folder, int64_t step, so_error *error)
{
    char path[4096], host[64] = "";
    gethostname(host, sizeof host - 1);
    double now = wall_clock();
    *out = NULL;
    for (int again = 0;; again++) {
        int n = snprintf(path, sizeof path, "%s/events.out.tfevents.%010lld.%s.%ld.%d", folder, (long long)now,
                         host[0] ? host : "here", (long)getpid(), again);
        if (n >= (int)sizeof path) return so_fail(error, SO_ERR_LIMIT, "a path of %d bytes", n);
        if (access(path, F_OK) != 0) break;
    }
    SO_TRY(so_events_create(out, path, now, error));
    so_status status = write_start(*out, now, step, error);
    if (status != SO_OK) so_events_close(out);
    return status;
}

void so_events_close(so_events **events)
{
    if (!events || !*events) return;
    if ((*events)->file) fclose((*events)->file);
    free(*events);
    *events = NULL;
}

static so_status put_value(so_string *summary, const so_event_value *v, so_error *error)
{
    so_string value = {0};
    so_status status = put_bytes(&value, 1, v->tag, strlen(v->tag), error);
    if (status == SO_OK) status = put_float(&value, 2, (float)v->value, error);
    if (status == SO_OK) status = put_bytes(summary, 1, value.data, value.size, error);
    so_string_clear(&value);
    return status;
}

so_status so_events_add(so_events *e, double wall_time, int64_t step, int n, const so_event_value *value,
                        so_error *error)
{
    so_string event = {0}, summary = {0};
    so_status status = begin_event(&event, wall_time, step, error);
    for (int i = 0; i < n && status == SO_OK; i++)
        if (isfinite(value[i].value)) status = put_value(&summary, &value[i], error);
    if (status == SO_OK && summary.size) {
        status = put_bytes(&event, SUMMARY, summary.data, summary.size, error);
        if (status == SO_OK) status = write_record(e, &event, error);
    }
    so_string_clear(&event);
    so_string_clear(&summary);
    return status;
}

/* ---- what a run reports */

typedef struct point {
    char tag[64];
    double value;
} point;

static void add(point *list, int *n, const char *family, const char *name, double value)
{
    if (*n == VALUES) return;
    snprintf(list[*n].tag, sizeof list->tag, "%s/%s", family, name);
    list[(*n)++].value = value;
}

so_status so_events_write(so_events *events, const so_progress *p, so_error *error)
{
    point list[VALUES];
    so_event_value value[VALUES];
    int n = 0;
    if (!events) return SO_OK;
    const so_notes *notes = p->evaluation ? p->evaluation : p->notes;
    if (!p->evaluation) {
        add(list, &n, "train", "loss", p->loss);
        add(list, &n, "train", "rate", p->rate);
        add(list, &n, "train", "norm", p->norm);
        add(list, &n, "train", "tokens_per_s", p->tokens_per_second);
        add(list, &n, "train", "skipped", (double)p->skipped);
        if (p->exchange > 0) {
            add(list, &n, "train", "exchange_s", p->exchange);
            add(list, &n, "train", "exchange_hidden", p->hidden);
            add(list, &n, "train", "waited_s", p->waited);
        }
    }
    for (int i = 0; notes && i < notes->count; i++)
        add(list, &n, p->evaluation ? "eval" : "train", notes->note[i].name, so_note_mean(&notes->note[i]));
    for (int i = 0; i < n; i++) value[i] = (so_event_value){list[i].tag, list[i].value};
    return so_events_add(events, wall_clock(), p->step, n, value, error);
}
