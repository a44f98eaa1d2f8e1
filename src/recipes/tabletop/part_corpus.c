/* The tabletop recipe's vocabulary and its spoken corpus.
 *
 * A corpus item is a question in a user's voice and its answer in the model's voice, with the phonemes of both
 * (espeak-ng's, American English whatever the accent: targets of the auxiliary CTC loss while the ears learn).
 * Questions are as their speakers said them; rooms, noise and silence are drawn while the ears learn (part_hear.c). The
 * last SO_TT_HELD_OUT items are of the reserved part, in reserved voices of every make: what every part measures itself
 * with, and none learns.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "dataset/voices/voice.h"
#include "recipes/tabletop/part_speak.h"
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

/* Classes of a text's phonemes in an accent, stress marks dropped. New English phonemes join the table while it has
 * room; those that it does not have are left out. */
static so_status phones_of(phone_table *table, const char *text, const char *accent, uint8_t *out, int16_t *count,
                           so_error *error)
{
    char *phonemes;
    int16_t n = 0;
    *count = 0;
    if (!text[0]) return SO_OK;
    SO_TRY(so_voice_phonemes(text, accent, &phonemes, error));
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
            if (c == SO_TT_PHONES || strcmp(accent, "en-us") != 0) continue;
            strcpy(table->name[table->count++], name);
        }
        out[n++] = (uint8_t)c;
    }
    free(phonemes);
    *count = n;
    return SO_OK;
}

/* ---- words */

/* Shares of questions about a picture that ask how two things stand, and of talk that is about letters, beyond the
 * world's own mixture, which has too few of them. */
static const double MORE_RELATIONS = 0.15, MORE_LETTERS = 0.12;

/* What is held out is what the world is measured with; beyond that, what is learned from has its edges. */
static void draw_measured(uint64_t seed, int64_t i, so_rng *rng, uint64_t *scene_seed, so_qa *qa)
{
    so_scene scene;
    *scene_seed = ~(uint64_t)0;
    if (so_rng_uniform(rng) >= 0.42) {
        so_tabletop_talk(SO_TABLETOP_RESERVED, seed, (uint64_t)i, 0, qa);
        return;
    }
    *scene_seed = so_tabletop_scene_seed(SO_TABLETOP_RESERVED, seed, (uint64_t)i);
    so_scene_make(&scene, *scene_seed);
    so_scene_ask(&scene, 0, rng, qa);
}

static void draw_learned(uint64_t seed, int64_t i, so_rng *rng, uint64_t *scene_seed, so_qa *qa)
{
    double more = so_rng_uniform(rng);
    so_scene scene;
    so_tabletop_draw(SO_TABLETOP_TRAIN, seed, (uint64_t)i, qa, scene_seed);
    if (more < MORE_RELATIONS && qa->kind < SO_QA_PICTURE_KINDS) {
        so_scene_make(&scene, *scene_seed);
        if (so_scene_ask(&scene, 1u << SO_QA_RELATION, rng, qa)) return;
        so_scene_ask(&scene, 0, rng, qa);
    } else if (more < MORE_LETTERS && qa->kind > SO_QA_PICTURE_KINDS && qa->kind <= SO_TALK_REPEAT) {
        uint32_t kind = 1u << (so_rng_below(rng, 2) ? SO_TALK_LETTER : SO_TALK_INITIAL);
        so_tabletop_talk(SO_TABLETOP_TRAIN, seed, (uint64_t)i, kind, qa);
    }
}

static void put_words(so_tt_item *item, const so_qa *qa)
{
    item->kind = qa->kind;
    strcpy(item->question, qa->question);
    strcpy(item->answer, qa->answer);
    strcpy(item->language, qa->language);
}

void so_tt_draw_item(const so_tt *tt, so_tabletop_part part, int64_t i, so_tt_item *item)
{
    so_rng rng;
    so_qa qa = {0};
    memset(item, 0, sizeof *item);
    so_rng_init(&rng, tt->seed, 1000 + (uint64_t)i);
    (part == SO_TABLETOP_TRAIN ? draw_learned : draw_measured)(tt->seed + 7, i, &rng, &item->scene, &qa);
    put_words(item, &qa);
}

/* What is asked beyond the world's own mixture: lists, whose words nothing foretells, above all; then the other talk;
 * and a share of everything. A word of the lists is said a few hundred times so, by many throats, where the exchanges
 * have it a few dozen times.
 */
static const double HEARD_LISTS = 0.43, HEARD_JOINED = 0.07, HEARD_WORDS = 0.14, HEARD_TALK = 0.2;

/* "Repeat after me: oven and canyon." and "Repeat after me: oven.": what the model's voice says behind words with a
 * capital, which lists have only where they open. Half of the time one of the words that open no list in training. */
