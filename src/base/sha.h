/* SHA-256 and SHA-1, fed piece by piece: what the hubs name their files by.
 * Source: FIPS 180-4.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_SHA_H
#define SO_BASE_SHA_H

#include <stddef.h>
#include <stdint.h>

typedef enum so_sha_kind { SO_SHA256, SO_SHA1 } so_sha_kind;

typedef struct so_sha {
    so_sha_kind kind;
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[64];
} so_sha;

void so_sha_init(so_sha *sha, so_sha_kind kind);
void so_sha_feed(so_sha *sha, const void *data, size_t size);
/* Lower-case hexadecimal digits, 64 or 40, terminated. The sha may not be fed any more. */
void so_sha_end(so_sha *sha, char hex[65]);

#endif
