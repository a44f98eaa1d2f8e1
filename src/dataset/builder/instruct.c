/* Selecting, speaking, checking dialogues.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/builder/instruct.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/edit.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/rng.h"
#include "dataset/builder/sayable.h"
#include "dataset/voices/surroundings.h"
#include "text/normalise.h"

typedef struct building {
    const so_dataset *dataset;
    const so_instruct_options *o;
    so_instruct_counts *counts;
    so_sayable *speakable;
    so_spoken_rules *rules;
    int own;               /* speaker of the answers */
    int64_t short_answers; /* records whose answers are single words */
} building;

static void drop(building *b, const char *reason)
{
    for (int i = 0; i < SO_INSTRUCT_REASONS; i++) {
        if (!b->counts->reason[i]) b->counts->reason[i] = reason;
        if (strcmp(b->counts->reason[i], reason) != 0) continue;
        b->counts->dropped[i]++;
        return;
    }
}

static so_status put_line(so_writer *w, json_t *line, so_error *error)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    size_t n = strlen(text);
    text[n] = '\n';
    so_status status = so_writer_put(w, text, n + 1, error);
    free(text);
    return status;
}

/* ---- who speaks */

static bool speaks(const so_speaker *who, const char *lang)
{
    return !who->reserved && (who->given || strcmp(lang, "en") == 0);
}

/* One of those who speak the language, by seed and record; -1: nobody does. */
static int draw(const so_speakers *s, const char *lang, uint64_t seed, uint64_t record)
{
    so_rng rng;
    int n = 0, chosen = -1;
    so_rng_init(&rng, seed, record);
    for (int i = 0; i < so_speakers_count(s); i++)
        if (speaks(so_speakers_at(s, i), lang) && so_rng_below(&rng, ++n) == 0) chosen = i;
    return chosen;
}

static so_status find_own(building *b, so_error *error)
{
    char name[96];
    b->own = -1;
    for (int i = 0; i < so_speakers_count(b->o->speakers); i++) {
        const so_speaker *who = so_speakers_at(b->o->speakers, i);
        snprintf(name, sizeof name, "%s:%s", who->engine, who->voice);
        if (b->o->own ? strcmp(name, b->o->own) == 0 : b->own < 0 && who->deterministic && !who->reserved) b->own = i;
    }
    if (b->own < 0 && !b->o->own && so_speakers_count(b->o->speakers)) b->own = 0;
    if (b->own >= 0) return SO_OK;
    return so_fail(error, SO_ERR_MISSING, "no voice '%s'; data voices lists them", b->o->own ? b->o->own : "");
}

/* ---- select */

static bool is_letter(const char *text)
{
    return text[0] >= 'A' && text[0] <= 'Z' && (!text[1] || (text[1] == '.' && !text[2]));
}

/* What is said of a turn, into it; *reason where it cannot be. */
static so_status select_turn(building *b, const so_record_turn *t, const char *lang, bool *choice, json_t *out,
                             const char **reason, so_error *error)
{
    bool answers = t->role == SO_ROLE_ASSISTANT, asks = false;
    double most = answers ? b->o->most_answer_s : b->o->most_user_s;
    so_string words = {0}, say = {0};
    so_status status =
        answers ? so_string_put(&words, t->text, error) : so_sayable_question(t->text, &words, &asks, error);
    if (status != SO_OK || !words.data) goto done;
    if (asks) *choice = true;
    if (answers && *choice && is_letter(t->text)) *reason = "letter";
    if (!*reason) *reason = so_sayable_reason(b->speakable, words.data);
    if (!*reason && answers && !so_sayable_cut(words.data, lang, most)) *reason = "too long";
    if (!*reason && so_sayable_seconds(words.data, lang) > most) *reason = "too long";
    if (*reason) goto done;
    status = so_spoken_write(b->rules, words.data, strlen(words.data),
                             strcmp(lang, "zh") == 0 ? SO_TONGUE_CHINESE : SO_TONGUE_ENGLISH, &say, error);
    if (status == SO_OK && (!say.data || so_sayable_seconds(say.data, lang) < 0.05)) *reason = "nothing to say";
    if (status == SO_OK && !*reason) {
        if (answers) json_object_set_new(out, "text", json_string(words.data));
        json_object_set_new(out, "say", json_string(say.data));
    }
done:
    so_string_clear(&words);
    so_string_clear(&say);
    return status;
}

