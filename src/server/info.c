/* What the server tells about itself: health, models, properties, voices, measurements.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "server/inside.h"

void so_answer_health(so_ask *ask)
{
    so_desk_state state = so_desk_about(ask->server->desk, NULL, NULL, NULL);
    if (ask->server->draining)
        so_ask_error(ask, 503, "draining", NULL, "the server goes down");
    else if (state == SO_DESK_LOADING)
        so_ask_error(ask, 503, "loading", NULL, "Loading model");
    else
        so_ask_json(ask, 200, json_pack("{s:s}", "status", "ok"));
}

/* ---- models */
static json_t *model_json(so_ask *ask)
{
    so_model_info info;
    const char *name = so_server_model(ask->server, &info);
    json_t *in = json_pack("[s]", "text"), *out = json_pack("[s]", "text");
    if (info.sees) json_array_append_new(in, json_string("image"));
    if (info.takes_audio) json_array_append_new(in, json_string("audio"));
    if (info.speaks) json_array_append_new(out, json_string("audio"));
    return json_pack("{s:s,s:s,s:I,s:s,s:{s:o,s:o},s:{s:I,s:I}}", "id", name, "object", "model", "created",
                     (json_int_t)ask->server->started_at, "owned_by", "stream-omni", "architecture", "input_modalities",
                     in, "output_modalities", out, "meta", "n_params", (json_int_t)info.parameters, "n_vocab",
                     (json_int_t)info.text_rows);
}

void so_answer_models(so_ask *ask)
{
    so_ask_json(ask, 200, json_pack("{s:s,s:[o]}", "object", "list", "data", model_json(ask)));
}

void so_answer_model(so_ask *ask)
{
    so_model_info info;
    const char *name = so_server_model(ask->server, &info), *wanted = ask->path + strlen("/v1/models/");
    if (strcmp(name, wanted))
        so_ask_error(ask, 404, "model_not_found", "model", "this server has the model '%s', not '%.100s'", name,
                     wanted);
    else
        so_ask_json(ask, 200, model_json(ask));
}

void so_answer_props(so_ask *ask)
{
    so_model_info info;
    const char *name = so_server_model(ask->server, &info), *https = ask->server->https;
    json_t *props =
        json_pack("{s:s,s:s,s:s,s:b,s:b,s:b,s:b,s:s?}", "model", name, "version", SO_VERSION, "voice",
                  info.voice ? info.voice : "", "hears", info.takes_audio, "sees", info.sees, "speaks", info.speaks,
                  "history", ask->server->archive != NULL, "https_url", https[0] ? https : NULL);
    const so_session_options *o = &ask->server->options->session;
    so_desk_stats stats;
    so_desk_about(ask->server->desk, NULL, NULL, &stats);
    /* As llama.cpp tells them, too. */
    json_t *usual = json_pack("{s:i,s:i,s:f,s:f,s:i,s:I}", "max_tokens", o->max_text ? o->max_text : 1024, "max_units",
                              o->max_units ? o->max_units : 1024, "temperature", o->temperature, "top_p", o->top_p,
                              "top_k", o->top_k, "seed", (json_int_t)o->seed);
    json_object_set_new(props, "default_generation_settings", usual);
    json_object_set_new(props, "total_slots", json_integer(stats.most));
    json_object_set_new(props, "modalities", json_pack("{s:b,s:b}", "vision", info.sees, "audio", info.takes_audio));
    json_object_set_new(props, "n_vocab", json_integer((json_int_t)info.text_rows));
    json_object_set_new(props, "n_params", json_integer((json_int_t)info.parameters));
    json_object_set_new(props, "build_info", json_string("stream-omni " SO_VERSION));
    so_ask_json(ask, 200, props);
}

void so_answer_version(so_ask *ask) { so_ask_json(ask, 200, json_pack("{s:s}", "version", SO_VERSION)); }

void so_answer_voices(so_ask *ask)
{
    so_model_info info;
    so_server_model(ask->server, &info);
    json_t *voices = json_array();
    if (info.speaks)
        json_array_append_new(
            voices, json_pack("{s:s,s:s}", "id", info.voice ? info.voice : "", "name", info.voice ? info.voice : ""));
    so_ask_json(ask, 200, json_pack("{s:o}", "voices", voices));
}

