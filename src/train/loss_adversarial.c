/* Least squares, matched features, and medians.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/loss_adversarial.h"

/* sum + weight * part; sum may be NULL. */
static so_tensor *plus(so_pass *pass, so_tensor *sum, so_tensor *part, so_real weight)
{
    if (!sum) return weight == 1 ? part : so_scale(pass, part, weight);
    return so_weighted_sum(pass, 2, (so_tensor *[]){sum, part}, (so_real[]){1, weight});
}

/* mean((x - goal)^2) */
static so_tensor *toward(so_pass *pass, so_tensor *x, so_real goal)
{
    so_tensor *g = so_new_like(pass, x);
    for (int64_t i = 0; g && i < so_count(g) && !pass->dry; i++) so_data(g)[i] = goal;
    return so_mse(pass, x, g, NULL);
}

so_tensor *so_generator_loss(so_pass *pass, const so_discrimination *made)
{
    so_tensor *sum = NULL;
    for (int i = 0; i < made->n; i++) sum = plus(pass, sum, toward(pass, made->out[i], 1), 1);
    return sum;
}

so_tensor *so_discriminator_loss(so_pass *pass, const so_discrimination *real, const so_discrimination *made)
{
    so_tensor *sum = NULL;
    for (int i = 0; i < made->n; i++) {
        sum = plus(pass, sum, toward(pass, real->out[i], 1), 1);
        sum = plus(pass, sum, toward(pass, made->out[i], 0), 1);
    }
    return sum;
}

so_tensor *so_feature_loss(so_pass *pass, const so_discrimination *real, const so_discrimination *made)
{
    so_tensor *sum = NULL;
    for (int i = 0; i < made->n_features; i++)
        sum = plus(pass, sum, so_l1(pass, made->feature[i], real->feature[i], NULL), 2);
    return sum;
}

so_tensor *so_relative_loss(so_pass *pass, const so_discrimination *real, const so_discrimination *made, double tau)
{
    so_tensor *sum = NULL;
    for (int i = 0; i < made->n; i++) sum = plus(pass, sum, so_median_loss(pass, real->out[i], made->out[i], tau), 1);
    return sum;
}
