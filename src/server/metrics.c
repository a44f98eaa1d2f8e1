/* GET /metrics: measurements in the text format 0.0.4 of Prometheus. tests/net/metrics.py holds the list of names.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/inside.h"

static void put(FILE *out, const char *name, const char *kind, const char *help)
{
    fprintf(out, "# HELP streamomni_%s %s\n# TYPE streamomni_%s %s\n", name, help, name, kind);
}

static void number(FILE *out, const char *name, const char *kind, const char *help, double value)
{
    put(out, name, kind, help);
    fprintf(out, "streamomni_%s %.17g\n", name, value);
}

static void times(FILE *out, const char *name, const char *help, const so_times *t)
{
    put(out, name, "histogram", help);
    for (int i = 0; i < SO_TIMES; i++)
        fprintf(out, "streamomni_%s_bucket{le=\"%g\"} %llu\n", name, so_times_upto[i], (unsigned long long)t->class[i]);
    fprintf(out, "streamomni_%s_bucket{le=\"+Inf\"} %llu\nstreamomni_%s_sum %.9g\nstreamomni_%s_count %llu\n", name,
            (unsigned long long)t->n, name, t->sum, name, (unsigned long long)t->n);
}

/* Routes of one path are counted together. */
static void put_requests(FILE *out, const so_server *s)
{
    put(out, "requests_total", "counter", "Requests answered, by route and class of their status.");
    for (size_t r = 0; r < SO_ROUTES_MOST; r++) {
        const char *path = so_server_route(r);
        bool first = path || r == SO_ROUTES_MOST - 1;
        for (size_t before = 0; path && before < r && first; before++)
            first = strcmp(so_server_route(before), path) != 0;
        for (int code = 1; code < 6 && first; code++) {
            uint64_t n = 0;
            for (size_t k = r; k < SO_ROUTES_MOST; k++) {
                const char *other = so_server_route(k);
                if (k == r || (other && path && strcmp(other, path) == 0)) n += s->counts.requests[k][code];
            }
            if (n)
                fprintf(out, "streamomni_requests_total{route=\"%s\",code=\"%dxx\"} %llu\n", path ? path : "none", code,
                        (unsigned long long)n);
        }
    }
}

static void put_refused(FILE *out, const so_server *s)
{
    const struct {
        const char *reason;
        uint64_t n;
    } refused[] = {{"key", s->counts.refused_key},
                   {"host", s->counts.refused_host},
                   {"origin", s->counts.refused_origin},
                   {"full", s->counts.refused_full},
                   {"rate", s->counts.refused_rate}};
    put(out, "rejected_total", "counter", "Requests refused, by the reason.");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        fprintf(out, "streamomni_rejected_total{reason=\"%s\"} %llu\n", refused[i].reason,
                (unsigned long long)refused[i].n);
    number(out, "lost_total", "counter", "Answers whose client left before they were complete.",
           (double)s->counts.lost);
}

static void put_desk(FILE *out, const so_desk_stats *w)
{
    put(out, "sessions", "gauge",
        "Conversations: open ones have a session, answering ones are among them, waiting ones wait for one.");
    fprintf(out, "streamomni_sessions{state=\"open\"} %d\n", w->sessions);
    fprintf(out, "streamomni_sessions{state=\"answering\"} %d\n", w->answering);
    fprintf(out, "streamomni_sessions{state=\"waiting\"} %d\n", w->waiting);
    number(out, "queue_depth", "gauge", "Conversations that wait for a session.", w->waiting);
    number(out, "voices_active", "gauge", "Spoken answers that are being made.", w->speaking);
    number(out, "kv_bytes", "gauge", "Memory that sessions hold.", (double)w->memory);
    number(out, "kv_bytes_limit", "gauge", "Memory that sessions may hold.", (double)w->memory_most);
    number(out, "kv_reused_positions_total", "counter", "Positions of prompts kept from before.",
           (double)w->cached_positions);
    number(out, "prompt_positions_total", "counter", "Positions of prompts.", (double)w->prompt_positions);
    number(out, "text_tokens_total", "counter", "Text tokens made.", (double)w->text_tokens);
    number(out, "units_total", "counter", "Speech units made.", (double)w->units);
    number(out, "audio_seconds_generated_total", "counter", "Seconds of speech made.", w->audio_s);
    number(out, "answer_seconds_total", "counter", "Seconds from replies to the ends of their answers.", w->busy_s);
    put(out, "batch_rows", "summary", "Answers that one step of the engine computes for.");
    fprintf(out, "streamomni_batch_rows_sum %llu\nstreamomni_batch_rows_count %llu\n", (unsigned long long)w->rows,
            (unsigned long long)w->steps);
}

