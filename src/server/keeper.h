/* Spoken answers by their ids, so that a later request may refer to one ("audio": {"id": ...}) instead of sending it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_KEEPER_H
#define SO_SERVER_KEEPER_H

#include <stdint.h>
#include <time.h>

#include "base/error.h"

enum { SO_KEEPER_MOST = 1024, SO_KEEPER_S = 3600 };

typedef struct so_keeper so_keeper;
so_status so_keeper_open(so_keeper **out, so_error *error);
void so_keeper_close(so_keeper **keeper);
/* Keeps the words for SO_KEEPER_S seconds from `now`; of more than SO_KEEPER_MOST the oldest leaves. */
void so_keeper_put(so_keeper *keeper, const char *id, const char *words, time_t now);
/* The words, lent until the next put; NULL when they are not kept (any more). */
const char *so_keeper_get(const so_keeper *keeper, const char *id, time_t now);

#endif
