/* What ends the program from outside, and the descriptors that it starts with.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_SIGNALS_H
#define SO_APPS_SIGNALS_H

#include <signal.h>

/* The number of the signal that asked the program to end (SIGINT, SIGTERM, SIGHUP, SIGPIPE), 0 before. Verbs look at it
 * now and then, let go of what is not whole, and return. */
extern volatile sig_atomic_t so_cli_stop;

/* Sets the handlers. A signal sets so_cli_stop; where the verb has not returned 0.7 s later, or a second signal comes,
 * the program removes its temporary files and ends with 128 and the signal's number. SIGHUP stays ignored where it was
 * (nohup); a file that grows past what the system allows is an error like a full disk. */
void so_cli_catch(void);
/* Seconds that a verb has in place of 0.7, as when it saves hours of work. */
void so_cli_grace(double seconds);
/* Opens /dev/null in place of the descriptors 0, 1 and 2 that are closed, so that no file gets their numbers; reading
 * and writing these fails. */
void so_cli_secure(void);

#endif
