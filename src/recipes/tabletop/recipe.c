/* What the parts of the tabletop recipe share: sizes, template pieces, weights between parts, running a trainer.
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipes/tabletop/recipe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "formats/safetensors.h"
#include "recipes/tabletop/tt_dataset.h"
#include "train/progress.h"

const char so_tabletop_system[] = "You see, hear and speak.";

so_omni_config so_tt_config(const so_tt *tt)
{
    int32_t text = tt->id->first_unit;
    return (so_omni_config){
        .llama = {.width = 192,
                  .heads = 6,
                  .kv_heads = 2,
                  .head_width = 32,
                  .ff = 512,
                  .rms_eps = 1e-5,
                  .rope_theta = 10000},
        .bottom = 3,
        .backbone = SO_TT_LAYERS,
        .top = 5,
        .text_rows = text,
        .audio_rows = text + SO_TT_UNITS,
        .speech = true,
        .fuse = tt->fuse,
        .vision = true,
        .siglip = {.width = 128, .heads = 4, .ff = 384, .layers = 4, .image = 112, .patch = 14, .norm_eps = 1e-6},
    };
}

const char *so_tt_path(const so_tt *tt, const char *name, char *path)
{
    snprintf(path, 1024, "%s/%s", tt->folder, name);
    return path;
}

void so_tt_say(const so_tt *tt, const char *format, ...)
{
    if (!tt->say) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    tt->say(tt->say_context, line);
}

bool so_tt_done(const so_tt *tt, const char *part)
{
    char name[128], path[1024];
    snprintf(name, sizeof name, "%s.safetensors", part);
    return access(so_tt_path(tt, name, path), R_OK) == 0;
}

/* Pairs " oven" with "Oven": one token each, and said alike. */
static so_status find_twins(so_tt *tt, so_error *error)
{
    int64_t n = so_tokenizer_size(tt->tokenizer);
    so_ids ids = {0};
    so_status status = SO_OK;
    tt->twin = malloc((size_t)n * sizeof *tt->twin);
    if (!tt->twin) return so_fail(error, SO_ERR_NOMEM, "no memory for a vocabulary");
    for (int32_t i = 0; i < n; i++) tt->twin[i] = i;
    for (int32_t i = 0; i < n && status == SO_OK; i++) {
        char text[64];
        size_t size;
        const char *piece = so_tokenizer_piece(tt->tokenizer, i, &size);
        if (!piece || size < 2 || size >= sizeof text || piece[0] != ' ' || piece[1] < 'a' || piece[1] > 'z') continue;
        snprintf(text, sizeof text, "%c%.*s", piece[1] - 'a' + 'A', (int)size - 2, piece + 2);
        ids.n = 0;
        status = so_tt_encode(tt, text, &ids, error);
        if (status != SO_OK || ids.n != 1) continue;
        tt->twin[i] = ids.data[0];
        tt->twin[ids.data[0]] = i;
    }
    so_ids_clear(&ids);
    return status;
}

static so_status template_pieces(so_tt *tt, so_error *error)
{
    so_tt *t = tt;
    t->id = so_tokenizer_names(t->tokenizer);
    const char *head = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n";
    const char *turn = "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n";
    const char *reply = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
    SO_TRY(so_tt_encode(t, head, &t->head, error));
    SO_TRY(so_tt_encode(t, so_tabletop_system, &t->head, error));
    SO_TRY(so_tt_encode(t, turn, &t->head, error));
    SO_TRY(so_tt_encode(t, turn, &t->turn, error));
    SO_TRY(so_tt_encode(t, reply, &t->reply, error));
    t->pronounceable = calloc((size_t)so_tokenizer_size(t->tokenizer) / 8 + 1, 1);
    if (!t->pronounceable) return so_fail(error, SO_ERR_NOMEM, "no memory for a vocabulary");
    SO_TRY(so_tokenizer_pronounceable(t->tokenizer, t->pronounceable, error));
    return find_twins(t, error);
}

static so_status open_corpus(so_tt *tt, so_error *error)
{
    char path[1024];
    so_tt_corpus *c = &tt->corpus;
    if (access(so_tt_path(tt, "corpus.index", path), R_OK) != 0) return SO_OK;
    SO_TRY(so_map_open(&c->index_map, path, error));
    SO_TRY(so_map_open(&c->q_map, so_tt_path(tt, "corpus.q16", path), error));
    SO_TRY(so_map_open(&c->a_map, so_tt_path(tt, "corpus.a22", path), error));
    c->item = (const so_tt_item *)c->index_map.data;
    c->count = (int64_t)(c->index_map.size / sizeof *c->item);
    c->q = (const int16_t *)c->q_map.data;
    c->a = (const int16_t *)c->a_map.data;
    if (so_tt_check_corpus(tt, error) != SO_OK) return so_fail_in(error, "%s", tt->folder);
    return so_tt_dataset_of(&tt->spoken, tt, NULL, 0, c->count, error);
}

