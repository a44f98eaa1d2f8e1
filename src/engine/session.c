/* Sessions: feeding, hearing, replying.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "engine/session.h"
#include "base/own.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/limits.h"
#include "engine/said.h"
#include "engine/transcript.h"
#include "text/chat.h"

enum {
    PICTURES = 4,    /* that a conversation remembers at a time */
    INBOX = 3 << 19, /* samples that can wait to be heard: 33 s at 48 kHz */
    UNITS_PER_S = 1000 / SO_UNIT_MS,
    SAY_UNITS = 50,
    MOST_SAMPLES = 1 << 30,
    TEXT_BYTES = 64 /* per text token, reserved */,
    LARGE_STEP = 200 /* frames between looks of an ear that a large model hears with: 2 s */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- opening */

/* The template's pieces are cut out of a rendered conversation of one empty message. */
so_status so_session_cut_template(so_session *s, const char *system, so_error *error)
{
    const so_tokenizer *t = s->model->tokenizer;
    const so_token_names *names = so_tokenizer_names(t);
    so_chat_options chat = {.system = system[0] ? system : NULL, .literal_contents = true};
    so_message message = {"user", " ", 1};
    so_prompt prompt = {0};
    so_status status;
    so_tokenizer_parts parts;
    so_tokenizer_parts_of(t, &parts);
    SO_TRY_GO(so_chat_encode(t, &message, 1, &chat, &prompt, error));
    const int32_t *ids = prompt.ids.data;
    s->head.n = s->header.n = s->reply.n = s->after_picture.n = 0;
    int32_t from = prompt.prefix;
    while (from > 0 && ids[from - 1] != names->start_header) from--;
    SO_TRY_GO(so_ids_add(&s->head, ids, (size_t)prompt.prefix, error));
    SO_TRY_GO(so_ids_add(&s->header, ids + from - 1, (size_t)(prompt.prefix - from + 1), error));
    SO_TRY_GO(so_ids_add(&s->reply, ids + prompt.prefix, prompt.ids.n - (size_t)prompt.prefix, error));
    s->break_ids = prompt.prefix - prompt.label_first - 1;
    /* The reference loses the line break after a picture, unless the tokenizer adds a BOS that is lost instead. */
    if (parts.add_bos) SO_TRY_GO(so_tokenizer_encode(t, "\n", 1, 0, &s->after_picture, error));
done:
    so_prompt_clear(&prompt);
    return status;
}

static so_status store_type(const so_model *model, const char *name, so_type *type, so_error *error)
{
    static const so_type known[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    int64_t width = model->setup.omni.llama.head_width;
    *type = name ? SO_TYPE_COUNT : model->kernels->int8 ? SO_F16 : SO_F32;
    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
        if (strcmp(name, so_type_about(known[i])->name) == 0) *type = known[i];
    if (*type == SO_TYPE_COUNT)
        return so_fail(error, SO_ERR_ARG, "keys and values as '%.40s', expected f32, f16, bf16 or q8_0", name);
    if (width % so_type_about(*type)->block)
        return so_fail(error, SO_ERR_ARG, "keys and values as %s need heads of a multiple of %d numbers, found %lld",
                       name, so_type_about(*type)->block, (long long)width);
    return SO_OK;
}

static so_sampling sampling(double temperature, double top_p, int top_k, uint64_t seed)
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
                             .sampling = sampling(o.temperature, o.top_p, o.top_k, o.seed)};
    return store_type(model, o.kv, &out->kv, error);
}

so_mouth_options so_session_mouth_options(const so_session_options *options, int64_t max_units)
{
    return (so_mouth_options){.first = options->first_units > 0 ? options->first_units : 12,
                              .hop = SO_CHUNK_UNITS,
                              .left = 25,
                              .right = 4,
                              .max_units = max_units,
                              .seed = options->seed};
}

static so_status open_talk(so_session *s, so_worker *worker, so_error *error)
{
    so_talk_options options;
    SO_TRY(so_session_talk_options(s->model, &s->options, &options, error));
    s->sampling = options.sampling;
    options.worker = worker;
    SO_TRY(so_talk_open(&s->talk, s->model, &options, error));
    s->max_text = s->talk->options.max_text;
    s->max_units = s->talk->options.max_units;
    return SO_OK;
}

/* What is heard changes as long as the turn lasts, far back too. A model that is fast enough thinks about it all the
 * same, another one only writes it down. */
static bool ponders(const so_session *s)
{
    return s->options.think ? s->options.think > 0 : s->model->positions_per_s >= SO_THINKING;
}

