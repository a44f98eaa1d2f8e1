/* Writing a corpus of the tabletop world.
 *
 * First the pictures and the sound, by several processes that share the work by number; then, by one, the lists, which
 * are made again from the seed and the lengths of the sound files. Nothing has to be remembered between the two.
 * Source: dataset/tabletop/tabletop_corpus.h.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sndfile.h>
#include <spng.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/file.h"
#include "dataset/tabletop/tabletop_cast.h"
#include "dataset/tabletop/tabletop_entry.h"
#include "media/image.h"

enum { MOST = 1000000, MOST_PROCESSES = 256, NOTES = 5, PIXELS = SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3 };

/* A corpus while it is being made. */
typedef struct maker {
    const so_tabletop_options *options;
    so_tabletop_cast *cast; /* who asks; NULL: espeak-ng's voices */
    char skipped[256];      /* a voice that failed in the piece at hand */
} maker;

/* Whether the bytes that a WAV file's header announces are there: libsndfile takes what it finds for the whole. */
static bool wav_is_whole(const char *path)
{
    unsigned char head[44];
    FILE *file = fopen(path, "rbe");
    if (!file) return false;
    bool whole = fread(head, 1, sizeof head, file) == sizeof head && memcmp(head + 36, "data", 4) == 0;
    uint32_t bytes = (uint32_t)head[40] | (uint32_t)head[41] << 8 | (uint32_t)head[42] << 16 | (uint32_t)head[43] << 24;
    whole = whole && fseek(file, 0, SEEK_END) == 0 && ftell(file) >= (long)sizeof head + (long)bytes;
    fclose(file);
    return whole;
}

/* Whether a sound file of an earlier run has all of its samples: a run that was killed leaves files whole or not at
 * all, a full disk or a copy that broke off does not. */
static bool sound_is_whole(const char *path, bool wav)
{
    float samples[4096];
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file) return false;
    sf_count_t found = 0, n = 0;
    bool plain = info.channels == 1 && info.samplerate == SO_ESPEAK_RATE && info.frames > 0;
    while (plain && (n = sf_readf_float(file, samples, sizeof samples / sizeof *samples)) > 0) found += n;
    sf_close(file);
    return plain && found == info.frames && (!wav || wav_is_whole(path));
}

static bool picture_is_whole(const char *path, const uint8_t *rgb)
{
    static const char end[] = "IEND\xae\x42\x60\x82"; /* pixels may be whole without it */
    so_image image = {0};
    char *data;
    size_t size, tail = sizeof end - 1;
    if (so_file_read(path, 1 << 20, &data, &size, NULL) != SO_OK) return false;
    bool same = size > tail && memcmp(data + size - tail, end, tail) == 0 &&
                so_image_decode(&image, data, size, PIXELS, NULL) == SO_OK && image.w == SO_TABLETOP_SIDE &&
                image.h == SO_TABLETOP_SIDE && memcmp(image.rgb, rgb, PIXELS) == 0;
    so_image_clear(&image);
    free(data);
    return same;
}

/* `speaker` (may be NULL) is kept in the file: who it was may depend on who failed. */
static so_status write_sound(const char *path, bool wav, const char *speaker, const float *samples, int64_t count,
                             so_error *error)
{
    SF_INFO info = {.samplerate = SO_ESPEAK_RATE,
                    .channels = 1,
                    .format = (wav ? SF_FORMAT_WAV : SF_FORMAT_FLAC) | SF_FORMAT_PCM_16};
    so_writer writer;
    SO_TRY(so_writer_open(&writer, path, error));
    writer.quick = true; /* the next run looks whether it is whole */
    SNDFILE *file = sf_open_fd(fileno(writer.file), SFM_WRITE, &info, SF_FALSE);
    bool whole = false;
    if (file) {
        sf_command(file, SFC_SET_CLIPPING, NULL, SF_TRUE);
        if (speaker) sf_set_string(file, SF_STR_ARTIST, speaker);
        whole = sf_writef_float(file, samples, count) == count;
        whole = sf_close(file) == 0 && whole;
    }
    if (whole) return so_writer_commit(&writer, error);
    so_writer_drop(&writer);
    return so_fail(error, SO_ERR_IO, "cannot write %lld samples to '%s'", (long long)count, path);
}

