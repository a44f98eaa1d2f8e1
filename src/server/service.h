/* What a service manager (systemd) and a service tell each other: sockets that are open already, readiness, life signs.
 *
 * Source: systemd's documentation of sd_notify(3) and sd_listen_fds(3), "protocol" sections. No library is needed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_SERVICE_H
#define SO_SERVER_SERVICE_H

#include <stdbool.h>

/* Sends "READY=1", "STOPPING=1", "STATUS=text", "WATCHDOG=1", or several with line breaks between, to NOTIFY_SOCKET.
 * False when nobody is to be told, or cannot be. */
bool so_service_tell(const char *state);

/* Milliseconds between two "WATCHDOG=1" that the manager wants at least; 0: none. Half of what it allows. */
int so_service_watchdog(void);

enum { SO_SERVICE_SOCKETS = 16 };
/* Descriptors of listening sockets that the manager opened, closed on exec; gives their number, 0 without any. The
 * environment forgets them, so that children do not take them for theirs. */
int so_service_sockets(int fd[SO_SERVICE_SOCKETS]);

#endif
