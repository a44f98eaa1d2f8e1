/* How rows rounded to int8 lie in memory, shared by the tables' int8 kernels.
 *
 * A row of k numbers is filled up with zeros to kp, a multiple of 256, and cut into spans (so_int8_span), which have
 * codes in -127..127 and a scale, and into groups of 32 with sums of their codes (of 16 and of 32), by which offsets
 * and minima of weights are multiplied.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_INT8_H
#define SO_BACKEND_CPU_INT8_H

#include "backend/kernels.h"

enum { SO_STRETCH = 256, SO_SPAN = 128 /* of many rows */, SO_PANEL = 6 };

static inline int64_t so_int8_width(int64_t k) { return (k + SO_STRETCH - 1) / SO_STRETCH * SO_STRETCH; }
static inline bool so_is_block(so_type type)
{
    return type == SO_Q8_0 || type == SO_Q4_0 || type == SO_Q5_0 || type == SO_Q4_K || type == SO_Q5_K ||
           type == SO_Q6_K;
}

/* One row by itself: 1.5 kp bytes. A span's scale stands at each of its groups, and the sums are multiplied by it. */
typedef struct so_int8_row {
    int8_t *q;            /* [kp] */
    float *scale, *sum32; /* [kp/32] */
    float *sum16;         /* [kp/16] */
} so_int8_row;

static inline size_t so_int8_stride(int64_t k) { return (size_t)so_int8_width(k) / 2 * 3; }

static inline so_int8_row so_int8_row_at(const void *rounded, int64_t row, int64_t k)
{
    int64_t kp = so_int8_width(k);
    char *p = (char *)(uintptr_t)rounded + (size_t)row * so_int8_stride(k);
    float *scale = (float *)(void *)(p + kp);
    return (so_int8_row){(int8_t *)p, scale, scale + kp / 32, scale + kp / 16};
}

/* Six rows together, four codes of each row side by side. The whole sums are negative: of two groups of 32 in 16 bits
 * each, and 128 times those of 32 and of 16. */
typedef struct so_int8_panel {
    int8_t *q;                          /* [kp/4][6][4] */
    float *scale;                       /* [kp/128][6] */
    int32_t *pairs, *minus32, *minus16; /* [kp/64][6], [kp/32][6], [kp/16][6] */
} so_int8_panel;

/* 6 (1 + 1/32 + 1/16 + 1/8 + 1/4) kp. */
static inline size_t so_int8_panel_bytes(int64_t k) { return SO_PANEL * (size_t)so_int8_width(k) / 32 * 47; }

static inline so_int8_panel so_int8_panel_at(const void *rounded, int64_t panel, int64_t k)
{
    int64_t kp = so_int8_width(k);
    char *p = (char *)(uintptr_t)rounded + (size_t)panel * so_int8_panel_bytes(k);
    float *scale = (float *)(void *)(p + SO_PANEL * kp);
    int32_t *pairs = (int32_t *)(void *)(scale + SO_PANEL * kp / SO_SPAN), *minus = pairs + SO_PANEL * kp / 64;
    return (so_int8_panel){(int8_t *)p, scale, pairs, minus, minus + SO_PANEL * kp / 32};
}

#endif
