/* POST /v1/chat/completions: text, pictures and sound in; text and speech out, whole or streamed.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/chat_request.h"
#include "server/keeper.h"

typedef struct chat {
    so_chat_request request;
    so_bytes text;    /* of the answer, whole */
    so_bytes sound;   /* whole; or, streamed, what makes no whole group of samples and base64 yet */
    json_t *logprobs; /* of tokens; streamed, of those not told yet; NULL: none */
    char *heard;      /* the user's words */
    char id[64], audio_id[64];
    time_t created;
    size_t sent; /* bytes of the text that were streamed */
    bool headed, ended, voice_headed;
    so_order *listened;  /* sound of an earlier turn that is being written down; NULL: none, the answer is made */
    char sound_name[64]; /* of the last turn; "": it has none, or several */
} chat;

static void free_chat(void *own)
{
    chat *c = own;
    so_chat_clear(&c->request);
    so_bytes_clear(&c->text);
    so_bytes_clear(&c->sound);
    free(c->heard);
    json_decref(c->logprobs);
    free(c);
}

static void read_request(void *own) { so_chat_read(&((chat *)own)->request); }

/* ---- what goes out */
static json_t *usage_json(const so_usage *u)
{
    int out = u->text_tokens + u->units;
    return json_pack("{s:i,s:i,s:i,s:{s:i,s:i,s:i,s:i},s:{s:i,s:i,s:i}}", "prompt_tokens", u->prompt_positions,
                     "completion_tokens", out, "total_tokens", u->prompt_positions + out, "prompt_tokens_details",
                     "audio_tokens", u->audio_in, "cached_tokens", u->cached_positions, "text_tokens", u->text_in,
                     "image_tokens", u->image_in, "completion_tokens_details", "audio_tokens", u->units, "text_tokens",
                     u->text_tokens, "reasoning_tokens", 0);
}

static const char *finish_of(const so_usage *u)
{
    return u->end == SO_END_LENGTH || u->end == SO_END_CONTEXT || u->end == SO_END_RUN_AWAY ? "length" : "stop";
}

static const char *model_of(so_ask *ask)
{
    so_model_info info;
    const chat *c = ask->own;
    return c->request.model ? c->request.model : so_server_model(ask->server, &info);
}

static json_t *words(const so_bytes *text, size_t from)
{
    json_t *s = json_stringn((const char *)so_bytes_front(text) + from, so_bytes_left(text) - from);
    return s ? s : json_string("");
}

static json_t *frame(so_ask *ask, const char *object)
{
    const chat *c = ask->own;
    return json_pack("{s:s,s:s,s:I,s:s,s:s}", "id", c->id, "object", object, "created", (json_int_t)c->created, "model",
                     model_of(ask), "system_fingerprint", "stream-omni-" SO_VERSION);
}

/* Log-probabilities that were not told yet. */
static json_t *logprobs(chat *c)
{
    json_t *tokens = c->logprobs;
    c->logprobs = NULL;
    return tokens ? json_pack("{s:o,s:n}", "content", tokens, "refusal") : json_null();
}

/* One chunk with this delta, which it takes. */
static void chunk(so_ask *ask, json_t *delta, const char *finish)
{
    chat *c = ask->own;
    json_t *j = frame(ask, "chat.completion.chunk");
    json_object_set_new(j, "choices",
                        json_pack("[{s:i,s:o,s:o,s:s?}]", "index", 0, "delta", delta, "logprobs", logprobs(c),
                                  "finish_reason", finish));
    if (c->request.usage) json_object_set_new(j, "usage", json_null());
    so_ask_event(ask, NULL, j);
}