static so_status open_codec(so_session *s, so_error *error)
{
    const so_model *m = s->model;
    if (!s->speech) return SO_OK;
    if (m->codec.has_tokenizer)
        SO_TRY(so_ear_open(&s->ear, &m->codec, s->talk->worker, m->pool, m->encoders, SO_TURN_S, error));
    if (s->ear && !ponders(s)) s->ear->step = LARGE_STEP;
    bool front = s->options.front ? s->options.front > 0 : m->front;
    if (s->ear && front) SO_TRY(so_ear_use_front(s->ear, error));
    if (!m->codec.has_vocoder) return SO_OK;
    so_mouth_options options = so_session_mouth_options(&s->options, s->max_units);
    return so_mouth_open(&s->mouth, &m->codec, &options, error);
}

/* Room that answers and transcripts need, taken now so that nothing is allocated while they are made. */
static so_status reserve(so_string *text, size_t bytes, so_error *error)
{
    char *zeros = calloc(bytes, 1);
    if (!zeros) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes of text", bytes);
    so_status status = so_string_add(text, zeros, bytes, error);
    text->size = 0;
    if (text->data) text->data[0] = 0;
    free(zeros);
    return status;
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
    SO_TRY(reserve(&s->answer, (size_t)text * TEXT_BYTES, error));
    SO_TRY(reserve(&s->piece, (size_t)text * TEXT_BYTES, error));
    memset(s->units, 0, (size_t)context * sizeof *s->units);
    s->words = malloc((size_t)context * sizeof *s->words);
    if (!s->words) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld words", (long long)context);
    SO_TRY(reserve(&s->heard, 1 << 16, error));
    SO_TRY(reserve(&s->heard_before, 1 << 16, error));
    if (!s->ear) return SO_OK;
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
        double began = now();
        SO_TRY(so_talk_sync(s->talk, slot, n, error));
        best = fmin(best, now() - began);
        s->talk->backbone.len = s->talk->thought_at = 0;
    }
    atomic_store(&s->model->positions_per_s, (long)((double)n / fmax(best, 1e-6)) + 1);
    return SO_OK;
}

so_status so_session_scratch(const so_model *model, const so_talk_options *talk, const so_session_options *voice,
                             int64_t steps, size_t *bytes, so_error *error)
{
    const so_codec *codec = &model->codec;
    size_t session, ear = 0, mouth = 0;
    bool speech = model->setup.omni.speech;
    SO_TRY(so_talk_plan(model, talk, steps, &session, bytes, error));
    if (speech && codec->has_tokenizer) SO_TRY(so_ear_plan(codec, model->encoders, &ear, error));
    if (speech && codec->has_vocoder && voice) {
        so_mouth_options options = so_session_mouth_options(voice, talk->max_units > 0 ? talk->max_units : 1024);
        SO_TRY(so_mouth_plan(codec, &options, model->encoders, &session, &mouth, error));
    }
    if (ear > *bytes) *bytes = ear;
    if (mouth > *bytes) *bytes = mouth;
    return SO_OK;
}

static so_status open_worker(so_session *s, so_error *error)
{
    so_talk_options talk;
    size_t bytes;
    SO_TRY(so_session_talk_options(s->model, &s->options, &talk, error));
    SO_TRY(so_session_scratch(s->model, &talk, &s->options, 1, &bytes, error));
    return so_worker_open(&s->worker, bytes, s->model->pool, s->model->kernels, error);
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
    *out = NULL;
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
    return so_talk_per_position(s->model, &s->talk->options) + 2 * sizeof *s->slots.slot + sizeof *s->units +
           sizeof *s->words;
}

static size_t bytes_of(const so_session *s)
{
    size_t lists = (size_t)s->slots.capacity * sizeof *s->slots.slot +
                   (size_t)s->max_units_in * (sizeof *s->units + sizeof *s->words) +
                   (size_t)s->max_turns * sizeof *s->turn_at + (size_t)s->max_units * sizeof *s->said +
                   (size_t)s->max_text * (sizeof *s->text_end + 2 * TEXT_BYTES) + (2 << 16);
    return sizeof *s + s->talk->memory.capacity + s->memory.capacity + lists + (s->ear ? so_ear_bytes(s->ear) : 0);
}

so_status so_session_forecast(so_model *model, const so_session_options *options, so_forecast *out, so_error *error)
{
    so_session *s;
    if (!model || !out) return so_fail(error, SO_ERR_ARG, "a forecast without a model");
    *out = (so_forecast){0};
    SO_TRY(so_session_open(&s, model, options, error));
    out->per_position = per_position(s);
    out->voice = s->mouth ? s->mouth->memory.capacity : 0;
    out->fixed = bytes_of(s) - out->per_position * (size_t)s->talk->options.context;
    out->scratch = s->worker.scratch.capacity;
    so_session_close(&s);
    return SO_OK;
}

so_status so_session_open(so_session **out, so_model *model, const so_session_options *options, so_error *error)
{
    return so_session_make(out, model, options, NULL, NULL, error);
}

void so_session_drop_views(so_session *s, int64_t first)
{
    while (s->waiting && s->place[s->waiting - 1] >= first) so_image_views_clear(&s->views[--s->waiting]);
}

