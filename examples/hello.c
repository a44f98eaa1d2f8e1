/* The whole of embedding: a model, a conversation, words in, words out as they come: hello MODEL WORDS...
 *
 *     cc hello.c $(pkg-config --cflags --libs stream-omni) -o hello
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <so.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: hello MODEL WORDS...\n");
        return 2;
    }
    so_error error;
    so_model *model = NULL;
    so_session *session = NULL;
    so_event event = {0};
    so_status status = so_model_open(&model, argv[1], NULL, &error);
    if (status == SO_OK) status = so_session_open(&session, model, NULL, &error);
    for (int i = 2; i < argc && status == SO_OK; i++) { /* each is a turn of one conversation */
        status = so_feed_text(session, argv[i], &error);
        if (status == SO_OK) status = so_reply(session, SO_WANT_TEXT, &error);
        event.kind = SO_EVENT_NONE;
        while (status == SO_OK && event.kind != SO_EVENT_DONE) {
            status = so_next(session, &event, &error);
            if (status == SO_OK && event.kind == SO_EVENT_TEXT) fputs(event.text, stdout), fflush(stdout);
        }
        putchar('\n');
    }
    if (status != SO_OK) fprintf(stderr, "%s\n", error.text);
    so_session_close(&session); /* both take NULL */
    so_model_close(&model);
    return status != SO_OK;
}