static void begin_stream(so_ask *ask)
{
    chat *c = ask->own;
    if (c->headed) return;
    c->headed = true;
    if (!so_ask_begin(ask, NULL)) return;
    json_t *later = c->logprobs; /* they go with the words */
    c->logprobs = NULL;
    chunk(ask, json_pack("{s:s,s:s,s:n}", "role", "assistant", "content", "", "refusal"), NULL);
    if (c->heard) {
        json_t *j = frame(ask, "chat.completion.chunk");
        json_object_set_new(j, "choices", json_array());
        json_object_set_new(j, "stream_omni", json_pack("{s:s}", "input_transcript", c->heard));
        if (c->request.usage) json_object_set_new(j, "usage", json_null());
        so_ask_event(ask, NULL, j);
    }
    if (c->request.voice) chunk(ask, json_pack("{s:{s:s}}", "audio", "id", c->audio_id), NULL);
    c->logprobs = later;
}

static void stream_text(so_ask *ask)
{
    chat *c = ask->own;
    if (so_bytes_left(&c->text) == c->sent) return;
    begin_stream(ask);
    json_t *piece = words(&c->text, c->sent);
    c->sent = so_bytes_left(&c->text);
    chunk(ask,
          c->request.voice ? json_pack("{s:{s:o}}", "audio", "transcript", piece)
                           : json_pack("{s:o}", "content", piece),
          NULL);
}

/* Groups of three samples are whole groups of base64: pieces put behind each other are base64 again. */
static void stream_sound(so_ask *ask, bool last)
{
    chat *c = ask->own;
    size_t n = so_bytes_left(&c->sound);
    if (!last) n -= n % 6;
    if (n == 0) return;
    begin_stream(ask);
    chunk(ask, json_pack("{s:{s:o}}", "audio", "data", so_json_base64(so_bytes_front(&c->sound), n)), NULL);
    so_bytes_take(&c->sound, n);
}

static void end_stream(so_ask *ask, const so_usage *u)
{
    chat *c = ask->own;
    begin_stream(ask);
    stream_text(ask);
    stream_sound(ask, true);
    if (c->request.voice)
        chunk(ask, json_pack("{s:{s:I}}", "audio", "expires_at", (json_int_t)(c->created + SO_KEEPER_S)), NULL);
    chunk(ask, json_object(), finish_of(u));
    if (c->request.usage) {
        json_t *j = frame(ask, "chat.completion.chunk");
        json_object_set_new(j, "choices", json_array());
        json_object_set_new(j, "usage", usage_json(u));
        so_ask_event(ask, NULL, j);
    }
    so_ask_piece(ask, "data: [DONE]\n\n", 14);
    so_ask_end(ask);
}

static void answer_whole(so_ask *ask, const so_usage *u)
{
    chat *c = ask->own;
    bool voice = c->request.voice;
    json_t *message = json_pack("{s:s,s:o,s:n,s:[]}", "role", "assistant", "content",
                                voice ? json_null() : words(&c->text, 0), "refusal", "annotations");
    if (voice)
        json_object_set_new(message, "audio",
                            json_pack("{s:s,s:I,s:o,s:o}", "id", c->audio_id, "expires_at",
                                      (json_int_t)(c->created + SO_KEEPER_S), "data",
                                      so_json_base64(so_bytes_front(&c->sound), so_bytes_left(&c->sound)), "transcript",
                                      words(&c->text, 0)));
    json_t *j = frame(ask, "chat.completion");
    json_object_set_new(j, "choices",
                        json_pack("[{s:i,s:o,s:o,s:s}]", "index", 0, "message", message, "logprobs", logprobs(c),
                                  "finish_reason", finish_of(u)));
    json_object_set_new(j, "usage", usage_json(u));
    if (c->heard) json_object_set_new(j, "stream_omni", json_pack("{s:s}", "input_transcript", c->heard));
    so_ask_json(ask, 200, j);
}

/* ---- what is asked */
/* A spoken answer that is named by its id becomes its words. */
static bool resolve(so_ask *ask, so_order *o)
{
    if (o->kind != SO_ORDER_ANSWER || o->size == 0) return true;
    const char *said = so_keeper_get(ask->server->answers, o->text, time(NULL));
    char *copy = said ? strdup(said) : NULL;
    if (!copy) {
        so_ask_error(ask, 400, "audio_not_found", "messages", "the spoken answer '%.60s' is not kept (any more)",
                     o->text);
        return false;
    }
    free(o->text);
    o->text = copy;
    o->size = 0;
    return true;
}

