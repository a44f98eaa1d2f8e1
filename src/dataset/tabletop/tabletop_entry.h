/* Questions of a corpus as they are written: their names, their files, the lists that tell of them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_TABLETOP_TABLETOP_ENTRY_H
#define SO_DATASET_TABLETOP_TABLETOP_ENTRY_H

#include "dataset/tabletop/tabletop_corpus.h"

enum { SO_TABLETOP_PATH = 4096 /* most bytes of a file's path */ };

/* One question as it is to be written. */
typedef struct entry {
    char id[24], speech[48], answers[48];
    const so_qa *qa;
    so_voice voice;
    uint64_t number;
} so_tabletop_entry;

/* "wav" or "flac". */
const char *so_tabletop_extension(const so_tabletop_options *options);
/* Turn `turn` of scene `scene`; exchange `index` of talk, or from outside of the world. The exchange is lent. */
so_tabletop_entry so_tabletop_entry_scene(const so_tabletop_options *options, int64_t scene, int turn,
                                          const so_dialogue *dialogue);
so_tabletop_entry so_tabletop_entry_talk(const so_tabletop_options *options, int64_t index, const so_qa *qa);
so_tabletop_entry so_tabletop_entry_outside(const so_tabletop_options *options, int64_t index, const so_qa *qa);
/* Exchange `index` from outside of the world: four in five in English. */
void so_tabletop_outside_qa(const so_tabletop_options *options, int64_t index, so_qa *qa);
/* A file of the corpus. SO_ERR_LIMIT for a folder with too long a path. */
so_status so_tabletop_path_of(const so_tabletop_options *options, const char *name, char path[SO_TABLETOP_PATH],
                              so_error *error);

/* Writes records.jsonl, llava.json and asr.jsonl; all sound must be there. */
so_status so_tabletop_make_lists(const so_tabletop_options *options, so_error *error);

#endif
