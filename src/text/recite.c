/* SPDX-License-Identifier: Apache-2.0 */
#include "text/recite.h"

int64_t so_recite_on(const int32_t *text, int64_t n, int64_t at, int32_t word)
{
    for (int64_t i = at; i < n && i < at + SO_RECITE_FIND; i++)
        if (text[i] == word) return i + 1 - at;
    return at < 1 || at > n || text[at - 1] != word;
}
