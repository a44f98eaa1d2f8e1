/* The tabletop recipe's vocabulary and its spoken corpus.
 *
 * A corpus item is a question in a user's voice and its answer in the model's voice, with the phonemes of both
 * (espeak-ng's, American English whatever the accent: targets of the auxiliary CTC loss while the ears learn). The last
 * SO_TT_HELD_OUT items are of the reserved part, in reserved voices: what every part measures itself with, and none
 * learns.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/file.h"
#include "dataset/voices/voice.h"
#include "recipes/tabletop/recipe.h"
#include "text/bpe_train.h"

/* How often a word of the lists counts when the vocabulary is made. */
enum { WORD_WEIGHT = 100 };

so_status so_tt_vocabulary(so_tt *tt, so_error *error)
{
    if (tt->tokenizer) return SO_OK;
    so_bpe_trainer *trainer;
    so_bpe_options options = {.size = SO_TT_TEXT_SIZE, .pieces = SO_TT_WORDS, .units = SO_TT_UNITS};
    SO_TRY(so_bpe_trainer_open(&trainer, &options, error));
    so_status status = SO_OK;
    char text[384], path[1024];
    for (uint64_t i = 0; i < 60000 && status == SO_OK; i++) {
        size_t n = so_tabletop_text(SO_TABLETOP_TRAIN, tt->seed, i, text, sizeof text);
        size_t question = strcspn(text, "\n");
        status = so_bpe_trainer_feed(trainer, text, question, error);
        if (status == SO_OK && question < n)
            status = so_bpe_trainer_feed(trainer, text + question + 1, n - question - 1, error);
    }
    /* Every word of the lists is to be one token, with a capital too: what hearing writes in one piece is not
     * misspelled. */
    for (int i = 0; i < SO_TABLETOP_WORDS && status == SO_OK; i++) {
        const char *word = so_tabletop_words[i];
        int n = snprintf(text, sizeof text, " %s %c%s", word, word[0] - 'a' + 'A', word + 1);
        for (int k = 0; k < WORD_WEIGHT && status == SO_OK; k++) {
            status = so_bpe_trainer_feed(trainer, text, (size_t)strlen(word) + 1, error);
            if (status == SO_OK)
                status = so_bpe_trainer_feed(trainer, text + strlen(word) + 2, (size_t)n - strlen(word) - 2, error);
        }
    }
    for (int k = 0; k < 2000 && status == SO_OK; k++)
        status = so_bpe_trainer_feed(trainer, so_tabletop_system, strlen(so_tabletop_system), error);
    so_tokenizer *tokenizer = NULL;
    if (status == SO_OK) status = so_bpe_trainer_finish(trainer, &tokenizer, error);
    so_bpe_trainer_close(&trainer);
    if (status == SO_OK) status = so_tokenizer_save_json(tokenizer, so_tt_path(tt, "tokenizer.json", path), error);
    so_tokenizer_close(&tokenizer);
    SO_TRY(status);
    so_tt_close(tt);
    return so_tt_open(tt, error);
}

/* ---- phonemes */
enum { MOST_PHONES = 256 }; /* of one sentence */

typedef struct phone_table {
    int count;
    char name[SO_TT_PHONES][8]; /* class 0 is the blank */
} phone_table;

/* Classes of a text's phonemes, stress marks dropped. New phonemes join the table while it has room. */
static so_status phones_of(phone_table *table, const char *text, uint8_t *out, int16_t *count, so_error *error)
{
    char *phonemes;
    int16_t n = 0;
    SO_TRY(so_voice_phonemes(text, "en-us", &phonemes, error));
    for (const char *p = phonemes; *p && n < MOST_PHONES;) {
        char name[8] = "";
        size_t length = strcspn(p, "|_ \n");
        for (size_t i = 0; i < length && strlen(name) < 7; i++)
            if (!strchr("',%=:;-!", p[i])) strncat(name, p + i, 1);
        p += length + (p[length] != 0);
        if (!name[0]) continue;
        int c = 1;
        while (c < table->count && strcmp(table->name[c], name) != 0) c++;
        if (c == table->count) {
            if (c == SO_TT_PHONES) continue;
            strcpy(table->name[table->count++], name);
        }
        out[n++] = (uint8_t)c;
    }
    free(phonemes);
    *count = n;
    return SO_OK;
}

/* ---- speaking */

/* Share of questions in the world's own training voices; the others are invented voices. */
static const double KNOWN_VOICES = 0.45;
/* Shares of questions about a picture that ask how two things stand, and of talk that is about letters, beyond the
 * world's own mixture, which has too few of them. */
static const double MORE_RELATIONS = 0.15, MORE_LETTERS = 0.12;

