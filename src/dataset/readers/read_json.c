/* Records that are JSON: LLaVA's conversations, lists of messages, UltraChat, Alpaca, InstructS2S, manifests, extracts.
 * Source: data-eval.md A.1, A.2, A.7, B.1.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "dataset/readers/reading.h"
#include "text/chat.h"

/* A record on its way. */
typedef struct making {
    so_reading *r;
    const char *file;
    int64_t number;
    json_t *record; /* owned until it is put */
    bool done;      /* put, or told as bad */
} making;

static so_status give_up(making *m, so_bad reason, so_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static so_status give_up(making *m, so_bad reason, so_error *error, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    m->done = true;
    return so_sink_bad(m->r->sink, reason, m->file, m->number, error, "%s", text);
}

static so_status finish(making *m, so_error *error)
{
    json_t *record = m->record;
    m->record = NULL;
    m->done = true;
    return so_sink_put(m->r->sink, record, m->file, m->number, error);
}

/* The first of the members, comma between, that is there. */
static const json_t *first_of(const json_t *object, const char *names)
{
    for (const char *p = names; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        const json_t *value = json_object_getn(object, p, strcspn(p, ","));
        if (value && !json_is_null(value)) return value;
    }
    return NULL;
}
static const char *text_of(const json_t *object, const char *names)
{
    return json_string_value(first_of(object, names));
}

/* ---- turns */

/* A name of `keys`: "conversations=dialog,role=who". NULL where it is not given. */
static const char *key_of(const so_reading *r, const char *name, char out[64])
{
    size_t n = strlen(name);
    for (const char *p = r->options->keys; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && p[n] == '=') {
            snprintf(out, 64, "%.*s", (int)strcspn(p + n + 1, ","), p + n + 1);
            return out;
        }
    return NULL;
}

static const char *role_of(const so_reading *r, const json_t *turn)
{
    static const char *const names[][2] = {{"human", "user"},          {"user", "user"},     {"gpt", "assistant"},
                                           {"assistant", "assistant"}, {"bot", "assistant"}, {"chatgpt", "assistant"},
                                           {"model", "assistant"},     {"system", "system"}};
    char key[64], value[64];
    const char *found = text_of(turn, key_of(r, "role", key) ? key : "from,role");
    if (!found) return NULL;
    if (key_of(r, "user", value) && strcmp(found, value) == 0) return "user";
    if (key_of(r, "assistant", value) && strcmp(found, value) == 0) return "assistant";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(found, names[i][0]) == 0) return names[i][1];
    return NULL;
}

/* A content as text: a string, or OpenAI's parts. Their pictures go to `images` as placeholders. The caller frees. */
static char *content_of(const json_t *content, json_t *images)
{
    so_string text = {0};
    size_t i;
    json_t *part;
    if (json_is_string(content)) return strdup(json_string_value(content));
    if (!json_is_array(content)) return NULL;
    json_array_foreach((json_t *)(uintptr_t)content, i, part)
    {
        const json_t *url = json_object_get(part, "image_url");
        const char *words = json_string_value(json_object_get(part, "text")),
                   *link =
                       json_is_object(url) ? json_string_value(json_object_get(url, "url")) : json_string_value(url);
        if (link && json_array_append_new(images, json_string(link)) == 0) so_string_put(&text, "<image>\n", NULL);
        if (words) so_string_put(&text, words, NULL);
    }
    so_string_put(&text, "", NULL);
    return text.data;
}

/* Removes a text wherever it stands. */
static void cut_out(char *text, const char *what)
{
    size_t n = strlen(what);
    for (char *p; (p = strstr(text, what));) memmove(p, p + n, strlen(p + n) + 1);
}

/* In a turn with one placeholder it stands first, on a line of its own. */
static char *mark_first(const char *text)
{
    const size_t n = strlen(SO_IMAGE_MARK);
    const char *at = strstr(text, SO_IMAGE_MARK);
    if (!at || strstr(at + n, SO_IMAGE_MARK)) return strdup(text);
    char *rest = strdup(text), *out = NULL;
    if (!rest) return NULL;
    cut_out(rest, SO_IMAGE_MARK);
    const char *words = rest;
    size_t size = strlen(rest);
    so_strip(&words, &size);
    if (asprintf(&out, "%s\n%.*s", SO_IMAGE_MARK, (int)size, words) < 0) out = NULL;
    free(rest);
    return out;
}

