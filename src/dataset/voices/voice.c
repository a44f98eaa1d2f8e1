/* Speech for corpora through espeak-ng, with noise and a small room's reverberation.
 * Samples: mono, 22050 Hz, within [-1, 1].
 * Source: the tabletop spec, "Voices"; Schroeder, "Natural sounding artificial reverberation".
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/voices/voice.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/child.h"
#include "dataset/voices/espeak.h"

enum {
    LONGEST = 120 * SO_ESPEAK_RATE,
    TAIL = SO_ESPEAK_RATE / 10,
    COMBS = 4,
    SLOWEST = 80, /* words a minute */
    FASTEST = 450
};

static const uint64_t LOTS = 0x766f696365000000u, NOISE = 0x6e6f697365000000u, THROATS = 0x7468726f61740000u;

static const char *const accents[] = {"en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan"};
static const char *const variants[] = {"+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+f1", "+f2", "+f3", "+f4"};
static const char *const reserved_accent = "en-gb-x-gbcwmd", *const reserved_variants[] = {"+m7", "+f5"};

#define COUNT_OF(list) ((int64_t)(sizeof(list) / sizeof *(list)))

so_voice so_voice_own(void) { return (so_voice){"en-us", "+f3", 160, 50, 100, false}; }

so_voice so_voice_draw(so_tabletop_part part, uint64_t seed, uint64_t index)
{
    so_rng rng;
    so_voice voice;
    memset(&voice, 0, sizeof voice);
    so_rng_init(&rng, seed ^ LOTS ^ (uint64_t)part << 60, index);
    const char *accent = accents[so_rng_below(&rng, COUNT_OF(accents))];
    const char *variant = variants[so_rng_below(&rng, COUNT_OF(variants))];
    int64_t what = so_rng_below(&rng, 3), other = so_rng_below(&rng, COUNT_OF(reserved_variants));
    if (part == SO_TABLETOP_RESERVED && what != 0) accent = reserved_accent;
    if (part == SO_TABLETOP_RESERVED && what != 1) variant = reserved_variants[other];
    snprintf(voice.accent, sizeof voice.accent, "%s", accent);
    snprintf(voice.variant, sizeof voice.variant, "%s", variant);
    voice.speed = (int)so_rng_range(&rng, 130, 190);
    voice.pitch = (int)so_rng_range(&rng, 25, 75);
    voice.amplitude = (int)so_rng_range(&rng, 60, 140);
    voice.disturbed = so_rng_below(&rng, 3) == 0;
    return voice;
}

/* ---- voices that nobody has */

/* What the training accents' own voice files say about their ground. */
static const char *const grounds[] = {"language en-us\nphonemes en-us\ndictrules 3 6\n",
                                      "language en-gb\n",
                                      "language en-gb-scotland\nphonemes en-sc\ndictrules 2 5 6 7\n",
                                      "language en-gb-x-rp\nphonemes en-rp\n",
                                      "language en-029\nphonemes en-wi\ndictrules 8\n",
                                      "language en-gb-x-gbclan\nphonemes en-n\n"};

/* Phonemes and what a speaker may say in their place; those that a ground does not have, espeak-ng passes over. */
static const char *const neighbours[][2] = {
    {"I", "i"},   {"I", "E"},   {"I2", "@"},  {"E", "I"},   {"E", "a"},    {"a", "aa"},   {"a", "E"},   {"a", "V"},
    {"V", "U"},   {"V", "@"},   {"0", "A:"},  {"0", "O:"},  {"U", "u:"},   {"U", "V"},    {"u:", "U"},  {"i:", "I"},
    {"i:", "eI"}, {"A:", "a"},  {"A:", "O:"}, {"O:", "0"},  {"O:", "oU"},  {"3:", "e@"},  {"3:", "@"},  {"eI", "aI"},
    {"eI", "E"},  {"eI", "e@"}, {"aI", "OI"}, {"aI", "A:"}, {"OI", "aI"},  {"oU", "aU"},  {"oU", "O:"}, {"oU", "0"},
    {"aU", "a"},  {"aU", "oU"}, {"e@", "3:"}, {"e@", "E"},  {"i@", "i:"},  {"U@", "O:"},  {"@", "V"},   {"@", "I"},
    {"3", "a#"},  {"3", "@"},   {"i", "I"},   {"i", "eI"},  {"h", "NULL"}, {"T", "f"},    {"D", "d"},   {"D", "v"},
    {"N", "n"},   {"t", "t2"},  {"O@", "O:"}, {"A@", "A:"}, {"o@", "O:"},  {"e@r", "3:"}, {"w", "v"},   {"z", "s"}};

