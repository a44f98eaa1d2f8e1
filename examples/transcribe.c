/* Writes down what is said in a recording, while it is "heard": transcribe MODEL RECORDING
 *
 *     cc transcribe.c $(pkg-config --cflags --libs stream-omni) -o transcribe
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <sndfile.h>
#include <so.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const so_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: transcribe MODEL RECORDING\n");
        return 2;
    }
    so_error error;
    so_model *model;
    so_session *session;
    if (so_model_open(&model, argv[1], NULL, &error) || so_session_open(&session, model, NULL, &error))
        return failed(&error);

    SF_INFO info = {0};
    SNDFILE *file = sf_open(argv[2], SFM_READ, &info);
    if (!file || info.channels != 1) {
        fprintf(stderr, "%s: not a recording with one channel\n", argv[2]);
        return 1;
    }
    /* A microphone would bring pieces like these. What is heard so far may be taken back until it is final. */
    float pcm[2048];
    so_event event;
    for (sf_count_t n; (n = sf_readf_float(file, pcm, 2048)) > 0;) {
        if (so_feed_audio(session, pcm, (size_t)n, info.samplerate, &error)) return failed(&error);
        while (so_next(session, &event, &error) == SO_OK && event.kind == SO_EVENT_HEARD)
            fprintf(stderr, "%6.2f s  %s\n", event.end_s, event.text);
    }
    sf_close(file);

    if (so_reply(session, SO_WANT_TEXT, &error)) return failed(&error);
    do {
        if (so_next(session, &event, &error)) return failed(&error);
        if (event.kind == SO_EVENT_HEARD && event.final) printf("%s\n", event.text);
    } while (event.kind != SO_EVENT_DONE && !(event.kind == SO_EVENT_HEARD && event.final));

    so_session_close(&session);
    so_model_close(&model);
    return 0;
}
