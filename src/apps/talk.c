/* The verb talk: a conversation by microphone and speaker, or with files standing in for them.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <string.h>
#include <time.h>

#include "apps/talk.h"
#include "apps/verbs.h"
#include "base/error.h"

/* Pieces of 40 ms: of quiet after sound without a word; loud ones that interrupt. */
enum { QUIET = 50, LOUD = 5 };

void so_talking_show(so_talking *t, so_show *show)
{
    *show = (so_show){.transcript = !t->json, .text = !t->json, .labels = true, .wav = t->wav ? &t->writer : NULL};
}

void so_talking_tell(so_talking *t, const so_answer *answer, bool speed)
{
    t->turns++;
    if (t->json) {
        printf("{\"turn\": %d, ", t->turns);
        so_answer_json(stdout, answer);
        printf("}\n");
        fflush(stdout);
    } else if (speed) {
        so_answer_speed(stderr, answer);
    }
}

/* ---- files: every recording is one turn, a picture belongs to the turn after it */
static so_status file_turn(so_talking *t, const so_asking *q, so_error *error)
{
    so_answer answer = {.first_heard_s = NAN};
    so_show show;
    so_talking_show(t, &show);
    so_status status;
    if (t->model && q->text) SO_TRY(so_turn_foreign(t->model, q->text, error));
    if (t->remote)
        status = so_far_turn(t->remote, q, &answer, &show, error);
    else if ((status = so_turn_feed(t->session, q, &answer, &show, error)) == SO_OK)
        status = so_turn_reply(t->session, SO_WANT_TEXT | (t->wav ? SO_WANT_VOICE : 0), &answer, &show, error);
    bool silent = status == SO_ERR_NOTHING_HEARD;
    if (status == SO_OK)
        so_talking_tell(t, &answer, true);
    else if (silent)
        status = so_turn_silent(t->session, q->said_name, &answer, &show, error);
    if (status == SO_OK && silent && t->json)
        so_talking_tell(t, &answer, false); /* a line for every turn that was given */
    so_answer_clear(&answer);
    return status;
}

/* A picture is kept for the next turn; a recording and words are one each. Takes the operand over. */
static so_status take_operand(so_talking *t, so_operand *o, so_error *error)
{
    if (o->kind == SO_OPERAND_PICTURE) {
        if (t->seen.name)
            return so_fail(error, SO_ERR_ARG, "a picture belongs to the turn after it, found %s and %s before one",
                           t->seen.name, o->name);
        t->seen = *o;
        *o = (so_operand){.kind = SO_OPERAND_WORDS};
        return SO_OK;
    }
    so_asking q = {.seen = t->seen.name ? &t->seen.picture : NULL,
                   .seen_name = t->seen.name,
                   .said = o->kind == SO_OPERAND_SOUND ? &o->sound : NULL,
                   .said_name = o->name,
                   .text = o->words};
    SO_TRY(file_turn(t, &q, error));
    so_operand_clear(&t->seen);
    return SO_OK;
}

static so_status turns(so_talking *t, int n, char **file, so_error *error)
{
    for (int i = 0; i < n; i++) {
        so_operand o;
        SO_TRY(so_turn_stopped(error));
        so_status status =
            so_operand_read(&o, file[i], SO_TAKES_WORDS | SO_TAKES_PICTURE | SO_TAKES_SOUND | SO_TAKES_TYPED, error);
        if (status == SO_OK) status = take_operand(t, &o, error);
        so_operand_clear(&o);
        SO_TRY(status);
    }
    if (t->text && so_operand_is_blank(t->text)) return so_fail(error, SO_ERR_ARG, "--text without words");
    if (t->text) {
        so_asking q = {.seen = t->seen.name ? &t->seen.picture : NULL, .seen_name = t->seen.name, .text = t->text};
        return file_turn(t, &q, error);
    }
    return t->seen.name ? so_fail(error, SO_ERR_ARG, "%s: a picture, and no turn after it", t->seen.name) : SO_OK;
}

/* What was said before a turn failed, or before a signal, is kept. */
static so_status by_files(so_talking *t, int n, char **file, so_error *error)
{
    if (t->wav) SO_TRY(so_sound_writer_open(&t->writer, t->wav, t->remote ? SO_REMOTE_RATE : SO_VOICE_RATE, error));
    so_status status = turns(t, n, file, error);
    if (t->json && status != SO_OK && error) {
        printf("{\"turn\": %d, \"error\": ", t->turns + 1);
        so_json_text(stdout, error->text);
        printf("}\n");
    }
    if (!t->wav || (status != SO_OK && !t->writer.n && !t->writer.wav.n)) return status;
    so_status written = so_sound_writer_close(&t->writer, status == SO_OK ? error : NULL);
    return status == SO_OK ? written : status;
}

/* ---- devices */
typedef struct output {
    so_talking *talk;
    so_status status;
    so_error error;
} output;

