/* Which addresses are other people's: in the public network, and not this machine, its neighbours or a cloud's own
 * services.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_OUTSIDE_H
#define SO_NET_OUTSIDE_H

#include <stdbool.h>
#include <sys/socket.h>

/* False for loopback, private, link-local (metadata services), shared (RFC 6598), documentation, benchmarking,
 * multicast and reserved addresses (IANA's registries of special purpose), also inside IPv6 (mapped, NAT64, 6to4,
 * Teredo), and for families other than IPv4 and IPv6. */
bool so_address_outside(const struct sockaddr *address);

#endif
