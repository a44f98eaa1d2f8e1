/* Losses of vocoder and discriminators. Source: docs/model.md 7.6.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_LOSS_ADVERSARIAL_H
#define SO_TRAIN_LOSS_ADVERSARIAL_H

#include "models/discriminators.h"

/* Sum over discriminators of mean((1 - D(made))^2). */
so_tensor *so_generator_loss(so_pass *pass, const so_discrimination *made);
/* Sum over discriminators of mean((1 - D(real))^2) + mean(D(made)^2). */
so_tensor *so_discriminator_loss(so_pass *pass, const so_discrimination *real, const so_discrimination *made);
/* Twice the sum over features of mean|real - made|. */
so_tensor *so_feature_loss(so_pass *pass, const so_discrimination *real, const so_discrimination *made);
/* Sum over discriminators of so_median_loss. */
so_tensor *so_relative_loss(so_pass *pass, const so_discrimination *real, const so_discrimination *made, double tau);

#endif
