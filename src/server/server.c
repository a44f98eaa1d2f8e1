/* The server's network thread: who may ask what, and where it goes.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/server.h"

#include <math.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server/archive.h"
#include "server/assets.h"
#include "server/inside.h"
#include "server/keeper.h"
#include "server/secrets.h"
#include "server/service.h"
#include "server/zeroconf.h"

static const so_route routes[] = {
    {"GET", "/health", so_answer_health, .open = true},
    {"GET", "/healthz", so_answer_health, .open = true},
    {"GET", "/v1/health", so_answer_health, .open = true},
    {"GET", "/v1/models", so_answer_models, .ready = true},
    {"GET", "/v1/models/", so_answer_model, .ready = true},
    {"GET", "/props", so_answer_props, .open = true, .ready = true},
    {"GET", "/version", so_answer_version, .open = true},
    {"POST", "/tokenize", so_answer_tokenize, .most = SO_BODY_SMALL, .ready = true, .type = "application/json"},
    {"POST", "/detokenize", so_answer_detokenize, .most = SO_BODY_SMALL, .ready = true, .type = "application/json"},
    {"GET", "/metrics", so_answer_metrics},
    {"GET", "/v1/audio/voices", so_answer_voices, .ready = true},
    {"POST", "/v1/chat/completions", so_answer_chat, .most = SO_BODY_LARGE, .ready = true, .type = "application/json"},
    {"POST", "/v1/audio/transcriptions", so_answer_transcription, .most = SO_BODY_LARGE, .ready = true,
     .type = "multipart/form-data"},
    {"POST", "/v1/audio/speech", so_answer_speech, .most = SO_BODY_SMALL, .ready = true, .type = "application/json"},
    {"POST", "/v1/realtime/client_secrets", so_answer_secret, .most = SO_BODY_SMALL, .type = "application/json"},
    {"GET", "/v1/realtime", so_answer_realtime, .ready = true, .socket = true},
    {"GET", "/v1/history", so_answer_history},
    {"DELETE", "/v1/history", so_answer_history},
    {"GET", "/v1/history/", so_answer_history},
    {"DELETE", "/v1/history/", so_answer_history},
    {"PUT", "/v1/history/", so_answer_history, .most = SO_BODY_LARGE, .type = "application/json"},
};
static const so_route asset = {"GET", "/", so_answer_asset, .open = true};
enum { ROUTES = sizeof routes / sizeof *routes, COMMENT_S = 15, FETCHERS = 4 };
_Static_assert(ROUTES + 1 < SO_ROUTES_MOST, "a place for every route, the page, and none");

/* The last is the page's. */
static size_t route_number(const so_route *route)
{
    if (!route) return SO_ROUTES_MOST - 1;
    return route == &asset ? ROUTES : (size_t)(route - routes);
}

const char *so_server_route(size_t number)
{
    return number < ROUTES ? routes[number].path : number == ROUTES ? "/" : NULL;
}

/* ---- small things */
void so_server_id(so_server *s, const char *prefix, char *out)
{
    unsigned char bytes[12];
    if (RAND_bytes(bytes, sizeof bytes) != 1) memcpy(bytes, &s->asks, sizeof s->asks);
    s->asks++;
    int n = snprintf(out, 40, "%.14s", prefix);
    for (size_t i = 0; i < sizeof bytes; i++) n += snprintf(out + n, (size_t)(40 - n), "%02x", bytes[i]);
}

uint64_t so_server_random(so_server *s)
{
    uint64_t number;
    if (RAND_bytes((unsigned char *)&number, sizeof number) != 1) number = s->asks++;
    return number;
}

const double so_times_upto[SO_TIMES] = {0.01, 0.025, 0.05, 0.08, 0.1, 0.15, 0.25, 0.4, 0.6, 1, 2.5, 5, 10, 30};

void so_times_add(so_times *t, double seconds)
{
    for (int i = 0; i < SO_TIMES; i++) t->class[i] += seconds <= so_times_upto[i];
    t->n++;
    t->sum += seconds;
}

const char *so_server_model(so_server *s, so_model_info *info)
{
    *info = (so_model_info){0};
    so_desk_about(s->desk, info, NULL, NULL);
    return s->options->model_name ? s->options->model_name : info->name ? info->name : "stream-omni";
}