static void play(void *context, const float *pcm, size_t samples)
{
    output *o = context;
    if (o->status == SO_OK) o->status = so_audio_device_write(o->talk->device, pcm, samples, &o->error);
}

static double level_of(const float *pcm, size_t n)
{
    double energy = 0;
    for (size_t i = 0; i < n; i++) energy += (double)pcm[i] * (double)pcm[i];
    return n ? sqrt(energy / (double)n) : 0;
}

static so_status feed(so_talking *t, const float *pcm, size_t n, so_answer *answer, so_show *show, so_error *error)
{
    SO_TRY(so_feed_audio(t->session, pcm, n, so_audio_device_rate(t->device), error));
    return so_turn_drain(t->session, answer, show, error);
}

/* Until the user has said something. A room where nobody speaks costs nothing: its silence is not fed, but for the
 * little before the first sound. A turn that is too long ends where it is. */
static so_status listen(so_talking *t, so_answer *answer, so_show *show, so_error *error)
{
    so_status status = SO_OK;
    double quietest = 1;
    bool open = false;
    int waiting = 0, quiet = 0;
    while (status == SO_OK && !so_heard_end(t->session) && !so_cli_stop) {
        size_t n;
        SO_TRY(so_audio_device_read(t->device, t->piece, &n, error));
        double level = level_of(t->piece, n);
        bool loud = level > fmax(1e-3, fmin(3 * quietest, 0.03));
        quietest = fmin(quietest, level);
        if (!open && !loud) {
            memcpy(t->lead[waiting++ % SO_LEAD], t->piece, n * sizeof *t->piece);
            continue;
        }
        for (int i = waiting > SO_LEAD ? waiting - SO_LEAD : 0; i < waiting && status == SO_OK; i++)
            status = feed(t, t->lead[i % SO_LEAD], n, answer, show, error);
        if (status == SO_OK) status = feed(t, t->piece, n, answer, show, error);
        waiting = 0;
        quiet = loud ? 0 : quiet + 1;
        open = quiet < QUIET || (answer->heard && *answer->heard);
    }
    return status == SO_ERR_LIMIT ? SO_OK : status;
}

/* Whether the user speaks loudly for a fifth of a second while the model does. Reads the microphone dry in any case. */
static so_status interrupted(so_talking *t, int *loud, bool *yes, so_error *error)
{
    *yes = false;
    for (int i = 0; i < SO_DRAIN && so_audio_device_ready(t->device); i++) {
        size_t n;
        SO_TRY(so_audio_device_read(t->device, t->piece, &n, error));
        *loud = level_of(t->piece, n) > 0.05 ? *loud + 1 : 0;
        if (t->interrupt && *loud >= LOUD) *yes = true;
    }
    return SO_OK;
}

static so_status answer_aloud(so_talking *t, so_answer *answer, so_show *show, output *out, so_error *error)
{
    bool done = false, cut = false;
    int loud = 0;
    size_t queued = 1;
    SO_TRY(so_turn_begin(t->session, SO_WANT_TEXT | SO_WANT_VOICE, answer, error));
    while ((!done || queued) && !cut && !so_cli_stop) {
        if (!done) {
            SO_TRY(so_turn_step(t->session, answer, show, &done, error));
            if (done) SO_TRY(so_audio_device_finish(t->device, error));
        } else {
            struct timespec pause = {0, 10000000};
            nanosleep(&pause, NULL);
        }
        if (out->status != SO_OK) return *error = out->error, out->status;
        SO_TRY(so_audio_device_play(t->device, &queued, error));
        SO_TRY(interrupted(t, &loud, &cut, error));
    }
    so_turn_end(show);
    double heard = so_audio_device_hush(t->device);
    if (!cut && done) return SO_OK;
    so_session_stop(t->session);
    while (!done) SO_TRY(so_turn_step(t->session, answer, NULL, &done, error));
    return cut ? so_session_heard(t->session, heard, error) : SO_OK;
}

static so_status converse(so_talking *t, so_error *error)
{
    output out = {.talk = t};
    if (t->seen.name) {
        so_asking q = {.seen = &t->seen.picture, .seen_name = t->seen.name};
        SO_TRY(so_turn_feed(t->session, &q, NULL, NULL, error));
    }
    fprintf(stderr, "%s", so_talking_prompt);
    while (!so_cli_stop) {
        so_answer answer = {.first_heard_s = NAN};
        so_show show;
        so_talking_show(t, &show);
        show.voice = play;
        show.context = &out;
        so_status status = listen(t, &answer, &show, error);
        if (status == SO_OK && !so_cli_stop) {
            status = answer_aloud(t, &answer, &show, &out, error);
            if (status == SO_OK)
                so_talking_tell(t, &answer, false);
            else if (status == SO_ERR_NOTHING_HEARD)
                status = so_turn_silent(t->session, NULL, &answer, &show, error);
        }
        so_answer_clear(&answer);
        SO_TRY(status);
    }
    return SO_OK;
}

