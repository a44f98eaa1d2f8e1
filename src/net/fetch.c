/* Getting things over HTTP.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/fetch.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/file.h"
#include "base/part.h"
#include "net/outside.h"

struct so_fetcher {
    CURL *curl;
    so_fetch_options options;
    char authorization[4096];
    long code;    /* of the last answer */
    bool reached; /* by the last request */
};

/* What is sent along. */
typedef struct sending {
    const char *body, *type; /* NULL: nothing */
    bool get;                /* although there is a body */
} sending;

/* One answer on its way in. */
typedef struct incoming {
    so_fetcher *fetcher;
    so_fetched *text; /* either */
    so_part *part;    /* or */
    const so_fetch_file *file;
    size_t limit;
    sending sent;
    uint64_t asked; /* the range began here */
    bool started;
    char link[2048];
    int64_t range_start; /* of the answer; -1: it is the whole */
    int64_t range_total; /* -1: not told */
    so_error error;      /* ours, when we stopped it */
} incoming;

so_status so_fetcher_open(so_fetcher **out, const so_fetch_options *options, so_error *error)
{
    *out = calloc(1, sizeof **out);
    if (*out) (*out)->curl = curl_easy_init();
    if (!*out || !(*out)->curl) {
        free(*out);
        *out = NULL;
        return so_fail(error, SO_ERR_NOMEM, "no memory for a connection");
    }
    so_fetch_options *o = &(*out)->options;
    *o = *options;
    if (o->tries <= 0) o->tries = 5;
    if (o->pause <= 0) o->pause = 1;
    if (o->patience <= 0) o->patience = 60;
    if (o->token && o->token[0]) {
        size_t n = strcspn(o->token, "\r\n");
        int wrote = snprintf((*out)->authorization, sizeof(*out)->authorization, "Authorization: Bearer %.*s", (int)n,
                             o->token);
        if (wrote < 0 || (size_t)wrote >= sizeof(*out)->authorization) {
            so_fetcher_close(out);
            return so_fail(error, SO_ERR_LIMIT, "a token of %zu bytes", n);
        }
    }
    return SO_OK;
}

void so_fetcher_close(so_fetcher **fetcher)
{
    if (!fetcher || !*fetcher) return;
    curl_easy_cleanup((*fetcher)->curl);
    free(*fetcher);
    *fetcher = NULL;
}

bool so_fetcher_reached(const so_fetcher *f) { return f->reached; }

void so_fetched_clear(so_fetched *fetched)
{
    free(fetched->data);
    free(fetched->next);
    *fetched = (so_fetched){0};
}

/* ---- what comes in */

/* Headers of every answer on the way, redirects too: each begins anew. */
static size_t on_header(char *line, size_t one, size_t n, void *context)
{
    incoming *in = context;
    (void)one;
    char text[2048];
    size_t length = n < sizeof text - 1 ? n : sizeof text - 1;
    memcpy(text, line, length);
    text[length] = 0;
    text[strcspn(text, "\r\n")] = 0;
    if (strncasecmp(text, "HTTP/", 5) == 0) {
        in->range_start = in->range_total = -1;
        in->link[0] = 0;
    } else if (strncasecmp(text, "Link:", 5) == 0) {
        snprintf(in->link, sizeof in->link, "%s", text + 5);
    } else if (strncasecmp(text, "Content-Range:", 14) == 0) {
        long long from = -1, to = -1, total = -1;
        if (sscanf(text + 14, " bytes %lld-%lld/%lld", &from, &to, &total) >= 2) {
            in->range_start = from;
            in->range_total = total;
        }
    }
    return n;
}

static so_status take_text(incoming *in, const char *data, size_t n)
{
    if (n > in->limit - in->text->size)
        return so_fail(&in->error, SO_ERR_LIMIT, "an answer above %zu bytes", in->limit);
    char *longer = realloc(in->text->data, in->text->size + n + 1);
    if (!longer) return so_fail(&in->error, SO_ERR_NOMEM, "no memory for an answer");
    memcpy(longer + in->text->size, data, n);
    in->text->data = longer;
    in->text->size += n;
    longer[in->text->size] = 0;
    return SO_OK;
}

