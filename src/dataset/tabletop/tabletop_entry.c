/* Questions of a corpus, and the lists that tell of them. See tabletop_entry.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset/tabletop/tabletop_entry.h"

#include <jansson.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const uint64_t TALK_VOICES = 1ull << 40, OUTSIDE_VOICES = 1ull << 41;

const char *so_tabletop_extension(const so_tabletop_options *options) { return options->wav ? "wav" : "flac"; }

static void fill_paths(const so_tabletop_options *options, so_tabletop_entry *e)
{
    e->voice = so_voice_draw(options->part, options->seed, e->number);
    snprintf(e->speech, sizeof e->speech, "speech/%s.%s", e->id, so_tabletop_extension(options));
    snprintf(e->answers, sizeof e->answers, "answers/%s.%s", e->id, so_tabletop_extension(options));
}

so_tabletop_entry so_tabletop_entry_scene(const so_tabletop_options *options, int64_t scene, int turn,
                                          const so_dialogue *dialogue)
{
    so_tabletop_entry e = {.qa = &dialogue->turn[turn], .number = (uint64_t)(scene * SO_TABLETOP_TURNS_MAX + turn)};
    snprintf(e.id, sizeof e.id, "v%06d-%02d", (int)scene, turn);
    fill_paths(options, &e);
    return e;
}

so_tabletop_entry so_tabletop_entry_talk(const so_tabletop_options *options, int64_t index, const so_qa *qa)
{
    so_tabletop_entry e = {.qa = qa, .number = TALK_VOICES + (uint64_t)index};
    snprintf(e.id, sizeof e.id, "t%06d", (int)index);
    fill_paths(options, &e);
    return e;
}

void so_tabletop_outside_qa(const so_tabletop_options *options, int64_t index, so_qa *qa)
{
    uint32_t kind = 1u << (index % 5 == 4 ? SO_TALK_FOREIGN : SO_TALK_OUTSIDE);
    so_tabletop_talk(options->part, options->seed, (uint64_t)index, kind, qa);
}

so_tabletop_entry so_tabletop_entry_outside(const so_tabletop_options *options, int64_t index, const so_qa *qa)
{
    so_tabletop_entry e = {.qa = qa, .number = OUTSIDE_VOICES + (uint64_t)index};
    snprintf(e.id, sizeof e.id, "o%06d", (int)index);
    fill_paths(options, &e);
    /* Another language has voices of its own. */
    if (qa->language[0]) snprintf(e.voice.accent, sizeof e.voice.accent, "%s", qa->language);
    return e;
}

so_status so_tabletop_path_of(const so_tabletop_options *options, const char *name, char path[SO_TABLETOP_PATH],
                              so_error *error)
{
    if (snprintf(path, SO_TABLETOP_PATH, "%s/%s", options->folder, name) >= SO_TABLETOP_PATH - 32)
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
    char path[SO_TABLETOP_PATH];
    SO_TRY(so_tabletop_path_of(options, name, path, error));
    double seconds = seconds_of(path);
    if (seconds <= 0) return so_fail(error, SO_ERR_MISSING, "'%s' is gone or broken", path);
    json_object_set_new(record, path_key, json_string(name));
    json_object_set_new(record, duration_key, json_real(seconds));
    return SO_OK;
}

/* Who the sound file says has spoken; NULL when it does not. */
static json_t *speaker_json(const so_tabletop_options *options, const so_tabletop_entry *e)
{
    char path[SO_TABLETOP_PATH];
    SF_INFO info = {0};
    json_t *json = NULL;
    if (so_tabletop_path_of(options, e->speech, path, NULL) != SO_OK) return NULL;
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    const char *who = file ? sf_get_string(file, SF_STR_ARTIST) : NULL, *colon = who ? strchr(who, ':') : NULL;
    if (colon) json = json_pack("{s:s# s:s}", "engine", who, (int)(colon - who), "name", colon + 1);
    sf_close(file);
    return json;
}

static so_status list_sound(const so_tabletop_options *options, const so_tabletop_entry *e, json_t *record, lists *out,
                            so_error *error)
{
    SO_TRY(add_sound(options, record, "speech", e->speech, "duration", error));
    const so_voice *v = &e->voice;
    json_t *voice = options->voices && !e->qa->language[0] ? speaker_json(options, e) : NULL;
    if (!voice)
        voice = json_pack("{s:s s:s s:i s:i s:i s:b}", "accent", v->accent, "variant", v->variant, "speed", v->speed,
                          "pitch", v->pitch, "amplitude", v->amplitude, "disturbed", v->disturbed);
    json_object_set_new(record, "voice", voice);
    json_t *line = json_pack("{s:s s:O s:s}", "audio_filepath", e->speech, "duration",
                             json_object_get(record, "duration"), "text", e->qa->question);
    SO_TRY(put_json(&out->asr, "", line, "\n", error));
    return options->answers ? add_sound(options, record, "answer_speech", e->answers, "answer_duration", error) : SO_OK;
}

/* A line of records.jsonl and one of asr.jsonl. */
static so_status list_entry(const so_tabletop_options *options, const so_tabletop_entry *e, const so_scene *scene,
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
        so_tabletop_entry e = so_tabletop_entry_scene(options, index, turn, &dialogue);
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

static so_status list_exchange(const so_tabletop_options *options, const so_tabletop_entry *e, lists *out,
                               so_error *error)
{
    SO_TRY(list_entry(options, e, NULL, NULL, out, error));
    json_t *turns = json_array();
    add_turn(turns, false, e->qa);
    return list_conversation(options, e->id, NULL, turns, json_pack("[s]", e->speech), out, error);
}

static so_status list_talk(const so_tabletop_options *options, int64_t index, lists *out, so_error *error)
{
    so_qa qa;
    so_tabletop_talk(options->part, options->seed, (uint64_t)index, 0, &qa);
    so_tabletop_entry e = so_tabletop_entry_talk(options, index, &qa);
    return list_exchange(options, &e, out, error);
}

static so_status list_outside(const so_tabletop_options *options, int64_t index, lists *out, so_error *error)
{
    so_qa qa;
    so_tabletop_outside_qa(options, index, &qa);
    so_tabletop_entry e = so_tabletop_entry_outside(options, index, &qa);
    return list_exchange(options, &e, out, error);
}

static so_status open_list(const so_tabletop_options *options, const char *name, so_writer *writer, so_error *error)
{
    char path[SO_TABLETOP_PATH];
    SO_TRY(so_tabletop_path_of(options, name, path, error));
    return so_writer_open(writer, path, error);
}

so_status so_tabletop_make_lists(const so_tabletop_options *options, so_error *error)
{
    lists out = {0};
    so_status status = SO_OK;
    SO_TRY_GO(open_list(options, "records.jsonl", &out.records, error));
    SO_TRY_GO(open_list(options, "llava.json", &out.llava, error));
    SO_TRY_GO(open_list(options, "asr.jsonl", &out.asr, error));
    SO_TRY_GO(so_writer_put(&out.llava, "[", 1, error));
    for (int64_t i = 0; i < options->scenes; i++) SO_TRY_GO(list_scene(options, i, &out, error));
    for (int64_t i = 0; i < options->talk; i++) SO_TRY_GO(list_talk(options, i, &out, error));
    for (int64_t i = 0; i < options->outside; i++) SO_TRY_GO(list_outside(options, i, &out, error));
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
