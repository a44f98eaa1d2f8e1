/* ONNX files: the protobuf wire format and the few messages that matter.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/guess.h"

struct so_onnx {
    so_map map;
    so_views views;
    so_onnx_node *node;
    so_span *text; /* inputs and outputs of all nodes, after one another */
    int64_t n_nodes, nodes_capacity, n_texts, texts_capacity;
    so_names by_name, by_output;
    int64_t *name_node, *output_node; /* numbers of nodes */
    int64_t name_capacity, output_capacity;
};

/* Field numbers. */
enum { MODEL_GRAPH = 7, GRAPH_NODE = 1, GRAPH_INITIALIZER = 5 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP_TYPE = 4 };
enum {
    TENSOR_DIMS = 1,
    TENSOR_DATA_TYPE = 2,
    TENSOR_SEGMENT = 3,
    TENSOR_FLOAT_DATA = 4,
    TENSOR_INT32_DATA = 5,
    TENSOR_STRING_DATA = 6,
    TENSOR_INT64_DATA = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW_DATA = 9,
    TENSOR_DOUBLE_DATA = 10,
    TENSOR_UINT64_DATA = 11,
    TENSOR_EXTERNAL_DATA = 13,
    TENSOR_DATA_LOCATION = 14
};

typedef struct message {
    const unsigned char *at, *end, *file; /* file: its first byte, for messages */
} message;

typedef struct field {
    uint32_t number;
    int wire;       /* 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes */
    uint64_t value; /* varint */
    so_span bytes;  /* the others */
} field;

static so_status varint(message *m, uint64_t *value, so_error *error)
{
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (m->at == m->end) break;
        unsigned char byte = *m->at++;
        if (shift == 63 && byte > 1) break;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return SO_OK;
    }
    return so_fail(error, SO_ERR_FORMAT, "protobuf: a broken number before byte %zu", (size_t)(m->at - m->file));
}

/* Reads the next field of a message that is not at its end. */
static so_status next(message *m, field *f, so_error *error)
{
    uint64_t key = 0, length = 0;
    memset(f, 0, sizeof *f);
    SO_TRY(varint(m, &key, error));
    f->number = (uint32_t)(key >> 3);
    f->wire = (int)(key & 7);
    if (f->number == 0 || key >> 3 > 0x1fffffff)
        return so_fail(error, SO_ERR_FORMAT, "protobuf: field number %llu before byte %zu",
                       (unsigned long long)(key >> 3), (size_t)(m->at - m->file));
    switch (f->wire) {
    case 0:
        return varint(m, &f->value, error);
    case 1:
        length = 8;
        break;
    case 2:
        SO_TRY(varint(m, &length, error));
        break;
    case 5:
        length = 4;
        break;
    default:
        return so_fail(error, SO_ERR_FORMAT, "protobuf: wire type %d before byte %zu", f->wire,
                       (size_t)(m->at - m->file));
    }
    if (length > (size_t)(m->end - m->at))
        return so_fail(error, SO_ERR_FORMAT,
                       "protobuf: a field of %llu bytes at byte %zu, %zu are left: the file was cut, or is damaged",
                       (unsigned long long)length, (size_t)(m->at - m->file), (size_t)(m->end - m->at));
    f->bytes = (so_span){(const char *)m->at, (size_t)length};
    m->at += length;
    return SO_OK;
}

static message inside(const message *outer, const field *f)
{
    const unsigned char *at = (const unsigned char *)f->bytes.data;
    return (message){at, at + f->bytes.length, outer->file};
}

static so_status wrong_wire(const field *f, const char *what, so_error *error)
{
    return so_fail(error, SO_ERR_FORMAT, "ONNX: %s %u has wire type %d", what, f->number, f->wire);
}

typedef struct tensor {
    so_span name, raw;
    so_view view;
    int64_t data_type;
    int has_raw, external;
    uint32_t other; /* field number of data that is not raw, 0 for none */
} tensor;

