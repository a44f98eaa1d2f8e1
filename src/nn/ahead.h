/* Weights that lie in a mapped file are read into memory by a thread of its own, so that the first pass does not wait
 * for a page fault at every few kilobytes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_AHEAD_H
#define SO_NN_AHEAD_H

#include "nn/weights.h"

typedef struct so_ahead so_ahead;

/* Begins with the weights of the store that are views of `source`, in the order of binding; both are lent until the
 * end. *out NULL: memory has no room for them, or there is no thread. */
void so_ahead_begin(so_ahead **out, const so_store *store, const so_views *source);
/* Waits until all are read. */
void so_ahead_wait(so_ahead *ahead);
/* Ends it, wherever it is. Accepts NULL. */
void so_ahead_end(so_ahead **ahead);

#endif
