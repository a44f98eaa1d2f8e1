/* Samples for a report: what a finished model does with questions of the tabletop world.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/samples.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "dataset/tabletop/tabletop_cast.h"
#include "dataset/voices/voice.h"
#include "eval/tabletop/scores.h"

enum { PICTURE_WIDTH = 224 };

/* One question with all that it comes with. */
typedef struct sample {
    so_qa qa;
    bool sees;
    char who[SO_TABLETOP_CAST_NAME]; /* asks */
    so_image picture;
    so_audio speech;
    so_answer answer;
    so_image alignment;
} sample;

static void clear_sample(sample *s)
{
    so_image_clear(&s->picture);
    so_image_clear(&s->alignment);
    so_audio_clear(&s->speech);
    so_answer_clear(&s->answer);
}

/* Takes text and data over, also when it fails. */
static so_status add(so_sample_list *all, so_report_part part, so_error *error)
{
    so_report_part *grown = realloc(all->part, (size_t)(all->n + 1) * sizeof *grown);
    if (!grown || !part.text) {
        if (grown) all->part = grown;
        free(so_mutable(part.text));
        free(so_mutable(part.data));
        return so_fail(error, SO_ERR_NOMEM, "no memory for the samples of a report");
    }
    all->part = grown;
    all->part[all->n++] = part;
    return SO_OK;
}

void so_samples_clear(so_sample_list *samples)
{
    for (int i = 0; i < samples->n; i++) {
        free(so_mutable(samples->part[i].text));
        free(so_mutable(samples->part[i].data));
    }
    free(samples->part);
    *samples = (so_sample_list){0};
}

static so_status add_picture(so_sample_list *all, const char *caption, const so_image *image, int width,
                             so_error *error)
{
    so_report_part part = {.kind = SO_REPORT_PICTURE, .type = "image/png", .width = width};
    unsigned char *png;
    SO_TRY(so_image_encode_png(image, &png, &part.bytes, error));
    part.data = png;
    part.text = strdup(caption);
    return add(all, part, error);
}

static so_status add_sound(so_sample_list *all, const char *caption, const float *x, size_t n, int rate,
                           so_error *error)
{
    so_report_part part = {.kind = SO_REPORT_SOUND, .type = "audio/flac"};
    unsigned char *flac;
    SO_TRY(so_audio_encode(SO_AUDIO_FLAC, x, (int64_t)n, rate, &flac, &part.bytes, error));
    part.data = flac;
    part.text = strdup(caption);
    return add(all, part, error);
}

static so_status add_rows(so_sample_list *all, const sample *s, so_error *error)
{
    const so_answer *a = &s->answer;
    so_report_part part = {.kind = SO_REPORT_ROWS};
    const char *got = a->text ? a->text : "";
    char *text = NULL;
    const char *verdict = so_tabletop_match(s->qa.answer, got) ? "which is right" : "right would be";
    if (asprintf(&text,
                 "asked\t%s\nheard\t%s\nanswer\t%s\n%s\t%s\n"
                 "length of the answer\t%.2f s, %d text tokens, %d units\n",
                 s->qa.question, a->heard && *a->heard ? a->heard : "nothing", got, verdict, s->qa.answer,
                 a->usage.voice_s, a->usage.text_tokens, a->usage.units) < 0)
        text = NULL;
    part.text = text;
    return add(all, part, error);
}

static so_status add_sample(so_sample_list *all, const sample *s, int64_t number, so_error *error)
{
    char caption[192];
    const so_answer *a = &s->answer;
    so_report_part head = {.kind = SO_REPORT_HEADING};
    snprintf(caption, sizeof caption, "Sample %lld: %s", (long long)number, so_tabletop_kind_name(s->qa.kind));
    head.text = strdup(caption);
    SO_TRY(add(all, head, error));
    SO_TRY(add_rows(all, s, error));
    if (s->sees) SO_TRY(add_picture(all, "what it sees", &s->picture, PICTURE_WIDTH, error));
    snprintf(caption, sizeof caption, "the question in a voice that training never heard (%s)", s->who);
    SO_TRY(add_sound(all, caption, s->speech.samples, (size_t)s->speech.n, s->speech.rate, error));
    if (a->samples) SO_TRY(add_sound(all, "the answer", a->pcm, a->samples, SO_VOICE_RATE, error));
    return add_picture(all, "in time: waveform, speech units (equal colours, equal units), words heard and said",
                       &s->alignment, 0, error);
}

/* ---- asking */

/* The question in a voice of the reserved part: of espeak-ng's and of every other engine's in turns. `cast`: who else
 * there is, or NULL. */
static so_status speak_question(sample *s, so_tabletop_cast *cast, uint64_t seed, int64_t i, so_error *error)
{
    char name[32];
    so_voice voice = so_voice_draw(SO_TABLETOP_RESERVED, seed, (uint64_t)i);
    s->speech.rate = SO_ESPEAK_RATE;
    if (cast && i % 2) {
        so_tabletop_said said;
        SO_TRY(so_tabletop_cast_speak(cast, seed, (uint64_t)i, s->qa.question, &said, error));
        memcpy(s->who, said.name, sizeof s->who);
        s->speech.samples = said.samples;
        s->speech.n = said.count;
        return SO_OK;
    }
    snprintf(s->who, sizeof s->who, "espeak-ng:%s%s", so_voice_name(&voice, name),
             voice.disturbed ? ", disturbed" : "");
    return so_voice_speak(s->qa.question, &voice, seed + (uint64_t)i, &s->speech.samples, &s->speech.n, error);
}