bool so_tt_first(const so_tt *tt) { return !tt->ranks || tt->ranks->rank == 0; }

so_status so_tt_open(so_tt *tt, so_error *error)
{
    char path[1024];
    SO_TRY(so_make_folder(tt->folder, error));
    SO_TRY(so_mel_open(&tt->whisper, SO_MEL_WHISPER, error));
    SO_TRY(so_mel_open(&tt->vocoder, SO_MEL_VOCODER, error));
    SO_TRY(so_resampler_open(&tt->down, 22050, 16000, error));
    if (access(so_tt_path(tt, "tokenizer.json", path), R_OK) == 0) {
        SO_TRY(so_tokenizer_load_json(&tt->tokenizer, path, error));
        SO_TRY(template_pieces(tt, error));
    }
    return open_corpus(tt, error);
}

void so_tt_close(so_tt *tt)
{
    so_tokenizer_close(&tt->tokenizer);
    so_ids_clear(&tt->head);
    so_ids_clear(&tt->turn);
    so_ids_clear(&tt->reply);
    free(tt->pronounceable);
    tt->pronounceable = NULL;
    free(tt->twin);
    tt->twin = NULL;
    so_dataset_close(&tt->spoken);
    so_map_close(&tt->corpus.index_map);
    so_map_close(&tt->corpus.q_map);
    so_map_close(&tt->corpus.a_map);
    so_mel_close(&tt->whisper);
    so_mel_close(&tt->vocoder);
    so_resampler_close(&tt->down);
}

so_status so_tt_encode(const so_tt *tt, const char *text, so_ids *ids, so_error *error)
{
    return so_tokenizer_encode(tt->tokenizer, text, strlen(text), SO_ENCODE_SPECIAL, ids, error);
}

/* Whether a word is one token, with the blank before it where there is one. */
static bool is_token(const so_tt *tt, bool blank, const char *word, size_t n, so_ids *scratch)
{
    char text[64];
    so_error error;
    if (n + 2 > sizeof text) return false;
    snprintf(text, sizeof text, "%s%.*s", blank ? " " : "", (int)n, word);
    scratch->n = 0;
    return so_tt_encode(tt, text, scratch, &error) == SO_OK && scratch->n == 1;
}

so_status so_tt_heard_text(const so_tt *tt, const char *text, so_string *heard, so_error *error)
{
    so_ids scratch = {0};
    so_status status = SO_OK;
    while (*text && status == SO_OK) {
        size_t blanks = strspn(text, " "), word = strcspn(text + blanks, " .,:;?!"),
               rest = strcspn(text + blanks + word, " ");
        bool known = word == 0 || is_token(tt, blanks > 0, text + blanks, word, &scratch);
        status = so_string_add(heard, text, blanks, error);
        if (status == SO_OK)
            status = known ? so_string_add(heard, text + blanks, word, error)
                           : so_string_put(heard, SO_TABLETOP_UNKNOWN, error);
        if (status == SO_OK) status = so_string_add(heard, text + blanks + word, rest, error);
        text += blanks + word + rest;
    }
    so_ids_clear(&scratch);
    return status;
}

so_status so_tt_heard(const so_tt *tt, const char *text, so_ids *ids, so_error *error)
{
    so_string heard = {0};
    so_status status = so_tt_heard_text(tt, text, &heard, error);
    if (status == SO_OK && heard.size)
        status = so_tokenizer_encode(tt->tokenizer, heard.data, heard.size, SO_ENCODE_SPECIAL, ids, error);
    so_string_clear(&heard);
    return status;
}

so_status so_tt_overlay(const so_tt *tt, so_store *store, const char *part, so_error *error)
{
    char name[128], path[1024];
    so_safetensors *file;
    snprintf(name, sizeof name, "%s.safetensors", part);
    SO_TRY(so_safetensors_open(&file, so_tt_path(tt, name, path), error));
    const so_views *views = so_safetensors_views(file);
    so_status status = SO_OK;
    for (int64_t i = 0; i < views->count && status == SO_OK; i++) {
        const so_view *view = &views->view[i];
        so_weight *w = so_store_find(store, view->name);
        if (!w) continue;
        if (view->type != SO_F32 || so_view_elements(view) != so_count(&w->tensor))
            status = so_fail(error, SO_ERR_SHAPE, "'%s' in %s has another size than the model", view->name, path);
        else
            memcpy(w->tensor.data, view->data, view->bytes);
    }
    so_safetensors_close(&file);
    return status;
}

