/* What an argument of the command line is: words, a picture, a recording, by what it holds and never by its name.
 *
 * An argument that names something that exists, looks like a path, is "-" (standard input) or a URL is opened; what is
 * no picture and no sound is an error that says what it is and what would convert it. Words are words only when nothing
 * else fits.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_OPERAND_H
#define SO_APPS_OPERAND_H

#include "base/input.h"
#include "media/audio.h"
#include "media/image.h"

typedef enum so_operand_kind { SO_OPERAND_WORDS, SO_OPERAND_PICTURE, SO_OPERAND_SOUND } so_operand_kind;

/* What a verb takes. */
enum {
    SO_TAKES_WORDS = 1,   /* arguments that are nothing else */
    SO_TAKES_PICTURE = 2, /* PNG, JPEG, ... */
    SO_TAKES_SOUND = 4,
    SO_TAKES_TYPED = 8, /* text that comes by standard input, a pipe or a data: URL, as words */
    SO_TAKES_TEXT = 16  /* text in files too, as words */
};

typedef struct so_operand {
    so_operand_kind kind;
    char *name;  /* for messages: the argument, "standard input" */
    char *words; /* WORDS */
    so_image picture;
    so_audio sound;
} so_operand;

/* Opens, reads and decodes `argument`. SO_ERR_IO: it cannot be read; SO_ERR_FORMAT and others: it is none of what is
 * taken; SO_ERR_STOPPED. `out` is to be cleared in any case. */
so_status so_operand_read(so_operand *out, const char *argument, unsigned takes, so_error *error);
void so_operand_clear(so_operand *operand);

/* Seconds that a named pipe may be without a writer, and the option that says so. */
extern double so_operand_wait;
#define SO_WAIT_OPTION                                                                                                 \
    {                                                                                                                  \
        "wait", SO_OPTION_REAL, &so_operand_wait, "S", "seconds to wait for a writer of a named pipe", 0.01, 1e6       \
    }

/* The channel of recordings that is heard, from 1; 0: all, mixed. */
extern int64_t so_operand_channel;
/* Seconds of the longest recording that is taken; 0: SO_SOUND_MAX_SECONDS. */
extern double so_operand_seconds;
#define SO_SOUND_OPTIONS                                                                                               \
    SO_WAIT_OPTION,                                                                                                    \
    {                                                                                                                  \
        "channel", SO_OPTION_INT, &so_operand_channel, "N", "hear this channel of a recording alone", 1,               \
            SO_SOUND_MAX_CHANNELS                                                                                      \
    }

/* Whether there is nothing but blanks in it. */
bool so_operand_is_blank(const char *text);
/* Whether the argument means something to be opened, not words. */
bool so_operand_is_path(const char *argument);
/* The bytes of a file, a pipe, standard input, a data: or http(s): URL. */
so_status so_operand_bytes(so_input *input, const char *argument, so_error *error);
/* Refuses what cannot be a model's path: URLs, standard input, pipes, devices, what is not there. NULL passes. */
so_status so_operand_check_model(const char *path, so_error *error);

/* What one turn is given: at most a picture, a recording, and words. */
typedef struct so_given {
    so_operand picture, sound; /* with a name where there is one */
    char *words;               /* all words, joined by spaces; NULL: none */
} so_given;

/* Reads all operands, and `text` (may be NULL) as words behind them. To be cleared in any case. */
so_status so_given_read(so_given *given, int n, char **operand, const char *text, unsigned takes, so_error *error);
void so_given_clear(so_given *given);

#endif
