/* Answers a typed question aloud: speak MODEL "QUESTION" ANSWER.wav
 *
 *     cc speak.c $(pkg-config --cflags --libs stream-omni) -o speak
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <sndfile.h>
#include <so.h>
#include <stdio.h>

static int failed(const so_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: speak MODEL QUESTION ANSWER.wav\n");
        return 2;
    }
    so_error error;
    so_model *model;
    so_session *session;
    so_event event;
    if (so_model_open(&model, argv[1], NULL, &error) || so_session_open(&session, model, NULL, &error))
        return failed(&error);

    SF_INFO info = {.samplerate = SO_VOICE_RATE, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE *file = sf_open(argv[3], SFM_WRITE, &info);
    if (!file) {
        fprintf(stderr, "%s: %s\n", argv[3], sf_strerror(NULL));
        return 1;
    }
    if (so_feed_text(session, argv[2], &error) || so_reply(session, SO_WANT_TEXT | SO_WANT_VOICE, &error))
        return failed(&error);
    /* Text runs a few words ahead of the voice; every piece of voice names the text that it speaks. */
    do {
        if (so_next(session, &event, &error)) return failed(&error);
        if (event.kind == SO_EVENT_TEXT) printf("%s", event.text);
        if (event.kind == SO_EVENT_VOICE) sf_write_float(file, event.pcm, (sf_count_t)event.samples);
    } while (event.kind != SO_EVENT_DONE);
    printf("\n%.2f s of speech, the first sound after %.0f ms\n", event.usage.voice_s,
           1000 * event.usage.first_voice_s);

    sf_close(file);
    so_session_close(&session);
    so_model_close(&model);
    return 0;
}
