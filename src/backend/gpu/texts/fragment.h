/* Products of pieces of numbers in f16 or bf16 (KIND), summed in f32: FRAGMENT_TEAM threads of a group that follow each
 * other do one together, on tensor cores where the target has them for the type.
 *
 *   FRAGMENT_ROWS, FRAGMENT_COLS  of a sum: 16 x 16, or what Vulkan's driver lists
 *   PIECE tile[n]                 numbers of the type, in the group's memory
 *   FRAGMENT_ROW                  from one row of 16 of a tile to the next
 *   PIECE_OF(x)                   a number as one of them, to nearest even; f16 beyond its range takes its largest
 *   PIECE_BITS(h)                 one of them, of its bits
 *   FRAGMENT(s, n)                n sums, zeros at first
 *   FRAGMENT_ADD(s, x, i, w, j)   s += X W^T, with the rows of X from x[i] on, those of W from w[j] on
 *   FRAGMENT_STORE(s, y, i)       into floats of the group's memory, FRAGMENT_COLS a row, from y[i] on
 *
 * All threads of the group come by together; what others wrote is there behind a SYNC().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "backend/gpu/texts/half.h"
DEVICE float in_half(float x) { return x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x; }
/* CUDA's texts include this once for every KIND. */
#undef PIECE
#undef PIECE_TYPE
#undef PIECE_OF
#undef PIECE_BITS
#undef PIECE_SUMS
#undef FRAGMENT_ROW
#undef FRAGMENT
#undef FRAGMENT_ADD
#undef FRAGMENT_STORE
#ifndef SO_MATRICES
#undef FRAGMENT_TEAM
#undef FRAGMENT_ROWS
#undef FRAGMENT_COLS
#define FRAGMENT_TEAM 32
#define FRAGMENT_ROWS 16
#define FRAGMENT_COLS 16
#endif
#if defined(__CUDACC__) && (KIND == TYPE_F16 || !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800)
#define WMMA nvcuda::wmma
#if KIND == TYPE_F16
#define PIECE_TYPE __half
#define PIECE_OF(x) __float2half_rn(in_half(x))
#define PIECE_BITS(h) __ushort_as_half(h)
#else
#define PIECE_TYPE __nv_bfloat16
#define PIECE_OF(x) __float2bfloat16_rn(x)
#define PIECE_BITS(h) __ushort_as_bfloat16(h)
#endif
#define PIECE __shared__ __align__(32) PIECE_TYPE
#define PIECE_SUMS __shared__ __align__(32) float
#define FRAGMENT_ROW 24
#define FRAGMENT(S, N)                                                                                                 \
    WMMA::fragment<WMMA::accumulator, 16, 16, 16, float> S[N];                                                         \
    UNROLL for (int fragment_n = 0; fragment_n < (N); fragment_n++) WMMA::fill_fragment(S[fragment_n], 0.0f);
#define FRAGMENT_ADD(S, X, I, W, J)                                                                                    \
    {                                                                                                                  \
        WMMA::fragment<WMMA::matrix_a, 16, 16, 16, PIECE_TYPE, WMMA::row_major> fragment_x;                            \
        WMMA::fragment<WMMA::matrix_b, 16, 16, 16, PIECE_TYPE, WMMA::col_major> fragment_w;                            \
        WMMA::load_matrix_sync(fragment_x, (X) + (I), FRAGMENT_ROW);                                                   \
        WMMA::load_matrix_sync(fragment_w, (W) + (J), FRAGMENT_ROW);                                                   \
        WMMA::mma_sync(S, fragment_x, fragment_w, S);                                                                  \
    }