void so_session_close(so_session **session)
{
    if (!session || !*session) return;
    so_session *s = *session;
    if (s->crew) so_crew_forget(s->crew, s);
    so_talk_close(&s->talk);
    so_ear_close(&s->ear);
    so_mouth_close(&s->mouth);
    so_worker_clear(&s->worker);
    so_ids_clear(&s->head);
    so_ids_clear(&s->header);
    so_ids_clear(&s->reply);
    so_ids_clear(&s->after_picture);
    so_ids_clear(&s->typed_ids);
    so_ids_clear(&s->heard_ids);
    so_ids_clear(&s->script);
    so_ids_clear(&s->script_at);
    so_ids_clear(&s->script_end);
    so_string_clear(&s->typed);
    so_string_clear(&s->heard);
    so_string_clear(&s->heard_before);
    so_string_clear(&s->settled);
    so_ids_clear(&s->settled_ids);
    free(s->words);
    so_string_clear(&s->answer);
    so_string_clear(&s->piece);
    so_ids_clear(&s->rest);
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
    so_session_drop_views(s, 0);
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
    s->talk->wanted.slot = NULL;
    s->phase = SO_LISTENING;
    atomic_store(&s->stop, 0);
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

/* ---- the current turn in slots */

static bool spoken(const so_session *s) { return s->audio || s->n_units > 0; }

static uint32_t template_flags(const so_session *s)
{
    if (spoken(s)) return SO_SLOT_SPEECH | SO_SLOT_EXPECT;
    return s->speech ? SO_SLOT_TEXT | SO_SLOT_SPEECH : SO_SLOT_TEXT;
}

static so_status add_ids(so_session *s, const so_ids *ids, uint32_t where, so_error *error)
{
    return so_slots_add(&s->slots, ids->data, (int64_t)ids->n, where, NULL, 0, error);
}

static so_status add_units(so_session *s, const int32_t *unit, int64_t n, bool whole, so_error *error)
{
    uint32_t where = SO_SLOT_SPEECH | (whole || ponders(s) ? SO_SLOT_EXPECT : SO_SLOT_LABEL);
    for (int64_t i = 0; i < n; i++) {
        int32_t id = s->model->first_unit + unit[i];
        SO_TRY(so_slots_add(&s->slots, &id, 1, where, NULL, 0, error));
    }
    return SO_OK;
}

static int64_t speech_slots(const so_session *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->slots.n; i++) n += (s->slots.slot[i].where & SO_SLOT_SPEECH) != 0;
    return n;
}

so_status so_session_lay_pictures(so_session *s, uint32_t where, so_error *error)
{
    static const int32_t picture = SO_IMAGE_ID;
    for (int i = 0; i < s->pictures; i++) {
        int64_t first[2] = {s->picture[i], s->picture[i] + s->vectors[i]};
        SO_TRY(so_slots_add(&s->slots, &picture, 1, 0, first, 1, error));
        SO_TRY(add_ids(s, &s->after_picture, where, error));
    }
    return SO_OK;
}

/* The header of the user's turn. Where the speech side does not remember, it begins as a conversation does. */
static so_status lay_header(so_session *s, uint32_t where, so_error *error)
{
    if (!s->history) return add_ids(s, &s->head, where, error);
    if (s->model->setup.speech_history || !s->speech) return add_ids(s, &s->header, where, error);
    SO_TRY(add_ids(s, &s->head, SO_SLOT_SPEECH, error));
    return add_ids(s, &s->header, SO_SLOT_TEXT, error);
}

/* History, then header, picture, typed words, speech; with `whole` also the header of the answer. Typed words beside
 * speech enter the backbone as text: they need no recognition. */
static so_status lay_out(so_session *s, bool whole, so_error *error)
{
    uint32_t where = template_flags(s);
    s->slots.n = s->history;
    SO_TRY(lay_header(s, where, error));
    s->content_at = speech_slots(s);
    SO_TRY(so_session_lay_pictures(s, where, error));
    SO_TRY(add_ids(s, &s->typed_ids, SO_SLOT_TEXT, error));
    SO_TRY(add_ids(s, &s->settled_ids, SO_SLOT_TEXT, error));
    if (s->audio) SO_TRY(add_units(s, s->ear->units, s->ear->n, whole, error));
    SO_TRY(add_units(s, s->units, s->n_units, whole, error));
    return whole ? add_ids(s, &s->reply, where, error) : SO_OK;
}

/* Whether the slots and an answer behind them pass the context. */
static bool too_long(const so_session *s)
{
    const uint32_t backbone = SO_SLOT_EXPECT | SO_SLOT_TEXT | SO_SLOT_IMAGE;
    int64_t positions = 0, speech = speech_slots(s), context = s->talk->options.context, room = context / 4;
    for (int64_t i = 0; i < s->slots.n; i++) positions += (s->slots.slot[i].where & backbone) != 0;
    int64_t text = s->max_text < room ? s->max_text : room, units = s->max_units < room ? s->max_units : room;
    return positions + text > context || (s->speech && speech + units > context);
}

