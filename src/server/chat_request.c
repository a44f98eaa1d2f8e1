/* A request of /v1/chat/completions, read and checked.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/chat_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/sha.h"
#include "media/audio.h"
#include "media/image.h"
#include "net/fetch.h"

enum { PIXELS_MOST = 50000000, IMAGES_MOST = 16, TURN_MESSAGES = 512, FETCH_BYTES = 10 << 20, FETCH_SECONDS = 10 };

void so_chat_clear(so_chat_request *r)
{
    while (r->first) {
        so_order *o = r->first;
        r->first = o->next;
        so_order_free(o);
    }
    r->last = NULL;
    free(r->model);
    for (int i = 0; i < r->n_stop; i++) free(r->stop[i]);
    r->n_stop = 0;
    so_bytes_clear(&r->body);
}

static bool add(so_chat_request *r, so_order *o)
{
    if (!o) {
        r->fault.status = 503;
        return so_fault_set(&r->fault, NULL, "no memory for the request");
    }
    if (r->last)
        r->last->next = o;
    else
        r->first = o;
    r->last = o;
    return true;
}

/* ---- parts of a message */
static so_status go_on(void *context, double done, double total, so_error *error)
{
    const atomic_bool *over = context;
    (void)done, (void)total;
    return atomic_load(over) ? so_fail(error, SO_ERR_STOPPED, "the server ends") : SO_OK;
}

/* Bytes of a picture in the public network. */
static bool fetch(so_chat_request *r, const char *param, const char *url, unsigned char **data, size_t *n)
{
    const so_fetch_options options = {.tries = 1,
                                      .patience = FETCH_SECONDS,
                                      .seconds = FETCH_SECONDS,
                                      .outside = true,
                                      .step = go_on,
                                      .context = (void *)(uintptr_t)r->over};
    so_fetcher *fetcher = NULL;
    so_fetched got = {0};
    so_error error = {0};
    so_status status = so_fetcher_open(&fetcher, &options, &error);
    if (status == SO_OK) status = so_fetch_text(fetcher, url, FETCH_BYTES, &got, &error);
    so_fetcher_close(&fetcher);
    free(got.next);
    *data = (unsigned char *)got.data;
    *n = got.size;
    return status == SO_OK || so_fault_set(&r->fault, param, "a picture that cannot be fetched: %s", error.text);
}

static bool picture_bytes(so_chat_request *r, const char *param, const json_t *url, unsigned char **data, size_t *n)
{
    const char *text = json_string_value(url);
    if (strncasecmp(text, "https:", 6) == 0 && r->over) return fetch(r, param, text, data, n);
    if (strncmp(text, "data:", 5))
        return so_fault_set(&r->fault, param,
                            r->over ? "pictures are taken as data: URIs or https: addresses"
                                    : "pictures are taken as data: URIs; this server fetches nothing");
    return so_json_bytes(text, json_string_length(url), data, n) ||
           so_fault_set(&r->fault, param, "a data: URI that is not base64");
}

static bool add_picture(so_chat_request *r, const char *param, json_t *part)
{
    json_t *picture = json_object_get(part, "image_url"), *url = json_object_get(picture, "url");
    if (json_is_string(picture)) url = picture;
    if (!json_is_string(url)) return so_fault_set(&r->fault, param, "an image_url without a url");
    unsigned char *data = NULL;
    size_t n;
    so_image image = {0};
    so_error error = {0};
    if (!picture_bytes(r, param, url, &data, &n)) return false;
    so_status status = so_image_decode(&image, data, n, PIXELS_MOST, &error);
    free(data);
    if (status != SO_OK) return so_fault_set(&r->fault, param, "a picture that cannot be read: %s", error.text);
    so_order *o = so_order_new(SO_ORDER_PICTURE, NULL);
    if (o) {
        o->data = image.rgb;
        o->width = image.w;
        o->height = image.h;
    } else
        so_image_clear(&image);
    return add(r, o);
}

