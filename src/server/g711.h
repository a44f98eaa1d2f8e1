/* G.711: 8 bits a sample, as telephones send it. Source: ITU-T G.711, tables 1 and 2.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_G711_H
#define SO_SERVER_G711_H

#include <stdint.h>

int16_t so_ulaw_decode(uint8_t code);
uint8_t so_ulaw_encode(int16_t sample);
int16_t so_alaw_decode(uint8_t code);
uint8_t so_alaw_encode(int16_t sample);

#endif
