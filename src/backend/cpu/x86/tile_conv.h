/* Convolutions along time on matrix tiles, rounded to bf16.
 *
 * A task's frames of x are rounded once, rows of whole tiles along the channels. The left factor of tap j, 16 frames
 * that lie a stride apart, is then a load with that distance between rows: nothing is copied for a tap. Weights are
 * laid out as the right factor: [n / 16][taps][channels / 32] tiles. As in tile_gemm.h 32 columns meet all frames of
 * the task for 16 tiles along taps and channels before the next 16; sums wait in scratch, block by block.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_CONV_H
#define SO_BACKEND_CPU_X86_TILE_CONV_H

#include "backend/cpu/x86/tile_gemm.h"

enum { MOST_FRAMES = 256, FRAME_TILES = DEEP_BLOCK / TILE_DEEP };
_Static_assert(MOST_FRAMES * 32 <= SO_PACK_A, "the scratch holds the sums of 32 columns");

static size_t bf16_conv_bytes(int64_t n, int64_t channels, int64_t taps)
{
    return (size_t)(tiles_of(n, TILE_ROWS) * taps * strip_of(channels)) * sizeof(uint16_t);
}

typedef struct tile_conv_job {
    const so_conv *conv;
    int64_t n, channels, taps, step, tasks; /* frames of a task; tasks of an item */
    const float *w, *x, *bias;
    float *y;
    uint16_t *layout;
} tile_conv_job;

static void pack_conv_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_conv_job *j = p;
    int64_t n0 = task * TILE_ROWS, n = least(j->n - n0, TILE_ROWS), strip = strip_of(j->channels);
    uint16_t *to = j->layout + task * j->taps * strip;
    memset(to, 0, (size_t)(j->taps * strip) * sizeof *to);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < j->channels; c++)
            for (int64_t t = 0; t < j->taps; t++)
                to[t * strip + c / 32 * TILE_NUMBERS + c % 32 / 2 * 32 + 2 * i + c % 2] =
                    so_to_bf16(j->w[((n0 + i) * j->channels + c) * j->taps + t]);
}

static void bf16_conv_pack(so_pool *pool, int64_t n, int64_t channels, int64_t taps, const float *w, void *layout)
{
    so_pool_for(pool, tiles_of(n, TILE_ROWS), pack_conv_task,
                &(tile_conv_job){.n = n, .channels = channels, .taps = taps, .w = w, .layout = layout});
}

/* Frames that the tasks of `frames` outputs read, those of whole blocks of 32. */
TILE_INLINE int64_t frames_read(const so_conv *c, int64_t frames)
{
    return (tiles_of(frames, 32) * 32 - 1) * c->stride[1] + c->dilation[1] * (c->kernel[1] - 1) + 1;
}

/* Frames `from` on of x [T, C], n of them, zeros outside, as rows of bf16. */
static void round_frames(const float *x, int64_t T, int64_t C, int64_t from, int64_t n, uint16_t *to)
{
    int64_t width = tiles_of(C, TILE_DEEP) * TILE_DEEP;
    for (int64_t f = from; f < from + n; f++, to += width) {
        if (f < 0 || f >= T) {
            memset(to, 0, (size_t)width * sizeof *to);
            continue;
        }
        for (int64_t c = 0; c < C; c += TILE_DEEP) pack_32(x + f * C + c, C - c, to + c);
    }
}

/* Adds tiles q0 .. q1 along taps and channels of 32 frames to the block. */
TILE_INLINE void conv_block(const tile_conv_job *g, const tile_place *p, const uint16_t *x, const uint16_t *w,
                            int64_t q0, int64_t q1)
{
    const so_conv *c = g->conv;
    int64_t per_tap = tiles_of(c->channels, TILE_DEEP), width = per_tap * TILE_DEEP, stride = c->stride[1] * width;
    int64_t whole = g->taps * per_tap * TILE_NUMBERS;
    for (int64_t q = q0; q < q1;) {
        int64_t tap = q / per_tap, at = q % per_tap, n = least(per_tap - at, q1 - q);
        const uint16_t *from = x + tap * c->dilation[1] * width + at * TILE_DEEP;
        block_add(p, n, (tile_strips){from, from + 16 * stride, stride * 2, TILE_DEEP},
                  packed_strips(w + q * TILE_NUMBERS, whole));
        q += n;
    }
}