/* The rules of LLaVA for a record with pictures. */
static so_status place_marks(making *m, so_error *error)
{
    json_t *turns = json_object_get(m->record, "turns"), *turn;
    size_t n = json_array_size(json_object_get(m->record, "images")), i;
    int64_t marks = 0;
    if (n == 0) return SO_OK;
    json_array_foreach(turns, i, turn) marks += strstr(text_of(turn, "text"), SO_IMAGE_MARK) != NULL;
    if (marks == 0 && n == 1) so_sink_odd(m->r->sink, SO_ODD_MARK);
    json_array_foreach(turns, i, turn)
    {
        char *text = NULL;
        if (marks == 0 && n == 1 && strcmp(text_of(turn, "role"), "user") == 0) {
            if (asprintf(&text, "%s\n%s", SO_IMAGE_MARK, text_of(turn, "text")) < 0) text = NULL;
            marks = 1;
        } else
            text = mark_first(text_of(turn, "text"));
        if (!text || json_object_set_new(turn, "text", json_string(text)) != 0) {
            free(text);
            return so_fail(error, SO_ERR_NOMEM, "no memory for a turn");
        }
        free(text);
    }
    return SO_OK;
}

static so_status add_images(making *m, const json_t *names, so_error *error)
{
    json_t *images = json_array();
    size_t n = json_is_array(names) ? json_array_size(names) : names && !json_is_null(names);
    for (size_t i = 0; i < n; i++) {
        so_bad bad;
        const json_t *one = json_is_array(names) ? json_array_get(names, i) : names;
        const char *name = json_is_object(one) ? text_of(one, "path,file_name,url") : json_string_value(one);
        json_t *file = name ? so_reading_file(m->r, name, SO_FILE_PICTURE, &bad) : NULL;
        if (file) {
            json_array_append_new(images, file);
            continue;
        }
        json_decref(images);
        return give_up(m, name ? bad : SO_BAD_FORM, error, "picture '%.200s'", name ? name : "");
    }
    if (n)
        json_object_set_new(m->record, "images", images);
    else
        json_decref(images);
    return SO_OK;
}

/* The recording of a turn, and units that are ours. */
static so_status add_speech(making *m, const json_t *from, json_t *turn, so_error *error)
{
    so_bad bad;
    const char *name = text_of(from, "speech,audio,wav");
    const json_t *units = json_object_get(from, "unit");
    if (name && name[0]) {
        json_t *file = so_reading_file(m->r, name, SO_FILE_SOUND, &bad);
        if (!file) return give_up(m, bad, error, "recording '%.200s'", name);
        json_object_set_new(turn, "audio", file);
    }
    /* InstructS2S has units of another codec: its recordings are to be made units of again. */
    if (json_is_string(units)) so_sink_odd(m->r->sink, SO_ODD_UNITS);
    return SO_OK;
}

/* Turns that alternate, a system text before them allowed; a first one that is not the user's is left out. */
static so_status add_turns(making *m, const json_t *turns, json_t *images, so_error *error)
{
    char key[64];
    const char *expected = "user", *names = key_of(m->r, "content", key) ? key : "value,content,text";
    for (size_t i = 0; i < json_array_size(turns) && !m->done; i++) {
        const json_t *turn = json_array_get(turns, i);
        const char *role = role_of(m->r, turn);
        if (!role) return give_up(m, SO_BAD_ROLES, error, "turn %zu: nobody says it", i + 1);
        if (i == 0 && strcmp(role, "assistant") == 0) {
            so_sink_odd(m->r->sink, SO_ODD_FIRST);
            continue;
        }
        bool system = strcmp(role, "system") == 0 && i == 0;
        if (!system && strcmp(role, expected) != 0)
            return give_up(m, SO_BAD_ROLES, error, "turn %zu: expected the %s, found the %s", i + 1, expected, role);
        char *text = content_of(first_of(turn, names), images);
        if (!text) return give_up(m, SO_BAD_FORM, error, "turn %zu: no text", i + 1);
        cut_out(text, "QA_GT_caption_based_noisy");
        json_t *made = so_reading_turn(m->record, role, text);
        free(text);
        if (!made) return so_fail(error, SO_ERR_NOMEM, "no memory for a turn");
        SO_TRY(add_speech(m, turn, made, error));
        if (!system) expected = strcmp(role, "user") == 0 ? "assistant" : "user";
    }
    if (!m->done && json_array_size(json_object_get(m->record, "turns")) == 0)
        return give_up(m, SO_BAD_FORM, error, "no turns");
    if (!m->done && strcmp(expected, "assistant") == 0)
        return give_up(m, SO_BAD_EMPTY, error, "the last question has no answer");
    return SO_OK;
}

