/* Fuzzes the reader of ONNX files, the search for consumed weights, and the naming of the speech tokenizer
 * and of CAM++.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/onnx.h"

#include "formats/onnx_campplus.h"
#include "formats/onnx_tokenizer.h"
#include "touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    so_onnx *onnx;
    so_views views = {0};
    if (so_onnx_open_memory(&onnx, data, size, &error) != SO_OK) return 0;
    touch_views(so_onnx_views(onnx));
    for (int64_t i = 0; i < so_onnx_nodes(onnx); i++) {
        const so_onnx_node *node = so_onnx_node_at(onnx, i);
        char name[128];
        for (int64_t k = 0; k < node->n_inputs; k++) touch(node->input[k].data, node->input[k].length);
        for (int64_t k = 0; k < node->n_outputs; k++) touch(node->output[k].data, node->output[k].length);
        if (node->name.length >= sizeof name) continue;
        if (node->name.length) memcpy(name, node->name.data, node->name.length);
        name[node->name.length] = 0;
        touched += so_onnx_consumed(onnx, name, -1) != NULL;
        touched += so_onnx_consumed(onnx, name, 1) != NULL;
    }
    if (so_speech_tokenizer_views(onnx, &views, &error) == SO_OK) touch_views(&views);
    so_views_clear(&views);
    if (so_campplus_views(onnx, &views, &error) == SO_OK) touch_views(&views);
    so_views_clear(&views);
    so_onnx_close(&onnx);
    return 0;
}
