/* The verb eval: measures models.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "apps/verbs.h"

static int run(int argc, char **argv)
{
    const so_option options[] = {{0}};
    int n, status = so_cli_parse(&so_verb_eval, options, argc, argv, &n);
    if (status >= 0) return status;
    fprintf(stderr, "error: this build holds no measurements yet\n");
    return SO_EXIT_FAILURE;
}

const so_verb so_verb_eval = {"eval", "measures a model", "eval", NULL, run};
