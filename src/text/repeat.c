/* Text that goes round in circles. See text/repeat.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/repeat.h"

bool so_repeat_add(so_repeat *repeat, const int32_t *ids, int64_t n)
{
    bool circles = false;
    for (int i = 0; i < SO_REPEAT_PERIOD; i++) {
        int64_t before = n - 2 - i;
        bool same = before >= 0 && ids[n - 1] == ids[before];
        repeat->run[i] = same ? repeat->run[i] + 1 : 0;
        int32_t rounds = SO_REPEAT_ROUNDS * (i + 1);
        circles |= repeat->run[i] >= (rounds > SO_REPEAT_TOKENS ? rounds : SO_REPEAT_TOKENS);
    }
    return circles;
}
