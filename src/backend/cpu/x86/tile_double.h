/* The operations of tile.h in plain C. What the processor answers with a fault (a register without a shape, factors
 * whose shapes do not fit) is an assertion here. The registers lie in the scratch of the thread. A part of tile.h,
 * which includes it where its names are known.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_DOUBLE_H
#define SO_BACKEND_CPU_X86_TILE_DOUBLE_H

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct tile_state {
    tile_shape shape; /* palette 0: none */
    unsigned char reg[TILES][TILE_ROWS][TILE_BYTES];
} tile_state;
_Static_assert(sizeof(tile_state) <= sizeof(((so_scratch *)NULL)->tiles), "the scratch holds the registers");

static inline tile_state *tile_here(void) { return (tile_state *)(void *)so_scratch_here()->tiles; }

static inline tile_state *tile_ready(int t)
{
    tile_state *s = tile_here();
    assert(s->shape.palette == 1 && s->shape.rows[t] > 0 && s->shape.bytes[t] > 0);
    return s;
}

static inline void tile_setup(const tile_shape *shape)
{
    tile_state *s = tile_here();
    for (int t = 0; t < TILES; t++)
        assert(shape->palette == 1 && shape->rows[t] <= TILE_ROWS && shape->bytes[t] <= TILE_BYTES);
    memset(s, 0, sizeof *s);
    s->shape = *shape;
}

static inline void tile_release(void) { memset(tile_here(), 0, sizeof(tile_state)); }

static inline void tile_zero(int t) { memset(tile_ready(t)->reg[t], 0, sizeof(tile_here()->reg[t])); }

static inline void tile_load(int t, const void *from, int64_t stride)
{
    tile_state *s = tile_ready(t);
    memset(s->reg[t], 0, sizeof s->reg[t]);
    for (int i = 0; i < s->shape.rows[t]; i++) memcpy(s->reg[t][i], (const char *)from + i * stride, s->shape.bytes[t]);
}

static inline void tile_load_once(int t, const void *from, int64_t stride) { tile_load(t, from, stride); }

static inline void tile_store(int t, void *to, int64_t stride)
{
    const tile_state *s = tile_ready(t);
    for (int i = 0; i < s->shape.rows[t]; i++) memcpy((char *)to + i * stride, s->reg[t][i], s->shape.bytes[t]);
}

/* Groups of four bytes in a row of a; the shapes must fit. */
static inline int tile_depth(const tile_state *s, int c, int a, int b)
{
    assert(s->shape.bytes[a] % 4 == 0 && s->shape.rows[b] == s->shape.bytes[a] / 4);
    assert(s->shape.rows[c] == s->shape.rows[a] && s->shape.bytes[c] == s->shape.bytes[b] && c != a && c != b &&
           a != b);
    return s->shape.bytes[a] / 4;
}

static inline tile_state *tile_three(int c, int a, int b) { return tile_ready(a), tile_ready(b), tile_ready(c); }

static inline int tile_byte(unsigned char x, bool is_signed) { return is_signed ? (int8_t)x : x; }

static inline void tile_dot_bytes(int c, int a, int b, bool a_signed, bool b_signed)
{
    tile_state *s = tile_three(c, a, b);
    int depth = tile_depth(s, c, a, b), cols = s->shape.bytes[c] / 4;
    for (int i = 0; i < s->shape.rows[c]; i++) {
        uint32_t sum[TILE_ROWS];
        memcpy(sum, s->reg[c][i], sizeof sum);
        for (int l = 0; l < depth; l++)
            for (int u = 0; u < 4; u++) {
                int x = tile_byte(s->reg[a][i][4 * l + u], a_signed);
                for (int j = 0; j < cols; j++) sum[j] += (uint32_t)(x * tile_byte(s->reg[b][l][4 * j + u], b_signed));
            }
        memset(s->reg[c][i], 0, TILE_BYTES);
        memcpy(s->reg[c][i], sum, (size_t)cols * 4);
    }
}

static inline void tile_dot_int8(int c, int a, int b) { tile_dot_bytes(c, a, b, true, true); }
static inline void tile_dot_int8_su(int c, int a, int b) { tile_dot_bytes(c, a, b, true, false); }
static inline void tile_dot_int8_us(int c, int a, int b) { tile_dot_bytes(c, a, b, false, true); }

static inline float tile_flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

static inline float tile_bf16(const unsigned char *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return tile_flushed(so_from_bf16(h));
}

/* a b + c rounded once: the product of two bf16 is exact in double, and what double rounds of the sum does not change
 * how float rounds it. */
static inline float tile_fused(float a, float b, float c)
{
    return tile_flushed((float)((double)a * (double)b + (double)c));
}

static inline void tile_dot_bf16(int c, int a, int b)
{
    tile_state *s = tile_three(c, a, b);
    int depth = tile_depth(s, c, a, b), cols = s->shape.bytes[c] / 4;
    static const float none[TILE_ROWS];
    float right[TILE_ROWS][2][TILE_ROWS];
    for (int l = 0; l < depth; l++)
        for (int u = 0; u < 2; u++)
            for (int j = 0; j < TILE_ROWS; j++) right[l][u][j] = tile_bf16(&s->reg[b][l][4 * j + 2 * u]);
    for (int i = 0; i < s->shape.rows[c]; i++) {
        float sum[2][TILE_ROWS], row[TILE_ROWS];
        for (int u = 0; u < 2; u++) {
            memcpy(sum[u], none, sizeof none);
            for (int l = 0; l < depth; l++) {
                float x = tile_bf16(&s->reg[a][i][4 * l + 2 * u]);
                for (int j = 0; j < TILE_ROWS; j++) sum[u][j] = tile_fused(x, right[l][u][j], sum[u][j]);
            }
        }
        memcpy(row, s->reg[c][i], sizeof row);
        for (int j = 0; j < TILE_ROWS; j++)
            row[j] = tile_flushed(tile_flushed(row[j]) + tile_flushed(sum[0][j] + sum[1][j]));
        memset(s->reg[c][i], 0, TILE_BYTES);
        memcpy(s->reg[c][i], row, (size_t)cols * 4);
    }
}

#endif