/* The first bytes tell where they belong: at the place we asked for, or, from a server without ranges, at the start. */
static so_status place(incoming *in)
{
    in->started = true;
    if (in->range_start >= 0 && (uint64_t)in->range_start != in->asked)
        return so_fail(&in->error, SO_ERR_FORMAT, "'%s' was asked for from byte %llu and came from byte %lld",
                       in->file->url, (unsigned long long)in->asked, (long long)in->range_start);
    if (in->file->size >= 0 && in->range_total >= 0 && in->range_total != in->file->size)
        return so_fail(&in->error, SO_ERR_FORMAT, "'%s' has %lld bytes, expected %lld", in->file->url,
                       (long long)in->range_total, (long long)in->file->size);
    if (in->range_start < 0 && in->part->size) return so_part_cut(in->part, 0, &in->error);
    return SO_OK;
}

static so_status take_file(incoming *in, const char *data, size_t n)
{
    const so_fetch_options *o = &in->fetcher->options;
    if (!in->started) SO_TRY(place(in));
    if (in->file->size >= 0 && in->part->size + n > (uint64_t)in->file->size)
        return so_fail(&in->error, SO_ERR_FORMAT, "'%s' is longer than the %lld bytes it should have", in->file->url,
                       (long long)in->file->size);
    SO_TRY(so_part_put(in->part, data, n, &in->error));
    return o->step ? o->step(o->context, (double)in->part->size, in->file->size > 0 ? (double)in->file->size : 0,
                             &in->error)
                   : SO_OK;
}

static size_t on_data(char *data, size_t one, size_t n, void *context)
{
    incoming *in = context;
    long code = 0;
    (void)one;
    curl_easy_getinfo(in->fetcher->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code < 200 || code >= 300) return n; /* the text of a refusal */
    return (in->text ? take_text(in, data, n) : take_file(in, data, n)) == SO_OK ? n : 0;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    incoming *in = context;
    const so_fetch_options *o = &in->fetcher->options;
    (void)a, (void)b, (void)c, (void)d;
    if (in->error.status != SO_OK || !o->step) return in->error.status != SO_OK;
    double total = in->file && in->file->size > 0 ? (double)in->file->size : 0;
    return o->step(o->context, in->part ? (double)in->part->size : 0, total, &in->error) != SO_OK;
}

/* ---- one request */

/* Called with the address that will be connected to, so that a name cannot mean another one later. */
static curl_socket_t open_outside(void *context, curlsocktype purpose, struct curl_sockaddr *to)
{
    incoming *in = context;
    if (purpose == CURLSOCKTYPE_IPCXN && so_address_outside(&to->addr))
        return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    if (in->error.status == SO_OK)
        so_fail(&in->error, SO_ERR_ARG, "that host is not in the public network; nothing is fetched from it");
    return CURL_SOCKET_BAD;
}

static void keep_outside(CURL *c, incoming *in)
{
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 3L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_outside);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, in);
}

static void prepare(so_fetcher *f, const char *url, incoming *in, struct curl_slist *headers)
{
    CURL *c = f->curl;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "stream-omni");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, f->options.patience < 1 ? 1L : (long)f->options.patience);
    if (f->options.proxy) curl_easy_setopt(c, CURLOPT_PROXY, f->options.proxy);
    if (f->options.seconds > 0) curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(f->options.seconds * 1000));
    if (f->options.outside) keep_outside(c, in);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, in);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, in);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, in);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    if (in->sent.body) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, in->sent.body);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)strlen(in->sent.body));
        if (in->sent.get) curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, "GET");
    }
    if (in->part && in->part->size) {
        char range[32];
        in->asked = in->part->size;
        snprintf(range, sizeof range, "%llu-", (unsigned long long)in->asked);
        curl_easy_setopt(c, CURLOPT_RANGE, range);
    }
}

static so_status refused(const char *url, long code, so_error *error)
{
    if (code == 404) return so_fail(error, SO_ERR_MISSING, "%s: not found (404)", url);
    if (code == 401 || code == 403)
        return so_fail(error, SO_ERR_ARG, "%s: refused (%ld); the repository wants a token, or one that may read it",
                       url, code);
    if (code == 429 || code >= 500) return so_fail(error, SO_ERR_IO, "%s: the server answers %ld", url, code);
    return so_fail(error, SO_ERR_FORMAT, "%s: the server answers %ld", url, code);
}