static bool add_sound(so_chat_request *r, const char *param, json_t *text)
{
    unsigned char *data;
    size_t n;
    so_audio audio = {0};
    so_error error = {0};
    if (!json_is_string(text)) return so_fault_set(&r->fault, param, "a sound without its data");
    if (!so_json_bytes(json_string_value(text), json_string_length(text), &data, &n))
        return so_fault_set(&r->fault, param, "a sound that is not base64");
    so_status status = so_audio_decode(&audio, data, n, 0, &error);
    free(data);
    if (status != SO_OK) return so_fault_set(&r->fault, param, "a sound that cannot be read: %s", error.text);
    char hash[72] = "sha:";
    so_sha sha;
    so_sha_init(&sha, SO_SHA256);
    so_sha_feed(&sha, audio.samples, (size_t)audio.n * sizeof *audio.samples);
    so_sha_end(&sha, hash + 4);
    hash[60] = 0; /* as long as an id may be */
    so_order *o = so_order_new(SO_ORDER_AUDIO, hash);
    if (o) {
        o->pcm = audio.samples;
        o->samples = (size_t)audio.n;
        o->rate = audio.rate;
    } else
        so_audio_clear(&audio);
    return add(r, o);
}

static bool add_words(so_chat_request *r, so_order_kind kind, const char *param, json_t *text)
{
    if (!json_is_string(text)) return so_fault_set(&r->fault, param, "text that is no string");
    return add(r, so_order_new(kind, json_string_value(text)));
}

static bool user_part(so_chat_request *r, const char *param, json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    char name[160];
    if (!type) return so_fault_set(&r->fault, param, "a part of a message without a type");
    snprintf(name, sizeof name, "%.120s.%s", param, type);
    if (strcmp(type, "text") == 0) return add_words(r, SO_ORDER_TEXT, name, json_object_get(part, "text"));
    if (strcmp(type, "image_url") == 0) return add_picture(r, name, part);
    if (strcmp(type, "input_audio") == 0)
        return add_sound(r, name, json_object_get(json_object_get(part, "input_audio"), "data"));
    if (strcmp(type, "audio_url") == 0)
        return add_sound(r, name, json_object_get(json_object_get(part, "audio_url"), "url"));
    snprintf(name, sizeof name, "%.120s.type", param);
    return so_fault_set(&r->fault, name, "parts of type '%.60s' are not supported (text, image_url, input_audio are)",
                        type);
}

/* All words of a message of the system or of an answer, whose parts can only be text. */
static bool words_of(so_chat_request *r, so_order_kind kind, const char *param, json_t *content)
{
    char *all = NULL;
    size_t size = 0, i;
    json_t *part;
    if (json_is_string(content)) return add_words(r, kind, param, content);
    FILE *out = open_memstream(&all, &size);
    bool good = out != NULL;
    json_array_foreach(content, i, part)
    {
        json_t *text = json_object_get(part, "text");
        if (!json_is_string(text)) text = json_object_get(part, "refusal");
        good = good && json_is_string(text);
        if (good) fputs(json_string_value(text), out);
    }
    if (out) fclose(out);
    good = good ? add(r, so_order_new(kind, all)) : so_fault_set(&r->fault, param, "a part that is no text");
    free(all);
    return good;
}

static bool assistant(so_chat_request *r, const char *param, json_t *message)
{
    json_t *content = json_object_get(message, "content"), *audio = json_object_get(message, "audio");
    const char *id = json_string_value(json_object_get(audio, "id"));
    if (json_array_size(json_object_get(message, "tool_calls")))
        return so_fault_set(&r->fault, param, "calls of tools are not supported");
    if (id && (!content || json_is_null(content))) {
        so_order *o = so_order_new(SO_ORDER_ANSWER, id);
        if (o) o->size = 1;
        return add(r, o);
    }
    if (!json_is_string(content) && !json_is_array(content))
        return so_fault_set(&r->fault, param, "an answer without content");
    return words_of(r, SO_ORDER_ANSWER, param, content);
}

static bool user(so_chat_request *r, const char *param, json_t *content)
{
    size_t i;
    json_t *part;
    if (json_is_string(content)) return add_words(r, SO_ORDER_TEXT, param, content);
    if (!json_array_size(content)) return so_fault_set(&r->fault, param, "a message without content");
    json_array_foreach(content, i, part)
    {
        char name[100];
        snprintf(name, sizeof name, "%.60s[%zu]", param, i);
        if (!user_part(r, name, part)) return false;
    }
    return true;
}

