/* data instruct-omni and data spoken-visit: spoken corpora out of written ones.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/data_corpus.h"
#include "apps/exchange.h"
#include "apps/recording.h"
#include "dataset/builder/instruct.h"

#define VOICE_OPTIONS(v)                                                                                               \
    {"engines", SO_OPTION_TEXT, &(v).engines, "LIST",                                                                  \
     "voices of these engines only (espeak-ng,flite,festival,command,endpoint,cosyvoice)"},                            \
        {"voice-command", SO_OPTION_TEXT, &(v).command, "LINE",                                                        \
         "a program that speaks: 'prog --voice {voice} {text} {wav}'"},                                                \
        {"voice-endpoint", SO_OPTION_TEXT, &(v).endpoint, "URL",                                                       \
         "a server with /audio/speech as OpenAI's, or cosyvoice+http://HOST:50000"},                                   \
        {"voice-key", SO_OPTION_TEXT, &(v).key, "KEY", "its key"},                                                     \
    {                                                                                                                  \
        "voice-names", SO_OPTION_TEXT, &(v).voices, "LIST", "names for the command or the server"                      \
    }

typedef struct building {
    so_bar bar;
    const char *stage;
    so_model *model;
    so_session *session;
    bool front;
} building;

static void step(void *context, const char *stage, int64_t done, int64_t total)
{
    building *b = context;
    if (b->stage != stage) {
        if (b->stage) so_bar_end(&b->bar);
        so_bar_start(&b->bar, stage, "records");
    }
    b->stage = stage;
    so_bar_step(&b->bar, (double)done, (double)total);
}

static so_audio lend(const float *pcm, int64_t n, int rate)
{
    return (so_audio){.samples = (float *)(uintptr_t)pcm, .n = n, .rate = rate};
}

static so_status tokenise(void *context, const float *pcm, int64_t n, int rate, int32_t **units, int64_t *count,
                          so_error *error)
{
    size_t got;
    const so_audio speech = lend(pcm, n, rate);
    SO_TRY(so_turn_units(((building *)context)->model, &speech, units, &got, error));
    *count = (int64_t)got;
    return SO_OK;
}

static so_status hear(void *context, const float *pcm, int64_t n, int rate, char **text, so_error *error)
{
    building *b = context;
    so_answer answer = {.first_heard_s = NAN};
    const so_audio speech = lend(pcm, n, rate);
    so_status status = so_session_clear(b->session, error);
    if (status == SO_OK) status = so_listen(b->session, &speech, b->front, false, &answer, error);
    *text = status == SO_OK ? strdup(answer.heard ? answer.heard : "") : NULL;
    so_answer_clear(&answer);
    return status;
}

static void report(const so_instruct_counts *c, const char *folder)
{
    printf("%s: %lld read, %lld selected, %lld spoken, %lld kept, %.3f h of speech\n", folder, (long long)c->read,
           (long long)c->selected, (long long)c->spoken, (long long)c->kept, c->seconds / 3600);
    for (int i = 0; i < SO_INSTRUCT_REASONS && c->reason[i]; i++)
        printf("  dropped, %s: %lld\n", c->reason[i], (long long)c->dropped[i]);
}

/* Opens what the stages need of a model. */
static so_status open_model(so_setting *setting, building *b, so_instruct_options *o, bool heard, so_error *error)
{
    static so_model_info info;
    SO_TRY(so_setting_open(setting, &b->model, error));
    so_model_about(b->model, &info);
    b->front = info.front;
    o->tokenise = tokenise;
    o->tokeniser = b;
    o->identity = info.name;
    if (!heard) return SO_OK;
    setting->no_front = true;
    o->hear = hear;
    o->hearer = b;
    return so_setting_session(setting, b->model, &b->session, error);
}

