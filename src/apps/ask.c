/* The verbs ask, see, transcribe, speak: one turn with the model, from files to files.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/files.h"
#include "apps/turn.h"
#include "apps/verbs.h"
#include "base/error.h"

typedef struct outputs {
    const char *wav, *alignment;
    bool json, quiet, units;
} outputs;

/* Sorts the operands: pictures and sounds by their endings, all else is words, joined by spaces. */
static so_status sort_operands(so_question *q, char **text, int n, char **operand, so_error *error)
{
    for (int i = 0; i < n; i++) {
        const char **slot = so_is_picture(operand[i]) ? &q->picture : so_is_sound(operand[i]) ? &q->speech : NULL;
        if (slot) {
            if (access(operand[i], R_OK) != 0) return so_fail(error, SO_ERR_IO, "%s: cannot be read", operand[i]);
            if (*slot)
                return so_fail(error, SO_ERR_ARG, "one picture and one recording a turn, found %s and %s", *slot,
                               operand[i]);
            *slot = operand[i];
            continue;
        }
        char *joined;
        if (asprintf(&joined, "%s%s%s", *text ? *text : "", *text ? " " : "", operand[i]) < 0)
            return so_fail(error, SO_ERR_NOMEM, "no memory for a question");
        free(*text);
        *text = joined;
    }
    q->text = *text;
    return SO_OK;
}

static so_status draw(const outputs *out, so_model *model, const so_audio *speech, const so_answer *answer,
                      so_error *error)
{
    int32_t *units = NULL;
    size_t n = 0;
    so_status status = SO_OK;
    if (speech->n) status = so_turn_units(model, speech, &units, &n, error);
    if (status == SO_OK)
        status = so_alignment_write(out->alignment, speech->n ? speech : NULL, units, n, answer, error);
    free(units);
    return status;
}

static void tell(const outputs *out, const so_answer *a)
{
    if (out->json) {
        printf("{");
        so_answer_json(stdout, a);
        printf("}\n");
        return;
    }
    if (out->units) {
        for (size_t i = 0; i < a->n_units; i++) printf("%s%d", i ? " " : "", a->units[i]);
        printf("\n");
    }
    if (!out->quiet) so_answer_speed(stderr, a);
}

/* Words to be said as they are, or a question and its reply. */
static so_status exchange(so_session *session, const so_question *q, const char *say, unsigned want, so_answer *answer,
                          so_show *show, so_audio *speech, so_error *error)
{
    if (say) return so_turn_say(session, say, want, answer, show, error);
    SO_TRY(so_turn_feed(session, q, answer, show, speech, error));
    return so_turn_reply(session, want, answer, show, error);
}

/* One turn on an open model. */
static so_status turn(const so_setting *setting, so_model *model, const so_question *q, const char *say,
                      const outputs *out, bool voice, so_error *error)
{
    so_session *session = NULL;
    so_answer answer = {.first_heard_s = NAN};
    so_audio speech = {0};
    so_wav_writer wav = {0};
    so_show show = {.transcript = !out->json && !out->quiet,
                    .text = !out->json,
                    .labels = !out->quiet,
                    .wav = out->wav ? &wav : NULL};
    unsigned want = SO_WANT_TEXT | (voice ? SO_WANT_VOICE | SO_WANT_UNITS : 0);
    if (out->units || out->alignment) want |= SO_WANT_UNITS;
    so_status status;
    SO_TRY_GO(so_setting_session(setting, model, &session, error));
    if (out->wav) SO_TRY_GO(so_wav_open(&wav, out->wav, SO_AUDIO_WAV_S16, SO_VOICE_RATE, error));
    SO_TRY_GO(exchange(session, q, say, want, &answer, &show, &speech, error));
    if (out->wav) SO_TRY_GO(so_wav_close(&wav, error));
    if (out->alignment) SO_TRY_GO(draw(out, model, &speech, &answer, error));
    tell(out, &answer);
done:
    so_wav_drop(&wav);
    so_audio_clear(&speech);
    so_answer_clear(&answer);
    so_session_close(&session);
    return status;
}

static int whole(const so_setting *setting, const so_question *q, const char *say, const outputs *out, bool voice)
{
    so_error error = {0};
    so_model *model = NULL;
    so_status status = so_setting_open(setting, &model, &error);
    if (status == SO_OK) {
        /* A drawing alone can do without a waveform. */
        so_model_info info;
        so_model_about(model, &info);
        status = turn(setting, model, q, say, out, voice && (out->wav || info.speaks), &error);
    }
    so_model_close(&model);
    return so_cli_end(status, &error);
}

