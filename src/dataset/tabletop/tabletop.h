/* The tabletop world in memory: scenes and pictures, questions and answers, talk, dialogues, lines of text.
 *
 * Everything is a pure function of (part, seed, index). The part decides what may be drawn: training samples use scene
 * seeds below 1,000,000 and never open a "repeat" list with one of the last thirty words; reserved samples use nothing
 * else.
 * Source: the tabletop spec.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_TABLETOP_TABLETOP_H
#define SO_DATASET_TABLETOP_TABLETOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/rng.h"

enum {
    SO_TABLETOP_SIDE = 112,               /* pixels of a picture's side */
    SO_TABLETOP_GRID = 3,                 /* cells of its side */
    SO_TABLETOP_OBJECTS = 4,              /* most objects of a scene */
    SO_TABLETOP_RESERVED_SCENE = 1000000, /* first scene seed of the reserved part */
    SO_TABLETOP_OTHER_SCENE = 1 << 28,    /* first scene seed of pictures that show no tabletop; parted likewise */
    SO_TABLETOP_WORDS = 300,
    SO_TABLETOP_RESERVED_WORDS = 30, /* at the end of the list */
    SO_TABLETOP_REPEAT_MIN = 3,
    SO_TABLETOP_REPEAT_MAX = 6,
    SO_TABLETOP_QA_MAX = 192, /* more than any scene has questions */
    SO_TABLETOP_TURNS_MAX = 16,
    SO_TABLETOP_SOUND_RATE = 22050 /* Hz */
};

typedef enum so_tabletop_part { SO_TABLETOP_TRAIN, SO_TABLETOP_RESERVED } so_tabletop_part;

typedef enum so_shape { SO_CIRCLE, SO_SQUARE, SO_TRIANGLE, SO_STAR, SO_CROSS, SO_SHAPES } so_shape;
typedef enum so_colour {
    SO_RED,
    SO_GREEN,
    SO_BLUE,
    SO_YELLOW,
    SO_ORANGE,
    SO_PURPLE,
    SO_BLACK,
    SO_PINK,
    SO_COLOURS
} so_colour;

/* Picture kinds first, then kinds of talk. */
typedef enum so_tabletop_kind {
    SO_QA_COLOUR,
    SO_QA_SHAPE,
    SO_QA_SIZE,
    SO_QA_COUNT_ALL,
    SO_QA_COUNT_SOME,
    SO_QA_PLACE,
    SO_QA_WHAT_AT,
    SO_QA_RELATION,
    SO_QA_EXISTENCE,
    SO_QA_DESCRIBE,
    SO_QA_PICTURE_KINDS,
    SO_TALK_SUM = SO_QA_PICTURE_KINDS,
    SO_TALK_DIFFERENCE,
    SO_TALK_COUNTING,
    SO_TALK_DAY,
    SO_TALK_MONTH,
    SO_TALK_LETTER,
    SO_TALK_OPPOSITE,
    SO_TALK_THING,
    SO_TALK_SMALL,
    SO_TALK_REPEAT,
    SO_TALK_INITIAL, /* this and the next for learning only: no part of what is measured */
    SO_TALK_FIRST,
    SO_TALK_OUTSIDE,    /* from here on: where the world ends. A question about something else */
    SO_TALK_FOREIGN,    /* another language */
    SO_TALK_ABLE,       /* what the model can do */
    SO_TALK_CHAT,       /* greetings, jokes, short stories */
    SO_TALK_NO_PICTURE, /* a question about a picture where there is none */
    SO_TALK_NOTHING,    /* no speech: silence, noise, music */
    SO_QA_ABSENT,       /* a question that names what the picture has not, or twice; or in other words */
    SO_QA_OTHER,        /* a picture that shows no tabletop */
    SO_TABLETOP_KINDS
} so_tabletop_kind;

/* Kinds of talk, as masks of so_tabletop_talk. */
enum {
    SO_TALK_WIDER =
        1 << SO_TALK_OUTSIDE | 1 << SO_TALK_FOREIGN | 1 << SO_TALK_ABLE | 1 << SO_TALK_CHAT | 1 << SO_TALK_NO_PICTURE
};

/* One object. x, y: middle in pixels from the top left corner of the picture; its box of `diameter` pixels lies inside
 * its cell. */
typedef struct so_scene_object {
    so_shape shape;
    so_colour colour;
    bool big;
    int cell; /* row * 3 + column, from the top left */
    float x, y, diameter;
    uint8_t rgb[3];
} so_scene_object;

/* Objects are sorted by cell, and no two share both shape and colour. */
typedef struct so_scene {
    uint64_t seed;
    int count; /* 1 to 4 */
    so_scene_object objects[SO_TABLETOP_OBJECTS];
    uint8_t background[3];
} so_scene;

/* A question and its one right answer. */
typedef struct so_qa {
    so_tabletop_kind kind;
    int group; /* what a kind is balanced over: 0/1 for no/yes, 0/1/2 for none/one/more, 0/1 for an empty/full cell */
    char question[160], answer[160];
    char language[8]; /* of a question in another language: espeak-ng's name of it; else empty */
} so_qa;

/* One picture and several turns about it, no question twice. */
typedef struct so_dialogue {
    so_scene scene;
    int turns;
    so_qa turn[SO_TABLETOP_TURNS_MAX];
} so_dialogue;

