/* What each column of each matrix matters: the mean square of what meets it while a model works.
 *
 * For y = W x an error dW in one weight adds dW^2 E[x_i^2] to the output's mean square error, so quantisers that know
 * E[x_i^2] spend their bits where they are felt (base/quantise.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_QUANT_CALIBRATE_H
#define SO_EVAL_QUANT_CALIBRATE_H

#include "engine/session.h"

typedef struct so_calibration so_calibration;

so_status so_calibration_open(so_calibration **out, so_error *error);
void so_calibration_close(so_calibration **calibration);
/* From now on every linear layer that the session computes is counted. The calibration must outlive the session's work,
 * and the model must stay open until the calibration is closed (names are lent). One thread at a time. */
void so_calibration_watch(so_calibration *calibration, so_session *session);
/* Matrices counted, and the rows of the least counted one. */
int64_t so_calibration_count(const so_calibration *calibration, int64_t *least);
/* Writes a safetensors file: per matrix a vector of f32 of its name, the mean squares of its columns. SO_ERR_NUMBER
 * when an activation was not finite, SO_ERR_STATE when nothing was counted. */
so_status so_calibration_save(const so_calibration *calibration, const char *path, so_error *error);

#endif