void so_server_hear(so_server *s, uint64_t seat, void (*told)(void *context, so_told *told), void *context)
{
    uint32_t slot = (uint32_t)seat;
    if (slot >= s->hearers) {
        uint32_t n = slot + slot / 2 + 64;
        so_hearer *more = realloc(s->hearer, n * sizeof *more);
        if (!more) return;
        memset(more + s->hearers, 0, (n - s->hearers) * sizeof *more);
        s->hearer = more;
        s->hearers = n;
    }
    s->hearer[slot] = (so_hearer){seat, told, context};
}

/* One line of JSON; neither what was asked nor what was answered is in it. */
void so_server_log(so_server *s, so_ask *ask, int status, bool lost)
{
    char when[40];
    time_t now = time(NULL);
    struct tm parts;
    double seconds = so_poll_now() - ask->began;
    so_times_add(&s->request, seconds);
    s->counts.requests[route_number(ask->route)][status / 100 < 6 ? status / 100 : 0]++;
    s->counts.lost += lost;
    if (!s->options->log) return;
    gmtime_r(&now, &parts);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts);
    json_t *line = json_pack("{s:s,s:s,s:s,s:s,s:i,s:b,s:f,s:s,s:s?}", "time", when, "id", ask->id, "method",
                             ask->route ? ask->route->method : "", "path", ask->route ? ask->route->path : "", "status",
                             status, "lost", (int)lost, "ms", 1000 * seconds, "address",
                             ask->web ? ask->web->conn->address : "", "key", ask->key[0] ? ask->key : NULL);
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (text) fprintf(s->options->log, "%s\n", text);
    fflush(s->options->log);
    free(text);
    json_decref(line);
}

/* ---- who may ask */
static const char *given_key(const so_ask *ask, char room[512])
{
    const char *header = so_http_field_of(&ask->web->head, "authorization");
    const char *offered = so_http_field_of(&ask->web->head, "sec-websocket-protocol");
    const char *marked = offered ? strstr(offered, "openai-insecure-api-key.") : NULL;
    if (header && strncasecmp(header, "Bearer ", 7) == 0) return header + 7 + strspn(header + 7, " ");
    if (marked && ask->route && ask->route->socket) {
        marked += 24;
        snprintf(room, 512, "%.*s", (int)strcspn(marked, ", \t"), marked);
        return room;
    }
    if (ask->server->options->query_key && so_http_query(ask->query, "api_key", room, 512)) return room;
    return NULL;
}

static bool rate_admits(so_ask *ask, so_key *key)
{
    double wait = 0;
    if (so_key_admit(key, ask->server->options->per_minute, so_poll_now(), &wait)) return true;
    ask->server->counts.refused_rate++;
    ask->wait_s = wait;
    so_ask_error(ask, 429, "rate_limit_exceeded", NULL, "more than %g requests a minute with this key",
                 ask->server->options->per_minute);
    return false;
}

static bool allowed(so_ask *ask)
{
    so_server *s = ask->server;
    const so_http_head *head = &ask->web->head;
    const char *origin = so_http_field_of(head, "origin");
    char room[512];
    bool acts = ask->route->socket || strcmp(ask->route->method, "GET");
    if (acts && !so_guard_origin(origin, head->host, s->options->origins)) {
        s->counts.refused_origin++;
        so_ask_error(ask, 403, "origin_not_allowed", NULL, "pages of another origin may not ask this server (--cors)");
        return false;
    }
    if (ask->route->open || s->keys.n == 0) return true;
    const char *text = given_key(ask, room);
    if (text && ask->route->socket && so_secrets_find(s->secrets, text, time(NULL), &ask->secret)) return true;
    so_key *key = text ? so_keys_find(&s->keys, text) : NULL;
    if (!key) {
        s->counts.refused_key++;
        so_ask_error(ask, 401, "invalid_api_key", NULL,
                     text ? "the API key is not one of this server's"
                          : "an API key is wanted: Authorization: Bearer KEY");
        return false;
    }
    memcpy(ask->key, key->name, sizeof ask->key);
    return rate_admits(ask, key);
}

