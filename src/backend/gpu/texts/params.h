/* What launches pass to kernels: written once, for the texts and for the host. Addresses first, then 32-bit numbers, so
 * that every compiler lays them out alike. At most 128 bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_GPU_TEXTS_PARAMS_H
#define SO_BACKEND_GPU_TEXTS_PARAMS_H

/* KIND of kernels that read stored weights: so_type (base/type.h). */
#define TYPE_F32 0
#define TYPE_F16 1
#define TYPE_BF16 2
#define TYPE_Q8_0 7
#define TYPE_Q4_0 8
#define TYPE_Q4_K 9
#define TYPE_Q5_K 10
#define TYPE_Q6_K 11
#define TYPE_Q5_0 12
#define ONE_ROW 16 /* added to the type: in matvec.k and gated.k */

/* KIND of element.k: so_unary (backend/kernels_element.h), then these. */
#define ELEMENT_SWIGLU 32
#define ELEMENT_AXPY 33
#define ELEMENT_MUL 34
#define ELEMENT_SCALE 35
#define ELEMENT_COPY 36
#define ELEMENT_ADD_ROW 37
#define ELEMENT_FILL 38
#define ELEMENT_ADD 39
#define ELEMENT_CLAMP 40
#define ELEMENT_ADD_EACH 41
#define ELEMENT_SNAKE 42
#define ELEMENT_GUIDE 43

#define NORM_RMS 0
#define NORM_LAYER 1
#define NORM_L2 2
#define NORM_HALF_SQUARE 3 /* y[r] = -|x[r]|^2 / 2 */

#define FOURIER_SPECTRUM 0
#define FOURIER_SAMPLES 1

#define PARAMS_ELEMENT                                                                                                 \
    uint64_t x, y, z;                                                                                                  \
    int n, cols, each;                                                                                                 \
    float factor;
#define PARAMS_ROWS                                                                                                    \
    uint64_t table, index, y;                                                                                          \
    int rows, cols, row_bytes;
#define PARAMS_STORE                                                                                                   \
    uint64_t k, v, to_k, to_v;                                                                                         \
    int blocks;
#define PARAMS_NORM                                                                                                    \
    uint64_t x, w, b, y;                                                                                               \
    int cols;                                                                                                          \
    float eps;
#define PARAMS_SOFTMAX                                                                                                 \
    uint64_t x, y;                                                                                                     \
    int cols;
#define PARAMS_BEST                                                                                                    \
    uint64_t x, best, end;                                                                                             \
    int rows, cols, first, ends, id0, id1, id2, id3, id4, id5, id6, id7;
#define PARAMS_ROPE                                                                                                    \
    uint64_t x, turn, y, x1, turn1, y1;                                                                                \
    int rows, rows1, heads, half_width, add;                                                                           \
    float sign;
#define PARAMS_MATMUL                                                                                                  \
    uint64_t x, norm_w, norm_b, w0, w1, w2, b0, b1, b2, y0, y1, y2, add;                                               \
    int n0, n1, k, m, then;                                                                                            \
    float eps;
#define PARAMS_ROUND                                                                                                   \
    uint64_t x, to;                                                                                                    \
    int k, kp, span;
#define PARAMS_INT8                                                                                                    \
    uint64_t x, w0, w1, w2, b0, b1, b2, y0, y1, y2, add, table;                                                        \
    int n0, n1, n2, k, kp, m, row_bytes, then;
#define PARAMS_MIX                                                                                                     \
    uint64_t x, w, part;                                                                                               \
    int m, k, n, row_bytes, slice;
#define PARAMS_MIX_SUM                                                                                                 \
    uint64_t part, y;                                                                                                  \
    int count, slices;
#define PARAMS_ATTENTION                                                                                               \
    uint64_t q, table, y, to, part;                                                                                    \
    int heads, kv_heads, width, stride, splits, kp;                                                                    \
    float scale;
#define PARAMS_NORM_ROUND                                                                                              \
    uint64_t x, w, to;                                                                                                 \
    int k, kp, span;                                                                                                   \
    float eps;
#define PARAMS_ROTATE                                                                                                  \
    uint64_t q, k, v, turn, to_q, to;                                                                                  \
    int rows, heads, kv_heads, half_width;
#define PARAMS_CONV                                                                                                    \
    uint64_t w, x, bias, y, w1, bias1, y1;                                                                             \
    int n, channels, taps, rows_in, rows_out, stride, dilation, pad, phases, then;
#define PARAMS_RELATIVE                                                                                                \
    uint64_t q, k, v, position, u, w, y;                                                                               \
    int rows, heads, width;                                                                                            \
    float scale;
#define PARAMS_GROUP_NORM                                                                                              \
    uint64_t x, w, b, y, each, add;                                                                                    \
    int rows, cols, groups, then;                                                                                      \
    float eps;
#define PARAMS_QUESTION                                                                                                \
    uint64_t x, mu, speaker, cond, y;                                                                                  \
    int rows, cols;
#define PARAMS_COLUMNS                                                                                                 \
    uint64_t x, x1, y;                                                                                                 \
    int n, n1, ldx, ldy;
#define PARAMS_LERP                                                                                                    \
    uint64_t x, index, weight, y;                                                                                      \
    int cols;
#define PARAMS_FOURIER                                                                                                 \
    uint64_t x, table, y;                                                                                              \
    int samples, frames, n, hop, pad, count;
#define PARAMS_POLAR                                                                                                   \
    uint64_t x, y;                                                                                                     \
    int rows, bins;                                                                                                    \
    float limit;

#endif
