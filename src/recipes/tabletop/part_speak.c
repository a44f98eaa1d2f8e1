/* Speaking the corpus, slice by slice. A slice is SLICE questions or answers: its samples, and behind them, written
 * last, its index. A run that was stopped or killed speaks the slices that have none; speakers that are deterministic
 * say the same again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipes/tabletop/part_speak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "dataset/voices/surroundings.h"
#include "dataset/voices/voice.h"
#include "media/audio.h"

enum { SLICE = 500, HEARD_RATE = 16000 };

/* Share of what is said by others than espeak-ng, who invents throats himself, that comes from another throat. */
static const double OTHER_THROATS = 0.7;

/* One utterance of a slice. */
typedef struct line {
    int64_t count;
    char speaker[48];
} line;

/* ---- what is to be said */

static uint64_t hash_of(const char *text)
{
    uint64_t h = 1469598103934665603u;
    for (; *text; text++) h = (h ^ (uint8_t)*text) * 1099511628211u;
    return h;
}

static bool beyond(const so_tt_script *s, int64_t i)
{
    int64_t first = s->drawn + s->recorded;
    return i >= first && i < first + s->heard;
}

/* Numbers the different answers. */
static so_status number_answers(so_tt_script *s, so_error *error)
{
    int64_t size = 2 * s->items + 1;
    int32_t *slot = malloc((size_t)size * sizeof *slot);
    if (!slot) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld answers", (long long)s->items);
    memset(slot, 0xff, (size_t)size * sizeof *slot);
    for (int64_t i = 0; i < s->items; i++) {
        const char *text = s->item[i].answer;
        int64_t at = (int64_t)(hash_of(text) % (uint64_t)size);
        while (slot[at] >= 0 && strcmp(s->answer_text[slot[at]], text) != 0) at = (at + 1) % size;
        if (slot[at] < 0) {
            slot[at] = (int32_t)s->answers;
            s->answer_text[s->answers++] = text;
        }
        s->answer[i] = slot[at];
    }
    free(slot);
    return SO_OK;
}

/* Whether question i was recorded, and which recording of the part it is. */
static const so_tt_recording *recording_of(const so_tt_script *s, int64_t i)
{
    int64_t r = s->recorded / SO_TT_COPIES;
    if (i >= s->drawn && i < s->drawn + s->recorded) return &s->cast->recording[SO_TABLETOP_TRAIN][(i - s->drawn) % r];
    i -= s->drawn + s->recorded + s->heard;
    return i >= 0 && i < s->kept ? &s->cast->recording[SO_TABLETOP_RESERVED][i] : NULL;
}

static so_tabletop_part part_of(const so_tt_script *s, int64_t i)
{
    return i < s->drawn + s->recorded + s->heard ? SO_TABLETOP_TRAIN : SO_TABLETOP_RESERVED;
}

so_status so_tt_script_open(so_tt_script *s, const so_tt *tt, so_tt_cast *cast, int64_t items, int64_t heard,
                            so_error *error)
{
    int64_t kept = cast->recordings[SO_TABLETOP_RESERVED];
    *s = (so_tt_script){
        .tt = tt, .cast = cast, .drawn = items, .recorded = SO_TT_COPIES * cast->recordings[0], .heard = heard};
    s->kept = kept < SO_TT_HELD_OUT / 3 ? kept : SO_TT_HELD_OUT / 3;
    s->items = s->drawn + s->recorded + s->heard + SO_TT_HELD_OUT;
    s->item = calloc((size_t)s->items, sizeof *s->item);
    s->answer = calloc((size_t)s->items, sizeof *s->answer);
    s->answer_text = calloc((size_t)s->items, sizeof *s->answer_text);
    s->a_at = calloc((size_t)s->items, 2 * sizeof *s->a_at);
    if (!s->item || !s->answer || !s->answer_text || !s->a_at)
        return so_fail(error, SO_ERR_NOMEM, "no memory for %lld exchanges", (long long)s->items);
    s->a_count = s->a_at + s->items;
    for (int64_t i = 0; i < s->items; i++) {
        const so_tt_recording *r = recording_of(s, i);
        if (r)
            s->item[i] = r->item;
        else if (beyond(s, i))
            so_tt_draw_heard(tt, i, &s->item[i]);
        else
            so_tt_draw_item(tt, part_of(s, i), i, &s->item[i]);
    }
    return number_answers(s, error);
}

void so_tt_script_close(so_tt_script *s)
{
    free(s->item);
    free(s->answer);
    free(s->answer_text);
    free(s->a_at);
    *s = (so_tt_script){0};
}

