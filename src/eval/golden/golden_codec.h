/* What the parts of the codec's comparison share: the case at hand, its numbers, the networks it asks.
 *
 * golden_codec.c walks over the cases and compares what the codec does; golden_codec_train.c compares losses and
 * gradients; golden_codec_real.c the published sizes, whose weights are made by a formula.
 * Source: README of the reference folder.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_GOLDEN_GOLDEN_CODEC_H
#define SO_EVAL_GOLDEN_GOLDEN_CODEC_H

#include "checkpoint/codec.h"
#include "eval/golden/golden.h"
#include "models/campplus.h"
#include "models/discriminators.h"

/* The networks as training holds them: every weight learns. Opened when first asked for. */
typedef struct so_learners {
    so_codec_part flow_part, hift_part, disc_part, cam_part;
    so_flow flow;
    so_hift hift;
    so_discriminators discriminators;
    so_cam cam;
} so_learners;

typedef struct so_codec_golden {
    so_golden *g;
    const json_t *json; /* the case */
    const char *name;
    so_codec codec;
    so_learners learners;
    so_pool *pool;
    const so_kernels *kernels;
    so_arena arena;
    so_pass pass;
    so_watch watch;
    so_device *device; /* NULL: the host */
    so_arena numbers;  /* of a device */
    void *block;       /* where they lie */
} so_codec_golden;

/* ---- the numbers of the case; NULL or 0 for what it lacks */

const so_view *so_codec_golden_view(const so_codec_golden *b, const char *tensor);
const float *so_codec_golden_floats(const so_codec_golden *b, const char *tensor);
/* The same when there are exactly n of them; otherwise the pass fails with SO_ERR_MISSING. */
const float *so_codec_golden_exactly(so_codec_golden *b, const char *tensor, int64_t n);
const int32_t *so_codec_golden_ids(so_codec_golden *b, const char *tensor, int64_t n);
int64_t so_codec_golden_length(const so_codec_golden *b, const char *tensor);
int64_t so_codec_golden_parameter(const so_codec_golden *b, const char *key);
double so_codec_golden_number(const so_codec_golden *b, const char *key, double otherwise);
/* Scalars of the case: "values" holds {"value": .., "fp32_run": ..}. Found against it, when it is there. */
void so_codec_golden_expect_value(so_codec_golden *b, const char *key, double found);
/* Ten times the reference's own rounding noise, at least 2e-6 of the largest value. */
double so_codec_golden_bar(const so_codec_golden *b, const char *tensor);
/* A constant from a stored [a, b] or [b] tensor, or its transpose; from [n, a, b] with each item turned for itself. */
so_tensor *so_codec_golden_read(so_codec_golden *b, const char *tensor, bool turned);
/* As stored, and its gradient is wanted. */
so_tensor *so_codec_golden_leaf(so_codec_golden *b, const char *tensor);
/* [a, b] as [1, a, b]. */
so_tensor *so_codec_golden_batched(so_codec_golden *b, so_tensor *t);
/* found against the tensor, stored alike or turned. */
void so_codec_golden_expect(so_codec_golden *b, const char *tensor, const so_tensor *found, bool turned);
void so_codec_golden_expect_bar(so_codec_golden *b, const char *tensor, const so_tensor *found, bool turned,
                                double bar);
/* The same of numbers that the host has, as a watcher is shown them. */
void so_codec_golden_expect_seen(so_codec_golden *b, const char *tensor, const so_tensor *found, bool turned,
                                 double bar);
void so_codec_golden_expect_floats(so_codec_golden *b, const char *tensor, const float *found, int64_t n);

/* While watched, every tensor that a network names and the case has is compared, once. */
void so_codec_golden_watch(so_codec_golden *b, bool watched);

/* At most `most` integers of a list; their number. */
int64_t so_codec_golden_integers(const json_t *list, int64_t *value, int64_t most);
so_status so_codec_golden_learn_flow(so_codec_golden *b, so_error *error);
so_status so_codec_golden_learn_hift(so_codec_golden *b, so_error *error);
so_status so_codec_golden_learn_discriminators(so_codec_golden *b, so_error *error);
so_status so_codec_golden_learn_cam(so_codec_golden *b, so_error *error);

/* ---- cases */

typedef so_status (*so_codec_golden_fn)(so_codec_golden *b, so_error *error);
/* One case, then what of it was left. */
so_status so_codec_golden_case(so_codec_golden *b, const json_t *json, so_error *error);

so_status so_codec_golden_ctc(so_codec_golden *b, so_error *error);
so_status so_codec_golden_smoothing(so_codec_golden *b, so_error *error);
so_status so_codec_golden_flow_matching(so_codec_golden *b, so_error *error);
so_status so_codec_golden_flow_training(so_codec_golden *b, so_error *error);
so_status so_codec_golden_codebook(so_codec_golden *b, so_error *error);
so_status so_codec_golden_relative_attention(so_codec_golden *b, so_error *error);
so_status so_codec_golden_discriminators(so_codec_golden *b, so_error *error);
so_status so_codec_golden_generator(so_codec_golden *b, so_error *error);
so_status so_codec_golden_relative_loss(so_codec_golden *b, so_error *error);
so_status so_codec_golden_speaker(so_codec_golden *b, so_error *error);
void so_codec_golden_forget(so_codec_golden *b);

/* The cases of real_shape.json, if the folder holds it. */
so_status so_codec_golden_real(so_codec_golden *b, so_error *error);

#endif
