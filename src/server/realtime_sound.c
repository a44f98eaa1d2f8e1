/* Realtime sessions: the user's sound, from what the client appends to turns that are committed.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/g711.h"
#include "server/realtime_session.h"

enum {
    MEANING_LEAST = 300, /* ms of silence behind a sentence that is complete */
    MEANING_VAD = 200    /* ms of silence that the detector takes for a pause then */
};

/* ---- samples */

bool so_samples_put(so_samples *s, const int16_t *pcm, size_t n)
{
    if (s->n + n > s->room) {
        size_t room = 2 * (s->n + n);
        int16_t *all = realloc(s->pcm, room * sizeof *all);
        if (!all) return false;
        s->pcm = all;
        s->room = room;
    }
    if (n) memcpy(s->pcm + s->n, pcm, n * sizeof *pcm);
    s->n += n;
    return true;
}

void so_samples_drop(so_samples *s, size_t n)
{
    if (n > s->n) n = s->n;
    if (n) memmove(s->pcm, s->pcm + n, (s->n - n) * sizeof *s->pcm);
    s->n -= n;
}

static int rate_in(const so_realtime *r) { return so_realtime_rate(r->config.in); }

/* Milliseconds of sound appended so far. */
static int64_t sound_ms(const so_realtime *r) { return r->before_ms + r->appended * 1000 / rate_in(r); }

/* ---- the user's sound */

static so_status need_vad(so_realtime *r)
{
    so_error error;
    if (r->vad || r->config.detection == SO_DETECT_NONE) return SO_OK;
    bool meaning = r->config.detection == SO_DETECT_MEANING;
    so_vad_options options = {.rate = rate_in(r),
                              .threshold = r->config.threshold,
                              .padding_ms = r->config.padding_ms,
                              .silence_ms = meaning ? MEANING_VAD : r->config.silence_ms};
    r->before_ms = sound_ms(r);
    r->appended = 0;
    return so_vad_open(&r->vad, &options, &error);
}

/* The engine hears the turn while it is spoken, as soon as it answers nothing any more. */
void so_realtime_listen(so_realtime *r)
{
    if (r->fed || !r->turn.n || r->active || r->transcribing) return;
    so_realtime_give(r);
    so_realtime_hear(r, r->turn_id, false);
    r->port.audio(r->port.context, r->turn.pcm, r->turn.n, rate_in(r));
    r->fed = true;
}

static void no_room(so_realtime *r) { so_realtime_reject(r, NULL, "server_error", NULL, "no memory for the sound"); }

static void extend_turn(so_realtime *r, const int16_t *pcm, size_t n)
{
    bool was_fed = r->fed;
    if (!r->turn_id[0]) so_realtime_new_id(r, "item", r->turn_id);
    if (!so_samples_put(&r->turn, pcm, n)) {
        no_room(r);
        return;
    }
    if (was_fed)
        r->port.audio(r->port.context, pcm, n, rate_in(r));
    else
        so_realtime_listen(r);
}

void so_realtime_drop_turn(so_realtime *r)
{
    if (r->fed) so_realtime_forget(r, 0);
    r->turn.n = r->ring.n = 0;
    r->fed = r->speaking = false;
    r->turn_id[0] = 0;
    r->ended_ms = -1;
}

/* The turn becomes an item. */
static void commit(so_realtime *r, bool creates, bool answers_silence)
{
    so_realtime_item *item = calloc(1, sizeof *item);
    size_t bytes = r->turn.n * sizeof *r->turn.pcm;
    void *data = item ? malloc(bytes + 1) : NULL;
    if (!data) {
        free(item);
        no_room(r);
        return;
    }
    if (bytes) memcpy(data, r->turn.pcm, bytes);
    snprintf(item->id, sizeof item->id, "%s", r->turn_id);
    item->role = SO_ROLE_USER;
    item->whole = true;
    item->heard_ms = -1;
    so_realtime_part *part = so_realtime_item_part(item, SO_PART_AUDIO, NULL, data, bytes);
    if (part) part->rate = rate_in(r);
    bool fed = r->fed;
    r->turn.n = 0;
    r->fed = r->speaking = false;
    r->turn_id[0] = 0;
    r->ended_ms = -1;
    so_realtime_send(r, "input_audio_buffer.committed",
                     json_pack("{s:s?, s:s}", "previous_item_id", r->n_items ? r->item[r->n_items - 1]->id : NULL,
                               "item_id", item->id));
    char id[64];
    strcpy(id, item->id);
    if (!part || !so_realtime_insert(r, item, r->n_items, fed)) {
        no_room(r);
        return;
    }
    if (fed && strcmp(r->heard_id, id) == 0) r->added = true;
    r->committed_ms = r->now_ms;
    if (r->config.transcription)
        so_realtime_transcribe(r);
    else if (creates)
        so_realtime_respond(r, answers_silence);
}

