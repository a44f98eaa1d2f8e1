/* G.711: 8 bits a sample, as telephones send it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/g711.h"

enum { ULAW_BIAS = 132, ULAW_MOST = 32635 };

int16_t so_ulaw_decode(uint8_t code)
{
    unsigned c = ~(unsigned)code & 0xff, segment = c >> 4 & 7;
    int size = ((int)(c & 15) * 8 + ULAW_BIAS) * (1 << segment) - ULAW_BIAS;
    return (int16_t)(c & 0x80 ? -size : size);
}

uint8_t so_ulaw_encode(int16_t sample)
{
    int size = sample < 0 ? -(int)sample : sample;
    unsigned segment = 7;
    if (size > ULAW_MOST) size = ULAW_MOST;
    size += ULAW_BIAS;
    while (segment > 0 && !(size & 0x80 << segment)) segment--;
    unsigned code = segment << 4 | ((unsigned)size >> (segment + 3) & 15) | (sample < 0 ? 0x80u : 0);
    return (uint8_t)~code;
}

int16_t so_alaw_decode(uint8_t code)
{
    unsigned c = code ^ 0x55u, segment = c >> 4 & 7;
    int size = (int)((c & 15) << 4) + 8;
    if (segment) size = (size + 256) << (segment - 1);
    return (int16_t)(c & 0x80 ? size : -size);
}

uint8_t so_alaw_encode(int16_t sample)
{
    int size = sample < 0 ? -(int)sample - 1 : sample;
    unsigned segment = 7;
    if (size > 32767) size = 32767;
    while (segment > 0 && !(size & 0x80 << segment)) segment--;
    unsigned low = segment ? (unsigned)size >> (segment + 3) & 15 : (unsigned)size >> 4 & 15;
    return (uint8_t)((segment << 4 | low | (sample < 0 ? 0 : 0x80u)) ^ 0x55u);
}
