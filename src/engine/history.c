/* History from outside: system text and answers that are fed, branches, what sessions have in common.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine/said.h"

so_status so_feed_system(so_session *s, const char *utf8, so_error *error)
{
    if (!s || !utf8) return so_fail(error, SO_ERR_ARG, "no session or no text");
    if (s->phase == SO_ANSWERING || s->fed || s->history || s->slots.n)
        return so_fail(error, SO_ERR_STATE, "a system text stands before anything else: clear the session first");
    return so_session_cut_template(s, utf8, error);
}

so_status so_feed_answer(so_session *s, const char *utf8, so_error *error)
{
    if (!s || !utf8) return so_fail(error, SO_ERR_ARG, "no session or no text");
    SO_TRY(so_session_open_turn(s, error));
    if (!s->fed) return so_fail(error, SO_ERR_STATE, "an answer to nothing: feed the question first");
    if (s->audio || s->n_units || s->inbox.n)
        return so_fail(error, SO_ERR_STATE, "an answer in words to a question that was spoken: feed what was heard");
    s->script.n = 0;
    SO_TRY(so_tokenizer_encode(s->model->tokenizer, utf8, strlen(utf8), 0, &s->script, error));
    SO_TRY(so_session_lay_out(s, true, error));
    s->answer_at = s->slots.n;
    so_status status = so_said_put(s, &s->script, error);
    s->script.n = 0;
    if (status != SO_OK) {
        s->slots.n = s->history;
        return status;
    }
    s->phase = SO_ANSWERED;
    s->talk->voice = false;
    return so_session_open_turn(s, error);
}

/* ---- what sessions have in common */

/* Slots before the first picture vector that the two do not share. */
static int64_t alike_pictures(const so_session *s, const so_session *d)
{
    int64_t width = s->model->setup.omni.llama.width;
    for (int64_t i = 0; i < d->slots.n; i++) {
        const so_slot *slot = &d->slots.slot[i];
        if (slot->where != SO_SLOT_IMAGE) continue;
        bool unseen = slot->id >= s->talk->n_vectors || (d->waiting && slot->id >= d->place[0]);
        if (unseen || memcmp(s->talk->vectors + slot->id * width, d->talk->vectors + slot->id * width,
                             (size_t)width * sizeof(so_real)) != 0)
            return i;
    }
    return d->slots.n;
}

int64_t so_session_shared(const so_session *s, so_session *described)
{
    if (!s || !described || s->model != described->model || s->phase == SO_ANSWERING) return 0;
    if (described->phase == SO_LISTENING && so_session_lay_out(described, false, NULL) != SO_OK) return 0;
    return so_talk_shared(s->talk, described->slots.slot, alike_pictures(s, described));
}

/* ---- branches */

static void copy_talk(so_talk *to, const so_talk *from)
{
    size_t row = (size_t)from->model->setup.omni.llama.width * sizeof(so_real);
    so_device *device = from->model->device;
    so_kv_copy(device, &to->bottom, &from->bottom);
    so_kv_copy(device, &to->backbone, &from->backbone);
    so_kv_copy(device, &to->top, &from->top);
    memcpy(to->heard, from->heard, (size_t)from->bottom.len * sizeof *to->heard);
    memcpy(to->label, from->label, (size_t)from->bottom.len * sizeof *to->label);
    memcpy(to->read, from->read, (size_t)from->backbone.len * sizeof *to->read);
    so_device_copy(device, to->h, from->h, row);
    so_device_copy(device, to->thought, from->thought, row);
    if (from->n_vectors) memcpy(to->vectors, from->vectors, (size_t)from->n_vectors * row);
    to->pending = from->pending;
    to->thought_at = from->thought_at;
    to->n_vectors = from->n_vectors;
    to->rng = from->rng;
}

static so_status copy_session(so_session *to, const so_session *from, so_error *error)
{
    const so_ids *ids[] = {&from->head, &from->header, &from->reply, &from->after_picture, &from->typed_ids};
    so_ids *copy[] = {&to->head, &to->header, &to->reply, &to->after_picture, &to->typed_ids};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        copy[i]->n = 0;
        SO_TRY(so_ids_add(copy[i], ids[i]->data, ids[i]->n, error));
    }
    so_talk_begins_with(to->talk, &to->head);
    to->typed.size = 0;
    SO_TRY(so_string_add(&to->typed, from->typed.data ? from->typed.data : "", from->typed.size, error));
    memcpy(to->slots.slot, from->slots.slot, (size_t)from->slots.n * sizeof *to->slots.slot);
    memcpy(to->turn_at, from->turn_at, (size_t)from->turns * sizeof *to->turn_at);
    memcpy(to->units, from->units, (size_t)from->n_units * sizeof *to->units);
    memcpy(to->picture, from->picture, sizeof to->picture);
    memcpy(to->vectors, from->vectors, sizeof to->vectors);
    to->break_ids = from->break_ids;
    to->slots.n = from->slots.n;
    to->history = from->phase == SO_ANSWERED ? from->slots.n : from->history;
    to->turns = from->turns;
    to->n_units = from->n_units;
    to->pictures = from->pictures;
    to->fed = from->fed;
    to->dirty = from->n_units > 0;
    if (from->phase == SO_ANSWERED) { /* the branch listens already */
        if (to->turns < to->max_turns) to->turn_at[to->turns++] = from->history;
        so_session_new_turn(to);
    }
    copy_talk(to->talk, from->talk);
    return SO_OK;
}

so_status so_session_fork(so_session **out, const so_session *from, so_error *error)
{
    if (!out || !from) return so_fail(error, SO_ERR_ARG, "a branch of nothing");
    *out = NULL;
    if (from->phase == SO_ANSWERING || (from->phase == SO_LISTENING && (from->audio || from->inbox.n)) || from->waiting)
        return so_fail(error, SO_ERR_STATE,
                       "a branch while an answer is given, speech is heard or a picture is still to be looked at");
    so_session_options options = from->options;
    options.kv = so_type_about(from->talk->options.kv)->name;
    if (from->crew)
        SO_TRY(so_crew_session(from->crew, out, &options, error));
    else
        SO_TRY(so_session_open(out, from->model, &options, error));
    so_status status = copy_session(*out, from, error);
    if (status == SO_OK) status = so_mouth_speak_like((*out)->mouth, from->mouth, error);
    if (status != SO_OK) so_session_close(out);
    return status;
}