#define WRITE(...) used += (size_t)snprintf(text + used, used < size ? size - used : 0, __VA_ARGS__)

static long around(so_rng *rng, long middle, long most)
{
    return (long)so_rng_range(rng, middle - most, middle + most);
}

static void describe_throat(so_rng *rng, char *text, size_t size)
{
    size_t used = strlen(text);
    long low = so_rng_range(rng, 65, 190), length = so_rng_range(rng, 92, 126), height = so_rng_range(rng, 65, 100);
    WRITE("pitch %ld %ld\n", low, low + (long)so_rng_range(rng, 15, 90));
    for (int i = 0; i < 9; i++)
        WRITE("formant %d %ld %ld %ld\n", i, around(rng, length, i ? 8 : 4), around(rng, height, 15),
              (long)so_rng_range(rng, 85, 155));
    if (so_rng_below(rng, 2)) WRITE("flutter %ld\n", (long)so_rng_range(rng, 0, 8));
    if (so_rng_below(rng, 2)) WRITE("roughness %ld\n", (long)so_rng_range(rng, 0, 4));
    if (so_rng_below(rng, 2)) WRITE("voicing %ld\n", (long)so_rng_range(rng, 75, 150));
    if (so_rng_below(rng, 2)) WRITE("consonants %ld %ld\n", around(rng, 110, 40), around(rng, 110, 40));
    if (so_rng_below(rng, 3) == 0) WRITE("echo %ld %ld\n", around(rng, 130, 15), (long)so_rng_range(rng, 5, 15));
    if (so_rng_below(rng, 3) == 0) WRITE("breath 0 3 5 5 5 5 3 3\n");
}

static void describe_habits(so_rng *rng, char *text, size_t size)
{
    size_t used = strlen(text);
    if (so_rng_below(rng, 2)) WRITE("intonation %ld\n", (long)so_rng_range(rng, 1, 4));
    if (so_rng_below(rng, 2))
        WRITE("stressLength %ld %ld %ld %ld 0 0 %ld %ld\n", around(rng, 160, 30), around(rng, 140, 25),
              around(rng, 185, 20), around(rng, 180, 25), around(rng, 240, 25), around(rng, 275, 25));
    if (so_rng_below(rng, 3) == 0)
        WRITE("stressAdd %ld %ld %ld %ld 0 0 %ld %ld\n", around(rng, 0, 15), around(rng, 0, 15), around(rng, 0, 15),
              around(rng, 0, 15), around(rng, 5, 15), around(rng, 20, 20));
    double share = 0.22 * so_rng_uniform(rng);
    for (int64_t i = 0; i < COUNT_OF(neighbours); i++)
        if (so_rng_uniform(rng) < share) WRITE("replace 00 %s %s\n", neighbours[i][0], neighbours[i][1]);
}

so_voice so_voice_invent(uint64_t seed, uint64_t index)
{
    so_voice voice = so_voice_draw(SO_TABLETOP_TRAIN, seed, index);
    so_rng rng;
    so_rng_init(&rng, seed ^ THROATS, index);
    size_t size = sizeof voice.invented;
    snprintf(voice.invented, size, "name invented\n%s", grounds[so_rng_below(&rng, COUNT_OF(grounds))]);
    describe_throat(&rng, voice.invented, size);
    describe_habits(&rng, voice.invented, size);
    snprintf(voice.accent, sizeof voice.accent, "invented");
    voice.variant[0] = 0;
    return voice;
}

bool so_voice_is_reserved(const so_voice *voice)
{
    if (strcmp(voice->accent, reserved_accent) == 0) return true;
    for (int64_t i = 0; i < COUNT_OF(reserved_variants); i++)
        if (strcmp(voice->variant, reserved_variants[i]) == 0) return true;
    return false;
}

const char *so_voice_name(const so_voice *voice, char name[32])
{
    snprintf(name, 32, "%.23s%.7s", voice->accent, voice->variant);
    return name;
}

/* What the library gives back: the utterance being spoken, in the process that speaks it. */
static struct {
    bool full, nomem;
    int16_t *samples;
    int64_t count, capacity;
} spoken;

