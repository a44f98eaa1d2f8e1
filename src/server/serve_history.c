/* /v1/history: conversations that clients ask the server to keep (archive.h). Nothing is kept that no client has put
 * here; each key sees its own. Everything that touches the disk is done by one thread, the keeper, in the order in
 * which it was asked; the answer to a PUT or DELETE goes out once what it did is on the disk.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/base64.h"
#include "server/archive.h"
#include "server/inside.h"

enum { TEXT_MOST = 1 << 20, EXPORT_MOST = 128 << 20, QUERY_MOST = 256 };

/* What may be kept beside words; told again under the same type, so nothing that a browser would run is here. */
static const char *const types[] = {"audio/wav",  "audio/mpeg", "audio/ogg", "audio/flac",      "image/png",
                                    "image/jpeg", "image/webp", "image/gif", "application/json"};

typedef struct history {
    so_archive *archive;
    int64_t most; /* bytes of the archive */
    const char *method;
    char owner[SO_ARCHIVE_ID], conversation[SO_ARCHIVE_ID], item[SO_ARCHIVE_ID];
    char query[QUERY_MOST];
    int64_t before, blob;
    int limit;
    bool whole;
    so_bytes body;
    /* what came of it */
    so_fault fault;
    char *text; /* JSON */
    void *data; /* or bytes of `type` */
    size_t size;
    char type[64];
} history;

static void free_history(void *own)
{
    history *h = own;
    so_bytes_clear(&h->body);
    free(h->text);
    free(h->data);
    free(h);
}

/* ---- what is asked */
static bool name_of(const char *text, size_t n, char out[SO_ARCHIVE_ID])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    if (n == 0 || n >= SO_ARCHIVE_ID || strspn(text, letters) < n) return false;
    memcpy(out, text, n);
    out[n] = 0;
    return true;
}

static bool number_in(so_ask *ask, const char *name, int64_t *out, so_fault *fault)
{
    char text[32], *end;
    *out = 0;
    if (!so_http_query(ask->query, name, text, sizeof text)) return true;
    *out = strtoll(text, &end, 10);
    return (*end == 0 && text[0] && *out >= 0) || so_fault_set(fault, name, "%s must be a number", name);
}

/* "", "/CONVERSATION", "/CONVERSATION/ITEM", "/CONVERSATION/blobs/NUMBER" */
static bool read_path(history *h, const char *path)
{
    if (!*path) return true;
    const char *slash = strchr(++path, '/');
    if (!name_of(path, slash ? (size_t)(slash - path) : strlen(path), h->conversation)) return false;
    if (!slash) return true;
    path = slash + 1;
    if (strncmp(path, "blobs/", 6)) return name_of(path, strlen(path), h->item);
    char *end;
    h->blob = strtoll(path + 6, &end, 10);
    return path[6] && *end == 0 && h->blob > 0;
}

static bool read_asked(so_ask *ask, history *h)
{
    int64_t limit = 0, whole = 0;
    if (!read_path(h, ask->path + strlen("/v1/history")))
        return so_fault_set(&h->fault, NULL,
                            "names of conversations and items are 1 to %d letters, digits, '_', '-', '.'",
                            SO_ARCHIVE_ID - 1);
    if (!number_in(ask, "before", &h->before, &h->fault) || !number_in(ask, "limit", &limit, &h->fault) ||
        !number_in(ask, "whole", &whole, &h->fault))
        return false;
    h->limit = limit > SO_ARCHIVE_MOST ? SO_ARCHIVE_MOST : (int)limit;
    h->whole = whole != 0;
    if (strstr(ask->query, "q=") && !so_http_query(ask->query, "q", h->query, sizeof h->query))
        return so_fault_set(&h->fault, "q", "what to search for has at most %d bytes", QUERY_MOST - 1);
    bool get = strcmp(h->method, "GET") == 0, put = strcmp(h->method, "PUT") == 0;
    if ((put && !h->item[0]) || (get && h->item[0]) || (h->blob && !get)) {
        h->fault.status = 404;
        h->fault.code = "not_found";
        return so_fault_set(&h->fault, NULL, "nothing is at '%.100s' for %s", ask->path, h->method);
    }
    return true;
}

