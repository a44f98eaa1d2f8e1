/* The verbs of the program, one file each.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_VERBS_H
#define SO_APPS_VERBS_H

#include "apps/cli.h"

extern const so_verb so_verb_ask, so_verb_talk, so_verb_see, so_verb_transcribe, so_verb_speak, so_verb_demo,
    so_verb_bench, so_verb_serve, so_verb_voices;
extern const so_verb so_verb_train, so_verb_data, so_verb_eval, so_verb_inspect, so_verb_convert, so_verb_export,
    so_verb_pull, so_verb_calibrate;

/* eval quant MODEL. */
typedef struct so_quant_options so_quant_options;
int so_quant_run(so_quant_options *options, bool json);

#endif
