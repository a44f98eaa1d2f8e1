/* What options may be.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_LIMITS_H
#define SO_CHECKPOINT_LIMITS_H

#include "so.h"

enum { SO_MOST_TOKENS = 1 << 20 /* of an answer: text tokens, units */ };

/* NULL is accepted. SO_ERR_ARG names what is out of range. */
so_status so_check_session(const so_session_options *options, so_error *error);
so_status so_check_sampling(double temperature, double top_p, int top_k, so_error *error);
/* The options of a crew; of a reply. */
so_status so_check_crew(const so_crew_options *options, so_error *error);
so_status so_check_reply(const so_reply_options *options, so_error *error);

#endif