so_status so_session_lay_out(so_session *s, bool whole, so_error *error)
{
    so_status status = lay_out(s, whole, error);
    bool leave = s->options.on_full == SO_FULL_FORGET;
    if (!leave || !s->history || (status == SO_OK && !too_long(s))) return status;
    /* Those that leave do so in numbers: what is left is read anew, at once, not with every turn. */
    while (s->history * 2 > s->talk->options.context || status != SO_OK || too_long(s)) {
        if (!so_session_drop_turn(s)) break;
        status = lay_out(s, whole, error);
    }
    return status;
}

/* ---- hearing */

static int words_withdrawn(const char *before, const char *after)
{
    size_t same = 0, begin = 0;
    while (before[same] && before[same] == after[same]) same++;
    /* Back to the beginning of the first word that differs; a word that only grows is not withdrawn. */
    if (!before[same]) return 0;
    for (size_t i = 0; i < same; i++)
        if (before[i] == ' ') begin = i + 1;
    int words = 0;
    for (size_t i = begin; before[i]; i++) words += before[i] != ' ' && (i == begin || before[i - 1] == ' ');
    return words;
}

/* Seconds in place of positions. */
static void time_words(so_session *s, int64_t first)
{
    double end = s->audio ? (double)s->ear->samples / SO_CODEC_RATE_IN : (double)INFINITY;
    for (size_t i = s->n_settled; i < s->n_words; i++) {
        so_heard_word *w = &s->words[i];
        double before = i ? s->words[i - 1].end_s : 0, at[2] = {w->begin_s, w->end_s};
        for (int k = 0; k < 2; k++) {
            at[k] = fmax(0, (at[k] + (double)(first - s->content_at)) / UNITS_PER_S);
            if (s->audio) at[k] = so_ear_time(s->ear, at[k]);
        }
        w->begin_s = fmin(fmax(at[0], before), end);
        w->end_s = fmin(fmax(at[1], w->begin_s), end);
    }
}

so_status so_session_transcribe(so_session *s, bool final, so_error *error)
{
    const so_talk *t = s->talk;
    int64_t first = s->content_at - s->break_ids - 1, last = t->bottom.len;
    /* As the reference does, up to the second id behind the user's speech. */
    if (final) last -= (int64_t)s->reply.n - 2;
    if (first < 0 || last < first) return SO_OK;
    so_string swap = s->heard_before;
    s->heard_before = s->heard;
    s->heard = swap;
    s->heard.size = 0;
    SO_TRY(so_string_add(&s->heard, s->settled.data ? s->settled.data : "", s->settled.size, error));
    if (s->settled.size) SO_TRY(so_string_add(&s->heard, " ", 1, error));
    so_words_found found = {s->words, (size_t)s->max_units_in, s->n_settled};
    SO_TRY(so_transcript_words(s->model->tokenizer, t->label + first, last - first, s->model->blank, &s->heard, &found,
                               error));
    if (found.n == s->n_settled && s->settled.size) s->heard.data[--s->heard.size] = 0;
    s->n_words = found.n;
    time_words(s, first);
    const char *before = s->heard_before.data && s->heard_before.size ? s->heard_before.data : "";
    SO_TRY(so_promise_keep(&s->promise, &s->heard, s->words, &s->n_words, final, error));
    s->revised += words_withdrawn(before, s->heard.data);
    if (final || strcmp(before, s->heard.data) != 0) s->heard_news = true;
    s->heard_final = final;
    return SO_OK;
}

so_status so_session_settle(so_session *s, so_error *error)
{
    SO_TRY(so_session_transcribe(s, true, error));
    s->heard_final = false;
    s->settled.size = s->settled_ids.n = 0;
    SO_TRY(so_string_add(&s->settled, s->heard.data, s->heard.size, error));
    SO_TRY(so_tokenizer_encode(s->model->tokenizer, s->settled.data, s->settled.size, 0, &s->settled_ids, error));
    s->n_settled = s->n_words;
    so_ear_begin_segment(s->ear);
    return SO_OK;
}

/* ---- feeding */

so_status so_session_watch(so_session *s, const float *pcm, size_t samples, int rate, so_error *error)
{
    int16_t piece[512];
    so_vad_event event;
    if (s->voiced || rate < 8000 || rate > 384000) {
        s->voiced = true;
        return SO_OK;
    }
    if (s->vad_rate != rate) {
        so_vad_close(&s->vad);
        s->vad_rate = 0;
        SO_TRY(so_vad_open(&s->vad, &(so_vad_options){.rate = rate, .threshold = 0.25}, error));
        s->vad_rate = rate;
    }
    for (size_t at = 0; at < samples && !s->voiced; at += sizeof piece / sizeof *piece) {
        size_t n = samples - at < sizeof piece / sizeof *piece ? samples - at : sizeof piece / sizeof *piece, used;
        for (size_t i = 0; i < n; i++) piece[i] = (int16_t)lrintf(fmaxf(-1, fminf(1, pcm[at + i])) * 32767);
        so_vad_feed(s->vad, piece, n, &used, &event);
        s->voiced = event.kind != SO_VAD_NONE;
    }
    return SO_OK;
}

