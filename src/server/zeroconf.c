/* Announces a service through Avahi.
 *
 * Calls come from one thread of Avahi's own, which waits for the system bus; ours holds its lock where both could meet.
 * Source: avahi-client/client.h, publish.h and avahi-common/thread-watch.h, defs.h of Avahi 0.8.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/zeroconf.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/symbol.h"

static const char client_name[] = "libavahi-client.so.3", common_name[] = "libavahi-common.so.3";

enum {
    NO_FAIL = 2, /* the daemon may be absent for now */
    SERVER_RUNNING = 2,
    SERVER_COLLISION = 3,
    SERVER_REGISTERING = 1,
    GROUP_COLLISION = 3,
    ANY = -1, /* interface, protocol */
    COLLISION = -8
};

/* group, interface, protocol, flags, name, type, domain, host, port, texts: Avahi's own, not ours to shorten */
#define ADD_SERVICE (void *, int, int, int, const char *, const char *, const char *, const char *, uint16_t, ...)

static struct {
    void *(*poll_new)(void);
    const void *(*poll_get)(void *poll);
    int (*poll_start)(void *poll);
    int (*poll_stop)(void *poll);
    void (*poll_free)(void *poll);
    const char *(*text)(int error);
    char *(*other_name)(const char *name);
    void (*free)(void *memory);
    void *(*client_new)(const void *poll, int flags, void (*told)(void *client, int state, void *context),
                        void *context, int *error);
    void (*client_free)(void *client);
    void *(*group_new)(void *client, void (*told)(void *group, int state, void *context), void *context);
    int(*group_add) ADD_SERVICE;
    int (*group_commit)(void *group);
    int (*group_reset)(void *group);
} lib;
static so_error failure; /* status SO_OK: the libraries are open */

struct so_zeroconf {
    void *poll, *client, *group;
    char *name, *type;
    uint16_t port;
};

static void find(void *library, const char *name, void *function)
{
    if (!so_symbol(library, name, function) && failure.status == SO_OK)
        so_fail(&failure, SO_ERR_MISSING, "Avahi has no function %s", name);
}

static void open_library(void)
{
    void *client = dlopen(client_name, RTLD_NOW | RTLD_LOCAL), *common = dlopen(common_name, RTLD_NOW | RTLD_LOCAL);
    if (!client || !common) {
        so_fail(&failure, SO_ERR_MISSING, "Avahi's client library is not installed (Debian: libavahi-client3)");
        return;
    }
    find(common, "avahi_threaded_poll_new", &lib.poll_new);
    find(common, "avahi_threaded_poll_get", &lib.poll_get);
    find(common, "avahi_threaded_poll_start", &lib.poll_start);
    find(common, "avahi_threaded_poll_stop", &lib.poll_stop);
    find(common, "avahi_threaded_poll_free", &lib.poll_free);
    find(common, "avahi_strerror", &lib.text);
    find(common, "avahi_alternative_service_name", &lib.other_name);
    find(common, "avahi_free", &lib.free);
    find(client, "avahi_client_new", &lib.client_new);
    find(client, "avahi_client_free", &lib.client_free);
    find(client, "avahi_entry_group_new", &lib.group_new);
    find(client, "avahi_entry_group_add_service", &lib.group_add);
    find(client, "avahi_entry_group_commit", &lib.group_commit);
    find(client, "avahi_entry_group_reset", &lib.group_reset);
}

/* Another name like it; the old one stays without memory. */
static void rename_service(so_zeroconf *z)
{
    char *other = lib.other_name(z->name), *copy = other ? strdup(other) : NULL;
    if (copy) {
        free(z->name);
        z->name = copy;
    }
    if (other) lib.free(other);
}

static void announce(so_zeroconf *z)
{
    enum { NAMES = 100 };
    int wrong = z->group ? COLLISION : 0;
    for (int i = 0; i < NAMES && wrong == COLLISION; i++) {
        if (i) rename_service(z);
        wrong = lib.group_add(z->group, ANY, ANY, 0, z->name, z->type, NULL, NULL, z->port, (void *)NULL);
    }
    if (z->group && wrong == 0) lib.group_commit(z->group);
}

static void on_group(void *group, int state, void *context)
{
    so_zeroconf *z = context;
    if (state != GROUP_COLLISION) return;
    z->group = group;
    lib.group_reset(group);
    rename_service(z);
    announce(z);
}

static void on_client(void *client, int state, void *context)
{
    so_zeroconf *z = context;
    if (state == SERVER_RUNNING) {
        if (z->group)
            lib.group_reset(z->group);
        else
            z->group = lib.group_new(client, on_group, z);
        announce(z);
    } else if (state == SERVER_COLLISION || state == SERVER_REGISTERING) {
        if (z->group) lib.group_reset(z->group); /* the machine's own name is being settled */
    } else {
        z->group = NULL; /* the daemon went away, and its groups with it */
    }
}

so_status so_zeroconf_open(so_zeroconf **out, const char *name, const char *type, int port, so_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int wrong = 0;
    pthread_once(&once, open_library);
    *out = NULL;
    if (failure.status != SO_OK) return so_fail(error, failure.status, "%s", failure.text);
    so_zeroconf *z = calloc(1, sizeof *z);
    bool good = z && (z->name = strdup(name)) && (z->type = strdup(type)) && (z->poll = lib.poll_new());
    if (!good) {
        so_zeroconf_close(&z);
        return so_fail(error, SO_ERR_NOMEM, "no memory for an announcement");
    }
    z->port = (uint16_t)port;
    z->client = lib.client_new(lib.poll_get(z->poll), NO_FAIL, on_client, z, &wrong);
    if (z->client && lib.poll_start(z->poll) == 0) {
        *out = z;
        return SO_OK;
    }
    so_zeroconf_close(&z);
    return so_fail(error, SO_ERR_MISSING, "Avahi: %s", wrong ? lib.text(wrong) : "its thread does not start");
}

void so_zeroconf_close(so_zeroconf **zeroconf)
{
    if (!zeroconf || !*zeroconf) return;
    so_zeroconf *z = *zeroconf;
    if (z->client) lib.poll_stop(z->poll);
    if (z->client) lib.client_free(z->client);
    if (z->poll) lib.poll_free(z->poll);
    free(z->name);
    free(z->type);
    free(z);
    *zeroconf = NULL;
}