static int keep_samples(short *wav, int count, void *events)
{
    (void)events;
    if (!wav || count <= 0) return 0;
    if (spoken.count + count > LONGEST) {
        spoken.full = true;
        return 1;
    }
    if (spoken.count + count > spoken.capacity) {
        int64_t capacity = 2 * (spoken.count + count);
        int16_t *samples = realloc(spoken.samples, (size_t)capacity * sizeof *samples);
        if (!samples) {
            spoken.nomem = true;
            return 1;
        }
        spoken.samples = samples;
        spoken.capacity = capacity;
    }
    memcpy(spoken.samples + spoken.count, wav, (size_t)count * sizeof *wav);
    spoken.count += count;
    return 0;
}

/* The library in this process: open before anything below is called. */
static const so_espeak *espeak;

static so_status choose_invented(const so_voice *voice, so_error *error)
{
    char path[64];
    int fd = memfd_create("voice", MFD_CLOEXEC);
    ssize_t size = (ssize_t)strlen(voice->invented);
    if (fd < 0 || write(fd, voice->invented, (size_t)size) != size) {
        if (fd >= 0) close(fd);
        return so_fail(error, SO_ERR_IO, "cannot keep a voice file in memory: %s", strerror(errno));
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int failed = espeak->set_voice_by_file(path);
    close(fd);
    if (failed != SO_ESPEAK_OK)
        return so_fail(error, SO_ERR_STATE, "espeak-ng does not take an invented voice: %d", failed);
    return SO_OK;
}

static so_status choose(const so_voice *voice, so_error *error)
{
    if (voice->invented[0]) return choose_invented(voice, error);
    char name[32], file[512];
    const char *folder = NULL;
    espeak->info(&folder);
    /* espeak-ng takes an unknown variant for none. */
    snprintf(file, sizeof file, "%s/voices/!v/%s", folder ? folder : "", voice->variant + (voice->variant[0] == '+'));
    if (voice->variant[0] && (strchr(voice->variant, '/') || access(file, R_OK) != 0))
        return so_fail(error, SO_ERR_MISSING, "espeak-ng has no variant '%s' in '%s'", voice->variant, file);
    so_voice british = *voice;
    if (strcmp(voice->accent, "en-gb") == 0) strcpy(british.accent, "en"); /* the name of its file */
    if (espeak->set_voice_by_name(so_voice_name(&british, name)) != SO_ESPEAK_OK)
        return so_fail(error, SO_ERR_MISSING, "espeak-ng has no voice '%s'", name);
    return SO_OK;
}

static so_status speak(const char *text, const so_voice *voice, so_error *error)
{
    spoken.count = 0;
    spoken.full = spoken.nomem = false;
    srand(1); /* breath; NOLINT(cert-msc32-c,cert-msc51-cpp): the same speech for the same words */
    SO_TRY(choose(voice, error));
    espeak->set_parameter(SO_ESPEAK_PARAMETER_RATE, voice->speed, 0);
    espeak->set_parameter(SO_ESPEAK_PARAMETER_PITCH, voice->pitch, 0);
    espeak->set_parameter(SO_ESPEAK_PARAMETER_VOLUME, voice->amplitude, 0);
    int failed = espeak->synth(text, strlen(text) + 1, 0, SO_ESPEAK_BY_CHARACTER, 0, SO_ESPEAK_UTF8, NULL, NULL);
    if (spoken.full) return so_fail(error, SO_ERR_LIMIT, "the speech is longer than %d s", LONGEST / SO_ESPEAK_RATE);
    if (spoken.nomem) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)spoken.count);
    if (failed != SO_ESPEAK_OK) return so_fail(error, SO_ERR_STATE, "espeak-ng cannot speak '%.60s': %d", text, failed);
    return SO_OK;
}

static int library_rate;
static so_error no_library;

/* Speaks once, so that every child finds voices and dictionaries loaded. */
static void start_library(void)
{
    so_voice voice = so_voice_own();
    so_error error;
    if (so_espeak_open(&espeak, &no_library) != SO_OK) return;
    library_rate = espeak->initialize(SO_ESPEAK_SYNCHRONOUS, 1000, NULL, SO_ESPEAK_DONT_EXIT);
    if (library_rate != SO_ESPEAK_RATE) return;
    espeak->set_synth_callback(keep_samples);
    speak("Hello.", &voice, &error);
}

static so_status need_library(so_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_library);
    if (no_library.status != SO_OK) return so_fail(error, no_library.status, "%s", no_library.text);
    if (library_rate != SO_ESPEAK_RATE)
        return so_fail(error, SO_ERR_MISSING,
                       "espeak-ng starts with %d Hz, expected %d Hz (-1: its data is not installed)", library_rate,
                       SO_ESPEAK_RATE);
    return SO_OK;
}