/* Sound into the ear, segment by segment. */
static so_status hear(so_session *s, const float *pcm, size_t samples, int rate, so_error *error)
{
    bool news;
    for (;;) {
        SO_TRY(so_ear_feed(s->ear, pcm, samples, rate, &news, error));
        SO_TRY(so_session_watch(s, pcm, s->ear->ended ? s->ear->taken : samples, rate, error));
        s->audio = s->audio || samples > 0;
        s->fed = s->fed || samples > 0;
        s->dirty = s->dirty || news;
        if (!s->ear->ended) return SO_OK;
        SO_TRY(so_session_catch_up(s, error));
        pcm += s->ear->taken;
        samples -= s->ear->taken;
    }
}

/* What was said into an answer belongs to the turn behind it. */
static so_status hear_waiting(so_session *s, so_error *error)
{
    int64_t n = s->inbox.n;
    if (!n || s->crew) return SO_OK;
    s->inbox.n = 0;
    return hear(s, s->inbox.pcm, (size_t)n, s->inbox.rate, error);
}

so_status so_session_open_turn(so_session *s, so_error *error)
{
    if (s->phase == SO_ANSWERING)
        return so_fail(error, SO_ERR_STATE, "the answer is not complete: stop it or take all of it");
    if (s->phase != SO_ANSWERED) return SO_OK;
    if (s->turns == s->max_turns) so_session_drop_turn(s);
    s->turn_at[s->turns++] = s->history;
    s->history = s->slots.n;
    so_session_new_turn(s);
    return hear_waiting(s, error);
}

so_status so_feed_text(so_session *s, const char *utf8, so_error *error)
{
    if (!s || !utf8) return so_fail(error, SO_ERR_ARG, "no session, or no text");
    SO_TRY(so_session_open_turn(s, error));
    size_t before = s->typed.size;
    so_status status = so_string_put(&s->typed, utf8, error);
    const char *text = s->typed.data;
    size_t size = s->typed.size;
    if (status == SO_OK) {
        if (size) so_strip(&text, &size);
        s->typed_ids.n = 0;
        status = so_tokenizer_encode(s->model->tokenizer, text, size, 0, &s->typed_ids, error);
    }
    if (status == SO_OK && (int64_t)s->typed_ids.n > s->talk->options.context)
        status = so_fail(error, SO_ERR_LIMIT, "a text of %zu tokens, the context holds %lld positions", s->typed_ids.n,
                         (long long)s->talk->options.context);
    if (status == SO_OK) {
        s->fed = true;
        return SO_OK;
    }
    s->typed.size = before;
    s->typed_ids.n = 0;
    if (before) {
        text = s->typed.data;
        so_strip(&text, &before);
        so_tokenizer_encode(s->model->tokenizer, text, before, 0, &s->typed_ids, NULL);
    }
    return status;
}

so_status so_feed_image(so_session *s, const uint8_t *rgb, int width, int height, so_error *error)
{
    if (!s || !rgb) return so_fail(error, SO_ERR_ARG, "no session, or no picture");
    const so_model *m = s->model;
    if (!m->setup.omni.vision) return so_fail(error, SO_ERR_UNSUPPORTED, "the model does not see");
    SO_TRY(so_session_open_turn(s, error));
    if (width < 1 || height < 1 || (int64_t)width * height > SO_IMAGE_MAX_PIXELS || width > SO_IMAGE_MAX_SIDE ||
        height > SO_IMAGE_MAX_SIDE)
        return so_fail(error, SO_ERR_ARG, "a picture of %d x %d pixels", width, height);
    if (s->pictures == SO_PICTURES || s->waiting == SO_PICTURES)
        return so_fail(error, SO_ERR_LIMIT, "more than %d pictures in one turn, or waiting to be looked at",
                       SO_PICTURES);
    so_image image = {.w = width, .h = height, .rgb = so_mutable(rgb)};
    so_image_views *views = &s->views[s->waiting];
    int64_t *first = &s->picture[s->pictures], *n = &s->vectors[s->pictures];
    SO_TRY(so_image_views_make(views, &image, &m->pictures, m->pool, error));
    so_status status = so_talk_place(s->talk, views, first, n, error);
    while (status == SO_ERR_LIMIT && s->options.on_full == SO_FULL_FORGET && so_session_drop_turn(s))
        status = so_talk_place(s->talk, views, first, n, error);
    if (status != SO_OK) {
        so_image_views_clear(views);
        return status;
    }
    bool before = s->fed;
    s->place[s->waiting++] = *first;
    s->pictures++;
    s->fed = true;
    status = s->crew ? SO_OK : so_session_catch_up(s, error);
    if (status != SO_OK) { /* it was never here */
        s->fed = before;
        so_session_drop_views(s, s->picture[--s->pictures]);
        so_talk_forget(s->talk, s->picture[s->pictures]);
    }
    return status;
}

