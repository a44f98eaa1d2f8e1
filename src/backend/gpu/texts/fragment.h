/* Products of pieces of 16 x 16 numbers in f16 or bf16 (KIND), summed in f32: 32 threads of a group that follow each
 * other do one together, on tensor cores where the target has them for the type.
 *
 *   PIECE tile[n]                 numbers of the type, in the group's memory; FRAGMENT_ROW from one row of 16 to the
 * next PIECE_OF(x)                   a number as one of them, to nearest even; f16 beyond its range takes its largest
 *   FRAGMENT(s)                   a sum of 16 x 16 numbers, zeros at first
 *   FRAGMENT_ADD(s, x, i, w, j)   s += X W^T, with the rows of X from x[i] on, those of W from w[j] on: multiples of 16
 * rows FRAGMENT_STORE(s, y, i)       into floats of the group's memory, 16 a row, from y[i] on, a multiple of 256
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
#undef PIECE_SUMS
#undef FRAGMENT_ROW
#undef FRAGMENT
#undef FRAGMENT_ADD
#undef FRAGMENT_STORE
#if defined(__CUDACC__) && (KIND == TYPE_F16 || !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800)
#define WMMA nvcuda::wmma
#if KIND == TYPE_F16
#define PIECE_TYPE __half
#define PIECE_OF(x) __float2half_rn(in_half(x))
#else
#define PIECE_TYPE __nv_bfloat16
#define PIECE_OF(x) __float2bfloat16_rn(x)
#endif
#define PIECE __shared__ __align__(32) PIECE_TYPE
#define PIECE_SUMS __shared__ __align__(32) float
#define FRAGMENT_ROW 24
#define FRAGMENT(S)                                                                                                    \
    WMMA::fragment<WMMA::accumulator, 16, 16, 16, float> S;                                                            \
    WMMA::fill_fragment(S, 0.0f);
#define FRAGMENT_ADD(S, X, I, W, J)                                                                                    \
    {                                                                                                                  \
        WMMA::fragment<WMMA::matrix_a, 16, 16, 16, PIECE_TYPE, WMMA::row_major> fragment_x;                            \
        WMMA::fragment<WMMA::matrix_b, 16, 16, 16, PIECE_TYPE, WMMA::col_major> fragment_w;                            \
        WMMA::load_matrix_sync(fragment_x, (X) + (I), FRAGMENT_ROW);                                                   \
        WMMA::load_matrix_sync(fragment_w, (W) + (J), FRAGMENT_ROW);                                                   \
        WMMA::mma_sync(S, fragment_x, fragment_w, S);                                                                  \
    }
#define FRAGMENT_STORE(S, Y, I) WMMA::store_matrix_sync((Y) + (I), S, 16, WMMA::mem_row_major);
#else
/* The same with each thread's eight numbers of the sum in its own memory. */
#define PIECE SHARED float
#define PIECE_SUMS SHARED float
#define PIECE_OF(x) (KIND == TYPE_F16 ? half_bits(uint16_t(f16_of(in_half(x)))) : from_bits(bf16_of(x) << 16))
#define FRAGMENT_ROW 16
#define FRAGMENT(S)                                                                                                    \
    float S[8];                                                                                                        \
    UNROLL for (int fragment_i = 0; fragment_i < 8; fragment_i++) S[fragment_i] = 0.0f;
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
