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
    so_error why = {0};
    so_desk_state state = so_desk_about(ask->server->desk, NULL, NULL, NULL);
    if (ask->server->draining)
        so_ask_error(ask, 503, "draining", NULL, "the server goes down");
    else if (state == SO_DESK_LOADING)
        so_ask_error(ask, 503, "loading", NULL, "Loading model");
    else if (so_server_lost(ask->server, &why))
        so_ask_error(ask, 503, "device_lost", NULL, "%s", why.text);
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
    const so_server_options *o = ask->server->options;
    for (int i = 0; i < o->n_clones; i++) {
        so_clone_info about;
        so_error error;
        if (so_clone_fits(o->clones[i], so_desk_model(ask->server->desk), &error) != SO_OK) continue;
        so_clone_about(o->clones[i], &about);
        json_array_append_new(voices,
                              json_pack("{s:s,s:s,s:s}", "id", about.name, "name", about.name, "kind", "clone"));
    }
    so_ask_json(ask, 200, json_pack("{s:o}", "voices", voices));
}