static so_status by_devices(so_talking *t, so_error *error)
{
    const so_audio_device_options options = {t->microphone, t->speaker, t->remote ? SO_REMOTE_RATE : 0, !t->no_cancel};
    SO_TRY(so_audio_device_open(&t->device, &options, error));
    if (t->wav) SO_TRY(so_sound_writer_open(&t->writer, t->wav, t->remote ? SO_REMOTE_RATE : SO_VOICE_RATE, error));
    so_status status = t->remote ? so_talking_far(t, error) : converse(t, error);
    /* A microphone that is pulled out ends the talk, and what was said is kept. */
    so_status written = t->wav ? so_sound_writer_close(&t->writer, status == SO_OK ? error : NULL) : SO_OK;
    return status == SO_OK ? written : status;
}

/* A model here, or a server. */
static so_status open_far_or_near(so_talking *t, bool files, so_error *error)
{
    const so_far_ask ask = {.voice = !files || t->wav, .microphone = !files, .interrupt = t->interrupt};
    so_far_settle(&t->far);
    if (t->far.server) return so_far_open(&t->remote, &t->far, &t->setting, &ask, error);
    SO_TRY(so_setting_open(&t->setting, &t->model, error));
    return so_setting_session(&t->setting, t->model, &t->session, error);
}

static int run(int argc, char **argv)
{
    static so_talking t = {.setting.patience = 0.5}; /* its pieces of sound are too much for a stack */
    const so_option options[] = {
        {"picture", SO_OPTION_TEXT, &t.picture, "FILE", "what the conversation is about"},
        {"text", SO_OPTION_TEXT, &t.text, "WORDS", "the last turn in words, whatever they look like"},
        {"wav", SO_OPTION_TEXT, &t.wav, "FILE", "write the answers' speech; - for WAV to standard output"},
        {"json", SO_OPTION_FLAG, &t.json, NULL, "one JSON object a turn"},
        {"patience", SO_OPTION_REAL, &t.setting.patience, "S", "seconds of silence that end your turn", 0.1, 10},
        {"interrupt", SO_OPTION_FLAG, &t.interrupt, NULL, "speaking stops the answer"},
        {"no-echo-cancel", SO_OPTION_FLAG, &t.no_cancel, NULL, "hear the speaker, too (with headphones)"},
        {"microphone", SO_OPTION_TEXT, &t.microphone, "NAME", "a part of its name; the default one when not given"},
        {"speaker-device", SO_OPTION_TEXT, &t.speaker, "NAME", "a part of its name; the default one when not given"},
        {"devices", SO_OPTION_FLAG, &t.list, NULL, "list microphones and speakers"},
        SO_FAR_OPTIONS(t.far),
        SO_SOUND_OPTIONS,
        SO_FRONT_OPTION(t.setting),
        SO_MODEL_OPTIONS(t.setting),
        SO_SESSION_OPTIONS(t.setting),
        SO_LIKE_OPTION(t.setting),
        {0},
    };
    int n, status = so_cli_parse(&so_verb_talk, options, argc, argv, &n);
    if (status >= 0) return status;
    so_error error = {0};
    if (t.list) return so_cli_end(so_audio_device_list(&error), &error);
    so_outputs out = {.wav = t.wav};
    so_status s = so_outputs_settle(&out, &error);
    t.wav = out.wav;
    if (s == SO_OK && t.picture) s = so_operand_read(&t.seen, t.picture, SO_TAKES_PICTURE, &error);
    bool files = n || t.text;
    if (s == SO_OK) s = open_far_or_near(&t, files, &error);
    if (s == SO_OK) s = files ? by_files(&t, n, argv, &error) : by_devices(&t, &error);
    so_sound_writer_drop(&t.writer);
    so_operand_clear(&t.seen);
    so_audio_device_close(&t.device);
    so_session_close(&t.session);
    so_model_close(&t.model);
    so_remote_close(&t.remote);
    return so_cli_end(s, &error);
}

const so_verb so_verb_talk = {
    "talk", "a conversation by microphone and speaker, or by files", "talk [FILE|WORDS...] [options]",
    "Without files: microphone and speaker. With files: every recording (or word in quotes) is one turn of the same\n"
    "conversation, and a picture (one a conversation) belongs to the turn after it. Files are told by what they hold,\n"
    "and - is standard input. What was spoken before a turn that fails is kept. Ctrl-C ends the talk with 130.\n\n"
    "examples:\n"
    "  stream-omni talk --picture table.png\n"
    "  stream-omni talk table.png first.wav second.wav --wav answers.wav\n"
    "  stream-omni talk table.png \"What is red?\" \"And what is blue?\" --json\n"
    "  stream-omni talk --server https://voice.example.org:8080 --tls-ca authority.pem\n",
    run};