static int run_instruct(int argc, char **argv)
{
    so_setting setting = {0};
    so_speakers_options voices = {.stop = &so_cli_stop};
    building b = {.stage = NULL};
    so_instruct_options o = {.stop = &so_cli_stop, .progress = step, .context = &b};
    int64_t seed = 1;
    bool no_units = false, no_check = false;
    const so_option options[] = {
        {"output", SO_OPTION_TEXT, &o.folder, "DIR", "where everything goes (-o)"},
        {"own", SO_OPTION_TEXT, &o.own, "ENGINE:VOICE", "voice of the answers; the first that is always the same"},
        {"seed", SO_OPTION_INT, &seed, "N", "of everything that is drawn", 0, 9e15},
        {"records", SO_OPTION_INT, &o.most_records, "N", "select at most so many", 1, 1e9},
        {"user-seconds", SO_OPTION_REAL, &o.most_user_s, "S", "longest question (30)", 0.5, 60},
        {"answer-seconds", SO_OPTION_REAL, &o.most_answer_s, "S",
         "longest answer (60): longer ones are cut at a sentence", 0.5, 120},
        {"disturb", SO_OPTION_REAL, &o.disturb, "X", "rooms, noise and lines around the users' speech, 0 to 1", 0, 1},
        {"wer", SO_OPTION_REAL, &o.most_wer, "X", "most word errors of a turn (0.1)", 0.001, 10},
        {"no-units", SO_OPTION_FLAG, &no_units, NULL, "no model is asked: no units, no word errors"},
        {"no-check", SO_OPTION_FLAG, &no_check, NULL, "do not hear it again"},
        {"shard", SO_OPTION_FLAG, &o.shard, NULL, "pack it into tar files"},
        VOICE_OPTIONS(voices),
        SO_MODEL_OPTIONS(setting),
        {0},
    };
    int n, status = so_cli_parse(&so_data_instruct, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1 || !o.folder)
        return so_cli_usage(&so_data_instruct, "expected a folder of records and -o DIR, found %d operands", n);
    so_error error = {0};
    so_dataset *dataset = NULL;
    so_speakers *speakers = NULL;
    so_instruct_counts counts = {0};
    o.seed = (uint64_t)seed;
    so_status s = so_dataset_open(&dataset, argv[0], &error);
    if (s == SO_OK) s = so_speakers_open(&speakers, &voices, &error);
    if (s == SO_OK && !no_units) s = open_model(&setting, &b, &o, !no_check, &error);
    o.speakers = speakers;
    if (s == SO_OK) s = so_instruct_build(dataset, &o, &counts, &error);
    if (b.stage) so_bar_end(&b.bar);
    so_session_close(&b.session);
    so_model_close(&b.model);
    so_speakers_close(&speakers);
    so_dataset_close(&dataset);
    if (s != SO_OK) return so_cli_fail(&error);
    report(&counts, o.folder);
    return SO_EXIT_OK;
}

const so_verb so_data_instruct = {"data instruct-omni",
                                  "speaks written dialogues with many voices: a corpus like InstructOmni",
                                  "data instruct-omni DIR -o DIR [options]",
                                  "Stages: select (what can be said; instructions of benchmarks removed, numbers "
                                  "written as words), speak (a voice for\n"
                                  "each dialogue's user, one for all answers), units, check (heard again: word errors, "
                                  "pace, clipping), shard. Each goes\n"
                                  "on where it was stopped. DIR/records holds what is kept, DIR/dropped.jsonl and "
                                  "DIR/records/bad.jsonl what is not.\n\n"
                                  "examples:\n"
                                  "  stream-omni data instruct-omni mix -o spoken --disturb 0.5 --shard\n"
                                  "  stream-omni data instruct-omni mix -o spoken --voice-endpoint "
                                  "http://127.0.0.1:8880/v1 --voice-names af_bella,am_adam\n",
                                  run_instruct};

static int run_visit(int argc, char **argv)
{
    so_speakers_options voices = {.stop = &so_cli_stop};
    so_visit_options o = {.stop = &so_cli_stop};
    int64_t seed = 1, made, left;
    const so_option options[] = {
        {"output", SO_OPTION_TEXT, &o.folder, "DIR", "where it goes (-o)"},
        {"leave", SO_OPTION_TEXT, &o.leave, "FILE",
         "ids to leave out, one a line (the paper leaves out 8 of mathematics)"},
        {"seed", SO_OPTION_INT, &seed, "N", "of the voices", 0, 9e15},
        VOICE_OPTIONS(voices),
        {0},
    };
    int n, status = so_cli_parse(&so_data_visit, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1 || !o.folder)
        return so_cli_usage(&so_data_visit, "expected VisIT-Bench's CSV and -o DIR, found %d operands", n);
    so_error error = {0};
    so_speakers *speakers = NULL;
    o.csv = argv[0];
    o.seed = (uint64_t)seed;
    so_status s = so_speakers_open(&speakers, &voices, &error);
    o.speakers = speakers;
    if (s == SO_OK) s = so_visit_build(&o, &made, &left, &error);
    so_speakers_close(&speakers);
    if (s != SO_OK) return so_cli_fail(&error);
    printf("%s: %lld spoken, %lld left out\n", o.folder, (long long)made, (long long)left);
    return SO_EXIT_OK;
}

const so_verb so_data_visit = {
    "data spoken-visit", "speaks VisIT-Bench's instructions: SpokenVisIT", "data spoken-visit CSV -o DIR [options]",
    "examples:\n"
    "  stream-omni data spoken-visit visit_bench_single_image.csv -o visit --leave mathematics.txt\n",
    run_visit};
