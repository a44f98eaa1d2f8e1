/* Writing a corpus of the tabletop world.
 *
 * First the pictures and the sound, by several processes that share the work by number; then, by one, the lists, which
 * are made again from the seed and the lengths of the sound files. Nothing has to be remembered between the two.
 * Source: dataset/tabletop/tabletop_corpus.h.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
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
#include "dataset/tabletop/tabletop_corpus.h"
#include "media/image.h"

enum { MOST = 1000000, MOST_PROCESSES = 256, PIXELS = SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3 };

static const uint64_t TALK_VOICES = 1ull << 40;

/* One question as it is to be written. */
typedef struct entry {
    char id[24], speech[48], answers[48];
    const so_qa *qa;
    so_voice voice;
    uint64_t number;
} entry;

static const char *extension(const so_tabletop_options *options) { return options->wav ? "wav" : "flac"; }

static void fill_paths(const so_tabletop_options *options, entry *e)
{
    e->voice = so_voice_draw(options->part, options->seed, e->number);
    snprintf(e->speech, sizeof e->speech, "speech/%s.%s", e->id, extension(options));
    snprintf(e->answers, sizeof e->answers, "answers/%s.%s", e->id, extension(options));
}

static entry scene_entry(const so_tabletop_options *options, int64_t scene, int turn, const so_dialogue *dialogue)
{
    entry e = {.qa = &dialogue->turn[turn], .number = (uint64_t)(scene * SO_TABLETOP_TURNS_MAX + turn)};
    snprintf(e.id, sizeof e.id, "v%06d-%02d", (int)scene, turn);
    fill_paths(options, &e);
    return e;
}

static entry talk_entry(const so_tabletop_options *options, int64_t index, const so_qa *qa)
{
    entry e = {.qa = qa, .number = TALK_VOICES + (uint64_t)index};
    snprintf(e.id, sizeof e.id, "t%06d", (int)index);
    fill_paths(options, &e);
    return e;
}

static so_status path_of(const so_tabletop_options *options, const char *name, char path[PATH_MAX], so_error *error)
{
    if (snprintf(path, PATH_MAX, "%s/%s", options->folder, name) >= PATH_MAX - 32)
        return so_fail(error, SO_ERR_LIMIT, "the folder's path has %zu bytes, too long", strlen(options->folder));
    return SO_OK;
}

/* Seconds of a sound file, 0 when it is not there or not whole. */
static double seconds_of(const char *path)
{
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file) return 0;
    sf_close(file);
    return info.samplerate > 0 && info.frames > 0 ? (double)info.frames / info.samplerate : 0;
}

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

static so_status write_sound(const char *path, bool wav, const float *samples, int64_t count, so_error *error)
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
    char path[PATH_MAX];
    float *samples;
    int64_t count;
    SO_TRY(path_of(options, name, path, error));
    if (sound_is_whole(path, options->wav)) return SO_OK;
    SO_TRY(so_voice_speak(text, voice, seed, &samples, &count, error));
    so_status status = write_sound(path, options->wav, samples, count, error);
    free(samples);
    return status;
}

