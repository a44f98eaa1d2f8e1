/* The inside of the server, for its files.
 *
 * An ask is one HTTP request on its way. It lives until its answer is complete or its client has left, and until no
 * chore works for it. All of this is the network thread's, but for what a chore's work touches: ask->own and ask->body.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_INSIDE_H
#define SO_SERVER_INSIDE_H

#include <jansson.h>
#include <stdatomic.h>

#include "net/web.h"
#include "server/chores.h"
#include "server/desk.h"
#include "server/guard.h"
#include "server/server.h"

typedef struct so_server so_server;
typedef struct so_ask so_ask;
typedef struct so_live so_live; /* a realtime session */

enum { SO_JSON_DEPTH = 64, SO_BODY_SMALL = 1 << 20, SO_BODY_LARGE = 48 << 20, SO_PENDING_MOST = 1 << 18 };

/* Why a request is refused. */
typedef struct so_fault {
    int status;       /* of HTTP; 0: it is not */
    const char *code; /* NULL: null */
    char param[160];  /* "": null */
    char message[1024];
} so_fault;
/* Fills it and returns false. */
bool so_fault_set(so_fault *fault, const char *param, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The fault that an engine's failure is. */
void so_fault_of(so_fault *fault, so_status status, const char *text);

typedef struct so_route {
    const char *method, *path; /* a path that ends with "/" takes what follows it */
    void (*answer)(so_ask *ask);
    size_t most;      /* bytes of a body; 0: none is read */
    bool open;        /* without a key */
    bool ready;       /* needs the model */
    bool socket;      /* a WebSocket */
    const char *type; /* what the body must be; NULL: anything */
} so_route;

struct so_ask {
    so_server *server;
    so_web *web; /* NULL: the client has left or the answer is complete */
    const so_route *route;
    char id[40];
    char path[256];
    const char *query; /* lives with web */
    char *type;        /* the body's Content-Type */
    so_bytes body;
    char key[SO_KEY_NAME_MOST]; /* its name; "": none */
    json_t *secret;             /* the settings that a client's secret brings; lent, NULL: none */
    double began;
    uint64_t seat;
    bool working;  /* a chore has it */
    bool begun;    /* the head of a streamed answer is on its way */
    bool events;   /* and it is a stream of events */
    double wait_s; /* of 429: until the next is taken */
    bool paused;
    /* of the route */
    void *own;
    void (*told)(so_ask *ask, so_told *told);
    void (*message)(so_ask *ask, bool text, const void *data, size_t size); /* of a WebSocket */
    void (*room)(so_ask *ask);                                              /* all that was given is on its way */
    void (*over)(so_ask *ask); /* the client left, or the answer is complete: web is NULL, own still there */
    void (*free)(void *own);
};

/* Whoever hears what the desk tells of a seat. */
typedef struct so_hearer {
    uint64_t seat;
    void (*told)(void *context, so_told *told);
    void *context;
} so_hearer;

enum { SO_ROUTES_MOST = 48 };

typedef struct so_counts {
    uint64_t requests[SO_ROUTES_MOST]
                     [6]; /* by the route, the last for what had none, and the first digit of their status */
    uint64_t refused_key, refused_host, refused_origin, refused_full, refused_rate, lost;
    uint64_t realtime, live; /* sessions in all, and now */
    uint64_t voiced, barged; /* times that somebody began to speak; and so ended an answer */
    uint64_t underruns;      /* pieces of a voice that came after the ones before had been played */
    uint64_t dropped;        /* what the engine told of conversations that are gone */
} so_counts;

/* Times in classes, as Prometheus counts them. */
enum { SO_TIMES = 14 };
typedef struct so_times {
    uint64_t n, class[SO_TIMES];
    double sum;
} so_times;
extern const double so_times_upto[SO_TIMES];
void so_times_add(so_times *times, double seconds);

struct so_server {
    const so_server_options *options;
    so_poll *loop;
    so_port *port;
    so_web_host *host;
    so_protocol wyoming;
    so_desk *desk;
    so_chores *chores;
    so_tls_context *tls;
    so_keys keys;
    struct so_secrets *secrets;
    so_hearer *hearer; /* by the seat's slot */
    uint32_t hearers;
    uint64_t random[2], asks;
    double started;
    time_t started_at;
    bool draining, ready_told;
    double alive_told; /* to a service manager */
    double commented;  /* in streams of events */
    char https[128];   /* this server's address with TLS; "": none */
    so_counts counts;
    so_times queue, first_text, first_audio, request;
    so_times rtf;                                      /* of spoken answers: seconds to make a second */
    so_times end_to_stop, stop_to_audio, end_to_audio; /* of spoken turns in realtime sessions */
    so_times barge;                                    /* from the user's voice to the answer's last byte */
    so_live *lives;
    struct so_keeper *answers;     /* spoken answers by their ids */
    struct so_archive *archive;    /* conversations that are kept, the keeper's; NULL: none */
    so_chores *keeping;            /* one thread */
    so_chores *fetching;           /* requests with pictures of other servers; NULL: none are fetched */
    atomic_bool over;              /* they are given up */
    struct so_zeroconf *announced; /* of Wyoming; NULL: it is not */
};

/* ---- listen.c */
so_status so_server_keys(so_server *server, so_error *error);
/* Reads keys and certificates anew. What cannot be read leaves the old ones as they are, and is told in the log. */
void so_server_reload(so_server *server);
so_status so_server_tls(so_server *server, so_error *error);
/* Listens at all addresses and tells people where. */
so_status so_server_listen(so_server *server, so_error *error);

/* ---- wyoming.c */
void so_wyoming_protocol(so_server *server, so_protocol *protocol);
/* The connection closes after what it is doing. */
void so_wyoming_wind_down(so_conn *conn);

/* ---- serve_ask.c */
void so_ask_fault(so_ask *ask, const so_fault *fault);
void so_ask_error(so_ask *ask, int status, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Answers with the object, which it takes. */
void so_ask_json(so_ask *ask, int status, json_t *json);
void so_ask_text(so_ask *ask, int status, const char *type, const char *text);
/* Lines for every answer: the request's id, what browsers may read. */
const char *so_ask_fields(so_ask *ask, const char *more);
/* A streamed answer: of `type`, or of events. False when the client has left. */
bool so_ask_begin(so_ask *ask, const char *type);
bool so_ask_piece(so_ask *ask, const void *data, size_t size);
/* One event, which it takes; `name` NULL: no "event:" line. */
bool so_ask_event(so_ask *ask, const char *name, json_t *json);
void so_ask_end(so_ask *ask);
/* Has `work` done on ask->own by another thread, then `done` called if the client is still there. */
void so_ask_work(so_ask *ask, void (*work)(void *own), void (*done)(so_ask *ask));
/* The same by other threads than those of the server's usual chores. */
void so_ask_work_by(so_ask *ask, so_chores *by, void (*work)(void *own), void (*done)(so_ask *ask));
/* A seat for the request: false, and answered, when there is none. */
bool so_ask_sit(so_ask *ask);
void so_ask_order(so_ask *ask, so_order *order);
/* What came of a failed order, as an answer or, in a stream, an event. */
void so_ask_failed(so_ask *ask, const so_told *told);
void so_ask_release(so_ask *ask);

/* "chatcmpl-" and 24 digits; `out` has room for 64. */
void so_server_id(so_server *server, const char *prefix, char *out);
uint64_t so_server_random(so_server *server);
/* Time has passed for the realtime sessions. */
void so_live_tick(so_server *server);
const char *so_server_model(so_server *server, so_model_info *info);
void so_server_hear(so_server *server, uint64_t seat, void (*told)(void *context, so_told *told), void *context);
void so_server_log(so_server *server, so_ask *ask, int status, bool lost);
/* Whether the model's device is lost: nothing computes any more, until the server is started again. */
bool so_server_lost(so_server *s, so_error *why);

/* Reads JSON that others wrote: depth and UTF-8 are checked. NULL with the fault. */
json_t *so_json_read(const void *data, size_t size, so_fault *fault);
/* The name of a voice; "" where there is none, or none that any voice can have. */
void so_voice_named(const json_t *name, char voice[64]);
/* Base64 of a text of the JSON; false without memory. */
json_t *so_json_base64(const void *data, size_t size);
/* Bytes of a base64 text or a data URI; the caller frees *data. */
bool so_json_bytes(const char *text, size_t size, unsigned char **data, size_t *n);

/* The path of a route, by its number; NULL: there are no more. */
const char *so_server_route(size_t number);

/* ---- routes */
void so_answer_health(so_ask *ask);
void so_answer_models(so_ask *ask);
void so_answer_model(so_ask *ask);
void so_answer_props(so_ask *ask);
void so_answer_version(so_ask *ask);
void so_answer_tokenize(so_ask *ask);
void so_answer_detokenize(so_ask *ask);
void so_answer_metrics(so_ask *ask);
void so_answer_voices(so_ask *ask);
void so_answer_chat(so_ask *ask);
void so_answer_transcription(so_ask *ask);
void so_answer_speech(so_ask *ask);
void so_answer_realtime(so_ask *ask);
void so_answer_asset(so_ask *ask);
void so_answer_secret(so_ask *ask);
void so_answer_history(so_ask *ask);

#endif
