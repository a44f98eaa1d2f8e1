/* Tells what the WebSocket reader makes of a client's bytes, for tests/net/ws_compare.py. Stdin: records of a length (4
 * bytes, big endian) and so many bytes. Stdout: a line for each: a word for every message ("t" or "b", its length, the
 * sum of its bytes), then "refused", "closed" or "open".
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "net/ws.h"

enum { MOST = 4096 };

static void on_message(void *context, bool text, const void *data, size_t size)
{
    const unsigned char *p = data;
    unsigned sum = 0;
    (void)context;
    for (size_t i = 0; i < size; i++) sum += p[i];
    printf("%c%zu:%u ", text ? 't' : 'b', size, sum);
}

/* Given in pieces of 1, 2, 3, ... bytes, so that every cut is met. */
static bool tell(const char *data, size_t size)
{
    so_ws_sink sink = {NULL, on_message};
    so_error error;
    so_bytes in = {0}, out = {0};
    so_ws *ws;
    if (so_ws_open(&ws, MOST, &sink, &error) != SO_OK) return false;
    so_status status = SO_OK;
    for (size_t at = 0, n = 1; at < size && status == SO_OK; n = n % 7 + 1) {
        if (n > size - at) n = size - at;
        if (!so_bytes_put(&in, data + at, n)) return false;
        at += n;
        for (bool more = true; more && status == SO_OK;) {
            more = false;
            status = so_ws_read(ws, &in, 1 << 16, &out, &more, &error);
        }
    }
    puts(status != SO_OK ? "refused" : so_ws_code(ws) ? "closed" : "open");
    so_ws_close(&ws);
    so_bytes_clear(&in);
    so_bytes_clear(&out);
    return true;
}

int main(void)
{
    unsigned char length[4];
    while (fread(length, 1, 4, stdin) == 4) {
        size_t size = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3];
        char *data = malloc(size + 1);
        if (!data || fread(data, 1, size, stdin) != size || !tell(data, size)) return 1;
        free(data);
    }
    return 0;
}
