/* What a model and a session take of a device, told before anything is moved there; and opening a model.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_PLAN_PLAN_H
#define SO_PLAN_PLAN_H

#include "engine/session.h"

/* Bytes on the device, as its allocator gives them out. */
typedef struct so_device_plan {
    size_t weights, codec; /* of the networks; of the codec, 0 where that computes on the host */
    size_t talk, mouth,
        scratch;    /* of one session: keys, values and what lies with them; its voice; what it computes in */
    size_t all;     /* the sum */
    int64_t layers; /* of the backbone, on the device */
} so_device_plan;

/* One session with these options (NULL: none) of a model that is loaded and not settled (so_model_load). */
so_status so_plan_device(const so_model *model, const so_session_options *options, so_device_plan *plan,
                         so_error *error);
/* The same held against `left` bytes. Where it does not fit, SO_ERR_NOMEM says how much is needed and what would fit:
 * fewer positions, the codec on the host, fewer layers. Changes nothing. */
so_status so_plan_check(so_model *model, size_t left, so_error *error);
/* As many layers of the backbone as fit into `left` bytes stay on the device: so_model_keep_layers. */
so_status so_plan_layers(so_model *model, size_t left, so_error *error);

/* so_model_open on a device that is open, which it takes, also when it fails. */
so_status so_model_open_on(so_model **out, const char *path, const so_model_options *options, so_device *device,
                           so_error *error);

#endif
