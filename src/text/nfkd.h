/* Compatibility decompositions for the English normaliser.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_NFKD_H
#define SO_TEXT_NFKD_H

#include <stdint.h>

/* What a character decomposes to, nonspacing marks left out, as UTF-8; NULL when it stays. */
const char *so_nfkd(int32_t c);

#endif
