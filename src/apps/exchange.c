/* One turn with the model.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

/* ---- what is written */

so_status so_output_settle(const char **path, so_error *error)
{
    static char name[32]; /* there is one standard output */
    if (!*path || (strcmp(*path, "-") != 0 && so_descriptor_of(*path) != STDOUT_FILENO)) return SO_OK;
    if (name[0]) return so_fail(error, SO_ERR_ARG, "standard output can be one file, and is named for two");
    fflush(stdout);
    int kept = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int access_mode = fcntl(STDERR_FILENO, F_GETFL) & O_ACCMODE;
    int other = access_mode == O_RDONLY ? open("/dev/null", O_WRONLY | O_CLOEXEC) : dup(STDERR_FILENO);
    if (kept < 0 || other < 0 || dup2(other, STDOUT_FILENO) < 0)
        return so_fail(error, SO_ERR_IO, "standard output: %s", strerror(errno));
    close(other);
    snprintf(name, sizeof name, "/dev/fd/%d", kept);
    *path = name;
    return SO_OK;
}

/* Whether a path means a descriptor, a pipe, a device: nothing that can be tried without being used. */
static bool is_through(const char *path)
{
    struct stat st;
    return so_descriptor_of(path) >= 0 || (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

so_status so_output_check(const char *path, so_error *error)
{
    so_writer writer;
    if (!path || is_through(path)) return SO_OK;
    SO_TRY(so_writer_open(&writer, path, error));
    so_writer_drop(&writer);
    return SO_OK;
}

so_status so_outputs_settle(so_outputs *out, so_error *error)
{
    so_audio_format format;
    bool one = out->wav && out->alignment && strcmp(out->wav, out->alignment) == 0;
    if (one && strcmp(out->wav, "-") != 0 && !is_through(out->wav))
        return so_fail(error, SO_ERR_ARG, "%s: named for the speech and for the drawing", out->wav);
    SO_TRY(so_output_settle(&out->wav, error));
    SO_TRY(so_output_settle(&out->alignment, error));
    SO_TRY(so_output_check(out->wav, error));
    SO_TRY(so_output_check(out->alignment, error));
    return out->wav ? so_sound_writer_form(out->wav, SO_VOICE_RATE, &format, error) : SO_OK;
}

/* ---- the turn */

static so_status draw(const so_outputs *out, so_model *model, const so_audio *speech, const so_answer *answer,
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

static void tell(const so_outputs *out, const so_answer *a)
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

static so_asking question_of(const so_given *given)
{
    return (so_asking){.seen = given->picture.name ? &given->picture.picture : NULL,
                       .said = given->sound.name ? &given->sound.sound : NULL,
                       .text = given->words,
                       .seen_name = given->picture.name,
                       .said_name = given->sound.name};
}

static so_show show_of(const so_outputs *out, so_sound_writer *wav)
{
    return (so_show){.transcript = !out->json && !out->quiet,
                     .text = !out->json,
                     .labels = !out->quiet,
                     .wav = out->wav ? wav : NULL};
}

/* Words to be said as they are, or a question and its reply. */
static so_status speak(so_session *session, const so_given *given, const char *say, unsigned want, so_answer *answer,
                       so_show *show, so_error *error)
{
    so_asking q = question_of(given);
    if (say) return so_turn_say(session, say, want, answer, show, error);
    SO_TRY(so_turn_feed(session, &q, answer, show, error));
    return so_turn_reply(session, want, answer, show, error);
}

/* What the voice has no sound for. Nothing at all to say is an error before anything is written. */
static so_status tell_mute(const so_model *model, const char *say, so_error *error)
{
    char *mute = NULL;
    if (!so_sentence(say)) return so_fail(error, SO_ERR_ARG, "there is nothing to say");
    SO_TRY(so_unspeakable(model, say, &mute, error));
    if (mute) fprintf(stderr, "note: the voice has no sound for %s\n", mute);
    so_free(mute);
    return SO_OK;
}

/* On an open model. */
static so_status turn(const so_setting *setting, so_model *model, const so_given *given, const char *say,
                      const so_outputs *out, bool voice, so_error *error)
{
    so_session *session = NULL;
    so_answer answer = {.first_heard_s = NAN};
    so_sound_writer wav = {0};
    so_show show = show_of(out, &wav);
    unsigned want = SO_WANT_TEXT | (voice ? SO_WANT_VOICE | SO_WANT_UNITS : 0);
    if (out->units || out->alignment) want |= SO_WANT_UNITS;
    so_status status;
    SO_TRY_GO(so_setting_session(setting, model, &session, error));
    if (say) SO_TRY_GO(tell_mute(model, say, error));
    if (!say && given->words) SO_TRY_GO(so_turn_foreign(model, given->words, error));
    if (out->wav) SO_TRY_GO(so_sound_writer_open(&wav, out->wav, SO_VOICE_RATE, error));
    SO_TRY_GO(speak(session, given, say, want, &answer, &show, error));
    if (out->wav) SO_TRY_GO(so_sound_writer_close(&wav, error));
    if (out->alignment) SO_TRY_GO(draw(out, model, &given->sound.sound, &answer, error));
    tell(out, &answer);
done:
    so_sound_writer_drop(&wav);
    so_answer_clear(&answer);
    so_session_close(&session);
    return status;
}

int so_exchange(const so_setting *setting, const so_given *given, const char *say, const so_outputs *out, bool voice)
{
    so_error error = {0};
    so_model *model = NULL;
    so_status status = so_setting_open(setting, &model, &error);
    if (status == SO_OK) {
        /* A drawing alone can do without a waveform. */
        so_model_info info;
        so_model_about(model, &info);
        status = turn(setting, model, given, say, out, voice && (out->wav || info.speaks), &error);
    }
    so_model_close(&model);
    return so_cli_end(status, &error);
}

/* ---- with a server */

/* What was spoken before the connection was lost is kept. */
static so_status close_sound(so_sound_writer *wav, so_status status, so_error *error)
{
    if (status == SO_OK) return so_sound_writer_close(wav, error);
    so_error nobody;
    if (wav->n || wav->wav.n) so_sound_writer_close(wav, &nobody);
    return status;
}

static so_status turn_far(const so_far *far, const so_setting *setting, const so_given *given, const so_outputs *out,
                          bool voice, so_error *error)
{
    so_remote *remote = NULL;
    so_answer answer = {.first_heard_s = NAN};
    so_sound_writer wav = {0};
    so_show show = show_of(out, &wav);
    const so_far_ask ask = {.voice = voice || out->units, .units = out->units || out->alignment};
    so_asking q = question_of(given);
    so_status status;
    SO_TRY_GO(so_far_open(&remote, far, setting, &ask, error));
    if (out->wav) SO_TRY_GO(so_sound_writer_open(&wav, out->wav, SO_REMOTE_RATE, error));
    status = so_far_turn(remote, &q, &answer, &show, error);
    if (out->wav) status = close_sound(&wav, status, error);
    if (status != SO_OK) goto done;
    if (out->alignment) /* the question's units are known to the server alone */
        SO_TRY_GO(so_alignment_write(out->alignment, q.said, NULL, 0, &answer, error));
    tell(out, &answer);
done:
    so_sound_writer_drop(&wav);
    so_answer_clear(&answer);
    so_remote_close(&remote);
    return status;
}

int so_exchange_far(const so_far *far, const so_setting *setting, const so_given *given, const so_outputs *out,
                    bool voice)
{
    so_error error = {0};
    return so_cli_end(turn_far(far, setting, given, out, voice, &error), &error);
}
