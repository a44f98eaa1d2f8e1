/* What readers share: where files lie, and how records are made.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_READERS_READING_H
#define SO_DATASET_READERS_READING_H

#include "base/file.h"
#include "dataset/readers/readers.h"
#include "dataset/readers/tar.h"

enum { SO_READ_LINE = 16 << 20 /* longest line or element */, SO_READ_PATH = 4096 };

typedef struct so_reading {
    const so_read_options *options;
    so_sink *sink;
    const char *path;        /* of what is read */
    char root[SO_READ_PATH]; /* absolute, where files are looked for */
    char source[128];
    bool trusted;                 /* what this program wrote: absolute paths lead where they say */
    struct so_tar_sample *sample; /* members of a shard that belong to the record; NULL: files */
} so_reading;

typedef so_status (*so_reader_fn)(so_reading *reading, so_error *error);

/* Starts reading `path`: resolves the root. Strings are lent. */
so_status so_reading_start(so_reading *reading, const char *path, const so_read_options *options, so_sink *sink,
                           so_error *error);

/* Where a name leads that a corpus gives: below the root. False where it leaves it. */
bool so_reading_path(const so_reading *reading, const char *name, char out[SO_READ_PATH]);

/* What stands in a record for a file: its path, or its place in a shard. NULL with *bad told. `kind`: SO_FILE_PICTURE,
 * ... */
typedef enum so_file_kind { SO_FILE_PICTURE, SO_FILE_SOUND, SO_FILE_UNITS } so_file_kind;
json_t *so_reading_file(const so_reading *reading, const char *name, so_file_kind kind, so_bad *bad);
/* The same of a shard's sample: the member of this name, else the next of the kind. */
json_t *so_tar_sample_file(struct so_tar_sample *sample, const char *name, so_file_kind kind, so_bad *bad);

/* A record without turns; `id` may be NULL. NULL without memory. */
json_t *so_reading_record(const so_reading *reading, const char *id);
/* Appends a turn and gives it (lent by the record). NULL without memory, or where `text` is not UTF-8. */
json_t *so_reading_turn(json_t *record, const char *role, const char *text);

/* One thing that is said in a recording. */
typedef struct so_utterance {
    const char *id, *text, *path, *speaker, *lang; /* path: as the corpus gives it; the last two may be NULL */
    double begin, end;                             /* seconds; end 0: to the end */
    double told;                                   /* length that the corpus tells; 0: none */
} so_utterance;
so_status so_reading_utterance(so_reading *reading, const so_utterance *u, const char *file, int64_t number,
                               so_error *error);

/* Calls `each` for every file below the folder whose name ends with `ending`, folder by folder, in the order of bytes
 * of their names. Paths are below `folder`. */
typedef so_status (*so_walk_fn)(void *context, const char *path, so_error *error);
so_status so_walk(const char *folder, const char *ending, so_walk_fn each, void *context, so_error *error);

/* Text of Chinese corpora: no blanks between Chinese characters, Latin of full width as ASCII; U+3000, U+00A0 and Omega
 * removed. Frees with free(); NULL without memory. */
char *so_join_chinese(const char *text);
/* "THE OLD CLOCK" as "The old clock", "i" as "I". In place. */
void so_recase(char *text);

/* Each value of a JSON array, of an array in the member `member` (may be NULL) of an object, or of lines. */
typedef so_status (*so_json_fn)(void *context, const char *text, size_t size, int64_t number, so_error *error);
typedef struct so_json_list {
    const char *data; /* lent */
    size_t size;
    const char *member;
    void (*broken)(void *context, so_bad reason, int64_t number, const char *what); /* what could not be handed over */
    void *context;
    so_json_fn each;
} so_json_list;
so_status so_json_each(const so_json_list *list, so_error *error);

so_status so_read_json(so_reading *reading, so_error *error);
so_status so_read_wenetspeech(so_reading *reading, so_error *error);
so_status so_read_text(so_reading *reading, so_error *error);
so_status so_read_librispeech(so_reading *reading, so_error *error);
so_status so_read_aishell1(so_reading *reading, so_error *error);
so_status so_read_aishell3(so_reading *reading, so_error *error);
so_status so_read_commonvoice(so_reading *reading, so_error *error);
so_status so_read_kaldi(so_reading *reading, so_error *error);
so_status so_read_yaml(so_reading *reading, so_error *error);
so_status so_read_tar(so_reading *reading, so_error *error);

/* A JSON value as a record, by its members; what is wrong goes to the sink. */
so_status so_read_json_record(so_reading *reading, const json_t *json, const char *file, int64_t number,
                              so_error *error);

#endif
