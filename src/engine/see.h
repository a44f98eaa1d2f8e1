/* Pictures: from their views to vectors that slots of a prompt name by number.
 *
 * A picture takes a vision tower long: it is looked at in pieces, so that others are answered between them. What a
 * piece made lies in the conversation's memory.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_SEE_H
#define SO_ENGINE_SEE_H

#include "engine/stacks.h"

/* Makes room for a picture's n vectors, of which *first is the number of the first. SO_ERR_LIMIT without room. */
so_status so_talk_place(so_talk *talk, const so_image_views *views, int64_t *first, int64_t *n, so_error *error);
/* A piece of encoding the picture into its place: the patches of a view, a few layers, the projector. *done after the
 * last. Until then no other picture may be looked at, unless this one is given up (so_talk_look_away). */
so_status so_talk_look(so_talk *talk, const so_image_views *views, int64_t first, bool *done, so_error *error);
/* The piece that is next. */
so_work so_talk_look_next(const so_talk *talk);
/* All of it. */
so_status so_talk_see(so_talk *talk, const so_image_views *views, int64_t first, so_error *error);
/* The next piece is the first one of a picture. */
void so_talk_look_away(so_talk *talk);
/* Forgets the first n vectors; the others' numbers become smaller by n. */
void so_talk_drop(so_talk *talk, int64_t n);
/* Forgets pictures from vector `first` on. */
void so_talk_forget(so_talk *talk, int64_t first);

/* For the dry run: every piece of a picture at its largest. */
so_status so_talk_rehearse_look(so_talk *talk, so_error *error);

#endif
