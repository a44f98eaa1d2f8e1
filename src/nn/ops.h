/* Ops: what networks are written in. Forward and backward of each stand side by side in nn/ops_*.c.
 *
 * Every op checks shapes (a mismatch is the pass's error and names the op and both shapes), accepts NULL inputs (after
 * an error) and returns a new tensor of the pass's arena, or NULL. Weights may be stored in any type `linear` knows;
 * they learn only as SO_F32.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_OPS_H
#define SO_NN_OPS_H

#include "nn/pass.h"

/* ---- products (ops_linear.c) */
/* A root mean square norm by its weight. */
typedef struct so_rms {
    so_tensor *w;
    double eps;
    bool rounded; /* what a gated product makes is for one that rounds it: it may come rounded (so_rounds) */
} so_rms;
/* Whether a product with w, on a device, rounds what it is given to int8, and may be given rounded rows. */
bool so_rounds(const so_pass *pass, const so_tensor *w);
/* Room for x->rounded; NULL where x has no such form, and when memory ends. */
void *so_take_rounded(so_pass *pass, const so_tensor *x);
/* y[R, N] = x[R, K] w[N, K]^T + bias[N]. bias may be NULL. Keeps the leading axes of x. */
so_tensor *so_linear(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias);
/* residual + x w^T. On a device in one step, written into `into` where that is not NULL: it has the shape of residual
 * and may be what x was made of, but neither x nor residual. */
so_tensor *so_linear_onto(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *residual, so_tensor *into);
/* so_linears and so_gated of so_rms_norm(x, norm, eps). */
void so_norm_linears(so_pass *pass, so_tensor *x, const so_rms *rms, int n, so_tensor *const *w, so_tensor **const *y);
so_tensor *so_norm_gated(so_pass *pass, so_tensor *x, const so_rms *rms, so_tensor *gate, so_tensor *up);
/* *y[i] = so_linear(x, w[i]), each for its own: what is done to x for a product is done once. */
void so_linears(so_pass *pass, so_tensor *x, int n, so_tensor *const *w, so_tensor **const *y);
/* silu(x gate^T) * (x up^T), gate and up [N, K]. */
so_tensor *so_gated(so_pass *pass, so_tensor *x, so_tensor *gate, so_tensor *up);
/* y[R, N] = x[R, K] w[K, N]: rows of w weighted and summed (expected embeddings). */
so_tensor *so_matmul(so_pass *pass, so_tensor *x, so_tensor *w);
/* The same on the host, bit for bit, a part at a time: adds what rows first .. last - 1 of w, multiples of SO_MIX_ROWS
 * unless it is the last of all, give to sum[R, N]. A vocabulary has so many rows that a plain float sum loses four
 * digits: blocks join in double. */
enum { SO_MIX_ROWS = 512 };
void so_matmul_some(so_pass *pass, const so_tensor *x, const so_tensor *w, int64_t first, int64_t last, double *sum);
/* out[n, D] = rows ids[0..n) of table[V, D]. An id outside 0..V-1 is an error. Copies ids. */
so_tensor *so_embed(so_pass *pass, so_tensor *table, int64_t n, const int32_t *ids);
/* The same with ids that lie where numbers do, all of them right: of devices. */
so_tensor *so_embed_there(so_pass *pass, so_tensor *table, int64_t n, const int32_t *ids);

/* ---- products and norms with what stands before and after them (ops_joined.c): one step on a device, and of laid-out
 * weights where the table can, where shapes, types and watchers allow it; else the ops that they name, in this order.
 */
typedef struct so_ends {
    so_tensor *norm_w, *norm_b; /* before a product: so_layer_norm of x; NULL: none */
    double eps;                 /* of norms */
    int then;                   /* 0, or 1 + the so_unary that the result goes through */
    so_tensor *each;            /* of a norm: so_add_each; NULL: none */
    so_tensor *residual;        /* then so_residual(residual, the result); NULL: none */
    so_tensor *into;            /* on a device: where the result is written; NULL: a new tensor */
} so_ends;
typedef struct so_weights {
    so_tensor *w, *bias;
} so_weights;
/* Whether products and norms of this pass are joined at all: on a device when nobody watches products. */
bool so_joins(const so_pass *pass);
/* Whether the product of so many rows goes by the layout that w has for bf16. */
bool so_by_layout(const so_pass *pass, const so_tensor *w, int64_t rows);
so_tensor *so_linear_with(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *bias, const so_ends *ends);
/* n products of the same x, which have no residual: *y[i] = so_linear_with(x, of[i]), the norm being one. */
void so_linears_with(so_pass *pass, so_tensor *x, const so_ends *ends, int n, const so_weights *of,
                     so_tensor **const *y);