static void draw_item(const so_tt *tt, so_tabletop_part part, int64_t i, so_tt_item *item)
{
    so_rng rng;
    so_qa qa;
    memset(item, 0, sizeof *item);
    so_rng_init(&rng, tt->seed, 1000 + (uint64_t)i);
    item->scene = ~(uint64_t)0;
    if (so_rng_uniform(&rng) < 0.42) {
        so_scene scene;
        item->scene = so_tabletop_scene_seed(part, tt->seed + 7, (uint64_t)i);
        so_scene_make(&scene, item->scene);
        if (part == SO_TABLETOP_RESERVED || so_rng_uniform(&rng) >= MORE_RELATIONS ||
            !so_scene_ask(&scene, 1u << SO_QA_RELATION, &rng, &qa))
            so_scene_ask(&scene, 0, &rng, &qa);
    } else {
        bool more = part == SO_TABLETOP_TRAIN && so_rng_uniform(&rng) < MORE_LETTERS;
        uint32_t kind = 1u << (so_rng_below(&rng, 2) ? SO_TALK_LETTER : SO_TALK_INITIAL);
        so_tabletop_talk(part, tt->seed + 7, (uint64_t)i, more ? kind : 0, &qa);
    }
    item->kind = qa.kind;
    strcpy(item->question, qa.question);
    strcpy(item->answer, qa.answer);
}

static so_status put_samples(so_writer *w, const float *x, int64_t n, so_error *error)
{
    int16_t *s = malloc((size_t)n * sizeof *s + 2);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] * 32767.0f;
        s[i] = (int16_t)(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
    }
    so_status status = so_writer_put(w, s, (size_t)n * sizeof *s, error);
    free(s);
    return status;
}

static const char *const slice_kinds[] = {"index", "q16", "a22"};

typedef struct slice {
    so_writer index, q, a;
    int64_t q_at, a_at;
} slice;

/* Speech [*count] at 16 kHz of samples [n] at 22050 Hz, mostly with a moment of a quiet room before and behind it.
 * NULL: no memory. */
static float *in_a_room(const so_tt *tt, const float *x, int64_t n, so_rng *rng, int64_t *count, so_error *error)
{
    bool alone = so_rng_uniform(rng) < 0.4;
    int64_t before = alone ? 0 : so_rng_below(rng, 8000), behind = alone ? 0 : so_rng_below(rng, 9600);
    int64_t length = so_resampler_length(tt->down, n);
    float hiss = (float)(0.003 * so_rng_uniform(rng));
    float *y = calloc((size_t)(before + length + behind) + 1, sizeof *y);
    *count = before + length + behind;
    if (!y || so_resample(tt->down, x, n, y + before, error) != SO_OK) {
        free(y);
        return NULL;
    }
    for (int64_t i = 0; i < *count && !alone; i++) y[i] += hiss * (float)so_rng_normal(rng);
    return y;
}

static so_status speak_item(const so_tt *tt, int64_t i, bool held_out, slice *out, so_error *error)
{
    so_tt_item item;
    so_rng rng;
    so_tabletop_part part = held_out ? SO_TABLETOP_RESERVED : SO_TABLETOP_TRAIN;
    draw_item(tt, part, i, &item);
    so_rng_init(&rng, tt->seed, 0x726f6f6d00000000u + (uint64_t)i);
    bool known = so_rng_uniform(&rng) < KNOWN_VOICES || held_out;
    so_voice own = so_voice_own();
    so_voice user = known ? so_voice_draw(part, tt->seed, (uint64_t)i) : so_voice_invent(tt->seed, (uint64_t)i);
    float *x = NULL, *y = NULL;
    int64_t n;
    so_status status = so_voice_speak(item.question, &user, tt->seed + (uint64_t)i, &x, &n, error);
    if (status == SO_OK) {
        y = in_a_room(tt, x, n, &rng, &item.q_count, error);
        item.q_at = out->q_at;
        if (!y) status = so_fail(error, SO_ERR_NOMEM, "no memory for speech");
    }
    if (status == SO_OK) status = put_samples(&out->q, y, item.q_count, error);
    free(x);
    free(y);
    x = NULL;
    if (status == SO_OK) status = so_voice_speak(item.answer, &own, 0, &x, &n, error);
    if (status == SO_OK) {
        item.a_at = out->a_at;
        item.a_count = n;
        status = put_samples(&out->a, x, n, error);
    }
    free(x);
    out->q_at += item.q_count;
    out->a_at += item.a_count;
    return status == SO_OK ? so_writer_put(&out->index, &item, sizeof item, error) : status;
}

