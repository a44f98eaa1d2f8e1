/* Sessions: opening, closing, what they take.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "engine/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/limits.h"
#include "engine/said.h"
#include "media/vad.h"
#include "speech/clone.h"

enum {
    PICTURES = 4,    /* that a conversation remembers at a time */
    INBOX = 3 << 19, /* samples that can wait to be heard: 33 s at 48 kHz */
    TEXT_BYTES = 64, /* per text token, reserved */
    LARGE_STEP = 200 /* frames between looks of an ear that a large model hears with: 2 s */
};

/* ---- opening */

so_sampling so_session_sampling(double temperature, double top_p, int top_k, uint64_t seed)
{
    return (so_sampling){temperature, top_p, temperature > 0 && !top_k ? 50 : top_k, seed};
}

so_status so_session_talk_options(const so_model *model, const so_session_options *options, so_talk_options *out,
                                  so_error *error)
{
    so_session_options o = options ? *options : (so_session_options){0};
    *out = (so_talk_options){.loop = o.loop,
                             .lookahead = o.lookahead,
                             .window = o.window,
                             .max_text = o.max_text,
                             .max_units = o.max_units,
                             .only_units = o.only_units,
                             .sees = true,
                             .speaks = model->setup.omni.speech,
                             .pictures = PICTURES,
                             .rows = so_model_prompt_rows(model),
                             .sampling = so_session_sampling(o.temperature, o.top_p, o.top_k, o.seed)};
    return so_model_kv_type(model, o.kv, &out->kv, error);
}

static so_status open_talk(so_session *s, so_worker *worker, so_error *error)
{
    so_talk_options options;
    SO_TRY(so_session_talk_options(s->model, &s->options, &options, error));
    if (s->crew && so_crew_prompt_rows(s->crew)) options.rows = so_crew_prompt_rows(s->crew);
    s->sampling = options.sampling;
    options.worker = worker;
    SO_TRY(so_talk_open(&s->talk, s->model, &options, error));
    s->max_text = s->talk->options.max_text;
    s->max_units = s->talk->options.max_units;
    return SO_OK;
}

/* What is heard changes as long as the turn lasts, far back too. A model that is fast enough thinks about it all the
 * same, another one only writes it down. */
bool so_session_thinks(const so_session *s)
{
    return s->options.think ? s->options.think > 0 : s->model->positions_per_s >= SO_THINKING;
}

/* Who listens: whoever computes the conversation, unless the codec computes elsewhere. NULL: a worker of the ear's own.
 */
static so_worker *ears_worker(so_session *s)
{
    if (!so_model_codec_apart(s->model)) return s->talk->worker;
    return s->speaker.scratch.base ? &s->speaker : NULL;
}

static so_status open_codec(so_session *s, so_error *error)
{
    const so_model *m = s->model;
    so_site place = so_model_codec_place(m);
    if (!s->speech) return SO_OK;
    if (m->codec.has_tokenizer) SO_TRY(so_ear_open(&s->ear, &m->codec, ears_worker(s), &place, SO_TURN_S, error));
    if (s->ear && !so_session_thinks(s)) s->ear->step = LARGE_STEP;
    if (s->ear) s->ear->pieces = s->crew && !m->codec_device;
    bool front = s->options.front ? s->options.front > 0 : m->front;
    if (s->ear && front) SO_TRY(so_ear_use_front(s->ear, error));
    if (!m->codec.has_vocoder) return SO_OK;
    so_mouth_options options = so_mouth_usual(&s->options, s->max_units);
    options.device = m->codec_device;
    return so_mouth_open(&s->mouth, &m->codec, &options, error);
}