/* y[i] = so_linear(x, of[i]) for n products of one size of few rows. */
void so_stacked(so_pass *pass, so_tensor *x, int n, const so_weights *of, so_tensor **y);
/* so_group_norm */
so_tensor *so_group_norm_with(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *b, int64_t groups,
                              const so_ends *ends);

/* ---- elementwise (ops_element.c) */
so_tensor *so_apply(so_pass *pass, so_unary f, so_tensor *x);
so_tensor *so_add(so_pass *pass, so_tensor *a, so_tensor *b);       /* same shape */
so_tensor *so_add_row(so_pass *pass, so_tensor *x, so_tensor *row); /* row[C] on every row */
so_tensor *so_mul(so_pass *pass, so_tensor *a, so_tensor *b);       /* same shape */
so_tensor *so_scale(so_pass *pass, so_tensor *x, so_real factor);
so_tensor *so_swiglu(so_pass *pass, so_tensor *gate, so_tensor *up); /* silu(gate) * up */
/* x + y, written into y when nothing records: y must then be seen by nobody else (a branch's fresh output). */
so_tensor *so_residual(so_pass *pass, so_tensor *x, so_tensor *y);
/* x[r, :] * factor[r]; the factors (copied) are constants. */
so_tensor *so_scale_rows(so_pass *pass, so_tensor *x, const so_real *factor);
/* Zeroes each element with probability p and scales the others by 1/(1-p), only while recording. */
so_tensor *so_dropout(so_pass *pass, so_tensor *x, double p, so_rng *rng);

/* ---- rows and columns (ops_rows.c) */
/* Row i of the result is row index[i] of x; index -1 gives zeros. Copies index. */
so_tensor *so_take_rows(so_pass *pass, so_tensor *x, int64_t n, const int32_t *index);
/* Row i of the result is row row[i] of part[part_of[i]]: how pictures are spliced into text. All parts have the same
 * columns. At most SO_MAX_INPUTS parts. */
so_tensor *so_splice(so_pass *pass, int parts, so_tensor *const *part, int64_t n, const int32_t *part_of,
                     const int32_t *row);
/* Columns from..from+n of x. */
so_tensor *so_cut_cols(so_pass *pass, so_tensor *x, int64_t from, int64_t n);
/* [a | b | ...] side by side. */
so_tensor *so_join_cols(so_pass *pass, int parts, so_tensor *const *part);
/* The same numbers under another shape. */
so_tensor *so_reshape(so_pass *pass, so_tensor *x, int n_dims, const int64_t *dim);
/* A new leaf holding a copy of `data` (count numbers in float or double as so_real). */
so_tensor *so_constant(so_pass *pass, int n_dims, const int64_t *dim, const so_real *data);
/* Rows first .. first + n of a weight, as a tensor of their own. */
so_tensor so_some_rows(const so_tensor *w, int64_t first, int64_t n);
/* Numbers [rows, cols] of the host as they lie, which no op writes to; on a device a copy. */
so_tensor *so_lent(so_pass *pass, int64_t rows, int64_t cols, so_real *data);

/* ---- norms (ops_norm.c) */
so_tensor *so_rms_norm(so_pass *pass, so_tensor *x, so_tensor *w, double eps);
so_tensor *so_layer_norm(so_pass *pass, so_tensor *x, so_tensor *w, so_tensor *b, double eps);
/* Each row divided by max(its L2 norm, eps). */
so_tensor *so_l2_norm(so_pass *pass, so_tensor *x, double eps);

/* ---- attention (ops_attention.c) */