/* ---- an item to keep */
static bool read_blob(const json_t *json, so_archive_blob *blob, unsigned char **bytes, so_fault *fault)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *data = json_object_get(json, "data");
    size_t k = 0, count = sizeof types / sizeof *types;
    while (k < count && (!type || strcmp(types[k], type))) k++;
    if (k == count || !json_is_string(data))
        return so_fault_set(fault, "blobs", "a blob has a type (audio/wav, image/png, ...) and data in base64");
    if (!so_json_bytes(json_string_value(data), json_string_length(data), bytes, &blob->size))
        return so_fault_set(fault, "blobs", "the data of a blob is no base64");
    blob->type = types[k];
    blob->data = *bytes;
    return true;
}

static bool read_fields(json_t *root, so_archive_item *item, so_fault *fault)
{
    static const char *const names[] = {"role", "text", "made_ms", "heard_ms", "blobs"};
    const json_t *made = json_object_get(root, "made_ms"), *heard = json_object_get(root, "heard_ms");
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        size_t k = 0;
        while (k < sizeof names / sizeof *names && strcmp(names[k], name)) k++;
        if (k == sizeof names / sizeof *names)
            return so_fault_set(fault, name, "the field '%.60s' is not supported", name);
    }
    item->role = json_string_value(json_object_get(root, "role"));
    item->text = json_string_value(json_object_get(root, "text"));
    if (!item->role || (strcmp(item->role, "user") && strcmp(item->role, "assistant") && strcmp(item->role, "system")))
        return so_fault_set(fault, "role", "role must be user, assistant or system");
    if (!item->text || strlen(item->text) > TEXT_MOST)
        return so_fault_set(fault, "text", "text must be a text of at most %d bytes", TEXT_MOST);
    if ((made && !json_is_integer(made)) || (heard && !json_is_integer(heard) && !json_is_null(heard)))
        return so_fault_set(fault, made && !json_is_integer(made) ? "made_ms" : "heard_ms", "expected milliseconds");
    item->made_ms = made ? json_integer_value(made) : (int64_t)time(NULL) * 1000;
    item->heard_ms = json_is_integer(heard) ? json_integer_value(heard) : -1;
    return true;
}

static bool room_is_left(history *h)
{
    int64_t bytes = 0;
    so_error error = {0};
    if (so_archive_bytes(h->archive, &bytes, &error) == SO_OK && bytes + (int64_t)so_bytes_left(&h->body) <= h->most)
        return true;
    h->fault.status = 507;
    h->fault.code = "history_full";
    return so_fault_set(&h->fault, NULL, "the history is full: %lld of %lld bytes (--history-megabytes)",
                        (long long)bytes, (long long)h->most);
}

static so_status keep(history *h, so_error *error)
{
    unsigned char *bytes[SO_ARCHIVE_BLOBS] = {NULL};
    so_archive_item item = {.conversation = h->conversation, .id = h->item};
    json_t *root = room_is_left(h) ? so_json_read(so_bytes_front(&h->body), so_bytes_left(&h->body), &h->fault) : NULL;
    so_bytes_clear(&h->body);
    const json_t *blobs = json_object_get(root, "blobs");
    size_t n = json_array_size(blobs);
    bool fine = root && read_fields(root, &item, &h->fault);
    if (fine && (n > SO_ARCHIVE_BLOBS || (blobs && !json_is_array(blobs))))
        fine = so_fault_set(&h->fault, "blobs", "expected a list of at most %d", SO_ARCHIVE_BLOBS);
    for (size_t i = 0; fine && i < n; i++, item.n_blobs++)
        fine = read_blob(json_array_get(blobs, i), &item.blob[i], &bytes[i], &h->fault);
    so_status status = fine ? so_archive_keep(h->archive, &item, error) : SO_OK;
    for (size_t i = 0; i < SO_ARCHIVE_BLOBS; i++) free(bytes[i]);
    json_decref(root);
    return status;
}

/* ---- what is told */
/* Bytes of all that belongs to a conversation's items. */
static int64_t size_of(const json_t *conversation)
{
    int64_t sum = 0;
    size_t i, k;
    json_t *item, *blob;
    json_array_foreach(json_object_get(conversation, "items"), i, item)
    {
        json_array_foreach(json_object_get(item, "blobs"), k, blob)
        {
            sum += json_integer_value(json_object_get(blob, "size"));
        }
    }
    return sum;
}