/* ---- forms */

static so_status conversation(making *m, const json_t *json, const json_t *turns, so_error *error)
{
    json_t *inner = json_array();
    const json_t *images = first_of(json, "image,images");
    if (json_object_get(json, "video") && !images) {
        json_decref(inner);
        return give_up(m, SO_BAD_FORM, error, "a film: pictures and speech only");
    }
    so_status status = add_turns(m, turns, inner, error);
    if (status == SO_OK && !m->done) status = add_images(m, json_array_size(inner) ? inner : images, error);
    json_decref(inner);
    if (status == SO_OK && !m->done) status = place_marks(m, error);
    return status != SO_OK || m->done ? status : finish(m, error);
}

static so_status two_turns(making *m, const char *question, const char *answer, so_error *error)
{
    if (!so_reading_turn(m->record, "user", question) || !so_reading_turn(m->record, "assistant", answer))
        return so_fail(error, SO_ERR_NOMEM, "no memory for a turn");
    return finish(m, error);
}

static so_status alpaca(making *m, const json_t *json, so_error *error)
{
    const char *input = text_of(json, "input"), *answer = text_of(json, "output"),
               *instruction = text_of(json, "instruction");
    char *question;
    if (!instruction || !answer) return give_up(m, SO_BAD_FORM, error, "no instruction or no output");
    if (asprintf(&question, "%s%s%s", instruction, input && input[0] ? "\n" : "", input ? input : "") < 0)
        return so_fail(error, SO_ERR_NOMEM, "no memory for a question");
    so_status status = two_turns(m, question, answer, error);
    free(question);
    return status;
}

static so_status ultrachat(making *m, const json_t *list, so_error *error)
{
    size_t n = json_array_size(list);
    if (n < 2 || n % 2) return give_up(m, SO_BAD_ROLES, error, "%zu texts: a question without an answer", n);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text) return give_up(m, SO_BAD_FORM, error, "text %zu is none", i + 1);
        if (!so_reading_turn(m->record, i % 2 ? "assistant" : "user", text))
            return so_fail(error, SO_ERR_NOMEM, "no memory for a turn");
    }
    return finish(m, error);
}

static double number_of(const json_t *json, const char *names) { return json_number_value(first_of(json, names)); }

static so_status manifest(making *m, const json_t *json, const json_t *audio, so_error *error)
{
    const char *id = text_of(json, "id,key,utt_id"), *text = text_of(json, "text,transcription,sentence,transcript"),
               *name = json_is_object(audio) ? text_of(audio, "path") : json_string_value(audio);
    double offset = number_of(json, "offset,begin"), duration = number_of(json, "duration"),
           end = number_of(json, "end");
    if (!name || !text) return give_up(m, SO_BAD_FORM, error, "no %s", name ? "text" : "recording");
    so_utterance u = {.id = id ? id : "", .text = text, .path = name, .speaker = text_of(json, "speaker,client_id")};
    u.lang = text_of(json, "lang,language,locale");
    if (!isfinite(offset) || !isfinite(duration) || !isfinite(end) || offset < 0 || duration < 0)
        return give_up(m, SO_BAD_DURATION, error, "offset %g, duration %g", offset, duration);
    bool piece = offset > 0 || end > 0 || first_of(json, "offset,begin");
    u.begin = offset;
    u.end = end > 0 ? end : piece && duration > 0 ? offset + duration : 0;
    u.told = u.end > 0 ? 0 : duration;
    m->done = true;
    return so_reading_utterance(m->r, &u, m->file, m->number, error);
}

