/* Tasks: a record as a sample.
 *
 * Text goes through the chat template in one pass, with what is learnt of it (dataset/dataset.h). Speech is one
 * exchange of the record at a time, drawn by the sample's number; pictures stand in front of its question.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "recipes/run/training.h"
#include "text/chat.h"

static const so_run_task tasks[] = {
    {.name = "plain",
     .like = "caption",
     .plain = true,
     .picture = true,
     .losses = "text pairs",
     .about = "pictures and their captions, without a template"},
    {.name = "vision-text",
     .like = "vt-t",
     .losses = "text",
     .about = "conversations about pictures; those without pictures are learnt, too"},
    {.name = "text", .like = "chat", .losses = "text", .about = "conversations"},
    {.name = "asr",
     .like = "asr",
     .question = true,
     .spoken = true,
     .losses = "ctc template",
     .about = "speech and its transcript"},
    {.name = "read-aloud",
     .like = "tts",
     .answer = true,
     .spoken = true,
     .losses = "ctc template units text",
     .about = "a written question, a spoken answer"},
    {.name = "speech-speech",
     .like = "s-s",
     .question = true,
     .answer = true,
     .spoken = true,
     .losses = "ctc template units text",
     .about = "a spoken question, a spoken answer"},
    {.name = "speech-text",
     .like = "s-t",
     .question = true,
     .spoken = true,
     .losses = "ctc template text",
     .about = "a spoken question, a written answer"},
    {.name = "vision-speech-text",
     .like = "vs-t",
     .picture = true,
     .question = true,
     .spoken = true,
     .losses = "ctc template text",
     .about = "a picture and a spoken question, a written answer"},
    {.name = "vision-speech-speech",
     .like = "vs-s",
     .picture = true,
     .question = true,
     .answer = true,
     .spoken = true,
     .losses = "ctc template units text",
     .about = "a picture and a spoken question, a spoken answer"},
    {.name = "recording",
     .like = "voice",
     .sound = true,
     .losses = "ctc commit flow mel stft f0 fooling features relative",
     .about = "a recording, for the codec: with its transcript (tokenizer), its units (flow), alone (vocoder)"},
};

const so_run_task *so_run_task_at(int i)
{
    return i >= 0 && i < (int)(sizeof tasks / sizeof tasks[0]) ? &tasks[i] : NULL;
}

const so_run_task *so_run_task_find(const char *name)
{
    for (int i = 0; so_run_task_at(i); i++)
        if (strcmp(tasks[i].name, name) == 0 || strcmp(tasks[i].like, name) == 0) return &tasks[i];
    return NULL;
}

/* A sample in the making: lists that grow outside of the arena, freed by `clear`. */
typedef struct making {
    const so_run *run;
    const so_run_set *set;
    const so_record *record;
    so_ids ids, heard, text, units;
    uint8_t *learn;
    size_t learns;
    int64_t pictures;
    bool lacks;         /* no exchange has what the task needs: the sample is left out */
    bool after_picture; /* the line break behind a picture is no id of its own (docs/model.md, 5.2) */
} making;

static void clear(making *m)
{
    so_ids_clear(&m->ids);
    so_ids_clear(&m->heard);
    so_ids_clear(&m->text);
    so_ids_clear(&m->units);
    free(m->learn);
}

static so_status encode(const making *m, const char *text, size_t size, so_ids *ids, so_error *error)
{
    return so_tokenizer_encode(m->run->source.tokenizer, text, size, SO_ENCODE_SPECIAL, ids, error);
}

/* ---- text */

static so_status mark_learnt(making *m, uint8_t learnt, so_error *error)
{
    while (m->learns < m->ids.n) SO_TRY(so_append(&m->learn, &m->learns, 1, &learnt, 1, error));
    return SO_OK;
}

static so_status add_stretch(void *context, const so_stretch *s, so_error *error)
{
    making *m = context;
    const char *text = s->text;
    size_t size = s->size;
    if (s->picture) {
        SO_TRY(so_ids_put(&m->ids, SO_PICTURE_ID, error));
        m->pictures++;
    } else {
        if (m->after_picture && size && *text == '\n') text++, size--;
        if (size) SO_TRY(encode(m, text, size, &m->ids, error));
    }
    m->after_picture = s->picture;
    return mark_learnt(m, s->learnt, error);
}

static so_status make_text(making *m, so_error *error)
{
    so_render_options how = {.system = m->run->system, .plain = m->set->task->plain};
    SO_TRY(so_render(m->record, &how, add_stretch, m, error));
    if (!so_run_matches(m->run)) return SO_OK;
    for (size_t i = 0; i < m->ids.n; i++) /* the caption alone */
        if (m->learn[i]) SO_TRY(so_ids_put(&m->text, m->ids.data[i], error));
    return SO_OK;
}

/* ---- speech */

static bool has_units(const so_record_turn *t) { return t->listed || t->units.path; }

