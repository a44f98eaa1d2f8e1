/* The kernels' texts as C: threads of a group are fibers of one thread of the host, for tests. Device addresses are
 * pointers of the host plus SO_FIBER_AWAY, at which no processor has memory: a host that follows one is told at once.
 * Included by gpu/texts/dialect.h only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_GPU_FIBERS_FIBERS_H
#define SO_BACKEND_GPU_FIBERS_FIBERS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/type.h"

#define SO_FIBER_AWAY ((uint64_t)1 << 60)

/* A text, ready to be run. */
typedef struct so_fiber_kernel {
    int threads;
    size_t bytes; /* of params */
    void *params;
    int *kind;
    void (*body)(void);
} so_fiber_kernel;

extern int so_fiber_thread, so_fiber_group[3], so_fiber_subgroup;
/* All threads of the group come by here, at the same line. */
void so_fiber_sync(int line);
/* All threads of the subgroup come by here; the sum, or the largest. */
float so_fiber_reduce(float x, bool largest, int line);

/* ---- only the texts see what follows */
#ifdef SO_FIBER_TEXT
typedef struct so_fiber_f32 {
    float *v;
} so_fiber_f32;
typedef struct so_fiber_i32 {
    int32_t *v;
} so_fiber_i32;
typedef struct so_fiber_u64 {
    uint64_t *v;
} so_fiber_u64;
typedef struct so_fiber_u16 {
    uint16_t *v;
} so_fiber_u16;
typedef struct so_fiber_i8 {
    int8_t *v;
} so_fiber_i8;
typedef struct so_fiber_u8 {
    uint8_t *v;
} so_fiber_u8;
static inline void *so_fiber_at(uint64_t address) { return (void *)(uintptr_t)(address - SO_FIBER_AWAY); }
static inline float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline uint32_t to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static inline int dot4(int a, int b)
{
    int s = 0;
    for (int i = 0; i < 4; i++) s += (int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i);
    return s;
}
typedef unsigned so_fiber_uint;
#define uint so_fiber_uint
#define F32(a) ((so_fiber_f32){so_fiber_at(a)})
#define I32(a) ((so_fiber_i32){so_fiber_at(a)})
#define U64(a) ((so_fiber_u64){so_fiber_at(a)})
#define U16(a) ((so_fiber_u16){so_fiber_at(a)})
#define I8(a) ((so_fiber_i8){so_fiber_at(a)})
#define U8(a) ((so_fiber_u8){so_fiber_at(a)})
#define PARAMS static struct Params
#define SHARED static
#define DEVICE static inline __attribute__((unused))
#define UNROLL
#define thread_x so_fiber_thread
#define group_x so_fiber_group[0]
#define group_y so_fiber_group[1]
#define group_z so_fiber_group[2]
#define SYNC() so_fiber_sync(__LINE__)
#define sub_size so_fiber_subgroup
#define sub_lane (so_fiber_thread % so_fiber_subgroup)
#define sub_id (so_fiber_thread / so_fiber_subgroup)
#define sub_add(x) so_fiber_reduce(x, false, __LINE__)
#define sub_max(x) so_fiber_reduce(x, true, __LINE__)
#define half_bits(h) so_from_f16(h)
#define nearest(x) rintf(x)
#define exp(x) expf(x)
#define sqrt(x) sqrtf(x)
#define floor(x) floorf(x)
#define abs(x) fabsf(x)
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
/* Conversions are written like calls. */
#define int(x) ((int)(x))
#define float(x) ((float)(x))
#define so_fiber_uint(x) ((so_fiber_uint)(x))
#define int8_t(x) ((int8_t)(x))
#define uint16_t(x) ((uint16_t)(x))
#define uint64_t(x) ((uint64_t)(x))
static int KIND;
#define WEIGHT (KIND & 15)
#define SO_FIBER_JOIN_(a, b) a##b
#define SO_FIBER_JOIN(a, b) SO_FIBER_JOIN_(a, b)
#define KERNEL(NAME, X)                                                                                                \
    static void so_fiber_body(void);                                                                                   \
    extern const so_fiber_kernel so_fiber_kernel_##NAME;                                                               \
    const so_fiber_kernel so_fiber_kernel_##NAME = {X, sizeof p, &p, &KIND, so_fiber_body};                            \
    static void so_fiber_body(void)
#endif

#endif
