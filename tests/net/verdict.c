/* Tells what the HTTP parsers make of requests, for tests/net/h11_compare.py. Stdin: records of a length (4 bytes, big
 * endian) and so many bytes. Stdout: a line for each: "more", "refuse STATUS", or
 * "accept METHOD TARGET BODY REST" (bytes of the body, bytes left over).
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "net/http.h"

static void tell(char *text, size_t size)
{
    so_http_refusal refusal = {0, NULL};
    so_http_head head;
    size_t seen = 0, body = 0;
    int64_t end = so_http_head_end(text, size, &seen, &refusal);
    if (end == 0) {
        puts("more");
        return;
    }
    if (end < 0 || !so_http_head_read(text, (size_t)end, &head, &refusal)) {
        printf("refuse %d\n", refusal.status);
        return;
    }
    size_t at = (size_t)end;
    if (head.chunked) {
        so_http_chunks chunks = {0};
        while (at < size && !chunks.done) {
            const char *piece;
            size_t n;
            int64_t used = so_http_chunks_feed(&chunks, text + at, size - at, &piece, &n, &refusal);
            if (used < 0) {
                printf("refuse %d\n", refusal.status);
                return;
            }
            body += n;
            at += (size_t)used;
        }
        if (!chunks.done) {
            puts("more");
            return;
        }
    } else if (head.length > 0) {
        if ((uint64_t)head.length > size - at) {
            puts("more");
            return;
        }
        body = (size_t)head.length;
        at += body;
    }
    printf("accept %s %s %zu %zu\n", head.method, head.target, body, size - at);
}

int main(void)
{
    unsigned char length[4];
    while (fread(length, 1, 4, stdin) == 4) {
        size_t size = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3];
        char *text = malloc(size + 1);
        if (!text || fread(text, 1, size, stdin) != size) return 1;
        tell(text, size);
        free(text);
    }
    return 0;
}
