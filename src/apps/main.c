/* stream-omni: one program with verbs. This file finds the verb.
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/verbs.h"
#include "so.h"

static const so_verb *const verbs[] = {
    &so_verb_ask,     &so_verb_talk,    &so_verb_see,    &so_verb_transcribe, &so_verb_speak,
    &so_verb_demo,    &so_verb_eval,    &so_verb_bench,  &so_verb_data,       &so_verb_train,
    &so_verb_inspect, &so_verb_convert, &so_verb_export, &so_verb_pull,       &so_verb_calibrate,
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static void help(FILE *out)
{
    fprintf(out, "usage: stream-omni VERB [arguments]\n\nSees, hears, writes and speaks at the same time.\n\n");
    for (int i = 0; i < VERBS; i++) fprintf(out, "  %-12s %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(out, "\nstream-omni VERB --help tells more, with examples.\n");
}

/* A mapped file that is cut short while it is read raises this; whatever was being written is still under another name.
 */
static void on_lost_file(int number)
{
    static const char text[] =
        "error: a file that was being read (a model, most likely) was cut short by somebody else\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(SO_EXIT_USAGE);
    _exit(SO_EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return SO_EXIT_USAGE;
    }
    const char *verb = argv[1];
    signal(SIGBUS, on_lost_file);
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
        help(stdout);
        return SO_EXIT_OK;
    }
    if (strcmp(verb, "--version") == 0) {
        printf("stream-omni %s\n", SO_VERSION);
        return SO_EXIT_OK;
    }
    for (int i = 0; i < VERBS; i++)
        if (strcmp(verb, verbs[i]->name) == 0) {
            int status = verbs[i]->run(argc - 2, argv + 2);
            if (fflush(stdout) != 0 || ferror(stdout)) {
                fprintf(stderr, "error: standard output could not be written\n");
                return SO_EXIT_FAILURE;
            }
            return status;
        }
    fprintf(stderr, "stream-omni: unknown verb '%s' (see stream-omni --help)\n", verb);
    return SO_EXIT_USAGE;
}