static bool put(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)data + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static bool get(int fd, void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)data + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

/* What the child sends ahead of the samples. */
typedef struct answer {
    so_error error;
    int64_t count;
} answer;

_Noreturn static void speak_in_child(int fd, const char *text, const so_voice *voice)
{
    answer said = {.error = {.status = SO_OK}};
    signal(SIGPIPE, SIG_IGN);
    said.error.status = speak(text, voice, &said.error);
    said.count = said.error.status == SO_OK ? spoken.count : 0;
    if (put(fd, &said, sizeof said)) put(fd, spoken.samples, (size_t)said.count * sizeof *spoken.samples);
    _exit(0);
}

static so_status hear(int fd, int16_t **samples, int64_t *count, so_error *error)
{
    answer said;
    if (!get(fd, &said, sizeof said) || said.count < 0 || said.count > LONGEST)
        return so_fail(error, SO_ERR_STATE, "the speaking process ended before it had spoken");
    if (said.error.status != SO_OK) return so_fail(error, said.error.status, "%s", said.error.text);
    *samples = malloc((size_t)said.count * sizeof **samples + 1);
    if (!*samples) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)said.count);
    if (!get(fd, *samples, (size_t)said.count * sizeof **samples))
        return so_fail(error, SO_ERR_STATE, "the speaking process ended within its speech");
    *count = said.count;
    return SO_OK;
}

/* The library carries its flutter and noise from one utterance to the next. A child that speaks only once always starts
 * from the same state, and several threads may have one each. */
static so_status speak_apart(const char *text, const so_voice *voice, int16_t **samples, int64_t *count,
                             so_error *error)
{
    int ends[2];
    SO_TRY(need_library(error));
    if (pipe2(ends, O_CLOEXEC) != 0) return so_fail(error, SO_ERR_IO, "cannot open a pipe: %s", strerror(errno));
    pid_t child = fork();
    int why = errno;
    if (child == 0) {
        close(ends[0]); /* else it would never learn that nobody listens any more */
        speak_in_child(ends[1], text, voice);
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return so_fail(error, SO_ERR_IO, "cannot start a speaking process: %s", strerror(why));
    }
    so_error heard = {0}, end = {0};
    so_status status = hear(ends[0], samples, count, &heard);
    close(ends[0]);
    /* How it ended says more than that it was cut short. */
    if (so_child_wait(child, "the speaking process", &end) != SO_OK && status == SO_ERR_STATE) heard = end;
    return status == SO_OK ? SO_OK : so_fail(error, heard.status, "%s", heard.text);
}

/* Samples up to `TAIL` behind the last one that stands out of a thousandth of the peak; 0 for silence. */
static int64_t audible(const int16_t *samples, int64_t count)
{
    int peak = 0;
    int64_t last = count;
    for (int64_t i = 0; i < count; i++) peak = abs(samples[i]) > peak ? abs(samples[i]) : peak;
    if (peak == 0) return 0;
    while (last > 0 && abs(samples[last - 1]) <= peak / 1000) last--;
    return last + TAIL < count ? last + TAIL : count;
}

/* Schroeder's room: four feedback combs and an all-pass, added to the dry sound. */
static so_status reverberate(float *samples, int64_t count, so_rng *rng, so_error *error)
{
    static const int delays[COMBS] = {655, 818, 899, 962}; /* 30 to 44 ms, no common factor */
    const int pass = 110;
    float decay = (float)(0.15 + 0.25 * so_rng_uniform(rng)), wet = (float)(0.1 + 0.25 * so_rng_uniform(rng));
    double room = 0.5 + 0.5 * (double)so_rng_uniform(rng), tail = decay * SO_ESPEAK_RATE; /* samples until -60 dB */
    float *echo = calloc((size_t)count * 2, sizeof *echo), *comb = echo + count;
    if (!echo) return so_fail(error, SO_ERR_NOMEM, "no memory to reverberate %lld samples", (long long)count);
    for (int c = 0; c < COMBS; c++) {
        int delay = (int)(delays[c] * room);
        float feedback = (float)pow(10, -3 * delay / tail);
        for (int64_t i = 0; i < count; i++) {
            comb[i] = i < delay ? 0 : samples[i - delay] + feedback * comb[i - delay];
            echo[i] += comb[i] / COMBS;
        }
    }
    for (int64_t i = 0; i < count; i++) {
        float behind = i < pass ? 0 : comb[i - pass], in = echo[i] + 0.6f * behind;
        comb[i] = in;
        samples[i] += wet * (behind - 0.6f * in);
    }
    free(echo);
    return SO_OK;
}

