/* The kernels on matrix tiles with the tiles in plain C: all but the unit itself as in amx_avx512.c.
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(SO_DOUBLE) && defined(__x86_64__)
#define SO_TILE_DOUBLE
#define SO_FILL_TILES so_fill_amx_double
#define SO_TILES_TRY so_tile_try_amx_double
#define SO_TILES_NAME "amx-double"
#include "backend/cpu/x86/tile_fill.h"
#endif
