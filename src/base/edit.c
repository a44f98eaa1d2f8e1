/* Edit distance, one row of the table at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/edit.h"

static so_edits better(so_edits a, so_edits b)
{
    if (a.all != b.all) return a.all < b.all ? a : b;
    return a.substitutions >= b.substitutions ? a : b;
}

so_edits so_edits_between(int64_t n, int64_t m, so_same_fn same, const void *context, so_edits *row)
{
    for (int64_t k = 0; k <= m; k++) row[k] = (so_edits){(int32_t)k, 0, 0, (int32_t)k};
    for (int64_t i = 1; i <= n; i++) {
        so_edits corner = row[0];
        row[0] = (so_edits){(int32_t)i, 0, (int32_t)i, 0};
        for (int64_t k = 1; k <= m; k++) {
            so_edits up = row[k], left = row[k - 1], here = corner;
            corner = up;
            if (!same(context, i - 1, k - 1)) {
                here.all++;
                here.substitutions++;
                up.all++;
                up.deletions++;
                left.all++;
                left.insertions++;
                here = better(here, better(up, left));
            }
            row[k] = here;
        }
    }
    return row[m];
}

typedef struct ids {
    const int32_t *a, *b;
} ids;

static bool same_id(const void *context, int64_t i, int64_t k)
{
    const ids *p = context;
    return p->a[i] == p->b[k];
}

int64_t so_edit_distance(const int32_t *a, int64_t n, const int32_t *b, int64_t m, so_edits *row)
{
    return so_edits_between(n, m, same_id, &(ids){a, b}, row).all;
}
