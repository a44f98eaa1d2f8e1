/* Announces a service in the local network through Avahi, whose client library is opened at run time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_ZEROCONF_H
#define SO_SERVER_ZEROCONF_H

#include "base/error.h"

typedef struct so_zeroconf so_zeroconf;

/* Announces `type` ("_wyoming._tcp") at `port` of this machine under `name`, or under another like it where that is
 * taken, until it is closed, also when Avahi's daemon starts later or anew. A thread of Avahi's does it. SO_ERR_MISSING
 * without the library or a system bus. */
so_status so_zeroconf_open(so_zeroconf **out, const char *name, const char *type, int port, so_error *error);
void so_zeroconf_close(so_zeroconf **zeroconf);

#endif
