/* Where the server listens, with which keys and certificates, and what people are told about it.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/inside.h"
#include "server/service.h"
#include "server/zeroconf.h"

enum { NAMES_MOST = 64 };

so_status so_server_keys(so_server *s, so_error *error)
{
    const so_server_options *o = s->options;
    if (o->key) SO_TRY(so_keys_add(&s->keys, "default", o->key, error));
    return o->key_file ? so_keys_read(&s->keys, o->key_file, error) : SO_OK;
}

void so_server_reload(so_server *s)
{
    so_error error = {0};
    so_keys old = s->keys;
    so_tls_context *tls = NULL;
    const so_server_options *o = s->options;
    s->keys.n = 0;
    if (so_server_keys(s, &error) == SO_OK) {
        so_keys_carry(&s->keys, &old);
    } else {
        s->keys = old;
        if (o->log) fprintf(o->log, "{\"event\":\"reload\",\"keys\":\"kept: they cannot be read\"}\n");
    }
    if (o->tls_chain && so_tls_context_open(&tls, o->tls_chain, o->tls_key, &error) == SO_OK) {
        so_port_tls(s->port, tls);
        so_tls_context_close(&s->tls); /* connections made with it keep what they need of it */
        s->tls = tls;
    } else if (o->tls_chain && o->log)
        fprintf(o->log, "{\"event\":\"reload\",\"tls\":\"kept: it cannot be read\"}\n");
    if (o->log) fflush(o->log);
}

