/* The verbs behind "data" that work on corpora.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_DATA_CORPUS_H
#define SO_APPS_DATA_CORPUS_H

#include "apps/verbs.h"

extern const so_verb so_data_index, so_data_check, so_data_stats, so_data_show, so_data_units, so_data_shard,
    so_data_instruct, so_data_visit;

#endif