static so_status take_lists(so_session *s, so_error *error)
{
    int64_t context = s->talk->options.context, text = s->max_text;
    s->slots.capacity = 2 * context + 64;
    s->max_units_in = context;
    s->slots.slot = malloc((size_t)s->slots.capacity * sizeof *s->slots.slot);
    s->units = malloc((size_t)context * sizeof *s->units);
    s->text_end = malloc((size_t)text * sizeof *s->text_end);
    s->said = malloc((size_t)s->max_units * sizeof *s->said);
    s->max_turns = context / 4 + 1;
    s->turn_at = malloc((size_t)s->max_turns * sizeof *s->turn_at);
    if (!s->slots.slot || !s->units || !s->text_end || !s->said || !s->turn_at)
        return so_fail(error, SO_ERR_NOMEM, "no memory for a conversation of %lld positions", (long long)context);
    SO_TRY(so_said_open(&s->spoken, context, error));
    SO_TRY(so_promise_open(&s->promise, (size_t)context, 1 << 16, error));
    /* Room that answers and transcripts need, taken now so that nothing is allocated while they are made. */
    SO_TRY(so_string_reserve(&s->answer, (size_t)text * TEXT_BYTES, error));
    SO_TRY(so_string_reserve(&s->piece, (size_t)text * TEXT_BYTES, error));
    memset(s->units, 0, (size_t)context * sizeof *s->units);
    s->words = malloc((size_t)context * sizeof *s->words);
    if (!s->words) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld words", (long long)context);
    SO_TRY(so_string_reserve(&s->heard, 1 << 16, error));
    SO_TRY(so_string_reserve(&s->heard_before, 1 << 16, error));
    if (!s->ear) return SO_OK;
    SO_TRY(so_vad_open(&s->vad, &(so_vad_options){.threshold = 0.25}, error));
    s->inbox.capacity = INBOX;
    SO_TRY(so_arena_init(&s->memory, INBOX * sizeof *s->inbox.pcm, error));
    s->inbox.pcm = so_arena_alloc(&s->memory, INBOX * sizeof *s->inbox.pcm);
    return SO_OK;
}

/* How fast the backbone reads, told by a few positions that are forgotten again. Once for a model. */
static so_status measure_speed(so_session *s, so_error *error)
{
    enum { POSITIONS = 32 };
    so_slot slot[POSITIONS] = {{0, SO_SLOT_TEXT}};
    int64_t n = s->talk->options.context < POSITIONS ? s->talk->options.context : POSITIONS;
    if (atomic_load(&s->model->positions_per_s)) return SO_OK;
    for (int64_t i = 1; i < n; i++) slot[i] = slot[0];
    double best = 1e9;
    for (int i = 0; i < 2; i++) { /* the first reads the weights from the disk */
        double began = so_clock();
        SO_TRY(so_talk_sync(s->talk, slot, n, error));
        best = fmin(best, so_clock() - began);
        s->talk->backbone.len = s->talk->thought_at = 0;
    }
    atomic_store(&s->model->positions_per_s, (long)((double)n / fmax(best, 1e-6)) + 1);
    return SO_OK;
}

so_status so_session_plan(const so_model *model, const so_talk_options *talk, const so_session_options *voice,
                          int64_t steps, so_session_need *need, so_error *error)
{
    const so_codec *codec = &model->codec;
    so_site place = so_model_codec_place(model);
    so_need ear = {0}, mouth = {0};
    bool speech = model->setup.omni.speech;
    *need = (so_session_need){.talk = {0}};
    SO_TRY(so_talk_plan(model, talk, steps, &need->talk, &need->scratch, error));
    if (speech && codec->has_tokenizer) SO_TRY(so_ear_plan(codec, &place, &ear, error));
    if (speech && codec->has_vocoder && voice) {
        so_mouth_options options = so_mouth_usual(voice, talk->max_units > 0 ? talk->max_units : 1024);
        SO_TRY(so_mouth_plan(codec, &options, &place, &need->mouth, &mouth, error));
    }
    need->codec = so_need_both(ear, mouth);
    if (so_model_codec_apart(model)) return SO_OK;
    need->scratch = so_need_both(need->scratch, need->codec);
    need->codec = (so_need){0};
    return SO_OK;
}