/* ---- slices */

static const char *slice_path(const so_tt *tt, char kind, int64_t number, const char *end, char path[1024])
{
    snprintf(path, 1024, "%s/speaking/%c%05lld.%s", tt->folder, kind, (long long)number, end);
    return path;
}

static int64_t slices_of(int64_t n) { return (n + SLICE - 1) / SLICE; }

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

/* Writes a slice: samples first, then the index, which says that it is done. */
static so_status write_slice(const so_tt *tt, char kind, int64_t number, int64_t n, const so_audio *audio,
                             const line *lines, so_error *error)
{
    char path[1024];
    so_writer w = {0};
    SO_TRY(so_writer_open(&w, slice_path(tt, kind, number, "s16", path), error));
    so_status status = SO_OK;
    for (int64_t i = 0; i < n && status == SO_OK; i++) status = put_samples(&w, audio[i].samples, audio[i].n, error);
    if (status == SO_OK) status = so_writer_commit(&w, error);
    so_writer_drop(&w);
    SO_TRY(status);
    return so_file_write(slice_path(tt, kind, number, "index", path), lines, (size_t)n * sizeof *lines, error);
}

/* All that stand in the folder, however many another corpus had. */
static void remove_slices(const so_tt_script *s)
{
    enum { MOST = 100000 };
    char path[1024];
    for (int kind = 0; kind < 2; kind++)
        for (int64_t k = 0; k < MOST; k++) {
            bool some = unlink(slice_path(s->tt, "qa"[kind], k, "index", path)) == 0;
            some = unlink(slice_path(s->tt, "qa"[kind], k, "s16", path)) == 0 || some;
            if (!some && k >= slices_of(s->items)) break;
        }
}

/* ---- questions */

static so_status to_rate(const so_tt *tt, so_audio *audio, so_error *error)
{
    float *y;
    int64_t n;
    if (audio->rate == HEARD_RATE) return SO_OK;
    if (audio->rate == SO_SPEAKER_RATE)
        SO_TRY(so_resample_clip(tt->down, audio->samples, audio->n, &y, &n, error));
    else
        SO_TRY(so_resample_to(audio->rate, HEARD_RATE, audio->samples, audio->n, &y, &n, error));
    free(audio->samples);
    *audio = (so_audio){.samples = y, .n = n, .rate = HEARD_RATE};
    return SO_OK;
}

/* Another throat, another pace. */
static so_status change_throat(const so_tt *tt, int64_t i, bool always, so_audio *audio, so_error *error)
{
    so_rng rng;
    so_rng_init(&rng, tt->seed, 0x74687261740000u + (uint64_t)i);
    so_surroundings w = {0};
    bool other = so_rng_uniform(&rng) < OTHER_THROATS || always;
    w.formants = 0.8 + 0.42 * so_rng_uniform(&rng);
    w.speed = 0.85 + 0.35 * so_rng_uniform(&rng);
    if (!other) return SO_OK;
    float *y;
    int64_t n;
    SO_TRY(so_surroundings_apply(&w, audio->samples, audio->n, audio->rate, 0, &y, &n, error));
    free(audio->samples);
    audio->samples = y;
    audio->n = n;
    return SO_OK;
}

/* Question i, read from its recording. One that cannot be read is told, and left to the fallback. */
static so_status read_recording(const so_tt_script *s, int64_t i, so_audio *audio, line *out, so_error *error)
{
    const so_tt_recording *r = recording_of(s, i);
    so_error why;
    if (so_audio_read(audio, r->path, SO_SPEAKER_SECONDS, &why) == SO_OK && audio->n > audio->rate / 10) {
        memcpy(out->speaker, r->speaker, sizeof out->speaker);
        return SO_OK;
    }
    free(audio->samples);
    *audio = (so_audio){0};
    int speaker = s->cast->fallback[part_of(s, i)];
    so_tt_say(s->tt, "corpus: '%s' is no speech and is spoken anew", r->path);
    so_tt_cast_name(s->cast, speaker, out->speaker);
    audio->rate = SO_SPEAKER_RATE;
    return so_speakers_speak(s->cast->speakers, speaker, s->item[i].question, s->tt->seed + (uint64_t)i,
                             &audio->samples, &audio->n, error);
}