static void note(so_realtime *r, so_realtime_note kind, int64_t ms)
{
    if (r->port.note) r->port.note(r->port.context, kind, ms);
}

static void voice_began(so_realtime *r, int64_t at_ms)
{
    if (r->ended_ms >= 0) { /* a pause within a turn */
        r->ended_ms = -1;
        return;
    }
    so_realtime_new_id(r, "item", r->turn_id);
    r->speaking = true;
    r->idle_since = -1;
    so_realtime_send(
        r, "input_audio_buffer.speech_started",
        json_pack("{s:I, s:s}", "audio_start_ms", (json_int_t)(at_ms > 0 ? at_ms : 0), "item_id", r->turn_id));
    note(r, SO_NOTE_STARTED, 0);
    if (r->active && r->config.interrupts) {
        note(r, SO_NOTE_BARGED, 0);
        so_realtime_cancel(r, "turn_detected");
    }
    so_samples before = r->ring;
    r->ring = (so_samples){0};
    extend_turn(r, before.pcm, before.n);
    free(before.pcm);
}

static void turn_over(so_realtime *r, int64_t at_ms)
{
    so_realtime_send(r, "input_audio_buffer.speech_stopped",
                     json_pack("{s:I, s:s}", "audio_end_ms", (json_int_t)at_ms, "item_id", r->turn_id));
    note(r, SO_NOTE_STOPPED, sound_ms(r) - at_ms);
    commit(r, r->config.creates, false);
}

static bool sentence_is_complete(const so_realtime *r)
{
    static const char *const ends[] = {".", "?", "!", "\xe3\x80\x82", "\xef\xbc\x9f", "\xef\xbc\x81"};
    size_t n = r->heard && r->fed ? strlen(r->heard) : 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t m = strlen(ends[i]);
        if (n > m && memcmp(r->heard + n - m, ends[i], m) == 0) return true;
    }
    return false;
}

static void voice_ended(so_realtime *r, int64_t at_ms)
{
    if (!r->speaking) return;
    if (r->config.detection == SO_DETECT_MEANING)
        r->ended_ms = at_ms;
    else
        turn_over(r, at_ms);
}

/* A client that sends no more is as silent as one that sends silence. */
static void look_at_silence(so_realtime *r)
{
    if (r->ended_ms < 0) return;
    int64_t silent = sound_ms(r) - r->ended_ms + r->now_ms - r->sounded_ms;
    if (silent >= (sentence_is_complete(r) ? MEANING_LEAST : r->config.eagerness_ms)) turn_over(r, r->ended_ms);
}

/* With a detector: pieces up to its next event, one after another. */
static void detect(so_realtime *r, const int16_t *pcm, size_t n)
{
    while (n) {
        so_vad_event event = {0};
        size_t used = 0, most = (size_t)r->config.padding_ms * (size_t)rate_in(r) / 1000;
        so_vad_feed(r->vad, pcm, n, &used, &event);
        if (used == 0 || used > n) used = n;
        r->appended += (int64_t)used;
        if (r->speaking) {
            extend_turn(r, pcm, used);
        } else {
            if (!so_samples_put(&r->ring, pcm, used)) no_room(r);
            size_t keep = most + used + (size_t)rate_in(r) / 2;
            if (event.kind != SO_VAD_BEGAN && r->ring.n > keep) so_samples_drop(&r->ring, r->ring.n - keep);
        }
        if (event.kind == SO_VAD_BEGAN) {
            /* The detector tells the beginning late, and with the padding. */
            int64_t since = (sound_ms(r) - r->before_ms - event.at_ms) * rate_in(r) / 1000;
            if (!r->speaking && since >= 0 && (size_t)since < r->ring.n)
                so_samples_drop(&r->ring, r->ring.n - (size_t)since);
            voice_began(r, r->before_ms + event.at_ms);
        }
        if (event.kind == SO_VAD_ENDED) voice_ended(r, r->before_ms + event.at_ms);
        pcm += used;
        n -= used;
    }
    r->sounded_ms = r->now_ms;
    look_at_silence(r);
}

