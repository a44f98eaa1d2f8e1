/* What the files of the flow model share: flow_encoder.c, flow_unet.c, flow_sampler.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_FLOW_PARTS_H
#define SO_MODELS_FLOW_PARTS_H

#include "models/flow.h"

#define SO_FLOW_NORM_EPS 1e-5

/* Scores to add so that keys outside of the mask [n] are hidden; with `add` the mask itself. */
so_real *so_flow_mask_bias(so_pass *pass, int64_t n, const so_real *mask, bool add);

/* so_flow_velocity of what its conditions and x make side by side, [B, T, 4M]. */
so_tensor *so_flow_answer(so_pass *pass, const so_flow *net, so_tensor *x, const so_flow_ask *ask);

/* In this order weights are bound, and random ones drawn: what stands alone, then layers and stages. */
so_status so_flow_bind_encoder(so_flow *net, const char *prefix, so_binder *binder, so_error *error);
so_status so_flow_bind_unet(so_flow *net, const char *prefix, so_binder *binder, so_error *error);
so_status so_flow_bind_encoder_layers(so_flow *net, const char *prefix, so_binder *binder, so_error *error);
so_status so_flow_bind_unet_stages(so_flow *net, const char *prefix, so_binder *binder, so_error *error);

#endif
