/* One record of a corpus: a dialogue in words, pictures, recordings and units, whatever it was read from.
 *
 * A record is one line of records.jsonl in a folder that `data index` made:
 *
 *     {"id": "000123", "source": "llava665k", "lang": "en", "license": "cc-by-4.0",
 *      "images": ["/data/coco/000123.jpg", {"path": "/data/part-0.tar", "at": [1536, 20480]}],
 *      "turns": [{"role": "user", "text": "<image>\nWhat is on the desk?", "say": "What is on the desk?",
 *                 "audio": {"path": "/data/a.flac", "begin": 1.5, "end": 3.25}, "seconds": 1.75, "speaker": "s7",
 *                 "units": {"path": "units.u16", "at": [0, 88]}},
 *                {"role": "assistant", "text": "A lamp."}]}
 *
 * "at" is where bytes lie in a file: offset and size. Paths that do not begin with / lie in the record's folder. `text`
 * is what the model reads or writes, `say` what is spoken, where that differs. "<image>" stands for a picture in a
 * record that has pictures, and is text in one that has none.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_RECORD_H
#define SO_DATASET_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"
#include "media/audio.h"
#include "media/image.h"

/* Bytes of a file; size 0: all of it. */
typedef struct so_locator {
    const char *path; /* can be opened, or "scene:SEED", a picture of the tabletop world; NULL: there is nothing */
    uint64_t offset, size;
} so_locator;

typedef enum so_role { SO_ROLE_SYSTEM, SO_ROLE_USER, SO_ROLE_ASSISTANT } so_role;

typedef struct so_record_turn {
    so_role role;
    const char *text;       /* never NULL */
    const char *say;        /* NULL: as the text */
    const char *speaker;    /* NULL: not told */
    const char *kind;       /* of question, as its corpus names them; NULL: not told */
    so_locator audio;       /* a sound file */
    double begin, end;      /* seconds of it; end 0: all that is left */
    double seconds;         /* of speech; 0: not told */
    so_locator units;       /* uint16, little endian, 25 a second */
    const uint16_t *listed; /* units that stand in the record itself, n_listed of them */
    int64_t n_listed;
    const int16_t *samples; /* a recording that stands in the record itself, mono, n_samples at `rate` */
    int64_t n_samples;
    int rate;
    const uint8_t *phones; /* classes 1.. of what is said, n_phones of them, where they are known */
    int64_t n_phones;
} so_record_turn;

/* Strings live until so_record_clear. Start from a zeroed struct. */
typedef struct so_record {
    const char *id, *source, *lang, *license; /* all but id may be NULL */
    so_record_turn *turn;
    int turns;
    so_locator *image;
    int images;
    void *json; /* private */
    void *pool; /* private: texts and units of its own */
} so_record;

enum { SO_RECORD_TURNS = 4096, SO_RECORD_IMAGES = 256, SO_RECORD_TEXT = 65536 /* bytes of a turn's text */ };

/* Reads a record from its line. `folder` is where relative paths begin. SO_ERR_FORMAT says what is wrong. */
so_status so_record_parse(so_record *out, const char *json, size_t size, const char *folder, so_error *error);
/* The same of a JSON object (json_t), which is held as long as the record. */
so_status so_record_of(so_record *out, void *json, const char *folder, so_error *error);
/* Memory of a record that is made, not parsed: zeroed, gone with it. NULL without a record's memory (so_record_make) or
 * none left. */
void *so_record_take(so_record *record, size_t bytes);
/* Begins a record of so many turns and pictures, zeroed, with an id of its own copy. */
so_status so_record_make(so_record *out, const char *id, int turns, int images, so_error *error);
/* The locator of a picture of the tabletop world, of the record's memory. */
so_status so_record_scene(so_record *record, so_locator *at, uint64_t scene, so_error *error);
/* Whether a locator is such a picture, and of which scene. */
bool so_locator_scene(const so_locator *at, uint64_t *scene);
/* Accepts a zeroed record. */
void so_record_clear(so_record *record);

/* Bytes that a locator names, mapped: `data` and `size` live until so_map_close. SO_ERR_FORMAT where the file is
 * shorter than it should be. */
so_status so_locator_open(const so_locator *at, so_map *map, const unsigned char **data, size_t *size, so_error *error);
so_status so_locator_image(const so_locator *at, so_image *out, so_error *error);
/* Units of a turn: *units [n] is the caller's, to be freed with free(); NULL and 0 where there are none. */
so_status so_turn_listed(const so_record_turn *turn, uint16_t **units, int64_t *n, so_error *error);

/* Recordings of turns, one after another. A clip that begins behind the one before in the same file is read on from
 * there, so that hours of one recording are decoded once. Start from a zeroed struct. */
typedef struct so_clips {
    char *path;
    so_map map;
    so_sound *sound;
    int64_t position; /* samples read so far */
    uint64_t offset;
} so_clips;

/* Mono samples of a turn, at the file's rate. SO_ERR_MISSING for a turn without a recording. */
so_status so_clips_read(so_clips *clips, const so_record_turn *turn, so_audio *out, so_error *error);
void so_clips_clear(so_clips *clips);

#endif