static so_status extract(making *m, const char *text, so_error *error)
{
    if (!so_reading_turn(m->record, "assistant", text)) return so_fail(error, SO_ERR_NOMEM, "no memory for a turn");
    return finish(m, error);
}

/* What this program wrote: paths are looked for anew. */
static so_status internal(making *m, const json_t *json, so_error *error)
{
    json_decref(m->record);
    m->record = json_deep_copy(json);
    json_t *turns = json_object_get(m->record, "turns"), *turn,
           *images = json_incref(json_object_get(m->record, "images"));
    size_t i;
    so_bad bad;
    json_object_del(m->record, "images");
    so_status status = images ? add_images(m, images, error) : SO_OK;
    json_decref(images);
    json_array_foreach(turns, i, turn)
    {
        json_t *audio = json_object_get(turn, "audio"), *units = json_object_get(turn, "units");
        if (status != SO_OK || m->done) break;
        if (audio) {
            const char *name = text_of(audio, "path");
            json_t *file = so_reading_file(m->r, name ? name : "", SO_FILE_SOUND, &bad);
            if (!file) return give_up(m, bad, error, "recording '%.200s'", name ? name : "");
            json_object_update_missing(file, audio);
            json_object_set_new(turn, "audio", file);
        }
        if (json_is_object(units)) {
            const char *name = text_of(units, "path");
            json_t *file = so_reading_file(m->r, name ? name : "", SO_FILE_UNITS, &bad);
            if (!file) return give_up(m, bad, error, "units '%.200s'", name ? name : "");
            json_object_update_missing(file, units);
            json_object_set_new(turn, "units", file);
        }
    }
    return status != SO_OK || m->done ? status : finish(m, error);
}

static void add_spoken(json_t *turn, const char *path)
{
    if (path) json_object_set_new(turn, "audio", json_pack("{s:s}", "path", path));
}

/* {"question", "answer", "image"?, "speech"?, "answer_speech"?}: one exchange, maybe about a picture, maybe spoken. */
static so_status question(making *m, const json_t *json, so_error *error)
{
    const char *asked = text_of(json, "question"), *answer = text_of(json, "answer"), *image = text_of(json, "image");
    if (!asked || !answer) return give_up(m, SO_BAD_FORM, error, "no question or no answer");
    json_t *user = json_pack("{s:s, s:s+}", "role", "user", "text", image ? SO_IMAGE_MARK "\n" : "", asked);
    json_t *reply = json_pack("{s:s, s:s}", "role", "assistant", "text", answer);
    add_spoken(user, text_of(json, "speech"));
    add_spoken(reply, text_of(json, "answer_speech"));
    json_t *made = json_deep_copy(m->record);
    if (!user || !reply || !made) {
        json_decref(user);
        json_decref(reply);
        json_decref(made);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    }
    json_object_set_new(made, "turns", json_pack("[o, o]", user, reply));
    if (image) json_object_set_new(made, "images", json_pack("[s]", image));
    so_status status = internal(m, made, error);
    json_decref(made);
    return status;
}

/* Which form it is, by its members. */
static so_status dispatch(making *m, const json_t *json, so_error *error)
{
    char key[64];
    const json_t *turns =
                     first_of(json, key_of(m->r, "conversations", key) ? key : "conversations,conversation,messages"),
                 *data = json_object_get(json, "data"), *audio = first_of(json, "audio_filepath,audio,wav,path");
    if (json_is_array(json)) return conversation(m, json, json, error);
    if (!json_is_object(json)) return give_up(m, SO_BAD_FORM, error, "neither an object nor a list of turns");
    if (json_is_array(json_object_get(json, "turns"))) return internal(m, json, error);
    if (json_is_array(turns)) return conversation(m, json, turns, error);
    if (json_is_array(data)) return ultrachat(m, data, error);
    if (json_object_get(json, "instruction")) return alpaca(m, json, error);
    if (json_object_get(json, "question") && json_object_get(json, "answer")) return question(m, json, error);
    if (audio) return manifest(m, json, audio, error);
    if (text_of(json, "text")) return extract(m, text_of(json, "text"), error);
    return give_up(m, SO_BAD_FORM, error,
                   "no conversations, messages, data, instruction, question, recording or text in it");
}