#define FRAGMENT_STORE(S, Y, I) WMMA::store_matrix_sync((Y) + (I), S, 16, WMMA::mem_row_major);
#elif defined(SO_MATRICES)
/* Vulkan's cooperative matrices, f16 alone: of a size that the driver lists for subgroups of FRAGMENT_TEAM threads. */
layout(constant_id = 2) const int FRAGMENT_TEAM = 32;
layout(constant_id = 3) const int FRAGMENT_ROWS = 16;
layout(constant_id = 4) const int FRAGMENT_COLS = 16;
layout(constant_id = 5) const int FRAGMENT_DEEP = 16;
#define PIECE shared float16_t
#define PIECE_SUMS shared float
#define PIECE_OF(x) uint16BitsToHalf(uint16_t(f16_of(in_half(x))))
#define PIECE_BITS(h) uint16BitsToHalf(h)
#define FRAGMENT_ROW 24
#define COOPERATIVE(TYPE, M, N, USE) coopmat<TYPE, gl_ScopeSubgroup, M, N, gl_MatrixUse##USE>
#define FRAGMENT(S, N)                                                                                                 \
    COOPERATIVE(float, FRAGMENT_ROWS, FRAGMENT_COLS, Accumulator) S[N];                                                \
    for (int fragment_n = 0; fragment_n < (N); fragment_n++)                                                           \
        S[fragment_n] = COOPERATIVE(float, FRAGMENT_ROWS, FRAGMENT_COLS, Accumulator)(0.0f);
#define FRAGMENT_ADD(S, X, I, W, J)                                                                                    \
    for (int fragment_k = 0; fragment_k < 16; fragment_k += FRAGMENT_DEEP) {                                           \
        COOPERATIVE(float16_t, FRAGMENT_ROWS, FRAGMENT_DEEP, A) fragment_x;                                            \
        COOPERATIVE(float16_t, FRAGMENT_DEEP, FRAGMENT_COLS, B) fragment_w;                                            \
        coopMatLoad(fragment_x, X, (I) + fragment_k, FRAGMENT_ROW, gl_CooperativeMatrixLayoutRowMajor);                \
        coopMatLoad(fragment_w, W, (J) + fragment_k, FRAGMENT_ROW, gl_CooperativeMatrixLayoutColumnMajor);             \
        S = coopMatMulAdd(fragment_x, fragment_w, S);                                                                  \
    }
#define FRAGMENT_STORE(S, Y, I) coopMatStore(S, Y, I, FRAGMENT_COLS, gl_CooperativeMatrixLayoutRowMajor);
#else
/* The same with each thread's eight numbers of the sum in its own memory. */
#define PIECE SHARED float
#define PIECE_SUMS SHARED float
#define PIECE_OF(x) PIECE_BITS(KIND == TYPE_F16 ? f16_of(in_half(x)) : bf16_of(x))
#define PIECE_BITS(h) (KIND == TYPE_F16 ? half_bits(uint16_t(h)) : from_bits(uint(h) << 16))
#define FRAGMENT_ROW 16
#define FRAGMENT(S, N)                                                                                                 \
    float S[N][8];                                                                                                     \
    UNROLL for (int fragment_i = 0; fragment_i < 8 * (N); fragment_i++) S[fragment_i / 8][fragment_i % 8] = 0.0f;
#define FRAGMENT_ADD(S, X, I, W, J)                                                                                    \
    UNROLL for (int fragment_i = 0; fragment_i < 8; fragment_i++)                                                      \
    {                                                                                                                  \
        int fragment_e = thread_x % 32 + 32 * fragment_i;                                                              \
        for (int fragment_k = 0; fragment_k < 16; fragment_k++)                                                        \
            S[fragment_i] += X[(I) + fragment_e / 16 * FRAGMENT_ROW + fragment_k] *                                    \
                             W[(J) + fragment_e % 16 * FRAGMENT_ROW + fragment_k];                                     \
    }
#define FRAGMENT_STORE(S, Y, I)                                                                                        \
    UNROLL for (int fragment_i = 0; fragment_i < 8; fragment_i++) Y[(I) + thread_x % 32 + 32 * fragment_i] =           \
        S[fragment_i];
#endif
