/* Finding the engines, and speaking through them.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/voices/speaker.h"

#include <jansson.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/temporary.h"
#include "dataset/voices/cosyvoice.h"
#include "dataset/voices/program.h"
#include "dataset/voices/voice.h"
#include "media/audio.h"
#include "media/resample.h"
#include "net/fetch.h"

enum { MOST_SPEAKERS = 256, MOST_ABSENT = 4, ENDPOINT_BYTES = 64 << 20 };

/* Voices that measure what was learnt: no training hears them. */
static const char *const reserved[][2] = {{"flite", "rms"},
                                          {"festival", "ked_diphone"},
                                          {"endpoint", "jm_kumo"},
                                          {"command", "jm_kumo"},
                                          {"espeak-ng", "reserved"}};

typedef struct entry {
    so_speaker speaker;
    atomic_llong asked, failed;
} entry;

struct so_speakers {
    entry *entry[MOST_SPEAKERS];
    int n, n_absent;
    const char *absent[MOST_ABSENT][2];
    char *command, *endpoint, *key;
    so_cosyvoice cosyvoice;
    double seconds;
    const volatile sig_atomic_t *stop;
};

typedef so_status (*speak_fn)(so_speakers *s, const so_speaker *who, const char *text, uint64_t seed, so_audio *out,
                              so_error *error);

/* ---- the list */

static so_status add(so_speakers *s, const char *engine, const char *voice, size_t n, so_error *error)
{
    entry *e = s->n < MOST_SPEAKERS ? calloc(1, sizeof *e) : NULL;
    if (!e) return so_fail(error, SO_ERR_LIMIT, "more than %d voices", MOST_SPEAKERS);
    if (n >= sizeof e->speaker.voice) {
        free(e);
        return SO_OK; /* no engine here has such a name */
    }
    snprintf(e->speaker.engine, sizeof e->speaker.engine, "%s", engine);
    memcpy(e->speaker.voice, voice, n);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        e->speaker.reserved = e->speaker.reserved ||
                              (strcmp(engine, reserved[i][0]) == 0 && strcmp(e->speaker.voice, reserved[i][1]) == 0);
    e->speaker.given =
        strcmp(engine, "command") == 0 || strcmp(engine, "endpoint") == 0 || strcmp(engine, "cosyvoice") == 0;
    e->speaker.deterministic = !e->speaker.given;
    s->entry[s->n++] = e;
    return SO_OK;
}

static so_status run(so_speakers *s, const char *const *argv, const char *input, char *output, size_t size,
                     so_error *error)
{
    so_program program = {argv, input, s->seconds, s->stop, output, size};
    return so_program_run(&program, error);
}

/* Words of a list, parted by any of `parts`; those of `without` are left out. */
static so_status add_words(so_speakers *s, const char *engine, const char *list, const char *parts, const char *without,
                           so_error *error)
{
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, parts);
        char word[64] = "";
        if (n && n < sizeof word) memcpy(word, p, n);
        if (word[0] && !(without && strcmp(word, without) == 0)) SO_TRY(add(s, engine, word, n, error));
        p += n + (p[n] != 0);
    }
    return SO_OK;
}

/* ---- espeak-ng */

static so_status find_espeak(so_speakers *s, so_error *error)
{
    static const char *const kinds[] = {"drawn", "invented", "reserved"};
    char *phonemes;
    SO_TRY(so_voice_phonemes("a", "en-us", &phonemes, error));
    free(phonemes);
    for (int i = 0; i < 3; i++) SO_TRY(add(s, "espeak-ng", kinds[i], strlen(kinds[i]), error));
    return SO_OK;
}

static so_status speak_espeak(so_speakers *s, const so_speaker *who, const char *text, uint64_t seed, so_audio *out,
                              so_error *error)
{
    (void)s;
    so_voice voice = who->voice[0] == 'i'
                         ? so_voice_invent(seed, 0)
                         : so_voice_draw(who->reserved ? SO_TABLETOP_RESERVED : SO_TABLETOP_TRAIN, seed, 0);
    voice.disturbed = false;
    out->rate = SO_ESPEAK_RATE;
    return so_voice_speak(text, &voice, seed, &out->samples, &out->n, error);
}

/* ---- programs that write a file */

