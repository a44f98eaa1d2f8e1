/* Speed of the language model and of the speech layers at published sizes, with random weights of any stored type.
 *
 * Source of the sizes: docs/model.md 2; Llama 3.1 8B and 3.2 1B.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/speed/speed_run.h"
#include "models/stream_omni.h"

enum {
    STEPS = 4 /* tokens or units of one repetition */,
    TOGETHER = 8, /* conversations that are decoded together */
    CHUNK = 512 /* rows of a prompt computed together */,
    WINDOW = 5
};

static const so_llama_config llama_8b = {4096, 32, 8, 128, 14336, 1e-5, 500000, 8, 1, 4, 8192};
static const so_llama_config llama_1b = {2048, 32, 8, 64, 8192, 1e-5, 500000, 32, 1, 4, 8192};

/* Small enough for any device to try the measurement itself on. */
static const so_llama_config toy = {256, 4, 2, 64, 512, 1e-5, 10000, 0, 0, 0, 0};

static const struct size {
    const char *name;
    const so_llama_config *llama;
    int64_t bottom, backbone, top;
    int64_t text_rows, audio_rows, units; /* rows of the heads and tables */
} sizes[] = {{"llama-8b", &llama_8b, 0, 32, 0, 128256, 132352, 4096},
             {"llama-1b", &llama_1b, 0, 16, 0, 128256, 132352, 4096},
             {"stream-omni-8b", &llama_8b, 3, 32, 5, 128256, 132352, 4096},
             {"toy", &toy, 1, 2, 1, 512, 640, 64}};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static const struct size *find_size(const char *name)
{
    for (int i = 0; i < SIZES; i++)
        if (strcmp(name, sizes[i].name) == 0) return &sizes[i];
    return NULL;
}

bool so_bench_knows(const char *name) { return find_size(name) != NULL; }

/* A type by its name; the mixes of GGUF count as their main type. */
static bool find_type(const char *name, so_type *type)
{
    size_t n = strlen(name);
    if (n > 2 && name[n - 2] == '_' && (name[n - 1] == 'm' || name[n - 1] == 's')) n -= 2;
    for (int t = 0; t < SO_TYPE_COUNT; t++) {
        const char *known = so_type_about((so_type)t)->name;
        if (strlen(known) != n || strncmp(known, name, n) != 0) continue;
        *type = (so_type)t;
        return t == SO_F32 || t == SO_F16 || t == SO_BF16 || so_type_about((so_type)t)->block > 1;
    }
    return false;
}

typedef struct stand {
    so_bench *bench;
    so_store store;
    so_arena arena, numbers; /* numbers: of a device, in `block` */
    void *block;
    so_pass pass;
    so_omni net;
    so_type type;
    so_kv bottom, backbone, top;
    so_kv beside[TOGETHER];
    int32_t *ids;   /* [prompt + STEPS] */
    int64_t layers; /* the backbone's, all of them */
    int64_t units;
    char note[64]; /* "24 of 32 layers, scaled" */
} stand;

static double layer_weights(const so_llama_config *c)
{
    return (double)(c->width * c->head_width * 2 * (c->heads + c->kv_heads) + 3 * c->width * c->ff);
}