so_status so_feed_units(so_session *s, const int32_t *units, size_t n, so_error *error)
{
    if (!s || (!units && n)) return so_fail(error, SO_ERR_ARG, "no session, or no units");
    if (!s->speech) return so_fail(error, SO_ERR_UNSUPPORTED, "the model has no speech layers");
    SO_TRY(so_session_open_turn(s, error));
    if (n > (size_t)(s->max_units_in - s->n_units))
        return so_fail(error, SO_ERR_LIMIT, "a turn of more than %lld speech units", (long long)s->max_units_in);
    for (size_t i = 0; i < n; i++)
        if (units[i] < 0 || units[i] >= s->model->units)
            return so_fail(error, SO_ERR_ARG, "speech unit %d, expected 0 to %lld", units[i],
                           (long long)s->model->units - 1);
    if (n == 0) return SO_OK;
    memcpy(s->units + s->n_units, units, n * sizeof *units);
    s->n_units += (int64_t)n;
    s->dirty = true;
    so_status status = s->crew ? SO_OK : so_session_catch_up(s, error);
    if (status != SO_OK) s->n_units -= (int64_t)n;
    s->fed = s->fed || status == SO_OK;
    return status;
}

/* Takes note of samples: in a crew, and while an answer is given. */
static so_status put_by(so_session *s, const float *pcm, size_t samples, int rate, so_error *error)
{
    so_inbox *in = &s->inbox;
    if (rate < 4000 || rate > 384000)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz, expected 4000 to 384000", rate);
    if (in->n && in->rate != rate)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz in a turn that began at %d Hz", rate, in->rate);
    if (samples > (size_t)(in->capacity - in->n))
        return so_fail(error, SO_ERR_LIMIT, "%lld samples wait to be heard, there is room for %lld", (long long)in->n,
                       (long long)in->capacity);
    for (size_t i = 0; i < samples; i++)
        if (!isfinite(pcm[i])) return so_fail(error, SO_ERR_NUMBER, "sample %zu is not a finite number", i);
    if (samples) memcpy(in->pcm + in->n, pcm, samples * sizeof *pcm);
    in->n += (int64_t)samples;
    in->rate = rate;
    return SO_OK;
}

so_status so_feed_audio(so_session *s, const float *pcm, size_t samples, int rate, so_error *error)
{
    if (!s || (!pcm && samples)) return so_fail(error, SO_ERR_ARG, "no session, or no audio");
    if (samples > MOST_SAMPLES)
        return so_fail(error, SO_ERR_LIMIT, "%zu samples at once, expected at most %d", samples, MOST_SAMPLES);
    if (!s->ear) return so_fail(error, SO_ERR_UNSUPPORTED, "the model takes no audio: it has no speech tokenizer");
    if (s->phase == SO_ANSWERING) return put_by(s, pcm, samples, rate, error);
    SO_TRY(so_session_open_turn(s, error));
    if (s->crew) {
        SO_TRY(put_by(s, pcm, samples, rate, error));
        if (samples) s->audio = s->fed = true;
        return SO_OK;
    }
    SO_TRY(hear(s, pcm, samples, rate, error));
    return so_session_catch_up(s, error);
}

int so_heard_end(const so_session *s)
{
    if (!s) return 0;
    const so_talk *t = s->talk;
    if (s->phase != SO_LISTENING || !spoken(s)) return 0;
    int64_t blanks = 0, at = t->bottom.len - 1;
    for (; at >= s->content_at && t->label[at] == s->model->blank; at--) blanks++;
    bool words = s->heard.size > 0;
    double patience = s->options.patience;
    if (s->audio && s->ear->front) return words && so_front_quiet(s->ear->front) >= patience;
    /* A gate keeps silence from the tokenizer: then the level alone tells. */
    if (s->audio && s->ear->held) return words && s->ear->quiet_s >= patience;
    /* The last units are not given out yet; the level knows of them. */
    double held = s->audio ? s->ear->quiet_s - (double)blanks / UNITS_PER_S : 0;
    if (s->audio && s->ear->quiet_s < patience) return 0;
    return words && ((double)blanks / UNITS_PER_S + (held > 0 ? fmin(held, 0.4) : 0) >= patience);
}

/* ---- replying */