so_status so_tt_omni_open(const so_tt *tt, so_store *store, so_omni *net, const char *const *parts, so_error *error)
{
    so_omni_config config = so_tt_config(tt);
    so_rng rng;
    so_rng_init(&rng, tt->seed, 1);
    so_binder binder = {.store = store, .rng = &rng};
    SO_TRY(so_store_open(store, 0, error));
    SO_TRY(so_omni_bind(net, &config, &binder, error));
    SO_TRY(so_tt_begin(tt, store, error));
    for (; parts && *parts; parts++) SO_TRY(so_tt_overlay(tt, store, *parts, error));
    return SO_OK;
}

static bool listed(const char *const *groups, const char *group)
{
    if (!groups) return true;
    for (; *groups; groups++)
        if (strcmp(*groups, group) == 0) return true;
    return false;
}

so_status so_tt_keep(const so_tt *tt, const so_store *store, const char *const *groups, const char *part,
                     so_error *error)
{
    char name[128], path[1024];
    so_safetensors_writer *writer;
    if (!so_tt_first(tt)) return SO_OK;
    snprintf(name, sizeof name, "%s.safetensors", part);
    SO_TRY(so_safetensors_create(&writer, so_tt_path(tt, name, path), error));
    so_status status = so_safetensors_set(writer, "made by", "stream-omni train tabletop", error);
    for (int64_t i = 0; i < store->count && status == SO_OK; i++) {
        const so_weight *w = store->weight[i];
        if (listed(groups, w->group))
            status = so_safetensors_declare(writer, w->tensor.name, SO_F32, w->tensor.n_dims, w->tensor.dim, error);
    }
    for (int64_t i = 0; i < store->count && status == SO_OK; i++) {
        const so_weight *w = store->weight[i];
        if (listed(groups, w->group))
            status =
                so_safetensors_put(writer, w->tensor.name, w->tensor.data, (size_t)so_count(&w->tensor) * 4, error);
    }
    if (status != SO_OK) {
        so_safetensors_drop(&writer);
        return status;
    }
    return so_safetensors_commit(&writer, error);
}

typedef struct telling {
    const so_tt *tt;
    const char *part;
} telling;

static _Thread_local __attribute__((tls_model("initial-exec"))) telling current;

static void tell(void *context, const so_progress *p)
{
    (void)context;
    char line[800];
    so_progress_line(p, current.part, line, sizeof line);
    so_tt_say(current.tt, "%s", line);
}

so_status so_tt_train(const so_tt *tt, const char *part, so_trainer *trainer, so_error *error)
{
    char path[1024];
    so_tt_path(tt, part, path);
    SO_TRY(so_make_folder(path, error));
    trainer->plan.folder = path;
    trainer->plan.tensorboard = true;
    trainer->plan.seed = tt->seed;
    trainer->plan.settings = tt->settings;
    trainer->plan.ranks = tt->ranks;
    trainer->plan.patience = tt->patience;
    trainer->plan.accumulate = tt->slots;
    if (tt->minutes > 0) {
        trainer->plan.seconds = tt->minutes * 60;
        trainer->plan.anneal_by_time = true;
    }
    if (!trainer->plan.save_every) trainer->plan.save_every = 200;
    trainer->hooks.stop = tt->stop;
    trainer->hooks.progress = tell;
    current = (telling){tt, part};
    return so_trainer_run(trainer, tt->pool, tt->learning ? tt->learning : tt->kernels, error);
}

void so_tt_picture(uint64_t seed, float *pixels)
{
    so_scene scene;
    uint8_t rgb[SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3];
    enum { AREA = SO_TABLETOP_SIDE * SO_TABLETOP_SIDE };
    so_scene_make(&scene, seed);
    so_scene_render(&scene, rgb);
    for (int i = 0; i < AREA; i++)
        for (int c = 0; c < 3; c++) pixels[c * AREA + i] = ((float)(rgb[i * 3 + c] * (1 / 255.0)) - 0.5f) / 0.5f;
}

so_status so_tt_speech(const so_tt *tt, const so_tt_item *item, bool answer, float **pcm, int64_t *count,
                       so_error *error)
{
    so_record r;
    so_clips clips = {0};
    so_audio audio;
    if (!tt->spoken) return so_fail(error, SO_ERR_STATE, "'%s' has no corpus", tt->folder);
    SO_TRY(so_dataset_read(tt->spoken, item - tt->corpus.item, &r, error));
    so_status status = so_clips_read(&clips, &r.turn[answer], &audio, error);
    so_record_clear(&r);
    SO_TRY(status);
    *pcm = audio.samples;
    *count = audio.n;
    if (!answer) return SO_OK;
    status = so_resample_clip(tt->down, audio.samples, audio.n, pcm, count, error);
    free(audio.samples);
    return status;
}
