/* Fuzzes what a client reads: heads of answers, a server's frames, and the events in them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/remote_event.h"
#include "net/dial.h"
#include "net/http.h"
#include "net/ws.h"

static void read_event(const char *text, size_t size)
{
    so_remote_event e;
    so_error error;
    if (so_remote_event_read(&e, text, size, &error) == SO_OK) {
        if (e.kind == SO_REMOTE_HEARD && e.stable > strlen(e.text)) abort();
        if (e.text_begin > e.text_end || e.begin_s > e.end_s || e.ms < 0) abort();
        for (size_t i = 0; i < e.samples; i++)
            if (!(e.pcm[i] >= -1 && e.pcm[i] < 1)) abort();
    }
    so_remote_event_clear(&e);
}

static void on_message(void *context, bool text, const void *data, size_t size)
{
    (void)context;
    if (text) read_event(data, size);
}

static void read_frames(const uint8_t *data, size_t size)
{
    const so_ws_sink sink = {NULL, on_message};
    so_bytes in = {0}, out = {0};
    so_ws *ws;
    so_error error;
    bool more = true;
    if (so_ws_open_client(&ws, 1 << 16, &sink, &error) != SO_OK) return;
    so_bytes_put(&in, data, size);
    while (more && so_ws_read(ws, &in, 1000, &out, &more, &error) == SO_OK) continue;
    if (strlen(so_ws_reason(ws)) > SO_WS_REASON_MOST) abort();
    so_ws_close(&ws);
    so_bytes_clear(&in);
    so_bytes_clear(&out);
}

static void read_answer(char *text, size_t size)
{
    so_http_refusal refusal = {0, NULL};
    so_http_head head;
    size_t seen = 0;
    int64_t end = so_http_head_end(text, size, &seen, &refusal);
    if (end <= 0 || !so_http_answer_read(text, (size_t)end, &head, &refusal)) return;
    if (head.status < 100 || head.status > 999 || (head.websocket && head.status != 101)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_place place;
    so_error error;
    if (size < 1) return 0;
    char *text = malloc(size);
    if (!text) return 0;
    memcpy(text, data + 1, size - 1);
    text[--size] = 0;
    if (data[0] % 4 == 0) read_event(text, size);
    if (data[0] % 4 == 1) read_frames(data + 1, size);
    if (data[0] % 4 == 2) read_answer(text, size);
    if (data[0] % 4 == 3 && so_place_read(&place, text, &error) == SO_OK &&
        (place.port < 1 || strpbrk(place.field, "\r\n ")))
        abort();
    free(text);
    return 0;
}