/* Speaks those of `todo` (n, questions from `first` on) that `speaker` was drawn for. */
static so_status speak_as(const so_tt_script *s, int speaker, int64_t first, int n, const int *todo, so_audio *audio,
                          line *lines, so_error *error)
{
    const char *text[SO_TT_TOGETHER];
    uint64_t seed[SO_TT_TOGETHER];
    so_tt_said said[SO_TT_TOGETHER] = {0};
    for (int k = 0; k < n; k++) {
        text[k] = s->item[first + todo[k]].question;
        seed[k] = s->tt->seed * 1000003 + (uint64_t)(first + todo[k]);
    }
    so_tt_lines asked = {part_of(s, first + todo[0]), speaker, n, text, seed};
    so_status status = so_tt_cast_speak(s->cast, s->tt, &asked, said, error);
    for (int k = 0; k < n; k++) {
        audio[todo[k]] = (so_audio){.samples = said[k].samples, .n = said[k].n, .rate = SO_SPEAKER_RATE};
        so_tt_cast_name(s->cast, said[k].speaker, lines[todo[k]].speaker);
    }
    return status;
}

/* All questions of a slice that are spoken now, speaker by speaker. */
static so_status speak_drawn(const so_tt_script *s, int64_t first, int64_t n, so_audio *audio, line *lines,
                             so_error *error)
{
    for (int speaker = 0; speaker < so_speakers_count(s->cast->speakers); speaker++)
        for (int part = 0; part < 2; part++) {
            int todo[SO_TT_TOGETHER], waiting = 0;
            for (int64_t k = 0; k < n; k++) {
                int64_t i = first + k;
                if (!recording_of(s, i) && so_tt_by_cast(&s->item[i]) && (int)part_of(s, i) == part &&
                    so_tt_cast_draw(s->cast, s->tt, part_of(s, i), i) == speaker)
                    todo[waiting++] = (int)k;
                if (waiting == SO_TT_TOGETHER || (waiting && k == n - 1)) {
                    SO_TRY(speak_as(s, speaker, first, waiting, todo, audio, lines, error));
                    waiting = 0;
                }
            }
        }
    return SO_OK;
}

bool so_tt_by_cast(const so_tt_item *item) { return item->question[0] && !item->language[0]; }

/* What the cast has nothing to do with: sound that is no speech, and other languages, which espeak-ng speaks. */
static so_status speak_beyond(const so_tt_script *s, int64_t i, so_audio *audio, line *out, so_error *error)
{
    const so_tt_item *item = &s->item[i];
    audio->rate = SO_SPEAKER_RATE;
    if (!item->question[0]) {
        snprintf(out->speaker, sizeof out->speaker, "sound");
        return so_tabletop_sound(part_of(s, i), s->tt->seed, (uint64_t)i, &audio->samples, &audio->n, error);
    }
    so_voice voice = so_voice_draw(SO_TABLETOP_TRAIN, s->tt->seed, (uint64_t)i);
    snprintf(voice.accent, sizeof voice.accent, "%s", item->language);
    snprintf(out->speaker, sizeof out->speaker, "espeak-ng/%.7s", item->language);
    return so_voice_speak(item->question, &voice, (uint64_t)i, &audio->samples, &audio->n, error);
}

static so_status speak_questions(const so_tt_script *s, int64_t first, int64_t n, so_audio *audio, line *lines,
                                 so_error *error)
{
    SO_TRY(speak_drawn(s, first, n, audio, lines, error));
    for (int64_t k = 0; k < n; k++) {
        int64_t i = first + k;
        bool recorded = recording_of(s, i) != NULL, learned = part_of(s, i) == SO_TABLETOP_TRAIN;
        if (recorded)
            SO_TRY(read_recording(s, i, &audio[k], &lines[k], error));
        else if (!so_tt_by_cast(&s->item[i]))
            SO_TRY(speak_beyond(s, i, &audio[k], &lines[k], error));
        bool copy = recorded && learned && i >= s->drawn + s->recorded / SO_TT_COPIES;
        if (learned && strncmp(lines[k].speaker, "espeak-ng", 9) != 0 && (!recorded || copy))
            SO_TRY(change_throat(s->tt, i, copy, &audio[k], error));
        SO_TRY(to_rate(s->tt, &audio[k], error));
    }
    return SO_OK;
}

/* ---- answers */

/* Root mean square of the frames of 20 ms that are within 20 dB of the loudest. */
static double level_of(const so_audio *audio)
{
    int64_t frame = audio->rate / 50, loud = 0;
    double most = 0, sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t at = 0; at + frame <= audio->n; at += frame) {
            double power = 0;
            for (int64_t i = at; i < at + frame; i++) power += (double)audio->samples[i] * (double)audio->samples[i];
            if (pass == 0)
                most = power > most ? power : most;
            else if (power > most / 100)
                sum += power, loud++;
        }
    return loud ? sqrt(sum / (double)(loud * frame)) : 0;
}

