/* Everything at once: a question in speech units about nothing, answered in text, units and voice while another thread
 * may stop it: ask MODEL UNIT...
 *
 *     cc ask.c $(pkg-config --cflags --libs stream-omni) -o ask
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <so.h>
#include <stdio.h>
#include <stdlib.h>

static so_session *session;

static void stop(int number)
{
    (void)number;
    so_session_stop(session); /* takes effect within one unit, 40 ms of speech */
}

static int failed(const so_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: ask MODEL UNIT...\n");
        return 2;
    }
    so_error error;
    so_model *model;
    so_event event;
    if (so_model_open(&model, argv[1], NULL, &error) || so_session_open(&session, model, NULL, &error))
        return failed(&error);
    signal(SIGINT, stop);
    for (int i = 2; i < argc; i++) {
        int32_t unit = (int32_t)atoi(argv[i]);
        if (so_feed_units(session, &unit, 1, &error)) return failed(&error);
    }
    if (so_reply(session, SO_WANT_TEXT | SO_WANT_UNITS, &error)) return failed(&error);
    do {
        if (so_next(session, &event, &error)) return failed(&error);
        if (event.kind == SO_EVENT_HEARD && event.final) printf("[heard] %s\n", event.text);
        if (event.kind == SO_EVENT_TEXT) printf("[text] %s\n", event.text);
        for (size_t i = 0; event.kind == SO_EVENT_UNITS && i < event.n_units; i++)
            printf("[unit] %d\n", event.units[i]);
    } while (event.kind != SO_EVENT_DONE);
    printf("[done] %d text tokens, %d units, %.2f s\n", event.usage.text_tokens, event.usage.units,
           event.usage.total_s);
    so_session_close(&session);
    so_model_close(&model);
    return 0;
}