static so_status add_dim(tensor *t, uint64_t dim, so_error *error)
{
    if (t->view.n_dims == SO_VIEW_DIMS)
        return so_fail(error, SO_ERR_UNSUPPORTED, "ONNX: an initialiser has more than %d dimensions", SO_VIEW_DIMS);
    t->view.dim[t->view.n_dims++] = (int64_t)dim; /* negative if absurd: so_view_measure says so */
    return SO_OK;
}

static so_status tensor_field(tensor *t, const message *m, const field *f, so_error *error)
{
    uint64_t dim = 0;
    switch (f->number) {
    case TENSOR_DIMS:
        if (f->wire == 0) return add_dim(t, f->value, error);
        if (f->wire != 2) return wrong_wire(f, "tensor field", error);
        for (message packed = inside(m, f); packed.at < packed.end;) {
            SO_TRY(varint(&packed, &dim, error));
            SO_TRY(add_dim(t, dim, error));
        }
        return SO_OK;
    case TENSOR_DATA_TYPE:
    case TENSOR_DATA_LOCATION:
        if (f->wire != 0) return wrong_wire(f, "tensor field", error);
        if (f->number == TENSOR_DATA_TYPE) t->data_type = (int64_t)f->value;
        if (f->number == TENSOR_DATA_LOCATION && f->value) t->external = 1;
        return SO_OK;
    case TENSOR_NAME:
    case TENSOR_RAW_DATA:
        if (f->wire != 2) return wrong_wire(f, "tensor field", error);
        if (f->number == TENSOR_NAME) t->name = f->bytes;
        if (f->number == TENSOR_RAW_DATA) t->raw = f->bytes;
        if (f->number == TENSOR_RAW_DATA) t->has_raw = 1;
        return SO_OK;
    case TENSOR_EXTERNAL_DATA:
        t->external = 1;
        return SO_OK;
    case TENSOR_SEGMENT:
    case TENSOR_FLOAT_DATA:
    case TENSOR_INT32_DATA:
    case TENSOR_STRING_DATA:
    case TENSOR_INT64_DATA:
    case TENSOR_DOUBLE_DATA:
    case TENSOR_UINT64_DATA:
        t->other = f->number;
        return SO_OK;
    default:
        return SO_OK;
    }
}

static so_status type_of(const tensor *t, so_type *type, so_error *error)
{
    switch (t->data_type) {
    case 1:
        *type = SO_F32;
        return SO_OK;
    case 2: /* uint8 */
    case 9:
        *type = SO_U8;
        return SO_OK; /* bool */
    case 6:
        *type = SO_I32;
        return SO_OK;
    case 7:
        *type = SO_I64;
        return SO_OK;
    case 10:
        *type = SO_F16;
        return SO_OK;
    case 11:
        *type = SO_F64;
        return SO_OK;
    case 16:
        *type = SO_BF16;
        return SO_OK;
    default:
        return so_fail(error, SO_ERR_UNSUPPORTED, "ONNX: initialiser '%.*s' has data type %lld, which is not supported",
                       SO_SPAN_ARGS(t->name), (long long)t->data_type);
    }
}

static so_status read_initializer(so_onnx *onnx, message m, so_error *error)
{
    tensor t = {0};
    field f;
    while (m.at < m.end) {
        SO_TRY(next(&m, &f, error));
        SO_TRY(tensor_field(&t, &m, &f, error));
    }
    SO_TRY(so_name_check(t.name, error));
    if (t.external)
        return so_fail(error, SO_ERR_UNSUPPORTED, "ONNX: initialiser '%.*s' is stored in another file (external data)",
                       SO_SPAN_ARGS(t.name));
    SO_TRY(type_of(&t, &t.view.type, error));
    SO_TRY(so_view_measure(&t.view, t.name, error));
    if (t.other || (t.view.bytes && !t.has_raw))
        return so_fail(error, SO_ERR_UNSUPPORTED, "ONNX: initialiser '%.*s' is stored in field %u, expected raw_data",
                       SO_SPAN_ARGS(t.name), t.other);
    if (t.raw.length != t.view.bytes)
        return so_fail(error, SO_ERR_FORMAT, "ONNX: initialiser '%.*s' has %zu bytes, its type and shape say %zu",
                       SO_SPAN_ARGS(t.name), t.raw.length, t.view.bytes);
    if (t.view.bytes) t.view.data = t.raw.data;
    return so_views_add(&onnx->views, t.name, &t.view, error);
}