/* What of the prompt is words, speech and pictures. */
static void count_prompt(so_session *s)
{
    so_usage *u = &s->usage;
    *u = (so_usage){.prompt_positions = (int)s->talk->backbone.len, .cached_positions = (int)s->cached};
    u->revised = s->revised;
    for (int64_t i = 0; i < s->slots.n; i++) {
        const so_slot *slot = &s->slots.slot[i];
        bool unit = so_tokenizer_unit_of(s->model->tokenizer, slot->id) >= 0;
        if (slot->where & SO_SLOT_IMAGE)
            u->image_in++;
        else if (slot->where & SO_SLOT_EXPECT && unit)
            u->audio_in++;
        else if (slot->where & (SO_SLOT_TEXT | SO_SLOT_EXPECT))
            u->text_in++;
    }
}

static so_status check_reply(const so_reply_options *o, so_error *error)
{
    SO_TRY(so_check_sampling(o->temperature, o->top_p, o->top_k, error));
    if (o->max_text < 0 || o->max_units < 0)
        return so_fail(error, SO_ERR_ARG, "at most %d text tokens and %d units, expected 0 or more", o->max_text,
                       o->max_units);
    if (o->likeliest < 0 || o->likeliest > SO_LIKELIEST)
        return so_fail(error, SO_ERR_ARG, "the %d likeliest beside each token, expected 0 to %d", o->likeliest,
                       SO_LIKELIEST);
    return SO_OK;
}

/* How the next answer is made; NULL: as the session's options say. */
static void settle(so_session *s, const so_reply_options *o)
{
    so_talk_options *t = &s->talk->options;
    so_sampling how = o ? sampling(o->temperature, o->top_p, o->top_k, o->seed) : s->sampling;
    t->max_text = o && o->max_text && o->max_text < s->max_text ? o->max_text : s->max_text;
    t->max_units = o && o->max_units && o->max_units < s->max_units ? o->max_units : s->max_units;
    so_talk_sampling(s->talk, &how, o != NULL);
    t->circles = s->options.units_per_token < 0;
    s->forget = o && o->forget;
    s->answers_silence = o && o->answer_silence;
}

/* Room for the log-probabilities that are asked for; kept for later answers. */
static so_status take_odds(so_session *s, const so_reply_options *o, so_error *error)
{
    so_odds *odds = &s->odds;
    int most = o ? o->likeliest : 0;
    odds->n = s->odds_told = 0;
    s->talk->odds = NULL;
    if (!o || !(o->logprobs || most)) return SO_OK;
    if (!odds->chosen || most > odds->most) {
        free(odds->chosen);
        free(odds->likely);
        *odds = (so_odds){.most = most, .capacity = s->max_text};
        odds->chosen = malloc((size_t)s->max_text * sizeof *odds->chosen);
        odds->likely = malloc((size_t)(s->max_text * most + 1) * sizeof *odds->likely);
        if (!odds->chosen || !odds->likely) {
            free(odds->chosen);
            free(odds->likely);
            *odds = (so_odds){0};
            return so_fail(error, SO_ERR_NOMEM, "no memory for log-probabilities of %lld tokens",
                           (long long)s->max_text);
        }
    }
    odds->most = most;
    s->talk->odds = odds;
    return SO_OK;
}

static so_status check_want(const so_session *s, unsigned want, so_error *error)
{
    if (!(want & (SO_WANT_TEXT | SO_WANT_VOICE | SO_WANT_UNITS)))
        return so_fail(error, SO_ERR_ARG, "an answer in neither text nor voice nor units");
    if (want & (SO_WANT_VOICE | SO_WANT_UNITS) && !s->speech)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model has no speech layers");
    if (want & SO_WANT_VOICE && !s->mouth)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model gives no audio: it has no flow and vocoder");
    return SO_OK;
}

/* From here on the session answers; what is missing before the first token is work. */
static so_status begin_answer(so_session *s, unsigned want, so_error *error)
{
    SO_TRY(check_want(s, want, error));
    s->started = now();
    s->want = want;
    s->phase = SO_ANSWERING;
    s->stage = SO_NOTED;
    s->syncing = false;
    s->inbox.mine = s->inbox.n;
    s->answer.size = s->sure = 0;
    s->piece_at = s->n_said = s->said_told = s->whole = 0;
    s->ended = false;
    so_said_begin(s);
    s->sentence = 0;
    s->heard_units = -1;
    s->talk->n_text = 0;
    so_decoder_init(&s->decoder, s->model->tokenizer, SO_DECODE_SKIP_SPECIAL);
    s->usage = (so_usage){0};
    if (s->crew) return SO_OK;
    so_status status = so_session_catch_up(s, error);
    if (status != SO_OK) s->phase = SO_LISTENING;
    return status;
}