/* ---- routing */
static const so_route *find_route(const char *method, const char *path, char allow[64])
{
    size_t used = 0;
    allow[0] = 0;
    for (int i = 0; i < ROUTES; i++) {
        const so_route *r = &routes[i];
        size_t n = strlen(r->path);
        bool open = r->path[n - 1] == '/' && n > 1;
        if (open ? strncmp(path, r->path, n) || !path[n] : strcmp(path, r->path)) continue;
        if (strcmp(method, r->method) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(r->method, "GET") == 0)) return r;
        used +=
            (size_t)snprintf(allow + used, 64 - used, "%s%s, ", r->method, strcmp(r->method, "GET") ? "" : ", HEAD");
    }
    if (used) {
        snprintf(allow + used, 64 - used, "OPTIONS");
        return NULL;
    }
    if (!so_asset_find(path)) return NULL;
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) return &asset;
    snprintf(allow, 64, "GET, HEAD, OPTIONS");
    return NULL;
}

static void answer_options(so_ask *ask, const char *allow)
{
    char more[512];
    const char *origin = so_http_field_of(&ask->web->head, "origin");
    bool foreign = origin && so_guard_origin(origin, NULL, ask->server->options->origins);
    snprintf(more, sizeof more, "Allow: %s\r\n%s", allow,
             foreign ? "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n"
                       "Access-Control-Allow-Headers: authorization, content-type, openai-beta, openai-organization, "
                       "openai-project\r\nAccess-Control-Max-Age: 600\r\n"
                     : "");
    so_web_reply(ask->web, 204, NULL, so_ask_fields(ask, more), "", 0);
}

/* What is wrong with a head, told; false: it was answered. */
static bool check_head(so_ask *ask, const so_http_head *head)
{
    so_server *s = ask->server;
    char allow[64];
    /* A proxy's health check comes without a host. */
    bool check = !head->host[0] && strcmp(head->target, "/health") == 0;
    if (!check && !so_guard_host(head->host, s->options->hosts)) {
        s->counts.refused_host++;
        so_ask_error(ask, 421, "host_not_allowed", NULL,
                     "this server does not answer for the host '%.100s' (--host NAME allows it)", head->host);
        return false;
    }
    if (!so_http_path(head->target, ask->path, sizeof ask->path, &ask->query)) {
        so_ask_error(ask, 400, NULL, NULL, "a path that cannot be");
        return false;
    }
    ask->route = find_route(head->method, ask->path, allow);
    if (!ask->route && strcmp(head->method, "OPTIONS") == 0) {
        answer_options(ask, allow[0] ? allow : "GET, HEAD, POST, PUT, DELETE, OPTIONS");
        return false;
    }
    if (!ask->route && allow[0]) {
        char more[96];
        snprintf(more, sizeof more, "Allow: %s\r\n", allow);
        const char *text = "{\"error\":{\"message\":\"this method is not for this path\",\"type\":"
                           "\"invalid_request_error\",\"param\":null,\"code\":null}}";
        so_web_reply(ask->web, 405, "application/json", so_ask_fields(ask, more), text, strlen(text));
        return false;
    }
    if (!ask->route) {
        so_ask_error(ask, 404, "not_found", NULL, "nothing is at '%.100s'", ask->path);
        return false;
    }
    return allowed(ask);
}

bool so_server_lost(so_server *s, so_error *why) { return so_model_device_state(so_desk_model(s->desk), why) != SO_OK; }

static bool is_ready(so_ask *ask)
{
    so_error why = {0};
    if (!ask->route->ready) return true;
    so_desk_state state = so_desk_about(ask->server->desk, NULL, &why, NULL);
    if (ask->server->draining)
        so_ask_error(ask, 503, "draining", NULL, "the server goes down");
    else if (state == SO_DESK_LOADING)
        so_ask_error(ask, 503, "loading", NULL, "Loading model");
    else if (so_server_lost(ask->server, &why))
        so_ask_error(ask, 503, "device_lost", NULL, "%s", why.text);
    else
        return true;
    return false;
}

static bool right_type(so_ask *ask, const so_http_head *head)
{
    const char *type = so_http_field_of(head, "content-type"), *coding = so_http_field_of(head, "content-encoding");
    const char *wanted = ask->route->type;
    if (coding && strcasecmp(coding, "identity")) {
        so_ask_error(ask, 415, NULL, NULL, "a body in Content-Encoding '%.60s'; send it as it is", coding);
        return false;
    }
    size_t n = wanted ? strlen(wanted) : 0;
    if (!wanted || (type && strncasecmp(type, wanted, n) == 0 && (!type[n] || strchr("; \t", type[n])))) {
        ask->type = strdup(type ? type : "");
        return ask->type != NULL;
    }
    so_ask_error(ask, 415, NULL, NULL, "a body of type '%.100s', expected %s", type ? type : "", wanted);
    return false;
}

