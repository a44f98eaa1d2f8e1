/* The verbs of the program, one file each.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_VERBS_H
#define SO_APPS_VERBS_H

#include "apps/cli.h"

extern const so_verb so_verb_train, so_verb_data, so_verb_eval, so_verb_inspect, so_verb_convert;

#endif
