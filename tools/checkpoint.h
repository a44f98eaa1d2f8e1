/* Made-up checkpoints in the published file formats: what the three writers share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TOOLS_CHECKPOINT_H
#define SO_TOOLS_CHECKPOINT_H

#include <stdint.h>
#include <stdio.h>

#include "checkpoint/source.h"

/* Tensor i of a manifest as random numbers, a piece at a time. */
typedef struct made {
    const so_manifest *manifest;
    uint64_t seed;
} made;

/* Numbers [at, at + n) of tensor i of the manifest, as they would be drawn at once. */
void so_made_numbers(const made *m, int64_t i, int64_t at, int64_t n, float *out);
/* Writes all of tensor i as f32 (half = 0) or bf16 to the file; gives 0, or -1 when the file cannot be written. `crc`
 * (may be NULL) is the CRC-32 of the bytes. */
int so_made_write(const made *m, int64_t i, int half, FILE *out, uint32_t *crc);
uint32_t so_crc32(uint32_t crc, const void *data, size_t size);

/* The tensors of the manifest whose names begin with `prefix`, which is left out, as flow.pt and hift.pt have them: a
 * zip archive with a pickled state dict. Also spk2info.pt: `voices` names with vectors of `width`. -1 when the file
 * cannot be written. */
int so_write_torch(const char *path, const made *m, const char *prefix);
int so_write_voices(const char *path, const char *const *voice, int n, int64_t width, uint64_t seed);
/* speech_tokenizer_v1.onnx of the tensors "codec.tokenizer.*": anonymous weights, known by the nodes that consume them.
 */
int so_write_onnx(const char *path, const made *m);

#endif