#define OUTPUT_OPTIONS(out)                                                                                            \
    {"wav", SO_OPTION_TEXT, &(out).wav, "FILE", "write the spoken answer"},                                            \
        {"alignment", SO_OPTION_TEXT, &(out).alignment, "FILE", "draw waveform, units, and words over time (PNG)"},    \
        {"units", SO_OPTION_FLAG, &(out).units, NULL, "print the answer's speech units"},                              \
        {"quiet", SO_OPTION_FLAG, &(out).quiet, NULL, "print the answer only"},                                        \
    {                                                                                                                  \
        "json", SO_OPTION_FLAG, &(out).json, NULL, "everything as one JSON object"                                     \
    }

/* ---- ask */
static int run_ask(int argc, char **argv)
{
    so_setting setting = {0};
    so_question q = {0};
    outputs out = {0};
    const so_option options[] = {OUTPUT_OPTIONS(out), SO_MODEL_OPTIONS(setting), SO_SESSION_OPTIONS(setting), {0}};
    int n, status = so_cli_parse(&so_verb_ask, options, argc, argv, &n);
    if (status >= 0) return status;
    so_error error = {0};
    char *text = NULL;
    if (sort_operands(&q, &text, n, argv, &error) != SO_OK)
        status = so_cli_fail(&error);
    else if (!q.speech && !q.text)
        status = so_cli_usage(&so_verb_ask, "expected a question, as words or as a recording, found %s",
                              n ? "only a picture" : "nothing");
    else
        status = whole(&setting, &q, NULL, &out, out.wav || out.alignment);
    free(text);
    return status;
}

const so_verb so_verb_ask = {
    "ask", "a picture, a recording, words in; transcript, text and speech out",
    "ask [PICTURE] [RECORDING] [WORDS...] [options]",
    "Files are told apart by their endings; all else is the question in words. The answer is spoken when --wav,\n"
    "--alignment or --units asks for it.\n\n"
    "examples:\n"
    "  stream-omni ask table.png \"What color is the star?\"\n"
    "  stream-omni ask table.png question.wav --wav answer.wav --alignment answer.png\n"
    "  stream-omni ask question.wav --json\n",
    run_ask};

/* ---- demo */
static int run_demo(int argc, char **argv)
{
    static char picture[4096], speech[4096];
    so_setting setting = {0};
    outputs out = {.wav = "answer.wav", .alignment = "answer.png"};
    const so_option options[] = {OUTPUT_OPTIONS(out), SO_MODEL_OPTIONS(setting), SO_SESSION_OPTIONS(setting), {0}};
    int n, status = so_cli_parse(&so_verb_demo, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n) return so_cli_usage(&so_verb_demo, "expected no operands, found '%s'", argv[0]);
    const char *found = so_cli_shipped("examples/table.png");
    snprintf(picture, sizeof picture, "%s", found ? found : "examples/table.png");
    found = so_cli_shipped("examples/question.wav");
    snprintf(speech, sizeof speech, "%s", found ? found : "examples/question.wav");
    so_question q = {.picture = picture, .speech = speech};
    if (!out.json && !out.quiet)
        printf("%slooks at %s, listens to %s%s\n", so_cli_dim(stdout), picture, speech, so_cli_plain(stdout));
    status = whole(&setting, &q, NULL, &out, true);
    if (status == SO_EXIT_OK && !out.json && !out.quiet)
        printf("%sthe answer's speech is in %s, waveform, units and words over time in %s%s\n", so_cli_dim(stdout),
               out.wav, out.alignment, so_cli_plain(stdout));
    return status;
}

const so_verb so_verb_demo = {
    "demo", "a picture and a spoken question, shipped with the program, answered in text and speech", "demo [options]",
    "Prints what is heard and answered as it comes, writes the answer's speech and a drawing of waveform, units and\n"
    "words, and tells the speed.\n\n"
    "examples:\n"
    "  stream-omni demo\n"
    "  stream-omni demo --wav /tmp/answer.wav --alignment /tmp/answer.png\n",
    run_demo};

/* ---- see */
static int run_see(int argc, char **argv)
{
    so_setting setting = {0};
    outputs out = {0};
    const so_option options[] = {OUTPUT_OPTIONS(out), SO_MODEL_OPTIONS(setting), SO_SESSION_OPTIONS(setting), {0}};
    int n, status = so_cli_parse(&so_verb_see, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1) return so_cli_usage(&so_verb_see, "expected one picture, found %d", n);
    so_question q = {.picture = argv[0], .text = "What do you see?"};
    return whole(&setting, &q, NULL, &out, out.wav || out.alignment);
}

const so_verb so_verb_see = {"see", "describes a picture", "see PICTURE [options]",
                             "The same as asking \"What do you see?\".\n\n"
                             "examples:\n"
                             "  stream-omni see table.png\n"
                             "  stream-omni see table.png --wav description.wav\n",
                             run_see};