static so_status speak_to(const so_tabletop_options *options, const char *name, const char *text, const so_voice *voice,
                          uint64_t seed, so_error *error)
{
    char path[SO_TABLETOP_PATH];
    float *samples;
    int64_t count;
    SO_TRY(so_tabletop_path_of(options, name, path, error));
    if (sound_is_whole(path, options->wav)) return SO_OK;
    SO_TRY(so_voice_speak(text, voice, seed, &samples, &count, error));
    so_status status = write_sound(path, options->wav, NULL, samples, count, error);
    free(samples);
    return status;
}

/* The question by one of many engines. */
static so_status cast_to(maker *m, const so_tabletop_entry *e, so_error *error)
{
    char path[SO_TABLETOP_PATH];
    so_tabletop_said said;
    SO_TRY(so_tabletop_path_of(m->options, e->speech, path, error));
    if (sound_is_whole(path, m->options->wav)) return SO_OK;
    SO_TRY(so_tabletop_cast_speak(m->cast, m->options->seed, e->number, e->qa->question, &said, error));
    memcpy(m->skipped, said.skipped, sizeof m->skipped);
    so_status status = write_sound(path, m->options->wav, said.name, said.samples, said.count, error);
    free(said.samples);
    return status;
}

static so_status speak_entry(maker *m, const so_tabletop_entry *e, so_error *error)
{
    const so_tabletop_options *options = m->options;
    if (options->mute) return SO_OK;
    uint64_t seed = options->seed ^ e->number << 16;
    so_voice own = so_voice_own();
    SO_TRY(m->cast && !e->qa->language[0] ? cast_to(m, e, error)
                                          : speak_to(options, e->speech, e->qa->question, &e->voice, seed, error));
    return options->answers ? speak_to(options, e->answers, e->qa->answer, &own, seed, error) : SO_OK;
}