/* Runs argv, which writes `path`, and reads it. */
static so_status from_file(so_speakers *s, const char *const *argv, const char *input, so_temporary *file,
                           so_audio *out, so_error *error)
{
    so_status status = run(s, argv, input, NULL, 0, error);
    if (status == SO_OK && access(file->path, R_OK) != 0)
        status = so_fail(error, SO_ERR_FORMAT, "'%s' wrote no sound", argv[0]);
    if (status == SO_OK) status = so_audio_read(out, file->path, SO_SPEAKER_SECONDS, error);
    so_temporary_remove(file);
    return status;
}

static so_status find_flite(so_speakers *s, so_error *error)
{
    char list[4096];
    SO_TRY(run(s, (const char *const[]){"flite", "-lv", NULL}, NULL, list, sizeof list, error));
    const char *colon = strchr(list, ':');
    if (!colon) return so_fail(error, SO_ERR_FORMAT, "flite lists no voices: '%.60s'", list);
    /* This one speaks the time of day only. */
    return add_words(s, "flite", colon + 1, " \n\r\t", "awb_time", error);
}

static so_status speak_flite(so_speakers *s, const so_speaker *who, const char *text, uint64_t seed, so_audio *out,
                             so_error *error)
{
    so_temporary file;
    (void)seed;
    SO_TRY(so_temporary_file(&file, ".wav", error));
    return from_file(s, (const char *const[]){"flite", "-voice", who->voice, "-t", text, "-o", file.path, NULL}, NULL,
                     &file, out, error);
}

static so_status find_festival(so_speakers *s, so_error *error)
{
    char list[4096];
    SO_TRY(
        run(s, (const char *const[]){"festival", "-b", "(print (voice.list))", NULL}, NULL, list, sizeof list, error));
    return add_words(s, "festival", list, " \n\r\t()", NULL, error);
}

static so_status speak_festival(so_speakers *s, const so_speaker *who, const char *text, uint64_t seed, so_audio *out,
                                so_error *error)
{
    so_temporary file;
    char choose[96];
    (void)seed;
    snprintf(choose, sizeof choose, "(voice_%s)", who->voice);
    SO_TRY(so_temporary_file(&file, ".wav", error));
    return from_file(s, (const char *const[]){"text2wave", "-eval", choose, "-o", file.path, NULL}, text, &file, out,
                     error);
}

/* ---- any command */

/* `word` with {text}, {wav}, {voice} and {seed} put in; the caller frees. */
static char *fill_in(const char *word, const char *const names[4], const char *const values[4])
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (const char *p = word; out && *p;) {
        int k = 0;
        while (k < 4 && strncmp(p, names[k], strlen(names[k])) != 0) k++;
        if (k < 4) {
            fputs(values[k], out);
            p += strlen(names[k]);
        } else {
            fputc(*p++, out);
        }
    }
    if (out && fclose(out) == 0) return text;
    free(text);
    return NULL;
}

static so_status speak_command(so_speakers *s, const so_speaker *who, const char *text, uint64_t seed, so_audio *out,
                               so_error *error)
{
    static const char *const names[4] = {"{text}", "{wav}", "{voice}", "{seed}"};
    so_temporary file;
    char number[32], room[4096];
    const char *words[SO_PROGRAM_WORDS];
    char *argv[SO_PROGRAM_WORDS] = {0};
    const char *const values[4] = {text, file.path, who->voice, number};
    SO_TRY(so_program_split(s->command, room, sizeof room, words, error));
    snprintf(number, sizeof number, "%llu", (unsigned long long)seed);
    SO_TRY(so_temporary_file(&file, ".wav", error));
    so_status status = SO_OK;
    for (int i = 0; words[i] && status == SO_OK; i++)
        if (!(argv[i] = fill_in(words[i], names, values)))
            status = so_fail(error, SO_ERR_NOMEM, "no memory for a command");
    if (status == SO_OK)
        status = from_file(s, (const char *const *)argv, NULL, &file, out, error);
    else
        so_temporary_remove(&file);
    for (int i = 0; i < SO_PROGRAM_WORDS; i++) free(argv[i]);
    return status;
}

/* ---- an endpoint */

static so_status open_fetcher(const so_speakers *s, so_fetcher **f, so_error *error)
{
    so_fetch_options options = {.token = s->key, .tries = 1, .patience = s->seconds};
    return so_fetcher_open(f, &options, error);
}