/* Whether turn i asks what the task is about. */
static bool asks(const making *m, int i)
{
    const so_run_task *task = m->set->task;
    const so_record *r = m->record;
    const so_record_turn *t = &r->turn[i], *next = i + 1 < r->turns ? &r->turn[i + 1] : NULL;
    if (t->role != SO_ROLE_USER || (task->question && !has_units(t))) return false;
    if (strcmp(task->name, "asr") == 0) return true;
    if (!next || next->role != SO_ROLE_ASSISTANT || !next->text[0]) return false;
    return !task->answer || has_units(next);
}

/* One of the turns that ask; -1 when there is none. */
static int draw_turn(const making *m, int64_t g)
{
    so_rng rng;
    int n = 0, which;
    for (int i = 0; i < m->record->turns; i++) n += asks(m, i);
    if (n == 0) return -1;
    so_rng_init(&rng, (uint64_t)m->run->config.seed ^ 0x6578636861u, (uint64_t)g);
    which = (int)so_rng_below(&rng, n);
    for (int i = 0; i < m->record->turns; i++)
        if (asks(m, i) && which-- == 0) return i;
    return -1;
}

/* What is said, without the places of pictures. */
static so_status add_words(const making *m, const char *text, so_ids *ids, so_error *error)
{
    so_string words = {0};
    size_t mark = strlen(SO_IMAGE_MARK);
    so_status status = SO_OK;
    while (status == SO_OK && m->record->images) {
        const char *at = strstr(text, SO_IMAGE_MARK);
        if (!at) break;
        status = so_string_add(&words, text, (size_t)(at - text), error);
        text = at + mark;
    }
    if (status == SO_OK) status = so_string_put(&words, text, error);
    const char *from = words.data ? words.data : "";
    size_t size = words.size;
    so_strip(&from, &size);
    if (status == SO_OK && size) status = so_tokenizer_encode(m->run->source.tokenizer, from, size, 0, ids, error);
    so_string_clear(&words);
    return status;
}

static so_status add_units(const making *m, const so_record_turn *turn, so_ids *ids, so_error *error)
{
    uint16_t *units = NULL;
    int64_t n = 0;
    so_status status = so_turn_listed(turn, &units, &n, error);
    for (int64_t i = 0; i < n && status == SO_OK; i++)
        status = units[i] < m->run->units ? so_ids_put(ids, m->run->first_unit + units[i], error)
                                          : so_fail(error, SO_ERR_FORMAT, "the unit %d, the model knows %lld", units[i],
                                                    (long long)m->run->units);
    free(units);
    return status;
}

static so_status make_speech(making *m, int64_t g, so_error *error)
{
    const so_run *run = m->run;
    const so_run_task *task = m->set->task;
    int i = draw_turn(m, g);
    m->lacks = i < 0;
    if (m->lacks) return SO_OK;
    const so_record_turn *ask = &m->record->turn[i], *say = &m->record->turn[i + 1];
    SO_TRY(so_ids_add(&m->ids, run->head.data, run->head.n, error));
    for (int k = 0; k < m->record->images && task->picture; k++, m->pictures++)
        SO_TRY(so_ids_put(&m->ids, SO_PICTURE_ID, error));
    if (task->question)
        SO_TRY(add_units(m, ask, &m->ids, error));
    else
        SO_TRY(add_words(m, ask->text, &m->ids, error));
    SO_TRY(so_ids_add(&m->ids, run->reply.data, run->reply.n, error));
    if (task->question) SO_TRY(add_words(m, ask->say ? ask->say : ask->text, &m->heard, error));
    if (strcmp(task->name, "asr") == 0) return SO_OK;
    SO_TRY(add_words(m, say->text, &m->text, error));
    SO_TRY(so_ids_put(&m->text, run->eot, error));
    return task->answer ? add_units(m, say, &m->units, error) : SO_OK;
}

/* ---- pictures */

static so_status add_picture(const so_run *run, const so_locator *at, bool alone, float *pixels, so_error *error)
{
    so_image image = {0};
    so_image_views views = {0};
    so_image_spec spec = run->pictures;
    if (!alone) spec.mode = SO_IMAGE_PAD;
    SO_TRY(so_locator_image(at, &image, error));
    so_status status = so_image_views_make(&views, &image, &spec, NULL, error);
    if (status == SO_OK) so_image_normalise(&views, &spec, pixels);
    so_image_views_clear(&views);
    so_image_clear(&image);
    return status;
}

static so_status add_pictures(const making *m, so_arena *memory, so_sample *out, so_error *error)
{
    const so_run *run = m->run;
    int64_t n = m->pictures, each = 3 * (int64_t)run->pictures.size * run->pictures.size;
    if (n == 0) return SO_OK;
    if (n != m->record->images)
        return so_fail(error, SO_ERR_FORMAT, "%lld places for pictures, the record has %d", (long long)n,
                       m->record->images);
    if (!run->net.config.vision)
        return so_fail(error, SO_ERR_UNSUPPORTED, "a picture, but the model has no vision tower");
    out->pictures = n;
    if (run->blind) return SO_OK;
    float *pixels = so_arena_alloc(memory, (size_t)(n * each) * sizeof *pixels);
    if (!pixels) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld pictures", (long long)n);
    for (int64_t i = 0; i < n; i++) SO_TRY(add_picture(run, &m->record->image[i], n == 1, pixels + i * each, error));
    out->pixels = pixels;
    return SO_OK;
}

