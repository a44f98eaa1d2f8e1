/* Kernels on the matrix tiles of AMX.
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(SO_DOUBLE) && defined(__x86_64__)
#define SO_FILL_TILES so_fill_amx
#define SO_TILES_TRY so_tile_try_amx
#define SO_TILES_NAME "amx"
#include "backend/cpu/x86/tile_fill.h"
#endif