/* The own voice as it is learned: -20 dB of speech, at most 40 ms of quiet before it and 100 ms behind. */
static void settle(so_audio *audio)
{
    float peak = 0;
    for (int64_t i = 0; i < audio->n; i++) peak = fmaxf(peak, fabsf(audio->samples[i]));
    int64_t first = 0, last = audio->n;
    while (first < last && fabsf(audio->samples[first]) < peak / 100) first++;
    while (last > first && fabsf(audio->samples[last - 1]) < peak / 100) last--;
    first = first > audio->rate / 25 ? first - audio->rate / 25 : 0;
    last = last + audio->rate / 10 < audio->n ? last + audio->rate / 10 : audio->n;
    float gain = fminf((float)(0.1 / fmax(level_of(audio), 1e-4)), 0.95f / fmaxf(peak, 1e-4f));
    audio->n = last - first;
    memmove(audio->samples, audio->samples + first, (size_t)audio->n * sizeof *audio->samples);
    for (int64_t i = 0; i < audio->n; i++) audio->samples[i] *= gain;
}

static so_status speak_answers(const so_tt_script *s, int64_t first, int64_t n, so_audio *audio, line *lines,
                               so_error *error)
{
    so_voice voice = so_voice_own();
    for (int64_t at = 0; at < n; at += SO_TT_TOGETHER) {
        int now = (int)(n - at < SO_TT_TOGETHER ? n - at : SO_TT_TOGETHER);
        float *samples[SO_TT_TOGETHER] = {0};
        int64_t counts[SO_TT_TOGETHER] = {0};
        uint64_t seed[SO_TT_TOGETHER] = {0};
        const char *const *text = s->answer_text + first + at;
        so_status status = SO_OK;
        if (s->cast->own >= 0)
            status = so_speakers_speak_many(s->cast->speakers, s->cast->own, now, text, seed, samples, counts, error);
        for (int k = 0; k < now; k++) {
            if (s->cast->own < 0 && status == SO_OK)
                status = so_voice_speak(text[k], &voice, 0, &samples[k], &counts[k], error);
            audio[at + k] = (so_audio){.samples = samples[k], .n = counts[k], .rate = SO_SPEAKER_RATE};
            if (s->cast->own >= 0)
                so_tt_cast_name(s->cast, s->cast->own, lines[at + k].speaker);
            else
                snprintf(lines[at + k].speaker, sizeof lines->speaker, "espeak-ng/own");
        }
        SO_TRY(status);
        for (int k = 0; k < now; k++) settle(&audio[at + k]);
    }
    return SO_OK;
}

static so_status speak_slice(const so_tt_script *s, char kind, int64_t number, so_error *error)
{
    char path[1024];
    int64_t all = kind == 'q' ? s->items : s->answers, first = number * SLICE,
            n = all - first < SLICE ? all - first : SLICE;
    if (access(slice_path(s->tt, kind, number, "index", path), R_OK) == 0) return SO_OK;
    so_audio *audio = calloc(SLICE, sizeof *audio);
    line *lines = calloc(SLICE, sizeof *lines);
    so_status status = audio && lines ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a slice of speech");
    if (status == SO_OK) status = (kind == 'q' ? speak_questions : speak_answers)(s, first, n, audio, lines, error);
    for (int64_t k = 0; k < n && status == SO_OK; k++) lines[k].count = audio[k].n;
    if (status == SO_OK) status = write_slice(s->tt, kind, number, n, audio, lines, error);
    for (int64_t k = 0; k < n && audio; k++) free(audio[k].samples);
    free(audio);
    free(lines);
    return status;
}

typedef struct shift {
    so_tt_script *script;
    int processes;
} shift;

static so_status speak_share(void *context, int number, so_error *error)
{
    const shift *w = context;
    const so_tt_script *s = w->script;
    int64_t answers = slices_of(s->answers), all = slices_of(s->items) + answers;
    for (int64_t k = number; k < all; k += w->processes) {
        SO_TRY(speak_slice(s, k < answers ? 'a' : 'q', k < answers ? k : k - answers, error));
        so_tt_say(s->tt, "corpus: process %d, slice %lld of %lld", number, (long long)(k + 1), (long long)all);
    }
    return SO_OK;
}

