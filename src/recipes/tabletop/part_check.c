/* Files between the parts of the tabletop recipe, checked before anything believes them: a run that was killed, a full
 * disk or a copy that broke off leaves files that are shorter than what stands in them says.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "recipes/tabletop/part_units.h"

static bool within(int64_t at, int64_t count, int64_t all)
{
    return at >= 0 && count >= 0 && count <= all && at <= all - count;
}

/* Of numbers that may be anything. */
static int64_t end_of(int64_t at, int64_t count) { return (int64_t)((uint64_t)at + (uint64_t)count); }

static bool terminated(const char *text, size_t size) { return memchr(text, 0, size) != NULL; }

static bool phones_fit(const uint8_t *phone, int16_t n)
{
    if (n < 0 || n > (int)sizeof((so_tt_item *)0)->q_phone) return false;
    for (int i = 0; i < n; i++)
        if (phone[i] < 1 || phone[i] >= SO_TT_PHONES) return false;
    return true;
}

static so_status cut(const char *file, int64_t found, int64_t needed, so_error *error)
{
    return so_fail(error, SO_ERR_FORMAT,
                   "%s has %lld samples where %lld are listed: it was cut; remove corpus.* and make the part 'corpus' "
                   "again",
                   file, (long long)found, (long long)needed);
}

so_status so_tt_check_corpus(const so_tt *tt, so_error *error)
{
    const so_tt_corpus *c = &tt->corpus;
    int64_t q_all = (int64_t)(c->q_map.size / sizeof *c->q), a_all = (int64_t)(c->a_map.size / sizeof *c->a);
    if (c->index_map.size % sizeof *c->item || !c->count)
        return so_fail(
            error, SO_ERR_FORMAT,
            "corpus.index has %zu bytes, expected items of %zu: it was cut, or another version made it; remove "
            "corpus.* and make the part 'corpus' again",
            c->index_map.size, sizeof *c->item);
    for (int64_t i = 0; i < c->count; i++) {
        const so_tt_item *t = &c->item[i];
        if (!within(t->q_at, t->q_count, q_all)) return cut("corpus.q16", q_all, end_of(t->q_at, t->q_count), error);
        if (!within(t->a_at, t->a_count, a_all)) return cut("corpus.a22", a_all, end_of(t->a_at, t->a_count), error);
        if ((unsigned)t->kind >= SO_TABLETOP_KINDS || !terminated(t->question, sizeof t->question) ||
            !terminated(t->answer, sizeof t->answer) || !phones_fit(t->q_phone, t->q_phones) ||
            !phones_fit(t->a_phone, t->a_phones))
            return so_fail(error, SO_ERR_FORMAT, "corpus.index: item %lld of %lld is damaged", (long long)i,
                           (long long)c->count);
    }
    return SO_OK;
}

so_status so_tt_check_units(const so_tt_units_file *units, const so_tt *tt, so_error *error)
{
    int64_t all = (int64_t)(units->unit_map.size / sizeof *units->unit);
    if (units->index_map.size % sizeof *units->item || units->count != tt->corpus.count)
        return so_fail(
            error, SO_ERR_FORMAT,
            "units.index has %zu bytes, expected %lld items of %zu: it was cut, or belongs to another corpus; "
            "remove units.* and make the part 'units' again",
            units->index_map.size, (long long)tt->corpus.count, sizeof *units->item);
    for (int64_t i = 0; i < units->count; i++) {
        const so_tt_spoken *s = &units->item[i];
        bool whole = within(s->q_at, s->q_count, all) && within(s->a_at, s->a_count, all);
        for (int k = 0; k < SO_TT_DISGUISES; k++) whole = whole && within(s->d_at[k], s->d_count[k], all);
        if (!whole)
            return so_fail(
                error, SO_ERR_FORMAT,
                "units.u16 has %lld units, item %lld lies beyond: it was cut; remove units.* and make the part "
                "'units' again",
                (long long)all, (long long)i);
    }
    for (int64_t i = 0; i < all; i++)
        if (units->unit[i] >= SO_TT_UNITS)
            return so_fail(error, SO_ERR_FORMAT, "units.u16: unit %u, expected 0 to %d", units->unit[i],
                           SO_TT_UNITS - 1);
    return SO_OK;
}
