/* The verb speak: words, from the command line, files or standard input, in the model's voice.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apps/exchange.h"
#include "apps/verbs.h"
#include "base/error.h"

/* The next number of a list; whether it is one of the model's units, the model knows. */
static so_status next_unit(const char **list, int32_t *unit, so_error *error)
{
    char *end;
    errno = 0;
    long long n = strtoll(*list, &end, 10);
    size_t word = strcspn(*list, " ,\t\n");
    if (end == *list || end != *list + word || errno || n < 0 || n > INT32_MAX)
        return so_fail(error, SO_ERR_ARG, "expected unit numbers, found '%.*s'", word < 20 ? (int)word : 20, *list);
    *unit = (int32_t)n;
    *list = end + strspn(end, " ,\t\n");
    return SO_OK;
}

static so_status parse_units(const char *list, int32_t **units, size_t *n, so_error *error)
{
    *n = 0;
    *units = malloc((strlen(list) / 2 + 1) * sizeof **units);
    if (!*units) return so_fail(error, SO_ERR_NOMEM, "no memory for units");
    const char *p = list + strspn(list, " ,\t\n");
    if (!*p) return so_fail(error, SO_ERR_ARG, "expected unit numbers, found none");
    while (*p) SO_TRY(next_unit(&p, *units + (*n)++, error));
    return SO_OK;
}

static so_status speak_units(const so_setting *setting, const char *list, const char *path, so_error *error)
{
    so_model *model = NULL;
    so_sound_writer wav = {0};
    so_clone *clone = NULL;
    size_t n, samples = 0;
    int32_t *units = NULL;
    float *pcm = NULL;
    so_status status;
    SO_TRY_GO(parse_units(list, &units, &n, error));
    SO_TRY_GO(so_setting_open(setting, &model, error));
    SO_TRY_GO(so_setting_voice(setting, model, &clone, error));
    SO_TRY_GO(so_sound_writer_open(&wav, path, SO_VOICE_RATE, error));
    SO_TRY_GO(so_synthesize_as(model, clone, units, n, 1, &pcm, &samples, error));
    SO_TRY_GO(so_sound_writer_put(&wav, pcm, (int64_t)samples, error));
    SO_TRY_GO(so_sound_writer_close(&wav, error));
done:
    so_sound_writer_drop(&wav);
    so_free(pcm);
    free(units);
    so_clone_close(&clone);
    so_model_close(&model);
    return status;
}

static int run(int argc, char **argv)
{
    so_setting setting = {0};
    so_outputs out = {.wav = "speech.wav"};
    const char *units = NULL, *text = NULL;
    bool as_is = false;
    char *words = NULL;
    so_given given = {0};
    so_error error = {0};
    const so_option options[] = {
        {"text", SO_OPTION_TEXT, &text, "WORDS", "words, whatever they look like"},
        {"as-is", SO_OPTION_FLAG, &as_is, NULL,
         "say it as it is written, without writing numbers and the like as words"},
        {"from-units", SO_OPTION_TEXT, &units, "LIST", "speak these units instead of words"},
        SO_OUTPUT_OPTIONS(out),
        SO_WAIT_OPTION,
        SO_MODEL_OPTIONS(setting),
        SO_SESSION_OPTIONS(setting),
        SO_LIKE_OPTION(setting),
        {0},
    };
    int n, status = so_cli_parse(&so_verb_speak, options, argc, argv, &n);
    if (status >= 0) return status;
    if (units && (n || text)) return so_cli_usage(&so_verb_speak, "expected units or words, found both");
    unsigned takes = SO_TAKES_WORDS | SO_TAKES_TYPED | SO_TAKES_TEXT;
    if (so_outputs_settle(&out, &error) != SO_OK || so_given_read(&given, n, argv, text, takes, &error) != SO_OK)
        status = so_cli_fail(&error);
    else if (units)
        status = so_cli_end(speak_units(&setting, units, out.wav, &error), &error);
    else if (!given.words)
        status = so_cli_usage(&so_verb_speak, "expected words to say");
    else if (!as_is && so_spoken_text(given.words, NULL, &words, &error) != SO_OK)
        status = so_cli_fail(&error);
    else
        status = so_exchange(&setting, &given, as_is ? given.words : words, &out, true);
    so_free(words);
    so_given_clear(&given);
    return status;
}

const so_verb so_verb_speak = {
    "speak", "says words in the model's voice", "speak WORDS...|FILE|- [--wav FILE] [options]",
    "Every sentence is said. Numbers, money, times, dates, units, abbreviations and addresses are written as words\n"
    "before (English and Chinese; --as-is leaves them); letters that the voice has no sound for are told, and so are\n"
    "words that it gives up (in --json as \"unsaid\"). The words come from the command line, from text files, or from\n"
    "standard input (-).\n\n"
    "examples:\n"
    "  stream-omni speak \"The star is red.\" --wav star.wav\n"
    "  stream-omni speak story.txt --wav story.opus\n"
    "  date | stream-omni speak - --wav - | aplay\n"
    "  stream-omni speak \"Good morning.\" --like ada.wav --model model.gguf --wav ada-says.wav\n"
    "  stream-omni speak --from-units \"12 7 7 301\" --wav units.wav\n",
    run};