static void take_samples(so_realtime *r, const int16_t *pcm, size_t n)
{
    if (need_vad(r) != SO_OK) {
        no_room(r);
        return;
    }
    if (r->config.detection != SO_DETECT_NONE) {
        detect(r, pcm, n);
        return;
    }
    r->appended += (int64_t)n;
    extend_turn(r, pcm, n);
}

/* Bytes as they came into samples; a byte without its other half waits. The caller frees. */
static int16_t *samples_of(so_realtime *r, const unsigned char *bytes, size_t size, size_t *n)
{
    int16_t *pcm = malloc((size + 1) * sizeof *pcm);
    *n = 0;
    for (size_t i = 0; pcm && i < size; i++) {
        if (r->config.in == SO_REALTIME_ULAW)
            pcm[(*n)++] = so_ulaw_decode(bytes[i]);
        else if (r->config.in == SO_REALTIME_ALAW)
            pcm[(*n)++] = so_alaw_decode(bytes[i]);
        else if (r->has_odd)
            pcm[(*n)++] = (int16_t)(uint16_t)(r->odd | (unsigned)bytes[i] << 8), r->has_odd = false;
        else
            r->odd = bytes[i], r->has_odd = true;
    }
    return pcm;
}

void so_realtime_append(so_realtime *r, const json_t *event, const char *event_id)
{
    const json_t *audio = json_object_get(event, "audio");
    size_t length = json_string_length(audio), size = 0, n = 0;
    if (!json_is_string(audio)) {
        so_realtime_reject(r, event_id, "invalid_value", "audio", "Invalid value for 'audio': expected base64.");
        return;
    }
    if (length / 4 * 3 > SO_REALTIME_APPEND || r->turn.n * 2 + length / 4 * 3 > SO_REALTIME_KEPT) {
        so_realtime_reject(r, event_id, "invalid_value", "audio",
                           "Too much sound: at most 15 MiB at a time and 64 MiB in a turn.");
        return;
    }
    unsigned char *bytes = so_realtime_decode(json_string_value(audio), length, &size);
    if (!bytes) {
        so_realtime_reject(r, event_id, "invalid_value", "audio", "Invalid value for 'audio': expected base64.");
        return;
    }
    int16_t *pcm = samples_of(r, bytes, size, &n);
    free(bytes);
    if (!pcm)
        no_room(r);
    else
        take_samples(r, pcm, n);
    free(pcm);
}

void so_realtime_commit(so_realtime *r, const json_t *event, const char *event_id)
{
    (void)event;
    if (r->turn.n == 0)
        so_realtime_reject(r, event_id, "input_audio_buffer_commit_empty", NULL, "The input audio buffer is empty.");
    else
        commit(r, false, false);
}

void so_realtime_clear(so_realtime *r, const json_t *event, const char *event_id)
{
    (void)event, (void)event_id;
    so_realtime_drop_turn(r);
    r->has_odd = false;
    so_realtime_send(r, "input_audio_buffer.cleared", json_object());
}

/* The user has said nothing for a long time: he is asked, in whatever way the model does that. */
static void prompt_user(so_realtime *r)
{
    int64_t end = sound_ms(r), begin = end - (int64_t)r->ring.n * 1000 / rate_in(r);
    r->idle_since = -1;
    so_realtime_new_id(r, "item", r->turn_id);
    so_realtime_send(r, "input_audio_buffer.timeout_triggered",
                     json_pack("{s:I, s:I, s:s}", "audio_start_ms", (json_int_t)begin, "audio_end_ms", (json_int_t)end,
                               "item_id", r->turn_id));
    so_samples quiet = r->ring;
    r->ring = (so_samples){0};
    extend_turn(r, quiet.pcm, quiet.n);
    free(quiet.pcm);
    commit(r, r->config.creates, true);
}

void so_realtime_wait(so_realtime *r)
{
    bool idle =
        r->config.idle_ms && r->config.detection == SO_DETECT_VOICE && r->idle_since >= 0 && !r->active && !r->speaking;
    look_at_silence(r);
    if (idle && r->now_ms - r->idle_since >= r->config.idle_ms && r->ring.n) prompt_user(r);
}
