/* The weights of CosyVoice's speech_tokenizer_v1.onnx under the names that S3Tokenizer gives them.
 *
 * The exporter names most weights by number, so that they are known by the node that consumes them; linear weights and
 * code vectors are stored transposed. Source: docs/files.md 4.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_ONNX_TOKENIZER_H
#define SO_FORMATS_ONNX_TOKENIZER_H

#include "formats/onnx.h"

/* Fills `out` (to be zeroed before, cleared with so_views_clear after, also on failure) with "encoder.conv1.weight",
 * "encoder.blocks.0.attn.query.weight", ..., "quantizer._codebook.embed" [codes, width]: 6 + 15 per block tensors,
 * linear weights as [out, in]. All data is aligned and either copied or lent by `onnx`, which must outlive the table.
 * SO_ERR_MISSING names the node or tensor that is not there, SO_ERR_SHAPE a tensor of another shape than its
 * neighbours demand, SO_ERR_LIMIT more than 64 blocks. */
so_status so_speech_tokenizer_views(const so_onnx *onnx, so_views *out, so_error *error);

#endif