static const char *barred(const char *source)
{
    static const char *const names[] = {"geometry", "geo170k", "chart", "MathV360K", "ocr", "textcaps", "code"};
    for (size_t i = 0; source && i < sizeof names / sizeof *names; i++)
        if (strcasestr(source, names[i])) return "source";
    return NULL;
}

/* At most one record of five has answers of one word: they teach clipped speech. */
static bool too_short(building *b, const so_record *r)
{
    bool all = true;
    for (int i = 0; i < r->turns; i++)
        if (r->turn[i].role == SO_ROLE_ASSISTANT && strpbrk(r->turn[i].text, " \n\xe4\xe5\xe6\xe7\xe8\xe9"))
            all = false;
    if (!all) return false;
    if ((b->short_answers + 1) * 5 > b->counts->selected + 5) return true;
    b->short_answers++;
    return false;
}

static so_status select_record(building *b, int64_t i, const so_record *r, json_t *json, const char **reason,
                               so_error *error)
{
    so_string all = {0};
    bool choice = false;
    *reason = barred(r->source);
    for (int k = 0; k < r->turns && !*reason; k++)
        SO_TRY(so_string_put(&all, r->turn[k].role == SO_ROLE_SYSTEM ? "" : r->turn[k].text, error));
    const char *lang = *reason ? NULL : so_sayable_lang(all.data ? all.data : "");
    so_string_clear(&all);
    if (!*reason && !lang) *reason = "language";
    int user = *reason ? -1 : draw(b->o->speakers, lang, b->o->seed, (uint64_t)i);
    if (!*reason && (user < 0 || !speaks(so_speakers_at(b->o->speakers, b->own), lang))) *reason = "no voice";
    if (!*reason && r->turn[r->turns - 1].role != SO_ROLE_ASSISTANT) *reason = "no answer";
    for (int k = 0; k < r->turns && !*reason; k++) {
        json_t *turn = json_array_get(json_object_get(json, "turns"), (size_t)k);
        if (r->turn[k].role == SO_ROLE_SYSTEM) continue;
        SO_TRY(select_turn(b, &r->turn[k], lang, &choice, turn, reason, error));
        const so_speaker *who = so_speakers_at(b->o->speakers, r->turn[k].role == SO_ROLE_USER ? user : b->own);
        char name[96];
        snprintf(name, sizeof name, "%s:%s", who->engine, who->voice);
        json_object_set_new(turn, "speaker", json_string(name));
    }
    if (!*reason && too_short(b, r)) *reason = "one word";
    if (!*reason) json_object_set_new(json, "lang", json_string(lang));
    if (!*reason) json_object_set_new(json, "seed", json_integer((json_int_t)b->o->seed));
    return SO_OK;
}

/* Paths as they can be opened from anywhere. */
static void settle_images(const so_record *r, json_t *json)
{
    json_t *images = json_object_get(json, "images");
    for (int k = 0; k < r->images; k++) {
        json_t *image = json_array_get(images, (size_t)k);
        if (json_is_string(image)) json_array_set_new(images, (size_t)k, json_string(r->image[k].path));
        if (json_is_object(image)) json_object_set_new(image, "path", json_string(r->image[k].path));
    }
}

static so_status select_all(building *b, const char *path, so_error *error)
{
    so_writer out = {0}, dropped = {0};
    char name[4096];
    int64_t n = b->dataset->count;
    snprintf(name, sizeof name, "%.4000s/dropped.jsonl", b->o->folder);
    so_status status = so_writer_open(&out, path, error);
    if (status == SO_OK) status = so_writer_open(&dropped, name, error);
    for (int64_t i = 0; i < n && status == SO_OK; i++) {
        so_record r;
        const char *reason = NULL;
        if (b->o->most_records && b->counts->selected == b->o->most_records) break;
        status = so_dataset_read(b->dataset, i, &r, error);
        if (status != SO_OK) break;
        json_t *json = json_deep_copy(r.json);
        settle_images(&r, json);
        b->counts->read++;
        status = select_record(b, i, &r, json, &reason, error);
        if (status == SO_OK && reason) {
            json_t *line = json_pack("{s:s, s:s}", "id", r.id, "reason", reason);
            drop(b, reason);
            status = put_line(&dropped, line, error);
            json_decref(line);
        } else if (status == SO_OK) {
            b->counts->selected++;
            status = put_line(&out, json, error);
        }
        json_decref(json);
        so_record_clear(&r);
        if (b->o->progress && i % 256 == 0) b->o->progress(b->o->context, "selecting", i, n);
        if (status == SO_OK && b->o->stop && *b->o->stop)
            status = so_fail(error, SO_ERR_STOPPED, "stopped; started again it goes on");
    }
    if (status == SO_OK) status = so_writer_commit(&dropped, error);
    if (status == SO_OK) status = so_writer_commit(&out, error);
    so_writer_drop(&out);
    so_writer_drop(&dropped);
    return status;
}