static so_status open_worker(so_session *s, so_error *error)
{
    const so_model *m = s->model;
    so_talk_options talk;
    so_session_need need;
    so_site place = so_model_place(m), codec = so_model_codec_place(m);
    SO_TRY(so_session_talk_options(m, &s->options, &talk, error));
    SO_TRY(so_session_plan(m, &talk, &s->options, 1, &need, error));
    if (need.codec.host) SO_TRY(so_worker_open_on(&s->speaker, &codec, need.codec, error));
    return so_worker_open_on(&s->worker, &place, need.scratch, error);
}

static so_status open_session(so_session *s, so_worker *worker, so_error *error)
{
    s->speech = s->model->setup.omni.speech;
    s->cached = INT64_MAX;
    if (!worker) SO_TRY(open_worker(s, error));
    SO_TRY(open_talk(s, worker ? worker : &s->worker, error));
    if (!s->options.think) SO_TRY(measure_speed(s, error));
    SO_TRY(open_codec(s, error));
    SO_TRY(take_lists(s, error));
    const char *system = s->options.system;
    return so_session_cut_template(s, system ? system : s->model->setup.system, error);
}

so_status so_session_make(so_session **out, so_model *model, const so_session_options *options, so_crew *crew,
                          so_worker *worker, so_error *error)
{
    if (!out) return so_fail(error, SO_ERR_ARG, "no place for a session");
    *out = NULL;
    if (!model) return so_fail(error, SO_ERR_ARG, "a session without a model");
    SO_TRY(so_check_session(options, error));
    so_session *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for a session");
    s->model = model;
    s->crew = crew;
    if (options) s->options = *options;
    if (s->options.patience <= 0) s->options.patience = 0.5;
    so_status status = open_session(s, worker, error);
    s->options.system = s->options.kv = NULL; /* lent during the call only */
    if (status == SO_OK)
        *out = s;
    else
        so_session_close(&s);
    return status;
}

/* Bytes of one more position of the context. */
static size_t per_position(const so_session *s)
{
    size_t said = sizeof *s->spoken.text + sizeof *s->spoken.span + sizeof *s->spoken.ids.data;
    return so_talk_per_position(s->model, &s->talk->options) + 2 * sizeof *s->slots.slot + sizeof *s->units +
           sizeof *s->words + sizeof *s->promise.word + said;
}

size_t so_session_bytes(const so_session *s)
{
    const so_spoken *said = &s->spoken;
    const so_promise *p = &s->promise;
    size_t context = (size_t)s->max_units_in;
    size_t lists = (size_t)s->slots.capacity * sizeof *s->slots.slot + context * (sizeof *s->units + sizeof *s->words) +
                   (size_t)s->max_turns * sizeof *s->turn_at + (size_t)s->max_units * sizeof *s->said +
                   (size_t)s->max_text * sizeof *s->text_end + (p->most + 1) * sizeof *p->word +
                   (size_t)(said->capacity + 1) * (sizeof *said->text + sizeof *said->span) +
                   said->ids.capacity * sizeof *said->ids.data;
    size_t text = s->answer.capacity + s->piece.capacity + s->unsaid.capacity + s->heard.capacity +
                  s->heard_before.capacity + p->text.capacity + p->last.capacity + p->whole.capacity;
    return sizeof *s + sizeof *s->talk + s->talk->memory.capacity + s->talk->numbers.capacity + s->memory.capacity +
           lists + text + (s->ear ? so_ear_bytes(s->ear) + so_vad_bytes() : 0) +
           (s->mouth ? sizeof *s->mouth + s->mouth->memory.capacity : 0);
}

so_status so_session_forecast(so_model *model, const so_session_options *options, so_forecast *out, so_error *error)
{
    so_session *s;
    if (!model || !out) return so_fail(error, SO_ERR_ARG, "a forecast without a model");
    *out = (so_forecast){0};
    SO_TRY(so_session_open(&s, model, options, error));
    out->per_position = per_position(s);
    out->voice = s->mouth ? s->mouth->memory.capacity : 0;
    out->fixed = so_session_bytes(s) - out->voice - out->per_position * (size_t)s->talk->options.context;
    out->scratch = s->worker.scratch.capacity;
    so_session_close(&s);
    return SO_OK;
}