static so_status speak_entry(const so_tabletop_options *options, const entry *e, so_error *error)
{
    if (options->mute) return SO_OK;
    uint64_t seed = options->seed ^ e->number << 16;
    so_voice own = so_voice_own();
    SO_TRY(speak_to(options, e->speech, e->qa->question, &e->voice, seed, error));
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

static so_status make_scene(const so_tabletop_options *options, int64_t index, so_error *error)
{
    char name[32], path[PATH_MAX];
    so_dialogue dialogue;
    so_tabletop_dialogue(options->part, options->seed, (uint64_t)index, options->turns, &dialogue);
    snprintf(name, sizeof name, "images/%06d.png", (int)index);
    SO_TRY(path_of(options, name, path, error));
    uint8_t rgb[PIXELS];
    so_scene_render(&dialogue.scene, rgb);
    if (!picture_is_whole(path, rgb)) SO_TRY(write_picture(path, rgb, error));
    for (int turn = 0; turn < dialogue.turns; turn++) {
        entry e = scene_entry(options, index, turn, &dialogue);
        SO_TRY(speak_entry(options, &e, error));
    }
    return SO_OK;
}

static so_status make_piece(const so_tabletop_options *options, int64_t piece, so_error *error)
{
    if (piece < options->scenes) return make_scene(options, piece, error);
    so_qa qa;
    so_tabletop_talk(options->part, options->seed, (uint64_t)(piece - options->scenes), 0, &qa);
    entry e = talk_entry(options, piece - options->scenes, &qa);
    return speak_entry(options, &e, error);
}

/* What a worker tells after every piece; smaller than PIPE_BUF, so that several may share one pipe. */
typedef struct report {
    so_error error;
} report;

/* A worker that is to end leaves no temporary. */
static void end_worker(int number)
{
    so_writer_abandon(); /* getpid and unlink; NOLINT(bugprone-signal-handler,cert-sig30-c) */
    _exit(128 + number);
}

_Noreturn static void work(const so_tabletop_options *options, int process, int processes, int fd)
{
    int64_t pieces = options->scenes + options->talk;
    signal(SIGPIPE, SIG_IGN); /* a report that nobody reads means: stop, with every file whole */
    signal(SIGINT, SIG_IGN);  /* of the terminal, meant for all: the parent tells when to end */
    signal(SIGTERM, end_worker);
    for (int64_t piece = process; piece < pieces; piece += processes) {
        report r = {.error = {.status = SO_OK}};
        r.error.status = make_piece(options, piece, &r.error);
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
    int64_t pieces = options->scenes + options->talk;
    for (int64_t done = 0; done < pieces;) {
        report r;
        bool got;
        SO_TRY(next_report(c, fd, &r, &got, error));
        if (got && r.error.status != SO_OK) return so_fail(error, r.error.status, "%s", r.error.text);
        if (!got) continue;
        done++;
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

static so_status make_files(const so_tabletop_options *options, so_error *error)
{
    crew c = {.count = 0};
    int ends[2], processes = options->processes ? options->processes : cores();
    so_status status = SO_OK;
    if (processes > MOST_PROCESSES) processes = MOST_PROCESSES;
    if (pipe2(ends, O_CLOEXEC) != 0) return so_fail(error, SO_ERR_IO, "cannot open a pipe: %s", strerror(errno));
    for (; c.count < processes; c.count++) {
        c.process[c.count] = fork();
        if (c.process[c.count] == 0) {
            close(ends[0]);
            work(options, c.count, processes, ends[1]);
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

/* The three lists while they are being written. */
typedef struct lists {
    so_writer records, llava, asr;
    int64_t conversations;
} lists;

/* Takes `json`. Writes it between `before` and `after`. */
static so_status put_json(so_writer *writer, const char *before, json_t *json, const char *after, so_error *error)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for a line of '%s'", writer->path);
    so_status status = so_writer_put(writer, before, strlen(before), error);
    if (status == SO_OK) status = so_writer_put(writer, text, strlen(text), error);
    if (status == SO_OK) status = so_writer_put(writer, after, strlen(after), error);
    free(text);
    return status;
}

static json_t *objects_json(const so_scene *scene)
{
    json_t *list = json_array();
    for (int i = 0; i < scene->count; i++) {
        const so_scene_object *o = &scene->objects[i];
        json_array_append_new(list, json_pack("{s:s s:s s:s s:s s:f s:f s:f s:[iii]}", "shape", so_shape_name(o->shape),
                                              "color", so_colour_name(o->colour), "size", o->big ? "big" : "small",
                                              "cell", so_cell_name(o->cell), "x", (double)o->x, "y", (double)o->y,
                                              "diameter", (double)o->diameter, "rgb", o->rgb[0], o->rgb[1], o->rgb[2]));
    }
    return list;
}

/* Adds the path and the length of a sound file, which must be there. */
static so_status add_sound(const so_tabletop_options *options, json_t *record, const char *path_key, const char *name,
                           const char *duration_key, so_error *error)
{
    char path[PATH_MAX];
    SO_TRY(path_of(options, name, path, error));
    double seconds = seconds_of(path);
    if (seconds <= 0) return so_fail(error, SO_ERR_MISSING, "'%s' is gone or broken", path);
    json_object_set_new(record, path_key, json_string(name));
    json_object_set_new(record, duration_key, json_real(seconds));
    return SO_OK;
}

static so_status list_sound(const so_tabletop_options *options, const entry *e, json_t *record, lists *out,
                            so_error *error)
{
    SO_TRY(add_sound(options, record, "speech", e->speech, "duration", error));
    const so_voice *v = &e->voice;
    json_object_set_new(record, "voice",
                        json_pack("{s:s s:s s:i s:i s:i s:b}", "accent", v->accent, "variant", v->variant, "speed",
                                  v->speed, "pitch", v->pitch, "amplitude", v->amplitude, "disturbed", v->disturbed));
    json_t *line = json_pack("{s:s s:O s:s}", "audio_filepath", e->speech, "duration",
                             json_object_get(record, "duration"), "text", e->qa->question);
    SO_TRY(put_json(&out->asr, "", line, "\n", error));
    return options->answers ? add_sound(options, record, "answer_speech", e->answers, "answer_duration", error) : SO_OK;
}

/* A line of records.jsonl and one of asr.jsonl. */
static so_status list_entry(const so_tabletop_options *options, const entry *e, const so_scene *scene,
                            const char *image, lists *out, so_error *error)
{
    json_t *record = json_pack("{s:s s:s s:s s:s}", "id", e->id, "kind", so_tabletop_kind_name(e->qa->kind), "question",
                               e->qa->question, "answer", e->qa->answer);
    if (!record) return so_fail(error, SO_ERR_NOMEM, "no memory for the record %s", e->id);
    if (scene) {
        json_object_set_new(record, "image", json_string(image));
        json_object_set_new(record, "scene", json_integer((json_int_t)scene->seed));
        json_object_set_new(record, "objects", objects_json(scene));
    }
    so_status status = options->mute ? SO_OK : list_sound(options, e, record, out, error);
    if (status == SO_OK) return put_json(&out->records, "", record, "\n", error);
    json_decref(record);
    return status;
}

static void add_turn(json_t *turns, bool first_with_image, const so_qa *qa)
{
    char question[sizeof qa->question + 16];
    snprintf(question, sizeof question, "%s%s", first_with_image ? "<image>\n" : "", qa->question);
    json_array_append_new(turns, json_pack("{s:s s:s}", "from", "human", "value", question));
    json_array_append_new(turns, json_pack("{s:s s:s}", "from", "gpt", "value", qa->answer));
}

/* Takes turns and speech. */
static so_status list_conversation(const so_tabletop_options *options, const char *id, const char *image, json_t *turns,
                                   json_t *speech, lists *out, so_error *error)
{
    json_t *conversation = json_pack("{s:s}", "id", id);
    if (image) json_object_set_new(conversation, "image", json_string(image));
    if (!options->mute) json_object_set(conversation, "speech", speech);
    json_object_set_new(conversation, "conversations", turns);
    json_decref(speech);
    return put_json(&out->llava, out->conversations++ ? ",\n" : "", conversation, "", error);
}

static so_status list_scene(const so_tabletop_options *options, int64_t index, lists *out, so_error *error)
{
    char id[24], image[32];
    so_dialogue dialogue;
    json_t *turns = json_array(), *speech = json_array();
    so_tabletop_dialogue(options->part, options->seed, (uint64_t)index, options->turns, &dialogue);
    snprintf(id, sizeof id, "v%06d", (int)index);
    snprintf(image, sizeof image, "images/%06d.png", (int)index);
    for (int turn = 0; turn < dialogue.turns; turn++) {
        entry e = scene_entry(options, index, turn, &dialogue);
        so_status status = list_entry(options, &e, &dialogue.scene, image, out, error);
        if (status != SO_OK) {
            json_decref(turns);
            json_decref(speech);
            return status;
        }
        add_turn(turns, turn == 0, e.qa);
        json_array_append_new(speech, json_string(e.speech));
    }
    return list_conversation(options, id, image, turns, speech, out, error);
}

static so_status list_talk(const so_tabletop_options *options, int64_t index, lists *out, so_error *error)
{
    so_qa qa;
    so_tabletop_talk(options->part, options->seed, (uint64_t)index, 0, &qa);
    entry e = talk_entry(options, index, &qa);
    SO_TRY(list_entry(options, &e, NULL, NULL, out, error));
    json_t *turns = json_array();
    add_turn(turns, false, &qa);
    return list_conversation(options, e.id, NULL, turns, json_pack("[s]", e.speech), out, error);
}

static so_status open_list(const so_tabletop_options *options, const char *name, so_writer *writer, so_error *error)
{
    char path[PATH_MAX];
    SO_TRY(path_of(options, name, path, error));
    return so_writer_open(writer, path, error);
}

static so_status make_lists(const so_tabletop_options *options, so_error *error)
{
    lists out = {0};
    so_status status = SO_OK;
    SO_TRY_GO(open_list(options, "records.jsonl", &out.records, error));
    SO_TRY_GO(open_list(options, "llava.json", &out.llava, error));
    SO_TRY_GO(open_list(options, "asr.jsonl", &out.asr, error));
    SO_TRY_GO(so_writer_put(&out.llava, "[", 1, error));
    for (int64_t i = 0; i < options->scenes; i++) SO_TRY_GO(list_scene(options, i, &out, error));
    for (int64_t i = 0; i < options->talk; i++) SO_TRY_GO(list_talk(options, i, &out, error));
    SO_TRY_GO(so_writer_put(&out.llava, "]\n", 2, error));
    SO_TRY_GO(so_writer_commit(&out.asr, error));
    SO_TRY_GO(so_writer_commit(&out.llava, error));
    SO_TRY_GO(so_writer_commit(&out.records, error));
done:
    so_writer_drop(&out.records);
    so_writer_drop(&out.llava);
    so_writer_drop(&out.asr);
    return status;
}

/* Writes tabletop.json, or compares with the one that is there. */
static so_status claim_folder(const so_tabletop_options *options, so_error *error)
{
    char path[PATH_MAX], wanted[512], *found;
    size_t size;
    snprintf(wanted, sizeof wanted,
             "{\"format\":\"stream-omni tabletop\",\"version\":1,\"seed\":%llu,\"part\":\"%s\",\"scenes\":%lld,"
             "\"turns\":%d,\"talk\":%lld,\"audio\":\"%s\",\"answers\":%s}\n",
             (unsigned long long)options->seed, options->part == SO_TABLETOP_RESERVED ? "reserved" : "train",
             (long long)options->scenes, options->turns, (long long)options->talk,
             options->mute ? "none" : extension(options), options->answers ? "true" : "false");
    SO_TRY(path_of(options, "tabletop.json", path, error));
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

so_status so_tabletop_build(const so_tabletop_options *options, so_error *error)
{
    static const char *const folders[] = {"images", "speech", "answers"};
    char path[PATH_MAX];
    if (options->scenes < 0 || options->scenes > MOST || options->talk < 0 || options->talk > MOST ||
        options->turns < 1 || options->turns > SO_TABLETOP_TURNS_MAX || options->processes < 0)
        return so_fail(
            error, SO_ERR_ARG,
            "%lld scenes, %d turns, %lld exchanges of talk, %d processes; expected 0-%d, 1-%d, 0-%d, 0 or more",
            (long long)options->scenes, options->turns, (long long)options->talk, options->processes, MOST,
            SO_TABLETOP_TURNS_MAX, MOST);
    bool wanted[] = {options->scenes > 0, !options->mute, !options->mute && options->answers};
    SO_TRY(so_make_folder(options->folder, error));
    SO_TRY(claim_folder(options, error));
    for (int i = 0; i < 3; i++) {
        SO_TRY(path_of(options, folders[i], path, error));
        if (wanted[i]) SO_TRY(so_make_folder(path, error));
        so_writer_sweep(path);
    }
    SO_TRY(make_files(options, error));
    return make_lists(options, error);
}