/* *again: trying once more may help. */
static so_status request(so_fetcher *f, const char *url, incoming *in, bool *again, so_error *error)
{
    char message[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = f->authorization[0] ? curl_slist_append(NULL, f->authorization) : NULL;
    long code = 0;
    *again = false;
    if (in->sent.type) headers = curl_slist_append(headers, in->sent.type);
    prepare(f, url, in, headers);
    curl_easy_setopt(f->curl, CURLOPT_ERRORBUFFER, message);
    CURLcode result = curl_easy_perform(f->curl);
    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &code);
    f->code = code;
    curl_off_t connected = 0;
    curl_easy_getinfo(f->curl, CURLINFO_CONNECT_TIME_T, &connected);
    f->reached = connected > 0;
    curl_easy_setopt(f->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    if (in->error.status != SO_OK) return so_fail(error, in->error.status, "%s", in->error.text);
    if (result == CURLE_OK && code >= 200 && code < 300) return SO_OK;
    if (result == CURLE_OK) {
        *again = code == 408 || code == 429 || code >= 500;
        return refused(url, code, error);
    }
    *again = result != CURLE_URL_MALFORMAT && result != CURLE_UNSUPPORTED_PROTOCOL &&
             result != CURLE_TOO_MANY_REDIRECTS && result != CURLE_PEER_FAILED_VERIFICATION &&
             result != CURLE_OUT_OF_MEMORY;
    return so_fail(error, SO_ERR_IO, "%s: %s", url, message[0] ? message : curl_easy_strerror(result));
}

/* In steps of a fifth of a second, so that somebody who wants to stop need not wait. */
static so_status wait(so_fetcher *f, int n, double done, double total, so_error *error)
{
    double left = f->options.pause;
    for (int i = 1; i < n && left < 30; i++) left *= 2;
    for (left = left > 30 ? 30 : left; left > 0; left -= 0.2) {
        struct timespec t = {0, (long)((left < 0.2 ? left : 0.2) * 1e9)};
        if (f->options.step) SO_TRY(f->options.step(f->options.context, done, total, error));
        nanosleep(&t, NULL);
    }
    return SO_OK;
}

static so_status next_link(incoming *in, const char *url, so_error *error)
{
    const char *open = strchr(in->link, '<'), *close = open ? strchr(open, '>') : NULL;
    if (!close || !strstr(close, "rel=\"next\"")) return SO_OK;
    CURLU *u = curl_url();
    char *text = strndup(open + 1, (size_t)(close - open - 1)), *whole = NULL;
    bool fine = u && text && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK;
    if (fine) in->text->next = strdup(whole);
    curl_free(whole);
    curl_url_cleanup(u);
    free(text);
    if (!fine) return so_fail(error, SO_ERR_FORMAT, "%s: the link to the next page is none", url);
    return in->text->next ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a link");
}

static so_status text_of(so_fetcher *f, const char *url, sending sent, size_t limit, so_fetched *out, so_error *error)
{
    *out = (so_fetched){0};
    for (int n = 1;; n++) {
        bool again;
        incoming in = {.fetcher = f, .text = out, .sent = sent, .limit = limit, .range_start = -1, .range_total = -1};
        so_fetched_clear(out);
        so_status status = request(f, url, &in, &again, error);
        if (status == SO_OK && !out->data && !(out->data = calloc(1, 1)))
            status = so_fail(error, SO_ERR_NOMEM, "no memory for an answer");
        if (status == SO_OK) status = next_link(&in, url, error);
        if (status == SO_OK) return SO_OK;
        if (!again || n >= f->options.tries) {
            so_fetched_clear(out);
            return status;
        }
        SO_TRY(wait(f, n, 0, 0, error));
    }
}

so_status so_fetch_text(so_fetcher *f, const char *url, size_t limit, so_fetched *out, so_error *error)
{
    return text_of(f, url, (sending){0}, limit, out, error);
}

so_status so_fetch_post(so_fetcher *f, const char *url, const char *json, size_t limit, so_fetched *out,
                        so_error *error)
{
    return text_of(f, url, (sending){json, "Content-Type: application/json", false}, limit, out, error);
}

/* name=value&..., escaped; the caller frees. NULL: no memory. */
static char *form_of(so_fetcher *f, const char *const *fields)
{
    char *form = NULL;
    size_t size;
    bool fine = true;
    FILE *out = open_memstream(&form, &size);
    if (!out) return NULL;
    for (int i = 0; fields[i] && fine; i++) {
        char *escaped = curl_easy_escape(f->curl, fields[i], (int)strlen(fields[i]));
        fine = escaped != NULL;
        if (fine) fprintf(out, "%s%s", i == 0 ? "" : i % 2 ? "=" : "&", escaped);
        curl_free(escaped);
    }
    if (fclose(out) == 0 && fine) return form;
    free(form);
    return NULL;
}

so_status so_fetch_form(so_fetcher *f, const char *url, const char *const *fields, size_t limit, so_fetched *out,
                        so_error *error)
{
    *out = (so_fetched){0};
    char *form = form_of(f, fields);
    if (!form) return so_fail(error, SO_ERR_NOMEM, "no memory for a form");
    sending sent = {form, "Content-Type: application/x-www-form-urlencoded", false};
    so_status status = text_of(f, url, sent, limit, out, error);
    if (status != SO_OK && f->code == 405) {
        sent.get = true;
        status = text_of(f, url, sent, limit, out, error);
    }
    free(form);
    return status;
}

/* ---- files */

so_status so_fetch_hash(const char *path, const so_fetch_file *file, char hex[65], so_error *error)
{
    so_map map;
    so_sha sha;
    char blob[40];
    SO_TRY(so_map_open(&map, path, error));
    so_sha_init(&sha, file->kind);
    int n = snprintf(blob, sizeof blob, "blob %zu", map.size);
    if (file->git) so_sha_feed(&sha, blob, (size_t)n + 1);
    for (size_t at = 0; at < map.size; at += 16 << 20) {
        size_t piece = map.size - at < 16 << 20 ? map.size - at : 16 << 20;
        so_sha_feed(&sha, map.data + at, piece);
        so_map_forget(map.data + at, piece);
    }
    so_map_close(&map);
    so_sha_end(&sha, hex);
    return SO_OK;
}

static so_status check(const so_fetch_file *file, const so_part *part, so_error *error)
{
    char hex[65];
    if (file->size >= 0 && part->size != (uint64_t)file->size)
        return so_fail(error, SO_ERR_FORMAT, "'%s' has %llu bytes, expected %lld", file->url,
                       (unsigned long long)part->size, (long long)file->size);
    if (!file->hash) return SO_OK;
    SO_TRY(so_fetch_hash(part->part, file, hex, error));
    if (strcmp(hex, file->hash) == 0) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "'%s' has the hash %s, expected %s", file->url, hex, file->hash);
}