/* What the ears write for a word that is none of theirs: an ellipsis. */
#define SO_TABLETOP_UNKNOWN "\xe2\x80\xa6"

/* In place of a scene's seed: no picture. */
#define SO_TABLETOP_NO_SCENE (~(uint64_t)0)

/* One turn of a long conversation. */
typedef struct so_tabletop_turn {
    so_qa qa;
    uint64_t scene; /* seed of the picture that was shown last, SO_TABLETOP_NO_SCENE before the first */
    bool shown;     /* it is shown with this turn */
} so_tabletop_turn;

extern const char *const so_tabletop_words[SO_TABLETOP_WORDS];

/* Fixed names: "circle", "red", "top left", "count some". NULL outside the range. */
const char *so_shape_name(int shape);
const char *so_colour_name(int colour);
const char *so_cell_name(int cell);
const char *so_tabletop_kind_name(int kind);
/* The named value that an object's rgb is within 20 of, per channel. */
const uint8_t *so_colour_rgb(so_colour colour);
/* The number of a name, -1 when it is none. */
int so_shape_find(const char *name);
int so_colour_find(const char *name);
int so_tabletop_kind_find(const char *name);

/* Seeds from SO_TABLETOP_OTHER_SCENE up give no object. */
void so_scene_make(so_scene *scene, uint64_t seed);
/* Whether the picture shows no tabletop: a texture, a pattern, something like a photograph, which its seed tells. */
static inline bool so_scene_is_other(const so_scene *scene) { return scene->seed >= SO_TABLETOP_OTHER_SCENE; }
/* Draws into rgb[112 * 112 * 3], rows from the top, edges smoothed over 4 x 4 points a pixel. */
void so_scene_render(const so_scene *scene, uint8_t *rgb);

/* Every question that may be asked about the scene, all paraphrases, into out[SO_TABLETOP_QA_MAX]. Returns how many. */
int so_scene_questions(const so_scene *scene, so_qa *out);
/* One question: kind uniform over those of `kinds` (a mask of 1 << kind, 0 for all) that the scene allows, then group
 * uniform, then uniform. False when the scene allows none. */
bool so_scene_ask(const so_scene *scene, uint32_t kinds, so_rng *rng, so_qa *out);

/* Scene number `index` of a stream: its seed is drawn below 1,000,000 for training; reserved seeds are 1,000,000 and up
 * and differ for every index below a million of one seed. */
uint64_t so_tabletop_scene_seed(so_tabletop_part part, uint64_t seed, uint64_t index);
/* `turns` (1 to 16) questions about one picture, each kind before a kind comes again. */
void so_tabletop_dialogue(so_tabletop_part part, uint64_t seed, uint64_t index, int turns, so_dialogue *out);
/* One exchange without a picture. kinds: mask of 1 << SO_TALK_..., 0 for all that are measured; of several kinds
 * "repeat" gets two fifths of the draws, the others share the rest evenly. */
void so_tabletop_talk(so_tabletop_part part, uint64_t seed, uint64_t index, uint32_t kinds, so_qa *out);
/* A "repeat after me" exchange of `least` to `most` different words (1 to 6). */
void so_tabletop_repeat(so_tabletop_part part, uint64_t seed, uint64_t index, int least, int most, so_qa *out);
/* A question that names what the scene does not have, or that fits two objects, "There is no star."; or one of the
 * world's own in other words. */
void so_scene_ask_wider(const so_scene *scene, so_rng *rng, so_qa *out);
/* A question about the scene as if it were a tabletop, answered by "This is not a picture I know.". */
void so_scene_ask_other(so_tabletop_part part, so_rng *rng, so_qa *out);
/* Seed of picture `index` that shows no tabletop. Training and the reserved part draw different families of pictures.
 */
uint64_t so_tabletop_other_seed(so_tabletop_part part, uint64_t seed, uint64_t index);
/* Sound that is no speech: silence, noise, hums, bells, music; other families in the reserved part. *count samples at
 * SO_TABLETOP_SOUND_RATE in [-1, 1], 0.5 to 4 s, freed with free(). */
so_status so_tabletop_sound(so_tabletop_part part, uint64_t seed, uint64_t index, float **samples, int64_t *count,
                            so_error *error);
/* One exchange of the whole world, as a speaking corpus has them: nine in ten from the closed world, the others from
 * where it ends. *scene: seed of its picture, or SO_TABLETOP_NO_SCENE. */
void so_tabletop_draw(so_tabletop_part part, uint64_t seed, uint64_t index, so_qa *out, uint64_t *scene);
/* A conversation of `turns` turns into out[turns]: talk, questions about the picture that was shown last (a new one
 * takes the place of the one before), and what lies outside of the world. Pictures come late, and change after 2 to 16
 * turns in the mean. */
void so_tabletop_conversation(so_tabletop_part part, uint64_t seed, uint64_t index, int turns, so_tabletop_turn *out);
/* Whether an answer says that the question, the picture or the sound is outside of the world. Case and punctuation do
 * not count. */
bool so_tabletop_declines(const char *answer);

/* Two lines of the world's text, a question and its answer, for a tokenizer or a language model; the scene is not told.
 * SO_TABLETOP_UNKNOWN stands for each name and word from outside. Writes at most `size` bytes with the terminator and
 * returns the length; 384 bytes are always enough. */
size_t so_tabletop_text(so_tabletop_part part, uint64_t seed, uint64_t index, char *text, size_t size);

#endif