static void become_words(so_order *o, const char *words)
{
    char *copy = strdup(words);
    if (!copy) return;
    free(o->text);
    free(o->pcm);
    o->pcm = NULL;
    o->text = copy;
    o->kind = SO_ORDER_TEXT;
}

/* The sound of the last turn, for when it comes again. */
static void name_sound(chat *c)
{
    int n = 0;
    for (const so_order *o = c->request.first; o; o = o->next) {
        if (o->kind == SO_ORDER_ANSWER) n = 0;
        if (o->kind == SO_ORDER_AUDIO && ++n == 1) snprintf(c->sound_name, sizeof c->sound_name, "%s", o->text);
    }
    if (n != 1) c->sound_name[0] = 0;
}

/* The whole conversation and the reply, at once. `alone`: the seat was used for nothing else before. */
static void give(so_ask *ask, bool alone)
{
    chat *c = ask->own;
    so_chat_request *r = &c->request;
    so_order *reply = so_order_new(SO_ORDER_REPLY, NULL), *clear = alone ? NULL : so_order_new(SO_ORDER_CLEAR, NULL);
    if (!reply || (!alone && !clear)) {
        so_order_free(reply);
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
        return;
    }
    reply->turn = 1;
    reply->want = SO_WANT_TEXT | (r->voice ? SO_WANT_VOICE : 0);
    reply->own = true;
    memcpy(reply->stop, r->stop, sizeof reply->stop);
    r->n_stop = 0; /* the order owns them now */
    reply->reply = r->reply;
    reply->reply.answer_silence = 1; /* a request is always answered */
    reply->sound = r->sound;
    memcpy(reply->voice, r->speaker, sizeof reply->voice);
    reply->whole = !r->stream;
    r->last->next = reply;
    if (alone)
        so_desk_share(ask->server->desk, ask->seat);
    else
        so_ask_order(ask, clear);
    so_order *all = r->first;
    r->first = r->last = NULL;
    so_ask_order(ask, all);
}

/* Earlier turns are told in words: a sound that was heard before is known by its name, else it is written down first.
 * Gives the first that is not known. */
static so_order *unknown_sound(so_ask *ask)
{
    chat *c = ask->own;
    const so_order *last = NULL; /* answer */
    for (const so_order *o = c->request.first; o; o = o->next)
        if (o->kind == SO_ORDER_ANSWER) last = o;
    for (so_order *o = c->request.first; last && o != last; o = o->next) {
        const char *words = o->kind == SO_ORDER_AUDIO ? so_keeper_get(ask->server->answers, o->text, time(NULL)) : NULL;
        if (o->kind == SO_ORDER_AUDIO && !words) return o;
        if (words) become_words(o, words);
    }
    return NULL;
}

/* Has the sound of an earlier turn written down. */
static void listen(so_ask *ask, so_order *o)
{
    chat *c = ask->own;
    so_order *audio = so_order_new(SO_ORDER_AUDIO, NULL), *end = so_order_new(SO_ORDER_LISTEN, NULL);
    c->listened = o;
    if (!audio || !end) {
        so_order_free(audio);
        so_order_free(end);
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
        return;
    }
    audio->pcm = o->pcm;
    audio->samples = o->samples;
    audio->rate = o->rate;
    o->pcm = NULL;
    end->turn = 2;
    so_ask_order(ask, so_order_new(SO_ORDER_CLEAR, NULL));
    so_ask_order(ask, audio);
    so_ask_order(ask, end);
}

/* ---- what is told */
static void take_text(so_ask *ask, const so_told *t)
{
    chat *c = ask->own;
    if (c->text.size == 0) so_times_add(&ask->server->first_text, so_poll_now() - ask->began);
    so_bytes_put(&c->text, t->text, strlen(t->text));
    if (t->logprobs && !c->logprobs) c->logprobs = json_array();
    if (t->logprobs) json_array_extend(c->logprobs, t->logprobs);
    if (c->request.stream) stream_text(ask);
}