static so_status ask_voices(so_speakers *s, so_error *error)
{
    so_fetcher *f = NULL;
    so_fetched got = {0};
    char url[1024];
    json_t *json = NULL, *voice;
    size_t i;
    snprintf(url, sizeof url, "%s/audio/voices", s->endpoint);
    SO_TRY(open_fetcher(s, &f, error));
    so_status status = so_fetch_text(f, url, 1 << 20, &got, error);
    if (status == SO_OK) json = json_loads(got.data, 0, NULL);
    json_array_foreach(json_object_get(json, "voices"), i, voice)
    {
        const char *name =
            json_is_object(voice) ? json_string_value(json_object_get(voice, "id")) : json_string_value(voice);
        if (name && status == SO_OK) status = add(s, "endpoint", name, strlen(name), error);
    }
    json_decref(json);
    so_fetched_clear(&got);
    so_fetcher_close(&f);
    return status;
}

static so_status speak_endpoint(so_speakers *s, const so_speaker *who, const char *text, uint64_t seed, so_audio *out,
                                so_error *error)
{
    so_fetcher *f = NULL;
    so_fetched got = {0};
    char url[1024];
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:I}", "model", "tts-1", "voice", who->voice[0] ? who->voice : "alloy", "input",
                  text, "response_format", "wav", "seed", (json_int_t)(seed & INT64_MAX));
    char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!body) return so_fail(error, SO_ERR_ARG, "'%.40s' is no UTF-8, or there is no memory", text);
    snprintf(url, sizeof url, "%s/audio/speech", s->endpoint);
    so_status status = open_fetcher(s, &f, error);
    if (status == SO_OK) status = so_fetch_post(f, url, body, ENDPOINT_BYTES, &got, error);
    if (status == SO_OK) status = so_audio_decode(out, got.data, got.size, SO_SPEAKER_SECONDS, error);
    so_fetched_clear(&got);
    so_fetcher_close(&f);
    free(body);
    return status;
}

static so_status speak_cosyvoice(so_speakers *s, const so_speaker *who, const char *text, uint64_t seed, so_audio *out,
                                 so_error *error)
{
    (void)seed;
    return so_cosyvoice_speak(&s->cosyvoice, s->key, who->voice, text, s->seconds, out, error);
}

/* ---- engines */

static const struct {
    const char *name, *package;
    so_status (*find)(so_speakers *s, so_error *error); /* NULL: by options only */
    speak_fn speak;
} engines[] = {{"espeak-ng", "libespeak-ng1 and espeak-ng-data", find_espeak, speak_espeak},
               {"flite", "flite", find_flite, speak_flite},
               {"festival", "festival and festvox-us-slt-hts", find_festival, speak_festival},
               {"command", NULL, NULL, speak_command},
               {"endpoint", NULL, NULL, speak_endpoint},
               {"cosyvoice", NULL, NULL, speak_cosyvoice}};
enum { ENGINES = sizeof engines / sizeof *engines };

static bool in_list(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && (p[n] == 0 || p[n] == ',')) return true;
    return false;
}

static so_status find_engines(so_speakers *s, const so_speakers_options *o, so_error *error)
{
    for (const char *p = o->engines; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        bool known = false;
        for (int i = 0; i < ENGINES; i++) {
            size_t n = strlen(engines[i].name);
            known = known || (strncmp(p, engines[i].name, n) == 0 && (p[n] == 0 || p[n] == ','));
        }
        if (!known)
            return so_fail(error, SO_ERR_ARG,
                           "no engine '%.*s', expected espeak-ng, flite, festival, command, endpoint, cosyvoice",
                           (int)strcspn(p, ","), p);
    }
    for (int i = 0; i < ENGINES; i++) {
        so_error why;
        if (!engines[i].find || (o->engines && !in_list(o->engines, engines[i].name))) continue;
        if (engines[i].find(s, &why) == SO_OK) continue;
        if (o->engines)
            return so_fail(error, why.status, "engine '%s': %s (Debian: %s)", engines[i].name, why.text,
                           engines[i].package);
        s->absent[s->n_absent][0] = engines[i].name;
        s->absent[s->n_absent++][1] = engines[i].package;
    }
    return SO_OK;
}

