/* A ragged batch for the backbone: text rows, picture rows and heard rows in order, with the labels to predict.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_TABLETOP_PART_BATCH_H
#define SO_RECIPES_TABLETOP_PART_BATCH_H

#include "dataset/tabletop/tabletop_dataset.h"
#include "recipes/tabletop/recipe.h"

enum { SO_TT_MAX_ROWS = 24576, SO_TT_MAX_SEQS = 256, SO_TT_MAX_PICTURES = 64 };

typedef struct so_tt_batch {
    so_pass *pass;
    const so_omni *net;
    int64_t rows, seqs, texts, pictures;
    int64_t seq_rows[SO_TT_MAX_SEQS];
    int32_t *part_of, *row, *label; /* [rows]; label -1: nothing to predict; otherwise the id that follows */
    int32_t *turn;                  /* [rows] number of the answer a labelled row belongs to */
    int32_t *text;                  /* [texts] ids */
    float *pixels;                  /* [pictures][3][112][112] */
    int32_t *where;                 /* [rows] on the last token of an object's name: its cell; otherwise -1 */
    int32_t *stand; /* [rows] on the last token of a question about two objects: how they stand; otherwise -1 */
    const struct so_tt_aids *aids; /* NULL: none */
    const char *part;              /* with aids: whose row of the stages weighs their losses */
    so_notes *notes;               /* with aids: takes their losses */
    int32_t turns;
    so_tensor *heard; /* part 2, or NULL */
    int64_t heard_used;
} so_tt_batch;

/* Heads that tell what the language model should know in the middle of its way, thrown away afterwards. */
typedef struct so_tt_aids {
    so_tensor *where_w; /* [9, D], after WHERE_LAYER layers: the cell of the object that the tokens up to here name */
    so_tensor
        *stand_w; /* [9, D], after STAND_LAYER layers: which of two named objects is higher and which further left */
} so_tt_aids;
so_status so_tt_aids_bind(so_tt_aids *aids, const so_tt *tt, so_store *store, int64_t width, so_error *error);

/* NULL on a failure, which is the pass's. */
so_tt_batch *so_tt_batch_start(so_pass *pass, const so_omni *net);
void so_tt_batch_sequence(so_tt_batch *b); /* a new sequence begins */
void so_tt_batch_text(so_tt_batch *b, const int32_t *ids, int64_t n);
/* A question, with the cells of the objects that it names: by shape or colour alone, or by both. */
void so_tt_batch_question(so_tt_batch *b, const so_tt *tt, const so_scene *scene, const char *text, so_ids *scratch);
/* The same cells for a question that is in the batch already: `text` as `ids`, of which row[i] of the batch has the
 * i-th. */
void so_tt_batch_names(so_tt_batch *b, const so_tt *tt, const so_scene *scene, const char *text, const so_ids *ids,
                       const int64_t *row);
void so_tt_batch_picture(so_tt_batch *b, uint64_t scene);
/* The next n rows of b->heard. */
void so_tt_batch_heard(so_tt_batch *b, int64_t n);
/* An answer and its <eot>, each id predicted from the row before. */
void so_tt_batch_answer(so_tt_batch *b, const int32_t *ids, int64_t n, int32_t eot);
/* Runs the backbone and gives the mean cross entropy over labelled rows, plus, with aids, theirs. `right` (may be NULL,
 * else [turns], preset to 1) becomes 0 for answers with a wrong argmax anywhere: what greedy decoding would have got
 * wrong. */
so_tensor *so_tt_batch_loss(so_tt_batch *b, uint8_t *right);

/* Turn `turn` of a written conversation: its header (of the first, with the system text), the picture where it is
 * `shown`, question and answer. `scene`: the picture in sight, or NULL. `spread` (may be NULL): the question is put as
 * if it had been heard. */
void so_tt_batch_turn(const so_tt *tt, so_tt_batch *b, so_ids *scratch, int turn, const so_scene *scene, bool shown,
                      const so_qa *qa, so_rng *spread);
/* A question spread over time as the bottom layers write what they hear: blanks before each token, which stands for a
 * row or two, and after the last. So the model meets, among what it hears, words that no recording may say where they
 * are said here: those that open lists in the reserved part only; and conversations longer than any recording. */
void so_tt_batch_spread(const so_tt *tt, so_tt_batch *b, so_ids *scratch, const char *question, so_rng *rng);

/* Turns of a record of the world. */
typedef struct so_tt_written {
    const so_dataset *from;
    int64_t index;
    int turns;      /* at most, from the first on; up to SO_TT_LONG_TURNS */
    so_rng *retype; /* some questions as people type them and ears hear them; NULL: all as they are */
    so_rng *spread; /* all questions put as if they had been heard; NULL: as they are written */
    so_qa *asked;   /* [turns] becomes what was put; may be NULL */
} so_tt_written;
enum { SO_TT_LONG_TURNS = 80 };
/* One sequence of them, to the end of a context. Returns its turns. */
int so_tt_batch_written(const so_tt *tt, so_tt_batch *b, so_ids *scratch, const so_tt_written *written);
/* Exchange k of a record of the tabletop. *shown counts the pictures shown before it; where it shows one, *scene
 * becomes its and the result is true. */
bool so_tt_exchange(const so_record *record, int k, int *shown, so_qa *out, uint64_t *scene);

/* What a part draws written records from: streams of the world without an end, by number. */
typedef struct so_tt_world {
    so_dataset *pictures, *hard, *sums, *conversations;
    so_dataset *talk[3]; /* all kinds, words with a capital, words that come first */
    so_dataset *wider;   /* talk from where the world ends */
} so_tt_world;
typedef struct so_tt_world_seeds {
    uint64_t seed, hard, sums; /* `seed`: of all that is neither hard nor a sum */
} so_tt_world_seeds;
/* On a failure, too, it is to be closed. */
so_status so_tt_world_open(so_tt_world *world, so_tabletop_part part, so_tt_world_seeds seeds, so_error *error);
void so_tt_world_close(so_tt_world *world);
/* Talk for a dialogue: mostly all kinds, sometimes one of those that teach words with a capital. */
const so_dataset *so_tt_world_talk(const so_tt_world *world, so_rng *rng);
/* 3 to SO_TT_LONG_TURNS: few are long and many short. */
int so_tt_long_turns(so_rng *rng);

/* A question as people type it or as the ears write it: mostly as it is, else without capitals, without its mark, with
 * digits, or with unknown words unknown. */
void so_tt_retype(const so_tt *tt, so_qa *qa, so_rng *rng);

/* The kinds of talk that take reckoning. */
enum { SO_TT_RECKONING = 1 << SO_TALK_SUM | 1 << SO_TALK_DIFFERENCE | 1 << SO_TALK_COUNTING };

#endif
