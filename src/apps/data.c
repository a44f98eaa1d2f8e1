/* The verb data: writes corpora.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "apps/data_corpus.h"
#include "apps/verbs.h"
#include "apps/voices.h"
#include "dataset/tabletop/tabletop_corpus.h"

static bool progress(void *context, int64_t done, int64_t total)
{
    so_bar_step(context, (double)done, (double)total);
    return !so_cli_stop;
}

static void note(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "%s\n", line);
}

static int report(const so_tabletop_options *o, bool json, so_error *error)
{
    so_tabletop_corpus corpus = {0};
    if (so_tabletop_open(&corpus, o->folder, error) != SO_OK) return so_cli_fail(error);
    double seconds = 0, answers = 0;
    int64_t spoken = 0;
    for (int64_t i = 0; i < corpus.count; i++) {
        seconds += corpus.items[i].duration;
        answers += corpus.items[i].answer_duration;
        spoken += corpus.items[i].speech != NULL;
    }
    if (json) {
        printf("{\"folder\": ");
        so_json_text(stdout, o->folder);
        printf(", \"scenes\": %lld, \"questions\": %lld, \"spoken\": %lld, \"speech_s\": %.3f, \"answer_speech_s\": "
               "%.3f}\n",
               (long long)o->scenes, (long long)corpus.count, (long long)spoken, seconds, answers);
    } else
        printf("%s: %lld pictures, %lld questions, %lld of them spoken (%.1f min of speech, %.1f min of answers)\n",
               o->folder, (long long)o->scenes, (long long)corpus.count, (long long)spoken, seconds / 60, answers / 60);
    so_tabletop_close(&corpus);
    return SO_EXIT_OK;
}

/* The verbs behind "data" that have options of their own. */
static const so_verb *const inner[] = {&so_data_index, &so_data_check, &so_data_stats,    &so_data_show,
                                       &so_data_units, &so_data_shard, &so_data_instruct, &so_data_visit};

static int run(int argc, char **argv)
{
    for (size_t i = 0; argc > 0 && i < sizeof inner / sizeof *inner; i++)
        if (strcmp(argv[0], inner[i]->name + strlen("data ")) == 0) return inner[i]->run(argc - 1, argv + 1);
    int64_t seed = 1, scenes = 100, turns = 4, talk = 100, outside = 0, processes = 0;
    bool reserved = false, json = false, many = false;
    so_speakers_options voices = {.stop = &so_cli_stop};
    const char *say = "What color is the star?", *samples = NULL;
    so_bar bar;
    so_tabletop_options build = {.progress = progress, .context = &bar, .note = note};
    const so_option options[] = {
        {"seed", SO_OPTION_INT, &seed, "N", "seed of everything", 0, 9e15},
        {"scenes", SO_OPTION_INT, &scenes, "N", "pictures", 0, 1e6},
        {"turns", SO_OPTION_INT, &turns, "N", "questions per picture", 1, 16},
        {"talk", SO_OPTION_INT, &talk, "N", "exchanges without a picture", 0, 1e6},
        {"outside", SO_OPTION_INT, &outside, "N", "questions that are not of the world, in English and not", 0, 1e6},
        {"voices", SO_OPTION_FLAG, &many, NULL, "questions by every engine of this machine, not by espeak-ng alone"},
        {"reserved", SO_OPTION_FLAG, &reserved, NULL, "the part kept for tests: other scenes, voices and word lists"},
        {"mute", SO_OPTION_FLAG, &build.mute, NULL, "no speech"},
        {"answers", SO_OPTION_FLAG, &build.answers, NULL, "speak the answers too, in one voice of espeak-ng"},
        {"wav", SO_OPTION_FLAG, &build.wav, NULL, "speech as .wav instead of .flac"},
        {"processes", SO_OPTION_INT, &processes, "N", "processes that speak; one per core when not given", 1, 1024},
        {"engines", SO_OPTION_TEXT, &voices.engines, "LIST",
         "of these engines only (espeak-ng,flite,festival,command,endpoint,cosyvoice)"},
        {"voice-command", SO_OPTION_TEXT, &voices.command, "LINE",
         "a program that speaks, too: 'prog --voice {voice} {text} {wav}'"},
        {"voice-endpoint", SO_OPTION_TEXT, &voices.endpoint, "URL",
         "a server with /audio/speech as OpenAI's, or cosyvoice+http://HOST:50000"},
        {"voice-key", SO_OPTION_TEXT, &voices.key, "KEY", "its key"},
        {"voice-names", SO_OPTION_TEXT, &voices.voices, "LIST", "names for the command or the server"},
        {"say", SO_OPTION_TEXT, &say, "TEXT", "voices: what each says into --samples"},
        {"samples", SO_OPTION_TEXT, &samples, "DIR", "voices: where each says it, as FLAC"},
        {"json", SO_OPTION_FLAG, &json, NULL, "the summary as JSON"},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_data, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n == 1 && strcmp(argv[0], "voices") == 0) return so_voices_list(&voices, say, samples, json);
    if (n < 1 || strcmp(argv[0], "tabletop") != 0)
        return so_cli_usage(&so_verb_data,
                            "expected tabletop, voices, index, check, stats, show, units, shard, instruct-omni or "
                            "spoken-visit, found %s",
                            n ? argv[0] : "nothing");
    if (n != 2) return so_cli_usage(&so_verb_data, "expected one folder to write to, found %d", n - 1);
    build.folder = argv[1];
    build.seed = (uint64_t)seed;
    build.part = reserved ? SO_TABLETOP_RESERVED : SO_TABLETOP_TRAIN;
    build.scenes = scenes;
    build.turns = (int)turns;
    build.talk = talk;
    build.outside = outside;
    if (many || voices.engines || voices.command || voices.endpoint) build.voices = &voices;
    build.processes = (int)processes;
    so_error error = {0};
    so_bar_start(&bar, "making the corpus", "pieces");
    so_status made = so_tabletop_build(&build, &error);
    so_bar_end(&bar);
    if (made != SO_OK) return so_cli_fail(&error);
    return report(&build, json, &error);
}

const so_verb so_verb_data = {
    "data", "reads anybody's corpora; writes that of the tabletop world",
    "data tabletop DIR [options] | data voices | data index|check|stats|show|units|shard|instruct-omni|spoken-visit "
    "... (each has --help)",
    "DIR gets images/*.png, speech/*.flac, records.jsonl, llava.json (LLaVA conversations) and asr.jsonl (a speech\n"
    "manifest). The bytes depend on the options only; a stopped run goes on when it is started again.\n"
    "voices lists who can speak on this machine, and lets each say something.\n"
    "index reads a corpus of any known form into a folder of records; check, stats, show, units and shard work on "
    "such\n"
    "folders; instruct-omni speaks written dialogues, spoken-visit a benchmark (docs/data.md).\n\n"
    "examples:\n"
    "  stream-omni data tabletop corpus --scenes 1000 --talk 500 --answers\n"
    "  stream-omni data tabletop test --reserved --seed 7 --scenes 200 --talk 500 --answers\n"
    "  stream-omni data index LibriSpeech/dev-clean -o dev\n"
    "  stream-omni data tabletop heard --reserved --voices --scenes 50 --talk 100 --outside 100\n"
    "  stream-omni data voices --samples heard --voice-command 'piper -m en.onnx -f {wav} -- {text}'\n"
    "  stream-omni data voices --voice-endpoint cosyvoice+http://127.0.0.1:50000 --voice-names 中文女,英文男\n",
    run};