/* ---- measurements, in the text format 0.0.4 of Prometheus */
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
    static const char *const upto[SO_TIMES] = {"0.01", "0.025", "0.05", "0.1", "0.15", "0.25",
                                               "0.5",  "1",     "2.5",  "5",   "10",   "30"};
    put(out, name, "histogram", help);
    for (int i = 0; i < SO_TIMES; i++)
        fprintf(out, "streamomni_%s_bucket{le=\"%s\"} %llu\n", name, upto[i], (unsigned long long)t->class[i]);
    fprintf(out, "streamomni_%s_bucket{le=\"+Inf\"} %llu\nstreamomni_%s_sum %.9g\nstreamomni_%s_count %llu\n", name,
            (unsigned long long)t->n, name, t->sum, name, (unsigned long long)t->n);
}

static void put_requests(FILE *out, const so_server *s)
{
    static const struct {
        const char *reason;
        size_t at;
    } refused[] = {{"key", offsetof(so_counts, refused_key)},
                   {"host", offsetof(so_counts, refused_host)},
                   {"origin", offsetof(so_counts, refused_origin)},
                   {"full", offsetof(so_counts, refused_full)},
                   {"rate", offsetof(so_counts, refused_rate)}};
    put(out, "requests_total", "counter", "Requests answered, by the class of their status.");
    for (int i = 1; i < 6; i++)
        fprintf(out, "streamomni_requests_total{code=\"%dxx\"} %llu\n", i, (unsigned long long)s->counts.requests[i]);
    put(out, "rejected_total", "counter", "Requests refused, by the reason.");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        uint64_t n;
        memcpy(&n, (const char *)&s->counts + refused[i].at, sizeof n);
        fprintf(out, "streamomni_rejected_total{reason=\"%s\"} %llu\n", refused[i].reason, (unsigned long long)n);
    }
    number(out, "lost_total", "counter", "Answers whose client left before they were complete.",
           (double)s->counts.lost);
}

static void put_process(FILE *out)
{
    char *text = NULL;
    size_t size;
    long pages = 0, resident = 0;
    if (so_file_read("/proc/self/statm", 4096, &text, &size, NULL) == SO_OK &&
        sscanf(text, "%ld %ld", &pages, &resident) == 2)
        fprintf(out,
                "# HELP process_resident_memory_bytes Resident memory.\n# TYPE process_resident_memory_bytes gauge\n"
                "process_resident_memory_bytes %lld\n",
                (long long)resident * sysconf(_SC_PAGESIZE));
    free(text);
}

void so_answer_metrics(so_ask *ask)
{
    so_server *s = ask->server;
    so_desk_stats w;
    so_port_stats p;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        so_ask_error(ask, 503, NULL, NULL, "no memory");
        return;
    }
    so_desk_about(s->desk, NULL, NULL, &w);
    so_port_about(s->port, &p);
    put_requests(out, s);
    times(out, "request_seconds", "From a request's head to its last byte.", &s->request);
    times(out, "queue_seconds", "From the first order to a session.", &s->queue);
    times(out, "first_text_seconds", "From a complete request to the first text.", &s->first_text);
    times(out, "first_audio_seconds", "From a complete request to the first sound.", &s->first_audio);
    number(out, "sessions", "gauge", "Conversations that have a session.", w.sessions);
    number(out, "queue_depth", "gauge", "Conversations that wait for a session.", w.waiting);
    number(out, "answers_active", "gauge", "Answers that are being made.", w.answering);
    number(out, "voices_active", "gauge", "Of these, spoken ones.", w.speaking);
    number(out, "text_tokens_total", "counter", "Text tokens made.", (double)w.text_tokens);
    number(out, "units_total", "counter", "Speech units made.", (double)w.units);
    number(out, "prompt_positions_total", "counter", "Positions of prompts.", (double)w.prompt_positions);
    number(out, "kv_reused_positions_total", "counter", "Of these, kept from before.", (double)w.cached_positions);
    number(out, "audio_seconds_generated_total", "counter", "Seconds of speech made.", w.audio_s);
    number(out, "answer_seconds_total", "counter", "Seconds from replies to the ends of their answers.", w.busy_s);
    number(out, "connections", "gauge", "Connections open.", p.open);
    number(out, "connections_total", "counter", "Connections accepted.", (double)p.accepted);
    number(out, "connections_given_up_total", "counter", "Idle connections closed for new ones.", (double)p.given_up);
    put(out, "build_info", "gauge", "Version.");
    fprintf(out, "streamomni_build_info{version=\"%s\"} 1\n", SO_VERSION);
    put_process(out);
    fclose(out);
    so_ask_text(ask, 200, "text/plain; version=0.0.4; charset=utf-8", text);
    free(text);
}
