/* The kernel table: everything a device computes, on raw pointers.
 *
 * The signature, formula, shapes, aliasing and accumulation type of a kernel are written once, at its function type in
 * the header of its family (backend/kernels_*.h). The portable C version (backend/cpu/ref) is the specification and the
 * oracle; faster ones replace entries at run time. All matrices are row-major; "rows" are positions or frames, columns
 * are channels. Unless a kernel says otherwise: inputs and outputs do not overlap, any size may be zero, and gradients
 * are ADDED to what the destination holds. The pool may be NULL. A kernel's result is the same for every number of
 * threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_KERNELS_H
#define SO_BACKEND_KERNELS_H

#include "backend/kernels_attention.h"
#include "backend/kernels_codec.h"
#include "backend/kernels_conv.h"
#include "backend/kernels_element.h"
#include "backend/kernels_matrix.h"
#include "backend/kernels_move.h"
#include "backend/kernels_norm.h"
#include "so_status.h"

typedef struct so_kernels so_kernels;
struct so_kernels {
    const char *name; /* "c", "avx2", "avx512", "amx", "neon", "vulkan"; "amx-double", "amx-plain": doubles in C */

    so_gemm_fn *gemm, *gemm_bf16;
    so_linear_fn *linear;
    so_row_fn *row;
    bool q8_gains;   /* `linear` reads weights of SO_Q8_0 in registers: a quarter of the bytes, the same sums */
    bool bf16_gains; /* bf16_linear, bf16_conv and bf16_attention are faster than linear and the like here */
    so_bf16_bytes_fn *bf16_bytes;
    so_bf16_pack_fn *bf16_pack;
    so_bf16_linear_fn *bf16_linear;
    so_bf16_joined_fn *bf16_joined; /* NULL: tables that do one thing after the other */
    bool int8; /* what so_linear uses for block types: linear_int8, or `linear` on numbers as they are */
    so_round_int8_fn *round_int8;
    so_linear_int8_fn *linear_int8;
    so_gated_int8_fn *gated_int8;
    so_norm_round_fn *norm_round; /* NULL, as is rotate_keep: tables of the host do one thing after the other */
    so_linears_fn *linears;       /* NULL, as is gated: tables of the host do one product after the other */
    so_gated_fn *gated;
    so_mix_fn *mix; /* NULL: tables of the host do it in steps (nn/ops_linear.c) */

    so_copy_fn *copy;
    so_gather_fn *gather;
    so_keep_fn *keep;
    so_best_fn *best;
    so_best_unit_fn *best_unit;
    so_pair_fn *mul;
    so_scale_fn *scale;
    so_add_row_fn *add_row;

    so_unary_fn *unary;
    so_unary_back_fn *unary_back;
    so_swiglu_fn *swiglu;
    so_swiglu_back_fn *swiglu_back;
    so_axpy_fn *axpy;
    so_sum_rows_fn *sum_rows;
    so_softmax_fn *softmax;
    so_softmax_back_fn *softmax_back;
    so_cross_entropy_fn *cross_entropy;
    so_adam_fn *adam;
    so_square_sum_fn *square_sum;

    so_norm_fn *rms_norm, *rms_norm_back, *layer_norm, *layer_norm_back, *group_norm, *group_norm_back, *l2_norm;

    so_rope_fn *rope;
    so_rope_both_fn *rope_both; /* NULL, as is best_unit: tables of the host do one thing after the other */
    so_rotate_keep_fn *rotate_keep;
    so_attention_fn *attention;
    so_bf16_attention_fn *bf16_attention;
    so_attention_back_fn *attention_back;
    so_attention_fn *attention_bf16; /* NULL, or of numbers and probabilities rounded to bf16, and its way back */
    so_attention_back_fn *attention_bf16_back;

    so_im2col_fn *im2col;
    so_col2im_fn *col2im;
    so_bf16_conv_bytes_fn *bf16_conv_bytes;
    so_bf16_conv_pack_fn *bf16_conv_pack;
    so_bf16_conv_fn *bf16_conv;
    so_snake_fn *snake;
    so_snake_back_fn *snake_back;
    so_rfft_fn *rfft;
    so_rfft_adjoint_fn *rfft_adjoint;

    so_time_conv_fn *time_conv; /* from here to `nearest` the host has references only */
    so_joined_fn *joined;
    so_group_ends_fn *group_ends;
    so_question_fn *question;
    so_relative_fn *relative;
    so_short_fourier_fn *short_stft, *short_istft;
    so_nearest_fn *nearest;
    so_polar_fn *polar;
    so_fill_fn *fill;
    so_guide_fn *guide;
    so_clamp_fn *clamp;
    so_columns_fn *columns;
    so_lerp_fn *lerp;
    so_each_fn *add_each;

    /* Tables made of this one; set in the one that so_kernels_choose gives, NULL in others. */
    const so_kernels *train_bf16; /* gemm, and `linear` of SO_F32 weights with more than 16 rows, are gemm_bf16, and
                                     attention is attention_bf16 where that is set: for training, where sums, norms,
                                     softmax, weights and their updates stay float */
    const so_kernels *with_bf16;  /* for inference: that, and `attention` without lse is bf16_attention; this table
                                     itself where nothing is gained */
    const so_kernels *with_int8;  /* for inference: `int8` is set, and attention as in with_bf16 where that gains */
};

/* The portable table. */
const so_kernels *so_kernels_c(void);
/* The best table for this machine, or the one that SO_CPU in the environment names; SO_ERR_ARG, and the names that this
 * machine knows, where it names none of them. */
so_status so_kernels_choose(const so_kernels **out, so_error *error);
/* Why this machine's tables do not use matrix tiles, in a few words; NULL where one does. */
const char *so_kernels_without_tiles(void);
/* The same table for tests and tools; NULL where SO_CPU names none. */
const so_kernels *so_kernels_best(void);

#endif
