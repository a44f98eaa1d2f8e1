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

bool so_session_drop_turn(so_session *s)
{
    if (!s->history) return false;
    int64_t next = s->turns > 1 ? s->turn_at[1] : s->history, prefix = (int64_t)(s->head.n - s->header.n);
    int64_t vectors = vectors_in(s, next);
    s->left++;
    if (next == s->history) {
        s->history = s->slots.n = s->turns = 0;
        s->spoken.open = false;
    } else {
        /* The system text stands before the oldest turn; a turn begins with the end of what a conversation begins with.
         */
        uint32_t where = s->slots.slot[next].where;
        memmove(s->slots.slot + prefix, s->slots.slot + next, (size_t)(s->history - next) * sizeof *s->slots.slot);
        for (int64_t i = 0; i < prefix; i++) s->slots.slot[i] = (so_slot){s->head.data[i], where};
        for (int64_t i = 1; i < s->turns; i++) s->turn_at[i - 1] = i == 1 ? 0 : s->turn_at[i] - next + prefix;
        s->turns--;
        s->history -= next - prefix;
        s->spoken.at -= next - prefix;
        s->slots.n = s->history;
    }
    if (vectors) drop_vectors(s, vectors);
    return true;
}
