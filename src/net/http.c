/* HTTP/1.0 and 1.1 as a server reads and writes them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/http.h"

#include <string.h>
#include <strings.h>

static bool refuse(so_http_refusal *refusal, int status, const char *why)
{
    *refusal = (so_http_refusal){status, why};
    return false;
}

static bool is_token(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

/* ---- the end of a head */
int64_t so_http_head_end(const char *data, size_t size, size_t *seen, so_http_refusal *refusal)
{
    size_t most = size < SO_HTTP_HEAD_MOST ? size : SO_HTTP_HEAD_MOST;
    for (size_t i = *seen; i < most; i++) {
        unsigned char c = (unsigned char)data[i], before = i ? (unsigned char)data[i - 1] : 0;
        const char *wrong = NULL;
        if (before == '\r' && c != '\n') wrong = "a carriage return without its line feed";
        if (c == '\n' && before != '\r') wrong = "a line feed without its carriage return";
        if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f) wrong = "a control character in the head";
        if (c == '\r' && i == 0) wrong = "an empty line before the request";
        if (wrong) {
            refuse(refusal, 400, wrong);
            return -1;
        }
        if (c == '\n' && i >= 3 && data[i - 2] == '\n') return (int64_t)i + 1;
    }
    *seen = most;
    if (size >= SO_HTTP_HEAD_MOST) {
        refuse(refusal, 431, "a head above 16384 bytes");
        return -1;
    }
    return 0;
}

/* ---- reading it */
static bool read_version(const char *text, so_http_head *head, so_http_refusal *refusal)
{
    if (strcmp(text, "HTTP/1.1") == 0 || strcmp(text, "HTTP/1.0") == 0) {
        head->minor = text[7] - '0';
        return true;
    }
    bool other = strncmp(text, "HTTP/", 5) == 0 && strlen(text) == 8 && text[6] == '.' && text[5] >= '0' &&
                 text[5] <= '9' && text[7] >= '0' && text[7] <= '9';
    return other ? refuse(refusal, 505, "a version of HTTP other than 1.0 and 1.1")
                 : refuse(refusal, 400, "a first line that does not end in a version of HTTP");
}

static bool read_first_line(char *line, so_http_head *head, so_http_refusal *refusal)
{
    size_t n = 0;
    while (is_token((unsigned char)line[n])) n++;
    if (n == 0 || line[n] != ' ') return refuse(refusal, 400, "a first line without a method");
    if (n > SO_HTTP_METHOD_MOST) return refuse(refusal, 501, "a method above 16 characters");
    head->method = line;
    line[n] = 0;
    char *target = line + n + 1, *end = strchr(target, ' ');
    if (!end) return refuse(refusal, 400, "a first line without a version of HTTP");
    *end = 0;
    if (end - target > SO_HTTP_TARGET_MOST) return refuse(refusal, 414, "a target above 4096 bytes");
    for (const char *p = target; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f || *p == '#') /* signed char or not: bytes above 0x7f fall out either way */
            return refuse(refusal, 400, "a target with bytes that no target may have");
    bool star = strcmp(target, "*") == 0 && strcmp(line, "OPTIONS") == 0;
    if (target[0] != '/' && !star) return refuse(refusal, 400, "a target that does not begin with '/'");
    head->target = target;
    return read_version(end + 1, head, refusal);
}

static bool read_field(char *line, so_http_field *field, so_http_refusal *refusal)
{
    size_t n = 0;
    if (line[0] == ' ' || line[0] == '\t') return refuse(refusal, 400, "a folded line in the head");
    for (; is_token((unsigned char)line[n]); n++)
        if (line[n] >= 'A' && line[n] <= 'Z') line[n] = (char)(line[n] + ('a' - 'A'));
    if (n == 0 || line[n] != ':') return refuse(refusal, 400, "a line in the head that is no 'name: value'");
    line[n] = 0;
    char *value = line + n + 1;
    value += strspn(value, " \t");
    size_t length = strlen(value);
    while (length && (value[length - 1] == ' ' || value[length - 1] == '\t')) length--;
    value[length] = 0;
    *field = (so_http_field){line, value};
    return true;
}

/* ---- what fields mean for the connection */
const char *so_http_field_of(const so_http_head *head, const char *name)
{
    for (int i = 0; i < head->fields; i++)
        if (strcmp(head->field[i].name, name) == 0) return head->field[i].value;
    return NULL;
}

bool so_http_lists(const char *list, const char *token)
{
    size_t n = strlen(token);
    while (list && *list) {
        list += strspn(list, " \t,");
        size_t length = strcspn(list, " \t,;");
        if (length == n && strncasecmp(list, token, n) == 0) return true;
        list += strcspn(list, ",");
    }
    return false;
}