/* As many layers of the backbone as memory allows, all of them as a rule. */
static int64_t fit_layers(const stand *s, const struct size *size)
{
    const so_llama_config *c = size->llama;
    double each = (double)so_type_bytes(s->type, 1 << 20) / (1 << 20), memory = s->bench->memory;
    if (memory <= 0) memory = 0.8 * (double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (s->bench->device && memory > (double)so_device_left(s->bench->device))
        memory = (double)so_device_left(s->bench->device);
    double tables = 2.0 * (double)(size->text_rows * c->width);
    if (size->bottom) tables += (double)((3 * size->audio_rows + size->text_rows) * c->width);
    double heads = (double)(c->width * c->width) * 4 * (double)size->top, layer = layer_weights(c);
    double rest = (tables + heads + layer * (double)(size->bottom + size->top)) * each + 1.5e9;
    int64_t n = (int64_t)((memory - rest) / (layer * each));
    return n < 1 ? 1 : n < size->backbone ? n : size->backbone;
}

/* Memory of a store, zeros; a device's goes with the device. */
static so_status take_store(stand *s, so_kv *kv, so_error *error)
{
    enum { PIECE = 1 << 20 };
    static const char zeros[PIECE];
    size_t bytes = so_kv_bytes(kv->type, kv->layers, kv->width, kv->capacity);
    void *at = NULL;
    if (!s->bench->device) {
        kv->data = so_arena_zalloc(&s->store.memory, bytes);
        return kv->data ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %lld positions", (long long)kv->capacity);
    }
    if (bytes) SO_TRY(so_device_reserve(s->bench->device, bytes, &at, error));
    for (size_t i = 0; i < bytes; i += PIECE)
        so_device_write(s->bench->device, (char *)at + i, zeros, bytes - i < PIECE ? bytes - i : PIECE);
    kv->data = at;
    return so_device_state(s->bench->device, error);
}

static so_status take_kv(stand *s, so_kv *kv, int64_t layers, so_error *error)
{
    const so_llama_config *c = &s->net.config.llama;
    bool blocks = so_type_about(s->type)->block > 1; /* what a session takes when it is not told */
    *kv = (so_kv){.layers = layers,
                  .width = c->kv_heads * c->head_width,
                  .capacity = s->bench->prompt + STEPS,
                  .type = blocks ? SO_F16 : SO_F32};
    const char *type = s->bench->kv;
    if (type && (!find_type(type, &kv->type) || (so_type_about(kv->type)->block > 1 && kv->type != SO_Q8_0)))
        return so_fail(error, SO_ERR_ARG, "keys and values are f32, f16, bf16 or q8_0, not '%s'", type);
    return take_store(s, kv, error);
}

/* The stores of several conversations, which hold nothing: how long attention takes does not depend on it. */
static so_status open_beside(stand *s, so_error *error)
{
    for (int k = 0; k < TOGETHER; k++) {
        so_kv *kv = &s->beside[k];
        *kv = s->backbone;
        SO_TRY(take_store(s, kv, error));
    }
    return SO_OK;
}

static so_status stand_open(stand *s, so_bench *b, const struct size *size, so_error *error)
{
    so_rng rng;
    so_rng_init(&rng, 1, 0);
    *s = (stand){.bench = b, .layers = size->backbone, .units = size->units};
    if (!find_type(b->type, &s->type)) return so_fail(error, SO_ERR_ARG, "'%s' is no type of weights", b->type);
    SO_TRY(so_store_open(&s->store, (size_t)256 << 30, error));
    SO_TRY(so_arena_reserve(&s->arena, (size_t)32 << 30, error));
    int64_t layers = fit_layers(s, size);
    if (layers < size->backbone)
        snprintf(s->note, sizeof s->note, "%lld of %lld layers, scaled", (long long)layers, (long long)size->backbone);
    if (b->say) b->say(b->context, layers < size->backbone ? s->note : "random weights");
    so_binder binder = {.store = &s->store, .pool = b->pool, .rng = &rng, .quick = true, .made = s->type};
    so_omni_config config = {.llama = *size->llama,
                             .bottom = size->bottom,
                             .backbone = layers,
                             .top = size->top,
                             .text_rows = size->text_rows,
                             .audio_rows = size->audio_rows,
                             .speech = size->bottom > 0};
    SO_TRY(so_omni_bind(&s->net, &config, &binder, error));
    if (b->device) SO_TRY(so_store_upload(&s->store, b->device, error));
    SO_TRY(take_kv(s, &s->backbone, layers, error));
    SO_TRY(take_kv(s, &s->bottom, size->bottom, error));
    SO_TRY(take_kv(s, &s->top, size->top, error));
    s->ids = so_arena_alloc(&s->store.memory, (size_t)(b->prompt + STEPS) * sizeof *s->ids);
    if (!s->ids) return so_fail(error, SO_ERR_NOMEM, "no memory for a prompt");
    for (int64_t i = 0; i < b->prompt + STEPS; i++) s->ids[i] = (int32_t)so_rng_below(&rng, size->text_rows);
    bool blocks = so_type_about(s->type)->block > 1;
    so_pass_init(&s->pass, &s->arena, b->pool,
                 blocks              ? b->kernels->with_int8
                 : s->type == SO_F32 ? b->kernels
                                     : b->kernels->with_bf16);
    return so_bench_use_device(b, &s->pass, &s->numbers, &s->block, error);
}

static void stand_close(stand *s)
{
    so_arena_clear(&s->arena);
    so_arena_clear(&s->numbers);
    so_store_close(&s->store);
}

/* ---- what is measured */

static void read_prompt(so_pass *pass, void *work)
{
    stand *s = work;
    int64_t P = s->bench->prompt;
    s->backbone.len = 0;
    for (int64_t at = 0; at < P && so_ok(pass); at += CHUNK) {
        int64_t n = P - at < CHUNK ? P - at : CHUNK;
        so_mark mark = so_pass_mark(pass);
        so_batch *batch = so_batch_one(pass, n, &s->backbone);
        so_tensor *h = so_omni_think(pass, &s->net, so_omni_read(pass, &s->net, n, s->ids + at), batch);
        if (at + n == P) so_omni_write(pass, &s->net, so_take_rows(pass, h, 1, (int32_t[]){(int32_t)n - 1}));
        so_batch_advance(batch);
        so_pass_release(pass, mark);
    }
}

/* A step of an answer: a device records it, and is waited for once (for an id). */
static so_mark step_begin(so_pass *pass)
{
    so_device_step_begin(pass->device);
    return so_pass_mark(pass);
}

static void step_end(so_pass *pass, so_mark mark)
{
    so_bench_wait(pass);
    so_device_step_end(pass->device);
    so_pass_release(pass, mark);
}

static void write_text(so_pass *pass, void *work)
{
    stand *s = work;
    s->backbone.len = s->bench->prompt;
    for (int i = 0; i < STEPS && so_ok(pass); i++) {
        so_mark mark = step_begin(pass);
        so_batch *batch = so_batch_one(pass, 1, &s->backbone);
        so_omni_write(pass, &s->net, so_omni_think(pass, &s->net, so_omni_read(pass, &s->net, 1, s->ids + i), batch));
        so_batch_advance(batch);
        step_end(pass, mark);
    }
}

/* The same for TOGETHER conversations in one pass, as a crew does. */
static void write_together(so_pass *pass, void *work)
{
    stand *s = work;
    so_kv *kv[TOGETHER];
    int64_t one[TOGETHER];
    for (int k = 0; k < TOGETHER; k++) {
        kv[k] = &s->beside[k];
        one[k] = 1;
        kv[k]->len = s->bench->prompt;
    }
    for (int i = 0; i < STEPS && so_ok(pass); i++) {
        so_mark mark = step_begin(pass);
        so_batch *batch = so_batch_many(pass, TOGETHER, one, kv);
        so_tensor *x = so_omni_read(pass, &s->net, TOGETHER, s->ids + i);
        so_omni_write(pass, &s->net, so_omni_think(pass, &s->net, x, batch));
        so_batch_advance(batch);
        step_end(pass, mark);
    }
}

/* A unit as the loop makes it: bottom layers and their CTC row, then top layers with a window of text, then the unit
 * row of all ids or of units only. */
static void make_units_of(so_pass *pass, void *work, bool all)
{
    stand *s = work;
    static const int32_t memory_pos[WINDOW] = {0, 1, 2, 3, 4}, first = 0, last = WINDOW;
    static const int64_t none = 0, one = 1, window = WINDOW;
    s->bottom.len = s->top.len = s->bench->prompt;
    for (int i = 0; i < STEPS && so_ok(pass); i++) {
        so_mark mark = step_begin(pass);
        int32_t pos = (int32_t)s->top.len;
        so_batch *below = so_batch_one(pass, 1, &s->bottom), *above = so_batch_one(pass, 1, &s->top);
        so_fusion fusion = {.memory_rows = WINDOW,
                            .memory_ids = s->ids,
                            .memory_pos = memory_pos,
                            .rows = 1,
                            .row = &first,
                            .pos = &pos,
                            .n_seqs = 1,
                            .seq_rows = &one,
                            .ranges = {&none, &window, &first, &last}};
        so_tensor *h = so_omni_hear(pass, &s->net, 1, s->ids + i, below);
        so_omni_ctc(pass, &s->net, h);
        so_tensor *row = so_omni_speak(pass, &s->net, h, above, &fusion), few = *s->net.unit_head;
        few.dim[0] = s->units;
        if (all)
            so_omni_voice(pass, &s->net, row);
        else
            so_linear(pass, row, &few, NULL);
        if (below) so_batch_advance(below);
        if (above) so_batch_advance(above);
        step_end(pass, mark);
    }
}

static void make_units(so_pass *pass, void *work) { make_units_of(pass, work, true); }
static void make_only_units(so_pass *pass, void *work) { make_units_of(pass, work, false); }

/* The share of a step's work that the layers left out would have had, so that figures count for all of them. */
static double scaled(const stand *s, double amount)
{
    const so_omni_config *c = &s->net.config;
    double layer = layer_weights(&c->llama), head = (double)(c->text_rows * c->llama.width);
    return amount * (layer * (double)c->backbone + head) / (layer * (double)s->layers + head);
}

static const char *product(const stand *s)
{
    const so_peak *p = &s->bench->peak;
    return so_type_about(s->type)->block > 1 && p->int8 > 0 ? "int8"
           : s->type != SO_F32 && p->bf16 > 0               ? "bf16"
                                                            : "f32";
}

so_status so_bench_llama(so_bench *b, const char *name, so_error *error)
{
    const struct size *size = find_size(name);
    char what[3][160];
    stand s;
    so_status status;
    if (!size) return so_fail(error, SO_ERR_ARG, "no published size is called '%s'", name);
    SO_TRY_GO(stand_open(&s, b, size, error));
    const char *sep = s.note[0] ? ", " : "";
    snprintf(what[0], sizeof what[0], "prefill: %lld positions%s%s", (long long)b->prompt, sep, s.note);
    snprintf(what[1], sizeof what[1], "decode: text after %lld positions%s%s", (long long)b->prompt, sep, s.note);
    snprintf(what[2], sizeof what[2], "together: text of %d conversations after %lld positions%s%s", TOGETHER,
             (long long)b->prompt, sep, s.note);
    so_bench_row prefill = {
        .what = what[0], .unit = "tokens/s", .amount = scaled(&s, (double)b->prompt), .limit = product(&s)};
    so_bench_row decode = {.what = what[1],
                           .unit = "tokens/s",
                           .amount = scaled(&s, STEPS),
                           .limit = "read",
                           .weights = s.store.memory.base,
                           .weights_bytes = s.store.memory.used};
    so_bench_row units = {.what = "units: bottom, CTC, top, unit head",
                          .unit = "units/s",
                          .amount = STEPS,
                          .limit = "read",
                          .weights = decode.weights,
                          .weights_bytes = decode.weights_bytes};
    if (!b->only || strstr(b->only, "prefill"))
        SO_TRY_GO(so_bench_measure(b, prefill, &s.pass, read_prompt, &s, error));
    if (!b->only || strstr(b->only, "decode")) SO_TRY_GO(so_bench_measure(b, decode, &s.pass, write_text, &s, error));
    if (!b->only || strstr(b->only, "together")) {
        decode.what = what[2];
        decode.amount = scaled(&s, TOGETHER * STEPS);
        SO_TRY_GO(open_beside(&s, error));
        SO_TRY_GO(so_bench_measure(b, decode, &s.pass, write_together, &s, error));
    }
    if (size->bottom && (!b->only || strstr(b->only, "units"))) {
        SO_TRY_GO(so_bench_measure(b, units, &s.pass, make_units, &s, error));
        units.what = "only_units: the same without rows of text";
        SO_TRY_GO(so_bench_measure(b, units, &s.pass, make_only_units, &s, error));
    }
done:
    stand_close(&s);
    return status;
}