/* Keys and values of one sequence in one stack: L layers, K and V [capacity, width] each. */
typedef struct so_kv {
    void *data;
    so_type type;                    /* SO_F32 (so_real), SO_F16, SO_BF16; SO_Q8_0 where heads are multiples of 32 */
    int64_t layers, width, capacity; /* width = kv heads * head width */
    int64_t len;                     /* positions held; moved by so_batch_advance after a whole stack */
    void *beside; /* NULL; or, of a store on a device, where layers from `split` on lie on the host */
    int64_t split;
} so_kv;
/* Bytes of the block behind a store. */
size_t so_kv_bytes(so_type type, int64_t layers, int64_t width, int64_t capacity);
/* What `from` holds, into another store of its shape, which may have more room. */
void so_kv_copy(so_device *device, so_kv *to, const so_kv *from);
/* The last n positions become the first, and the only ones. */
void so_kv_keep_last(so_kv *kv, int64_t n);
/* [capacity, width] of `type`. */
void *so_kv_k(const so_kv *kv, int64_t layer);
void *so_kv_v(const so_kv *kv, int64_t layer);

/* Rows belong to sequences: rows row0 .. row0+rows of an activation are positions pos0.. of one sequence. With a kv
 * store pos0 == kv->len and attention reads what came before from the store; without one a sequence begins at its first
 * row. */
typedef struct so_seq {
    int64_t row0, rows, pos0;
    so_kv *kv;
} so_seq;
typedef struct so_batch {
    int64_t n_seqs, rows;
    so_seq *seq;
    int32_t *pos; /* [rows], position of every row, for rope */
} so_batch;
/* A batch of one sequence, in the pass's arena; pos0 from the store (0 without one). */
so_batch *so_batch_one(so_pass *pass, int64_t rows, so_kv *kv);
/* A batch of n sequences of the given lengths. kv may be NULL (no stores) or hold n pointers. */
so_batch *so_batch_many(so_pass *pass, int64_t n, const int64_t *rows, so_kv *const *kv);
/* After the last layer of a stack: every store's len grows by its sequence's rows. */
void so_batch_advance(so_batch *batch);

typedef struct so_heads {
    int64_t heads, kv_heads, width; /* H, K, d */
    bool rounded;                   /* the result is for a product that rounds it: it may come rounded (so_rounds) */
} so_heads;
/* freq[width/2] in radians per position. */
so_tensor *so_rope(so_pass *pass, so_tensor *x, int64_t heads, int64_t width, const int32_t *pos, const double *freq);
/* *q and *k become what so_rope makes of them: on a device in one step. */
typedef struct so_turning {
    int64_t heads, width;
    const double *freq;
} so_turning;
void so_rope_both(so_pass *pass, so_tensor **q, const int32_t *q_pos, so_tensor **k, const int32_t *k_pos,
                  const so_turning *turn);
/* Self-attention: q[R, H d], k and v [R, K d]; scale d^-1/2. With stores in the batch, k and v are first written to
 * `layer` of their stores (refused while recording). Causal or full within a sequence. */
so_tensor *so_attention(so_pass *pass, so_tensor *q, so_tensor *k, so_tensor *v, const so_batch *batch, int64_t layer,
                        so_heads heads, bool causal);
/* The same of queries and keys that are first turned by so_rope at the batch's positions. */
so_tensor *so_turned_attention(so_pass *pass, so_tensor *q, so_tensor *k, so_tensor *v, const so_batch *batch,
                               int64_t layer, so_heads heads, const double *freq);
/* Attention into a memory: sequence s of `batch` reads rows memory0[s] .. + memory_rows[s] of k and v; its row r sees
 * entries lo[r] <= j < hi[r] of them (counted from memory0; lo == hi: the mean of all). Copies the arrays. */
typedef struct so_memory {
    const int64_t *memory0, *memory_rows; /* [n_seqs] */
    const int32_t *lo, *hi;               /* [rows of the batch] */
} so_memory;
so_tensor *so_memory_attention(so_pass *pass, so_tensor *q, so_tensor *k, so_tensor *v, const so_batch *batch,
                               const so_memory *memory, so_heads heads);
/* k and v [R, K d] go to `layer` of the batch's stores, behind what these hold. */
void so_keep_rows(so_pass *pass, so_tensor *k, so_tensor *v, const so_batch *batch, int64_t layer, so_heads heads);
/* Attention into what stores hold: all rows of sequence s of `batch` see the last rows[s] positions of `layer` of
 * kv[s]. No way back. */
so_tensor *so_stored_attention(so_pass *pass, so_tensor *q, const so_batch *batch, so_kv *const *kv,
                               const int64_t *rows, int64_t layer, so_heads heads);
/* softmax over columns. */
so_tensor *so_softmax(so_pass *pass, so_tensor *x);