static so_status find_given(so_speakers *s, const so_speakers_options *o, so_error *error)
{
    if (o->command) {
        if (!strstr(o->command, "{text}") || !strstr(o->command, "{wav}"))
            return so_fail(error, SO_ERR_ARG, "the command '%.80s' names no {text} or no {wav}", o->command);
        SO_TRY(o->voices ? add_words(s, "command", o->voices, ",", NULL, error) : add(s, "command", "", 0, error));
    }
    if (!o->endpoint) return SO_OK;
    if (so_cosyvoice_is(o->endpoint)) {
        SO_TRY(so_cosyvoice_parse(o->endpoint, &s->cosyvoice, error));
        if (!o->voices || o->command)
            return so_fail(error, SO_ERR_ARG, "CosyVoice's server lists no speakers: expected their names%s",
                           o->command ? ", and no command beside it" : "");
        return add_words(s, "cosyvoice", o->voices, ",", NULL, error);
    }
    if (o->voices && !o->command) return add_words(s, "endpoint", o->voices, ",", NULL, error);
    return ask_voices(s, error);
}

static char *copy_of(const char *text, bool *fine)
{
    char *copy = text ? strdup(text) : NULL;
    *fine = *fine && (copy || !text);
    return copy;
}

so_status so_speakers_open(so_speakers **out, const so_speakers_options *options, so_error *error)
{
    so_speakers_options o = options ? *options : (so_speakers_options){0};
    bool fine = true;
    *out = NULL;
    so_speakers *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of voices");
    s->command = copy_of(o.command, &fine);
    s->endpoint = copy_of(o.endpoint, &fine);
    s->key = copy_of(o.key, &fine);
    s->seconds = o.seconds > 0 ? o.seconds : 60;
    s->stop = o.stop;
    for (size_t n = s->endpoint ? strlen(s->endpoint) : 0; n && s->endpoint[n - 1] == '/'; n--) s->endpoint[n - 1] = 0;
    so_status status =
        fine ? find_engines(s, &o, error) : so_fail(error, SO_ERR_NOMEM, "no memory for a list of voices");
    if (status == SO_OK) status = find_given(s, &o, error);
    if (status == SO_OK)
        *out = s;
    else
        so_speakers_close(&s);
    return status;
}

void so_speakers_close(so_speakers **speakers)
{
    if (!speakers || !*speakers) return;
    so_speakers *s = *speakers;
    for (int i = 0; i < s->n; i++) free(s->entry[i]);
    free(s->command);
    free(s->endpoint);
    free(s->key);
    free(s);
    *speakers = NULL;
}

int so_speakers_count(const so_speakers *s) { return s->n; }
const so_speaker *so_speakers_at(const so_speakers *s, int i) { return &s->entry[i]->speaker; }
const char *so_speakers_absent(const so_speakers *s, int i, const char **package)
{
    if (i < 0 || i >= s->n_absent) return NULL;
    if (package) *package = s->absent[i][1];
    return s->absent[i][0];
}
void so_speakers_counts(const so_speakers *s, int i, int64_t *asked, int64_t *failed)
{
    *asked = atomic_load(&s->entry[i]->asked);
    *failed = atomic_load(&s->entry[i]->failed);
}

/* ---- speaking */

/* At the rate that all have, within [-1, 1]. */
static so_status take_over(so_audio *audio, float **samples, int64_t *count, so_error *error)
{
    float peak = 0;
    for (int64_t i = 0; i < audio->n; i++) peak = fmaxf(peak, fabsf(audio->samples[i]));
    if (audio->n == 0 || peak < 1e-4f) return so_fail(error, SO_ERR_FORMAT, "the voice said nothing");
    if (audio->rate != SO_SPEAKER_RATE) {
        float *y;
        int64_t n;
        SO_TRY(so_resample_to(audio->rate, SO_SPEAKER_RATE, audio->samples, audio->n, &y, &n, error));
        free(audio->samples);
        audio->samples = y;
        audio->n = n;
    }
    for (int64_t i = 0; i < audio->n; i++) audio->samples[i] = fmaxf(-1, fminf(1, audio->samples[i]));
    *samples = audio->samples;
    *count = audio->n;
    audio->samples = NULL;
    return SO_OK;
}

static so_status speak_once(so_speakers *s, const so_speaker *who, const char *text, uint64_t seed, float **samples,
                            int64_t *count, so_error *error)
{
    so_audio audio = {0};
    int k = 0;
    while (strcmp(engines[k].name, who->engine) != 0) k++;
    so_status status = engines[k].speak(s, who, text, seed, &audio, error);
    if (status == SO_OK) status = take_over(&audio, samples, count, error);
    free(audio.samples);
    return status;
}

