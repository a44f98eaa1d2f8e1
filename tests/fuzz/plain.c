/* Fuzzes what makes foreign text fit for a terminal, and the guesses at what a file is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/guess.h"
#include "base/plain.h"
#include "base/sniff.h"
#include "train/settings.h"

/* No byte that a terminal obeys: controls of ASCII, and those of two bytes in UTF-8. */
static void check(const char *text, bool lines)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool kept = lines && (*p == '\n' || *p == '\t');
        if ((*p < 0x20 && !kept) || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    for (int lines = 0; lines < 2; lines++) {
        size_t room = 8 * size + 8;
        char *once = malloc(room), *twice = malloc(2 * room), cut[16];
        so_plain(once, room, (const char *)data, size, lines);
        check(once, lines);
        so_plain(twice, 2 * room, once, strlen(once), lines);
        if (strcmp(once, twice) != 0) abort();
        so_plain(cut, sizeof cut, (const char *)data, size, lines);
        if (strncmp(cut, once, strlen(cut)) != 0) abort();
        free(once);
        free(twice);
    }
    so_guess(data, size);
    if (!so_sniff(data, size).what) abort();
    so_refuse_stranger(data, size, "nothing", &error);
    so_refuse_strange_text(data, size, &error);
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    so_settings_same((const char *)data, size, "seed 1\nsteps 24\nfusion cross\n", &error);
    so_settings_same("seed 1\nsteps 24\nfusion cross\n", 29, text, &error);
    free(text);
    return 0;
}