static void on_head(void *context, so_web *web, const so_http_head *head)
{
    so_server *s = context;
    so_ask *ask = calloc(1, sizeof *ask);
    if (!ask) {
        so_web_abort(web);
        return;
    }
    *ask = (so_ask){.server = s, .web = web, .query = "", .began = so_poll_now()};
    web->user = ask;
    so_server_id(s, "req_", ask->id);
    if (!check_head(ask, head) || !is_ready(ask)) return;
    if (ask->route->socket) {
        ask->route->answer(ask);
        return;
    }
    if (ask->route->most && !right_type(ask, head)) return;
    so_web_collect(web, ask->route->most);
}

static void on_request(void *context, so_web *web, const void *body, size_t size)
{
    so_ask *ask = web->user;
    (void)context;
    if (!so_bytes_put(&ask->body, body, size))
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
    else
        ask->route->answer(ask);
}

static void on_room(void *context, so_web *web)
{
    so_ask *ask = web->user;
    (void)context;
    if (ask && ask->room) ask->room(ask);
    if (!ask || !ask->paused) return;
    ask->paused = false;
    so_desk_pause(ask->server->desk, ask->seat, false);
}

static void on_over(void *context, so_web *web, bool lost)
{
    so_ask *ask = web->user;
    if (!ask) return;
    so_server_log(context, ask, web->status ? web->status : 499, lost);
    ask->web = NULL;
    ask->query = "";
    if (ask->over) ask->over(ask);
    so_ask_release(ask);
}

static void on_message(void *context, so_web *web, bool text, const void *data, size_t size)
{
    so_ask *ask = web->user;
    (void)context;
    if (ask && ask->message) ask->message(ask, text, data, size);
}

static void on_refused(void *context, so_web *web, int status)
{
    so_server *s = context;
    (void)web;
    s->counts.requests[SO_ROUTES_MOST - 1][status / 100 < 6 ? status / 100 : 0]++;
}

/* ---- running */
static void wake(void *context) { so_poll_wake(((so_server *)context)->loop); }

static void hear(so_server *s)
{
    for (so_told *t = so_desk_hear(s->desk), *next; t; t = next) {
        next = t->next;
        uint32_t slot = (uint32_t)t->seat;
        if (t->kind == SO_TOLD_DONE && t->usage.voice_s > 0) so_times_add(&s->rtf, t->usage.total_s / t->usage.voice_s);
        if (slot < s->hearers && s->hearer[slot].seat == t->seat && s->hearer[slot].told)
            s->hearer[slot].told(s->hearer[slot].context, t);
        else
            s->counts.dropped++;
        so_told_free(t);
    }
    so_chores_collect(s->chores);
    if (s->keeping) so_chores_collect(s->keeping);
    if (s->fetching) so_chores_collect(s->fetching);
}

static void wind_down(void *context, so_conn *conn)
{
    so_server *s = context;
    if (conn->protocol == &s->wyoming)
        so_wyoming_wind_down(conn);
    else
        so_web_wind_down(so_web_of(conn));
}

static void comment(void *context, so_conn *conn)
{
    so_server *s = context;
    so_web *web = conn->protocol == &s->wyoming ? NULL : so_web_of(conn);
    so_ask *ask = web ? web->user : NULL;
    if (ask && ask->events && so_conn_pending(conn) == 0) so_web_piece(web, ":\n\n", 3);
}

/* Streams of events that have nothing to tell say so now and then, so that proxies keep them open. */
static void keep_alive(so_server *s)
{
    double now = so_poll_now();
    if (now - s->commented < COMMENT_S) return;
    s->commented = now;
    so_port_each(s->port, comment, s);
}

/* What a service manager hears: that the server is ready, and that it lives. Gives the seconds until it wants the next.
 */
static double tell_manager(so_server *s)
{
    int every = so_service_watchdog();
    double now = so_poll_now();
    if (!s->ready_told && so_desk_about(s->desk, NULL, NULL, NULL) == SO_DESK_READY) {
        s->ready_told = true;
        so_service_tell("READY=1\nSTATUS=serving");
    }
    if (every <= 0) return 3600;
    if (now - s->alive_told >= every / 1000.0) {
        so_service_tell("WATCHDOG=1");
        s->alive_told = now;
    }
    return s->alive_told + every / 1000.0 - now;
}

