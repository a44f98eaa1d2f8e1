/* Speed of the encoders and of the codec at their published sizes, with random weights.
 *
 * Source of the sizes: docs/model.md 4, 7.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "eval/speed/speed_run.h"
#include "models/flow.h"
#include "models/hift.h"
#include "models/siglip.h"
#include "models/speech_tokenizer.h"

enum { UNITS_A_SECOND = 25 };

/* Weights and working memory of one network. */
typedef struct stand {
    so_store store;
    so_arena arena, numbers; /* numbers: of a device, in `block` */
    void *block;
    so_rng rng;
    so_binder binder;
    so_pass pass;
    so_real *input;
} stand;

static so_status stand_open(stand *s, const so_bench *b, int64_t numbers, so_error *error)
{
    memset(s, 0, sizeof *s);
    SO_TRY(so_store_open(&s->store, 0, error));
    SO_TRY(so_arena_reserve(&s->arena, (size_t)16 << 30, error));
    so_rng_init(&s->rng, 1, 0);
    s->binder = (so_binder){.store = &s->store, .pool = b->pool, .rng = &s->rng, .quick = true};
    so_pass_init(&s->pass, &s->arena, b->pool, so_bench_kernels(b));
    s->input = so_arena_alloc(&s->arena, (size_t)numbers * sizeof *s->input);
    if (!s->input) return so_fail(error, SO_ERR_NOMEM, "no memory for an input of %lld numbers", (long long)numbers);
    for (int64_t i = 0; i < numbers; i++) s->input[i] = (so_real)so_rng_normal(&s->rng);
    return SO_OK;
}

static void stand_close(stand *s)
{
    so_device_release(s->pass.device, s->block);
    so_arena_clear(&s->arena);
    so_arena_clear(&s->numbers);
    so_store_close(&s->store);
}

/* Weights are where they are read, and so are the numbers from here on. */
static so_status settle(stand *s, const so_bench *b, so_error *error)
{
    if (b->device) {
        SO_TRY(so_store_upload(&s->store, b->device, error));
        return so_bench_use_device(b, &s->pass, &s->numbers, &s->block, error);
    }
    return b->bf16 ? so_store_lay_bf16(&s->store, NULL, so_bench_kernels(b), b->pool, error) : SO_OK;
}

static const char *rounding(const so_bench *b) { return b->bf16 && b->peak.bf16 > 0 ? "bf16" : "f32"; }

/* ---- eyes */

typedef struct eyes {
    stand s;
    so_siglip net;
} eyes;

static void look(so_pass *pass, void *work)
{
    eyes *e = work;
    so_siglip_forward(pass, &e->net, 1, (const float *)(const void *)e->s.input);
}

so_status so_bench_siglip(so_bench *b, so_error *error)
{
    const so_siglip_config config = {1152, 16, 4304, 26, 384, 14, 1e-6};
    eyes e;
    so_status status;
    SO_TRY_GO(stand_open(&e.s, b, 3 * 384 * 384, error));
    SO_TRY_GO(so_siglip_bind(&e.net, &config, "", &e.s.binder, error));
    SO_TRY_GO(settle(&e.s, b, error));
    so_bench_row row = {
        .what = "see: SigLIP so400m, one picture", .unit = "ms", .amount = 1e-3, .inverse = true, .limit = rounding(b)};
    SO_TRY_GO(so_bench_measure(b, row, &e.s.pass, look, &e, error));
done:
    stand_close(&e.s);
    return status;
}

/* ---- ears */

typedef struct ears {
    stand s;
    so_speech_tokenizer net;
    int64_t frames;
    int32_t ids[30 * UNITS_A_SECOND];
} ears;

static void listen(so_pass *pass, void *work)
{
    ears *e = work;
    so_tensor *mel = so_constant(pass, 2, (int64_t[]){e->frames, e->net.config.mels}, e->s.input);
    so_speech_tokenizer_ids(pass, &e->net, mel, e->ids);
}

so_status so_bench_tokenizer(so_bench *b, so_error *error)
{
    const so_speech_tokenizer_config config = {.mels = 128,
                                               .width = 1280,
                                               .heads = 20,
                                               .ff = 5120,
                                               .layers = 6,
                                               .codes = 4096,
                                               .context = 1500,
                                               .stride = {2, 2}};
    ears e = {.frames = (int64_t)(100 * fmin(b->seconds, 30))};
    so_status status;
    SO_TRY_GO(stand_open(&e.s, b, e.frames * config.mels, error));
    SO_TRY_GO(so_speech_tokenizer_bind(&e.net, &config, "", &e.s.binder, error));
    SO_TRY_GO(settle(&e.s, b, error));
    so_bench_row row = {.what = "hear: speech tokenizer, a second of audio",
                        .unit = "ms",
                        .amount = 1e-3 * (double)e.frames / 100,
                        .inverse = true,
                        .limit = rounding(b)};
    SO_TRY_GO(so_bench_measure(b, row, &e.s.pass, listen, &e, error));
done:
    stand_close(&e.s);
    return status;
}