/* Adds the texts of field `number` of a node; the pointers are set when all nodes are read. */
static so_status read_texts(so_onnx *onnx, message m, uint32_t number, int64_t *n, so_error *error)
{
    field f;
    while (m.at < m.end) {
        SO_TRY(next(&m, &f, error));
        if (f.number != number) continue;
        if (f.wire != 2) return wrong_wire(&f, "node field", error);
        SO_TRY(so_grow(&onnx->text, onnx->n_texts, &onnx->texts_capacity, sizeof *onnx->text, error));
        onnx->text[onnx->n_texts++] = f.bytes;
        ++*n;
    }
    return SO_OK;
}

static so_status read_node(so_onnx *onnx, message m, so_error *error)
{
    so_onnx_node node = {0};
    field f;
    SO_TRY(read_texts(onnx, m, NODE_INPUT, &node.n_inputs, error));
    SO_TRY(read_texts(onnx, m, NODE_OUTPUT, &node.n_outputs, error));
    while (m.at < m.end) {
        SO_TRY(next(&m, &f, error));
        if (f.number != NODE_NAME && f.number != NODE_OP_TYPE) continue;
        if (f.wire != 2) return wrong_wire(&f, "node field", error);
        if (f.number == NODE_NAME) node.name = f.bytes;
        if (f.number == NODE_OP_TYPE) node.op_type = f.bytes;
    }
    SO_TRY(so_grow(&onnx->node, onnx->n_nodes, &onnx->nodes_capacity, sizeof *onnx->node, error));
    onnx->node[onnx->n_nodes++] = node;
    return SO_OK;
}

static so_status read_graph(so_onnx *onnx, message m, so_error *error)
{
    field f;
    while (m.at < m.end) {
        SO_TRY(next(&m, &f, error));
        if (f.number != GRAPH_NODE && f.number != GRAPH_INITIALIZER) continue;
        if (f.wire != 2) return wrong_wire(&f, "graph field", error);
        if (f.number == GRAPH_NODE) SO_TRY(read_node(onnx, inside(&m, &f), error));
        if (f.number == GRAPH_INITIALIZER) SO_TRY(read_initializer(onnx, inside(&m, &f), error));
    }
    return SO_OK;
}

/* Adds key -> node unless the key is empty or known: the first one counts. */
static so_status add_key(so_names *names, int64_t **nodes, int64_t *capacity, so_span key, int64_t node,
                         so_error *error)
{
    if (!key.length || so_names_find(names, key) >= 0) return SO_OK;
    SO_TRY(so_grow(nodes, names->count, capacity, sizeof **nodes, error));
    (*nodes)[names->count] = node;
    return so_names_add(names, key, error);
}

static so_status link_nodes(so_onnx *onnx, so_error *error)
{
    const so_span *text = onnx->text;
    for (int64_t i = 0; i < onnx->n_nodes; i++) {
        so_onnx_node *node = &onnx->node[i];
        node->input = text;
        node->output = text ? text + node->n_inputs : NULL;
        if (text) text += node->n_inputs + node->n_outputs;
        SO_TRY(add_key(&onnx->by_name, &onnx->name_node, &onnx->name_capacity, node->name, i, error));
        for (int64_t k = 0; k < node->n_outputs; k++)
            SO_TRY(add_key(&onnx->by_output, &onnx->output_node, &onnx->output_capacity, node->output[k], i, error));
    }
    return SO_OK;
}

static so_status read_model(so_onnx *onnx, const void *data, size_t size, so_error *error)
{
    const unsigned char *bytes = data;
    message m = {bytes, size ? bytes + size : bytes, bytes};
    field f;
    int graphs = 0;
    const char *what =
        size && ((const unsigned char *)data)[0] == 8 ? NULL : so_guess(data, size); /* field 1: version */
    if (what) return so_fail(error, SO_ERR_FORMAT, "%s, expected an ONNX file", what);
    while (m.at < m.end) {
        SO_TRY(next(&m, &f, error));
        if (f.number != MODEL_GRAPH) continue;
        if (f.wire != 2) return wrong_wire(&f, "model field", error);
        if (graphs++) return so_fail(error, SO_ERR_FORMAT, "ONNX: more than one graph");
        SO_TRY(read_graph(onnx, inside(&m, &f), error));
    }
    if (!graphs) return so_fail(error, SO_ERR_MISSING, "ONNX: no graph in %zu bytes", size);
    return link_nodes(onnx, error);
}

