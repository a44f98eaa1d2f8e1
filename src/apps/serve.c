/* stream-omni serve.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "apps/clones.h"
#include "apps/signals.h"
#include "apps/turn.h"
#include "apps/verbs.h"
#include "server/server.h"

enum { LIST_MOST = 16 };

typedef struct setting {
    so_setting model;
    const char *host, *listen, *wyoming, *hosts, *cors, *name, *key, *key_file, *tls_chain, *tls_key, *tls_folder, *log,
        *web, *history;
    int64_t port, sessions, waiting, voices, connections, per_address;
    int64_t per_key;
    double drain, per_minute, audio_per_minute, megabytes;
    bool no_zeroconf, no_key, query_key, fetch, tls_self, quiet;
} setting;

static volatile sig_atomic_t reload;
static void on_hangup(int number)
{
    (void)number;
    reload = 1;
}

static so_status open_model(void *context, so_model **model, so_error *error)
{
    return so_setting_open(context, model, error);
}

/* Cuts "a,b" into its parts, in place. */
static void cut(char *text, const char *list[LIST_MOST + 1], int *n)
{
    for (char *p = text ? strtok(text, ",") : NULL; p && *n < LIST_MOST; p = strtok(NULL, ",")) list[(*n)++] = p;
    list[*n] = NULL;
}

/* Every option has a twin in the environment: --api-key is STREAM_OMNI_API_KEY. They come first, so that what is
 * written on the command line stands. The caller frees *line and the texts in it that are not argv's, its first *made.
 */
static so_status twins(const so_option *options, int argc, char **argv, char ***line, int *made, so_error *error)
{
    int count = 0;
    while (options[count].name) count++;
    *line = calloc((size_t)(argc + count + 1), sizeof **line);
    *made = 0;
    if (!*line) return so_fail(error, SO_ERR_NOMEM, "no memory for options");
    for (const so_option *o = options; o->name; o++) {
        char name[80] = "STREAM_OMNI_";
        size_t at = strlen(name);
        for (const char *p = o->name; *p && at + 1 < sizeof name; p++)
            name[at++] = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        name[at] = 0;
        const char *value = getenv(name);
        if (!value || !value[0] || (o->kind == SO_OPTION_FLAG && strcmp(value, "0") == 0)) continue;
        char *text = NULL;
        int length =
            o->kind == SO_OPTION_FLAG ? asprintf(&text, "--%s", o->name) : asprintf(&text, "--%s=%s", o->name, value);
        if (length < 0) return so_fail(error, SO_ERR_NOMEM, "no memory for options");
        (*line)[(*made)++] = text;
    }
    memcpy(*line + *made, argv, (size_t)argc * sizeof *argv);
    return SO_OK;
}

/* ~/.local/state/stream-omni/tls, or as the environment has it. */
static const char *state_folder(char room[4096])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && state[0])
        snprintf(room, 4096, "%s/stream-omni/tls", state);
    else
        snprintf(room, 4096, "%s/.local/state/stream-omni/tls", home && home[0] ? home : ".");
    return room;
}

/* All voices of the user's folder, and the usual one, which may lie elsewhere. */
static so_status open_voices(const setting *s, so_clones *all, const char **usual, so_error *error)
{
    so_clone_info info;
    so_clone *one = NULL;
    SO_TRY(so_clones_open(all, error));
    if (!s->model.voice) return SO_OK;
    for (int i = 0; i < all->n; i++) {
        so_clone_about(all->clone[i], &info);
        if (strcmp(info.name, s->model.voice) == 0) *usual = info.name;
    }
    if (*usual) return SO_OK;
    SO_TRY(so_clones_find(s->model.voice, &one, error));
    if (!all->clone && !(all->clone = calloc(1, sizeof *all->clone))) {
        so_clone_close(&one);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
    }
    so_clone_about(one, &info);
    *usual = info.name;
    all->clone[all->n++] = one; /* there is room for one more */
    return SO_OK;
}