/* Goes on until the part is whole or trying does not help. Progress earns new tries. */
static so_status fill(so_fetcher *f, const so_fetch_file *file, so_part *part, so_error *error)
{
    double total = file->size > 0 ? (double)file->size : 0;
    for (int n = 1;; n++) {
        bool again;
        uint64_t before = part->size;
        if (file->size >= 0 && before == (uint64_t)file->size) return SO_OK;
        incoming in = {.fetcher = f, .part = part, .file = file, .range_start = -1, .range_total = -1};
        so_status status = request(f, file->url, &in, &again, error);
        if (status == SO_OK && file->size < 0) return SO_OK;
        if (status == SO_OK && part->size == (uint64_t)file->size) return SO_OK;
        if (status == SO_OK)
            return so_fail(error, SO_ERR_FORMAT, "'%s' has %llu bytes, expected %lld", file->url,
                           (unsigned long long)part->size, (long long)file->size);
        if (part->size > before) n = 0;
        if (!again || n >= f->options.tries) return status;
        SO_TRY(wait(f, n > 0 ? n : 1, (double)part->size, total, error));
    }
}

so_status so_fetch(so_fetcher *f, const so_fetch_file *file, so_error *error)
{
    so_part part;
    char identity[4200];
    snprintf(identity, sizeof identity, "stream-omni pull %.4000s %lld", file->hash ? file->hash : file->url,
             (long long)file->size);
    for (char *p = identity; *p; p++)
        if (*p == '\n') *p = ' ';
    SO_TRY(so_part_open(&part, file->path, identity, error));
    so_status status = SO_OK;
    if (file->size > 0) status = so_part_room(&part, (uint64_t)file->size - part.size, error);
    for (int n = 0; status == SO_OK; n++) {
        status = fill(f, file, &part, error);
        if (status == SO_OK) status = check(file, &part, error);
        /* What an earlier run left, or the way here, may be at fault: the whole once more. */
        if (status != SO_ERR_FORMAT || n) break;
        status = so_part_cut(&part, 0, error);
    }
    if (status == SO_OK) return so_part_commit(&part, error);
    status == SO_ERR_FORMAT ? so_part_drop(&part) : so_part_close(&part);
    return status;
}