static so_status write_picture(const char *path, const uint8_t *rgb, so_error *error)
{
    struct spng_ihdr header = {
        .width = SO_TABLETOP_SIDE, .height = SO_TABLETOP_SIDE, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    spng_ctx *context = spng_ctx_new(SPNG_CTX_ENCODER);
    if (!context) return so_fail(error, SO_ERR_NOMEM, "no memory to write '%s'", path);
    size_t size = 0;
    void *data = NULL;
    int failed = spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
    if (!failed) failed = spng_set_ihdr(context, &header);
    if (!failed) failed = spng_encode_image(context, rgb, PIXELS, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    if (!failed) data = spng_get_png_buffer(context, &size, &failed);
    so_status status = failed ? so_fail(error, SO_ERR_IO, "cannot encode '%s': %s", path, spng_strerror(failed))
                              : so_file_write(path, data, size, error);
    free(data);
    spng_ctx_free(context);
    return status;
}

static so_status make_scene(maker *m, int64_t index, so_error *error)
{
    const so_tabletop_options *options = m->options;
    char name[32], path[SO_TABLETOP_PATH];
    so_dialogue dialogue;
    so_tabletop_dialogue(options->part, options->seed, (uint64_t)index, options->turns, &dialogue);
    snprintf(name, sizeof name, "images/%06d.png", (int)index);
    SO_TRY(so_tabletop_path_of(options, name, path, error));
    uint8_t rgb[PIXELS];
    so_scene_render(&dialogue.scene, rgb);
    if (!picture_is_whole(path, rgb)) SO_TRY(write_picture(path, rgb, error));
    for (int turn = 0; turn < dialogue.turns; turn++) {
        so_tabletop_entry e = so_tabletop_entry_scene(options, index, turn, &dialogue);
        SO_TRY(speak_entry(m, &e, error));
    }
    return SO_OK;
}

static int64_t pieces_of(const so_tabletop_options *options)
{
    return options->scenes + options->talk + options->outside;
}

static so_status make_piece(maker *m, int64_t piece, so_error *error)
{
    const so_tabletop_options *options = m->options;
    so_qa qa;
    if (piece < options->scenes) return make_scene(m, piece, error);
    piece -= options->scenes;
    bool talk = piece < options->talk;
    if (talk)
        so_tabletop_talk(options->part, options->seed, (uint64_t)piece, 0, &qa);
    else
        so_tabletop_outside_qa(options, piece - options->talk, &qa);
    so_tabletop_entry e = talk ? so_tabletop_entry_talk(options, piece, &qa)
                               : so_tabletop_entry_outside(options, piece - options->talk, &qa);
    return speak_entry(m, &e, error);
}

/* What a worker tells after every piece; smaller than PIPE_BUF, so that several may share one pipe. */
typedef struct report {
    so_error error;
    char skipped[256];
} report;
_Static_assert(sizeof(report) <= PIPE_BUF, "a report in one piece");

/* A worker that is to end leaves no temporary. */
static void end_worker(int number)
{
    so_writer_abandon(); /* getpid and unlink; NOLINT(bugprone-signal-handler,cert-sig30-c) */
    _exit(128 + number);
}

_Noreturn static void work(maker *m, int process, int processes, int fd)
{
    int64_t pieces = pieces_of(m->options);
    signal(SIGPIPE, SIG_IGN); /* a report that nobody reads means: stop, with every file whole */
    signal(SIGINT, SIG_IGN);  /* of the terminal, meant for all: the parent tells when to end */
    signal(SIGTERM, end_worker);
    for (int64_t piece = process; piece < pieces; piece += processes) {
        report r = {.error = {.status = SO_OK}};
        m->skipped[0] = 0;
        r.error.status = make_piece(m, piece, &r.error);
        memcpy(r.skipped, m->skipped, sizeof r.skipped);
        if (write(fd, &r, sizeof r) != (ssize_t)sizeof r || r.error.status != SO_OK) _exit(1);
    }
    _exit(0);
}

/* The workers: their processes, 0 for those that have ended. */
typedef struct crew {
    pid_t process[MOST_PROCESSES];
    int count;
} crew;

/* Fails for a worker that has ended before its work was done. `flags` of waitpid. */
static so_status look_after(crew *c, int flags, so_error *error)
{
    so_status status = SO_OK;
    for (int i = 0; i < c->count; i++) {
        int end = 0;
        char name[64];
        pid_t pid = c->process[i];
        if (!pid) continue;
        pid_t ended = waitpid(pid, &end, flags);
        while (ended < 0 && errno == EINTR) ended = waitpid(pid, &end, flags);
        if (ended != pid) continue;
        snprintf(name, sizeof name, "worker %d of %d", i + 1, c->count);
        c->process[i] = 0;
        if (status == SO_OK) status = so_child_status(end, name, error);
    }
    return status;
}

/* A report into *r, or after a while none. A worker's own report goes before the way in which it ended. */
static so_status next_report(crew *c, int fd, report *r, bool *got, so_error *error)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    so_status status = SO_OK;
    *got = false;
    (void)poll(&ready, 1, 100);
    status = look_after(c, WNOHANG, error);
    if (poll(&ready, 1, 0) <= 0) return status;
    ssize_t n = read(fd, r, sizeof *r);
    if (n < 0 && errno == EINTR) return status;
    *got = n == (ssize_t)sizeof *r;
    if (*got && (status == SO_OK || r->error.status != SO_OK)) return SO_OK;
    SO_TRY(status);
    SO_TRY(look_after(c, 0, error));
    return so_fail(error, SO_ERR_STATE, "the workers ended before their work was done");
}

static so_status follow(const so_tabletop_options *options, crew *c, int fd, so_error *error)
{
    int64_t pieces = pieces_of(options), failures = 0;
    for (int64_t done = 0; done < pieces;) {
        report r;
        bool got;
        SO_TRY(next_report(c, fd, &r, &got, error));
        if (got && r.error.status != SO_OK) return so_fail(error, r.error.status, "%s", r.error.text);
        if (!got) continue;
        done++;
        failures += r.skipped[0] != 0;
        if (r.skipped[0] && options->note && failures <= NOTES) options->note(options->context, r.skipped);
        if (options->progress && !options->progress(options->context, done, pieces))
            return so_fail(error, SO_ERR_STOPPED,
                           "stopped after %lld of %lld pieces; the same command goes on from there", (long long)done,
                           (long long)pieces);
    }
    return SO_OK;
}

static int cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

static so_status make_files(maker *m, so_error *error)
{
    const so_tabletop_options *options = m->options;
    crew c = {.count = 0};
    int ends[2], processes = options->processes ? options->processes : cores();
    so_status status = SO_OK;
    if (processes > MOST_PROCESSES) processes = MOST_PROCESSES;
    if (pipe2(ends, O_CLOEXEC) != 0) return so_fail(error, SO_ERR_IO, "cannot open a pipe: %s", strerror(errno));
    for (; c.count < processes; c.count++) {
        c.process[c.count] = fork();
        if (c.process[c.count] == 0) {
            close(ends[0]);
            work(m, c.count, processes, ends[1]);
        }
        if (c.process[c.count] < 0) {
            status = so_fail(error, SO_ERR_IO, "cannot start a worker: %s", strerror(errno));
            break;
        }
    }
    close(ends[1]);
    if (status == SO_OK) status = follow(options, &c, ends[0], error);
    close(ends[0]);
    for (int i = 0; i < c.count && status != SO_OK; i++)
        if (c.process[i]) kill(c.process[i], SIGTERM);
    (void)look_after(&c, 0, NULL);
    return status;
}

/* Writes tabletop.json, or compares with the one that is there. */
static so_status claim_folder(const maker *m, so_error *error)
{
    const so_tabletop_options *options = m->options;
    char path[SO_TABLETOP_PATH], wanted[512], more[96] = "", *found;
    size_t size;
    if (options->outside) snprintf(more, sizeof more, ",\"outside\":%lld", (long long)options->outside);
    if (m->cast)
        snprintf(more + strlen(more), sizeof more - strlen(more), ",\"voices\":\"%016llx\"",
                 (unsigned long long)so_tabletop_cast_mark(m->cast));
    snprintf(wanted, sizeof wanted,
             "{\"format\":\"stream-omni tabletop\",\"version\":1,\"seed\":%llu,\"part\":\"%s\",\"scenes\":%lld,"
             "\"turns\":%d,\"talk\":%lld,\"audio\":\"%s\",\"answers\":%s%s}\n",
             (unsigned long long)options->seed, options->part == SO_TABLETOP_RESERVED ? "reserved" : "train",
             (long long)options->scenes, options->turns, (long long)options->talk,
             options->mute ? "none" : so_tabletop_extension(options), options->answers ? "true" : "false", more);
    SO_TRY(so_tabletop_path_of(options, "tabletop.json", path, error));
    if (access(path, F_OK) != 0) return so_file_write(path, wanted, strlen(wanted), error);
    SO_TRY(so_file_read(path, 1 << 16, &found, &size, error));
    bool same = strcmp(found, wanted) == 0, cut = !same && strncmp(found, wanted, size) == 0;
    so_status status = same  ? SO_OK
                       : cut ? so_file_write(path, wanted, strlen(wanted), error)
                             : so_fail(error, SO_ERR_STATE, "'%s' holds another corpus: %.300s, expected %.300s",
                                       options->folder, found, wanted);
    free(found);
    return status;
}

static so_status open_cast(maker *m, so_error *error)
{
    const so_tabletop_options *o = m->options;
    const char *engine, *package;
    char line[128];
    if (!o->voices || o->mute) return SO_OK;
    SO_TRY(so_tabletop_cast_open(&m->cast, o->voices, o->part, error));
    for (int i = 0; o->note && (engine = so_speakers_absent(so_tabletop_cast_speakers(m->cast), i, &package)); i++) {
        snprintf(line, sizeof line, "%s is not installed (Debian: %s): it asks nothing", engine, package);
        o->note(o->context, line);
    }
    return SO_OK;
}

static so_status make_corpus(maker *m, so_error *error)
{
    static const char *const folders[] = {"images", "speech", "answers"};
    const so_tabletop_options *options = m->options;
    char path[SO_TABLETOP_PATH];
    bool wanted[] = {options->scenes > 0, !options->mute, !options->mute && options->answers};
    SO_TRY(open_cast(m, error));
    SO_TRY(so_make_folder(options->folder, error));
    SO_TRY(claim_folder(m, error));
    for (int i = 0; i < 3; i++) {
        SO_TRY(so_tabletop_path_of(options, folders[i], path, error));
        if (wanted[i]) SO_TRY(so_make_folder(path, error));
        so_writer_sweep(path);
    }
    SO_TRY(make_files(m, error));
    return so_tabletop_make_lists(options, error);
}

so_status so_tabletop_build(const so_tabletop_options *options, so_error *error)
{
    maker m = {.options = options};
    if (options->scenes < 0 || options->scenes > MOST || options->talk < 0 || options->talk > MOST ||
        options->outside < 0 || options->outside > MOST || options->turns < 1 ||
        options->turns > SO_TABLETOP_TURNS_MAX || options->processes < 0)
        return so_fail(error, SO_ERR_ARG,
                       "%lld scenes, %d turns, %lld exchanges of talk, %lld from outside, %d processes; expected 0-%d, "
                       "1-%d, 0-%d, 0-%d, 0 or more",
                       (long long)options->scenes, options->turns, (long long)options->talk,
                       (long long)options->outside, options->processes, MOST, SO_TABLETOP_TURNS_MAX, MOST, MOST);
    so_status status = make_corpus(&m, error);
    so_tabletop_cast_close(&m.cast);
    return status;
}
