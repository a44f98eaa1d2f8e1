/* Messages of protobuf, as ONNX files are made of, written field by field. Memory is the caller's until a message
 * becomes a field of another. SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEST_PROTOBUF_H
#define SO_TEST_PROTOBUF_H

#include "check.h"

/* A message in the making; zeroed it is empty. */
typedef struct bytes {
    unsigned char *data;
    size_t size, capacity;
} bytes;

static inline void add(bytes *b, const void *data, size_t n)
{
    if (b->size + n > b->capacity) b->data = realloc(b->data, b->capacity = 2 * (b->size + n));
    assert_true(!n || b->data);
    if (n) memcpy(b->data + b->size, data, n);
    b->size += n;
}

static inline void add_varint(bytes *b, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)((value & 127) | (value > 127 ? 128 : 0));
        add(b, &byte, 1);
        value >>= 7;
    } while (value);
}

static inline void add_number(bytes *b, int field, uint64_t value)
{
    add_varint(b, (uint64_t)field << 3);
    add_varint(b, value);
}

static inline void add_bytes(bytes *b, int field, const void *data, size_t n)
{
    add_varint(b, (uint64_t)field << 3 | 2);
    add_varint(b, n);
    add(b, data, n);
}

static inline void add_text(bytes *b, int field, const char *text) { add_bytes(b, field, text, strlen(text)); }

/* Takes part's memory. */
static inline void add_message(bytes *b, int field, bytes *part)
{
    add_bytes(b, field, part->data, part->size);
    free(part->data);
    *part = (bytes){0};
}

/* An ONNX model of one graph, whose memory is taken. */
static inline void close_model(bytes *model, bytes *graph)
{
    *model = (bytes){0};
    add_number(model, 1, 8);
    add_text(model, 2, "pytorch");
    add_message(model, 7, graph);
}

#endif