/* ---- losses (ops_loss.c); each gives one element */
/* Mean over rows with label >= 0 of the cross entropy (0 rows: 0). Labels are copied. */
so_tensor *so_cross_entropy(so_pass *pass, so_tensor *logits, const int32_t *label);
/* The same with options. A row's loss is the cross entropy to a smoothed target, or the Kullback-Leibler distance to
 * it; rows may be weighted (copied). */
typedef enum so_smoothing {
    SO_SMOOTH_ALL,   /* s/V on every class and 1-s more on the label; cross entropy (PyTorch) */
    SO_SMOOTH_OTHERS /* 1-s on the label, s/(V-1) on the others; Kullback-Leibler distance (WeNet, FunASR) */
} so_smoothing;
typedef struct so_ce {
    double smoothing; /* s, 0 to 1 */
    so_smoothing convention;
    const so_real *weight; /* [rows] or NULL: 1 each */
    double divide;         /* 0: the sum of the weights of rows with label >= 0 */
} so_ce;
so_tensor *so_cross_entropy_with(so_pass *pass, so_tensor *logits, const int32_t *label, const so_ce *ce);
/* Sum of loss[i] weight[i]; at most SO_MAX_INPUTS losses of one element each. */
so_tensor *so_weighted_sum(so_pass *pass, int n, so_tensor *const *loss, const so_real *weight);
/* Sum over sequences of the CTC loss on log-softmax of logits[R, V]; sequence s owns rows row0[s].. of rows[s] and has
 * the labels labels[label0[s]] .. of n_labels[s]. Infeasible sequences count 0 (their number is added to *infeasible if
 * not NULL). Divided by `divide`. Arrays are copied. */
typedef struct so_ctc {
    int64_t n_seqs;
    const int64_t *row0, *rows, *label0, *n_labels;
    const int32_t *labels;
    int32_t blank;
    double divide;
    so_real *per_sequence; /* NULL, or [n_seqs]: each loss (infinity where infeasible) */
    int64_t *infeasible;
    const int32_t *earliest; /* NULL, or beside `labels`: the first of its sequence's rows that a label may stand on */
} so_ctc;
so_tensor *so_ctc_loss(so_pass *pass, so_tensor *logits, const so_ctc *ctc);
/* SigLIP: mean over i of sum over j of softplus(-z_ij (scale <a_i, b_j> + bias)), z = 1 for i == j, else -1; a and b
 * [B, D] already of unit length; log_scale and bias are one-element weights, scale = exp(log_scale). */
so_tensor *so_sigmoid_pairs(so_pass *pass, so_tensor *a, so_tensor *b, so_tensor *log_scale, so_tensor *bias);
/* Mean of (x - target)^2 or |x - target|, over elements of rows with weight[r] != 0 (weights copied; NULL: all rows,
 * each 1), weighted by it. target is a constant or a tensor that may want a gradient. */
so_tensor *so_mse(so_pass *pass, so_tensor *x, so_tensor *target, const so_real *weight);
so_tensor *so_l1(so_pass *pass, so_tensor *x, so_tensor *target, const so_real *weight);

#include "nn/ops_conv.h"

/* ---- convolutions with what stands beside and behind them (ops_joined.c), joined as products are */
/* so_conv1d, then `then` (as above), and *skip = so_conv1d(x, side.w, side.bias) of one tap beside it where side.w is
 * not NULL. */
typedef struct so_conv_ends {
    int then;
    so_weights side;
    so_tensor **skip;
} so_conv_ends;
so_tensor *so_conv1d_with(so_pass *pass, so_tensor *x, so_weights of, so_conv1 conv, const so_conv_ends *ends);
/* The first T rows of every item of so_conv_transpose1d(x[B, T', C]), of which there are as many at least. */
so_tensor *so_conv_transpose1d_to(so_pass *pass, so_tensor *x, so_weights of, int64_t stride, int64_t pad, int64_t T);

/* For ops: the last checks everybody makes. Both return false and set the error when they fail. */
bool so_want_dims(so_pass *pass, const char *op, const so_tensor *x, int n_dims);
bool so_want_cols(so_pass *pass, const char *op, const so_tensor *x, int64_t cols);
bool so_want_same(so_pass *pass, const char *op, const so_tensor *a, const so_tensor *b);
bool so_want_f32(so_pass *pass, const char *op, const so_tensor *x);

#endif