static void take_sound(so_ask *ask, const so_told *t)
{
    chat *c = ask->own;
    if (!c->voice_headed) so_times_add(&ask->server->first_audio, so_poll_now() - ask->began);
    c->voice_headed = true;
    so_bytes_put(&c->sound, t->data, t->size);
    if (c->request.stream) stream_sound(ask, false);
}

static void take_done(so_ask *ask, const so_usage *u)
{
    chat *c = ask->own;
    if (c->request.voice) {
        so_bytes terminated = {0};
        so_bytes_put(&terminated, so_bytes_front(&c->text), so_bytes_left(&c->text));
        so_bytes_put(&terminated, "", 1);
        so_keeper_put(ask->server->answers, c->audio_id, (const char *)so_bytes_front(&terminated), c->created);
        so_bytes_clear(&terminated);
    }
    if (c->sound_name[0] && c->heard) so_keeper_put(ask->server->answers, c->sound_name, c->heard, time(NULL));
    c->ended = true;
    if (c->request.stream)
        end_stream(ask, u);
    else
        answer_whole(ask, u);
}

/* The sound of an earlier turn: then the next, or the answer. */
static void written_down(so_ask *ask)
{
    chat *c = ask->own;
    so_keeper_put(ask->server->answers, c->listened->text, c->heard ? c->heard : "", time(NULL));
    free(c->heard);
    c->heard = NULL;
    c->listened = NULL;
    so_order *unknown = unknown_sound(ask);
    if (unknown)
        listen(ask, unknown);
    else
        give(ask, false);
}

static void on_told(so_ask *ask, so_told *t)
{
    chat *c = ask->own;
    if (c->ended) return;
    if (c->listened && t->kind == SO_TOLD_DONE) {
        written_down(ask);
        return;
    }
    switch (t->kind) {
    case SO_TOLD_HEARD:
        if (!t->final) return;
        free(c->heard);
        c->heard = strdup(t->text);
        return;
    case SO_TOLD_TEXT:
        take_text(ask, t);
        return;
    case SO_TOLD_SOUND:
        take_sound(ask, t);
        return;
    case SO_TOLD_DONE:
        take_done(ask, &t->usage);
        return;
    case SO_TOLD_FAILED:
        c->ended = true;
        so_ask_failed(ask, t);
        return;
    default:
        return;
    }
}

static void on_read(so_ask *ask)
{
    chat *c = ask->own;
    so_chat_request *r = &c->request;
    so_model_info info;
    so_server_model(ask->server, &info);
    if (r->fault.status == 0 && r->voice && !info.speaks)
        so_fault_set(&r->fault, "modalities", "this model gives no audio");
    if (r->fault.status) {
        so_ask_fault(ask, &r->fault);
        return;
    }
    for (so_order *o = r->first; o; o = o->next)
        if (!resolve(ask, o)) return;
    if (!so_ask_sit(ask)) return;
    name_sound(c);
    so_order *unknown = unknown_sound(ask);
    if (unknown)
        listen(ask, unknown);
    else
        give(ask, true);
}

void so_answer_chat(so_ask *ask)
{
    chat *c = calloc(1, sizeof *c);
    if (!c) {
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
        return;
    }
    ask->own = c;
    ask->free = free_chat;
    ask->told = on_told;
    c->created = time(NULL);
    so_server_id(ask->server, "chatcmpl-", c->id);
    so_server_id(ask->server, "audio_", c->audio_id);
    c->request.body = ask->body;
    ask->body = (so_bytes){0};
    so_server *s = ask->server;
    const so_bytes *body = &c->request.body;
    bool fetches =
        s->fetching && (memmem(body->data, body->size, "://", 3) || memmem(body->data, body->size, ":\\/\\/", 5));
    if (fetches) c->request.over = &s->over;
    so_ask_work_by(ask, fetches ? s->fetching : s->chores, read_request, on_read);
}