static so_status serve(setting *s, so_error *error)
{
    const char *listen[LIST_MOST + 1] = {NULL}, *hosts[LIST_MOST + 1] = {NULL}, *origins[LIST_MOST + 1] = {NULL};
    char room[4096], *place = NULL,
                     *lists[3] = {s->listen ? strdup(s->listen) : NULL, s->hosts ? strdup(s->hosts) : NULL,
                                  s->cors ? strdup(s->cors) : NULL};
    int n[3] = {0};
    FILE *log = NULL;
    so_status status = SO_OK;
    bool long_one = strchr(s->host, ':') != NULL && s->host[0] != '[';
    if (asprintf(&place, "%s%s%s:%d", long_one ? "[" : "", s->host, long_one ? "]" : "", (int)s->port) < 0)
        return so_fail(error, SO_ERR_NOMEM, "no memory for an address");
    cut(lists[0], listen, &n[0]);
    cut(lists[1], hosts, &n[1]);
    cut(lists[2], origins, &n[2]);
    if (n[0] == 0) listen[0] = place;
    if (s->log && strcmp(s->log, "-")) log = fopen(s->log, "ae");
    if (s->log && strcmp(s->log, "-") == 0) log = stderr;
    if (s->log && !log) status = so_fail(error, SO_ERR_IO, "the log '%s' cannot be written", s->log);
    so_server_options options = {.open = open_model,
                                 .context = &s->model,
                                 .model_name = s->name,
                                 .listen = listen,
                                 .wyoming = s->wyoming,
                                 .quiet_wyoming = s->no_zeroconf,
                                 .hosts = hosts,
                                 .origins = origins,
                                 .key = s->key,
                                 .key_file = s->key_file,
                                 .no_key = s->no_key,
                                 .query_key = s->query_key,
                                 .fetch_images = s->fetch,
                                 .tls_chain = s->tls_chain,
                                 .tls_key = s->tls_key,
                                 .tls_folder = s->tls_self ? s->tls_folder ? s->tls_folder : state_folder(room) : NULL,
                                 .sessions = (int)s->sessions,
                                 .waiting = (int)s->waiting,
                                 .speaking = (int)s->voices,
                                 .connections = (int)s->connections,
                                 .per_address = (int)s->per_address,
                                 .drain_s = s->drain,
                                 .per_minute = s->per_minute,
                                 .audio_per_minute = s->audio_per_minute,
                                 .per_key = (int)s->per_key,
                                 .reload = &reload,
                                 .web_folder = s->web,
                                 .history = s->history,
                                 .history_megabytes = s->megabytes,
                                 .log = log,
                                 .say = s->quiet ? NULL : stdout};
    so_clones voices = {0};
    if (status == SO_OK) status = so_setting_options(&s->model, &options.session, error);
    if (status == SO_OK) status = open_voices(s, &voices, &options.voice, error);
    options.clones = voices.clone;
    options.n_clones = voices.n;
    so_cli_grace(s->drain + 5);
    if (status == SO_OK) status = so_server_run(&options, &so_cli_stop, error);
    so_clones_clear(&voices);
    if (log && log != stderr) fclose(log);
    for (int i = 0; i < 3; i++) free(lists[i]);
    free(place);
    return status;
}

