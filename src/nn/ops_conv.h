/* Ops of the codec's networks: convolutions along time, group norms, Fourier transforms, quantisation. Included by
 * ops.h.
 *
 * Sequences along time are [B, T, C] (or [T, C] for one): channels last.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_OPS_CONV_H
#define SO_NN_OPS_CONV_H

#include "base/rng.h"
#include "nn/pass.h"

/* ---- convolutions (ops_conv.c). Weights may be stored in any type; they learn as SO_F32. */

/* stride and dilation 0 mean 1; `pad` zeros stand before and `pad_end` behind (-1: as many as before). */
typedef struct so_conv1 {
    int64_t stride, pad, dilation, pad_end;
} so_conv1;
/* A convolution of odd kernel k that keeps the length: pad d(k-1)/2 on both sides. */
static inline so_conv1 so_conv_same(int64_t k, int64_t dilation)
{
    return (so_conv1){1, dilation * (k - 1) / 2, dilation, -1};
}
/* x[B, T, C], w[O, C, k], bias[O] or NULL -> [B, (T + pads - d(k-1) - 1)/stride + 1, O]. A [T, C] gives [T', O]. */
so_tensor *so_conv1d(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias, so_conv1 conv);
/* x[B, T, C], w[C, O, k] -> [B, (T-1) stride - 2 pad + k, O]; dilation is 1. */
so_tensor *so_conv_transpose1d(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias, int64_t stride, int64_t pad);
/* x[B, H, W, C], w[O, C, kh, kw] -> [B, H', W', O]. */
so_tensor *so_conv2d(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias, const int64_t stride[2],
                     const int64_t pad[2]);

/* ---- along time (ops_conv_rows.c) */

/* Ends a stretch of a network that began at `mark` (so_pass_mark): when nothing records, all its tensors are given back
 * and x, its result, moves to their place; otherwise x is returned as it is. Nobody may hold another tensor of the
 * stretch. */
so_tensor *so_keep(so_pass *pass, so_mark mark, so_tensor *x);

/* Statistics over all T and the C/groups channels of a group, each item of the batch for itself. */
so_tensor *so_group_norm(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *b, int64_t groups, double eps);
/* x + sin^2(alpha x) / (alpha + 1e-9), alpha[C]. */
so_tensor *so_snake(so_pass *pass, so_tensor *x, so_tensor *alpha);
/* w = g v / |v|, the norm over all axes but the first; g holds one number for each of the first axis. */
so_tensor *so_weight_norm(so_pass *pass, so_tensor *v, so_tensor *g);
/* (x - mean) / sqrt(var + eps) * w + b for every column, with stored statistics; w and b may be NULL (1 and 0). */
so_tensor *so_batch_norm(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *b, so_tensor *mean, so_tensor *var,
                         double eps);
/* Mean of every column of x[T, C], then its deviation (divided by T-1): [1, 2C]. No way back. */
so_tensor *so_column_stats(so_pass *pass, so_tensor *x);
/* x[R, C] -> [C, R]. */
so_tensor *so_swap(so_pass *pass, so_tensor *x);
/* Brought into -limit .. limit; no gradient passes outside. */
so_tensor *so_clamp(so_pass *pass, so_tensor *x, double limit);
/* [B, T] of 1 within each length and 0 behind it, for so_scale_rows. */
so_real *so_length_mask(so_pass *pass, int64_t B, int64_t T, const int64_t *lengths);
/* x[B, ..., C] + row[B, C]: each item of the batch its own row. */
so_tensor *so_add_each(so_pass *pass, so_tensor *x, so_tensor *row);
/* Row i of the result [n, C] is (1 - weight[i]) x[index[i]] + weight[i] x[index[i] + 1]; where weight is 0 the second
 * row need not exist. Copies the arrays. */
so_tensor *so_lerp_rows(so_pass *pass, so_tensor *x, int64_t n, const int32_t *index, const so_real *weight);
/* The index and weight of a linear interpolation (align_corners = false) of rows first .. first+from to `to` rows. */
void so_lerp_index(int64_t first, int64_t from, int64_t to, int32_t *index, so_real *weight);

/* ---- attention with a score of its own (ops_conv_attention.c) */

