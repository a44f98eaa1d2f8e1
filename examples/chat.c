/* A client of `stream-omni serve` in plain C, without any library: asks a question and prints the answer while it is
 * written (server-sent events of /v1/chat/completions): chat HOST PORT WORDS...
 *
 *     cc chat.c -o chat && ./chat 127.0.0.1 8080 "Good morning."
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int dial(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    int fd = -1;
    if (getaddrinfo(host, port, &hints, &list)) return -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen)) close(fd), fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

/* Words as the inside of a JSON string. */
static void escape(char *out, size_t room, const char *words)
{
    size_t n = strlen(out);
    for (const unsigned char *p = (const unsigned char *)words; *p && n + 8 < room; p++)
        n += (size_t)(*p == '"' || *p == '\\' ? snprintf(out + n, room - n, "\\%c", *p)
                      : *p < 0x20             ? snprintf(out + n, room - n, "\\u%04x", *p)
                                              : snprintf(out + n, room - n, "%c", *p));
}

/* What stands in "content":"..." of an event, its plain escapes undone. */
static void print_content(const char *event)
{
    const char *p = strstr(event, "\"content\":\"");
    for (p = p ? p + 11 : ""; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1]) p++;
        putchar(p[-1] == '\\' && *p == 'n' ? '\n' : *p);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: chat HOST PORT WORDS...\n");
        return 2;
    }
    char body[8192] = "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"", line[65536];
    for (int i = 3; i < argc; i++)
        escape(body, sizeof body, argv[i]), escape(body, sizeof body, i + 1 < argc ? " " : "");
    strcat(body, "\"}]}");
    int fd = dial(argv[1], argv[2]), status = 0;
    FILE *wire = fd < 0 ? NULL : fdopen(fd, "r+");
    if (!wire) {
        fprintf(stderr, "%s port %s: nobody answers\n", argv[1], argv[2]);
        return 1;
    }
    const char *key = getenv("STREAM_OMNI_KEY"); /* one connection, one question: HTTP/1.0 needs no chunks */
    fprintf(wire,
            "POST /v1/chat/completions HTTP/1.0\r\nHost: %s:%s\r\n%s%s%sContent-Type: application/json\r\n"
            "Content-Length: %zu\r\n\r\n%s",
            argv[1], argv[2], key ? "Authorization: Bearer " : "", key ? key : "", key ? "\r\n" : "", strlen(body),
            body);
    fflush(wire);
    while (fgets(line, sizeof line, wire)) {
        if (strncmp(line, "HTTP/1.", 7) == 0) status = atoi(line + 9);
        if (strncmp(line, "data: {", 7) == 0) print_content(line);
        if (status != 200 && line[0] == '{') fprintf(stderr, "%s\n", line); /* why not */
    }
    fclose(wire);
    if (status == 200) putchar('\n');
    return status != 200;
}
