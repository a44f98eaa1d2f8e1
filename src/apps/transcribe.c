/* The verb transcribe: what is said in recordings, one after the other.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "apps/operand.h"
#include "apps/recording.h"
#include "apps/turn.h"
#include "apps/verbs.h"
#include "base/plain.h"
#include "media/pieces.h"

typedef struct job {
    so_session *session;
    bool front;
    bool json, words, name; /* name: before every transcript */
} job;

static void put_line(const char *text) { so_cli_put(stdout, text, strlen(text), false); }

static void print(const job *j, const char *path, const so_answer *answer)
{
    if (j->json) {
        printf("{\"file\": ");
        so_json_text(stdout, path);
        printf(", ");
        so_answer_json(stdout, answer);
        printf("}\n");
    } else if (j->words) {
        for (size_t i = 0; i < answer->words; i++) {
            printf("%8.2f %8.2f  ", answer->word[i].begin, answer->word[i].end);
            put_line(answer->word[i].text);
            printf("\n");
        }
    } else if (j->name) {
        put_line(path);
        printf("\t");
        put_line(answer->heard ? answer->heard : "");
        printf("\n");
    }
    fflush(stdout);
}

static void tell_silence(const so_operand *o)
{
    char name[512];
    so_plain(name, sizeof name, o->name, strlen(o->name), false);
    fprintf(stderr, "note: %s: nothing was heard\n", name);
}

static so_status transcribe(const job *j, const char *path, so_error *error)
{
    so_answer answer = {.first_heard_s = NAN};
    so_operand o;
    so_status status;
    SO_TRY_GO(so_operand_read(&o, path, SO_TAKES_SOUND, error));
    status = so_listen(j->session, &o.sound, j->front, !j->json && !j->name && !j->words, &answer, error);
    if (status != SO_OK) status = so_fail_in(error, "%s", o.name);
    if (status != SO_OK) goto done;
    if (!answer.heard[0]) tell_silence(&o);
    print(j, path, &answer);
done:
    so_operand_clear(&o);
    so_answer_clear(&answer);
    return status;
}

/* One that failed among several: told now, and a line of its own for programs. */
static void tell_failed(const job *j, const char *path, const so_error *error)
{
    so_cli_fail(error);
    if (!j->json) return;
    printf("{\"file\": ");
    so_json_text(stdout, path);
    printf(", \"error\": ");
    so_json_text(stdout, error->text);
    printf("}\n");
    fflush(stdout);
}

/* A recording that cannot be read does not keep the next ones from being read. */
static so_status each(const job *j, int n, char **path, so_error *error)
{
    int failed = 0;
    const char *first = NULL;
    for (int i = 0; i < n && !so_cli_stop; i++) {
        so_error own = {0};
        if (transcribe(j, path[i], &own) != SO_OK && !so_cli_stop) {
            if (n == 1) return *error = own, own.status;
            tell_failed(j, path[i], &own);
            first = failed++ ? first : path[i];
        }
        SO_TRY(so_session_clear(j->session, error));
    }
    if (so_cli_stop || !failed) return so_turn_stopped(error);
    return so_fail(error, SO_ERR_IO, "%d of %d recordings could not be transcribed: %s%s", failed, n, first,
                   failed > 1 ? " and others" : "");
}

static int run(int argc, char **argv)
{
    so_setting setting = {0};
    job j = {.json = false};
    const so_option options[] = {
        {"words", SO_OPTION_FLAG, &j.words, NULL, "a line per word, with its times in seconds"},
        {"json", SO_OPTION_FLAG, &j.json, NULL, "one JSON object a file"},
        SO_SOUND_OPTIONS,
        SO_FRONT_OPTION(setting),
        SO_MODEL_OPTIONS(setting),
        {0},
    };
    int n, status = so_cli_parse(&so_verb_transcribe, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n < 1) return so_cli_usage(&so_verb_transcribe, "expected recordings, found nothing");
    so_error error = {0};
    so_model *model = NULL;
    so_operand_seconds = SO_PIECES_MOST_S;
    j.name = n > 1;
    so_status s = so_setting_open(&setting, &model, &error);
    if (s == SO_OK) {
        so_model_info info;
        so_model_about(model, &info);
        j.front = info.front;
    }
    setting.no_front = true; /* pieces come from a front end of their own */
    if (s == SO_OK) s = so_setting_session(&setting, model, &j.session, &error);
    if (s == SO_OK) s = each(&j, n, argv, &error);
    so_session_close(&j.session);
    so_model_close(&model);
    return so_cli_end(s, &error);
}

const so_verb so_verb_transcribe = {
    "transcribe", "writes down what is said in recordings", "transcribe RECORDING... [options]",
    "Recordings of up to four hours are cut where nobody speaks and heard piece by piece.\n"
    "A recording is a file, - (standard input), or a data:, http: or https: URL. One that cannot be read is told and\n"
    "does not stop the others; the exit status is then 1.\n\n"
    "examples:\n"
    "  stream-omni transcribe question.wav\n"
    "  stream-omni transcribe speech/*.flac --json > transcripts.jsonl\n"
    "  ffmpeg -i film.mkv -f wav - | stream-omni transcribe -\n",
    run};