/* Slices of other words or other speakers are not gone on with. */
static so_status check_slices(const so_tt_script *s, so_error *error)
{
    char path[1024], name[48], wanted[256], *found;
    size_t size;
    uint64_t words = 0, speakers = 0;
    for (int64_t i = 0; i < s->items; i++)
        words = words * 31 + hash_of(s->item[i].question) + 7 * hash_of(s->item[i].answer);
    for (int i = 0; i < so_speakers_count(s->cast->speakers); i++) {
        so_tt_cast_name(s->cast, i, name);
        speakers = speakers * 31 + hash_of(name);
    }
    for (int64_t i = 0; i < s->drawn + s->recorded; i++)
        if (recording_of(s, i)) speakers = speakers * 31 + hash_of(recording_of(s, i)->path);
    snprintf(wanted, sizeof wanted, "seed %llu items %lld words %llx speakers %llx own %d\n",
             (unsigned long long)s->tt->seed, (long long)s->items, (unsigned long long)words,
             (unsigned long long)speakers, s->cast->own);
    so_tt_path(s->tt, "speaking/script.txt", path);
    if (access(path, R_OK) == 0) {
        SO_TRY(so_file_read(path, 4096, &found, &size, error));
        bool same = strcmp(found, wanted) == 0;
        free(found);
        if (same) return SO_OK;
        so_tt_say(s->tt, "corpus: what was spoken before is of other words or other speakers and is spoken anew");
        remove_slices(s);
    }
    return so_file_write(path, wanted, strlen(wanted), error);
}

so_status so_tt_script_speak(so_tt_script *s, int processes, so_error *error)
{
    char path[1024];
    shift work = {s, processes};
    SO_TRY(so_make_folder(so_tt_path(s->tt, "speaking", path), error));
    so_writer_sweep(path);
    SO_TRY(check_slices(s, error));
    return so_children_run(processes, "corpus: process", speak_share, &work, s->tt->stop, error);
}

/* ---- putting together */

/* Appends the slices of a kind to a file; tells what each utterance is. */
static so_status join_kind(const so_tt_script *s, char kind, const char *name, line *lines, so_error *error)
{
    char path[1024];
    so_writer w = {0};
    int64_t all = kind == 'q' ? s->items : s->answers;
    SO_TRY(so_writer_open(&w, so_tt_path(s->tt, name, path), error));
    so_status status = SO_OK;
    for (int64_t k = 0; k < slices_of(all) && status == SO_OK; k++) {
        so_map index = {0}, samples = {0};
        int64_t n = all - k * SLICE < SLICE ? all - k * SLICE : SLICE, sum = 0;
        SO_TRY_GO(so_map_open(&index, slice_path(s->tt, kind, k, "index", path), error));
        SO_TRY_GO(so_map_open(&samples, slice_path(s->tt, kind, k, "s16", path), error));
        if (index.size == (size_t)n * sizeof *lines) memcpy(lines + k * SLICE, index.data, index.size);
        for (int64_t i = 0; i < n; i++) sum += lines[k * SLICE + i].count;
        if (index.size != (size_t)n * sizeof *lines || samples.size != (size_t)sum * 2)
            SO_TRY_GO(so_fail(error, SO_ERR_FORMAT,
                              "'%s' is of another corpus or was cut; remove the folder 'speaking' and run again",
                              path));
        SO_TRY_GO(so_writer_put(&w, samples.data, samples.size, error));
    done:
        so_map_close(&index);
        so_map_close(&samples);
    }
    if (status == SO_OK) status = so_writer_commit(&w, error);
    so_writer_drop(&w);
    return status;
}

so_status so_tt_script_join(so_tt_script *s, so_error *error)
{
    line *q = calloc((size_t)s->items, sizeof *q), *a = calloc((size_t)s->items, sizeof *a);
    so_status status = q && a ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for an index");
    if (status == SO_OK) status = join_kind(s, 'q', "corpus.q16", q, error);
    if (status == SO_OK) status = join_kind(s, 'a', "corpus.a22", a, error);
    int64_t at = 0;
    for (int64_t i = 0; i < s->answers && status == SO_OK; i++) {
        s->a_at[i] = at;
        at += s->a_count[i] = a[i].count;
    }
    at = 0;
    for (int64_t i = 0; i < s->items && status == SO_OK; i++) {
        so_tt_item *item = &s->item[i];
        item->q_at = at;
        at += item->q_count = q[i].count;
        memcpy(item->speaker, q[i].speaker, sizeof item->speaker);
        item->a_at = s->a_at[s->answer[i]];
        item->a_count = s->a_count[s->answer[i]];
    }
    free(q);
    free(a);
    return status;
}

void so_tt_script_sweep(const so_tt_script *s)
{
    char path[1024];
    remove_slices(s);
    unlink(so_tt_path(s->tt, "speaking/script.txt", path));
    rmdir(so_tt_path(s->tt, "speaking", path));
}
