/* The vocoder HiFT: log-mel frames to a waveform, by harmonics of a predicted pitch that a network shapes into a
 * spectrum.
 *
 *     mel [B, T, M] ─ 5 × (conv, elu) ─ linear, abs ─ f0 [B, T] in Hz
 *     f0 ─ harmonics h f0 and noise [B, L, 9] ─ linear, tanh ─ source s [B, L] ─ STFT ─ S
 *     mel ─ conv_pre ─ per stage { leaky, transposed conv ─(+ resblock(conv S))─ mean of 3 resblocks } ─ leaky,
 * conv_post ─ magnitudes and phases ─ inverse STFT ─ clamp ─ waveform [B, L], L = hop T samples in -1 .. 1 resblock: x
 * += conv(snake(conv_d(snake x))) for d in 1, 3, 5
 *
 * Every convolution but those of S has its weight as direction and length (weight norm).
 *
 * Source: docs/model.md 7.3, 7.6.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_HIFT_H
#define SO_MODELS_HIFT_H

#include "nn/ops.h"
#include "nn/weights.h"

enum { SO_HIFT_STAGES = 4, SO_HIFT_KERNELS = 3, SO_HIFT_HARMONICS = 16, SO_HIFT_CONVS = 7 + 25 * SO_HIFT_STAGES };

typedef struct so_hift_config {
    int64_t channels, f0_channels, mels, rate, harmonics; /* rate in Hz; harmonics above the fundamental */
    int64_t stages, up_rate[SO_HIFT_STAGES], up_kernel[SO_HIFT_STAGES], source_kernel[SO_HIFT_STAGES];
    int64_t kernel[SO_HIFT_KERNELS], dilation[SO_HIFT_KERNELS];
    int64_t n_fft, hop;         /* of the small STFT */
    double loud, noise, voiced; /* amplitude of a harmonic; deviation of its noise; Hz above which a frame is voiced */
    double limit;               /* of the waveform */
} so_hift_config;

/* A convolution; w is made of v and g when used, unless it was folded. */
typedef struct so_hift_conv {
    so_tensor *v, *g, *bias, *w;
} so_hift_conv;

typedef struct so_hift_resblock {
    int64_t kernel;
    so_hift_conv conv1[SO_HIFT_KERNELS], conv2[SO_HIFT_KERNELS];
    so_tensor *alpha1[SO_HIFT_KERNELS], *alpha2[SO_HIFT_KERNELS];
} so_hift_resblock;

typedef struct so_hift_stage {
    so_hift_conv up;
    so_tensor *source_w, *source_b;
    so_hift_resblock source, block[SO_HIFT_KERNELS];
} so_hift_stage;

typedef struct so_hift {
    so_hift_config config;
    so_hift_conv f0_conv[5], pre, post;
    so_tensor *f0_w, *f0_b, *merge_w, *merge_b;
    so_hift_stage stage[SO_HIFT_STAGES];
} so_hift;

/* The published sizes. */
so_hift_config so_hift_published(void);
/* Groups "hift" and "f0". Accepts names with the prefix "generator." that GAN training writes, both spellings of weight
 * norm, and plain weights. */
so_status so_hift_bind(so_hift *net, const so_hift_config *config, const char *prefix, so_binder *binder,
                       so_error *error);
/* Folds every weight norm once and for all, into `memory`: for inference only. */
so_status so_hift_fold(so_hift *net, const so_kernels *kernels, so_arena *memory, so_error *error);
/* Lists the folded weights, at most `most` of them, for a device; what they were made of stays on the host. Gives their
 * number. */
int64_t so_hift_folded(const so_hift *net, so_tensor **list, int64_t most);
/* Lays out the folded weights for products rounded to bf16 (so_tensor_lay_bf16). */
so_status so_hift_lay_bf16(so_hift *net, const so_kernels *kernels, so_arena *memory, so_pool *pool, so_error *error);
/* Samples a frame: the product of all rates and the hop. */
int64_t so_hift_samples(const so_hift_config *config);
/* Frames on either side of a piece of mel that reach its samples: a waveform made of pieces with so much (and the
 * source that belongs to it) around each equals the one made at once. */
int64_t so_hift_context(const so_hift_config *config);

/* mel[B, T, M] -> f0[B, T] in Hz. */
so_tensor *so_hift_f0(so_pass *pass, const so_hift *net, so_tensor *mel);

/* Where the harmonics stand between two pieces of one utterance, in turns; all zero at its beginning. */
typedef struct so_hift_phase {
    double turn[SO_HIFT_HARMONICS];
} so_hift_phase;
/* Harmonics of one utterance: f0[T] Hz -> out[L, H], H = harmonics + 1, L = T so_hift_samples(). offset[H] in radians
 * (the fundamental's is 0 as a rule) and noise[L, H] (standard normal) are the randomness. Moves `phase`. */
void so_hift_harmonics(const so_hift_config *config, int64_t T, const so_real *f0, const so_real *offset,
                       const so_real *noise, so_hift_phase *phase, so_real *out);
/* harmonics[B, L, H] (a constant) -> source [B, L]. */
so_tensor *so_hift_source(so_pass *pass, const so_hift *net, so_tensor *harmonics);
/* mel[B, T, M], source[B, L] -> spectrum before exp and sin, [B, L/hop + 1, n_fft + 2]. Names for a watcher:
 * "hift.pre"; of stage I "hift.up.I", "hift.up.I.padded", "hift.source.I.down", "hift.source.I", "hift.block.I.K",
 * "hift.stage.I". */
so_tensor *so_hift_spectrum(so_pass *pass, const so_hift *net, so_tensor *mel, so_tensor *source);
/* The same, to the waveform [B, L]. */
so_tensor *so_hift_wave(so_pass *pass, const so_hift *net, so_tensor *mel, so_tensor *source);

#endif