static bool read_messages(so_chat_request *r, json_t *messages)
{
    size_t i;
    json_t *message;
    const char *role = NULL;
    int systems = 0;
    if (!json_array_size(messages)) return so_fault_set(&r->fault, "messages", "no messages");
    if (json_array_size(messages) > TURN_MESSAGES)
        return so_fault_set(&r->fault, "messages", "more than %d messages", TURN_MESSAGES);
    json_array_foreach(messages, i, message)
    {
        char param[64];
        json_t *content = json_object_get(message, "content");
        role = json_string_value(json_object_get(message, "role"));
        snprintf(param, sizeof param, "messages[%zu].content", i);
        bool good;
        if (role && (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0)) {
            if (i != (size_t)systems++)
                return so_fault_set(&r->fault, param, "system text after the conversation began");
            if (systems > 1) return so_fault_set(&r->fault, param, "a second system text");
            good = words_of(r, SO_ORDER_SYSTEM, param, content);
        } else if (role && strcmp(role, "user") == 0)
            good = user(r, param, content);
        else if (role && strcmp(role, "assistant") == 0)
            good = assistant(r, param, message);
        else {
            snprintf(param, sizeof param, "messages[%zu].role", i);
            return so_fault_set(&r->fault, param,
                                "the role '%.40s' is not supported (system, developer, user, assistant are)",
                                role ? role : "");
        }
        if (!good) return false;
    }
    return strcmp(role, "user") == 0 || so_fault_set(&r->fault, "messages", "the last message must be the user's");
}

/* ---- fields */
static bool number_in(so_chat_request *r, json_t *root, const char *name, double least, double most, double *out)
{
    json_t *v = json_object_get(root, name);
    if (!v || json_is_null(v)) return true;
    if (!json_is_number(v) || !(json_number_value(v) >= least && json_number_value(v) <= most))
        return so_fault_set(&r->fault, name, "%s must be a number from %g to %g", name, least, most);
    *out = json_number_value(v);
    return true;
}

static bool whole_in(so_chat_request *r, json_t *root, const char *name, double least, double most, double *out)
{
    json_t *v = json_object_get(root, name);
    if (v && !json_is_null(v) && !json_is_integer(v))
        return so_fault_set(&r->fault, name, "%s must be a whole number", name);
    return number_in(r, root, name, least, most, out);
}

static bool flag(so_chat_request *r, json_t *root, const char *name, bool *out)
{
    json_t *v = json_object_get(root, name);
    if (!v || json_is_null(v)) return true;
    *out = json_is_true(v);
    return json_is_boolean(v) || so_fault_set(&r->fault, name, "%s must be true or false", name);
}

static bool read_numbers(so_chat_request *r, json_t *root)
{
    double temperature = 0, top_p = 0, top_k = 0, seed = 0, most = 0, older = 0, n = 1, likeliest = 0;
    if (!number_in(r, root, "temperature", 0, 2, &temperature) || !number_in(r, root, "top_p", 0, 1, &top_p) ||
        !whole_in(r, root, "top_k", 0, 1e6, &top_k) || !whole_in(r, root, "seed", -9.2e18, 9.2e18, &seed) ||
        !whole_in(r, root, "max_completion_tokens", 1, 1e9, &most) ||
        !whole_in(r, root, "max_tokens", 1, 1e9, &older) || !whole_in(r, root, "n", 1, 128, &n) ||
        !whole_in(r, root, "top_logprobs", 0, SO_LIKELIEST, &likeliest) || !flag(r, root, "logprobs", &r->logprobs))
        return false;
    if (likeliest > 0 && !r->logprobs) return so_fault_set(&r->fault, "top_logprobs", "top_logprobs needs logprobs");
    if (n > 1) return so_fault_set(&r->fault, "n", "more than one answer to a request is not supported");
    if (most <= 0) most = older;
    r->reply.temperature = temperature;
    r->reply.top_p = top_p;
    r->reply.top_k = (int)top_k;
    r->reply.logprobs = r->logprobs;
    r->reply.likeliest = (int)likeliest;
    r->reply.seed = (uint64_t)json_integer_value(json_object_get(root, "seed"));
    r->reply.max_text = most > 1e6 ? 1000000 : (int)most;
    return true;
}

static bool add_stop(so_chat_request *r, json_t *stop)
{
    const char *text = json_string_value(stop);
    if (!text || !text[0]) return so_fault_set(&r->fault, "stop", "stop must be texts that are not empty");
    if (r->n_stop == SO_ORDER_STOPS)
        return so_fault_set(&r->fault, "stop", "more than %d texts to stop at", SO_ORDER_STOPS);
    r->stop[r->n_stop] = strdup(text);
    return r->stop[r->n_stop++] != NULL || so_fault_set(&r->fault, NULL, "no memory");
}

static bool read_stop(so_chat_request *r, json_t *stop)
{
    size_t i;
    json_t *one;
    if (!stop || json_is_null(stop)) return true;
    if (!json_is_array(stop)) return add_stop(r, stop);
    json_array_foreach(stop, i, one) if (!add_stop(r, one)) return false;
    return true;
}

