/* The codec on its own: speech to units, units to speech.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/model.h"
#include "nn/worker.h"
#include "speech/clone.h"
#include "speech/ear.h"
#include "speech/mouth.h"

so_status so_tokenize_speech(so_model *model, const float *pcm, size_t samples, int rate, int32_t *out, size_t capacity,
                             size_t *n, so_error *error)
{
    if (!model || !n || (!pcm && samples))
        return so_fail(error, SO_ERR_ARG, "no model, no audio, or no place for the number of units");
    *n = 0;
    if (samples > (size_t)1 << 30) return so_fail(error, SO_ERR_LIMIT, "%zu samples at once", samples);
    if (rate < 4000 || rate > 384000)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz, expected 4000 to 384000", rate);
    so_ear *ear = NULL;
    bool news;
    so_status status;
    *n = 0;
    if (rate < 1) return so_fail(error, SO_ERR_ARG, "audio at %d Hz", rate);
    so_site place = so_model_codec_place(model);
    SO_TRY_GO(so_ear_open(&ear, &model->codec, NULL, &place, (double)samples / rate + 2, error));
    ear->whole = true;
    SO_TRY_GO(so_ear_feed(ear, pcm, samples, rate, &news, error));
    SO_TRY_GO(so_ear_finish(ear, error));
    *n = (size_t)ear->n;
    if (out) memcpy(out, ear->units, (capacity < *n ? capacity : *n) * sizeof *out);
done:
    so_ear_close(&ear);
    return status;
}

so_status so_synthesize(so_model *model, const int32_t *units, size_t n, uint64_t seed, float **pcm, size_t *samples,
                        so_error *error)
{
    return so_synthesize_as(model, NULL, units, n, seed, pcm, samples, error);
}

so_status so_synthesize_as(so_model *model, const so_clone *clone, const int32_t *units, size_t n, uint64_t seed,
                           float **pcm, size_t *samples, so_error *error)
{
    if (!pcm || !samples) return so_fail(error, SO_ERR_ARG, "no place for samples");
    *pcm = NULL;
    *samples = 0;
    if (!model || !units) return so_fail(error, SO_ERR_ARG, "no model, or no units");
    so_mouth *mouth = NULL;
    so_worker worker = {0};
    so_need fixed, scratch;
    so_site place = so_model_codec_place(model);
    const float *piece;
    int64_t count;
    size_t at = 0;
    so_status status;
    *pcm = NULL;
    *samples = 0;
    if (n == 0 || n > 1 << 20) return so_fail(error, SO_ERR_ARG, "%zu speech units", n);
    so_mouth_options options = {.first = (int64_t)n, .hop = (int64_t)n, .max_units = (int64_t)n, .seed = seed};
    options.device = place.device;
    if (clone) SO_TRY_GO(so_clone_check(clone, &model->codec, error));
    if (clone) options.prompt = clone->n ? clone->n : 1;
    SO_TRY_GO(so_mouth_plan(&model->codec, &options, &place, &fixed, &scratch, error));
    SO_TRY_GO(so_worker_open_on(&worker, &place, scratch, error));
    SO_TRY_GO(so_mouth_open(&mouth, &model->codec, &options, error));
    SO_TRY_GO(so_clone_speak(clone, mouth, &model->codec, error));
    so_mouth_reset(mouth, seed);
    for (size_t i = 0; i < n; i++) SO_TRY_GO(so_mouth_put(mouth, units[i], error));
    so_mouth_end(mouth);
    size_t all =
        (size_t)(so_flow_frames(&model->codec.flow.config, (int64_t)n) * so_hift_samples(&model->codec.hift.config));
    float *out = malloc(all * sizeof *out + 1);
    if (!out) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for %zu samples", all);
        goto done;
    }
    *pcm = out;
    for (bool made = true; made;) {
        SO_TRY_GO(so_mouth_step(mouth, &worker.pass, &made, error));
        SO_TRY_GO(so_mouth_take(mouth, &piece, &count, error));
        if (at + (size_t)count <= all) memcpy(out + at, piece, (size_t)count * sizeof *out);
        at += (size_t)count;
    }
    *samples = at;
done:
    if (status != SO_OK) {
        free(*pcm);
        *pcm = NULL;
    }
    so_mouth_close(&mouth);
    so_worker_clear(&worker);
    return status;
}

void so_free(void *memory) { free(memory); }
