/* Prompts into the stores.
 *
 * A prompt is a row of slots. Every slot says which stacks it enters: the speech side (bottom layers, whose output the
 * top layers read), and the backbone, as the expected text embedding of the speech side, as a text embedding, or as a
 * picture's vector. So-called modes differ in slots only. so_talk_want says which slots the stores shall hold; every
 * so_talk_more computes a piece of what is not there yet. Slices have the same rows however they are cut on their way,
 * so that answers do not depend on that.
 *
 * Source: docs/model.md 6.1, 6.3; paper, algorithm 1.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_PROMPT_H
#define SO_ENGINE_PROMPT_H

#include "engine/stacks.h"

/* Rows of slots being listed. Start from a zeroed struct; `capacity` slots are lent by the owner. */
typedef struct so_slots {
    so_slot *slot;
    int64_t n, capacity;
} so_slots;

/* Appends ids with the given flags; SO_IMAGE_ID stands for all vectors of the next picture: picture k is vectors
 * first[k] .. first[k + 1]. With more places than pictures the last picture is used again; without pictures the places
 * vanish. SO_ERR_LIMIT when the capacity is passed. */
so_status so_slots_add(so_slots *slots, const int32_t *ids, int64_t n, uint32_t where, const int64_t *first,
                       int64_t pictures, so_error *error);

/* Says which slots the stores shall hold, lent until they do or others are wanted: the common beginning with what they
 * hold is kept. SO_ERR_LIMIT when they are too many. */
so_status so_talk_want(so_talk *talk, const so_slot *slot, int64_t n, so_error *error);
/* A piece of computing them: a part of the way of a slice of up to `rows` slots, a layer where layers are large. *done
 * once all are there. SO_ERR_STOPPED leaves the slices before in place. */
so_status so_talk_more(so_talk *talk, bool *done, so_error *error);
/* The piece that is next. */
so_work so_talk_next(const so_talk *talk);
/* None are wanted any more; what is there stays. */
void so_talk_unwant(so_talk *talk);
/* Both, until all are there. */
so_status so_talk_sync(so_talk *talk, const so_slot *slot, int64_t n, so_error *error);
/* Positions of the backbone that these slots, wanted now, would find in place. */
int64_t so_talk_shared(const so_talk *talk, const so_slot *slot, int64_t n);

/* ---- beginning.c */
/* All prompts begin with these ids, lent until others are named. Sessions only. */
void so_talk_begins_with(so_talk *talk, const so_ids *ids);
/* Slots are wanted of which the stores hold so many positions: the beginning comes from where it was put by, if that
 * is more. True where the stores changed. */
bool so_talk_take_beginning(so_talk *talk, const so_slot *slot, int64_t n, int64_t speech, int64_t backbone);
/* Puts it by, where it was just computed as a whole and is not put by yet. */
void so_talk_put_beginning(so_talk *talk);

/* ---- prompt.c */
/* The slice that is on its way, from talk->memory. False when that ends. */
bool so_talk_take_slice(so_talk *talk);
/* For the dry run: a prompt at its largest. */
so_status so_talk_rehearse_prompt(so_talk *talk, so_error *error);

#endif