/* Turns until `stop`, then until nothing is asked any more or time is up. */
static so_status turn(so_server *s, volatile sig_atomic_t *stop, so_error *error)
{
    double drain = s->options->drain_s > 0 ? s->options->drain_s : 10, until = 0;
    for (;;) {
        so_port_stats stats;
        so_error why;
        hear(s);
        if (s->options->reload && *s->options->reload) {
            *s->options->reload = 0;
            so_server_reload(s);
        }
        keep_alive(s);
        if (*stop && !s->draining) {
            s->draining = true;
            so_service_tell("STOPPING=1");
            until = so_poll_now() + drain;
            so_port_deaf(s->port);
            so_port_each(s->port, wind_down, s);
        }
        double wait = so_port_tend(s->port);
        so_port_about(s->port, &stats);
        if (s->draining && (stats.open == stats.closing || so_poll_now() > until)) return SO_OK;
        if (so_desk_about(s->desk, NULL, &why, NULL) == SO_DESK_FAILED)
            return so_fail(error, why.status, "%s", why.text);
        so_live_tick(s);
        double most =
            fmin(tell_manager(s), s->lives ? 0.1 : 0.25); /* a signal that came just before is seen after this */
        if (wait < 0 || wait > most) wait = most;
        SO_TRY(so_poll_turn(s->loop, wait, error));
    }
}

static so_status open_model(void *context, so_model **model, so_error *error)
{
    const so_server_options *o = ((so_server *)context)->options;
    return o->open(o->context, model, error);
}

static void close_parts(so_server *s)
{
    so_zeroconf_close(&s->announced);
    so_port_close(&s->port); /* every ask ends */
    atomic_store(&s->over, true);
    so_chores_close(&s->fetching);
    so_chores_close(&s->chores);
    so_chores_close(&s->keeping);
    so_archive_close(&s->archive);
    so_desk_close(&s->desk);
    so_web_host_close(&s->host);
    so_poll_close(&s->loop);
    so_tls_context_close(&s->tls);
    so_keeper_close(&s->answers);
    so_secrets_close(&s->secrets);
    free(s->hearer);
    s->hearer = NULL;
}

static so_status open_parts(so_server *s, so_error *error)
{
    const so_server_options *o = s->options;
    const so_web_handler handler = {s, on_head, on_request, on_message, on_room, on_over, on_refused};
    const so_desk_options desk = {.open = open_model,
                                  .wake = wake,
                                  .context = s,
                                  .session = o->session,
                                  .sessions = o->sessions,
                                  .waiting = o->waiting,
                                  .speaking = o->speaking,
                                  .clones = o->clones,
                                  .n_clones = o->n_clones,
                                  .voice = o->voice};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    so_port_options port = {.connections = o->connections, .per_address = o->per_address};
    SO_TRY(so_server_keys(s, error));
    SO_TRY(so_server_tls(s, error));
    port.tls = s->tls;
    SO_TRY(so_keeper_open(&s->answers, error));
    SO_TRY(so_secrets_open(&s->secrets, error));
    SO_TRY(so_poll_open(&s->loop, error));
    SO_TRY(so_port_open(&s->port, s->loop, &port, error));
    SO_TRY(so_web_host_open(&s->host, &handler, NULL, error));
    SO_TRY(so_server_listen(s, error));
    if (o->history) {
        SO_TRY(so_archive_open(&s->archive, o->history, error));
        SO_TRY(so_chores_open(&s->keeping, 1, wake, s, error));
    }
    if (o->fetch_images) SO_TRY(so_chores_open(&s->fetching, FETCHERS, wake, s, error));
    SO_TRY(so_chores_open(&s->chores, cores > 1 ? (int)cores : 1, wake, s, error));
    return so_desk_open(&s->desk, &desk, error);
}

/* As many descriptors as the system grants. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

so_status so_server_run(const so_server_options *options, volatile sig_atomic_t *stop, so_error *error)
{
    so_server *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for a server");
    s->options = options;
    s->started = so_poll_now();
    s->started_at = time(NULL);
    signal(SIGPIPE, SIG_IGN); /* a client that hangs up is no reason to end */
    raise_limit();
    so_status status = open_parts(s, error);
    if (status == SO_OK) status = turn(s, stop, error);
    close_parts(s);
    free(s);
    return status;
}