/* ---- speak */

void so_instruct_level(float *x, int64_t *n, int rate)
{
    const int64_t step = rate / 100, margin = rate * 15 / 100;
    int64_t first = -1, last = -1, loud = 0;
    double sum = 0, peak = 0;
    for (int64_t i = 0; i < *n; i++) peak = fmax(peak, fabs((double)x[i]));
    for (int64_t at = 0; at + step <= *n; at += step) {
        double e = 0;
        for (int64_t i = at; i < at + step; i++) e += (double)x[i] * (double)x[i];
        if (sqrt(e / (double)step) < peak * 0.02) continue;
        first = first < 0 ? at : first;
        last = at + step;
        sum += e;
        loud += step;
    }
    if (first < 0) return;
    int64_t from = first > margin ? first - margin : 0, to = last + margin < *n ? last + margin : *n;
    double gain = pow(10, -23 / 20.0) / sqrt(sum / (double)loud);
    gain = fmin(gain, pow(10, -1 / 20.0) / peak);
    for (int64_t i = from; i < to; i++) x[i - from] = (float)((double)x[i] * gain);
    *n = to - from;
}

static int find_speaker(const so_speakers *s, const char *wanted)
{
    char name[96];
    for (int i = 0; i < so_speakers_count(s); i++) {
        snprintf(name, sizeof name, "%s:%s", so_speakers_at(s, i)->engine, so_speakers_at(s, i)->voice);
        if (strcmp(name, wanted) == 0) return i;
    }
    return -1;
}

/* An invented voice is one of its seed: a dialogue's user keeps it, and all answers have the same. */
static so_status speak_turn(building *b, const json_t *turn, const char *path, uint64_t dialogue, so_error *error)
{
    float *x = NULL, *y = NULL;
    int64_t n, m;
    const char *say = json_string_value(json_object_get(turn, "say")),
               *who = json_string_value(json_object_get(turn, "speaker")),
               *role = json_string_value(json_object_get(turn, "role"));
    int i = find_speaker(b->o->speakers, who ? who : "");
    if (i < 0) return so_fail(error, SO_ERR_MISSING, "the voice '%s' is not there any more", who ? who : "");
    bool user = strcmp(role, "user") == 0;
    uint64_t seed = b->o->seed + (user ? dialogue + 1 : 0);
    SO_TRY(so_speakers_speak(b->o->speakers, i, say, seed, &x, &n, error));
    so_instruct_level(x, &n, SO_SPEAKER_RATE);
    so_status status = SO_OK;
    if (b->o->disturb > 0 && user) {
        so_rng rng;
        so_rng_init(&rng, seed, 5);
        so_surroundings around = so_surroundings_draw(&rng, b->o->disturb);
        status = so_surroundings_apply(&around, x, n, SO_SPEAKER_RATE, seed, &y, &m, error);
    }
    if (status == SO_OK) status = so_audio_write(path, SO_AUDIO_FLAC, y ? y : x, y ? m : n, SO_SPEAKER_RATE, error);
    free(x);
    free(y);
    return status;
}

/* Speaks what has no file yet, and gives the record to the sink. A voice that fails twice drops the record. */
static so_status speak_record(building *b, json_t *record, int64_t number, so_sink *sink, so_error *error)
{
    json_t *turns = json_object_get(record, "turns"), *turn;
    size_t k;
    char path[4096], name[4096];
    snprintf(name, sizeof name, "%.4000s/selected.jsonl", b->o->folder);
    json_array_foreach(turns, k, turn)
    {
        so_error why;
        if (!json_object_get(turn, "say")) continue;
        snprintf(path, sizeof path, "%.3900s/speech/%07lld.t%zu.flac", b->o->folder, (long long)number, k);
        if (access(path, R_OK) != 0) {
            so_status status = speak_turn(b, turn, path, (uint64_t)number, &why);
            if (status == SO_ERR_STOPPED || status == SO_ERR_NOMEM || status == SO_ERR_IO)
                return so_fail(error, status, "%s", why.text);
            if (status != SO_OK) {
                drop(b, "voice failed");
                return so_sink_bad(sink, SO_BAD_SOUND, name, number + 1, error, "%s", why.text);
            }
        }
        char *real = realpath(path, NULL);
        json_object_set_new(turn, "audio", json_pack("{s:s}", "path", real ? real : path));
        free(real);
    }
    b->counts->spoken++;
    return so_sink_put(sink, json_incref(record), name, number + 1, error);
}

