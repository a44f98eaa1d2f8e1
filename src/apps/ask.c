/* The verbs ask, see and demo: one turn with the model, from files to files.
 * SPDX-License-Identifier: Apache-2.0 */
#include "apps/exchange.h"
#include "apps/verbs.h"

/* ---- ask */
static int run_ask(int argc, char **argv)
{
    so_setting setting = {0};
    so_given given = {0};
    so_outputs out = {0};
    so_far far = {0};
    const char *text = NULL;
    const so_option options[] = {
        {"text", SO_OPTION_TEXT, &text, "WORDS", "words, whatever they look like"},
        SO_OUTPUT_OPTIONS(out),
        SO_FAR_OPTIONS(far),
        SO_SOUND_OPTIONS,
        SO_FRONT_OPTION(setting),
        SO_MODEL_OPTIONS(setting),
        SO_SESSION_OPTIONS(setting),
        SO_LIKE_OPTION(setting),
        {0},
    };
    int n, status = so_cli_parse(&so_verb_ask, options, argc, argv, &n);
    if (status >= 0) return status;
    so_error error = {0};
    bool voice = out.wav || out.alignment;
    so_far_settle(&far);
    unsigned takes = SO_TAKES_WORDS | SO_TAKES_PICTURE | SO_TAKES_SOUND | SO_TAKES_TYPED;
    if (so_outputs_settle(&out, &error) != SO_OK || so_given_read(&given, n, argv, text, takes, &error) != SO_OK)
        status = so_cli_fail(&error);
    else if (!given.sound.name && !given.words)
        status = so_cli_usage(&so_verb_ask, "expected a question, as words or as a recording, found %s",
                              n ? "only a picture" : "nothing");
    else if (far.server)
        status = so_exchange_far(&far, &setting, &given, &out, voice);
    else
        status = so_exchange(&setting, &given, NULL, &out, voice);
    so_given_clear(&given);
    return status;
}

const so_verb so_verb_ask = {
    "ask", "a picture, a recording, words in; transcript, text and speech out",
    "ask [PICTURE] [RECORDING] [WORDS...] [options]",
    "A picture and a recording are told by what they hold; - is standard input, and data:, http: and https: URLs are\n"
    "read too. All else is the question in words, but what looks like a file must be one: --text takes words as they\n"
    "are. The answer is spoken when --wav, --alignment or --units asks for it.\n\n"
    "examples:\n"
    "  stream-omni ask table.png \"What color is the star?\"\n"
    "  stream-omni ask table.png question.wav --wav answer.wav --alignment answer.png\n"
    "  stream-omni ask question.wav --json\n"
    "  arecord -d 4 | stream-omni ask table.png - --wav - | aplay\n"
    "  stream-omni ask --server http://127.0.0.1:8080 table.png question.wav --wav answer.wav\n"
    "  stream-omni ask table.png --text \"What is in table.png?\"\n",
    run_ask};

/* ---- demo */
static int run_demo(int argc, char **argv)
{
    static char name[2][4096];
    static const char *const shipped[] = {"examples/table.png", "examples/question.wav"};
    so_setting setting = {0};
    so_given given = {0};
    so_outputs out = {.wav = "answer.wav", .alignment = "answer.png"};
    const so_option options[] = {SO_OUTPUT_OPTIONS(out), SO_MODEL_OPTIONS(setting), SO_SESSION_OPTIONS(setting), {0}};
    int n, status = so_cli_parse(&so_verb_demo, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n) return so_cli_usage(&so_verb_demo, "expected no operands, found '%s'", argv[0]);
    for (int i = 0; i < 2; i++) {
        const char *found = so_cli_shipped(shipped[i]);
        snprintf(name[i], sizeof name[i], "%s", found ? found : shipped[i]);
    }
    so_error error = {0};
    char *operand[] = {name[0], name[1]};
    bool talks = !out.json && !out.quiet;
    const char *wav = out.wav, *alignment = out.alignment; /* as the user names them */
    if (so_outputs_settle(&out, &error) != SO_OK ||
        so_given_read(&given, 2, operand, NULL, SO_TAKES_PICTURE | SO_TAKES_SOUND, &error) != SO_OK) {
        so_given_clear(&given);
        return so_cli_fail(&error);
    }
    if (talks) printf("%slooks at %s, listens to %s%s\n", so_cli_dim(stdout), name[0], name[1], so_cli_plain(stdout));
    status = so_exchange(&setting, &given, NULL, &out, true);
    so_given_clear(&given);
    if (status == SO_EXIT_OK && talks)
        printf("%sthe answer's speech is in %s, waveform, units and words over time in %s%s\n", so_cli_dim(stdout), wav,
               alignment, so_cli_plain(stdout));
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
    so_given given = {0};
    so_outputs out = {0};
    const so_option options[] = {
        SO_OUTPUT_OPTIONS(out), SO_WAIT_OPTION, SO_MODEL_OPTIONS(setting), SO_SESSION_OPTIONS(setting), {0}};
    int n, status = so_cli_parse(&so_verb_see, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1) return so_cli_usage(&so_verb_see, "expected one picture, found %d", n);
    so_error error = {0};
    bool voice = out.wav || out.alignment;
    if (so_outputs_settle(&out, &error) != SO_OK ||
        so_given_read(&given, n, argv, "What do you see?", SO_TAKES_PICTURE, &error) != SO_OK)
        status = so_cli_fail(&error);
    else
        status = so_exchange(&setting, &given, NULL, &out, voice);
    so_given_clear(&given);
    return status;
}

const so_verb so_verb_see = {"see", "describes a picture", "see PICTURE [options]",
                             "The same as asking \"What do you see?\". A picture is a file, - (standard input), or a "
                             "data:, http: or\n"
                             "https: URL.\n\n"
                             "examples:\n"
                             "  stream-omni see table.png\n"
                             "  stream-omni see table.png --wav description.flac\n"
                             "  stream-omni see - <table.png\n",
                             run_see};