static void draw_joined(so_rng *rng, so_qa *qa)
{
    static const char *const joins[] = {" and ", " or ", " then ", " with ", " but ", " for ", " not "};
    enum { JOINS = sizeof joins / sizeof joins[0] };
    int64_t reserved = SO_TABLETOP_WORDS - SO_TABLETOP_RESERVED_WORDS,
            count = 1 + (so_rng_uniform(rng) < 0.8) + so_rng_below(rng, 2),
            word = so_rng_range(rng, so_rng_below(rng, 2) ? reserved : 0, SO_TABLETOP_WORDS - 1);
    const char *join = joins[so_rng_below(rng, JOINS)];
    int n = snprintf(qa->answer, sizeof qa->answer, "%s", so_tabletop_words[word]);
    for (int64_t i = 1; i < count; i++)
        n += snprintf(qa->answer + n, sizeof qa->answer - (size_t)n, "%s%s", join,
                      so_tabletop_words[so_rng_below(rng, SO_TABLETOP_WORDS)]);
    snprintf(qa->answer + n, sizeof qa->answer - (size_t)n, ".");
    snprintf(qa->question, sizeof qa->question, "Repeat after me: %.120s", qa->answer);
    qa->answer[0] = (char)(qa->answer[0] - 'a' + 'A');
    qa->kind = SO_TALK_REPEAT;
    qa->group = (int)count;
    qa->language[0] = 0;
}

static void draw_heard(uint64_t seed, int64_t i, so_rng *rng, uint64_t *scene_seed, so_qa *qa)
{
    const uint32_t talk = (1u << SO_TALK_REPEAT) - (1u << SO_QA_PICTURE_KINDS);
    double which = so_rng_uniform(rng);
    *scene_seed = ~(uint64_t)0;
    if (which < HEARD_LISTS)
        so_tabletop_talk(SO_TABLETOP_TRAIN, seed, (uint64_t)i, 1u << SO_TALK_REPEAT, qa);
    else if ((which -= HEARD_LISTS) < HEARD_JOINED)
        draw_joined(rng, qa);
    else if ((which -= HEARD_JOINED) < HEARD_WORDS)
        so_tabletop_talk(SO_TABLETOP_TRAIN, seed, (uint64_t)i, 1u << SO_TALK_FIRST | 1u << SO_TALK_INITIAL, qa);
    else if (which - HEARD_WORDS < HEARD_TALK)
        so_tabletop_talk(SO_TABLETOP_TRAIN, seed, (uint64_t)i, talk, qa);
    else
        draw_learned(seed, i, rng, scene_seed, qa);
}

void so_tt_draw_heard(const so_tt *tt, int64_t i, so_tt_item *item)
{
    so_rng rng;
    so_qa qa = {0};
    memset(item, 0, sizeof *item);
    so_rng_init(&rng, tt->seed, 0x6865617264000000u + (uint64_t)i);
    draw_heard(tt->seed + 17, i, &rng, &item->scene, &qa);
    item->beyond = 1;
    put_words(item, &qa);
}

/* ---- the corpus */

static so_status add_phones(so_tt_script *s, so_error *error)
{
    phone_table phones = {.count = 1};
    int32_t *done = malloc((size_t)s->items * sizeof *done);
    if (!done) return so_fail(error, SO_ERR_NOMEM, "no memory for phonemes");
    memset(done, 0xff, (size_t)s->items * sizeof *done);
    so_status status = SO_OK;
    for (int64_t i = 0; i < s->items && status == SO_OK; i++) {
        so_tt_item *item = &s->item[i];
        if (!item->language[0])
            status = phones_of(&phones, item->question, "en-us", item->q_phone, &item->q_phones, error);
        int32_t *like = &done[s->answer[i]];
        if (*like >= 0) {
            memcpy(item->a_phone, s->item[*like].a_phone, sizeof item->a_phone);
            item->a_phones = s->item[*like].a_phones;
        } else if (status == SO_OK) {
            status = phones_of(&phones, item->answer, "en-us", item->a_phone, &item->a_phones, error);
            *like = (int32_t)i;
        }
    }
    for (int64_t i = 0; i < s->items && status == SO_OK; i++) {
        so_tt_item *item = &s->item[i];
        if (item->language[0])
            status = phones_of(&phones, item->question, item->language, item->q_phone, &item->q_phones, error);
    }
    free(done);
    so_tt_say(s->tt, "corpus: %d phoneme classes", phones.count - 1);
    return status;
}

/* How much each speaker said, and how often one was to speak and failed. */
typedef struct part_of_cast {
    char name[48];
    int64_t items, failed;
    double hours;
} part_of_cast;

static part_of_cast *part_named(part_of_cast *list, int *n, const char *name)
{
    enum { MOST = 96 };
    int k = 0;
    while (k < *n && strcmp(list[k].name, name) != 0) k++;
    if (k == *n && *n < MOST - 1) snprintf(list[(*n)++].name, sizeof list->name, "%s", name);
    return &list[k < MOST ? k : MOST - 1];
}