static so_status speak_all(building *b, const char *selected, so_sink *sink, so_error *error)
{
    char *data, path[4096];
    size_t size;
    snprintf(path, sizeof path, "%.4000s/speech", b->o->folder);
    SO_TRY(so_make_folder(path, error));
    SO_TRY(so_file_read(selected, (size_t)16 << 30, &data, &size, error));
    so_status status = SO_OK;
    int64_t number = 0;
    for (const char *at = data, *stop; status == SO_OK && (stop = memchr(at, '\n', (size_t)(data + size - at)));
         at = stop + 1, number++) {
        json_t *record = json_loadb(at, (size_t)(stop - at), 0, NULL);
        status = record ? speak_record(b, record, number, sink, error)
                        : so_fail(error, SO_ERR_FORMAT, "'%s', line %lld: not JSON", selected, (long long)number + 1);
        json_decref(record);
        if (b->o->progress) b->o->progress(b->o->context, "speaking", number + 1, b->counts->selected);
        if (status == SO_OK && b->o->stop && *b->o->stop)
            status = so_fail(error, SO_ERR_STOPPED, "stopped; started again it goes on");
    }
    free(data);
    return status;
}

/* ---- check */

typedef struct two_texts {
    const char *a, *b;
    const size_t *at_a, *at_b; /* where words begin; the end behind the last */
} two_texts;

static bool same_word(const void *context, int64_t i, int64_t k)
{
    const two_texts *t = context;
    size_t n = t->at_a[i + 1] - t->at_a[i], m = t->at_b[k + 1] - t->at_b[k];
    return n == m && memcmp(t->a + t->at_a[i], t->b + t->at_b[k], n) == 0;
}

/* Begins of words (of characters of Chinese), each with the blank behind it. */
static int64_t cut(const char *text, size_t size, bool chinese, size_t *at)
{
    int64_t n = 0;
    for (size_t i = 0; i < size; i++)
        if (chinese ? ((unsigned char)text[i] & 0xc0) != 0x80 : text[i] != ' ' && (i == 0 || text[i - 1] == ' '))
            at[n++] = i;
    at[n] = size;
    return n;
}

/* Word errors of what was heard against what was to be said; characters in Chinese. */
static so_status errors_of(const char *say, const char *heard, bool chinese, double *rate, so_error *error)
{
    so_string a = {0}, b = {0};
    so_status (*form)(const char *, size_t, so_string *, so_error *) =
        chinese ? so_normalise_chinese : so_normalise_asr;
    so_status status = form(say, strlen(say), &a, error);
    if (status == SO_OK) status = form(heard, strlen(heard), &b, error);
    if (status == SO_OK) status = so_string_put(&a, chinese ? "" : " ", error); /* so that last words end like others */
    if (status == SO_OK) status = so_string_put(&b, chinese ? "" : " ", error);
    size_t *at_a = calloc(a.size + 2, sizeof *at_a), *at_b = calloc(b.size + 2, sizeof *at_b);
    so_edits *row = calloc(b.size + 2, sizeof *row);
    if (status == SO_OK && (!at_a || !at_b || !row))
        status = so_fail(error, SO_ERR_NOMEM, "no memory to compare words");
    if (status == SO_OK) {
        int64_t n = cut(a.data, a.size, chinese, at_a), m = cut(b.data, b.size, chinese, at_b);
        so_edits e = so_edits_between(n, m, same_word, &(two_texts){a.data, b.data, at_a, at_b}, row);
        *rate = n ? (double)(e.substitutions + e.deletions + e.insertions) / (double)n : m > 0;
    }
    free(at_a);
    free(at_b);
    free(row);
    so_string_clear(&a);
    so_string_clear(&b);
    return status;
}

