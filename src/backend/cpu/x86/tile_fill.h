/* The table entries that matrix tiles replace, and one operation by itself for tests. SO_FILL_TILES and SO_TILES_TRY
 * name the functions, SO_TILES_NAME the table.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_FILL_H
#define SO_BACKEND_CPU_X86_TILE_FILL_H

#include "backend/cpu/x86/tile_attention_back.h"
#include "backend/cpu/x86/tile_conv.h"
#include "backend/cpu/x86/tile_gemm.h"
#include "backend/cpu/x86/tile_int8.h"

void SO_TILES_TRY(so_tile_dot dot, int bytes, const void *a, const void *b, void *c)
{
    const tile_shape shape = tile_shape_of(bytes);
    tile_setup(&shape);
    tile_load(0, c, TILE_BYTES);
    tile_load(4, a, TILE_BYTES);
    tile_load(6, b, TILE_BYTES);
    switch (dot) {
    case SO_TILE_INT8:
        tile_dot_int8(0, 4, 6);
        break;
    case SO_TILE_INT8_SU:
        tile_dot_int8_su(0, 4, 6);
        break;
    case SO_TILE_INT8_US:
        tile_dot_int8_us(0, 4, 6);
        break;
    default:
        tile_dot_bf16(0, 4, 6);
        break;
    }
    tile_store(0, c, TILE_BYTES);
    tile_release();
}

void SO_FILL_TILES(so_kernels *table)
{
    tiles_below = *table;
    attention_before = table->attention;
    attention_back_before = table->attention_back;
    row_before = table->row;
    table->name = SO_TILES_NAME;
    table->gemm_bf16 = gemm_bf16;
    table->bf16_gains = true;
    table->bf16_bytes = bf16_bytes;
    table->bf16_pack = bf16_pack;
    table->bf16_linear = bf16_linear;
    table->bf16_joined = bf16_joined;
    table->bf16_conv_bytes = bf16_conv_bytes;
    table->bf16_conv_pack = bf16_conv_pack;
    table->bf16_conv = bf16_conv;
    table->bf16_attention = bf16_attention;
    table->attention_bf16 = attention_bf16;
    table->attention_bf16_back = attention_bf16_back;
    table->round_int8 = round_int8;
    table->linear_int8 = linear_int8;
    table->gated_int8 = gated_int8;
}

#endif