so_status so_onnx_open_memory(so_onnx **out, const void *data, size_t size, so_error *error)
{
    *out = NULL;
    so_onnx *onnx = calloc(1, sizeof *onnx);
    if (!onnx) return so_fail(error, SO_ERR_NOMEM, "no memory to read an ONNX file");
    so_status status = read_model(onnx, data, size, error);
    if (status == SO_OK)
        *out = onnx;
    else
        so_onnx_close(&onnx);
    return status;
}

so_status so_onnx_open(so_onnx **out, const char *path, so_error *error)
{
    so_map map;
    *out = NULL;
    SO_TRY(so_map_open(&map, path, error));
    so_status status = so_onnx_open_memory(out, map.data, map.size, error);
    if (status == SO_OK) {
        (*out)->map = map;
        return SO_OK;
    }
    so_map_close(&map);
    so_fail_in(error, "'%.300s'", path);
    return status;
}

void so_onnx_close(so_onnx **onnx)
{
    if (!onnx || !*onnx) return;
    so_onnx *o = *onnx;
    so_views_clear(&o->views);
    so_names_clear(&o->by_name);
    so_names_clear(&o->by_output);
    free(o->name_node);
    free(o->output_node);
    free(o->node);
    free(o->text);
    so_map_close(&o->map);
    free(o);
    *onnx = NULL;
}

const so_views *so_onnx_views(const so_onnx *onnx) { return &onnx->views; }

int64_t so_onnx_nodes(const so_onnx *onnx) { return onnx->n_nodes; }

const so_onnx_node *so_onnx_node_at(const so_onnx *onnx, int64_t i) { return &onnx->node[i]; }

const so_onnx_node *so_onnx_find(const so_onnx *onnx, const char *name)
{
    char output[SO_VIEW_NAME_MAX + 1];
    int64_t i = so_names_find(&onnx->by_name, so_span_of(name));
    if (i >= 0) return &onnx->node[onnx->name_node[i]];
    snprintf(output, sizeof output, "%s_output_0", name);
    i = so_names_find(&onnx->by_output, so_span_of(output));
    return i >= 0 ? &onnx->node[onnx->output_node[i]] : NULL;
}

/* The initialiser behind the value `name`, through at most as many Identity nodes as a sane file chains. */
static const so_view *resolve(const so_onnx *onnx, so_span name)
{
    for (int i = 0; i < 16; i++) {
        int64_t at = so_names_find(&onnx->views.names, name);
        if (at >= 0) return &onnx->views.view[at];
        at = so_names_find(&onnx->by_output, name);
        if (at < 0) return NULL;
        const so_onnx_node *node = &onnx->node[onnx->output_node[at]];
        if (node->op_type.length != 8 || memcmp(node->op_type.data, "Identity", 8) != 0 || node->n_inputs != 1)
            return NULL;
        name = node->input[0];
    }
    return NULL;
}

const so_view *so_onnx_input(const so_onnx *onnx, const so_onnx_node *node, int input)
{
    return input >= 0 && input < node->n_inputs ? resolve(onnx, node->input[input]) : NULL;
}

const so_view *so_onnx_consumed(const so_onnx *onnx, const char *name, int input)
{
    const so_onnx_node *node = so_onnx_find(onnx, name);
    const so_view *found = NULL;
    if (!node || input >= node->n_inputs) return NULL;
    if (input >= 0) return resolve(onnx, node->input[input]);
    for (int64_t i = 0; i < node->n_inputs; i++) {
        const so_view *view = resolve(onnx, node->input[i]);
        if (view && found) return NULL;
        if (view) found = view;
    }
    return found;
}