static bool read_modalities(so_chat_request *r, json_t *root)
{
    json_t *list = json_object_get(root, "modalities"), *audio = json_object_get(root, "audio"), *one;
    size_t i;
    if (list && !json_is_null(list) && !json_array_size(list))
        return so_fault_set(&r->fault, "modalities", "modalities must be a list of text and audio");
    json_array_foreach(list, i, one)
    {
        const char *name = json_string_value(one);
        if (name && strcmp(name, "audio") == 0)
            r->voice = true;
        else if (!name || strcmp(name, "text"))
            return so_fault_set(&r->fault, "modalities", "the modality '%.40s' is not supported (text, audio are)",
                                name ? name : "");
    }
    if (!r->voice) return true;
    json_t *voice = json_object_get(audio, "voice");
    so_voice_named(json_is_object(voice) ? json_object_get(voice, "id") : voice, r->speaker);
    const char *format = json_string_value(json_object_get(audio, "format"));
    if (!format) return so_fault_set(&r->fault, "audio", "an answer in audio needs audio.format and audio.voice");
    if (!so_outlet_named(format, &r->sound))
        return so_fault_set(&r->fault, "audio.format",
                            "the format '%.40s' is not supported (wav, flac, opus, mp3, pcm16 are)", format);
    if (r->stream && r->sound != SO_OUTLET_PCM)
        return so_fault_set(
            &r->fault, "audio.format",
            "Unsupported value: 'audio.format' does not support '%.40s' when stream=true. Supported values "
            "are: 'pcm16'.",
            format);
    return true;
}

/* Fields that have an effect only at other values than these are refused at others. */
static bool without_effect(so_chat_request *r, json_t *root)
{
    static const char *const accepted[] = {"user",
                                           "metadata",
                                           "store",
                                           "service_tier",
                                           "prompt_cache_key",
                                           "safety_identifier",
                                           "prompt_cache_retention",
                                           "parallel_tool_calls",
                                           "verbosity",
                                           "reasoning_effort",
                                           "cache_prompt",
                                           "id_slot",
                                           "timings_per_token",
                                           "return_progress",
                                           "prediction"};
    static const char *const used[] = {"model",
                                       "messages",
                                       "modalities",
                                       "audio",
                                       "stream",
                                       "stream_options",
                                       "max_completion_tokens",
                                       "max_tokens",
                                       "temperature",
                                       "top_p",
                                       "top_k",
                                       "seed",
                                       "n",
                                       "stop",
                                       "logprobs",
                                       "top_logprobs"};
    const char *name;
    json_t *v;
    json_object_foreach(root, name, v)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) known |= strcmp(name, accepted[i]) == 0;
        for (size_t i = 0; i < sizeof used / sizeof *used; i++) known |= strcmp(name, used[i]) == 0;
        bool zero = json_is_number(v) && json_number_value(v) >= 0 && json_number_value(v) <= 0;
        if (known || json_is_null(v) || json_is_false(v) || zero || (json_is_array(v) && !json_array_size(v)) ||
            (json_is_object(v) && !json_object_size(v)))
            continue;
        const char *text = json_string_value(json_is_object(v) ? json_object_get(v, "type") : v);
        if (strcmp(name, "response_format") == 0 && text && strcmp(text, "text") == 0) continue;
        if (strcmp(name, "tool_choice") == 0 && text && (strcmp(text, "none") == 0 || strcmp(text, "auto") == 0))
            continue;
        if (strcmp(name, "repeat_penalty") == 0 && json_is_number(v) && json_number_value(v) >= 1 &&
            json_number_value(v) <= 1)
            continue;
        return so_fault_set(&r->fault, name, "the field '%.60s' is not supported at this value", name);
    }
    return true;
}

static bool read_request(so_chat_request *r, json_t *root)
{
    json_t *model = json_object_get(root, "model"), *options = json_object_get(root, "stream_options");
    if (model && !json_is_string(model)) return so_fault_set(&r->fault, "model", "model must be a text");
    r->model = model ? strdup(json_string_value(model)) : NULL;
    return without_effect(r, root) && flag(r, root, "stream", &r->stream) &&
           flag(r, options, "include_usage", &r->usage) && read_modalities(r, root) && read_numbers(r, root) &&
           read_stop(r, json_object_get(root, "stop")) && read_messages(r, json_object_get(root, "messages"));
}

void so_chat_read(so_chat_request *r)
{
    json_t *root = so_json_read(so_bytes_front(&r->body), so_bytes_left(&r->body), &r->fault);
    so_bytes_clear(&r->body);
    if (root) read_request(r, root);
    json_decref(root);
}