static so_status draw_question(sample *s, so_tabletop_cast *cast, uint64_t seed, int64_t i, so_error *error)
{
    *s = (sample){.sees = i % 3 != 2, .answer.first_heard_s = NAN};
    if (s->sees) {
        so_dialogue dialogue;
        so_tabletop_dialogue(SO_TABLETOP_RESERVED, seed, (uint64_t)i, 1, &dialogue);
        s->qa = dialogue.turn[0];
        SO_TRY(so_image_init(&s->picture, SO_TABLETOP_SIDE, SO_TABLETOP_SIDE, error));
        so_scene_render(&dialogue.scene, s->picture.rgb);
    } else {
        so_tabletop_talk(SO_TABLETOP_RESERVED, seed, (uint64_t)i, 0, &s->qa);
    }
    return speak_question(s, cast, seed, i, error);
}

static so_status ask(const so_setting *setting, so_model *model, sample *s, so_error *error)
{
    so_asking q = {.seen = s->sees ? &s->picture : NULL, .said = &s->speech};
    so_show silent = {0};
    so_model_info info;
    so_session *session = NULL;
    unsigned want = SO_WANT_TEXT;
    int32_t *units = NULL;
    size_t n = 0;
    so_status status;
    so_model_about(model, &info);
    SO_TRY_GO(so_setting_session(setting, model, &session, error));
    SO_TRY_GO(so_turn_feed(session, &q, &s->answer, &silent, error));
    if (info.speaks) want |= SO_WANT_VOICE | SO_WANT_UNITS;
    status = so_turn_reply(session, want, &s->answer, &silent, error);
    if (status != SO_ERR_NOTHING_HEARD) SO_TRY_GO(status); /* the report shows that, too */
    SO_TRY_GO(so_turn_units(model, &s->speech, &units, &n, error));
    SO_TRY_GO(so_alignment_draw(&s->alignment, &s->speech, units, n, &s->answer, error));
done:
    free(units);
    so_session_close(&session);
    return status;
}

so_status so_samples_make(so_sample_list *all, const so_setting *setting, int64_t n, uint64_t seed, so_error *error)
{
    so_model *model = NULL;
    so_report_part about = {.kind = SO_REPORT_TEXT};
    char *text = NULL;
    if (asprintf(&text,
                 "What the finished model does with %lld questions of the reserved part (seed %llu): new scenes, "
                 "voices that training never used.",
                 (long long)n, (unsigned long long)seed) >= 0)
        about.text = text;
    SO_TRY(add(all, about, error));
    SO_TRY(so_setting_open(setting, &model, error));
    so_tabletop_cast *cast = NULL;
    so_status status = SO_OK;
    /* Without any, espeak-ng asks alone. */
    (void)so_tabletop_cast_open(&cast, &(so_speakers_options){0}, SO_TABLETOP_RESERVED, &(so_error){0});
    for (int64_t i = 0; i < n && status == SO_OK; i++) {
        sample s;
        status = draw_question(&s, cast, seed, i, error);
        if (status == SO_OK) status = ask(setting, model, &s, error);
        if (status == SO_OK) status = add_sample(all, &s, i + 1, error);
        clear_sample(&s);
    }
    so_tabletop_cast_close(&cast);
    so_model_close(&model);
    return status;
}

/* ---- the table of conditions */

static void print_row(FILE *out, const json_t *row)
{
    const char *text[3] = {"", "", ""}, *keys[3] = {"condition", "mode", "voice"};
    double n[6];
    static const char *const numbers[6] = {"n", "right", "words", "errors", "inside", "refused"};
    for (int k = 0; k < 3; k++) {
        const char *found = json_string_value(json_object_get(row, keys[k]));
        if (found) text[k] = found;
    }
    for (int k = 0; k < 6; k++) n[k] = json_number_value(json_object_get(row, numbers[k]));
    fprintf(out, "%s, %s%s%s\t%.1f %% of %.0f right", text[0], text[1], text[2][0] ? ", " : "", text[2],
            n[0] > 0 ? 100 * n[1] / n[0] : 0, n[0]);
    if (n[2] > 0) fprintf(out, ", %.1f %% word errors", 100 * n[3] / n[2]);
    if (n[4] > 0) fprintf(out, ", %.1f %% refused", 100 * n[5] / n[4]);
    fprintf(out, "\n");
}

so_status so_samples_conditions(so_sample_list *all, const char *path, so_error *error)
{
    json_error_t why;
    json_t *file = json_load_file(path, 0, &why), *rows = json_object_get(file, "conditions"), *row;
    so_report_part head = {.kind = SO_REPORT_HEADING}, table = {.kind = SO_REPORT_ROWS};
    size_t size, i;
    char *text = NULL;
    FILE *out = json_is_array(rows) ? open_memstream(&text, &size) : NULL;
    if (!out) {
        json_decref(file);
        return so_fail(error, SO_ERR_FORMAT, "'%s' is not what 'eval tabletop --condition ... --json' prints%s%s", path,
                       file ? "" : ": ", file ? "" : why.text);
    }
    json_array_foreach(rows, i, row) print_row(out, row);
    json_decref(file);
    fclose(out);
    head.text = strdup("Under conditions");
    table.text = text;
    so_status status = add(all, head, error);
    if (status == SO_OK) return add(all, table, error);
    free(text);
    return status;
}
