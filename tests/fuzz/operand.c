/* Fuzzes what an argument of the command line is: words, a data: URL, or a file. The first byte says what a verb takes,
 * a line is the argument, and what follows lies in the file of that name, where it can be one.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/operand.c"
#include "apps/operand_url.c"

#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

volatile sig_atomic_t so_cli_stop;
static char home[64];
static int loud, quiet, back, there;

static void clean(void)
{
    if (rmdir(home) != 0) perror(home);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    snprintf(home, sizeof home, "%s/so-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    loud = dup(2);
    quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    back = open(".", O_PATH | O_CLOEXEC);
    if (!mkdtemp(home) || loud < 0 || quiet < 0 || back < 0) abort();
    there = open(home, O_PATH | O_CLOEXEC);
    if (there < 0) abort();
    __sanitizer_set_report_fd((void *)(intptr_t)loud); /* notes about files are many, reports are not to be lost */
    atexit(clean);
    return 0;
}

static void take(const char *argument, unsigned takes)
{
    so_operand o;
    so_error error = {0};
    so_status status = so_operand_read(&o, argument, takes, &error);
    if (status != SO_OK && !error.text[0]) abort();
    if (status == SO_OK && o.kind == SO_OPERAND_WORDS && (!o.words || !o.words[0])) abort();
    if (status == SO_OK && o.kind == SO_OPERAND_PICTURE && (!(takes & SO_TAKES_PICTURE) || !o.picture.rgb)) abort();
    if (status == SO_OK && o.kind == SO_OPERAND_SOUND && !(takes & SO_TAKES_SOUND)) abort();
    so_operand_clear(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    const uint8_t *line = data + 1, *end = memchr(line, '\n', size - 1);
    size_t n = end ? (size_t)(end - line) : size - 1;
    char *argument = strndup((const char *)line, n);
    if (!argument) abort();
    bool path = so_operand_is_path(argument), url = so_url_scheme(argument);
    if (url && !path) abort();
    if (fchdir(there) != 0) abort();
    bool data_url = url && strncasecmp(argument, "data:", 5) == 0;
    /* Nothing outside is opened, and nothing is fetched. */
    bool file = !url && argument[0] && strlen(argument) < 200 && !strchr(argument, '/') && argument[0] != '.' &&
                strcmp(argument, "-") != 0;
    if (file) {
        FILE *made = fopen(argument, "wb");
        if (!made) abort();
        size_t more = end ? size - n - 2 : 0;
        if (more && fwrite(end + 1, 1, more, made) != more) abort();
        if (fclose(made) != 0) abort();
    }
    dup2(quiet, 2);
    if (file || data_url) take(argument, data[0] & 31);
    dup2(loud, 2);
    if (file) unlink(argument);
    if (fchdir(back) != 0) abort();
    free(argument);
    return 0;
}
