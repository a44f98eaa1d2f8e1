/* Room in a context that is full: the oldest turns leave.
 *
 * What is left stands at other positions than before, and it had read what is gone. The stores keep their common
 * beginning, the system text; the rest is read anew, so that an answer is the one that a conversation gives which began
 * with the oldest turn that is left.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine/session.h"

/* Behind the last picture vector among the first n slots. */
static int64_t vectors_in(const so_session *s, int64_t n)
{
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++)
        if (s->slots.slot[i].where == SO_SLOT_IMAGE && s->slots.slot[i].id >= most) most = s->slots.slot[i].id + 1;
    return most;
}

static void drop_vectors(so_session *s, int64_t n)
{
    for (int64_t i = 0; i < s->history; i++)
        if (s->slots.slot[i].where == SO_SLOT_IMAGE) s->slots.slot[i].id -= (int32_t)n;
    for (int i = 0; i < s->pictures; i++) s->picture[i] -= n;
    while (s->waiting && s->place[0] < n) so_session_pop_view(s);
    for (int i = 0; i < s->waiting; i++) s->place[i] -= n;
    so_talk_drop(s->talk, n);
}

/* Pictures among the first n slots, each with what follows it, go to the front; returns how many slots that are. */
static int64_t gather_pictures(so_session *s, int64_t n)
{
    int64_t kept = 0, behind = 0;
    for (int64_t i = 0; i < n; i++) {
        if (s->slots.slot[i].where == SO_SLOT_IMAGE)
            behind = (int64_t)s->after_picture.n + 1;
        else if (behind == 0)
            continue;
        behind--;
        s->slots.slot[kept++] = s->slots.slot[i];
    }
    return kept;
}

/* Pictures in the first n slots become the first ones of the turn that is open; those it has no room for leave. */
static void hand_to_open_turn(so_session *s, int64_t n)
{
    int64_t first[SO_PICTURES], vectors[SO_PICTURES];
    int found = 0;
    for (int64_t i = 0; i < n; i++) {
        const so_slot *slot = &s->slots.slot[i];
        if (slot->where != SO_SLOT_IMAGE) continue;
        bool begins = i == 0 || slot[-1].where != SO_SLOT_IMAGE;
        if (begins && found + s->pictures == SO_PICTURES) break;
        if (begins) first[found] = slot->id, vectors[found++] = 0;
        vectors[found - 1]++;
    }
    memmove(s->picture + found, s->picture, (size_t)s->pictures * sizeof *s->picture);
    memmove(s->vectors + found, s->vectors, (size_t)s->pictures * sizeof *s->vectors);
    memcpy(s->picture, first, (size_t)found * sizeof *first);
    memcpy(s->vectors, vectors, (size_t)found * sizeof *vectors);
    s->pictures += found;
}

bool so_session_drop_turn(so_session *s)
{
    if (!s->history) return false;
    bool keep = s->options.on_full == SO_FULL_KEEP_PICTURES;
    int64_t next = s->turns > 1 ? s->turn_at[1] : s->history, head = (int64_t)s->head.n;
    int64_t prefix = head - (int64_t)s->header.n, vectors = keep ? 0 : vectors_in(s, next);
    int64_t kept = keep ? gather_pictures(s, next) : 0, less = next - prefix - kept;
    s->left++;
    if (next == s->history) {
        hand_to_open_turn(s, kept);
        s->history = s->slots.n = s->turns = 0;
        s->spoken.open = false;
    } else {
        /* The system text stands before the oldest turn; a turn begins with the end of what a conversation begins with,
         * and behind that come pictures. */
        so_slot *slot = s->slots.slot, *rest = slot + next + s->header.n;
        uint32_t where = slot[next].where;
        memmove(slot + head + kept, rest, (size_t)(slot + s->history - rest) * sizeof *slot);
        memmove(slot + head, slot, (size_t)kept * sizeof *slot);
        for (int64_t i = 0; i < head; i++) slot[i] = (so_slot){s->head.data[i], where};
        for (int64_t i = 1; i < s->turns; i++) s->turn_at[i - 1] = i == 1 ? 0 : s->turn_at[i] - less;
        s->turns--;
        s->history -= less;
        s->spoken.at -= less;
        s->slots.n = s->history;
    }
    if (vectors) drop_vectors(s, vectors);
    return true;
}