/* ---- the flow */

typedef struct river {
    stand s;
    so_flow net;
    so_flow_request request;
    int32_t ids[30 * UNITS_A_SECOND];
} river;

static void run_flow(so_pass *pass, void *work)
{
    river *r = work;
    so_flow_mel(pass, &r->net, &r->request, NULL);
}

so_status so_bench_flow(so_bench *b, so_error *error)
{
    const so_flow_config config = so_flow_published();
    river r = {0};
    int64_t N = (int64_t)(UNITS_A_SECOND * fmin(b->seconds, 30)), frames = so_flow_frames(&config, N);
    so_status status;
    SO_TRY_GO(stand_open(&r.s, b, frames * config.mels + config.speaker, error));
    SO_TRY_GO(so_flow_bind(&r.net, &config, "", &r.s.binder, error));
    for (int64_t i = 0; i < N; i++) r.ids[i] = (int32_t)so_rng_below(&r.s.rng, config.units);
    r.request = (so_flow_request){
        .N = N, .frames = frames, .ids = r.ids, .z = r.s.input, .vector = r.s.input + frames * config.mels};
    SO_TRY_GO(settle(&r.s, b, error));
    so_bench_row row = {.what = "speak: flow, units to mel",
                        .unit = "real-time factor",
                        .amount = (double)N / UNITS_A_SECOND,
                        .inverse = true,
                        .limit = rounding(b)};
    SO_TRY_GO(so_bench_measure(b, row, &r.s.pass, run_flow, &r, error));
done:
    stand_close(&r.s);
    return status;
}

/* ---- the vocoder */

typedef struct voice {
    stand s;
    so_hift net;
    int64_t T;
    so_real offset[SO_HIFT_HARMONICS];
} voice;

static void run_hift(so_pass *pass, void *work)
{
    voice *v = work;
    const so_hift_config *c = &v->net.config;
    int64_t per = so_hift_samples(c), H = c->harmonics + 1;
    so_tensor *mel = so_constant(pass, 3, (int64_t[]){1, v->T, c->mels}, v->s.input);
    so_tensor *f0 = so_hift_f0(pass, &v->net, mel), *harmonics = so_new3(pass, 1, v->T * per, H);
    so_hift_phase phase = {{0}};
    so_real *room = so_write_begin(pass, harmonics);
    const so_real *pitch = so_read(pass, f0);
    if (room && pitch) so_hift_harmonics(c, v->T, pitch, v->offset, v->s.input + v->T * c->mels, &phase, room);
    so_hift_wave(pass, &v->net, mel, so_hift_source(pass, &v->net, so_write_end(pass, harmonics, room)));
}

so_status so_bench_hift(so_bench *b, so_error *error)
{
    const so_hift_config config = so_hift_published();
    const so_flow_config frames = so_flow_published();
    voice v = {.T = so_flow_frames(&frames, (int64_t)(UNITS_A_SECOND * fmin(b->seconds, 30)))};
    int64_t samples = v.T * so_hift_samples(&config);
    so_status status;
    SO_TRY_GO(stand_open(&v.s, b, v.T * config.mels + samples * (config.harmonics + 1), error));
    SO_TRY_GO(so_hift_bind(&v.net, &config, "", &v.s.binder, error));
    SO_TRY_GO(so_hift_fold(&v.net, so_bench_kernels(b), &v.s.store.memory, error));
    if (b->device) {
        so_tensor *list[SO_HIFT_CONVS];
        SO_TRY_GO(so_tensors_upload(list, so_hift_folded(&v.net, list, SO_HIFT_CONVS), b->device, error));
        SO_TRY_GO(settle(&v.s, b, error));
    } else if (b->bf16)
        SO_TRY_GO(so_hift_lay_bf16(&v.net, so_bench_kernels(b), &v.s.store.memory, b->pool, error));
    so_bench_row row = {.what = "speak: vocoder, mel to waveform",
                        .unit = "real-time factor",
                        .amount = (double)samples / (double)config.rate,
                        .inverse = true,
                        .limit = rounding(b)};
    SO_TRY_GO(so_bench_measure(b, row, &v.s.pass, run_hift, &v, error));
done:
    stand_close(&v.s);
    return status;
}
