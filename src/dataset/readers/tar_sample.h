/* The members of one sample of a shard.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_READERS_TAR_SAMPLE_H
#define SO_DATASET_READERS_TAR_SAMPLE_H

#include "dataset/readers/reading.h"

enum { SO_TAR_MEMBERS = 512 };
#define SO_IMAGE_TURN "<image>"

typedef struct so_tar_sample {
    const char *path;          /* of the shard, absolute */
    const unsigned char *data; /* its bytes */
    char key[SO_TAR_NAME];
    int64_t number; /* from 1 */
    int n;
    so_tar_entry member[SO_TAR_MEMBERS];
    bool taken[SO_TAR_MEMBERS];
} so_tar_sample;

#endif
