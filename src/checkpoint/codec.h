/* The speech codec of a model: the tokenizer of what is heard, the flow and the vocoder of what is said.
 *
 * Read from a folder with config.json (sizes; absent: the published ones) and
 *     speech_tokenizer_v1.onnx or .safetensors        hearing
 *     flow.pt or .safetensors, hift.pt or .safetensors, spk2info.pt or .safetensors    speaking
 *     campplus.safetensors, .pt or .onnx              making voices of recordings
 * or from the tensors "codec.*" of a GGUF file. Parts that are absent are absent; a part that is there must be whole.
 * Source: docs/model.md 7.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_CODEC_H
#define SO_CHECKPOINT_CODEC_H

#include <jansson.h>

#include "formats/gguf.h"
#include "formats/onnx.h"
#include "formats/safetensors.h"
#include "formats/torchzip.h"
#include "media/mel.h"
#include "models/campplus.h"
#include "models/flow.h"
#include "models/hift.h"
#include "models/speech_tokenizer.h"

enum { SO_CODEC_RATE_IN = 16000, SO_CODEC_BLOCK = 480000 /* samples tokenised together: 30 s */ };
enum { SO_CODEC_CAM_MELS = 80, SO_CODEC_WHY = 256 };
#define SO_CODEC_CAM "codec.campplus." /* before the names of CAM++ in files of a whole model */

/* One of the codec's networks and where it came from. */
typedef struct so_codec_part {
    so_store store;
    so_safetensors *safetensors;
    so_torchzip *zip;
    so_onnx *onnx;
    so_views views; /* of the onnx file */
} so_codec_part;

typedef struct so_codec {
    bool has_tokenizer, has_vocoder; /* the speech tokenizer; flow and vocoder */
    bool has_cam;                    /* CAM++, which stays on the host */
    char cam_why[SO_CODEC_WHY];      /* why a campplus.onnx that is there is not used; "" */
    bool trims;                      /* the tokenizer wants speech without silence before and after it */
    int front;                       /* 1: it wants the front end of hearing, -1: it does not, 0: it does not say */
    char *config;                    /* the text of config.json; NULL: published sizes */
    so_codec_part ears, flow_part, hift_part, cam_part;
    so_speech_tokenizer tokenizer;
    so_flow flow;
    so_hift hift;
    so_cam cam;
    char mark[17];  /* tells this codec from others of the same sizes; "" without flow */
    float *speaker; /* [flow.config.speaker]; zeros without a file of voices */
    char speaker_name[64];
    so_mel *mel; /* of the tokenizer */
} so_codec;

typedef struct so_codec_source {
    const char *folder; /* or */
    const so_gguf *gguf;
    const char *speaker;       /* name in the file of voices; NULL: "英文女", else the first */
    bool bf16;                 /* lay weights out for products in bf16, where these kernels gain by it */
    bool stored;               /* keep the types of matrices and convolutions, but of the vocoder: for a device */
    const so_kernels *kernels; /* what the networks will be computed with; NULL: the portable ones */
    so_pool *pool;
} so_codec_source;

/* Opens "name.safetensors", .pt or .onnx of a folder: its tensors, or *views NULL when there is no such file. */
so_status so_codec_part_open(so_codec_part *part, const char *folder, const char *name, const so_views **views,
                             so_error *error);
/* CAM++ of a folder, *views NULL when there is none. An ONNX file of another network than is known here is left alone,
 * `why` says why. */
so_status so_codec_cam_open(so_codec_part *part, const char *folder, const so_views **views, char why[SO_CODEC_WHY],
                            so_error *error);
/* Accepts a zeroed part. */
void so_codec_part_close(so_codec_part *part);
/* The networks' sizes from a config.json (NULL: the published ones). */
so_status so_codec_sizes(so_codec *codec, const json_t *json, so_error *error);

/* A folder or file without any part gives a codec with neither tokenizer nor vocoder. */
so_status so_codec_open(so_codec *codec, const so_codec_source *source, so_error *error);
/* Moves the networks into memory of a device, and the bytes that they take there. */
so_status so_codec_upload(so_codec *codec, so_device *device, so_error *error);
size_t so_codec_device_bytes(const so_codec *codec);
/* Accepts a zeroed codec. */
void so_codec_close(so_codec *codec);

#endif