static so_status check_turn(building *b, so_clips *clips, const so_record_turn *t, const char *lang, double worst[2],
                            const char **reason, so_error *error)
{
    so_audio audio;
    bool chinese = strcmp(lang, "zh") == 0;
    SO_TRY(so_clips_read(clips, t, &audio, error));
    int64_t clipped = 0;
    for (int64_t i = 0; i < audio.n; i++) clipped += fabsf(audio.samples[i]) >= 0.9999f;
    double seconds = (double)audio.n / audio.rate, pace = so_sayable_seconds(t->say, lang);
    double a_char = pace > 0 ? seconds / (pace * (chinese ? 4.5 : 15)) : 0;
    worst[1] = a_char;
    if (clipped * 1000 > audio.n) *reason = "clipped";
    /* Single words are all beginning and end. */
    if (pace > 1 && (a_char < (chinese ? 0.12 : 0.04) || a_char > (chinese ? 0.45 : 0.12))) *reason = "pace";
    so_status status = SO_OK;
    if (!*reason && b->o->hear) {
        char *heard = NULL;
        double rate = 1;
        status = b->o->hear(b->o->hearer, audio.samples, audio.n, audio.rate, &heard, error);
        if (status == SO_OK) status = errors_of(t->say, heard ? heard : "", chinese, &rate, error);
        worst[0] = fmax(worst[0], rate);
        if (rate > (b->o->most_wer > 0 ? b->o->most_wer : chinese ? 0.08 : 0.1)) *reason = "word errors";
        free(heard);
    }
    so_audio_clear(&audio);
    return status;
}

static so_status check_record(building *b, so_clips *clips, const so_dataset *d, int64_t i, so_sink *sink,
                              so_error *error)
{
    so_record r;
    const char *reason = NULL;
    double worst[2] = {0};
    SO_TRY(so_dataset_read(d, i, &r, error));
    so_status status = SO_OK;
    for (int k = 0; k < r.turns && status == SO_OK && !reason; k++)
        if (r.turn[k].audio.path && r.turn[k].say)
            status = check_turn(b, clips, &r.turn[k], r.lang ? r.lang : "en", worst, &reason, error);
    if (status == SO_OK && reason) {
        drop(b, reason);
        status = so_sink_bad(sink, SO_BAD_SOUND, "units", i + 1, error, "%s: %s (word errors %.2f, %.3f s a character)",
                             r.id, reason, worst[0], worst[1]);
    } else if (status == SO_OK) {
        json_t *json = json_deep_copy(r.json), *turns = json_object_get(json, "turns");
        settle_images(&r, json);
        json_t *check = json_pack("{s:f}", "seconds_per_char", worst[1]);
        if (b->o->hear) json_object_set_new(check, "wer", json_real(worst[0]));
        json_object_set_new(json, "check", check);
        for (int k = 0; k < r.turns; k++) {
            json_t *units = json_object_get(json_array_get(turns, (size_t)k), "units");
            if (json_is_object(units)) json_object_set_new(units, "path", json_string(r.turn[k].units.path));
        }
        b->counts->kept++;
        b->counts->seconds += d->lengths[i].ms / 1e3;
        status = so_sink_put(sink, json, "units", i + 1, error);
    }
    so_record_clear(&r);
    return status;
}

static so_status check_all(building *b, const so_dataset *d, so_sink *sink, so_error *error)
{
    so_clips clips = {0};
    so_status status = SO_OK;
    for (int64_t i = 0; i < d->count && status == SO_OK; i++) {
        status = check_record(b, &clips, d, i, sink, error);
        if (b->o->progress) b->o->progress(b->o->context, "hearing it again", i + 1, d->count);
        if (status == SO_OK && b->o->stop && *b->o->stop)
            status = so_fail(error, SO_ERR_STOPPED, "stopped; started again it goes on");
    }
    so_clips_clear(&clips);
    return status;
}

/* ---- stages */

typedef so_status (*filling)(building *b, const so_dataset *from, const char *selected, so_sink *sink, so_error *error);

static so_status fill_spoken(building *b, const so_dataset *from, const char *selected, so_sink *sink, so_error *error)
{
    (void)from;
    return speak_all(b, selected, sink, error);
}
static so_status fill_checked(building *b, const so_dataset *from, const char *selected, so_sink *sink, so_error *error)
{
    (void)selected;
    return check_all(b, from, sink, error);
}