/* Names and addresses that this machine is known by; to be freed with the array. */
static const char **local_names(const so_server_options *o, char *room, size_t size)
{
    const char **names = calloc(NAMES_MOST + 1, sizeof *names);
    int n = 0;
    size_t at = 0;
    struct ifaddrs *all = NULL;
    if (!names) return NULL;
    names[n++] = "localhost";
    names[n++] = "127.0.0.1";
    names[n++] = "::1";
    for (int i = 0; o->hosts && o->hosts[i] && n < NAMES_MOST / 2; i++)
        if (strcmp(o->hosts[i], "*")) names[n++] = o->hosts[i];
    if (gethostname(room, size / 2) == 0) {
        names[n++] = room;
        at = strlen(room) + 1;
    }
    if (getifaddrs(&all) != 0) return names;
    for (struct ifaddrs *a = all; a && n < NAMES_MOST; a = a->ifa_next) {
        bool old = a->ifa_addr && a->ifa_addr->sa_family == AF_INET;
        if (!old && !(a->ifa_addr && a->ifa_addr->sa_family == AF_INET6)) continue;
        socklen_t length = old ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if (at + NI_MAXHOST > size ||
            getnameinfo(a->ifa_addr, length, room + at, (socklen_t)(size - at), NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        room[at + strcspn(room + at, "%")] = 0; /* a link's own address names the link behind '%' */
        names[n++] = room + at;
        at += strlen(room + at) + 1;
    }
    freeifaddrs(all);
    return names;
}

so_status so_server_tls(so_server *s, so_error *error)
{
    const so_server_options *o = s->options;
    if ((o->tls_chain == NULL) != (o->tls_key == NULL))
        return so_fail(error, SO_ERR_ARG, "--tls-cert and --tls-key go together");
    if (o->tls_chain) return so_tls_context_open(&s->tls, o->tls_chain, o->tls_key, error);
    if (!o->tls_folder) return SO_OK;
    char *room = malloc(65536);
    const char **names = room ? local_names(o, room, 65536) : NULL;
    so_tls_files files;
    so_status status =
        names ? so_tls_make(o->tls_folder, names, &files, error) : so_fail(error, SO_ERR_NOMEM, "no memory for names");
    if (status == SO_OK) status = so_tls_context_open(&s->tls, files.chain, files.key, error);
    if (status == SO_OK && o->say)
        fprintf(o->say, "browsers trust this server once %s is among their authorities\n", files.authority);
    free(names);
    free(room);
    return status;
}

/* "host:port" or "[host]:port" apart. */
static so_status split(const char *text, char host[256], int *port, so_error *error)
{
    const char *colon = strrchr(text, ':'), *from = text, *to = colon;
    char *end = NULL;
    long number = colon ? strtol(colon + 1, &end, 10) : -1;
    if (colon && text[0] == '[') {
        from++;
        to = colon > text ? colon - 1 : text;
        if (*to != ']') number = -1;
    }
    if (!colon || end == colon + 1 || *end || number < 0 || number > 65535 || to <= from || to - from > 255)
        return so_fail(error, SO_ERR_ARG,
                       "'%s' is no address to listen at, expected HOST:PORT, [HOST]:PORT or unix:PATH", text);
    memcpy(host, from, (size_t)(to - from));
    host[to - from] = 0;
    *port = (int)number;
    return SO_OK;
}

static bool everywhere(const char *host) { return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0; }

/* Wyoming knows no keys. */
static so_status check_public(const so_server *s, const char *host, const char *kind, so_error *error)
{
    if (so_address_local(host) || (s->keys.n && !kind) || s->options->no_key) return SO_OK;
    if (kind)
        return so_fail(error, SO_ERR_ARG, "%s can be reached from other machines, and %s knows no keys: say --no-key",
                       host, kind);
    return so_fail(error, SO_ERR_ARG,
                   "%s can be reached from other machines: give --api-key or --api-key-file, or say --no-key", host);
}

static void tell_address(so_server *s, const char *host, int port)
{
    const char *shown = everywhere(host) ? "127.0.0.1" : host;
    bool long_one = strchr(shown, ':') != NULL;
    char place[300];
    snprintf(place, sizeof place, "%s%s%s:%d", long_one ? "[" : "", shown, long_one ? "]" : "", port);
    if (s->tls && !s->https[0]) snprintf(s->https, sizeof s->https, "https://%.100s", place);
    if (s->options->say) fprintf(s->options->say, "%s://%s\n", s->tls ? "https" : "http", place);
}

/* Home Assistant finds what is announced. An address that only this machine reaches is none to be told. */
static void announce(so_server *s, const char *host, int port)
{
    FILE *say = s->options->say;
    char name[64] = "stream-omni", own[40] = "";
    so_error why;
    if (s->options->quiet_wyoming || so_address_local(host)) return;
    gethostname(own, sizeof own - 1);
    if (own[0]) snprintf(name, sizeof name, "stream-omni on %s", own);
    if (so_zeroconf_open(&s->announced, name, "_wyoming._tcp", port, &why) == SO_OK) {
        if (say) fprintf(say, "announced as '%s' (_wyoming._tcp)\n", name);
    } else if (say) {
        fprintf(say, "not announced: %s\n", why.text);
    }
}

/* Listens at one address with a protocol; `kind` NULL: HTTP. */
static so_status listen_at(so_server *s, const char *text, const char *kind, const so_protocol *protocol,
                           so_error *error)
{
    char host[256];
    int fd = -1, port = 0;
    FILE *say = s->options->say;
    if (strncmp(text, "unix:", 5) == 0) {
        SO_TRY(so_listen_unix(text + 5, 0600, &fd, error));
        if (say) fprintf(say, "%s%s%s\n", kind ? kind : "", kind ? " at " : "", text);
        return so_port_listen(s->port, fd, protocol, error);
    }
    SO_TRY(split(text, host, &port, error));
    SO_TRY(check_public(s, host, kind, error));
    SO_TRY(so_listen_tcp(host, port, &fd, &port, error));
    if (kind) {
        if (say) fprintf(say, "%s at tcp://%s:%d\n", kind, everywhere(host) ? "127.0.0.1" : host, port);
        announce(s, host, port);
    } else {
        tell_address(s, host, port);
    }
    return so_port_listen(s->port, fd, protocol, error);
}

so_status so_server_listen(so_server *s, so_error *error)
{
    if (s->options->wyoming) {
        so_wyoming_protocol(s, &s->wyoming);
        SO_TRY(listen_at(s, s->options->wyoming, "Wyoming", &s->wyoming, error));
    }
    int fd[SO_SERVICE_SOCKETS], n = so_service_sockets(fd);
    for (int i = 0; i < n; i++) { /* opened by a service manager, in place of all addresses */
        fcntl(fd[i], F_SETFL, fcntl(fd[i], F_GETFL) | O_NONBLOCK);
        SO_TRY(so_port_listen(s->port, fd[i], so_web_protocol(s->host), error));
    }
    for (int i = 0; n == 0 && s->options->listen[i]; i++)
        SO_TRY(listen_at(s, s->options->listen[i], NULL, so_web_protocol(s->host), error));
    if (s->options->say) fflush(s->options->say);
    return SO_OK;
}