so_status so_speakers_speak(so_speakers *s, int i, const char *text, uint64_t seed, float **samples, int64_t *count,
                            so_error *error)
{
    entry *e = s->entry[i];
    so_error why = {0};
    *samples = NULL;
    *count = 0;
    if (!text[strspn(text, " \t\r\n")]) return so_fail(error, SO_ERR_ARG, "nothing to say");
    atomic_fetch_add(&e->asked, 1);
    so_status status = speak_once(s, &e->speaker, text, seed, samples, count, &why);
    if (status != SO_OK && status != SO_ERR_STOPPED && status != SO_ERR_NOMEM)
        status = speak_once(s, &e->speaker, text, seed, samples, count, &why);
    if (status == SO_OK) return SO_OK;
    atomic_fetch_add(&e->failed, 1);
    int shown = (int)strnlen(text, 40);
    while (shown && ((unsigned char)text[shown] & 0xC0) == 0x80) shown--; /* whole characters */
    return so_fail(error, status, "%s voice '%s' did not say '%.*s': %s", e->speaker.engine, e->speaker.voice, shown,
                   text, why.text);
}

/* ---- many at once */

enum { MANY = 50 };

/* A script for festival that says `n` texts into files named by `folder` and their numbers; the caller frees. */
static char *festival_script(const char *voice, int n, const char *const *text, const char *folder)
{
    char *script = NULL;
    size_t size;
    FILE *out = open_memstream(&script, &size);
    if (!out) return NULL;
    fprintf(out, "(voice_%s)\n", voice);
    for (int k = 0; k < n; k++) {
        fputs("(utt.save.wave (utt.synth (Utterance Text \"", out);
        for (const char *p = text[k]; *p; p++) {
            if (*p == '"' || *p == '\\') fputc('\\', out);
            fputc(*p, out);
        }
        fprintf(out, "\")) \"%s/%d.wav\" 'riff)\n", folder, k);
    }
    if (fclose(out) == 0) return script;
    free(script);
    return NULL;
}

/* Says up to MANY texts with one process; what did not come stays NULL. Whatever goes wrong, each is asked for alone
 * afterwards. */
static void festival_many(so_speakers *s, const so_speaker *who, int n, const char *const *text, float **samples,
                          int64_t *counts)
{
    char path[SO_TEMPORARY_PATH + 16];
    so_temporary folder;
    so_error error;
    if (so_temporary_folder(&folder, 0, &error) != SO_OK) return;
    char *script = festival_script(who->voice, n, text, folder.path);
    so_program program = {(const char *const[]){"festival", "--pipe", NULL}, script, s->seconds + n, s->stop, NULL, 0};
    bool whole = script && so_program_run(&program, &error) == SO_OK;
    free(script);
    for (int k = n - 1; k >= 0; k--) {
        so_audio audio = {0};
        snprintf(path, sizeof path, "%s/%d.wav", folder.path, k);
        if (access(path, R_OK) != 0) continue;
        /* Of a process that was ended the last file may be cut. */
        if (whole && so_audio_read(&audio, path, SO_SPEAKER_SECONDS, &error) == SO_OK)
            take_over(&audio, &samples[k], &counts[k], &error);
        whole = true;
        free(audio.samples);
    }
    so_temporary_remove(&folder);
}

so_status so_speakers_speak_many(so_speakers *s, int i, int n, const char *const *text, const uint64_t *seed,
                                 float **samples, int64_t *counts, so_error *error)
{
    entry *e = s->entry[i];
    so_status status = SO_OK;
    for (int k = 0; k < n; k++) samples[k] = NULL, counts[k] = 0;
    if (strcmp(e->speaker.engine, "festival") == 0)
        for (int k = 0; k < n && n > 1; k += MANY)
            festival_many(s, &e->speaker, n - k < MANY ? n - k : MANY, text + k, samples + k, counts + k);
    for (int k = 0; k < n; k++) {
        so_error why;
        if (s->stop && *s->stop) {
            for (int j = 0; j < n; j++) free(samples[j]), samples[j] = NULL, counts[j] = 0;
            return so_fail(error, SO_ERR_STOPPED, "stopped as asked");
        }
        if (samples[k]) {
            atomic_fetch_add(&e->asked, 1);
            continue;
        }
        if (so_speakers_speak(s, i, text[k], seed[k], &samples[k], &counts[k], &why) != SO_OK && status == SO_OK)
            status = so_fail(error, why.status, "%s", why.text);
    }
    return status;
}
