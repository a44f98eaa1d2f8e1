/* speech_tokenizer_v1.onnx, written: initialisers and the nodes that consume them, nothing that could run.
 * Source: docs/files.md 4; the protobuf wire format.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"

static size_t put_varint(FILE *f, uint64_t v)
{
    size_t n = 1;
    for (; v > 127; v >>= 7, n++) fputc((int)(v & 127) | 128, f);
    fputc((int)v, f);
    return n;
}

static void put_bytes(FILE *f, int field, const void *data, size_t size)
{
    put_varint(f, (uint64_t)field << 3 | 2);
    put_varint(f, size);
    fwrite(data, 1, size, f);
}

static void put_text(FILE *f, int field, const char *text) { put_bytes(f, field, text, strlen(text)); }

/* How the exporter stores a tensor: its name there, the node that consumes it (empty: known by name), and whether the
 * two axes changed places. */
typedef struct stored {
    char name[96], node[96], op[16];
    int input, turned;
} stored;

static void place(const char *name, int64_t i, stored *s)
{
    int block, turned = 0;
    char part[64], kind[16];
    *s = (stored){.input = 1};
    snprintf(s->name, sizeof s->name, "onnx::MatMul_%lld", (long long)i + 1000);
    if (sscanf(name, "encoder.blocks.%d.%63s", &block, part) == 2) {
        char *dot = strrchr(part, '.');
        snprintf(kind, sizeof kind, "%.15s", dot + 1);
        *dot = 0;
        int weight = strcmp(kind, "weight") == 0;
        if (strstr(part, "_ln")) {
            snprintf(s->node, sizeof s->node, "/blocks.%d/%s/%s", block, part, weight ? "Mul" : "Add_1");
            snprintf(s->op, sizeof s->op, "%s", weight ? "Mul" : "Add");
        } else {
            char path[72];
            if (strncmp(part, "attn.", 5) == 0)
                snprintf(path, sizeof path, "attn/%s", part + 5);
            else
                snprintf(path, sizeof path, "mlp/%s", part);
            snprintf(s->node, sizeof s->node, "/blocks.%d/%s/%s", block, path, weight ? "MatMul" : "Add");
            snprintf(s->op, sizeof s->op, "%s", weight ? "MatMul" : "Add");
            turned = weight;
        }
    } else if (strncmp(name, "quantizer.", 10) == 0) {
        snprintf(s->node, sizeof s->node, "/quantizer/rq/model/layers.0/_codebook/Pow_1");
        snprintf(s->op, sizeof s->op, "Pow");
        s->input = 0;
        turned = 1;
    } else {
        snprintf(s->name, sizeof s->name, "encoders.%s", name + strlen("encoder."));
    }
    s->turned = turned;
}

static int put_node(FILE *graph, const stored *s)
{
    char *data, output[112];
    size_t size;
    FILE *f = open_memstream(&data, &size);
    if (!f) return -1;
    for (int i = 0; i < 2; i++) put_text(f, 1, i == s->input ? s->name : "x");
    snprintf(output, sizeof output, "%s_output_0", s->node);
    put_text(f, 2, output);
    put_text(f, 3, s->node);
    put_text(f, 4, s->op);
    fclose(f);
    put_bytes(graph, 1, data, size);
    free(data);
    return 0;
}

/* All of a TensorProto but its data. */
static int tensor_head(const so_view *v, const stored *s, char **data, size_t *size)
{
    FILE *f = open_memstream(data, size);
    if (!f) return -1;
    for (int d = 0; d < v->n_dims; d++) {
        put_varint(f, 1 << 3);
        put_varint(f, (uint64_t)v->dim[s->turned ? v->n_dims - 1 - d : d]);
    }
    put_varint(f, 2 << 3);
    put_varint(f, 1); /* float */
    put_text(f, 8, s->name);
    put_varint(f, 9 << 3 | 2);
    put_varint(f, v->bytes);
    fclose(f);
    return 0;
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v > 127; v >>= 7) n++;
    return n;
}

static const char prefix[] = "codec.tokenizer.";

/* Lengths come before what they measure: one walk counts, the next writes. */
static int walk_tensors(const made *m, FILE *out, size_t *total)
{
    const so_views *views = &m->manifest->views;
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *v = &views->view[i];
        stored s;
        char *head;
        size_t size;
        if (strncmp(v->name, prefix, sizeof prefix - 1) != 0) continue;
        place(v->name + sizeof prefix - 1, i, &s);
        if (tensor_head(v, &s, &head, &size) != 0) return -1;
        *total += 1 + varint_size(size + v->bytes) + size + v->bytes;
        if (out) {
            put_varint(out, 5 << 3 | 2);
            put_varint(out, size + v->bytes);
            fwrite(head, 1, size, out);
            if (so_made_write(m, i, 0, out, NULL) != 0) return -1;
        }
        free(head);
    }
    return 0;
}

int so_write_onnx(const char *path, const made *m)
{
    char *nodes;
    size_t node_bytes, bytes = 0;
    FILE *f = open_memstream(&nodes, &node_bytes);
    if (!f) return -1;
    for (int64_t i = 0; i < m->manifest->views.count; i++) {
        const char *name = m->manifest->views.view[i].name;
        stored s;
        if (strncmp(name, prefix, sizeof prefix - 1) != 0) continue;
        place(name + sizeof prefix - 1, i, &s);
        if (s.node[0] && put_node(f, &s) != 0) return -1;
    }
    fclose(f);
    if (walk_tensors(m, NULL, &bytes) != 0) return -1;
    FILE *out = fopen(path, "wb");
    if (!out) return -1;
    put_varint(out, 1 << 3);
    put_varint(out, 8); /* ir_version */
    put_varint(out, 7 << 3 | 2);
    put_varint(out, node_bytes + bytes);
    fwrite(nodes, 1, node_bytes, out);
    free(nodes);
    if (walk_tensors(m, out, &bytes) != 0) return -1;
    return fclose(out);
}
