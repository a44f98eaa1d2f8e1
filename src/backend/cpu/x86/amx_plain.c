/* The kernels on matrix tiles wholly in plain C, for machines without AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(SO_DOUBLE) && defined(__x86_64__)
#define SO_TILE_DOUBLE
#define SO_FILL_TILES so_fill_amx_plain
#define SO_TILES_TRY so_tile_try_amx_plain
#define SO_TILES_NAME "amx-plain"
#include "backend/cpu/x86/tile_fill.h"
#endif