/* ---- speak */
static so_status speak_units(so_model *model, const char *list, const char *wav, so_error *error)
{
    size_t n = 0, samples = 0;
    int32_t *units = malloc((strlen(list) / 2 + 1) * sizeof *units);
    float *pcm = NULL;
    so_status status = units ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for units");
    for (const char *p = list + strspn(list, " ,"); status == SO_OK && *p; p += strspn(p, " ,")) {
        char *end;
        units[n++] = (int32_t)strtol(p, &end, 10);
        if (end == p) status = so_fail(error, SO_ERR_ARG, "expected unit numbers, found '%.20s'", p);
        p = end;
    }
    if (status == SO_OK) status = so_synthesize(model, units, n, 1, &pcm, &samples, error);
    if (status == SO_OK) status = so_audio_write(wav, SO_AUDIO_WAV_S16, pcm, (int64_t)samples, SO_VOICE_RATE, error);
    so_free(pcm);
    free(units);
    return status;
}

static int run_speak(int argc, char **argv)
{
    so_setting setting = {0};
    outputs out = {.wav = "speech.wav"};
    const char *units = NULL;
    so_question q = {0};
    so_error error = {0};
    char *text = NULL;
    const so_option options[] = {
        {"from-units", SO_OPTION_TEXT, &units, "LIST", "speak these units instead of words"},
        OUTPUT_OPTIONS(out),
        SO_MODEL_OPTIONS(setting),
        SO_SESSION_OPTIONS(setting),
        {0},
    };
    int n, status = so_cli_parse(&so_verb_speak, options, argc, argv, &n);
    if (status >= 0) return status;
    if (units) {
        so_model *model = NULL;
        so_status s =
            n ? so_fail(&error, SO_ERR_ARG, "units or words, not both") : so_setting_open(&setting, &model, &error);
        if (s == SO_OK) s = speak_units(model, units, out.wav, &error);
        so_model_close(&model);
        return so_cli_end(s, &error);
    }
    if (sort_operands(&q, &text, n, argv, &error) != SO_OK)
        status = so_cli_fail(&error);
    else if (!text || q.picture || q.speech)
        status = so_cli_usage(&so_verb_speak, "expected words to say");
    else
        status = whole(&setting, &q, text, &out, true);
    free(text);
    return status;
}

const so_verb so_verb_speak = {
    "speak", "says words in the model's voice", "speak WORDS... [--wav FILE] [options]",
    "The words are said as they are, through the top speech layers, which see the text a few tokens at a time.\n\n"
    "examples:\n"
    "  stream-omni speak \"The star is red.\" --wav star.wav\n"
    "  stream-omni speak --from-units \"12 7 7 301\" --wav units.wav\n",
    run_speak};

/* ---- transcribe */
static so_status transcribe(so_session *session, const char *path, bool json, bool name, bool words, so_error *error)
{
    so_answer answer = {.first_heard_s = NAN};
    so_show show = {.transcript = !json && !name && !words};
    so_question q = {.speech = path};
    so_status status;
    SO_TRY_GO(so_turn_feed(session, &q, &answer, &show, NULL, error));
    SO_TRY_GO(so_turn_transcript(session, &answer, &show, error));
    if (json) {
        printf("{\"file\": ");
        so_json_text(stdout, path);
        printf(", ");
        so_answer_json(stdout, &answer);
        printf("}\n");
    } else if (words)
        for (size_t i = 0; i < answer.words; i++)
            printf("%8.2f %8.2f  %s\n", answer.word[i].begin, answer.word[i].end, answer.word[i].text);
    else if (name)
        printf("%s\t%s\n", path, answer.heard ? answer.heard : "");
    SO_TRY_GO(so_session_clear(session, error));
done:
    so_answer_clear(&answer);
    return status;
}

static int run_transcribe(int argc, char **argv)
{
    so_setting setting = {0};
    bool json = false, words = false;
    const so_option options[] = {
        {"words", SO_OPTION_FLAG, &words, NULL, "a line per word, with its times in seconds"},
        {"json", SO_OPTION_FLAG, &json, NULL, "one JSON object a file"},
        SO_MODEL_OPTIONS(setting),
        {0},
    };
    int n, status = so_cli_parse(&so_verb_transcribe, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n < 1) return so_cli_usage(&so_verb_transcribe, "expected recordings, found nothing");
    so_error error = {0};
    so_model *model = NULL;
    so_session *session = NULL;
    so_status s = so_setting_open(&setting, &model, &error);
    if (s == SO_OK) s = so_setting_session(&setting, model, &session, &error);
    for (int i = 0; i < n && s == SO_OK && !so_cli_stop; i++)
        s = transcribe(session, argv[i], json, n > 1, words, &error);
    so_session_close(&session);
    so_model_close(&model);
    return so_cli_end(s, &error);
}

const so_verb so_verb_transcribe = {"transcribe", "writes down what is said in recordings",
                                    "transcribe RECORDING... [options]",
                                    "examples:\n"
                                    "  stream-omni transcribe question.wav\n"
                                    "  stream-omni transcribe speech/*.flac --json > transcripts.jsonl\n",
                                    run_transcribe};