/* Columns o .. o + cols of `frames` outputs. */
static void conv_columns(const tile_conv_job *g, const uint16_t *x, int64_t o, int64_t frames, float *y)
{
    const so_conv *c = g->conv;
    int64_t per_tap = tiles_of(c->channels, TILE_DEEP), all = g->taps * per_tap, cols = least(g->n - o, 32);
    const uint16_t *w = g->layout + o / 16 * all * TILE_NUMBERS;
    float *wait = so_scratch_here()->a;
    for (int64_t t = 0; t < tiles_of(frames, 32) * 32; t++)
        for (int64_t i = 0; i < 32; i++) wait[32 * t + i] = g->bias && i < cols ? g->bias[o + i] : 0;
    for (int64_t q = 0; q < all; q += FRAME_TILES)
        for (int64_t t = 0; t < frames; t += 32) {
            tile_place p = {wait + 32 * t, 32, 16 * 32, 16, frames - t > 16, cols > 16};
            block_begin(&p, false);
            conv_block(g, &p, x + t * c->stride[1] * per_tap * TILE_DEEP, w, q, least(all, q + FRAME_TILES));
            block_end(&p);
        }
    for (int64_t t = 0; t < frames; t++) memcpy(y + t * g->n + o, wait + 32 * t, (size_t)cols * sizeof *y);
}

static void bf16_conv_task(void *job, int64_t task, int thread)
{
    (void)thread;
    const tile_conv_job *g = job;
    const so_conv *c = g->conv;
    int64_t b = task / g->tasks, t0 = task % g->tasks * g->step, frames = least(c->out[1] - t0, g->step);
    uint16_t *x = left_factor();
    const tile_shape shape = tile_shape_of(TILE_BYTES);
    round_frames(g->x + b * c->in[1] * c->channels, c->in[1], c->channels, t0 * c->stride[1] - c->pad[1],
                 frames_read(c, frames), x);
    tile_setup(&shape);
    for (int64_t o = 0; o < g->n; o += 32) conv_columns(g, x, o, frames, g->y + (b * c->out[1] + t0) * g->n);
    tile_release();
}

static bool bf16_conv(so_pool *pool, const so_conv *c, const so_bf16_product *p)
{
    if (c->kernel[0] != 1 || c->in[0] != 1 || c->out[0] != 1 || c->stride[1] < 1 || c->channels < 1) return false;
    int64_t width = tiles_of(c->channels, TILE_DEEP) * TILE_DEEP, step = MOST_FRAMES;
    while (step > 32 && frames_read(c, step) * width > SO_PACK_B * 2) step -= 32;
    if (frames_read(c, step) * width > SO_PACK_B * 2) return false;
    int64_t tasks = tiles_of(c->out[1], step);
    if (tasks * c->batch < 16 && c->out[1] > 64) tasks = tiles_of(16, c->batch);
    int64_t even = tiles_of(tiles_of(c->out[1], tasks), 32) * 32;
    tile_conv_job g = {.conv = c,
                       .n = p->n,
                       .taps = c->kernel[1],
                       .step = even < step ? even : step,
                       .x = p->x,
                       .bias = p->bias,
                       .y = p->y,
                       .layout = (uint16_t *)(uintptr_t)p->layout};
    g.tasks = tiles_of(c->out[1], g.step);
    so_pool_for(pool, c->batch * g.tasks, bf16_conv_task, &g);
    return true;
}

#endif
