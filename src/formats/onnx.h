/* ONNX files: weights and the graph's wiring, as far as it takes to know which weight is which.
 *
 * Source: docs/files.md 4; onnx.proto of ONNX 1.13 for the others; the protobuf wire
 * format.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_ONNX_H
#define SO_FORMATS_ONNX_H

#include "formats/view.h"

typedef struct so_onnx so_onnx;

/* One operation of the graph. Texts lie in the file. */
typedef struct so_onnx_node {
    so_span name, op_type;
    const so_span *input, *output;
    int64_t n_inputs, n_outputs;
} so_onnx_node;

/* Reads nodes and initialisers. SO_ERR_IO, SO_ERR_FORMAT, SO_ERR_UNSUPPORTED (weights in another file, an element type
 * without an so_type, numbers not stored as raw bytes), SO_ERR_MISSING (no graph). */
so_status so_onnx_open(so_onnx **out, const char *path, so_error *error);
/* The same from bytes in memory, lent until close. */
so_status so_onnx_open_memory(so_onnx **out, const void *data, size_t size, so_error *error);
void so_onnx_close(so_onnx **onnx);

/* All initialisers in file order; bool is given as U8. Their data lies in the map WITHOUT alignment: use memcpy, or
 * take an aligned copy. Lives until close. */
const so_views *so_onnx_views(const so_onnx *onnx);
int64_t so_onnx_nodes(const so_onnx *onnx);                          /* how many */
const so_onnx_node *so_onnx_node_at(const so_onnx *onnx, int64_t i); /* 0 <= i < nodes */
/* The node of that name, else the one that makes an output "<name>_output_0", else NULL. */
const so_onnx_node *so_onnx_find(const so_onnx *onnx, const char *name);
/* The initialiser that the node of that name consumes as input `input`, or as its only weight among all inputs if
 * `input` is negative. Identity nodes are looked through. NULL when there is none, or several. */
const so_view *so_onnx_consumed(const so_onnx *onnx, const char *name, int input);
/* The initialiser behind an input of a node, Identity nodes looked through; NULL when there is none. */
const so_view *so_onnx_input(const so_onnx *onnx, const so_onnx_node *node, int input);

#endif