/* The question was to be sound alone, and there were no words in it. */
static bool nothing_heard(const so_session *s)
{
    if (!s->audio || s->n_units || s->typed_ids.n) return false;
    if (!s->voiced) return true;
    for (size_t i = 0; i < s->heard.size; i++) {
        unsigned char c = (unsigned char)s->heard.data[i];
        if (isalnum(c) || c >= 0x80) return false;
    }
    return true;
}

/* The turn goes on without the sound it had; that nothing was heard in it is still told. */
static void drop_audio(so_session *s)
{
    so_ear_reset(s->ear);
    so_vad_reset(s->vad);
    so_promise_reset(&s->promise);
    s->heard.size = s->settled.size = s->settled_ids.n = 0; /* words that a model finds in noise */
    s->n_words = s->n_settled = 0;
    if (s->heard.data) s->heard.data[0] = 0;
    s->voiced = s->audio = s->dirty = s->syncing = s->closing = false;
    s->fed = s->pictures > 0;
}

/* A further sentence of what is to be said, after the same prompt. */
static so_status begin_sentence(so_session *s, so_error *error)
{
    SO_TRY(so_talk_begin(s->talk, true, error));
    s->answer_speech = s->talk->bottom.len;
    so_session_recite(s);
    s->stage = SO_BEGUN;
    return SO_OK;
}

so_status so_session_begin(so_session *s, so_error *error)
{
    if (s->sentence) return begin_sentence(s, error);
    if (spoken(s)) SO_TRY(so_session_transcribe(s, true, error));
    double heard_s = s->audio ? (double)s->ear->samples / SO_CODEC_RATE_IN : (double)s->n_units / UNITS_PER_S;
    if (nothing_heard(s) && !s->answers_silence) {
        drop_audio(s);
        return so_fail(error, SO_ERR_NOTHING_HEARD, "nothing was heard in %.1f s of audio", heard_s);
    }
    SO_TRY(so_talk_begin(s->talk, s->want & (SO_WANT_VOICE | SO_WANT_UNITS), error));
    s->talk->watched = s->stops.n > 0;
    count_prompt(s);
    s->usage.heard_s = heard_s;
    s->answer_at = s->slots.n;
    s->answer_speech = s->talk->bottom.len;
    so_session_recite(s);
    if (s->mouth) so_mouth_reset(s->mouth, s->talk->options.sampling.seed);
    s->stage = SO_BEGUN;
    return SO_OK;
}

static int64_t units_per_token(const so_session *s, int64_t otherwise)
{
    int64_t own = s->model->setup.units_per_token, asked = s->options.units_per_token;
    return asked < 0 ? 0 : asked > 0 ? asked : own > 0 ? own : otherwise;
}

so_status so_reply_with(so_session *s, unsigned want, const so_reply_options *options, so_error *error)
{
    if (!s) return so_fail(error, SO_ERR_ARG, "no session");
    if (s->phase == SO_ANSWERED && s->inbox.n) {
        SO_TRY(so_session_open_turn(s, error));
        s->audio = s->fed = true;
    }
    if (s->phase != SO_LISTENING || !s->fed) return so_fail(error, SO_ERR_STATE, "a reply to nothing");
    SO_TRY(check_want(s, want, error));
    if (options) SO_TRY(check_reply(options, error));
    SO_TRY(so_stops_set(&s->stops, options ? options->stop : NULL, options ? options->n_stop : 0, error));
    SO_TRY(take_odds(s, options, error));
    settle(s, options);
    s->script.n = 0;
    s->talk->options.units_per_token = units_per_token(s, 0);
    return begin_answer(s, want, error);
}

so_status so_reply(so_session *s, unsigned want, so_error *error) { return so_reply_with(s, want, NULL, error); }

so_status so_say(so_session *s, const char *utf8, unsigned want, so_error *error)
{
    if (!s || !utf8) return so_fail(error, SO_ERR_ARG, "no session, or no text");
    if (!(want & (SO_WANT_VOICE | SO_WANT_UNITS)))
        return so_fail(error, SO_ERR_ARG, "a text is said in voice or in units");
    SO_TRY(so_session_open_turn(s, error));
    if (s->fed) return so_fail(error, SO_ERR_STATE, "a question was fed and wants a reply");
    SO_TRY(so_session_script(s, utf8, error));
    if (s->script.n == 0) return so_fail(error, SO_ERR_ARG, "there is nothing to say");
    settle(s, NULL);
    SO_TRY(so_stops_set(&s->stops, NULL, 0, error));
    SO_TRY(take_odds(s, NULL, error));
    if ((int64_t)s->script.n >= s->talk->options.max_text)
        return so_fail(error, SO_ERR_LIMIT, "a text of %zu tokens, an answer holds %lld", s->script.n,
                       (long long)s->talk->options.max_text);
    s->talk->options.units_per_token = units_per_token(s, SAY_UNITS);
    return begin_answer(s, want, error);
}

void so_session_stop(so_session *s)
{
    if (s) atomic_store(&s->stop, 1);
}
