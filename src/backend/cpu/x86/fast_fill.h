/* The table entries that the fast texts above replace.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_FILL_H
#define SO_BACKEND_CPU_X86_FAST_FILL_H

#include "backend/cpu/x86/fast_attention.h"
#include "backend/cpu/x86/fast_bf16.h"
#include "backend/cpu/x86/fast_norm.h"

static void fill_fast(so_kernels *table)
{
    linear_portable = table->linear;
    row_portable = table->row;
    table->gemm = gemm;
    table->gemm_bf16 = gemm_bf16;
    table->linear = linear;
    table->q8_gains = true;
    table->row = row;
    table->unary = unary;
    table->unary_back = unary_back;
    table->swiglu = swiglu;
    table->swiglu_back = swiglu_back;
    table->axpy = axpy;
    table->sum_rows = sum_rows;
    table->softmax = softmax;
    table->softmax_back = softmax_back;
    table->cross_entropy = cross_entropy;
    table->adam = adam;
    table->square_sum = square_sum;
    table->rms_norm = rms_norm;
    table->rms_norm_back = rms_norm_back;
    table->layer_norm = layer_norm;
    table->layer_norm_back = layer_norm_back;
    table->rope = rope;
    table->attention = attention;
    table->attention_back = attention_back;
}

#endif
