/* What a config.json may ask for that this program does not do, and where its rotary parameters stand. Private.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_CONFIG_CHECK_H
#define SO_CHECKPOINT_CONFIG_CHECK_H

#include <jansson.h>

#include "base/error.h"

/* SO_ERR_UNSUPPORTED, naming the setting, for what is not done here: nothing is passed over that would change numbers.
 */
so_status so_config_check(const json_t *root, so_error *error);
/* The object of rotary parameters of type llama3: "rope_parameters" (transformers 5) or "rope_scaling" (before); NULL
 * when positions are not scaled. */
const json_t *so_config_rope(const json_t *root);
/* rope_theta, which stands at the root or among the rotary parameters; NULL when it is absent. */
const json_t *so_config_theta(const json_t *root);
/* What SigLIP's own configuration takes for a size of "vision_config" that the file leaves out, because it is the
 * default there; `otherwise` when the file has no such object of SigLIP. */
double so_config_tower_default(const json_t *root, const char *name, double otherwise);

#endif