/* Speaks items from..to; those from `held_out` on belong to the reserved part. */
static so_status speak_slice(const so_tt *tt, int part, int64_t from, int64_t to, int64_t held_out, so_error *error)
{
    slice s = {0};
    char name[64], path[1024];
    so_status status = SO_OK;
    so_writer *w[] = {&s.index, &s.q, &s.a};
    for (int k = 0; k < 3 && status == SO_OK; k++) {
        snprintf(name, sizeof name, "corpus.%s.%d", slice_kinds[k], part);
        status = so_writer_open(w[k], so_tt_path(tt, name, path), error);
    }
    for (int64_t i = from; i < to && status == SO_OK; i++) {
        status = speak_item(tt, i, i >= held_out, &s, error);
        if ((i - from) % 500 == 499)
            so_tt_say(tt, "corpus: process %d, %lld of %lld", part, (long long)(i - from + 1), (long long)(to - from));
    }
    for (int k = 0; k < 3 && status == SO_OK; k++) status = so_writer_commit(w[k], error);
    for (int k = 0; k < 3; k++) so_writer_drop(w[k]);
    return status;
}

/* The whole corpus while it is put together of its slices. */
typedef struct whole {
    so_writer index, q, a;
    int64_t q_at, a_at;
    phone_table phones;
} whole;

static so_status join_index(whole *w, const so_map *map, so_error *error)
{
    for (size_t i = 0; i < map->size / sizeof(so_tt_item); i++) {
        so_tt_item item = ((const so_tt_item *)(const void *)map->data)[i];
        item.q_at += w->q_at;
        item.a_at += w->a_at;
        SO_TRY(phones_of(&w->phones, item.question, item.q_phone, &item.q_phones, error));
        SO_TRY(phones_of(&w->phones, item.answer, item.a_phone, &item.a_phones, error));
        SO_TRY(so_writer_put(&w->index, &item, sizeof item, error));
    }
    return SO_OK;
}

/* Appends one slice, shifting positions and adding phonemes. */
static so_status join_slice(const so_tt *tt, whole *w, int part, so_error *error)
{
    char name[64], path[1024];
    so_map map[3] = {{0}, {0}, {0}};
    so_status status = SO_OK;
    for (int k = 0; k < 3; k++) {
        snprintf(name, sizeof name, "corpus.%s.%d", slice_kinds[k], part);
        SO_TRY_GO(so_map_open(&map[k], so_tt_path(tt, name, path), error));
    }
    SO_TRY_GO(join_index(w, &map[0], error));
    SO_TRY_GO(so_writer_put(&w->q, map[1].data, map[1].size, error));
    SO_TRY_GO(so_writer_put(&w->a, map[2].data, map[2].size, error));
    w->q_at += (int64_t)(map[1].size / 2);
    w->a_at += (int64_t)(map[2].size / 2);
done:
    for (int k = 0; k < 3; k++) so_map_close(&map[k]);
    return status;
}

static so_status join(const so_tt *tt, int parts, so_error *error)
{
    char path[1024];
    whole w = {.phones.count = 1};
    so_status status;
    SO_TRY_GO(so_writer_open(&w.q, so_tt_path(tt, "corpus.q16", path), error));
    SO_TRY_GO(so_writer_open(&w.a, so_tt_path(tt, "corpus.a22", path), error));
    SO_TRY_GO(so_writer_open(&w.index, so_tt_path(tt, "corpus.index", path), error));
    for (int p = 0; p < parts; p++) SO_TRY_GO(join_slice(tt, &w, p, error));
    SO_TRY_GO(so_writer_commit(&w.q, error));
    SO_TRY_GO(so_writer_commit(&w.a, error));
    so_tt_say(tt, "corpus: %d phoneme classes, %.1f h of questions, %.1f h of answers", w.phones.count - 1,
              (double)w.q_at / 16000 / 3600, (double)w.a_at / 22050 / 3600);
    SO_TRY_GO(so_writer_commit(&w.index, error));
done:
    so_writer_drop(&w.q);
    so_writer_drop(&w.a);
    so_writer_drop(&w.index);
    return status;
}

typedef struct speaking {
    const so_tt *tt;
    int64_t items;
    int processes;
} speaking;

static so_status speak_part(void *context, int number, so_error *error)
{
    const speaking *s = context;
    return speak_slice(s->tt, number, s->items * number / s->processes, s->items * (number + 1) / s->processes,
                       s->items - SO_TT_HELD_OUT, error);
}

so_status so_tt_corpus_make(so_tt *tt, int64_t items, int processes, so_error *error)
{
    enum { MOST = 64 };
    if (tt->corpus.count) return SO_OK;
    processes = processes < 1 ? 1 : processes > MOST ? MOST : processes;
    speaking all = {tt, items + SO_TT_HELD_OUT, processes};
    so_writer_sweep(tt->folder);
    so_status status = so_children_run(processes, "corpus: process", speak_part, &all, tt->stop, error);
    if (status == SO_OK) status = join(tt, processes, error);
    for (int p = 0; p < processes; p++)
        for (int k = 0; k < 3; k++) {
            char name[64], path[1024];
            snprintf(name, sizeof name, "corpus.%s.%d", slice_kinds[k], p);
            unlink(so_tt_path(tt, name, path));
        }
    SO_TRY(status);
    so_tt_close(tt);
    return so_tt_open(tt, error);
}