static so_status tell_conversation(history *h, json_t **out, so_error *error)
{
    SO_TRY(so_archive_get(h->archive, h->conversation, false, out, error));
    if (!h->whole) return SO_OK;
    bool large = size_of(*out) > EXPORT_MOST;
    json_decref(*out);
    *out = NULL;
    if (!large) return so_archive_get(h->archive, h->conversation, true, out, error);
    h->fault.status = 413;
    so_fault_set(&h->fault, NULL, "more than %d MB in one conversation: ask for its blobs one by one",
                 EXPORT_MOST >> 20);
    return SO_OK;
}

static so_status tell(history *h, json_t **out, so_error *error)
{
    json_t *list = NULL;
    if (h->blob) return so_archive_blob_get(h->archive, h->blob, &h->data, &h->size, h->type, error);
    if (h->conversation[0]) return tell_conversation(h, out, error);
    if (h->query[0])
        SO_TRY(so_archive_search(h->archive, h->query, h->limit, &list, error));
    else
        SO_TRY(so_archive_list(h->archive, h->before, h->limit, &list, error));
    *out = json_pack("{s:s,s:o}", "object", "list", "data", list);
    return SO_OK;
}

static so_status forget(history *h, so_error *error)
{
    if (h->item[0]) return so_archive_delete_item(h->archive, h->conversation, h->item, error);
    if (h->conversation[0]) return so_archive_delete(h->archive, h->conversation, error);
    return so_archive_delete_all(h->archive, error);
}

/* By the keeper. */
static void work(void *own)
{
    history *h = own;
    so_error error = {0};
    json_t *json = NULL;
    so_status status;
    so_archive_owner(h->archive, h->owner);
    if (strcmp(h->method, "GET") == 0) {
        status = tell(h, &json, &error);
    } else {
        bool put = strcmp(h->method, "PUT") == 0;
        status = put ? keep(h, &error) : forget(h, &error);
        if (status == SO_OK)
            json = json_pack("{s:s?,s:s?,s:b}", "conversation", h->conversation[0] ? h->conversation : NULL, "id",
                             h->item[0] ? h->item : NULL, put ? "kept" : "deleted", 1);
    }
    if (status != SO_OK) so_fault_of(&h->fault, status, error.text);
    if (status == SO_ERR_MISSING) h->fault.status = 404, h->fault.code = "not_found";
    if (status == SO_ERR_IO) h->fault.status = 507;
    h->text = json && h->fault.status == 0 ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!h->text && !h->data && h->fault.status == 0) {
        h->fault.status = 503;
        so_fault_set(&h->fault, NULL, "no memory for the answer");
    }
}

static void done(so_ask *ask)
{
    history *h = ask->own;
    if (h->fault.status) {
        so_ask_fault(ask, &h->fault);
    } else if (h->data) {
        /* What a client has put there must stay harmless when a browser opens it. */
        const char *fields =
            "Content-Security-Policy: default-src 'none'; sandbox\r\nX-Content-Type-Options: nosniff\r\n"
            "Content-Disposition: attachment\r\nCache-Control: private, max-age=3600\r\n";
        so_web_reply(ask->web, 200, h->type, so_ask_fields(ask, fields), h->data, h->size);
    } else {
        const char *fields = h->whole ? "Content-Disposition: attachment; filename=\"conversation.json\"\r\n" : "";
        so_web_reply(ask->web, 200, "application/json", so_ask_fields(ask, fields), h->text, strlen(h->text));
    }
}

void so_answer_history(so_ask *ask)
{
    so_server *s = ask->server;
    if (!s->archive) {
        so_ask_error(ask, 404, "history_off", NULL, "this server keeps no history (--history FILE)");
        return;
    }
    history *h = calloc(1, sizeof *h);
    if (!h) {
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
        return;
    }
    h->archive = s->archive;
    h->most = (int64_t)((s->options->history_megabytes > 0 ? s->options->history_megabytes : 4096) * 1e6);
    h->method = ask->route->method;
    snprintf(h->owner, sizeof h->owner, "%s", ask->key);
    h->body = ask->body;
    ask->body = (so_bytes){0};
    ask->own = h;
    ask->free = free_history;
    if (read_asked(ask, h))
        so_ask_work_by(ask, s->keeping, work, done);
    else
        so_ask_fault(ask, &h->fault);
}