static int run_serve(int argc, char **argv)
{
    setting s = {.host = "127.0.0.1",
                 .port = 8080,
                 .sessions = 8,
                 .waiting = 64,
                 .connections = 1024,
                 .per_address = 64,
                 .drain = 10};
    const so_option options[] = {
        {"host", SO_OPTION_TEXT, &s.host, "ADDRESS", "where to listen; 0.0.0.0 or :: for all"},
        {"port", SO_OPTION_INT, &s.port, "N", "0: any that is free", 0, 65535},
        {"listen", SO_OPTION_TEXT, &s.listen, "LIST",
         "in place of host and port: HOST:PORT, [HOST]:PORT, unix:PATH, ..."},
        {"wyoming", SO_OPTION_TEXT, &s.wyoming, "ADDRESS",
         "also speak Wyoming there (127.0.0.1:10300), for Home Assistant"},
        {"no-zeroconf", SO_OPTION_FLAG, &s.no_zeroconf, NULL, "do not announce that in the local network"},
        {"allow-host", SO_OPTION_TEXT, &s.hosts, "LIST",
         "names that requests may be for, besides localhost and numbers; *: any"},
        {"cors", SO_OPTION_TEXT, &s.cors, "LIST", "origins of other pages that may ask (https://example.org); *: any"},
        {"api-key", SO_OPTION_TEXT, &s.key, "KEY", "clients must give it"},
        {"api-key-file", SO_OPTION_TEXT, &s.key_file, "FILE", "lines 'name:SHA-256 of the key' or 'name:key'"},
        {"no-key", SO_OPTION_FLAG, &s.no_key, NULL, "anybody may ask, also at addresses that others can reach"},
        {"per-minute", SO_OPTION_REAL, &s.per_minute, "N", "requests a minute of one key; no limit when not given", 0,
         1e9},
        {"audio-per-minute", SO_OPTION_REAL, &s.audio_per_minute, "SECONDS",
         "sound of one key, heard and spoken; no limit when not given", 0, 1e9},
        {"sessions-per-key", SO_OPTION_INT, &s.per_key, "N",
         "conversations of one key at a time; no limit when not given", 1, 100000},
        {"allow-query-key", SO_OPTION_FLAG, &s.query_key, NULL, "the key may stand in the query, as ?api_key="},
        {"fetch-images", SO_OPTION_FLAG, &s.fetch, NULL,
         "fetch pictures that requests name by https: addresses, in the public network only"},
        {"tls-cert", SO_OPTION_TEXT, &s.tls_chain, "FILE", "certificate and what leads to it (PEM)"},
        {"tls-key", SO_OPTION_TEXT, &s.tls_key, "FILE", "its key (PEM)"},
        {"tls-self-signed", SO_OPTION_FLAG, &s.tls_self, NULL, "make a certificate for this machine's names"},
        {"tls-folder", SO_OPTION_TEXT, &s.tls_folder, "DIR", "where that lies (~/.local/state/stream-omni/tls)"},
        {"model-name", SO_OPTION_TEXT, &s.name, "NAME", "what clients are told"},
        {"sessions", SO_OPTION_INT, &s.sessions, "N", "conversations at a time; others wait", 1, 4096},
        {"waiting", SO_OPTION_INT, &s.waiting, "N", "conversations that may wait; others are sent away", 1, 4096},
        {"voices", SO_OPTION_INT, &s.voices, "N", "spoken answers at a time; one for every core when not given", 1,
         4096},
        {"connections", SO_OPTION_INT, &s.connections, "N", "at a time", 1, 100000},
        {"per-address", SO_OPTION_INT, &s.per_address, "N", "connections of one other machine", 1, 100000},
        {"drain-seconds", SO_OPTION_REAL, &s.drain, "X", "for answers under way when the server is to end", 0, 3600},
        {"web", SO_OPTION_TEXT, &s.web, "DIR", "read the page from there, anew each time, while working on it"},
        {"history", SO_OPTION_TEXT, &s.history, "FILE",
         "keep the conversations that clients ask to keep (the page does) there, in SQLite"},
        {"history-megabytes", SO_OPTION_REAL, &s.megabytes, "N", "that it may take (4096)", 1, 1e9},
        {"log", SO_OPTION_TEXT, &s.log, "FILE", "a line of JSON for every request; -: to stderr"},
        {"quiet", SO_OPTION_FLAG, &s.quiet, NULL, "do not tell the address"},
        SO_MODEL_OPTIONS(s.model),
        SO_SESSION_OPTIONS(s.model),
        SO_FRONT_OPTION(s.model),
        {0},
    };
    char **line = NULL, *own[sizeof options / sizeof *options];
    int made = 0, operands = 0;
    so_error error = {0};
    so_status status = twins(options, argc, argv, &line, &made, &error);
    if (made) memcpy(own, line, (size_t)made * sizeof *own); /* operands are moved to the front of the line */
    int result =
        status == SO_OK ? so_cli_parse(&so_verb_serve, options, made + argc, line, &operands) : so_cli_fail(&error);
    if (result < 0 && operands) result = so_cli_usage(&so_verb_serve, "expected options only, found '%s'", line[0]);
    if (result < 0) {
        so_cli_catch();
        signal(SIGHUP, on_hangup); /* a server reads its keys anew */
        result = so_cli_end(serve(&s, &error), &error);
    }
    for (int i = 0; i < made; i++) free(own[i]);
    free(line);
    return result;
}

const so_verb so_verb_serve = {
    "serve", "answers over HTTP: chat, speech, transcripts", "serve [options]",
    "Prints its address and serves until it is told to end. Every option has a twin in the environment: --api-key is\n"
    "STREAM_OMNI_API_KEY. docs/server.md tells what clients can ask.\n\n"
    "examples:\n"
    "  stream-omni serve\n"
    "  stream-omni serve --host 0.0.0.0 --api-key-file keys --tls-self-signed\n"
    "  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \\\n"
    "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Which colour is the star?\"}]}'\n",
    run_serve};