/* ---- the sample */

static const int32_t *keep(so_arena *memory, const so_ids *ids, bool *failed)
{
    int32_t *kept = so_arena_alloc(memory, (ids->n + 1) * sizeof *kept);
    if (kept && ids->n) memcpy(kept, ids->data, ids->n * sizeof *kept);
    *failed = *failed || !kept;
    return kept;
}

static so_status hand_over(const making *m, so_arena *memory, so_sample *out, so_error *error)
{
    bool failed = false;
    *out = (so_sample){.n = (int64_t)m->ids.n,
                       .n_heard = (int64_t)m->heard.n,
                       .n_text = (int64_t)m->text.n,
                       .n_units = (int64_t)m->units.n};
    out->ids = keep(memory, &m->ids, &failed);
    out->heard = keep(memory, &m->heard, &failed);
    out->text = keep(memory, &m->text, &failed);
    out->units = keep(memory, &m->units, &failed);
    uint8_t *learn = so_arena_zalloc(memory, m->ids.n + 1), *spoken = so_arena_alloc(memory, m->text.n + 1);
    if (failed || !learn || !spoken) return so_fail(error, SO_ERR_NOMEM, "no memory for a sample of %zu ids", m->ids.n);
    if (m->learns) memcpy(learn, m->learn, m->learns);
    for (size_t i = 0; i < m->text.n; i++) {
        int32_t id = m->text.data[i];
        spoken[i] = id == m->run->eot || (m->run->spoken[id >> 3] >> (id & 7) & 1);
    }
    out->learn = learn;
    out->spoken = spoken;
    return SO_OK;
}

int64_t so_run_sample_rows(const so_run *run, const so_sample *s)
{
    int64_t prompt = 0;
    bool speaks = false;
    if (s->sound) return 1 + s->n_sound * 25 / so_run_codec_rate(run);
    for (int64_t i = 0; i < s->n; i++) {
        prompt += s->ids[i] != SO_PICTURE_ID;
        speaks = speaks || (run->units && s->ids[i] >= run->first_unit && s->ids[i] < run->first_unit + run->units);
    }
    if (so_run_matches(run)) return s->pictures * run->patches + s->n_text;
    double text = so_stage_weight(&run->stage, "text");
    bool answers = so_stage_weight(&run->stage, "units") + so_stage_weight(&run->stage, "ctc") > 0 && s->n_units;
    int64_t rows = speaks || answers ? prompt : 0;
    if (answers) rows += s->n_units;
    if (text > 0) rows += s->n + s->n_text + s->pictures * (run->patches - 1);
    return rows > 0 ? rows : 1;
}

/* Too long a text loses its end; *fits: whether something is left to learn. */
static void cut(so_run const *run, so_sample *s, bool *fits)
{
    int64_t over = so_run_sample_rows(run, s) - run->config.plan.longest, learnt = 0;
    *fits = over <= 0;
    if (*fits || s->sound || strcmp(run->config.plan.too_long, "cut") != 0 || s->n_units || s->n_heard) return;
    int64_t last = 0; /* picture: what stands before it stays */
    for (int64_t i = 0; i < s->n; i++)
        if (s->ids[i] == SO_PICTURE_ID) last = i + 1;
    if (s->n - over <= last || s->n_text) return;
    s->n -= over;
    for (int64_t i = 1; i < s->n; i++) learnt += s->learn[i];
    *fits = learnt > 0;
}

static so_status make(making *m, int64_t g, so_arena *memory, so_sample *out, so_error *error)
{
    if (m->set->task->sound) return so_run_codec_sample(m->run, m->record, g, memory, out, error);
    *out = (so_sample){.n = 0};
    SO_TRY(m->set->task->spoken ? make_speech(m, g, error) : make_text(m, error));
    if (m->lacks) return SO_OK;
    SO_TRY(hand_over(m, memory, out, error));
    return add_pictures(m, memory, out, error);
}

so_status so_run_sample(const so_run *run, const so_run_set *set, int64_t i, int64_t g, so_arena *memory,
                        so_sample *out, bool *fits, so_error *error)
{
    so_record record;
    so_status status = so_dataset_read(set->dataset, set->record[i], &record, error);
    if (status != SO_OK) return so_fail_in(error, "data '%s'", set->data->name);
    making m = {.run = run, .set = set, .record = &record};
    status = make(&m, g, memory, out, error);
    if (status == SO_OK && m.lacks)
        *fits = false;
    else if (status == SO_OK)
        cut(run, out, fits);
    else
        so_fail_in(error, "data '%s', record %d ('%.80s')", set->data->name, set->record[i], record.id);
    clear(&m);
    so_record_clear(&record);
    return status;
}