/* Leaves corpus.txt: who spoke, who failed, who is missing. */
static so_status tell_cast(const so_tt_script *s, so_error *error)
{
    part_of_cast list[96] = {0};
    char *text = NULL, path[1024], name[48];
    size_t size;
    int n = 0;
    const char *absent, *package;
    FILE *out = open_memstream(&text, &size);
    if (!out) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of speakers");
    for (int64_t i = 0; i < s->items; i++) {
        const so_tt_item *item = &s->item[i];
        bool recorded = strncmp(item->speaker, "recorded/blend", 14) == 0, learned = i < s->items - SO_TT_HELD_OUT;
        part_of_cast *p = part_named(list, &n, recorded ? "recorded/blends" : item->speaker);
        p->items++;
        p->hours += (double)item->q_count / 16000 / 3600;
        bool recorded_part = i >= s->drawn && i < s->drawn + s->recorded;
        if (strncmp(item->speaker, "recorded/", 9) == 0 || recorded_part || !so_tt_by_cast(item)) continue;
        so_tt_cast_name(s->cast, so_tt_cast_draw(s->cast, s->tt, learned ? SO_TABLETOP_TRAIN : SO_TABLETOP_RESERVED, i),
                        name);
        if (strcmp(name, item->speaker) != 0) part_named(list, &n, name)->failed++;
    }
    if (s->cast->own >= 0)
        so_tt_cast_name(s->cast, s->cast->own, name);
    else
        strcpy(name, "espeak-ng/own");
    fprintf(out, "own voice %s: %lld answers, %.2f h\n", name, (long long)s->answers,
            (double)(s->a_at[s->answers - 1] + s->a_count[s->answers - 1]) / SO_SPEAKER_RATE / 3600);
    for (int k = 0; k < n; k++)
        fprintf(out, "%s: %lld questions, %.2f h%s\n", list[k].name, (long long)list[k].items, list[k].hours, "");
    for (int k = 0; k < n; k++)
        if (list[k].failed)
            fprintf(out, "%s failed %lld times; others spoke instead\n", list[k].name, (long long)list[k].failed);
    for (int k = 0; (absent = so_speakers_absent(s->cast->speakers, k, &package)); k++)
        fprintf(out, "%s is missing (Debian: %s)\n", absent, package);
    bool fine = fclose(out) == 0;
    for (char *line = text, *rest; fine && *line; line = rest + 1) {
        rest = strchr(line, '\n');
        so_tt_say(s->tt, "corpus: %.*s", (int)(rest - line), line);
    }
    so_status status = fine ? so_file_write(so_tt_path(s->tt, "corpus.txt", path), text, size, error)
                            : so_fail(error, SO_ERR_NOMEM, "no memory for a list of speakers");
    free(text);
    return status;
}

int64_t so_tt_drawn(const so_tt *tt)
{
    int64_t n = 0;
    for (int64_t i = 0; i < tt->corpus.count - SO_TT_HELD_OUT; i++)
        n += strncmp(tt->corpus.item[i].speaker, "recorded/", 9) != 0 && tt->corpus.item[i].a_count > 0 &&
             !tt->corpus.item[i].beyond;
    return n;
}

int64_t so_tt_answered(const so_tt *tt)
{
    int64_t n = tt->corpus.count - SO_TT_HELD_OUT;
    while (n > 0 && tt->corpus.item[n - 1].a_count == 0) n--;
    return n;
}

static so_status make(so_tt *tt, so_tt_script *script, so_tt_cast *cast, const so_tt_numbers *n, so_error *error)
{
    char path[1024];
    SO_TRY(so_tt_script_open(script, tt, cast, n->items, n->heard, error));
    SO_TRY(so_tt_script_speak(script, n->processes, error));
    SO_TRY(so_tt_script_join(script, error));
    SO_TRY(add_phones(script, error));
    SO_TRY(tell_cast(script, error));
    SO_TRY(so_file_write(so_tt_path(tt, "corpus.index", path), script->item,
                         (size_t)script->items * sizeof *script->item, error));
    so_tt_script_sweep(script);
    return SO_OK;
}

so_status so_tt_corpus_make(so_tt *tt, const so_tt_numbers *numbers, so_error *error)
{
    enum { MOST = 64 };
    if (tt->corpus.count) return SO_OK;
    so_tt_numbers n = *numbers;
    n.processes = n.processes < 1 ? 1 : n.processes > MOST ? MOST : n.processes;
    so_tt_script script = {0};
    so_tt_cast *cast;
    so_writer_sweep(tt->folder);
    SO_TRY(so_tt_cast_open(&cast, tt, error));
    so_status status = make(tt, &script, cast, &n, error);
    so_tt_script_close(&script);
    so_tt_cast_close(&cast);
    SO_TRY(status);
    so_tt_close(tt);
    return so_tt_open(tt, error);
}