/* The only value of a field that may stand once: false (refused) when it stands twice. */
static bool single(const so_http_head *head, const char *name, const char **value, so_http_refusal *refusal)
{
    *value = NULL;
    for (int i = 0; i < head->fields; i++) {
        if (strcmp(head->field[i].name, name)) continue;
        if (*value) return refuse(refusal, 400, "a field that may stand once stands twice");
        *value = head->field[i].value;
    }
    return true;
}

static bool read_host(so_http_head *head, so_http_refusal *refusal)
{
    const char *host;
    if (!single(head, "host", &host, refusal)) return false;
    if (!host && head->minor == 1) return refuse(refusal, 400, "a request without Host");
    head->host = host ? host : "";
    for (const char *p = head->host; *p; p++)
        if (!is_token((unsigned char)*p) && !strchr("[]:", *p))
            return refuse(refusal, 400, "a Host with characters that no host has");
    return true;
}

static bool read_length(so_http_head *head, so_http_refusal *refusal)
{
    const char *length, *coding;
    head->length = -1;
    if (!single(head, "content-length", &length, refusal) || !single(head, "transfer-encoding", &coding, refusal))
        return false;
    if (coding) {
        if (length) return refuse(refusal, 400, "Content-Length together with Transfer-Encoding");
        if (head->minor == 0) return refuse(refusal, 400, "Transfer-Encoding in HTTP/1.0");
        if (strcasecmp(coding, "chunked")) return refuse(refusal, 501, "a Transfer-Encoding other than 'chunked'");
        head->chunked = true;
        return true;
    }
    if (!length) return true;
    size_t n = strlen(length);
    if (n == 0 || n > 18 || strspn(length, "0123456789") != n)
        return refuse(refusal, 400, "a Content-Length that is no whole number of at most 18 digits");
    head->length = 0;
    for (; *length; length++) head->length = head->length * 10 + (*length - '0');
    return true;
}

/* All Connection fields together are one list. */
static bool connection_lists(const so_http_head *head, const char *token)
{
    for (int i = 0; i < head->fields; i++)
        if (strcmp(head->field[i].name, "connection") == 0 && so_http_lists(head->field[i].value, token)) return true;
    return false;
}

static bool read_connection(so_http_head *head, so_http_refusal *refusal)
{
    const char *expect, *upgrade, *key, *version;
    head->keep = head->minor == 1 ? !connection_lists(head, "close") : connection_lists(head, "keep-alive");
    if (!single(head, "expect", &expect, refusal) || !single(head, "upgrade", &upgrade, refusal)) return false;
    if (expect && strcasecmp(expect, "100-continue"))
        return refuse(refusal, 417, "an Expect other than '100-continue'");
    head->expect = expect && head->minor == 1;
    if (!upgrade || !so_http_lists(upgrade, "websocket") || !connection_lists(head, "upgrade")) return true;
    if (!single(head, "sec-websocket-key", &key, refusal) || !single(head, "sec-websocket-version", &version, refusal))
        return false;
    if (strcmp(head->method, "GET") || head->minor != 1 || head->length > 0 || head->chunked)
        return refuse(refusal, 400, "a WebSocket is asked for by GET of HTTP/1.1 without a body");
    if (!key || strlen(key) != 24 ||
        strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != 24)
        return refuse(refusal, 400, "a WebSocket without a Sec-WebSocket-Key of 16 bytes in base64");
    if (!version || strcmp(version, "13")) return refuse(refusal, 426, "a Sec-WebSocket-Version other than 13");
    head->websocket = true;
    return true;
}

/* "HTTP/1.1 101 Switching Protocols"; the words may be absent. */
static bool read_status_line(char *line, so_http_head *head, so_http_refusal *refusal)
{
    char *space = strchr(line, ' ');
    if (!space || strspn(space + 1, "0123456789") != 3 || (space[4] && space[4] != ' ') || space[1] == '0')
        return refuse(refusal, 400, "a first line that is no 'HTTP/1.1 status'");
    *space = 0;
    for (int i = 1; i <= 3; i++) head->status = head->status * 10 + (space[i] - '0');
    return read_version(line, head, refusal);
}

static bool read_lines(char *data, size_t size, bool answer, so_http_head *head, so_http_refusal *refusal)
{
    *head = (so_http_head){.method = "", .target = "", .host = ""};
    *refusal = (so_http_refusal){0, NULL};
    char *end = data + size - 2, *line = data; /* the empty line is left out */
    for (int lines = 0; line < end; lines++) {
        char *stop = memchr(line, '\r', (size_t)(end - line));
        if (!stop) return refuse(refusal, 400, "a head without its last line");
        *stop = 0;
        if (lines == 0) {
            if (!(answer ? read_status_line : read_first_line)(line, head, refusal)) return false;
        } else {
            if (head->fields == SO_HTTP_FIELDS_MOST) return refuse(refusal, 431, "more than 64 fields in the head");
            if (!read_field(line, &head->field[head->fields], refusal)) return false;
            head->fields++;
        }
        line = stop + 2;
    }
    return true;
}

