/* stream-omni: one program with verbs. This file finds the verb.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "apps/verbs.h"
#include "so.h"

static const so_verb *const verbs[] = {
    &so_verb_ask,     &so_verb_talk,    &so_verb_see,    &so_verb_transcribe, &so_verb_speak,     &so_verb_demo,
    &so_verb_voices,  &so_verb_serve,   &so_verb_eval,   &so_verb_bench,      &so_verb_data,      &so_verb_train,
    &so_verb_inspect, &so_verb_convert, &so_verb_export, &so_verb_pull,       &so_verb_calibrate,
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static void help(FILE *out)
{
    fprintf(out, "usage: stream-omni VERB [arguments]\n\nSees, hears, writes and speaks at the same time.\n\n");
    for (int i = 0; i < VERBS; i++) fprintf(out, "  %-12s %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(out, "\nstream-omni VERB --help tells more, with examples.\n");
}

/* The exit status after the verb has returned: of a signal that ended it, or of output that went nowhere. */
static int leave(int status)
{
    bool lost = fflush(stdout) != 0 || ferror(stdout);
    if (so_cli_stop) return 128 + so_cli_stop;
    if (!lost) return status;
    fprintf(stderr, "error: standard output could not be written\n");
    return SO_EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    so_cli_secure();
    if (argc < 2) {
        help(stderr);
        return SO_EXIT_USAGE;
    }
    const char *verb = argv[1];
    so_cli_catch();
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
        help(stdout);
        return leave(SO_EXIT_OK);
    }
    if (strcmp(verb, "--version") == 0) {
        printf("stream-omni %s\n", SO_VERSION);
        return leave(SO_EXIT_OK);
    }
    for (int i = 0; i < VERBS; i++)
        if (strcmp(verb, verbs[i]->name) == 0) return leave(verbs[i]->run(argc - 2, argv + 2));
    fprintf(stderr, "stream-omni: unknown verb '%s' (see stream-omni --help)\n", verb);
    return SO_EXIT_USAGE;
}
