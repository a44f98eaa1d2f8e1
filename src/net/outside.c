/* Which addresses are other people's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/outside.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct range {
    unsigned char first[4], bits;
} range;

static bool within(const unsigned char *address, const range *r)
{
    for (unsigned i = 0; i < r->bits; i++)
        if ((address[i / 8] ^ r->first[i / 8]) & (0x80u >> i % 8)) return false;
    return true;
}

static bool outside4(const unsigned char *address)
{
    static const range inside[] = {
        {{0, 0, 0, 0}, 8},      {{10, 0, 0, 0}, 8},     {{100, 64, 0, 0}, 10}, {{127, 0, 0, 0}, 8},
        {{169, 254, 0, 0}, 16}, {{172, 16, 0, 0}, 12},  {{192, 0, 0, 0}, 24},  {{192, 0, 2, 0}, 24},
        {{192, 88, 99, 0}, 24}, {{192, 168, 0, 0}, 16}, {{198, 18, 0, 0}, 15}, {{198, 51, 100, 0}, 24},
        {{203, 0, 113, 0}, 24}, {{224, 0, 0, 0}, 4},    {{240, 0, 0, 0}, 4},
    };
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (within(address, &inside[i])) return false;
    return true;
}

static bool outside6(const unsigned char *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff}, nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const range global = {{0x20, 0, 0, 0}, 3}, protocols = {{0x20, 0x01, 0, 0}, 23},
                       documents = {{0x20, 0x01, 0x0d, 0xb8}, 32}, newer = {{0x3f, 0xff, 0, 0}, 20},
                       six_to_four = {{0x20, 0x02, 0, 0}, 16};
    if (memcmp(address, mapped, 12) == 0 || memcmp(address, nat64, 12) == 0) return outside4(address + 12);
    if (within(address, &six_to_four)) return outside4(address + 2);
    return within(address, &global) && !within(address, &protocols) && !within(address, &documents) &&
           !within(address, &newer);
}

bool so_address_outside(const struct sockaddr *address)
{
    unsigned char bytes[16];
    if (address->sa_family == AF_INET) {
        memcpy(bytes, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
        return outside4(bytes);
    }
    if (address->sa_family != AF_INET6) return false;
    memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    return outside6(bytes);
}