bool so_http_head_read(char *data, size_t size, so_http_head *head, so_http_refusal *refusal)
{
    return read_lines(data, size, false, head, refusal) && read_host(head, refusal) && read_length(head, refusal) &&
           read_connection(head, refusal);
}

bool so_http_answer_read(char *data, size_t size, so_http_head *head, so_http_refusal *refusal)
{
    const char *upgrade;
    if (!read_lines(data, size, true, head, refusal) || !read_length(head, refusal) ||
        !single(head, "upgrade", &upgrade, refusal))
        return false;
    head->keep = head->minor == 1 ? !connection_lists(head, "close") : connection_lists(head, "keep-alive");
    head->websocket = head->status == 101 && head->minor == 1 && upgrade && strcasecmp(upgrade, "websocket") == 0 &&
                      connection_lists(head, "upgrade");
    return true;
}

/* ---- chunks */
enum { SIZE, SIZE_LF, DATA, DATA_CR, DATA_LF, LAST_CR, LAST_LF };

static int hex(unsigned char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One byte that is no part of the body. */
static bool chunk_byte(so_http_chunks *c, unsigned char byte, so_http_refusal *refusal)
{
    static const struct {
        char byte;
        int next;
    } fixed[] = {[SIZE_LF] = {'\n', DATA},
                 [DATA_CR] = {'\r', DATA_LF},
                 [DATA_LF] = {'\n', SIZE},
                 [LAST_CR] = {'\r', LAST_LF},
                 [LAST_LF] = {'\n', SIZE}};
    if (c->state == SIZE) {
        int v = hex(byte);
        if (v >= 0 && c->digits < 8) {
            c->left = c->left * 16 + (unsigned)v;
            c->digits++;
        } else if (byte == '\r' && c->digits)
            c->state = SIZE_LF;
        else
            return refuse(refusal, 400, "a chunk without a size of 1 to 8 hexadecimal digits alone on its line");
        return true;
    }
    if (byte != (unsigned char)fixed[c->state].byte)
        return refuse(refusal, 400, c->state == LAST_CR ? "a trailer after the last chunk" : "a chunk of another size");
    if (c->state == LAST_LF) c->done = true;
    if (c->state == SIZE_LF) c->digits = 0;
    c->state = c->state == SIZE_LF && c->left == 0 ? LAST_CR : fixed[c->state].next;
    return true;
}

int64_t so_http_chunks_feed(so_http_chunks *c, const char *data, size_t size, const char **piece, size_t *n,
                            so_http_refusal *refusal)
{
    size_t at = 0;
    *piece = data;
    *n = 0;
    while (at < size && !c->done) {
        if (c->state == DATA) {
            *piece = data + at;
            *n = size - at < c->left ? size - at : (size_t)c->left;
            c->left -= *n;
            if (c->left == 0) c->state = DATA_CR;
            return (int64_t)(at + *n);
        }
        if (!chunk_byte(c, (unsigned char)data[at++], refusal)) return -1;
    }
    return (int64_t)at;
}

/* ---- small things */
const char *so_http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } known[] = {{100, "Continue"},
                 {101, "Switching Protocols"},
                 {200, "OK"},
                 {204, "No Content"},
                 {304, "Not Modified"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {408, "Request Timeout"},
                 {411, "Length Required"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"},
                 {421, "Misdirected Request"},
                 {426, "Upgrade Required"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].status == status) return known[i].reason;
    return "Unknown";
}

/* Decodes "%41" (and '+', in queries) up to `end`; false as the header says. */
static bool decode(const char *text, const char *end, bool plus, char *out, size_t room)
{
    size_t n = 0;
    while (text < end) {
        int c = (unsigned char)*text++;
        if (c == '+' && plus) c = ' ';
        if (c == '%') {
            if (end - text < 2) return false;
            int high = hex((unsigned char)text[0]), low = hex((unsigned char)text[1]);
            if (high < 0 || low < 0) return false;
            c = high * 16 + low;
            text += 2;
        }
        if (c == 0 || n + 1 >= room) return false;
        out[n++] = (char)c;
    }
    out[n] = 0;
    return true;
}

bool so_http_path(const char *target, char *path, size_t room, const char **query)
{
    const char *mark = target + strcspn(target, "?");
    *query = *mark ? mark + 1 : "";
    if (!decode(target, mark, false, path, room)) return false;
    for (const char *p = path; (p = strchr(p, '/')); p++)
        if (p[1] == '/' || (p[1] == '.' && (p[2] == 0 || p[2] == '/' || (p[2] == '.' && (p[3] == 0 || p[3] == '/')))))
            return false;
    return strchr(path, '\\') == NULL;
}

bool so_http_query(const char *query, const char *name, char *value, size_t room)
{
    size_t n = strlen(name);
    while (*query) {
        const char *end = query + strcspn(query, "&");
        if (strncmp(query, name, n) == 0 && query[n] == '=') return decode(query + n + 1, end, true, value, room);
        query = *end ? end + 1 : end;
    }
    return false;
}
