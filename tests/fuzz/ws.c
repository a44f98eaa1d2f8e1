/* Fuzzes WebSocket frames; pieces must make no difference to the messages.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "net/ws.h"

typedef struct seen {
    uint64_t sum;
    int messages;
} seen;

static void on_message(void *context, bool text, const void *data, size_t size)
{
    seen *s = context;
    if (size > 4096) abort();
    s->messages++;
    s->sum = s->sum * 31 + text;
    for (size_t i = 0; i < size; i++) s->sum = s->sum * 31 + ((const uint8_t *)data)[i];
}

static void feed(const uint8_t *data, size_t size, size_t step, seen *s)
{
    const so_ws_sink sink = {s, on_message};
    so_bytes in = {0}, out = {0};
    so_ws *ws;
    so_error error;
    so_status status = SO_OK;
    *s = (seen){0};
    if (so_ws_open(&ws, 4096, &sink, &error) != SO_OK) abort();
    for (size_t at = 0; status == SO_OK && at < size; at += step) {
        bool more = true;
        if (!so_bytes_put(&in, data + at, size - at < step ? size - at : step)) abort();
        while (status == SO_OK && more) status = so_ws_read(ws, &in, 1000, &out, &more, &error);
    }
    if (so_bytes_left(&out) > 16 + 2 * size + 256) abort();
    so_ws_close(&ws);
    so_bytes_clear(&in);
    so_bytes_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    seen whole, pieces;
    if (size < 1) return 0;
    /* When a close with a wrong reason is seen differs: libwslay looks at what it has of it. */
    feed(data + 1, size - 1, size, &whole);
    feed(data + 1, size - 1, data[0] % 16 + 1u, &pieces);
    if (whole.messages != pieces.messages || whole.sum != pieces.sum) abort();
    return 0;
}
