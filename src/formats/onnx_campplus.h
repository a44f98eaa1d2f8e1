/* The weights of campplus.onnx under the names of the published code of CAM++ (models/campplus.h).
 *
 * The exporter folds a batch norm into the convolution before it and names what comes of it by number, so that weights
 * are known by the order of the graph's Conv and BatchNormalization nodes, which is that of the network. A norm that
 * was folded is given as one that does nothing but add the convolution's bias. Source: docs/files.md 4.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_ONNX_CAMPPLUS_H
#define SO_FORMATS_ONNX_CAMPPLUS_H

#include "formats/onnx.h"

/* Fills `out` (to be zeroed before, cleared with so_views_clear after, also on failure) with "head.conv1.weight", ...,
 * "xvector.dense.nonlinear.batchnorm.running_var". All data is aligned and either copied or lent by `onnx`, which must
 * outlive the table. SO_ERR_MISSING names the operation that is not where it is expected, SO_ERR_SHAPE one of another
 * shape, SO_ERR_LIMIT more than 256 layers in a block. */
so_status so_campplus_views(const so_onnx *onnx, so_views *out, so_error *error);

#endif