so_status so_read_json_record(so_reading *r, const json_t *json, const char *file, int64_t number, so_error *error)
{
    making m = {.r = r, .file = file, .number = number};
    char name[32];
    const json_t *id = json_object_get(json, "id");
    if (json_is_integer(id)) snprintf(name, sizeof name, "%lld", (long long)json_integer_value(id));
    m.record = so_reading_record(r, json_is_integer(id) ? name : json_string_value(id));
    if (!m.record) return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    so_status status = dispatch(&m, json, error);
    json_decref(m.record);
    return status;
}

/* ---- files */

typedef struct choice {
    so_reading *r;
    int64_t at, total;
    bool *chosen; /* [total], NULL: all */
    so_status status;
    so_error error;
} choice;

static void broken(void *context, so_bad reason, int64_t number, const char *what)
{
    choice *c = context;
    if (c->status == SO_OK) c->status = so_sink_bad(c->r->sink, reason, c->r->path, number, &c->error, "%s", what);
}

static so_status count_one(void *context, const char *text, size_t size, int64_t number, so_error *error)
{
    (void)text, (void)size, (void)number, (void)error;
    ((choice *)context)->total++;
    return SO_OK;
}

static so_status take_one(void *context, const char *text, size_t size, int64_t number, so_error *error)
{
    choice *c = context;
    json_error_t why;
    if (c->chosen && !(c->at < c->total && c->chosen[c->at])) {
        c->at++;
        return SO_OK;
    }
    c->at++;
    json_t *json = json_loadb(text, size, JSON_DECODE_ANY, &why);
    if (!json) {
        so_bad reason = json_error_code(&why) == json_error_invalid_utf8 ? SO_BAD_UTF8 : SO_BAD_JSON;
        return so_sink_bad(c->r->sink, reason, c->r->path, number, error, "%s", why.text);
    }
    so_status status = so_read_json_record(c->r, json, c->r->path, number, error);
    json_decref(json);
    return status;
}

/* How many of `total`, and which: "first:N", "end:N", "random:N", N, "p%". */
static so_status choose(choice *c, const char *take, so_error *error)
{
    char kind[16] = "first", *end;
    const char *number = strchr(take, ':');
    if (number) snprintf(kind, sizeof kind, "%.*s", (int)(number - take), take);
    double n = strtod(number ? number + 1 : take, &end);
    if (*end == '%') n = ceil(n / 100 * (double)c->total - 1e-9), end++;
    bool random = strcmp(kind, "random") == 0, last = strcmp(kind, "end") == 0;
    if (*end || !(n >= 0) || (!random && !last && strcmp(kind, "first") != 0))
        return so_fail(error, SO_ERR_ARG, "'%s', expected all, first:N, end:N, random:N, N or a share as 10%%", take);
    int64_t want = n < (double)c->total ? (int64_t)n : c->total, left = want;
    if (!(c->chosen = calloc((size_t)c->total + 1, sizeof *c->chosen)))
        return so_fail(error, SO_ERR_NOMEM, "no memory to choose of %lld records", (long long)c->total);
    so_rng rng;
    so_rng_init(&rng, c->r->options->seed, 77);
    for (int64_t i = 0; i < c->total; i++) {
        bool in = random ? so_rng_below(&rng, c->total - i) < left : last ? i >= c->total - want : i < want;
        c->chosen[i] = in;
        left -= in;
    }
    return SO_OK;
}

so_status so_read_json(so_reading *r, so_error *error)
{
    const char *take = r->options->take;
    choice c = {.r = r};
    so_map map;
    SO_TRY(so_map_open(&map, r->path, error));
    so_json_list list = {(const char *)map.data, map.size, "data", NULL, &c, count_one};
    so_status status = SO_OK;
    if (take && strcmp(take, "all") != 0) {
        status = so_json_each(&list, error);
        if (status == SO_OK) status = choose(&c, take, error);
    }
    list.each = take_one;
    list.broken = broken;
    if (status == SO_OK) status = so_json_each(&list, error);
    if (status == SO_OK && c.status != SO_OK) status = so_fail(error, c.status, "%s", c.error.text);
    free(c.chosen);
    so_map_close(&map);
    return status;
}
