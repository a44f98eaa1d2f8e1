/* The printable alphabet in which byte-level vocabularies spell arbitrary bytes: printable Latin-1 bytes stand for
 * themselves, the other 68 for U+0100 and on.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/table.h"

static bool is_itself(int byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

int32_t so_byte_to_char(unsigned char byte)
{
    if (is_itself(byte)) return byte;
    if (byte <= 0x20) return 0x100 + byte;
    return byte == 0xad ? 0x143 : 0x100 + 0x21 + (byte - 0x7f);
}

int so_char_to_byte(int32_t c)
{
    if (c >= 0 && c < 0x100) return is_itself(c) ? c : -1;
    if (c < 0x100 || c > 0x143) return -1;
    c -= 0x100;
    return c <= 0x20 ? c : c == 0x43 ? 0xad : 0x7f + (c - 0x21);
}