/* White noise, 18 to 35 dB below the speech. */
static void add_noise(float *samples, int64_t count, so_rng *rng)
{
    double power = 0;
    for (int64_t i = 0; i < count; i++) power += (double)samples[i] * (double)samples[i];
    float level = (float)(sqrt(power / (double)count) * pow(10, -(18 + 17 * so_rng_uniform(rng)) / 20));
    for (int64_t i = 0; i < count; i++) samples[i] += level * (float)so_rng_normal(rng);
}

static so_status disturb(float *samples, int64_t count, uint64_t seed, so_error *error)
{
    so_rng rng;
    so_rng_init(&rng, seed, NOISE);
    SO_TRY(reverberate(samples, count, &rng, error));
    add_noise(samples, count, &rng);
    return SO_OK;
}

#define ENDS(field) (memchr(field, 0, sizeof(field)) != NULL)

so_status so_voice_speak(const char *text, const so_voice *voice, uint64_t seed, float **samples, int64_t *count,
                         so_error *error)
{
    int16_t *raw = NULL;
    float *sound = NULL;
    so_status status = SO_OK;
    int64_t n = 0;
    *samples = NULL;
    *count = 0;
    if (!text[0] || voice->speed < SLOWEST || voice->speed > FASTEST || voice->pitch < 0 || voice->pitch > 99 ||
        voice->amplitude < 0 || voice->amplitude > 200)
        return so_fail(error, SO_ERR_ARG,
                       "'%.40s' at speed %d, pitch %d, amplitude %d; expected some text, 80-450, 0-99, 0-200", text,
                       voice->speed, voice->pitch, voice->amplitude);
    if (!ENDS(voice->accent) || !ENDS(voice->variant) || !ENDS(voice->invented))
        return so_fail(error, SO_ERR_ARG, "a voice's accent, variant or file has no end");
    SO_TRY_GO(speak_apart(text, voice, &raw, &n, error));
    n = audible(raw, n);
    if (n == 0) SO_TRY_GO(so_fail(error, SO_ERR_ARG, "'%.60s' has nothing that espeak-ng can speak", text));
    sound = malloc((size_t)n * sizeof *sound);
    if (!sound) SO_TRY_GO(so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)n));
    for (int64_t i = 0; i < n; i++) sound[i] = (float)raw[i] / 32768;
    if (voice->disturbed) SO_TRY_GO(disturb(sound, n, seed, error));
    for (int64_t i = 0; i < n; i++) sound[i] = fmaxf(-1, fminf(1, sound[i]));
    *samples = sound;
    *count = n;
    sound = NULL;
done:
    free(raw);
    free(sound);
    return status;
}

/* ---- phonemes */

static so_status choose_accent(const char *accent, so_error *error)
{
    static char chosen[24];
    so_voice voice = {0};
    if (!accent[0] || strlen(accent) >= sizeof voice.accent)
        return so_fail(error, SO_ERR_MISSING, "espeak-ng has no voice '%.40s'", accent);
    if (strcmp(accent, chosen) == 0) return SO_OK;
    strcpy(voice.accent, accent);
    chosen[0] = 0;
    SO_TRY(choose(&voice, error));
    strcpy(chosen, accent);
    return SO_OK;
}

static char *list_phonemes(const char *text)
{
    char *list = NULL;
    size_t size;
    FILE *out = open_memstream(&list, &size);
    const void *at = text;
    while (out && at) {
        const char *clause = espeak->text_to_phonemes(&at, SO_ESPEAK_UTF8, '|' << 8);
        if (!clause) break;
        fprintf(out, "%s\n", clause);
    }
    if (out && fclose(out) == 0) return list;
    free(list);
    return NULL;
}

so_status so_voice_phonemes(const char *text, const char *accent, char **phonemes, so_error *error)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    *phonemes = NULL;
    SO_TRY(need_library(error));
    pthread_mutex_lock(&lock);
    so_status status = choose_accent(accent, error);
    if (status == SO_OK) *phonemes = list_phonemes(text);
    pthread_mutex_unlock(&lock);
    if (status == SO_OK && !*phonemes) status = so_fail(error, SO_ERR_NOMEM, "no memory for phonemes");
    return status;
}