so_status so_session_open(so_session **out, so_model *model, const so_session_options *options, so_error *error)
{
    return so_session_make(out, model, options, NULL, NULL, error);
}

void so_session_pop_view(so_session *s)
{
    so_image_views_clear(&s->views[0]);
    s->waiting--;
    memmove(s->views, s->views + 1, (size_t)s->waiting * sizeof *s->views);
    memmove(s->place, s->place + 1, (size_t)s->waiting * sizeof *s->place);
    so_talk_look_away(s->talk);
}

void so_session_drop_views(so_session *s, int64_t first)
{
    if (s->waiting && s->place[0] >= first) so_talk_look_away(s->talk);
    while (s->waiting && s->place[s->waiting - 1] >= first) so_image_views_clear(&s->views[--s->waiting]);
}

void so_session_close(so_session **session)
{
    if (!session || !*session) return;
    so_session *s = *session;
    so_ids *ids[] = {&s->head,   &s->header,    &s->reply,      &s->after_picture, &s->typed_ids, &s->heard_ids,
                     &s->script, &s->script_at, &s->script_end, &s->settled_ids,   &s->rest};
    so_string *texts[] = {&s->unsaid, &s->typed, &s->heard, &s->heard_before, &s->settled, &s->answer, &s->piece};
    if (s->crew) so_crew_forget(s->crew, s);
    so_session_drop_views(s, 0);
    so_talk_close(&s->talk);
    so_ear_close(&s->ear);
    so_mouth_close(&s->mouth);
    so_worker_clear(&s->worker);
    so_worker_clear(&s->speaker);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) so_ids_clear(ids[i]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) so_string_clear(texts[i]);
    free(s->words);
    free(s->slots.slot);
    free(s->units);
    so_stops_clear(&s->stops);
    free(s->odds.chosen);
    free(s->odds.likely);
    so_said_clear(&s->spoken);
    so_vad_close(&s->vad);
    so_promise_clear(&s->promise);
    free(s->text_end);
    free(s->said);
    free(s->turn_at);
    so_arena_clear(&s->memory);
    free(s);
    *session = NULL;
}

void so_session_new_turn(so_session *s)
{
    s->typed.size = 0;
    s->typed_ids.n = 0;
    s->n_units = 0;
    s->audio = s->fed = s->dirty = s->syncing = s->closing = false;
    s->pictures = 0;
    s->heard.size = s->heard_before.size = s->settled.size = 0;
    s->settled_ids.n = s->n_words = s->n_settled = 0;
    s->heard_news = s->heard_final = false;
    so_promise_reset(&s->promise);
    s->voiced = false;
    so_vad_reset(s->vad);
    s->revised = 0;
    s->cached = INT64_MAX;
    if (s->ear) so_ear_reset(s->ear);
    if (s->mouth) so_mouth_quiet(s->mouth);
    so_talk_unwant(s->talk);
    s->phase = SO_LISTENING;
    atomic_store(&s->stop, 0);
}

so_status so_session_voice(so_session *s, const so_clone *clone, so_error *error)
{
    if (!s) return so_fail(error, SO_ERR_ARG, "no session");
    if (s->phase == SO_ANSWERING) return so_fail(error, SO_ERR_STATE, "another voice while an answer is given");
    return so_clone_speak(clone, s->mouth, &s->model->codec, error);
}

so_status so_session_clear(so_session *s, so_error *error)
{
    if (!s) return so_fail(error, SO_ERR_ARG, "no session");
    (void)error;
    s->slots.n = s->history = s->turns = 0;
    s->spoken.open = false;
    s->answer.size = 0;
    s->left = s->left_told = 0;
    s->inbox.n = s->inbox.mine = 0;
    s->failure = (so_error){0};
    so_session_drop_views(s, 0);
    so_talk_forget(s->talk, 0);
    so_session_new_turn(s);
    return SO_OK;
}
