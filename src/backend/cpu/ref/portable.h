/* What the portable kernels' files share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_REF_PORTABLE_H
#define SO_BACKEND_CPU_REF_PORTABLE_H

#include "backend/kernels.h"

/* Each fills its family's entries of the table. */
void so_fill_matrix_c(so_kernels *table);
void so_fill_int8_c(so_kernels *table);
void so_fill_element_c(so_kernels *table);
void so_fill_norm_c(so_kernels *table);
void so_fill_attention_c(so_kernels *table);
void so_fill_conv_c(so_kernels *table);
void so_fill_bf16_c(so_kernels *table);
void so_fill_move_c(so_kernels *table);
void so_fill_codec_c(so_kernels *table);
#ifndef SO_DOUBLE
#if defined(__x86_64__)
/* Buffers of the calling thread, for one kernel at a time (under 2 MB, one large page, within the second-level cache).
 * They are mapped when a thread's first kernel wants them, and go with the thread: as static thread-local memory they
 * would be taken out of every thread's stack, and threads with small stacks could not start. */
enum { SO_PACK_A = 252 * 384 + 16, SO_PACK_B = 512 * 512 + 16, SO_ROWS = 16 * 384, SO_SCORES = 60 * 512 };
typedef struct so_scratch {
    float a[SO_PACK_A], b[SO_PACK_B], rows[SO_ROWS], scores[SO_SCORES], slopes[SO_SCORES];
    uint64_t tiles[1056]; /* registers of the double of matrix tiles */
} so_scratch;
extern _Thread_local __attribute__((tls_model("initial-exec")))
so_scratch *so_scratch_mine; /* NULL until its first kernel */
so_scratch *so_scratch_take(void);
static inline so_scratch *so_scratch_here(void) { return so_scratch_mine ? so_scratch_mine : so_scratch_take(); }

/* Replace what they do faster, on machines that have the instructions (AVX2, FMA, F16C; AVX-512 BW, VL, DQ, VNNI,
 * BF16). */
void so_fill_avx2(so_kernels *table);
void so_fill_avx512(so_kernels *table);
void so_fill_int8_avx2(so_kernels *table);
void so_fill_int8_avx512(so_kernels *table);
void so_fill_conv_avx2(so_kernels *table);
void so_fill_conv_avx512(so_kernels *table);
/* What matrix tiles do, on a copy of the table that takes the rest: AMX (with all that so_fill_avx512 needs); its
 * double in plain C on any machine, and on those with what so_fill_avx512 needs. */
void so_fill_amx(so_kernels *table);
void so_fill_amx_plain(so_kernels *table);
void so_fill_amx_double(so_kernels *table);
#elif defined(__aarch64__)
/* For machines with the dot product instructions. */
void so_fill_neon(so_kernels *table);
/* For those with the matrix instructions for bytes and for bf16, and with SVE, where the compiler knows them. */
void so_fill_i8mm(so_kernels *table);
void so_fill_armbf16(so_kernels *table);
void so_fill_conv_sve(so_kernels *table);
#endif
#endif

/* The i-th table this machine can run, the portable one first; NULL past the last. */
const so_kernels *so_kernels_at(int i);

/* Whether keys of two sequences overlap, so that their gradients have to be added one after the other. */
bool so_attn_shares_keys(const so_attn *attn);

/* Keys lo <= key < hi that query row r of the sequence sees; `mean` where it sees all with equal weight. */
static inline void so_attn_visible(const so_attn *a, const so_attn_seg *g, int64_t r, int64_t *lo, int64_t *hi,
                                   bool *mean)
{
    int64_t at = g->q_row0 + r;
    *lo = 0;
    *hi = g->kv_rows;
    *mean = a->lo && a->lo[at] == a->hi[at];
    if (a->lo && !*mean) {
        *lo = a->lo[at];
        *hi = a->hi[at];
    } else if (!a->lo && a->causal && g->pos0 + r + 1 < *hi) {
        *hi = g->pos0 + r + 1;
    }
}

/* Splits `rows` into chunks of at least `grain` rows and runs them on the pool. The split depends on the sizes only. */
typedef void (*so_rows_fn)(void *context, int64_t row0, int64_t row1);
void so_for_rows(so_pool *pool, int64_t rows, int64_t grain, so_rows_fn fn, void *context);

#endif