static void put_realtime(FILE *out, const so_server *s)
{
    number(out, "realtime_sessions", "gauge", "Realtime sessions.", (double)s->counts.live);
    number(out, "realtime_sessions_total", "counter", "Realtime sessions begun.", (double)s->counts.realtime);
    number(out, "vad_segments_total", "counter", "Times that somebody began to speak.", (double)s->counts.voiced);
    number(out, "barge_in_total", "counter", "Answers that the user's voice ended.", (double)s->counts.barged);
    times(out, "barge_in_silence_seconds", "From the user's voice to the last byte of the answer that it ended.",
          &s->barge);
    times(out, "speech_end_to_stopped_seconds", "From the end of speech to speech_stopped.", &s->end_to_stop);
    times(out, "speech_stopped_to_first_audio_seconds", "From speech_stopped to the first sound.", &s->stop_to_audio);
    times(out, "speech_end_to_first_audio_seconds", "From the end of speech to the first sound.", &s->end_to_audio);
    number(out, "audio_underrun_total", "counter",
           "Pieces of a voice that came after those before them had been played.", (double)s->counts.underruns);
    number(out, "events_dropped_total", "counter", "What was told of conversations that were gone already.",
           (double)s->counts.dropped);
}

typedef struct kinds {
    const so_server *server;
    int http, websocket, wyoming;
} kinds;

static void count_kind(void *context, so_conn *conn)
{
    kinds *k = context;
    if (conn->protocol == &k->server->wyoming)
        k->wyoming++;
    else if (so_web_open(so_web_of(conn)))
        k->websocket++;
    else
        k->http++;
}

static void put_connections(FILE *out, so_server *s)
{
    so_port_stats p;
    kinds k = {.server = s};
    so_port_about(s->port, &p);
    so_port_each(s->port, count_kind, &k);
    put(out, "connections", "gauge", "Connections open.");
    fprintf(out,
            "streamomni_connections{kind=\"http\"} %d\nstreamomni_connections{kind=\"websocket\"} %d\n"
            "streamomni_connections{kind=\"wyoming\"} %d\n",
            k.http, k.websocket, k.wyoming);
    number(out, "connections_total", "counter", "Connections accepted.", (double)p.accepted);
    put(out, "connections_refused_total", "counter", "Connections closed at once, or to make room.");
    fprintf(out,
            "streamomni_connections_refused_total{reason=\"full\"} %llu\n"
            "streamomni_connections_refused_total{reason=\"address\"} %llu\n"
            "streamomni_connections_refused_total{reason=\"idle\"} %llu\n"
            "streamomni_connections_refused_total{reason=\"stalled\"} %llu\n",
            (unsigned long long)p.refused_full, (unsigned long long)p.refused_address, (unsigned long long)p.given_up,
            (unsigned long long)p.stalled);
}

/* ---- the process, under the names that all programs use */
static void process(FILE *out, const char *name, const char *kind, const char *help, double value)
{
    fprintf(out, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.17g\n", name, help, name, kind, name, value);
}

static int open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = -3; /* ".", "..", and the folder */
    while (folder && readdir(folder)) n++;
    if (folder) closedir(folder);
    return n < 0 ? 0 : n;
}

static void put_process(FILE *out, const so_server *s)
{
    long pages = 0, resident = 0;
    struct rusage used;
    struct rlimit files;
    FILE *memory = fopen("/proc/self/statm", "re");
    if (memory && fscanf(memory, "%ld %ld", &pages, &resident) == 2) {
        double page = (double)sysconf(_SC_PAGESIZE);
        process(out, "resident_memory_bytes", "gauge", "Resident memory.", (double)resident * page);
        process(out, "virtual_memory_bytes", "gauge", "Virtual memory.", (double)pages * page);
    }
    if (memory) fclose(memory);
    if (getrusage(RUSAGE_SELF, &used) == 0)
        process(out, "cpu_seconds_total", "counter", "Processor time.",
                (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                    1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec));
    process(out, "open_fds", "gauge", "Descriptors open.", open_files());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        process(out, "max_fds", "gauge", "Descriptors that may be open.", (double)files.rlim_cur);
    process(out, "start_time_seconds", "gauge", "When it began, since 1970.", (double)s->started_at);
}

void so_answer_metrics(so_ask *ask)
{
    so_server *s = ask->server;
    so_desk_stats w;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        so_ask_error(ask, 503, NULL, NULL, "no memory");
        return;
    }
    so_desk_about(s->desk, NULL, NULL, &w);
    put_requests(out, s);
    put_refused(out, s);
    times(out, "request_seconds", "From a request's head to its last byte.", &s->request);
    times(out, "queue_seconds", "From the first order to a session.", &s->queue);
    times(out, "first_text_seconds", "From a complete request to the first text.", &s->first_text);
    times(out, "first_audio_seconds", "From a complete request to the first sound.", &s->first_audio);
    times(out, "audio_rtf", "Seconds that a second of speech took to make.", &s->rtf);
    put_desk(out, &w);
    put_realtime(out, s);
    put_connections(out, s);
    put(out, "build_info", "gauge", "Version.");
    fprintf(out, "streamomni_build_info{version=\"%s\"} 1\n", SO_VERSION);
    put_process(out, s);
    fclose(out);
    so_ask_text(ask, 200, "text/plain; version=0.0.4; charset=utf-8", text);
    free(text);
}