/* A folder of records that is filled as a whole. Recordings below 0.1 s and above the bounds are left out by it. */
static so_status stage(building *b, const char *name, const so_dataset *from, const char *selected, filling fill,
                       so_dataset **out, so_error *error)
{
    char folder[4096];
    so_sink *sink = NULL;
    const so_sink_options options = {.most_s = fmax(b->o->most_user_s, b->o->most_answer_s) * 2, .stop = b->o->stop};
    json_t *about =
        json_pack("[{s:s, s:s, s:I}]", "stage", name, "from", b->dataset->identity, "seed", (json_int_t)b->o->seed);
    snprintf(folder, sizeof folder, "%.4000s/%s", b->o->folder, name);
    so_status status = so_sink_open(&sink, folder, &options, error);
    if (status == SO_OK) status = fill(b, from, selected, sink, error);
    if (status == SO_OK) status = so_sink_commit(sink, about, error);
    so_sink_close(&sink);
    json_decref(about);
    return status == SO_OK ? so_dataset_open(out, folder, error) : status;
}

static so_status stages(building *b, const char *selected, so_error *error)
{
    so_dataset *spoken = NULL, *units = NULL, *records = NULL;
    char folder[4096];
    so_status status = stage(b, "spoken", NULL, selected, fill_spoken, &spoken, error);
    if (status == SO_OK && b->o->tokenise) {
        const so_unit_options o = {
            .tokenise = b->o->tokenise, .tokeniser = b->o->tokeniser, .identity = b->o->identity, .stop = b->o->stop};
        snprintf(folder, sizeof folder, "%.4000s/units", b->o->folder);
        status = so_dataset_units(spoken, folder, &o, NULL, error);
        if (status == SO_OK) status = so_dataset_open(&units, folder, error);
    }
    if (status == SO_OK) status = stage(b, "records", units ? units : spoken, selected, fill_checked, &records, error);
    if (status == SO_OK && b->o->shard) {
        snprintf(folder, sizeof folder, "%.4000s/shards", b->o->folder);
        status = so_dataset_shard(records, folder, NULL, NULL, error);
    }
    so_dataset_close(&spoken);
    so_dataset_close(&units);
    so_dataset_close(&records);
    return status;
}

/* What was selected before is kept where input and seed are the same. */
static so_status select_once(building *b, const char *selected, so_error *error)
{
    char path[4096], line[256], *before = NULL;
    size_t size;
    so_error why;
    snprintf(path, sizeof path, "%.4000s/selected.from", b->o->folder);
    snprintf(line, sizeof line, "%s %llu %lld %g %g\n", b->dataset->identity, (unsigned long long)b->o->seed,
             (long long)b->o->most_records, b->o->most_user_s, b->o->most_answer_s);
    if (access(selected, R_OK) == 0 && so_file_read(path, sizeof line, &before, &size, &why) == SO_OK) {
        bool same = strcmp(before, line) == 0;
        free(before);
        if (!same)
            return so_fail(error, SO_ERR_STATE, "'%s' was begun with other records or another seed", b->o->folder);
        SO_TRY(so_file_read(selected, (size_t)16 << 30, &before, &size, error));
        for (size_t i = 0; i < size; i++) b->counts->selected += before[i] == '\n';
        free(before);
        b->counts->read = b->dataset->count;
        return SO_OK;
    }
    SO_TRY(select_all(b, selected, error));
    return so_file_write(path, line, strlen(line), error);
}

so_status so_instruct_build(const so_dataset *dataset, const so_instruct_options *options, so_instruct_counts *counts,
                            so_error *error)
{
    so_instruct_options o = *options;
    building b = {.dataset = dataset, .o = &o, .counts = counts};
    so_lock lock = {0};
    char path[4096];
    *counts = (so_instruct_counts){0};
    if (o.most_user_s <= 0) o.most_user_s = 30;
    if (o.most_answer_s <= 0) o.most_answer_s = 60;
    if (strlen(o.folder) > 3800) return so_fail(error, SO_ERR_LIMIT, "the folder's path is too long");
    SO_TRY(so_make_folder(o.folder, error));
    snprintf(path, sizeof path, "%s/.lock", o.folder);
    SO_TRY(so_lock_take(&lock, path, "the folder", error));
    so_status status = find_own(&b, error);
    if (status == SO_OK) status = so_sayable_open(&b.speakable, error);
    if (status == SO_OK) status = so_spoken_open(&b.rules, error);
    snprintf(path, sizeof path, "%s/selected.jsonl", o.folder);
    if (status == SO_OK) status = select_once(&b, path, error);
    if (status == SO_OK) status = stages(&b, path, error);
    so_sayable_close(&b.speakable);
    if (b.rules) so_spoken_close(&b.rules);
    so_lock_release(&lock);
    return status;
}