typedef struct so_score {
    int64_t heads;
    const so_real *key_bias; /* [B, T], added to the scores of a key (-1e10 hides it), or NULL */
    const so_real *of_query; /* [B, T], times which it is added in the row of a query; NULL: 1 */
    /* Relative positions, or NULL: score(i,j) = ((q_i + u) k_j + (q_i + v) p_(i-j)) / sqrt(d). */
    so_tensor *p;     /* [2T-1, D]: row r belongs to i - j = T-1-r */
    so_tensor *u, *v; /* [H, d] */
} so_score;
/* Full self-attention of every item of the batch: q, k, v [B, T, D], D = H d. */
so_tensor *so_score_attention(so_pass *pass, so_tensor *q, so_tensor *k, so_tensor *v, const so_score *score);
/* A constant [2T-1, D]: row r holds sin and cos, in turns, of (T-1-r) 10000^(-2m/D). */
so_tensor *so_relative_positions(so_pass *pass, int64_t T, int64_t D);

/* ---- Fourier transforms (ops_fourier.c) */

/* Frames of n_fft numbers every `hop`, multiplied by window[n_fft] (lent until the way back is done), after a
 * reflection of `pad` numbers on both sides (n_fft/2: centred frames). */
typedef struct so_frames {
    int64_t n_fft, hop, pad;
    const so_real *window;
} so_frames;
/* x[B, N] -> [B, 1 + (N + 2 pad - n_fft)/hop, 2 (n_fft/2 + 1)]: real parts, then imaginary parts. */
so_tensor *so_stft(so_pass *pass, so_tensor *x, const so_frames *frames);
/* The inverse: overlapping frames are added, divided by the sum of squared windows, and `pad` cut from both ends:
 * [B, F, 2 bins] -> [B, (F-1) hop + n_fft - 2 pad]. Imaginary parts of the first and last bin count nothing. */
so_tensor *so_istft(so_pass *pass, so_tensor *spec, const so_frames *frames);
/* [.., 2 bins] -> [.., bins]: sqrt(re^2 + im^2 + eps). */
so_tensor *so_magnitude(so_pass *pass, so_tensor *spec, double eps);
/* [.., 2 bins] of log magnitudes m and p -> real and imaginary parts of min(e^m, limit) e^(i sin p). */
so_tensor *so_polar(so_pass *pass, so_tensor *x, double limit);
/* Each row of x[B, N] without its mean, scaled so that its largest magnitude becomes `peak`. */
so_tensor *so_peak_normalise(so_pass *pass, so_tensor *x, double peak);
/* log(max(x, floor)) */
so_tensor *so_log_floor(so_pass *pass, so_tensor *x, double floor);
/* A periodic Hann window in the pass's arena. */
const so_real *so_hann(so_pass *pass, int64_t n);
/* A constant [M, n_fft/2+1]: triangles equally spaced on Slaney's mel scale, each of unit area in Hz. */
so_tensor *so_slaney_bank(so_pass *pass, double rate, int64_t n_fft, int64_t M, double f_min, double f_max);

/* d = real - made, m its (lower) median, L the mean of (d - m)^2 over entries d < m: tau - max(tau - L, 0), where the
 * way back goes through the median, too. One element; 0 where no entry is below the median. */
so_tensor *so_median_loss(so_pass *pass, so_tensor *real, so_tensor *made, double tau);

/* ---- quantisation (ops_vq.c) */

/* ids[R] of the nearest of the codes [K, D] to each row of x in squared distance, ties to the lowest. */
so_status so_vq_nearest(so_pass *pass, const so_tensor *x, const so_tensor *codes, int32_t *ids);
/* Rows ids of `codes` as a result whose gradient goes to x unchanged (straight through). */
so_tensor *so_vq_pass(so_pass *pass, so_tensor *x, const so_tensor *codes, const int32_t *ids);
/* How a codebook follows its vectors. */
typedef struct so_vq_rule {
    double decay, epsilon; /* of the moving averages; of the smoothed counts */
    bool sparse;           /* only the averages of codes in use move */
    bool unit_length;      /* codes are the averaged sums brought to unit length, not divided by counts */
    double revive_below;   /* codes whose averaged count fell below become random vectors of the batch; 0: never */
} so_vq_rule;
typedef struct so_vq_book {
    int64_t K, D;
    so_real *count, *sum, *codes; /* [K], [K, D], [K, D] */
} so_vq_book;
/* Moves count and sum by one batch of n vectors x[n, D] with their ids, and computes the codes anew. Returns how many
 * codes were revived; rng may be NULL when none is to be. */
int64_t so_vq_update(const so_vq_rule *rule, const so_vq_book *book, int64_t n, const so_real *x, const int32_t *ids,
                     so_rng *rng);

#endif
