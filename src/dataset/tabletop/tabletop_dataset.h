/* The tabletop world as a dataset: records that are made while they are read, by number, as many as are asked for.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_TABLETOP_TABLETOP_DATASET_H
#define SO_DATASET_TABLETOP_TABLETOP_DATASET_H

#include "dataset/dataset.h"
#include "dataset/tabletop/tabletop.h"

typedef enum so_tabletop_stream {
    SO_TABLETOP_PICTURES,      /* a picture and `turns` questions about it */
    SO_TABLETOP_HARD,          /* the same of those that take comparing, counting or locating */
    SO_TABLETOP_TALK,          /* `turns` exchanges without a picture */
    SO_TABLETOP_CONVERSATIONS, /* both mixed, pictures come late and change */
    SO_TABLETOP_OTHERS,        /* a picture that shows no tabletop, and a question */
    SO_TABLETOP_STREAMS
} so_tabletop_stream;

/* Exchanges that a record of talk has at most. */
enum { SO_TABLETOP_TALK_TURNS = 16 };

typedef struct so_tabletop_stream_options {
    so_tabletop_stream stream;
    so_tabletop_part part;
    uint64_t seed;
    int64_t count;  /* records */
    int turns;      /* of each; 1 to 80 */
    bool vary;      /* 1 to `turns` of them, by the record's number */
    uint32_t kinds; /* of talk, as for so_tabletop_talk */
    bool measured;  /* lengths are wanted: every record is made once */
} so_tabletop_stream_options;

/* Record i is made from (part, seed, i) alone, and its first turns are the same however many there are. Pictures are
 * "scene:SEED" (dataset/record.h). */
so_status so_tabletop_stream_open(so_dataset **out, const so_tabletop_stream_options *options, so_error *error);

/* Reads "tabletop:pictures,count=2000,turns=4,seed=7" (or hard, talk, conversations, others). SO_ERR_ARG for what is
 * none. */
so_status so_tabletop_stream_parse(const char *name, so_tabletop_stream_options *out, so_error *error);
/* Whether a path is such a name. */
bool so_tabletop_stream_is(const char *path);

/* Questions about a scene that take comparing, counting or locating. The world's own mixture asks them too seldom for
 * them to be learned in the time. Half of them ask how two things stand to each other, which is learned last. At most
 * `turns`, none twice; returns their number. */
int so_tabletop_hard(const so_scene *scene, int turns, so_rng *rng, so_qa *out);

#endif
